// SPDX-License-Identifier: GPL-2.0-only

//! A thread of the process that executes calls.
//!
//! The thread itself is a `vhost_task`: it calls `nlcall_worker_run()` again and again, handles
//! signals in between and sleeps when there was nothing to do.

use core::ffi::c_void;

use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

use crate::{
    calls::{
        Index,
        Started, //
    },
    ended::{
        self,
        Next, //
    },
    session::Session,
    shim::{
        self,
        Thread, //
    }, //
    slots::Credentials,
};

/// `__NR_restart_syscall`: carries on from the thread's restart block.
pub(crate) const RESTART_SYSCALL: u32 = 219;

/// A worker. Owned by its session's list; the session outlives it, since it holds it.
pub struct Worker {
    id: u32,
    session: Arc<Session>,
    thread: Thread,
}

/// A call that was interrupted and is to be issued again.
pub struct Suspended {
    call: Started<Credentials>,
    /// What the system call switch returned.
    ret: i64,
    /// It was already being continued through the restart block.
    by_restart_block: bool,
}

impl Suspended {
    /// What the system call switch returned.
    pub fn interrupted_with(&self) -> i64 {
        self.ret
    }

    /// The call's slot.
    pub fn index(&self) -> Index {
        self.call.index
    }
}

/// What a worker does next.
pub enum Turn {
    /// It executes a call. `true`: calls wait, and nobody is there for them.
    Execute(Assignment, bool),
    /// It handles the signals that it may have, then asks again.
    Signals,
    /// It rests until it is woken.
    Rest,
}

/// What a worker is to execute.
pub struct Assignment {
    call: Started<Credentials>,
    /// Carry on through the restart block, with what remains of the time limit.
    by_restart_block: bool,
}

impl From<Started<Credentials>> for Assignment {
    fn from(call: Started<Credentials>) -> Self {
        Self {
            call,
            by_restart_block: false,
        }
    }
}

impl From<Suspended> for Assignment {
    fn from(suspended: Suspended) -> Self {
        Self {
            by_restart_block: suspended.by_restart_block
                || ended::after(suspended.ret, false) == Next::Continue,
            call: suspended.call,
        }
    }
}

impl Worker {
    /// Prepares a worker; its thread is made by [`Worker::start`].
    pub fn new(id: u32, session: Arc<Session>) -> Result<Arc<Self>> {
        let worker = kernel::sync::UniqueArc::<Worker>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let data = worker.as_ptr().cast::<c_void>().cast_mut();
        // SAFETY: The session keeps the worker in its list from before the thread starts until
        // the reaper has stopped it, and the worker keeps the session, which has the counter.
        let thread = unsafe { Thread::new(data, session.blocked_counter()) }?;
        Ok(worker
            .write(Worker {
                id,
                session,
                thread,
            })
            .into())
    }

    /// Its number in the session.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Makes the thread, in the process of the current thread.
    pub fn start(&self) -> Result {
        self.thread.start()
    }

    /// Ends the thread and waits for it.
    pub fn stop(&self) {
        self.thread.stop();
    }

    /// Wakes it out of its rest.
    pub fn wake(&self) {
        self.thread.wake();
    }

    /// Interrupts the call that it executes.
    pub fn interrupt(&self) {
        self.thread.interrupt();
    }

    /// Executes calls until there are none or a signal wants to be handled. `false`: there was
    /// nothing to do.
    fn run(&self) -> bool {
        let mut turn = self.session.assign(self.id);
        match turn {
            Turn::Execute(..) => {}
            Turn::Signals => return true,
            Turn::Rest => return false,
        }
        self.thread.begin();
        while let Turn::Execute(assignment, lacks_spare) = turn {
            if lacks_spare {
                self.session.provide_spare();
            }
            if !self.execute(assignment) || current!().signal_pending() {
                break;
            }
            turn = self.session.assign(self.id);
        }
        self.thread.end();
        true
    }

    /// Executes one call. `false`: it was interrupted and is to be issued again.
    fn execute(&self, assignment: Assignment) -> bool {
        let Assignment {
            call,
            by_restart_block,
        } = assignment;
        let nr = if by_restart_block {
            RESTART_SYSCALL
        } else {
            call.nr
        };
        let ret = shim::execute(nr, &call.args, &call.context);
        let asked_to_stop = self.session.asks_to_stop(call.index) || shim::dying();
        match ended::after(ret, asked_to_stop) {
            Next::Complete(ending) => {
                self.session.finish(call.index, ending);
                true
            }
            Next::Again | Next::Continue => {
                self.session.suspend(
                    self.id,
                    Suspended {
                        call,
                        ret,
                        by_restart_block,
                    },
                );
                false
            }
        }
    }
}

/// The body of the worker's thread.
#[no_mangle]
extern "C" fn nlcall_worker_run(worker: *mut c_void) -> bool {
    // SAFETY: The pointer that `Worker::new()` gave to `Thread::new()`: the worker lives as long
    // as its thread.
    let worker = unsafe { ArcBorrow::<Worker>::from_raw(worker.cast()) };
    worker.run()
}

/// The worker was killed: its process ends, or executes another program.
#[no_mangle]
extern "C" fn nlcall_worker_killed(worker: *mut c_void) {
    // SAFETY: As for `nlcall_worker_run()`.
    let worker = unsafe { ArcBorrow::<Worker>::from_raw(worker.cast()) };
    worker.session.killed(worker.id);
}

/// The worker went to sleep inside a call: in interrupt context, on its way there.
#[no_mangle]
extern "C" fn nlcall_worker_blocked(worker: *mut c_void) {
    // SAFETY: As for `nlcall_worker_run()`; the thread waits for this to be over before it is
    // freed.
    let worker = unsafe { ArcBorrow::<Worker>::from_raw(worker.cast()) };
    worker.session.wake();
}
