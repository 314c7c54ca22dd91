// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that this kernel does not have, and why others have no case of success or of failure.

use libc::ENOSYS;

use crate::case::{args, fails, Case, Exempt};

/// Entries of the table without a function behind them.
const ABSENT: &[&str] = &[
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "getpmsg",
    "putpmsg",
    "afs_syscall",
    "tuxcall",
    "security",
    "set_thread_area",
    "get_thread_area",
    "lookup_dcookie",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
];

/// Calls of which no case can succeed.
pub const NEVER_SUCCEED: &[Exempt] = &[
    Exempt {
        calls: ABSENT,
        why: "not in this kernel",
    },
    Exempt {
        calls: &["rseq_slice_yield"],
        why: "not in this kernel's configuration",
    },
    Exempt {
        calls: &["pause", "rt_sigsuspend"],
        why: "returns by EINTR alone",
    },
    Exempt {
        calls: &["map_shadow_stack"],
        why: "only on processors that have shadow stacks",
    },
    Exempt {
        calls: &["quotactl_fd"],
        why: "the guest has no file system with quotas",
    },
    Exempt {
        calls: &["io_cancel"],
        why: "says by EINPROGRESS that it succeeded",
    },
    Exempt {
        calls: &["lsm_set_self_attr"],
        why: "no security module of this kernel's configuration lets a process change itself so",
    },
];

/// Calls of which no case can fail.
pub const NEVER_FAIL: &[Exempt] = &[
    Exempt {
        calls: &[
            "getpid",
            "getppid",
            "gettid",
            "getpgrp",
            "getuid",
            "getgid",
            "geteuid",
            "getegid",
            "umask",
            "alarm",
            "sync",
            "sched_yield",
            "personality",
            "set_tid_address",
        ],
        why: "cannot fail",
    },
    Exempt {
        calls: &["setfsuid", "setfsgid"],
        why: "returns the id before, whatever it does",
    },
    Exempt {
        calls: &["brk"],
        why: "returns the end of the heap, whatever it does",
    },
    Exempt {
        calls: &["exit", "exit_group"],
        why: "does not return",
    },
    Exempt {
        calls: &["modify_ldt"],
        why: "its errors have 32 bits: 4294967258 is -ENOSYS",
    },
    Exempt {
        calls: &["munlockall"],
        why: "fails only where the process is killed",
    },
];

pub fn cases() -> Vec<Case> {
    ABSENT
        .iter()
        .map(|name| fails(name, ENOSYS, "not in this kernel", |_| args![]))
        .collect()
}
