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
    calls::List,
    config,
    ended::Ending,
    reject::{
        errno,
        reject,
        Rejection, //
    },
    sender,
    session::Session,
    shim::{
        self,
        sender_is, //
    },
    slots::{
        Chunk,
        Room,
        CHUNK, //
    },
    wire::{
        Call,
        SessionState, //
    },
};

/// Calls that are moved while the lock is held once.
pub const STRIDE: u32 = 128;

/// Calls that were accepted from a thread whose task work has not run yet.
pub(crate) struct Arriving {
    /// The thread, by address: it is alive until its task work has run.
    task: *mut bindings::task_struct,
    calls: List,
}

// SAFETY: The address is only compared.
unsafe impl Send for Arriving {}

impl Session {
    /// Accepts a message of `count` calls, whole or not at all.
    pub fn submit(
        self: &Arc<Self>,
        count: usize,
        calls: impl Iterator<Item = Call>,
        seq: u32,
    ) -> Result<(), Rejection> {
        let credentials = sender::credentials();
        let errand = Errand::new(self.clone())
            .map_err(|_| reject!(ENOMEM, "no memory for {count} calls"))?;

        self.make_room(count)?;
        let now = now_ns();
        let mut accepted = List::new();
        let mut calls = calls.peekable();
        while calls.peek().is_some() {
            let mut inner = self.inner().lock();
            for call in calls.by_ref().take(STRIDE as usize) {
                let credentials = credentials.clone();
                if inner.calls.accept(&mut accepted, &call, credentials, now) {
                    continue;
                }
                // Another thread took the room.
                drop(inner);
                self.retract(&mut accepted);
                return Err(reject!(
                    EAGAIN,
                    "another thread submitted meanwhile: try again"
                ));
            }
        }
        self.depart(accepted, errand, seq);
        Ok(())
    }

    /// Sees to it that `count` slots are unused.
    fn make_room(&self, count: usize) -> Result<(), Rejection> {
        let no_memory = || reject!(ENOMEM, "no memory for {count} calls");
        loop {
            let (missing, room) = self.missing(count)?;
            if let Some(slots) = room {
                let room = Room::new(slots).map_err(|_| no_memory())?;
                // What is left over is freed outside of the lock.
                let left = self
                    .inner()
                    .lock()
                    .calls
                    .grow(|chunks| chunks.move_into(room));
                drop(left);
            }
            if missing == 0 {
                return Ok(());
            }
            for _ in 0..missing.div_ceil(CHUNK) {
                let chunk = Chunk::new().map_err(|_| no_memory())?;
                // One is left over where another thread used up the room: look again.
                let left = self.inner().lock().calls.grow(|chunks| chunks.add(chunk));
                drop(left);
            }
        }
    }

    /// How many slots are missing for `count` calls, and how many slots there must be room for
    /// where there is not; or why the calls cannot be accepted.
    fn missing(&self, count: usize) -> Result<(usize, Option<usize>), Rejection> {
        let max = config::max_in_flight() as usize;
        let inner = self.inner().lock();
        let pool = self.pool(&inner);
        if pool.is_saturated(1) {
            return Err(reject!(
                EAGAIN,
                "all {} workers are blocked (max_workers)",
                pool.max_workers
            ));
        }
        let in_flight = inner.calls.in_flight() as usize;
        if count > max.saturating_sub(in_flight) {
            return Err(reject!(
                EAGAIN,
                "{count} calls and {in_flight} in flight exceed max_in_flight {max}"
            ));
        }
        let missing = count.saturating_sub(inner.calls.unused() as usize);
        let needed = (inner.calls.slots() as usize + missing).next_multiple_of(CHUNK);
        let room = (needed > inner.calls.store().capacity()).then(|| needed.next_power_of_two());
        Ok((missing, room))
    }

    fn retract(&self, calls: &mut List) {
        while !calls.is_empty() {
            self.inner().lock().calls.retract(calls, STRIDE);
        }
    }

