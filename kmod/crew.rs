// SPDX-License-Identifier: GPL-2.0-only

//! The workers of a session: made, woken, given calls, and ended.

use kernel::{
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
    calls::{
        Calls,
        Index, //
    },
    ended::{
        self,
        Ending,
        Next, //
    },
    registry,
    sched::Pool,
    session::{
        End,
        Inner,
        Session,
        Standing,
        REAP,
        RETRY, //
    },
    shim,
    slots::{
        Chunks,
        Credentials, //
    },
    submission::{
        Errand,
        STRIDE, //
    },
    wire::SessionState,
    worker::{
        Suspended,
        Turn,
        Worker, //
    },
};

/// A worker in its session's list.
pub(crate) struct Entry {
    pub(crate) worker: Arc<Worker>,
    /// It has no call and sleeps, or is about to.
    pub(crate) idle: bool,
    /// Its thread was made, and its maker is done with it.
    started: bool,
    /// It will take no call any more, and only waits for the reaper.
    pub(crate) leaving: bool,
    /// The call that it will issue again.
    suspended: Option<Suspended>,
}

impl Session {
    /// The workers at this moment.
    pub(crate) fn pool(&self, inner: &Inner) -> Pool {
        Pool {
            workers: inner.workers.len() as u32,
            idle: inner.workers.iter().filter(|entry| entry.idle).count() as u32,
            blocked: self.blocked_counter().load(Relaxed).max(0) as u32,
            max_workers: shim::max_workers(),
            max_running: shim::online_cpus().clamp(1, 4),
        }
    }

    /// Wakes a worker, if one shall be woken. Callable from interrupt context.
    pub fn wake(&self) -> bool {
        let mut inner = self.inner().lock();
        if inner.state != SessionState::Open || !self.pool(&inner).shall_wake(inner.calls.queued())
        {
            return false;
        }
        match inner
            .workers
            .iter_mut()
            .find(|entry| entry.idle && !entry.leaving)
        {
            Some(entry) => {
                entry.idle = false;
                entry.worker.wake();
                true
            }
            None => false,
        }
    }

    /// Sees to it that the queue is worked on, in a thread of the process.
    pub(crate) fn provide(self: &Arc<Self>) {
        while self.wake() {}
        match self.create_worker() {
            Ok(()) => {}
            // A signal is pending: it comes first.
            Err(err) if is_restart(err) => self.retry_in(1, current!()),
            Err(err) => self.fail_without_workers(err),
        }
    }

    /// Before a worker executes a call: another must be there that can be woken should this one
    /// block while calls wait.
    pub fn provide_spare(self: &Arc<Self>) {
        if self.create_worker().is_err() {
            // The calls wait for the workers that exist, unless all of them block: then the main
            // thread tries again, now and then, since it is interrupted for it.
            self.retry_in(msecs_to_jiffies(1000), current!().group_leader());
        }
    }

    /// Makes a worker, if one shall be made.
    fn create_worker(self: &Arc<Self>) -> Result {
        let shall_create = |inner: &Inner| {
            inner.state == SessionState::Open && self.pool(inner).shall_create(inner.calls.queued())
        };
        let id = {
            let mut inner = self.inner().lock();
            if !shall_create(&inner) {
                return Ok(());
            }
            // The new thread gets what this one has: it must be what the session began with. It
            // may not be in an errand that went to a thread some time after its message.
            match self.standing(&inner) {
                Standing::Home => {}
                Standing::OtherSurroundings => return Err(EAGAIN),
                Standing::OtherProcess | Standing::OtherProgram => {
                    drop(inner);
                    self.end(End::Process);
                    return Ok(());
                }
            }
            inner.next_worker += 1;
            inner.next_worker
        };
        let worker = Worker::new(id, self.clone())?;
        {
            let mut inner = self.inner().lock();
            if !shall_create(&inner) {
                return Ok(());
            }
            let entry = Entry {
                worker: worker.clone(),
                idle: false,
                started: false,
                leaving: false,
                suspended: None,
            };
            if inner.workers.push_within_capacity(entry).is_err() {
                return Ok(());
            }
        }
        let made = worker.start();
        let gone = {
            let mut inner = self.inner().lock();
            match (&made, inner.entry(id)) {
                (Ok(()), Some(entry)) => {
                    entry.started = true;
                    None
                }
                _ => inner.take_worker(id),
            }
        };
        drop(gone);
        if made.is_err() {
            // It counted as running meanwhile: others may have left the queue to it.
            while self.wake() {}
        }
        // The session may have ended meanwhile, and left this one to its maker.
        self.reap_soon();
        made
    }

