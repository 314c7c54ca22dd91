// SPDX-License-Identifier: MIT OR Apache-2.0

//! What SESSION_GET counts.

use std::{collections::BTreeMap, time::Duration};

use nlcall::raw::{Arg, Batch, Call, CallFlags, Chain, Outcome, Results, Session};
use nlcall_abi::{cancel, config, flag, session as attr, Command, Latency};
use nlcall_tests::{
    calls::{self, call},
    config::Changed,
    memory::Memory,
    message::Message,
    patience,
    pipe::Pipe,
    session,
    socket::RawSocket,
};
use zerocopy::FromBytes;

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    calls_are_counted_by_how_they_ended,
    inline_calls_are_counted_and_not_timed,
    inline_calls_are_counted_by_how_they_ended,
    what_a_rejected_message_accepted_is_taken_back,
    workers_without_a_call_are_counted,
    calls_of_workers_are_timed_by_number,
    many_numbers_share_the_last_place,
    every_session_is_shown_with_all_it_has,
];

fn count(socket: &mut RawSocket, kind: u16) -> u64 {
    socket
        .own_session()
        .u64(kind)
        .expect("the counter is shown")
}

fn latencies(socket: &mut RawSocket) -> BTreeMap<u32, Latency> {
    let latencies = socket.own_session().values(attr::LATENCY);
    let latencies: Vec<Latency> = latencies
        .iter()
        .map(|bytes| Latency::read_from_bytes(bytes).expect("one latency"))
        .collect();
    let by_number: BTreeMap<u32, Latency> = latencies.iter().map(|it| (it.nr, *it)).collect();
    assert_eq!(
        by_number.len(),
        latencies.len(),
        "a number twice: {latencies:?}"
    );
    for latency in &latencies {
        let sum: u64 = latency.buckets.iter().copied().map(u64::from).sum();
        assert_eq!((sum, latency.reserved), (latency.count, 0), "{latency:?}");
    }
    by_number
}

fn with_flags(call: Call, flags: u32) -> nlcall_abi::Call {
    nlcall_abi::Call {
        flags,
        ..call.into()
    }
}

fn accept(socket: &mut RawSocket, calls: &[nlcall_abi::Call]) {
    let message = Message::submit(socket.family(), calls);
    let answer = socket.request(message);
    assert_eq!((answer.errno, answer.text.as_str()), (0, ""));
}

