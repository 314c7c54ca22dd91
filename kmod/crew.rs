// SPDX-License-Identifier: GPL-2.0-only

//! The workers of a session: made, woken, given calls, and ended.

use kernel::{
    bindings,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc, //
    },
    task::Task,
    time::{
        msecs_to_jiffies,
        Jiffies, //
    },
    workqueue::WorkItem, //
};

use crate::{
    burst::Hand,
    calls::{
        Index,
        Started, //
    },
    chunks::{
        self,
        Chunks, //
    },
    config,
    delivery::MOST,
    ended::{
        self,
        Ending,
        Next,
        Stop, //
    },
    errand::Errand,
    registry,
    reject::errno,
    roster::{
        Id,
        Place,
        Places,
        Roster,
        State, //
    },
    parcels,
    sched::Pool,
    session::{
        End,
        Inner,
        Session,
        Standing,
        EXCUSE,
        REAP,
        RETRY, //
    },
    shim::{
        self,
        Thread, //
    },
    slots::{
        Credentials,
        Table, //
    },
    submission::STRIDE,
    target,
    trace::{
        self,
        Ended, //
    },
    wire::SessionState,
    worker::{
        Assignment,
        Dealt,
        Done,
        Suspended,
        Turn,
        Worker, //
    },
};

/// A worker in its session's list.
pub(crate) struct Member {
    pub(crate) worker: Arc<Worker>,
    /// The call that it will issue again.
    suspended: Option<Suspended>,
    /// The calls of its burst.
    pub(crate) hand: Hand<Credentials>,
}

impl Inner {
    /// Takes back what the worker `id` has not begun of its burst, and takes over what has ended:
    /// neither shall wait for the call that it is in.
    pub(crate) fn recall(&mut self, id: Id) {
        if let Some((_, member)) = self.crew.get_mut(id) {
            member.hand.recall(&mut self.calls, member.worker.burst());
        }
    }
}

/// How long to wait before another attempt at making a worker. Milliseconds.
const NOW_AND_THEN: u32 = 1000;

/// How long to wait for workers to leave that rest. Milliseconds.
const PATIENCE: u32 = 1000;

/// Places of one allocation: few, since most sessions have few workers.
const PLACES: usize = 16;

/// Memory for the list of workers.
type Memory = Chunks<Place<Member>, PLACES>;

/// The workers of a session.
pub(crate) type Crew = Roster<Member, Memory>;

impl Places<Member> for Memory {
    fn count(&self) -> u32 {
        self.len() as u32
    }

    fn place(&self, id: Id) -> Option<&Place<Member>> {
        self.get(id as usize)
    }

    fn place_mut(&mut self, id: Id) -> Option<&mut Place<Member>> {
        self.get_mut(id as usize)
    }
}

impl Session {
    /// The workers at this moment.
    pub(crate) fn pool(&self, inner: &Inner) -> Pool {
        Pool {
            workers: inner.crew.workers(),
            fresh: inner.crew.fresh(),
            idle: inner.crew.idle(),
            busy: inner.calls.running(),
            blocked: self.blocked_counter().load(Relaxed).max(0) as u32,
            max_workers: config::max_workers(),
            max_running: config::max_running(),
        }
    }

    /// Wakes as many workers as shall be woken. Callable from interrupt context.
    pub fn wake(&self) {
        self.wake_within(&mut self.inner().lock());
    }

    fn wake_within(&self, inner: &mut Inner) {
        while inner.state == SessionState::Open && self.pool(inner).shall_wake(inner.calls.ready())
        {
            let Some(member) = inner.crew.wake() else {
                break;
            };
            member.worker.wake();
        }
    }

