// SPDX-License-Identifier: MIT OR Apache-2.0

//! CONFIG_GET and CONFIG_SET.

use std::{collections::BTreeMap, fs};

use nix::{
    sched::{unshare, CloneFlags},
    unistd::{setresgid, setresuid, Gid, Uid},
};
use nlcall::raw::Session;
use nlcall_abi::{config as attr, Command};
use nlcall_tests::{
    calls,
    config::{self, Changed, Value},
    message::Message,
    module, patience,
    process::{in_a_child, Child},
    socket::RawSocket,
};
use rustix::io::Errno;

use crate::{
    harness::{tests, Test},
    reloaded::Reloaded,
};

pub const TESTS: &[Test] = tests![
    settings_are_changed_and_shown,
    a_setting_out_of_its_range_is_refused,
    settings_change_all_or_none,
    a_change_names_a_setting,
    settings_are_changed_by_the_hosts_root_alone,
    access_changes_at_once,
    parameters_out_of_their_range_are_refused,
];

/// Name of each setting that is a number, with its least and its greatest value.
const NUMBERS: [(u16, &str, u32, u32); 8] = [
    (attr::MAX_IN_FLIGHT, "max_in_flight", 1, 1 << 20),
    (attr::MAX_WORKERS, "max_workers", 1, 65536),
    (attr::MAX_IN_FLIGHT_USER, "max_in_flight_user", 1, 1 << 24),
    (attr::MAX_WORKERS_USER, "max_workers_user", 1, 1 << 20),
    (attr::MAX_WORKERS_TOTAL, "max_workers_total", 1, 1 << 20),
    (attr::MAX_RUNNING, "max_running", 0, 1024),
    (attr::IDLE_MS, "idle_ms", 1, 86_400_000),
    (attr::MAX_INLINE_BYTES, "max_inline_bytes", 0, 1 << 31),
];

