//! The service as scripts and dashboards use it: the built binary on a real lab, plain HTTP, WebSockets.

mod client;
mod process;
