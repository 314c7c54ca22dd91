// SPDX-License-Identifier: GPL-2.0-only

//! The table of calls against the rules of `docs/lifecycle.md`, in any order of events.
//!
//! The oracle knows no slots and no lists: it keeps for each call what happened to it, and says
//! from the flags of its chain what may and must happen next.

mod memory;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use memory::Memory;
use nlcall_kmod::{
    burst::{Burst, Hand, Word},
    calls::{Calls, Incoming, Index, List, Started, State, Which},
    ended::{self, Ending, Next, Stop},
    parcels,
    reject::errno,
    wire::{flag, ArgKind, Call, Outcome, ARG_KIND_BITS},
};
use proptest::prelude::*;

type Table = Calls<Rc<()>, Memory<Rc<()>>>;

/// The worker that makes every call; the table only compares its number.
const WORKER: u32 = 3;

/// The worker that takes several at once.
const TAKER: u32 = 4;

/// How many calls the table looks at while it holds the lock once.
const STRIDE: u32 = 2;

/// One event.
#[derive(Clone, Debug)]
enum Step {
    /// A message with these calls is accepted.
    Submit(Vec<Shape>),
    /// A message is accepted and taken back.
    Retract(Vec<Shape>),
    /// The oldest message that was accepted is queued.
    Return,
    /// The same, in a thread that is ending.
    Killed,
    /// A worker asks for a call.
    Start,
    /// The kernel interrupts a running call for its own reasons.
    Interrupt(usize),
    /// The other worker takes several calls.
    Take(u32),
    /// It goes from one of them to the next.
    Next,
    /// It leaves those that it has not begun.
    Close,
    /// The one that it is in is interrupted, and goes on alone.
    SingleOut,
    /// The one that it is in blocks.
    Recall,
    /// A running call comes to its end.
    Finish(usize, Way),
    /// A running call's time limit passes.
    TimeOut(usize),
    Cancel(u64),
    CancelNr(u32),
    CancelAll,
    /// Part of what is to be settled is.
    Settle,
    EndQueued,
    Send(u32),
    Sent,
    Unsent,
    Grow,
}

/// How a call ends, if it was not interrupted.
#[derive(Clone, Copy, Debug)]
enum Way {
    Success,
    Error,
    /// It gives up as soon as it is asked to; until then it does not end.
    WhenAsked,
}

/// What a call in a message looks like.
#[derive(Clone, Debug)]
struct Shape {
    nr: u32,
    flags: u32,
    limited: bool,
    /// Its second argument is the result of the call so far back in its chain, if there is one.
    result: Option<usize>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let flags = prop_oneof![
        8 => Just(0),
        4 => Just(flag::LINK),
        2 => Just(flag::HARDLINK),
        1 => Just(flag::LINK | flag::HARDLINK),
    ];
    let more = prop_oneof![
        6 => Just(0),
        1 => Just(flag::DRAIN),
        2 => Just(flag::SKIP_SUCCESS),
    ];
    let result = prop::option::weighted(0.4, 1_usize..4);
    (110_u32..113, flags, more, prop::bool::weighted(0.3), result).prop_map(
        |(nr, links, more, limited, result)| Shape {
            nr,
            flags: links | more,
            limited,
            result,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let message = || prop::collection::vec(shape(), 1..6);
    let way = prop_oneof![
        6 => Just(Way::Success),
        2 => Just(Way::Error),
        2 => Just(Way::WhenAsked),
    ];
    prop_oneof![
        6 => message().prop_map(Step::Submit),
        1 => message().prop_map(Step::Retract),
        8 => Just(Step::Return),
        1 => Just(Step::Killed),
        16 => Just(Step::Start),
        6 => (1_u32..8).prop_map(Step::Take),
        12 => Just(Step::Next),
        3 => Just(Step::Close),
        2 => Just(Step::SingleOut),
        4 => Just(Step::Recall),
        2 => any::<usize>().prop_map(Step::Interrupt),
        16 => (any::<usize>(), way).prop_map(|(at, way)| Step::Finish(at, way)),
        3 => any::<usize>().prop_map(Step::TimeOut),
        4 => (0_u64..100).prop_map(Step::Cancel),
        1 => (110_u32..113).prop_map(Step::CancelNr),
        1 => Just(Step::CancelAll),
        4 => Just(Step::Settle),
        1 => Just(Step::EndQueued),
        6 => (0_u32..6).prop_map(Step::Send),
        6 => Just(Step::Sent),
        2 => Just(Step::Unsent),
        1 => Just(Step::Grow),
    ]
}

/// Where a call is, as far as its sender can tell.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    /// In a message whose sender has not returned.
    Accepted,
    /// The same, and cancelled.
    Marked,
    /// Waits for a worker or for the calls before it in its chain.
    Waiting,
    Running(Stop),
    /// Ended in this way.
    Over(Outcome, i64),
}

/// A call of the model.
#[derive(Clone, Debug)]
struct Told {
    nr: u32,
    flags: u32,
    limited: bool,
    /// The calls of its chain.
    chain: std::ops::Range<usize>,
    /// The chain drains.
    drains: bool,
    /// The call whose result is its second argument.
    result: Option<usize>,
    life: Life,
    started: bool,
    succeeded: bool,
    /// Place among all that were queued.
    queued: usize,
    deliveries: usize,
}

impl Told {
    fn is_over(&self) -> bool {
        matches!(self.life, Life::Over(..))
    }

