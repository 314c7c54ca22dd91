// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call sees the namespaces of its process.

use std::fs;

use nix::{
    mount::{mount, MsFlags},
    sched::{unshare, CloneFlags},
    unistd::{getgid, getuid, Gid, Uid},
};
use nlcall::raw::Session;
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    process::{in_a_child, Child},
    session::{self, value},
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    every_namespace_is_the_processs,
    a_process_in_a_pid_namespace_has_its_pid_there,
    a_process_in_a_user_namespace_is_root_only_there,
    a_mount_in_a_namespace_is_seen_there,
    an_owner_is_shown_with_the_readers_pid,
];

/// Names of all namespaces, as a worker sees them and as this thread does.
fn compare_namespaces() {
    let session = Session::open().expect("a session");
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let path = Memory::string(&format!("/proc/thread-self/ns/{name}"));
        let link = Memory::zeroed(64);
        let args = [
            libc::AT_FDCWD.into(),
            path.into(),
            link.into(),
            link.len().into(),
        ];
        value(&session, call(libc::SYS_readlinkat, &args));
        let plain = fs::read_link(format!("/proc/self/ns/{name}")).expect("a plain readlink");
        assert_eq!(Some(link.text().as_str()), plain.to_str(), "{name}");
    }
}

fn every_namespace_is_the_processs() {
    compare_namespaces();
    for flag in [
        CloneFlags::CLONE_NEWCGROUP,
        CloneFlags::CLONE_NEWIPC,
        CloneFlags::CLONE_NEWNET,
        CloneFlags::CLONE_NEWNS,
        CloneFlags::CLONE_NEWUSER,
        CloneFlags::CLONE_NEWUTS,
    ] {
        in_a_child(|| {
            unshare(flag).expect("a namespace of its own");
            compare_namespaces();
        });
    }
}

fn a_process_in_a_pid_namespace_has_its_pid_there() {
    in_a_child(|| {
        unshare(CloneFlags::CLONE_NEWPID).expect("a namespace of its own");
        in_a_child(|| {
            let session = Session::open().expect("a session");
            assert_eq!(value(&session, calls::getpid()), 1);
            assert_eq!(value(&session, call(libc::SYS_getppid, &[])), 0);
            let sleeper = Child::fork(|channel| {
                channel.get();
            });
            let kill = call(
                libc::SYS_kill,
                &[sleeper.pid().as_raw().into(), libc::SIGKILL.into()],
            );
            assert_eq!(value(&session, kill), 0);
            let wait4 = call(
                libc::SYS_wait4,
                &[(-1).into(), 0.into(), 0.into(), 0.into()],
            );
            assert_eq!(value(&session, wait4), sleeper.pid().as_raw() as u64);
            sleeper.was_reaped();
        });
    });
}

fn a_process_in_a_user_namespace_is_root_only_there() {
    fs::write("of_root", "of root").expect("a file");
    in_a_child(|| {
        let lesser = Uid::from_raw(1000);
        nix::unistd::setresgid(
            Gid::from_raw(1000),
            Gid::from_raw(1000),
            Gid::from_raw(1000),
        )
        .expect("gid");
        nix::unistd::setresuid(lesser, lesser, lesser).expect("becoming another user");
        unshare(CloneFlags::CLONE_NEWUSER).expect("a namespace of its own");
        let session = Session::open().expect("a session");
        // Nothing is mapped, here as plainly.
        assert_eq!(
            value(&session, call(libc::SYS_getuid, &[])),
            u64::from(getuid().as_raw())
        );
        assert_eq!(
            value(&session, call(libc::SYS_getgid, &[])),
            u64::from(getgid().as_raw())
        );
        assert_ne!(getuid(), lesser);
        let name = Memory::string("x");
        let sethostname = call(libc::SYS_sethostname, &[name.into(), 1.into()]);
        assert_eq!(session::error(&session, sethostname).raw(), libc::EPERM);
    });
}

fn a_mount_in_a_namespace_is_seen_there() {
    fs::create_dir("point").expect("a folder");
    in_a_child(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("a namespace of its own");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).expect("private");
        let session = Session::open().expect("a session");
        let [kind, point] = ["tmpfs", "point"].map(Memory::string);
        let args = [kind.into(), point.into(), kind.into(), 0.into(), 0.into()];
        assert_eq!(value(&session, call(libc::SYS_mount, &args)), 0);
        fs::write("point/file", "inside").expect("a plain write");
        let path = Memory::string("point/file");
        let openat = [libc::AT_FDCWD.into(), path.into(), libc::O_RDONLY.into()];
        value(&session, call(libc::SYS_openat, &openat));
    });
    assert!(!fs::exists("point/file").expect("a plain lookup"));
}

fn an_owner_is_shown_with_the_readers_pid() {
    let session = Session::open().expect("a session");
    value(&session, calls::getpid());
    assert_eq!(session::info(&session).pid, std::process::id());
    in_a_child(|| {
        unshare(CloneFlags::CLONE_NEWPID).expect("a namespace of its own");
        in_a_child(|| {
            let inside = Session::open().expect("a session");
            value(&inside, calls::getpid());
            assert_eq!(session::info(&inside).pid, 1);
            let outside = session::of_port(session.port_id()).expect("root sees all sessions");
            assert_eq!(outside.pid, 0, "a process that is not visible here");
        });
    });
}
