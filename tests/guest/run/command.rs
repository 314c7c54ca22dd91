// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command itself: what it refuses, what it counts, and that the calls do travel.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, Output, Stdio},
};

use nlcall::raw::SessionInfo;
use nlcall_tests::{patience, seccomp::Filter, session};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    the_calls_are_the_sessions,
    each_process_has_a_session_of_its_own,
    the_summary_says_how_calls_travelled,
    programs_that_cannot_be_run_so_are_refused,
    a_kernel_that_gives_no_call_back_is_told,
    the_trace_has_a_line_for_each_call,
    the_status_is_the_programs,
    the_session_cannot_be_closed,
];

fn nlcall(arguments: &[&str]) -> Output {
    Command::new("nlcall")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("nlcall is on the PATH")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn session_of(pid: u32) -> Option<SessionInfo> {
    session::all().into_iter().find(|it| it.pid == pid)
}

/// A program waits for its input: that read is in flight, and the calls before it are counted.
fn the_calls_are_the_sessions() {
    let mut child = Command::new("nlcall")
        .args(["run", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nlcall is on the PATH");
    let pid = child.id();
    // Where it is to stay, and not on its way there.
    let waits = || {
        let stack = fs::read_to_string(format!("/proc/{pid}/stack"));
        stack.is_ok_and(|stack| stack.contains("pipe_read"))
    };
    let counted = || {
        let session = session_of(pid).expect("its session");
        assert_eq!(session.in_flight, 1, "{session:?}");
        session.inline
    };
    patience::until("the program waits in a read", waits);
    let before = counted();
    assert!(before > 0, "{before} calls before");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"text").expect("it reads");
    patience::until("it has read and written", || {
        session_of(pid).is_some_and(|it| it.inline >= before + 2)
    });
    patience::until("the program waits again", waits);
    assert!(counted() >= before + 2);
    drop(input);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stdout == b"text");
}

fn each_process_has_a_session_of_its_own() {
    let mut child = Command::new("nlcall")
        .args(["run", "--", "sh", "-c", "cat & exec 3<&0; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("nlcall is on the PATH");
    let names = || {
        let mut names: Vec<_> = session::all()
            .into_iter()
            .filter(|it| it.inline > 0 && it.pid != 0)
            .map(|it| it.comm)
            .collect();
        names.sort();
        names
    };
    patience::until("both have sessions", || names() == ["cat", "sh"]);
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
}

/// A line of the summary.
struct Row {
    name: String,
    /// By column.
    numbers: BTreeMap<&'static str, u64>,
}

/// The summary at the end of what was complained about.
fn summary(complained: &[u8]) -> Vec<Row> {
    const COLUMNS: [&str; 5] = ["calls", "errors", "worker", "INLINE", "native"];
    let text = text(complained);
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("% time"));
    let head = head.unwrap_or_else(|| panic!("no summary: {text}"));
    // Numbers end where their headings do.
    let end = |name: &str| lines[head].find(name).expect("a heading") + name.len();
    let mut rows: Vec<Row> = Vec::new();
    for line in &lines[head + 1..] {
        let mut begin = end("usecs/call");
        let mut numbers = BTreeMap::new();
        for name in COLUMNS {
            let cell = line[begin..end(name)].trim();
            // Nothing where there is none.
            let number = if cell.is_empty() { "0" } else { cell };
            numbers.insert(name, number.parse().expect("a number"));
            begin = end(name);
        }
        let name = line[begin..].trim().to_owned();
        rows.push(Row { name, numbers });
    }
    let total = rows.pop().expect("a last line");
    assert_eq!(total.name, "total");
    for name in COLUMNS {
        let sum: u64 = rows.iter().map(|row| row.numbers[name]).sum();
        assert_eq!(sum, total.numbers[name], "{name}: {text}");
    }
    rows
}

fn the_summary_says_how_calls_travelled() {
    let script = "cat /etc/hostname; for i in 1 2 3; do /bin/true; done; cat /nothing; exit 3";
    let output = nlcall(&["run", "-c", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.starts_with("cat: /nothing"), "{said}");
    let rows = summary(&output.stderr);
    let number = |name: &str, column: &str| {
        let row = rows.iter().find(|row| row.name == name);
        row.unwrap_or_else(|| panic!("no {name}: {said}")).numbers[column]
    };
    assert_eq!(number("execve", "native"), 5, "{said}");
    assert_eq!(number("execve", "INLINE"), 0, "{said}");
    assert_eq!(number("exit_group", "native"), 6, "{said}");
    assert!(number("read", "INLINE") >= 2, "{said}");
    assert!(number("openat", "errors") >= 1, "{said}");
    for name in ["read", "openat", "wait4", "write"] {
        assert!(number(name, "INLINE") > 0, "{said}");
        assert_eq!(number(name, "native"), 0, "{said}");
    }
    assert!(rows.iter().all(|row| row.numbers["worker"] == 0));
}

/// A program is not run, for this reason.
fn refused(program: &str, why: &str) {
    let output = nlcall(&["run", "--", program]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty() && said.contains(why), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn a_kernel_that_gives_no_call_back_is_told() {
    // What such a kernel says to `PR_SET_SYSCALL_USER_DISPATCH`.
    const SET_DISPATCH: u32 = 59;
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32;
    Filter::with_argument(libc::SYS_prctl, 0, SET_DISPATCH, refusal).install();
    refused("true", "CONFIG_SYSCALL_USER_DISPATCH");
}

fn programs_that_cannot_be_run_so_are_refused() {
    refused("nlcall", "linked statically");
    refused("no-such-command", "command not found");
    refused("/etc/hostname", "no program");
    fs::write("script", "#!/usr/bin/env -S nlcall\n").expect("a script");
    fs::copy("/bin/true", "privileged").expect("a copy");
    let set = |path: &str, owner: Option<u32>, mode: u32| {
        use std::os::unix::fs::{chown, PermissionsExt};
        chown(path, owner, None).expect("root may");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    };
    set("privileged", Some(1000), 0o4755);
    refused("./privileged", "more rights");
    set("privileged", Some(1000), 0o755);
    assert!(nlcall(&["run", "--", "./privileged"]).status.success());
    set("script", None, 0o755);
    // The interpreter is linked dynamically; what that executes runs as it is.
    assert_eq!(nlcall(&["run", "--", "./script"]).status.code(), Some(2));
}

/// The shell makes its children with vfork, which goes on from a copy of its frame.
fn the_trace_has_a_line_for_each_call() {
    let script = "/bin/true; cat /etc/hostname /nothing; exit 2";
    let output = nlcall(&["run", "--trace", "--", "sh", "-c", script]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for line in [
        "exit_group(2) = ?",
        "exit_group(0) = ?",
        "exit_group(1) = ?",
        "openat(AT_FDCWD, \"/etc/hostname\", O_RDONLY) = 3",
        "openat(AT_FDCWD, \"/nothing\", O_RDONLY) = -1 ENOENT (No such file or directory)",
    ] {
        assert_eq!(said.matches(line).count(), 1, "{line}: {said}");
    }
    let executed = said.lines().filter(|line| line.contains("execve(\"/"));
    assert_eq!(
        executed.filter(|line| line.ends_with(" = 0")).count(),
        2,
        "{said}"
    );
}

fn the_status_is_the_programs() {
    for arguments in [&["run", "--"][..], &["run", "-c", "--"]] {
        let run = |script: &str| {
            let output = nlcall(&[arguments, &["sh", "-c", script]].concat());
            output.status
        };
        assert_eq!(run("exit 0").code(), Some(0));
        assert_eq!(run("exit 69").code(), Some(69));
        assert_eq!(run("kill -TERM $$").signal(), Some(libc::SIGTERM));
        assert_eq!(run("kill -KILL $$").signal(), Some(libc::SIGKILL));
    }
}

/// A program that closes everything keeps its session, and is told nothing of it.
fn the_session_cannot_be_closed() {
    let script = "import os\nos.closerange(3, 70000)\nopen('/etc/hostname').read()\n\
                  for fd in range(3, 1100):\n    try: os.close(fd); print('closed', fd)\n    except OSError: pass\n\
                  os.execvp('cat', ['cat', '/etc/hostname'])\n";
    let output = nlcall(&["run", "-c", "--", "python3", "-c", script]);
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout).lines().count(), 1);
    const NATIVE: [&str; 6] = [
        "execve",
        "exit_group",
        "close",
        "rt_sigaction",
        "rt_sigprocmask",
        "sigaltstack",
    ];
    for row in summary(&output.stderr) {
        let name = row.name.as_str();
        assert!(
            row.numbers["native"] == 0 || NATIVE.contains(&name),
            "{name}"
        );
    }
}
