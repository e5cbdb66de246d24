//! The edges of the program as traits with their errors, and nothing else.

pub mod model;
pub mod probe;
pub mod runtime;
pub mod store;
