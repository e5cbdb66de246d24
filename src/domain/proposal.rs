//! An immutable plan of actions for one revision of one incident, and the fingerprint that names it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::ids::{ActionId, CauseId, Fingerprint, IncidentId, ProposalId, TargetId};
use super::policy::Ruling;
use super::words;

/// What can go wrong by doing it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    Low,
    Medium,
    High,
    /// Loses data or work that nothing brings back.
    Destructive,
}

impl Risk {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Destructive];

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Destructive => "destructive",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The typed arguments of an action, by name.
pub type Args = BTreeMap<String, Value>;

/// A consequence computed from the live server: "46,201 keys are removed".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Consequence {
    /// What is affected, in words that follow a number: `keys removed`, `sessions cut`.
    pub what: String,
    pub count: u64,
}

impl Consequence {
    /// So many of the same: `46,201 keys`.
    fn amount(&self, count: u64) -> String {
        let (noun, _) = self.what.split_once(' ').unwrap_or((&self.what, ""));
        match noun.strip_suffix('s') {
            Some("byte") => words::bytes(count),
            Some(one) => words::counted(count, one),
            None => format!("{} {noun}", words::count(count)),
        }
    }
}

/// `46,201 keys removed`, `1 session cut`, `48.0 MB freed`.
impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.what.split_once(' ').map_or("", |(_, rest)| rest);
        write!(f, "{} {rest}", self.amount(self.count))
    }
}

/// What exactly will run, on what, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// Every changing command, byte-exact, in order.
    pub commands: Vec<String>,
    /// What the approval binds besides the commands: the same names and values must be found again.
    pub scope: BTreeMap<String, String>,
    pub consequences: Vec<Consequence>,
    /// Facts a person should read before deciding (`the save before is 3 min old`).
    pub notes: Vec<String>,
}

impl Preview {
    /// Why what would run now is no longer what was shown, if so. Fewer things affected is no drift;
    /// more than a tenth more is.
    pub fn drift_from(&self, shown: &Self) -> Option<String> {
        for (name, was) in &shown.scope {
            let is = self.scope.get(name).map_or("gone", String::as_str);
            if is != was {
                return Some(format!("{name} was {was} and is now {is}"));
            }
        }
        for now in &self.consequences {
            let before =
                shown.consequences.iter().find(|c| c.what == now.what).map_or(0, |c| c.count);
            if now.count > before + before / 10 + 10 {
                return Some(format!("{now}, {} when it was shown", now.amount(before)));
            }
        }
        None
    }
}

/// How a step can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "how")]
pub enum Undo {
    /// Restores exactly what was there.
    Exact(String),
    /// Makes good, not the same.
    Compensating(String),
    /// Nothing brings it back.
    Impossible,
    /// There is nothing to take back.
    NotNeeded,
}

impl Undo {
    /// The sentence people read.
    pub fn describe(&self) -> String {
        match self {
            Self::Exact(how) => how.clone(),
            Self::Compensating(how) => format!("{how} (not exactly as before)"),
            Self::Impossible => "cannot be undone".into(),
            Self::NotNeeded => "nothing to undo".into(),
        }
    }
}

/// One action of a proposal, with its arguments fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProposedStep {
    pub action: ActionId,
    #[schema(value_type = Object)]
    pub args: Args,
    pub risk: Risk,
    pub preview: Preview,
    pub undo: Undo,
    /// What will be measured afterwards.
    pub verify: String,
}

/// What the agent wants to be allowed to do; the engine adds identity, times and fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Draft {
    pub cause: CauseId,
    pub steps: Vec<ProposedStep>,
    /// Why these actions and no others.
    pub why: String,
    pub effect: String,
    /// What happens if nobody approves.
    pub if_not: String,
    /// What the target is right now (container id, start time, run id): another server is another proposal.
    pub target_identity: String,
}

impl Draft {
    /// The highest risk of any step.
    pub fn risk(&self) -> Risk {
        self.steps.iter().map(|step| step.risk).max().unwrap_or(Risk::Low)
    }

    /// The actions' names in order, for one line of text.
    pub fn actions(&self) -> String {
        let names: Vec<_> = self.steps.iter().map(|step| step.action.as_str()).collect();
        names.join(", ")
    }
}

/// A draft that was put before a person (or the policy).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    pub id: ProposalId,
    pub incident: IncidentId,
    /// The incident's revision it was made for; another revision voids it.
    pub revision: u32,
    pub target: TargetId,
    pub draft: Draft,
    pub risk: Risk,
    /// What the policy says about it, with the rule that said so.
    pub ruling: Ruling,
    pub fingerprint: Fingerprint,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// SHA-256 over everything an approval is bound to.
