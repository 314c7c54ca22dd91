// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a link asks for, case by case as io_uring_enter(2) describes it.

use std::{fs, io::Write as _};

use nlcall::raw::{Batch, Call, CallFlags, Completion, Outcome, Session};
use nlcall_tests::{
    calls::{self, call, Arg},
    memory::Memory,
    pipe::Pipe,
    session,
    socket::RawSocket,
};
use rustix::fs::{fcntl_setfl, OFlags};

use super::{chain, endings, failing, ran, run, write, CANCELED, FAILED};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_chain_is_made_one_call_after_the_other,
    an_error_breaks_a_chain,
    a_short_transfer_breaks_a_chain,
    a_full_transfer_does_not,
    a_hard_link_holds,
    a_broken_chain_leaves_others_alone,
    chains_end_where_their_links_end,
    a_success_that_is_skipped_has_no_completion,
    a_long_chain_breaks_whole,
    a_link_without_a_next_call_is_rejected,
];

/// `IOSQE_IO_LINK`: "the next SQE will not be started before the previous one completes".
fn a_chain_is_made_one_call_after_the_other() {
    const CHAINS: u8 = 20;
    const LENGTH: u8 = 10;
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let mut batch = Batch::new();
    for number in 0..CHAINS {
        let mut chain = nlcall::raw::Chain::new();
        for place in 0..LENGTH {
            // One that has blocked lets other chains go on.
            let pause = calls::nanosleep(std::time::Duration::from_micros(100));
            chain.push(pause.flags(CallFlags::SKIP_SUCCESS));
            let user_data = u64::from(number) * u64::from(LENGTH) + u64::from(place);
            chain.push(write(&pipe, &[number, place]).user_data(user_data));
        }
        batch.push_chain(&chain);
    }
    session.submit(batch).expect("the chains are accepted");
    let calls = usize::from(CHAINS) * usize::from(LENGTH);
    for completion in session::collect(&session, calls).values() {
        assert_eq!((completion.outcome, completion.ret), ran(2));
    }
    let mut next = [0; CHAINS as usize];
    for written in pipe.take().chunks_exact(2) {
        let next = &mut next[usize::from(written[0])];
        assert_eq!(written[1], *next, "chain {}", written[0]);
        *next += 1;
    }
    assert_eq!(next, [LENGTH; CHAINS as usize]);
    session::info_until(&session, "the rest is skipped", |info| {
        info.skipped == calls as u64 && info.in_flight == 0
    });
}

/// "If a link fails, the rest of the chain is cancelled."
fn an_error_breaks_a_chain() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let completions = run(
        &session,
        [
            write(&pipe, b"a"),
            failing(),
            write(&pipe, b"b"),
            write(&pipe, b"c"),
        ],
    );
    assert_eq!(endings(&completions), [ran(1), FAILED, CANCELED, CANCELED]);
    assert_eq!(pipe.take(), b"a");
    assert_eq!(session::info(&session).canceled, 2);
    session::close(session);
}

/// A file of ten bytes, and a full pipe with room for one more page.
struct Short {
    file: fs::File,
    full: Pipe,
    room: usize,
}

impl Short {
    fn new() -> Self {
        let mut file = tempfile();
        file.write_all(b"0123456789").expect("writing the file");
        let full = Pipe::new();
        fcntl_setfl(&full.writer, OFlags::NONBLOCK).expect("F_SETFL");
        let page = [0; 4096];
        while rustix::io::write(&full.writer, &page).is_ok() {}
        let mut one = [0; 4096];
        rustix::io::read(&full.reader, &mut one[..]).expect("the pipe is full");
        Self {
            file,
            full,
            room: 4096,
        }
    }
}

/// An unnamed file.
fn tempfile() -> fs::File {
    let fd = rustix::fs::memfd_create("chains", rustix::fs::MemfdFlags::CLOEXEC);
    fd.expect("a memfd").into()
}

