// SPDX-License-Identifier: MIT OR Apache-2.0

//! What filters answer at once: yes, an error, a signal.

use std::{
    fs,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::PermissionsExt,
    },
    sync::atomic::{AtomicU64, Ordering},
};

use nix::{
    sys::{
        signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
        wait::WaitStatus,
    },
    unistd::{setresgid, setresuid, Gid, Uid},
};
use nlcall::raw::{Arg, Call, CallFlags, Chain, Outcome, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    pipe::Pipe,
    process::{exit_now, in_a_child, Child},
    seccomp::{gain_no_privileges, Filter},
    session,
};
use zerocopy::IntoBytes;

use super::{ends, not_started, ran, refused, session_with_worker, victim, Way};
use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    what_a_filter_allows_is_made,
    an_error_of_a_filter_is_what_the_call_returns,
    a_filter_may_look_at_arguments,
    a_trapped_call_raises_the_signal,
    a_trace_without_a_tracer_is_an_error,
    the_strictest_of_several_filters_decides,
    no_new_privileges_hold_for_an_inline_execve,
];

fn what_a_filter_allows_is_made() {
    in_a_child(|| {
        let before = session_with_worker();
        Filter::none().install();
        let after = Session::open().expect("a session");
        for session in [&before, &after] {
            for way in Way::OURS {
                for count in [1, 7, 300] {
                    let completions = way.completions(session, vec![calls::getpid(); count]);
                    assert_eq!(ends(&completions), vec![ran(); count]);
                }
            }
            passes_results_on(session);
            session::assert_all_accounted_for(session);
        }
    });
}

/// A chain whose values come from earlier calls.
fn passes_results_on(session: &Session) {
    let fds = Memory::zeroed(8);
    let text = Memory::holding(b"text");
    let mut chain = Chain::new();
    let call = |nr: libc::c_long, args: &[Arg]| {
        // SAFETY: addresses come from Memory, which is never freed; the descriptors are the
        // chain's own.
        unsafe { Call::with_args(nr as u32, args) }.flags(CallFlags::INLINE)
    };
    let pipe = chain.push(call(
        libc::SYS_pipe2,
        &[Arg::OutPtr(fds.address()), 0.into()],
    ));
    let [reader, writer] = [pipe.load::<i32>(0), pipe.load::<i32>(4)];
    let write = [writer, text.address().into(), 4_u64.into()];
    chain.push(call(libc::SYS_write, &write));
    let copy = chain.push(call(libc::SYS_dup, &[reader]));
    let into = Memory::zeroed(4);
    let read = [copy.result(), into.address().into(), 4_u64.into()];
    chain.push(call(libc::SYS_read, &read));
    for fd in [reader, writer, copy.result()] {
        chain.push(call(libc::SYS_close, &[fd]));
    }
    let mut batch = nlcall::raw::Batch::new();
    batch.push_chain(&chain);
    let mut results = nlcall::raw::Results::new();
    session.submit_into(&batch, &mut results).expect("accepted");
    let succeeded = results.iter().filter(|it| it.ran() && it.ret >= 0).count();
    assert_eq!(succeeded, 7, "{:?}", results.iter().collect::<Vec<_>>());
    assert_eq!(into.get(), b"text");
}

fn an_error_of_a_filter_is_what_the_call_returns() {
    // More than the kernel takes for an error number is its highest one.
    for data in [libc::EPERM, 0, 4095, 5000] {
        in_a_child(|| {
            let session = session_with_worker();
            Filter::calls(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | data as u32).install();
            let plain = Way::Plain.make(&session, victim());
            assert_eq!(plain, -i64::from(data.min(4095)));
            for way in Way::OURS {
                let batch = [calls::getpid(), victim(), calls::getpid()];
                let completions = way.completions(&session, batch);
                let expected = [ran(), (Outcome::Refused, plain), ran()];
                assert_eq!(ends(&completions), expected, "{way:?}");
            }
            session::assert_all_accounted_for(&session);
        });
    }
}

fn a_filter_may_look_at_arguments() {
    in_a_child(|| {
        let session = session_with_worker();
        let file = tempfile::tempfile().expect("a file");
        let seek = |to: i32| {
            let args = [file.as_fd().into(), to.into(), libc::SEEK_SET.into()];
            call(libc::SYS_lseek, &args)
        };
        let error = libc::SECCOMP_RET_ERRNO | libc::EDOM as u32;
        Filter::with_argument(libc::SYS_lseek, 1, 5, error).install();
        for way in Way::ALL {
            let made = [4, 5, 6].map(|to| way.make(&session, seek(to)));
            assert_eq!(made, [4, -i64::from(libc::EDOM), 6], "{way:?}");
        }
    });
}

static HANDLED: AtomicU64 = AtomicU64::new(0);
static ERRNO: AtomicU64 = AtomicU64::new(0);
static CODE: AtomicU64 = AtomicU64::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);
static SYSCALL: AtomicU64 = AtomicU64::new(0);
static ARCH: AtomicU64 = AtomicU64::new(0);

