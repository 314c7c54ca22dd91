// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many workers there are, and how long they stay.

use nix::{sys::signal::Signal, unistd::Pid};
use nlcall::raw::SessionInfo;
use nlcall_abi::config as attr;
use nlcall_tests::{
    calls, config::Changed, patience, pipe::Pipe, process::Child, session, socket::RawSocket,
    threads,
};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    calls_that_do_not_block_need_few_workers,
    a_blocked_call_needs_one_worker,
    no_more_workers_than_the_limit,
    idle_workers_leave,
    a_worker_stays_as_long_as_it_is_used,
    a_change_of_the_idle_time_is_noticed,
    idle_workers_of_a_stopped_process_leave_later,
    idle_workers_leave_while_calls_come,
];

/// Workers of this process, as `/proc` shows them.
fn own_workers() -> usize {
    threads::workers(Pid::this()).len()
}

fn info(socket: &RawSocket) -> SessionInfo {
    session::of_port(socket.port_id()).expect("the session is there")
}

/// Submits so many harmless calls and waits for them.
fn run(socket: &mut RawSocket, calls: usize) {
    socket.accept((0..calls).map(|_| calls::getpid()));
    assert_eq!(socket.completions(calls).len(), calls);
}

fn calls_that_do_not_block_need_few_workers() {
    let _running = Changed::numbers([(attr::MAX_RUNNING, 1)]);
    let mut socket = RawSocket::with_large_send_buffer();
    run(&mut socket, 1);
    assert_eq!(info(&socket).workers, 1, "nothing waited");
    for _ in 0..scaled(10, 100) {
        run(&mut socket, 1000);
    }
    // One that runs and one that stands by. A call that had to wait for memory, or for the lock of
    // a file table, made one more.
    let workers = info(&socket).workers;
    assert!((2..=4).contains(&workers), "{workers} workers");
}

fn a_blocked_call_needs_one_worker() {
    const BLOCKED: usize = 20;

    let _running = Changed::numbers([(attr::MAX_RUNNING, 1)]);
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    let reads = (0..BLOCKED).map(|_| pipe.read_call());
    socket.accept(reads.chain((0..100).map(|_| calls::getpid())));
    assert_eq!(socket.completions(100).len(), 100);
    patience::until("the reads block", || {
        info(&socket).blocked as usize == BLOCKED
    });
    let workers = info(&socket).workers as usize;
    assert!(
        (BLOCKED + 1..=BLOCKED + 4).contains(&workers),
        "{workers} workers"
    );
    pipe.fill(&[0; BLOCKED]);
    assert_eq!(socket.completions(BLOCKED).len(), BLOCKED);
}

fn no_more_workers_than_the_limit() {
    const CALLS: usize = 200;

    for limit in [1, 2, 7, 40] {
        let _limit = Changed::numbers([(attr::MAX_WORKERS, limit)]);
        let mut socket = RawSocket::open();
        let pipe = Pipe::new();
        // Two messages: several threads could make workers at once.
        for _ in 0..2 {
            let reads = (0..CALLS / 2).map(|_| pipe.read_call());
            let _ = socket.submit_unanswered(reads);
        }
        patience::until("as many reads block as there may be workers", || {
            info(&socket).blocked == limit
        });
        let answer = socket.submit([calls::getpid()]);
        assert!(
            answer.is_rejection(libc::EAGAIN, "max_workers"),
            "{answer:?}"
        );
        assert!(info(&socket).saturated);
        let mut most = 0;
        for _ in 0..info(&socket).in_flight {
            pipe.fill(b"x");
            socket.completions(1);
            most = most.max(own_workers());
        }
        assert_eq!(most, limit as usize);
        let accepted = info(&socket).accepted as usize;
        assert!(accepted == CALLS || accepted == CALLS / 2, "{accepted}");
        run(&mut socket, 1);
        drop(socket);
        patience::until("they are gone", || own_workers() == 0);
    }
}

fn idle_workers_leave() {
    const WORKERS: usize = 30;

    let _idle = Changed::numbers([(attr::IDLE_MS, 100)]);
    let mut socket = RawSocket::open();
    for _ in 0..scaled(3, 30) {
        let pipe = Pipe::new();
        socket.accept((0..WORKERS).map(|_| pipe.read_call()));
        patience::until("the reads block", || {
            info(&socket).blocked as usize == WORKERS
        });
        // Who has a call stays.
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(info(&socket).blocked as usize, WORKERS);
        assert!(own_workers() >= WORKERS);
        pipe.fill(&[0; WORKERS]);
        assert_eq!(socket.completions(WORKERS).len(), WORKERS);
        patience::until("the whole crew has left", || own_workers() == 0);
        let info = info(&socket);
        assert_eq!((info.workers, info.in_flight), (0, 0), "{info:?}");
        // And comes back.
        run(&mut socket, 10);
    }
}

fn a_worker_stays_as_long_as_it_is_used() {
    let _settings = Changed::numbers([(attr::IDLE_MS, 60_000), (attr::MAX_RUNNING, 1)]);
    let mut socket = RawSocket::open();
    run(&mut socket, 1);
    let before = threads::workers(Pid::this());
    for _ in 0..100 {
        run(&mut socket, 1);
    }
    let after = threads::workers(Pid::this());
    let tids = |workers: &[threads::Thread]| workers.iter().map(|it| it.tid).collect::<Vec<_>>();
    assert_eq!(tids(&before), tids(&after));
}

fn a_change_of_the_idle_time_is_noticed() {
    let long = Changed::numbers([(attr::IDLE_MS, 86_400_000)]);
    let mut socket = RawSocket::open();
    run(&mut socket, 10);
    assert!(own_workers() > 0);
    // A session that is closed does not wait for its time to come.
    let port = socket.port_id();
    drop(socket);
    session::assert_gone(port);
    let mut socket = RawSocket::open();
    run(&mut socket, 10);
    assert!(own_workers() > 0);
    drop(long);
    let _short = Changed::numbers([(attr::IDLE_MS, 50)]);
    patience::until("the crew has left", || own_workers() == 0);
}

/// A worker that is stopped does not leave, and holds up nobody.
fn idle_workers_of_a_stopped_process_leave_later() {
    let _idle = Changed::numbers([(attr::IDLE_MS, 50)]);
    let mut child = Child::fork(|channel| {
        let mut socket = RawSocket::open();
        run(&mut socket, 50);
        channel.put(0);
        channel.get();
        patience::until("the crew has left", || own_workers() == 0);
        run(&mut socket, 50);
    });
    child.channel().get();
    child.signal(Signal::SIGSTOP);
    patience::until("the process stands still", || {
        threads::of(child.pid())
            .iter()
            .all(|thread| thread.state == 'T')
    });
    // Another session comes and goes meanwhile, and its crew leaves.
    let mut socket = RawSocket::open();
    run(&mut socket, 50);
    patience::until("the crew has left", || own_workers() == 0);
    child.signal(Signal::SIGCONT);
    child.channel().put(0);
    child.succeed();
}

/// Whoever is about to leave when a call comes takes it, or another is made.
fn idle_workers_leave_while_calls_come() {
    let _idle = Changed::numbers([(attr::IDLE_MS, 1)]);
    let mut socket = RawSocket::open();
    for round in 0..scaled(400, 20_000) {
        run(&mut socket, 1 + round % 5);
        std::thread::sleep(std::time::Duration::from_micros(500 * (round as u64 % 24)));
    }
    patience::until("the crew has left", || own_workers() == 0);
}
