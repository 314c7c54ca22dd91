// SPDX-License-Identifier: MIT OR Apache-2.0

use anyhow::{ensure, Result};
use nix::unistd::Pid;
use nlcall::raw::{Batch, Session};
use nlcall_abi::config as attr;
use nlcall_tests::{calls, config::Changed, patience, pipe::Pipe, session, threads};

use crate::report::Report;

const FAST: usize = 500;
const BLOCKED: usize = 20;

/// Besides blocked workers: the one that runs, the one that stands by, and two for calls that had
/// to wait for memory or a lock.
const OTHERS: usize = 4;

/// Calls that block get others to carry on, and who has nothing to do leaves.
pub fn run(report: &mut Report) -> Result<()> {
    let _settings = Changed::numbers([(attr::MAX_RUNNING, 1), (attr::IDLE_MS, 100)]);
    let session = Session::open()?;
    let most = busy(&session)?;
    report.show(format_args!(
        "{FAST} calls that do not block: {most} workers"
    ));
    ensure!(most <= OTHERS, "{OTHERS} are enough");

    let pipes = Pipe::several(BLOCKED);
    let reads: Batch = pipes.iter().map(Pipe::read_call).collect();
    session.submit(reads).map_err(nlcall::Error::from)?;
    session::info_until(&session, "all reads are blocked", |info| {
        info.blocked == BLOCKED as u32
    });
    let most = busy(&session)?;
    report.show(format_args!(
        "{BLOCKED} blocked reads, and {FAST} calls that do not block: {most} workers"
    ));
    let rule = BLOCKED + 1..=BLOCKED + OTHERS;
    ensure!(rule.contains(&most), "the rule is {rule:?}");

    for pipe in &pipes {
        pipe.fill(b"x");
    }
    for _ in &pipes {
        let completion = session.wait()?;
        ensure!(completion.ret == 1, "a read gave {completion:?}");
    }
    let gone = patience::holds_eventually(|| workers() == 0);
    report.show(format_args!("a while later: {} workers", workers()));
    ensure!(gone, "they are still there");
    session::assert_all_accounted_for(&session);
    report.checked("the process's threads in /proc; every call completed while the reads blocked");
    Ok(())
}

/// Workers of this process.
fn workers() -> usize {
    threads::workers(Pid::this()).len()
}

/// Executes calls that do not block, and returns the most workers that were seen.
fn busy(session: &Session) -> Result<usize> {
    let batch: Batch = (0..FAST).map(|_| calls::getpid()).collect();
    session.submit(batch).map_err(nlcall::Error::from)?;
    let mut most = 0;
    for taken in 0..FAST {
        let completion = session.wait()?;
        ensure!(
            completion.ret == i64::from(std::process::id()),
            "getpid gave {completion:?}"
        );
        if taken % 50 == 0 || taken + 1 == FAST {
            most = most.max(workers());
        }
    }
    Ok(most)
}
