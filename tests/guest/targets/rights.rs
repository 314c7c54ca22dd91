// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may act in a process.

use std::{fs, iter, os::fd::AsRawFd};

use nix::{
    sys::prctl,
    unistd::{setresgid, setresuid, Gid, Pid, Uid},
};
use nlcall::raw::{Batch, Session};
use nlcall_abi::{submit, Call};
use nlcall_tests::{
    calls,
    event::Answer,
    message::Message,
    process::{in_a_child, Child},
    socket::RawSocket,
};

use super::{call, pidfd, target, value, waiting_child};
use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    another_users_process_is_refused,
    a_process_of_the_same_user_is_served,
    a_process_that_hides_is_refused,
    the_right_is_asked_for_each_message,
    yama_has_a_say,
    a_number_that_is_used_anew_is_another_process,
    a_process_under_seccomp_needs_more,
    what_is_no_process_is_told,
    no_results_array_for_another_process,
    a_socket_acts_in_so_many_processes,
];

/// Becomes a user without rights.
fn become_user(number: u32) {
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    setresgid(group, group, group).expect("setresgid");
    setresuid(user, user, user).expect("setresuid");
    // The change of credentials took this away.
    prctl::set_dumpable(true).expect("PR_SET_DUMPABLE");
}

fn submit_to(socket: &mut RawSocket, pidfd: i32, calls: &[Call]) -> Answer {
    let mut message = Message::submit(socket.family(), calls);
    message.attribute(submit::TARGET_PIDFD, &pidfd.to_ne_bytes());
    socket.request(message)
}

fn getpid() -> Call {
    calls::getpid().into()
}

fn another_users_process_is_refused() {
    let child = waiting_child();
    let pid = child.pid();
    in_a_child(|| {
        become_user(1000);
        let session = Session::open().unwrap();
        let mut batch = Batch::from(call(libc::SYS_getpid, &[]));
        batch.target(&target(pid));
        let error = session.submit(batch).expect_err("the process is root's");
        assert!(
            error.error.to_string().contains("you may not ptrace it"),
            "{error:?}"
        );
        // The socket is as good as before.
        assert_eq!(
            nlcall_tests::session::value(&session, calls::getpid()),
            u64::from(std::process::id())
        );
    });
}

fn a_process_of_the_same_user_is_served() {
    in_a_child(|| {
        become_user(1000);
        let child = waiting_child();
        let session = Session::open().unwrap();
        let pid = value(&session, &target(child.pid()), libc::SYS_getpid, &[]);
        assert_eq!(pid as i32, child.pid().as_raw());
    });
}

fn a_process_that_hides_is_refused() {
    in_a_child(|| {
        become_user(1000);
        let child = Child::fork(|channel| {
            prctl::set_dumpable(false).expect("PR_SET_DUMPABLE");
            channel.put(0);
            channel.try_get();
        });
        child.channel().get();
        let mut socket = RawSocket::open();
        let answer = submit_to(&mut socket, pidfd(child.pid()).as_raw_fd(), &[getpid()]);
        assert!(answer.is_rejection(libc::EPERM, "ptrace"), "{answer:?}");
    });
}

fn the_right_is_asked_for_each_message() {
    in_a_child(|| {
        become_user(1000);
        let child = Child::fork(|channel| {
            channel.put(0);
            channel.get();
            prctl::set_dumpable(false).expect("PR_SET_DUMPABLE");
            channel.put(0);
            channel.try_get();
        });
        child.channel().get();
        let there = pidfd(child.pid());
        let mut socket = RawSocket::open();
        let answer = submit_to(&mut socket, there.as_raw_fd(), &[getpid()]);
        assert_eq!(answer.errno, 0, "{answer:?}");
        assert_eq!(
            socket.completions(1)[0].ret,
            i64::from(child.pid().as_raw())
        );
        child.channel().put(0);
        child.channel().get();
        let answer = submit_to(&mut socket, there.as_raw_fd(), &[getpid()]);
        assert!(answer.is_rejection(libc::EPERM, "ptrace"), "{answer:?}");
    });
}

/// Where Yama says whose processes may be traced.
const SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";

/// Another scope, until this is dropped.
struct Scope(String);

impl Scope {
    fn set(scope: &str) -> Option<Self> {
        let before = fs::read_to_string(SCOPE).ok()?;
        fs::write(SCOPE, scope).expect("a scope");
        Some(Self(before))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        fs::write(SCOPE, &self.0).expect("the scope of before");
    }
}

/// Of processes of the same user, only descendants may be traced.
fn yama_has_a_say() {
    let user = |body: &dyn Fn()| {
        in_a_child(|| {
            become_user(1000);
            body();
        });
    };
    let stranger = Child::fork(|channel| {
        become_user(1000);
        channel.put(0);
        channel.try_get();
    });
    stranger.channel().get();
    let submit = |child: &Child| {
        let mut socket = RawSocket::open();
        submit_to(&mut socket, pidfd(child.pid()).as_raw_fd(), &[getpid()])
    };
    let Some(_scope) = Scope::set("0") else {
        skip("this kernel has no Yama");
    };
    user(&|| assert_eq!(submit(&stranger).errno, 0));
    fs::write(SCOPE, "1").expect("a scope");
    user(&|| {
        let answer = submit(&stranger);
        assert!(answer.is_rejection(libc::EPERM, "ptrace"), "{answer:?}");
        assert_eq!(submit(&waiting_child()).errno, 0);
    });
}