    fn skips(&self) -> bool {
        self.succeeded && self.flags & flag::SKIP_SUCCESS != 0
    }
}

#[derive(Default)]
struct Model {
    calls: Vec<Told>,
    queued: usize,
}

impl Model {
    fn before(&self, id: usize) -> Option<usize> {
        (id > self.calls[id].chain.start).then(|| id - 1)
    }

    fn end(&mut self, id: usize, outcome: Outcome, ret: i64, succeeded: bool) {
        assert!(!self.calls[id].is_over(), "{id} ends twice");
        self.calls[id].life = Life::Over(outcome, ret);
        self.calls[id].succeeded = succeeded;
        if !succeeded && self.calls[id].flags & flag::HARDLINK == 0 {
            self.break_at(id);
        }
    }

    /// The calls behind `id` in its chain never start.
    fn break_at(&mut self, id: usize) {
        for behind in id + 1..self.calls[id].chain.end {
            let call = &mut self.calls[behind];
            assert!(!matches!(call.life, Life::Running(_)), "{behind} runs");
            if !call.is_over() {
                call.life = Life::Over(Outcome::Canceled, -i64::from(errno::ECANCELED));
            }
        }
    }

    fn cancel(&mut self, id: usize) {
        self.end(id, Outcome::Canceled, -i64::from(errno::ECANCELED), false);
    }

    /// A message was queued, or its calls end in this way.
    fn queue(&mut self, ids: std::ops::Range<usize>, instead: Option<Ending>) {
        for id in ids {
            self.calls[id].queued = self.queued;
            self.queued += 1;
            match (self.calls[id].life, instead) {
                (Life::Marked | Life::Accepted, Some(ending)) => {
                    self.calls[id].life = Life::Over(ending.outcome, ending.ret);
                }
                (Life::Marked, None) => self.cancel(id),
                (Life::Accepted, None) => self.calls[id].life = Life::Waiting,
                _ => {}
            }
        }
    }

    /// Whether a worker may start the call.
    fn may_start(&self, id: usize) -> bool {
        let call = &self.calls[id];
        // Those before it are over, and none of them broke the chain.
        let turn = (call.chain.start..id).all(|before| {
            let before = &self.calls[before];
            before.is_over() && (before.succeeded || before.flags & flag::HARDLINK != 0)
        });
        let others = |other: &Told| other.chain != call.chain && other.queued != usize::MAX;
        let free = self
            .calls
            .iter()
            .filter(|other| others(other))
            .all(|other| {
                let earlier = other.queued < call.queued;
                match (call.drains, other.drains) {
                    // A draining chain starts when all earlier calls are over ...
                    (true, _) if earlier => other.is_over(),
                    // ... and later ones start when it is.
                    (_, true) if earlier => other.is_over(),
                    _ => true,
                }
            });
        call.life == Life::Waiting && turn && free
    }
}

/// A word of one thread.
#[derive(Default)]
struct Single(Cell<u64>);

impl Word for Single {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn peek(&self) -> u64 {
        self.0.get()
    }

