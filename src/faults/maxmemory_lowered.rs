//! Somebody lowers `maxmemory` below what the data needs: Redis refuses writes although nothing grows.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::keys::{self, Fullness, grouped, megabytes};
use super::marks::{number, saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    filling, reach,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct MaxmemoryLowered;

/// Some 20,000 small keys, little enough that the lab counts as healthy with them under its own limit.
const WANTED_BYTES: u64 = 8 << 20;
const VALUE_BYTES: usize = 250;
/// What one such key takes in the server.
const KEY_BYTES: u64 = 350;
const MEGABYTES: &str = "megabytes";
const ORIGINAL: &str = "maxmemory";
const LOWERED: &str = "lowered_to";
const KEYS: &str = "keys";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "maxmemory-lowered",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "maxmemory set too low",
    about: "Sets maxmemory below what the data already takes. Writes are refused at once, no key is lost, and \
            nothing grows.",
    finding: FindingKind::WritesRefused,
    cause: "maxmemory-lowered",
    fixed_by: &["reset_redis_setting"],
    params: &[Param {
        name: MEGABYTES,
        about: "the limit to set, in megabytes",
        default: 5,
        min: 3,
        max: 6,
    }],
    risk: Risk::Medium,
    untouched: &["keys it did not put there", "every other setting"],
    undo: &[
        "CONFIG SET maxmemory back to the value it had, unless somebody did already",
        "UNLINK the keys this fault put there",
    ],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for MaxmemoryLowered {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, params: &Params) -> Vec<String> {
        vec![
            format!(
                "SET <prefix>:<n> <{VALUE_BYTES} bytes>, until {} MB are used (at most {} keys); the prefix is an \
                 ordinary word that no key has yet",
                megabytes(WANTED_BYTES),
                grouped(WANTED_BYTES / KEY_BYTES)
            ),
            format!("CONFIG SET maxmemory {}mb", params[MEGABYTES]),
        ]
    }

    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let full = keys::fullness(&mut con).await?;
        let lowered = params[MEGABYTES] << 20;
        can_lower(server, &full, lowered)?;
        let mut saved = filling::names(&mut con, seed).await?;
        saved.extend([
            (ORIGINAL.into(), json!(full.limit)),
            (LOWERED.into(), json!(lowered)),
            (KEYS.into(), json!(WANTED_BYTES.saturating_sub(full.used) / KEY_BYTES)),
        ]);
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
        let (prefix, wanted) = (text(saved, entry::PREFIX)?, number(saved, KEYS)?);
        let filled = keys::fill(&mut con, prefix, 0..wanted, VALUE_BYTES).await?;
        if let Some(refused) = filled.refused {
            return Err(FaultError::Precondition(format!(
                "full before the limit was lowered: {refused}"
            )));
        }
        progress(format!("{} keys of ordinary data", grouped(filled.keys)));
        let lowered = number(saved, LOWERED)?;
        set_limit(&mut con, lowered).await?;
        progress(format!("maxmemory is {} MB", megabytes(lowered)));
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        filling::took(server, saved).await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        // Only our own value is taken back: after a restart or a fix it is somebody else's.
        if keys::fullness(&mut con).await?.limit == number(saved, LOWERED)? {
            set_limit(&mut con, number(saved, ORIGINAL)?).await?;
        }
        keys::unlink(&mut con, text(saved, entry::PREFIX)?).await?;
        Ok(())
    }
}

fn can_lower(server: &Server, full: &Fullness, lowered: u64) -> Result<(), FaultError> {
    let target = &server.target.id;
    let refused = |why: String| Err(FaultError::Precondition(format!("{target} {why}")));
    if full.policy != "noeviction" {
        return refused(format!("evicts keys ({}), so a lower limit would lose data", full.policy));
    }
    if full.limit != 0 && full.limit <= lowered {
        return refused(format!("has a maxmemory of {} MB already", megabytes(full.limit)));
    }
    if full.limit != 0 && full.limit < WANTED_BYTES + (WANTED_BYTES >> 2) {
        return refused(format!(
            "has too little memory ({} MB) for the data of this fault",
            megabytes(full.limit)
        ));
    }
    Ok(())
}

async fn set_limit(con: &mut MultiplexedConnection, bytes: u64) -> Result<(), FaultError> {
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg(bytes)
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed(format!("set maxmemory to {bytes}"), e))
}
