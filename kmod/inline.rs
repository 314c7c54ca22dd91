// SPDX-License-Identifier: GPL-2.0-only

//! INLINE calls: executed by their submitter on its way to user mode.
//!
//! No netlink lock is held by then, and no descriptor is borrowed. The entries are read where the
//! message was received, and results go to the submitter's memory or, where there is none or
//! it cannot be written, stay in the entries until the flusher sends them.

use core::num::NonZeroUsize;

use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};
use zerocopy::FromBytes;

use crate::{
    ended::{
        self,
        Ending,
        Next, //
    },
    entries::{
        how,
        Entry,
        Sequence,
        Walk, //
    },
    parse::{
        arg_kind,
        Load, //
    },
    reject::errno,
    sender,
    session::Session,
    shim::{
        self,
        called,
        Mark, //
    },
    slots::Credentials,
    socket::Sock,
    users::InlineBytes,
    wire::{
        flag,
        ArgKind,
        CallResult,
        ResultsHeader, //
    },
    worker::RESTART_SYSCALL,
};

/// `execve` and `execveat`, `exit` and `exit_group`.
const EXECVE: u32 = 59;
const EXECVEAT: u32 = 322;
const EXIT: u32 = 60;
const EXIT_GROUP: u32 = 231;

/// The attributes of a message, kept beyond its handler.
///
/// # Invariants
///
/// Owns a reference of `skb`, whose linear buffer holds `len` bytes at `attrs`. Netlink is done
/// with them, and nobody else looks at them but a monitor of netlink traffic, which only reads.
pub struct Received {
    skb: *mut bindings::sk_buff,
    attrs: *mut u8,
    len: usize,
    _bytes: InlineBytes,
    /// Keeps the network namespace, whose kernel socket the message is charged to.
    _sock: Sock,
}

// SAFETY: The buffer belongs to nobody else, and may be released by any thread.
unsafe impl Send for Received {}

impl Received {
    /// Keeps the message `skb` with these attributes.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling, its linear buffer holds `len` bytes
    /// at `attrs`, and nothing of that is used once the handler has returned.
    pub unsafe fn keep(
        skb: *mut bindings::sk_buff,
        (attrs, len): (*mut u8, usize),
        sock: Sock,
        bytes: InlineBytes,
    ) -> Self {
        // SAFETY: By the caller's promise; this takes the reference of the type invariant.
        unsafe { shim::ffi::nlcall_message_hold(skb) };
        Self {
            skb,
            attrs,
            len,
            _bytes: bytes,
            _sock: sock,
        }
    }

    fn attrs(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant, once the handler has returned: before that nobody has
        // what this file keeps.
        unsafe { core::slice::from_raw_parts_mut(self.attrs, self.len) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference of the type invariant.
        unsafe { shim::ffi::nlcall_message_release(self.skb) };
    }
}

/// The INLINE calls of one message.
pub struct Batch {
    message: Received,
    /// Before the next entry to execute; then before the first whose completion is due.
    walk: Walk,
    /// Completions that the flusher is to send.
    due: u32,
    /// Every entry is an INLINE call, of which nothing but number and arguments counts.
    plain: bool,
    /// Address of the results array, 0 for none.
    results: u64,
    /// What the sender's credentials were.
    credentials: Credentials,
}

/// What became of the calls of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Results that were written into the submitter's memory.
    pub(crate) written: u32,
    /// Successful calls that wanted no completion.
    pub(crate) skipped: u32,
    /// Completions that the flusher is to send.
    pub(crate) due: u32,
    /// Calls that were executed.
    pub(crate) executed: u32,
}

/// A call that ends its thread, made when nothing else is left to do.
pub(crate) struct Farewell {
    nr: u32,
    args: [u64; 6],
}

impl Farewell {
    /// Makes the call.
    pub(crate) fn call(self) {
        shim::call(self.nr, self.args.as_ptr());
    }
}

