// SPDX-License-Identifier: GPL-2.0-only

//! The calls of a session: where each one is, from acceptance to delivery.
//!
//! `docs/lifecycle.md` is the norm that this file carries out. A call occupies one slot, which is
//! taken when its message is accepted and given back when its completion was delivered. Nothing in
//! between allocates, so a completion cannot fail.
//!
//! ```text
//! accept -> Accepted -> queue -> Queued -> start -> Running -> finish -> Done -> send, sent -> (free)
//!    |                           ^ ^   |     ^  |                      ^           |
//!    |                 give_back | |  take   |  | interrupt            |         (Kept)
//!    |                           | |   v     |  v resume               |
//!    |                           Taken ---------- finish_taken --------+
//!    |                             | |   Interrupted                   |
//!    +----> Chained -- its turn ---+                                   |
//!              |                                                       |
//!              +-- the chain broke --> Doomed -> end_broken -----------+
//! ```
//!
//! A chain is in the queue with its first call, its head. The calls behind wait in the state
//! *Chained*, each linked to the one before; when a call ends, the rest of its chain takes its
//! place at the front of the queue, with the next call as its head.
//!
//! A worker takes several calls at once where nothing binds them to others or to a time: a
//! [burst](crate::burst), in which it goes from one to the next without the session's lock.

use core::num::NonZeroUsize;

use zerocopy::FromBytes;

use crate::{
    answer::{
        Answer,
        Bare, //
    },
    burst::Entry,
    chain::{
        self,
        Reference,
        Source,
        Sources,
        LINKS, //
    },
    ended::{
        self,
        Ending,
        Stop, //
    },
    parcels::{
        self,
        Number, //
    },
    parse::Output,
    reject::{
        errno,
        reject,
        Rejection, //
    },
    wire::{
        flag,
        Call,
        CallResult,
        Outcome,
        Restart, //
    },
};

/// Number of a slot.
pub type Index = u32;

/// No slot.
const NIL: Index = Index::MAX;

/// In `flags` of a slot: seccomp was asked about the call, and answered.
const ANSWERED: u32 = 1 << 6;
/// In `flags` of a slot: the call ends as the slot says, without being made.
const SETTLED: u32 = 1 << 7;

const _: () = assert!(flag::KNOWN < ANSWERED);

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The slot holds no call.
    Free,
    /// The message was accepted; the sender has not yet returned to user mode.
    Accepted,
    /// Waits for the call before it in its chain.
    Chained,
    /// Waits for a worker.
    Queued,
    /// The worker of this number took it with others: it waits, runs, or has ended.
    Taken(u32),
    /// The worker of this number executes it.
    Running(u32),
    /// The worker of this number was interrupted and will issue it again.
    Interrupted(u32),
    /// Its chain broke before it: it will end without having started.
    Doomed,
    /// Ended; its completion waits for room, or is being handed to the socket.
    Done,
    /// Its completion was delivered, and a later call of its chain needs its result.
    Kept,
}

/// One call. `C` is what it takes along from its submission: the credentials.
///
/// What delivery looks at comes first, so that it touches half of the slot.
#[repr(C)]
pub struct Slot<C> {
    /// The slot behind this one in the list that it is in.
    next: Index,
    /// The one before, in the queue; the call before, where it is `Chained`; its place in the
    /// burst, where it is `Taken`.
    prev: Index,
    state: State,
    /// The rest of its chain.
    chain: Index,
    nr: u32,
    user_data: u64,
    accepted_at: u64,
    ret: i64,
    outcome: Outcome,
    restart: Restart,
    /// Call flags, those that concern a worker; [`ANSWERED`] and [`SETTLED`].
    flags: u8,
    /// Whether it was asked to stop before it ended.
    stop: Stop,
    /// How many arguments of calls that have not started are its result.
    holds: u16,
    /// Where its arguments come from.
    sources: Sources,
    /// The argument that is the address of its output; 6 and more: none.
    output: u8,
    /// A worker can execute it without a look at the table before or after, with the context
    /// that most calls have.
    plain: bool,
    /// What the calls of its message have in common, until its completion has gone.
    parcel: Number,
    /// None while the call waits: that of most, see [`Contexts`].
    context: Option<C>,
    timeout_ns: u64,
    args: [u64; 6],
}

impl<C> Slot<C> {
    /// An unused slot.
    pub fn new() -> Self {
        Self {
            next: NIL,
            prev: NIL,
            state: State::Free,
            chain: NIL,
            nr: 0,
            user_data: 0,
            accepted_at: 0,
            ret: 0,
            outcome: Outcome::Ran,
            restart: Restart::None,
            flags: 0,
            stop: Stop::No,
            holds: 0,
            sources: Sources::default(),
            output: 6,
            plain: false,
            parcel: parcels::NONE,
            context: None,
            timeout_ns: 0,
            args: [0; 6],
        }
    }

    /// Where the call is.
    pub fn state(&self) -> State {
        self.state
    }

    /// System call number.
    pub fn nr(&self) -> u32 {
        self.nr
    }

    /// The sender's name for the call.
    pub fn user_data(&self) -> u64 {
        self.user_data
    }

    /// The arguments, as far as they are known.
    pub fn args(&self) -> &[u64; 6] {
        &self.args
    }

    /// What the calls of its message have in common.
    pub fn parcel(&self) -> Number {
        self.parcel
    }

    /// The outputs of a call that has ended, in the area of its message.
    pub fn outputs(&self) -> impl Iterator<Item = Output> + '_ {
        let outputs = self.sources.iter();
        outputs.map(|(arg, _)| Output::of(self.args[arg]))
    }

    /// Bytes of these.
    fn output_len(&self) -> u32 {
        self.outputs().map(|output| output.len).sum()
    }

    /// When it was accepted, in the caller's clock.
    pub fn accepted_at(&self) -> u64 {
        self.accepted_at
    }

    /// Call flags, those that concern a worker.
    pub fn flags(&self) -> u32 {
        u32::from(self.flags)
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        Ending {
            ret: self.ret,
            outcome: self.outcome,
            restart: self.restart,
        }
    }

    /// The completion.
    pub fn result(&self) -> CallResult {
        CallResult {
            user_data: self.user_data,
            ret: self.ret,
            outcome: self.outcome as u16,
            restart: self.restart as u16,
            ..CallResult::default()
        }
    }

    #[inline]
    fn has(&self, flag: u32) -> bool {
        u32::from(self.flags) & flag != 0
    }

    /// How the call ends, where that is settled before it starts.
    fn instead(&self) -> Option<Ending> {
        self.has(SETTLED).then_some(Ending {
            ret: self.ret,
            outcome: self.outcome,
            restart: self.restart,
        })
    }

    /// Settles how the call ends.
    fn settle(&mut self, ending: Ending) {
        self.flags |= (ANSWERED | SETTLED) as u8;
        self.plain = false;
        self.ret = ending.ret;
        self.outcome = ending.outcome;
        self.restart = ending.restart;
    }

    /// The first argument, where it is known.
    fn first_arg(&self) -> Option<u64> {
        let known = self.sources.iter().all(|(arg, _)| arg != 0);
        known.then_some(self.args[0])
    }

    /// Takes in a call that is accepted.
    #[inline]
    fn fill(&mut self, call: &Call, parcel: Number, context: Option<C>, now: u64) {
        self.state = State::Accepted;
        self.chain = NIL;
        self.nr = call.nr;
        self.user_data = call.user_data;
        self.accepted_at = now;
        self.flags = call.flags as u8;
        self.stop = Stop::No;
        self.parcel = parcel;
        self.context = context;
        self.timeout_ns = call.timeout_ns;
        self.args = call.args;
    }
}

impl<C> Default for Slot<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory for slots. Grows outside of this file; numbers stay valid when it does.
pub trait Store<C> {
    /// How many slots there are.
    fn count(&self) -> u32;
    /// The slot of this number. `index` is less than [`count`](Store::count).
    fn slot(&self, index: Index) -> &Slot<C>;
    /// The slot of this number, to change it.
    fn slot_mut(&mut self, index: Index) -> &mut Slot<C>;
    /// A call with this parcel was accepted.
    fn hold(&mut self, _parcel: Number) {}
    /// It has ended.
    fn ended(&mut self, _parcel: Number) {}
    /// Its completion has gone.
    fn gone(&mut self, _parcel: Number) {}
}

/// What `ret` of a slot is while a thread asks about the call. An end of the call is none.
const fn asked_by(asker: u32) -> i64 {
    i64::MIN | asker as i64
}

/// A list of slots, oldest first; the links are in the slots.
#[derive(Debug)]
pub struct List {
    head: Index,
    tail: Index,
    len: u32,
}

