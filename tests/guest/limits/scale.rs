// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many sessions, many calls, many workers, and the memory that they take.

use std::{
    fs,
    ops::Range,
    time::{Duration, Instant},
};

use nix::{
    sys::resource::{getrlimit, setrlimit, Resource},
    unistd::{setresuid, Pid, Uid},
};
use nlcall::raw::Call;
use nlcall_abi::{config as attr, session};
use nlcall_tests::{
    calls,
    config::Changed,
    group::{self, Group},
    memory::Memory,
    patience,
    pipe::Pipe,
    process::Child,
    socket::RawSocket,
    threads,
};

use crate::harness::{note, scaled, skip, Test};

/// They take long where the machine is emulated.
const PATIENCE: Duration = Duration::from_secs(900);

pub const TESTS: &[Test] = &[
    Test::new(
        "a_thousand_sessions_have_a_hundred_thousand_calls_in_flight",
        a_thousand_sessions_have_a_hundred_thousand_calls_in_flight,
    )
    .patience(PATIENCE),
    Test::new(
        "thousands_of_pipes_are_read_at_once",
        thousands_of_pipes_are_read_at_once,
    )
    .patience(PATIENCE),
    Test::new(
        "an_idle_session_takes_little_memory",
        an_idle_session_takes_little_memory,
    ),
];

/// Most bytes of kernel memory for a call that waits for a worker.
const QUEUED_CALL: usize = 256;
/// Most bytes of kernel memory for a session without calls and workers.
const IDLE_SESSION: usize = 16 << 10;

