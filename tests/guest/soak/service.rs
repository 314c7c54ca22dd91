// SPDX-License-Identifier: MIT OR Apache-2.0

//! Steady services: sessions that live as long as their processes, and time their calls.

use std::{
    fmt,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use nlcall::{
    op,
    raw::{Batch, Call, Data, Results, Session, Target},
    Client, Driver,
};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    process::Child,
    session,
};

use super::memory;

/// What a service tells.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How many calls it made.
    pub calls: u64,
    /// Microseconds: half of the messages took no longer; 90, 99, 99.9 of a hundred; all.
    pub latency: [u64; 5],
    /// How much more memory the process has than when it was warm, in KiB.
    pub growth: i64,
}

impl Report {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(line: &str) -> Self {
        let numbers = line.split_whitespace().map(|it| it.parse::<i64>());
        let numbers: Vec<i64> = numbers.map(|it| it.expect("a number")).collect();
        let [calls, p50, p90, p99, p999, most, growth] = numbers[..] else {
            panic!("{line:?}");
        };
        Self {
            calls: calls as u64,
            latency: [p50, p90, p99, p999, most].map(|it| it as u64),
            growth,
        }
    }
}

/// Numbers in one line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p999, most] = self.latency;
        let Self { calls, growth, .. } = self;
        write!(f, "{calls} {p50} {p90} {p99} {p999} {most} {growth}")
    }
}

/// Time after which a process has all the memory that it will need: a part of the whole.
const WARM: u32 = 5;

/// Bytes of a file that is read.
const SIZE: usize = 4096;

/// Makes messages until the time is over. Each says how many calls it had, and how long the last of
/// them took.
fn serve(until: Instant, mut message: impl FnMut() -> (u64, Duration)) -> Report {
    let mut latency = Histogram::<u64>::new_with_max(600_000_000, 3).expect("bounds");
    let begun = Instant::now();
    let warm = begun + until.duration_since(begun) / WARM;
    let (mut calls, mut had) = (0, None);
    while Instant::now() < until {
        let (count, took) = message();
        calls += count;
        latency.saturating_record(took.as_micros() as u64);
        if had.is_none() && Instant::now() > warm {
            had = Some(memory::own());
        }
    }
    let quantile = |part| latency.value_at_quantile(part);
    Report {
        calls,
        latency: [
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            quantile(0.999),
            latency.max(),
        ],
        growth: had.map_or(0, |had| memory::own() - had),
    }
}

/// A file to read, and calls that look at it and read it.
fn file_calls() -> (tempfile::NamedTempFile, Vec<Call>) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), vec![1; SIZE]).expect("writing");
    let path = Memory::string(file.path().to_str().expect("a path in UTF-8"));
    let (read, stat) = (Memory::zeroed(SIZE), Memory::zeroed(256));
    let fd = file.as_file().as_raw_fd();
    let calls = vec![
        calls::getpid(),
        call(
            libc::SYS_pread64,
            &[fd.into(), read.into(), (SIZE as i32).into(), 0.into()],
        ),
        call(libc::SYS_stat, &[path.into(), stat.into()]),
        call(libc::SYS_fsync, &[fd.into()]),
    ];
    (file, calls)
}

/// Calls on workers.
pub fn workers(until: Instant) -> Report {
    const COUNT: usize = 8;

    let (_file, calls) = file_calls();
    let session = Session::open().expect("a session");
    let report = serve(until, || {
        let begun = Instant::now();
        let batch = calls.iter().cloned().cycle().take(COUNT);
        session::submit(&session, 0, batch);
        let done = session::collect(&session, COUNT);
        assert!(done.values().all(|it| it.ran() && it.ret >= 0), "{done:?}");
        (COUNT as u64, begun.elapsed())
    });
    session::close(session);
    report
}

/// Calls INLINE.
pub fn inline(until: Instant) -> Report {
    const COUNT: usize = 64;

    let (_file, calls) = file_calls();
    let session = Session::open().expect("a session");
    let mut batch = Batch::new();
    for call in calls::inline(calls.into_iter().cycle().take(COUNT)) {
        batch.push(call);
    }
    let mut results = Results::new();
    let report = serve(until, || {
        let begun = Instant::now();
        session.submit_into(&batch, &mut results).expect("accepted");
        assert!(results.iter().all(|it| it.ran() && it.ret >= 0));
        assert_eq!(results.len(), COUNT);
        (COUNT as u64, begun.elapsed())
    });
    session::close(session);
    report
}

/// Calls in another process.
pub fn elsewhere(until: Instant) -> Report {
    const COUNT: u64 = 4;

    let child = Child::fork(|channel| {
        channel.try_get();
    });
    let there = Target::open(child.pid().as_raw() as u32).expect("it is there");
    let session = Session::open().expect("a session");
    let report = serve(until, || {
        let begun = Instant::now();
        let (mut batch, mut data) = (Batch::new(), Data::new());
        for name in 0..COUNT {
            let room = data.reserve(6 * 65);
            // SAFETY: the only address is in the memory that travels with the call.
            let uname = unsafe { Call::with_args(libc::SYS_uname as u32, &[room.output()]) };
            batch.push(uname.user_data(name));
        }
        batch.data(data).target(&there);
        session.submit(batch).expect("accepted");
        let done = session::collect(&session, COUNT as usize);
        assert!(done
            .values()
            .all(|it| it.ret == 0 && it.data().starts_with(b"Linux")));
        (COUNT, begun.elapsed())
    });
    session::close(session);
    report
}

/// What a program does with the library: some of what it begins is given up.
pub fn library(until: Instant) -> Report {
    let (file, _) = file_calls();
    let client = Client::builder().driver(Driver::Netlink).open();
    let client = client.expect("a client");
    let report = serve(until, || {
        let begun = Instant::now();
        pollster::block_on(async {
            let opened = client.submit(op::Open::new(file.path())).await;
            let opened = std::sync::Arc::new(opened.expect("accepted").expect("it is there"));
            let given_up = op::ReadAt::new(opened.clone(), Vec::with_capacity(SIZE), 0);
            drop(client.submit(given_up));
            let read = op::ReadAt::new(opened, Vec::with_capacity(SIZE), 0);
            let (count, bytes) = client.submit(read).await.expect("accepted");
            assert_eq!(count.expect("it can be read"), SIZE);
            assert_eq!(bytes, [1; SIZE]);
        });
        (3, begun.elapsed())
    });
    pollster::block_on(client.shut_down()).expect("it is shut down");
    report
}
