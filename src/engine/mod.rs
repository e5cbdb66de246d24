//! The one loop that owns the world: inbox in, decision, store, snapshot, effects.
//!
//! Loops and their periods: `pollers` ask the targets (250 ms, 1 s, 60 s), the loop in `run` ticks every
//! 500 ms, renews the lease every third of its life, and looks for a store that is away every second.

mod abilities;
mod alone;
pub mod clock;
pub mod drill;
pub mod handle;
mod history;
mod injections;
pub mod keeper;
mod lease;
mod orders;
mod perform;
pub mod pollers;
mod requests;
mod run;
mod snapshot;
pub mod tasks;
mod verify;

pub use alone::record as record_alone;
pub use lease::wait_until_free;
pub use run::{Parts, Running, start, start_with};
