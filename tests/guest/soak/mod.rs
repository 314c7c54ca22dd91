// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mixed load for a long time; what the kernel has is afterwards what it had before.
//!
//! `nlcall-guest-tests --soak MINUTES` starts a process for each kind of load: the random tests, which
//! account for every call, one round after the other, and a steady service, which measures how long its
//! calls take. It warms up first; between that and the end, when nothing runs, the kernel's memory may
//! not have grown. The result is printed as Markdown.

mod memory;
mod service;

use std::{
    fmt::Write,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use nlcall_tests::{module, patience, session};

use self::{
    memory::{KernelMemory, KIB},
    service::Report,
};
use crate::{random_death, random_events, random_processes};

/// First argument: the whole run, of so many minutes.
pub const ARGUMENT: &str = "--soak";
/// First argument: one kind of load, for so many seconds.
pub const PART: &str = "--soak-part";

/// How long everything runs before the first look.
const WARM_UP: Duration = Duration::from_secs(60);
/// How often it is said how it goes.
const STEP: Duration = Duration::from_secs(60);
/// What the kernel may have more at the end, in KiB: what its caches keep differs by some of it from
/// look to look. A single object of the smallest size lost by each hundredth call is more.
const MOST_GROWTH: i64 = 6 << 10;
/// What a process of the service may have more at the end, in KiB.
const MOST_OWN_GROWTH: i64 = 2 << 10;

/// A kind of load.
struct Load {
    name: &'static str,
    what: &'static str,
    body: Body,
}

/// What does it until the time is over.
enum Body {
    /// Returns how much it did.
    Random(fn(Instant) -> u64),
    Service(fn(Instant) -> Report),
}

const LOADS: [Load; 7] = [
    Load {
        name: "events",
        what: "events: calls, chains, cancels, time limits, data, sessions that close",
        body: Body::Random(random_events::run_until),
    },
    Load {
        name: "deaths",
        what: "processes that died at a random moment",
        body: Body::Random(random_death::run_until),
    },
    Load {
        name: "processes",
        what: "events: calls in processes that fork, execute, change, stop and are killed",
        body: Body::Random(random_processes::run_until),
    },
    Load {
        name: "workers",
        what: "8 calls on workers",
        body: Body::Service(service::workers),
    },
    Load {
        name: "inline",
        what: "64 calls INLINE",
        body: Body::Service(service::inline),
    },
    Load {
        name: "elsewhere",
        what: "4 calls with data in another process",
        body: Body::Service(service::elsewhere),
    },
    Load {
        name: "library",
        what: "a file opened, read and closed by the library",
        body: Body::Service(service::library),
    },
];

/// Carries out one kind; its last line is what it did.
pub fn part(arguments: &[String]) -> ExitCode {
    let [name, seconds] = arguments else {
        eprintln!("{PART} needs a name and a number of seconds");
        return ExitCode::from(2);
    };
    let load = LOADS.iter().find(|load| load.name == name);
    let seconds = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let until = Instant::now() + seconds;
    match load.expect("a kind of load").body {
        Body::Random(body) => println!("{}", body(until)),
        Body::Service(body) => println!("{}", body(until)),
    }
    ExitCode::SUCCESS
}

/// Carries out the whole run.
pub fn run(arguments: &[String]) -> ExitCode {
    let [minutes] = arguments else {
        eprintln!("{ARGUMENT} needs a number of minutes");
        return ExitCode::from(2);
    };
    let minutes: u64 = minutes.parse().expect("a number of minutes");
    let references = module::references();
    eprintln!("soak: {} s to warm up", WARM_UP.as_secs());
    let _ = Running::start(WARM_UP).end();
    let before = quiet(references);
    eprintln!("soak: {minutes} minutes; the kernel has {before}");

    let whole = Duration::from_secs(minutes * 60);
    let mut running = Running::start(whole);
    let begun = Instant::now();
    let mut during = Vec::new();
    while begun.elapsed() + STEP < whole {
        thread::sleep(STEP);
        running.assert_at_work();
        let now = KernelMemory::now();
        eprintln!("soak: after {} s: {now}", begun.elapsed().as_secs());
        during.push(now);
    }
    let found = running.end();
    let after = quiet(references);
    let growth = after.all() - before.all();
    print!("{}", markdown(minutes, &found, &before, &during, &after));
    let mut is_right = true;
    if growth > MOST_GROWTH {
        eprintln!("soak: the kernel has {growth} KiB more than before, {MOST_GROWTH} at most");
        is_right = false;
    }
    for (what, report) in &found.reports {
        let growth = report.growth;
        if growth > MOST_OWN_GROWTH {
            eprintln!("soak: {what}: {growth} KiB more than when it was warm");
            is_right = false;
        }
    }
    ExitCode::from(u8::from(!is_right))
}

/// What the kernel has when nothing of the load is left.
fn quiet(references: u64) -> KernelMemory {
    patience::until("no session is left", || session::all().is_empty());
    patience::until("the module is free", || module::references() == references);
    KernelMemory::least()
}

/// The processes that are at work.
struct Running(Vec<(&'static Load, Child)>);

/// What they did.
struct Found {
    done: Vec<(&'static str, u64)>,
    reports: Vec<(&'static str, Report)>,
}

impl Running {
    fn start(time: Duration) -> Self {
        let start = |load: &'static Load| {
            let child = Command::new("/proc/self/exe")
                .args([PART, load.name, &time.as_secs().to_string()])
                .stdout(Stdio::piped())
                .spawn()
                .expect("this program can be executed");
            (load, child)
        };
        Self(LOADS.iter().map(start).collect())
    }

    /// None of them has come to an end, which would be a bad one before its time.
    fn assert_at_work(&mut self) {
        for (load, child) in &mut self.0 {
            let ended = child.try_wait().expect("it is ours");
            assert_eq!(ended, None, "{}", load.name);
        }
    }

    /// Waits for all of them, each of which must come to a good end.
    fn end(self) -> Found {
        let (mut done, mut reports) = (Vec::new(), Vec::new());
        for (load, child) in self.0 {
            let output = child.wait_with_output().expect("it is ours");
            assert!(output.status.success(), "{}: {}", load.name, output.status);
            let text = String::from_utf8(output.stdout).expect("text");
            let line = text.trim_end().lines().last().expect("a report");
            match load.body {
                Body::Random(_) => done.push((load.what, line.parse().expect("a number"))),
                Body::Service(_) => reports.push((load.what, Report::parse(line))),
            }
        }
        Found { done, reports }
    }
}

fn markdown(
    minutes: u64,
    found: &Found,
    before: &KernelMemory,
    during: &[KernelMemory],
    after: &KernelMemory,
) -> String {
    let mut text = format!(
        "{minutes} minutes, after {} s to warm up.\n\n",
        WARM_UP.as_secs()
    );
    text += "| done, each call with exactly one completion | |\n| --- | ---: |\n";
    for (what, count) in &found.done {
        let _ = writeln!(text, "| {what} | {count} |");
    }
    for (what, report) in &found.reports {
        let _ = writeln!(text, "| calls, messages of {what} | {} |", report.calls);
    }
    text +=
        "\n| latency in \u{b5}s, submission to completion | 50 % | 90 % | 99 % | 99.9 % | most |\n";
    text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for (what, report) in &found.reports {
        let [p50, p90, p99, p999, most] = report.latency;
        let _ = writeln!(text, "| {what} | {p50} | {p90} | {p99} | {p999} | {most} |");
    }
    text += "\n| kernel memory in KiB | before | during, least to most | after |\n";
    text += "| --- | ---: | ---: | ---: |\n";
    for (index, name) in KIB.iter().enumerate() {
        let now = |memory: &KernelMemory| memory.kib[index];
        let least = during.iter().map(now).min().unwrap_or_default();
        let most = during.iter().map(now).max().unwrap_or_default();
        let (before, after) = (now(before), now(after));
        let _ = writeln!(text, "| {name} | {before} | {least} to {most} | {after} |");
    }
    let (least, most) = (
        during
            .iter()
            .map(KernelMemory::all)
            .min()
            .unwrap_or_default(),
        during
            .iter()
            .map(KernelMemory::all)
            .max()
            .unwrap_or_default(),
    );
    let (before, after) = (before.all(), after.all());
    let _ = writeln!(text, "| **all** | {before} | {least} to {most} | {after} |");
    let _ = writeln!(
        text,
        "\nBefore and after, nothing runs and caches are dropped; {} KiB more, {MOST_GROWTH} at most.",
        after - before
    );
    let own = found.reports.iter().map(|(_, report)| report.growth).max();
    let _ = writeln!(
        text,
        "The processes of the service grew by {} KiB at most, of {MOST_OWN_GROWTH}.",
        own.unwrap_or_default()
    );
    text
}
