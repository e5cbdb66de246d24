//! Faults of PostgreSQL's settings and rights: they take, they are undone, twice, and only their own marks go.

use super::*;

async fn sql(bench: &Bench, text: &str) -> Vec<String> {
    sql_in(bench, "postgres", text).await
}

/// A superuser's session, and what drives it.
async fn sql_in(bench: &Bench, database: &str, text: &str) -> Vec<String> {
    let config = format!(
        "host=127.0.0.1 port={} user=postgres dbname={database} options='-c synchronous_commit=local \
         -c default_transaction_read_only=off'",
        bench.port
    );
    let config: tokio_postgres::Config = config.parse().expect("a proper address");
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.expect("a superuser gets in");
    let asked = async {
        let mut found = Vec::new();
        for statement in text.split("; ") {
            for message in client.simple_query(statement).await.expect(statement) {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    found.push(row.get(0).unwrap_or_default().to_owned());
                }
            }
        }
        drop(client);
        found
    };
    tokio::join!(asked, connection).0
}

const AUTO: &str = "select name || ' ' || setting from pg_file_settings \
                    where sourcefile like '%/postgresql.auto.conf' order by name";

/// Twice: in, its symptom, out, and nothing is left over.
async fn twice(broken: &Broken, fault: &str, symptom: &str) {
    for _ in 0..2 {
        let spec = broken.spec(fault, &[]).await;
        let reports = broken.live(&spec, async || ()).await;
        assert_undone(&reports);
        let took = reports.iter().find_map(|report| match report {
            Report::Took { symptom, .. } => Some(symptom.clone()),
            _ => None,
        });
        assert!(took.as_ref().is_some_and(|took| took.contains(symptom)), "{took:?}");
    }
}

#[tokio::test]
async fn read_only_refuses_writes_and_leaves_no_line() {
    let broken = Broken::over(Bench::postgres());
    twice(&broken, "read-only", "25006").await;
    assert_eq!(sql(&broken.bench, AUTO).await, [""; 0]);
}

#[tokio::test]
async fn a_millisecond_for_every_statement_is_taken_back_under_itself() {
    let broken = Broken::over(Bench::postgres());
    twice(&broken, "timeouts", "57014").await;
    assert_eq!(sql(&broken.bench, AUTO).await, [""; 0]);
}

#[tokio::test]
async fn rows_die_unseen_and_nothing_of_them_is_left() {
    let broken = Broken::over(Bench::postgres());
    twice(&broken, "autovacuum-off", "dead rows, and autovacuum is off").await;
    assert_eq!(sql(&broken.bench, AUTO).await, [""; 0]);
}

#[tokio::test]
async fn wal_is_kept_and_let_go_of_and_an_index_left_and_dropped() {
    let broken = Broken::over(Bench::postgres());
    let kept = "select slot_name::text from pg_create_physical_replication_slot('kept')";
    sql(&broken.bench, kept).await;
    for (fault, symptom) in [
        ("dead-slot", "it keeps"),
        ("archive-fails", "was not archived"),
        ("invalid-index", "is invalid"),
    ] {
        twice(&broken, fault, symptom).await;
    }
    assert_eq!(
        sql(&broken.bench, "select slot_name::text from pg_replication_slots").await,
        ["kept"]
    );
    assert_eq!(sql(&broken.bench, AUTO).await, [""; 0]);
}

#[tokio::test]
async fn two_clients_lock_crosswise_and_are_gone() {
    let broken = Broken::over(Bench::postgres());
    twice(&broken, "deadlock", "deadlocks broken by the server").await;
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(sql_in(&broken.bench, "app", tables).await, [""; 0]);
}

#[tokio::test]
async fn an_orphan_is_rolled_back_and_one_of_others_stays() {
    let broken = Broken::over(Bench::postgres());
    let theirs = "create table kept (id int); begin; insert into kept values (1); prepare transaction 'theirs'";
    sql_in(&broken.bench, "app", theirs).await;
    twice(&broken, "prepared-orphan", "3 sessions wait behind a transaction without a session")
        .await;
    let left = sql(&broken.bench, "select gid from pg_prepared_xacts").await;
    assert_eq!(left, ["theirs"]);
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(sql_in(&broken.bench, "app", tables).await, ["kept"]);
}

