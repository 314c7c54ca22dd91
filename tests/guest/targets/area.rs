// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that travels with calls, in the own process and in another one.

use nlcall::raw::{Arg, Batch, CallFlags, Cancel, Completion, Data, Outcome, Session};
use nlcall_tests::{calls::getpid, patience, session, socket::RawSocket, threads};

use super::{call, make, mappings, target, waiting_child};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    bytes_go_there_and_back,
    outputs_of_a_call_come_in_order,
    pointers_are_filled_in,
    a_large_output_comes_whole,
    outputs_of_many_calls_come_each_with_its_own,
    the_area_goes_with_the_last_call,
    the_area_goes_when_calls_are_canceled,
    a_failed_call_returns_what_is_there,
    a_call_that_never_ran_returns_nothing,
    an_area_that_finds_no_room_fails_its_calls,
    nothing_is_kept_of_many_messages,
];

/// Runs in this process, and in another one.
fn everywhere(
    test: impl Fn(&Session, Box<dyn Fn(Data, &[nlcall::raw::Call]) -> Vec<Completion> + '_>),
) {
    let session = Session::open().unwrap();
    test(
        &session,
        Box::new(|data, calls| {
            let mut batch: Batch = (0..)
                .zip(calls)
                .map(|(name, call)| call.clone().user_data(name))
                .collect();
            batch.data(data);
            session.submit(batch).expect("the calls are accepted");
            session::collect(&session, calls.len())
                .into_values()
                .collect()
        }),
    );
    session::assert_all_accounted_for(&session);
    let child = waiting_child();
    let there = target(child.pid());
    test(
        &session,
        Box::new(|data, calls| make(&session, &there, data, calls)),
    );
    session::assert_all_accounted_for(&session);
}

fn bytes_go_there_and_back() {
    everywhere(|_, run| {
        // A pipe that is made there.
        let mut data = Data::new();
        let fds = data.reserve(8);
        let made = run(data, &[call(libc::SYS_pipe, &[fds.output()])]);
        let fds: Vec<u32> = made[0]
            .data()
            .chunks(4)
            .map(|it| u32::from_ne_bytes(it.try_into().unwrap()))
            .collect();
        let [reader, writer] = fds[..] else {
            panic!("two descriptors")
        };
        let mut data = Data::new();
        let text = data.put(b"over there");
        let args = [writer.into(), text.address(), text.len().into()];
        let written = run(data, &[call(libc::SYS_write, &args)]);
        assert_eq!(written[0].ret, 10);
        let mut data = Data::new();
        let room = data.reserve(16);
        let args = [reader.into(), room.output(), 16.into()];
        let read = run(data, &[call(libc::SYS_read, &args)]);
        assert_eq!(
            (read[0].ret, read[0].data()),
            (10, &b"over there\0\0\0\0\0\0"[..])
        );
        for fd in [reader, writer] {
            run(Data::new(), &[call(libc::SYS_close, &[fd.into()])]);
        }
    });
}

fn outputs_of_a_call_come_in_order() {
    everywhere(|_, run| {
        let mut data = Data::new();
        let ids = [data.reserve(4), data.reserve(4), data.reserve(4)];
        data.write(ids[1], &[0xff; 4]);
        let args = ids.map(|id| id.output());
        let got = run(data, &[call(libc::SYS_getresuid, &args)]);
        assert_eq!(got[0].ret, 0);
        assert_eq!(got[0].data(), [0; 12], "root, three times");
    });
}

fn pointers_are_filled_in() {
    everywhere(|_, run| {
        let mut data = Data::new();
        let fds = data.reserve(8);
        let made = run(data, &[call(libc::SYS_pipe, &[fds.output()])]);
        let fd = |at: usize| u32::from_ne_bytes(made[0].data()[at..][..4].try_into().unwrap());
        let mut data = Data::new();
        let vector = data.reserve(32);
        let texts = [data.put(b"one, "), data.put(b"two")];
        for (entry, text) in (0..).zip(texts) {
            data.pointer(16 * entry, text);
            let len = u64::from(text.len()).to_ne_bytes();
            data.write(vector.part(16 * entry + 8, 8), &len);
        }
        let args = [fd(4).into(), vector.address(), 2.into()];
        assert_eq!(run(data, &[call(libc::SYS_writev, &args)])[0].ret, 8);
        // The structure, its vector and its buffers come back as one output.
        let mut data = Data::new();
        let vector = data.reserve(32);
        let rooms = [data.reserve(4), data.reserve(4)];
        for (entry, room) in (0..).zip(rooms) {
            data.pointer(16 * entry, room);
            data.write(vector.part(16 * entry + 8, 8), &4_u64.to_ne_bytes());
        }
        let args = [fd(0).into(), vector.through(rooms[1]).output(), 2.into()];
        let read = run(data, &[call(libc::SYS_readv, &args)]);
        assert_eq!(read[0].ret, 8);
        let at = rooms.map(|room| room.offset() as usize);
        assert_eq!(&read[0].data()[at[0]..][..4], b"one,");
        assert_eq!(&read[0].data()[at[1]..][..4], b" two");
        for at in [0, 4] {
            run(Data::new(), &[call(libc::SYS_close, &[fd(at).into()])]);
        }
    });
}

fn a_large_output_comes_whole() {
    everywhere(|_, run| {
        let mut data = Data::new();
        let room = data.reserve(Data::MAX_OUTPUT);
        let args = [room.output(), Data::MAX_OUTPUT.into(), 0.into()];
        let got = run(data, &[call(libc::SYS_getrandom, &args)]);
        assert_eq!(got[0].ret as usize, Data::MAX_OUTPUT);
        assert_eq!(got[0].data().len(), Data::MAX_OUTPUT);
        let last = &got[0].data()[Data::MAX_OUTPUT - 64..];
        assert!(last.iter().any(|byte| *byte != 0), "its end is there");
    });
}

fn outputs_of_many_calls_come_each_with_its_own() {
    everywhere(|_, run| {
        // Of sizes that share a message, and that do not.
        let lens: Vec<usize> = (0..40).map(|at| at * at * 7 % 5000).collect();
        let mut data = Data::new();
        let mut calls = Vec::new();
        let null = data.put_c_str(c"/proc/self/comm");
        for len in &lens {
            let room = data.reserve(*len);
            data.write(room, &vec![*len as u8; *len]);
            // An error leaves its buffer as it is.
            calls.push(call(
                libc::SYS_readlink,
                &[null.address(), room.output(), (*len).into()],
            ));
        }
        let got = run(data, &calls);
        for (len, completion) in lens.iter().zip(&got) {
            assert_eq!(completion.data(), vec![*len as u8; *len], "{completion:?}");
        }
    });
}

fn the_area_goes_with_the_last_call() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    make(
        &session,
        &there,
        Data::new(),
        &[call(libc::SYS_getpid, &[])],
    );
    let before = mappings(child.pid());
    for _ in 0..10 {
        let mut data = Data::new();
        let path = data.put_c_str(c"/");
        let access = call(libc::SYS_access, &[path.address(), 0.into()]);
        let done = make(&session, &there, data, &[access.clone(), access]);
        assert!(done.iter().all(|it| it.ret == 0), "{done:?}");
    }
    patience::until("all areas are gone", || mappings(child.pid()) == before);
}

