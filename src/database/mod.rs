//! The workbench: a person's statements and the management jobs of a PostgreSQL, one function per job.
//!
//! Each job takes a [`Workbench`] and a request, and returns its response or a [`Failure`]; both are JSON with the
//! names that the API documents. Command line, API and console call the same function and only show what it returns.
//!
//! | job | function |
//! |---|---|
//! | one statement | [`query::query`], [`query::stream`] |
//! | several as one | [`transaction::transaction`] |
//! | what a table is made of | [`schema::schema`] |
//! | how a statement runs | [`optimize::optimize`] |
//! | indexes | [`indexes::suggest`], [`indexes::analyze`] |
//! | how the workbench is | [`health::health`] |
//!
//! Reading is what the server itself holds to reading. What changes something is shown as a [`writes::Change`], agreed
//! to by a [`writes::Permit`] of exactly its fingerprint, and on record before it starts ([`jobs`]).

mod cache;
mod change;
pub mod failure;
pub mod health;
pub mod indexes;
pub mod jobs;
pub mod optimize;
mod param;
mod pool;
pub mod query;
pub mod read;
mod replicas;
pub mod schema;
mod sitting;
pub mod statement;
mod stats;
pub mod transaction;
mod value;
mod workbench;
pub mod writes;

pub use failure::{Code, Failure, Outcome};
pub use pool::PoolStats;
pub use stats::{CLASSES_MS, SlowStatement, Statistics};
pub use value::{Column, Row};
pub use workbench::{As, Workbench};
