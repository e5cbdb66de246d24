//! Where a Redis listens, changed while it runs: new clients find nobody, who is in stays in.
//!
//! The way back is the way the fault made: its own client, run beside the server, finds it at the new place.

use std::net::TcpListener;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::text;
use super::{
    Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, reach, redis_state, standing,
};
use crate::domain::sample::Answer;
use crate::ports::runtime::{ExecLimits, RuntimeKind};
use crate::targets::Server;

/// One such fault.
pub(super) struct Listening {
    pub(super) descriptor: &'static Descriptor,
    pub(super) moved: Moved,
}

/// What is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Address,
    Port,
}

const ORIGINAL: &str = "original";
const NEW: &str = "new";
/// Where its own client finds it afterwards.
const HOST: &str = "host";
const PORT: &str = "port";
const LOCAL: &str = "127.0.0.1";
/// Local too, and not where the servers of a lab of processes listen.
const ELSEWHERE: &str = "127.0.0.2";
/// From here on a free port is looked for.
const FIRST_PORT: u16 = 16_390;
const EXEC: Duration = Duration::from_secs(5);

impl Moved {
    fn setting(self) -> &'static str {
        match self {
            Self::Address => "bind",
            Self::Port => "port",
        }
    }

    fn new_value(self, kind: RuntimeKind, seed: u64) -> String {
        match (self, kind) {
            (Self::Address, RuntimeKind::Docker) => LOCAL.into(),
            (Self::Address, RuntimeKind::Process | RuntimeKind::Simulated) => ELSEWHERE.into(),
            (Self::Port, _) => free_port(seed).to_string(),
        }
    }
}

/// Inside a container any of them is free; beside a local process it is looked for.
fn free_port(seed: u64) -> u16 {
    let first = FIRST_PORT + u16::try_from(seed % 1_000).unwrap_or_default();
    let is_free = |port: &u16| TcpListener::bind((LOCAL, *port)).is_ok();
    (first..=u16::MAX).find(is_free).unwrap_or(first)
}

#[async_trait]
impl Fault for Listening {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let kind = server.and_then(|server| server.place.as_ref());
        let kind = kind.map_or(RuntimeKind::Docker, |place| place.runtime.kind());
        let value = match self.moved {
            Moved::Address => self.moved.new_value(kind, 0),
            Moved::Port => "<a port that is free>".into(),
        };
        vec![format!("CONFIG SET {} {value}", self.moved.setting())]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let kind = standing::place(server)?.runtime.kind();
        let mut con = reach::redis(server, reach::OURS).await?;
        let original = redis_state::setting(&mut con, self.moved.setting()).await?;
        let new = self.moved.new_value(kind, seed);
        if original == new {
            let text = format!("{} listens at {new} already", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        let (host, port) = match self.moved {
            Moved::Address => (new.clone(), redis_state::setting(&mut con, "port").await?),
            Moved::Port => (LOCAL.to_owned(), new.clone()),
        };
        Ok(Saved::from([
            (ORIGINAL.into(), json!(original)),
            (NEW.into(), json!(new)),
            (HOST.into(), json!(host)),
            (PORT.into(), json!(port)),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, new) = (self.moved.setting(), text(saved, NEW)?);
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::set(&mut con, name, new).await?;
        progress(format!("{name} is {new}"));
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        match reach::turned_away(server).await? {
            Some(told @ Answer::Gone { .. }) => Ok(told.describe()),
            Some(told) => Err(FaultError::Precondition(told.describe())),
            None => Err(FaultError::Precondition("a new client is still let in".into())),
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let (name, original) = (self.moved.setting(), text(saved, ORIGINAL)?);
        let new = text(saved, NEW)?;
        if let Ok(mut con) = reach::redis(server, reach::OURS).await {
            return redis_state::set_back(&mut con, name, new, original).await;
        }
        let place = standing::place(server)?;
        let words = ["redis-cli", "-e", "-h", text(saved, HOST)?, "-p", text(saved, PORT)?];
        let order = ["CONFIG", "SET", name, original];
        let argv: Vec<String> = words.into_iter().chain(order).map(str::to_owned).collect();
        let limits = ExecLimits { deadline: EXEC, ..ExecLimits::default() };
        let doing = || format!("set {name} back to {original} beside {}", place.unit.name);
        let ran = place.runtime.exec(&place.unit, &argv, None, limits).await;
        let output = ran.map_err(|e| FaultError::failed(doing(), e))?;
        if output.exit_code == Some(0) && output.stdout.trim() == "OK" {
            return Ok(());
        }
        let said = format!("{}{}", output.stdout.trim(), output.stderr.trim());
        Err(FaultError::Precondition(format!("{}: {said}", doing())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_chosen() {
        let taken = (FIRST_PORT..).find_map(|port| TcpListener::bind((LOCAL, port)).ok()).unwrap();
        let seed = u64::from(taken.local_addr().unwrap().port() - FIRST_PORT);
        let chosen = free_port(seed);
        assert!(chosen > taken.local_addr().unwrap().port());
        assert!(TcpListener::bind((LOCAL, chosen)).is_ok());
    }
}
