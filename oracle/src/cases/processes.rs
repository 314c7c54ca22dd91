// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes: their beginning, their end, their place among others, their scheduling.

use std::ops::Range;

use libc::{
    EAGAIN, EBADF, ECHILD, EFAULT, EINVAL, ENOENT, EPERM, ESRCH, RLIMIT_NOFILE, SIGCHLD, SIGTERM,
};
use nlcall_tests::memory::Memory;

use crate::{
    case::{args, ends, fails, ok, Args, Aspect::*, Case},
    world::{World, NO_FD, NO_PID},
};

/// `struct rusage`: everything is another each time.
const USAGE: &[Range<usize>] = &[0..144];

/// A pointer to strings and a null pointer.
fn strings(w: &mut World, strings: &[&str]) -> Memory {
    let mut pointers: Vec<u64> = Vec::new();
    for string in strings {
        pointers.push(w.text(string).address());
    }
    pointers.push(0);
    w.words(&pointers)
}

/// A program that leaves a trace and ends with status 7.
fn program(w: &mut World) -> [Memory; 3] {
    let script = "echo $0 $VALUE > out; umask >> out; pwd >> out; exit 7";
    let argv = strings(w, &["sh", "-c", script, "named"]);
    let envp = strings(w, &["VALUE=value", "PATH=/usr/bin:/bin"]);
    [w.text("/bin/sh"), argv, envp]
}

/// A process that no more can be made beside.
fn no_more_processes(w: &mut World) {
    let limits = w.words(&[1, 1]);
    w.sys("prlimit64", args![0, libc::RLIMIT_NPROC, limits, 0]);
}

/// How the child that the call made ended.
fn then_the_child(w: &mut World) {
    w.then(|pid| {
        let status = Memory::zeroed(4);
        let waited = crate::world::plain("wait4", args![pid, status, libc::__WALL, 0]);
        format!(
            "waited: {} status {:#x}",
            waited == pid,
            status.get_as::<u32>()
        )
    });
}

/// `struct sched_attr` of a policy and a niceness.
fn attributes(w: &mut World, policy: u32, nice: i32) -> Memory {
    w.halves(&[48, policy, 0, 0, nice as u32, 0, 0, 0, 0, 0, 0, 0])
}

/// The process group of this process alone.
fn own_group(w: &mut World) {
    w.sys("setpgid", args![0, 0]);
}

/// `struct clone_args` for a plain child.
fn clone_args(w: &mut World, signal: i32) -> Memory {
    w.words(&[0, 0, 0, 0, signal as u64, 0, 0, 0])
}

fn pidfd(w: &mut World) -> (i32, i64) {
    let child = w.child();
    (child, w.sys("pidfd_open", args![child, 0]))
}

