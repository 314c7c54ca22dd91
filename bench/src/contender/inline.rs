// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::{atomic::Ordering, Arc};

use anyhow::Result;
use nlcall::raw::{ArgKind, CallFlags, Features};
use nlcall_abi::{flag, Call};

use super::{by_hand, Batch, Offer, Refusal};
use crate::{
    netlink::{Channel, Message, Results},
    work::Work,
};

/// A phase: its message and the memory for its results; none where it is done by hand.
struct Phase(Option<(Message, Results)>);

/// One message for each phase, its results in memory when `send` returns.
pub fn batch<W: Work>(work: Arc<W>) -> Offer<Batch> {
    let mut channel = Channel::open()?;
    if !channel.has_inline() {
        return Err(Refusal::NotSupported("INLINE with RESULTS_PTR".to_owned()));
    }
    if work.is_chain() && !has_chains(&channel.features) {
        return Err(Refusal::NotSupported("chains".to_owned()));
    }
    let phase = |phase| -> Result<Phase> {
        if work.is_preparation(phase) {
            return Ok(Phase(None));
        }
        let calls = calls_of(&*work, phase, flag::INLINE);
        let results = Results::new(calls.len())?;
        let message = channel.submit(&calls, Some(&results));
        Ok(Phase(Some((message, results))))
    };
    let mut phases: Vec<_> = (0..work.phases()).map(phase).collect::<Result<_>>()?;
    Ok(Box::new(move || {
        for (number, phase) in phases.iter_mut().enumerate() {
            match &mut phase.0 {
                None => by_hand(&*work, number)?,
                Some((message, results)) => {
                    set_addresses(&*work, number, message);
                    results.reset();
                    channel.send(&message.bytes)?;
                    if !results.complete()? {
                        return Err(channel.why_rejected());
                    }
                }
            }
            work.conclude(number);
        }
        Ok(())
    }))
}

/// The calls of a phase, with these flags.
pub fn calls_of<W: Work>(work: &W, phase: usize, flags: u32) -> Vec<Call> {
    let mut calls = Vec::new();
    for unit in 0..work.units(phase) {
        work.calls(phase, unit, &mut calls);
    }
    for (number, call) in calls.iter_mut().enumerate() {
        call.user_data = number as u64;
        call.flags |= flags;
    }
    calls
}

/// Puts into a message what is only known when its phase begins.
pub fn set_addresses<W: Work>(work: &W, phase: usize, message: &mut Message) {
    for (call, address) in work.addresses(phase).into_iter().flatten().enumerate() {
        message.set_arg(call, 1, address.load(Ordering::Relaxed));
    }
}

/// Whether the module chains calls and passes results on.
pub fn has_chains(features: &Features) -> bool {
    let kinds = [ArgKind::Result, ArgKind::Load, ArgKind::OutPtr];
    features.call_flags.contains(CallFlags::LINK)
        && kinds
            .into_iter()
            .all(|kind| features.supports_arg_kind(kind))
}
