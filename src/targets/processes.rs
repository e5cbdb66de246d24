//! Processes of a server, seen from beside it: how the kernel has them, and whether the client at the other end of a
//! connection is still there.

use std::net::IpAddr;
use std::time::Duration;

use super::{Place, dial};
use crate::domain::execution::Output;
use crate::domain::sample::Answer;
use crate::ports::runtime::{ExecLimits, RuntimeKind};

const DEADLINE: Duration = Duration::from_secs(2);
const FIRST: i32 = 1;
/// The tables of connections, which the kernel keeps for each network of its own.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// A connection that both ends have, in the kernel's number.
const ESTABLISHED: &str = "01";
/// What `cat` ends with when a file is not there.
const NO_SUCH_FILE: i64 = 1;

/// How the kernel sees a container's first process, with which everything in there lives and stops: `S` waits, `R` runs,
/// `T` is stopped by a signal.
pub async fn first(place: &Place) -> Result<char, Answer> {
    if place.runtime.kind() != RuntimeKind::Docker {
        return Err(dial::failed("RUNTIME", "it is no container"));
    }
    let seen = state(place, FIRST).await?;
    seen.ok_or_else(|| dial::failed("PROC", "there is no first process"))
}

/// The same of one process, by its number in there; `None`: there is none of that number.
pub async fn state(place: &Place, pid: i32) -> Result<Option<char>, Answer> {
    let output = read(place, &[&format!("/proc/{pid}/stat")]).await?;
    match (parse(&output.stdout), output.exit_code) {
        (Some(state), _) => Ok(Some(state)),
        (None, Some(NO_SUCH_FILE)) => Ok(None),
        (None, _) => Err(dial::failed("PROC", output.stderr.trim())),
    }
}

/// Whether it stands still because of a signal.
pub fn is_stopped(state: char) -> bool {
    matches!(state, 'T' | 't')
}

/// The name in brackets may hold anything, so everything is counted from the last bracket.
fn parse(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The connections of a server's network that both ends still have, by the address at the other end.
pub(super) struct Connections(Vec<(Option<IpAddr>, u16)>);

impl Connections {
    pub(super) async fn of(place: &Place) -> Result<Self, Answer> {
        let listed = read(place, &TABLES).await?;
        let connections: Vec<_> = listed.stdout.lines().filter_map(established).collect();
        // Whoever asks is connected: an empty list was not read.
        match connections.as_slice() {
            [] => Err(dial::failed("PROC", "the table of connections is empty")),
            _ => Ok(Self(connections)),
        }
    }

    /// Whether one of them is to this client.
    pub(super) fn lead_to(&self, address: IpAddr, port: u16) -> bool {
        let is_it = |known: Option<IpAddr>| known.is_none_or(|known| known == address);
        self.0.iter().any(|(known, at)| *at == port && is_it(*known))
    }
}

/// The other end of a line of the table, when the connection is whole. An address of version 6 that is no mapped one is
/// not compared.
fn established(line: &str) -> Option<(Option<IpAddr>, u16)> {
    let mut fields = line.split_whitespace().skip(2);
    let (remote, state) = (fields.next()?, fields.next()?);
    if state != ESTABLISHED {
        return None;
    }
    let (address, port) = remote.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let last = address.get(address.len().checked_sub(8)?..)?;
    let is_mapped = address.len() == 8 || address.starts_with("0000000000000000FFFF0000");
    // Written as the machine has it in memory, the lowest byte first.
    let v4 = u32::from_str_radix(last, 16).ok()?.to_le_bytes();
    Some((is_mapped.then(|| IpAddr::from(v4)), port))
}

async fn read(place: &Place, files: &[&str]) -> Result<Output, Answer> {
    let argv: Vec<String> = ["cat"].iter().chain(files).map(|word| (*word).to_owned()).collect();
    let limits = ExecLimits { deadline: DEADLINE, output_bytes: 1 << 20 };
    let ran = place.runtime.exec(&place.unit, &argv, None, limits).await;
    ran.map_err(|error| dial::failed("RUNTIME", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_follows_the_name() {
        assert_eq!(parse("1 (redis-server) T 0 1 1 0 -1"), Some('T'));
        assert_eq!(parse("1 (a) b (c) S 0 1"), Some('S'));
        assert_eq!(parse("cat: /proc/1/stat: No such file or directory"), None);
        assert!(is_stopped('T') && !is_stopped('S'));
    }

    #[test]
    fn only_a_connection_that_both_ends_have_leads_to_its_client() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt
   0: 00000000:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100
   1: 020011AC:1538 010011AC:BB3A 08 00000000:00000001 02:000AFB9C 00000000   100
   2: 020011AC:1538 010011AC:BB3C 01 00000000:00000001 02:000AFB9C 00000000   100
   3: 0000000000000000FFFF00000100007F:1538 0000000000000000FFFF00000100007F:BB3E 01 00000000:00000000
   4: 00000000000000000000000001000000:1538 00000000000000000000000001000000:BB40 01 00000000:00000000";
        let connections = Connections(table.lines().filter_map(established).collect());
        let leads = |address: &str, port| connections.lead_to(address.parse().unwrap(), port);
        assert!(!leads("172.17.0.1", 0xbb3a), "its client has hung up");
        assert!(leads("172.17.0.1", 0xbb3c) && !leads("172.17.0.9", 0xbb3c));
        assert!(leads("127.0.0.1", 0xbb3e) && leads("::1", 0xbb40));
    }
}