    /// Sees to it that the queue is worked on, in a thread of the process.
    pub(crate) fn provide(self: &Arc<Self>) {
        let create = {
            let mut inner = self.inner().lock();
            self.wake_within(&mut inner);
            self.shall_create(&inner)
        };
        if !create {
            return;
        }
        if shim::executing() {
            // Where that fails, this thread is still here then.
            return self.retry_in(1, current!());
        }
        match self.create_worker() {
            Ok(()) => {}
            Err(err) if signal_comes_first(err) => self.retry_in(1, current!()),
            Err(err) => {
                self.fail_without_workers(err);
                if err == EBUSY {
                    self.retry_later();
                }
            }
        }
    }

    /// Whether a worker shall be made.
    fn shall_create(&self, inner: &Inner) -> bool {
        // Those that a draining call holds up too: a cancel may set them free.
        let queued = inner.calls.queued();
        queued > 0 && inner.state == SessionState::Open && self.pool(inner).shall_create(queued)
    }

    /// Before a worker executes a call while others wait: another must be there, should this one
    /// block.
    pub fn provide_spare(self: &Arc<Self>) {
        if self.create_worker().is_err() {
            self.retry_later();
        }
    }

    /// The calls wait for the workers that exist, unless all of them block: then the main thread
    /// tries again, now and then, since it is interrupted for it.
    fn retry_later(self: &Arc<Self>) {
        self.retry_in(msecs_to_jiffies(NOW_AND_THEN), current!().group_leader());
    }

    /// Makes a worker, if one shall be made; `EBUSY` where a limit of the user or the machine is
    /// reached.
    fn create_worker(self: &Arc<Self>) -> Result {
        let Some(id) = self.reserve()? else {
            return Ok(());
        };
        let made = Worker::new(id, self.clone()).and_then(|worker| self.start(id, worker));
        if made.is_err() {
            let unused = self.inner().lock().crew.remove(id);
            self.payer().uncharge_worker();
            drop(unused);
            // It was expected to come: others may have left the queue to it.
            self.wake();
        }
        // The session may have ended meanwhile, and left this one to its maker.
        self.reap_soon();
        made
    }

    /// Reserves a place in the list for a worker, if one shall be made.
    fn reserve(self: &Arc<Self>) -> Result<Option<Id>> {
        loop {
            let room = {
                let mut inner = self.inner().lock();
                let inner = &mut *inner;
                if !self.shall_create(inner) {
                    return Ok(None);
                }
                // The new thread gets what this one has: it must be what the session began with.
                // It may not be in an errand that went to a thread some time after its message.
                match self.standing(inner) {
                    Standing::Home => {}
                    Standing::OtherSurroundings => return Err(EAGAIN),
                    Standing::OtherProcess | Standing::OtherProgram => break,
                }
                if inner.crew.has_room() {
                    self.payer().charge_worker().map_err(|_| EBUSY)?;
                    return Ok(inner.crew.reserve());
                }
                inner.crew.places().lacks(PLACES)
            };
            // Another thread may use it up: look again.
            chunks::extend(room, |more| {
                self.inner().lock().crew.grow(|memory| memory.take(more))
            })?;
        }
        self.end(End::Process);
        Ok(None)
    }

    /// Enters a worker at its place and makes its thread.
    fn start(&self, id: Id, worker: Arc<Worker>) -> Result {
        {
            let mut inner = self.inner().lock();
            if inner.state != SessionState::Open {
                return Err(ESRCH);
            }
            inner.crew.enter(
                id,
                Member {
                    worker: worker.clone(),
                    suspended: None,
                    hand: Hand::default(),
                },
            );
        }
        worker.start()?;
        self.inner().lock().crew.started(id);
        Ok(())
    }

    /// Where there is no worker and none can be made, no call of the queue will ever start.
    pub(crate) fn fail_without_workers(self: &Arc<Self>, err: Error) {
        let errno = match err {
            EBUSY => errno::EAGAIN,
            err => -err.to_errno(),
        };
        let ending = Ending::not_started(errno);
        loop {
            let mut inner = self.inner().lock();
            if inner.crew.workers() > 0 || !inner.calls.end_queued(STRIDE, ending) {
                break;
            }
        }
        self.flush_soon();
    }

