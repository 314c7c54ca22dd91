// SPDX-License-Identifier: GPL-2.0-only

//! The Rust side of `shim.h`, behind types that keep its rules.

use core::ptr::NonNull;

use kernel::{
    bindings,
    cred::Credential,
    error::to_result,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    },
    task::Task,
    types::NotThreadSafe,
    workqueue::{
        HasDelayedWork,
        HasWork,
        Queue,
        Work,
        WorkItem, //
    }, //
};

use crate::{
    answer::Bare,
    entries::Row,
    policy,
    session::Session,
    settings,
    wire::{
        flag,
        ArgKind,
        Call,
        ARG_KIND_BITS, //
    }, //
};

/// The C declarations, as in `shim.h`, where ownership is described.
pub mod ffi {
    use core::ffi::c_void;

    use kernel::{
        bindings,
        ffi::{
            c_char,
            c_int,
            c_long,
            c_uint,
            c_ulong, //
        },
        sync::atomic::Atomic, //
    };

    use crate::{
        compat::bindings::genl_info,
        settings, //
    };

    /// `struct nlcall_called`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct Called {
        /// What the system call switch returned.
        pub ret: i64,
        /// Bits of [`called`](super::called).
        pub state: c_ulong,
    }

    /// `struct nlcall_row`.
    #[repr(C)]
    pub(super) struct Row {
        pub(super) begin: *mut u8,
        pub(super) first: u64,
        pub(super) from: u64,
        pub(super) count: u32,
        pub(super) is_plain: bool,
    }

    /// `struct nlcall_question`.
    #[repr(C)]
    pub(super) struct Question {
        pub(super) mark: bindings::preempt_notifier,
        pub(super) heir: *mut bindings::callback_head,
        pub(super) nr: u64,
        pub(super) args: [u64; 6],
        pub(super) ret: i64,
    }

    /// `struct nlcall_mark`.
    #[repr(C)]
    pub(super) struct Mark {
        pub(super) notifier: bindings::preempt_notifier,
        pub(super) own: *mut c_void,
    }

    /// `struct nlcall_thread`.
    #[repr(C)]
    pub struct Thread {
        _opaque: [u8; 0],
    }

    #[expect(
        improper_ctypes,
        reason = "bindgen's empty structures, which only pointers lead to"
    )]
    extern "C" {
        pub(super) static mut nlcall_access: [c_char; 32];
        pub(super) static nlcall_settings: [Atomic<u32>; settings::COUNT];
        pub(super) static nlcall_classic: bool;

        pub(super) fn nlcall_init() -> c_int;
        pub(super) fn nlcall_exit();
        pub(super) fn nlcall_release() -> *const c_char;
        pub(super) fn nlcall_online_cpus() -> c_uint;
        pub(super) fn nlcall_queue() -> *const bindings::workqueue_struct;
        pub(super) fn nlcall_patient_queue() -> *const bindings::workqueue_struct;

        pub(super) fn nlcall_thread_new(worker: *mut c_void, blocked: *mut i32) -> *mut Thread;
        pub(super) fn nlcall_thread_start(thread: *mut Thread) -> c_int;
        pub(super) fn nlcall_thread_stop(thread: *mut Thread);
        pub(super) fn nlcall_thread_free(thread: *mut Thread);
        pub(super) fn nlcall_thread_wake(thread: *mut Thread);
        pub(super) fn nlcall_thread_interrupt(thread: *mut Thread);
        pub(super) fn nlcall_thread_begin(thread: *mut Thread);
        pub(super) fn nlcall_thread_end(thread: *mut Thread);
        pub(super) fn nlcall_execute(
            nr: u32,
            args: *const u64,
            cred: *const bindings::cred,
        ) -> c_long;
        pub(super) fn nlcall_execute_until(
            nr: u32,
            args: *const u64,
            cred: *const bindings::cred,
            deadline: i64,
            thread: *mut Thread,
            call: u32,
        ) -> c_long;

        pub(super) fn nlcall_burst_begin(cred: *const bindings::cred);
        pub(super) fn nlcall_burst_call(nr: u32, args: *const u64) -> Called;
        pub(super) fn nlcall_burst_end(cred: *const bindings::cred);

        pub(super) fn nlcall_burst_call_audited(nr: u32, args: *const u64) -> Called;
        pub(super) fn nlcall_audit_watches() -> bool;

        pub(super) fn nlcall_call(nr: u32, args: *const u64) -> Called;
        pub(super) fn nlcall_call_audited(nr: u32, args: *const u64, deadline: i64) -> Called;
        pub(super) fn nlcall_farewell(nr: u32, args: *const u64);
        pub(super) fn nlcall_call_until(nr: u32, args: *const u64, deadline: i64) -> Called;
        pub(super) fn nlcall_run(
            row: *const Row,
            head: *mut c_void,
            index: u32,
            open: *const u32,
            last: *mut Called,
        ) -> u32;
        pub(super) fn nlcall_inline_begin(mark: *mut Mark) -> c_ulong;
        pub(super) fn nlcall_inline_end(mark: *mut Mark, state: c_ulong);
        pub(super) fn nlcall_ask(question: *mut Question) -> c_uint;
        pub(super) fn nlcall_may_be_in_get_signal() -> bool;
        pub(super) fn nlcall_put_result(
            head: *mut c_void,
            index: u32,
            user_data: u64,
            ret: i64,
            how: u32,
        ) -> bool;

        pub(crate) fn nlcall_message_hold(skb: *mut bindings::sk_buff);
        pub(crate) fn nlcall_message_release(skb: *mut bindings::sk_buff);

        pub(super) fn nlcall_sender() -> c_uint;
        pub(super) fn nlcall_executing() -> bool;
        pub(super) fn nlcall_dying() -> bool;
        pub(super) fn nlcall_has_workers() -> bool;

        pub(crate) fn nlcall_xa_claim(
            xa: *mut bindings::xarray,
            index: c_ulong,
            entry: *mut c_void,
        ) -> c_int;
        pub(crate) fn nlcall_opener(sk: *mut bindings::sock) -> *const bindings::cred;
        pub(crate) fn nlcall_sock_get(sk: *mut bindings::sock);
        pub(crate) fn nlcall_sock_put(sk: *mut bindings::sock);
        pub(crate) fn nlcall_sock_fill(sk: *mut bindings::sock);
        pub(crate) fn nlcall_sock_drain(sk: *mut bindings::sock);
        pub(crate) fn nlcall_sock_announce(sk: *mut bindings::sock);

        pub(crate) fn nlcall_has_room(sk: *mut bindings::sock, len: usize) -> bool;
        pub(crate) fn nlcall_is_full(sk: *mut bindings::sock) -> bool;
        pub(crate) fn nlcall_attach_message(
            sk: *mut bindings::sock,
            skb: *mut bindings::sk_buff,
            session: *mut c_void,
        ) -> c_int;
        pub(crate) fn nlcall_send_message(sk: *mut bindings::sock, skb: *mut bindings::sk_buff);

        pub(crate) fn nlcall_reply(skb: *mut bindings::sk_buff, info: *mut genl_info) -> c_int;
        pub(crate) fn nlcall_extack(
            extack: *mut bindings::netlink_ext_ack,
            attr: *const bindings::nlattr,
            text: *const u8,
            len: c_int,
        );

        pub(crate) fn nlcall_broadcast(skb: *mut bindings::sk_buff, group: u32) -> c_uint;

        pub(super) static nlcall_watched: Atomic<i32>;
        pub(crate) fn nlcall_trace_submit(
            session: u64,
            pid: u32,
            user_data: u64,
            nr: u32,
            flags: u32,
            args: *const u64,
        );
        pub(crate) fn nlcall_trace_complete(
            session: u64,
            user_data: u64,
            nr: u32,
            ret: i64,
            outcome: u32,
            ns: u64,
        );
        pub(crate) fn nlcall_trace_failed(
            session: u64,
            pid: u32,
            command: u32,
            err: c_int,
            text: *const u8,
            len: u32,
        );
    }
}

