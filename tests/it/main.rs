//! The integration tests: one binary, so that they link once.
#![expect(clippy::unwrap_used, reason = "a test may stop where it stands, in its helpers too")]
#![expect(clippy::disallowed_methods, reason = "tests measure and wait with the real clock")]

mod actions;
mod backup;
mod cli;
mod console;
mod crash;
mod database;
mod drills;
mod faults;
mod http;
mod inspect;
mod lab;
mod random_schedules;
mod scenarios;
mod store;
mod targets;
mod trials;
mod watch;
