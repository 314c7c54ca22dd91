// SPDX-License-Identifier: GPL-2.0-only

//! Calls that a worker takes out of the queue at once.
//!
//! Between two calls of a burst the worker takes no lock: one word says which of them it has not
//! begun, and which one it executes. Whoever holds the session's lock can take back what has not
//! begun (another worker is to carry on, or a call is cancelled), take over what has ended, and
//! find out whether a certain call is the one that runs, which then cannot change before the
//! worker has been to the lock.
//!
//! ```text
//! word:  asked | current (6 bits) | pending (32 bits, one for each call)
//! ```

use core::cell::UnsafeCell;

use crate::calls::{
    Calls,
    Index,
    Started,
    Store, //
};

/// Most calls of a burst.
pub const MOST: u32 = 32;

/// Bits of the calls that have not begun.
const PENDING: u64 = u32::MAX as u64;
/// Where the number of the running call is, from 1 on; 0: none.
const CURRENT: u32 = 32;
const CURRENT_MASK: u64 = 0x3f << CURRENT;
/// The running call was asked to stop: the worker begins no other.
const ASKED: u64 = 1 << 63;

/// A word that several threads change. What was written before a change is seen after it.
pub trait Word {
    /// Its value.
    fn load(&self) -> u64;
    /// A guess at its value, for an exchange.
    fn peek(&self) -> u64;
    /// Makes it `new` if it is `old`; otherwise says what it is.
    fn exchange(&self, old: u64, new: u64) -> Result<(), u64>;
}

/// Set of calls of a burst, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u32);

impl Set {
    /// The first `count` calls.
    pub fn first(count: u32) -> Self {
        Self(((1_u64 << count) - 1) as u32)
    }

    /// The call at this place alone.
    pub fn one(at: u32) -> Self {
        Self(1 << at)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes out the first one.
    pub fn pop(&mut self) -> Option<u32> {
        let at = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (at < MOST).then_some(at)
    }

    /// Takes out the last one.
    pub fn pop_last(&mut self) -> Option<u32> {
        let at = 31_u32.checked_sub(self.0.leading_zeros())?;
        self.0 &= !(1 << at);
        Some(at)
    }
}

/// What a worker has done of its burst.
pub struct Progress<W>(W);

/// The progress at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Not begun.
    pub pending: Set,
    /// Begun, and possibly ended, but then nothing was begun since.
    pub current: Set,
}

impl Moment {
    fn of(word: u64) -> Self {
        let number = (word & CURRENT_MASK) >> CURRENT;
        Self {
            pending: Set((word & PENDING) as u32),
            current: Set(((1_u64 << number) >> 1) as u32),
        }
    }
}

impl<W: Word> Progress<W> {
    /// No burst; `word` is 0.
    pub fn new(word: W) -> Self {
        Self(word)
    }

    /// A burst of `count` calls begins, none of which has begun. By the worker, under the lock.
    pub fn deal(&self, count: u32) {
        self.update(|_| u64::from(Set::first(count).0));
    }

    /// The place of the next call that the worker executes, which has begun now. By the worker.
    #[inline]
    pub fn next(&self) -> Option<u32> {
        let mut word = self.0.peek();
        loop {
            let pending = word & PENDING;
            if pending == 0 || word & ASKED != 0 {
                return None;
            }
            let at = pending.trailing_zeros();
            let rest = pending & (pending - 1);
            let new = rest | u64::from(at + 1) << CURRENT;
            match self.0.exchange(word, new) {
                Ok(()) => return Some(at),
                Err(now) => word = now,
            }
        }
    }

    /// Takes back the call at this place, unless it has begun. Under the lock.
    pub fn withdraw(&self, at: u32) -> bool {
        let bit = 1 << at;
        self.update(|word| word & !bit) & bit != 0
    }

    /// Takes back all that have not begun. Says which, and what the worker is at. Under the lock.
    pub fn recall(&self) -> Moment {
        Moment::of(self.update(|word| word & !PENDING))
    }

