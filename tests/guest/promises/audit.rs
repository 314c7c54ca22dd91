// SPDX-License-Identifier: MIT OR Apache-2.0

//! Audited calls leave the records that plain ones leave.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use nix::sys::wait::WaitStatus;
use nlcall::raw::{Call, Session};
use nlcall_tests::{
    audit::{Daemon, Event},
    calls::{self, call},
    memory::Memory,
    process::{exit_now, Child},
    session,
};

use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    audited_calls_leave_equal_records,
    an_audited_inline_exit_leaves_its_record,
];

/// `AUDIT_SYSCALL` and `AUDIT_PATH` of `include/uapi/linux/audit.h`.
const SYSCALL: u16 = 1300;
const PATH: u16 = 1302;

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Inline,
    Worker,
}

const WAYS: [Way; 3] = [Way::Plain, Way::Inline, Way::Worker];

impl Way {
    fn make(self, session: &Session, call: Call) -> i64 {
        match self {
            Self::Plain => calls::plainly(&call),
            Self::Inline => session::run_inline(session, [call])[0].ret,
            Self::Worker => session::run(session, call).ret,
        }
    }
}

fn daemon() -> Daemon {
    Daemon::begin().unwrap_or_else(|error| skip(&format!("this kernel audits no calls: {error}")))
}

/// The calls that are watched, with and without success, with and without a path.
fn audited() -> Vec<Call> {
    let file = Memory::string("file");
    let missing = Memory::string("missing");
    let at = || libc::AT_FDCWD.into();
    vec![
        call(libc::SYS_fchmodat, &[at(), file.into(), 0o640.into()]),
        call(libc::SYS_unlinkat, &[at(), missing.into(), 0.into()]),
        call(libc::SYS_getpgid, &[0.into()]),
        call(libc::SYS_getpgid, &[(-7).into()]),
    ]
}

const WATCHED: [libc::c_long; 3] = [libc::SYS_fchmodat, libc::SYS_unlinkat, libc::SYS_getpgid];

/// A record without what says which thread made the call.
fn without_comm(text: &str) -> String {
    let words = text.split(' ').filter(|word| !word.starts_with("comm="));
    words.collect::<Vec<_>>().join(" ")
}

fn comparable(event: &Event) -> Event {
    let record = |(kind, text): &(u16, String)| (*kind, without_comm(text));
    event.iter().map(record).collect()
}

fn audited_calls_leave_equal_records() {
    fs::write("file", "text").expect("a file");
    // The first one finds what the others find.
    fs::set_permissions("file", Permissions::from_mode(0o640)).expect("the mode is set");
    let mut daemon = daemon();
    let calls = audited();
    let mut child = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        session::value(&session, calls::getpid());
        for way in WAYS {
            channel.get();
            for call in &calls {
                way.make(&session, call.clone());
            }
        }
        // All by one message, too.
        channel.get();
        session::run_inline(&session, calls.clone());
    });
    daemon
        .watch(child.pid(), &WATCHED)
        .expect("the rule is taken");
    let mut by_way = Vec::new();
    for _ in 0..=WAYS.len() {
        child.channel().put(0);
        let events: Vec<Event> = calls.iter().map(|_| daemon.event()).collect();
        by_way.push(events);
    }
    child.succeed();
    let plain = &by_way[0];
    let numbers = calls
        .iter()
        .map(|call| call.as_abi().nr)
        .collect::<Vec<_>>();
    for (event, nr) in plain.iter().zip(numbers) {
        let said = &event.iter().find(|it| it.0 == SYSCALL).expect("a record").1;
        assert!(said.contains(&format!("syscall={nr} ")), "{said}");
    }
    let paths = |event: &Event| event.iter().filter(|it| it.0 == PATH).count();
    assert!(paths(&plain[0]) > 0 && paths(&plain[1]) > 0, "{plain:#?}");
    for (events, way) in by_way.iter().zip(["plain", "INLINE", "worker", "batch"]) {
        for (event, plain) in events.iter().zip(plain) {
            assert_eq!(comparable(event), comparable(plain), "{way}");
        }
    }
}

fn an_audited_inline_exit_leaves_its_record() {
    let mut daemon = daemon();
    let mut events = Vec::new();
    for way in [Way::Plain, Way::Inline] {
        let mut child = Child::fork(|channel| {
            let session = Session::open().expect("a session");
            channel.get();
            way.make(&session, call(libc::SYS_exit_group, &[3.into()]));
            exit_now(1);
        });
        daemon
            .watch(child.pid(), &[libc::SYS_exit_group])
            .expect("the rule is taken");
        child.channel().put(0);
        assert_eq!(child.wait(), WaitStatus::Exited(child.pid(), 3));
        let pid = format!("pid={} ", child.pid());
        let event = comparable(&daemon.event());
        // Everything but the process is equal.
        let same = |(kind, text): (u16, String)| (kind, text.replace(&pid, "pid=0 "));
        events.push(event.into_iter().map(same).collect::<Event>());
    }
    assert_eq!(events[0], events[1]);
    let said = &events[0]
        .iter()
        .find(|it| it.0 == SYSCALL)
        .expect("a record")
        .1;
    assert!(said.contains(" a0=3 "), "{said}");
}
