//! Facts and decisions. No I/O, no tokio, no clock, no randomness: time and ids are arguments.
//!
//! [`step`] takes the [`world::World`] and one [`effect::Input`] and says which events happened and which
//! effects follow; [`ledger::Ledger`] is the fold of those events and nothing else.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod alert;
pub mod change;
pub mod consult;
pub mod diagnosis;
pub mod effect;
pub mod event;
pub mod execution;
pub mod finding;
pub mod health;
pub mod ids;
pub mod incident;
pub mod injection;
pub mod job;
pub mod ledger;
pub mod notice;
pub mod policy;
pub mod proposal;
pub mod readings;
pub mod sample;
pub mod step;
pub mod target;
pub mod undo;
pub mod unit;
pub mod window;
pub(crate) mod words;
pub mod world;
