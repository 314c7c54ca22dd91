// SPDX-License-Identifier: MIT OR Apache-2.0

use anyhow::{ensure, Result};
use nlcall::raw::Session;
use nlcall_tests::{calls, process::Child, session};

use crate::report::Report;

const PROCESSES: usize = 8;
const CALLS: u64 = 10_000;
const BATCH: u64 = 500;

/// Many processes at once; nothing is lost and nothing comes twice.
pub fn run(report: &mut Report) -> Result<()> {
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            Child::fork(|channel| {
                // Everybody begins when everybody is there.
                channel.get();
                channel.put(completions_accounted_for());
            })
        })
        .collect();
    children.iter().for_each(|child| child.channel().put(0));
    let mut total = 0;
    for child in &mut children {
        let count = child.channel().try_get().unwrap_or(0);
        report.show(format_args!(
            "process {}: {count} calls, {count} completions",
            child.pid()
        ));
        ensure!(
            count == CALLS,
            "process {} accounts for {count} of {CALLS}",
            child.pid()
        );
        child.succeed();
        total += count;
    }
    report.checked(format_args!(
        "each of {total} names came back once, with the process's own id as the result"
    ));
    Ok(())
}

/// Makes the calls and returns how many of them had exactly one completion, and a right one.
fn completions_accounted_for() -> u64 {
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    let mut seen = vec![false; CALLS as usize];
    for first in (0..CALLS).step_by(BATCH as usize) {
        session::submit(&session, first, (0..BATCH).map(|_| calls::getpid()));
        // Half of it stays in flight, so that batches overlap.
        let keep = if first + BATCH < CALLS {
            BATCH as usize / 2
        } else {
            0
        };
        while session.in_flight() > keep {
            let completion = session.wait().expect("a call is in flight");
            let before = std::mem::replace(&mut seen[completion.user_data as usize], true);
            assert!(!before && completion.ret == pid, "{completion:?}");
        }
    }
    session::assert_all_accounted_for(&session);
    seen.iter().filter(|seen| **seen).count() as u64
}
