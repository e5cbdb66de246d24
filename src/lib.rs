//! simctl, an operator console for Redis and PostgreSQL.
//!
//! It watches servers, opens an incident when a client is hurt or soon will be, finds the cause with evidence,
//! proposes the least destructive remedy, waits for a person, carries it out, proves that clients are content
//! again, and records all of it.
//!
//! # The flow
//!
//! ```text
//! targets/ probes ──Sampled──▶┐                   ┌─▶ store/    events + rows, one transaction
//! runtime/ events ──Runtime──▶│  engine/ inbox    │
//! cli, api        ──Command──▶│─▶ domain::step ───┼─▶ watch<Arc<Snapshot>>  ─▶ cli, api (readers)
//! agent/          ─Diagnosed─▶│  (pure, ordered)  │
//! actions/        ─Finished──▶┘                   └─▶ effects ─▶ engine/perform ─▶ the world
//! ```
//!
//! One inbox gives one order. [`domain::step::step`] decides and does no I/O; the engine makes the events
//! durable, publishes a snapshot, and only then performs the effects, whose results come back as inputs.
//!
//! # Where things are
//!
//! | folder | holds |
//! |---|---|
//! | [`domain`] | facts and decisions: no I/O, no clock, no randomness |
//! | [`detect`] | one pure function per symptom: window in, verdict out |
//! | [`diagnose`] | evidence in, graded causes out, pure |
//! | [`agent`] | asks, diagnoses, chooses from the playbook, previews; [`agent::model`] a model in its place, checked |
//! | [`actions`] | one file per remedy; `ALL` is the closed set |
//! | [`faults`] | one file per way to break the lab, and the detached watchdog |
//! | [`inspect`] | one file per read-only question; `ALL` is the list |
//! | [`database`] | the workbench: a person's statements and the management jobs of a PostgreSQL |
//! | [`targets`] | one folder per kind of server: connect, probe, gather facts |
//! | [`runtime`] | containers and local processes |
//! | [`lab`] | our own servers to break |
//! | [`store`] | PostgreSQL and SQLite, the journal, the audit |
//! | [`engine`] | the loop, pollers, effects, verification, drills |
//! | [`tui`] | the console |
//! | [`api`] | everything over HTTP: the control socket, and the network where it is wanted |
//! | [`mcp`] | what somebody else's agent may see and propose |
//! | [`narrate`], [`report`], [`metrics`] | events in plain words, the post-mortem, the figures |
//! | [`config`], [`cli`], [`telemetry`] | the rest of the edge |
//! | [`ports`] | the traits between them |
//!
//! # What never happens
//!
//! - An action without a stored, unexpired, unused approval of exactly its fingerprint, or a stored decision of
//!   the policy that says *automatic*.
//! - An action or an injection before its start is durable.
//! - A second open incident for the same target and symptom; a second execution acting on the same target.
//! - An injection into anything but simctl's own lab, or one that outlives its deadline.
//! - A shell line, SQL built from values, a secret in a log.
//! - I/O or a clock in `domain`, `detect` or `diagnose`.

pub mod actions;
pub mod agent;
pub mod api;
pub mod cli;
pub mod config;
pub mod database;
pub mod detect;
pub mod diagnose;
pub mod domain;
pub mod engine;
pub mod faults;
pub mod inspect;
pub mod lab;
pub mod mcp;
pub mod metrics;
pub mod narrate;
pub mod ports;
pub mod report;
pub mod runtime;
pub mod store;
pub mod targets;
pub mod telemetry;
pub mod tui;