    /// If the worker executes the call at this place, it begins no other before it has been to the
    /// lock. Under the lock.
    pub fn ask(&self, at: u32) -> bool {
        let current = u64::from(at + 1) << CURRENT;
        let asked = |word| word & CURRENT_MASK == current;
        asked(self.update(|word| if asked(word) { word | ASKED } else { word }))
    }

    /// The burst is over. Says what has not begun, and what began last. By the worker, under the
    /// lock.
    pub fn close(&self) -> Moment {
        Moment::of(self.update(|_| 0))
    }

    /// Changes the word; says what it was.
    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let mut word = self.0.load();
        loop {
            let new = change(word);
            if new == word {
                return word;
            }
            match self.0.exchange(word, new) {
                Ok(()) => return word,
                Err(now) => word = now,
            }
        }
    }
}

/// A call of a burst: what its worker needs of its slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// The arguments.
    pub args: [u64; 6],
    /// What it returned.
    pub ret: i64,
    /// System call number.
    pub nr: u32,
    /// Its slot.
    pub index: Index,
}

/// The burst of one worker.
///
/// # Invariants
///
/// `entries` is written by the worker alone: all of it under the lock, before [`Progress::deal`];
/// and the `ret` of the call that runs, before the next [`Progress::next`]. So a call that has
/// ended is not written any more until the worker has been to the lock.
pub struct Burst<W> {
    progress: Progress<W>,
    entries: UnsafeCell<[Entry; MOST as usize]>,
}

// SAFETY: By the type invariant, together with what the `unsafe` functions ask for, nobody reads
// what somebody else may be writing.
unsafe impl<W: Sync> Sync for Burst<W> {}

impl<W: Word> Burst<W> {
    /// No burst; `word` is 0.
    pub fn new(word: W) -> Self {
        Self {
            progress: Progress::new(word),
            entries: UnsafeCell::new([Entry::default(); MOST as usize]),
        }
    }

    /// How far the worker is.
    pub fn progress(&self) -> &Progress<W> {
        &self.progress
    }

    /// The calls, to fill them in.
    ///
    /// # Safety
    ///
    /// The caller is the worker and holds the lock, and no burst is on.
    #[expect(clippy::mut_from_ref, reason = "the caller's promise makes it unique")]
    unsafe fn entries(&self) -> &mut [Entry; MOST as usize] {
        // SAFETY: By the caller's promise nobody else looks: others do so under the lock.
        unsafe { &mut *self.entries.get() }
    }

    /// A call of the burst that is on.
    ///
    /// # Safety
    ///
    /// The caller is the worker.
    unsafe fn entry(&self, at: u32) -> Entry {
        // SAFETY: Nobody but the worker writes it.
        unsafe { *self.place(at) }
    }

    /// The slot of a call, and what it returned where it has ended.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and the call has ended or was taken back.
    unsafe fn result(&self, at: u32) -> (Index, i64) {
        let place = self.place(at);
        // SAFETY: By the caller's promise and the type invariant nobody writes it.
        unsafe { ((*place).index, (*place).ret) }
    }

    /// The call at this place returned `ret`.
    ///
    /// # Safety
    ///
    /// The caller is the worker, and [`Progress::next`] gave it `at` last.
    pub unsafe fn ended(&self, at: u32, ret: i64) {
        // SAFETY: As in `entry`: others look at a call only when another has begun after it.
        unsafe { (*self.place(at)).ret = ret };
    }

    /// The system call number and the arguments of a call.
    ///
    /// # Safety
    ///
    /// The caller is the worker, and [`Progress::next`] gave it `at`.
    pub unsafe fn call(&self, at: u32) -> (u32, &[u64; 6]) {
        // SAFETY: These are not written while a burst is on.
        unsafe { ((*self.place(at)).nr, &(*self.place(at)).args) }
    }

    fn place(&self, at: u32) -> *mut Entry {
        // Not through a reference to the array, of which others may be reading a part.
        let first = self.entries.get().cast::<Entry>();
        first.wrapping_add((at % MOST) as usize)
    }
}

