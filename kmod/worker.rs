// SPDX-License-Identifier: GPL-2.0-only

//! A thread of the process that executes calls.
//!
//! The thread itself is a `vhost_task`: it calls `nlcall_worker_run()` again and again, handles
//! signals in between and sleeps when there was nothing to do.

use core::ffi::c_void;

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Arc,
        ArcBorrow, //
    }, //
};

use crate::{
    area::Area,
    burst::{
        Burst,
        Word, //
    },
    calls::{
        Index,
        Started, //
    },
    chain::{
        Source,
        Sources, //
    },
    ended::{
        self,
        Ending,
        Next,
        Stop, //
    },
    parse::Output,
    policy,
    reject::errno,
    sender,
    session::Session,
    shim::{
        self,
        Called,
        Thread, //
    },
    slots::{
        Credentials,
        Table, //
    },
    trace::{
        self,
        Ended,
        Shown,
        Watch, //
    },
    wire::Outcome, //
};

/// Carries on from the thread's restart block.
pub(crate) const RESTART_SYSCALL: u32 = policy::nr("restart_syscall");

/// A worker. Owned by its session's list; the session outlives it, since it holds it.
pub struct Worker {
    id: u32,
    session: Arc<Session>,
    thread: Thread,
    /// The calls that it took at once.
    burst: Burst<Atomic<u64>>,
}

impl Word for Atomic<u64> {
    #[inline]
    fn load(&self) -> u64 {
        Atomic::load(self, Acquire)
    }

    #[inline]
    fn peek(&self) -> u64 {
        // SAFETY: The word lives as long as the reference. This is what `load()` does, which is a
        // call out of line, here made for each call of a burst.
        unsafe { self.as_ptr().read_volatile() }
    }

    #[inline]
    fn exchange(&self, old: u64, new: u64) -> core::result::Result<(), u64> {
        self.cmpxchg(old, new, Full).map(drop)
    }
}

/// What a worker is to execute.
pub struct Assignment {
    call: Started<Credentials>,
    /// The area of its message, where it has one.
    area: Option<Arc<Area>>,
    /// Where that is in the memory of the process, and for each argument the bytes of the output
    /// that it is the address of.
    outputs: (u64, [u32; 6]),
    /// When its time is up, in nanoseconds of the monotonic clock; 0: never, or it has not begun.
    deadline: i64,
    /// Carry on through the restart block, with what remains of the time limit.
    by_restart_block: bool,
    /// Another worker shall be made before.
    spare: bool,
    /// The call has begun, and somebody looks on.
    watch: Option<Watch>,
}

impl Assignment {
    /// The interrupted call, once more; `spare`: as in [`Assignment::new`].
    pub fn again(suspended: Suspended, spare: bool) -> Self {
        let mut assignment = suspended.assignment;
        assignment.by_restart_block |= ended::after(suspended.ret, Stop::No) == Next::Continue;
        assignment.spare = spare;
        assignment
    }

    /// A call that has not begun.
    pub(crate) fn new(call: Started<Credentials>, area: Option<Arc<Area>>, spare: bool) -> Self {
        Self {
            call,
            area,
            outputs: (0, [0; 6]),
            deadline: 0,
            by_restart_block: false,
            spare,
            watch: None,
        }
    }

    /// Whether arguments lie in the area of its message.
    fn is_placed(&self) -> bool {
        let mut sources = self.call.loads.iter();
        sources.any(|(_, source)| !matches!(source, Source::Result | Source::Load(_)))
    }

