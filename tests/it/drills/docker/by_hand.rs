//! What somebody does to the containers by hand, without a word to simctl, is found from the outside; what they put
//! right themselves is left alone.

use std::process::Command;

use super::{proposal, watched};
use crate::crash::bench::{Lab, eventually, said};

/// The cause was found and something proposed; then the same hand puts it right, and nothing else was done.
fn found_and_left_alone(lab: &Lab, cause: &str, put_right: impl FnOnce()) {
    let (number, _) = proposal(lab, cause);
    put_right();
    let is = |column: &str| {
        lab.store(&format!("select {column} from incidents where number = {number}"))
    };
    eventually(&format!("{cause} is over"), || (is("status") == "resolved").then_some(()));
    let acted = "select count(*) from agent_actions a join incidents i on i.id = a.incident_id \
                 where i.number = NUMBER";
    assert_eq!(lab.store(&acted.replace("NUMBER", &number)), "0", "{cause}");
    let told = lab.home.ok(&["report", &number]);
    assert!(told.contains("without an action of ours"), "{told}");
}

#[test]
fn what_is_done_to_containers_by_hand_is_found_and_what_is_put_right_is_left_alone() {
    let lab = Lab::up();
    let engine = lab.home.engine();
    watched(&lab);
    let (redis, postgres) = (lab.name("redis-test"), lab.name("postgres-test"));

    let network = lab.docker(&["inspect", "-f", "{{.HostConfig.NetworkMode}}", &redis]);
    lab.docker(&["network", "disconnect", &network, &redis]);
    found_and_left_alone(&lab, "network-disconnected", || {
        lab.docker(&["network", "connect", "--alias", "redis-test", &network, &redis]);
    });

    lab.redis(&["CONFIG", "SET", "save", "5 1"]);
    let fill = "dd if=/dev/zero of=/data/export.csv bs=4096 2>/dev/null; true";
    lab.docker(&["exec", &redis, "sh", "-c", fill]);
    lab.redis(&["SET", "order-1", "paid", "EX", "600"]);
    found_and_left_alone(&lab, "rdb-enospc", || {
        lab.docker(&["exec", &redis, "rm", "/data/export.csv"]);
        lab.redis(&["CONFIG", "SET", "save", ""]);
        lab.redis(&["BGSAVE"]);
    });

    let psql = |sql: &str| {
        let psql = ["exec", &postgres, "psql", "-X", "-U", "postgres", "-d", "app", "-qc", sql];
        said(Command::new("docker").args(psql)).err
    };
    psql("create table archive (body text) tablespace bounded");
    psql("alter table archive alter body set storage external");
    let body = "(select string_agg(md5(random()::text), '') from generate_series(1, 60))";
    let rows = format!("insert into archive select {body} from generate_series(1, 500)");
    let told = psql(&format!("do $$ begin loop {rows}; commit; end loop; end $$"));
    assert!(told.contains("No space left"), "{told}");
    found_and_left_alone(&lab, "data-full", || drop(psql("drop table archive")));
    assert_eq!(engine.terminate(), 0);
}