fn parameter(name: &str) -> String {
    let path = format!("/sys/module/nlcall/parameters/{name}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.trim().to_owned()
}

fn settings_are_changed_and_shown() {
    let before = config::all();
    let changed: Vec<(u16, Value)> = (1..=attr::MAX)
        .map(|kind| match kind {
            attr::ACCESS => (kind, "4294967294".into()),
            _ => (kind, (1000 + u32::from(kind)).into()),
        })
        .collect();
    let guard = Changed::to(&changed);
    assert_eq!(config::all(), changed);
    let features = Session::open().expect("a socket").features().clone();
    assert_eq!((features.max_in_flight, features.max_workers), (1001, 1002));
    for (kind, name, ..) in NUMBERS {
        assert_eq!(parameter(name), (1000 + kind).to_string(), "{name}");
    }
    assert_eq!(parameter("access"), "4294967294");
    drop(guard);
    assert_eq!(config::all(), before);
    assert_eq!(module::access(), parameter("access"));
}

fn a_setting_out_of_its_range_is_refused() {
    let before = config::all();
    for (kind, name, min, max) in NUMBERS {
        for wrong in [min.checked_sub(1), Some(max + 1), Some(u32::MAX)] {
            let Some(wrong) = wrong else { continue };
            let answer = config::set(&[(kind, wrong.into())]);
            let text = format!("{name}: {wrong} is not from {min} to {max}");
            assert!(answer.is_rejection(libc::EINVAL, &text), "{answer:?}");
            assert_eq!(answer.offset, Some(20), "the attribute is the first");
        }
        let _fits = Changed::numbers([(kind, min)]);
        let _fits = Changed::numbers([(kind, max)]);
    }
    for wrong in ["", "Root", "everybody", "-1", "+1", "1 ", "4294967295"] {
        let answer = config::set(&[(attr::ACCESS, wrong.into())]);
        assert!(
            answer.is_rejection(libc::EINVAL, "access: give root"),
            "{answer:?}"
        );
        assert_eq!(answer.offset, Some(20));
    }
    assert_eq!(config::all(), before);
}

fn settings_change_all_or_none() {
    let before = config::all();
    let answer = config::set(&[
        (attr::MAX_WORKERS, 77.into()),
        (attr::ACCESS, "root".into()),
        (attr::IDLE_MS, 0.into()),
    ]);
    assert!(
        answer.is_rejection(libc::EINVAL, "idle_ms: 0"),
        "{answer:?}"
    );
    assert_eq!(answer.offset, Some(20 + 8 + 12));
    assert_eq!(config::all(), before);
}

fn a_change_names_a_setting() {
    let mut socket = RawSocket::open();
    let answer = socket.request(config::message(socket.family(), &[]));
    assert!(
        answer.is_rejection(libc::EINVAL, "names no setting"),
        "{answer:?}"
    );
    let unknown = [(attr::MAX + 1, 1.into())];
    let answer = socket.request(config::message(socket.family(), &unknown));
    assert_eq!(answer.errno, libc::EINVAL, "{answer:?}");
    let mut short = Message::new(socket.family(), Command::ConfigSet);
    short.attribute(attr::MAX_WORKERS, &[1, 0]);
    let answer = socket.request(short);
    assert_eq!(answer.errno, libc::EINVAL, "{answer:?}");
    let mut endless = Message::new(socket.family(), Command::ConfigSet);
    endless.attribute(attr::ACCESS, b"root");
    let answer = socket.request(endless);
    assert_eq!(
        answer.errno,
        libc::EINVAL,
        "the text has no end: {answer:?}"
    );
}

fn settings_are_changed_by_the_hosts_root_alone() {
    let before = config::all();
    let change = [(attr::MAX_WORKERS, Value::Number(77))];
    let refused = |who: &str| {
        let answer = config::set(&change);
        assert!(
            answer.is_rejection(libc::EPERM, "CAP_SYS_ADMIN"),
            "{who}: {answer:?}"
        );
        // Who may not change them may still know them.
        assert_eq!(config::all(), before, "{who}");
    };
    in_a_child(|| {
        become_user(1000);
        refused("a user");
    });
    in_a_child(|| {
        unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace");
        refused("root of a user namespace");
    });
    // Root writes into a socket that a user opened: whose change would it be?
    let mut child = Child::fork(|channel| {
        become_user(1000);
        let socket = RawSocket::open();
        channel.put_fd(socket.inheritable_copy());
        channel.get();
    });
    let mut socket = RawSocket::adopt(child.channel().get_fd());
    let answer = socket.request(config::message(socket.family(), &change));
    assert!(
        answer.is_rejection(libc::EPERM, "CAP_SYS_ADMIN"),
        "{answer:?}"
    );
    assert_eq!(config::all(), before);
    child.channel().put(0);
    child.succeed();
}

fn become_user(id: u32) {
    let (gid, uid) = (Gid::from_raw(id), Uid::from_raw(id));
    setresgid(gid, gid, gid).expect("another group");
    setresuid(uid, uid, uid).expect("another user");
}

fn access_changes_at_once() {
    let mut child = Child::fork(|channel| {
        become_user(1000);
        let mut socket = RawSocket::open();
        loop {
            channel.get();
            let answer = socket.submit([calls::getpid()]);
            if answer.errno == 0 {
                socket.completions(1);
            } else {
                assert!(answer.text.starts_with("access="), "{answer:?}");
            }
            channel.put(answer.errno as u64);
        }
    });
    let admitted = |access: &str| {
        let _access = Changed::to(&[(attr::ACCESS, access.into())]);
        child.channel().put(0);
        child.channel().get() as i32
    };
    let cases = BTreeMap::from([
        ("everyone", 0),
        ("root", libc::EPERM),
        ("1000", 0),
        ("1001", libc::EPERM),
    ]);
    for (access, errno) in cases {
        assert_eq!(admitted(access), errno, "{access}");
    }
    child.kill();
}

fn parameters_out_of_their_range_are_refused() {
    let reloaded = Reloaded::with("max_workers_user=7 idle_ms=100");
    assert_eq!(config::number(attr::MAX_WORKERS_USER), 7);
    assert_eq!(config::number(attr::IDLE_MS), 100);
    patience::until("the module goes", || module::unload().is_ok());
    for (_, name, min, max) in NUMBERS {
        let wrong = [min.checked_sub(1), Some(max + 1)];
        for wrong in wrong.into_iter().flatten() {
            let error = module::load(&format!("{name}={wrong}"));
            assert_eq!(error, Err(Errno::INVAL), "{name}={wrong}");
        }
    }
    module::load("").expect("the module can be loaded again");
    drop(reloaded);
}
