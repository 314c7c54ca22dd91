// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a user may have in use, all sessions together, and what the machine may.

use nix::{
    sys::signal::Signal,
    unistd::{setresuid, Uid},
};
use nlcall::raw::{Call, Outcome};
use nlcall_abi::{config as attr, flag, submit, ArgKind, Reloc};
use nlcall_tests::{
    calls, config::Changed, event::Event, message::Message, patience, pipe::Pipe, process::Child,
    session, socket::RawSocket, threads,
};
use zerocopy::IntoBytes;

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    the_limit_of_a_users_calls_is_named,
    the_limit_of_a_users_workers_is_named,
    the_limit_of_the_machines_workers_is_named,
    calls_wait_for_the_users_other_sessions,
    the_limit_of_bytes_of_inline_calls_is_named,
    what_a_user_has_in_use_is_counted_exactly,
];

/// Users that have no other process.
const LONELY: u32 = 54321;
const OTHER: u32 = 54322;

/// A process of that user.
fn as_user(uid: u32, body: impl FnOnce()) -> Child {
    Child::fork(|_| {
        become_user(uid);
        body();
    })
}

fn become_user(uid: u32) {
    let uid = Uid::from_raw(uid);
    setresuid(uid, uid, uid).expect("becoming another user");
}

/// Reads of an empty pipe, all of which block, each on a worker.
fn block(socket: &mut RawSocket, pipe: &Pipe, reads: usize) {
    socket.accept((0..reads).map(|_| pipe.read_call()));
    wait_until_blocked(socket, reads);
}

fn wait_until_blocked(socket: &RawSocket, reads: usize) {
    patience::until("the reads block", || {
        session::of_port(socket.port_id()).is_some_and(|it| it.blocked as usize == reads)
    });
}

fn the_limit_of_a_users_calls_is_named() {
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT_USER, 10)]);
    as_user(LONELY, || {
        let pipe = Pipe::new();
        let (mut one, mut two) = (RawSocket::open(), RawSocket::open());
        block(&mut one, &pipe, 6);
        let answer = two.submit((0..5).map(|_| calls::getpid()));
        assert!(
            answer.is_rejection(libc::EBUSY, "max_in_flight_user 10"),
            "{answer:?}"
        );
        // Nobody else's matter.
        let other = || {
            let mut socket = RawSocket::open();
            socket.accept((0..10).map(|_| calls::getpid()));
            assert_eq!(socket.completions(10).len(), 10);
        };
        // Up to the limit, and again when those calls are over.
        for _ in 0..3 {
            two.accept((0..4).map(|_| calls::getpid()));
            assert_eq!(two.completions(4).len(), 4);
        }
        pipe.fill(&[0; 6]);
        assert_eq!(one.completions(6).len(), 6);
        other();
        let answer = two.submit((0..11).map(|_| calls::getpid()));
        assert!(
            answer.is_rejection(libc::EBUSY, "max_in_flight_user 10"),
            "{answer:?}"
        );
    })
    .succeed();
    // Another user has as many while this one has them.
    let mut first = Child::fork(|channel| {
        become_user(LONELY);
        let pipe = Pipe::new();
        let mut socket = RawSocket::open();
        block(&mut socket, &pipe, 10);
        channel.put(0);
        channel.get();
    });
    first.channel().get();
    as_user(OTHER, || {
        let mut socket = RawSocket::open();
        socket.accept((0..10).map(|_| calls::getpid()));
        assert_eq!(socket.completions(10).len(), 10);
    })
    .succeed();
    first.channel().put(0);
    first.succeed();
}

fn the_limit_of_a_users_workers_is_named() {
    let _limit = Changed::numbers([(attr::MAX_WORKERS_USER, 4)]);
    as_user(LONELY, || {
        let pipe = Pipe::new();
        let (mut one, mut two) = (RawSocket::open(), RawSocket::open());
        block(&mut one, &pipe, 3);
        // The last worker, and two calls for which there is none.
        two.accept((0..3).map(|_| pipe.read_call()));
        patience::until("the worker blocks and calls wait", || {
            session::of_port(two.port_id()).is_some_and(|it| it.blocked == 1 && it.queued == 2)
        });
        let answer = two.submit([calls::getpid()]);
        assert!(
            answer.is_rejection(libc::EBUSY, "4 workers (max_workers_user)"),
            "{answer:?}"
        );
        // A session without a worker.
        let mut three = RawSocket::open();
        let answer = three.submit([calls::getpid()]);
        assert!(
            answer.is_rejection(libc::EBUSY, "4 workers (max_workers_user)"),
            "{answer:?}"
        );
        let own = threads::of_this_process();
        assert_eq!(own.iter().filter(|it| it.is_worker()).count(), 4);
        // One call ends, and the next in its session takes its worker.
        pipe.fill(&[0; 6]);
        assert_eq!(one.completions(3).len(), 3);
        assert_eq!(two.completions(3).len(), 3);
        one.accept([calls::getpid()]);
        assert_eq!(one.completions(1)[0].ret, i64::from(std::process::id()));
    })
    .succeed();
}

