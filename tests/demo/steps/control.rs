// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that are ended before they end by themselves.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use nlcall::raw::{Batch, Cancel, Chain, Completion, Outcome, Session};
use nlcall_tests::{calls, pipe::Pipe, session};

use crate::report::Report;

/// A cancel says what it found, and the calls say what became of them.
pub fn cancel(report: &mut Report) -> Result<()> {
    const RUNNING: u64 = 1;
    const WAITING: u64 = 2;

    let session = Session::open()?;
    let pipe = Pipe::new();
    let mut chain = Chain::new();
    chain.push(pipe.read_call().user_data(RUNNING));
    chain.push(calls::getpid().user_data(WAITING));
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    session.submit(batch).map_err(nlcall::Error::from)?;
    session::info_until(&session, "the read is blocked", |info| info.blocked == 1);

    let found = session.cancel(Cancel::UserData(WAITING))?;
    report.show(format_args!(
        "cancel of the call that waits for the read: {} canceled, {} interrupted",
        found.canceled, found.interrupted
    ));
    ensure!((found.canceled, found.interrupted) == (1, 0), "one waits");
    let found = session.cancel(Cancel::UserData(RUNNING))?;
    report.show(format_args!(
        "cancel of the blocked read: {} canceled, {} interrupted",
        found.canceled, found.interrupted
    ));
    ensure!((found.canceled, found.interrupted) == (0, 1), "one runs");
    let mut completions = [session.wait()?, session.wait()?];
    completions.sort_by_key(|it| it.user_data);
    let [running, waiting] = &completions;
    expect(report, running, Outcome::Interrupted, libc::EINTR)?;
    expect(report, waiting, Outcome::Canceled, libc::ECANCELED)?;

    let found = session.cancel(Cancel::All)?;
    ensure!((found.canceled, found.interrupted) == (0, 0), "{found:?}");
    pipe.fill(b"x");
    ensure!(pipe.take() == b"x", "a canceled read took the byte");
    session::assert_all_accounted_for(&session);
    report.checked("each call completed once, as the cancel said; the read took nothing");
    Ok(())
}

/// A call with a time limit.
pub fn timeout(report: &mut Report) -> Result<()> {
    const LATE: u64 = 1;
    const IN_TIME: u64 = 2;
    const LIMIT: Duration = Duration::from_millis(100);

    let session = Session::open()?;
    let (empty, full) = (Pipe::new(), Pipe::new());
    full.fill(b"x");
    let begun = Instant::now();
    let reads = [
        empty.read_call().user_data(LATE).timeout(LIMIT),
        full.read_call()
            .user_data(IN_TIME)
            .timeout(Duration::from_secs(1000)),
    ];
    session
        .submit(reads.into_iter().collect())
        .map_err(nlcall::Error::from)?;
    let mut completions = [session.wait()?, session.wait()?];
    ensure!(begun.elapsed() >= LIMIT, "the limit passed early");
    completions.sort_by_key(|it| it.user_data);
    let [late, in_time] = &completions;
    expect(report, late, Outcome::TimedOut, libc::ETIME)?;
    report.show(format_args!(
        "the other read: {:?}, {}",
        in_time.outcome, in_time.ret
    ));
    ensure!(
        (in_time.outcome, in_time.ret) == (Outcome::Ran, 1),
        "it was to read a byte"
    );
    session::assert_all_accounted_for(&session);
    report.checked("the clock, and that the read of a pipe that was not empty came to its end");
    Ok(())
}

/// Checks how a call ended.
fn expect(
    report: &mut Report,
    completion: &Completion,
    outcome: Outcome,
    errno: i32,
) -> Result<()> {
    let error = completion.result().err();
    let text = error.map_or_else(|| completion.ret.to_string(), |error| error.to_string());
    report.show(format_args!(
        "call {}: {:?}, {text}",
        completion.user_data, completion.outcome
    ));
    ensure!(
        completion.outcome == outcome && error.is_some_and(|it| it.raw() == errno),
        "it was to be {outcome:?} with error {errno}"
    );
    Ok(())
}
