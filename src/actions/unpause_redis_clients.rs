//! Lets the clients of a Redis server go on that CLIENT PAUSE holds back.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Words, within};
use super::checks::{announced, costs, count, kept, measured, unmeasured};
use super::redis::Redis;
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::diagnose::facts::RedisClient;
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "unpause_redis_clients";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);
/// A client may give up and come again between two looks.
const LOOKS: u32 = 20;
const APART: Duration = Duration::from_millis(100);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Let paused clients go on",
    about: "CLIENT UNPAUSE. Right when writes wait because of CLIENT PAUSE and no failover is under way; what waited \
            is carried out, nothing is lost.",
    args: &[],
    needs: &[Need::Redis(&["client|unpause", "client|list", "client|id", "info"])],
    verify: "no client is held back, it is the same run of the server",
};

/// See the module.
#[derive(Debug)]
pub(super) struct UnpauseRedisClients;

fn unpause() -> Call {
    Call::Redis(vec![Words::of(["CLIENT", "UNPAUSE"])])
}

/// A server that holds clients back.
struct Paused {
    run: String,
    clients: u64,
}

async fn held_back(redis: &mut Redis) -> Result<u64, ActionError> {
    let clients = redis.clients().await?;
    Ok(clients.iter().filter(|client| RedisClient::is_held_back(client)).count() as u64)
}

async fn paused(server: &Server) -> Result<Paused, ActionError> {
    let refused = |why: &str| Err(ActionError::Precondition(format!("{} {why}", server.target.id)));
    within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
        let mut redis = Redis::open(server, ID).await?;
        let info = redis.info().await?;
        if !matches!(info.text("master_failover_state"), "" | "no-failover") {
            return refused("hands over to a replica, which holds writes back until it is done");
        }
        for _ in 0..LOOKS {
            let clients = held_back(&mut redis).await?;
            if clients > 0 {
                return Ok(Paused { run: info.text("run_id").to_owned(), clients });
            }
            tokio::time::sleep(APART).await;
        }
        refused("holds no client back")
    })
    .await
}

#[async_trait]
impl Action for UnpauseRedisClients {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let paused = paused(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&unpause())],
            scope: [("server run".into(), paused.run)].into(),
            consequences: vec![costs(0, "commands lost")],
            notes: vec![
                format!(
                    "{} held back now; what they sent is carried out",
                    count(paused.clients, "client")
                ),
                "who ordered the pause may have counted on it, for a switch to another server"
                    .into(),
            ],
        })
    }

    fn undo_kind(&self, _: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, _: &Args) -> Result<Saved, ActionError> {
        Ok(Saved::from([("run".into(), json!(paused(server).await?.run))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        paused(server).await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&unpause())));
        channel.perform(&unpause(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look for clients held back", async {
            let before: String = kept(saved, "run")?;
            let mut redis = Redis::open(server, ID).await?;
            let (clients, info) = (held_back(&mut redis).await?, redis.info().await?);
            let same = info.text("run_id") == before;
            let run = if same { "the same as before" } else { "another one" };
            Ok(vec![
                measured("no client is held back", clients == 0, count(clients, "client")),
                measured("same run of the server", same, run),
            ])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("clients held back", &e)])
    }
}