    /// Where there is no worker and none can be made, no call of the queue will ever start.
    pub(crate) fn fail_without_workers(self: &Arc<Self>, err: Error) {
        let ending = Ending::not_started(-err.to_errno());
        loop {
            let mut inner = self.inner().lock();
            if !inner.workers.is_empty() || !inner.calls.end_queued(STRIDE, ending) {
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
            let needed = inner.state == SessionState::Open
                && self.pool(&inner).shall_create(inner.calls.queued());
            inner.retry.take().filter(|_| needed)
        };
        let Some(task) = task else { return };
        match Errand::new(self.clone()) {
            Ok(errand) => {
                if errand.send_to(&task).is_err() {
                    self.fail_without_workers(ESRCH);
                }
            }
            Err(_) => self.fail_without_workers(ENOMEM),
        }
    }

    /// What the worker `id` does next.
    pub fn assign(self: &Arc<Self>, id: u32) -> Turn {
        let mut inner = self.inner().lock();
        let inner = &mut *inner;
        let open = inner.state == SessionState::Open;
        let pool = self.pool(inner);
        let Some(entry) = inner
            .workers
            .iter_mut()
            .find(|entry| entry.worker.id() == id)
        else {
            return Turn::Rest;
        };
        if let Some(suspended) = entry.suspended.take() {
            if open && !inner.calls.is_canceled(suspended.index()) {
                inner.calls.resume(suspended.index());
                return Turn::Execute(suspended.into());
            }
            finish_suspended(&mut inner.calls, &suspended);
            self.flush_soon();
            // What interrupted that call must not interrupt the next one.
            return Turn::Signals;
        }
        if !open {
            entry.leaving = true;
            self.reap_soon();
        }
        let call = if open && (entry.idle || !pool.shall_rest()) {
            inner.calls.start(id)
        } else {
            None
        };
        entry.idle = call.is_none();
        call.map_or(Turn::Rest, |call| Turn::Execute(call.into()))
    }

    /// The worker `id` was killed: it calls nothing of ours any more.
    pub fn killed(self: &Arc<Self>, id: u32) {
        self.end(End::Process);
        if let Some(entry) = self.inner().lock().entry(id) {
            entry.leaving = true;
        }
        self.reap_soon();
    }

    /// Whether a running call was cancelled, or its session is ending.
    pub fn asks_to_stop(&self, index: Index) -> bool {
        let inner = self.inner().lock();
        inner.state != SessionState::Open || inner.calls.is_canceled(index)
    }

    /// A running call came to its end.
    pub fn finish(self: &Arc<Self>, index: Index, ending: Ending) {
        let last = {
            let mut inner = self.inner().lock();
            inner.calls.finish(index, ending);
            inner.calls.queued() == 0
        };
        self.discard();
        // More results are about to come: let them share a message, unless this worker blocks.
        if last {
            self.flush();
        } else {
            self.flush_soon();
        }
    }

    /// A running call was interrupted; the worker `id` will issue it again.
    pub fn suspend(self: &Arc<Self>, id: u32, suspended: Suspended) {
        let mut inner = self.inner().lock();
        inner.calls.interrupt(suspended.index());
        if let Some(entry) = inner.entry(id) {
            entry.suspended = Some(suspended);
        }
    }

    pub(crate) fn reap_soon(self: &Arc<Self>) {
        let _ = shim::queue().enqueue::<_, REAP>(self.clone());
    }

    /// Ends the workers that are leaving. None of them is inside a call, so that nothing here
    /// waits for one; a worker whose call does not let go comes later, by itself.
    fn reap(self: &Arc<Self>) {
        loop {
            let entry = {
                let mut inner = self.inner().lock();
                let at = inner
                    .workers
                    .iter()
                    .position(|entry| entry.leaving && entry.started);
                let entry = at.and_then(|at| inner.workers.remove(at).ok());
                if let Some(suspended) = entry.as_ref().and_then(|entry| entry.suspended.as_ref()) {
                    finish_suspended(&mut inner.calls, suspended);
                }
                entry
            };
            // Nobody finds it any more: its thread may be freed.
            let Some(entry) = entry else { break };
            entry.worker.stop();
            drop(entry);
            self.discard();
            self.flush_soon();
        }
        let last = {
            let mut inner = self.inner().lock();
            if inner.state != SessionState::Closed || !inner.workers.is_empty() {
                return;
            }
            let workers = core::mem::replace(&mut inner.workers, KVVec::new());
            (inner.sock.take(), inner.mm.take(), workers)
        };
        // The socket's receive queue holds the session, so this must not wait for the end of it.
        drop(last);
        registry::remove(self.id());
    }
}

impl Inner {
    fn entry(&mut self, id: u32) -> Option<&mut Entry> {
        self.workers
            .iter_mut()
            .find(|entry| entry.worker.id() == id)
    }

    fn take_worker(&mut self, id: u32) -> Option<Entry> {
        let at = self
            .workers
            .iter()
            .position(|entry| entry.worker.id() == id)?;
        self.workers.remove(at).ok()
    }
}

impl WorkItem<REAP> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.reap();
    }
}

impl WorkItem<RETRY> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.retry();
    }
}

/// A call that was interrupted, and will not be issued again after all.
fn finish_suspended(calls: &mut Calls<Credentials, Chunks>, suspended: &Suspended) {
    if let Next::Complete(ending) = ended::after(suspended.interrupted_with(), true) {
        calls.finish(suspended.index(), ending);
    }
}

/// `-ERESTARTNOINTR` and `-EINTR`: a signal wants to be handled before a thread is made.
fn is_restart(err: Error) -> bool {
    matches!(err.to_errno(), -513 | -4)
}
