// SPDX-License-Identifier: GPL-2.0-only

//! The workers of a session: made, woken, given calls, and ended.

use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc, //
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
        Inner,
        Session,
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
        Assignment,
        Suspended,
        Worker, //
    },
};

/// A worker in its session's list.
pub(crate) struct Entry {
    pub(crate) worker: Arc<Worker>,
    /// It has no call and sleeps, or is about to.
    pub(crate) idle: bool,
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
        if !self.pool(&inner).shall_wake(inner.calls.queued()) {
            return false;
        }
        match inner.workers.iter_mut().find(|entry| entry.idle) {
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
            Err(err) if is_restart(err) => self.retry_soon(),
            Err(err) => self.fail_without_workers(err),
        }
    }

    /// Before a worker executes a call: another must be there that can be woken should this one
    /// block while calls wait.
    pub fn provide_spare(self: &Arc<Self>) {
        // Where none can be made now the calls wait for the workers that exist: this one is back
        // for the next call in any case.
        let _ = self.create_worker();
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
                suspended: None,
            };
            if inner.workers.push_within_capacity(entry).is_err() {
                return Ok(());
            }
            inner.starting += 1;
        }
        let started = worker.start();
        let mut gone = None;
        let ended = {
            let mut inner = self.inner().lock();
            inner.starting -= 1;
            if started.is_err() {
                gone = inner.take_worker(id);
            }
            inner.state != SessionState::Open
        };
        drop(gone);
        if ended {
            self.reap_soon();
        }
        started
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

    fn retry_soon(self: &Arc<Self>) {
        self.inner().lock().retry = Some(ARef::from(&**current!()));
        let _ = shim::queue().enqueue_delayed::<_, RETRY>(self.clone(), 1);
    }

    /// Asks the thread that could not make a worker to try again.
    fn retry(self: &Arc<Self>) {
        let Some(task) = self.inner().lock().retry.take() else {
            return;
        };
        match Errand::new(self.clone()) {
            Ok(errand) => {
                if errand.send_to(&task).is_err() {
                    self.fail_without_workers(ESRCH);
                }
            }
            Err(_) => self.fail_without_workers(ENOMEM),
        }
    }

    /// What the worker `id` is to execute next; `None`: nothing, it rests.
    pub fn assign(self: &Arc<Self>, id: u32) -> Option<Assignment> {
        let mut inner = self.inner().lock();
        let inner = &mut *inner;
        let open = inner.state == SessionState::Open;
        let pool = self.pool(inner);
        let entry = inner
            .workers
            .iter_mut()
            .find(|entry| entry.worker.id() == id)?;
        if let Some(suspended) = entry.suspended.take() {
            if open && !inner.calls.is_canceled(suspended.index()) {
                inner.calls.resume(suspended.index());
                return Some(suspended.into());
            }
            finish_suspended(&mut inner.calls, &suspended);
            self.flush_soon();
        }
        let call = if open && (entry.idle || !pool.shall_rest()) {
            inner.calls.start(id)
        } else {
            None
        };
        entry.idle = call.is_none();
        call.map(Assignment::from)
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
        let inner = &mut *inner;
        inner.calls.interrupt(suspended.index());
        if let Some(entry) = inner
            .workers
            .iter_mut()
            .find(|entry| entry.worker.id() == id)
        {
            entry.suspended = Some(suspended);
        }
    }

    pub(crate) fn reap_soon(self: &Arc<Self>) {
        let _ = shim::queue().enqueue::<_, REAP>(self.clone());
    }

    /// Ends the workers of a session that ends, one after the other. They were all interrupted, so
    /// each leaves as soon as its call lets go.
    fn reap(self: &Arc<Self>) {
        loop {
            let worker = {
                let inner = self.inner().lock();
                if inner.starting > 0 {
                    // Whoever starts it enqueues this again.
                    return;
                }
                inner.workers.first().map(|entry| entry.worker.clone())
            };
            let Some(worker) = worker else { break };
            worker.stop();
            let entry = {
                let mut inner = self.inner().lock();
                let entry = inner.take_worker(worker.id());
                if let Some(suspended) = entry.as_ref().and_then(|entry| entry.suspended.as_ref()) {
                    finish_suspended(&mut inner.calls, suspended);
                }
                entry
            };
            drop(entry);
            self.discard();
            self.flush_soon();
        }
        let last = {
            let mut inner = self.inner().lock();
            if inner.state != SessionState::Closed {
                return;
            }
            (inner.sock.take(), inner.mm.take())
        };
        // The socket's receive queue holds the session, so this must not wait for the end of it.
        drop(last);
        registry::remove(self.id());
    }
}

impl Inner {
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
