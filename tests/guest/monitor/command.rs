// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall monitor`

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, Command, Stdio},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use nlcall::raw::{Batch, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    patience, session,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    calls_are_printed_as_strace_prints_them,
    filters_choose_calls_and_processes,
    json_has_an_object_on_each_line,
    the_command_ends_when_it_is_told_to,
    a_closed_pipe_ends_it_quietly,
    losses_are_said,
    who_may_not_listen_is_told_why,
];

/// The command while it runs.
struct Running {
    child: Child,
    complaints: BufReader<ChildStderr>,
}

impl Running {
    /// Starts it and waits until it listens.
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("nlcall");
        command.arg("monitor").args(arguments);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nlcall is on the PATH");
        let complaints = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut running = Self { child, complaints };
        assert_eq!(running.complaint(), "nlcall: listening\n");
        running
    }

    fn complaint(&mut self) -> String {
        let mut line = String::new();
        self.complaints.read_line(&mut line).expect("UTF-8");
        line
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is there");
    }

    /// Waits for its good end; what it printed and, since it listened, complained.
    fn end(mut self) -> (String, String) {
        let (mut printed, mut complained) = (String::new(), String::new());
        let mut out = self.child.stdout.take().expect("a pipe");
        out.read_to_string(&mut printed).expect("UTF-8");
        self.complaints
            .read_to_string(&mut complained)
            .expect("UTF-8");
        let status = self.child.wait().expect("it is ours");
        assert!(status.success(), "{status}: {printed}{complained}");
        (printed, complained)
    }
}

fn own_pid() -> String {
    std::process::id().to_string()
}

fn calls_are_printed_as_strace_prints_them() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"hello\n").expect("written");
    let name = file.path().to_str().expect("UTF-8").to_owned();
    let session = Session::open().expect("a session");
    let running = Running::start(&["-p", &own_pid(), "--count", "6"]);

    let open = [
        libc::AT_FDCWD.into(),
        Memory::string(&name).into(),
        libc::O_RDONLY.into(),
    ];
    let fd = session::value(&session, call(libc::SYS_openat, &open)) as i32;
    session::value(&session, calls::read(fd, Memory::zeroed(64)));
    session::inline_values(&session, [calls::close(fd), calls::close(999)]);
    session::value(
        &session,
        call(
            libc::SYS_mmap,
            &[
                0.into(),
                4096.into(),
                libc::PROT_READ.into(),
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS).into(),
                (-1).into(),
                0.into(),
            ],
        ),
    );
    let batch = Batch::from(call(libc::SYS_rt_sigreturn, &[]));
    session.submit(batch).expect_err("rejected");

    let (printed, complained) = running.end();
    assert_eq!(complained, "");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines[0],
        format!("openat(AT_FDCWD, {name:?}, O_RDONLY) = {fd}")
    );
    assert_eq!(lines[1], format!(r#"read({fd}, "hello\n", 64) = 6"#));
    assert_eq!(lines[2], format!("close({fd}) = 0"));
    assert_eq!(lines[3], "close(999) = -1 EBADF (Bad file descriptor)");
    let mapped = "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7";
    assert!(lines[4].starts_with(mapped), "{}", lines[4]);
    let rejected = "--- SUBMIT rejected: EOPNOTSUPP (Operation not supported): call 0: ";
    assert!(lines[5].starts_with(rejected), "{}", lines[5]);
    assert_eq!(lines.len(), 6);
}

fn filters_choose_calls_and_processes() {
    let session = Session::open().expect("a session");
    let make = || {
        session::value(&session, calls::getpid());
        session::error(&session, calls::close(-1));
        session::inline_values(&session, [calls::getpid(), calls::close(-1)]);
    };
    let prefix = format!("[pid {} ", own_pid());
    let shown = |arguments: &[&str], count: &str| {
        let running = Running::start(&[arguments, &["-w", "-c", count]].concat());
        make();
        let (printed, _) = running.end();
        let lines = printed.lines().map(|line| {
            let line = line.strip_prefix(&prefix).expect("the process");
            line.split_once('(').expect("a call").0.to_owned()
        });
        lines.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        shown(&[], "4"),
        "worker] getpid, worker] close, inline] getpid, inline] close"
    );
    assert_eq!(
        shown(&["-e", "getpid"], "2"),
        "worker] getpid, inline] getpid"
    );
    assert_eq!(
        shown(&["-e", "!getpid"], "2"),
        "worker] close, inline] close"
    );
    assert_eq!(shown(&["-Z"], "2"), "worker] close, inline] close");
    assert_eq!(
        shown(
            &["-e", "trace=%desc", "-p", &format!("1,{}", own_pid())],
            "2"
        ),
        "worker] close, inline] close"
    );

    let running = Running::start(&["-p", "1", "--for", "300ms"]);
    make();
    assert_eq!(running.end(), (String::new(), String::new()));
}

fn json_has_an_object_on_each_line() {
    let session = Session::open().expect("a session");
    let running = Running::start(&["--json", "-p", &own_pid(), "--submissions", "-c", "2"]);
    session::error(&session, calls::close(-1));
    let (printed, _) = running.end();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 2);
    for (line, parts) in lines.iter().zip([
        &[r#""event":"submitted""#, r#""name":"close""#][..],
        &[
            r#""version":1,"#,
            r#""event":"completed""#,
            r#""ret":-9,"#,
            r#""errno":"EBADF""#,
            r#""outcome":"ran""#,
            r#""way":"worker""#,
            r#""line":"close(-1) = -1 EBADF (Bad file descriptor)""#,
        ],
    ]) {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

fn the_command_ends_when_it_is_told_to() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let running = Running::start(&[]);
        running.signal(signal);
        assert_eq!(running.end(), (String::new(), String::new()));
    }
    let running = Running::start(&["--for", "50ms"]);
    assert_eq!(running.end(), (String::new(), String::new()));
}

fn a_closed_pipe_ends_it_quietly() {
    let session = Session::open().expect("a session");
    let mut shell = Command::new("sh");
    shell.args(["-c", "nlcall monitor -e getpid | head -n 1"]);
    let mut running = Running::of(shell);
    session::value(&session, calls::getpid());
    // One more, for which nobody is there to read it, and as many as it takes until that shows.
    patience::until("it has ended", || {
        session::value(&session, calls::getpid());
        let ended = running.child.try_wait().expect("it is ours");
        ended.is_some()
    });
    let (printed, complained) = running.end();
    assert_eq!((printed.lines().count(), complained.as_str()), (1, ""));
}

fn losses_are_said() {
    let session = Session::open().expect("a session");
    let mut running = Running::start(&["-e", "close", "-c", "1"]);
    running.signal(Signal::SIGSTOP);
    for _ in 0..20 {
        session::inline_values(&session, (0..1000).map(|_| calls::getpid()));
    }
    running.signal(Signal::SIGCONT);
    let complaint = running.complaint();
    assert!(complaint.contains(" events were lost here"), "{complaint}");
    session::error(&session, calls::close(-1));
    let (printed, _) = running.end();
    assert!(printed.contains("] close(-1) = -1 EBADF"), "{printed}");
}

fn who_may_not_listen_is_told_why() {
    let output = Command::new("nlcall")
        .arg("monitor")
        .uid(54321)
        .output()
        .expect("nlcall is on the PATH");
    let complained = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(complained.contains("CAP_SYS_ADMIN"), "{complained}");
    assert!(output.stdout.is_empty());
}
