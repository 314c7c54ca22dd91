// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use super::{
    by_hand,
    inline::{calls_of, has_chains, set_addresses},
    Batch, Offer, Refusal,
};
use crate::{netlink::Channel, work::Work};

/// One message for each phase, its completions in messages that come back.
pub fn batch<W: Work>(work: Arc<W>) -> Offer<Batch> {
    let mut channel = Channel::open()?;
    if work.is_chain() && !has_chains(&channel.features) {
        return Err(Refusal::NotSupported("chains".to_owned()));
    }
    let mut phases: Vec<_> = (0..work.phases())
        .map(|phase| {
            (!work.is_preparation(phase)).then(|| {
                let calls = calls_of(&*work, phase, 0);
                (channel.submit(&calls, None), calls.len())
            })
        })
        .collect();
    Ok(Box::new(move || {
        for (number, phase) in phases.iter_mut().enumerate() {
            match phase {
                None => by_hand(&*work, number)?,
                Some((message, count)) => {
                    set_addresses(&*work, number, message);
                    channel.send(&message.bytes)?;
                    channel.complete(*count)?;
                }
            }
            work.conclude(number);
        }
        Ok(())
    }))
}
