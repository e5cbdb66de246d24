//! The console: everything a person sees and presses. Drawing is a pure function of what is known and where the
//! person is; `runner` is the only file with clocks and I/O.

pub mod answers;
pub mod cards;
pub mod chrome;
pub mod confirm;
pub mod console;
pub mod desk;
pub mod enabled;
pub mod errands;
#[cfg(test)]
pub(crate) mod example;
pub mod facts;
pub mod feed;
pub mod flows;
pub mod incidents;
pub mod inspected;
pub mod inspectors;
pub mod keymap;
pub mod log;
pub mod log_pane;
pub mod message;
pub mod outside;
pub mod overlays;
pub mod past;
pub mod probe;
pub mod readings;
pub mod record_answers;
pub mod recorder;
pub mod replay;
pub mod runner;
pub mod saved;
pub mod screens;
pub mod settings;
pub mod signals;
pub mod size;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod widgets;
