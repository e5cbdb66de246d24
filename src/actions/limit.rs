//! Limits of what a server runs in, put back to what they were when it was healthy; never lowered.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Op, succeeded};
use super::checks::{announced, bytes, kept, measured, unmeasured};
use super::unit::inspect;
use super::{Action, ActionError, Descriptor, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Undo};
use crate::domain::unit::{CpuLimit, UnitState, UnitStatus, pids_of, pids_text};
use crate::targets::Server;

const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// One of the limits, with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Cpu(CpuLimit),
    Pids(Option<u32>),
    /// In bytes.
    Memory(u64),
    Files(u64),
}

/// An action about one kind of limit.
#[derive(Clone, Copy)]
pub(super) struct Resetting {
    pub(super) descriptor: &'static Descriptor,
    /// Reads the kind's value out of its text.
    pub(super) parse: fn(&str) -> Option<Limit>,
}

impl Limit {
    pub(super) fn cpu(text: &str) -> Option<Self> {
        CpuLimit::parse(text).map(Self::Cpu)
    }

    pub(super) fn pids(text: &str) -> Option<Self> {
        pids_of(text).map(Self::Pids)
    }

    pub(super) fn memory(text: &str) -> Option<Self> {
        text.parse().ok().filter(|bytes| *bytes > 0).map(Self::Memory)
    }

    pub(super) fn files(text: &str) -> Option<Self> {
        text.parse().ok().filter(|most| *most > 0).map(Self::Files)
    }

    fn text(self) -> String {
        match self {
            Self::Cpu(limit) => limit.to_string(),
            Self::Pids(limit) => pids_text(limit),
            Self::Memory(limit) | Self::Files(limit) => limit.to_string(),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Cpu(limit) => limit.words(),
            Self::Pids(None) => "any number of processes".into(),
            Self::Pids(Some(limit)) => format!("{limit} processes"),
            Self::Memory(most) => format!("{} of memory", bytes(most)),
            Self::Files(most) => format!("{most} open files"),
        }
    }

    fn op(self) -> Op {
        match self {
            Self::Cpu(limit) => Op::Cpu(limit),
            Self::Pids(limit) => Op::Pids(limit),
            Self::Memory(bytes) => Op::Memory(bytes),
            Self::Files(most) => Op::Files(most),
        }
    }

    /// Whether it allows less than `other`.
    fn is_below(self, other: Self) -> bool {
        match (self, other) {
            (Self::Cpu(now), Self::Cpu(wanted)) => now.is_below(wanted),
            (Self::Pids(Some(now)), Self::Pids(wanted)) => wanted.is_none_or(|wanted| now < wanted),
            (Self::Memory(now), Self::Memory(wanted)) | (Self::Files(now), Self::Files(wanted)) => {
                now < wanted
            }
            (Self::Cpu(_) | Self::Pids(_) | Self::Memory(_) | Self::Files(_), _) => false,
        }
    }

    /// What the unit has of this kind.
    fn of(self, state: &UnitState) -> Option<Self> {
        Some(match self {
            Self::Cpu(_) => Self::Cpu(state.limits?.cpu),
            Self::Pids(_) => Self::Pids(state.limits?.pids),
            Self::Memory(_) => Self::Memory(state.memory_limit?),
            Self::Files(_) => Self::Files(state.files?.soft),
        })
    }
}