/// What the module found in and hung onto the kernel; dropping it waits until every callback of
/// the module has returned.
pub struct Border(());

impl Border {
    /// Resolves the symbols, registers the callbacks, makes the work queue.
    pub fn new() -> Result<Self> {
        // SAFETY: Called once, by module initialisation.
        to_result(unsafe { ffi::nlcall_init() })?;
        Ok(Self(()))
    }
}

impl Drop for Border {
    fn drop(&mut self) {
        // SAFETY: `nlcall_init()` succeeded. The module is being unloaded, so there is no session,
        // and the fields before this one unregistered all ways to begin one.
        unsafe { ffi::nlcall_exit() };
    }
}

/// The module's work queue, for what never waits: it is everybody's.
pub fn queue() -> &'static Queue {
    // SAFETY: The queue lives as long as the module's `Border`, and everything that enqueues holds
    // the module.
    unsafe { Queue::from_raw(ffi::nlcall_queue()) }
}

/// The one for what may have to wait for a process: that it lets go of its memory, or goes on after
/// it was stopped.
pub fn patient_queue() -> &'static Queue {
    // SAFETY: As for the other queue.
    unsafe { Queue::from_raw(ffi::nlcall_patient_queue()) }
}

/// Lets delayed work of a session run at once where it waits for its time. Where it does not wait,
/// it runs once more.
pub fn hurry<const ID: u64>(session: Arc<Session>)
where
    Session: HasDelayedWork<Session, ID> + WorkItem<ID, Pointer = Arc<Session>>,
{
    let session = Arc::into_raw(session).cast_mut();
    // SAFETY: The session is alive. By the promise of `HasDelayedWork` its `work_struct` lies in a
    // `delayed_work`, which was initialised to run with an `Arc` of the session.
    let waited = unsafe {
        let work = Work::raw_get(<Session as HasWork<Session, ID>>::raw_get_work(session));
        bindings::mod_delayed_work_on(
            bindings::wq_misc_consts_WORK_CPU_UNBOUND as kernel::ffi::c_int,
            ffi::nlcall_queue().cast_mut(),
            kernel::container_of!(work, bindings::delayed_work, work),
            0,
        )
    };
    if waited {
        // SAFETY: It had a reference of its own, which it runs with: this one is ours still.
        drop(unsafe { Arc::from_raw(session) });
    }
}

