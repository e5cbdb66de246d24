//! The inspections against real servers, each in a situation made for it.

pub(crate) mod bench;
mod bloat;
mod limits;
mod locks;
mod postgres;
mod redis;
mod slow;
pub(crate) mod standby;
