// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call has the credentials of the thread that submitted it, at the time when it did.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use nix::unistd::{setresgid, setresuid, Gid, Uid};
use nlcall::raw::{Call, CallFlags, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    pipe::Pipe,
    process::in_a_child,
    session::{self, error, value},
    socket::RawSocket,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    credentials_are_those_of_the_submission,
    a_call_that_waits_keeps_the_credentials_of_its_submission,
    credentials_do_not_leak_from_one_call_into_the_next,
    a_lesser_user_may_do_what_it_may_do_plainly,
    a_socket_may_be_opened_by_root_for_a_lesser_user,
];

const NOBODY: Uid = Uid::from_raw(65534);

/// A file that only root can open, and the call that does.
fn secret() -> Call {
    fs::write("secret", "of root").expect("a file");
    fs::set_permissions("secret", Permissions::from_mode(0o600)).expect("chmod");
    fs::set_permissions(".", Permissions::from_mode(0o755)).expect("chmod");
    let path = Memory::string("secret");
    call(
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), libc::O_RDONLY.into()],
    )
}

/// Becomes a user without rights, who can become root again where `way_back` says so.
fn become_nobody(way_back: bool) {
    let saved = if way_back { Uid::from_raw(0) } else { NOBODY };
    setresuid(NOBODY, NOBODY, saved).expect("becoming another user");
}

fn credentials_are_those_of_the_submission() {
    let open_secret = secret();
    in_a_child(|| {
        let session = Session::open().expect("a session");
        // Several workers exist, made by root.
        let pipe = Pipe::new();
        session::submit(&session, 0, (0..8).map(|_| pipe.read_call()));
        session::info_until(&session, "eight reads block", |info| info.blocked == 8);
        pipe.fill(&[0; 8]);
        session::collect(&session, 8);
        value(&session, open_secret.clone());
        assert_eq!(value(&session, call(libc::SYS_getuid, &[])), 0);

        become_nobody(true);
        for _ in 0..10 {
            assert_eq!(error(&session, open_secret.clone()).raw(), libc::EACCES);
            assert_eq!(
                value(&session, call(libc::SYS_geteuid, &[])),
                u64::from(NOBODY.as_raw())
            );
        }
        setresuid(NOBODY, Uid::from_raw(0), NOBODY).expect("becoming root again");
        value(&session, open_secret.clone());
        session::assert_all_accounted_for(&session);
    });
}

fn a_call_that_waits_keeps_the_credentials_of_its_submission() {
    let open_secret = secret();
    in_a_child(|| {
        let session = Session::open().expect("a session");
        let cap = session.features().max_workers as usize;
        let pipe = Pipe::new();
        let reads = (0..cap).map(|_| pipe.read_call());
        // Of two workers that run at the same time, one could begin it before the last read.
        let last = open_secret.clone().flags(CallFlags::DRAIN);
        session::submit(&session, 0, reads.chain([last]));
        session::info_until(&session, "the last call waits", |info| {
            info.blocked as usize == cap && info.queued == 1
        });
        become_nobody(false);
        pipe.fill(&vec![0; cap]);
        let completions = session::collect(&session, cap + 1);
        let opened = &completions[&(cap as u64)];
        assert!(opened.result().is_ok(), "root submitted it: {opened:?}");
        assert_eq!(error(&session, open_secret).raw(), libc::EACCES);
    });
}

fn credentials_do_not_leak_from_one_call_into_the_next() {
    let open_secret = secret();
    in_a_child(|| {
        let session = Session::open().expect("a session");
        let pipe = Pipe::new();
        // Root's calls and nobody's alternate on the same workers.
        for _ in 0..20 {
            session::submit(&session, 0, [open_secret.clone(), pipe.read_call()]);
            setresuid(NOBODY, NOBODY, Uid::from_raw(0)).expect("becoming another user");
            session::submit(&session, 2, [open_secret.clone(), pipe.read_call()]);
            setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).expect("root");
            session::submit(&session, 4, [open_secret.clone()]);
            pipe.fill(&[0; 2]);
            let completions = session::collect(&session, 5);
            let errno = |user_data| completions[&user_data].result().err().map(|it| it.raw());
            assert_eq!(errno(0), None);
            assert_eq!(errno(2), Some(libc::EACCES));
            assert_eq!(errno(4), None);
        }
        session::assert_all_accounted_for(&session);
    });
}

fn a_lesser_user_may_do_what_it_may_do_plainly() {
    let open_secret = secret();
    in_a_child(|| {
        setresgid(
            Gid::from_raw(65534),
            Gid::from_raw(65534),
            Gid::from_raw(65534),
        )
        .expect("gid");
        become_nobody(false);
        let session = Session::open().expect("a session");
        assert_eq!(error(&session, open_secret).raw(), libc::EACCES);
        assert_eq!(
            value(&session, calls::getpid()),
            u64::from(std::process::id())
        );
        let kill_init = call(libc::SYS_kill, &[1.into(), 0.into()]);
        assert_eq!(error(&session, kill_init).raw(), libc::EPERM);
        let sethostname = call(
            libc::SYS_sethostname,
            &[Memory::string("x").into(), 1.into()],
        );
        assert_eq!(error(&session, sethostname).raw(), libc::EPERM);
        // The sessions of others are none of its business.
        let sessions = session.sessions().expect("SESSION_GET is answered");
        assert_eq!(sessions.len(), 1, "{sessions:?}");
    });
}

fn a_socket_may_be_opened_by_root_for_a_lesser_user() {
    let mut socket = RawSocket::open();
    in_a_child(|| {
        become_nobody(false);
        socket.accept([call(libc::SYS_getuid, &[])]);
        assert_eq!(socket.completions(1)[0].ret, i64::from(NOBODY.as_raw()));
    });
}
