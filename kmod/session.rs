// SPDX-License-Identifier: GPL-2.0-only

//! A socket that submits, and the process that it belongs to.

use core::ffi::c_void;

use kernel::{
    bindings,
    cred::Credential,
    impl_has_delayed_work,
    impl_has_work,
    mm::Mm,
    new_delayed_work,
    new_spinlock_irq,
    new_work,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLockIrq, //
    },
    task::Task,
    workqueue::{
        DelayedWork,
        Work,
        WorkItem, //
    }, //
};

use crate::{
    calls::{
        Calls,
        Canceled,
        Index,
        List,
        Slot,
        Store,
        Totals,
        Which, //
    },
    classic,
    ended::{
        self,
        Ending,
        Next, //
    },
    family,
    gate::Gate,
    registry,
    reject::{
        errno,
        reject,
        Rejection, //
    },
    sched::Pool,
    sender::{
        self,
        Surroundings, //
    },
    shim::{
        self,
        sender_is,
        Process, //
    },
    socket::{
        self,
        Bindings,
        SessionRef,
        Sock,
        Unbound, //
    },
    wire::{
        Call,
        FrontEnd,
        SessionState, //
    },
    worker::{
        Assignment,
        Suspended,
        Worker, //
    },
};

/// The credentials that a call executes with.
pub type Credentials = ARef<Credential>;

/// Slots of one allocation; with them it fills a page at most.
const CHUNK: usize = 32;

/// Calls that are moved while the lock is held once.
const STRIDE: u32 = 128;

const _: () = assert!(CHUNK * size_of::<Slot<Credentials>>() <= 4096);

/// Memory for the slots of a session: chunks, so that growing moves nothing.
pub(crate) struct Chunks(KVec<KVec<Slot<Credentials>>>);

impl Store<Credentials> for Chunks {
    fn count(&self) -> u32 {
        (self.0.len() * CHUNK) as u32
    }

    fn slot(&self, index: Index) -> &Slot<Credentials> {
        &self.0[index as usize / CHUNK][index as usize % CHUNK]
    }

    fn slot_mut(&mut self, index: Index) -> &mut Slot<Credentials> {
        &mut self.0[index as usize / CHUNK][index as usize % CHUNK]
    }
}

/// A chunk of unused slots, charged to the sender's memory cgroup.
fn new_chunk() -> Result<KVec<Slot<Credentials>>> {
    let mut chunk = KVec::with_capacity(CHUNK, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..CHUNK {
        chunk.push(Slot::new(), GFP_KERNEL_ACCOUNT)?;
    }
    Ok(chunk)
}

/// Why a session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its process ends, or executes another program. Completions can still be read.
    Process,
    /// Its socket was closed.
    Socket,
}

/// A worker in its session's list.
struct Entry {
    worker: Arc<Worker>,
    /// It has no call and sleeps, or is about to.
    idle: bool,
    /// The call that it will issue again.
    suspended: Option<Suspended>,
}

/// What the session's lock protects.
pub(crate) struct Inner {
    state: SessionState,
    pub(crate) calls: Calls<Credentials, Chunks>,
    workers: KVec<Entry>,
    /// Workers whose thread is being made; the reaper waits for them.
    starting: u32,
    next_worker: u32,
    /// The address space at the beginning, kept for comparison, so that no other can take its
    /// address. Given back by the reaper: the last reference must not go in interrupt context.
    mm: Option<ARef<Mm>>,
    /// What the workers share with the process; of the thread that made the first one.
    surroundings: Surroundings,
    /// `None` once the socket is closed.
    pub(crate) sock: Option<Sock>,
    /// Admits one flusher.
    pub(crate) gate: Gate,
    /// COMPLETE messages in the receive queue.
    pub(crate) outstanding: u32,
    /// `nlmsg_seq` of the last message that was accepted.
    last_seq: u32,
    /// The thread whose task work is to try again to make a worker.
    retry: Option<ARef<Task>>,
}

/// Keeps the module loaded.
///
/// # Invariants
///
/// Owns one reference of the module.
struct ModuleRef(());