/// Waits for as long as it takes: the harness ends what hangs.
fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Kernel memory of a control group, once it stays the same: the kernel gives back what threads had
/// a while after their end. It adds up what it counts every two seconds, or when it may be wrong by
/// more than half a MiB (on two processors).
fn memory(group: &Group) -> usize {
    let quiet = Duration::from_millis(scaled(500, 2500));
    let mut last = (group.kernel_memory(), Instant::now());
    while last.1.elapsed() < quiet {
        std::thread::sleep(Duration::from_millis(100));
        let now = group.kernel_memory();
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

/// Waits until one call of each session blocks.
fn wait_until_blocked(sockets: &mut [RawSocket]) {
    for socket in sockets {
        wait_until(|| socket.own_session().u32(session::BLOCKED) == Some(1));
    }
}

/// Lets this process have so many more descriptors than it needs anyway.
fn raise_descriptors(count: usize) {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("RLIMIT_NOFILE");
    let count = most.max(count as u64 + 100);
    setrlimit(Resource::RLIMIT_NOFILE, count, count).expect("RLIMIT_NOFILE");
}

/// A control group to count in.
fn group() -> Group {
    Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no memory control groups: {error}")))
}

/// Reads of a pipe, named by the numbers of a range.
fn reads(pipe: &Pipe, names: Range<u64>) -> impl Iterator<Item = Call> + '_ {
    let byte = Memory::zeroed(1);
    names.map(move |name| calls::read(&pipe.reader, byte).user_data(name))
}

/// Puts so many bytes into a pipe, as there is room.
fn fill(pipe: &Pipe, mut bytes: usize) {
    while bytes > 0 {
        let now = bytes.min(4096);
        pipe.fill(&vec![0; now]);
        bytes -= now;
    }
}

fn a_thousand_sessions_have_a_hundred_thousand_calls_in_flight() {
    const SESSIONS: usize = 1000;
    const CALLS: u64 = 100;

    let _settings = Changed::numbers([
        (attr::MAX_WORKERS, 1),
        (attr::MAX_WORKERS_USER, SESSIONS as u32),
        // The workers stay.
        (attr::IDLE_MS, 3600 * 1000),
    ]);
    let group = group();
    Child::fork(|_| {
        group.enter();
        raise_descriptors(SESSIONS);
        let pipe = Pipe::new();
        let before = memory(&group);
        let mut sockets: Vec<RawSocket> = (0..SESSIONS).map(|_| RawSocket::open()).collect();
        // The worker of each session first, so that what comes then is calls alone.
        for socket in &mut sockets {
            socket.accept(reads(&pipe, 0..1));
        }
        wait_until_blocked(&mut sockets);
        let one_each = memory(&group);
        fill(&pipe, SESSIONS);
        for socket in &mut sockets {
            assert_eq!(socket.completions(1).len(), 1);
        }

        for socket in &mut sockets {
            socket.accept(reads(&pipe, 0..CALLS));
        }
        wait_until_blocked(&mut sockets);
        for socket in &mut sockets {
            let session = socket.own_session();
            let shows = |attribute, value: u64| {
                assert_eq!(session.u32(attribute), Some(value as u32), "{attribute}");
            };
            shows(session::IN_FLIGHT, CALLS);
            shows(session::QUEUED, CALLS - 1);
            shows(session::WORKERS, 1);
            assert!(session.value(session::SATURATED).is_some());
        }
        assert_eq!(threads::workers(Pid::this()).len(), SESSIONS);
        let queued = SESSIONS * (CALLS as usize - 1);
        let each = memory(&group).saturating_sub(one_each) / queued;
        group::assert_at_most(each, QUEUED_CALL, "each queued call");
        note(format_args!(
            "{SESSIONS} sessions with {CALLS} calls each in flight: {each} bytes of kernel memory \
             for each call that waits; {} for each session with its socket, one worker and the \
             call that it executes",
            one_each.saturating_sub(before) / SESSIONS,
        ));

        std::thread::scope(|scope| {
            scope.spawn(|| fill(&pipe, SESSIONS * CALLS as usize));
            for socket in &mut sockets {
                let completions = socket.completions(CALLS as usize);
                assert!(completions.iter().all(|it| it.ret == 1));
                let mut names: Vec<u64> = completions.iter().map(|it| it.user_data).collect();
                names.sort_unstable();
                assert!(names.into_iter().eq(0..CALLS), "each call completes once");
            }
        });
        for socket in &mut sockets {
            socket.assert_no_more_completions();
        }
        assert_eq!(pipe.take(), []);

        // Nothing of them is left: a MiB is less than a tenth of what the calls alone took.
        drop(sockets);
        let left = before + (1 << 20);
        wait_until(|| group.kernel_memory() < left || patience::kernel_checks());
    })
    .succeed();
}

fn thousands_of_pipes_are_read_at_once() {
    let pipes = scaled(1000, 10_000);
    // One for each read, and one for what comes when all of them block.
    let workers = pipes + 1;

    let _settings = Changed::numbers([
        (attr::MAX_WORKERS, workers as u32),
        (attr::MAX_WORKERS_USER, workers as u32),
        (attr::MAX_WORKERS_TOTAL, workers as u32),
    ]);
    let group = group();
    // The process itself besides.
    group.limit_threads(workers + 1);
    Child::fork(|_| {
        group.enter();
        raise_descriptors(2 * pipes);
        let most = workers as u64 + 1;
        setrlimit(Resource::RLIMIT_NPROC, most, most).expect("RLIMIT_NPROC");
        // Root is above that limit.
        let lesser = Uid::from_raw(1000);
        setresuid(lesser, lesser, lesser).expect("becoming another user");

        let pipes = Pipe::several(pipes);
        let memories: Vec<Memory> = pipes.iter().map(|_| Memory::zeroed(2)).collect();
        let mut socket = RawSocket::open();
        let before = memory(&group);
        let reads = (0..).zip(pipes.iter().zip(&memories));
        let mut reads = reads
            .map(|(name, (pipe, memory))| calls::read(&pipe.reader, *memory).user_data(name))
            .peekable();
        // As much as fits the socket's send buffer.
        while reads.peek().is_some() {
            socket.accept(reads.by_ref().take(500));
        }
        wait_until(|| socket.own_session().u32(session::BLOCKED) == Some(pipes.len() as u32));

        // All of them block, and a call that comes now is executed all the same.
        socket.accept([calls::getpid().user_data(u64::MAX)]);
        assert_eq!(socket.completions(1)[0].user_data, u64::MAX);
        let during = socket.own_session();
        assert_eq!(during.u32(session::BLOCKED), Some(pipes.len() as u32));
        assert_eq!(during.u32(session::IN_FLIGHT), Some(pipes.len() as u32));
        assert!(during.value(session::SATURATED).is_none());
        assert_eq!(during.u32(session::WORKERS), Some(workers as u32));
        let limit = |path| fs::read_to_string(path).expect("a limit of the machine");
        note(format_args!(
            "{} pipes read at once, {workers} workers: {} bytes of kernel memory for each, its call \
             included; RLIMIT_NPROC and pids.max are {most}, threads-max is {}, pid_max {}",
            pipes.len(),
            (memory(&group) - before) / workers,
            limit("/proc/sys/kernel/threads-max").trim(),
            limit("/proc/sys/kernel/pid_max").trim(),
        ));

        for (number, pipe) in pipes.iter().enumerate() {
            pipe.fill(&(number as u16).to_ne_bytes());
        }
        let completions = socket.completions(pipes.len());
        assert!(completions.iter().all(|it| it.ret == 2));
        let mut names: Vec<u64> = completions.iter().map(|it| it.user_data).collect();
        names.sort_unstable();
        assert!(names.into_iter().eq(0..pipes.len() as u64), "each once");
        socket.assert_no_more_completions();
        for (number, memory) in memories.iter().enumerate() {
            assert_eq!(memory.get(), (number as u16).to_ne_bytes());
        }
    })
    .succeed();
}

fn an_idle_session_takes_little_memory() {
    let sessions = scaled(200, 1000);
    const CALLS: usize = 32;

    let _settings = Changed::numbers([(attr::IDLE_MS, 20)]);
    let group = group();
    Child::fork(|_| {
        group.enter();
        raise_descriptors(sessions);
        let use_it = |socket: &mut RawSocket| {
            socket.accept((0..CALLS).map(|_| calls::getpid()));
            assert_eq!(socket.completions(CALLS).len(), CALLS);
        };
        let no_workers = || wait_until(|| threads::workers(Pid::this()).is_empty());
        // What a process takes up with its first session.
        let mut first = RawSocket::open();
        use_it(&mut first);
        no_workers();
        let before = memory(&group);
        let mut sockets: Vec<RawSocket> = (0..sessions).map(|_| RawSocket::open()).collect();
        let opened = memory(&group);
        for socket in &mut sockets {
            use_it(socket);
        }
        no_workers();
        let each = memory(&group).saturating_sub(opened) / sessions;
        group::assert_at_most(each, IDLE_SESSION, "each idle session");
        note(format_args!(
            "{each} bytes of kernel memory for each idle session; {} for its socket",
            opened.saturating_sub(before) / sessions
        ));
    })
    .succeed();
}