fn calls_are_counted_by_how_they_ended() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    let skip = with_flags(calls::getpid(), flag::SKIP_SUCCESS);
    // A failure is no success: it has a completion.
    let fails = with_flags(calls::close(-1), flag::SKIP_SUCCESS);
    let mut late = nlcall_abi::Call::from(pipe.read_call());
    late.timeout_ns = 1_000_000;
    accept(&mut socket, &[skip, skip, skip, fails, late]);
    assert_eq!(socket.completions(2).len(), 2);

    // One that runs and is interrupted, and two that wait for it and never start.
    let drain = with_flags(calls::getpid(), flag::DRAIN);
    accept(&mut socket, &[pipe.read_call().into(), drain, drain]);
    let mut all = Message::new(socket.family(), Command::Cancel);
    all.attribute(cancel::ALL, &[]);
    patience::until("the read blocks", || {
        session::of_port(socket.port_id()).is_some_and(|it| it.blocked == 1)
    });
    assert_eq!(socket.request(all).errno, 0);
    assert_eq!(socket.completions(3).len(), 3);

    let answer = socket.submit([calls::getpid(), call(libc::SYS_rt_sigreturn, &[])]);
    assert_eq!(answer.errno, libc::EOPNOTSUPP);

    let counters = socket.own_session();
    let counted = |kind| counters.u64(kind);
    assert_eq!(counted(attr::ACCEPTED), Some(8));
    assert_eq!(counted(attr::REJECTED), Some(2));
    assert_eq!(counted(attr::SKIPPED), Some(3));
    assert_eq!(counted(attr::TIMED_OUT), Some(1));
    assert_eq!(counted(attr::CANCELED), Some(2));
    assert_eq!(counted(attr::DELIVERED), Some(5));
    assert_eq!(counted(attr::INLINE), Some(0));
    assert_eq!(counters.u32(attr::IN_FLIGHT), Some(0));

    // Every completion that was delivered is timed, whatever it says; what was skipped is not.
    let counts: BTreeMap<_, _> = latencies(&mut socket)
        .values()
        .map(|latency| (i64::from(latency.nr), latency.count))
        .collect();
    let expected = [
        (libc::SYS_read, 2),
        (libc::SYS_close, 1),
        (libc::SYS_getpid, 2),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

fn inline_calls_are_counted_and_not_timed() {
    let mut socket = RawSocket::open();
    let inline = with_flags(calls::getpid(), flag::INLINE);
    let skip = with_flags(calls::getpid(), flag::INLINE | flag::SKIP_SUCCESS);
    accept(&mut socket, &[inline; 10]);
    assert_eq!(socket.completions(10).len(), 10);
    accept(&mut socket, &[inline, skip, calls::getpid().into(), skip]);
    assert_eq!(socket.completions(2).len(), 2);
    assert_eq!(count(&mut socket, attr::INLINE), 13);
    assert_eq!(count(&mut socket, attr::ACCEPTED), 14);
    let latencies = latencies(&mut socket);
    assert_eq!(latencies.len(), 1);
    assert_eq!(latencies[&(libc::SYS_getpid as u32)].count, 1);
}

fn inline_calls_are_counted_by_how_they_ended() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let chain = |calls: Vec<Call>| {
        let mut chain = Chain::new();
        for call in calls::inline(calls) {
            chain.push(call);
        }
        chain
    };
    let link = CallFlags::LINK;
    let mut batch = Batch::new();
    // The first fails, so that the other two are canceled.
    batch.push_chain(&chain(vec![
        calls::close(-1).flags(link),
        calls::getpid().flags(link),
        calls::getpid(),
    ]));
    // Nothing is read from there, so that the second does not start.
    let mut faults = Chain::new();
    let nowhere = Arg::OutPtr(0);
    // SAFETY: the kernel finds no memory at the address.
    let fstat = unsafe { Call::with_args(libc::SYS_fstat as u32, &[0.into(), nowhere]) };
    let fstat = faults.push(fstat.flags(CallFlags::INLINE | CallFlags::HARDLINK));
    let close = [fstat.load::<u32>(0)];
    // SAFETY: it does not start.
    let close = unsafe { Call::with_args(libc::SYS_close as u32, &close) };
    faults.push(close.flags(CallFlags::INLINE));
    batch.push_chain(&faults);
    // One whose time limit passes, and one that comes to its end in time.
    let late = pipe.read_call().timeout(Duration::from_millis(1));
    batch.extend(calls::inline([late, calls::getpid()]));
    let mut results = Results::new();
    session
        .submit_into(&batch, &mut results)
        .expect("the calls are accepted");
    let outcomes: Vec<_> = results.iter().map(|it| it.outcome).collect();
    use Outcome::{Canceled, NotStarted, Ran, TimedOut};
    assert_eq!(
        outcomes,
        [Ran, Canceled, Canceled, Ran, NotStarted, TimedOut, Ran]
    );

    let info = session::info(&session);
    assert_eq!((info.accepted, info.delivered, info.skipped), (7, 7, 0));
    assert_eq!((info.inline, info.canceled, info.timed_out), (4, 2, 1));
    assert_eq!((info.latency, info.workers), (Vec::new(), 0));
    session::close(session);
}

/// The calls for workers are accepted before those that are INLINE are found to be too many.
fn what_a_rejected_message_accepted_is_taken_back() {
    let mut socket = RawSocket::open();
    let worker = nlcall_abi::Call::from(calls::getpid());
    let chained = with_flags(calls::getpid(), flag::LINK);
    let inline = with_flags(calls::getpid(), flag::INLINE);
    let mut batch = vec![chained; 200];
    batch.extend([worker, inline]);
    let limit = Changed::numbers([(config::MAX_INLINE_BYTES, 0)]);
    for _ in 0..3 {
        let message = Message::submit(socket.family(), &batch);
        let answer = socket.request(message);
        assert!(
            answer.is_rejection(libc::EBUSY, "max_inline_bytes 0"),
            "{answer:?}"
        );
    }
    let rejected = socket.own_session();
    assert_eq!(rejected.u64(attr::ACCEPTED), Some(0));
    assert_eq!(rejected.u64(attr::REJECTED), Some(3 * 202));
    assert_eq!(rejected.u64(attr::CANCELED), Some(0));
    assert_eq!(rejected.u32(attr::IN_FLIGHT), Some(0));
    assert_eq!(rejected.u32(attr::WORKERS), Some(0));
    assert_eq!(rejected.u32(attr::LAST_SEQ), Some(0));
    socket.assert_no_more_completions();

    drop(limit);
    accept(&mut socket, &batch);
    assert_eq!(socket.completions(202).len(), 202);
    let accepted = socket.own_session();
    assert_eq!(accepted.u64(attr::ACCEPTED), Some(202));
    assert_eq!(accepted.u64(attr::DELIVERED), Some(202));
    assert_eq!(accepted.u64(attr::INLINE), Some(1));
    assert_eq!(
        latencies(&mut socket)[&(libc::SYS_getpid as u32)].count,
        201
    );
}

fn workers_without_a_call_are_counted() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    socket.accept((0..5).map(|_| pipe.read_call()));
    patience::until("the reads block", || {
        session::of_port(socket.port_id()).is_some_and(|it| it.blocked == 5)
    });
    let before = socket.own_session();
    let workers = before.u32(attr::WORKERS).expect("workers are counted");
    assert!(workers >= 5);
    assert_eq!(before.u32(attr::IDLE), Some(workers - 5));
    pipe.fill(&[0; 5]);
    socket.completions(5);
    patience::until("all rest", || {
        let counters = socket.own_session();
        counters.u32(attr::IDLE) == Some(workers) && counters.u32(attr::WORKERS) == Some(workers)
    });
}

