//! Who must agree before an action runs: rules from the config, the strictest match wins, default ask.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::{ActionId, TargetId};
use super::proposal::{Proposal, ProposedStep, Risk};
use super::target::{Profile, Target};

/// What a rule demands, from the mildest to the strictest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn case(action: &'static str, risk: Risk) -> Example {
        Example {
            action: ActionId::of(action),
            target: TargetId::of("redis-test"),
            profile: Profile::Lab,
            risk,
        }
    }

    fn rule(name: &str, demand: Demand) -> Rule {
        Rule { name: name.into(), demand: Some(demand), ..Rule::default() }
    }

    #[test]
    fn without_rules_every_change_is_approved_and_above_low_risk_typed() {
        let policy = Policy::default();
        for (risk, demand) in [
            (Risk::Low, Demand::Approval),
            (Risk::Medium, Demand::Typed),
            (Risk::High, Demand::Typed),
            (Risk::Destructive, Demand::Typed),
        ] {
            assert_eq!(policy.rule_on_case(&case("unlink_keys", risk)).demand, demand, "{risk}");
        }
    }

    #[test]
    fn the_strictest_matching_rule_wins_whatever_the_order() {
        let automatic = Rule { risk_up_to: Some(Risk::Low), ..rule("low runs", Demand::Automatic) };
        let never = Rule {
            action: Some(ActionId::of("restart_redis")),
            ..rule("no restarts", Demand::Forbidden)
        };
        for rules in [vec![automatic.clone(), never.clone()], vec![never, automatic]] {
            let policy = Policy { rules, version: String::new() };
            assert_eq!(policy.rule_on_case(&case("restart_redis", Risk::Low)).rule, "no restarts");
            assert_eq!(
                policy.rule_on_case(&case("unpause_container", Risk::Low)).demand,
                Demand::Automatic
            );
            assert_eq!(policy.rule_on_case(&case("unlink_keys", Risk::High)).demand, Demand::Typed);
        }
    }

    #[test]
    fn every_given_field_must_match() {
        let rule = Rule {
            target: Some(TargetId::of("redis-test")),
            profile: Some(Profile::Lab),
            risk_up_to: Some(Risk::Medium),
            action: Some(ActionId::of("unlink_keys")),
            ..rule("narrow", Demand::Automatic)
        };
        assert!(rule.covers(&case("unlink_keys", Risk::Medium)));
        assert!(!rule.covers(&case("unlink_keys", Risk::High)));
        assert!(!rule.covers(&case("restart_redis", Risk::Low)));
        assert!(
            !rule.covers(&Example {
                profile: Profile::Production,
                ..case("unlink_keys", Risk::Low)
            })
        );
        assert!(
            !rule.covers(&Example {
                target: TargetId::of("cache"),
                ..case("unlink_keys", Risk::Low)
            })
        );
    }

    #[test]
    fn an_example_that_does_not_hold_names_the_rule_and_the_case() {
        let mut rule = Rule { risk_up_to: Some(Risk::Low), ..rule("low runs", Demand::Automatic) };
        assert_eq!(rule.broken_example(), None);
        rule.matches = vec![case("unlink_keys", Risk::High)];
        let text = rule.broken_example().unwrap();
        assert!(
            text.contains("`low runs` should match unlink_keys on redis-test at high risk"),
            "{text}"
        );
        rule.matches.clear();
        rule.does_not_match = vec![case("unlink_keys", Risk::Low)];
        assert!(rule.broken_example().unwrap().contains("should not match"));
    }

    #[test]
    fn a_plan_without_actions_is_forbidden() {
        let target = Target {
            id: TargetId::of("t"),
            engine: crate::domain::target::Engine::Redis,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: crate::domain::target::Thresholds::default(),
            verify_hold: std::time::Duration::ZERO,
        };
        assert_eq!(Policy::default().rule_on(&target, &[]).demand, Demand::Forbidden);
    }
}