/// Takes a `siginfo_t` of SIGSYS apart, as `include/uapi/asm-generic/siginfo.h` lays it out.
extern "C" fn take_note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let word = |at: usize| {
        // SAFETY: the kernel gave a whole structure, which is aligned.
        u64::from(unsafe { info.cast::<u32>().add(at).read() })
    };
    ERRNO.store(word(1), Ordering::Relaxed);
    CODE.store(word(2), Ordering::Relaxed);
    ADDRESS.store(word(4) | word(5) << 32, Ordering::Relaxed);
    SYSCALL.store(word(6), Ordering::Relaxed);
    ARCH.store(word(7), Ordering::Relaxed);
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn a_trapped_call_raises_the_signal() {
    /// `SYS_SECCOMP`, and `AUDIT_ARCH_X86_64` of `include/uapi/linux/audit.h`.
    const SYS_SECCOMP: u64 = 1;
    const ARCH_X86_64: u64 = 0xc000_003e;
    /// The instruction that makes a system call.
    const INSTRUCTION: [u8; 2] = [0x0f, 0x05];

    in_a_child(|| {
        let session = session_with_worker();
        let handler = SigHandler::SigAction(take_note);
        let action = SigAction::new(handler, SaFlags::SA_SIGINFO, SigSet::empty());
        // SAFETY: the handler only touches atomics.
        unsafe { sigaction(Signal::SIGSYS, &action) }.expect("a signal handler");
        Filter::calls(libc::SYS_getppid, libc::SECCOMP_RET_TRAP | 77).install();
        for (way, round) in Way::ALL.into_iter().zip(1..) {
            if way == Way::Plain {
                // The register for the result has the number: the handler may put another there.
                assert_eq!(way.make(&session, victim()), libc::SYS_getppid);
            } else {
                let batch = [victim(), calls::getpid()];
                let completions = way.completions(&session, batch);
                // A signal ends what was submitted with it.
                let expected = [refused(libc::ENOSYS), not_started(libc::EINTR)];
                assert_eq!(ends(&completions), expected, "{way:?}");
            }
            let noted = |it: &AtomicU64| it.load(Ordering::Relaxed);
            assert_eq!(noted(&HANDLED), round, "{way:?}");
            assert_eq!(noted(&ERRNO), 77, "{way:?}: si_errno");
            assert_eq!(noted(&CODE), SYS_SECCOMP, "{way:?}: si_code");
            assert_eq!(noted(&SYSCALL), libc::SYS_getppid as u64, "{way:?}");
            assert_eq!(noted(&ARCH), ARCH_X86_64, "{way:?}: si_arch");
            // SAFETY: the instruction pointer of this thread, behind an instruction of two bytes.
            let before = unsafe { ((noted(&ADDRESS) - 2) as *const [u8; 2]).read() };
            assert_eq!(before, INSTRUCTION, "{way:?}: si_call_addr");
            // The thread's registers are what they were.
            assert_eq!(way.make(&session, calls::getpid()), ran().1);
        }
        session::assert_all_accounted_for(&session);
    });
}

fn a_trace_without_a_tracer_is_an_error() {
    in_a_child(|| {
        let session = session_with_worker();
        Filter::calls(libc::SYS_getppid, libc::SECCOMP_RET_TRACE).install();
        for way in Way::ALL {
            let ret = way.make(&session, victim());
            assert_eq!(ret, -i64::from(libc::ENOSYS), "{way:?}");
        }
    });
}

fn the_strictest_of_several_filters_decides() {
    in_a_child(|| {
        let session = session_with_worker();
        let error = |errno: i32| libc::SECCOMP_RET_ERRNO | errno as u32;
        Filter::calls(libc::SYS_getppid, error(libc::EDOM)).install();
        Filter::calls(libc::SYS_getppid, libc::SECCOMP_RET_LOG).install();
        Filter::calls(libc::SYS_getpgrp, error(libc::ERANGE)).install();
        for way in Way::ALL {
            assert_eq!(way.make(&session, victim()), -i64::from(libc::EDOM));
            let getpgrp = call(libc::SYS_getpgrp, &[]);
            assert_eq!(way.make(&session, getpgrp), -i64::from(libc::ERANGE));
            assert_eq!(way.make(&session, calls::getpid()), ran().1);
        }
    });
}

/// What a program that would run as root says about its user, executed in this way.
fn user_of_a_privileged_program(way: Way, without_privileges: bool) -> Vec<u8> {
    let said = Pipe::new();
    let mut child = Child::fork(|_| {
        // SAFETY: duplicating a descriptor over the standard output touches nothing else.
        let output = unsafe { libc::dup2(said.writer.as_fd().as_raw_fd(), 1) };
        assert_eq!(output, 1);
        let user = 1000;
        setresgid(
            Gid::from_raw(user),
            Gid::from_raw(user),
            Gid::from_raw(user),
        )
        .expect("a group");
        setresuid(
            Uid::from_raw(user),
            Uid::from_raw(user),
            Uid::from_raw(user),
        )
        .expect("a user");
        let session = Session::open().expect("a session");
        if without_privileges {
            gain_no_privileges();
        }
        let strings = ["id", "-u"].map(|text| Memory::string(text).address());
        let argv = Memory::holding([&strings[..], &[0]].concat().as_bytes());
        let envp = Memory::holding(0_u64.as_bytes());
        let path = Memory::string("./id");
        let execve = call(libc::SYS_execve, &[path.into(), argv.into(), envp.into()]);
        way.make(&session, execve);
        exit_now(1);
    });
    let status = child.wait();
    assert_eq!(status, WaitStatus::Exited(child.pid(), 0), "{way:?}");
    said.take()
}

fn no_new_privileges_hold_for_an_inline_execve() {
    fs::copy("/usr/bin/id", "id").expect("a copy of a program");
    fs::set_permissions("id", fs::Permissions::from_mode(0o4755)).expect("chmod");
    fs::set_permissions(".", fs::Permissions::from_mode(0o755)).expect("chmod");
    if user_of_a_privileged_program(Way::Plain, false) != b"0\n" {
        skip("programs here do not get the privileges of their files");
    }
    for without_privileges in [false, true] {
        let [plain, inline] = [Way::Plain, Way::Inline]
            .map(|way| user_of_a_privileged_program(way, without_privileges));
        assert_eq!(inline, plain, "without privileges: {without_privileges}");
        assert_eq!(plain == b"0\n", !without_privileges);
    }
}
