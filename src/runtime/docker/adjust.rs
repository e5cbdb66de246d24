//! Networks and limits of a running container. The engine says "done" to limits that it ignores, so what it was
//! told is read back.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{
    ContainerStatsResponse, ContainerUpdateBody, EndpointSettings, HostConfig,
    NetworkConnectRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::StatsOptionsBuilder;
use futures::TryStreamExt;

use super::{ANSWER, bounded};
use crate::domain::unit::pids_text;
use crate::ports::runtime::{
    Attachment, Change, CpuLimit, RuntimeError, Unit, UnitLimits, UnitState, UnitUsage,
};

/// What the engine takes for "no limit": zero and nothing leave the limit as it is.
const UNLIMITED: i64 = -1;

pub(super) fn verb(change: Change<'_>) -> &'static str {
    match change {
        Change::Connect { .. } => "connect the network of",
        Change::Disconnect { .. } => "disconnect the network of",
        Change::Cpu(_) => "change the CPU limit of",
        Change::Pids(_) => "change the process limit of",
        Change::Memory(_) => "change the memory limit of",
        Change::Files(_) => "change the limit of open files of",
    }
}

/// The command line up to the container's name.
pub(super) fn words(change: Change<'_>) -> Vec<String> {
    let network = |verb: &str| vec!["docker".to_owned(), "network".into(), verb.into()];
    let update = |options: Vec<String>| {
        ["docker".to_owned(), "update".into()].into_iter().chain(options).collect()
    };
    match change {
        Change::Connect { network: name, aliases } => {
            let mut words = network("connect");
            words.extend(aliases.iter().flat_map(|alias| ["--alias".to_owned(), alias.clone()]));
            words.push(name.to_owned());
            words
        }
        Change::Disconnect { network: name } => {
            let mut words = network("disconnect");
            words.push(name.to_owned());
            words
        }
        Change::Cpu(limit) => update(vec![
            format!("--cpu-period={}", limit.period_us),
            format!("--cpu-quota={}", limit.quota_us.map_or(UNLIMITED, i64::from)),
        ]),
        Change::Pids(limit) => {
            update(vec![format!("--pids-limit={}", limit.map_or(UNLIMITED, i64::from))])
        }
        Change::Memory(bytes) => update(vec![format!("--memory={bytes}")]),
        Change::Files(_) => update(vec!["(not possible)".into()]),
    }
}

pub(super) async fn change(
    docker: &Docker,
    unit: &Unit,
    id: &str,
    change: Change<'_>,
) -> Result<(), RuntimeError> {
    let verb = verb(change);
    match change {
        Change::Connect { network, aliases } => {
            let request = NetworkConnectRequest {
                container: id.to_owned(),
                endpoint_config: Some(EndpointSettings {
                    aliases: Some(aliases.to_vec()),
                    ..Default::default()
                }),
            };
            bounded(verb, unit, ANSWER, docker.connect_network(network, request)).await
        }
        Change::Disconnect { network } => {
            let request = NetworkDisconnectRequest { container: id.to_owned(), force: None };
            bounded(verb, unit, ANSWER, docker.disconnect_network(network, request)).await
        }
        Change::Cpu(limit) => {
            let body = ContainerUpdateBody {
                cpu_period: Some(i64::from(limit.period_us)),
                cpu_quota: Some(limit.quota_us.map_or(UNLIMITED, i64::from)),
                ..Default::default()
            };
            bounded(verb, unit, ANSWER, docker.update_container(id, body)).await
        }
        Change::Pids(limit) => {
            let body = ContainerUpdateBody {
                pids_limit: Some(limit.map_or(UNLIMITED, i64::from)),
                ..Default::default()
            };
            bounded(verb, unit, ANSWER, docker.update_container(id, body)).await
        }
        Change::Files(_) => Err(RuntimeError::Failed {
            verb,
            unit: unit.name.clone(),
            source: anyhow::anyhow!("a container's is set when it is made"),
        }),
        Change::Memory(bytes) => {
            // The limit with swap stays as it was made, so this one cannot be raised above that.
            let memory = Some(i64::try_from(bytes).unwrap_or(i64::MAX));
            let body = ContainerUpdateBody { memory, ..Default::default() };
            bounded(verb, unit, ANSWER, docker.update_container(id, body)).await
        }
    }
}

/// Whether the container is now as it was told to be.
pub(super) fn read_back(
    unit: &Unit,
    change: Change<'_>,
    seen: &UnitState,
) -> Result<(), RuntimeError> {
    let is_on =
        |name: &str| seen.networks.iter().flatten().any(|attached| attached.network == name);
    let words =
        |limits: UnitLimits| format!("{}, {} processes", limits.cpu, pids_text(limits.pids));
    let (is_so, now) = match change {
        Change::Connect { network, .. } => (is_on(network), "not on that network".to_owned()),
        Change::Disconnect { network } => (!is_on(network), "still on that network".to_owned()),
        Change::Cpu(limit) => {
            let now = seen.limits.map(|limits| limits.cpu);
            let is_so = now.is_some_and(|now| now.percent() == limit.percent());
            (is_so, seen.limits.map_or_else(String::new, words))
        }
        Change::Pids(limit) => {
            let is_so = seen.limits.is_some_and(|now| now.pids == limit);
            (is_so, seen.limits.map_or_else(String::new, words))
        }
        // Nothing was told to it.
        Change::Files(_) => (false, "as it was made".into()),
        Change::Memory(bytes) => {
            let now = seen.memory_limit.map_or_else(|| "none".into(), |now| now.to_string());
            (seen.memory_limit == Some(bytes), now)
        }
    };
    if is_so {
        return Ok(());
    }
    Err(RuntimeError::Failed {
        verb: verb(change),
        unit: unit.name.clone(),
        source: anyhow::anyhow!("the engine said done, and it is {now}"),
    })
}

pub(super) async fn usage(
    docker: &Docker,
    unit: &Unit,
    id: &str,
) -> Result<Option<UnitUsage>, RuntimeError> {
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let mut answer = Box::pin(docker.stats(id, Some(options)));
    let seen = bounded("count the use of", unit, ANSWER, answer.try_next()).await?;
    Ok(seen.and_then(usage_of))
}

fn usage_of(seen: ContainerStatsResponse) -> Option<UnitUsage> {
    let throttling = seen.cpu_stats?.throttling_data?;
    Some(UnitUsage {
        periods: throttling.periods?,
        throttled_periods: throttling.throttled_periods?,
        throttled_ms: throttling.throttled_time.unwrap_or_default() / 1_000_000,
        pids: seen.pids_stats.and_then(|pids| pids.current),
    })
}

/// The networks with the names given by people; the engine adds the beginning of the id to them.
pub(super) fn attachments(
    networks: HashMap<String, EndpointSettings>,
    id: &str,
) -> Vec<Attachment> {
    let mut attached: Vec<Attachment> = networks
        .into_iter()
        .map(|(network, endpoint)| {
            let mut aliases = endpoint.aliases.unwrap_or_default();
            aliases.retain(|alias| !id.starts_with(alias.as_str()));
            Attachment { network, aliases }
        })
        .collect();
    attached.sort_by(|one, other| one.network.cmp(&other.network));
    attached
}

/// The network the container was made for, where it is one that can be attached again.
pub(super) fn home(host: &HostConfig) -> Option<String> {
    match host.network_mode.as_deref()? {
        "default" => Some("bridge".to_owned()),
        mode if matches!(mode, "" | "host" | "none") || mode.starts_with("container:") => None,
        mode => Some(mode.to_owned()),
    }
}

pub(super) fn limits(host: &HostConfig) -> UnitLimits {
    // `--cpus` is kept apart from the quota, in billionths of a core.
    let cpu = match host.nano_cpus.filter(|nano| *nano > 0) {
        Some(nano) => CpuLimit::of(Some(nano / 10_000), None),
        None => CpuLimit::of(host.cpu_quota, host.cpu_period),
    };
    let pids = host.pids_limit.and_then(|most| u32::try_from(most).ok()).filter(|most| *most > 0);
    UnitLimits { cpu, pids }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_however_they_were_given() {
        let of = |nano, quota, pids| {
            limits(&HostConfig {
                nano_cpus: nano,
                cpu_quota: quota,
                pids_limit: pids,
                ..Default::default()
            })
        };
        assert_eq!(of(Some(1_500_000_000), Some(0), None).cpu, CpuLimit::of(Some(150_000), None));
        assert_eq!(of(None, Some(1_000), Some(64)).cpu.percent(), Some(1.0));
        assert_eq!(of(Some(0), Some(-1), Some(0)), of(None, None, Some(-1)));
        assert_eq!(of(None, None, Some(64)).pids, Some(64));
    }

    #[test]
    fn only_a_network_that_can_be_attached_is_home() {
        let of = |mode: &str| {
            home(&HostConfig { network_mode: Some(mode.to_owned()), ..Default::default() })
        };
        assert_eq!(of("simctl-lab").as_deref(), Some("simctl-lab"));
        assert_eq!(of("default").as_deref(), Some("bridge"));
        for mode in ["host", "none", "container:abc", ""] {
            assert_eq!(of(mode), None, "{mode}");
        }
    }

    #[test]
    fn what_the_engine_only_said_is_an_error() {
        let unit = Unit { name: "redis-test".into(), lab: None, client: Vec::new() };
        let attached = Attachment { network: "lab".into(), aliases: Vec::new() };
        let limits = UnitLimits { cpu: CpuLimit::of(Some(200_000), None), pids: Some(128) };
        let seen = UnitState {
            networks: Some(vec![attached]),
            limits: Some(limits),
            memory_limit: Some(1 << 20),
            ..UnitState::default()
        };
        let said = |change| read_back(&unit, change, &seen).is_ok();
        assert!(said(Change::Connect { network: "lab", aliases: &[] }));
        assert!(!said(Change::Disconnect { network: "lab" }));
        assert!(said(Change::Cpu(limits.cpu)) && !said(Change::Cpu(CpuLimit::of(None, None))));
        assert!(said(Change::Pids(Some(128))) && !said(Change::Pids(None)));
        assert!(said(Change::Memory(1 << 20)) && !said(Change::Memory(1 << 21)));
    }
}
