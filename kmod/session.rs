// SPDX-License-Identifier: GPL-2.0-only

//! A socket that submits, and the process that it belongs to.

use core::ffi::c_void;

use kernel::{
    bindings,
    impl_has_delayed_work,
    impl_has_work,
    mm::Mm,
    new_delayed_work,
    new_work,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Task,
    time::Jiffies,
    workqueue::{
        DelayedWork,
        Work,
        WorkItem, //
    }, //
};

use crate::{
    abroad::Abroad,
    calls::{
        Calls,
        Index,
        Totals,
        Which, //
    },
    chunks, classic,
    compat::{
        new_spinlock_irq,
        sync::SpinLockIrq, //
    },
    crew::Crew,
    delivery::SHORTEST,
    ended::Ending,
    errand::{
        Errand,
        Queue, //
    },
    family,
    gate::Gate,
    latency::Latencies,
    registry,
    reject::{
        errno,
        reject,
        Rejection, //
    },
    room::Wanted,
    sender::{
        self,
        Surroundings, //
    },
    shim::{
        self,
        Process, //
    },
    parcels::Out,
    slots::{
        Slots,
        Table, //
    },
    socket::{
        self,
        Bindings,
        SessionRef,
        Sock,
        Unbound, //
    },
    submission::{
        Arriving,
        STRIDE, //
    },
    target::Target,
    users::Payer,
    wire::{
        FrontEnd,
        Latency,
        SessionState, //
    },
};

/// Why a session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its process ends, or executes another program. Completions can still be read.
    Process,
    /// Its socket was closed.
    Socket,
}

/// How a thread stands to a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A worker that it makes is what the session's workers are.
    Home,
    /// It is of another process.
    OtherProcess,
    /// Its process executes another program than the one that began the session.
    OtherProgram,
    /// It has files, a file system context or namespaces of its own.
    OtherSurroundings,
}

/// What the session's lock protects.
pub(crate) struct Inner {
    pub(crate) state: SessionState,
    pub(crate) calls: Table,
    /// Calls that are charged to the user.
    pub(crate) charged: u32,
    pub(crate) crew: Crew,
    /// Whether the workers that rest will be looked at.
    pub(crate) excuses: bool,
    /// The address space at the beginning, kept for comparison, so that no other can take its
    /// address. Given back by the reaper: the last reference must not go in interrupt context.
    pub(crate) mm: Option<ARef<Mm>>,
    /// `None` once the socket is closed.
    pub(crate) sock: Option<Sock>,
    /// Admits one flusher.
    pub(crate) gate: Gate,
    /// How long calls of workers took. `None` before the first, or where there was no memory.
    pub(crate) latencies: Option<KBox<Latencies>>,
    /// COMPLETE messages in the receive queue.
    pub(crate) outstanding: u32,
    /// What a sender waits for that was turned away. While somebody does, the socket is filled.
    pub(crate) wanted: Option<Wanted>,
    /// `nlmsg_seq` of the last message that was accepted.
    pub(crate) last_seq: u32,
    /// The thread whose errand is on its way, and what it submitted since.
    pub(crate) arriving: Option<Arriving>,
    /// INLINE calls accepted whose completion was not yet delivered.
    pub(crate) inline_in_flight: u32,
    /// Of these, the completions that wait for room.
    pub(crate) inline_due: u32,
    /// Batches with such completions, oldest first.
    pub(crate) finished: Queue,
    /// An errand for the next message.
    pub(crate) spare: Option<KBox<Errand>>,
    /// How long the flusher waits before it looks again; grows while that helps nothing. Jiffies.
    pub(crate) patience: Jiffies,
    /// The thread whose task work is to try again to make a worker.
    pub(crate) retry: Option<ARef<Task>>,
    /// A thread of another process was asked to make one.
    pub(crate) asked: bool,
    /// The sessions of the socket in other processes. `None` before the first.
    pub(crate) abroad: Option<Abroad>,
}

