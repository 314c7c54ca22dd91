// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this program does when a test executes it in place of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    ffi::CString,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use nlcall::raw::{Outcome, SessionState};
use nlcall_tests::{calls, session, socket::RawSocket};

/// First argument of a process that plays a scene.
pub const ARGUMENT: &str = "--scene";
/// As many completions as calls were accepted.
const ALL: &str = "all";

/// Executes this program anew. It finds the socket open and receives so many completions, each of
/// another call; without a number, as many as calls were accepted.
pub fn after_execve(socket: RawFd, completions: Option<usize>) -> Infallible {
    let completions = completions.map_or(ALL.to_owned(), |count| count.to_string());
    execute(&[&socket.to_string(), &completions])
}

/// Executes this program anew, which then ends with status 0.
pub fn leave() -> Infallible {
    execute(&[])
}

fn execute(arguments: &[&str]) -> Infallible {
    let string = |text: &str| CString::new(text).expect("no NUL");
    let arguments = ["scene", ARGUMENT]
        .iter()
        .chain(arguments)
        .map(|it| string(it));
    let arguments: Vec<CString> = arguments.collect();
    nix::unistd::execv(&string("/proc/self/exe"), &arguments).expect("this program can be executed")
}

/// The program that was executed: reads what the old one left, and tries to go on as it.
pub fn play(arguments: &[String]) {
    let [fd, count] = arguments else {
        return;
    };
    let fd: RawFd = fd.parse().expect("a descriptor");
    // SAFETY: the program before this one left the descriptor to us.
    let mut socket = RawSocket::adopt(unsafe { OwnedFd::from_raw_fd(fd) });
    let before = session::of_port(socket.port_id()).expect("the session is still there");
    let count = match count.as_str() {
        ALL => before.accepted as usize,
        count => count.parse().expect("a count"),
    };

    let completions = socket.completions(count);
    let names: BTreeSet<u64> = completions.iter().map(|it| it.user_data).collect();
    assert_eq!(names.len(), count, "exactly one completion per call");
    for completion in &completions {
        let expected = match Outcome::from_wire(completion.outcome) {
            Some(Outcome::Ran) => completion.ret > 0,
            Some(Outcome::Interrupted) => completion.ret == -i64::from(libc::EINTR),
            Some(Outcome::NotStarted) => completion.ret == -i64::from(libc::ESRCH),
            _ => false,
        };
        assert!(expected, "{completion:?}");
    }

    let mut outcomes = BTreeMap::<(u16, i64), usize>::new();
    for completion in &completions {
        *outcomes
            .entry((completion.outcome, completion.ret))
            .or_default() += 1;
    }
    assert_eq!(
        before.state,
        SessionState::Ended,
        "{before:?}, {outcomes:?}"
    );

    let answer = socket.submit([calls::getpid()]);
    assert!(answer.is_rejection(libc::EPERM, "open a new"), "{answer:?}");
    socket.assert_no_more_completions();
    // A socket of its own is as good as any.
    let mut own = RawSocket::open();
    own.accept([calls::getpid()]);
    assert_eq!(own.completions(1)[0].ret, i64::from(std::process::id()));
}
