// SPDX-License-Identifier: GPL-2.0-only

//! Who looks on while calls are executed: tracepoints, and those that [listen](crate::listeners).
//!
//! Whether anybody does is one word, read once for each message, and by a worker once for each
//! time that it is given calls. While somebody does, calls are executed one by one, and the loops
//! that are made for speed are passed over; so these know nothing of all this.
//!
//! A call that was executed is shown by the thread that executed it, in its own context and
//! without a lock. One that was not is shown where its completion is delivered.

use kernel::prelude::*;

use crate::{
    calls::{
        Index,
        Slot,
        Store, //
    },
    ended::Ending,
    entries::Entry,
    listeners::{
        self,
        Sight, //
    },
    reject::Rejection,
    sender,
    session::Session,
    shim,
    slots::Table,
    wire::{
        Call,
        Outcome, //
    },
};

/// Whether anybody looks on, at this moment.
#[inline]
pub(crate) fn is_on() -> bool {
    // SAFETY: The counter is a static. This is what `load()` does, which is a call out of line,
    // here made for each message.
    unsafe { shim::watched().as_ptr().read_volatile() != 0 }
}

/// A call, as it is shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) user_data: u64,
    pub(crate) nr: u32,
    pub(crate) flags: u32,
    pub(crate) args: [u64; 6],
}

impl Shown {
    /// An INLINE call, with the arguments that it has by now.
    pub(crate) fn of_entry(entry: &Entry<'_>) -> Self {
        Self {
            user_data: entry.user_data(),
            nr: entry.nr(),
            flags: entry.flags(),
            args: entry.args(),
        }
    }

    /// The call in this slot, which a worker executes with these arguments.
    pub(crate) fn of_worker(calls: &Table, index: Index, args: &[u64; 6]) -> Self {
        Self {
            args: *args,
            ..Self::of_slot(calls.store().slot(index))
        }
    }

    /// A call of workers.
    fn of_slot<C>(slot: &Slot<C>) -> Self {
        Self {
            user_data: slot.user_data(),
            nr: slot.nr(),
            flags: slot.flags(),
            args: *slot.args(),
        }
    }
}

impl From<&Call> for Shown {
    fn from(call: &Call) -> Self {
        Self {
            user_data: call.user_data,
            nr: call.nr,
            flags: call.flags,
            args: call.args,
        }
    }
}

/// Calls were accepted, from the current thread.
pub(crate) fn submitted(session: &Session, calls: impl Iterator<Item = Call>) {
    let pid = process();
    for call in calls {
        let shown = Shown::from(&call);
        // SAFETY: Six values, aligned.
        unsafe {
            shim::ffi::nlcall_trace_submit(
                session.id(),
                pid,
                shown.user_data,
                shown.nr,
                shown.flags,
                shown.args.as_ptr(),
            )
        };
        listeners::submitted(session, &call);
    }
}

/// A message of the current thread was rejected.
pub(crate) fn rejected(session: Option<&Session>, command: u8, rejection: &Rejection) {
    let text = rejection.text.as_str();
    // SAFETY: A text of that length.
    unsafe {
        shim::ffi::nlcall_trace_failed(
            session.map_or(0, Session::id),
            process(),
            u32::from(command),
            rejection.errno,
            text.as_ptr(),
            text.len() as u32,
        )
    };
    listeners::rejected(session, command, rejection);
}

/// A call that was executed while somebody looked on.
pub(crate) struct Watch {
    /// When it began, in nanoseconds of the monotonic clock.
    since: u64,
    /// How long it took; 0: it is not over.
    took: u64,
    /// For those that listen.
    sight: Option<KBox<Sight>>,
}

impl Watch {
    /// Before the current thread executes a call with these arguments.
    pub(crate) fn begin(args: &[u64; 6]) -> Self {
        let sight = if listeners::are_there() {
            Sight::before(args)
        } else {
            None
        };
        Self {
            since: sender::now_ns(),
            took: 0,
            sight,
        }
    }

    /// After that, in the same thread.
    pub(crate) fn end(mut self, args: &[u64; 6]) -> Self {
        self.took = self.took();
        if let Some(sight) = &mut self.sight {
            sight.after(args);
        }
        self
    }

    /// How long the call took, or has taken by now. At least one nanosecond.
    pub(crate) fn took(&self) -> u64 {
        match self.took {
            0 => sender::now_ns().saturating_sub(self.since).max(1),
            took => took,
        }
    }

    /// What its thread saw.
    pub(crate) fn sight(&self) -> Option<&Sight> {
        self.sight.as_deref()
    }
}

/// A call that came to its end, to be shown outside of all locks.
pub(crate) struct Ended {
    call: Shown,
    ending: Ending,
    /// `None`: it was not executed.
    watch: Option<Watch>,
}

impl Ended {
    /// The call ended so.
    pub(crate) fn new(call: Shown, ending: Ending, watch: Option<Watch>) -> Self {
        Self {
            call,
            ending,
            watch,
        }
    }

    /// Shows it.
    pub(crate) fn show(&self, session: &Session) {
        let Self {
            call,
            ending,
            watch,
        } = self;
        let watch = watch.as_ref();
        // SAFETY: Values only.
        unsafe {
            shim::ffi::nlcall_trace_complete(
                session.id(),
                call.user_data,
                call.nr,
                ending.ret,
                ending.outcome as u32,
                watch.map_or(0, Watch::took),
            )
        };
        listeners::completed(session, call, ending, watch);
    }
}

/// Calls of workers that were not executed and whose completions a message takes.
pub(crate) struct Unexecuted(KVec<Ended>);

impl Unexecuted {
    /// Room for so many. `None`: nobody looks on, or there is no memory.
    #[inline]
    pub(crate) fn new(most: u32) -> Option<Self> {
        if !is_on() {
            return None;
        }
        Some(Self(KVec::with_capacity(most as usize, GFP_KERNEL).ok()?))
    }

    /// Takes note of those that are being sent. Under the session's lock.
    pub(crate) fn note(&mut self, calls: &Table) {
        for slot in calls.sending() {
            let ending = slot.ending();
            if matches!(
                ending.outcome,
                Outcome::Ran | Outcome::TimedOut | Outcome::Interrupted
            ) {
                continue;
            }
            // There is room for all that the message takes.
            let _ = self
                .0
                .push_within_capacity(Ended::new(Shown::of_slot(slot), ending, None));
        }
    }

    /// They were delivered.
    pub(crate) fn show(self, session: &Session) {
        for ended in &self.0 {
            ended.show(session);
        }
    }
}

impl Session {
    /// The call that a worker executes with these arguments.
    pub(crate) fn shown(&self, index: Index, args: &[u64; 6]) -> Shown {
        Shown::of_worker(&self.inner().lock().calls, index, args)
    }
}

/// The process of the current thread, in the initial pid namespace.
fn process() -> u32 {
    current!().group_leader().pid() as u32
}
