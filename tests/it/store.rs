//! One story for both stores: what is written reads back, what is changed shows, what is refused stays out.

mod chapters;
mod proxy;
mod script;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use simctl::config::secret::Secret;
use simctl::ports::store::{Lease, Store, StoreError};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use proxy::{Proxy, Wire};
use script::{Script, start};
use server::Server;

/// A new, empty store, and the way behind its back.
struct Place {
    url: String,
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl Place {
    async fn open(url: String) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::open_in(url, dir).await
    }

    async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("deep/store.db").display());
        Self::open_in(url, dir).await
    }

    async fn open_in(url: String, dir: tempfile::TempDir) -> Self {
        let store = open(&url, dir.path()).await.expect("open the store");
        Self { url, dir, store }
    }

    async fn lease(&self) -> Lease {
        let day = Duration::from_hours(24);
        self.store.take_lease("tests", start(), day).await.expect("take the lease")
    }

    /// Runs SQL on the tables directly. Returns the rows affected.
    async fn behind_its_back(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite:") {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().expect("a URL");
            let mut conn = options.connect().await.expect("connect");
            sqlx::query(sql).execute(&mut conn).await.expect("tamper").rows_affected()
        } else {
            let mut conn = server::connect(&self.url).await;
            sqlx::query(sql).execute(&mut conn).await.expect("tamper").rows_affected()
        }
    }

    /// SQL that differs between the two.
    fn either<'a>(&self, postgres: &'a str, sqlite: &'a str) -> &'a str {
        if self.url.starts_with("sqlite:") { sqlite } else { postgres }
    }
}

async fn open(url: &str, dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    simctl::store::open(&Secret::new(url), dir).await
}

type Chapter = (&'static str, for<'a> fn(&'a Place) -> BoxFuture<'a, ()>);

#[tokio::test]
async fn the_whole_story_on_sqlite() {
    for (title, chapter) in chapters::ALL {
        println!("sqlite: {title}");
        let place = Place::sqlite().await;
        chapter(&place).await;
    }
}

#[tokio::test]
async fn the_whole_story_on_postgres() {
    let server = Server::start().await;
    for (title, chapter) in chapters::ALL {
        println!("postgres: {title}");
        let place = Place::open(server.database().await).await;
        chapter(&place).await;
        server.drop_database(&place.url).await;
    }
}

/// The store behind a proxy, and the URL of the database behind that.
async fn behind_proxy(server: &Server) -> (Place, Proxy, String) {
    let direct = server.database().await;
    let proxy = Proxy::before(&server.address(), 0).await;
    let proxied = direct.replace(&server.address(), &format!("127.0.0.1:{}", proxy.port));
    (Place::open(proxied).await, proxy, direct)
}

#[tokio::test]
async fn a_postgres_that_is_away_says_so_soon_and_continues_when_it_is_back() {
    let server = Server::start().await;
    let (place, proxy, direct) = behind_proxy(&server).await;
    let lease = place.lease().await;
    let mut script = Script::new(1);
    script.note("before");
    place.store.append(&script.batch(), &lease).await.expect("append");

    proxy.set(Wire::Frozen);
    script.note("while it hangs");
    let lost = script.batch();
    let (error, took) = timed(place.store.append(&lost, &lease)).await;
    assert!(error.expect_err("nobody answers").is_outage());
    assert!(took < Duration::from_secs(3), "a hung store took {took:?}");

    let port = proxy.port;
    proxy.stop().await;
    for _ in 0..3 {
        let (error, took) = timed(place.store.append(&lost, &lease)).await;
        let error = error.expect_err("nobody is there");
        assert!(error.is_outage(), "{error:?}");
        assert!(took < Duration::from_millis(500), "a refused connection took {took:?}");
    }
    let (error, took) = timed(place.store.head()).await;
    assert!(error.expect_err("nobody is there").is_outage());
    assert!(took < Duration::from_secs(1), "a refused read took {took:?}");
    let opening = open(&place.url, place.dir.path()).await.err().expect("nobody is there");
    let said = format!("{:#}", anyhow::Error::from(opening));
    assert!(said.contains("refused") && said.contains("--store"), "{said}");

    let proxy = Proxy::before(&server.address(), port).await;
    let head = place.store.append(&lost, &lease).await.expect("it is back");
    assert_eq!(head, script.head);
    assert_eq!(place.store.head().await.expect("it is back"), script.head);

    proxy.set(Wire::LosesCommit);
    script.note("whose commit is not answered");
    let head = place.store.append(&script.batch(), &lease).await.expect("looked up");
    assert_eq!(proxy.wire(), Wire::Passes, "the commit was cut");
    assert_eq!(head, script.head);
    assert_eq!(place.store.events(0, 10).await.expect("read").len(), 3, "nothing twice");
    proxy.stop().await;
    server.drop_database(&direct).await;
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let started = tokio::time::Instant::now();
    (future.await, started.elapsed())
}

#[tokio::test]
async fn a_transaction_that_lost_against_another_is_tried_again() {
    let server = Server::start().await;
    let place = Place::open(server.database().await).await;
    let lease = place.lease().await;
    // A sequence is not taken back by a rollback: the first three attempts fail.
    place.behind_its_back("create sequence attempts minvalue -1000 start 1").await;
    place
        .behind_its_back(
            "create function lose() returns trigger language plpgsql as $$ begin
                if nextval('attempts') <= 3 then
                    raise exception 'lost' using errcode = '40001';
                end if;
                return new;
            end $$",
        )
        .await;
    place
        .behind_its_back(
            "create trigger lose before insert on events for each row execute function lose()",
        )
        .await;
    let mut script = Script::new(1);
    script.note("in the end");
    let head = place.store.append(&script.batch(), &lease).await.expect("the fourth attempt");
    assert_eq!(head, script.head);
    assert_eq!(place.store.events(0, 10).await.expect("read").len(), 1);

    place.behind_its_back("alter sequence attempts restart with -1000").await;
    script.note("never");
    let error = place.store.append(&script.batch(), &lease).await.expect_err("it always loses");
    assert!(!error.is_outage(), "{error:?}");
    server.drop_database(&place.url).await;
}

#[tokio::test]
async fn two_simctls_may_open_a_new_store_at_once() {
    let server = Server::start().await;
    let url = server.database().await;
    let dir = tempfile::tempdir().expect("a directory");
    let both = futures::future::join(open(&url, dir.path()), open(&url, dir.path())).await;
    assert!(both.0.is_ok() && both.1.is_ok());
    let lite = format!("sqlite:{}", dir.path().join("s.db").display());
    let both = futures::future::join(open(&lite, dir.path()), open(&lite, dir.path())).await;
    assert!(both.0.is_ok(), "{:?}", both.0.err());
    assert!(both.1.is_ok(), "{:?}", both.1.err());
    drop(both);
    server.drop_database(&url).await;
}

#[tokio::test]
async fn a_store_shows_where_it_is_without_its_password() {
    let server = Server::start().await;
    let url = server.database().await;
    let user = url.split("://").nth(1).and_then(|rest| rest.split('@').next());
    let has_one = user.is_some_and(|user| user.contains(':'));
    let with_password = if has_one { url.clone() } else { url.replacen('@', ":hunter2@", 1) };
    let place = Place::open(with_password).await;
    let shown = place.store.url().to_owned();
    let user = shown.strip_prefix("postgres://").and_then(|rest| rest.split('@').next());
    assert!(user.is_some_and(|user| !user.contains(':')), "{shown}");
    server.drop_database(&url).await;
}
