// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's own `ynl` command, which knows the family from its specification alone.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use nlcall::raw::Session;
use nlcall_tests::{calls, session};
use serde_norway::Value;

use super::{specification, succeeds, ynl_tools};
use crate::harness::{needs, tests, Test};

pub const TESTS: &[Test] = tests![
    ynl_submits_and_hears_of_it,
    ynl_dumps_what_there_is,
    ynl_shows_why_a_message_is_rejected,
];

/// `getppid` and `close` of no descriptor, as YNL writes structures.
const CALLS: &str = r#"{"call-size": 80, "calls": [
    {"user-data": 1, "nr": 110},
    {"user-data": 2, "nr": 3, "args":
     "ffffffff0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"}
]}"#;

/// The command, with the specification; it prints a line of JSON for each message.
fn ynl(arguments: &[&str]) -> Command {
    needs("/usr/lib/python3/dist-packages/yaml");
    let mut command = Command::new("python3");
    command
        .arg("-u")
        .arg(ynl_tools().join("pyynl/cli.py"))
        .args(["--no-schema", "--output-json", "--spec"])
        .arg(specification())
        .args(arguments);
    command
}

/// Runs the command to its end and returns what it printed.
fn answer(arguments: &[&str]) -> Value {
    let (_, lines) = succeeds(&mut ynl(arguments));
    let [line] = lines.as_slice() else {
        panic!("{arguments:?}: one line: {lines:?}")
    };
    serde_norway::from_str(line).expect("JSON, which is YAML")
}

/// Ends when it is dropped, as a person would end it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id() as i32);
        // It may have ended by itself.
        let _ = kill(pid, Signal::SIGINT);
        drop(self.0.wait());
    }
}

fn ynl_submits_and_hears_of_it() {
    let mut command = ynl(&["--subscribe", "trace", "--multi", "trace-start", "{}"]);
    command.args(["--multi", "submit", CALLS]);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut running = Running(child.expect("python3 is there"));
    let pid = running.0.id();
    let output = running.0.stdout.take().expect("a pipe");
    let mut messages = BufReader::new(output).lines().map(|line| {
        let line = line.expect("UTF-8");
        serde_norway::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    });

    // The replies to both messages, the second of which has none.
    let replies = messages.next().expect("the replies");
    assert!(replies[0]["seq"].is_u64(), "{replies:?}");
    assert_eq!(replies[1], Value::Null);

    let (mut results, mut events) = (Vec::new(), Vec::new());
    while results.len() < 2 || events.len() < 4 {
        let message = messages.next().expect("more messages");
        let body = &message["msg"];
        match message["name"].as_str() {
            Some("complete") => results.extend(unpacked(body["results"].as_str().expect("hex"))),
            Some("trace") if body["pid"] == pid => events.push(body.clone()),
            _ => {}
        }
    }
    results.sort_unstable();
    let parent = i64::from(std::process::id());
    assert_eq!(results, [(1, parent), (2, i64::from(-libc::EBADF))]);

    let of = |kind: &str, nr: u32| {
        let mut found = events
            .iter()
            .filter(|it| it["event"] == kind && it["nr"] == nr);
        let event = found
            .next()
            .unwrap_or_else(|| panic!("{kind} {nr}: {events:?}"));
        assert!(found.next().is_none(), "{kind} {nr} twice: {events:?}");
        event
    };
    for nr in [110, 3] {
        let submitted = of("submitted", nr);
        assert_eq!(submitted["way"], "worker", "{submitted:?}");
        assert_eq!(
            submitted["flags"],
            Value::Sequence(Vec::new()),
            "{submitted:?}"
        );
        assert_eq!(of("completed", nr)["outcome"], "ran");
    }
    assert_eq!(of("completed", 110)["ret"], parent);
    assert_eq!(of("completed", 3)["ret"], -libc::EBADF);
}

/// `user_data` and `ret` of each entry of a packed array of results.
fn unpacked(hex: &str) -> Vec<(u64, i64)> {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect();
    let entries = bytes.chunks_exact(size_of::<nlcall_abi::CallResult>());
    entries
        .map(|entry| {
            let number = |at: usize| entry[at..at + 8].try_into().expect("eight bytes");
            (u64::from_ne_bytes(number(0)), i64::from_ne_bytes(number(8)))
        })
        .collect()
}

fn ynl_dumps_what_there_is() {
    let session = Session::open().expect("a session");
    session::value(&session, calls::getpid());
    let own = session::info(&session);

    let sessions = answer(&["--dump", "session-get"]);
    let sessions = sessions.as_sequence().expect("an array");
    let shown = sessions.iter().find(|it| it["id"] == own.id);
    let shown = shown.unwrap_or_else(|| panic!("session {}: {sessions:?}", own.id));
    assert_eq!(shown["pid"], std::process::id());
    assert_eq!(shown["state"], "open");
    assert_eq!(
        (&shown["accepted"], &shown["delivered"]),
        (&1.into(), &1.into())
    );
    // YNL decodes the structure.
    let latency = &shown["latency"][0];
    assert_eq!((&latency["nr"], &latency["count"]), (&39.into(), &1.into()));

    let table = answer(&["--dump", "syscall-get"]);
    let verdicts = session.syscalls().expect("SYSCALL_GET is answered");
    let table = table.as_sequence().expect("an array");
    assert_eq!(table.len(), verdicts.len());
    for (shown, ours) in table.iter().zip(&verdicts) {
        assert_eq!(
            (&shown["nr"], &shown["name"]),
            (&ours.nr.into(), &(*ours.name).into())
        );
    }

    let features = answer(&["--do", "features-get"]);
    assert_eq!(features["call-size"], 80);
    let kinds = features["arg-kinds"].as_sequence().expect("names");
    assert!(kinds.contains(&"out-ptr".into()), "{features:?}");
    let config = answer(&["--do", "config-get"]);
    assert_eq!(config["access"], "everyone");
}

fn ynl_shows_why_a_message_is_rejected() {
    let calls = r#"{"call-size": 80, "calls": [{"nr": 15}]}"#;
    let output = ynl(&["--do", "submit", "--json", calls]).output();
    let output = output.expect("python3 is there");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    // The extended acknowledgement: the reason, and the attribute that the offset is in.
    assert!(printed.contains("saved registers"), "{printed}");
    assert!(printed.contains(".calls"), "{printed}");
}
