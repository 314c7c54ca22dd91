// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall top` and `nlcall stat`: what they show is what goes on.

mod terminal;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nlcall::raw::Session;
use nlcall_tests::{
    calls::{self, inline},
    pipe::Pipe,
    process::Child,
    session,
};

use crate::{
    command::ends,
    harness::{tests, Test},
};
use terminal::Terminal;

pub const TESTS: &[Test] = tests![
    a_look_has_what_is_in_flight,
    a_look_has_what_happened_since_the_one_before,
    a_line_has_all_sessions,
    nothing_goes_on_without_a_session,
    keys_order_and_filter,
    a_key_ends_the_process_of_a_session,
    a_signal_gives_the_terminal_back,
];

/// A session with a call that blocks as long as the pipe is empty.
fn with_a_blocked_read(pipe: &Pipe) -> Session {
    let session = Session::open().expect("a session");
    session::submit(&session, 0, [pipe.read_call()]);
    session::info_until(&session, "it is blocked", |info| info.blocked == 1);
    session
}

/// A process with such a session.
fn process_with_a_blocked_read() -> Child {
    let child = Child::fork(|parent| {
        let pipe = Pipe::new();
        let session = with_a_blocked_read(&pipe);
        parent.put(0);
        parent.try_get();
        pipe.fill(b"x");
        session::collect_any(&session, 1);
    });
    child.channel().get();
    child
}

/// The words of the line about this process.
fn words_of(printed: &str, pid: u32) -> Vec<String> {
    let pid = pid.to_string();
    let mut lines = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|words| words.first() == Some(&pid.as_str()));
    let line = line.unwrap_or_else(|| panic!("no line for {pid}: {printed}"));
    line.into_iter().map(str::to_owned).collect()
}

fn a_look_has_what_is_in_flight() {
    let pipe = Pipe::new();
    let session = with_a_blocked_read(&pipe);
    let own = session::info(&session);
    let top = ["top", "-b", "-n", "1", "-i", "20ms", "-w", "80"];
    let (printed, complained) = ends(&top, 0);
    assert_eq!(complained, "");
    let words = words_of(&printed, std::process::id());
    // In flight, queued, running, blocked, workers; nothing was delivered that would have a latency.
    let workers = own.workers.to_string();
    let expected = ["0", "1", "0", "1", "1", workers.as_str(), "-"];
    assert!(words.ends_with(&expected.map(str::to_owned)), "{printed}");
    assert!(printed.contains("1 sessions, 0 saturated"), "{printed}");
    assert!(
        printed.contains("In flight 1: 0 queued, 1 running, 1 blocked, 0 undelivered"),
        "{printed}"
    );
    pipe.fill(b"x");
    session::collect_any(&session, 1);
}

fn a_look_has_what_happened_since_the_one_before() {
    let session = Session::open().expect("a session");
    let is_over = AtomicBool::new(false);
    let printed = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                session::value(&session, calls::getpid());
                session::inline_values(&session, inline([calls::getpid()]));
            }
        });
        let (printed, _) = ends(&["top", "-b", "-n", "2", "-i", "300ms"], 0);
        is_over.store(true, Ordering::Relaxed);
        printed
    });
    let last = printed.rsplit("nlcall top").next().expect("a look");
    let own: Vec<_> = last
        .lines()
        .find(|line| line.contains(&format!(" {} ", std::process::id())))
        .expect("a line for this process")
        .split_whitespace()
        .collect();
    // Number, process, name, on behalf of nobody, accepted, delivered, INLINE per second.
    assert_eq!(own[3], "-", "{printed}");
    for rate in &own[4..7] {
        assert!(!["0", "-"].contains(rate), "{printed}");
    }
    let latency = last.split("CALL ").nth(1).expect("a second table");
    assert!(latency.contains("\ngetpid "), "{printed}");
}

fn a_line_has_all_sessions() {
    let pipes = Pipe::several(2);
    let sessions: Vec<_> = pipes.iter().map(with_a_blocked_read).collect();
    let (printed, complained) = ends(&["stat", "-i", "0.02", "2"], 0);
    assert_eq!(complained, "");
    let lines: Vec<Vec<_>> = printed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 3, "a heading and two lines: {printed}");
    let place = |name| lines[0].iter().position(|heading| *heading == name);
    for line in &lines[1..] {
        for (name, expected) in [
            ("sess", "2"),
            ("sat", "0"),
            ("flight", "2"),
            ("queued", "0"),
            ("run", "2"),
            ("block", "2"),
            ("call/s", "0"),
            ("p99", "-"),
        ] {
            let at = place(name).expect("a column");
            assert_eq!(line[at], expected, "{name}: {printed}");
        }
    }
    let (printed, _) = ends(&["--json", "stat", "-i", "20ms", "1"], 0);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    for member in ["\"version\":1,", "\"sessions\":2,", "\"blocked\":2,"] {
        assert!(printed.contains(member), "{printed}");
    }
    for (pipe, session) in pipes.iter().zip(&sessions) {
        pipe.fill(b"x");
        session::collect_any(session, 1);
    }
}

fn nothing_goes_on_without_a_session() {
    let (printed, _) = ends(&["top", "-b", "-n", "1", "-i", "10ms"], 0);
    assert!(printed.contains("No session is open."), "{printed}");
    let (printed, _) = ends(&["--json", "top", "-n", "1", "-i", "10ms"], 0);
    assert!(printed.contains("\"sessions\":[]"), "{printed}");
}

fn keys_order_and_filter() {
    let children = [(); 2].map(|()| process_with_a_blocked_read());
    let pids = [0, 1].map(|at: usize| children[at].pid().to_string());
    let mut terminal = Terminal::start(&["top", "-i", "100ms", "--sort", "PID"]);
    for pid in &pids {
        terminal.shows(pid);
    }
    terminal.press(&format!("/{}\r", pids[1]));
    terminal.comes_to("one session", |text| !text.contains(&pids[0]));
    terminal.shows("Only what has in it");
    terminal.press("\x1b");
    terminal.shows(&pids[0]);
    terminal.press(">");
    terminal.shows("Ordered by COMM");
    terminal.press("?");
    terminal.shows("look less or more often");
    terminal.press("x");
    terminal.press("q");
    terminal.ends();
}

fn a_key_ends_the_process_of_a_session() {
    let mut child = process_with_a_blocked_read();
    let mut terminal = Terminal::start(&["top", "-i", "100ms"]);
    terminal.shows(&child.pid().to_string());
    terminal.press("k");
    terminal.shows(&format!("Signal process {}", child.pid()));
    terminal.press("t");
    terminal.shows("Signal 15 was sent to process");
    let status = child.wait();
    let signal = nix::sys::signal::Signal::SIGTERM;
    let expected = nix::sys::wait::WaitStatus::Signaled(child.pid(), signal, false);
    assert_eq!(status, expected);
    terminal.press("q");
    terminal.ends();
}

fn a_signal_gives_the_terminal_back() {
    let mut terminal = Terminal::start(&["top"]);
    terminal.shows("No session is open.");
    terminal.signal(nix::sys::signal::Signal::SIGTERM);
    terminal.ends();
}
