//! Makes a replica of a master that is not there stand by itself again.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Words, succeeded, within};
use super::checks::{announced, count, kept, measured, unmeasured};
use super::redis::{Info, Redis};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "detach_replica";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Detach from its master",
    about: "REPLICAOF NO ONE: the server takes writes itself and keeps the data it has. Right when it was made a \
            replica of a server that is not there.",
    args: &[Arg::text("master", "the master it follows now, as `host port`")],
    needs: &[Need::Redis(&["replicaof", "info"])],
    verify: "it is a master, with as many keys as before",
};

/// See the module.
#[derive(Debug)]
pub(super) struct DetachReplica;

struct Master {
    host: String,
    port: String,
}

impl Master {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let told: String =
            Given::to(&DESCRIPTOR, args)?.required("master", "the master as `host port`")?;
        let words: Vec<&str> = told.split(' ').collect();
        match words.as_slice() {
            [host, port] if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self { host: (*host).into(), port: (*port).into() })
            }
            _ => Err(wrong("master", format!("`{told}` is not `host port`"))),
        }
    }

    /// Refuses a server that does not follow exactly this master, or whose master answers.
    fn follows(&self, server: &Server, info: &Info) -> Result<(), ActionError> {
        let refused = |why: String| Err(ActionError::Precondition(why));
        let id = &server.target.id;
        if info.text("role") != "slave" {
            return refused(format!("{id} is no replica"));
        }
        let (host, port) = (info.text("master_host"), info.text("master_port"));
        if (host, port) != (self.host.as_str(), self.port.as_str()) {
            return refused(format!("{id} follows {host} {port}, not {self}"));
        }
        if info.text("master_link_status") == "up" {
            return refused(format!(
                "the link to {self} is up: the data here is that master's by now, and a person decides whose counts"
            ));
        }
        Ok(())
    }
}

impl std::fmt::Display for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.host, self.port)
    }
}

fn replicaof(words: [&str; 2]) -> Call {
    Call::Redis(vec![Words::of([["REPLICAOF"].as_slice(), &words].concat())])
}

fn detach() -> Call {
    replicaof(["NO", "ONE"])
}

#[async_trait]
impl Action for DetachReplica {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let master = Master::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let info = Redis::open(server, ID).await?.info().await?;
            master.follows(server, &info)?;
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&detach())],
                scope: [
                    ("master".into(), master.to_string()),
                    ("server run".into(), info.text("run_id").into()),
                ]
                .into(),
                consequences: Vec::new(),
                notes: vec![
                    format!("{} stay as they are", count(info.keys(), "key")),
                    format!("it does not follow {master} any more, whose link is down"),
                ],
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("makes it a replica of the same master again".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let master = Master::read(args)?;
        let info = Redis::open(server, ID).await?.info().await?;
        master.follows(server, &info)?;
        let mortal: u64 = info.databases().iter().map(|(n, _)| info.database(*n).1).sum();
        Ok(Saved::from([("lasting_keys".into(), json!(info.keys().saturating_sub(mortal)))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let master = Master::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            master.follows(server, &Redis::open(server, ID).await?.info().await?)
        })
        .await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&detach())));
        channel.perform(&detach(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at its role", async {
            let before: u64 = kept(saved, "lasting_keys")?;
            let info = Redis::open(server, ID).await?.info().await?;
            let (role, keys) = (info.text("role"), info.keys());
            Ok(vec![
                measured("it is a master", role == "master", format!("its role is {role}")),
                measured(
                    "its keys are there",
                    keys >= before,
                    format!("{}, {before} at least before", count(keys, "key")),
                ),
            ])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("role", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<String> {
        let master = Master::read(args);
        let call = master.map(|master| replicaof([&master.host, &master.port]));
        call.iter().map(|call| Channel::new(server, ID).spell(call)).collect()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        let master = Master::read(args)?;
        if Redis::open(server, ID).await?.info().await?.text("role") == "slave" {
            return Ok("it is a replica already".into());
        }
        let call = replicaof([&master.host, &master.port]);
        let output = Channel::new(server, ID).perform(&call, CALL_DEADLINE).await?;
        if !succeeded(&output) {
            let said = anyhow::anyhow!("{}", output.stderr.trim().to_owned());
            return Err(failed(format!("make it a replica of {master}"), said));
        }
        Ok(format!("it is a replica of {master} again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_a_host_and_a_port() {
        let read = |text: &str| Master::read(&[("master".into(), json!(text))].into());
        assert_eq!(read("10.255.255.1 6379").unwrap().to_string(), "10.255.255.1 6379");
        for text in ["", "10.0.0.1", "10.0.0.1 x", "a b c", " 6379"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