    /// Lets `task` try again to make a worker, in a while.
    pub(crate) fn retry_in(self: &Arc<Self>, delay: Jiffies, task: &Task) {
        self.inner().lock().retry = Some(ARef::from(task));
        let _ = shim::queue().enqueue_delayed::<_, RETRY>(self.clone(), delay);
    }

    /// Asks a thread to try again, if there is still a need.
    fn retry(self: &Arc<Self>) {
        let task = {
            let mut inner = self.inner().lock();
            let needed = self.shall_create(&inner);
            inner.retry.take().filter(|_| needed)
        };
        let Some(task) = task else { return };
        if self.payer().full().is_some() {
            return self.retry_in(msecs_to_jiffies(NOW_AND_THEN), &task);
        }
        self.ask(&task);
    }

    /// Asks a thread to make a worker.
    fn ask(self: &Arc<Self>, task: &Task) {
        let sent = Errand::new().map(|errand| errand.send_to(self.clone(), task));
        if let Ok(true) = sent {
            return;
        }
        self.inner().lock().asked = false;
        match sent {
            Ok(_) => self.ask_another(),
            Err(_) => self.fail_without_workers(ENOMEM),
        }
    }

    /// The thread that was to make a worker is ending: another one shall.
    pub(crate) fn ask_another(self: &Arc<Self>) {
        match target::live_thread(self.owner()) {
            Some(task) => self.retry_in(1, &task),
            None => self.fail_without_workers(ESRCH),
        }
    }

    /// Sees to it that the queue is worked on, from outside of the process: where a worker is
    /// missing, its thread `task` is asked for one.
    pub(crate) fn ask_for_worker(self: &Arc<Self>, task: &Task) {
        let ask = {
            let mut inner = self.inner().lock();
            self.wake_within(&mut inner);
            let ask = !inner.asked && self.shall_create(&inner);
            inner.asked |= ask;
            ask
        };
        if ask {
            self.ask(task);
        }
    }

    /// What the worker `id` does next, which executes no call.
    pub fn assign(self: &Arc<Self>, id: Id) -> Turn {
        let ended = {
            let mut inner = self.inner().lock();
            let inner = &mut *inner;
            let open = inner.state == SessionState::Open;
            let Some((_, member)) = inner.crew.get_mut(id) else {
                return Turn::Rest;
            };
            match member.suspended.take() {
                None if open => {
                    let turn = self.next(inner, id);
                    if matches!(turn, Turn::Rest) && inner.undelivered() > 0 {
                        self.flush_soon();
                    }
                    return turn;
                }
                None => {
                    inner.crew.leave(id);
                    self.reap_soon();
                    return Turn::Rest;
                }
                Some(suspended) => {
                    let index = suspended.index();
                    if suspended.is_late() {
                        inner.calls.time_out(index, id);
                    }
                    if open && inner.calls.stop(index) == Stop::No {
                        inner.calls.resume(index);
                        let spare = self.shall_create(inner);
                        return Turn::Execute(Assignment::again(suspended, spare));
                    }
                    finish_suspended(&mut inner.calls, suspended)
                }
            }
        };
        if let Some(ended) = ended {
            ended.show(self);
        }
        self.follow_up();
        // What interrupted that call must not interrupt the next one.
        Turn::Signals
    }

    /// A call that the worker `id` executed came to its end. Says what it does next; where something
    /// wants to interrupt it, it asks again later.
    pub fn advance(self: &Arc<Self>, id: Id, done: &Done, thread: &Thread) -> Turn {
        self.advance_after(id, thread, |inner| {
            let calls = &mut inner.calls;
            calls.finish(done.index, done.ending, done.succeeded);
        })
    }

    /// The worker `id` is through with its burst, as far as it goes. The rest as in
    /// [`advance`](Self::advance).
    pub fn advance_burst(self: &Arc<Self>, id: Id, thread: &Thread) -> Turn {
        self.advance_after(id, thread, |inner| {
            if let Some((_, member)) = inner.crew.get_mut(id) {
                // SAFETY: The caller is the worker, and holds the lock.
                unsafe { member.hand.close(&mut inner.calls, member.worker.burst()) };
            }
        })
    }