impl List {
    /// The empty list.
    pub const fn new() -> Self {
        Self {
            head: NIL,
            tail: NIL,
            len: 0,
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `index`, whose `next` is [`NIL`].
    fn push<C>(&mut self, slots: &mut impl Store<C>, index: Index) {
        match self.tail {
            NIL => self.head = index,
            tail => slots.slot_mut(tail).next = index,
        }
        self.tail = index;
        self.len += 1;
    }

    fn push_front<C>(&mut self, slots: &mut impl Store<C>, index: Index) {
        slots.slot_mut(index).next = self.head;
        if self.head == NIL {
            self.tail = index;
        }
        self.head = index;
        self.len += 1;
    }

    fn pop<C>(&mut self, slots: &impl Store<C>) -> Option<Index> {
        let index = self.head;
        if index == NIL {
            return None;
        }
        self.head = slots.slot(index).next;
        if self.head == NIL {
            self.tail = NIL;
        }
        self.len -= 1;
        Some(index)
    }

    /// Appends all that `later` holds.
    fn append<C>(&mut self, slots: &mut impl Store<C>, later: List) {
        if later.is_empty() {
            return;
        }
        match self.tail {
            NIL => self.head = later.head,
            tail => slots.slot_mut(tail).next = later.head,
        }
        self.tail = later.tail;
        self.len += later.len;
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

/// The heads that wait for a worker: a list that each of them can be taken out of.
#[derive(Debug)]
struct Queue {
    list: List,
    /// How many of them drain.
    drains: u32,
}

impl Queue {
    const fn new() -> Self {
        Self {
            list: List::new(),
            drains: 0,
        }
    }

    fn head(&self) -> Option<Index> {
        (self.list.head != NIL).then_some(self.list.head)
    }

    fn push_front<C>(&mut self, slots: &mut impl Store<C>, index: Index) {
        let next = self.list.head;
        let slot = slots.slot_mut(index);
        slot.state = State::Queued;
        slot.prev = NIL;
        self.drains += u32::from(slot.has(flag::DRAIN));
        if next != NIL {
            slots.slot_mut(next).prev = index;
        }
        self.list.push_front(slots, index);
    }

    fn remove<C>(&mut self, slots: &mut impl Store<C>, index: Index) {
        let slot = slots.slot(index);
        let (prev, next) = (slot.prev, slot.next);
        self.drains -= u32::from(slot.has(flag::DRAIN));
        self.link(slots, prev, next);
        self.list.len -= 1;
    }

    /// Puts the head `new` where `old` is.
    fn replace<C>(&mut self, slots: &mut impl Store<C>, old: Index, new: Index) {
        let slot = slots.slot(old);
        let (prev, next) = (slot.prev, slot.next);
        self.drains -= u32::from(slot.has(flag::DRAIN));
        let slot = slots.slot_mut(new);
        slot.state = State::Queued;
        self.drains += u32::from(slot.has(flag::DRAIN));
        self.link(slots, prev, new);
        self.link(slots, new, next);
    }

    /// Makes `next` follow `prev`; either may be an end.
    fn link<C>(&mut self, slots: &mut impl Store<C>, prev: Index, next: Index) {
        match prev {
            NIL => self.list.head = next,
            prev => slots.slot_mut(prev).next = next,
        }
        match next {
            NIL => self.list.tail = prev,
            next => slots.slot_mut(next).prev = prev,
        }
    }

    /// Moves heads from the front of `from` to the back, up to `most` and to the first that was
    /// cancelled meanwhile. Says how many.
    fn take<C>(&mut self, slots: &mut impl Store<C>, from: &mut List, most: u32) -> u32 {
        let first = from.head;
        let (mut last, mut next, mut count) = (self.list.tail, first, 0);
        while count < most && next != NIL {
            let slot = slots.slot_mut(next);
            if slot.stop != Stop::No {
                break;
            }
            slot.state = State::Queued;
            slot.prev = last;
            self.drains += u32::from(slot.has(flag::DRAIN));
            last = next;
            next = slot.next;
            count += 1;
        }
        if count == 0 {
            return 0;
        }
        match self.list.tail {
            NIL => self.list.head = first,
            tail => slots.slot_mut(tail).next = first,
        }
        slots.slot_mut(last).next = NIL;
        self.list.tail = last;
        self.list.len += count;
        from.head = next;
        from.len -= count;
        if next == NIL {
            from.tail = NIL;
        }
        count
    }
}

/// What the calls that wait took along from their submissions.
///
/// Most messages come with the same, so that one reference does for many calls.
struct Contexts<C> {
    /// That of the calls whose slot names none.
    shared: Option<C>,
    /// How many calls those are.
    sharers: u32,
}

impl<C: Clone + PartialEq> Contexts<C> {
    const fn new() -> Self {
        Self {
            shared: None,
            sharers: 0,
        }
    }

    /// What the slots of `count` calls with this context name.
    #[inline]
    fn enter(&mut self, context: &C, count: u32) -> Option<C> {
        match &self.shared {
            Some(shared) if shared != context => return Some(context.clone()),
            Some(_) => {}
            None => self.shared = Some(context.clone()),
        }
        self.sharers += count;
        None
    }

    /// The context of `count` calls that wait no longer, whose slots named `named`.
    #[inline]
    fn leave(&mut self, named: Option<C>, count: u32) -> Option<C> {
        if named.is_some() {
            return named;
        }
        self.sharers -= count;
        if self.sharers == 0 {
            self.shared.take()
        } else {
            self.shared.clone()
        }
    }

    /// The same, where nobody needs it.
    #[inline]
    fn drop(&mut self, named: Option<C>) {
        if named.is_none() {
            self.sharers -= 1;
            if self.sharers == 0 {
                self.shared = None;
            }
        }
    }
}

/// A message on its way into the table.
///
/// `places` is room for the slots of its last calls, by their place in the message, for arguments
/// that refer to them: as many as the message has calls, at most [`REACH`](crate::wire::REACH);
/// none where no argument refers to a call.
pub struct Incoming<'a> {
    /// The calls that begin a chain, those that are alone included; the rest hang on them.
    heads: List,
    /// The head of the chain that the next call belongs to.
    head: Index,
    /// The last call of that chain so far; [`NIL`]: the next call is a head.
    tail: Index,
    places: &'a mut [Index],
    parcel: Number,
}

impl<'a> Incoming<'a> {
    /// An empty one, whose calls have this parcel.
    pub fn new(places: &'a mut [Index], parcel: Number) -> Self {
        Self {
            heads: List::new(),
            head: NIL,
            tail: NIL,
            places,
            parcel,
        }
    }

    /// What was accepted: the calls that begin a chain.
    pub fn heads(self) -> List {
        self.heads
    }

    /// The slot of the call at this place of the message.
    fn slot_at(&self, place: usize) -> Index {
        let at = place.checked_rem(self.places.len());
        let slot = at.and_then(|at| self.places.get(at));
        slot.copied().unwrap_or(NIL)
    }
}

/// A call that a worker is to execute.
pub struct Started<C> {
    /// Its slot.
    pub index: Index,
    /// System call number.
    pub nr: u32,
    /// The arguments; those that `loads` names are addresses of them, or places in the area of its
    /// message.
    pub args: [u64; 6],
    /// Arguments that are to be read from memory, or lie in the area.
    pub loads: Sources,
    /// What the calls of its message have in common.
    pub parcel: Number,
    /// Not all arguments were known when the call was accepted.
    pub refers: bool,
    /// Call flags.
    pub flags: u32,
    /// Time limit in nanoseconds; 0: none.
    pub timeout_ns: u64,
    /// How it ends, where it is not to be made.
    pub instead: Option<Ending>,
    /// What it took along from its submission.
    pub context: C,
}

/// What comes next of a message whose sender is under seccomp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consultation {
    /// The call in this slot is to be asked about.
    Ask(Index, Bare),
    /// A call was queued with its chain, after all of it was asked about.
    Queued,
    /// A call ended: it was cancelled or refused.
    Ended,
    /// Nothing: the message has no more calls.
    Over,
}

impl<C> Started<C> {
    /// Whether an end of this kind is a success, for the rest of the chain and for a completion
    /// that is left out then.
    pub fn succeeded(&self, ending: &Ending) -> bool {
        self.flags & (LINKS | flag::SKIP_SUCCESS) == 0
            || ended::succeeded(ending, self.nr, |arg| self.args[arg])
    }
}

/// Which calls to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those with this `user_data`.
    UserData(u64),
    /// Those whose first argument is this descriptor, and is known.
    Fd(i32),
    /// Those of this system call number.
    Nr(u32),
    /// All.
    All,
}

impl Which {
    /// What a CANCEL says, which names exactly one of these.
    pub fn named(
        user_data: Option<u64>,
        fd: Option<i32>,
        nr: Option<u32>,
        all: bool,
    ) -> Result<Self, Rejection> {
        let named = [
            user_data.map(Self::UserData),
            fd.map(Self::Fd),
            nr.map(Self::Nr),
            all.then_some(Self::All),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(which), None) => Ok(which),
            _ => Err(reject!(
                EINVAL,
                "name exactly one of USER_DATA, FD, NR and ALL"
            )),
        }
    }

    fn selects<C>(self, slot: &Slot<C>) -> bool {
        match self {
            Which::UserData(user_data) => slot.user_data == user_data,
            Which::Fd(fd) => {
                slot.first_arg().is_some_and(|arg| arg as i32 == fd)
                    && crate::policy::takes_descriptor_first(slot.nr)
            }
            Which::Nr(nr) => slot.nr == nr,
            Which::All => true,
        }
    }
}

/// Counts since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls accepted.
    pub accepted: u64,
    /// Completions delivered.
    pub delivered: u64,
    /// Calls rejected with their message.
    pub rejected: u64,
    /// Calls that succeeded and left their completion out, as they were asked to.
    pub skipped: u64,
    /// Calls that were cancelled before they started, by a CANCEL or with their chain.
    pub canceled: u64,
    /// Calls that ran into their time limit.
    pub timed_out: u64,
    /// INLINE calls that were executed.
    pub inline: u64,
}

/// The calls of one session.
///
/// # Invariants
///
/// - A slot is in exactly one place: in `free` when `Free`, in the list that its sender's task work
///   holds when `Accepted`, in `queue` when `Queued`, with its worker when `Taken`, `Running` or
///   `Interrupted`, in `doomed` when `Doomed`, in `done` when `Done`, behind `prev` when `Chained`.
/// - A call has a context as long as it waits: when it is `Accepted`, `Chained`, `Queued` or
///   `Doomed`. `contexts` counts those whose slot names none.
/// - `chain` leads from a call that has not ended to the next one of its chain, which is `Chained`.
/// - `holds` counts the arguments of calls that have not started and not ended which are the
///   result of this one. It is 0 for a slot that is `Free`, and not for one that is `Kept`.
pub struct Calls<C, S> {
    slots: S,
    /// Unused slots: the head of a list.
    free: Index,
    unused: u32,
    queue: Queue,
    doomed: List,
    done: List,
    /// How many of those at the front of `done` are being handed to the socket.
    sending: u32,
    contexts: Contexts<C>,
    /// Workers that have calls.
    running: u32,
    /// Those of them that have a burst.
    bursts: u32,
    /// Calls that are `Taken`.
    taken: u32,
    /// What runs is a draining chain: nothing else starts.
    draining: bool,
    kept: u32,
    /// Completions that wait, with outputs.
    outputs: u32,
    totals: Totals,
    _context: core::marker::PhantomData<C>,
}