/// The clock by which workers rest, in jiffies; it wraps around.
pub fn now() -> u32 {
    // SAFETY: A counter of the kernel, read as C does: in one access.
    unsafe { (&raw const bindings::jiffies).read_volatile() as u32 }
}

/// The release of the running kernel, as `uname -r` prints it.
pub fn kernel_release() -> &'static str {
    // SAFETY: A string of the kernel that never changes.
    unsafe { CStr::from_char_ptr(ffi::nlcall_release()) }
        .to_str()
        .unwrap_or("?")
}

/// The parameters that are numbers, in the order of `settings.rs`.
pub fn settings() -> &'static [Atomic<u32>; settings::COUNT] {
    // SAFETY: A static of `shim.c`. Sysfs reads it, one word at a time, and nothing but what goes
    // through this reference writes it once the module's code runs.
    unsafe { &ffi::nlcall_settings }
}

/// Parameter `classic`.
pub fn classic_wanted() -> bool {
    // SAFETY: Written before the module's code runs, constant since.
    unsafe { ffi::nlcall_classic }
}

/// Parameter `access`, as the module was loaded with it. For module initialisation.
pub fn access_parameter() -> &'static str {
    // SAFETY: The parameter's static buffer ends with a NUL. It does not change before the module
    // is initialised.
    unsafe { CStr::from_char_ptr((&raw const ffi::nlcall_access).cast()) }
        .to_str()
        .unwrap_or("")
}

/// Writes the parameter `access`, for sysfs to show it.
///
/// # Safety
///
/// `kernel_param_lock()` of the module is held.
pub unsafe fn show_access(text: &str) {
    // SAFETY: A static; by the caller's promise sysfs, the only reader, is kept out.
    let buffer = unsafe { &mut *(&raw mut ffi::nlcall_access) };
    buffer.fill(0);
    let room = buffer.len() - 1;
    for (to, from) in buffer[..room].iter_mut().zip(text.bytes()) {
        *to = from as kernel::ffi::c_char;
    }
}

/// How many look on: tracepoints that are in use, and one more where somebody listens.
#[inline]
pub fn watched() -> &'static Atomic<i32> {
    // SAFETY: A counter of `trace.c`, which is only used as one.
    unsafe { &ffi::nlcall_watched }
}

/// Number of processors that are online.
pub fn online_cpus() -> u32 {
    // SAFETY: Reads a counter.
    unsafe { ffi::nlcall_online_cpus() }
}

