// SPDX-License-Identifier: GPL-2.0-only

//! A piece of task work: what a thread does for a session on its way to user mode.

use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    task::Task, //
};

use crate::{
    calls::List,
    inline::{
        Batch,
        Farewell,
        Run,
        Tally, //
    },
    session::Session,
    shim::{
        self,
        Mark, //
    }, //
};

/// How often an errand lets other task work go first.
const MOST_DELAYS: u8 = 8;

/// A piece of task work. Made for each message, or taken from its session, which keeps one.
#[repr(C)]
pub struct Errand {
    /// First, so that its address is that of the whole.
    work: bindings::callback_head,
    /// `None` while the session keeps it.
    session: Option<Arc<Session>>,
    /// Calls for workers.
    pub(crate) calls: List,
    /// Calls for the thread itself.
    pub(crate) batch: Option<Batch>,
    /// The next one of a [`Queue`].
    next: Option<KBox<Errand>>,
    /// How often it let other task work go first.
    delays: u8,
    /// The thread may be on its way through `get_signal()`.
    pub(crate) in_get_signal: bool,
    mark: Mark,
}

// SAFETY: The links of `work` are used by the thread that it was given to, and by nobody before
// that; everything else in it may move between threads.
unsafe impl Send for Errand {}

impl Errand {
    /// Allocates one.
    pub fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                work: bindings::callback_head {
                    func: Some(run),
                    ..Default::default()
                },
                session: None,
                calls: List::new(),
                batch: None,
                next: None,
                delays: 0,
                in_get_signal: false,
                mark: Mark::new(),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Makes it as good as new.
    pub(crate) fn clear(&mut self) {
        self.session = None;
        self.calls = List::new();
        self.batch = None;
        self.delays = 0;
        self.in_get_signal = false;
    }

    /// Executes its calls for the thread itself, where it has such.
    pub(crate) fn run(&mut self, run: &mut Run<'_>) -> Option<Tally> {
        let batch = self.batch.as_mut()?;
        Some(batch.run(run, &mut self.mark))
    }

    /// Whether nothing but a worker is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.batch.is_none()
    }

    /// Gives it to the current thread, which runs it when it returns to user mode. Comes back
    /// where the thread is ending.
    pub(crate) fn send(
        self: KBox<Self>,
        session: Arc<Session>,
    ) -> core::result::Result<(), (KBox<Self>, Arc<Session>)> {
        let notify = bindings::task_work_notify_mode_TWA_RESUME;
        // SAFETY: The current thread is alive.
        unsafe { self.add(session, Task::current_raw(), notify) }
    }

    /// Gives it to another thread, and wakes that up for it. `false`: the thread is ending.
    pub(crate) fn send_to(self: KBox<Self>, session: Arc<Session>, task: &Task) -> bool {
        let notify = bindings::task_work_notify_mode_TWA_SIGNAL;
        // SAFETY: The reference keeps the thread's structure alive.
        unsafe { self.add(session, task.as_ptr(), notify) }.is_ok()
    }

    /// # Safety
    ///
    /// `task` is valid.
    unsafe fn add(
        mut self: KBox<Self>,
        session: Arc<Session>,
        task: *mut bindings::task_struct,
        notify: u32,
    ) -> core::result::Result<(), (KBox<Self>, Arc<Session>)> {
        self.session = Some(session);
        let this = KBox::into_raw(self);
        // SAFETY: `this` is a complete callback, which `run()` takes back; the task is valid by
        // the caller's promise.
        let err = unsafe { bindings::task_work_add(task, &raw mut (*this).work, notify) };
        if err == 0 {
            return Ok(());
        }
        // SAFETY: It was not added, so it is still ours.
        let mut this = unsafe { KBox::from_raw(this) };
        match this.session.take() {
            Some(session) => Err((this, session)),
            // Not reached: it was put there above.
            None => Ok(()),
        }
    }
}

/// The task work.
///
/// # Safety
///
/// Called once for an [`Errand`] that was given away.
unsafe extern "C" fn run(work: *mut bindings::callback_head) {
    // SAFETY: By the caller's promise; `work` is the first field of the errand.
    let errand = unsafe { KBox::from_raw(work.cast::<Errand>()) };
    if let Some(farewell) = begin(errand) {
        // Nothing of ours is left on the stack: this may not return.
        farewell.call();
    }
}

/// Does what there is to do, and says which call ends the thread.
fn begin(mut errand: KBox<Errand>) -> Option<Farewell> {
    let mut session = errand.session.take()?;
    // A call that ends the thread would lose the task work behind this one, which was taken out of
    // the thread's list with it. Added again, it is the last of the next round.
    let is_last = errand.work.next.is_null();
    if errand.batch.is_some() && !is_last && errand.delays < MOST_DELAYS {
        if errand.delays == 0 {
            errand.in_get_signal = shim::may_be_in_get_signal();
        }
        errand.delays += 1;
        (errand, session) = match errand.send(session) {
            Ok(()) => return None,
            Err(back) => back,
        };
    } else if errand.delays == 0 {
        errand.in_get_signal = errand.batch.is_some() && shim::may_be_in_get_signal();
    }
    session.arrive(errand, is_last)
}

/// Errands one behind the other.
///
/// # Invariants
///
/// `tail` is the last one that `head` leads to; unused where `head` is `None`.
pub(crate) struct Queue {
    head: Option<KBox<Errand>>,
    tail: *mut Errand,
}

// SAFETY: It owns the errands, which may move between threads.
unsafe impl Send for Queue {}

impl Queue {
    /// The empty queue.
    pub(crate) const fn new() -> Self {
        Self {
            head: None,
            tail: core::ptr::null_mut(),
        }
    }

    /// Adds one at the end.
    pub(crate) fn push(&mut self, mut errand: KBox<Errand>) {
        let last: *mut Errand = &mut *errand;
        if self.head.is_none() {
            self.head = Some(errand);
        } else {
            // SAFETY: By the type invariant this is an errand that the queue owns, and nobody has
            // a reference to it.
            unsafe { (*self.tail).next = Some(errand) };
        }
        // INVARIANT: The boxed errand stays where it is.
        self.tail = last;
    }

    /// Takes the first one.
    pub(crate) fn pop(&mut self) -> Option<KBox<Errand>> {
        let mut first = self.head.take()?;
        // INVARIANT: The last one stays the last.
        self.head = first.next.take();
        Some(first)
    }

    /// The first one's calls.
    pub(crate) fn front(&mut self) -> Option<&mut Batch> {
        self.head.as_mut()?.batch.as_mut()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // One by one: a long queue must not be dropped by recursion.
        while self.pop().is_some() {}
    }
}
