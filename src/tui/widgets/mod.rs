//! The pure building blocks of every screen: they draw into a buffer what they are given and keep nothing.

pub mod bar;
pub mod draw;
pub mod logview;
pub mod pairs;
pub mod pane;
pub mod scroll;
pub mod spark;
#[cfg(test)]
pub(crate) mod testing;
pub mod vtable;
pub mod window;
