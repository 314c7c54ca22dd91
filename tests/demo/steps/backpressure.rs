// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use anyhow::{bail, ensure, Context, Result};
use nlcall_abi::config as attr;
use nlcall_tests::{calls, config::Changed, event::Event, patience, session, socket::RawSocket};

use crate::report::Report;

const LIMIT: u32 = 1000;
const BATCHES: u64 = 100;
const BATCH: u64 = 100;

/// A receiver that never reads costs bounded memory, is stopped by a limit, and loses nothing.
pub fn run(report: &mut Report) -> Result<()> {
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT, LIMIT)]);
    let mut socket = RawSocket::open();
    let named = |batch: u64| {
        (batch * BATCH..(batch + 1) * BATCH).map(|name| calls::getpid().user_data(name))
    };
    let mut most = 0;
    for batch in 0..BATCHES {
        socket
            .submit_unanswered(named(batch))
            .context("sending a batch")?;
        most = most.max(info(&socket)?.in_flight);
    }
    report.show(format_args!(
        "{} calls in {BATCHES} messages, nothing received: never more than {most} in flight",
        BATCHES * BATCH
    ));
    ensure!(most <= LIMIT, "the limit is {LIMIT}");

    // A batch was rejected whole, or each of its calls completes once.
    let mut rejected = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut is_once = true;
    let mut reason = String::new();
    let all_are_there = patience::holds_eventually(|| {
        for event in socket.drain().0 {
            match event {
                // Sequence numbers begin at one.
                Event::Answer(answer) if answer.errno != 0 => {
                    rejected.insert(u64::from(answer.seq) - 1);
                    if answer.is_rejection(libc::EAGAIN, "max_in_flight") {
                        reason = answer.text;
                    }
                }
                Event::Completions(list) => {
                    for result in list {
                        is_once &= seen.insert((result.user_data, result.ret));
                    }
                }
                _ => {}
            }
        }
        (seen.len() as u64 + rejected.len() as u64 * BATCH) >= BATCHES * BATCH
    });
    report.show(format_args!(
        "{} messages were rejected: {reason}",
        rejected.len()
    ));
    report.show(format_args!("then {} completions were read", seen.len()));
    ensure!(all_are_there, "calls are missing");
    ensure!(is_once, "a completion came twice");
    ensure!(
        !reason.is_empty(),
        "no rejection with EAGAIN names max_in_flight"
    );
    let pid = i64::from(std::process::id());
    let accepted = (0..BATCHES).filter(|batch| !rejected.contains(batch));
    let expected =
        accepted.flat_map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(|name| (name, pid)));
    ensure!(
        seen.into_iter().eq(expected),
        "not each call of an accepted message came"
    );

    if let Some(batch) = rejected.first() {
        socket.accept(named(*batch));
        let again = socket.completions(BATCH as usize);
        ensure!(again.iter().all(|it| it.ret == pid), "{again:?}");
        report.show("there is room again: a rejected message was sent once more, and accepted");
    }
    socket.assert_no_more_completions();
    report.checked("each call of an accepted message came once; the limit was kept, and named");
    Ok(())
}

fn info(socket: &RawSocket) -> Result<nlcall::raw::SessionInfo> {
    match session::of_port(socket.port_id()) {
        Some(info) => Ok(info),
        None => bail!("the session is not listed"),
    }
}