/// What [`sender`] found out about the current thread.
pub mod sender_is {
    /// A kernel thread, an io_uring worker or a worker of ours.
    pub const KERNEL: u32 = 1 << 0;
    /// Inside a 32-bit or x32 system call.
    pub const COMPAT: u32 = 1 << 1;
    /// Under seccomp.
    pub const SECCOMP: u32 = 1 << 2;
    /// On its way through `do_exit`.
    pub const EXITING: u32 = 1 << 3;
    /// Inside an INLINE call.
    pub const INLINE: u32 = 1 << 4;
    /// Inside a system call that sends for it, as `io_uring_enter`.
    pub const WITHIN: u32 = 1 << 5;
}

/// Bits of [`sender_is`] for the current thread.
pub fn sender() -> u32 {
    // SAFETY: Reads fields of `current`.
    unsafe { ffi::nlcall_sender() }
}

/// Whether a thread of the current process executes another program just now.
pub fn executing() -> bool {
    // SAFETY: Reads a field of what the process has as long as it has threads.
    unsafe { ffi::nlcall_executing() }
}

/// Whether the current thread has a fatal signal pending.
pub fn dying() -> bool {
    // SAFETY: Reads fields of `current`.
    unsafe { ffi::nlcall_dying() }
}

/// Whether the process of the current thread has workers of any kind.
pub fn has_workers() -> bool {
    // SAFETY: Reads fields of the threads of `current`'s process, under RCU.
    unsafe { ffi::nlcall_has_workers() }
}

/// The `struct pid` of the current process, valid while the current thread runs.
pub fn current_tgid() -> *mut bindings::pid {
    // SAFETY: `current` and its `signal` are valid while it runs; the pid of its thread group
    // stays the same even over an execve.
    unsafe {
        let signal = (*Task::current_raw()).signal;
        (*signal).pids[bindings::pid_type_PIDTYPE_TGID as usize]
    }
}

/// A process, by the `struct pid` of its thread group.
///
/// # Invariants
///
/// Owns one reference of the `struct pid`.
pub struct Process(NonNull<bindings::pid>);

// SAFETY: `struct pid` is reference counted and may be used and released from any thread.
unsafe impl Send for Process {}
// SAFETY: Only the address and the number, which are constant, are read through it.
unsafe impl Sync for Process {}

impl Process {
    /// The current process.
    pub fn current() -> Option<Self> {
        let pid = NonNull::new(current_tgid())?;
        // SAFETY: The pid is alive while the current thread runs; `refcount_inc` takes the reference that the new
        // value owns.
        unsafe { bindings::refcount_inc(&raw mut (*pid.as_ptr()).count) };
        Some(Self(pid))
    }

    /// The process with this `struct pid`.
    ///
    /// # Safety
    ///
    /// The caller gives a reference of it away.
    pub unsafe fn from_raw(pid: NonNull<bindings::pid>) -> Self {
        // INVARIANT: By the caller's promise.
        Self(pid)
    }

    /// Its `struct pid`.
    pub fn as_ptr(&self) -> *mut bindings::pid {
        self.0.as_ptr()
    }

    /// Whether this is the process of the current thread.
    pub fn is_current(&self) -> bool {
        self.is(current_tgid())
    }

    /// Whether this is the process with that `struct pid`.
    pub fn is(&self, pid: *const bindings::pid) -> bool {
        core::ptr::eq(self.0.as_ptr(), pid)
    }

    /// Whether nothing is left of it, not even its number.
    pub fn is_gone(&self) -> bool {
        let _rcu = kernel::sync::rcu::read_lock();
        // SAFETY: The type invariant keeps the pid alive; the task is looked for under RCU, and
        // only whether there is one counts.
        unsafe { bindings::pid_task(self.0.as_ptr(), bindings::pid_type_PIDTYPE_TGID).is_null() }
    }

    /// Its number in the initial pid namespace.
    pub fn global_number(&self) -> u32 {
        // SAFETY: The type invariant keeps the pid alive; its numbers never change. The first one is
        // always there.
        unsafe { (*(&raw const (*self.0.as_ptr()).numbers).cast::<bindings::upid>()).nr as u32 }
    }

