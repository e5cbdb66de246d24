//! The workbench: a person's statements and the management jobs of a PostgreSQL, one function per job.
//!
//! Each job takes a [`Workbench`] and a request, and returns its response or a [`Failure`]; both are JSON with the
//! names that the API documents. Command line, API and console call the same function and only show what it returns.
//! Reading is what the server itself holds to reading; what changes something says so and needs a person or a rule.

pub mod backup;
pub mod failure;
pub mod migrate;
pub mod restore;
pub mod schema;
mod workbench;

pub use failure::{Code, Failure, Outcome};
pub use workbench::{As, Workbench};
