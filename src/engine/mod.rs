//! The one loop that owns the world: inbox in, decision, store, snapshot, effects.

pub mod clock;
pub mod handle;
pub mod tasks;