impl<C: Clone + PartialEq, S: Store<C>> Calls<C, S> {
    /// No calls. All slots of `slots` are unused.
    pub fn new(slots: S) -> Self {
        let mut calls = Self {
            slots,
            free: NIL,
            unused: 0,
            queue: Queue::new(),
            doomed: List::new(),
            done: List::new(),
            sending: 0,
            contexts: Contexts::new(),
            running: 0,
            bursts: 0,
            taken: 0,
            draining: false,
            kept: 0,
            outputs: 0,
            totals: Totals::default(),
            _context: core::marker::PhantomData,
        };
        calls.adopt(0);
        calls
    }

    /// Takes the slots from number `from` on into use, the lowest first.
    fn adopt(&mut self, from: u32) {
        for index in (from..self.slots.count()).rev() {
            self.set_free(index);
        }
    }

    fn set_free(&mut self, index: Index) {
        let slot = self.slots.slot_mut(index);
        slot.state = State::Free;
        slot.next = self.free;
        self.free = index;
        self.unused += 1;
    }

    /// Lets `add` append unused slots to the memory, then takes them into use.
    pub fn grow<R>(&mut self, add: impl FnOnce(&mut S) -> R) -> R {
        let from = self.slots.count();
        let result = add(&mut self.slots);
        self.adopt(from);
        result
    }

    /// The memory.
    pub fn store(&self) -> &S {
        &self.slots
    }

