//! Somebody lowers `maxclients`, and the clients that are there take every slot: the next one is turned away.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::marks::{number, saved as entry, text};
use super::sockets::{self, Socket};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    reach, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct Maxclients;

const LIMIT: &str = "limit";
const ORIGINAL: &str = "maxclients";
/// Clients of others that must find room beside those of the fault.
const ROOM: usize = 10;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "maxclients",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "maxclients set too low",
    about: "Sets maxclients far below what it was and connects until every slot is taken. Who is in stays in; a new \
            client is turned away, redis-cli in the container too.",
    finding: FindingKind::ClientsRefused,
    cause: "maxclients",
    fixed_by: &["reset_redis_setting"],
    params: &[Param {
        name: LIMIT,
        about: "the limit to set, in clients",
        default: 30,
        min: 20,
        max: 100,
    }],
    risk: Risk::Medium,
    untouched: &["data", "clients that are connected already", "every other setting"],
    undo: &[
        "close the connections the fault holds",
        "CONFIG SET maxclients back to the value it had, unless somebody did already",
    ],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for Maxclients {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, params: &Params) -> Vec<String> {
        let limit = params[LIMIT];
        vec![
            format!("CONFIG SET maxclients {limit}"),
            format!("connect until the server turns the next client away, at most {limit} times"),
        ]
    }

    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let (original, limit) = (limit(&mut con).await?, params[LIMIT]);
        let refused =
            |why: String| Err(FaultError::Precondition(format!("{} {why}", server.target.id)));
        if original <= limit {
            return refused(format!("has a maxclients of {original} already"));
        }
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut con)
            .await
            .map_err(|e| FaultError::failed("list clients", e))?;
        let connected = list.lines().count();
        if connected + ROOM > usize::try_from(limit).unwrap_or(usize::MAX) {
            return refused(format!("has {connected} clients, too many for a limit of {limit}"));
        }
        Ok(Saved::from([
            (entry::SESSION.into(), json!(words::program(seed))),
            (ORIGINAL.into(), json!(original)),
            (LIMIT.into(), json!(limit)),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, limit) = (text(saved, entry::SESSION)?, number(saved, LIMIT)?);
        let mut con = reach::redis(server, name).await?;
        set_limit(&mut con, limit).await?;
        let mut held = Vec::new();
        for _ in 0..=limit {
            match Socket::open(server, name).await {
                Ok(socket) => held.push(socket),
                Err(error) if is_full(&error) => {
                    progress(format!("turned away after {} connections", held.len()));
                    // The one that set the limit keeps its slot too.
                    return Ok(Box::new((con, held)));
                }
                Err(error) => return Err(error),
            }
        }
        Err(FaultError::Precondition(format!(
            "nobody was turned away after {} connections, where this fault stops",
            held.len()
        )))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        match Socket::open(server, text(saved, entry::SESSION)?).await {
            Err(error) if is_full(&error) => Ok("ERR max number of clients reached".into()),
            Err(error) => Err(error),
            Ok(_) => Err(FaultError::Precondition("a new client still gets in".into())),
        }
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        if limit(&mut con).await? == number(saved, LIMIT)? {
            set_limit(&mut con, number(saved, ORIGINAL)?).await?;
        }
        sockets::end(&mut con, text(saved, entry::SESSION)?).await
    }
}

fn is_full(error: &FaultError) -> bool {
    error.in_words().contains("max number of clients")
}

async fn limit(con: &mut MultiplexedConnection) -> Result<u64, FaultError> {
    let (_, value): (String, u64) = redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxclients")
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed("read maxclients", e))?;
    Ok(value)
}

async fn set_limit(con: &mut MultiplexedConnection, clients: u64) -> Result<(), FaultError> {
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxclients")
        .arg(clients)
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed(format!("set maxclients to {clients}"), e))
}
