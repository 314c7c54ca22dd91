// SPDX-License-Identifier: MIT OR Apache-2.0

//! The counters that the command reads.

use core::ptr;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::Relaxed, //
};

use crate::making::Call;
use crate::shared::{
    Capture,
    Counter,
    Shared,
    Way,
    NUMBERS,
    SHARED_LEN,
    TIMED,
    VERSION, //
};
use crate::sys;
use crate::trace;

/// Mapped from the command; null where there is none.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

fn shared() -> Option<&'static Shared> {
    // SAFETY: Mapped for the rest of the process's life, and changed only as atomics are.
    unsafe { SHARED.load(Relaxed).as_ref() }
}

/// Maps the counters. `false`: they are none of this version.
pub fn map(fd: i32) -> bool {
    let Some(address) = sys::map(fd, SHARED_LEN) else {
        return false;
    };
    let shared = ptr::with_exposed_provenance_mut::<Shared>(address as usize);
    // SAFETY: The mapping has the size of the structure, whose fields may be anything.
    if unsafe { (*shared).version } != VERSION {
        return false;
    }
    SHARED.store(shared, Relaxed);
    true
}

fn counter(shared: &Shared, nr: u64) -> &Counter {
    let index = usize::try_from(nr).unwrap_or(NUMBERS).min(NUMBERS);
    &shared.counters[index]
}

/// When a call begins, where that is of interest.
pub fn begin() -> u64 {
    match shared() {
        Some(shared) if shared.flags.load(Relaxed) & TIMED != 0 => sys::now(),
        _ => 0,
    }
}

/// What is captured of the arguments of a call.
pub fn captures(nr: u64) -> [Capture; 6] {
    let captures = usize::try_from(nr)
        .ok()
        .zip(shared())
        .and_then(|(nr, shared)| shared.captures.get(nr));
    match captures {
        Some(captures) => captures
            .each_ref()
            .map(|bits| Capture::from_bits(bits.load(Relaxed))),
        None => [Capture::None; 6],
    }
}

/// How a call is to travel.
pub fn way(nr: u64) -> Way {
    let by_worker = usize::try_from(nr)
        .ok()
        .zip(shared())
        .and_then(|(nr, shared)| shared.for_workers.get(nr));
    match by_worker {
        Some(by_worker) if by_worker.load(Relaxed) != 0 => Way::Worker,
        _ => Way::Inline,
    }
}

/// A call ended.
pub fn ended(call: &Call, way: Way, ret: i64, began: u64) {
    trace::ended(call, way, ret);
    let Some(shared) = shared() else {
        return;
    };
    let counter = counter(shared, call.nr);
    counter.calls[way as usize].fetch_add(1, Relaxed);
    if (-4095..0).contains(&ret) {
        counter.errors.fetch_add(1, Relaxed);
    }
    if began != 0 {
        let taken = sys::now().saturating_sub(began);
        counter.nanoseconds.fetch_add(taken, Relaxed);
    }
}

/// A call begins that does not come back if it succeeds.
pub fn begins(call: &Call) {
    trace::begins(call);
    if let Some(shared) = shared() {
        counter(shared, call.nr).calls[Way::Native as usize].fetch_add(1, Relaxed);
    }
}

/// Such a call came back: it failed.
pub fn failed(call: &Call, ret: i64) {
    trace::ended(call, Way::Native, ret);
    if let Some(shared) = shared() {
        counter(shared, call.nr).errors.fetch_add(1, Relaxed);
    }
}
