// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use super::{by_hand, Batch, Offer};
use crate::work::Work;

/// One call after the other.
pub fn batch<W: Work>(work: Arc<W>) -> Offer<Batch> {
    Ok(Box::new(move || {
        for phase in 0..work.phases() {
            by_hand(&*work, phase)?;
            work.conclude(phase);
        }
        Ok(())
    }))
}