    /// Its number in the pid namespace of the current thread; 0 where it has none there, or has
    /// ended.
    pub fn number(&self) -> u32 {
        if self.is_gone() {
            return 0;
        }
        // SAFETY: The type invariant keeps the pid alive; its numbers never change.
        unsafe { bindings::pid_vnr(self.0.as_ptr()) as u32 }
    }
}

impl Clone for Process {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant; the reference is the new value's.
        unsafe { bindings::refcount_inc(&raw mut (*self.0.as_ptr()).count) };
        Self(self.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference of the type invariant.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

/// The C part of a worker.
///
/// # Invariants
///
/// The pointer is valid until this is dropped.
pub struct Thread(NonNull<ffi::Thread>);

// SAFETY: `shim.c` keeps what each function may be called from; see there.
unsafe impl Send for Thread {}
// SAFETY: As above.
unsafe impl Sync for Thread {}

impl Thread {
    /// Allocates it.
    ///
    /// # Safety
    ///
    /// `worker` and `blocked` outlive the thread: from [`Thread::start`] to the end of
    /// [`Thread::stop`], and this value.
    pub unsafe fn new(worker: *mut core::ffi::c_void, blocked: &Atomic<i32>) -> Result<Self> {
        // SAFETY: By the caller's promise.
        let thread = unsafe { ffi::nlcall_thread_new(worker, blocked.as_ptr()) };
        NonNull::new(thread).map(Self).ok_or(ENOMEM)
    }

    /// Makes and starts the thread, as a thread of the current process.
    pub fn start(&self) -> Result {
        // SAFETY: Valid by the type invariant. Called once for each thread, by its maker.
        to_result(unsafe { ffi::nlcall_thread_start(self.0.as_ptr()) })
    }

    /// Between [`Thread::begin`] and [`Thread::end`], does something that is no call: the thread
    /// does not count as blocked while it sleeps.
    pub fn apart<R>(&self, what: impl FnOnce() -> R) -> R {
        self.end();
        let result = what();
        self.begin();
        result
    }

    /// Ends the thread and waits until it is gone. Not by the thread itself, and once, after
    /// [`Thread::start`] succeeded.
    pub fn stop(&self) {
        // SAFETY: Valid by the type invariant; the reaper is the only caller.
        unsafe { ffi::nlcall_thread_stop(self.0.as_ptr()) };
    }

    /// Wakes a worker that has no call.
    pub fn wake(&self) {
        // SAFETY: Valid by the type invariant; a worker that is idle was started.
        unsafe { ffi::nlcall_thread_wake(self.0.as_ptr()) };
    }

    /// Interrupts the call that the worker executes. A worker that has not run yet has none.
    pub fn interrupt(&self) {
        // SAFETY: Valid by the type invariant.
        unsafe { ffi::nlcall_thread_interrupt(self.0.as_ptr()) };
    }

    /// Executes one system call under `cred`, in this thread. When the monotonic clock passes
    /// `deadline`, the worker hears that `call` is late; 0: no deadline.
    #[inline]
    pub fn execute(
        &self,
        nr: u32,
        args: &[u64; 6],
        cred: &Credential,
        (deadline, call): (i64, u32),
    ) -> i64 {
        let (args, cred) = (args.as_ptr(), cred.as_ptr());
        // SAFETY: Six values; credentials that are alive, and in force until the function returns.
        // The policy let the call through: it does not look at the thread's own saved registers.
        // The thread is valid by the type invariant, and calls this itself.
        unsafe {
            if deadline == 0 {
                ffi::nlcall_execute(nr, args, cred) as i64
            } else {
                let thread = self.0.as_ptr();
                ffi::nlcall_execute_until(nr, args, cred, deadline, thread, call) as i64
            }
        }
    }

    /// Puts credentials in force for the calls of a burst. By the thread itself.
    pub fn with<'a>(&self, cred: &'a Credential) -> InForce<'a> {
        // SAFETY: The credentials stay alive, and in force, until the guard is gone.
        unsafe { ffi::nlcall_burst_begin(cred.as_ptr()) };
        InForce {
            cred,
            _here: NotThreadSafe,
        }
    }

    /// The worker goes to work: from here on its sleeping counts as blocked.
    pub fn begin(&self) {
        // SAFETY: Valid by the type invariant; called by the thread itself.
        unsafe { ffi::nlcall_thread_begin(self.0.as_ptr()) };
    }

