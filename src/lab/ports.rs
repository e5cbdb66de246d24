//! Whether a port of 127.0.0.1 is free, and who has it when it is not.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use super::spec::Part;

/// Whether a server could listen there. A port we may not even ask for is left to the server to report.
pub(super) fn is_free(port: u16) -> bool {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::AddrInUse,
    }
}

/// One sentence for a person.
pub(super) fn taken(part: Part, port: u16, holder: Option<String>) -> anyhow::Error {
    let holder = holder.or_else(|| listener(port)).unwrap_or_else(|| "another program".into());
    anyhow::anyhow!(
        "port {port} on 127.0.0.1, where the lab's {} should listen, is taken by {holder}: \
         stop that, or set `{}` under `[lab]` to a free port",
        part.as_str(),
        part.port_key()
    )
}

/// The program that listens there, as far as we may see.
fn listener(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let socket = format!("socket:[{inode}]");
    let holds = |pid: &str| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.to_str() == Some(socket.as_str()))
    };
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pid = pids
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .find(|pid| holds(pid))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (process {pid})", name.trim()))
}

/// The inode of the listening socket of this port in a table like `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTENING: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTENING;
        if ours { fields.get(9)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder_and_the_key_that_moves_ours() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        assert!(!is_free(port));
        let text = taken(Part::Postgres, port, None).to_string();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        assert!(text.contains(&port.to_string()) && text.contains("`postgres_port`"), "{text}");
        drop(held);
        assert!(is_free(port));
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:18EC 0100007F:D431 01 00000000:00000000 00:00000000 00000000 0 0 11 1\n\
            1: 0100007F:18EC 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 22 1\n";
        assert_eq!(listening_inode(table, 6380), Some(22));
        assert_eq!(listening_inode(table, 6381), None);
    }
}
