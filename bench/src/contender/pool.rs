// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use anyhow::{ensure, Result};
use blocking::{unblock, Task};
use futures_lite::future::block_on;

use super::{by_hand, Batch, Offer};
use crate::work::Work;

/// A task of the pool for each unit.
pub fn batch<W: Work>(work: Arc<W>) -> Offer<Batch> {
    let mut tasks: Vec<Task<i64>> = Vec::new();
    Ok(Box::new(move || {
        for phase in 0..work.phases() {
            if work.is_preparation(phase) {
                by_hand(&*work, phase)?;
            } else {
                run(&work, phase, &mut tasks)?;
            }
            work.conclude(phase);
        }
        Ok(())
    }))
}

fn run<W: Work>(work: &Arc<W>, phase: usize, tasks: &mut Vec<Task<i64>>) -> Result<()> {
    tasks.extend((0..work.units(phase)).map(|unit| {
        let work = work.clone();
        unblock(move || work.plain(phase, unit))
    }));
    for task in tasks.drain(..) {
        ensure!(block_on(task) >= 0, "a call of the pool failed");
    }
    Ok(())
}