#[async_trait]
impl Action for Resetting {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = self.wanted(args)?;
        let (state, now) = self.lowered(server, wanted).await?;
        Ok(Preview {
            commands: vec![self.channel(server).spell(&Call::Runtime(wanted.op()))],
            scope: [
                ("unit".into(), state.identity()),
                ("now".into(), now.text()),
                ("limit".into(), wanted.text()),
            ]
            .into(),
            consequences: Vec::new(),
            notes: vec![format!(
                "from {} to {}; nothing is restarted",
                now.words(),
                wanted.words()
            )],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("sets the limit to what it was before".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (state, now) = self.lowered(server, self.wanted(args)?).await?;
        Ok(Saved::from([("unit".into(), json!(life(&state))), ("limit".into(), json!(now.text()))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = self.wanted(args)?;
        self.lowered(server, wanted).await?;
        let (channel, call) = (self.channel(server), Call::Runtime(wanted.op()));
        report(announced(channel.spell(&call)));
        channel.perform(&call, CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let checked = self.checks(server, args, saved).await;
        checked.unwrap_or_else(|error| vec![unmeasured("limit", &error)])
    }

    fn undo_commands(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<String> {
        let spelled = |before: Limit| self.channel(server).spell(&Call::Runtime(before.op()));
        self.before(saved).map(spelled).into_iter().collect()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let (wanted, before) = (self.wanted(args)?, self.before(saved)?);
        let now = wanted.of(&inspect(server).await?);
        if now == Some(before) {
            return Ok(format!("it may take {} already", before.words()));
        }
        if now != Some(wanted) {
            return Err(ActionError::Precondition(
                "the limit was changed by somebody else and stays".into(),
            ));
        }
        let call = Call::Runtime(before.op());
        let output = self.channel(server).perform(&call, CALL_DEADLINE).await?;
        if succeeded(&output) {
            return Ok(format!("it may take {} again", before.words()));
        }
        Err(ActionError::Precondition(output.stderr))
    }
}

impl Resetting {
    fn wanted(self, args: &Args) -> Result<Limit, ActionError> {
        let text: String = Given::to(self.descriptor, args)?.required("limit", "a limit")?;
        (self.parse)(&text).ok_or_else(|| {
            wrong("limit", format!("`{text}` is none; give it as the baseline has it"))
        })
    }

    /// The unit and its present limit, when that is below what is wanted.
    async fn lowered(
        self,
        server: &Server,
        wanted: Limit,
    ) -> Result<(UnitState, Limit), ActionError> {
        let state = inspect(server).await?;
        let name = &server.target.id;
        let Some(now) = wanted.of(&state) else {
            return Err(ActionError::Precondition(format!("{name} has no limits of its own")));
        };
        if !now.is_below(wanted) {
            return Err(ActionError::Precondition(format!(
                "{name} may take {} already, no less than {}",
                now.words(),
                wanted.words()
            )));
        }
        Ok((state, now))
    }

    async fn checks(
        self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<Vec<Check>, ActionError> {
        let (wanted, before): (_, String) = (self.wanted(args)?, kept(saved, "unit")?);
        let state = inspect(server).await?;
        let now = wanted.of(&state);
        let reads = now.map_or_else(|| "not known".into(), Limit::words);
        // One that was not running may have been started since, which is another step's business.
        let same = state.identity() == before || state.id == before;
        let life = if same { "the same as before" } else { "another one" };
        Ok(vec![
            measured("the limit reads back", now == Some(wanted), reads),
            measured("same container, not restarted", same, life),
        ])
    }

    fn before(self, saved: &Saved) -> Result<Limit, ActionError> {
        let text: String = kept(saved, "limit")?;
        (self.parse)(&text).ok_or_else(|| {
            ActionError::Precondition(format!("what was saved is no limit: `{text}`"))
        })
    }

    fn channel(self, server: &Server) -> Channel<'_> {
        Channel::new(server, self.descriptor.id)
    }
}

/// What must be the same afterwards: this life of the unit, or the unit where none was on.
fn life(state: &UnitState) -> String {
    match state.status {
        UnitStatus::Running | UnitStatus::Paused => state.identity(),
        UnitStatus::Restarting | UnitStatus::Exited | UnitStatus::Absent => state.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lower_limit_is_below() {
        let cpu = |text| Limit::cpu(text).unwrap();
        assert!(cpu("1000/100000").is_below(cpu("200000/100000")));
        assert!(!cpu("200000/100000").is_below(cpu("100000/50000")));
        let pids = |text| Limit::pids(text).unwrap();
        assert!(pids("6").is_below(pids("128")) && pids("6").is_below(pids("none")));
        assert!(!pids("none").is_below(pids("128")) && !pids("128").is_below(pids("128")));
        assert!(!pids("6").is_below(cpu("none")), "another kind");
        let memory = |text| Limit::memory(text).unwrap();
        assert!(memory("1000").is_below(memory("2000")) && !memory("2").is_below(memory("2")));
        assert!(!memory("1000").is_below(pids("2000")), "another kind");
        assert_eq!(Limit::memory("0"), None);
        assert_eq!(Limit::cpu("128"), None);
    }
}
