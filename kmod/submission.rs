// SPDX-License-Identifier: GPL-2.0-only

//! A message on its way from the handler, through the task work of its sender, into the queue.
//!
//! The handler runs inside `sendmsg`, where descriptors are borrowed and no thread can be made.
//! What it accepts is left to the task work of the sending thread, which runs when that returns to
//! user mode.

use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    task::Task, //
};

use crate::{
    area,
    calls::{
        Consultation,
        Incoming,
        Index,
        List,
        Totals, //
    },
    chunks,
    compat::sync::lock::spinlock::SpinLockIrqBackend,
    ended::Ending,
    errand::{
        Errand,
        Pause,
        Queue, //
    },
    inline::{
        Arrival,
        Batch,
        Course,
        Farewell,
        Received,
        Run,
        Tally, //
    },
    latency::Latencies,
    parcels::{
        self,
        Number, //
    },
    parse::{
        Area,
        Submit, //
    },
    reject::{
        errno,
        reject,
        Rejection, //
    },
    sender,
    session::{
        Inner,
        Session, //
    },
    slots::{
        Credentials,
        Table,
        AREAS,
        CHUNK, //
    },
    wire::{
        flag,
        Call,
        Reloc,
        SessionState,
        REACH, //
    },
};

/// Calls that are moved while the lock is held once.
pub const STRIDE: u32 = 128;

/// The thread whose errand is on its way, and what it submitted since, in the same system call.
pub(crate) struct Arriving {
    /// The thread, by address: it is alive until its task work has run.
    task: *mut bindings::task_struct,
    later: Queue,
}

// SAFETY: The address is only compared.
unsafe impl Send for Arriving {}

/// A SUBMIT message that is to be accepted.
pub(crate) struct Submission<'a> {
    /// What it asks for.
    pub(crate) submit: Submit<'a>,
    /// Its buffer, which a netlink handler is handling.
    pub(crate) skb: *mut bindings::sk_buff,
    /// Where its attributes are in there, and their length.
    pub(crate) place: (*mut u8, usize),
    /// `nlmsg_seq`.
    pub(crate) seq: u32,
}

/// How far a thread came with what it brings.
pub(crate) enum Arrived {
    /// To the end; a call may be left that ends the thread.
    Over(Option<Farewell>),
    /// To a question to seccomp, which the errand names; it goes on with the answer.
    Asks(KBox<Errand>),
}

type Guard<'a> = kernel::sync::lock::Guard<'a, Inner, SpinLockIrqBackend>;

impl Session {
    /// Accepts a message, whole or not at all.
    ///
    /// # Safety
    ///
    /// The message is one that a netlink handler is handling, which does nothing but return
    /// afterwards.
    pub(crate) unsafe fn submit_message(
        self: &Arc<Self>,
        message: &Submission<'_>,
    ) -> Result<(), Rejection> {
        let submit = &message.submit;
        let mut calls = List::new();
        if submit.workers() > 0 {
            self.may_submit()?;
            let passes = submit.refers() || submit.area().is_some();
            if passes && sender::is_filtered() {
                // What the arguments will be is known only where another thread makes the call.
                return Err(reject!(
                    EOPNOTSUPP,
                    "DATA, or a chain that passes results, from under seccomp: only INLINE chains"
                ));
            }
            calls = self.accept_for_workers(submit, &sender::credentials())?;
        }
        // The session keeps one; where it is away, another is made outside of the lock.
        let mut made = None;
        loop {
            let mut inner = self.inner().lock();
            let Some(mut errand) = made.take().or_else(|| inner.spare.take()) else {
                drop(inner);
                match Errand::new() {
                    Ok(errand) => made = Some(errand),
                    Err(_) => {
                        self.retract(&mut calls);
                        return Err(reject!(ENOMEM, "no memory for {} calls", submit.count()));
                    }
                }
                continue;
            };
            if submit.inline() > 0 {
                // SAFETY: By the caller's promise.
                match unsafe { self.accept_inline(&mut inner, message) } {
                    Ok(batch) => errand.batch = Some(batch),
                    Err(rejection) => {
                        drop(inner);
                        drop(errand);
                        self.retract(&mut calls);
                        return Err(rejection);
                    }
                }
            }
            errand.calls = calls;
            self.depart(inner, errand, message.seq);
            return Ok(());
        }
    }

