// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use anyhow::{ensure, Result};
use nlcall::raw::{Batch, Session};
use nlcall_tests::{calls, memory::Memory, pipe::Pipe, session};

use crate::report::Report;

const READS: u64 = 64;
const OTHERS: u64 = 1000;

/// Blocked calls and fast ones in one session.
pub fn run(report: &mut Report) -> Result<()> {
    let session = Session::open()?;
    let pipes = Pipe::several(READS as usize);
    let memories: Vec<Memory> = pipes.iter().map(|_| Memory::zeroed(1)).collect();
    let reads = pipes.iter().zip(&memories);
    let reads = reads.map(|(pipe, memory)| calls::read(&pipe.reader, *memory));
    let batch: Batch = (0..)
        .zip(reads)
        .map(|(name, read)| read.user_data(name))
        .collect();
    session.submit(batch).map_err(nlcall::Error::from)?;
    session::info_until(&session, "all reads are blocked", |info| {
        info.blocked == READS as u32
    });
    report.show(format_args!(
        "{READS} reads of empty pipes are in flight, all of them blocked"
    ));

    let others = (READS..READS + OTHERS).map(|name| calls::getpid().user_data(name));
    session
        .submit(others.collect())
        .map_err(nlcall::Error::from)?;
    let pid = i64::from(std::process::id());
    let mut names = BTreeSet::new();
    for _ in 0..OTHERS {
        let completion = session.wait()?;
        ensure!(
            completion.user_data >= READS,
            "an empty pipe was read: {completion:?}"
        );
        ensure!(completion.ret == pid, "getpid gave {completion:?}");
        ensure!(
            names.insert(completion.user_data),
            "a second completion: {completion:?}"
        );
    }
    let blocked = session::info(&session).blocked;
    report.show(format_args!(
        "{OTHERS} getpid completed meanwhile; {blocked} reads still block"
    ));
    ensure!(blocked == READS as u32, "not all reads block any more");

    for (name, pipe) in (0..).zip(&pipes) {
        pipe.fill(&[name]);
    }
    for _ in 0..READS {
        let completion = session.wait()?;
        let name = completion.user_data;
        ensure!(
            completion.ret == 1 && name < READS,
            "a read gave {completion:?}"
        );
        ensure!(names.insert(name), "a second completion: {completion:?}");
        let byte = memories[name as usize].get()[0];
        ensure!(
            u64::from(byte) == name,
            "pipe {name} held {name}, the read brought {byte}"
        );
    }
    report.show(format_args!(
        "a byte was written to each pipe: {READS} reads completed"
    ));
    ensure!(
        session.in_flight() == 0 && session.try_wait()?.is_none(),
        "completions too many"
    );
    report.checked("each call's name and result, each pipe's byte, and nothing is left in flight");
    Ok(())
}