    /// The memory, for what it keeps besides slots.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.slots
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        self.slots.count()
    }

    /// Slots that hold no call.
    pub fn unused(&self) -> u32 {
        self.unused
    }

    /// Slots that hold a call, those of calls whose completion was delivered included.
    pub fn used(&self) -> u32 {
        self.slots.count() - self.unused
    }

    /// Calls accepted whose completion was not yet delivered.
    pub fn in_flight(&self) -> u32 {
        self.used() - self.kept
    }

    /// Calls that wait for a worker, or for a turn of the one that took them; of a chain, one.
    pub fn queued(&self) -> u32 {
        self.queue.list.len + self.taken.saturating_sub(self.bursts)
    }

    /// Calls that a worker could start now: those of the queue, unless a draining one holds them
    /// up.
    #[inline]
    pub fn ready(&self) -> u32 {
        let held_up = self.draining
            || self.queue.drains > 0 && self.running > 0 && {
                let head = self.queue.head();
                head.is_some_and(|head| self.slots.slot(head).has(flag::DRAIN))
            };
        if held_up {
            0
        } else {
            self.queue.list.len
        }
    }

    /// Whether the running calls are a draining chain's: then it is one call.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Calls that are being executed: as many as workers have calls.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Completions that wait for room.
    pub fn undelivered(&self) -> u32 {
        self.done.len
    }

    /// Counts since the session began.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Counts INLINE calls, which need no slot.
    #[inline(always)]
    pub fn count(&mut self, more: Totals) {
        let totals = &mut self.totals;
        totals.accepted += more.accepted;
        totals.delivered += more.delivered;
        totals.skipped += more.skipped;
        totals.canceled += more.canceled;
        totals.timed_out += more.timed_out;
        totals.inline += more.inline;
    }

    /// Counts `count` calls that were rejected with their message.
    pub fn reject(&mut self, count: usize) {
        self.totals.rejected += count as u64;
    }

    /// The calls in flight.
    pub fn iter(&self) -> impl Iterator<Item = &Slot<C>> {
        (0..self.slots.count())
            .map(|index| self.slots.slot(index))
            .filter(|slot| !matches!(slot.state, State::Free | State::Kept))
    }

    /// Accepts one call, which [`Submit`](crate::parse::Submit) has checked, at the place `place`
    /// of its message. The caller made sure that enough slots are [`unused`](Calls::unused) for
    /// the whole message; `false`: none was.
    #[must_use]
    pub fn accept(
        &mut self,
        incoming: &mut Incoming<'_>,
        place: usize,
        call: &Call,
        context: &C,
        now: u64,
    ) -> bool {
        let index = self.free;
        if index == NIL {
            return false;
        }
        let named = self.contexts.enter(context, 1);
        let slot = self.slots.slot_mut(index);
        self.free = slot.next;
        self.unused -= 1;
        self.totals.accepted += 1;
        slot.next = NIL;
        slot.fill(call, incoming.parcel, named, now);
        let alone = incoming.tail == NIL && call.arg_kinds == 0 && slot.context.is_none();
        let is_bound = incoming.parcel != parcels::NONE;
        slot.plain = alone && call.flags == 0 && call.timeout_ns == 0 && !is_bound;
        if is_bound {
            self.slots.hold(incoming.parcel);
        }
        if call.arg_kinds != 0 {
            self.refer(incoming, index, call);
        }
        if incoming.tail == NIL {
            incoming.heads.push(&mut self.slots, index);
            incoming.head = index;
        } else {
            self.join(incoming, index);
        }
        incoming.tail = if call.flags & LINKS != 0 { index } else { NIL };
        if !incoming.places.is_empty() {
            let at = place % incoming.places.len();
            incoming.places[at] = index;
        }
        true
    }

    /// Accepts calls, as [`accept`](Calls::accept) would, from entries of a message in which nothing
    /// but number and arguments counts, each `size` bytes long. Says how many there was room for.
    #[inline(never)]
    pub fn accept_plain(
        &mut self,
        incoming: &mut Incoming<'_>,
        entries: &[u8],
        size: NonZeroUsize,
        context: &C,
        now: u64,
    ) -> u32 {
        let most = self.unused.min((entries.len() / size) as u32);
        if most == 0 {
            return 0;
        }
        let named = self.contexts.enter(context, most);
        // The list of unused slots becomes that of the message: their links stay.
        let (first, mut next, mut last) = (self.free, self.free, NIL);
        for entry in entries.chunks_exact(size.get()).take(most as usize) {
            let slot = self.slots.slot_mut(next);
            if let Ok((call, _)) = Call::read_from_prefix(entry) {
                slot.args = call.args;
                slot.user_data = call.user_data;
                slot.nr = call.nr;
            }
            slot.state = State::Accepted;
            slot.chain = NIL;
            slot.accepted_at = now;
            slot.flags = 0;
            slot.stop = Stop::No;
            slot.timeout_ns = 0;
            slot.plain = named.is_none();
            if named.is_some() {
                slot.context = named.clone();
            }
            last = next;
            next = slot.next;
        }
        self.free = next;
        self.unused -= most;
        self.totals.accepted += u64::from(most);
        self.slots.slot_mut(last).next = NIL;
        let heads = List {
            head: first,
            tail: last,
            len: most,
        };
        incoming.heads.append(&mut self.slots, heads);
        most
    }

    /// Joins a call to the chain of those before it.
    fn join(&mut self, incoming: &Incoming<'_>, index: Index) {
        let slot = self.slots.slot_mut(index);
        slot.state = State::Chained;
        slot.prev = incoming.tail;
        // A draining call in a chain makes the chain drain.
        let drains = slot.flags & flag::DRAIN as u8;
        self.slots.slot_mut(incoming.tail).chain = index;
        self.slots.slot_mut(incoming.head).flags |= drains;
    }

    /// Notes what the arguments of a call refer to. Where that is the result of an earlier call,
    /// its slot stays until the call starts. Where it is a field of its output, the address is
    /// known already.
    fn refer(&mut self, incoming: &Incoming<'_>, index: Index, call: &Call) {
        let mut sources = Sources::default();
        let mut args = call.args;
        for (arg, value) in args.iter_mut().enumerate() {
            match Reference::of(call.arg_kinds, arg, *value) {
                Reference::Value => {}
                Reference::Result(place) => {
                    let earlier = incoming.slot_at(place);
                    self.slots.slot_mut(earlier).holds += 1;
                    sources.set(arg, Source::Result);
                    *value = u64::from(earlier);
                }
                Reference::Load(load) => {
                    let earlier = self.slots.slot(incoming.slot_at(load.call));
                    let output = usize::from(earlier.output);
                    let at = earlier.args[output];
                    let mut outputs = earlier.sources.outputs().iter();
                    let (source, at) = match outputs.any(|(arg, _)| arg == output) {
                        true => (Source::LoadArea(load.width), Output::of(at).offset.into()),
                        false => (Source::Load(load.width), at),
                    };
                    sources.set(arg, source);
                    *value = at.wrapping_add(u64::from(load.offset));
                }
                Reference::Data => sources.set(arg, Source::Data),
                Reference::Out => sources.set(arg, Source::Out),
            }
        }
        let slot = self.slots.slot_mut(index);
        slot.args = args;
        slot.sources = sources;
        slot.output = chain::output(call.arg_kinds).map_or(6, |arg| arg as u8);
    }

    /// Puts the calls of a later message behind those of an earlier one.
    pub fn append(&mut self, earlier: &mut List, later: List) {
        earlier.append(&mut self.slots, later);
    }

    /// Takes the first head of a list of messages out and puts the rest of its chain in its place.
    fn pop_accepted(&mut self, accepted: &mut List) -> Option<Index> {
        let index = accepted.pop(&self.slots)?;
        let rest = self.slots.slot(index).chain;
        if rest != NIL {
            self.inherit(index, rest);
            self.slots.slot_mut(rest).state = State::Accepted;
            accepted.push_front(&mut self.slots, rest);
        }
        Some(index)
    }

    /// `rest` becomes the head of the chain that `index` was the head of, and drains as it did.
    fn inherit(&mut self, index: Index, rest: Index) {
        let drains = self.slots.slot(index).flags & flag::DRAIN as u8;
        self.slots.slot_mut(rest).flags |= drains;
    }

    /// Takes back up to `most` calls of a message that is rejected after all.
    pub fn retract(&mut self, accepted: &mut List, most: u32) {
        for _ in 0..most {
            let Some(index) = self.pop_accepted(accepted) else {
                return;
            };
            let slot = self.slots.slot_mut(index);
            let (named, parcel) = (slot.context.take(), slot.parcel);
            self.contexts.drop(named);
            self.release(index);
            self.slots.ended(parcel);
            self.vacate(index);
            self.totals.accepted -= 1;
        }
    }

    /// Goes on with the calls of a message about each of which seccomp is asked, on behalf of the
    /// thread `asker`. `last` is the call that was asked about last, as [`Calls::answer`] gave it.
    pub fn consult(
        &mut self,
        accepted: &mut List,
        asker: u32,
        last: Option<Index>,
    ) -> Consultation {
        if accepted.is_empty() {
            return Consultation::Over;
        }
        let head = accepted.head;
        if self.slots.slot(head).stop != Stop::No {
            self.end_canceled(accepted);
            return Consultation::Ended;
        }
        let mut next = last.unwrap_or(head);
        loop {
            let slot = self.slots.slot_mut(next);
            let is_known = slot.sources.is_empty() && slot.parcel == parcels::NONE;
            if !slot.has(ANSWERED) && is_known {
                slot.ret = asked_by(asker);
                let (nr, args) = (slot.nr, slot.args);
                return Consultation::Ask(next, Bare { nr, args });
            }
            if !slot.has(ANSWERED) {
                // The filter came after the message: nobody can say yet what it would see.
                slot.settle(Ending::not_started(errno::EOPNOTSUPP));
            }
            if slot.chain == NIL {
                break;
            }
            next = slot.chain;
        }
        let slot = self.slots.slot(head);
        match slot.instead() {
            Some(ending) if slot.chain == NIL && !slot.has(flag::DRAIN) => {
                let (nr, args) = (slot.nr, slot.args);
                accepted.pop(&self.slots);
                let succeeded = ended::succeeded(&ending, nr, |arg| args[arg]);
                self.end(head, ending, succeeded);
                Consultation::Ended
            }
            _ => {
                self.queue.take(&mut self.slots, accepted, 1);
                Consultation::Queued
            }
        }
    }

    /// Takes in the answer about a call that [`Calls::consult`] named. Gives the call back, unless
    /// it was cancelled meanwhile: then its slot may be another's.
    pub fn answer(&mut self, index: Index, asker: u32, answer: Answer) -> Option<Index> {
        let slot = self.slots.slot_mut(index);
        let waits = matches!(slot.state, State::Accepted | State::Chained);
        if !waits || slot.ret != asked_by(asker) {
            return None;
        }
        match answer {
            Answer::Make(call) => {
                slot.flags |= ANSWERED as u8;
                (slot.nr, slot.args) = (call.nr, call.args);
            }
            Answer::End(ending) => slot.settle(ending),
        }
        Some(index)
    }

    /// Queues up to `most` calls of a message, in its order. Those cancelled meanwhile complete;
    /// where `instead` is given, all do, in that way, but for those about which that is settled.
    pub fn queue(&mut self, accepted: &mut List, most: u32, instead: Option<Ending>) {
        let mut left = most;
        while left > 0 {
            if let Some(ending) = instead {
                let Some(index) = self.pop_accepted(accepted) else {
                    return;
                };
                let ending = self.slots.slot(index).instead().unwrap_or(ending);
                self.end(index, ending, false);
            } else {
                left -= self.queue.take(&mut self.slots, accepted, left);
                if left == 0 || accepted.is_empty() {
                    return;
                }
                self.end_canceled(accepted);
            }
            left -= 1;
        }
    }

    /// Ends the first head of a list of messages, which was cancelled.
    fn end_canceled(&mut self, accepted: &mut List) {
        let Some(index) = accepted.pop(&self.slots) else {
            return;
        };
        let slot = self.slots.slot(index);
        let (rest, goes_on) = (slot.chain, slot.has(flag::HARDLINK));
        if rest != NIL && goes_on {
            self.inherit(index, rest);
            self.slots.slot_mut(rest).state = State::Accepted;
            accepted.push_front(&mut self.slots, rest);
        } else {
            self.doom(rest);
        }
        self.end(index, Ending::canceled(), false);
    }

    /// Hands the call that waited longest to a worker, unless a draining one holds it up. The
    /// caller has [`settled`](Calls::end_broken) what was to be ended before.
    #[inline]
    pub fn start(&mut self, worker: u32) -> Option<Started<C>> {
        let index = self.queue.head()?;
        let slot = self.slots.slot(index);
        let drains = slot.has(flag::DRAIN);
        if self.draining || drains && self.running > 0 {
            return None;
        }
        self.draining = drains;
        let refers = !slot.sources.is_empty();
        if refers {
            self.take_results(index);
        }
        self.queue.remove(&mut self.slots, index);
        self.running += 1;
        let slot = self.slots.slot_mut(index);
        slot.state = State::Running(worker);
        Some(Started {
            index,
            nr: slot.nr,
            args: slot.args,
            loads: slot.sources,
            parcel: slot.parcel,
            refers,
            flags: u32::from(slot.flags),
            timeout_ns: slot.timeout_ns,
            instead: slot.instead(),
            context: self.contexts.leave(slot.context.take(), 1)?,
        })
    }

    /// Hands the calls that waited longest to a worker as a burst, `entries.len()` at most: those
    /// before the first one that needs more than to be executed. Says how many, and their context.
    /// The caller has [`settled`](Calls::end_broken) what was to be ended before.
    #[inline(never)]
    pub fn take(&mut self, worker: u32, entries: &mut [Entry]) -> Option<(u32, C)> {
        if self.draining {
            return None;
        }
        let (mut next, mut count) = (self.queue.list.head, 0);
        for entry in entries {
            if next == NIL {
                break;
            }
            let slot = self.slots.slot_mut(next);
            if !slot.plain {
                break;
            }
            entry.args = slot.args;
            entry.nr = slot.nr;
            entry.index = next;
            slot.state = State::Taken(worker);
            slot.prev = count;
            next = slot.next;
            count += 1;
        }
        if count == 0 {
            return None;
        }
        let context = self.contexts.leave(None, count)?;
        self.queue.link(&mut self.slots, NIL, next);
        self.queue.list.len -= count;
        self.running += 1;
        self.bursts += 1;
        self.taken += count;
        Some((count, context))
    }

    /// Calls of a burst came to their end, given with what they returned, the last one first.
    #[inline]
    pub fn finish_taken(&mut self, ended: impl Iterator<Item = (Index, i64)>) {
        let mut list = List::new();
        for (index, ret) in ended {
            let slot = self.slots.slot_mut(index);
            slot.ret = ret;
            slot.outcome = Outcome::Ran;
            slot.restart = Restart::None;
            slot.state = State::Done;
            slot.next = list.head;
            if list.head == NIL {
                list.tail = index;
            }
            list.head = index;
            list.len += 1;
        }
        self.taken -= list.len;
        self.done.append(&mut self.slots, list);
    }

    /// The call of a burst that did not begin waits again, before all others.
    pub fn give_back(&mut self, index: Index, context: &C) {
        let named = self.contexts.enter(context, 1);
        let slot = self.slots.slot_mut(index);
        slot.plain = named.is_none();
        slot.context = named;
        self.taken -= 1;
        self.queue.push_front(&mut self.slots, index);
    }

    /// The burst of a worker is over, and each of its calls accounted for.
    pub fn close_burst(&mut self) {
        self.running -= 1;
        self.bursts -= 1;
    }

    /// The call that the worker executes in a burst goes on as one that it
    /// [`started`](Calls::start).
    pub fn single_out(&mut self, entry: &Entry, worker: u32, context: C) -> Started<C> {
        self.slots.slot_mut(entry.index).state = State::Running(worker);
        self.taken -= 1;
        self.running += 1;
        Started {
            index: entry.index,
            nr: entry.nr,
            args: entry.args,
            loads: Sources::default(),
            parcel: parcels::NONE,
            refers: false,
            flags: 0,
            timeout_ns: 0,
            instead: None,
            context,
        }
    }

    /// Fills in the arguments of a call that are results of earlier ones, and lets go of those.
    fn take_results(&mut self, index: Index) {
        let slot = self.slots.slot(index);
        let (sources, mut args) = (slot.sources, slot.args);
        for (arg, source) in sources.iter() {
            if source == Source::Result {
                args[arg] = self.slots.slot(args[arg] as Index).ret as u64;
            }
        }
        self.release(index);
        let slot = self.slots.slot_mut(index);
        slot.args = args;
        slot.sources = sources.loads();
    }

    /// Lets go of the calls whose results the arguments of a call are.
    fn release(&mut self, index: Index) {
        let slot = self.slots.slot_mut(index);
        let (sources, args) = (core::mem::take(&mut slot.sources), slot.args);
        for (arg, source) in sources.iter() {
            if source != Source::Result {
                continue;
            }
            let earlier = args[arg] as Index;
            let slot = self.slots.slot_mut(earlier);
            slot.holds -= 1;
            if slot.holds == 0 && slot.state == State::Kept {
                self.kept -= 1;
                self.set_free(earlier);
            }
        }
    }

    /// The running call was interrupted and its worker will issue it again.
    pub fn interrupt(&mut self, index: Index) {
        let slot = self.slots.slot_mut(index);
        if let State::Running(worker) = slot.state {
            slot.state = State::Interrupted(worker);
        }
    }

    /// The interrupted call runs again.
    pub fn resume(&mut self, index: Index) {
        let slot = self.slots.slot_mut(index);
        if let State::Interrupted(worker) = slot.state {
            slot.state = State::Running(worker);
        }
    }

    /// Whether the running call was asked to stop.
    pub fn stop(&self, index: Index) -> Stop {
        self.slots.slot(index).stop
    }

    /// The running call ended. Where that was a success or its link is a hard one, the rest of its
    /// chain is the next that [`start`](Calls::start) finds; otherwise it is to be
    /// [`settled`](Calls::end_broken).
    #[inline]
    pub fn finish(&mut self, index: Index, ending: Ending, succeeded: bool) {
        self.running -= 1;
        self.draining = false;
        let slot = self.slots.slot(index);
        let rest = slot.chain;
        if rest != NIL {
            if succeeded || slot.has(flag::HARDLINK) {
                self.inherit(index, rest);
                self.queue.push_front(&mut self.slots, rest);
            } else {
                self.doom(rest);
            }
        }
        self.end(index, ending, succeeded);
    }

    /// The call has ended. Its chain is none of its business any more.
    fn end(&mut self, index: Index, ending: Ending, succeeded: bool) {
        let slot = self.slots.slot_mut(index);
        if !matches!(
            slot.state,
            State::Taken(_) | State::Running(_) | State::Interrupted(_)
        ) {
            self.contexts.drop(slot.context.take());
        }
        slot.chain = NIL;
        slot.ret = ending.ret;
        slot.outcome = ending.outcome;
        slot.restart = ending.restart;
        let skips = succeeded && slot.has(flag::SKIP_SUCCESS);
        if slot.parcel != parcels::NONE {
            self.end_bound(index, ending.outcome == Outcome::Ran && !skips);
        } else if !slot.sources.is_empty() {
            self.release(index);
        }
        match ending.outcome {
            Outcome::Canceled => self.totals.canceled += 1,
            Outcome::TimedOut => self.totals.timed_out += 1,
            _ => {}
        }
        if skips {
            self.totals.skipped += 1;
            self.vacate(index);
        } else {
            let slot = self.slots.slot_mut(index);
            slot.state = State::Done;
            slot.next = NIL;
            self.done.push(&mut self.slots, index);
        }
    }

    /// The same for a call with a parcel; `has_outputs`: those that it has are delivered.
    #[cold]
    fn end_bound(&mut self, index: Index, has_outputs: bool) {
        let slot = self.slots.slot(index);
        let parcel = slot.parcel;
        let outputs = match has_outputs {
            true => slot.sources.outputs(),
            false => Sources::default(),
        };
        self.release(index);
        self.slots.slot_mut(index).sources = outputs;
        self.outputs += u32::from(!outputs.is_empty());
        self.slots.ended(parcel);
    }

    /// The call has no completion any more: its slot is unused, or kept for its result.
    fn vacate(&mut self, index: Index) {
        let slot = self.slots.slot_mut(index);
        let parcel = core::mem::replace(&mut slot.parcel, parcels::NONE);
        if parcel != parcels::NONE {
            self.outputs -= u32::from(!core::mem::take(&mut slot.sources).is_empty());
            self.slots.gone(parcel);
        }
        let slot = self.slots.slot_mut(index);
        if slot.holds > 0 {
            slot.state = State::Kept;
            self.kept += 1;
        } else {
            self.set_free(index);
        }
    }

    /// The chain broke before `rest`, if there is any.
    fn doom(&mut self, rest: Index) {
        if rest != NIL {
            let slot = self.slots.slot_mut(rest);
            slot.state = State::Doomed;
            slot.next = NIL;
            self.doomed.push(&mut self.slots, rest);
        }
    }

    /// Ends up to `most` calls whose chain broke before them. `false`: none is left.
    #[inline]
    pub fn end_broken(&mut self, most: u32) -> bool {
        !self.doomed.is_empty() && self.end_some_broken(most)
    }

    fn end_some_broken(&mut self, most: u32) -> bool {
        for _ in 0..most {
            let Some(index) = self.doomed.pop(&self.slots) else {
                break;
            };
            let rest = self.slots.slot(index).chain;
            if rest != NIL {
                self.slots.slot_mut(rest).state = State::Doomed;
                self.doomed.push_front(&mut self.slots, rest);
            }
            self.end(index, Ending::canceled(), false);
        }
        !self.doomed.is_empty()
    }

    /// Cancels the calls that have not started and that `which` selects, among `most` slots from
    /// number `from` on. Says how many: they are done, or will be as soon as they are queued. As a
    /// failed one would, each of them breaks its chain, unless its link is a hard one: then there
    /// is something to [`settle`](Calls::end_broken).
    ///
    /// `withdraw` takes the call at a place out of the burst of a worker, unless it has begun.
    pub fn cancel_waiting(
        &mut self,
        which: Which,
        from: Index,
        most: u32,
        mut withdraw: impl FnMut(u32, u32) -> bool,
    ) -> u32 {
        let mut canceled = 0;
        for index in self.range(from, most) {
            let slot = self.slots.slot_mut(index);
            match slot.state {
                State::Accepted | State::Doomed if slot.stop == Stop::No && which.selects(slot) => {
                    slot.stop = Stop::Asked;
                }
                State::Taken(worker) if which.selects(slot) && withdraw(worker, slot.prev) => {
                    self.taken -= 1;
                    self.end(index, Ending::canceled(), false);
                }
                State::Queued if which.selects(slot) => self.cancel_head(index),
                State::Chained if which.selects(slot) => self.cancel_chained(index),
                _ => continue,
            }
            canceled += 1;
        }
        canceled
    }

    fn cancel_head(&mut self, index: Index) {
        let slot = self.slots.slot(index);
        let (rest, goes_on) = (slot.chain, slot.has(flag::HARDLINK));
        if rest != NIL && goes_on {
            self.inherit(index, rest);
            self.queue.replace(&mut self.slots, index, rest);
        } else {
            self.queue.remove(&mut self.slots, index);
            self.doom(rest);
        }
        self.end(index, Ending::canceled(), false);
    }

    fn cancel_chained(&mut self, index: Index) {
        let slot = self.slots.slot(index);
        let (before, rest, goes_on) = (slot.prev, slot.chain, slot.has(flag::HARDLINK));
        if rest != NIL && goes_on {
            self.slots.slot_mut(before).chain = rest;
            self.slots.slot_mut(rest).prev = before;
        } else {
            self.slots.slot_mut(before).chain = NIL;
            self.doom(rest);
        }
        self.end(index, Ending::canceled(), false);
    }

    /// Cancels the running calls that `which` selects, among `most` slots from number `from` on,
    /// and tells `interrupt` the worker of each, and its place in a burst, which may not be what
    /// runs: `false`. Says how many; one that was asked to stop before does not count again.
    pub fn cancel_running(
        &mut self,
        which: Which,
        from: Index,
        most: u32,
        mut interrupt: impl FnMut(u32, Option<u32>) -> bool,
    ) -> u32 {
        let mut interrupted = 0;
        for index in self.range(from, most) {
            let slot = self.slots.slot_mut(index);
            let (worker, place) = match slot.state {
                State::Running(worker) | State::Interrupted(worker) => (worker, None),
                State::Taken(worker) => (worker, Some(slot.prev)),
                _ => continue,
            };
            if slot.stop == Stop::No && which.selects(slot) && interrupt(worker, place) {
                slot.stop = Stop::Asked;
                interrupted += 1;
            }
        }
        interrupted
    }

    fn range(&self, from: Index, most: u32) -> core::ops::Range<Index> {
        from..from.saturating_add(most).min(self.slots.count())
    }

    /// The time limit of the call that `worker` executes in slot `index` has passed. Says whether
    /// that stops it: it may have ended, or been cancelled before.
    pub fn time_out(&mut self, index: Index, worker: u32) -> bool {
        let slot = self.slots.slot_mut(index);
        let runs =
            matches!(slot.state, State::Running(id) | State::Interrupted(id) if id == worker);
        let stops = runs && slot.timeout_ns != 0 && slot.stop == Stop::No;
        if stops {
            slot.stop = Stop::TimedOut;
        }
        stops
    }

    /// Ends up to `most` of the calls that wait for a worker, and those that are to be settled.
    /// `false`: none is left.
    pub fn end_queued(&mut self, most: u32, ending: Ending) -> bool {
        for _ in 0..most {
            let Some(index) = self.queue.head() else {
                return self.end_broken(most);
            };
            let rest = self.slots.slot(index).chain;
            if rest == NIL {
                self.queue.remove(&mut self.slots, index);
            } else {
                self.inherit(index, rest);
                self.queue.replace(&mut self.slots, index, rest);
            }
            self.end(index, ending, false);
        }
        true
    }

    /// Takes up to `most` completions for delivery, oldest first, and shows each to `put`. They
    /// come back with [`unsent`](Calls::unsent) or are over with [`sent`](Calls::sent).
    pub fn send(&mut self, most: u32, mut put: impl FnMut(&Slot<C>, &S)) -> u32 {
        self.sending = most.min(self.done.len);
        let mut index = self.done.head;
        for _ in 0..self.sending {
            let slot = self.slots.slot(index);
            put(slot, &self.slots);
            index = slot.next;
        }
        self.sending
    }

    /// The calls whose completions [`send`](Calls::send) took.
    pub fn sending(&self) -> impl Iterator<Item = &Slot<C>> {
        let mut index = self.done.head;
        (0..self.sending).map(move |_| {
            let slot = self.slots.slot(index);
            index = slot.next;
            slot
        })
    }

    /// How many completions may go together, `most` at most, and the bytes of their outputs: no
    /// more than `room`, each completion taking `size` of that, and `with_outputs` of them having
    /// any; the first one goes in any case.
    pub fn sendable(&self, most: u32, with_outputs: u32, size: u32, room: u32) -> (u32, u32) {
        let most = most.min(self.done.len);
        if self.outputs == 0 {
            return (most, 0);
        }
        let (mut count, mut bytes, mut having) = (0, 0, 0);
        let mut index = self.done.head;
        while count < most {
            let slot = self.slots.slot(index);
            let len = slot.output_len();
            having += u32::from(len > 0);
            let fits = having <= with_outputs && (count + 1) * size + bytes + len <= room;
            if count > 0 && !fits {
                break;
            }
            count += 1;
            bytes += len;
            index = slot.next;
        }
        (count, bytes)
    }

    /// The completions taken by [`send`](Calls::send) were delivered: shows each to `note`, and
    /// their slots are unused.
    pub fn sent(&mut self, note: impl FnMut(&Slot<C>)) {
        self.totals.delivered += u64::from(self.sending);
        let sent = core::mem::take(&mut self.sending);
        self.drop_done(sent, note);
    }

    fn drop_done(&mut self, count: u32, mut note: impl FnMut(&Slot<C>)) {
        let (first, mut next, mut last, mut unused) = (self.done.head, self.done.head, NIL, 0);
        while unused < count && next != NIL {
            let slot = self.slots.slot_mut(next);
            if slot.holds > 0 || slot.parcel != parcels::NONE {
                break;
            }
            note(slot);
            slot.state = State::Free;
            last = next;
            next = slot.next;
            unused += 1;
        }
        if unused > 0 {
            // Their links stay: they are unused in the order in which they came.
            self.slots.slot_mut(last).next = self.free;
            self.free = first;
            self.unused += unused;
            self.done.head = next;
            self.done.len -= unused;
            if next == NIL {
                self.done.tail = NIL;
            }
        }
        for _ in unused..count {
            let Some(index) = self.done.pop(&self.slots) else {
                break;
            };
            note(self.slots.slot(index));
            self.vacate(index);
        }
    }

    /// The completions taken by [`send`](Calls::send) were not delivered: they wait again, before
    /// all others.
    pub fn unsent(&mut self) {
        self.sending = 0;
    }

    /// Nobody can receive completions any more: drops up to `most` of those that wait. `false`:
    /// none is left.
    pub fn discard(&mut self, most: u32) -> bool {
        let count = most.min(self.done.len);
        self.sending = self.sending.saturating_sub(count);
        self.drop_done(count, |_| {});
        !self.done.is_empty()
    }
}