fn the_limit_of_the_machines_workers_is_named() {
    let _limit = Changed::numbers([(attr::MAX_WORKERS_TOTAL, 4)]);
    let mut first = Child::fork(|channel| {
        become_user(LONELY);
        let pipe = Pipe::new();
        let mut socket = RawSocket::open();
        block(&mut socket, &pipe, 4);
        channel.put(0);
        channel.get();
    });
    first.channel().get();
    as_user(OTHER, || {
        let answer = RawSocket::open().submit([calls::getpid()]);
        assert!(
            answer.is_rejection(libc::EBUSY, "4 workers (max_workers_total)"),
            "{answer:?}"
        );
    })
    .succeed();
    // Not even the host's root has more.
    let mut root = RawSocket::open();
    let answer = root.submit([calls::getpid()]);
    assert!(
        answer.is_rejection(libc::EBUSY, "4 workers (max_workers_total)"),
        "{answer:?}"
    );
    first.channel().put(0);
    first.succeed();
    patience::until("there is room for a worker", || {
        root.submit([calls::getpid()]).errno == 0
    });
    assert_eq!(root.completions(1)[0].ret, i64::from(std::process::id()));
}

/// Where a worker could not be made, one is made when the limit allows it.
fn calls_wait_for_the_users_other_sessions() {
    let _limit = Changed::numbers([(attr::MAX_WORKERS_USER, 4)]);
    as_user(LONELY, || {
        let (pipe, never) = (Pipe::new(), Pipe::new());
        let (mut one, mut two) = (RawSocket::open(), RawSocket::open());
        block(&mut one, &pipe, 3);
        two.accept([never.read_call(), calls::getpid().user_data(7)]);
        wait_until_blocked(&two, 1);
        two.assert_no_more_completions();
        drop(one);
        let completion = two.completions(1)[0];
        assert_eq!(
            (completion.user_data, completion.outcome),
            (7, Outcome::Ran as u16)
        );
    })
    .succeed();
}

/// Messages with INLINE calls are kept until their calls are over, of all threads of a user.
fn the_limit_of_bytes_of_inline_calls_is_named() {
    const CALLS: usize = 10;

    // A buffer of the kernel with ten calls, and no two such buffers.
    let _limit = Changed::numbers([(attr::MAX_INLINE_BYTES, 4000)]);
    let inline = |call: Call, count: usize| {
        let call = nlcall_abi::Call {
            flags: flag::INLINE,
            ..call.into()
        };
        vec![call; count]
    };
    as_user(LONELY, || {
        let mut socket = RawSocket::open();
        let submit = |socket: &mut RawSocket, calls: &[nlcall_abi::Call]| {
            let message = Message::submit(socket.family(), calls);
            socket.request(message)
        };
        let many = inline(calls::getpid(), 3 * CALLS);
        let answer = submit(&mut socket, &many);
        assert!(
            answer.is_rejection(libc::EBUSY, "max_inline_bytes 4000"),
            "{answer:?}"
        );
        // What is sent along counts, which is kept with them: here zeros, which are no message.
        let one = inline(calls::getpid(), 1);
        let mut message = Message::submit(socket.family(), &one);
        message.seq = 1;
        let mut bytes = message.bytes();
        bytes.resize(8000, 0);
        socket.send(&bytes).expect("it is sent");
        let (events, _) = socket.drain();
        let [Event::Answer(answer)] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(
            answer.is_rejection(libc::EBUSY, "max_inline_bytes 4000"),
            "{answer:?}"
        );
        // So do the pointers that are filled in, all of them into the same place.
        let worker = nlcall_abi::Call {
            arg_kinds: ArgKind::Data as u32,
            ..calls::getpid().into()
        };
        let mut message = Message::submit(socket.family(), &[worker]);
        message.attribute(submit::DATA, &[0; 8]);
        let relocs = [Reloc::default(); 500];
        message.attribute(submit::RELOC, relocs.as_bytes());
        let answer = socket.request(message);
        assert!(answer.is_rejection(libc::EBUSY, "4008 bytes"), "{answer:?}");
        // Each message gives back what it took.
        let few = inline(calls::getpid(), CALLS);
        for _ in 0..100 {
            assert_eq!(submit(&mut socket, &few).errno, 0);
            assert_eq!(socket.completions(CALLS).len(), CALLS);
        }
        let (pipe, mut other) = (Pipe::new(), RawSocket::open());
        std::thread::scope(|scope| {
            // Ten reads of one byte each, the first of which blocks.
            let reader = scope.spawn(|| {
                let reads = inline(pipe.read_call(), CALLS);
                // The others may be in the way of these as well.
                patience::until("the reads are accepted", || {
                    let answer = submit(&mut other, &reads);
                    let busy = answer.is_rejection(libc::EBUSY, "max_inline_bytes 4000");
                    assert!(answer.errno == 0 || busy, "{answer:?}");
                    !busy
                });
                assert_eq!(other.completions(CALLS).len(), CALLS);
            });
            patience::until("the other thread's message is in the way", || {
                let answer = submit(&mut socket, &few);
                if answer.errno == 0 {
                    assert_eq!(socket.completions(CALLS).len(), CALLS);
                    return false;
                }
                assert!(
                    answer.is_rejection(libc::EBUSY, "max_inline_bytes 4000"),
                    "{answer:?}"
                );
                true
            });
            pipe.fill(&[0; CALLS]);
            reader.join().expect("the thread is well");
        });
        assert_eq!(submit(&mut socket, &few).errno, 0);
        assert_eq!(socket.completions(CALLS).len(), CALLS);
    })
    .succeed();
}

