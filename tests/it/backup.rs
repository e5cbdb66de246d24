//! Backups, restores and migrations through the built binary, on a real server: what is taken comes back, what is
//! broken is refused, and whatever is killed leaves something whole.

mod bench;
mod ended;
mod killed;
mod migrations;
mod refused;
mod restored;
mod scheduled;
mod strange;
