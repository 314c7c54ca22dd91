// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest tests: they run in the guest as root, against the loaded module.
//!
//! ```text
//! nlcall-guest-tests [--full] [--times] [--seed N] [FILTER] [options of libtest]
//! nlcall-guest-tests --soak MINUTES
//! ```
//!
//! `--full` is the long run: more rounds, more processes. `--times` says at the end how long each
//! test took. `--seed` has random tests choose otherwise.
//!
//! Each test runs in a process of its own, one at a time, since several look at what the whole
//! module does. When it has ended, nothing of it may be left.

mod bad_input;
mod batches;
mod chains;
mod classic;
mod command;
mod crowd;
mod examples;
mod faults;
mod harness;
mod inline;
mod languages;
mod library;
mod lifecycle;
mod limits;
mod monitor;
mod operator;
mod oracle;
mod promises;
mod random_death;
mod random_events;
mod random_processes;
mod reloaded;
mod run;
mod scenes;
mod seccomp;
mod soak;
mod surroundings;
mod targets;
mod timeouts;
mod watching;

use std::process::ExitCode;

use harness::Test;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|it| it == scenes::ARGUMENT) {
        scenes::play(&arguments[2..]);
        return ExitCode::SUCCESS;
    }
    match arguments.get(1).map(String::as_str) {
        Some(soak::ARGUMENT) => return soak::run(&arguments[2..]),
        Some(soak::PART) => return soak::part(&arguments[2..]),
        _ => {}
    }
    let tests = [
        ("lifecycle", lifecycle::TESTS),
        ("promises", promises::TESTS),
        ("inline", inline::TESTS),
        ("seccomp", seccomp::TESTS),
        ("limits", limits::TESTS),
        ("chains", chains::TESTS),
        ("targets", targets::TESTS),
        ("timeouts", &[timeouts::TESTS]),
        ("monitor", monitor::TESTS),
        ("bad_input", bad_input::TESTS),
        ("classic", &[classic::TESTS]),
        ("command", &[command::TESTS]),
        ("batches", &[batches::TESTS]),
        ("watching", &[watching::TESTS]),
        ("surroundings", surroundings::TESTS),
        ("run", run::TESTS),
        ("oracle", &[oracle::TESTS]),
        ("operator", operator::TESTS),
        ("languages", languages::TESTS),
        ("examples", &[examples::TESTS]),
        ("random_death", &[random_death::TESTS]),
        ("faults", &[faults::TESTS]),
        ("random_events", &[random_events::TESTS]),
        ("random_processes", &[random_processes::TESTS]),
    ];
    let tests: Vec<Test> = tests
        .into_iter()
        .flat_map(|(theme, tests)| tests.concat().into_iter().map(|test| test.in_theme(theme)))
        .chain(library::tests())
        .collect();
    harness::run(tests)
}