    fn exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        assert_eq!(self.0.get(), old);
        self.0.set(new);
        Ok(())
    }
}

/// The worker that takes several calls at once.
struct Taker {
    burst: Burst<Single>,
    hand: Hand<Rc<()>>,
    /// A burst is on.
    on: bool,
    /// Those that it has not begun.
    dealt: BTreeSet<usize>,
    /// The one that it is in, and its place.
    current: Option<(usize, u32)>,
}

/// Everything that a test has in hand.
struct World {
    table: Table,
    model: Model,
    context: Rc<()>,
    /// Messages that were accepted: their list, their calls.
    messages: Vec<(List, std::ops::Range<usize>)>,
    running: Vec<Started<Rc<()>>>,
    taker: Taker,
    /// Calls that waited again after they were taken: they go before all others.
    returned: BTreeSet<usize>,
    sending: Vec<(usize, Outcome, i64)>,
    /// Something is left to be settled: a broken chain ends in parts.
    unsettled: bool,
}

impl World {
    fn new() -> Self {
        Self {
            table: Calls::new(Memory::new(4)),
            model: Model::default(),
            context: Rc::new(()),
            messages: Vec::new(),
            running: Vec::new(),
            taker: Taker {
                burst: Burst::new(Single::default()),
                hand: Hand::default(),
                on: false,
                dealt: BTreeSet::new(),
                current: None,
            },
            returned: BTreeSet::new(),
            sending: Vec::new(),
            unsettled: false,
        }
    }

    /// The calls of a message, and what the model is to know about them.
    fn message(&self, shapes: &[Shape]) -> (Vec<Call>, Vec<Told>) {
        let first = self.model.calls.len();
        let mut calls = Vec::new();
        let mut told: Vec<Told> = Vec::new();
        let links = |shape: &Shape| shape.flags & (flag::LINK | flag::HARDLINK) != 0;
        let mut shapes = shapes.to_vec();
        if let Some(last) = shapes.last_mut() {
            last.flags &= !(flag::LINK | flag::HARDLINK);
        }
        let mut start = 0;
        while start < shapes.len() {
            let end = (start..shapes.len())
                .find(|at| !links(&shapes[*at]))
                .unwrap()
                + 1;
            let drains = shapes[start..end]
                .iter()
                .any(|it| it.flags & flag::DRAIN != 0);
            for (at, shape) in (start..end).zip(&shapes[start..end]) {
                let back = shape.result.filter(|back| *back <= at - start);
                let mut call = Call {
                    user_data: (first + at) as u64,
                    nr: shape.nr,
                    flags: shape.flags,
                    timeout_ns: u64::from(shape.limited),
                    ..Call::default()
                };
                call.args[0] = call.user_data;
                if let Some(back) = back {
                    call.args[1] = (at - back) as u64;
                    call.arg_kinds = (ArgKind::Result as u32) << ARG_KIND_BITS;
                }
                calls.push(call);
                told.push(Told {
                    nr: shape.nr,
                    flags: shape.flags,
                    limited: shape.limited,
                    chain: first + start..first + end,
                    drains,
                    result: back.map(|back| first + at - back),
                    life: Life::Accepted,
                    started: false,
                    succeeded: false,
                    queued: usize::MAX,
                    deliveries: 0,
                });
            }
            start = end;
        }
        (calls, told)
    }

    fn accept(&mut self, calls: &[Call]) -> Option<List> {
        if (self.table.unused() as usize) < calls.len() {
            return None;
        }
        let mut places = vec![Index::MAX; calls.len()];
        let mut incoming = Incoming::new(&mut places, parcels::NONE);
        for (place, call) in calls.iter().enumerate() {
            let context = &self.context;
            assert!(self.table.accept(&mut incoming, place, call, context, 0));
        }
        Some(incoming.heads())
    }