pub fn fingerprint(
    incident: IncidentId,
    revision: u32,
    target: &TargetId,
    draft: &Draft,
    policy_version: &str,
) -> Fingerprint {
    let bound = serde_json::json!({
        "incident": incident, "revision": revision, "target": target, "draft": draft, "policy": policy_version,
    });
    Fingerprint(hex(&Sha256::digest(bound.to_string())))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Ids;

    #[test]
    fn consequences_read_as_people_say_them() {
        for (count, what, told) in [
            (46_201, "keys removed", "46,201 keys removed"),
            (1, "clients disconnected", "1 client disconnected"),
            (0, "keys removed", "0 keys removed"),
            (50_347_440, "bytes freed", "48.0 MB freed"),
            (900, "bytes of buffers freed", "900 bytes of buffers freed"),
            (1, "of them losing written work", "1 of them losing written work"),
        ] {
            assert_eq!(Consequence { what: what.into(), count }.to_string(), told);
        }
    }

    fn preview(scope: &[(&str, &str)], count: u64) -> Preview {
        Preview {
            commands: vec!["redis-cli UNLINK a".into()],
            scope: scope.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            consequences: vec![Consequence { what: "keys removed".into(), count }],
            notes: vec![],
        }
    }

    #[test]
    fn another_scope_or_clearly_more_is_drift_and_less_is_not() {
        let shown = preview(&[("prefix", "cart:")], 1_000);
        let cases: &[(Preview, Option<&str>)] = &[
            (preview(&[("prefix", "cart:")], 1_000), None),
            (preview(&[("prefix", "cart:")], 10), None),
            (preview(&[("prefix", "cart:")], 1_110), None),
            (
                preview(&[("prefix", "cart:")], 1_111),
                Some("1,111 keys removed, 1,000 keys when it was shown"),
            ),
            (preview(&[("prefix", "job:")], 1_000), Some("prefix was cart: and is now job:")),
            (preview(&[], 1_000), Some("prefix was cart: and is now gone")),
            (preview(&[("prefix", "cart:"), ("more", "x")], 1_000), None),
        ];
        for (now, expected) in cases {
            assert_eq!(now.drift_from(&shown).as_deref(), *expected, "{now:?}");
        }
        let mut new_kind = shown.clone();
        new_kind.consequences.push(Consequence { what: "sessions cut".into(), count: 11 });
        assert!(new_kind.drift_from(&shown).is_some());
    }

    #[test]
    fn the_fingerprint_is_bound_to_everything_the_person_saw() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut ids = Ids::seeded(3);
        let (incident, other) = (IncidentId(ids.next(at)), IncidentId(ids.next(at)));
        let draft = Draft {
            cause: CauseId::of("leak-oom"),
            steps: vec![ProposedStep {
                action: ActionId::of("unlink_keys"),
                args: Args::from([("prefix".into(), "cart:".into())]),
                risk: Risk::High,
                preview: preview(&[("prefix", "cart:")], 5),
                undo: Undo::Exact("put back".into()),
                verify: "writes work".into(),
            }],
            why: "it leaks".into(),
            effect: "memory falls".into(),
            if_not: "writes stay refused".into(),
            target_identity: "abc@1".into(),
        };
        let target = TargetId::of("redis-test");
        let print = fingerprint(incident, 1, &target, &draft, "v1");
        assert_eq!(print, fingerprint(incident, 1, &target, &draft, "v1"));
        let changed = |change: &dyn Fn(&mut Draft)| {
            let mut draft = draft.clone();
            change(&mut draft);
            fingerprint(incident, 1, &target, &draft, "v1")
        };
        let others = [
            fingerprint(other, 1, &target, &draft, "v1"),
            fingerprint(incident, 2, &target, &draft, "v1"),
            fingerprint(incident, 1, &TargetId::of("cache"), &draft, "v1"),
            fingerprint(incident, 1, &target, &draft, "v2"),
            changed(&|d| d.target_identity = "abc@2".into()),
            changed(&|d| d.steps[0].action = ActionId::of("clear_redis_cache")),
            changed(&|d| {
                d.steps[0].args.insert("prefix".into(), "job:".into());
            }),
            changed(&|d| d.steps[0].preview.commands.push("redis-cli FLUSHALL".into())),
            changed(&|d| d.steps[0].preview.consequences[0].count = 6),
            changed(&|d| d.steps.clear()),
        ];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(*other, print, "case {n}");
        }
    }
}
