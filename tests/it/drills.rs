//! The whole loop as an operator runs it: drills and decisions on a lab of their own, and what the store says
//! afterwards.

mod docker;
