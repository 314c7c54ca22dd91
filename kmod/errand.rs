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
        Arrival,
        Batch,
        Course,
        Run,
        Tally, //
    },
    session::Session,
    shim::{
        self,
        sender_is,
        Asked,
        Mark,
        Question, //
    },
    submission::Arrived, //
};

/// How often an errand lets other task work go first.
const MOST_DELAYS: u8 = 8;

/// A piece of task work. Made for each message, or taken from its session, which keeps one.
#[repr(C)]
pub struct Errand {
    /// First, so that its address is that of the whole.
    work: bindings::callback_head,
    /// `None` while the session keeps it.
    pub(crate) session: Option<Arc<Session>>,
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
    question: Question,
    /// Where it goes on after a question to seccomp.
    pub(crate) pause: Option<Pause>,
}

/// What a thread brings, while seccomp is asked about one of the calls.
pub(crate) struct Pause {
    pub(crate) course: Course,
    /// What comes behind the errand, where that is known.
    pub(crate) later: Option<Queue>,
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
                question: Question::new(),
                pause: None,
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
        self.pause = None;
    }

    /// Executes its calls for the thread itself, where it has such. `None`: seccomp is to be asked
    /// about the next one first.
    pub(crate) fn run(&mut self, run: &mut Run<'_>) -> Option<Option<Tally>> {
        match self.batch.as_mut() {
            Some(batch) => batch.run(run, &mut self.mark).map(Some),
            None => Some(None),
        }
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
    let mut errand = unsafe { KBox::from_raw(work.cast::<Errand>()) };
    loop {
        errand = match begin(errand) {
            Arrived::Over(None) => return,
            // Nothing of ours is left on the stack: this may not return.
            Arrived::Over(Some(farewell)) => return farewell.call(),
            Arrived::Asks(errand) => match errand.ask() {
                Some(errand) => errand,
                None => return,
            },
        }
    }
}

/// Does what there is to do, up to a question to seccomp.
fn begin(mut errand: KBox<Errand>) -> Arrived {
    let Some(mut session) = errand.session.take() else {
        return Arrived::Over(None);
    };
    let sender = shim::sender();
    let is_under = |what| sender & what != 0;
    // What ends the thread would lose the task work behind this one, which was taken out of the
    // thread's list with it. Added again, it is the last of the next round. Inside a call of
    // another errand that one would be lost in any case.
    let is_last = errand.work.next.is_null() && !is_under(sender_is::INLINE);
    let may_end = errand.batch.is_some() || is_under(sender_is::SECCOMP);
    if may_end && !is_last && errand.delays < MOST_DELAYS {
        if errand.delays == 0 {
            errand.in_get_signal = shim::may_be_in_get_signal();
        }
        errand.delays += 1;
        (errand, session) = match errand.send(session) {
            Ok(()) => return Arrived::Over(None),
            Err(back) => back,
        };
    } else if errand.delays == 0 {
        errand.in_get_signal = errand.batch.is_some() && shim::may_be_in_get_signal();
    }
    let arrival = Arrival {
        exiting: is_under(sender_is::EXITING),
        filtered: is_under(sender_is::SECCOMP),
        may_exit: is_last,
    };
    session.arrive(errand, arrival)
}

impl Errand {
    /// Asks seccomp what the errand is to ask. `None`: that is for other task work to come first.
    ///
    /// The answer may end the thread. So the errand owns all that there is, and nothing of it is on
    /// the stack: what is left of the errand is done by the thread's exit.
    fn ask(mut self: KBox<Self>) -> Option<KBox<Self>> {
        let question = self.pause.as_mut().and_then(|it| it.course.question());
        let Some(call) = question else {
            return Some(self);
        };
        let this = KBox::into_raw(self);
        // SAFETY: The errand is a complete callback, and is the last task work of the thread, whose
        // callback returned or will: it is in no list. Nobody but whoever gets it back looks at it.
        let asked = unsafe { Question::ask(&raw mut (*this).question, this.cast(), &call) };
        // SAFETY: There was an answer, so it was not handed on.
        let mut errand = unsafe { KBox::from_raw(this) };
        let is_later = matches!(asked, Asked::Later);
        if let Some(pause) = &mut errand.pause {
            pause.course.answered(asked);
        }
        if !is_later {
            return Some(errand);
        }
        errand.delays = 0;
        let session = errand.session.take()?;
        match errand.send(session) {
            Ok(()) => None,
            // Not reached: the thread is not ending. It would find no answer, and ask once more.
            Err((mut errand, session)) => {
                errand.session = Some(session);
                Some(errand)
            }
        }
    }
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