const _: () = {
    // What a completion says when nothing was ever written into it.
    assert!(Outcome::Ran as u16 == 0);
    assert!(Restart::None as u16 == 0);
    // All flags fit.
    assert!(flag::KNOWN <= u8::MAX as u32);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reject::errno,
        wire::{
            ArgKind,
            ARG_KIND_BITS, //
        },
    };

    impl<C> Store<C> for Vec<Slot<C>> {
        fn count(&self) -> u32 {
            self.len() as u32
        }

        fn slot(&self, index: Index) -> &Slot<C> {
            &self[index as usize]
        }

        fn slot_mut(&mut self, index: Index) -> &mut Slot<C> {
            &mut self[index as usize]
        }
    }

    type Table = Calls<std::rc::Rc<()>, Vec<Slot<std::rc::Rc<()>>>>;

    fn table(slots: usize) -> Table {
        Calls::new((0..slots).map(|_| Slot::new()).collect())
    }

    /// A `getppid` whose arguments say which call it is.
    fn call(user_data: u64) -> Call {
        Call {
            user_data,
            nr: 110,
            args: [user_data, 0, 0, 0, 0, 0],
            ..Call::default()
        }
    }

    fn flagged(user_data: u64, flags: u32) -> Call {
        Call {
            flags,
            ..call(user_data)
        }
    }

    fn accept(table: &mut Table, calls: &[Call]) -> List {
        let mut places = vec![NIL; calls.len()];
        let mut incoming = Incoming::new(&mut places, parcels::NONE);
        for (place, call) in calls.iter().enumerate() {
            assert!(table.accept(&mut incoming, place, call, &Default::default(), 0));
        }
        incoming.heads()
    }

    fn submit(table: &mut Table, calls: &[Call]) {
        let mut list = accept(table, calls);
        table.queue(&mut list, u32::MAX, None);
        assert!(list.is_empty());
    }

    /// Cancels in the whole table: how many waited, and how many ran.
    fn cancel(table: &mut Table, which: Which, mut interrupt: impl FnMut(u32)) -> (u32, u32) {
        let interrupt = |worker, _| {
            interrupt(worker);
            true
        };
        let waited = table.cancel_waiting(which, 0, u32::MAX, |_, _| false);
        let found = (waited, table.cancel_running(which, 0, u32::MAX, interrupt));
        while table.end_broken(1) {}
        found
    }

    const RAN: Ending = Ending::ran(7);
    const FAILED: Ending = Ending::ran(-2);

    fn start(table: &mut Table, user_data: u64) -> Index {
        let started = table.start(0).expect("a call can start");
        assert_eq!(started.args[0], user_data);
        started.index
    }

    fn run(table: &mut Table, user_data: u64, ending: Ending) {
        let index = start(table, user_data);
        table.finish(index, ending, ending.ret >= 0);
        while table.end_broken(2) {}
    }

    fn delivered(table: &mut Table) -> Vec<(u64, i64)> {
        let mut all = Vec::new();
        table.send(u32::MAX, |slot, _| {
            all.push((slot.user_data(), slot.result().ret))
        });
        table.sent(|_| {});
        all
    }

    const CANCELED: i64 = -(errno::ECANCELED as i64);

    #[test]
    fn a_cancel_names_exactly_one_thing() {
        assert_eq!(
            Which::named(Some(5), None, None, false),
            Ok(Which::UserData(5))
        );
        assert_eq!(Which::named(None, Some(-1), None, false), Ok(Which::Fd(-1)));
        assert_eq!(Which::named(None, None, Some(0), false), Ok(Which::Nr(0)));
        assert_eq!(Which::named(None, None, None, true), Ok(Which::All));
        for (user_data, nr, all) in [
            (None, None, false),
            (Some(5), Some(5), false),
            (None, Some(0), true),
        ] {
            let rejection = Which::named(user_data, None, nr, all).unwrap_err();
            assert_eq!(rejection.errno, errno::EINVAL);
        }
    }

    #[test]
    fn undelivered_completions_keep_their_order() {
        let mut table = table(6);
        submit(&mut table, &[0, 1, 2, 3, 4, 5].map(call));
        for user_data in 0..6 {
            run(&mut table, user_data, RAN);
        }
        let mut order = Vec::new();
        table.send(4, |_, _| {});
        table.unsent();
        table.send(2, |slot, _| order.push(slot.user_data()));
        table.sent(|_| {});
        table.send(9, |slot, _| order.push(slot.user_data()));
        table.sent(|_| {});
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert_eq!((table.in_flight(), table.unused()), (0, 6));
    }

    #[test]
    fn a_cancel_says_what_it_found() {
        let mut table = table(4);
        let on_fd = |user_data, fd| Call {
            nr: 0,
            args: [fd, 0, 0, 0, 0, 0],
            ..call(user_data)
        };
        submit(&mut table, &[on_fd(0, 0), on_fd(1, 1), on_fd(2, 2)]);
        let started = table.start(5).unwrap();
        let mut accepted = accept(&mut table, &[on_fd(3, 0)]);
        let mut workers = Vec::new();
        let found = cancel(&mut table, Which::Fd(0), |worker| workers.push(worker));
        assert_eq!(found, (1, 1));
        assert_eq!(workers, [5]);
        assert_eq!(table.stop(started.index), Stop::Asked);
        // Nothing is found twice.
        assert_eq!(cancel(&mut table, Which::Fd(0), |_| {}), (0, 0));
        assert_eq!(cancel(&mut table, Which::Nr(1), |_| {}), (0, 0));
        assert_eq!(cancel(&mut table, Which::All, |_| {}), (2, 0));
        table.queue(&mut accepted, u32::MAX, None);
        assert_eq!(table.queued(), 0);
        assert_eq!(table.undelivered(), 3);
        assert_eq!(table.totals().canceled, 3);
    }

    const ASKER: u32 = 4321;
    const REFUSED: Ending = Ending {
        outcome: Outcome::Refused,
        ..Ending::ran(-1)
    };

    /// Goes on with a message up to the next question, and says which call that is about.
    fn next_question(
        table: &mut Table,
        list: &mut List,
        mut last: Option<Index>,
    ) -> Option<(Index, Bare)> {
        loop {
            match table.consult(list, ASKER, last.take()) {
                Consultation::Ask(index, call) => return Some((index, call)),
                Consultation::Queued | Consultation::Ended => {}
                Consultation::Over => return None,
            }
        }
    }

    /// Answers all questions about a message by the name of the call: `None` permits it.
    fn answer_all(table: &mut Table, list: &mut List, ending: impl Fn(u64) -> Option<Ending>) {
        let mut last = None;
        while let Some((index, call)) = next_question(table, list, last) {
            let answer = ending(call.args[0]).map_or(Answer::Make(call), Answer::End);
            last = table.answer(index, ASKER, answer);
            assert_eq!(last, Some(index));
        }
        while table.end_broken(1) {}
    }

    #[test]
    fn each_call_is_asked_about_before_its_chain_is_queued() {
        let mut table = table(5);
        let calls = [
            call(0),
            flagged(1, flag::LINK),
            flagged(2, flag::HARDLINK),
            call(3),
            call(4),
        ];
        let mut list = accept(&mut table, &calls);
        let (mut last, mut queued) = (None, Vec::new());
        for user_data in 0..5 {
            let (index, call) = next_question(&mut table, &mut list, last).unwrap();
            assert_eq!((call.nr, call.args[0]), (110, user_data));
            queued.push(table.queued());
            last = table.answer(index, ASKER, Answer::Make(call));
        }
        assert!(next_question(&mut table, &mut list, last).is_none());
        assert_eq!((queued, table.queued()), (vec![0, 1, 1, 1, 2], 3));
        for user_data in 0..5 {
            run(&mut table, user_data, RAN);
        }
        assert_eq!(delivered(&mut table).len(), 5);
    }

    #[test]
    fn a_refused_call_ends_at_once_or_in_its_turn() {
        let mut table = table(6);
        let calls = [
            call(0),
            flagged(1, flag::LINK),
            flagged(2, flag::LINK),
            call(3),
            flagged(4, flag::DRAIN),
            call(5),
        ];
        let mut list = accept(&mut table, &calls);
        let refuses = |user_data| [0, 2, 4].contains(&user_data).then_some(REFUSED);
        answer_all(&mut table, &mut list, refuses);
        assert_eq!(delivered(&mut table), [(0, -1)]);
        run(&mut table, 1, RAN);
        for user_data in [2, 4] {
            let started = table.start(0).unwrap();
            assert_eq!(
                (started.args[0], started.instead),
                (user_data, Some(REFUSED))
            );
            table.finish(started.index, REFUSED, false);
            while table.end_broken(1) {}
        }
        run(&mut table, 5, RAN);
        let ended = [(1, 7), (2, -1), (3, CANCELED), (4, -1), (5, 7)];
        assert_eq!(delivered(&mut table), ended);
        assert_eq!(table.used(), 0);
    }

    #[test]
    fn a_refused_call_is_not_taken_with_others() {
        let mut table = table(3);
        let mut list = accept(&mut table, &[call(0), flagged(1, flag::HARDLINK), call(2)]);
        answer_all(&mut table, &mut list, |it| (it == 1).then_some(REFUSED));
        let mut entries = [Entry::default(); 4];
        let (count, _) = table.take(0, &mut entries).unwrap();
        assert_eq!((count, entries[0].args[0]), (1, 0));
        // The next message is as ever, in the same slots.
        table.finish_taken([(entries[0].index, 0)].into_iter());
        table.close_burst();
        let started = table.start(0).unwrap();
        assert_eq!(started.instead, Some(REFUSED));
        table.finish(started.index, REFUSED, false);
        run(&mut table, 2, RAN);
        delivered(&mut table);
        submit(&mut table, &[0, 1, 2].map(call));
        for user_data in 0..3 {
            let started = table.start(0).unwrap();
            assert_eq!((started.args[0], started.instead), (user_data, None));
            table.finish(started.index, RAN, true);
        }
    }

    #[test]
    fn a_tracers_call_takes_the_others_place() {
        let mut table = table(1);
        let mut list = accept(&mut table, &[call(9)]);
        let (index, _) = next_question(&mut table, &mut list, None).unwrap();
        let made = Bare {
            nr: 39,
            args: [1, 2, 3, 4, 5, 6],
        };
        let last = table.answer(index, ASKER, Answer::Make(made));
        assert!(next_question(&mut table, &mut list, last).is_none());
        let started = table.start(0).unwrap();
        assert_eq!((started.nr, started.args), (made.nr, made.args));
    }

    #[test]
    fn a_call_that_is_cancelled_while_it_is_asked_about_gets_no_answer() {
        for hard in [false, true] {
            let link = if hard { flag::HARDLINK } else { flag::LINK };
            let mut table = table(5);
            let calls = [
                flagged(0, link),
                flagged(1, link),
                flagged(2, link),
                call(3),
            ];
            let mut list = accept(&mut table, &calls);
            let (head, call_0) = next_question(&mut table, &mut list, None).unwrap();
            let last = table.answer(head, ASKER, Answer::Make(call_0));
            let (index, call_1) = next_question(&mut table, &mut list, last).unwrap();
            assert_eq!(call_1.args[0], 1);
            let rest = if hard { 1 } else { 3 };
            assert_eq!(cancel(&mut table, Which::UserData(1), |_| {}), (1, 0));
            assert_eq!(delivered(&mut table).len(), rest);
            // Its slot is another message's by now, about which another thread asks.
            let mut other = accept(&mut table, &[call(7)]);
            let taken = table.consult(&mut other, ASKER + 1, None);
            assert!(matches!(taken, Consultation::Ask(..)));
            assert_eq!(table.answer(index, ASKER, Answer::End(REFUSED)), None);
            answer_all(&mut table, &mut list, |_| None);
            answer_all(&mut table, &mut other, |_| None);
            let left: &[u64] = if hard { &[0, 2, 3, 7] } else { &[0, 7] };
            for user_data in left {
                run(&mut table, *user_data, RAN);
            }
            assert!(table.start(0).is_none());
        }
    }

    #[test]
    fn what_was_refused_says_so_where_the_others_end() {
        let mut table = table(3);
        let mut list = accept(&mut table, &[flagged(0, flag::LINK), call(1), call(2)]);
        let (index, call_0) = next_question(&mut table, &mut list, None).unwrap();
        let last = table.answer(index, ASKER, Answer::Make(call_0));
        let (index, _) = next_question(&mut table, &mut list, last).unwrap();
        table.answer(index, ASKER, Answer::End(REFUSED));
        let ending = Ending::not_started(errno::EINTR);
        table.queue(&mut list, u32::MAX, Some(ending));
        assert_eq!(delivered(&mut table), [(0, -4), (1, -1), (2, -4)]);
        assert_eq!(table.used(), 0);
    }

    #[test]
    fn what_passes_results_is_not_asked_about() {
        let mut table = table(2);
        let passing = Call {
            arg_kinds: ArgKind::Result as u32,
            ..call(0)
        };
        let mut list = accept(&mut table, &[flagged(0, flag::LINK), passing]);
        let (index, call_0) = next_question(&mut table, &mut list, None).unwrap();
        let last = table.answer(index, ASKER, Answer::Make(call_0));
        assert!(next_question(&mut table, &mut list, last).is_none());
        run(&mut table, 0, RAN);
        let started = table.start(0).unwrap();
        let ending = Ending::not_started(errno::EOPNOTSUPP);
        assert_eq!(started.instead, Some(ending));
        table.finish(started.index, ending, false);
        assert_eq!(delivered(&mut table).len(), 2);
        assert_eq!(table.used(), 0);
    }

    #[test]
    fn messages_that_arrive_together_keep_their_order() {
        let mut table = table(6);
        let mut first = accept(&mut table, &[call(0), call(1)]);
        let second = accept(&mut table, &[flagged(2, flag::LINK), call(3)]);
        let third = accept(&mut table, &[call(4)]);
        table.append(&mut first, second);
        table.append(&mut first, List::new());
        table.append(&mut first, third);
        table.queue(&mut first, 1, None);
        table.queue(&mut first, u32::MAX, None);
        for user_data in 0..5 {
            run(&mut table, user_data, RAN);
        }
        assert!(table.start(0).is_none());
    }

    #[test]
    fn a_message_taken_back_was_never_accepted() {
        let mut table = table(4);
        let context = std::rc::Rc::new(());
        let mut places = [NIL; 4];
        let mut incoming = Incoming::new(&mut places, parcels::NONE);
        let calls = [
            flagged(0, flag::LINK),
            Call {
                arg_kinds: (ArgKind::Result as u32) << ARG_KIND_BITS,
                ..flagged(1, flag::LINK)
            },
            call(2),
            call(3),
        ];
        for (place, call) in calls.iter().enumerate() {
            assert!(table.accept(&mut incoming, place, call, &context, 0));
        }
        assert!(!table.accept(&mut incoming, 4, &call(4), &context, 0));
        let mut list = incoming.heads();
        while !list.is_empty() {
            table.retract(&mut list, 2);
        }
        assert_eq!((table.used(), table.totals().accepted), (0, 0));
        assert_eq!(std::rc::Rc::strong_count(&context), 1);
    }

    #[test]
    fn a_long_table_is_cancelled_in_parts() {
        let mut table = table(7);
        submit(&mut table, &[0, 1, 2, 3, 4, 5, 6].map(call));
        let mut canceled = 0;
        let mut from = 0;
        while from < table.slots() {
            canceled += table.cancel_waiting(Which::All, from, 3, |_, _| false);
            from += 3;
        }
        assert_eq!((canceled, table.queued()), (7, 0));
    }

    #[test]
    fn a_closed_socket_gives_everything_back() {
        let mut table = table(3);
        let mut list = accept(&mut table, &[flagged(0, flag::LINK), call(1), call(2)]);
        table.queue(&mut list, u32::MAX, Some(Ending::not_started(3)));
        table.send(1, |_, _| {});
        assert!(table.discard(0));
        assert!(table.discard(2));
        // The flusher comes back from a message that nobody takes.
        table.sent(|_| {});
        assert!(!table.discard(9));
        assert_eq!((table.used(), table.totals().delivered), (0, 0));
    }

    #[test]
    fn a_chain_is_one_call_after_the_other() {
        let mut table = table(4);
        submit(
            &mut table,
            &[
                flagged(0, flag::LINK),
                flagged(1, flag::LINK),
                call(2),
                call(3),
            ],
        );
        assert_eq!((table.queued(), table.in_flight()), (2, 4));
        let head = start(&mut table, 0);
        // The rest of the chain does not run beside it.
        let other = start(&mut table, 3);
        assert!(table.start(0).is_none());
        table.finish(head, RAN, true);
        // It goes before what is in the queue, which is empty here, and after `other` started.
        run(&mut table, 1, RAN);
        run(&mut table, 2, RAN);
        table.finish(other, RAN, true);
        let order: Vec<u64> = delivered(&mut table).into_iter().map(|it| it.0).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn a_broken_chain_ends_canceled() {
        let mut table = table(4);
        submit(
            &mut table,
            &[
                flagged(0, flag::LINK),
                flagged(1, flag::HARDLINK),
                call(2),
                call(3),
            ],
        );
        let index = start(&mut table, 0);
        table.finish(index, FAILED, false);
        assert!(table.end_broken(1));
        assert!(!table.end_broken(1));
        run(&mut table, 3, RAN);
        assert_eq!(
            delivered(&mut table),
            [(0, -2), (1, CANCELED), (2, CANCELED), (3, 7)]
        );
        assert_eq!(table.totals().canceled, 2);
    }

    #[test]
    fn a_hard_link_holds() {
        let mut table = table(3);
        submit(
            &mut table,
            &[
                flagged(0, flag::HARDLINK),
                flagged(1, flag::LINK | flag::HARDLINK),
                call(2),
            ],
        );
        run(&mut table, 0, FAILED);
        run(&mut table, 1, FAILED);
        run(&mut table, 2, RAN);
        assert_eq!(delivered(&mut table), [(0, -2), (1, -2), (2, 7)]);
    }

    #[test]
    fn a_cancelled_call_breaks_its_chain() {
        for (links, cancel_at, expected) in [
            // The head, the middle, the end; then with a hard link at the place.
            ([flag::LINK; 2], 0, [CANCELED, CANCELED, CANCELED]),
            ([flag::LINK; 2], 1, [7, CANCELED, CANCELED]),
            ([flag::LINK; 2], 2, [7, 7, CANCELED]),
            ([flag::HARDLINK; 2], 0, [CANCELED, 7, 7]),
            ([flag::HARDLINK; 2], 1, [7, CANCELED, 7]),
            ([flag::HARDLINK; 2], 2, [7, 7, CANCELED]),
            (
                [flag::LINK, flag::HARDLINK],
                0,
                [CANCELED, CANCELED, CANCELED],
            ),
        ] {
            // While the message is accepted, while it is queued, while the head runs.
            for moment in 0..3 {
                let mut table = table(4);
                let mut list = accept(
                    &mut table,
                    &[flagged(0, links[0]), flagged(1, links[1]), call(2), call(3)],
                );
                if moment > 0 {
                    table.queue(&mut list, u32::MAX, None);
                }
                let head = (moment == 2).then(|| start(&mut table, 0));
                let expected_count = if moment == 2 && cancel_at == 0 {
                    (0, 1)
                } else {
                    (1, 0)
                };
                let found = cancel(&mut table, Which::UserData(cancel_at), |_| {});
                assert_eq!(found, expected_count);
                if let Some(head) = head {
                    if cancel_at == 0 {
                        continue;
                    }
                    table.finish(head, RAN, true);
                }
                table.queue(&mut list, u32::MAX, None);
                while let Some(started) = table.start(0) {
                    table.finish(started.index, RAN, true);
                }
                while table.end_broken(1) {}
                let mut all = delivered(&mut table);
                all.sort_unstable();
                let rets: Vec<i64> = all.into_iter().map(|it| it.1).collect();
                assert_eq!(rets[..3], expected, "{links:?} {cancel_at} {moment}");
                assert_eq!(rets[3], 7);
            }
        }
    }

    #[test]
    fn a_chain_keeps_its_place_when_its_head_is_cancelled() {
        let mut table = table(5);
        submit(
            &mut table,
            &[
                call(0),
                flagged(1, flag::HARDLINK | flag::DRAIN),
                call(2),
                call(3),
            ],
        );
        assert_eq!(cancel(&mut table, Which::UserData(1), |_| {}), (1, 0));
        let first = start(&mut table, 0);
        // It still drains.
        assert!(table.start(0).is_none());
        table.finish(first, RAN, true);
        run(&mut table, 2, RAN);
        run(&mut table, 3, RAN);
    }

    #[test]
    fn a_draining_call_runs_alone() {
        let mut table = table(5);
        submit(
            &mut table,
            &[call(0), call(1), flagged(2, flag::DRAIN), call(3), call(4)],
        );
        let first = start(&mut table, 0);
        let second = start(&mut table, 1);
        assert_eq!((table.ready(), table.queued()), (0, 3));
        assert!(table.start(0).is_none());
        table.finish(second, RAN, true);
        assert!(table.start(0).is_none());
        table.finish(first, RAN, true);
        assert_eq!(table.ready(), 3);
        let drain = start(&mut table, 2);
        assert_eq!(table.ready(), 0);
        assert!(table.start(0).is_none());
        table.finish(drain, FAILED, false);
        let third = start(&mut table, 3);
        run(&mut table, 4, RAN);
        table.finish(third, RAN, true);
    }

    #[test]
    fn a_draining_call_makes_its_chain_drain() {
        let mut table = table(5);
        submit(
            &mut table,
            &[
                call(0),
                flagged(1, flag::LINK),
                flagged(2, flag::LINK | flag::DRAIN),
                call(3),
                call(4),
            ],
        );
        let first = start(&mut table, 0);
        assert!(table.start(0).is_none());
        table.finish(first, RAN, true);
        for user_data in 1..4 {
            let index = start(&mut table, user_data);
            assert!(table.start(0).is_none(), "{user_data}");
            table.finish(index, RAN, true);
        }
        run(&mut table, 4, RAN);
    }

    #[test]
    fn a_skipped_success_has_no_completion() {
        let mut table = table(3);
        let skip = flag::SKIP_SUCCESS;
        submit(
            &mut table,
            &[flagged(0, skip), flagged(1, skip), flagged(2, skip)],
        );
        run(&mut table, 0, RAN);
        run(&mut table, 1, FAILED);
        cancel(&mut table, Which::All, |_| {});
        assert_eq!(delivered(&mut table), [(1, -2), (2, CANCELED)]);
        assert_eq!((table.totals().skipped, table.in_flight()), (1, 0));
    }

    fn with_arg(call: Call, arg: usize, kind: ArgKind, value: u64) -> Call {
        let mut call = call;
        call.arg_kinds |= (kind as u32) << (arg as u32 * ARG_KIND_BITS);
        call.args[arg] = value;
        call
    }

    #[test]
    fn a_result_outlives_its_delivery() {
        let mut table = table(4);
        let link = flag::LINK;
        submit(
            &mut table,
            &[
                flagged(0, link),
                flagged(1, link | flag::SKIP_SUCCESS),
                with_arg(flagged(2, link), 1, ArgKind::Result, 1),
                with_arg(
                    with_arg(call(3), 4, ArgKind::Result, 0),
                    5,
                    ArgKind::Result,
                    0,
                ),
            ],
        );
        run(&mut table, 0, Ending::ran(70));
        assert_eq!(delivered(&mut table).len(), 1);
        run(&mut table, 1, Ending::ran(71));
        assert_eq!((table.in_flight(), table.used()), (2, 4));
        let started = table.start(0).unwrap();
        assert_eq!(started.args, [2, 71, 0, 0, 0, 0]);
        assert!(started.loads.is_empty());
        assert_eq!((table.in_flight(), table.used()), (2, 3));
        table.finish(started.index, RAN, true);
        let started = table.start(0).unwrap();
        assert_eq!(started.args, [3, 0, 0, 0, 70, 70]);
        assert_eq!((table.in_flight(), table.used()), (2, 2));
        table.finish(started.index, RAN, true);
        assert_eq!(delivered(&mut table).len(), 2);
        assert_eq!(table.unused(), 4);
    }

    #[test]
    fn a_load_is_an_address_in_an_earlier_output() {
        let mut table = table(3);
        let load = |call: u64, width: u64, offset: u64| call | width << 24 | offset << 32;
        submit(
            &mut table,
            &[
                with_arg(flagged(0, flag::LINK), 3, ArgKind::OutPtr, 0x7000),
                flagged(1, flag::LINK),
                with_arg(
                    with_arg(call(2), 1, ArgKind::Load, load(0, 8, 48)),
                    2,
                    ArgKind::Load,
                    load(0, 1, 0),
                ),
            ],
        );
        assert_eq!(table.start(0).unwrap().args[3], 0x7000);
        table.finish(0, RAN, true);
        run(&mut table, 1, RAN);
        let started = table.start(0).unwrap();
        let loads: Vec<_> = started.loads.iter().collect();
        assert_eq!(loads, [(1, Source::Load(8)), (2, Source::Load(1))]);
        assert_eq!(started.args, [2, 0x7030, 0x7000, 0, 0, 0]);
    }

    #[test]
    fn an_argument_that_is_not_known_is_no_descriptor() {
        let mut table = table(2);
        let read = Call {
            nr: 0,
            ..with_arg(call(1), 0, ArgKind::Result, 0)
        };
        submit(&mut table, &[flagged(0, flag::LINK), read]);
        // Whatever the slot holds there.
        for fd in 0..2 {
            assert_eq!(cancel(&mut table, Which::Fd(fd), |_| {}), (0, 0));
        }
        run(&mut table, 0, Ending::ran(9));
        assert_eq!(cancel(&mut table, Which::Fd(9), |_| {}), (0, 0));
        let started = table.start(0).unwrap();
        assert_eq!(started.args[0], 9);
        assert_eq!(cancel(&mut table, Which::Fd(9), |_| {}), (0, 1));
    }

    #[test]
    fn the_first_of_cancel_and_time_limit_wins() {
        let mut table = table(3);
        let limited = |user_data| Call {
            timeout_ns: 1,
            ..call(user_data)
        };
        submit(&mut table, &[limited(0), limited(1), call(2)]);
        let [a, b, c] = [0, 1, 2].map(|user_data| start(&mut table, user_data));
        // Not by another worker's clock, not without a limit.
        assert!(!table.time_out(a, 1));
        assert!(!table.time_out(c, 0));
        assert!(table.time_out(a, 0));
        assert!(!table.time_out(a, 0));
        assert_eq!(cancel(&mut table, Which::UserData(0), |_| {}), (0, 0));
        assert_eq!(table.stop(a), Stop::TimedOut);
        assert_eq!(cancel(&mut table, Which::UserData(1), |_| {}), (0, 1));
        assert!(!table.time_out(b, 0));
        assert_eq!(table.stop(b), Stop::Asked);
        table.finish(a, RAN, true);
        assert!(!table.time_out(a, 0));
    }

    #[test]
    fn the_end_of_a_session_ends_whole_chains() {
        let mut table = table(6);
        submit(
            &mut table,
            &[
                flagged(0, flag::LINK),
                call(1),
                flagged(2, flag::HARDLINK),
                flagged(3, flag::LINK),
                call(4),
            ],
        );
        let index = start(&mut table, 0);
        while table.end_queued(1, Ending::not_started(errno::ESRCH)) {}
        table.finish(index, RAN, true);
        while table.end_queued(1, Ending::not_started(errno::ESRCH)) {}
        let gone = -i64::from(errno::ESRCH);
        assert_eq!(
            delivered(&mut table),
            [(2, gone), (3, gone), (4, gone), (0, 7), (1, gone)]
        );
        assert_eq!(table.in_flight(), 0);
    }
}