impl ModuleRef {
    fn new() -> Result<Self> {
        // SAFETY: The pointer is that of this module.
        if unsafe { bindings::try_module_get(crate::this_module()) } {
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference of the type invariant. The code that runs after this is
        // still waited for: `nlcall_exit()` lets all RCU and RCU-tasks readers finish.
        unsafe { bindings::module_put(crate::this_module()) };
    }
}

/// A session.
///
/// References: one of the binding to its socket, one of the registry, one of each worker, task
/// work, work item and COMPLETE message in the receive queue. The last of them may be dropped in
/// interrupt context: dropping must not sleep.
#[pin_data]
pub struct Session {
    id: u64,
    front_end: FrontEnd,
    portid: u32,
    process: Process,
    comm: [u8; 16],
    /// Workers that sleep inside a call; counted by their preempt notifiers.
    blocked: Atomic<i32>,
    #[pin]
    inner: SpinLockIrq<Inner>,
    #[pin]
    flush_work: Work<Session, FLUSH>,
    #[pin]
    reap_work: Work<Session, REAP>,
    #[pin]
    retry_work: DelayedWork<Session, RETRY>,
    #[pin]
    later_work: DelayedWork<Session, LATER>,
    // Last, so that the module goes after everything else.
    _module: ModuleRef,
}

/// Delivers completions.
pub(crate) const FLUSH: u64 = 0;
/// Ends the workers of a session that ends.
const REAP: u64 = 1;
/// Asks the submitting thread once more to make a worker.
const RETRY: u64 = 2;
/// Delivers completions after a while.
pub(crate) const LATER: u64 = 3;

impl_has_work! {
    impl HasWork<Self, 0> for Session { self.flush_work }
    impl HasWork<Self, 1> for Session { self.reap_work }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 2> for Session { self.retry_work }
    impl HasDelayedWork<Self, 3> for Session { self.later_work }
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

/// What SESSION_GET shows of a session.
pub struct Snapshot {
    /// State.
    pub state: SessionState,
    /// Calls accepted whose completion was not yet delivered.
    pub in_flight: u32,
    /// Calls that wait for a worker.
    pub queued: u32,
    /// Calls that a worker executes.
    pub running: u32,
    /// Running calls that are blocked.
    pub blocked: u32,
    /// Completions that wait for room.
    pub undelivered: u32,
    /// Workers.
    pub workers: u32,
    /// Whether calls wait and every worker up to the cap is blocked.
    pub saturated: bool,
    /// Counts since the beginning.
    pub totals: Totals,
    /// `nlmsg_seq` of the last message that was accepted.
    pub last_seq: u32,
}

impl Session {
    /// Begins a session on the socket that sent `skb`.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    pub unsafe fn begin(
        skb: *mut bindings::sk_buff,
        front_end: FrontEnd,
    ) -> Result<Arc<Session>, Rejection> {
        // SAFETY: By the caller's promise.
        unsafe { sender::may_begin(skb, &sender::credentials()) }?;
        // SAFETY: By the caller's promise.
        let session = unsafe { Self::new(skb, front_end) }
            .map_err(|_| reject!(ENOMEM, "no memory for a session"))?;
        // SAFETY: By the caller's promise.
        match unsafe { bindings_of(front_end).bind(skb, session.clone()) } {
            Ok(()) => Ok(session),
            Err(Unbound::NoMemory(unused)) => {
                unused.end(End::Socket);
                Err(reject!(ENOMEM, "no memory for a session"))
            }
            Err(Unbound::Taken(unused)) => {
                unused.end(End::Socket);
                // SAFETY: By the caller's promise. Another thread was first; what it bound stays
                // bound as long as the socket is there.
                unsafe { Self::bound(skb, front_end) }
                    .ok_or_else(|| reject!(EAGAIN, "another thread began the session: try again"))
            }
        }
    }

    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    unsafe fn new(skb: *mut bindings::sk_buff, front_end: FrontEnd) -> Result<Arc<Session>> {
        let module = ModuleRef::new()?;
        let place = registry::reserve()?;
        let current = current!();
        let mm: &Mm = current.mm().ok_or(EINVAL)?;
        let mut comm = [0; 16];
        // SAFETY: The leader's name is read without its lock: a change may show half of both.
        let name = unsafe { (*current.group_leader().as_ptr()).comm };
        for (to, from) in comm[..15].iter_mut().zip(name) {
            *to = from as u8;
        }
        let workers = KVec::with_capacity(crate::max_workers() as usize, GFP_KERNEL_ACCOUNT)?;
        let most = (crate::max_in_flight() as usize).div_ceil(CHUNK);
        let chunks = KVec::with_capacity(most, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: By the caller's promise.
        let (sock, portid) = unsafe { (Sock::of_sender(skb), socket::portid(skb)) };
        let inner = Inner {
            state: SessionState::Open,
            calls: Calls::new(Chunks(chunks)),
            workers,
            starting: 0,
            next_worker: 0,
            mm: Some(ARef::from(mm)),
            surroundings: Surroundings::current(),
            sock,
            gate: Gate::default(),
            outstanding: 0,
            last_seq: 0,
            retry: None,
        };
        let session = Arc::pin_init(
            try_pin_init!(Session {
                id: place.id,
                front_end,
                portid,
                process: Process::current().ok_or(ESRCH)?,
                comm,
                blocked: Atomic::new(0),
                inner <- new_spinlock_irq!(inner),
                flush_work <- new_work!("nlcall::flush"),
                reap_work <- new_work!("nlcall::reap"),
                retry_work <- new_delayed_work!("nlcall::retry"),
                later_work <- new_delayed_work!("nlcall::later"),
                _module: module,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        registry::insert(place, session.clone());
        Ok(session)
    }

    /// The session of the socket that sent `skb`.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    pub unsafe fn bound(skb: *mut bindings::sk_buff, front_end: FrontEnd) -> Option<Arc<Session>> {
        // SAFETY: By the caller's promise. The sender holds its socket, so the binding, which
        // owns a reference, stays while it is looked at.
        unsafe {
            let raw = bindings_of(front_end).get(skb);
            if raw.is_null() {
                return None;
            }
            Some(kernel::sync::ArcBorrow::<Session>::from_raw(raw.cast()).into())
        }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How it is spoken to.
    pub fn front_end(&self) -> FrontEnd {
        self.front_end
    }

    /// The port id of its socket when it began.
    pub fn portid(&self) -> u32 {
        self.portid
    }

    /// The process that owns it.
    pub fn owner(&self) -> &Process {
        &self.process
    }

    /// The name of the process when it began.
    pub fn comm(&self) -> &str {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(0);
        core::str::from_utf8(&self.comm[..end]).unwrap_or("?")
    }

    /// The counter of blocked workers.
    pub fn blocked_counter(&self) -> &Atomic<i32> {
        &self.blocked
    }

    pub(crate) fn inner(&self) -> &SpinLockIrq<Inner> {
        &self.inner
    }

    /// What SESSION_GET shows.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner.lock();
        let pool = self.pool(&inner);
        let queued = inner.calls.queued();
        Snapshot {
            state: inner.state,
            in_flight: inner.calls.in_flight(),
            queued,
            running: inner.calls.running(),
            blocked: pool.blocked.min(inner.calls.running()),
            undelivered: inner.calls.undelivered(),
            workers: pool.workers,
            saturated: pool.is_saturated(queued),
            totals: inner.calls.totals(),
            last_seq: inner.last_seq,
        }
    }

    /// Whether the current thread may submit to this session.
    pub fn may_submit(&self) -> Result<(), Rejection> {
        if !self.process.is_current() {
            return Err(reject!(
                EPERM,
                "the session belongs to another process: open a socket of your own"
            ));
        }
        let current = current!();
        let inner = self.inner.lock();
        let same_program = match (current.mm(), &inner.mm) {
            (Some(now), Some(then)) => core::ptr::eq::<Mm>(&**now, &**then),
            _ => false,
        };
        if !same_program || inner.state != SessionState::Open {
            return Err(reject!(
                EPERM,
                "the session ended with the program that began it: open a new one"
            ));
        }
        if inner.surroundings != Surroundings::current() {
            return Err(reject!(
                EOPNOTSUPP,
                "this thread has files, cwd or namespaces of its own: not supported yet"
            ));
        }
        Ok(())
    }

    /// Counts calls that were rejected.
    pub fn reject(&self, count: usize) {
        self.inner.lock().calls.reject(count);
    }

    /// Accepts a message of `count` calls, whole or not at all.
    pub fn submit(
        self: &Arc<Self>,
        count: usize,
        calls: impl Iterator<Item = Call>,
        seq: u32,
    ) -> Result<(), Rejection> {
        let no_memory = || reject!(ENOMEM, "no memory for {count} calls");
        let credentials = sender::credentials();
        let mut handover = KBox::new(
            Handover {
                work: bindings::callback_head::default(),
                session: self.clone(),
                calls: List::new(),
                nudge: false,
            },
            GFP_KERNEL_ACCOUNT,
        )
        .map_err(|_| no_memory())?;

        self.make_room(count)?;
        let now = now_ns();
        let mut calls = calls.peekable();
        while calls.peek().is_some() {
            let mut inner = self.inner.lock();
            for call in calls.by_ref().take(STRIDE as usize) {
                let accepted = &mut handover.calls;
                if inner
                    .calls
                    .accept(accepted, &call, credentials.clone(), now)
                {
                    continue;
                }
                // Another thread took the room.
                drop(inner);
                self.retract(&mut handover.calls);
                return Err(reject!(
                    EAGAIN,
                    "another thread submitted meanwhile: try again"
                ));
            }
        }
        self.inner.lock().last_seq = seq;
        handover.send();
        Ok(())
    }

    /// Sees to it that `count` slots are unused.
    fn make_room(&self, count: usize) -> Result<(), Rejection> {
        loop {
            let missing = {
                let inner = self.inner.lock();
                let pool = self.pool(&inner);
                if pool.is_saturated(1) {
                    return Err(reject!(
                        EAGAIN,
                        "all {} workers are blocked (max_workers)",
                        pool.max_workers
                    ));
                }
                let max = crate::max_in_flight() as usize;
                let in_flight = inner.calls.in_flight() as usize;
                if count > max.saturating_sub(in_flight) {
                    return Err(reject!(
                        EAGAIN,
                        "{count} calls and {in_flight} in flight exceed max_in_flight {max}"
                    ));
                }
                count.saturating_sub(inner.calls.unused() as usize)
            };
            if missing == 0 {
                return Ok(());
            }
            for _ in 0..missing.div_ceil(CHUNK) {
                let chunk =
                    new_chunk().map_err(|_| reject!(ENOMEM, "no memory for {count} calls"))?;
                // The capacity was reserved when the session began. Where another thread used it up
                // meanwhile there are enough slots without this chunk.
                self.inner.lock().calls.grow(|chunks| {
                    let _ = chunks.0.push_within_capacity(chunk);
                });
            }
        }
    }

    fn retract(&self, calls: &mut List) {
        while !calls.is_empty() {
            self.inner.lock().calls.retract(calls, STRIDE);
        }
    }

    /// Queues the calls of a message, in the task work of its sender.
    fn take_over(self: &Arc<Self>, calls: &mut List) {
        let exiting = shim::sender() & sender_is::EXITING != 0;
        while !calls.is_empty() {
            let mut inner = self.inner.lock();
            let ended = exiting || inner.state != SessionState::Open;
            let instead = ended.then(|| Ending::not_started(errno::ESRCH));
            inner.calls.queue(calls, STRIDE, instead);
            if inner.state == SessionState::Closed {
                inner.calls.discard();
            }
        }
        if exiting {
            self.flush_soon();
        } else {
            self.provide();
        }
    }

    /// The workers at this moment.
    fn pool(&self, inner: &Inner) -> Pool {
        Pool {
            workers: inner.workers.len() as u32,
            idle: inner.workers.iter().filter(|entry| entry.idle).count() as u32,
            blocked: self.blocked.load(Relaxed).max(0) as u32,
            max_workers: crate::max_workers(),
            max_running: shim::online_cpus().clamp(1, 4),
        }
    }

    /// Wakes a worker, if one shall be woken. Callable from interrupt context.
    pub fn wake(&self) -> bool {
        let mut inner = self.inner.lock();
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
    fn provide(self: &Arc<Self>) {
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
            let mut inner = self.inner.lock();
            if !shall_create(&inner) {
                return Ok(());
            }
            inner.next_worker += 1;
            inner.next_worker
        };
        let worker = Worker::new(id, self.clone())?;
        {
            let mut inner = self.inner.lock();
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
            let mut inner = self.inner.lock();
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
    fn fail_without_workers(self: &Arc<Self>, err: Error) {
        {
            let mut inner = self.inner.lock();
            if !inner.workers.is_empty() {
                return;
            }
            inner.calls.end_queued(Ending::not_started(-err.to_errno()));
        }
        self.flush_soon();
    }

    fn retry_soon(self: &Arc<Self>) {
        self.inner.lock().retry = Some(ARef::from(&**current!()));
        let _ = shim::queue().enqueue_delayed::<_, RETRY>(self.clone(), 1);
    }

    /// Asks the thread that could not make a worker to try again.
    fn retry(self: &Arc<Self>) {
        let Some(task) = self.inner.lock().retry.take() else {
            return;
        };
        let handover = KBox::new(
            Handover {
                work: bindings::callback_head::default(),
                session: self.clone(),
                calls: List::new(),
                nudge: true,
            },
            GFP_KERNEL,
        );
        match handover {
            Ok(handover) => handover.send_to(&task),
            Err(_) => self.fail_without_workers(ENOMEM),
        }
    }

    /// What the worker `id` is to execute next; `None`: nothing, it rests.
    pub fn assign(self: &Arc<Self>, id: u32) -> Option<Assignment> {
        let mut inner = self.inner.lock();
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
        let inner = self.inner.lock();
        inner.state != SessionState::Open || inner.calls.is_canceled(index)
    }

    /// A running call came to its end.
    pub fn finish(self: &Arc<Self>, index: Index, ending: Ending) {
        let last = {
            let mut inner = self.inner.lock();
            inner.calls.finish(index, ending);
            if inner.state == SessionState::Closed {
                inner.calls.discard();
            }
            inner.calls.queued() == 0
        };
        // More results are about to come: let them share a message, unless this worker blocks.
        if last {
            self.flush();
        } else {
            self.flush_soon();
        }
    }

    /// A running call was interrupted; the worker `id` will issue it again.
    pub fn suspend(self: &Arc<Self>, id: u32, suspended: Suspended) {
        let mut inner = self.inner.lock();
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

    /// Cancels calls.
    pub fn cancel(self: &Arc<Self>, which: Which) -> Canceled {
        let found = self.inner.lock().cancel(which);
        self.flush_soon();
        found
    }

    /// Ends the session. Never sleeps.
    pub fn end(self: &Arc<Self>, end: End) {
        {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            match (end, inner.state) {
                (End::Process, SessionState::Open) => inner.state = SessionState::Ended,
                (End::Socket, SessionState::Open | SessionState::Ended) => {
                    inner.state = SessionState::Closed;
                }
                (End::Process, SessionState::Ended | SessionState::Closed)
                | (End::Socket, SessionState::Closed) => return,
            }
            inner.calls.end_queued(Ending::not_started(errno::ESRCH));
            inner.cancel(Which::All);
            if inner.state == SessionState::Closed {
                inner.calls.discard();
            }
        }
        self.reap_soon();
        self.flush_soon();
    }

    fn reap_soon(self: &Arc<Self>) {
        let _ = shim::queue().enqueue::<_, REAP>(self.clone());
    }

    /// Ends the workers of a session that ends, one after the other. They were all interrupted, so
    /// each leaves as soon as its call lets go.
    fn reap(self: &Arc<Self>) {
        loop {
            let worker = {
                let inner = self.inner.lock();
                if inner.starting > 0 {
                    // Whoever starts it enqueues this again.
                    return;
                }
                inner.workers.first().map(|entry| entry.worker.clone())
            };
            let Some(worker) = worker else { break };
            worker.stop();
            let entry = {
                let mut inner = self.inner.lock();
                let entry = inner.take_worker(worker.id());
                if let Some(suspended) = entry.as_ref().and_then(|entry| entry.suspended.as_ref()) {
                    finish_suspended(&mut inner.calls, suspended);
                }
                if inner.state == SessionState::Closed {
                    inner.calls.discard();
                }
                entry
            };
            drop(entry);
            self.flush_soon();
        }
        let last = {
            let mut inner = self.inner.lock();
            if inner.state != SessionState::Closed {
                return;
            }
            (inner.sock.take(), inner.mm.take())
        };
        // The socket's receive queue holds the session, so this must not wait for the end of it.
        drop(last);
        registry::remove(self.id);
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

    /// Cancels calls and interrupts those that run.
    fn cancel(&mut self, which: Which) -> Canceled {
        let workers = &self.workers;
        self.calls.cancel(which, |id| {
            if let Some(entry) = workers.iter().find(|entry| entry.worker.id() == id) {
                entry.worker.interrupt();
            }
        })
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

/// The sessions of the front end's sockets.
fn bindings_of(front_end: FrontEnd) -> Bindings {
    match front_end {
        FrontEnd::Generic => family::bindings(),
        FrontEnd::Classic => classic::bindings(),
    }
}

/// Monotonic time in nanoseconds.
fn now_ns() -> u64 {
    // SAFETY: Only reads the clock.
    unsafe { bindings::ktime_get() as u64 }
}

/// The calls of one message on their way from the handler, through the task work of their sender,
/// into the queue.
#[repr(C)]
struct Handover {
    /// First, so that its address is that of the whole.
    work: bindings::callback_head,
    session: Arc<Session>,
    calls: List,
    /// Carries no calls, but the request to make a worker.
    nudge: bool,
}

impl Handover {
    /// Gives the calls to the task work of the current thread, which runs when it returns to user
    /// mode.
    fn send(self: KBox<Self>) {
        self.add(
            Task::current_raw(),
            bindings::task_work_notify_mode_TWA_RESUME,
        );
    }

    /// Gives them to the task work of another thread, waking it.
    fn send_to(self: KBox<Self>, task: &Task) {
        self.add(task.as_ptr(), bindings::task_work_notify_mode_TWA_SIGNAL);
    }

    fn add(mut self: KBox<Self>, task: *mut bindings::task_struct, notify: u32) {
        self.work.func = Some(arrive);
        let this = KBox::into_raw(self);
        // SAFETY: `this` is a valid callback that `arrive()` will take back; the task is alive.
        let err = unsafe { bindings::task_work_add(task, &raw mut (*this).work, notify) };
        if err == 0 {
            return;
        }
        // SAFETY: It was not added, so it is still ours.
        let mut this = unsafe { KBox::from_raw(this) };
        let session = this.session.clone();
        // The thread is ending. Calls that were accepted complete all the same.
        if this.nudge {
            session.fail_without_workers(ESRCH);
        }
        while !this.calls.is_empty() {
            let mut inner = session.inner.lock();
            let ending = Ending::not_started(errno::ESRCH);
            inner.calls.queue(&mut this.calls, STRIDE, Some(ending));
        }
        session.flush_soon();
    }
}

/// The task work.
unsafe extern "C" fn arrive(work: *mut bindings::callback_head) {
    // SAFETY: `work` is the first field of a `Handover` that `Handover::add()` gave away.
    let mut handover = unsafe { KBox::from_raw(work.cast::<Handover>()) };
    let session = handover.session.clone();
    if handover.nudge {
        if shim::sender() & sender_is::EXITING != 0 {
            session.fail_without_workers(ESRCH);
        } else {
            session.provide();
        }
    } else {
        session.take_over(&mut handover.calls);
    }
}

// SAFETY: The pointer is that of an `Arc`, whose count stays while it is away.
unsafe impl SessionRef for Arc<Session> {
    fn into_raw(self) -> *mut c_void {
        Arc::into_raw(self).cast_mut().cast()
    }

    unsafe fn from_raw(raw: *mut c_void) -> Self {
        // SAFETY: By the caller's promise.
        unsafe { Arc::from_raw(raw.cast()) }
    }
}
