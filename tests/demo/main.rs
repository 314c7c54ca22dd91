// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tour: what nlcall does, with real data, and how each answer was checked.
//!
//! Runs in the guest, with the module loaded with `classic=1` and the project's programs on PATH.
//! The first wrong answer ends it with an error.

mod report;
mod steps;

use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    process::ExitCode,
};

use anyhow::{anyhow, Result};
use nix::sys::signal::{signal, SigHandler, Signal};
use report::Report;

/// One thing that is shown.
struct Step {
    title: &'static str,
    run: fn(&mut Report) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        title: "The early demonstration's own program, in C",
        run: steps::classic::run,
    },
    Step {
        title: "A file of 64 MiB, read through netlink",
        run: steps::cat::run,
    },
    Step {
        title: "A sleeping process, ended through netlink",
        run: steps::process::kill,
    },
    Step {
        title: "getpid through netlink",
        run: steps::process::getpid,
    },
    Step {
        title: "A file opened through netlink, read plainly",
        run: steps::process::openat,
    },
    Step {
        title: "chdir through netlink moves the process",
        run: steps::process::chdir,
    },
    Step {
        title: "64 blocked reads hold up nobody",
        run: steps::pipes::run,
    },
    Step {
        title: "Eight processes at once, 10,000 calls each",
        run: steps::crowd::run,
    },
    Step {
        title: "As many workers as it takes, and no more",
        run: steps::workers::run,
    },
    Step {
        title: "1,000 calls made by the thread itself, their results in memory",
        run: steps::inline::batch,
    },
    Step {
        title: "fork and setresuid, which act on the thread that makes them",
        run: steps::inline::own_thread,
    },
    Step {
        title: "1,000 files opened, measured, read and closed by one message",
        run: steps::files::run,
    },
    Step {
        title: "A chain canceled, call by call",
        run: steps::control::cancel,
    },
    Step {
        title: "A read with a time limit",
        run: steps::control::timeout,
    },
    Step {
        title: "Calls in a process that only sleeps",
        run: steps::operator::call,
    },
    Step {
        title: "The output of a running program, moved to another file",
        run: steps::operator::redirect,
    },
    Step {
        title: "A receiver that never reads",
        run: steps::backpressure::run,
    },
    Step {
        title: "The calls of other programs, printed as strace prints them",
        run: steps::monitor::watch,
    },
    Step {
        title: "Calls that a script wrote down, a line of JSON each",
        run: steps::batch::run_lines,
    },
    Step {
        title: "A shell and its children, unmodified, every call a message",
        run: steps::unmodified::run,
    },
    Step {
        title: "A call that may not run on a worker",
        run: steps::refusals::refused,
    },
    Step {
        title: "A number that no system call has",
        run: steps::refusals::unknown,
    },
    Step {
        title: "A pointer into the kernel",
        run: steps::refusals::bad_pointer,
    },
    Step {
        title: "A malformed message",
        run: steps::refusals::malformed,
    },
];

fn main() -> ExitCode {
    // Whoever reads only the beginning gets that, and no complaint.
    // SAFETY: no handler is set.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("the default action");
    for (number, step) in (1..).zip(STEPS) {
        println!("{number}. {}", step.title);
        if let Err(error) = play(step) {
            println!("   WRONG: {error:#}");
            eprintln!(
                "nlcall-demo: step {number} ({}) gave a wrong answer",
                step.title
            );
            return ExitCode::FAILURE;
        }
    }
    println!("{} steps, each answer checked", STEPS.len());
    ExitCode::SUCCESS
}

fn play(step: &Step) -> Result<()> {
    let mut report = Report::default();
    // What the step rests on may panic where the machine does not do what it should.
    catch_unwind(AssertUnwindSafe(|| (step.run)(&mut report)))
        .unwrap_or_else(|_| Err(anyhow!("the step could not be carried out (see above)")))?;
    report.end()
}