/// What the thread knows while it executes the batches of an errand.
pub(crate) struct Run<'a> {
    session: &'a Arc<Session>,
    sequence: Sequence,
    /// The thread's state, all of it since the beginning.
    state: usize,
    /// No other task work is lost where the thread ends.
    may_exit: bool,
    in_get_signal: bool,
    farewell: Option<Farewell>,
}

impl<'a> Run<'a> {
    /// Before the first call. `may_exit`: nothing is lost where the thread ends.
    pub(crate) fn new(session: &'a Arc<Session>, may_exit: bool, in_get_signal: bool) -> Self {
        let mut sequence = Sequence::default();
        if sender::is_exiting() {
            sequence.stop(Ending::not_started(errno::ESRCH));
        }
        Self {
            session,
            sequence,
            state: 0,
            may_exit,
            in_get_signal,
            farewell: None,
        }
    }

    /// The call that is to end the thread.
    pub(crate) fn farewell(self) -> Option<Farewell> {
        self.farewell
    }

    /// Takes note of what the last call left behind.
    #[inline]
    fn note(&mut self, state: usize) {
        self.state |= state;
        if state & (called::SIGNAL | called::SECCOMP) != 0 {
            self.note_stop(state);
        }
        if !self.session.is_open() {
            self.sequence.stop(Ending::not_started(errno::ESRCH));
        }
    }

    #[cold]
    fn note_stop(&mut self, state: usize) {
        let errno = if state & called::SIGNAL != 0 {
            errno::EINTR
        } else {
            // Filters are asked before a message is accepted; this one came later.
            errno::EPERM
        };
        self.sequence.stop(Ending::not_started(errno));
    }
}

impl Batch {
    /// The INLINE calls of a message, whose entries have `size` bytes.
    pub(crate) fn new(
        message: Received,
        size: NonZeroUsize,
        plain: bool,
        results: u64,
        credentials: Credentials,
    ) -> Self {
        Self {
            message,
            walk: Walk::new(size),
            due: 0,
            plain,
            results,
            credentials,
        }
    }

    /// Executes the calls, or says of each why not. `mark` is the thread's.
    pub(crate) fn run(&mut self, run: &mut Run<'_>, mark: &mut Mark) -> Tally {
        if run.sequence.instead().is_none() && !sender::has(&self.credentials) {
            run.sequence.stop(Ending::not_started(errno::EPERM));
        }
        let marked = mark.set();
        run.note(marked.state());
        let program = sender::program();
        let mut results = Results::open(self.results);
        let mut tally = Tally::default();
        let mut first_due = None;
        let mut walk = self.walk;
        loop {
            let mut made = None;
            if self.plain && results.left > 0 && run.sequence.instead().is_none() {
                let Some(row) = walk.row(self.message.attrs(), results.left as usize) else {
                    break;
                };
                let count = row.count();
                let (done, last) =
                    shim::run(&row, results.head, results.index, run.session.open());
                results.wrote(done);
                tally.written += done;
                tally.executed += done;
                if done as usize == count {
                    continue;
                }
                // The next one was made too, and needs a closer look.
                walk.back(count - done as usize);
                made = Some(last);
            }
            let before = walk;
            let Some(at) = walk.next(self.message.attrs()) else {
                break;
            };
            let Some(mut entry) = Entry::at(self.message.attrs(), at) else {
                break;
            };
            let flags = entry.flags();
            if flags & flag::INLINE == 0 {
                continue;
            }
            let ending = match (run.sequence.instead(), made) {
                (_, Some(made)) => {
                    tally.executed += 1;
                    run.carry_on(made, entry.nr(), &entry.args(), 0)
                }
                (Some(ending), None) => ending,
                (None, None) => {
                    tally.executed += 1;
                    let nr = entry.nr();
                    if (entry.arg_kinds(), entry.timeout_ns()) == (0, 0) && !is_special(nr) {
                        let done = shim::call(nr, entry.args_in_place());
                        match plain(done.ret) {
                            Some(ending) => {
                                run.note(done.state);
                                ending
                            }
                            None => run.carry_on(done, nr, &entry.args(), 0),
                        }
                    } else {
                        let ending = self.special(run, walk, at);
                        if sender::program() != program {
                            // Another program's memory.
                            results.close();
                            run.sequence.stop(Ending::not_started(errno::ESRCH));
                        }
                        match Entry::at(self.message.attrs(), at) {
                            Some(again) => entry = again,
                            None => break,
                        }
                        ending
                    }
                }
            };
            let succeeded = flags & MINDS_SUCCESS == 0
                || ended::succeeded(&ending, entry.nr(), |index| entry.arg(index));
            run.sequence.ended(flags, succeeded);
            if succeeded && flags & flag::SKIP_SUCCESS != 0 {
                entry.record(ending);
                entry.set_over();
                tally.skipped += 1;
            } else if results.put(entry.user_data(), &ending) {
                if flags & (flag::LINK | flag::HARDLINK) != 0 {
                    entry.record(ending);
                }
                tally.written += 1;
            } else {
                entry.record(ending);
                first_due.get_or_insert(before);
                tally.due += 1;
            }
        }
        marked.clear(run.state);
        if let Some(first_due) = first_due {
            self.walk = first_due;
        }
        self.due = tally.due;
        tally
    }

