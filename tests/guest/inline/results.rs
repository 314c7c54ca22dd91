// SPDX-License-Identifier: MIT OR Apache-2.0

//! What INLINE calls return, and where it is written.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, BorrowedFd},
};

use nix::unistd::Pid;
use nlcall::raw::{Batch, Call, CallFlags, Completion, Results, Session};
use nlcall_abi::{CallResult, Outcome, ResultsHeader};
use nlcall_tests::{
    calls::{self, call, inline, plainly, Arg},
    memory::{Memory, PAGE},
    pipe::Pipe,
    results::ResultsArray,
    session,
    socket::RawSocket,
    threads,
};
use zerocopy::IntoBytes;

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    inline_calls_return_what_plain_ones_do,
    inline_results_are_in_order,
    inline_results_may_come_by_message,
    inline_and_worker_calls_may_share_a_message,
    a_session_of_inline_calls_has_no_worker,
    a_results_pointer_is_checked,
    results_that_cannot_be_written_arrive_as_completions,
    results_that_can_no_longer_be_written_arrive_as_completions,
    an_array_that_is_too_small_loses_nothing,
    a_header_that_makes_no_sense_is_left_alone,
];

/// Calls on this file, and the memory that each of them writes to.
fn sample(file: BorrowedFd<'_>) -> Vec<(Call, Memory)> {
    let mut sample = Vec::new();
    let mut add = |nr, args: &[Arg], memory| sample.push((call(nr, args), memory));
    let none = Memory::zeroed(0);
    let fd = Arg::from(file);
    let empty = Memory::string("");

    add(libc::SYS_getpid, &[], none);
    add(libc::SYS_gettid, &[], none);
    add(libc::SYS_getuid, &[], none);
    for _ in 0..2 {
        let bytes = Memory::zeroed(100);
        add(libc::SYS_read, &[fd, bytes.into(), 100.into()], bytes);
    }
    add(
        libc::SYS_lseek,
        &[fd, 10.into(), libc::SEEK_SET.into()],
        none,
    );
    let bytes = Memory::zeroed(64);
    add(libc::SYS_read, &[fd, bytes.into(), 64.into()], bytes);
    let bytes = Memory::zeroed(300);
    add(
        libc::SYS_pread64,
        &[fd, bytes.into(), 300.into(), 4000.into()],
        bytes,
    );
    add(
        libc::SYS_pread64,
        &[fd, bytes.into(), 300.into(), 50_000.into()],
        none,
    );
    let stat = Memory::zeroed(144);
    add(libc::SYS_fstat, &[fd, stat.into()], stat);
    let statx = Memory::zeroed(256);
    let flags = libc::AT_EMPTY_PATH.into();
    let mask = libc::STATX_BASIC_STATS.into();
    add(
        libc::SYS_statx,
        &[fd, empty.into(), flags, mask, statx.into()],
        statx,
    );
    add(libc::SYS_fcntl, &[fd, libc::F_GETFL.into()], none);
    let cwd = Memory::zeroed(200);
    add(libc::SYS_getcwd, &[cwd.into(), 200.into()], cwd);
    let uname = Memory::zeroed(390);
    add(libc::SYS_uname, &[uname.into()], uname);
    let limit = Memory::zeroed(16);
    add(
        libc::SYS_prlimit64,
        &[0.into(), 7.into(), 0.into(), limit.into()],
        limit,
    );
    // Errors of all sorts.
    add(libc::SYS_read, &[999.into(), bytes.into(), 1.into()], none);
    add(
        libc::SYS_read,
        &[fd, Arg::wild(0xffff_8880_0000_0000), 1.into()],
        none,
    );
    add(libc::SYS_close, &[(-1).into()], none);
    let nowhere = Memory::string("/no/such/file");
    add(
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), nowhere.into(), 0.into()],
        none,
    );
    add(libc::SYS_lseek, &[fd, 0.into(), 99.into()], none);
    add(libc::SYS_kill, &[i32::MAX.into(), 0.into()], none);
    sample
}

fn inline_calls_return_what_plain_ones_do() {
    let file = |seed: u8| {
        let mut file = tempfile::tempfile().expect("a file");
        let bytes: Vec<u8> = (0..5000_u32).map(|at| (at % 251) as u8 ^ seed).collect();
        file.write_all(&bytes).expect("writing");
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).expect("seeking");
        file
    };
    let session = Session::open().expect("a session");
    // A call before anything is compared: descriptors and access times have settled.
    let (ours, theirs): (File, File) = (file(0), file(0));
    let plain = sample(ours.as_fd());
    let expected: Vec<i64> = plain.iter().map(|(call, _)| plainly(call)).collect();
    let sample = sample(theirs.as_fd());
    let results = session::run_inline(&session, sample.iter().map(|(call, _)| call.clone()));
    for (index, result) in results.iter().enumerate() {
        assert!(result.ran(), "call {index}: {result:?}");
        assert_eq!(result.ret, expected[index], "call {index}");
    }
    for (index, ((call, memory), (_, plain))) in sample.iter().zip(&plain).enumerate() {
        let (mut bytes, mut expected) = (memory.get(), plain.get());
        // Two files differ in their numbers and their times.
        match i64::from(call.as_abi().nr) {
            libc::SYS_fstat => {
                bytes.splice(8..16, [0; 8]);
                expected.splice(8..16, [0; 8]);
                bytes.truncate(72);
                expected.truncate(72);
            }
            libc::SYS_statx => {
                bytes.splice(32..40, [0; 8]);
                expected.splice(32..40, [0; 8]);
                bytes.truncate(64);
                expected.truncate(64);
            }
            _ => {}
        }
        assert_eq!(bytes, expected, "what call {index} wrote");
    }
    session::assert_all_accounted_for(&session);
}

