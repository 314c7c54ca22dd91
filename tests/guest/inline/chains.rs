// SPDX-License-Identifier: MIT OR Apache-2.0

//! Chains of INLINE calls.

use std::{mem::offset_of, os::fd::AsRawFd, time::Duration};

use nlcall::raw::{Arg, Batch, Call, CallFlags, Chain, Completion, Outcome, Results, Session};
use nlcall_tests::{calls, files::Files, memory::Memory, pipe::Pipe, session};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    an_inline_chain_passes_results_on,
    a_failure_breaks_an_inline_chain,
    a_hard_link_goes_on_after_a_failure,
    inline_calls_may_succeed_silently,
    a_field_that_cannot_be_read_breaks_an_inline_chain,
];

/// Makes a chain of these calls.
fn chain(calls: impl IntoIterator<Item = Call>) -> Chain {
    let mut chain = Chain::new();
    for call in calls::inline(calls) {
        chain.push(call);
    }
    chain
}

/// What became of the calls of these chains; each of them has a result.
fn ends(session: &Session, chains: &[Chain]) -> Vec<(Outcome, i64)> {
    let results = run(session, chains);
    results.iter().map(|it| (it.outcome, it.ret)).collect()
}

fn run(session: &Session, chains: &[Chain]) -> Vec<Completion> {
    let mut batch = Batch::new();
    for chain in chains {
        batch.push_chain(chain);
    }
    let mut results = Results::new();
    session
        .submit_into(&batch, &mut results)
        .expect("the chains are accepted");
    results.iter().collect()
}

const CANCELED: (Outcome, i64) = (Outcome::Canceled, -(libc::ECANCELED as i64));

fn ran(ret: impl Into<i64>) -> (Outcome, i64) {
    (Outcome::Ran, ret.into())
}

fn an_inline_chain_passes_results_on() {
    let session = Session::open().expect("a session");
    let files = Files::make(300);
    let mut batch = Batch::new();
    let chains: Vec<_> = files
        .iter()
        .map(|file| file.chain(CallFlags::INLINE))
        .collect();
    for (chain, _) in &chains {
        batch.push_chain(chain);
    }
    let mut results = Results::new();
    let submitted = session
        .submit_into(&batch, &mut results)
        .expect("the chains are accepted");
    assert_eq!((submitted.calls, submitted.messages), (1200, 1));
    let results: Vec<_> = results.iter().collect();
    for ((file, (_, contents)), ends) in files.iter().zip(&chains).zip(results.chunks(4)) {
        let [open, measure, read, close] = ends else {
            panic!("{ends:?}")
        };
        assert!(open.ran() && open.ret > 2, "{open:?}");
        assert_eq!((measure.ret, close.ret), (0, 0));
        assert_eq!(read.ret as usize, file.contents().len());
        assert_eq!(contents.get()[..file.contents().len()], *file.contents());
        // SAFETY: only asks.
        let open = unsafe { libc::fcntl(open.ret as i32, libc::F_GETFD) };
        assert_eq!(open, -1, "it was closed");
    }
    session::assert_all_accounted_for(&session);
}

fn a_failure_breaks_an_inline_chain() {
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    let pipe = Pipe::new();
    pipe.fill(b"four");
    let bad = || calls::close(-1);
    let getpid = calls::getpid;
    let short = calls::read(&pipe.reader, Memory::zeroed(5));
    let late = calls::nanosleep(Duration::from_secs(1000)).timeout(Duration::from_millis(5));
    let chains = [
        chain([getpid(), bad(), getpid(), getpid()]),
        chain([short, getpid()]),
        chain([late, getpid()]),
        chain([getpid(), getpid()]),
    ];
    assert_eq!(
        ends(&session, &chains),
        [
            ran(pid),
            ran(-libc::EBADF),
            CANCELED,
            CANCELED,
            ran(4),
            CANCELED,
            (Outcome::TimedOut, -i64::from(libc::ETIME)),
            CANCELED,
            ran(pid),
            ran(pid),
        ]
    );
    session::assert_all_accounted_for(&session);
}

fn a_hard_link_goes_on_after_a_failure() {
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    let hard = |call: Call| call.flags(CallFlags::HARDLINK);
    let bad = || calls::close(-1);
    let chains = [
        chain([hard(bad()), calls::getpid()]),
        // What was never started goes on to nothing.
        chain([bad(), hard(calls::getpid()), calls::getpid()]),
        chain([hard(bad()), bad(), calls::getpid()]),
    ];
    let failed = ran(-libc::EBADF);
    assert_eq!(
        ends(&session, &chains),
        [
            failed,
            ran(pid),
            failed,
            CANCELED,
            CANCELED,
            failed,
            failed,
            CANCELED
        ]
    );
    session::assert_all_accounted_for(&session);
}

fn inline_calls_may_succeed_silently() {
    let session = Session::open().expect("a session");
    let silent = |call: Call| call.flags(CallFlags::SKIP_SUCCESS);
    let named = |call: Call, name| call.user_data(name);
    let chains = [
        chain([silent(calls::getpid()), named(calls::getpid(), 1)]),
        chain([
            named(silent(calls::close(-1)), 2),
            named(silent(calls::getpid()), 3),
        ]),
        chain([silent(calls::getpid())]),
    ];
    for _ in 0..3 {
        let results = run(&session, &chains);
        let names: Vec<_> = results
            .iter()
            .map(|it| (it.user_data, it.outcome))
            .collect();
        assert_eq!(
            names,
            [(1, Outcome::Ran), (2, Outcome::Ran), (3, Outcome::Canceled)]
        );
    }
    session::info_until(&session, "the kernel counted them", |info| {
        info.accepted == 15 && info.in_flight == 0
    });
}

fn a_field_that_cannot_be_read_breaks_an_inline_chain() {
    let session = Session::open().expect("a session");
    let file = tempfile::tempfile().expect("a file");
    let stat = Memory::pages(1);
    let mut chain = Chain::new();
    let inline = |nr: libc::c_long, args: &[Arg]| {
        // SAFETY: the memory is the test's own, and never used again.
        unsafe { Call::with_args(nr as u32, args) }.flags(CallFlags::INLINE)
    };
    let fd = Arg::from(file.as_raw_fd());
    let measure = chain.push(inline(libc::SYS_fstat, &[fd, Arg::OutPtr(stat.address())]));
    let [address, length] = [stat.address(), stat.len() as u64].map(Arg::Value);
    chain.push(inline(libc::SYS_munmap, &[address, length]));
    let size = measure.load::<i64>(offset_of!(libc::stat, st_size) as u32);
    chain.push(inline(libc::SYS_lseek, &[fd, size, libc::SEEK_SET.into()]));
    chain.push(inline(libc::SYS_getpid, &[]));
    assert_eq!(
        ends(&session, &[chain]),
        [
            ran(0),
            ran(0),
            (Outcome::NotStarted, -i64::from(libc::EFAULT)),
            CANCELED
        ]
    );
    session::assert_all_accounted_for(&session);
}
