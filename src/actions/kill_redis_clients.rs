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
    args: &[Arg { name: "ids", about: "client ids as CLIENT LIST gives them" }],
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
}

impl Victim {
    fn of(client: &RedisClient) -> Self {
        Self {
            id: client.id,
            name: client.name.clone(),
            host: host(&client.addr).into(),
            user: client.user.clone(),
            cmd: client.cmd.clone(),
        }
    }

    /// The same program doing the same: ids only grow, so a higher one came later.
    fn is_back_as(&self, client: &RedisClient, highest: u64) -> bool {
        client.id > highest
            && client.name == self.name
            && client.user == self.user
            && host(&client.addr) == self.host
            && client.cmd == self.cmd
            && !is_ours(client)
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

fn read_ids(args: &Args) -> Result<Vec<u64>, ActionError> {
    let mut ids: Vec<u64> =
        Given::to(&DESCRIPTOR, args)?.required("ids", "a list of client ids, like [12, 15]")?;
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() { Err(wrong("ids", "names no client")) } else { Ok(ids) }
}

/// The chosen clients that are still there. An id never comes again while the server runs, so the id alone is the
/// same client.
async fn chosen(redis: &mut Redis, ids: &[u64]) -> Result<Vec<RedisClient>, ActionError> {
    let mut clients = redis.clients().await?;
    clients.retain(|client| ids.contains(&client.id));
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
            "none of these clients is connected any more".into(),
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
        let ids = read_ids(args)?;
        within(LOOK_DEADLINE, "look at the clients", async {
            let mut redis = Redis::open(server, ID).await?;
            let clients = chosen(&mut redis, &ids).await?;
            let info = redis.info().await?;
            let channel = Channel::new(server, ID);
            let spelled = |client: &RedisClient| channel.spell(&kills(std::iter::once(client.id)));
            let named: Vec<String> = ids.iter().map(u64::to_string).collect();
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
        let ids = read_ids(args)?;
        let mut redis = Redis::open(server, ID).await?;
        let victims: Vec<_> = chosen(&mut redis, &ids).await?.iter().map(Victim::of).collect();
        let highest = redis.clients().await?.iter().map(|client| client.id).max().unwrap_or(0);
        Ok(Saved::from([("victims".into(), json!(victims)), ("highest_id".into(), json!(highest))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let ids = read_ids(args)?;
        let channel = Channel::new(server, ID);
        let clients = within(LOOK_DEADLINE, "look at the clients", async {
            chosen(&mut Redis::open(server, ID).await?, &ids).await
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
    let back = clients.iter().find(|client| victims.iter().any(|v| v.is_back_as(client, highest)));
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
        let victims = [Victim::of(&client(7, "worker", "N"))];
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
}
