//! Engines that are killed, told to stop, or lose their store or their container runtime: what they had begun ends,
//! nothing is done twice, and the record has no gap.

pub(crate) mod bench;
mod docker;
mod lease;