    /// The worker rests, or looks after a signal.
    pub fn end(&self) {
        // SAFETY: As for `begin()`, which came before.
        unsafe { ffi::nlcall_thread_end(self.0.as_ptr()) };
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: Valid by the type invariant; the thread was stopped or never started.
        unsafe { ffi::nlcall_thread_free(self.0.as_ptr()) };
    }
}

pub use ffi::Called;

/// What a call of the current thread left behind, in [`Called::state`].
pub mod called {
    /// A signal is pending.
    pub const SIGNAL: usize = 1 << 0;
    /// The thread is under seccomp.
    pub const SECCOMP: usize = 1 << 1;
    /// The deadline passed.
    pub const LATE: usize = 1 << 3;
    /// The call was not made.
    pub(super) const NOT: usize = 1 << 4;
    /// Audit wants to know of each call: they are to be made by [`call_audited`](super::call_audited).
    pub const AUDITED: usize = 1 << 5;
    /// The same, and there is no memory for it: no call is to be made.
    pub const BLIND: usize = 1 << 6;
}

/// Executes one system call as the current thread, which is on its way to user mode: with its own
/// credentials, and on its own behalf. Does not return where the call ends the thread.
#[inline]
pub fn call(nr: u32, args: *const u64) -> Called {
    // SAFETY: `args` are six values, which may lie on any address. The policy let the call through
    // for the thread itself, so it does not look at the saved registers of its own system call.
    unsafe { ffi::nlcall_call(nr, args) }
}

/// The same with a deadline, in nanoseconds of the monotonic clock; 0 for none.
pub fn call_until(nr: u32, args: *const u64, deadline: i64) -> Called {
    // SAFETY: As for `call()`.
    unsafe { ffi::nlcall_call_until(nr, args, deadline) }
}

/// The same where audit wants to know of it.
pub fn call_audited(nr: u32, args: *const u64, deadline: i64) -> Called {
    // SAFETY: As for `call()`.
    unsafe { ffi::nlcall_call_audited(nr, args, deadline) }
}

/// Makes a call that ends the current thread; returns only where it could not.
pub fn farewell(nr: u32, args: &[u64; 6]) {
    // SAFETY: As for `call()`; the thread is not marked any more.
    unsafe { ffi::nlcall_farewell(nr, args.as_ptr()) }
}

/// Makes the calls of these entries, which are INLINE and simple or even plain, and writes their results into
/// the array at `head`, from `index` on. Says how many. Where that is not all of them, the next one
/// needs care: it was not made, or this came back and its result was not written. Those of its
/// arguments that are values by now are marked as such.
pub fn run(
    row: &mut Row<'_>,
    is_plain: bool,
    (head, index): (u64, u32),
    open: &Atomic<u32>,
) -> (u32, Option<Called>) {
    let mut last = Called { ret: 0, state: 0 };
    let row = ffi::Row {
        begin: row.begin(),
        first: row.first() as u64,
        from: row.from() as u64,
        count: row.count() as u32,
        is_plain,
    };
    // SAFETY: The entries are there by the type invariant of `Row`, and borrowed for writing.
    // References lead to earlier ones, so inside of them; simple calls have numbers of the table.
    // The array is checked and may fault. As for `call()` otherwise.
    let done = unsafe {
        ffi::nlcall_run(
            &raw const row,
            head as *mut _,
            index,
            open.as_ptr(),
            &raw mut last,
        )
    };
    (done, (last.state & called::NOT == 0).then_some(last))
}

/// What `nlcall_run()` knows about transfers.
#[no_mangle]
static nlcall_lengths: [u8; policy::NUMBERS] = policy::LENGTHS;

const _: () = {
    // What `shim.h` repeats of the wire format.
    assert!(flag::LINK == 1 && flag::INLINE == 8);
    assert!(core::mem::offset_of!(Call, flags) == 12);
    assert!(core::mem::offset_of!(Call, args) == 16);
    assert!(core::mem::offset_of!(Call, arg_kinds) == 64);
    assert!(core::mem::offset_of!(Call, timeout_ns) == 72 && size_of::<Call>() == 80);
    assert!(ArgKind::Result as u32 == 3 && ArgKind::Load as u32 == 4);
    assert!(ArgKind::OutPtr as u32 == 5 && ARG_KIND_BITS == 4);
};

