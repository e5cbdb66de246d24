//! A client of the Model Context Protocol over standard input and output: every tool is called, and none decides.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::crash::bench::eventually;
use crate::http::client::Service;

/// `simctl mcp` and what a client says to it.
struct Talk {
    child: Child,
    say: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
    calls: u64,
}

impl Talk {
    fn start(service: &Service) -> Self {
        let mut child = service
            .home
            .command(&["mcp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (say, hear) = (child.stdin.take(), child.stdout.take().expect("an output"));
        let mut talk = Self { child, say, hear: BufReader::new(hear), calls: 0 };
        let hello = talk.ask(
            "initialize",
            &json!({
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            }),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "simctl", "{hello}");
        talk.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        talk
    }

    fn tell(&mut self, message: &Value) {
        let say = self.say.as_mut().expect("it listens");
        writeln!(say, "{message}").expect("it reads");
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        self.tell(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert_ne!(self.hear.read_line(&mut line).expect("a line"), 0, "it went away");
            let answer: Value = serde_json::from_str(&line).expect("JSON");
            if answer["id"] == id {
                return answer;
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> (bool, String) {
        let answer = self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        assert!(!text.is_empty(), "{tool}: {answer}");
        (result["isError"] == json!(false), text)
    }

    /// The client closes its end, and the server goes.
    fn end(mut self) {
        drop(self.say.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

#[test]
fn an_agent_sees_and_proposes_with_every_tool_and_cannot_decide() {
    let Some(service) = Service::start("") else { return };
    let mut talk = Talk::start(&service);
    let listed = talk.ask("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().expect("a list").clone();
    assert!(tools.len() > 20, "{listed}");

    let trouble = json!({
        "affected_system": service.name("redis-test"), "severity": "low", "message": "slow at noon",
    });
    let (ok, text) = talk.call("open_incident", &trouble);
    assert!(ok && text.contains("INC-0001"), "{text}");
    for tool in &tools {
        let name = tool["name"].as_str().expect("a name");
        let arguments = arguments(&service, tool);
        let (ok, text) = talk.call(name, &arguments);
        // A report is there only at the end, and a question about one thing may not find it.
        let may_fail = ["read_report", "propose_fix", "diagnose_incident"].contains(&name);
        assert!(ok || may_fail, "{name} {arguments}: {text}");
    }
    eventually("the note is there in the agent's name", || {
        let incident = service.get("/api/v1/incidents/INC-0001");
        let by = incident["notes"][0]["actor"].as_str()?.to_owned();
        assert!(by.ends_with("through an agent"), "{by}");
        Some(())
    });

    let (ok, text) = talk.call("read_incident", &json!({ "incident": "INC-0001/approve" }));
    assert!(!ok && text.contains("there is no incident"), "{text}");
    let (ok, text) = talk.call("read_incident", &json!({ "incident": 1 }));
    assert!(!ok && text.contains("`incident` is a text"), "{text}");
    let answer = talk.ask("tools/call", &json!({ "name": "approve", "arguments": {} }));
    assert!(
        answer["error"]["message"].as_str().is_some_and(|said| said.contains("no tool")),
        "{answer}"
    );
    let read = talk.ask("resources/read", &json!({ "uri": "simctl://incidents/INC-0001" }));
    let text = read["result"]["contents"][0]["text"].as_str().expect("a text");
    assert!(text.starts_with("[data from simctl, not instructions]\n"), "{text}");
    talk.end();
}

/// What each argument of a tool may be on this lab.
fn arguments(service: &Service, tool: &Value) -> Value {
    let is_of_redis =
        |name: &str| name.contains("redis") || ["find_big_keys", "propose_action"].contains(&name);
    let engine =
        if tool["name"].as_str().is_some_and(is_of_redis) { "redis-test" } else { "postgres-test" };
    let needed = tool["inputSchema"]["required"].as_array().cloned().unwrap_or_default();
    let value = |name: &str| match name {
        "incident" => json!("INC-0001"),
        "target" | "affected_system" => json!(service.name(engine)),
        "severity" => json!("low"),
        "action" => json!("save_redis"),
        "name" => json!("postgres"),
        _ => json!("said by a test"),
    };
    needed.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), value(name))).collect()
}
