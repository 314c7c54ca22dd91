// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filters that come and go with threads, and calls that come together.

use std::{
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::FileExt,
    },
    thread,
};

use nlcall::{
    raw::{Arg, Batch, Call, CallFlags, Chain, Outcome, Results, Session},
    Error,
};
use nlcall_abi::ResultsHeader;
use nlcall_tests::{
    calls::{self, call, inline},
    memory::Memory,
    process::{in_a_child, Child},
    seccomp::{gain_no_privileges, Filter},
    session,
    socket::RawSocket,
};
use zerocopy::IntoBytes;

use super::{ends, ran, refused, session_with_worker, victim, Way};
use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    a_filter_of_an_inline_call_holds_for_those_behind_it,
    a_filter_that_another_thread_sets_holds,
    a_filter_of_another_thread_does_not_hold,
    what_comes_from_an_earlier_call_is_asked_about,
    a_chain_of_workers_that_passes_results_is_refused,
    a_refused_call_breaks_its_chain,
    a_refused_call_that_succeeds_breaks_no_chain,
    each_of_many_calls_is_decided,
    results_that_find_no_array_find_none_later,
];

const ERROR: u32 = libc::SECCOMP_RET_ERRNO | libc::EDOM as u32;

fn a_filter_of_an_inline_call_holds_for_those_behind_it() {
    in_a_child(|| {
        let session = session_with_worker();
        let parent = Way::Plain.make(&session, victim());
        gain_no_privileges();
        let filter = Filter::calls(libc::SYS_getppid, ERROR).call(0);
        let batch = [victim(), filter, victim(), calls::getpid()];
        let completions = session::run_inline(&session, batch);
        let before = [(Outcome::Ran, parent), (Outcome::Ran, 0)];
        let expected = [&before[..], &[refused(libc::EDOM), ran()]].concat();
        assert_eq!(ends(&completions), expected);
        // Of the next messages, too: these calls need nothing but a look at their numbers.
        for way in Way::OURS {
            let completions = way.completions(&session, vec![victim(); 3]);
            assert_eq!(ends(&completions), [refused(libc::EDOM); 3], "{way:?}");
        }
    });
}

fn a_filter_that_another_thread_sets_holds() {
    in_a_child(|| {
        let session = session_with_worker();
        let filter = Filter::calls(libc::SYS_getppid, ERROR);
        let setter = thread::spawn(move || filter.install_for_all());
        setter.join().expect("the filter is set");
        for way in Way::ALL {
            let ret = way.make(&session, victim());
            assert_eq!(ret, -i64::from(libc::EDOM), "{way:?}");
        }
        session::assert_all_accounted_for(&session);
    });
}

/// Neither the worker that a thread makes nor one that it finds carries its filter on to calls of
/// other threads, or theirs to its own.
fn a_filter_of_another_thread_does_not_hold() {
    in_a_child(|| {
        let session = Session::open().expect("a session");
        let parent = Way::Plain.make(&session, victim());
        thread::scope(|scope| {
            let filtered = scope.spawn(|| {
                Filter::calls(libc::SYS_getppid, ERROR).install();
                // The first worker is made by this thread.
                Way::ALL.map(|way| way.make(&session, victim()))
            });
            let rets = filtered.join().expect("no panic");
            assert_eq!(rets, [-i64::from(libc::EDOM); 3]);
        });
        for way in Way::ALL {
            assert_eq!(way.make(&session, victim()), parent, "{way:?}");
        }
    });
}

/// Makes a chain INLINE and says how its calls ended.
fn run_chain(session: &Session, chain: &Chain) -> Vec<(Outcome, i64)> {
    let mut batch = Batch::new();
    batch.push_chain(chain);
    let mut results = Results::new();
    session.submit_into(&batch, &mut results).expect("accepted");
    let completions: Vec<_> = results.iter().collect();
    ends(&completions)
}

