//! What the login of a server may do, compared with what simctl needs: nothing missing, nothing more.

use crate::actions::Rights;

use super::{Link, Server};

/// The result of a comparison, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The login, as the server calls it.
    pub login: String,
    /// Needed and not granted, with who needs it.
    pub missing: Vec<String>,
    /// Granted and not needed.
    pub more: Vec<String>,
}

impl Server {
    /// Asks the server what its login may do. Reads only.
    pub async fn compare_rights(&self, wanted: &Rights) -> Result<Compared, String> {
        match &self.link {
            Link::Redis(link) => link.compare_rights(wanted).await,
            Link::Postgres(link) => link.compare_rights(wanted).await,
        }
    }
}

/// `config|set (reset_redis_setting, kill_redis_clients)`.
pub(super) fn needed_by<'a>(what: &str, who: impl IntoIterator<Item = &'a &'static str>) -> String {
    let who: Vec<&str> = who.into_iter().copied().collect();
    format!("{what} ({})", who.join(", "))
}