/// "Short reads and writes break a chain", as do `splice` and `tee`.
fn a_short_transfer_breaks_a_chain() {
    let session = Session::open().expect("a session");
    let short = Short::new();
    let (three, sink) = (Pipe::new(), Pipe::new());
    let file = Arg::from(std::os::fd::AsFd::as_fd(&short.file));
    let buffer = Memory::zeroed(8192);
    let five = Arg::from(5_u32);
    let cases: [(Call, i64); 6] = [
        (calls::read(&three.reader, Memory::zeroed(5)), 3),
        (
            call(
                libc::SYS_pread64,
                &[file, buffer.into(), five, 8_u32.into()],
            ),
            2,
        ),
        (
            call(
                libc::SYS_pread64,
                &[file, buffer.into(), five, 10_u32.into()],
            ),
            0,
        ),
        (calls::write(&short.full.writer, buffer), short.room as i64),
        (
            call(
                libc::SYS_tee,
                &[
                    (&three.reader).into(),
                    (&sink.writer).into(),
                    five,
                    0.into(),
                ],
            ),
            3,
        ),
        (
            call(
                libc::SYS_splice,
                &[
                    (&three.reader).into(),
                    0.into(),
                    (&sink.writer).into(),
                    0.into(),
                    five,
                    0.into(),
                ],
            ),
            3,
        ),
    ];
    for (at, (call, ret)) in cases.into_iter().enumerate() {
        three.take();
        three.fill(b"abc");
        let completions = run(&session, [call, calls::getpid()]);
        assert_eq!(endings(&completions), [ran(ret), CANCELED], "case {at}");
    }
    session::close(session);
}

fn a_full_transfer_does_not() {
    let session = Session::open().expect("a session");
    let (from, to) = (Pipe::new(), Pipe::new());
    let sink = Pipe::new();
    from.fill(b"abcde");
    let five = Arg::from(5_u32);
    let move_to = |nr, from: &Pipe, to: &Pipe| match nr {
        libc::SYS_tee => call(
            nr,
            &[(&from.reader).into(), (&to.writer).into(), five, 0.into()],
        ),
        _ => call(
            nr,
            &[
                (&from.reader).into(),
                0.into(),
                (&to.writer).into(),
                0.into(),
                five,
                0.into(),
            ],
        ),
    };
    let completions = run(
        &session,
        [
            move_to(libc::SYS_tee, &from, &sink),
            move_to(libc::SYS_splice, &from, &to),
            calls::read(&to.reader, Memory::zeroed(5)),
            // readv does not say how much it was asked for; nothing to read is no error.
            call(libc::SYS_readv, &[(&to.reader).into(), 0.into(), 0.into()]),
            calls::read(&to.reader, Memory::zeroed(0)),
            write(&sink, b"f"),
        ],
    );
    assert_eq!(
        endings(&completions),
        [ran(5), ran(5), ran(5), ran(0), ran(0), ran(1)]
    );
    assert_eq!(sink.take(), b"abcdef");
    session::close(session);
}

/// `IOSQE_IO_HARDLINK`: "it does not sever regardless of the completion result".
fn a_hard_link_holds() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let hard = |call: Call| call.flags(CallFlags::HARDLINK);
    let completions = run(
        &session,
        [
            hard(failing()),
            hard(calls::read(&pipe.reader, Memory::zeroed(0))),
            // Both flags: the stronger one.
            failing().flags(CallFlags::LINK | CallFlags::HARDLINK),
            write(&pipe, b"a"),
        ],
    );
    assert_eq!(endings(&completions), [FAILED, ran(0), FAILED, ran(1)]);

    // Behind a broken link it saves nothing.
    let completions = run(
        &session,
        [failing(), hard(calls::getpid()), write(&pipe, b"b")],
    );
    assert_eq!(endings(&completions), [FAILED, CANCELED, CANCELED]);
    assert_eq!(pipe.take(), b"a");
    session::close(session);
}

fn a_broken_chain_leaves_others_alone() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let mut batch = chain(0, [failing(), write(&pipe, b"a")]);
    batch.push(write(&pipe, b"b").user_data(2));
    let mut second = nlcall::raw::Chain::new();
    second.push(write(&pipe, b"c").user_data(3));
    second.push(write(&pipe, b"d").user_data(4));
    batch.push_chain(&second);
    session.submit(batch).expect("the chains are accepted");
    let completions: Vec<Completion> = session::collect(&session, 5).into_values().collect();
    assert_eq!(
        endings(&completions),
        [FAILED, CANCELED, ran(1), ran(1), ran(1)]
    );
    let mut written = pipe.take();
    written.sort_unstable();
    assert_eq!(written, b"bcd");
    session::close(session);
}