    /// Leaves the accepted calls to the task work of the current thread.
    fn depart(self: &Arc<Self>, accepted: List, errand: KBox<Errand>, seq: u32) {
        let task = Task::current_raw();
        let own = {
            let mut inner = self.inner().lock();
            let inner = &mut *inner;
            inner.last_seq = seq;
            match &mut inner.arriving {
                // An earlier message of the same system call: its task work takes both, in order.
                Some(arriving) if arriving.task == task => {
                    inner.calls.append(&mut arriving.calls, accepted);
                    return;
                }
                Some(_) => accepted,
                arriving @ None => {
                    *arriving = Some(Arriving {
                        task,
                        calls: accepted,
                    });
                    List::new()
                }
            }
        };
        // The thread is inside a system call, so its task work will run.
        if let Err(mut errand) = errand.send(own) {
            self.arrive(&mut errand.calls);
        }
    }

    /// Queues the calls that the current thread left, in its task work.
    fn arrive(self: &Arc<Self>, own: &mut List) {
        let exiting = shim::sender() & sender_is::EXITING != 0;
        let task = Task::current_raw();
        let arriving = {
            let mut inner = self.inner().lock();
            match &inner.arriving {
                Some(arriving) if arriving.task == task => inner.arriving.take(),
                _ => None,
            }
        };
        let retry = arriving.is_none() && own.is_empty();
        if let Some(mut arriving) = arriving {
            self.take_over(&mut arriving.calls, exiting);
        }
        self.take_over(own, exiting);
        match (exiting, retry) {
            (false, _) => self.provide(),
            (true, false) => self.flush_soon(),
            // The thread that was asked to make a worker is ending: ask the main thread.
            (true, true) if current!().group_leader() != &**current!() => {
                self.retry_in(1, current!().group_leader());
            }
            (true, true) => self.fail_without_workers(ESRCH),
        }
    }

    /// Queues calls, or ends them where nobody will execute them any more.
    fn take_over(&self, calls: &mut List, exiting: bool) {
        while !calls.is_empty() {
            let mut inner = self.inner().lock();
            let ended = exiting || inner.state != SessionState::Open;
            let instead = ended.then(|| Ending::not_started(errno::ESRCH));
            inner.calls.queue(calls, STRIDE, instead);
        }
        self.discard();
    }
}

/// Monotonic time in nanoseconds.
fn now_ns() -> u64 {
    // SAFETY: Only reads the clock.
    unsafe { bindings::ktime_get() as u64 }
}

/// A piece of task work.
#[repr(C)]
pub struct Errand {
    /// First, so that its address is that of the whole.
    work: bindings::callback_head,
    session: Arc<Session>,
    /// Calls, where the session's place for those that arrive was taken.
    calls: List,
}

impl Errand {
    /// Allocates it.
    pub fn new(session: Arc<Session>) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                work: bindings::callback_head {
                    func: Some(run),
                    ..Default::default()
                },
                session,
                calls: List::new(),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Gives it and `calls` to the current thread, which runs it when it returns to user mode.
    /// Comes back where the thread is ending.
    fn send(mut self: KBox<Self>, calls: List) -> Result<(), KBox<Self>> {
        self.calls = calls;
        let notify = bindings::task_work_notify_mode_TWA_RESUME;
        // SAFETY: The current thread is alive.
        unsafe { self.add(Task::current_raw(), notify) }
    }

    /// Gives it to another thread, and wakes that up for it.
    pub fn send_to(self: KBox<Self>, task: &Task) -> Result<(), KBox<Self>> {
        // SAFETY: The reference keeps the thread's structure alive.
        unsafe { self.add(task.as_ptr(), bindings::task_work_notify_mode_TWA_SIGNAL) }
    }

    /// # Safety
    ///
    /// `task` is valid.
    unsafe fn add(
        self: KBox<Self>,
        task: *mut bindings::task_struct,
        notify: u32,
    ) -> Result<(), KBox<Self>> {
        let this = KBox::into_raw(self);
        // SAFETY: `this` is a complete callback, which `run()` takes back; the task is valid by
        // the caller's promise.
        let err = unsafe { bindings::task_work_add(task, &raw mut (*this).work, notify) };
        if err == 0 {
            return Ok(());
        }
        // SAFETY: It was not added, so it is still ours.
        Err(unsafe { KBox::from_raw(this) })
    }
}

/// The task work.
///
/// # Safety
///
/// Called once for an [`Errand`] that was given away.
unsafe extern "C" fn run(work: *mut bindings::callback_head) {
    // SAFETY: By the caller's promise; `work` is the first field of the errand.
    let mut errand = unsafe { KBox::from_raw(work.cast::<Errand>()) };
    let session = errand.session.clone();
    session.arrive(&mut errand.calls);
}
