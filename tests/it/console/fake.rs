//! A Redis that answers the probes and never changes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

const INFO: &str = "# Server\r\nredis_version:7.2.0\r\nrun_id:0123456789abcdef\r\nuptime_in_seconds:100\r\n\
    process_id:1\r\ntcp_port:6379\r\nmaster_replid:0\r\nloading:0\r\n\
    # Clients\r\nconnected_clients:2\r\nmaxclients:10000\r\nblocked_clients:0\r\n\
    # Memory\r\nused_memory:1048576\r\nmaxmemory:52428800\r\nmaxmemory_policy:noeviction\r\n\
    used_memory_rss:2097152\r\nmem_fragmentation_ratio:2.00\r\n\
    # Stats\r\ninstantaneous_ops_per_sec:4\r\nrejected_connections:0\r\nevicted_keys:0\r\n\
    expired_keys:0\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\ntotal_commands_processed:100\r\n\
    # Persistence\r\nrdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\n\
    # Replication\r\nrole:master\r\nconnected_slaves:0\r\n# Keyspace\r\ndb0:keys=7,expires=1,avg_ttl=0\r\n";

/// Starts one for as long as the test runs; a configuration that watches it and nothing else.
pub(crate) fn watched() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(&stream));
        }
    });
    format!(
        "[lab]\nenabled = false\n[[target]]\nname = \"calm\"\nurl = \"redis://127.0.0.1:{port}\"\n\
         [store]\nurl = \"sqlite:records.db\"\n"
    )
}

/// Answers until the client goes away.
fn serve(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Some(command) = read(&mut reader) {
        let word = command.first().map(|word| word.to_uppercase()).unwrap_or_default();
        let answer = match word.as_str() {
            "INFO" => format!("${}\r\n{INFO}\r\n", INFO.len()),
            "PING" => "+PONG\r\n".to_owned(),
            "GET" => "$-1\r\n".to_owned(),
            "CONFIG" => "*0\r\n".to_owned(),
            "SET" | "CLIENT" | "SELECT" => "+OK\r\n".to_owned(),
            _ => "-ERR unknown command\r\n".to_owned(),
        };
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One command, as the words of an array.
fn read(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let count = number(reader, '*')?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; number(reader, '$')? + 2];
            reader.read_exact(&mut word).ok()?;
            Some(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned())
        })
        .collect()
}

fn number(reader: &mut impl BufRead, mark: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(mark)?.parse().ok()
}
