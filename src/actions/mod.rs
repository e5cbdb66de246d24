//! Remedies: one file each with descriptor, preview, run, verify, undo. [`ALL`] is the closed set.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::execution::{Check, Output, PhaseLine};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

/// Every action there is.
pub const ALL: &[&dyn Action] = &[];

/// What menus, CLI, policy and models need to know about an action.
#[derive(Debug)]
pub struct Descriptor {
    pub id: &'static str,
    /// Other names accepted when parsing.
    pub aliases: &'static [&'static str],
    /// `None`: any target with a runtime.
    pub engine: Option<Engine>,
    /// Works only where simctl can reach what the server runs in.
    pub needs_runtime: bool,
    pub risk: Risk,
    pub title: &'static str,
    /// One or two sentences: what it does and when it is right.
    pub about: &'static str,
    pub args: &'static [Arg],
    /// What is measured afterwards, in words.
    pub verify: &'static str,
}

/// An argument of an action.
#[derive(Debug)]
pub struct Arg {
    pub name: &'static str,
    pub about: &'static str,
}

/// Why an action does not run, or how it broke.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("argument {name}: {reason}")]
    Argument { name: &'static str, reason: String },
    /// The world is not as the action needs it; nothing was done.
    #[error("{0}")]
    Precondition(String),
    #[error("{doing}")]
    Failed {
        doing: String,
        #[source]
        source: anyhow::Error,
    },
}

/// Where a running action reports what it does, as it happens.
pub type Report<'a> = &'a (dyn Fn(PhaseLine) + Send + Sync);

/// What undo needs, saved before acting.
pub type Saved = BTreeMap<String, Value>;

/// A remedy.
#[async_trait]
pub trait Action: Send + Sync {
    fn descriptor(&self) -> &'static Descriptor;

    /// Checks arguments and precondition against the live server and computes what would happen. Read-only.
    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError>;

    /// The risk of this use of it; never below the descriptor's.
    fn risk(&self, _server: &Server, _args: &Args, _preview: &Preview) -> Risk {
        self.descriptor().risk
    }

    /// How this use of it is undone.
    fn undo_kind(&self, args: &Args) -> Undo;

    /// Saves what `undo` needs. Called after the approval, right before `run`, and stored before `run` starts.
    async fn save(&self, _server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        Ok(Saved::new())
    }

    /// Does it, precondition in the same statement as the effect. A command's failure is an `Output`.
    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError>;

    /// Measures whether the cause is gone and nothing else was harmed. The base check (a fresh client reads and
    /// writes, health) is not its business.
    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check>;

    /// Takes it back from what was saved. Says in one sentence what was restored.
    async fn undo(
        &self,
        _server: &Server,
        _args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        Err(ActionError::Precondition("this action cannot be undone".into()))
    }
}

/// The action of that name or alias.
pub fn find(name: &str) -> Option<&'static dyn Action> {
    ALL.iter().copied().find(|action| {
        let d = action.descriptor();
        d.id == name || d.aliases.contains(&name)
    })
}
