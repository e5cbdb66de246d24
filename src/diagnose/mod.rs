//! Evidence in, graded causes out; pure. One file per family of look-alikes.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod facts;