fn calls_of_workers_are_timed_by_number() {
    const SLEEPS: usize = 5;
    let time = Duration::from_millis(50);

    let mut socket = RawSocket::open();
    assert_eq!(
        socket.submit([call(libc::SYS_rt_sigreturn, &[])]).errno,
        libc::EOPNOTSUPP
    );
    socket.accept((0..100).map(|_| calls::getpid()));
    assert_eq!(socket.completions(100).len(), 100);
    for _ in 0..SLEEPS {
        socket.accept([calls::nanosleep(time)]);
        assert_eq!(socket.completions(1).len(), 1);
    }
    let latencies = latencies(&mut socket);
    assert_eq!(latencies.len(), 2, "{latencies:?}");
    assert_eq!(latencies[&(libc::SYS_getpid as u32)].count, 100);
    let slept = latencies[&(libc::SYS_nanosleep as u32)];
    assert_eq!(slept.count, SLEEPS as u64);
    assert!(
        slept.total_ns >= SLEEPS as u64 * time.as_nanos() as u64,
        "{slept:?}"
    );
    // 50 ms lie between 2^25 and 2^26 ns: bucket 16, and those before it stay empty.
    assert!(
        slept.buckets[..16].iter().all(|count| *count == 0),
        "{slept:?}"
    );
    // One that waits for its turn is timed from its acceptance.
    let drained = with_flags(calls::getpid(), flag::DRAIN);
    accept(&mut socket, &[calls::nanosleep(time).into(), drained]);
    assert_eq!(socket.completions(2).len(), 2);
    let getpid = self::latencies(&mut socket)[&(libc::SYS_getpid as u32)];
    assert!(getpid.total_ns >= time.as_nanos() as u64, "{getpid:?}");
    assert!(
        getpid.buckets[16..].iter().any(|count| *count > 0),
        "{getpid:?}"
    );
}

/// Calls of 40 numbers, which fail at once.
fn forty_numbers() -> Vec<Call> {
    let numbers = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_ioctl,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_dup,
        libc::SYS_connect,
        libc::SYS_accept,
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_shutdown,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_getsockname,
        libc::SYS_getpeername,
        libc::SYS_setsockopt,
        libc::SYS_getsockopt,
        libc::SYS_fcntl,
        libc::SYS_fremovexattr,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_ftruncate,
        libc::SYS_getdents,
        libc::SYS_fchdir,
        libc::SYS_fchmod,
        libc::SYS_fchown,
        libc::SYS_fstatfs,
        libc::SYS_readahead,
        libc::SYS_fsetxattr,
        libc::SYS_getdents64,
        libc::SYS_fadvise64,
        libc::SYS_fallocate,
        libc::SYS_syncfs,
        libc::SYS_preadv,
        libc::SYS_pwritev,
    ];
    let memory = Memory::zeroed(64);
    numbers
        .map(|nr| call(nr, &[(-1).into(), memory.into()]))
        .to_vec()
}

fn many_numbers_share_the_last_place() {
    const TOLD_APART: usize = 32;

    let mut socket = RawSocket::open();
    let calls = forty_numbers();
    for call in &calls {
        socket.accept([call.clone()]);
        let ret = socket.completions(1)[0].ret;
        assert!(ret < 0, "{call:?}: {ret}");
    }
    // And again: those that have a place keep it.
    socket.accept(calls.clone());
    assert_eq!(socket.completions(calls.len()).len(), calls.len());
    let latencies = latencies(&mut socket);
    assert_eq!(latencies.len(), TOLD_APART + 1);
    for call in &calls[..TOLD_APART] {
        let call = nlcall_abi::Call::from(call.clone());
        assert_eq!(latencies[&call.nr].count, 2, "{call:?}");
    }
    let others = 2 * (calls.len() - TOLD_APART);
    assert_eq!(latencies[&u32::MAX].count, others as u64);
}

/// A session with all its latencies is longer than what a dump's message has room for by default.
fn every_session_is_shown_with_all_it_has() {
    let mut sockets: Vec<RawSocket> = (0..12).map(|_| RawSocket::open()).collect();
    for socket in &mut sockets {
        socket.accept(forty_numbers());
        assert_eq!(socket.completions(40).len(), 40);
    }
    let mut observer = RawSocket::open();
    let message = Message::new(observer.family(), Command::SessionGet);
    let shown = observer.dump(message);
    for socket in &sockets {
        let own = shown
            .iter()
            .find(|it| it.u32(attr::PORTID) == Some(socket.port_id()))
            .expect("the session is shown");
        assert_eq!(own.values(attr::LATENCY).len(), 33);
    }
}
