// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `nlcall`, as far as it needs the module.

use std::process::{Command, Output};

use nlcall::raw::{Config, Session};
use nlcall_tests::{
    calls::{self, inline},
    session,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    calls_are_made_inline_on_demand,
    a_call_has_the_time_limit_of_the_command_line,
    a_call_is_described_as_the_module_decides,
    settings_are_shown_and_changed,
    sessions_are_shown,
];

fn nlcall(arguments: &[&str]) -> Output {
    Command::new("nlcall")
        .args(arguments)
        .output()
        .expect("nlcall is on the PATH")
}

/// Runs the command, which must end with this status, and returns what it printed and complained.
pub fn ends(arguments: &[&str], status: i32) -> (String, String) {
    checked(nlcall(arguments), arguments, status)
}

/// What the command printed and complained; it must have ended with this status.
pub fn checked(output: Output, arguments: &[&str], status: i32) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (printed, complained) = (text(output.stdout), text(output.stderr));
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {printed}{complained}"
    );
    (printed, complained)
}

fn calls_are_made_inline_on_demand() {
    let (_, complained) = ends(&["call", "setuid", "1000"], 1);
    assert!(complained.contains("add --inline"), "{complained}");
    let (printed, _) = ends(&["call", "--inline", "setuid", "1000"], 0);
    assert_eq!(printed, "setuid(1000) = 0\n");
    let (printed, complained) = ends(&["call", "--inline", "fork"], 0);
    // The parent prints it; the child, nothing.
    assert_eq!((printed.lines().count(), complained.as_str()), (1, ""));
    assert!(printed.starts_with("fork() = "), "{printed}");
    ends(&["call", "--inline", "exit_group", "7"], 7);
    ends(
        &["call", "--inline", "execve", "/bin/false", "NULL", "NULL"],
        1,
    );
    let (printed, _) = ends(&["call", "--inline", "close", "999"], 1);
    assert_eq!(printed, "close(999) = -1 EBADF (Bad file descriptor)\n");
    let (_, complained) = ends(&["call", "--inline", "rt_sigreturn"], 1);
    assert!(complained.contains("registers"), "{complained}");
}

fn a_call_has_the_time_limit_of_the_command_line() {
    let sleep = ["nanosleep", "{1000, 0}", "NULL"];
    let inline = ["call", "--inline", "--timeout", "20ms"];
    let (printed, _) = ends(&[&inline[..], &sleep].concat(), 1);
    assert!(
        printed.ends_with("= ? (timed out: ETIME (Timer expired))\n"),
        "{printed}"
    );
}

fn a_call_is_described_as_the_module_decides() {
    let session = Session::open().expect("a session");
    let version = &session.features().module_version;
    for call in session.syscalls().expect("the policy table") {
        if !["openat", "ppoll", "gettid", "setuid", "rt_sigreturn"].contains(&&*call.name) {
            continue;
        }
        let (printed, _) = ends(&["describe", &call.name], 0);
        let source = format!("the module that is loaded, version {version}");
        assert!(printed.contains(&source), "{printed}");
        let reason = call.reason.as_deref().unwrap_or("yes");
        assert!(printed.contains(reason), "{printed}");
        let (by_number, _) = ends(&["describe", &call.nr.to_string()], 0);
        assert_eq!(by_number, printed);
    }
}

fn settings_are_shown_and_changed() {
    let session = Session::open().expect("a session");
    let before = session.config().expect("the settings");
    let workers = before.max_workers.expect("a setting of this module");
    let (printed, _) = ends(&["config"], 0);
    let shown = printed
        .lines()
        .find(|line| line.starts_with("max_workers "))
        .expect("a line for it");
    assert_eq!(
        shown.split_whitespace().nth(1),
        Some(workers.to_string().as_str())
    );

    let changed = format!("max_workers={}", workers + 1);
    let (printed, complained) = ends(&["config", &changed], 0);
    assert_eq!((printed.as_str(), complained.as_str()), ("", ""));
    let after = session.config().expect("the settings");
    let mut expected = before.clone();
    expected.max_workers = Some(workers + 1);
    assert_eq!(after, expected, "nothing else changed");
    let (_, complained) = ends(&["config", "idle_ms=1", "max_workers=0"], 1);
    assert!(complained.contains("max_workers"), "{complained}");
    assert_eq!(
        session.config().expect("the settings"),
        expected,
        "all or nothing"
    );

    let mut restore = Config::default();
    restore.max_workers = Some(workers);
    session.set_config(&restore).expect("as it was");
}

fn sessions_are_shown() {
    let session = Session::open().expect("a session");
    session::inline_values(&session, inline([calls::getpid()]));
    session::value(&session, calls::getpid());
    let own = session::info(&session);
    let names = [own.id.to_string(), std::process::id().to_string()];
    let line_of_session = |printed: &str| -> Vec<String> {
        let mut lines = printed.lines().map(|line| {
            let words = line.split_whitespace().map(str::to_owned);
            words.collect::<Vec<_>>()
        });
        lines
            .find(|words| words.starts_with(&names))
            .expect("a line for the session")
    };
    let (printed, _) = ends(&["ps", "--long"], 0);
    // Accepted, delivered, and executed by the submitter; nothing went wrong, nor on behalf of another
    // process.
    let line = line_of_session(&printed);
    assert!(
        line.ends_with(&["2", "2", "1", "0", "0", "0", "0", "-"].map(str::to_owned)),
        "{printed}"
    );
    let (printed, _) = ends(&["--json", "ps"], 0);
    assert!(
        printed.contains(&format!("\"id\": {},", own.id)),
        "{printed}"
    );
    let (printed, _) = ends(&["ps", "--latency"], 0);
    // One call of a worker was timed.
    let line = line_of_session(&printed);
    assert_eq!(line[3..5], ["getpid", "1"], "{printed}");
}
