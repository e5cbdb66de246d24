//! The reply of CLIENT LIST, without our own connections.

use super::connect::CLIENT_NAME_PREFIX;
use crate::diagnose::facts::RedisClient;
use crate::domain::words::bytes;

/// Reads the list. Our own connections are known by their names.
pub(crate) fn parse(list: &str) -> Vec<RedisClient> {
    list.lines()
        .map(client)
        .filter(|c| c.id != 0 && !c.name.starts_with(CLIENT_NAME_PREFIX))
        .collect()
}

/// How many are kept waiting in a command that never waits by itself; ours bear witness too.
pub(super) fn held_back(list: &str) -> u64 {
    list.lines().map(client).filter(RedisClient::is_held_back).count() as u64
}

fn client(line: &str) -> RedisClient {
    let mut client = RedisClient::default();
    for (field, value) in line.split(' ').filter_map(|part| part.split_once('=')) {
        let whole = || value.parse().unwrap_or_default();
        let text = || value.to_owned();
        match field {
            "id" => client.id = whole(),
            "addr" => client.addr = text(),
            "name" => client.name = text(),
            "user" => client.user = text(),
            "age" => client.age_s = whole(),
            "idle" => client.idle_s = whole(),
            "cmd" => client.cmd = value.to_ascii_lowercase(),
            "flags" => client.flags = text(),
            "omem" => client.omem = whole(),
            "qbuf" => client.qbuf = whole(),
            "tot-mem" => client.total_mem = whole(),
            _ => {}
        }
    }
    client
}

/// How many, what they do, and the one that holds most memory.
pub(super) fn words(clients: &[RedisClient]) -> String {
    let Some(largest) = clients.iter().max_by_key(|client| client.total_mem) else {
        return "no clients besides simctl".to_owned();
    };
    let writing = clients.iter().filter(|client| client.idle_s <= 1).count();
    format!(
        "{} clients besides simctl, {writing} of them active within the last second; \
         the largest is id {} ({}, last command {}, output buffer {}, query buffer {}, in all {})",
        clients.len(),
        largest.id,
        largest.addr,
        largest.cmd,
        bytes(largest.omem),
        bytes(largest.qbuf),
        bytes(largest.total_mem),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "id=3 addr=127.0.0.1:48406 laddr=127.0.0.1:6380 fd=8 name=simctl/monitor age=9 \
        idle=0 flags=N db=0 qbuf=26 omem=0 tot-mem=22298 events=r cmd=info user=default redir=-1 resp=2\n\
        id=7 addr=127.0.0.1:48420 laddr=127.0.0.1:6380 fd=9 name=importer age=12 idle=0 flags=N db=0 \
        sub=0 qbuf=20480 qbuf-free=0 omem=4096 tot-mem=66698 events=r cmd=SET user=app redir=-1 resp=2\n";

    #[test]
    fn who_waits_without_having_asked_to_is_held_back() {
        let list = |flags: &str, cmd: &str| {
            format!("id=7 addr=10.0.0.1:5 name=simctl/fresh flags={flags} cmd={cmd} user=default\n")
        };
        assert_eq!(held_back(&(list("b", "set") + &list("b", "hset"))), 2);
        for (flags, cmd) in
            [("N", "set"), ("b", "blpop"), ("b", "XREADGROUP"), ("b", "ft.search"), ("b", "wait")]
        {
            assert_eq!(held_back(&list(flags, cmd)), 0, "{flags} {cmd}");
        }
    }

    #[test]
    fn clients_are_read_with_everything_a_diagnosis_uses_and_ours_are_left_out() {
        let expected = RedisClient {
            id: 7,
            addr: "127.0.0.1:48420".into(),
            name: "importer".into(),
            user: "app".into(),
            age_s: 12,
            idle_s: 0,
            cmd: "set".into(),
            flags: "N".into(),
            omem: 4_096,
            qbuf: 20_480,
            total_mem: 66_698,
        };
        assert_eq!(parse(LIST), [expected]);
        assert!(parse("garbage\n\n").is_empty());
    }
}
