// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who a process is, what it may, and what it keeps secret.

use libc::{E2BIG, EBADF, EFAULT, EINVAL, ENOTSUP, EPERM, ESRCH};

use crate::{
    case::{args, fails, ok, Case},
    world::{World, NO_FD, NO_PID},
};

/// `struct __user_cap_header_struct` of version 3.
fn capability_header(w: &mut World, pid: i32) -> nlcall_tests::memory::Memory {
    w.halves(&[0x2008_0522, pid as u32])
}

/// A set of rules of Landlock about reading files.
fn ruleset(w: &mut World) -> i64 {
    let attributes = w.words(&[1 << 2, 0, 0]);
    w.sys("landlock_create_ruleset", args![attributes, 24, 0])
}

/// `struct landlock_path_beneath_attr`, which is packed: files of a folder may be read.
fn path_rule(w: &mut World, folder: i32) -> nlcall_tests::memory::Memory {
    let mut rule = 4_u64.to_ne_bytes().to_vec();
    rule.extend_from_slice(&folder.to_ne_bytes());
    w.bytes(&rule)
}

fn no_new_privileges(w: &mut World) {
    w.sys("prctl", args![libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
}

/// A filter of one instruction that allows everything: `struct sock_fprog`.
fn filter(w: &mut World) -> nlcall_tests::memory::Memory {
    let instruction = w.words(&[6 | u64::from(libc::SECCOMP_RET_ALLOW) << 32]);
    w.words(&[1, instruction.address()])
}

/// A keyring of this session alone, so that keys go with it.
fn own_keyring(w: &mut World) {
    // KEYCTL_JOIN_SESSION_KEYRING
    w.sys("keyctl", args![1, 0, 0, 0, 0]);
}

/// A key in it.
fn key(w: &mut World) -> i64 {
    own_keyring(w);
    let (kind, name, value) = (w.text("user"), w.text("name"), w.bytes(b"secret"));
    w.sys("add_key", args![kind, name, value, 6, -3])
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("getuid", "root", |_| args![]),
        ok("getgid", "root's", |_| args![]),
        ok("geteuid", "a user", |_| args![]).by_user(),
        ok("getegid", "a user's", |_| args![]).by_user(),
        ok("getresuid", "all three", |w| {
            args![w.out(4), w.out(4), w.out(4)]
        })
        .by_user(),
        fails("getresuid", EFAULT, "no memory", |w| {
            args![w.nowhere(), w.out(4), w.out(4)]
        }),
        ok("getresgid", "all three", |w| {
            args![w.out(4), w.out(4), w.out(4)]
        })
        .by_user(),
        fails("getresgid", EFAULT, "no memory", |w| {
            args![w.nowhere(), w.out(4), w.out(4)]
        }),
        ok("getgroups", "two", |w| {
            let groups = w.halves(&[5, 6]);
            w.sys("setgroups", args![2, groups]);
            args![8, w.out(32)]
        }),
        fails("getgroups", EINVAL, "fewer than none", |w| {
            args![-1, w.out(32)]
        }),
        ok("setuid", "a user", |_| args![1000]),
        fails("setuid", EPERM, "another user", |_| args![1001]).by_user(),
        ok("setgid", "another group", |_| args![1000]),
        fails("setgid", EPERM, "another group", |_| args![1001]).by_user(),
        ok("setreuid", "two ids", |_| args![1000, 1001]),
        fails("setreuid", EPERM, "another user", |_| args![1001, -1]).by_user(),
        ok("setregid", "two ids", |_| args![1000, 1001]),
        fails("setregid", EPERM, "another group", |_| args![1001, -1]).by_user(),
        ok("setresuid", "one id", |_| args![-1, 1000, -1]),
        fails("setresuid", EPERM, "another user", |_| args![-1, 1001, -1]).by_user(),
        ok("setresgid", "one id", |_| args![-1, 1000, -1]),
        fails("setresgid", EPERM, "another group", |_| args![-1, 1001, -1]).by_user(),
        ok("setfsuid", "a user", |_| args![1000]),
        ok("setfsgid", "a group", |_| args![1000]),
        ok("setgroups", "two", |w| args![2, w.halves(&[5, 6])]),
        fails("setgroups", EPERM, "as a user", |w| {
            args![2, w.halves(&[5, 6])]
        })
        .by_user(),
        ok("capget", "its own", |w| {
            args![capability_header(w, 0), w.out(24)]
        }),
        fails("capget", ESRCH, "no process", |w| {
            args![capability_header(w, NO_PID), w.out(24)]
        }),
        ok("capset", "none", |w| {
            args![capability_header(w, 0), w.out_zeroed(24)]
        }),
        fails("capset", EPERM, "more than it has", |w| {
            args![
                capability_header(w, 0),
                w.halves(&[u32::MAX, u32::MAX, 0, 0, 0, 0])
            ]
        })
        .by_user(),
        ok("seccomp", "which actions there are", |w| {
            // SECCOMP_GET_ACTION_AVAIL
            args![2, 0, w.halves(&[libc::SECCOMP_RET_KILL_PROCESS])]
        }),
        fails("seccomp", EINVAL, "an unknown operation", |_| {
            args![99, 0, 0]
        }),
        ok("seccomp", "a filter that allows everything", |w| {
            no_new_privileges(w);
            args![1, 0, filter(w)]
        }),
        ok("landlock_create_ruleset", "about reading files", |w| {
            args![w.words(&[4, 0, 0]), 24, 0]
        }),
        fails("landlock_create_ruleset", EINVAL, "unknown flags", |w| {
            args![w.words(&[4]), 8, 0x100]
        }),
        ok("landlock_add_rule", "files of a folder", |w| {
            let folder = w.open_folder(".");
            args![ruleset(w), 1, path_rule(w, folder), 0]
        }),
        fails("landlock_add_rule", EBADF, "no rules", |w| {
            args![NO_FD, 1, w.words(&[4, 0]), 0]
        }),
        ok("landlock_restrict_self", "may read no file", |w| {
            no_new_privileges(w);
            w.file("f", b"contents");
            let path = w.text("f");
            w.then_call("open", args![path, libc::O_RDONLY, 0]);
            let rules = ruleset(w);
            // What is compared lies there.
            let folder = w.open_folder("/proc");
            let rule = path_rule(w, folder);
            w.sys("landlock_add_rule", args![rules, 1, rule, 0]);
            args![rules, 0]
        }),
        fails("landlock_restrict_self", EBADF, "no rules", |_| {
            args![NO_FD, 0]
        }),
        ok("add_key", "a secret of a user", |w| {
            own_keyring(w);
            w.then(|key| {
                let buffer = nlcall_tests::memory::Memory::zeroed(16);
                let read = crate::world::plain("keyctl", args![11, key, buffer, 16]);
                format!("{read} {:?}", buffer.get())
            });
            args![w.text("user"), w.text("name"), w.bytes(b"secret"), 6, -3]
        })
        .varies(),
        fails("add_key", libc::ENODEV, "no kind", |w| {
            args![w.text("nothing"), w.text("name"), w.bytes(b"secret"), 6, -3]
        }),
        ok("request_key", "one that is there", |w| {
            key(w);
            args![w.text("user"), w.text("name"), 0, 0]
        })
        .varies(),
        fails("request_key", libc::ENOKEY, "none is there", |w| {
            own_keyring(w);
            args![w.text("user"), w.text("none"), 0, 0]
        }),
        ok("keyctl", "reads a secret", |w| {
            args![11, key(w), w.out(16), 16, 0]
        }),
        fails("keyctl", EOPNOTSUPP, "an unknown operation", |_| {
            args![9999, 0, 0, 0, 0]
        }),
        ok("lsm_get_self_attr", "where it runs", |w| {
            args![100, w.out(512), w.halves(&[512]), 0]
        }),
        fails("lsm_get_self_attr", E2BIG, "no room", |w| {
            args![100, w.out(8), w.halves(&[8]), 0]
        }),
        fails(
            "lsm_get_self_attr",
            EOPNOTSUPP,
            "what it would execute with",
            |w| {
                // LSM_ATTR_SOCKCREATE, which no module here has.
                args![105, w.out(512), w.halves(&[512]), 0]
            },
        )
        .only_inline(),
        fails("lsm_set_self_attr", EINVAL, "nothing", |w| {
            args![100, w.out(64), 16, 0]
        }),
        ok("lsm_list_modules", "all", |w| {
            args![w.out(256), w.halves(&[256]), 0]
        }),
        fails("lsm_list_modules", E2BIG, "no room", |w| {
            args![w.out(8), w.halves(&[4]), 0]
        }),
        ok("bpf", "a map", |w| {
            // BPF_MAP_CREATE: array of four values of eight bytes.
            args![0, w.halves(&[2, 4, 8, 4]), 16]
        }),
        fails("bpf", EINVAL, "an unknown command", |w| {
            args![9999, w.out_zeroed(16), 16]
        }),
        ok("perf_event_open", "of a child", |w| {
            let event = event(w);
            args![event, w.child(), -1, -1, 0]
        }),
        ok("perf_event_open", "of the thread", |w| {
            args![event(w), 0, -1, -1, 0]
        })
        .only_inline(),
        fails("perf_event_open", ESRCH, "no process", |w| {
            args![event(w), NO_PID, -1, -1, 0]
        }),
        ok("unshare", "hostnames", |w| {
            w.then(|_| {
                let this = std::fs::read_link("/proc/self/ns/uts").ok();
                let parent = std::os::unix::process::parent_id();
                let parent = std::fs::read_link(format!("/proc/{parent}/ns/uts")).ok();
                (this == parent).to_string()
            });
            args![libc::CLONE_NEWUTS]
        }),
        fails("unshare", EINVAL, "an unknown flag", |_| {
            args![libc::CLONE_PARENT]
        }),
        ok("setns", "hostnames of a child", |w| {
            let child = w.child_doing(|| {
                crate::world::plain("unshare", args![libc::CLONE_NEWUTS]);
                std::fs::write("ready", b"").expect("a file");
                crate::world::sleep();
            });
            while !crate::world::is_there("ready") {
                w.sys("sched_yield", args![]);
            }
            args![w.sys("pidfd_open", args![child, 0]), libc::CLONE_NEWUTS]
        }),
        fails("setns", EBADF, "no descriptor", |_| args![NO_FD, 0]),
    ]
}

/// Why no attribute is there.
const EOPNOTSUPP: i32 = ENOTSUP;

/// `struct perf_event_attr` that counts context switches, in software.
fn event(w: &mut World) -> nlcall_tests::memory::Memory {
    let mut bytes = [0; 128];
    bytes[..4].copy_from_slice(&1_u32.to_ne_bytes());
    bytes[4..8].copy_from_slice(&128_u32.to_ne_bytes());
    // PERF_COUNT_SW_CONTEXT_SWITCHES
    bytes[8..16].copy_from_slice(&3_u64.to_ne_bytes());
    w.bytes(&bytes)
}