fn inline_results_are_in_order() {
    let session = Session::open().expect("a session");
    let file = tempfile::tempfile().expect("a file");
    let step = call(
        libc::SYS_lseek,
        &[file.as_fd().into(), 1.into(), libc::SEEK_CUR.into()],
    );
    let mut reached = 0;
    for count in [1, 2, 63, 819, 820, 5000, 40_000] {
        let values = session::inline_values(&session, vec![step.clone(); count]);
        assert_eq!(
            values,
            (reached + 1..=reached + count as i64).collect::<Vec<_>>()
        );
        reached += count as i64;
    }
    session::assert_all_accounted_for(&session);
}

fn inline_results_may_come_by_message() {
    let session = Session::open().expect("a session");
    let file = tempfile::tempfile().expect("a file");
    let step = call(
        libc::SYS_lseek,
        &[file.as_fd().into(), 1.into(), libc::SEEK_CUR.into()],
    );
    for round in 0..3 {
        let count = 3000;
        let before = round * count;
        session::submit(&session, before, inline(vec![step.clone(); count as usize]));
        let position = rustix::fs::tell(&file).expect("a position");
        assert_eq!(
            position,
            before + count,
            "they were made before submit returned"
        );
        for expected in before..before + count {
            let completion = session.wait().expect("a completion");
            assert_eq!(
                (completion.user_data, completion.ret),
                (expected, expected as i64 + 1)
            );
        }
    }
    session::assert_all_accounted_for(&session);
}

fn inline_and_worker_calls_may_share_a_message() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let tid = i64::from(Pid::this().as_raw());
    let gettid = || call(libc::SYS_gettid, &[]);
    let mut batch = vec![pipe.read_call(), gettid()];
    batch.extend(inline([gettid()]));
    batch.push(gettid());
    batch.extend(inline([gettid()]));
    session::submit(&session, 0, batch);
    // All but the blocked one.
    let completions = session::collect(&session, 4);
    for (name, is_own) in [(1, false), (2, true), (3, false), (4, true)] {
        let completion = &completions[&name];
        assert!(completion.ran(), "{completion:?}");
        assert_eq!(completion.ret == tid, is_own, "{completion:?}");
    }
    pipe.fill(b"x");
    let read = session.wait().expect("the read completes");
    assert_eq!((read.user_data, read.ret), (0, 1));
    session::assert_all_accounted_for(&session);
}

fn a_session_of_inline_calls_has_no_worker() {
    let session = Session::open().expect("a session");
    for _ in 0..10 {
        session::inline_values(&session, vec![calls::getpid(); 100]);
    }
    let info = session::info(&session);
    assert_eq!(
        (info.workers, info.accepted, info.delivered),
        (0, 1000, 1000),
        "{info:?}"
    );
    assert!(threads::workers(Pid::this()).is_empty());
    assert_eq!(threads::of_this_process().len(), 1);
}

fn a_results_pointer_is_checked() {
    let mut socket = RawSocket::open();
    let array = ResultsArray::new(4);
    for (address, calls) in [
        (array.address() + 4, inline([calls::getpid()])),
        (array.address() + 1, inline([calls::getpid()])),
        (0, inline([calls::getpid()])),
        (array.address(), vec![calls::getpid()]),
    ] {
        let answer = socket.submit_into(calls, address);
        assert!(
            answer.is_rejection(libc::EINVAL, "RESULTS_PTR"),
            "{answer:?}"
        );
        assert!(answer.offset.is_some(), "{answer:?}");
    }
    socket.assert_no_more_completions();
    assert_eq!(array.results(), []);
    let answer = socket.submit_into(inline([calls::getpid()]), array.address());
    assert_eq!(answer.errno, 0, "{answer:?}");
    assert_eq!(array.results().len(), 1);
}

/// `getpid` so often, numbered, INLINE.
fn getpids(count: usize) -> Vec<Call> {
    numbered(vec![calls::getpid(); count])
}

fn numbered(calls: Vec<Call>) -> Vec<Call> {
    (0..)
        .zip(inline(calls))
        .map(|(name, call)| call.user_data(name))
        .collect()
}

/// Checks that these results are of the calls `first..first + results.len()`, in order, all of
/// which ran.
fn assert_are(results: &[CallResult], first: u64) {
    for (name, result) in (first..).zip(results) {
        assert_eq!(
            (result.user_data, result.outcome),
            (name, Outcome::Ran as u16)
        );
    }
}