    /// The call that the worker `id` executes of its burst was interrupted: the rest is over, and
    /// it goes on alone.
    pub fn single_out(self: &Arc<Self>, id: Id) -> Option<Started<Credentials>> {
        let mut inner = self.inner().lock();
        let inner = &mut *inner;
        let (_, member) = inner.crew.get_mut(id)?;
        let (calls, burst) = (&mut inner.calls, member.worker.burst());
        // SAFETY: The caller is the worker, and holds the lock.
        unsafe { member.hand.single_out(calls, burst, id) }
    }

    fn advance_after(
        self: &Arc<Self>,
        id: Id,
        thread: &Thread,
        account: impl FnOnce(&mut Inner),
    ) -> Turn {
        let (turn, state, results, wake, waiting, tidy) = {
            let mut inner = self.inner().lock();
            let inner = &mut *inner;
            let drained = inner.calls.is_draining();
            account(inner);
            self.uncharge(inner);
            // Under the lock: whoever interrupts the call that is over holds it, too.
            let go_on = !current!().signal_pending() && inner.state == SessionState::Open;
            let turn = if go_on {
                self.next(inner, id)
            } else {
                Turn::Signals
            };
            let results = inner.undelivered();
            let wake = drained && inner.calls.ready() > 0;
            let tidy = inner.calls.store().areas.has_over();
            let waiting = self.find_room(inner);
            (turn, inner.state, results, wake, waiting, tidy)
        };
        if tidy && shim::dying() {
            // It would not get at its memory any more.
            self.tidy_soon(&self.inner().lock());
        } else if tidy {
            thread.apart(|| self.tidy());
        }
        if let Some(sock) = waiting {
            sock.announce_room();
        }
        if wake {
            // What the draining call held up need not wait for this worker alone.
            self.wake();
        }
        if state != SessionState::Open {
            self.follow_up();
            return turn;
        }
        match turn {
            // More results are about to come: let them share a message.
            Turn::Burst(_) | Turn::Execute(_) | Turn::Again if results < MOST => {
                if results == 1 {
                    self.flush_before_long();
                }
            }
            _ if results > 0 => self.flush(),
            _ => {}
        }
        turn
    }

    /// What the worker `id` does next in an open session, if nothing is in its way.
    fn next(self: &Arc<Self>, inner: &mut Inner, id: Id) -> Turn {
        if inner.calls.end_broken(STRIDE) {
            return Turn::Again;
        }
        let Some((state, _)) = inner.crew.get_mut(id) else {
            return Turn::Rest;
        };
        let woken = match state {
            State::Working | State::Excused => true,
            State::Fresh | State::Idle => false,
            State::Free | State::Leaving | State::Stopping => return Turn::Rest,
        };
        let ready = inner.calls.ready();
        if ready > 0 {
            let pool = self.pool(inner);
            if pool.may_work(woken) {
                if let Some(turn) = self.hand_out(inner, id, pool.burst(ready)) {
                    if state != State::Working {
                        inner.crew.work(id);
                    }
                    return turn;
                }
            }
        }
        if state == State::Excused && inner.calls.queued() == 0 {
            inner.crew.leave(id);
            self.reap_soon();
        } else if state != State::Idle {
            inner.crew.rest(id, shim::now());
            self.excuse_in_time(inner);
        }
        Turn::Rest
    }

    /// Hands calls of the queue to the worker `id`: a burst of `most` at most, or a single one.
    fn hand_out(&self, inner: &mut Inner, id: Id, most: u32) -> Option<Turn> {
        // Who looks on is shown every call as it is executed.
        if !trace::is_on() {
            let (_, member) = inner.crew.get_mut(id)?;
            let (calls, burst) = (&mut inner.calls, member.worker.burst());
            // SAFETY: The caller is the worker, without a burst, and holds the lock.
            if let Some(credentials) = unsafe { member.hand.take(calls, burst, id, most) } {
                let spare = self.shall_create(inner);
                return Some(Turn::Burst(Dealt { credentials, spare }));
            }
        }
        let call = inner.calls.start(id)?;
        let area = match call.parcel {
            parcels::NONE => None,
            number => inner.calls.store().areas.get(number).cloned(),
        };
        let spare = self.shall_create(inner);
        Some(Turn::Execute(Assignment::new(call, area, spare)))
    }

