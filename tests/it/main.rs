//! The integration tests: one binary, so that they link once.

mod faults;
mod random_schedules;
mod store;
