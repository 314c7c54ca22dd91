// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall batch`: lines of JSON become messages.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use nlcall_abi::config;
use nlcall_tests::{config::Changed, process::Child};

use crate::{
    command::checked,
    harness::{tests, Test},
};

pub const TESTS: &[Test] = tests![
    a_chain_passes_results_on,
    a_chain_breaks_where_a_call_fails,
    calls_are_made_inline,
    a_call_has_the_time_limit_of_its_line,
    a_refused_call_is_named_by_its_line,
    more_calls_than_may_be_in_flight,
    calls_are_made_in_another_process,
];

/// Runs the command with these lines, which must end with this status.
fn batch(arguments: &[&str], lines: &str, status: i32) -> (String, String) {
    let mut child = Command::new("nlcall")
        .arg("batch")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nlcall is on the PATH");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(lines.as_bytes()).expect("it reads all");
    drop(input);
    let output = child.wait_with_output().expect("it is ours");
    checked(output, &[&["batch"], arguments].concat(), status)
}

/// A file opened, measured, read as long as it is, and closed.
fn chain(path: &str, flags: &str) -> String {
    format!(
        r#"
{{"id": "open", "call": "openat", "args": ["AT_FDCWD", "{path}", "O_RDONLY"], "flags": [{flags}]}}
{{"id": "stat", "call": "fstat", "args": [{{"result_of": "open"}}, "@"], "flags": [{flags}, "hardlink"]}}
{{"id": "read", "call": "read", "args": [{{"result_of": "open"}}, "@100", {{"load_from": "stat", "offset": 48, "width": 8}}], "flags": [{flags}, "hardlink"]}}
{{"id": "close", "call": "close", "args": [{{"result_of": "open"}}], "flags": ["skip_success"{}]}}
"#,
        if flags.contains("inline") {
            ", \"inline\""
        } else {
            ""
        }
    )
}

fn a_chain_passes_results_on() {
    fs::write("file", "twelve bytes").expect("a file");
    let (printed, complained) = batch(&[], &chain("file", "\"link\""), 0);
    assert_eq!(complained, "");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "closing succeeded: {printed}");
    for (line, id) in lines.iter().zip(["open", "stat", "read"]) {
        let begin = format!("{{\"version\":1,\"id\":\"{id}\",");
        assert!(line.starts_with(&begin), "{printed}");
        assert!(line.contains("\"outcome\":\"ran\""), "{printed}");
    }
    assert!(lines[1].contains("st_size=12"), "{printed}");
    assert!(lines[2].contains("\"ret\":12,"), "{printed}");
    assert!(lines[2].contains(r#"\"twelve bytes\""#), "{printed}");
}

fn a_chain_breaks_where_a_call_fails() {
    let (printed, _) = batch(&[], &chain("no-such-file", "\"link\""), 1);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "{printed}");
    assert!(lines[0].contains("\"errno\":\"ENOENT\""), "{printed}");
    for line in &lines[1..] {
        assert!(line.contains("\"outcome\":\"canceled\""), "{printed}");
    }
}

fn calls_are_made_inline() {
    fs::write("file", "inline").expect("a file");
    let (printed, _) = batch(&[], &chain("file", "\"link\", \"inline\""), 0);
    assert!(printed.contains(r#"\"inline\""#), "{printed}");
    // They act on the command's own thread, one after the other.
    let lines = r#"{"call": "setuid", "args": [1000], "flags": ["inline"]}
{"call": "getuid", "flags": ["inline"]}"#;
    let (printed, _) = batch(&[], lines, 0);
    assert!(
        printed.contains("\"line\":\"getuid() = 1000\""),
        "{printed}"
    );
}

fn a_call_has_the_time_limit_of_its_line() {
    let lines = r#"{"id": 7, "call": "nanosleep", "args": [{"tv_sec": 1000, "tv_nsec": 0}, null], "timeout": "20ms"}
{"id": 8, "call": "getpid"}"#;
    let (printed, _) = batch(&[], lines, 1);
    let line = |id: &str| {
        let mut lines = printed.lines();
        lines.find(|line| line.contains(id)).expect("a line")
    };
    assert!(
        line("\"id\":7,").contains("\"outcome\":\"timed out\""),
        "{printed}"
    );
    assert!(
        line("\"id\":8,").contains("\"outcome\":\"ran\""),
        "{printed}"
    );
}

fn a_refused_call_is_named_by_its_line() {
    let lines = "\n{\"call\": \"getpid\"}\n\n{\"call\": \"setuid\", \"args\": [0]}\n";
    let (printed, complained) = batch(&[], lines, 1);
    assert_eq!(printed, "", "a message is rejected whole");
    assert!(
        complained.starts_with("nlcall: standard input:4: refused: setuid: "),
        "{complained}"
    );
    // By its name, where it is read from a file.
    fs::write("calls", "{\"call\": \"rt_sigreturn\"}").expect("a file");
    let (_, complained) = batch(&["calls"], "", 1);
    assert!(
        complained.starts_with("nlcall: calls:1: refused: rt_sigreturn: "),
        "{complained}"
    );
}

fn more_calls_than_may_be_in_flight() {
    let _limit = Changed::numbers([(config::MAX_IN_FLIGHT, 64)]);
    const CALLS: usize = 2000;
    let lines = "{\"call\": \"getpid\"}\n".repeat(CALLS);
    let (printed, _) = batch(&[], &lines, 0);
    let mut ids: Vec<usize> = printed
        .lines()
        .map(|line| {
            let id = line.strip_prefix("{\"version\":1,\"id\":").expect("an id");
            let id = id.split(',').next().expect("an id");
            id.parse().expect("a number")
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=CALLS).collect::<Vec<_>>());
}

fn calls_are_made_in_another_process() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "elsewhere").expect("a file");
    let path = folder.path().to_str().expect("UTF-8");
    let child = Child::fork(|parent| {
        parent.try_get();
    });
    let pid = child.pid().to_string();
    let lines = format!(
        r#"{{"call": "chdir", "args": ["{path}"], "flags": ["link"]}}
{{"id": "open", "call": "openat", "args": ["AT_FDCWD", "file", "O_RDONLY"], "flags": ["link"]}}
{{"call": "read", "args": [{{"result_of": "open"}}, "@100", 100], "flags": ["hardlink"]}}
{{"call": "close", "args": [{{"result_of": "open"}}], "flags": ["hardlink"]}}
{{"call": "getpid"}}"#
    );
    let (printed, complained) = batch(&["--pid", &pid], &lines, 0);
    assert_eq!(complained, "");
    assert_eq!(printed.lines().count(), 5, "{printed}");
    assert!(printed.contains(r#"\"elsewhere\""#), "{printed}");
    assert!(
        printed.contains(&format!("getpid() = {pid}\"")),
        "{printed}"
    );
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).expect("the process is there");
    assert_eq!(cwd, folder.path());
}