#[tokio::test]
async fn a_line_that_was_there_before_comes_back() {
    let broken = Broken::over(Bench::postgres());
    let line = "alter system set synchronous_standby_names = ''; select pg_reload_conf()::text";
    sql(&broken.bench, line).await;
    twice(&broken, "sync-standby-missing", "SyncRep").await;
    assert_eq!(sql(&broken.bench, AUTO).await, ["synchronous_standby_names "]);
}

#[tokio::test]
async fn somebody_elses_line_is_left_and_said() {
    let broken = Broken::over(Bench::postgres());
    let spec = broken.spec("read-only", &[]).await;
    let mend =
        "alter system set default_transaction_read_only = off; select pg_reload_conf()::text";
    let reports = broken
        .live(&spec, async || {
            sql(&broken.bench, mend).await;
        })
        .await;
    let Some(Report::Reverted { left_over, .. }) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(left_over.len(), 1, "{left_over:?}");
    assert!(left_over[0].contains("default_transaction_read_only is `off`"), "{left_over:?}");
}

#[tokio::test]
async fn what_the_application_is_denied_it_gets_back_exactly() {
    let broken = Broken::over(Bench::postgres());
    let heartbeat = "create table public.hb (id int primary key, at timestamptz not null); \
                     alter table public.hb owner to app";
    sql_in(&broken.bench, "app", heartbeat).await;
    for (fault, symptom) in [
        ("db-closed", "55000"),
        ("auth-nologin", "28000"),
        ("auth-connect", "42501"),
        ("auth-table", "42501"),
        ("hba-reject", "28000"),
    ] {
        twice(&broken, fault, symptom).await;
    }
}

#[tokio::test]
async fn an_expired_role_is_fair_only_where_passwords_are_asked_for() {
    let broken = Broken::over(Bench::postgres());
    let spec = broken.spec("auth-expired", &[]).await;
    let reports = broken.live(&spec, async || ()).await;
    let said = format!("{reports:?}");
    assert!(said.contains("without a password") && !said.contains("Took"), "{said}");
}

#[tokio::test]
async fn a_client_that_is_gone_is_remembered_and_one_that_comes_back_is_shut_out() {
    let broken = Broken::over(Bench::postgres());
    twice(&broken, "ghost-client", "3 sessions wait behind one whose client is gone").await;
    twice(&broken, "re-leak", "53300").await;
    let roles = "select rolname from pg_roles where rolname !~ '^pg_' order by 1";
    let left = sql(&broken.bench, roles).await;
    assert!(!left.iter().any(|role| role.contains('_')), "{left:?}");
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(sql_in(&broken.bench, "app", tables).await, [""; 0]);
}

#[tokio::test]
async fn transactions_fail_for_three_reasons_and_each_is_taken_back() {
    let broken = Broken::over(Bench::postgres());
    for (fault, symptom) in
        [("sequence-end", "2200H"), ("spill", "53400"), ("lock-table-full", "53200")]
    {
        twice(&broken, fault, symptom).await;
    }
    assert_eq!(sql(&broken.bench, AUTO).await, [""; 0]);
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(sql_in(&broken.bench, "app", tables).await, [""; 0]);
}

#[tokio::test]
async fn a_database_is_kept_from_its_indexes_and_one_that_was_before_is_not_broken() {
    let broken = Broken::over(Bench::postgres());
    let spec = broken.spec("planner-setting", &[("seconds", 2)]).await;
    let reports = broken.live(&spec, async || ()).await;
    assert_undone(&reports);
    assert!(format!("{reports:?}").contains("Seq Scan"), "{reports:?}");
    let own = "select setconfig::text from pg_db_role_setting";
    assert_eq!(sql(&broken.bench, own).await, [""; 0]);
    sql(&broken.bench, "alter database app set enable_indexscan = off").await;
    let spec = broken.spec("planner-setting", &[("seconds", 2)]).await;
    let said = format!("{:?}", broken.live(&spec, async || ()).await);
    assert!(said.contains("such a setting") && !said.contains("Took"), "{said}");
    assert_eq!(sql(&broken.bench, own).await, ["{enable_indexscan=off}"]);
}
