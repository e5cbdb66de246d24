//! Who must agree before an action runs: rules from the config, the strictest match wins, default ask.

use serde::{Deserialize, Serialize};

use super::ids::{ActionId, TargetId};
use super::proposal::{Proposal, ProposedStep, Risk};
use super::target::{Profile, Target};

/// What a rule demands, from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Demand {
    /// Runs without a person; recorded as the policy's decision.
    Automatic,
    /// A person approves the fingerprint.
    Approval,
    /// A person approves and types the target's name.
    Typed,
    /// Never runs.
    Forbidden,
}

impl Demand {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Approval => "approval",
            Self::Typed => "typed",
            Self::Forbidden => "forbidden",
        }
    }
}

/// A demand, and the rule it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    pub demand: Demand,
    pub rule: String,
}

/// One rule: every given field must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    pub action: Option<ActionId>,
    pub target: Option<TargetId>,
    pub profile: Option<Profile>,
    /// Matches risks up to this one.
    pub risk_up_to: Option<Risk>,
    pub demand: Option<Demand>,
    /// Examples the rule must match, checked when the config loads.
    #[serde(default)]
    pub matches: Vec<Example>,
    /// Examples the rule must not match, checked when the config loads.
    #[serde(default)]
    pub does_not_match: Vec<Example>,
}

/// A case to try a rule on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub action: ActionId,
    pub target: TargetId,
    #[serde(default)]
    pub profile: Profile,
    pub risk: Risk,
}

/// All rules, with the version that proposals are bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub rules: Vec<Rule>,
    /// A digest of the rules: a changed policy voids older proposals.
    pub version: String,
}

impl Rule {
    fn covers(&self, case: &Example) -> bool {
        self.action.as_ref().is_none_or(|action| *action == case.action)
            && self.target.as_ref().is_none_or(|target| *target == case.target)
            && self.profile.is_none_or(|profile| profile == case.profile)
            && self.risk_up_to.is_none_or(|risk| case.risk <= risk)
    }

    /// The first example that shows the rule does not do what its author thinks.
    pub fn broken_example(&self) -> Option<String> {
        let describe = |e: &Example| format!("{} on {} at {} risk", e.action, e.target, e.risk);
        let missed = self.matches.iter().find(|case| !self.covers(case));
        let caught = self.does_not_match.iter().find(|case| self.covers(case));
        missed
            .map(|case| {
                format!("rule `{}` should match {} and does not", self.name, describe(case))
            })
            .or_else(|| {
                caught.map(|case| {
                    format!("rule `{}` should not match {} and does", self.name, describe(case))
                })
            })
    }
}

impl Policy {
    /// What is demanded for a whole plan: the strictest ruling of its steps.
    pub fn rule_on(&self, target: &Target, steps: &[ProposedStep]) -> Ruling {
        steps
            .iter()
            .map(|step| {
                self.rule_on_case(&Example {
                    action: step.action.clone(),
                    target: target.id.clone(),
                    profile: target.profile,
                    risk: step.risk,
                })
            })
            .max_by_key(|ruling| ruling.demand)
            .unwrap_or(Ruling { demand: Demand::Forbidden, rule: "a plan without actions".into() })
    }

    fn rule_on_case(&self, case: &Example) -> Ruling {
        let explicit = self
            .rules
            .iter()
            .filter(|rule| rule.covers(case))
            .filter_map(|rule| rule.demand.map(|demand| Ruling { demand, rule: rule.name.clone() }))
            .max_by_key(|ruling| ruling.demand);
        explicit.unwrap_or_else(|| default_ruling(case.risk))
    }
}

fn default_ruling(risk: Risk) -> Ruling {
    match risk {
        Risk::Low => {
            Ruling { demand: Demand::Approval, rule: "default: every change is approved".into() }
        }
        Risk::Medium | Risk::High | Risk::Destructive => Ruling {
            demand: Demand::Typed,
            rule: format!("default: {risk} risk wants the target's name typed"),
        },
    }
}

/// Why a decision about a proposal cannot be taken now, checked at the moment it counts.
pub fn typed_name_is_missing(proposal: &Proposal, typed: Option<&str>) -> bool {
    proposal.ruling.demand == Demand::Typed && typed != Some(proposal.target.as_str())
}