fn the_area_goes_when_calls_are_canceled() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    make(
        &session,
        &there,
        Data::new(),
        &[call(libc::SYS_getpid, &[])],
    );
    let before = mappings(child.pid());
    // One that runs and blocks, made there; others wait for it in a chain.
    let mut data = Data::new();
    let fds = data.reserve(8);
    let made = make(
        &session,
        &there,
        data,
        &[call(libc::SYS_pipe, &[fds.output()])],
    );
    let reader = u32::from_ne_bytes(made[0].data()[..4].try_into().unwrap());
    let mut data = Data::new();
    let rooms = [data.reserve(4), data.reserve(4)];
    let read =
        |room: nlcall::raw::Place| call(libc::SYS_read, &[reader.into(), room.output(), 4.into()]);
    let mut batch = Batch::new();
    batch.push(read(rooms[0]).user_data(1).flags(CallFlags::LINK));
    batch.push(read(rooms[1]).user_data(2));
    batch.data(data).target(&there);
    session.submit(batch).expect("it is accepted");
    patience::until("the area is there", || mappings(child.pid()) > before);
    session.cancel(Cancel::All).unwrap();
    let done = session::collect(&session, 2);
    assert_eq!(done[&1].outcome, Outcome::Interrupted);
    assert_eq!(done[&2].outcome, Outcome::Canceled);
    patience::until("the area is gone", || mappings(child.pid()) == before);
}