/// However calls and workers end, each is given back, and once.
fn what_a_user_has_in_use_is_counted_exactly() {
    const CALLS: usize = 50;
    const WORKERS: usize = 8;

    let _limit = Changed::numbers([
        (attr::MAX_IN_FLIGHT_USER, CALLS as u32),
        (attr::MAX_WORKERS_USER, WORKERS as u32),
        // No worker leaves because it has no call.
        (attr::IDLE_MS, 3_600_000),
    ]);
    // The user stays known, and with it what it has in use.
    let mut keeper = Child::fork(|channel| {
        become_user(LONELY);
        let mut socket = RawSocket::open();
        socket.accept([calls::getpid()]);
        socket.completions(1);
        channel.put(0);
        channel.get();
    });
    keeper.channel().get();
    for round in 0..scaled(20, 400) {
        let mut child = Child::fork(|channel| {
            become_user(LONELY);
            let pipe = Pipe::new();
            let mut sockets: Vec<RawSocket> = (0..4).map(|_| RawSocket::open()).collect();
            for (number, socket) in sockets.iter_mut().enumerate() {
                let reads = (0..3).map(|_| pipe.read_call());
                let others = (0..number * 4).map(|_| calls::getpid());
                // Rejected, or not.
                let _ = socket.submit(reads.chain(others));
                let _ = socket.submit((0..CALLS + 1).map(|_| calls::getpid()));
            }
            drop(sockets.swap_remove(round % 4));
            pipe.fill(&vec![0; round % 7]);
            channel.put(0);
            if round % 3 == 0 {
                channel.get();
            }
        });
        child.channel().get();
        match round % 3 {
            0 => child.kill(),
            1 => child.signal(Signal::SIGTERM),
            _ => {}
        }
    }
    as_user(LONELY, || {
        let pipe = Pipe::new();
        let mut socket = RawSocket::open();
        let reads = |count: usize| (0..count).map(|_| pipe.read_call());
        let answer = socket.submit(reads(CALLS + 1));
        assert_eq!(answer.errno, libc::EBUSY, "{answer:?}");
        // Those of the processes that ended just now are still on their way out.
        patience::until("the user has nothing in use", || {
            socket.submit(reads(CALLS)).errno == 0
        });
        // One worker is the keeper's.
        wait_until_blocked(&socket, WORKERS - 1);
        let answer = socket.submit(reads(1));
        assert!(
            answer.is_rejection(libc::EBUSY, "8 workers (max_workers_user)"),
            "{answer:?}"
        );
        pipe.fill(&[0; CALLS]);
        assert_eq!(socket.completions(CALLS).len(), CALLS);
    })
    .succeed();
    keeper.channel().put(0);
    keeper.succeed();
}