    /// Fills in what is known only now: arguments from the memory of the process, the end of the
    /// call's time. `placed` is where the area of its message is, or why not. Says how the call
    /// ends where it cannot start.
    fn prepare(
        &mut self,
        placed: core::result::Result<u64, i32>,
    ) -> core::result::Result<(), Ending> {
        let call = &mut self.call;
        if let Some(ending) = call.instead {
            return Err(ending);
        }
        for (arg, source) in call.loads.iter() {
            let value = &mut call.args[arg];
            if let Source::LoadArea(_) | Source::Data | Source::Out = source {
                let at = placed.map_err(Ending::not_started)?;
                if source == Source::Out {
                    let output = Output::of(*value);
                    self.outputs.0 = at;
                    self.outputs.1[arg] = output.len;
                    *value = output.offset.into();
                }
                *value = value.wrapping_add(at);
            }
            if let Source::Load(width) | Source::LoadArea(width) = source {
                // The rest stays zero: on x86-64 what comes first is the lower half.
                let mut field = [0; 8];
                if !shim::read_user(*value, &mut field[..width as usize]) {
                    let errno = Area::reason(errno::EFAULT);
                    return Err(Ending::not_started(errno));
                }
                *value = u64::from_ne_bytes(field);
            }
        }
        call.loads = Sources::default();
        if call.refers && !policy::suits_worker(call.nr, &call.args) {
            return Err(Ending::not_started(errno::EOPNOTSUPP));
        }
        if call.timeout_ns != 0 && self.deadline == 0 {
            let deadline = sender::now_ns().saturating_add(call.timeout_ns);
            self.deadline = i64::try_from(deadline).unwrap_or(i64::MAX);
        }
        Ok(())
    }

    /// Fetches what the call left in its outputs.
    fn fetch(&self) {
        let (at, lens) = self.outputs;
        let Some(area) = &self.area else { return };
        for (arg, len) in self.call.args.iter().zip(lens) {
            if len > 0 {
                let offset = arg.wrapping_sub(at) as u32;
                area.fetch(at, Output { offset, len });
            }
        }
    }
}

/// A call that was interrupted and is to be issued again.
pub struct Suspended {
    assignment: Assignment,
    /// What the system call switch returned.
    ret: i64,
}

impl Suspended {
    /// What the system call switch returned.
    pub fn interrupted_with(&self) -> i64 {
        self.ret
    }

    /// The call's slot.
    pub fn index(&self) -> Index {
        self.assignment.call.index
    }

    /// What there is to show of it where it ended so.
    pub(crate) fn ended(self, calls: &Table, ending: Ending) -> Option<Ended> {
        let call = &self.assignment.call;
        let shown = Shown::of_worker(calls, call.index, &call.args);
        let watch = self.assignment.watch?;
        Some(Ended::new(shown, ending, Some(watch)))
    }

    /// Whether its time is up.
    pub fn is_late(&self) -> bool {
        let deadline = self.assignment.deadline;
        deadline != 0 && sender::now_ns() >= deadline as u64
    }
}

/// How a call ended that a worker executed.
pub struct Done {
    /// Its slot.
    pub index: Index,
    /// Its completion.
    pub ending: Ending,
    /// Whether that is a success.
    pub succeeded: bool,
}

/// Calls that a worker is to execute one after the other; what they are is in its burst.
pub struct Dealt {
    /// Whose they are.
    pub credentials: Credentials,
    /// Another worker shall be made before.
    pub spare: bool,
}