/// Credentials that are in force for the current thread, a worker.
#[must_use = "the credentials are taken back when this is dropped"]
pub struct InForce<'a> {
    cred: &'a Credential,
    /// They are those of one thread.
    _here: NotThreadSafe,
}

impl InForce<'_> {
    /// Executes one system call. In the state, [`called::SIGNAL`] or nothing.
    #[inline]
    pub fn call(&self, nr: u32, args: &[u64; 6]) -> Called {
        // SAFETY: `args` are six values. The policy let the call through, so it does not look at
        // the thread's own saved registers.
        unsafe { ffi::nlcall_burst_call(nr, args.as_ptr()) }
    }

    /// Whether audit wants to know of the calls. Asked once for all of them.
    #[inline]
    pub fn is_audited(&self) -> bool {
        // SAFETY: Reads fields of `current`.
        unsafe { ffi::nlcall_audit_watches() }
    }

    /// Executes one system call of which audit wants to know; otherwise as [`InForce::call`].
    pub fn call_audited(&self, nr: u32, args: &[u64; 6]) -> Called {
        // SAFETY: As in `call`.
        unsafe { ffi::nlcall_burst_call_audited(nr, args.as_ptr()) }
    }
}

impl Drop for InForce<'_> {
    fn drop(&mut self) {
        // SAFETY: In force since this was made, by the same thread: the guard does not leave it.
        unsafe { ffi::nlcall_burst_end(self.cred.as_ptr()) };
    }
}

/// One that C has not made yet.
const NO_NOTIFIER: bindings::preempt_notifier = bindings::preempt_notifier {
    link: bindings::hlist_node {
        next: core::ptr::null_mut(),
        pprev: core::ptr::null_mut(),
    },
    ops: core::ptr::null_mut(),
};

/// A question to seccomp.
pub struct Question(ffi::Question);

/// What came of a question.
pub enum Asked {
    /// The call may be made, as the value says.
    Yes(Bare),
    /// It may not; what a plain call would return.
    No(i64),
    /// The same, and no other call shall be made: a signal is pending, or the thread is ending.
    Stop(i64),
    /// There was no answer, since other task work is to run first.
    Later,
}

impl Question {
    /// No question.
    pub const fn new() -> Self {
        Self(ffi::Question {
            mark: NO_NOTIFIER,
            heir: core::ptr::null_mut(),
            nr: 0,
            args: [0; 6],
            ret: 0,
        })
    }

    /// Asks seccomp whether the current thread may make a call. Does not return where that ends
    /// the thread: then `heir` is task work of it, and the question is over.
    ///
    /// # Safety
    ///
    /// The current thread is in the last piece of its task work, and there is nothing on its stack
    /// that would have to be dropped. `this` is valid until the answer, or until `heir` runs, a
    /// complete callback that is not in use.
    pub unsafe fn ask(this: *mut Self, heir: *mut bindings::callback_head, call: &Bare) -> Asked {
        const NO: u32 = 0;
        const YES: u32 = 1;
        const STOP: u32 = 2;

        // SAFETY: By the caller's promise.
        unsafe {
            let question = &raw mut (*this).0;
            (*question).heir = heir;
            (*question).nr = u64::from(call.nr);
            (*question).args = call.args;
            match ffi::nlcall_ask(question) {
                NO => Asked::No((*question).ret),
                YES => Asked::Yes(Bare {
                    // A number that is none, of a tracer, is none here either.
                    nr: u32::try_from((*question).nr).unwrap_or(u32::MAX),
                    args: (*question).args,
                }),
                STOP => Asked::Stop((*question).ret),
                _ => Asked::Later,
            }
        }
    }
}

/// Where a thread is marked that executes INLINE calls.
pub struct Mark(ffi::Mark);

impl Mark {
    /// An unused mark.
    pub const fn new() -> Self {
        Self(ffi::Mark {
            notifier: NO_NOTIFIER,
            own: core::ptr::null_mut(),
        })
    }

    /// Marks the current thread.
    pub fn set(&mut self) -> Marked<'_> {
        // SAFETY: The mark is unused, and borrowed until `Marked` is gone, which takes it away.
        let state = unsafe { ffi::nlcall_inline_begin(&raw mut self.0) };
        Marked { mark: self, state }
    }
}

