//! The router as the owner of an engine meets it, for tests of what is behind it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::{Agreements, BodyBounds, Door};
use crate::config::workbench::Writes;
use crate::domain::ids::Ids;
use crate::engine::handle::Handle;
use crate::ports::store::Store;

pub(crate) const BOUNDS: BodyBounds =
    BodyBounds { bytes: 64 * 1_024, time: Duration::from_secs(5) };

pub(crate) fn door(handle: Handle, store: Option<Arc<dyn Store>>, stop: CancellationToken) -> Door {
    Door {
        handle,
        store,
        servers: Arc::from([]),
        state_dir: PathBuf::from("/nowhere"),
        inject_ttl: Duration::from_secs(120),
        benches: Arc::from([]),
        agreements: Arc::new(Agreements::new(Writes::Approval, false)),
        ids: Arc::new(Mutex::new(Ids::seeded(1))),
        turns: Arc::default(),
        alerts: Arc::default(),
        tally: Arc::default(),
        stop,
    }
}

pub(crate) fn router(
    handle: Handle,
    store: Option<Arc<dyn Store>>,
    stop: CancellationToken,
) -> Router {
    let router = super::router(door(handle, store, stop), BOUNDS);
    router.layer(Extension(Caller::owner("ops1")))
}