/// What the session knows of the burst of one worker, under its lock.
pub struct Hand<C> {
    /// The calls that are `Taken`.
    dealt: Set,
    /// What they took along; as long as the burst is on.
    context: Option<C>,
}

impl<C> Default for Hand<C> {
    fn default() -> Self {
        Self {
            dealt: Set::default(),
            context: None,
        }
    }
}

impl<C: Clone + PartialEq> Hand<C> {
    /// Begins a burst of the worker `id` with calls of the queue, `most` at most. Says what they
    /// took along; none: they cannot go together.
    ///
    /// # Safety
    ///
    /// The caller is the worker, without a burst, and holds the lock.
    pub unsafe fn take<S: Store<C>>(
        &mut self,
        calls: &mut Calls<C, S>,
        burst: &Burst<impl Word>,
        id: u32,
        most: u32,
    ) -> Option<C> {
        // SAFETY: By the caller's promise.
        let entries = unsafe { burst.entries() };
        let (count, context) = calls.take(id, &mut entries[..most.min(MOST) as usize])?;
        burst.progress.deal(count);
        self.dealt = Set::first(count);
        self.context = Some(context.clone());
        Some(context)
    }

    /// Takes the call at this place out of the burst, unless it has begun.
    pub fn withdraw(&mut self, burst: &Burst<impl Word>, at: u32) -> bool {
        let withdrawn = burst.progress.withdraw(at);
        if withdrawn {
            self.dealt = self.dealt.without(Set::one(at));
        }
        withdrawn
    }

    /// Lets the calls that have not begun wait in the queue again, and those that have ended be
    /// done. The worker goes on with the one that it is in.
    pub fn recall<S: Store<C>>(&mut self, calls: &mut Calls<C, S>, burst: &Burst<impl Word>) {
        if self.dealt.is_empty() {
            return;
        }
        let now = burst.progress.recall();
        self.account(calls, burst, now.pending, now.current);
        self.dealt = now.current;
    }

    /// The worker is through with the burst; what has not begun waits again.
    ///
    /// # Safety
    ///
    /// The caller is the worker and holds the lock.
    pub unsafe fn close<S: Store<C>>(&mut self, calls: &mut Calls<C, S>, burst: &Burst<impl Word>) {
        let now = burst.progress.close();
        self.account(calls, burst, now.pending, Set::default());
        self.dealt = Set::default();
        self.context = None;
        calls.close_burst();
    }

    /// The same, but the call that began last is not through: it goes on alone.
    ///
    /// # Safety
    ///
    /// The caller is the worker and holds the lock.
    pub unsafe fn single_out<S: Store<C>>(
        &mut self,
        calls: &mut Calls<C, S>,
        burst: &Burst<impl Word>,
        id: u32,
    ) -> Option<Started<C>> {
        let mut now = burst.progress.close();
        self.account(calls, burst, now.pending, now.current);
        self.dealt = Set::default();
        calls.close_burst();
        // SAFETY: By the caller's promise.
        let entry = unsafe { burst.entry(now.current.pop()?) };
        Some(calls.single_out(&entry, id, self.context.take()?))
    }

    /// Accounts for the calls that have not begun, and were taken back, and for those that have
    /// ended: all others but `current`.
    fn account<S: Store<C>>(
        &mut self,
        calls: &mut Calls<C, S>,
        burst: &Burst<impl Word>,
        mut pending: Set,
        current: Set,
    ) {
        let Some(context) = &self.context else {
            return;
        };
        let mut ended = self.dealt.without(pending).without(current);
        calls.finish_taken(core::iter::from_fn(|| {
            let at = ended.pop_last()?;
            // SAFETY: The lock is held, with `calls`, and the call has ended.
            Some(unsafe { burst.result(at) })
        }));
        while let Some(at) = pending.pop_last() {
            // SAFETY: The lock is held, with `calls`, and the call was taken back.
            let (index, _) = unsafe { burst.result(at) };
            calls.give_back(index, context);
        }
    }
}
