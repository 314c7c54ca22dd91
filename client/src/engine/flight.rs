// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was submitted, from then on until somebody takes its output.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use nlcall_abi::Outcome;

use super::table::Key;
use crate::{raw, Errno, Error};

/// How one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    ret: i64,
    outcome: Outcome,
}

impl End {
    /// Of a call that was never begun, since nobody wants it any more.
    pub(crate) const CANCELED: Self = Self::never(Errno::CANCELED);

    pub(crate) const fn new(ret: i64, outcome: Outcome) -> Self {
        Self { ret, outcome }
    }

    /// Of a call that was never begun, because of this.
    pub(crate) const fn never(why: Errno) -> Self {
        let outcome = match why.raw() == Errno::CANCELED.raw() {
            true => Outcome::Canceled,
            false => Outcome::NotStarted,
        };
        Self::new(-(why.raw() as i64), outcome)
    }

    /// Of the call that this is the completion of.
    pub(crate) const fn of(completion: &raw::Completion) -> Self {
        Self::new(completion.ret, completion.outcome)
    }

    /// What the call returned: the value, or the error. Where it did not run to its end, the error
    /// says why not.
    pub fn result(self) -> Result<u64, Errno> {
        match (raw::result(self.ret), self.outcome) {
            // What refused it may have carried it out: see `Outcome::Refused`.
            (result, Outcome::Ran | Outcome::Refused) => result,
            (Err(errno), _) => Err(errno),
            (Ok(_), _) => Err(Errno::IO),
        }
    }

    /// How the call ended.
    pub const fn outcome(self) -> Outcome {
        self.outcome
    }

    /// Whether the call was begun, and may have had effects.
    pub const fn has_begun(self) -> bool {
        matches!(
            self.outcome,
            Outcome::Ran | Outcome::TimedOut | Outcome::Interrupted
        )
    }

    /// What it returned, as it is.
    pub(crate) const fn ret(self) -> i64 {
        self.ret
    }

    /// Whether a call that a cancel was for ended because of it.
    fn is_canceled(self) -> bool {
        matches!(self.outcome, Outcome::Canceled | Outcome::Interrupted)
    }
}

/// What can be submitted: an operation or a chain of them.
pub trait Work: Send + 'static {
    /// What comes of it.
    type Output: Send + 'static;

    /// Number of calls.
    fn len(&self) -> usize;

    /// Adds its calls to a batch, each with the `user_data` of its key. Their memory is in `self`,
    /// which is neither moved nor touched until all of them have ended. An error is that of a call
    /// which cannot be made, with its index.
    fn push_to(&mut self, keys: &[Key], batch: &mut raw::Batch) -> Result<(), Unfit>;

    /// Makes the output of the ends of the calls, all of which are over.
    ///
    /// # Safety
    ///
    /// The ends are those of its own calls, in their order, which were made as
    /// [`push_to`](Self::push_to) said or were never made.
    unsafe fn finish(self, ends: &[End]) -> Self::Output;
}

/// Why the calls of a [`Work`] are not made.
#[derive(Debug)]
pub enum Unfit {
    /// This call has an argument that no call can have, such as a path with a zero byte: it ends with
    /// this error, without being made.
    Call(usize, Errno),
    /// It was put together in a wrong way.
    Work(Error),
}

/// A [`Work`] as the engine sees it.
pub(crate) trait AnyFlight: Send + Sync {
    /// Number of calls.
    fn len(&self) -> usize;

    /// From now on it counts as with the driver, under these keys; not where it is over already.
    fn begin(&self, keys: &[Key]) -> bool;

    /// Adds its calls to a batch, after it has begun.
    fn push_to(&self, keys: &[Key], batch: &mut raw::Batch) -> Result<(), Unfit>;

    /// The driver has not taken it: it is held again, or over where it shall end.
    fn returned(&self);

    /// Its calls shall end. Returns its keys, where it is with the driver.
    fn stop_calls(&self) -> Vec<Key>;

    /// Whether its calls shall end: nobody will take the output, or somebody asked for it.
    fn shall_end(&self) -> bool;

    /// This call of it has ended.
    fn ended(&self, call: usize, end: End);

    /// None of its calls is made, since this one of them cannot be.
    fn never_made(&self, call: usize, why: Errno);

    /// It will not be handed to the driver, where it was not yet.
    fn end_held(&self);

    /// It is not known whether anything will be heard of its calls, which may go on all the same.
    fn lost(&self, why: &str);
}

/// A [`Work`] and what became of it.
///
/// The work is in memory that does not move, and no lock of it is taken between
/// [`push_to`](AnyFlight::push_to) and the end of its last call.
pub(crate) struct Flight<W: Work> {
    len: usize,
    work: Mutex<Option<W>>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// Those of its calls, while it is with the driver.
    keys: Vec<Key>,
    ends: Vec<End>,
    /// Calls that have not ended.
    missing: usize,
    /// Whether nobody will take the output.
    abandoned: bool,
    /// Whether somebody asked that its calls end. A driver that was told before it had them does not
    /// know it.
    stop: bool,
    waker: Option<Waker>,
}

enum Stage {
    /// Not with the driver.
    Held,
    /// With the driver.
    Sent,
    /// All calls have ended; the output waits.
    Over,
    /// See [`AnyFlight::lost`].
    Lost(String),
    /// The output was taken, or nobody took it.
    Gone,
}