/// What a session begins with.
pub(crate) struct Origin {
    /// The process that executes its calls.
    pub(crate) process: Process,
    /// Its memory.
    pub(crate) mm: ARef<Mm>,
    /// What its workers share with it.
    pub(crate) surroundings: Surroundings,
    /// The name of its leader.
    pub(crate) comm: [u8; 16],
    /// The socket.
    pub(crate) sock: Option<Sock>,
    /// The process that the socket belongs to, where that is another.
    pub(crate) on_behalf_of: Option<Process>,
    pub(crate) front_end: FrontEnd,
    pub(crate) portid: u32,
}

/// Keeps the module loaded.
///
/// # Invariants
///
/// Owns one reference of the module.
struct ModuleRef(());

impl ModuleRef {
    fn new() -> Result<Self> {
        // A reference does not keep a module whose initialisation may still fail.
        if !crate::READY.load(Acquire) {
            return Err(ENODEV);
        }
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
#[pin_data(PinnedDrop)]
pub struct Session {
    id: u64,
    front_end: FrontEnd,
    portid: u32,
    process: Process,
    /// The process that it acts for, where that is another.
    on_behalf_of: Option<Process>,
    /// The address of the process's memory at the beginning, to compare: `Inner::mm` keeps it.
    program: usize,
    /// What the workers share with the process.
    surroundings: Surroundings,
    comm: [u8; 16],
    payer: Payer,
    /// Workers that sleep inside a call; counted by their preempt notifiers.
    blocked: Atomic<i32>,
    /// Whether the state is `Open`; changed under the lock.
    open: Atomic<u32>,
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
    #[pin]
    excuse_work: DelayedWork<Session, EXCUSE>,
    #[pin]
    tidy_work: Work<Session, TIDY>,
    // Last, so that the module goes after everything else.
    _module: ModuleRef,
}

#[pinned_drop]
impl PinnedDrop for Session {
    fn drop(self: Pin<&mut Self>) {
        let charged = self.inner.lock().charged;
        self.payer.uncharge_calls(charged);
    }
}

/// Delivers completions.
pub(crate) const FLUSH: u64 = 0;
/// Ends the workers of a session that ends.
pub(crate) const REAP: u64 = 1;
/// Asks the submitting thread once more to make a worker.
pub(crate) const RETRY: u64 = 2;
/// Delivers completions after a while.
pub(crate) const LATER: u64 = 3;
/// Lets workers leave that have rested for long.
pub(crate) const EXCUSE: u64 = 4;
/// Gives back what messages needed of memory.
pub(crate) const TIDY: u64 = 5;

impl_has_work! {
    impl HasWork<Self, 0> for Session { self.flush_work }
    impl HasWork<Self, 1> for Session { self.reap_work }
    impl HasWork<Self, 5> for Session { self.tidy_work }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 2> for Session { self.retry_work }
    impl HasDelayedWork<Self, 3> for Session { self.later_work }
    impl HasDelayedWork<Self, 4> for Session { self.excuse_work }
}

/// What a cancel found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Canceled {
    /// Calls that had not started and never will.
    pub canceled: u32,
    /// Running calls that were asked to stop.
    pub interrupted: u32,
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
    /// Workers without a call.
    pub idle: u32,
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
        let session = unsafe { Origin::of_sender(skb, front_end) }
            .and_then(Self::new)
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

    /// A new session, open and registered. By the thread whose user pays for it.
    pub(crate) fn new(origin: Origin) -> Result<Arc<Session>> {
        let module = ModuleRef::new()?;
        let place = registry::reserve()?;
        let program = &raw const *origin.mm as usize;
        let inner = Inner {
            state: SessionState::Open,
            calls: Calls::new(Slots::new()),
            charged: 0,
            crew: Crew::new(chunks::Chunks::new()),
            excuses: false,
            mm: Some(origin.mm),
            sock: origin.sock,
            gate: Gate::default(),
            latencies: None,
            outstanding: 0,
            wanted: None,
            last_seq: 0,
            patience: SHORTEST,
            arriving: None,
            inline_in_flight: 0,
            inline_due: 0,
            finished: Queue::new(),
            spare: None,
            retry: None,
            asked: false,
            abroad: None,
        };
        let session = Arc::pin_init(
            try_pin_init!(Session {
                id: place.id,
                front_end: origin.front_end,
                portid: origin.portid,
                process: origin.process,
                on_behalf_of: origin.on_behalf_of,
                program,
                surroundings: origin.surroundings,
                comm: origin.comm,
                payer: Payer::current()?,
                blocked: Atomic::new(0),
                open: Atomic::new(1),
                inner <- new_spinlock_irq!(inner),
                flush_work <- new_work!("nlcall::flush"),
                reap_work <- new_work!("nlcall::reap"),
                retry_work <- new_delayed_work!("nlcall::retry"),
                later_work <- new_delayed_work!("nlcall::later"),
                excuse_work <- new_delayed_work!("nlcall::excuse"),
                tidy_work <- new_work!("nlcall::tidy"),
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

    /// The process that owns it, and executes its calls.
    pub fn owner(&self) -> &Process {
        &self.process
    }

    /// The process that it acts for, where that is another.
    pub fn on_behalf_of(&self) -> Option<&Process> {
        self.on_behalf_of.as_ref()
    }

    /// Whether it is a process's own, or acts for it.
    pub fn concerns(&self, process: *const bindings::pid) -> bool {
        let other = self.on_behalf_of.as_ref();
        self.process.is(process) || other.is_some_and(|other| other.is(process))
    }

    /// Whether its process is that one, executes the same program as at the beginning, and has the
    /// same files, file system context and namespaces. Only while it is open.
    pub(crate) fn is_in(&self, target: &Target) -> bool {
        self.process.is(target.process.as_ptr())
            && self.program == &raw const *target.mm as usize
            && self.surroundings == target.surroundings
    }

    /// The name of the process when it began.
    pub fn comm(&self) -> &str {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(15);
        core::str::from_utf8(&self.comm[..end]).unwrap_or("?")
    }

    /// What its user has in use.
    pub(crate) fn payer(&self) -> &Payer {
        &self.payer
    }

    /// The counter of blocked workers.
    pub fn blocked_counter(&self) -> &Atomic<i32> {
        &self.blocked
    }

    /// What the lock protects.
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
            in_flight: inner.in_flight(),
            queued,
            running: inner.calls.running(),
            blocked: pool.blocked.min(inner.calls.running()),
            undelivered: inner.undelivered(),
            workers: pool.workers,
            idle: pool.idle,
            saturated: pool.is_saturated(queued),
            totals: inner.calls.totals(),
            last_seq: inner.last_seq,
        }
    }

    /// Shows how long calls of workers took, one system call number after the other, until `show`
    /// fails. Under the lock: `show` must not sleep.
    pub fn latencies(&self, show: impl FnMut(Latency) -> Result) -> Result {
        match &self.inner.lock().latencies {
            Some(latencies) => latencies.iter().try_for_each(show),
            None => Ok(()),
        }
    }

    /// Whether the session takes submissions, without its lock: it may end at any moment.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: The counter lives as long as the session. This is what `load()` does, which is
        // a call out of line, here made for each INLINE call.
        unsafe { self.open.as_ptr().read_volatile() != 0 }
    }

    /// What [`Session::is_open`] reads.
    pub(crate) fn open(&self) -> &Atomic<u32> {
        &self.open
    }

    /// Whether the current thread may submit to this session, or cancel in it.
    pub fn may_submit(&self) -> Result<(), Rejection> {
        self.admits(&self.inner.lock(), false)
    }

    /// Whether the current thread may submit to this session: INLINE calls only, or any.
    pub(crate) fn admits(&self, inner: &Inner, only_inline: bool) -> Result<(), Rejection> {
        match self.standing(inner) {
            Standing::Home if inner.state == SessionState::Open => Ok(()),
            Standing::OtherSurroundings if only_inline && inner.state == SessionState::Open => {
                Ok(())
            }
            standing => Err(Self::not_admitted(standing, inner)),
        }
    }

    #[cold]
    fn not_admitted(standing: Standing, inner: &Inner) -> Rejection {
        match standing {
            Standing::OtherProcess => reject!(
                EPERM,
                "the session belongs to another process: open a socket of your own"
            ),
            Standing::OtherSurroundings if inner.state == SessionState::Open => reject!(
                EOPNOTSUPP,
                "other files, cwd or namespaces than the session's: only INLINE calls"
            ),
            _ => reject!(
                EPERM,
                "the session ended with the program that began it: open a new one"
            ),
        }
    }

    /// How the current thread stands to the session.
    pub(crate) fn standing(&self, inner: &Inner) -> Standing {
        if !self.process.is_current() {
            return Standing::OtherProcess;
        }
        let same_program = match (current!().mm(), &inner.mm) {
            (Some(now), Some(then)) => core::ptr::eq::<Mm>(&**now, &**then),
            _ => false,
        };
        if !same_program {
            Standing::OtherProgram
        } else if self.surroundings != Surroundings::current() {
            Standing::OtherSurroundings
        } else {
            Standing::Home
        }
    }

    /// Counts calls that were rejected.
    pub fn reject(&self, count: usize) {
        self.inner.lock().calls.reject(count);
    }

    /// Cancels calls.
    pub fn cancel(self: &Arc<Self>, which: Which) -> Canceled {
        let mut found = Canceled::default();
        // First those that wait: an interrupted worker would begin them.
        self.in_parts(|inner, from| {
            found.canceled += inner.cancel_waiting(which, from);
        });
        self.in_parts(|inner, from| found.interrupted += inner.cancel_running(which, from));
        while self.inner.lock().calls.end_broken(STRIDE) {}
        // One that drained may have held up others.
        self.wake();
        self.flush_soon();
        found
    }

    /// Goes through all slots, [`STRIDE`] at a time, so that the lock is never held for long.
    fn in_parts(&self, mut part: impl FnMut(&mut Inner, Index)) {
        let mut from = 0;
        loop {
            let mut inner = self.inner.lock();
            if from >= inner.calls.slots() {
                break;
            }
            part(&mut inner, from);
            from += STRIDE;
        }
    }

    /// Gives back what calls that are over needed.
    pub(crate) fn settle(self: &Arc<Self>, inner: &mut Inner) {
        self.uncharge(inner);
        self.tidy_soon(inner);
    }

    /// Lets the patient work queue give back what messages needed of memory, where there is such.
    pub(crate) fn tidy_soon(self: &Arc<Self>, inner: &Inner) {
        if inner.calls.store().areas.has_over() {
            let _ = shim::patient_queue().enqueue::<_, TIDY>(self.clone());
        }
    }

    /// Gives back what messages needed of memory. May sleep.
    pub(crate) fn tidy(&self) {
        loop {
            let over = self.inner.lock().calls.store_mut().areas.take();
            match over {
                Some(Out::Ended(area) | Out::Gone(area)) => area.remove(),
                None => return,
            }
        }
    }

    /// Gives back to the user what is charged for calls that are over.
    pub(crate) fn uncharge(&self, inner: &mut Inner) {
        let over = inner.charged - inner.occupied();
        if over > 0 {
            inner.charged -= over;
            self.payer.uncharge_calls(over);
        }
    }

    /// Drops the completions of a session whose socket is closed.
    pub(crate) fn discard(self: &Arc<Self>) {
        let finished = {
            let mut inner = self.inner.lock();
            if inner.state != SessionState::Closed {
                return;
            }
            inner.inline_in_flight -= inner.inline_due;
            inner.inline_due = 0;
            core::mem::replace(&mut inner.finished, Queue::new())
        };
        drop(finished);
        loop {
            let mut inner = self.inner.lock();
            if inner.state != SessionState::Closed {
                break;
            }
            let more = inner.calls.discard(STRIDE);
            self.settle(&mut inner);
            if !more {
                break;
            }
        }
    }

    /// Lets every worker know that the session has ended: calls that run are interrupted, those of
    /// a burst that have not begun wait again, and workers that rest are woken, so that each comes
    /// to ask for its next call, and leaves. One that is made meanwhile finds out by itself.
    fn dismiss(&self) {
        let mut from = 0;
        loop {
            let mut inner = self.inner.lock();
            if from as usize >= inner.crew.places().len() {
                break;
            }
            for (member, idle) in inner.crew.active(from, STRIDE) {
                if idle {
                    member.worker.wake();
                } else {
                    member.worker.interrupt();
                }
            }
            for id in from..from + STRIDE {
                inner.recall(id);
            }
            from += STRIDE;
        }
    }

    /// Ends the session. Never sleeps.
    pub fn end(self: &Arc<Self>, end: End) {
        self.end_where(end, |_| true);
    }

    /// Closes the session, as if its socket was closed, where nothing is in flight: nothing is
    /// accepted any more then. Says whether it is closed. Never sleeps.
    pub(crate) fn end_unused(self: &Arc<Self>) -> bool {
        self.end_where(End::Socket, |inner| inner.in_flight() == 0)
    }

    /// Ends the session where it is in a state that allows it. Says whether it has ended so.
    fn end_where(self: &Arc<Self>, end: End, may_end: impl FnOnce(&Inner) -> bool) -> bool {
        let waiting = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            let state = match (end, inner.state) {
                (End::Process, SessionState::Open) => SessionState::Ended,
                (End::Socket, SessionState::Open | SessionState::Ended) => SessionState::Closed,
                (End::Process, SessionState::Ended | SessionState::Closed)
                | (End::Socket, SessionState::Closed) => return true,
            };
            if !may_end(inner) {
                return false;
            }
            inner.state = state;
            self.open.store(0, Relaxed);
            inner.end_waiting()
        };
        if let Some(sock) = waiting {
            sock.announce_room();
        }
        self.dismiss();
        let ending = Ending::not_started(errno::ESRCH);
        while self.inner.lock().calls.end_queued(STRIDE, ending) {}
        self.discard();
        self.reap_soon();
        self.flush_soon();
        // What waits for its time holds the session.
        shim::hurry::<EXCUSE>(self.clone());
        self.end_abroad(end);
        true
    }
}

impl Origin {
    /// The current process, by the socket that sent `skb`.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    unsafe fn of_sender(skb: *mut bindings::sk_buff, front_end: FrontEnd) -> Result<Self> {
        let current = current!();
        let mm: &Mm = current.mm().ok_or(EINVAL)?;
        Ok(Self {
            process: Process::current().ok_or(ESRCH)?,
            mm: ARef::from(mm),
            surroundings: Surroundings::current(),
            comm: sender::process_name(),
            // SAFETY: By the caller's promise.
            sock: Some(unsafe { Sock::of_sender(skb) }?),
            on_behalf_of: None,
            front_end,
            // SAFETY: By the caller's promise.
            portid: unsafe { socket::portid(skb) },
        })
    }
}

