//! Disconnects chosen Redis clients: the writer that fills the memory, the reader that does not read.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Words, within};
use super::checks::{announced, bytes, costs, kept, measured, unmeasured};
use super::redis::Redis;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::diagnose::facts::RedisClient;
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "kill_redis_clients";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Disconnect chosen clients",
    about: "Closes the connections with these ids, one by one. Right when named clients are the cause: one that \
            writes without end, or one that does not read its replies.",
    args: &[
        Arg::wholes("ids", "client ids as CLIENT LIST gives them"),
        Arg::whole("min_buffers", "spare those whose buffers hold fewer bytes by now").optional(),
        Arg::whole("min_idle_s", "spare those that did something within so many seconds")
            .optional(),
    ],
    needs: &[Need::Redis(&["client|kill", "client|list", "info"])],
    verify: "these clients are gone, and none like them is back doing the same",
};

/// See the module.
#[derive(Debug)]
pub(super) struct KillRedisClients;

/// What is remembered of a client that was disconnected, to know it when it comes back.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Victim {
    id: u64,
    name: String,
    host: String,
    user: String,
    cmd: String,
    /// What its buffers held, when it was disconnected for that.
    #[serde(default)]
    buffers: Option<u64>,
    /// It was disconnected for doing nothing.
    #[serde(default)]
    was_idle: bool,
}

impl Victim {
    fn of(client: &RedisClient, wanted: &Wanted) -> Self {
        Self {
            buffers: wanted.min_buffers.map(|_| buffers(client)),
            was_idle: wanted.min_idle_s.is_some(),
            id: client.id,
            name: client.name.clone(),
            host: host(&client.addr).into(),
            user: client.user.clone(),
            cmd: client.cmd.clone(),
        }
    }

    /// The same program doing the same: ids only grow, so a higher one came later.
    fn is_back_as(&self, client: &RedisClient, highest: u64) -> bool {
        let same = client.id > highest
            && client.name == self.name
            && client.user == self.user
            && host(&client.addr) == self.host
            && !is_ours(client);
        same && match self.buffers {
            // Asking for something is no harm; not reading it is.
            Some(held) => buffers(client) > held / 2,
            None => client.cmd == self.cmd,
        }
    }
}

fn buffers(client: &RedisClient) -> u64 {
    client.omem + client.qbuf
}

/// What was ordered.
struct Wanted {
    ids: Vec<u64>,
    min_buffers: Option<u64>,
    min_idle_s: Option<u64>,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let mut ids: Vec<u64> = given.required("ids", "a list of client ids, like [12, 15]")?;
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err(wrong("ids", "names no client"));
        }
        Ok(Self {
            ids,
            min_buffers: given.optional("min_buffers", "a number of bytes")?,
            min_idle_s: given.optional("min_idle_s", "a number of seconds")?,
        })
    }

    /// One of those named that still is what it was named for.
    fn takes(&self, client: &RedisClient) -> bool {
        self.ids.contains(&client.id)
            && self.min_buffers.is_none_or(|least| buffers(client) >= least)
            && self.min_idle_s.is_none_or(|least| client.idle_s >= least)
    }
}

fn host(addr: &str) -> &str {
    addr.rsplit_once(':').map_or(addr, |(host, _)| host)
}

fn is_ours(client: &RedisClient) -> bool {
    client.name.starts_with("simctl/") || client.name == "simctl"
}

/// Why this client is never disconnected, if so.
fn protected(client: &RedisClient) -> Option<&'static str> {
    let has = |flag: char| client.flags.contains(flag);
    if is_ours(client) {
        Some("is one of simctl's own")
    } else if has('S') || has('M') {
        Some("is a replica or the primary")
    } else if has('O') {
        Some("is a monitor")
    } else if has('P') {
        Some("is a subscriber")
    } else {
        None
    }
}