fn a_failed_call_returns_what_is_there() {
    everywhere(|_, run| {
        let mut data = Data::new();
        let room = data.put(b"as it was");
        let got = run(
            data,
            &[call(libc::SYS_read, &[999.into(), room.output(), 9.into()])],
        );
        assert_eq!(
            (got[0].ret, got[0].data()),
            (-i64::from(libc::EBADF), &b"as it was"[..])
        );
    });
}

fn a_call_that_never_ran_returns_nothing() {
    everywhere(|_, run| {
        let mut data = Data::new();
        let rooms = [data.reserve(8), data.reserve(8)];
        let fail = call(libc::SYS_read, &[999.into(), rooms[0].output(), 8.into()]);
        let never = call(libc::SYS_read, &[999.into(), rooms[1].output(), 8.into()]);
        let got = run(data, &[fail.flags(CallFlags::LINK), never]);
        assert_eq!(got[1].outcome, Outcome::Canceled);
        assert_eq!(got[1].data(), b"");
    });
}

fn an_area_that_finds_no_room_fails_its_calls() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    // No mapping of the child may grow from now on.
    let mut data = Data::new();
    let limit = data.put(&[0; 16]);
    let args = [0.into(), libc::RLIMIT_AS.into(), limit.address(), 0.into()];
    let set = make(&session, &there, data, &[call(libc::SYS_prlimit64, &args)]);
    assert_eq!(set[0].ret, 0);
    let mut data = Data::new();
    let path = data.put_c_str(c"/");
    let access = call(libc::SYS_access, &[path.address(), 0.into()]);
    let done = make(&session, &there, data, &[access.clone(), access]);
    for completion in &done {
        assert_eq!(completion.outcome, Outcome::NotStarted, "{completion:?}");
        assert_eq!(completion.ret, -i64::from(libc::ENOMEM));
    }
    // What needs no area is made all the same.
    let pid = make(
        &session,
        &there,
        Data::new(),
        &[call(libc::SYS_getpid, &[])],
    );
    assert_eq!(pid[0].ret, i64::from(child.pid().as_raw()));
}

/// In the long run more messages than there are places for areas, were they not given back.
fn nothing_is_kept_of_many_messages() {
    let session = Session::open().unwrap();
    let before = mappings(nix::unistd::getpid());
    let rounds = if crate::harness::is_full() { 700 } else { 20 };
    for round in 0..rounds {
        for name in 0..100 {
            let mut data = Data::new();
            let text = data.put(b"/");
            let args: [Arg; 2] = [text.address(), 0.into()];
            let mut batch = Batch::from(call(libc::SYS_access, &args).user_data(name));
            batch.data(data);
            session.submit(batch).expect("the call is accepted");
        }
        let done = session::collect(&session, 100);
        assert!(
            done.values().all(|it| it.ran() && it.ret == 0),
            "round {round}"
        );
    }
    session::assert_all_accounted_for(&session);
    drop(session);
    patience::until("the workers are gone", || {
        threads::workers(nix::unistd::getpid()).is_empty()
    });
    let now = mappings(nix::unistd::getpid());
    assert!(now <= before + 8, "{now} mappings, {before} before");
    // And plain messages do as before.
    let mut socket = RawSocket::open();
    socket.accept([getpid()]);
    socket.completions(1);
}