fn what_comes_from_an_earlier_call_is_asked_about() {
    in_a_child(|| {
        let session = session_with_worker();
        // What the chain makes first gets the lowest descriptor that is free.
        let free = tempfile::tempfile().expect("a file").as_raw_fd();
        Filter::with_argument(libc::SYS_dup, 0, free as u32, ERROR).install();
        let path = Memory::string("/dev/null");
        let fds = Memory::zeroed(8);
        let last_call = |nr: libc::c_long, args: &[Arg]| {
            // SAFETY: addresses come from Memory, which is never freed; the descriptors are the
            // chain's own.
            unsafe { Call::with_args(nr as u32, args) }.flags(CallFlags::INLINE)
        };
        let call =
            |nr, args: &[Arg]| last_call(nr, args).flags(CallFlags::INLINE | CallFlags::HARDLINK);
        let at = libc::AT_FDCWD;
        let openat = || call(libc::SYS_openat, &[at.into(), path.address().into()]);
        for by_memory in [false, true] {
            let mut chain = Chain::new();
            let (first, second) = if by_memory {
                let pipe = [Arg::OutPtr(fds.address()), 0.into()];
                let pipe = chain.push(call(libc::SYS_pipe2, &pipe));
                (pipe.load::<i32>(0), pipe.load::<i32>(4))
            } else {
                let opened = chain.push(openat());
                (opened.result(), chain.push(openat()).result())
            };
            let [_, copy] = [first, second].map(|fd| chain.push(call(libc::SYS_dup, &[fd])));
            for fd in [first, second] {
                chain.push(call(libc::SYS_close, &[fd]));
            }
            chain.push(last_call(libc::SYS_close, &[copy.result()]));
            let ends = run_chain(&session, &chain);
            let dups = ends.len() - 5;
            assert_eq!(ends[dups], refused(libc::EDOM), "{by_memory}: {ends:?}");
            let others = ends.iter().filter(|it| it.0 == Outcome::Ran && it.1 >= 0);
            assert_eq!(others.count(), ends.len() - 1, "{by_memory}: {ends:?}");
        }
    });
}

