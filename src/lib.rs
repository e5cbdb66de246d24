//! simctl, an operator console for Redis and PostgreSQL.

pub mod actions;
pub mod agent;
pub mod cli;
pub mod config;
pub mod detect;
pub mod diagnose;
pub mod domain;
pub mod engine;
pub mod faults;
pub mod lab;
pub mod ports;
pub mod runtime;
pub mod store;
pub mod targets;
pub mod telemetry;