/// "The chain ends with the first SQE that does not have the flag set."
fn chains_end_where_their_links_end() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    // The reader at the end of the first chain waits for what the second one writes.
    let mut batch = chain(0, [calls::getpid(), pipe.read_call()]);
    let mut second = nlcall::raw::Chain::new();
    second.push(calls::getpid().user_data(2));
    second.push(write(&pipe, b"x").user_data(3));
    batch.push_chain(&second);
    session.submit(batch).expect("the chains are accepted");
    let pid = i64::from(std::process::id());
    let completions: Vec<Completion> = session::collect(&session, 4).into_values().collect();
    assert_eq!(endings(&completions), [ran(pid), ran(1), ran(pid), ran(1)]);
    session::close(session);
}

/// `IOSQE_CQE_SKIP_SUCCESS`: "if the request fails, an appropriate CQE will be posted as usual".
/// Those that were cancelled with it are told, too: nothing is left to guess.
fn a_success_that_is_skipped_has_no_completion() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let skip = |call: Call| call.flags(CallFlags::SKIP_SUCCESS);
    pipe.fill(b"abc");
    let batch = chain(
        0,
        [
            skip(calls::getpid()),
            // Three of five bytes: no success.
            skip(calls::read(&pipe.reader, Memory::zeroed(5))),
            skip(calls::getpid()),
            calls::getpid(),
        ],
    );
    session.submit(batch).expect("the chain is accepted");
    let completions: Vec<Completion> = session::collect(&session, 3).into_values().collect();
    let named: Vec<u64> = completions.iter().map(|it| it.user_data).collect();
    assert_eq!(named, [1, 2, 3]);
    assert_eq!(endings(&completions), [ran(3), CANCELED, CANCELED]);
    session::info_until(&session, "nothing is in flight", |info| info.in_flight == 0);
    let info = session::info(&session);
    assert_eq!(
        (info.accepted, info.delivered, info.skipped, info.canceled),
        (4, 3, 1, 2)
    );

    // A message of nothing else has no completion at all.
    let batch: Batch = (0..500).map(|_| skip(calls::getpid())).collect();
    session.submit(batch).expect("the calls are accepted");
    session::info_until(&session, "all are over", |info| {
        info.in_flight == 0 && info.skipped == 501
    });
    assert_eq!(session.try_wait().expect("receiving works"), None);
}

fn a_long_chain_breaks_whole() {
    const LENGTH: usize = 20_000;
    let mut socket = RawSocket::with_large_send_buffer();
    let link = CallFlags::LINK;
    for broken in [0, LENGTH / 2] {
        let calls = (0..LENGTH).map(|place| {
            let call = if place == broken {
                failing()
            } else {
                calls::getpid()
            };
            let flags = if place + 1 < LENGTH {
                link
            } else {
                CallFlags::empty()
            };
            call.user_data(place as u64).flags(flags)
        });
        socket.accept(calls);
        for (place, completion) in socket.completions(LENGTH).iter().enumerate() {
            let expected = match place {
                place if place < broken => ran(i64::from(std::process::id())),
                place if place == broken => FAILED,
                _ => CANCELED,
            };
            assert_eq!(completion.user_data, place as u64);
            let outcome = Outcome::from_wire(completion.outcome).expect("an outcome");
            assert_eq!((outcome, completion.ret), expected, "call {place}");
        }
    }
    socket.assert_no_more_completions();
}

fn a_link_without_a_next_call_is_rejected() {
    let mut socket = RawSocket::open();
    for flags in [CallFlags::LINK, CallFlags::HARDLINK] {
        let answer = socket.submit([calls::getpid(), calls::getpid().flags(flags)]);
        assert!(
            answer.is_rejection(libc::EINVAL, "no call follows"),
            "{answer:?}"
        );
        assert!(answer.text.starts_with("call 1:"), "{answer:?}");
    }
    let mixed = [
        calls::getpid().flags(CallFlags::LINK),
        calls::getpid().flags(CallFlags::INLINE),
    ];
    let answer = socket.submit(mixed);
    assert!(
        answer.is_rejection(libc::EINVAL, "call 1: its chain"),
        "{answer:?}"
    );
    let drain = calls::getpid().flags(CallFlags::DRAIN | CallFlags::INLINE);
    let answer = socket.submit([drain]);
    assert!(
        answer.is_rejection(libc::EINVAL, "call 0: DRAIN"),
        "{answer:?}"
    );
    socket.assert_no_more_completions();
}
