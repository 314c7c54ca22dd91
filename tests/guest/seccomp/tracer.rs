// SPDX-License-Identifier: MIT OR Apache-2.0

//! A tracer is asked, and may change the call (`SECCOMP_RET_TRACE`).

use std::os::fd::AsFd;

use libc::user_regs_struct;
use nix::sys::{
    ptrace::{self, Options},
    signal::{raise, Signal},
    wait::{waitpid, WaitStatus},
};
use nlcall::raw::{Call, Outcome, Session};
use nlcall_tests::{
    calls::{self, call},
    process::Child,
    seccomp::Filter,
    session,
};

use super::{not_started, session_with_worker, Way};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_tracer_lets_a_call_be_made,
    a_tracer_may_skip_a_call,
    a_tracer_may_change_a_call,
    what_a_tracer_makes_of_a_call_is_judged,
];

/// `PTRACE_EVENT_SECCOMP` of `include/uapi/linux/ptrace.h`.
const EVENT: i32 = 7;

/// Has a child make calls in this way, while `change` changes the registers of each `lseek` in turn.
/// How these ended; a plain call ran.
fn traced(way: Way, changes: &[fn(&mut user_regs_struct)]) -> Vec<(Outcome, i64)> {
    let count = changes.len();
    let mut child = Child::fork(|channel| {
        let session = session_with_worker();
        let file = tempfile::tempfile().expect("a file");
        let seek = call(
            libc::SYS_lseek,
            &[file.as_fd().into(), 5.into(), libc::SEEK_SET.into()],
        );
        ptrace::traceme().expect("a tracer");
        raise(Signal::SIGSTOP).expect("a stop");
        Filter::calls(libc::SYS_lseek, libc::SECCOMP_RET_TRACE | 9).install();
        for (outcome, ret) in make(way, &session, vec![seek; count]) {
            channel.put(outcome as u64);
            channel.put(ret as u64);
        }
        session::assert_all_accounted_for(&session);
    });
    let pid = child.pid();
    let stopped = WaitStatus::Stopped(pid, Signal::SIGSTOP);
    assert_eq!(waitpid(pid, None), Ok(stopped));
    ptrace::setoptions(
        pid,
        Options::PTRACE_O_TRACESECCOMP | Options::PTRACE_O_EXITKILL,
    )
    .expect("options");
    for change in changes {
        ptrace::cont(pid, None).expect("it goes on");
        let event = WaitStatus::PtraceEvent(pid, Signal::SIGTRAP, EVENT);
        assert_eq!(waitpid(pid, None), Ok(event), "{way:?}");
        assert_eq!(ptrace::getevent(pid), Ok(9));
        let mut regs = ptrace::getregs(pid).expect("registers");
        assert_eq!(regs.orig_rax, libc::SYS_lseek as u64, "{way:?}");
        assert_eq!((regs.rsi, regs.rdx), (5, libc::SEEK_SET as u64), "{way:?}");
        assert_eq!(regs.rax as i64, -i64::from(libc::ENOSYS), "{way:?}");
        change(&mut regs);
        ptrace::setregs(pid, regs).expect("registers");
    }
    ptrace::cont(pid, None).expect("it goes on");
    let mut ended = Vec::new();
    for _ in 0..count {
        let outcome = child.channel().get() as u16;
        let outcome = Outcome::from_wire(outcome).expect("an outcome");
        ended.push((outcome, child.channel().get() as i64));
    }
    child.succeed();
    ended
}

fn make(way: Way, session: &Session, calls: Vec<Call>) -> Vec<(Outcome, i64)> {
    match way {
        Way::Plain => {
            let plain = |call: &Call| (Outcome::Ran, calls::plainly(call));
            calls.iter().map(plain).collect()
        }
        Way::Inline | Way::Worker => super::ends(&way.completions(session, calls)),
    }
}

fn a_tracer_lets_a_call_be_made() {
    for way in Way::ALL {
        let ended = traced(way, &[|_| {}, |_| {}]);
        assert_eq!(ended, [(Outcome::Ran, 5); 2], "{way:?}");
    }
}

fn a_tracer_may_skip_a_call() {
    let skip: fn(&mut user_regs_struct) = |regs| regs.orig_rax = u64::MAX;
    let skip_with_value: fn(&mut user_regs_struct) = |regs| {
        regs.orig_rax = u64::MAX;
        regs.rax = 77;
    };
    for way in Way::ALL {
        let ended = traced(way, &[skip, skip_with_value, |_| {}]);
        let rets: Vec<_> = ended.iter().map(|it| it.1).collect();
        assert_eq!(rets, [-i64::from(libc::ENOSYS), 77, 5], "{way:?}");
        if way != Way::Plain {
            let outcomes: Vec<_> = ended.iter().map(|it| it.0).collect();
            let expected = [Outcome::Refused, Outcome::Refused, Outcome::Ran];
            assert_eq!(outcomes, expected, "{way:?}");
        }
    }
}

fn a_tracer_may_change_a_call() {
    let elsewhere: fn(&mut user_regs_struct) = |regs| regs.rsi = 7;
    // A process that has no children: an error that lseek does not know.
    let another: fn(&mut user_regs_struct) = |regs| {
        regs.orig_rax = libc::SYS_wait4 as u64;
        (regs.rdi, regs.rsi, regs.rdx, regs.r10) = (u64::MAX, 0, 0, 0);
    };
    for way in Way::ALL {
        let ended = traced(way, &[elsewhere, another, |_| {}]);
        let expected = [7, -i64::from(libc::ECHILD), 5].map(|ret| (Outcome::Ran, ret));
        assert_eq!(ended, expected, "{way:?}");
    }
}

fn what_a_tracer_makes_of_a_call_is_judged() {
    let reboot: fn(&mut user_regs_struct) = |regs| regs.orig_rax = libc::SYS_reboot as u64;
    let fork: fn(&mut user_regs_struct) = |regs| regs.orig_rax = libc::SYS_fork as u64;
    let none: fn(&mut user_regs_struct) = |regs| regs.orig_rax = 0x4000_0000 | 39;
    for way in Way::OURS {
        let ended = traced(way, &[reboot, none, |_| {}]);
        let ran = (Outcome::Ran, 5);
        let expected = [
            not_started(libc::EOPNOTSUPP),
            not_started(libc::ENOSYS),
            ran,
        ];
        assert_eq!(ended, expected, "{way:?}");
    }
    let ended = traced(Way::Worker, &[fork]);
    assert_eq!(ended, [not_started(libc::EOPNOTSUPP)]);
}