/// What a worker does next.
pub enum Turn {
    /// It executes calls.
    Burst(Dealt),
    /// It executes a call.
    Execute(Assignment),
    /// It asks again at once.
    Again,
    /// It handles the signals that it may have, then asks again.
    Signals,
    /// It rests until it is woken.
    Rest,
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
                burst: Burst::new(Atomic::new(0)),
            })
            .into())
    }

    /// Its number in the session.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The calls that it took at once.
    pub(crate) fn burst(&self) -> &Burst<Atomic<u64>> {
        &self.burst
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
        let mut works = false;
        let mut turn = self.session.assign(self.id);
        let rests = loop {
            turn = match turn {
                Turn::Execute(assignment) => {
                    self.begin(&mut works, assignment.spare);
                    self.execute(assignment)
                }
                Turn::Burst(dealt) => {
                    self.begin(&mut works, dealt.spare);
                    self.execute_burst(&dealt)
                }
                Turn::Again => self.session.assign(self.id),
                Turn::Signals => break false,
                Turn::Rest => break true,
            };
        };
        if works {
            self.thread.end();
        }
        works || !rests
    }

    /// Before it executes: `works` says whether it has before.
    fn begin(&self, works: &mut bool, spare: bool) {
        if !*works {
            self.thread.begin();
            *works = true;
        }
        if spare {
            // Before this worker may block, another must be there to carry on.
            self.session.provide_spare();
        }
    }

    /// Executes the calls of the burst. Says what comes then.
    fn execute_burst(&self, dealt: &Dealt) -> Turn {
        let interrupted = {
            let in_force = self.thread.with(&dealt.credentials);
            if in_force.is_audited() {
                self.go_through(|nr, args| in_force.call_audited(nr, args))
            } else {
                self.go_through(|nr, args| in_force.call(nr, args))
            }
        };
        match interrupted {
            None => self.session.advance_burst(self.id, &self.thread),
            Some(ret) => match self.session.single_out(self.id) {
                Some(call) => self.conclude(Assignment::new(call, None, false), ret),
                None => Turn::Again,
            },
        }
    }

    /// Makes the calls of the burst by `call`. Says what the last one returned, if that was
    /// interrupted.
    #[inline(always)]
    fn go_through(&self, call: impl Fn(u32, &[u64; 6]) -> Called) -> Option<i64> {
        while let Some(at) = self.burst.progress().next() {
            // SAFETY: This is the worker, and the call is the one that it begins.
            let called = unsafe {
                let (nr, args) = self.burst.call(at);
                let called = call(nr, args);
                self.burst.ended(at, called.ret);
                called
            };
            if called.ret < 0 && ended::is_interruption(called.ret) {
                return Some(called.ret);
            }
            if called.state != 0 {
                break;
            }
        }
        None
    }

    /// Executes one call. Says what comes then.
    fn execute(&self, mut assignment: Assignment) -> Turn {
        let placed = match &assignment.area {
            // To wait for the lock of the process's memory is not to be blocked in a call: others
            // would come and wait for it, too.
            Some(area) if assignment.is_placed() => self.thread.apart(|| area.place()),
            _ => Err(errno::EFAULT),
        };
        match assignment.prepare(placed) {
            Err(ending) => self.finish(assignment, ending),
            Ok(()) => {
                if trace::is_on() && assignment.watch.is_none() {
                    assignment.watch = Some(Watch::begin(&assignment.call.args));
                }
                let ret = self.call(&assignment);
                self.conclude(assignment, ret)
            }
        }
    }

    /// The call returned `ret`. Says what comes then.
    fn conclude(&self, assignment: Assignment, ret: i64) -> Turn {
        if !ended::is_interruption(ret) {
            return self.finish(assignment, Ending::ran(ret));
        }
        match self.session.after_interruption(assignment.call.index, ret) {
            Next::Complete(ending) => self.finish(assignment, ending),
            Next::Again | Next::Continue => {
                let suspended = Suspended { assignment, ret };
                self.session.suspend(self.id, suspended);
                Turn::Signals
            }
        }
    }

    /// The call came to its end. Says what comes then.
    fn finish(&self, mut assignment: Assignment, ending: Ending) -> Turn {
        if let Some(watch) = assignment.watch.take() {
            let call = &assignment.call;
            let shown = self.session.shown(call.index, &call.args);
            Ended::new(shown, ending, Some(watch.end(&call.args))).show(&self.session);
        }
        if ending.outcome == Outcome::Ran {
            assignment.fetch();
        }
        let done = Done {
            index: assignment.call.index,
            ending,
            succeeded: assignment.call.succeeded(&ending),
        };
        self.session.advance(self.id, &done, &self.thread)
    }

    /// Makes the system call.
    fn call(&self, assignment: &Assignment) -> i64 {
        let call = &assignment.call;
        let nr = if assignment.by_restart_block {
            RESTART_SYSCALL
        } else {
            call.nr
        };
        let alarm = (assignment.deadline, call.index);
        self.thread.execute(nr, &call.args, &call.context, alarm)
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
    worker.session.blocked(worker.id);
}

/// The time limit of the call that the worker executes passed: in interrupt context.
#[no_mangle]
extern "C" fn nlcall_worker_late(worker: *mut c_void, call: Index) {
    // SAFETY: As for `nlcall_worker_run()`; the thread is inside that call, and waits for this to
    // be over before it leaves it.
    let worker = unsafe { ArcBorrow::<Worker>::from_raw(worker.cast()) };
    worker.session.time_out(worker.id, call);
}
