//! Symptoms: one pure function per finding kind, window in, verdict out. [`ALL`] is the list.
#![warn(clippy::wildcard_enum_match_arm)]
