// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use anyhow::{bail, ensure, Context, Result};
use io_uring::{squeue::Entry, IoUring};

use super::{by_hand, Batch, Offer, Refusal};
use crate::work::{Entries, Work};

/// Most entries of a ring (`IORING_MAX_ENTRIES`).
const ENTRIES_MAX: usize = 32768;

/// Entries are built beforehand and copied into the ring in each round; one system call submits them
/// and waits for all.
pub fn batch<W: Work>(work: Arc<W>) -> Offer<Batch> {
    let phases: Vec<_> = (0..work.phases())
        .map(|phase| entries_of(&*work, phase))
        .collect::<Offer<_>>()?;
    let most = phases.iter().flatten().map(Vec::len).max().unwrap_or(0);
    if most > ENTRIES_MAX {
        return Err(Refusal::NotPossible("a ring has at most 32768 entries"));
    }
    let mut ring = ring(most)?;
    work.prepare_ring(&ring)?;
    Ok(Box::new(move || {
        for (number, entries) in phases.iter().enumerate() {
            match entries {
                None => by_hand(&*work, number)?,
                Some(entries) => submit(&mut ring, entries)?,
            }
            work.conclude(number);
        }
        Ok(())
    }))
}

/// A ring that one thread uses, with completions put off until it asks for them: the cheapest
/// setting.
pub fn ring(entries: usize) -> Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(entries.next_power_of_two() as u32)
        .context("making a ring")
}

/// The entries of a phase; none where it is done by plain calls.
fn entries_of<W: Work>(work: &W, phase: usize) -> Offer<Option<Vec<Entry>>> {
    if work.is_preparation(phase) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for unit in 0..work.units(phase) {
        match work.entries(phase, unit) {
            Entries::Of(entries) => all.extend(entries),
            Entries::PlainCalls => return Ok(None),
            Entries::NotPossible(reason) => return Err(Refusal::NotPossible(reason)),
        }
    }
    for (number, entry) in all.iter_mut().enumerate() {
        *entry = entry.clone().user_data(number as u64);
    }
    Ok(Some(all))
}

fn submit(ring: &mut IoUring, entries: &[Entry]) -> Result<()> {
    // SAFETY: What the entries point to belongs to the work, which outlives the ring, and each
    // has its own memory.
    unsafe { ring.submission().push_multiple(entries) }.context("filling the ring")?;
    ring.submit_and_wait(entries.len())
        .context("io_uring_enter")?;
    let mut missing = entries.len();
    for completion in ring.completion() {
        let result = completion.result();
        if result < 0 {
            bail!("entry {}: errno {}", completion.user_data(), -result);
        }
        missing -= 1;
    }
    ensure!(missing == 0, "{missing} completions are missing");
    Ok(())
}