/// The chosen clients that are still there. An id never comes again while the server runs, so the id alone is the
/// same client.
async fn chosen(redis: &mut Redis, wanted: &Wanted) -> Result<Vec<RedisClient>, ActionError> {
    let mut clients = redis.clients().await?;
    clients.retain(|client| wanted.takes(client));
    for client in &clients {
        if let Some(reason) = protected(client) {
            return Err(ActionError::Precondition(format!(
                "client {} ({}) {reason} and is not disconnected",
                client.id, client.addr
            )));
        }
    }
    if clients.is_empty() {
        return Err(ActionError::Precondition(
            "none of these clients is connected any more and as it was".into(),
        ));
    }
    Ok(clients)
}

/// TYPE and SKIPME guard in the same command that nobody else is hit.
fn kills(ids: impl Iterator<Item = u64>) -> Call {
    let kill = |id: u64| {
        let id = id.to_string();
        Words::of(["CLIENT", "KILL", "ID", &id, "TYPE", "normal", "SKIPME", "yes"])
    };
    Call::Redis(ids.map(kill).collect())
}

#[async_trait]
impl Action for KillRedisClients {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, "look at the clients", async {
            let mut redis = Redis::open(server, ID).await?;
            let clients = chosen(&mut redis, &wanted).await?;
            let info = redis.info().await?;
            let channel = Channel::new(server, ID);
            let spelled = |client: &RedisClient| channel.spell(&kills(std::iter::once(client.id)));
            let named: Vec<String> = wanted.ids.iter().map(u64::to_string).collect();
            Ok(Preview {
                commands: clients.iter().map(spelled).collect(),
                scope: [
                    ("clients".into(), named.join(", ")),
                    ("server run".into(), info.text("run_id").into()),
                ]
                .into(),
                consequences: vec![
                    costs(clients.len() as u64, "clients disconnected"),
                    costs(clients.iter().map(|c| c.total_mem).sum(), "bytes of buffers freed"),
                ],
                notes: clients.iter().map(describe).collect(),
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        let mut redis = Redis::open(server, ID).await?;
        let chosen = chosen(&mut redis, &wanted).await?;
        let victims: Vec<_> = chosen.iter().map(|client| Victim::of(client, &wanted)).collect();
        let highest = redis.clients().await?.iter().map(|client| client.id).max().unwrap_or(0);
        Ok(Saved::from([("victims".into(), json!(victims)), ("highest_id".into(), json!(highest))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        let channel = Channel::new(server, ID);
        let clients = within(LOOK_DEADLINE, "look at the clients", async {
            chosen(&mut Redis::open(server, ID).await?, &wanted).await
        })
        .await?;
        let mut whole = Output::default();
        for client in clients {
            let call = kills(std::iter::once(client.id));
            report(announced(channel.spell(&call)));
            super::channel::append(&mut whole, &channel.perform(&call, CALL_DEADLINE).await?);
            if !super::channel::succeeded(&whole) {
                break;
            }
        }
        Ok(whole)
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at the clients", async {
            let victims: Vec<Victim> = kept(saved, "victims")?;
            let highest: u64 = kept(saved, "highest_id")?;
            let clients = Redis::open(server, ID).await?.clients().await?;
            Ok(judge(&victims, highest, &clients))
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("clients", &e)])
    }
}

fn judge(victims: &[Victim], highest: u64, clients: &[RedisClient]) -> Vec<Check> {
    let there: Vec<String> = victims
        .iter()
        .filter(|victim| clients.iter().any(|client| client.id == victim.id))
        .map(|victim| victim.id.to_string())
        .collect();
    let alike: Vec<&RedisClient> = clients
        .iter()
        .filter(|client| victims.iter().any(|victim| victim.is_back_as(client, highest)))
        .collect();
    // A client that was idle may come back; it is a leak again only when as many do.
    let is_refilled = alike.len() >= victims.len() || !victims.iter().all(|v| v.was_idle);
    let back = alike.first().filter(|_| is_refilled);
    let gone = if there.is_empty() {
        format!("{} of {}", victims.len(), victims.len())
    } else {
        format!("still there: {}", there.join(", "))
    };
    let returned = back.map_or_else(
        || "none like them".into(),
        |client| format!("client {} from {} does {} again", client.id, client.addr, client.cmd),
    );
    vec![
        measured("clients are gone", there.is_empty(), gone),
        measured("clients are not back", back.is_none(), returned),
    ]
}

fn describe(client: &RedisClient) -> String {
    let name = if client.name.is_empty() { "no name" } else { &client.name };
    format!(
        "client {} {} ({name}, user {}), connected {} s, idle {} s, last {}, {}",
        client.id,
        client.addr,
        client.user,
        client.age_s,
        client.idle_s,
        client.cmd,
        bytes(client.total_mem)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u64, name: &str, flags: &str) -> RedisClient {
        RedisClient {
            id,
            name: name.into(),
            flags: flags.into(),
            addr: format!("10.0.0.1:{id}"),
            user: "default".into(),
            cmd: "set".into(),
            ..RedisClient::default()
        }
    }

    #[test]
    fn our_own_replicas_subscribers_and_monitors_are_protected() {
        for (name, flags, spared) in [
            ("worker", "N", false),
            ("", "b", false),
            ("simctl/monitor", "N", true),
            ("worker", "S", true),
            ("worker", "M", true),
            ("worker", "P", true),
            ("worker", "O", true),
        ] {
            assert_eq!(protected(&client(1, name, flags)).is_some(), spared, "{name} {flags}");
        }
    }

    #[test]
    fn a_client_is_back_only_when_a_later_one_does_the_same() {
        let writer = Wanted { ids: vec![7], min_buffers: None, min_idle_s: None };
        let victims = [Victim::of(&client(7, "worker", "N"), &writer)];
        let passed = |clients: &[RedisClient]| -> Vec<bool> {
            judge(&victims, 9, clients).iter().map(|check| check.passed == Some(true)).collect()
        };
        assert_eq!(passed(&[client(8, "worker", "N")]), [true, true], "it was there before");
        assert_eq!(passed(&[client(7, "worker", "N")]), [false, true]);
        assert_eq!(passed(&[client(10, "worker", "N")]), [true, false]);
        assert_eq!(passed(&[client(10, "other", "N")]), [true, true]);
        let reader = RedisClient { cmd: "get".into(), ..client(10, "worker", "N") };
        assert_eq!(passed(&[reader]), [true, true], "reading does no harm");
    }

    #[test]
    fn a_reader_is_back_only_when_it_does_not_read_again() {
        let holding = |id, omem| RedisClient { omem, cmd: "get".into(), ..client(id, "api", "N") };
        let reader = Wanted { ids: vec![7], min_buffers: Some(1_000), min_idle_s: None };
        assert!(reader.takes(&holding(7, 1_000)) && !reader.takes(&holding(7, 999)));
        let victims = [Victim::of(&holding(7, 8_000_000), &reader)];
        let back = |omem| judge(&victims, 9, &[holding(10, omem)])[1].passed == Some(false);
        assert!(!back(20_000) && back(8_000_000));
    }

    #[test]
    fn whoever_did_something_meanwhile_is_spared() {
        let idle = |idle_s| RedisClient { idle_s, ..client(7, "api", "N") };
        let wanted = Wanted { ids: vec![7], min_buffers: None, min_idle_s: Some(30) };
        assert!(wanted.takes(&idle(30)) && !wanted.takes(&idle(2)));
        assert!(!wanted.takes(&RedisClient { id: 8, ..idle(90) }), "it was not named");
    }

    #[test]
    fn idle_clients_are_back_only_when_as_many_came() {
        let idle = Wanted { ids: vec![7, 8], min_buffers: None, min_idle_s: Some(5) };
        let victims = [7, 8].map(|id| Victim::of(&client(id, "pool", "N"), &idle));
        let back = |ids: &[u64]| {
            let now: Vec<RedisClient> = ids.iter().map(|id| client(*id, "pool", "N")).collect();
            judge(&victims, 9, &now)[1].passed == Some(false)
        };
        assert!(!back(&[10]) && back(&[10, 11]));
    }
}
