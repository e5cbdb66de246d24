//! Incidents as rows of a list: the recent ones from the snapshot, older ones from the store a page at a time.

pub mod filter;
pub mod list;
pub mod row;

pub use list::List;
pub use row::Row;