    /// A CANCEL: in the table, in the model, and what it says.
    fn cancel(&mut self, which: Which) {
        let mut canceled = 0;
        let mut interrupted = 0;
        for id in 0..self.model.calls.len() {
            let call = &mut self.model.calls[id];
            let selected = match which {
                Which::UserData(user_data) => id as u64 == user_data,
                Which::Nr(nr) => call.nr == nr,
                _ => true,
            };
            if !selected {
                continue;
            }
            match call.life {
                // The rest of a chain does not hold up the first call of a message.
                Life::Accepted if id == call.chain.start => call.life = Life::Marked,
                Life::Running(Stop::No) => {
                    call.life = Life::Running(Stop::Asked);
                    interrupted += 1;
                    continue;
                }
                Life::Accepted | Life::Waiting => {}
                _ => continue,
            }
            canceled += 1;
        }
        // Who is selected is decided before the first of them breaks its chain.
        for id in 0..self.model.calls.len() {
            let call = &self.model.calls[id];
            let selected = match which {
                Which::UserData(user_data) => id as u64 == user_data,
                Which::Nr(nr) => call.nr == nr,
                _ => true,
            };
            if selected && matches!(call.life, Life::Accepted | Life::Waiting) {
                self.model.cancel(id);
            }
        }
        let Taker {
            burst, hand, dealt, ..
        } = &mut self.taker;
        let found = self.table.cancel_waiting(which, 0, u32::MAX, |worker, at| {
            assert_eq!(worker, TAKER);
            hand.withdraw(burst, at)
        });
        dealt.retain(|id| !self.model.calls[*id].is_over());
        if self.unsettled {
            // Calls whose chain broke may be found as long as they did not end.
            assert!(found >= canceled, "{which:?}");
        } else {
            assert_eq!(found, canceled, "{which:?}");
        }
        let mut workers = 0;
        let found = self.table.cancel_running(which, 0, u32::MAX, |worker, at| {
            assert!(worker == WORKER || worker == TAKER);
            let runs = at.is_none_or(|at| burst.progress().ask(at));
            workers += u32::from(runs);
            runs
        });
        assert_eq!((found, workers), (interrupted, interrupted), "{which:?}");
        self.settle(1);
    }

    fn settle(&mut self, most: u32) {
        self.unsettled = self.table.end_broken(most);
    }

    fn start(&mut self) {
        self.settle(u32::MAX);
        let Some(started) = self.table.start(WORKER) else {
            // Nothing waits that could start.
            for id in 0..self.model.calls.len() {
                let taker = &self.taker;
                // What ended in a burst is not known to have ended before the burst is over.
                let is_taken = taker.dealt.contains(&id) || taker.on && self.model.calls[id].drains;
                assert!(is_taken || !self.model.may_start(id), "{id} may start");
            }
            return;
        };
        let id = started.args[0] as usize;
        assert!(self.model.may_start(id), "{id} may not start");
        // A chain that has begun goes on first; of the others, the oldest does.
        let begun = |id: usize| {
            let mut before = self.model.calls[id].chain.start..id;
            before.any(|before| self.model.calls[before].started)
        };
        for other in (0..self.model.calls.len()).filter(|_| !begun(id)) {
            let is_taken = self.taker.dealt.contains(&other);
            if other != id && !is_taken && self.model.may_start(other) {
                let has_begun = begun(other);
                let first = !has_begun && other > id || has_begun && self.returned.contains(&id);
                assert!(first, "{other} goes before {id}");
            }
        }
        if let Some(result) = self.model.calls[id].result {
            let Life::Over(_, ret) = self.model.calls[result].life else {
                panic!("{id} needs the result of {result}");
            };
            assert_eq!(started.args[1], ret as u64);
        }
        self.model.calls[id].life = Life::Running(Stop::No);
        self.model.calls[id].started = true;
        self.running.push(started);
    }

