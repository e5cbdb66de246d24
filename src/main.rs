//! simctl.
fn main() {}