/// What a cancel is about.
pub(crate) enum Stoppable {
    /// It was not with the driver, and will not be: it has ended.
    Held,
    /// These calls are with the driver.
    Sent(Vec<Key>),
    /// There is nothing to cancel.
    Over,
}

impl<W: Work> Flight<W> {
    pub(crate) fn new(work: W) -> Self {
        let len = work.len();
        Self {
            len,
            work: Mutex::new(Some(work)),
            state: Mutex::new(State {
                stage: Stage::Held,
                keys: Vec::new(),
                ends: vec![End::CANCELED; len],
                missing: len,
                abandoned: false,
                stop: false,
                waker: None,
            }),
        }
    }

    /// The output, where all calls have ended, and whether it is that of a cancelled call.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Result<(W::Output, bool), Error>> {
        let mut state = self.state();
        match &mut state.stage {
            Stage::Held | Stage::Sent => {
                let old = match &state.waker {
                    Some(old) if old.will_wake(waker) => None,
                    _ => state.waker.replace(waker.clone()),
                };
                // With a waker may go a task, and what that owns.
                drop(state);
                drop(old);
                Poll::Pending
            }
            Stage::Over => Poll::Ready(Ok(self.finish(state))),
            Stage::Lost(why) => {
                let why = std::mem::take(why);
                Poll::Ready(Err(Error::Lost { why }))
            }
            Stage::Gone => panic!("an InFlight was polled again after it had its output"),
        }
    }

    /// The work, where it was not handed to the driver.
    pub(crate) fn take_back(&self) -> Option<W> {
        let mut state = self.state();
        matches!(state.stage, Stage::Held).then(|| state.stage = Stage::Gone)?;
        drop(state);
        self.work().take()
    }

    /// What is to be cancelled. What was not with the driver has ended then.
    pub(crate) fn stop(&self) -> Stoppable {
        let mut state = self.state();
        match state.stage {
            Stage::Held => {
                state.stage = Stage::Over;
                Stoppable::Held
            }
            Stage::Sent => {
                state.stop = true;
                Stoppable::Sent(state.keys.clone())
            }
            Stage::Over | Stage::Lost(_) | Stage::Gone => Stoppable::Over,
        }
    }

    /// Nobody will take the output. Returns what is to be cancelled.
    pub(crate) fn abandon(&self) -> Stoppable {
        let mut state = self.state();
        state.abandoned = true;
        // With a waker may go a task, and what that owns: it is dropped after the lock.
        let _waker = state.waker.take();
        match state.stage {
            Stage::Sent => {
                let keys = state.keys.clone();
                drop(state);
                Stoppable::Sent(keys)
            }
            Stage::Held | Stage::Over => {
                drop(self.finish(state));
                Stoppable::Over
            }
            Stage::Lost(_) | Stage::Gone => {
                drop(state);
                Stoppable::Over
            }
        }
    }

    /// Makes the output, without the lock.
    fn finish(&self, mut state: MutexGuard<'_, State>) -> (W::Output, bool) {
        state.stage = Stage::Gone;
        let ends = std::mem::take(&mut state.ends);
        drop(state);
        let work = self.work().take();
        let work = work.expect("the work is there until its output is made");
        let is_canceled = ends.iter().copied().any(End::is_canceled);
        // SAFETY: they are what was reported under the keys of its calls, each of which names one
        // call for ever; those of which nothing was reported were never made.
        let output = unsafe { work.finish(&ends) };
        (output, is_canceled)
    }

    /// All calls have ended.
    fn over(&self, mut state: MutexGuard<'_, State>) {
        state.stage = Stage::Over;
        state.keys = Vec::new();
        if state.abandoned {
            // A descriptor that is in the output is closed with it.
            drop(self.finish(state));
            return;
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, except what says that there is a bug.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Option<W>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> AnyFlight for Flight<W> {
    fn len(&self) -> usize {
        self.len
    }

    fn begin(&self, keys: &[Key]) -> bool {
        let mut state = self.state();
        let is_held = matches!(state.stage, Stage::Held);
        if is_held {
            state.stage = Stage::Sent;
            state.keys = keys.to_vec();
        }
        is_held
    }

    fn push_to(&self, keys: &[Key], batch: &mut raw::Batch) -> Result<(), Unfit> {
        let mut work = self.work();
        let work = work.as_mut();
        work.expect("the work is there while it is with the driver")
            .push_to(keys, batch)
    }

    fn returned(&self) {
        let mut state = self.state();
        if !matches!(state.stage, Stage::Sent) {
            return;
        }
        state.keys = Vec::new();
        state.stage = Stage::Held;
        if state.abandoned || state.stop {
            self.over(state);
        }
    }

    fn stop_calls(&self) -> Vec<Key> {
        let mut state = self.state();
        state.stop = true;
        state.keys.clone()
    }

    fn shall_end(&self) -> bool {
        let state = self.state();
        state.abandoned || state.stop
    }

    fn ended(&self, call: usize, end: End) {
        let mut state = self.state();
        state.ends[call] = end;
        state.missing -= 1;
        if state.missing == 0 {
            self.over(state);
        }
    }

    fn never_made(&self, call: usize, why: Errno) {
        let mut state = self.state();
        state.ends[call] = End::never(why);
        self.over(state);
    }

    fn end_held(&self) {
        let state = self.state();
        if let Stage::Held = state.stage {
            self.over(state);
        }
    }

    fn lost(&self, why: &str) {
        let mut state = self.state();
        if !matches!(state.stage, Stage::Held | Stage::Sent) {
            return;
        }
        state.stage = Stage::Lost(why.to_owned());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