    /// Sees to it that the workers that rest are looked at, when the first may have rested for
    /// long enough.
    fn excuse_in_time(self: &Arc<Self>, inner: &mut Inner) {
        if !inner.excuses {
            inner.excuses = true;
            let _ = shim::queue().enqueue_delayed::<_, EXCUSE>(self.clone(), config::idle());
        }
    }

    /// Lets those leave that have rested for long enough. A worker leaves by itself, since it may
    /// be stopped, so that nobody waits for it.
    fn excuse(self: &Arc<Self>) {
        let mut left = STRIDE;
        let mut inner = self.inner().lock();
        inner.excuses = false;
        // Who rests while calls wait is there for them.
        if inner.state == SessionState::Open && inner.calls.queued() == 0 {
            while left > 0 {
                let Some(member) = inner.crew.excuse(shim::now(), config::idle() as u32) else {
                    break;
                };
                member.worker.wake();
                left -= 1;
            }
        }
        if inner.state == SessionState::Open {
            if let Some(since) = inner.crew.rests_since() {
                let rested = shim::now().wrapping_sub(since) as Jiffies;
                inner.excuses = true;
                let delay = config::idle().saturating_sub(rested).max(1);
                let _ = shim::queue().enqueue_delayed::<_, EXCUSE>(self.clone(), delay);
            }
        }
    }

    /// Ends what will not start any more, after a call whose end was none of the usual ones.
    fn follow_up(self: &Arc<Self>) {
        loop {
            let mut inner = self.inner().lock();
            let more = if inner.state == SessionState::Open {
                inner.calls.end_broken(STRIDE)
            } else {
                inner.calls.end_queued(STRIDE, Ending::not_started(errno::ESRCH))
            };
            if !more {
                break;
            }
        }
        self.discard();
        self.flush_soon();
    }

    /// The worker `id` was killed: it calls nothing of ours any more.
    pub fn killed(self: &Arc<Self>, id: Id) {
        self.end(End::Process);
        self.inner().lock().crew.leave(id);
        self.reap_soon();
    }

    /// What follows where a running call returned `ret`, being interrupted.
    pub fn after_interruption(&self, index: Index, ret: i64) -> Next {
        let dying = shim::dying();
        let inner = self.inner().lock();
        let ending = dying || inner.state != SessionState::Open;
        ended::after(ret, inner.calls.stop(index).or(ending))
    }

    /// The time limit of the call that the worker `id` executes passed. In interrupt context.
    pub fn time_out(&self, id: Id, index: Index) {
        let mut inner = self.inner().lock();
        if inner.calls.time_out(index, id) {
            if let Some(member) = inner.crew.get(id) {
                member.worker.interrupt();
            }
        }
    }

    /// The worker `id` went to sleep inside a call. In interrupt context.
    pub fn blocked(self: &Arc<Self>, id: Id) {
        let waiting = {
            let mut inner = self.inner().lock();
            inner.recall(id);
            self.wake_within(&mut inner);
            // Results must not wait for the end of that call.
            inner.undelivered() > 0
        };
        if waiting {
            self.flush_soon();
        }
    }

    /// A running call was interrupted; the worker `id` will issue it again.
    pub fn suspend(self: &Arc<Self>, id: Id, suspended: Suspended) {
        let mut inner = self.inner().lock();
        inner.calls.interrupt(suspended.index());
        if let Some((_, member)) = inner.crew.get_mut(id) {
            member.suspended = Some(suspended);
        }
    }