    /// Accepts calls for workers alone, none of which refers to another.
    pub(crate) fn submit(
        self: &Arc<Self>,
        count: usize,
        calls: impl Iterator<Item = Call>,
        seq: u32,
    ) -> Result<(), Rejection> {
        let mut errand = Errand::new()
            .map_err(|_| reject!(ENOMEM, "no memory for {count} calls"))?;
        errand.calls = self.accept_some(count, calls, &sender::credentials())?;
        self.depart(self.inner().lock(), errand, seq);
        Ok(())
    }

    /// Accepts the calls of a message that are for workers, with these credentials.
    pub(crate) fn accept_for_workers(
        self: &Arc<Self>,
        submit: &Submit<'_>,
        credentials: &Credentials,
    ) -> Result<List, Rejection> {
        if submit.is_plain_work() {
            return self.accept_plain(submit, credentials);
        }
        let all = (0..).zip(submit.calls());
        let by_workers = all.filter(|(_, call)| call.flags & flag::INLINE == 0);
        let mut places = Places::new(submit)?;
        let area = self.enter_area(submit)?;
        let incoming = Incoming::new(&mut places.0, area);
        let accepted = self.accept(submit.workers(), by_workers, incoming, credentials);
        if area != parcels::NONE {
            let mut inner = self.inner().lock();
            let areas = &mut inner.calls.store_mut().areas;
            // The calls have it now, if there are such.
            areas.ended(area);
            areas.gone(area);
            self.tidy_soon(&inner);
        }
        accepted
    }

    /// Accepts calls for workers, none of which refers to another, with these credentials.
    pub(crate) fn accept_some(
        self: &Arc<Self>,
        count: usize,
        calls: impl Iterator<Item = Call>,
        credentials: &Credentials,
    ) -> Result<List, Rejection> {
        let incoming = Incoming::new(&mut [], parcels::NONE);
        self.accept(count, (0..).zip(calls), incoming, credentials)
    }

    /// Makes the area of a message and enters it, where its arguments need one.
    fn enter_area(&self, submit: &Submit<'_>) -> Result<Number, Rejection> {
        let Some(Area { len, .. }) = submit.area() else {
            return Ok(parcels::NONE);
        };
        let no_memory = || reject!(ENOMEM, "DATA: no memory for {len} bytes");
        let mm = self.inner().lock().mm.clone();
        let relocs = submit.relocs().count() * size_of::<Reloc>();
        let charge = self.payer().charge_inline((len + relocs) as u32)?;
        let made = mm.map_or(Ok(None), |mm| area::Area::of(submit, &mm, charge));
        let Some(made) = made.map_err(|_| no_memory())? else {
            return Err(reject!(EPERM, "the session has ended: open a new one"));
        };
        loop {
            let room = {
                let mut inner = self.inner().lock();
                let areas = &mut inner.calls.store_mut().areas;
                if let Some(number) = areas.enter(made.clone()) {
                    return Ok(number);
                }
                let places = areas.places();
                if places.len() + AREAS > usize::from(Number::MAX) + 1 {
                    return Err(reject!(
                        EAGAIN,
                        "DATA: {} messages with such are in flight",
                        Number::MAX
                    ));
                }
                places.lacks(AREAS)
            };
            // Another thread may use it up: look again.
            chunks::extend(room, |more| {
                let mut inner = self.inner().lock();
                let areas = &mut inner.calls.store_mut().areas;
                areas.grow(|chunks| chunks.take(more))
            })
            .map_err(|_| no_memory())?;
        }
    }

    /// Accepts the INLINE calls of a message.
    ///
    /// # Safety
    ///
    /// As for [`Session::submit_message`].
    unsafe fn accept_inline(
        &self,
        inner: &mut Inner,
        message: &Submission<'_>,
    ) -> Result<Batch, Rejection> {
        let submit = &message.submit;
        let count = submit.inline();
        self.admits(inner, submit.workers() == 0)?;
        self.check_room(inner, count, false, submit.count())?;
        let Some(sock) = inner.sock.clone() else {
            return Err(reject!(EPERM, "the socket is closed"));
        };
        // SAFETY: By the caller's promise. The whole buffer is kept, whatever else was sent in it.
        let bytes = self.payer().charge_inline(unsafe { (*message.skb).truesize })?;
        self.payer().charge_calls(count as u32)?;
        inner.charged += count as u32;
        inner.inline_in_flight += count as u32;
        inner.calls.count(Totals {
            accepted: count as u64,
            ..Totals::default()
        });
        // SAFETY: By the caller's promise.
        let received = unsafe { Received::keep(message.skb, message.place, sock, bytes) };
        Ok(Batch::new(
            received,
            submit.call_size(),
            submit.shape(),
            submit.results_ptr().unwrap_or(0),
            sender::credentials(),
        ))
    }

