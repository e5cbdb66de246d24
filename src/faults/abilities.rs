//! Which faults a server can have, and why not the others.

use super::{ALL, Fault};
use crate::targets::Server;

/// A fault that fits a server, and why it cannot be had there, if so.
pub struct Ability {
    pub fault: &'static dyn Fault,
    pub available: Result<(), String>,
}

/// Every fault for this kind of server, in the order of the catalogue. Asks the server; changes nothing.
pub async fn abilities(server: &Server) -> Vec<Ability> {
    let fits = |fault: &&'static dyn Fault| {
        fault.descriptor().engine.is_none_or(|engine| engine == server.target.engine)
    };
    let asked = ALL.iter().copied().filter(fits).map(async |fault| {
        let available = fault.available(server).await;
        Ability { fault, available }
    });
    // One at a time: a server has few slots, and some of these open a connection.
    let mut all = Vec::new();
    for one in asked {
        all.push(one.await);
    }
    all
}