/// The current thread is marked.
#[must_use = "a mark that is not cleared outlives its memory"]
pub struct Marked<'a> {
    mark: &'a mut Mark,
    state: usize,
}

impl Marked<'_> {
    /// What was there before the first call, as in [`Called::state`].
    pub fn state(&self) -> usize {
        self.state
    }

    /// Takes the mark away; `state` is that of all calls together.
    pub fn clear(mut self, state: usize) {
        self.state |= state;
    }
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        // SAFETY: The mark was set when this was made, by the same thread.
        unsafe { ffi::nlcall_inline_end(&raw mut self.mark.0, self.state) };
    }
}

/// Whether an execve by the current thread, in its task work, could pull the signal handlers from
/// under its own `get_signal()`. To be asked before any task work was added again.
pub fn may_be_in_get_signal() -> bool {
    // SAFETY: Reads fields of `current`.
    unsafe { ffi::nlcall_may_be_in_get_signal() }
}

/// Writes one entry of a results array at this address of the current process, and counts it.
/// `false`: it cannot be written.
#[inline]
pub fn put_result(head: u64, index: u32, user_data: u64, ret: i64, how: u32) -> bool {
    // SAFETY: Checks the address and survives a fault.
    unsafe { ffi::nlcall_put_result(head as *mut _, index, user_data, ret, how) }
}

/// Maps `len` bytes of zeroes into the memory of the current process, for nobody that it forks.
/// Says where; the error is a positive errno. By a worker.
pub fn map_memory(len: usize) -> core::result::Result<u64, i32> {
    // Of `include/uapi/asm-generic/mman*.h`, and of the table of system calls.
    const PROT_READ_WRITE: u64 = 1 | 2;
    const MAP_PRIVATE_ANONYMOUS: u64 = 2 | 0x20;
    const MADV_DONTFORK: u64 = 10;
    const MMAP: u32 = policy::nr("mmap");
    const MADVISE: u32 = policy::nr("madvise");
    let args = [
        0,
        len as u64,
        PROT_READ_WRITE,
        MAP_PRIVATE_ANONYMOUS,
        u64::MAX,
        0,
    ];
    // SAFETY: Six values each. Both calls act on the memory of the process alone.
    unsafe {
        let at = ffi::nlcall_burst_call(MMAP, args.as_ptr()).ret;
        if (-4095..0).contains(&at) {
            return Err(-at as i32);
        }
        let args = [at as u64, len as u64, MADV_DONTFORK, 0, 0, 0];
        ffi::nlcall_burst_call(MADVISE, args.as_ptr());
        Ok(at as u64)
    }
}

/// Writes memory of the current process. `false`: it cannot be written.
pub fn write_user(at: u64, from: &[u8]) -> bool {
    // SAFETY: Checks the address, reads `from` only, and survives a fault.
    unsafe { bindings::_copy_to_user(at as *mut _, from.as_ptr().cast(), from.len() as _) == 0 }
}

/// Reads memory of the current process. `false`: it cannot be read.
pub fn read_user(at: u64, into: &mut [u8]) -> bool {
    // SAFETY: Checks the address, writes at most `into`, and survives a fault.
    unsafe {
        bindings::_copy_from_user(into.as_mut_ptr().cast(), at as *const _, into.len() as _) == 0
    }
}

/// Reads as much memory of the current process as is there, without waiting for any. Says how many
/// bytes that is.
pub fn peek_user(at: u64, into: &mut [u8]) -> usize {
    const PAGE: u64 = bindings::PAGE_SIZE as u64;
    let mut len = 0;
    while len < into.len() {
        let Some(from) = at.checked_add(len as u64) else {
            break;
        };
        let rest = &mut into[len..];
        let step = rest.len().min((PAGE - from % PAGE) as usize);
        // SAFETY: Checks the address, writes at most `step` bytes of `rest`, and survives a fault.
        let failed = unsafe {
            bindings::copy_from_user_nofault(rest.as_mut_ptr().cast(), from as *const _, step)
        };
        if failed != 0 {
            break;
        }
        len += step;
    }
    len
}

/// Nanoseconds since 1970.
pub fn wall_clock() -> u64 {
    // SAFETY: Only reads the clock.
    unsafe { bindings::ktime_get_real() as u64 }
}