    /// Accepts `count` calls for workers, given with their places in the message.
    fn accept(
        self: &Arc<Self>,
        count: usize,
        mut calls: impl Iterator<Item = (usize, Call)>,
        incoming: Incoming<'_>,
        credentials: &Credentials,
    ) -> Result<List, Rejection> {
        let now = sender::now_ns();
        self.accept_with(count, incoming, |table, incoming, most| {
            let mut accepted = 0;
            for (place, call) in calls.by_ref().take(most as usize) {
                if !table.accept(incoming, place, &call, credentials, now) {
                    break;
                }
                accepted += 1;
            }
            accepted
        })
    }

    /// The same for a message in which nothing but number and arguments counts.
    fn accept_plain(
        self: &Arc<Self>,
        submit: &Submit<'_>,
        credentials: &Credentials,
    ) -> Result<List, Rejection> {
        let now = sender::now_ns();
        let size = submit.call_size();
        let mut payloads = submit.payloads();
        let mut rest: &[u8] = &[];
        let incoming = Incoming::new(&mut [], parcels::NONE);
        self.accept_with(submit.count(), incoming, |table, incoming, most| {
            let mut left = most;
            while left > 0 {
                if rest.is_empty() {
                    rest = payloads.next().unwrap_or_default();
                }
                let len = rest.len().min(left as usize * size.get());
                let (entries, others) = rest.split_at(len);
                rest = others;
                let accepted = table.accept_plain(incoming, entries, size, credentials, now);
                if accepted == 0 {
                    break;
                }
                left -= accepted;
            }
            most - left
        })
    }

    /// Accepts `count` calls for workers: `accept` enters at most so many of them into the table,
    /// under the lock, and says how many there was room for.
    fn accept_with<'a>(
        self: &Arc<Self>,
        count: usize,
        mut incoming: Incoming<'a>,
        mut accept: impl FnMut(&mut Table, &mut Incoming<'a>, u32) -> u32,
    ) -> Result<List, Rejection> {
        self.make_room(count)?;
        self.payer().charge_calls(count as u32)?;
        let mut left = count as u32;
        while left > 0 {
            let mut inner = self.inner().lock();
            let before = left;
            let most = left.min(STRIDE);
            // One of another process may have been given up meanwhile.
            if inner.state != SessionState::Closed {
                left -= accept(&mut inner.calls, &mut incoming, most);
            }
            inner.charged += before - left;
            drop(inner);
            if before - left < before.min(STRIDE) {
                // Another thread took the room.
                self.payer().uncharge_calls(left);
                self.retract(&mut incoming.heads());
                return Err(reject!(
                    EAGAIN,
                    "another thread submitted meanwhile: try again"
                ));
            }
        }
        Ok(incoming.heads())
    }

    /// Sees to it that `count` slots are unused.
    fn make_room(&self, count: usize) -> Result<(), Rejection> {
        let no_memory = || reject!(ENOMEM, "no memory for {count} calls");
        loop {
            let (missing, mut room) = self.missing(count)?;
            if missing == 0 {
                return Ok(());
            }
            self.time_calls();
            for _ in 0..missing.div_ceil(CHUNK) {
                // Another thread may use it up: look again.
                chunks::extend(room.take(), |more| {
                    let mut inner = self.inner().lock();
                    inner.calls.grow(|slots| slots.chunks.take(more))
                })
                .map_err(|_| no_memory())?;
            }
        }
    }