    pub(crate) fn reap_soon(self: &Arc<Self>) {
        let _ = shim::patient_queue().enqueue::<_, REAP>(self.clone());
    }

    /// Ends the workers that are leaving. None of them is inside a call, so that nothing here
    /// waits for one; a worker whose call does not let go comes later, by itself. One that is
    /// stopped at this moment, with its process, is waited for until that goes on.
    fn reap(self: &Arc<Self>) {
        loop {
            let reaped = {
                let mut inner = self.inner().lock();
                let inner = &mut *inner;
                inner.crew.reap().map(|(id, member)| {
                    let suspended = member.suspended.take();
                    let ended = suspended.and_then(|it| finish_suspended(&mut inner.calls, it));
                    (id, member.worker.clone(), ended)
                })
            };
            // Nobody wakes or interrupts it any more: its thread may be freed.
            let Some((id, worker, ended)) = reaped else { break };
            if let Some(ended) = ended {
                ended.show(self);
            }
            worker.stop();
            let member = self.inner().lock().crew.remove(id);
            self.payer().uncharge_worker();
            drop(member);
            self.follow_up();
        }
        let last = {
            let mut inner = self.inner().lock();
            let Some(memory) = inner.crew.vacate() else {
                return;
            };
            let closed = inner.state == SessionState::Closed;
            let last = closed.then(|| (inner.sock.take(), inner.mm.take()));
            (last, memory)
        };
        let closed = last.0.is_some();
        // The socket's receive queue holds the session, so this must not wait for the end of it.
        drop(last);
        if closed {
            registry::remove(self);
        }
    }
}

impl Session {
    /// Lets the workers leave that rest. Says whether others stay, and whether one of them has a call,
    /// or will have.
    fn send_away(&self) -> (bool, bool) {
        let mut inner = self.inner().lock();
        let waits = inner.calls.running() + inner.calls.queued() > 0;
        while !waits {
            let Some(member) = inner.crew.excuse(shim::now(), 0) else {
                break;
            };
            member.worker.wake();
        }
        (!inner.crew.is_empty(), waits)
    }
}

/// Sees to it that the process of the current thread has no workers, for a call that only a process
/// of one thread may make. `false`: they have calls, or do not leave.
pub(crate) fn send_away() -> bool {
    // Those that rest are gone after a few of them. One that is stopped does not leave, and whoever
    // stopped it may wait for this thread to stop, too.
    for _ in 0..msecs_to_jiffies(PATIENCE) {
        let (mut stay, mut wait) = (false, false);
        for session in registry::of(shim::current_tgid()) {
            let (some, busy) = session.send_away();
            (stay, wait) = (stay || some, wait || busy);
        }
        if wait {
            return false;
        }
        if !stay && !shim::has_workers() {
            return true;
        }
        // SAFETY: The thread may sleep, on its way to user mode; only its end wakes it earlier.
        unsafe { bindings::schedule_timeout_killable(1) };
        if shim::dying() {
            return false;
        }
    }
    false
}

impl WorkItem<REAP> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.reap();
    }
}

impl WorkItem<EXCUSE> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.excuse();
    }
}

impl WorkItem<RETRY> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.retry();
    }
}

/// A call that was interrupted, and will not be issued again after all. Says what there is to show
/// of it, outside of the lock.
fn finish_suspended(calls: &mut Table, suspended: Suspended) -> Option<Ended> {
    let stop = calls.stop(suspended.index()).or(true);
    let Next::Complete(ending) = ended::after(suspended.interrupted_with(), stop) else {
        return None;
    };
    calls.finish(suspended.index(), ending, false);
    suspended.ended(calls, ending)
}

/// Whether no thread was made because a signal is pending, which wants to be handled before:
/// `-ERESTARTNOINTR` and `-EINTR`. Whoever is being killed is also given no memory for a stack.
fn signal_comes_first(err: Error) -> bool {
    matches!(err.to_errno(), -513 | -4) || (err == ENOMEM && shim::dying())
}
