//! The rows of the playbook, by what they are about. A cause without remedies gets advice in words, and nothing runs.

use super::Row;

mod postgres;
mod redis;
mod sessions;
mod unit;

/// Every cause of `diagnose::ALL`, once.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [redis::ROWS, postgres::ROWS, sessions::ROWS, unit::ROWS].into_iter().flatten()
}