    /// Sees to it that calls of workers are timed; where there is no memory for it, they are not.
    fn time_calls(&self) {
        if self.inner().lock().latencies.is_some() {
            return;
        }
        let Ok(zeroes) = KBox::<Latencies>::new_uninit(GFP_KERNEL_ACCOUNT | __GFP_ZERO) else {
            return;
        };
        // SAFETY: `Latencies` is `FromZeros`.
        let latencies = unsafe { zeroes.assume_init() };
        // Another thread may have been first: then its records are those that count.
        let left = match &mut self.inner().lock().latencies {
            Some(_) => Some(latencies),
            none => none.replace(latencies),
        };
        drop(left);
    }

    /// How many slots are missing for `count` calls, and how many slots there must be room for
    /// where there is not; or why the calls cannot be accepted.
    fn missing(&self, count: usize) -> Result<(usize, Option<usize>), Rejection> {
        let mut inner = self.inner().lock();
        self.check_room(&mut inner, count, true, count)?;
        self.has_workers(&inner)?;
        let missing = count.saturating_sub(inner.calls.unused() as usize);
        let room = inner.calls.store().chunks.lacks(missing.next_multiple_of(CHUNK));
        Ok((missing, room))
    }

    /// Whether a call that needs one more worker may have it, or why not.
    fn has_workers(&self, inner: &Inner) -> Result<(), Rejection> {
        if !self.pool(inner).is_stuck() {
            return Ok(());
        }
        self.payer()
            .full()
            .map_or(Ok(()), |full| Err(full.rejection()))
    }

    fn retract(self: &Arc<Self>, calls: &mut List) {
        while !calls.is_empty() {
            let mut inner = self.inner().lock();
            inner.calls.retract(calls, STRIDE);
            self.settle(&mut inner);
        }
        self.offer_room();
    }

    /// Leaves what was accepted to the task work of the current thread.
    fn depart(self: &Arc<Self>, mut inner: Guard<'_>, errand: KBox<Errand>, seq: u32) {
        let task = Task::current_raw();
        inner.last_seq = seq;
        match &mut inner.arriving {
            // An earlier message of the same system call: its task work takes both, in order.
            Some(arriving) if arriving.task == task => {
                arriving.later.push(errand);
                return;
            }
            Some(_) => {}
            arriving @ None => {
                *arriving = Some(Arriving {
                    task,
                    later: Queue::new(),
                });
            }
        }
        drop(inner);
        // The thread is inside a system call, so its task work will run.
        if let Err((errand, session)) = errand.send(self.clone()) {
            // It is ending, and makes no call any more.
            session.arrive(errand, Arrival::LAST);
        }
    }

    /// What the current thread does for the session in its task work. Goes on behind a question to
    /// seccomp.
    pub(crate) fn arrive(
        self: Arc<Self>,
        mut errand: KBox<Errand>,
        arrival: Arrival,
    ) -> Arrived {
        if errand.is_empty() {
            self.arrive_for_worker(arrival.exiting);
        }
        // What comes behind, once this thread's place among those that arrive is given up.
        let (mut course, mut later) = match errand.pause.take() {
            None => (Course::new(errand.in_get_signal, arrival), None),
            Some(pause) => (pause.course, pause.later),
        };
        course.look_at(arrival);
        let mut run = Run::new(&self, course);
        loop {
            let asks = !errand.calls.is_empty()
                && self.arrive_for_workers(&mut errand.calls, &mut run.course, arrival.exiting);
            let tally = if asks { None } else { errand.run(&mut run) };
            let Some(tally) = tally else {
                errand.pause = Some(Pause {
                    course: run.course,
                    later,
                });
                errand.session = Some(self);
                return Arrived::Asks(errand);
            };
            let has_due = tally.is_some_and(|tally| tally.due > 0);
            self.account(errand, tally, &mut later);
            if has_due {
                self.flush();
            }
            match later.as_mut().and_then(Queue::pop) {
                Some(next) => errand = next,
                None => return Arrived::Over(run.course.farewell()),
            }
        }
    }

    /// The thread was asked to make a worker.
    fn arrive_for_worker(self: &Arc<Self>, exiting: bool) {
        self.inner().lock().asked = false;
        if exiting {
            self.ask_another();
        } else {
            self.provide();
        }
    }

    /// The thread brings calls for workers. Says whether seccomp is to be asked about one of them
    /// before it goes on.
    fn arrive_for_workers(
        self: &Arc<Self>,
        calls: &mut List,
        course: &mut Course,
        exiting: bool,
    ) -> bool {
        if course.asks() && self.consult(calls, course, exiting) {
            return true;
        }
        self.take_over(calls, exiting);
        if !exiting {
            self.provide();
        }
        false
    }