    /// Executes the call at this place, which has a time limit or arguments from earlier calls,
    /// or acts on the thread as a whole.
    #[cold]
    fn special(&mut self, run: &mut Run<'_>, walk: Walk, at: usize) -> Ending {
        let not_started = Ending::not_started;
        let Some(entry) = Entry::at(self.message.attrs(), at) else {
            return not_started(errno::EINVAL);
        };
        let (nr, kinds, timeout_ns) = (entry.nr(), entry.arg_kinds(), entry.timeout_ns());
        let mut args = entry.args();
        for (index, arg) in args.iter_mut().enumerate() {
            let found = match arg_kind(kinds, index) {
                RESULT => self.earlier(walk, *arg).map(|entry| entry.ret() as u64),
                LOAD => self.load(walk, *arg),
                _ => Some(*arg),
            };
            match found {
                Some(found) => *arg = found,
                None => return not_started(errno::EFAULT),
            }
        }
        if let Some(mut entry) = Entry::at(self.message.attrs(), at) {
            entry.set_args(&args);
        }
        match nr {
            EXIT | EXIT_GROUP if !run.may_exit => return not_started(errno::EAGAIN),
            EXIT | EXIT_GROUP => {
                // It never returns: its completion says that it is about to be made.
                run.farewell = Some(Farewell { nr, args });
                run.sequence.stop(not_started(errno::ESRCH));
                return Ending::ran(0);
            }
            EXECVE | EXECVEAT if run.in_get_signal => return not_started(errno::EAGAIN),
            _ => {}
        }
        let deadline = match timeout_ns {
            0 => 0,
            limit => sender::now_ns().saturating_add(limit).min(i64::MAX as u64) as i64,
        };
        let done = shim::call_until(nr, args.as_ptr(), deadline);
        run.carry_on(done, nr, &args, deadline)
    }

    /// The entry of this index in the batch.
    fn earlier(&mut self, walk: Walk, index: u64) -> Option<Entry<'_>> {
        let attrs = self.message.attrs();
        let at = walk.nth(attrs, usize::try_from(index).ok()?)?;
        Entry::at(attrs, at)
    }

    /// The field of an earlier call's output.
    fn load(&mut self, walk: Walk, arg: u64) -> Option<u64> {
        let from = Load::of(arg);
        let output = self.earlier(walk, from.call as u64)?.output()?;
        let mut field = [0; 8];
        let at = output.checked_add(u64::from(from.offset))?;
        let into = field.get_mut(..from.width as usize)?;
        // The rest stays zero: on x86-64 what comes first is the lower half.
        shim::read_user(at, into).then_some(u64::from_ne_bytes(field))
    }

    /// Takes up to `most` completions for delivery, and shows each to `put`.
    pub(crate) fn send(&mut self, most: u32, mut put: impl FnMut(&CallResult)) -> u32 {
        let mut sent = 0;
        while sent < most.min(self.due) {
            let Some(at) = self.walk.next(self.message.attrs()) else {
                break;
            };
            if let Some(entry) = Entry::at(self.message.attrs(), at).filter(Entry::is_due) {
                put(&entry.result());
                sent += 1;
            }
        }
        self.due -= sent;
        sent
    }

    /// Completions that are to be delivered.
    pub(crate) fn due(&self) -> u32 {
        self.due
    }

    /// A place to come back to where completions were not delivered after all.
    pub(crate) fn position(&self) -> (Walk, u32) {
        (self.walk, self.due)
    }

    /// Goes back to that place.
    pub(crate) fn go_back(&mut self, (walk, due): (Walk, u32)) {
        (self.walk, self.due) = (walk, due);
    }
}