    fn take(&mut self, most: u32) {
        if self.taker.on {
            return;
        }
        self.settle(u32::MAX);
        let Taker { burst, hand, .. } = &mut self.taker;
        // SAFETY: There is one thread, and no burst is on.
        let context = unsafe { hand.take(&mut self.table, burst, TAKER, most) };
        let Some(context) = context else { return };
        assert!(Rc::ptr_eq(&context, &self.context));
        self.taker.on = true;
        let taken = self
            .table
            .iter()
            .filter(|slot| slot.state() == State::Taken(TAKER));
        self.taker.dealt = taken.map(|slot| slot.user_data() as usize).collect();
        assert!((1..=most as usize).contains(&self.taker.dealt.len()));
        for id in &self.taker.dealt {
            let call = &self.model.calls[*id];
            assert!(self.model.may_start(*id), "{id} may not start");
            assert!(call.flags == 0 && !call.limited && call.chain.len() == 1);
        }
    }

    /// The call that the taker is in has returned. It runs until another has begun.
    fn end_current(&mut self) {
        if let Some((id, at)) = self.taker.current {
            // SAFETY: There is one thread, and it is the call that began last.
            unsafe { self.taker.burst.ended(at, id as i64 + 1000) };
        }
    }

    fn next(&mut self) {
        if !self.taker.on {
            return;
        }
        let asked = self
            .taker
            .current
            .is_some_and(|(id, _)| self.model.calls[id].life != Life::Running(Stop::No));
        self.end_current();
        let next = self.taker.burst.progress().next();
        assert_eq!(next.is_some(), !asked && !self.taker.dealt.is_empty());
        if let Some(at) = next {
            if let Some((id, _)) = self.taker.current {
                self.model.end(id, Outcome::Ran, id as i64 + 1000, true);
            }
            // SAFETY: There is one thread, and the call has begun.
            let id = unsafe { self.taker.burst.call(at) }.1[0] as usize;
            assert_eq!(
                self.taker.dealt.pop_first(),
                Some(id),
                "the oldest comes first"
            );
            self.model.calls[id].life = Life::Running(Stop::No);
            self.model.calls[id].started = true;
            self.taker.current = Some((id, at));
        }
    }

    fn close(&mut self) {
        if !self.taker.on {
            return;
        }
        self.end_current();
        let Taker { burst, hand, .. } = &mut self.taker;
        // SAFETY: There is one thread.
        unsafe { hand.close(&mut self.table, burst) };
        if let Some((id, _)) = self.taker.current.take() {
            self.model.end(id, Outcome::Ran, id as i64 + 1000, true);
        }
        self.over();
    }

    fn single_out(&mut self) {
        if self.taker.current.is_none() {
            return;
        }
        let Taker { burst, hand, .. } = &mut self.taker;
        // SAFETY: There is one thread.
        let started = unsafe { hand.single_out(&mut self.table, burst, TAKER) };
        let started = started.expect("it is in a call");
        let current = self.taker.current.take();
        assert_eq!(current.map(|(id, _)| id as u64), Some(started.args[0]));
        self.running.push(started);
        self.over();
    }

    fn over(&mut self) {
        self.taker.on = false;
        self.returned.append(&mut self.taker.dealt);
    }

    fn recall(&mut self) {
        let Taker { burst, hand, .. } = &mut self.taker;
        hand.recall(&mut self.table, burst);
        self.returned.append(&mut self.taker.dealt);
    }

    fn finish(&mut self, at: usize, way: Way) {
        if self.running.is_empty() {
            return;
        }
        let at = at % self.running.len();
        let index = self.running[at].index;
        let id = self.running[at].args[0] as usize;
        let Life::Running(stop) = self.model.calls[id].life else {
            panic!("{id} runs");
        };
        assert_eq!(self.table.stop(index), stop);
        let ret = match way {
            Way::Success => id as i64 + 1000,
            Way::Error => -2,
            Way::WhenAsked => -512,
        };
        let Next::Complete(ending) = ended::after(ret, stop) else {
            // Nobody asked it to stop: its worker issues it again.
            self.table.interrupt(index);
            self.table.resume(index);
            return;
        };
        let outcome = match (way, stop) {
            (Way::WhenAsked, Stop::Asked) => Outcome::Interrupted,
            (Way::WhenAsked, Stop::TimedOut) => Outcome::TimedOut,
            _ => Outcome::Ran,
        };
        assert_eq!(ending.outcome, outcome);
        let started = self.running.swap_remove(at);
        let succeeded = started.succeeded(&ending);
        let links = flag::LINK | flag::HARDLINK | flag::SKIP_SUCCESS;
        let success = matches!(way, Way::Success);
        assert!(succeeded == success || started.flags & links == 0);
        self.model.end(id, outcome, ending.ret, success);
        self.table.finish(index, ending, succeeded);
        drop(started);
        self.settle(STRIDE);
    }