    /// Queues the calls that seccomp permits, and ends the others. Says whether it is to be asked
    /// about one; otherwise it leaves those that nobody will execute.
    #[cold]
    fn consult(self: &Arc<Self>, calls: &mut List, course: &mut Course, exiting: bool) -> bool {
        let asker = sender::tid();
        let mut answer = course.answer();
        let mut has_ended = false;
        let asks = loop {
            let next = {
                let mut inner = self.inner().lock();
                let table = &mut inner.calls;
                let last = answer
                    .take()
                    .and_then(|(index, answer)| table.answer(index, asker, answer));
                if exiting || inner.state != SessionState::Open {
                    break false;
                }
                let table = &mut inner.calls;
                match course.unasked() {
                    None => table.consult(calls, asker, last),
                    Some(ending) => {
                        table.queue(calls, STRIDE, Some(ending));
                        match calls.is_empty() {
                            true => Consultation::Over,
                            false => Consultation::Ended,
                        }
                    }
                }
            };
            match next {
                Consultation::Ask(index, call) => {
                    course.ask(Some(index), call);
                    break true;
                }
                Consultation::Queued => self.provide(),
                Consultation::Ended => has_ended = true,
                Consultation::Over => break false,
            }
        };
        if has_ended || course.unasked().is_some() {
            while self.inner().lock().calls.end_broken(STRIDE) {}
            self.discard();
            // What has ended shall not wait for an answer.
            self.flush();
        }
        asks
    }

    /// An errand is over: counts what became of its INLINE calls, and keeps it for the next
    /// message, or for the flusher. The first time it takes what the current thread submitted
    /// since into `later`.
    fn account(
        self: &Arc<Self>,
        mut errand: KBox<Errand>,
        tally: Option<Tally>,
        later: &mut Option<Queue>,
    ) {
        let tally = tally.unwrap_or_default();
        if tally.due == 0 {
            // Nothing of the message is needed any more.
            errand.clear();
        }
        let task = Task::current_raw();
        let (left, waiting) = {
            let mut inner = self.inner().lock();
            let inner = &mut *inner;
            if later.is_none() {
                *later = inner
                    .arriving
                    .take_if(|arriving| arriving.task == task)
                    .map(|arriving| arriving.later);
            }
            inner.inline_in_flight -= tally.written + tally.skipped;
            inner.calls.count(tally.totals());
            if tally.due > 0 && inner.state == SessionState::Closed {
                inner.inline_in_flight -= tally.due;
            }
            self.settle(inner);
            let waiting = self.find_room(inner);
            let left = if tally.due == 0 {
                inner.spare.replace(errand)
            } else if inner.state == SessionState::Closed {
                Some(errand)
            } else {
                inner.inline_due += tally.due;
                inner.finished.push(errand);
                None
            };
            (left, waiting)
        };
        drop(left);
        if let Some(sock) = waiting {
            sock.announce_room();
        }
    }

    /// Queues calls, or ends them where nobody will execute them any more.
    pub(crate) fn take_over(self: &Arc<Self>, calls: &mut List, exiting: bool) {
        let (mut more, mut has_ended) = (true, false);
        while more {
            let mut inner = self.inner().lock();
            let before = inner.undelivered();
            let ended = exiting || inner.state != SessionState::Open;
            let instead = ended.then(|| Ending::not_started(errno::ESRCH));
            inner.calls.queue(calls, STRIDE, instead);
            more = inner.calls.end_broken(STRIDE) || !calls.is_empty();
            has_ended |= inner.undelivered() > before;
        }
        self.discard();
        if has_ended {
            // Nobody else knows of them.
            self.flush_soon();
        }
    }
}

/// Room for the slots of calls that arguments refer to.
struct Places(KVec<Index>);

impl Places {
    /// As much as the message needs.
    fn new(submit: &Submit<'_>) -> Result<Self, Rejection> {
        let count = match submit.refers() {
            true => submit.count().min(REACH),
            false => 0,
        };
        let places = KVec::from_elem(0, count, GFP_KERNEL_ACCOUNT);
        Ok(Self(places.map_err(|_| {
            reject!(ENOMEM, "no memory for {} calls", submit.count())
        })?))
    }
}