impl WorkItem<TIDY> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.tidy();
    }
}

impl Inner {
    /// Calls accepted whose completion was not yet delivered.
    pub(crate) fn in_flight(&self) -> u32 {
        self.calls.in_flight() + self.inline_in_flight
    }

    /// What counts against the limits: these, and calls whose result a later one needs.
    pub(crate) fn occupied(&self) -> u32 {
        self.calls.used() + self.inline_in_flight
    }

    /// Completions that wait for room.
    pub(crate) fn undelivered(&self) -> u32 {
        self.calls.undelivered() + self.inline_due
    }

    /// Cancels calls among [`STRIDE`] slots that have not begun.
    fn cancel_waiting(&mut self, which: Which, from: Index) -> u32 {
        let crew = &mut self.crew;
        self.calls
            .cancel_waiting(which, from, STRIDE, |id, place| {
                let member = crew.get_mut(id).map(|(_, member)| member);
                member.is_some_and(|it| it.hand.withdraw(it.worker.burst(), place))
            })
    }

    /// Cancels running calls among [`STRIDE`] slots and interrupts their workers.
    fn cancel_running(&mut self, which: Which, from: Index) -> u32 {
        let crew = &self.crew;
        self.calls
            .cancel_running(which, from, STRIDE, |id, place| {
                let Some(member) = crew.get(id) else {
                    return false;
                };
                let runs = place.is_none_or(|place| member.worker.burst().progress().ask(place));
                if runs {
                    member.worker.interrupt();
                }
                runs
            })
    }
}

/// The sessions of the front end's sockets.
fn bindings_of(front_end: FrontEnd) -> Bindings {
    match front_end {
        FrontEnd::Generic => family::bindings(),
        FrontEnd::Classic => classic::bindings(),
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
