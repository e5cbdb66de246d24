//! The workbench on real servers.

mod bench;
mod cache;
mod commit;
mod held;
mod indexes;
mod injection;
mod optimize;
mod pool;
mod query;
mod replica;
mod schema;
mod transaction;
mod typed;