/// A pidfd names a process, not its number.
fn a_number_that_is_used_anew_is_another_process() {
    let mut first = waiting_child();
    let (pid, there) = (first.pid(), pidfd(first.pid()));
    let mut socket = RawSocket::open();
    assert_eq!(
        submit_to(&mut socket, there.as_raw_fd(), &[getpid()]).errno,
        0
    );
    socket.completions(1);
    first.kill();
    let second = iter::repeat_with(|| {
        // The next process gets the number behind this one, where that is free.
        let last = (pid.as_raw() - 1).to_string();
        fs::write("/proc/sys/kernel/ns_last_pid", last).expect("ns_last_pid");
        waiting_child()
    });
    let second = second.take(100).find(|child| child.pid() == pid);
    let second = second.expect("the number is free");
    let answer = submit_to(&mut socket, there.as_raw_fd(), &[getpid()]);
    assert!(answer.is_rejection(libc::ESRCH, ""), "{answer:?}");
    let anew = pidfd(second.pid());
    assert_eq!(
        submit_to(&mut socket, anew.as_raw_fd(), &[getpid()]).errno,
        0
    );
    assert_eq!(socket.completions(1)[0].ret, i64::from(pid.as_raw()));
}

/// What a filter keeps a process from, somebody else must not do in it.
fn a_process_under_seccomp_needs_more() {
    let filtered = || {
        let child = Child::fork(|channel| {
            prctl::set_no_new_privs().expect("PR_SET_NO_NEW_PRIVS");
            // One instruction: allow.
            let mut allow = libc::sock_filter {
                code: 0x06,
                jt: 0,
                jf: 0,
                k: 0x7fff_0000,
            };
            let program = libc::sock_fprog {
                len: 1,
                filter: &raw mut allow,
            };
            // SAFETY: the program outlives the call.
            let set = unsafe {
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
            };
            assert_eq!(set, 0, "PR_SET_SECCOMP");
            channel.put(0);
            channel.try_get();
        });
        child.channel().get();
        child
    };
    let child = filtered();
    let session = Session::open().unwrap();
    let pid = value(&session, &target(child.pid()), libc::SYS_getpid, &[]);
    assert_eq!(pid as i32, child.pid().as_raw(), "root may");
    drop(session);
    in_a_child(|| {
        become_user(1000);
        let child = filtered();
        let mut socket = RawSocket::open();
        let answer = submit_to(&mut socket, pidfd(child.pid()).as_raw_fd(), &[getpid()]);
        assert!(answer.is_rejection(libc::EPERM, "seccomp"), "{answer:?}");
    });
}

fn what_is_no_process_is_told() {
    let mut socket = RawSocket::open();
    for fd in [-1, 9999, socket.as_raw_fd()] {
        let answer = submit_to(&mut socket, fd, &[getpid()]);
        assert!(
            answer.is_rejection(libc::EBADF, "no pidfd"),
            "{fd}: {answer:?}"
        );
    }
    let mut child = waiting_child();
    let there = pidfd(child.pid());
    child.kill();
    let answer = submit_to(&mut socket, there.as_raw_fd(), &[getpid()]);
    assert!(answer.is_rejection(libc::ESRCH, "ended"), "{answer:?}");
    // kthreadd.
    let kernel = pidfd(Pid::from_raw(2));
    let answer = submit_to(&mut socket, kernel.as_raw_fd(), &[getpid()]);
    assert!(answer.is_rejection(libc::ESRCH, "user space"), "{answer:?}");
    socket.accept([calls::getpid()]);
    socket.completions(1);
}

fn no_results_array_for_another_process() {
    let child = waiting_child();
    let mut socket = RawSocket::open();
    let mut message = Message::submit_into(socket.family(), &[getpid()], 4096);
    let there = pidfd(child.pid());
    message.attribute(submit::TARGET_PIDFD, &there.as_raw_fd().to_ne_bytes());
    let answer = socket.request(message);
    assert!(
        answer.is_rejection(libc::EINVAL, "RESULTS_PTR"),
        "{answer:?}"
    );
}

fn a_socket_acts_in_so_many_processes() {
    let mut children: Vec<Child> = (0..65).map(|_| waiting_child()).collect();
    let mut socket = RawSocket::open();
    for child in &children[..64] {
        let answer = submit_to(&mut socket, pidfd(child.pid()).as_raw_fd(), &[getpid()]);
        assert_eq!(answer.errno, 0, "{answer:?}");
    }
    socket.completions(64);
    let last = pidfd(children[64].pid());
    let answer = submit_to(&mut socket, last.as_raw_fd(), &[getpid()]);
    assert!(
        answer.is_rejection(libc::EAGAIN, "64 processes"),
        "{answer:?}"
    );
    // The end of one makes room.
    children[3].kill();
    let answer = submit_to(&mut socket, last.as_raw_fd(), &[getpid()]);
    assert_eq!(answer.errno, 0, "{answer:?}");
    let pid = children[64].pid().as_raw();
    assert_eq!(socket.completions(1)[0].ret, i64::from(pid));
}
