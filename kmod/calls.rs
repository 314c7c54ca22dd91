// SPDX-License-Identifier: GPL-2.0-only

//! The calls of a session: where each one is, from acceptance to delivery.
//!
//! `docs/lifecycle.md` is the norm that this file carries out. A call occupies one slot, which is
//! taken when its message is accepted and given back when its completion was delivered. Nothing in
//! between allocates, so a completion cannot fail.
//!
//! ```text
//! accept -> Accepted -> queue -> Queued -> start -> Running -> finish -> Done -> send -> Sending
//!                                            ^  |                         ^                |
//!                                     resume |  | interrupt               +---- unsent ----+ sent
//!                                         Interrupted                                      v
//!                                                                                        (free)
//! ```

use crate::{
    ended::Ending,
    wire::{
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

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The slot holds no call.
    Free,
    /// The message was accepted; the sender has not yet returned to user mode.
    Accepted,
    /// Waits for a worker.
    Queued,
    /// The worker of this number executes it.
    Running(u32),
    /// The worker of this number was interrupted and will issue it again.
    Interrupted(u32),
    /// Ended; its completion waits for room.
    Done,
    /// Its completion is being handed to the socket.
    Sending,
}

/// One call. `C` is what it takes along from its submission: the credentials.
pub struct Slot<C> {
    prev: Index,
    next: Index,
    state: State,
    cancel: bool,
    nr: u32,
    user_data: u64,
    args: [u64; 6],
    context: Option<C>,
    accepted_at: u64,
    ending: Ending,
}

impl<C> Slot<C> {
    /// An unused slot.
    pub fn new() -> Self {
        Self {
            prev: NIL,
            next: NIL,
            state: State::Free,
            cancel: false,
            nr: 0,
            user_data: 0,
            args: [0; 6],
            context: None,
            accepted_at: 0,
            ending: Ending::canceled(),
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

    /// The arguments.
    pub fn args(&self) -> &[u64; 6] {
        &self.args
    }

    /// When it was accepted, in the caller's clock.
    pub fn accepted_at(&self) -> u64 {
        self.accepted_at
    }

    /// The completion.
    pub fn result(&self) -> CallResult {
        CallResult {
            user_data: self.user_data,
            ret: self.ending.ret,
            outcome: self.ending.outcome as u16,
            restart: self.ending.restart as u16,
            ..CallResult::default()
        }
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
}

/// A doubly linked list of slots; the links are in the slots.
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

    /// How many slots it holds.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push<C>(&mut self, slots: &mut impl Store<C>, index: Index) {
        let slot = slots.slot_mut(index);
        slot.prev = self.tail;
        slot.next = NIL;
        match self.tail {
            NIL => self.head = index,
            tail => slots.slot_mut(tail).next = index,
        }
        self.tail = index;
        self.len += 1;
    }

    fn remove<C>(&mut self, slots: &mut impl Store<C>, index: Index) {
        let (prev, next) = {
            let slot = slots.slot(index);
            (slot.prev, slot.next)
        };
        match prev {
            NIL => self.head = next,
            prev => slots.slot_mut(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => slots.slot_mut(next).prev = prev,
        }
        self.len -= 1;
    }

    fn pop<C>(&mut self, slots: &mut impl Store<C>) -> Option<Index> {
        let index = self.head;
        if index == NIL {
            return None;
        }
        self.remove(slots, index);
        Some(index)
    }

    /// Puts all of `front` before what the list holds.
    fn prepend<C>(&mut self, slots: &mut impl Store<C>, front: List) {
        if front.is_empty() {
            return;
        }
        match self.head {
            NIL => self.tail = front.tail,
            head => {
                slots.slot_mut(head).prev = front.tail;
                slots.slot_mut(front.tail).next = head;
            }
        }
        self.head = front.head;
        self.len += front.len;
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

/// A call that a worker is to execute.
pub struct Started<C> {
    /// Its slot.
    pub index: Index,
    /// System call number.
    pub nr: u32,
    /// The arguments.
    pub args: [u64; 6],
    /// What it took along from its submission.
    pub context: C,
}

/// Which calls to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those with this `user_data`.
    UserData(u64),
    /// Those whose first argument is this descriptor.
    Fd(i32),
    /// Those of this system call number.
    Nr(u32),
    /// All.
    All,
}

impl Which {
    fn selects<C>(self, slot: &Slot<C>) -> bool {
        match self {
            Which::UserData(user_data) => slot.user_data == user_data,
            Which::Fd(fd) => {
                slot.args[0] as i32 == fd && crate::policy::takes_descriptor_first(slot.nr)
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
}

/// The calls of one session.
///
/// # Invariants
///
/// A slot is in exactly one place: in `free` when `Free`, in the list that its sender's task work
/// holds when `Accepted`, in `queue` when `Queued`, with its worker when `Running` or
/// `Interrupted`, in `done` when `Done`, in `sending` when `Sending`.
pub struct Calls<C, S> {
    slots: S,
    free: List,
    queue: List,
    done: List,
    sending: List,
    running: u32,
    totals: Totals,
    _context: core::marker::PhantomData<C>,
}

impl<C, S: Store<C>> Calls<C, S> {
    /// No calls. All slots of `slots` are unused.
    pub fn new(slots: S) -> Self {
        let mut calls = Self {
            slots,
            free: List::new(),
            queue: List::new(),
            done: List::new(),
            sending: List::new(),
            running: 0,
            totals: Totals::default(),
            _context: core::marker::PhantomData,
        };
        calls.adopt(0);
        calls
    }

    fn adopt(&mut self, from: u32) {
        for index in from..self.slots.count() {
            self.free.push(&mut self.slots, index);
        }
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

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        self.slots.count()
    }

    /// Slots that hold no call.
    pub fn unused(&self) -> u32 {
        self.free.len()
    }

    /// Calls accepted whose completion was not yet delivered.
    pub fn in_flight(&self) -> u32 {
        self.slots.count() - self.free.len()
    }

    /// Calls that wait for a worker.
    pub fn queued(&self) -> u32 {
        self.queue.len()
    }

    /// Calls that a worker executes.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Completions that wait for room.
    pub fn undelivered(&self) -> u32 {
        self.done.len() + self.sending.len()
    }

    /// Counts since the session began.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Counts INLINE calls, which need no slot: those accepted, delivered, and those that
    /// succeeded without a completion.
    pub fn count_inline(&mut self, accepted: u32, delivered: u32, skipped: u32) {
        self.totals.accepted += u64::from(accepted);
        self.totals.delivered += u64::from(delivered + skipped);
    }

    /// Counts `count` calls that were rejected with their message.
    pub fn reject(&mut self, count: usize) {
        self.totals.rejected += count as u64;
    }

    /// The calls in flight.
    pub fn iter(&self) -> impl Iterator<Item = &Slot<C>> {
        (0..self.slots.count())
            .map(|index| self.slots.slot(index))
            .filter(|slot| slot.state != State::Free)
    }

    /// Accepts one call into `accepted`, the list of its message. The caller made sure that
    /// enough slots are [`unused`](Calls::unused) for the whole message; `false`: none was.
    #[must_use]
    pub fn accept(&mut self, accepted: &mut List, call: &Call, context: C, now: u64) -> bool {
        let Some(index) = self.free.pop(&mut self.slots) else {
            return false;
        };
        let slot = self.slots.slot_mut(index);
        slot.state = State::Accepted;
        slot.cancel = false;
        slot.nr = call.nr;
        slot.user_data = call.user_data;
        slot.args = call.args;
        slot.context = Some(context);
        slot.accepted_at = now;
        accepted.push(&mut self.slots, index);
        self.totals.accepted += 1;
        true
    }

    /// Puts the calls of a later message behind those of an earlier one.
    pub fn append(&mut self, earlier: &mut List, later: List) {
        let first = core::mem::replace(earlier, later);
        earlier.prepend(&mut self.slots, first);
    }

    /// Takes back up to `most` calls of a message that is rejected after all.
    pub fn retract(&mut self, accepted: &mut List, most: u32) {
        for _ in 0..most {
            let Some(index) = accepted.pop(&mut self.slots) else {
                return;
            };
            let slot = self.slots.slot_mut(index);
            slot.state = State::Free;
            slot.context = None;
            self.free.push(&mut self.slots, index);
            self.totals.accepted -= 1;
        }
    }

    /// Queues up to `most` calls of a message, in its order. Those cancelled meanwhile complete;
    /// where `instead` is given, all do, in that way.
    pub fn queue(&mut self, accepted: &mut List, most: u32, instead: Option<Ending>) {
        for _ in 0..most {
            let Some(index) = accepted.pop(&mut self.slots) else {
                return;
            };
            let slot = self.slots.slot_mut(index);
            let ending = if slot.cancel {
                Some(Ending::canceled())
            } else {
                instead
            };
            match ending {
                Some(ending) => self.end(index, ending),
                None => {
                    slot.state = State::Queued;
                    self.queue.push(&mut self.slots, index);
                }
            }
        }
    }

    /// Hands the call that waited longest to a worker.
    pub fn start(&mut self, worker: u32) -> Option<Started<C>> {
        let index = self.queue.pop(&mut self.slots)?;
        let slot = self.slots.slot_mut(index);
        slot.state = State::Running(worker);
        self.running += 1;
        Some(Started {
            index,
            nr: slot.nr,
            args: slot.args,
            context: slot.context.take()?,
        })
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

    /// Whether the running call was cancelled.
    pub fn is_canceled(&self, index: Index) -> bool {
        self.slots.slot(index).cancel
    }

    /// The running call ended.
    pub fn finish(&mut self, index: Index, ending: Ending) {
        self.running -= 1;
        self.end(index, ending);
    }

    fn end(&mut self, index: Index, ending: Ending) {
        let slot = self.slots.slot_mut(index);
        slot.state = State::Done;
        slot.ending = ending;
        slot.context = None;
        self.done.push(&mut self.slots, index);
    }

    /// Cancels the calls that have not started and that `which` selects, among `most` slots from
    /// number `from` on. Says how many: they are done, or will be as soon as they are queued.
    pub fn cancel_waiting(&mut self, which: Which, from: Index, most: u32) -> u32 {
        let mut canceled = 0;
        for index in self.range(from, most) {
            let slot = self.slots.slot_mut(index);
            match slot.state {
                State::Accepted if !slot.cancel && which.selects(slot) => slot.cancel = true,
                State::Queued if which.selects(slot) => {
                    self.queue.remove(&mut self.slots, index);
                    self.end(index, Ending::canceled());
                }
                _ => continue,
            }
            canceled += 1;
        }
        canceled
    }

    /// Cancels the running calls that `which` selects, among `most` slots from number `from` on,
    /// and tells `interrupt` the worker of each. Says how many.
    pub fn cancel_running(
        &mut self,
        which: Which,
        from: Index,
        most: u32,
        mut interrupt: impl FnMut(u32),
    ) -> u32 {
        let mut interrupted = 0;
        for index in self.range(from, most) {
            let slot = self.slots.slot_mut(index);
            if let State::Running(worker) | State::Interrupted(worker) = slot.state {
                if which.selects(slot) {
                    slot.cancel = true;
                    interrupt(worker);
                    interrupted += 1;
                }
            }
        }
        interrupted
    }

    fn range(&self, from: Index, most: u32) -> core::ops::Range<Index> {
        from..from.saturating_add(most).min(self.slots.count())
    }

    /// Ends up to `most` of the calls that wait for a worker. `false`: none is left.
    pub fn end_queued(&mut self, most: u32, ending: Ending) -> bool {
        for _ in 0..most {
            let Some(index) = self.queue.pop(&mut self.slots) else {
                break;
            };
            self.end(index, ending);
        }
        !self.queue.is_empty()
    }

    /// Takes up to `most` completions for delivery, oldest first, and shows each to `put`. They
    /// come back with [`unsent`](Calls::unsent) or are over with [`sent`](Calls::sent).
    pub fn send(&mut self, most: u32, mut put: impl FnMut(&Slot<C>)) -> u32 {
        let mut count = 0;
        while count < most {
            let Some(index) = self.done.pop(&mut self.slots) else {
                break;
            };
            self.slots.slot_mut(index).state = State::Sending;
            self.sending.push(&mut self.slots, index);
            put(self.slots.slot(index));
            count += 1;
        }
        count
    }

    /// The completions taken by [`send`](Calls::send) were delivered: their slots are unused.
    pub fn sent(&mut self) {
        self.totals.delivered += u64::from(self.sending.len());
        self.free_sending();
    }

    fn free_sending(&mut self) {
        while let Some(index) = self.sending.pop(&mut self.slots) {
            self.slots.slot_mut(index).state = State::Free;
            self.free.push(&mut self.slots, index);
        }
    }

    /// The completions taken by [`send`](Calls::send) were not delivered: they wait again, before
    /// all others.
    pub fn unsent(&mut self) {
        let sending = core::mem::take(&mut self.sending);
        let mut index = sending.head;
        while index != NIL {
            let slot = self.slots.slot_mut(index);
            slot.state = State::Done;
            index = slot.next;
        }
        self.done.prepend(&mut self.slots, sending);
    }

    /// Nobody can receive completions any more: drops up to `most` of those that wait. `false`:
    /// none is left.
    pub fn discard(&mut self, most: u32) -> bool {
        self.send(most, |_| {});
        self.free_sending();
        !self.done.is_empty()
    }
}

const _: () = {
    // What a completion says when nothing was ever written into it.
    assert!(Outcome::Ran as u16 == 0);
    assert!(Restart::None as u16 == 0);
};

#[cfg(test)]
mod tests {
    use std::collections::{
        BTreeMap,
        BTreeSet,
        VecDeque, //
    };

    use proptest::prelude::*;

    use super::*;

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

    fn call(user_data: u64) -> Call {
        Call {
            user_data,
            nr: 0,
            args: [user_data % 3, 0, 0, 0, 0, 0],
            ..Call::default()
        }
    }

    /// Cancels in the whole table: how many waited, and how many ran.
    fn cancel(table: &mut Table, which: Which, interrupt: impl FnMut(u32)) -> (u32, u32) {
        let waited = table.cancel_waiting(which, 0, u32::MAX);
        (waited, table.cancel_running(which, 0, u32::MAX, interrupt))
    }

    const RAN: Ending = Ending {
        ret: 7,
        outcome: Outcome::Ran,
        restart: Restart::None,
    };

    #[derive(Clone, Debug)]
    enum Step {
        Submit(u32),
        Return,
        Killed,
        Start,
        Interrupt,
        Finish(usize),
        Cancel(u64),
        CancelAll,
        EndQueued,
        Send(u32),
        Sent,
        Unsent,
        Grow,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_u32..5).prop_map(Step::Submit),
            4 => Just(Step::Return),
            1 => Just(Step::Killed),
            6 => Just(Step::Start),
            1 => Just(Step::Interrupt),
            6 => any::<usize>().prop_map(Step::Finish),
            2 => (0_u64..60).prop_map(Step::Cancel),
            1 => Just(Step::CancelAll),
            1 => Just(Step::EndQueued),
            4 => (0_u32..4).prop_map(Step::Send),
            4 => Just(Step::Sent),
            2 => Just(Step::Unsent),
            1 => Just(Step::Grow),
        ]
    }

    proptest! {
        /// Exactly one completion per accepted call, in the order of their ends, and every
        /// context released, whatever happens in whatever order.
        #[test]
        fn exactly_one_completion_per_accepted_call(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut table = table(4);
            let context = std::rc::Rc::new(());
            let mut next = 0_u64;
            let mut messages = VecDeque::new();
            let mut running = Vec::new();
            let mut sending = Vec::new();
            let mut delivered = BTreeSet::new();
            let mut expected: BTreeMap<u64, Outcome> = BTreeMap::new();

            let mut steps: VecDeque<Step> = steps.into();
            let mut draining = 0;
            loop {
                let step = match steps.pop_front() {
                    Some(step) => step,
                    None => {
                        draining += 1;
                        match draining % 5 {
                            0 => Step::Return,
                            1 => Step::Start,
                            2 => Step::Sent,
                            3 => Step::Finish(0),
                            _ => Step::Send(8),
                        }
                    }
                };
                match step {
                    Step::Submit(count) => {
                        if table.unused() >= count {
                            let mut list = List::new();
                            for _ in 0..count {
                                let accepted = table.accept(&mut list, &call(next), context.clone(), 0);
                                prop_assert!(accepted);
                                next += 1;
                            }
                            messages.push_back(list);
                        }
                    }
                    Step::Return | Step::Killed => {
                        let instead = matches!(step, Step::Killed)
                            .then(|| Ending::not_started(crate::reject::errno::ESRCH));
                        if let Some(mut list) = messages.pop_front() {
                            table.queue(&mut list, u32::MAX, instead);
                        }
                    }
                    Step::Start => {
                        if let Some(started) = table.start(0) {
                            running.push(started);
                        }
                    }
                    Step::Interrupt => {
                        if let Some(started) = running.first() {
                            table.interrupt(started.index);
                            table.resume(started.index);
                        }
                    }
                    Step::Finish(at) => {
                        if !running.is_empty() {
                            let started = running.swap_remove(at % running.len());
                            table.finish(started.index, RAN);
                        }
                    }
                    Step::Cancel(user_data) => {
                        let found = cancel(&mut table, Which::UserData(user_data), |_| {});
                        prop_assert!(found.0 + found.1 <= 1);
                    }
                    Step::CancelAll => {
                        cancel(&mut table, Which::All, |_| {});
                        prop_assert_eq!(table.queued(), 0);
                    }
                    Step::EndQueued => while table.end_queued(2, Ending::not_started(11)) {},
                    Step::Send(most) => {
                        table.send(most, |slot| sending.push(slot.result()));
                    }
                    Step::Sent => {
                        table.sent();
                        for result in sending.drain(..) {
                            prop_assert!(delivered.insert(result.user_data), "delivered twice");
                            let outcome = Outcome::from_wire(result.outcome).unwrap();
                            expected.insert(result.user_data, outcome);
                        }
                    }
                    Step::Unsent => {
                        table.unsent();
                        sending.clear();
                    }
                    Step::Grow => table.grow(|slots| slots.extend((0..3).map(|_| Slot::new()))),
                }
                prop_assert_eq!(table.running() as usize, running.len());
                prop_assert_eq!(
                    table.totals().accepted,
                    table.totals().delivered + u64::from(table.in_flight())
                );
                if steps.is_empty() && table.in_flight() == 0 && messages.is_empty() {
                    break;
                }
                prop_assert!(draining < 100_000, "calls are stuck");
            }
            prop_assert_eq!(delivered.len() as u64, next);
            prop_assert_eq!(table.iter().count(), 0);
            drop(running);
            prop_assert_eq!(std::rc::Rc::strong_count(&context), 1);
        }
    }

    #[test]
    fn undelivered_completions_keep_their_order() {
        let mut table = table(6);
        let mut list = List::new();
        for user_data in 0..6 {
            assert!(table.accept(&mut list, &call(user_data), Default::default(), 0));
        }
        table.queue(&mut list, u32::MAX, None);
        while let Some(started) = table.start(0) {
            table.finish(started.index, RAN);
        }
        let mut order = Vec::new();
        table.send(4, |_| {});
        table.unsent();
        table.send(2, |slot| order.push(slot.user_data()));
        table.sent();
        table.send(9, |slot| order.push(slot.user_data()));
        table.sent();
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert_eq!(table.in_flight(), 0);
    }

    #[test]
    fn a_cancel_says_what_it_found() {
        let mut table = table(4);
        let mut list = List::new();
        for user_data in 0..3 {
            assert!(table.accept(&mut list, &call(user_data), Default::default(), 0));
        }
        table.queue(&mut list, u32::MAX, None);
        let started = table.start(5).unwrap();
        let mut accepted = List::new();
        assert!(table.accept(&mut accepted, &call(3), Default::default(), 0));
        let mut workers = Vec::new();
        // Descriptor 0 is the first argument of calls 0 and 3.
        let found = cancel(&mut table, Which::Fd(0), |worker| workers.push(worker));
        assert_eq!(found, (1, 1));
        assert_eq!(workers, [5]);
        assert!(table.is_canceled(started.index));
        assert_eq!(cancel(&mut table, Which::Nr(1), |_| {}), (0, 0));
        let found = cancel(&mut table, Which::All, |_| {});
        assert_eq!(found, (2, 1));
        table.queue(&mut accepted, u32::MAX, None);
        assert_eq!(table.queued(), 0);
        assert_eq!(table.undelivered(), 3);
    }

    #[test]
    fn messages_that_arrive_together_keep_their_order() {
        let mut table = table(6);
        let mut lists = [List::new(), List::new(), List::new()];
        for (user_data, list) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)] {
            assert!(table.accept(&mut lists[list], &call(user_data), Default::default(), 0));
        }
        let [mut first, second, third] = lists;
        table.append(&mut first, second);
        table.append(&mut first, List::new());
        table.append(&mut first, third);
        table.queue(&mut first, u32::MAX, None);
        let order: Vec<u64> = std::iter::from_fn(|| table.start(0))
            .map(|started| started.args[0])
            .collect();
        assert_eq!(order, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn a_message_taken_back_was_never_accepted() {
        let mut table = table(3);
        let context = std::rc::Rc::new(());
        let mut list = List::new();
        for user_data in 0..3 {
            assert!(table.accept(&mut list, &call(user_data), context.clone(), 0));
        }
        table.retract(&mut list, 2);
        table.retract(&mut list, 2);
        assert_eq!((table.in_flight(), table.totals().accepted), (0, 0));
        assert_eq!(std::rc::Rc::strong_count(&context), 1);
    }

    #[test]
    fn a_long_table_is_cancelled_in_parts() {
        let mut table = table(7);
        let mut list = List::new();
        for user_data in 0..7 {
            assert!(table.accept(&mut list, &call(user_data), Default::default(), 0));
        }
        table.queue(&mut list, u32::MAX, None);
        let mut canceled = 0;
        let mut from = 0;
        while from < table.slots() {
            canceled += table.cancel_waiting(Which::All, from, 3);
            from += 3;
        }
        assert_eq!((canceled, table.queued()), (7, 0));
    }

    #[test]
    fn a_closed_socket_gives_everything_back() {
        let mut table = table(2);
        let mut list = List::new();
        assert!(table.accept(&mut list, &call(0), Default::default(), 0));
        assert!(table.accept(&mut list, &call(1), Default::default(), 0));
        assert!(!table.accept(&mut list, &call(2), Default::default(), 0));
        table.queue(&mut list, u32::MAX, Some(Ending::not_started(3)));
        table.send(1, |_| {});
        assert!(table.discard(0));
        assert!(!table.discard(9));
        assert_eq!(table.in_flight(), 0);
        assert_eq!(table.totals().delivered, 0);
    }
}