    fn time_out(&mut self, at: usize) {
        if self.running.is_empty() {
            return;
        }
        let started = &self.running[at % self.running.len()];
        let call = &mut self.model.calls[started.args[0] as usize];
        let stops = call.limited && call.life == Life::Running(Stop::No);
        let late = [WORKER, TAKER].map(|worker| self.table.time_out(started.index, worker));
        assert_eq!(late.contains(&true), stops);
        if stops {
            call.life = Life::Running(Stop::TimedOut);
        }
    }

    fn end_queued(&mut self) {
        let ending = Ending::not_started(errno::EAGAIN);
        // Broken chains end as they would have.
        while self.table.end_broken(STRIDE) {}
        while self.table.end_queued(STRIDE, ending) {}
        self.unsettled = false;
        for id in 0..self.model.calls.len() {
            let call = &self.model.calls[id];
            let before = self
                .model
                .before(id)
                .map(|before| self.model.calls[before].life);
            // Chains whose head runs are not in the queue.
            let runs = (call.chain.start..id)
                .any(|before| matches!(self.model.calls[before].life, Life::Running(_)));
            let is_taken = self.taker.dealt.contains(&id);
            let waits = call.life == Life::Waiting && !is_taken;
            if waits && !runs && before != Some(Life::Accepted) {
                self.model.calls[id].life = Life::Over(ending.outcome, ending.ret);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit(shapes) => {
                let (calls, told) = self.message(&shapes);
                if let Some(list) = self.accept(&calls) {
                    let first = self.model.calls.len();
                    self.messages.push((list, first..first + calls.len()));
                    self.model.calls.extend(told);
                }
            }
            Step::Retract(shapes) => {
                let (calls, _) = self.message(&shapes);
                if let Some(mut list) = self.accept(&calls) {
                    while !list.is_empty() {
                        self.table.retract(&mut list, STRIDE);
                    }
                }
            }
            Step::Return | Step::Killed => {
                if self.messages.is_empty() {
                    return;
                }
                let (mut list, ids) = self.messages.remove(0);
                let killed = matches!(step, Step::Killed);
                let instead = killed.then(|| Ending::not_started(errno::ESRCH));
                while !list.is_empty() {
                    self.table.queue(&mut list, STRIDE, instead);
                }
                self.model.queue(ids, instead);
                self.settle(STRIDE);
            }
            Step::Start => self.start(),
            Step::Take(most) => self.take(most),
            Step::Next => self.next(),
            Step::Close => self.close(),
            Step::SingleOut => self.single_out(),
            Step::Recall => self.recall(),
            Step::Interrupt(at) => self.finish(at, Way::WhenAsked),
            Step::Finish(at, way) => self.finish(at, way),
            Step::TimeOut(at) => self.time_out(at),
            Step::Cancel(user_data) => self.cancel(Which::UserData(user_data)),
            Step::CancelNr(nr) => self.cancel(Which::Nr(nr)),
            Step::CancelAll => self.cancel(Which::All),
            Step::Settle => self.settle(1),
            Step::EndQueued => self.end_queued(),
            Step::Send(most) => {
                if self.sending.is_empty() {
                    let sending = &mut self.sending;
                    self.table.send(most, |slot, _| {
                        let result = slot.result();
                        let outcome = Outcome::from_wire(result.outcome).unwrap();
                        sending.push((result.user_data as usize, outcome, result.ret));
                    });
                }
            }
            Step::Sent => {
                let mut sent = Vec::new();
                self.table.sent(|slot| sent.push(slot.user_data() as usize));
                let taken = self.sending.iter().map(|(id, ..)| *id);
                assert!(sent.into_iter().eq(taken), "{:?}", self.sending);
                for (id, outcome, ret) in self.sending.drain(..) {
                    let call = &mut self.model.calls[id];
                    call.deliveries += 1;
                    assert_eq!(call.deliveries, 1, "{id} is delivered twice");
                    assert_eq!(call.life, Life::Over(outcome, ret), "{id}");
                    assert!(!call.skips(), "{id} was to be left out");
                }
            }
            Step::Unsent => {
                self.table.unsent();
                self.sending.clear();
            }
            Step::Grow => self.table.grow(|memory| memory.add(3)),
        }
    }

    /// What holds between any two events.
    fn check(&self) {
        let count = |test: fn(&Told) -> bool| self.model.calls.iter().filter(|it| test(it)).count();
        let running = count(|call| matches!(call.life, Life::Running(_)));
        // A worker has its burst until it has been to the lock.
        let between = self.taker.on && self.taker.current.is_none();
        assert_eq!(
            self.table.running() as usize,
            running + usize::from(between)
        );
        let has = self.taker.dealt.len();
        assert!(self.table.queued() as usize >= has.saturating_sub(1));
        let totals = self.table.totals();
        assert_eq!(totals.accepted as usize, self.model.calls.len());
        assert_eq!(totals.skipped as usize, count(Told::skips));
        assert_eq!(totals.delivered as usize, count(|call| call.deliveries > 0));
        assert_eq!(
            totals.accepted,
            totals.delivered + totals.skipped + u64::from(self.table.in_flight())
        );
        assert_eq!(self.table.iter().count(), self.table.in_flight() as usize);
        let needed = |id: &usize| {
            let needs = |call: &Told| call.result == Some(*id) && !call.started && !call.is_over();
            let gone = &self.model.calls[*id];
            (gone.deliveries > 0 || gone.skips()) && self.model.calls.iter().any(needs)
        };
        let kept = (0..self.model.calls.len()).filter(needed).count() as u32;
        let has = self.table.used() - self.table.in_flight();
        assert!(
            has == kept || self.unsettled && has > kept,
            "{has} slots are kept, not {kept}"
        );
        assert!(self.table.ready() <= self.table.queued());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Exactly one completion per accepted call, but for successes that are left out; a chain is
    /// one call after the other and breaks where it must; a draining chain runs alone; a cancel
    /// says what it found, and the first of cancel and time limit wins; results arrive where they
    /// are needed; every slot and every context comes back.
    #[test]
    fn every_call_ends_once_and_in_its_order(steps in prop::collection::vec(step(), 0..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        // Let everything come to its end.
        let mut rounds = 0;
        let is_on = |world: &World| world.table.in_flight() > 0 || world.taker.on;
        while is_on(&world) || !world.messages.is_empty() {
            world.step(Step::Return);
            world.step(Step::Start);
            world.step(Step::Finish(0, Way::Success));
            world.step(Step::Next);
            world.step(Step::Close);
            world.step(Step::Send(3));
            world.step(Step::Sent);
            world.check();
            rounds += 1;
            prop_assert!(rounds < 10_000, "calls are stuck");
        }
        let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, call) in world.model.calls.iter().enumerate() {
            prop_assert_eq!(call.deliveries, usize::from(!call.skips()), "{}", id);
            if let Life::Over(outcome, _) = call.life {
                let name = match outcome {
                    Outcome::Canceled => "canceled",
                    Outcome::TimedOut => "timed out",
                    _ => "other",
                };
                *outcomes.entry(name).or_default() += 1;
            }
        }
        let totals = world.table.totals();
        prop_assert_eq!(totals.canceled, outcomes.get("canceled").copied().unwrap_or(0));
        prop_assert_eq!(totals.timed_out, outcomes.get("timed out").copied().unwrap_or(0));
        prop_assert_eq!(world.table.used(), 0);
        prop_assert_eq!(world.table.ready(), 0);
        prop_assert_eq!(Rc::strong_count(&world.context), 1);
    }
}