fn a_chain_of_workers_that_passes_results_is_refused() {
    in_a_child(|| {
        let session = session_with_worker();
        Filter::none().install();
        let mut chain = Chain::new();
        // SAFETY: neither call refers to memory, and getpgid has no effect.
        let call = |nr: libc::c_long, args: &[Arg]| unsafe { Call::with_args(nr as u32, args) };
        let pid = chain.push(call(libc::SYS_getpid, &[]));
        chain.push(call(libc::SYS_getpgid, &[pid.result()]));
        let mut batch = Batch::new();
        batch.push_chain(&chain);
        let error = session.submit(batch).expect_err("refused").error;
        let Error::Rejected { errno, message, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(errno.raw(), libc::EOPNOTSUPP);
        let text = message.as_deref().unwrap_or_default();
        assert!(text.contains("INLINE"), "{text}");
        session::assert_all_accounted_for(&session);
    });
}

/// Three calls, the second of which a filter refuses, with these flags for the first two.
fn around_a_refused_call(way: Way, action: u32, flags: CallFlags) -> Vec<(Outcome, i64)> {
    let mut ended = Vec::new();
    in_a_child_that_says(&mut ended, || {
        let session = session_with_worker();
        Filter::calls(libc::SYS_getppid, action).install();
        let batch = [
            calls::getpid().flags(flags),
            victim().flags(flags),
            calls::getpid(),
        ];
        let completions = way.completions(&session, batch);
        session::assert_all_accounted_for(&session);
        let pid = i64::from(std::process::id());
        // One pid is as good as another.
        let ends = ends(&completions).into_iter();
        ends.map(|(outcome, ret)| (outcome, if ret == pid { 1 } else { ret }))
            .collect()
    });
    ended
}

/// Runs `body` in a child and takes over what it returns.
fn in_a_child_that_says(
    ended: &mut Vec<(Outcome, i64)>,
    body: impl FnOnce() -> Vec<(Outcome, i64)>,
) {
    let mut child = Child::fork(|channel| {
        for (outcome, ret) in body() {
            channel.put(outcome as u64);
            channel.put(ret as u64);
        }
    });
    while let Some(outcome) = child.channel().try_get() {
        let outcome = Outcome::from_wire(outcome as u16).expect("an outcome");
        ended.push((outcome, child.channel().get() as i64));
    }
    child.succeed();
}

const PID: (Outcome, i64) = (Outcome::Ran, 1);

fn a_refused_call_breaks_its_chain() {
    let canceled = (Outcome::Canceled, -i64::from(libc::ECANCELED));
    for way in Way::OURS {
        let ended = around_a_refused_call(way, ERROR, CallFlags::LINK);
        assert_eq!(ended, [PID, refused(libc::EDOM), canceled], "{way:?}");
        let ended = around_a_refused_call(way, ERROR, CallFlags::HARDLINK);
        assert_eq!(ended, [PID, refused(libc::EDOM), PID], "{way:?}");
    }
    let ended = around_a_refused_call(Way::Worker, ERROR, CallFlags::DRAIN);
    assert_eq!(ended, [PID, refused(libc::EDOM), PID]);
}

/// As a plain program would see it.
fn a_refused_call_that_succeeds_breaks_no_chain() {
    let success = libc::SECCOMP_RET_ERRNO;
    for way in Way::OURS {
        let ended = around_a_refused_call(way, success, CallFlags::LINK);
        assert_eq!(ended, [PID, (Outcome::Refused, 0), PID], "{way:?}");
    }
}

fn each_of_many_calls_is_decided() {
    const DIFFERENT: u64 = 8;

    let rounds = scaled(20, 500);
    in_a_child(|| {
        let session = session_with_worker();
        for refused in 0..3 {
            Filter::with_argument(libc::SYS_getpgid, 0, refused, ERROR).install();
        }
        thread::scope(|scope| {
            // Those that are made meanwhile come from a thread that inherits the filters.
            scope.spawn(|| {
                for _ in 0..rounds {
                    let completions = session::run_inline(&session, vec![calls::getpid(); 50]);
                    assert_eq!(ends(&completions), [ran(); 50]);
                }
            });
            for round in 0..rounds {
                let count = 1 + (round * 37) % 200;
                let getpgid = |it: u64| {
                    let pid = (it % DIFFERENT) as u32;
                    call(libc::SYS_getpgid, &[pid.into()])
                };
                let completions = Way::Worker.completions(&session, (0..count as u64).map(getpgid));
                assert_eq!(completions.len(), count as usize);
                for it in &completions {
                    let is_refused = it.user_data % DIFFERENT < 3;
                    let end = (it.outcome, it.ret);
                    assert_eq!(end == refused(libc::EDOM), is_refused, "{it:?}");
                    assert_eq!(it.outcome == Outcome::Ran, !is_refused, "{it:?}");
                }
            }
        });
        session::assert_all_accounted_for(&session);
    });
}

/// The memory of the array is there from the middle of the batch on, and then not any more.
fn results_that_find_no_array_find_none_later() {
    in_a_child(|| {
        let mut socket = RawSocket::open();
        let page = Memory::pages(1);
        let head = ResultsHeader {
            capacity: 8,
            ..ResultsHeader::default()
        };
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4096).expect("the file has a length");
        file.write_all_at(head.as_bytes(), 0)
            .expect("it is written");
        let (place, length) = (|| calls::Arg::from(page), || calls::Arg::from(4096));
        let unmap = || call(libc::SYS_munmap, &[place(), length()]);
        assert_eq!(calls::plainly(&unmap()), 0);
        let shared = libc::MAP_SHARED | libc::MAP_FIXED;
        let args = [
            place(),
            length(),
            (libc::PROT_READ | libc::PROT_WRITE).into(),
            shared.into(),
            file.as_fd().into(),
            0.into(),
        ];
        Filter::none().install();
        let batch = [
            calls::getpid(),
            call(libc::SYS_mmap, &args),
            calls::getpid(),
            unmap(),
        ];
        let batch = (0..)
            .zip(inline(batch))
            .map(|(name, call)| call.user_data(name));
        let answer = socket.submit_into(batch, page.address());
        assert_eq!(answer.errno, 0, "{answer:?}");
        let completions = socket.completions(4);
        let names: Vec<_> = completions.iter().map(|it| it.user_data).collect();
        assert_eq!(names, [0, 1, 2, 3]);
        socket.assert_no_more_completions();
    });
}
