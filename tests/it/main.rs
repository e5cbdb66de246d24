//! The integration tests: one binary, so that they link once.

mod actions;
mod cli;
mod faults;
mod lab;
mod random_schedules;
mod store;
mod targets;