fn results_that_cannot_be_written_arrive_as_completions() {
    let mut socket = RawSocket::open();
    let read_only = Memory::pages(1);
    ResultsArray::begin(read_only, 10);
    read_only.protect(libc::PROT_READ);
    let hidden = Memory::pages(1);
    ResultsArray::begin(hidden, 10);
    hidden.protect(libc::PROT_NONE);
    let kernel = 0xffff_8880_0000_0000;
    for address in [read_only.address(), hidden.address(), 8, kernel] {
        let answer = socket.submit_into(getpids(5), address);
        assert_eq!(answer.errno, 0, "{answer:?}");
        assert_are(&socket.completions(5), 0);
    }
    assert_eq!(ResultsArray::at(read_only).results(), []);

    // Two fit on the page before one that cannot be written.
    let pages = Memory::pages(2);
    let array = ResultsArray::begin(pages.from_offset(PAGE - ResultsArray::len(2)), 5);
    pages.from_offset(PAGE).protect(libc::PROT_READ);
    let answer = socket.submit_into(getpids(5), array.address());
    assert_eq!(answer.errno, 0, "{answer:?}");
    let written = array.results();
    assert_eq!(written.len(), 2);
    assert_are(&written, 0);
    assert_are(&socket.completions(3), 2);
    socket.assert_no_more_completions();
}

fn results_that_can_no_longer_be_written_arrive_as_completions() {
    let mut socket = RawSocket::open();
    // The batch makes its own array read-only, or takes it away.
    for is_protect in [true, false] {
        let page = Memory::pages(1);
        let array = ResultsArray::begin(page, 8);
        let change = match is_protect {
            true => call(
                libc::SYS_mprotect,
                &[page.into(), page.len().into(), libc::PROT_READ.into()],
            ),
            false => call(libc::SYS_munmap, &[page.into(), page.len().into()]),
        };
        let mut batch = vec![calls::getpid(); 3];
        batch.push(change);
        batch.extend(vec![calls::getpid(); 4]);
        let answer = socket.submit_into(numbered(batch), array.address());
        assert_eq!(answer.errno, 0, "{answer:?}");
        let rest = socket.completions(5);
        assert_are(&rest, 3);
        assert_eq!(rest[0].ret, 0, "the change worked");
        if is_protect {
            assert_eq!(array.results().len(), 3);
            assert_are(&array.results(), 0);
        }
        socket.assert_no_more_completions();
    }
}

fn an_array_that_is_too_small_loses_nothing() {
    let mut socket = RawSocket::open();
    let array = ResultsArray::new(3);
    let answer = socket.submit_into(getpids(5), array.address());
    assert_eq!(answer.errno, 0, "{answer:?}");
    assert_eq!(array.results().len(), 3);
    assert_are(&array.results(), 0);
    assert_are(&socket.completions(2), 3);
    socket.assert_no_more_completions();

    // The library makes room.
    let session = Session::open().expect("a session");
    let batch: Batch = getpids(100).into_iter().collect();
    let mut results = Results::with_capacity(1);
    session.submit_into(&batch, &mut results).expect("accepted");
    assert!(results.iter().all(|it: Completion| it.ran()));
    assert_eq!(results.len(), 100);
    assert!(batch
        .as_abi()
        .iter()
        .all(|it| it.flags == CallFlags::INLINE.bits()));
}

/// What its fields say decides where results go, and nothing is written beyond that.
fn a_header_that_makes_no_sense_is_left_alone() {
    const CAPACITY: u32 = 4;
    const ALL: u32 = u32::MAX;

    let mut socket = RawSocket::open();
    let memory = Memory::zeroed(ResultsArray::len(CAPACITY as usize));
    for (done, capacity, reserved, written) in [
        // A field of a later version.
        (0, CAPACITY, 1, 0),
        (0, CAPACITY, 1 << 63, 0),
        // It is full, or fuller.
        (CAPACITY, CAPACITY, 0, 0),
        (CAPACITY + 1, CAPACITY, 0, 0),
        (ALL, CAPACITY, 0, 0),
        (ALL, ALL, 0, 0),
        // The next entry is where no memory is.
        (ALL - 1, ALL, 0, 0),
        // What is there stays, and two have a place behind it.
        (2, CAPACITY, 0, 2),
    ] {
        memory.put(&vec![0xee; memory.len()]);
        let header = ResultsHeader {
            done,
            capacity,
            reserved,
        };
        memory.put(header.as_bytes());
        let before = memory.get();
        let answer = socket.submit_into(getpids(3), memory.address());
        assert_eq!(answer.errno, 0, "{header:?}: {answer:?}");
        assert_are(&socket.completions(3 - written), written as u64);
        socket.assert_no_more_completions();
        let now: ResultsHeader = memory.get_as();
        let expected = ResultsHeader {
            done: done + written as u32,
            ..header
        };
        assert_eq!(now, expected);
        if written > 0 {
            assert_are(&ResultsArray::at(memory).results()[2..], 0);
        }
        let entries = size_of::<ResultsHeader>()..ResultsArray::len(CAPACITY as usize - written);
        assert_eq!(memory.get()[entries.clone()], before[entries], "{header:?}");
    }
}