/// Flags for which it matters whether the call succeeded.
const MINDS_SUCCESS: u32 = flag::LINK | flag::HARDLINK | flag::SKIP_SUCCESS;

const RESULT: u32 = ArgKind::Result as u32;
const LOAD: u32 = ArgKind::Load as u32;

/// Whether a call needs care of its own.
#[inline]
fn is_special(nr: u32) -> bool {
    matches!(nr, EXECVE | EXECVEAT | EXIT | EXIT_GROUP)
}

/// The ending of a call that nothing interrupted.
#[inline]
fn plain(ret: i64) -> Option<Ending> {
    if (-516..=-512).contains(&ret) {
        return None;
    }
    Some(Ending::ran(ret))
}

impl Run<'_> {
    /// What follows from a call's return: where something other than a signal interrupted it, it
    /// is made again.
    #[cold]
    fn carry_on(
        &mut self,
        mut done: shim::Called,
        nr: u32,
        args: &[u64; 6],
        deadline: i64,
    ) -> Ending {
        loop {
            self.note(done.state);
            let is_late = done.state & called::LATE != 0;
            let is_restart = plain(done.ret).is_none();
            let asked = is_late || is_restart && done.state & called::SIGNAL != 0;
            done = match ended::after(done.ret, asked) {
                Next::Complete(ending) if is_late => return ending.of_time_limit(),
                Next::Complete(ending) => return ending,
                Next::Again => shim::call_until(nr, args.as_ptr(), deadline),
                Next::Continue => shim::call_until(RESTART_SYSCALL, args.as_ptr(), deadline),
            };
        }
    }
}

/// The submitter's results array.
struct Results {
    /// Address of its head; 0: there is none, or it cannot be written.
    head: u64,
    /// The next entry.
    index: u32,
    /// Entries that are left.
    left: u32,
}

impl Results {
    /// Looks at the array at this address.
    fn open(head: u64) -> Self {
        let mut results = Self {
            head,
            index: 0,
            left: 0,
        };
        if head == 0 || sender::program().is_null() {
            results.head = 0;
            return results;
        }
        let mut bytes = [0; size_of::<ResultsHeader>()];
        match shim::read_user(head, &mut bytes)
            .then(|| ResultsHeader::read_from_bytes(&bytes).ok())
            .flatten()
        {
            Some(header) if header.reserved == 0 => {
                results.index = header.done;
                results.left = header.capacity.saturating_sub(header.done);
            }
            _ => results.head = 0,
        }
        results
    }

    fn close(&mut self) {
        (self.head, self.left) = (0, 0);
    }

    /// So many entries were written.
    fn wrote(&mut self, count: u32) {
        self.index += count;
        self.left -= count;
    }

    /// Writes one result. `false`: it is to be sent instead, and so are all that follow.
    #[inline]
    fn put(&mut self, user_data: u64, ending: &Ending) -> bool {
        if self.head == 0 {
            return false;
        }
        if self.left == 0
            || !shim::put_result(self.head, self.index, user_data, ending.ret, how(ending))
        {
            self.close();
            return false;
        }
        self.wrote(1);
        true
    }
}