/// A call on a helper, and what the helper's policy and priority are then.
fn on_helper(w: &mut World, rest: [u64; 2]) -> Args {
    let child = w.child();
    w.then(move |_| {
        let parameter = Memory::zeroed(4);
        let policy = crate::world::plain("sched_getscheduler", args![child]);
        crate::world::plain("sched_getparam", args![child, parameter]);
        let nice = crate::world::plain("getpriority", args![libc::PRIO_PROCESS, child]);
        format!("policy {policy} priority {:?} nice {nice}", parameter.get())
    });
    args![child, rest[0], rest[1]]
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("fork", "a child that ends", |w| {
            then_the_child(w);
            args![]
        })
        .forks(),
        fails("fork", EAGAIN, "no more processes", |w| {
            no_more_processes(w);
            args![]
        })
        .by_user()
        .forks(),
        ok("vfork", "a child that ends", |w| {
            then_the_child(w);
            args![]
        })
        .forks(),
        fails("vfork", EAGAIN, "no more processes", |w| {
            no_more_processes(w);
            args![]
        })
        .by_user()
        .forks(),
        ok("clone", "a child that ends", |w| {
            then_the_child(w);
            let tid = w.out_varying(4, &[0..4]);
            args![libc::CLONE_PARENT_SETTID | SIGCHLD, 0, tid, 0, 0]
        })
        .forks(),
        fails("clone", EINVAL, "a thread without shared handlers", |_| {
            args![libc::CLONE_THREAD, 0, 0, 0, 0]
        })
        .forks(),
        ok("clone3", "a child that ends", |w| {
            then_the_child(w);
            args![clone_args(w, SIGCHLD), 64]
        })
        .forks(),
        fails("clone3", EINVAL, "no signal", |w| {
            args![clone_args(w, 500), 64]
        })
        .forks(),
        ends("execve", 7, "another program", |w| {
            let [path, argv, envp] = program(w);
            args![path, argv, envp]
        }),
        fails("execve", ENOENT, "no program", |w| {
            args![w.text("none"), 0, 0]
        }),
        ends("execveat", 7, "an open program", |w| {
            let [_, argv, envp] = program(w);
            let fd = w.open_with("/bin/sh", libc::O_PATH);
            args![fd, w.text(""), argv, envp, libc::AT_EMPTY_PATH]
        }),
        fails("execveat", EBADF, "no descriptor", |w| {
            let [_, argv, envp] = program(w);
            args![NO_FD, w.text("sh"), argv, envp, 0]
        }),
        ends("exit", 9, "the only thread", |_| args![9]),
        ends("exit_group", 9, "the process", |_| args![9]),
        ok("wait4", "a child that ended", |w| {
            let child = w.ended_child();
            args![child, w.out(4), 0, w.out_varying(144, USAGE)]
        })
        .gives_process(),
        ok("wait4", "a child of the thread", |w| {
            let child = w.ended_child();
            args![child, w.out(4), libc::__WNOTHREAD, 0]
        })
        .gives_process()
        .only_inline(),
        fails("wait4", ECHILD, "no child", |w| args![-1, w.out(4), 0, 0]),
        ok("waitid", "a child that ended, which stays", |w| {
            let child = w.ended_child();
            w.then_wait(child);
            let info = w.out_varying(128, &[16..20]);
            args![libc::P_PID, child, info, libc::WEXITED | libc::WNOWAIT, 0]
        }),
        ok("waitid", "by its descriptor", |w| {
            let child = w.ended_child();
            let pidfd = w.sys("pidfd_open", args![child, 0]);
            let info = w.out_varying(128, &[16..20]);
            args![libc::P_PIDFD, pidfd, info, libc::WEXITED, 0]
        }),
        ok("waitid", "a child of the thread", |w| {
            let child = w.ended_child();
            args![libc::P_PID, child, 0, libc::WEXITED | libc::__WNOTHREAD, 0]
        })
        .only_inline(),
        fails("waitid", EINVAL, "nothing to wait for", |w| {
            args![libc::P_ALL, 0, w.out(128), 0, 0]
        }),
        ok("getpid", "this process", |_| args![]).gives_process(),
        ok("getppid", "the parent", |_| args![]).gives_process(),
        ok("gettid", "this thread", |_| args![])
            .gives_process()
            .differs(&[Result], "the thread that makes the call is the worker"),
        ok("getpgrp", "its group", |w| {
            own_group(w);
            args![]
        })
        .gives_process(),
        ok("getpgid", "of a child", |w| {
            own_group(w);
            args![w.child()]
        })
        .gives_process(),
        fails("getpgid", ESRCH, "no process", |_| args![NO_PID]),
        ok("setpgid", "its own", |_| args![0, 0]),
        ok("setpgid", "a child's", |w| {
            let child = w.child();
            w.then(move |_| {
                (crate::world::plain("getpgid", args![child]) == i64::from(child)).to_string()
            });
            args![child, child]
        }),
        fails("setpgid", ESRCH, "no child", |_| args![NO_PID, 0]),
        ok("getsid", "its session", |w| {
            w.sys("setsid", args![]);
            args![0]
        })
        .gives_process(),
        fails("getsid", ESRCH, "no process", |_| args![NO_PID]),
        ok("setsid", "a new session", |_| args![]).gives_process(),
        fails("setsid", EPERM, "it leads a group", |w| {
            own_group(w);
            args![]
        }),
        ok("pidfd_open", "a child", |w| args![w.child(), 0]),
        ok("pidfd_open", "a thread", |_| {
            args![std::process::id(), libc::O_EXCL]
        }),
        fails("pidfd_open", ESRCH, "no process", |_| args![NO_PID, 0]),
        ok("pidfd_getfd", "a child's", |w| {
            let fd = w.open("f", b"contents");
            let (_, pidfd) = pidfd(w);
            args![pidfd, fd, 0]
        }),
        fails("pidfd_getfd", EBADF, "no descriptor", |w| {
            let (_, pidfd) = pidfd(w);
            args![pidfd, NO_FD, 0]
        }),
        ok("kcmp", "memory of a child", |w| {
            // KCMP_VM
            args![std::process::id(), w.child(), 1, 0, 0]
        })
        .varies(),
        ok("kcmp", "two descriptors of a file", |w| {
            let fd = w.open("f", b"");
            let copy = w.sys("dup", args![fd]);
            args![std::process::id(), std::process::id(), 0, fd, copy]
        }),
        fails("kcmp", ESRCH, "no process", |_| {
            args![NO_PID, NO_PID, 1, 0, 0]
        }),
        ok("getrlimit", "descriptors", |w| {
            args![RLIMIT_NOFILE, w.out(16)]
        }),
        fails("getrlimit", EINVAL, "no resource", |w| args![99, w.out(16)]),
        ok("setrlimit", "descriptors", |w| {
            args![RLIMIT_NOFILE, w.words(&[100, 200])]
        }),
        fails("setrlimit", EPERM, "more than the most", |w| {
            args![RLIMIT_NOFILE, w.words(&[u64::MAX >> 1, u64::MAX >> 1])]
        })
        .by_user(),
        ok("prlimit64", "its own", |w| {
            args![0, RLIMIT_NOFILE, w.words(&[100, 200]), w.out(16)]
        }),
        ok("prlimit64", "a child's", |w| {
            let child = w.child();
            let now = w.out(16);
            w.then_call("prlimit64", args![child, RLIMIT_NOFILE, 0, now]);
            w.then(move |_| format!("{:?}", now.get()));
            args![child, RLIMIT_NOFILE, w.words(&[100, 200]), 0]
        }),
        fails("prlimit64", EINVAL, "less than it may have", |w| {
            args![0, RLIMIT_NOFILE, w.words(&[200, 100]), 0]
        }),
        ok("getrusage", "of the process", |w| {
            args![0, w.out_varying(144, USAGE)]
        }),
        ok("getrusage", "of the thread", |w| {
            args![1, w.out_varying(144, USAGE)]
        })
        .may_differ(
            &[Memory],
            "usage of the thread that makes the call: the worker's",
        ),
        fails("getrusage", EINVAL, "of nobody", |w| args![5, w.out(144)]),
        ok("times", "of the process", |w| {
            args![w.out_varying(32, &[0..32])]
        })
        .varies(),
        fails("times", EFAULT, "no memory", |w| args![w.nowhere()]),
        ok("getpriority", "of a child", |w| {
            args![libc::PRIO_PROCESS, w.child()]
        }),
        ok("getpriority", "its own", |_| args![libc::PRIO_PROCESS, 0]).only_inline(),
        fails("getpriority", ESRCH, "no process", |_| {
            args![libc::PRIO_PROCESS, NO_PID]
        }),
        ok("setpriority", "of a child", |w| {
            let child = w.child();
            w.then_call("getpriority", args![libc::PRIO_PROCESS, child]);
            args![libc::PRIO_PROCESS, child, 5]
        }),
        ok("setpriority", "its own", |_| {
            args![libc::PRIO_PROCESS, 0, 5]
        })
        .only_inline(),
        fails("setpriority", EPERM, "another's", |_| {
            args![libc::PRIO_PROCESS, 1, 5]
        })
        .by_user(),
        ok("ioprio_get", "of a child", |w| args![1, w.child()]),
        ok("ioprio_get", "its own", |_| args![1, 0]).only_inline(),
        fails("ioprio_get", ESRCH, "no process", |_| args![1, NO_PID]),
        ok("ioprio_set", "of a child", |w| {
            let child = w.child();
            w.then_call("ioprio_get", args![1, child]);
            args![1, child, 0x4003]
        }),
        ok("ioprio_set", "its own", |w| {
            w.then_call("ioprio_get", args![1, 0]);
            args![1, 0, 0x4003]
        })
        .only_inline(),
        fails("ioprio_set", EINVAL, "no class", |w| {
            args![1, w.child(), 0xe000]
        }),
        ok("sched_setparam", "of a child", |w| {
            let child = w.child();
            let parameter = w.halves(&[1]);
            w.sys(
                "sched_setscheduler",
                args![child, libc::SCHED_FIFO, parameter],
            );
            let now = w.out(4);
            w.then_call("sched_getparam", args![child, now]);
            w.then(move |_| format!("{:?}", now.get()));
            args![child, w.halves(&[2])]
        }),
        ok("sched_setparam", "its own", |w| args![0, w.halves(&[0])]).only_inline(),
        fails("sched_setparam", EINVAL, "no such priority", |w| {
            args![w.child(), w.halves(&[50])]
        }),
        ok("sched_getparam", "of a child", |w| {
            args![w.child(), w.out(4)]
        }),
        ok("sched_getparam", "its own", |w| args![0, w.out(4)]).only_inline(),
        fails("sched_getparam", ESRCH, "no process", |w| {
            args![NO_PID, w.out(4)]
        }),
        ok("sched_setscheduler", "a child in batches", |w| {
            let parameter = w.halves(&[0]);
            on_helper(w, [libc::SCHED_BATCH as u64, parameter.address()])
        }),
        ok("sched_setscheduler", "itself in batches", |w| {
            args![0, libc::SCHED_BATCH, w.halves(&[0])]
        })
        .only_inline(),
        fails("sched_setscheduler", EPERM, "real time, as a user", |w| {
            args![w.child(), libc::SCHED_FIFO, w.halves(&[1])]
        })
        .by_user(),
        ok("sched_getscheduler", "of a child", |w| args![w.child()]),
        ok("sched_getscheduler", "its own", |_| args![0]).only_inline(),
        fails("sched_getscheduler", ESRCH, "no process", |_| args![NO_PID]),
        ok("sched_get_priority_max", "in real time", |_| {
            args![libc::SCHED_RR]
        }),
        fails("sched_get_priority_max", EINVAL, "no policy", |_| args![99]),
        ok("sched_get_priority_min", "in real time", |_| {
            args![libc::SCHED_RR]
        }),
        fails("sched_get_priority_min", EINVAL, "no policy", |_| args![99]),
        ok("sched_rr_get_interval", "of a child", |w| {
            let child = w.child();
            let parameter = w.halves(&[1]);
            w.sys(
                "sched_setscheduler",
                args![child, libc::SCHED_RR, parameter],
            );
            args![child, w.out(16)]
        }),
        ok("sched_rr_get_interval", "its own", |w| args![0, w.out(16)]).only_inline(),
        fails("sched_rr_get_interval", ESRCH, "no process", |w| {
            args![NO_PID, w.out(16)]
        }),
        ok("sched_setaffinity", "of a child", |w| {
            let child = w.child();
            let now = w.out(8);
            w.then_call("sched_getaffinity", args![child, 8, now]);
            w.then(move |_| format!("{:?}", now.get()));
            args![child, 8, w.words(&[1])]
        }),
        ok("sched_setaffinity", "its own", |w| {
            args![0, 8, w.words(&[1])]
        })
        .only_inline(),
        fails("sched_setaffinity", EINVAL, "no processor", |w| {
            args![w.child(), 8, w.words(&[0])]
        }),
        ok("sched_getaffinity", "of a child", |w| {
            args![w.child(), 128, w.out(128)]
        }),
        ok("sched_getaffinity", "its own", |w| {
            args![0, 128, w.out(128)]
        })
        .only_inline(),
        fails("sched_getaffinity", EINVAL, "no room", |w| {
            args![w.child(), 1, w.out(1)]
        }),
        ok("sched_setattr", "a child is nice", |w| {
            let attributes = attributes(w, 0, 7);
            on_helper(w, [attributes.address(), 0])
        }),
        ok("sched_setattr", "it is nice", |w| {
            args![0, attributes(w, 0, 7), 0]
        })
        .only_inline(),
        fails("sched_setattr", EINVAL, "no policy", |w| {
            args![w.child(), attributes(w, 99, 0), 0]
        }),
        ok("sched_getattr", "of a child", |w| {
            args![w.child(), w.out(56), 56, 0]
        }),
        ok("sched_getattr", "its own", |w| args![0, w.out(56), 56, 0]).only_inline(),
        fails("sched_getattr", EINVAL, "no room", |w| {
            args![w.child(), w.out(56), 8, 0]
        }),
        ok("sched_yield", "to whoever waits", |_| args![]),
        ok("getcpu", "where it runs", |w| {
            args![w.out_varying(4, &[0..4]), w.out(4), 0]
        })
        .may_differ(&[Memory], "the processor on which the worker runs"),
        fails("getcpu", EFAULT, "no memory", |w| args![w.nowhere(), 0, 0]),
        ok("ptrace", "seizes a child", |w| {
            let child = w.child();
            w.then(move |_| {
                let status = std::fs::read_to_string(format!("/proc/{child}/status"));
                let status = status.unwrap_or_default();
                let tracer = status.lines().find(|line| line.starts_with("TracerPid:"));
                tracer
                    .map(|line| line.ends_with(&std::process::id().to_string()))
                    .is_some_and(|it| it)
                    .to_string()
            });
            args![libc::PTRACE_SEIZE, child, 0, 0]
        }),
        fails("ptrace", ESRCH, "no process", |_| {
            args![libc::PTRACE_ATTACH, NO_PID, 0, 0]
        }),
        ok("set_tid_address", "an address", |w| args![w.out(4)]).gives_process(),
        ok("set_robust_list", "an empty list", |w| {
            let head = w.words(&[0, 0, 0]);
            let (at, len) = (w.out(8), w.out(8));
            w.then_call("get_robust_list", args![0, at, len]);
            w.then(move |_| format!("{:?}", (at.get(), len.get())));
            args![head, 24]
        }),
        fails("set_robust_list", EINVAL, "a wrong length", |w| {
            args![w.out(24), 23]
        }),
        ok("get_robust_list", "of a child", |w| {
            args![w.child(), w.out(8), w.out(8)]
        }),
        ok("get_robust_list", "its own", |w| {
            args![0, w.out(8), w.out(8)]
        })
        .only_inline(),
        fails("get_robust_list", ESRCH, "no process", |w| {
            args![NO_PID, w.out(8), w.out(8)]
        }),
        ok("rseq", "registers an area", |w| {
            let area = area();
            w.then_call("rseq", args![area, 32, 1, 0x5305_3053]);
            args![area, 32, 0, 0x5305_3053]
        }),
        fails("rseq", EINVAL, "a wrong length", |_| {
            args![area(), 31, 0, 0]
        }),
        fails(
            "rseq_slice_yield",
            libc::ENOSYS,
            "not in this kernel",
            |_| args![],
        ),
        ok("personality", "addresses that do not vary", |_| {
            args![libc::ADDR_NO_RANDOMIZE]
        }),
        ok("arch_prctl", "the base of gs", |w| {
            let now = w.out(8);
            // ARCH_SET_GS and ARCH_GET_GS
            w.then_call("arch_prctl", args![0x1004, now]);
            w.then(move |_| format!("{:?}", now.get()));
            args![0x1001, 0x7000_1000_u64]
        }),
        fails("arch_prctl", EINVAL, "nothing known", |_| args![0x7777, 0]),
        ok("modify_ldt", "reads an empty table", |w| {
            args![0, w.out(16), 16]
        }),
        ok("modify_ldt", "writes an entry", |w| {
            // struct user_desc: entry 0, base, limit, 32-bit data segment that may be written.
            let entry = w.halves(&[0, 0x1000, 0xfff, 0x51]);
            let table = w.out(16);
            w.then_call("modify_ldt", args![0, table, 16]);
            w.then(move |_| format!("{:?}", table.get()));
            args![1, entry, 16]
        }),
        ok(
            "modify_ldt",
            "an unknown function, for an error of 32 bits",
            |w| args![9, w.out(16), 16],
        ),
        ok("iopl", "as it is", |_| args![0]),
        fails("iopl", EPERM, "as a user", |_| args![3]).by_user(),
        ok("ioperm", "a port", |_| args![0x80, 1, 1]),
        fails("ioperm", EINVAL, "a port too high", |_| {
            args![0x10000, 1, 1]
        }),
        ok("prctl", "another name", |w| {
            args![libc::PR_SET_NAME, w.text("another")]
        }),
        ok("prctl", "adopts orphans", |w| {
            let now = w.out(4);
            w.then_call("prctl", args![libc::PR_GET_CHILD_SUBREAPER, now]);
            w.then(move |_| format!("{:?}", now.get()));
            args![libc::PR_SET_CHILD_SUBREAPER, 1]
        }),
        fails("prctl", EINVAL, "nothing known", |_| args![0x7777_7777, 0]),
        ok("futex", "nobody waits", |w| {
            args![w.halves(&[5]), libc::FUTEX_WAKE, 1, 0, 0, 0]
        }),
        ok("futex", "locks for the owner's priority", |w| {
            let word = w.halves(&[0]);
            w.vary(&[0..4]);
            args![word, libc::FUTEX_LOCK_PI, 0, 0, 0, 0]
        })
        .only_inline(),
        fails("futex", EAGAIN, "another value", |w| {
            args![w.halves(&[5]), libc::FUTEX_WAIT, 6, 0, 0, 0]
        }),
        fails("futex", libc::ETIMEDOUT, "nobody wakes", |w| {
            args![
                w.halves(&[5]),
                libc::FUTEX_WAIT,
                5,
                w.words(&[0, 1000]),
                0,
                0
            ]
        }),
        ok("futex_wake", "nobody waits", |w| {
            args![w.halves(&[5]), 1, 1, 2]
        }),
        fails("futex_wake", EINVAL, "unknown flags", |w| {
            args![w.halves(&[5]), 1, 1, 0x1000]
        }),
        ok("futex_wait", "until a helper wakes", |w| {
            args![woken(w), 5, 1, 2, 0, libc::CLOCK_MONOTONIC]
        }),
        fails("futex_wait", EAGAIN, "another value", |w| {
            args![w.halves(&[5]), 6, 1, 2, 0, libc::CLOCK_MONOTONIC]
        }),
        ok("futex_requeue", "nobody waits", |w| {
            let (a, b) = (w.halves(&[5]), w.halves(&[6]));
            // struct futex_waitv: value, address, flags (32 bits).
            let waiters = w.words(&[5, a.address(), 2, 6, b.address(), 2]);
            args![waiters, 0, 1, 1]
        }),
        fails("futex_requeue", EINVAL, "a flag", |w| {
            args![w.words(&[0; 6]), 1, 1, 1]
        }),
        ok("futex_waitv", "until a helper wakes", |w| {
            let word = woken(w);
            args![w.words(&[5, word, 2]), 1, 0, 0, libc::CLOCK_MONOTONIC]
        }),
        fails("futex_waitv", EAGAIN, "another value", |w| {
            let word = w.halves(&[5]);
            args![
                w.words(&[6, word.address(), 2]),
                1,
                0,
                0,
                libc::CLOCK_MONOTONIC
            ]
        }),
        fails("kill", ESRCH, "no process", |_| args![NO_PID, SIGTERM]),
    ]
}

/// A word of value 5 that a helper wakes again and again.
fn woken(w: &mut World) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static WORD: AtomicU64 = AtomicU64::new(0);

    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let word = w.sys("mmap", args![0, 4096, protection, flags, -1, 0]) as u64;
    // SAFETY: the page is new, and the helper only takes its address for a name.
    unsafe { (word as *mut u32).write_volatile(5) };
    WORD.store(word, Ordering::Relaxed);
    w.child_doing(|| loop {
        let word = WORD.load(Ordering::Relaxed);
        crate::world::plain("futex", args![word, libc::FUTEX_WAKE, 1]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    });
    word
}

/// An area for rseq, which the kernel writes whenever the thread moves: nothing of it is compared.
fn area() -> Memory {
    Memory::pages(1)
}
