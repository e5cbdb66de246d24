//! The console on a real pseudo-terminal: what it draws, how it ends, and what it leaves behind.

mod docker;
mod fake;
mod lifecycle;
mod programs;
mod recordings;
mod tty;
