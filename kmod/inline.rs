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
    answer::{
        Answer,
        Bare, //
    },
    calls::{
        Index,
        Totals, //
    },
    crew,
    ended::{
        self,
        Ending,
        Next,
        Stop, //
    },
    entries::{
        how,
        Earlier,
        Entry,
        Sequence,
        Walk, //
    },
    parse::{
        references,
        Load,
        Shape, //
    },
    policy,
    reject::errno,
    sender,
    session::Session,
    shim::{
        self,
        called,
        Asked,
        Mark, //
    },
    slots::Credentials,
    socket::Sock,
    trace::{
        self,
        Ended,
        Shown,
        Watch, //
    },
    users::InlineBytes,
    wire::{
        flag,
        CallResult,
        Outcome,
        ResultsHeader,
        ARG_KIND_BITS, //
    },
    worker::RESTART_SYSCALL,
};

const EXECVE: u32 = policy::nr("execve");
const EXECVEAT: u32 = policy::nr("execveat");
const EXIT: u32 = policy::nr("exit");
const EXIT_GROUP: u32 = policy::nr("exit_group");
const UNSHARE: u32 = policy::nr("unshare");
const SETNS: u32 = policy::nr("setns");

/// What a process may unshare while it has one thread.
const FOR_ONE_THREAD: u64 = (bindings::CLONE_VM
    | bindings::CLONE_SIGHAND
    | bindings::CLONE_THREAD
    | bindings::CLONE_NEWUSER) as u64;

/// Flags for which it matters whether the call succeeded.
const MINDS_SUCCESS: u32 = flag::LINK | flag::HARDLINK | flag::SKIP_SUCCESS;

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
    /// What there is to the calls.
    shape: Shape,
    /// Address of the results array, 0 for none.
    results: u64,
    /// In which of the sender's programs that is.
    program: u64,
    /// What the sender's credentials were.
    credentials: Credentials,
    /// Where it goes on after a question to seccomp.
    pause: Option<Pause>,
}

/// A batch between two of its calls.
struct Pause {
    /// Before the next entry.
    walk: Walk,
    results: Results,
    tally: Tally,
    first_due: Option<Walk>,
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
    /// Calls that were not, since their chain broke before them.
    pub(crate) canceled: u32,
    /// Calls that ran into their time limit.
    pub(crate) timed_out: u32,
}

impl Tally {
    /// What the session counts of it.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            delivered: u64::from(self.written),
            skipped: u64::from(self.skipped),
            canceled: u64::from(self.canceled),
            timed_out: u64::from(self.timed_out),
            inline: u64::from(self.executed),
            ..Totals::default()
        }
    }

    /// Counts how a call ended.
    #[inline(always)]
    fn ended(&mut self, outcome: Outcome) {
        if outcome == Outcome::Ran {
            self.executed += 1;
        } else {
            self.ended_otherwise(outcome);
        }
    }

    #[cold]
    fn ended_otherwise(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ran | Outcome::Interrupted => self.executed += 1,
            Outcome::TimedOut => {
                self.executed += 1;
                self.timed_out += 1;
            }
            Outcome::Canceled => self.canceled += 1,
            Outcome::NotStarted | Outcome::Refused => {}
        }
    }
}

/// A call that ends its thread, made when nothing else is left to do.
pub(crate) struct Farewell {
    nr: u32,
    args: [u64; 6],
}

impl Farewell {
    /// Makes the call.
    pub(crate) fn call(self) {
        shim::farewell(self.nr, &self.args);
    }
}

/// What there is to a thread whose errand arrives.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// It is ending.
    pub(crate) exiting: bool,
    /// It is under seccomp.
    pub(crate) filtered: bool,
    /// No other task work is lost where it ends.
    pub(crate) may_exit: bool,
}

impl Arrival {
    /// That of a thread that runs no task work any more.
    pub(crate) const LAST: Self = Self {
        exiting: true,
        filtered: false,
        may_exit: false,
    };
}

/// How the calls go that a thread brings, from its first errand to the last: what a question to
/// seccomp leaves as it was.
pub(crate) struct Course {
    sequence: Sequence,
    /// The thread's state, all of it since the beginning.
    state: usize,
    may_exit: bool,
    in_get_signal: bool,
    farewell: Option<Farewell>,
    /// Somebody looks on.
    is_watched: bool,
    /// The call that is being executed, then.
    watch: Option<Watch>,
    /// Seccomp is to be asked about each call.
    asks: bool,
    /// Audit wants to know of each call of the batch.
    is_audited: bool,
    /// Why no further call is asked about, where a question had consequences.
    halt: Option<Ending>,
    /// The call that seccomp is or was asked about; in its slot, where it is for a worker.
    question: Option<(Option<Index>, Bare)>,
    /// What seccomp said.
    answer: Option<Answer>,
}

impl Course {
    /// Before the first call.
    pub(crate) fn new(in_get_signal: bool, arrival: Arrival) -> Self {
        Self {
            sequence: Sequence::default(),
            state: 0,
            may_exit: arrival.may_exit,
            in_get_signal,
            farewell: None,
            is_watched: trace::is_on(),
            watch: None,
            asks: arrival.filtered,
            is_audited: false,
            halt: None,
            question: None,
            answer: None,
        }
    }

    /// A thread that is ending makes no call any more.
    pub(crate) fn look_at(&mut self, arrival: Arrival) {
        if arrival.exiting {
            self.sequence.stop(Ending::not_started(errno::ESRCH));
        }
    }

    /// Whether seccomp is to be asked about each call.
    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// How calls end about which seccomp cannot be asked any more.
    pub(crate) fn unasked(&self) -> Option<Ending> {
        match self.halt {
            None if !self.may_exit => Some(Ending::not_started(errno::EAGAIN)),
            halt => halt,
        }
    }

    /// Seccomp is to be asked about this call; in its slot, where it is for a worker.
    pub(crate) fn ask(&mut self, slot: Option<Index>, call: Bare) {
        self.question = Some((slot, call));
    }

    /// The call that seccomp is to be asked about. Until it has answered, it refuses.
    pub(crate) fn question(&mut self) -> Option<Bare> {
        self.answer = Some(Answer::none_yet());
        self.question.map(|(_, call)| call)
    }

    /// Takes in what seccomp said.
    pub(crate) fn answered(&mut self, asked: Asked) {
        self.answer = match (asked, self.question) {
            (Asked::Yes(call), Some((slot, question))) => {
                Some(Answer::permitted(call, &question, slot.is_none()))
            }
            (Asked::No(ret), _) => Some(Answer::refused(ret)),
            (Asked::Stop(ret), _) => {
                let ending = Ending::not_started(errno::EINTR);
                self.sequence.stop(ending);
                self.halt = Some(ending);
                Some(Answer::refused(ret))
            }
            (Asked::Later | Asked::Yes(_), _) => None,
        };
    }

    /// The call that is to end the thread.
    pub(crate) fn farewell(self) -> Option<Farewell> {
        self.farewell
    }

    /// Takes the answer about a call for a worker.
    pub(crate) fn answer(&mut self) -> Option<(Index, Answer)> {
        let (slot, _) = self.question.take()?;
        Some((slot?, self.answer.take()?))
    }
}

/// What the thread knows while it executes the batches of an errand.
pub(crate) struct Run<'a> {
    session: &'a Arc<Session>,
    pub(crate) course: Course,
}

/// What comes next of an entry about which seccomp is asked.
enum Consulted {
    /// The question.
    Ask(Bare),
    /// It is made.
    Make,
    /// It ends so.
    End(Ending),
}

impl<'a> Run<'a> {
    /// Before the next call.
    pub(crate) fn new(session: &'a Arc<Session>, course: Course) -> Self {
        Self { session, course }
    }

    /// Takes note of what the last call left behind.
    #[inline]
    fn note(&mut self, state: usize) {
        if state != 0 || !self.session.is_open() {
            self.look_at(state);
        }
    }

    #[cold]
    fn look_at(&mut self, state: usize) {
        let course = &mut self.course;
        course.state |= state;
        // A filter may come at any time.
        course.asks |= state & called::SECCOMP != 0;
        course.is_audited |= state & called::AUDITED != 0;
        let errno = if state & called::BLIND != 0 {
            errno::ENOMEM
        } else if state & called::SIGNAL != 0 {
            errno::EINTR
        } else if !self.session.is_open() {
            errno::ESRCH
        } else {
            return;
        };
        course.sequence.stop(Ending::not_started(errno));
    }

    /// What seccomp says about an entry, behind what lies `before` it in the message.
    #[cold]
    fn consult(&mut self, before: &[u8], entry: &mut Entry<'_>, walk: &Walk) -> Consulted {
        let course = &mut self.course;
        match course.answer.take() {
            Some(Answer::End(ending)) => return Consulted::End(ending),
            Some(Answer::Make(call)) if course.sequence.goes_on() => {
                entry.set_call(&call);
                return Consulted::Make;
            }
            _ => {}
        }
        if course.sequence.goes_on() {
            if let Some(ending) = course.unasked() {
                course.sequence.stop(ending);
            }
        }
        if !course.sequence.goes_on() {
            return Consulted::End(course.sequence.instead());
        }
        if let Err(ending) = resolve(before, entry, walk) {
            return Consulted::End(ending);
        }
        let call = Bare {
            nr: entry.nr(),
            args: entry.args(),
        };
        // What was read is what it says from now on.
        entry.set_call(&call);
        Consulted::Ask(call)
    }
}

impl Batch {
    /// The INLINE calls of a message of the current thread, whose entries have `size` bytes.
    pub(crate) fn new(
        message: Received,
        size: NonZeroUsize,
        shape: Shape,
        results: u64,
        credentials: Credentials,
    ) -> Self {
        Self {
            message,
            walk: Walk::new(size),
            due: 0,
            shape,
            results,
            program: sender::programs(),
            credentials,
            pause: None,
        }
    }

    /// Executes the calls, or says of each why not. `mark` is the thread's. `None`: seccomp is to be
    /// asked about the next one first.
    pub(crate) fn run(&mut self, run: &mut Run<'_>, mark: &mut Mark) -> Option<Tally> {
        if run.course.sequence.goes_on() && !sender::has(&self.credentials) {
            run.course.sequence.stop(Ending::not_started(errno::EPERM));
        }
        let marked = mark.set();
        run.course.is_audited = false;
        run.note(marked.state());
        let attrs = self.message.attrs();
        let Pause {
            mut walk,
            mut results,
            mut tally,
            mut first_due,
        } = self.pause.take().unwrap_or_else(|| Pause {
            walk: self.walk,
            results: Results::open(self.results, self.program),
            tally: Tally::default(),
            first_due: None,
        });
        if sender::program().is_null() {
            // The question ended the thread, and its memory went first.
            results.close();
        }
        loop {
            let mut made = None;
            if self.shape != Shape::Any && results.left > 0 && run.is_fast() {
                let Some(mut row) = walk.row(attrs, results.left as usize) else {
                    break;
                };
                let count = row.count();
                let is_plain = self.shape == Shape::Plain;
                let place = (results.head, results.index);
                let (done, last) = shim::run(&mut row, is_plain, place, run.session.open());
                results.wrote(done);
                tally.written += done;
                tally.executed += done;
                if done as usize == count {
                    continue;
                }
                walk.back(count - done as usize);
                made = last;
            }
            let Some(at) = walk.next(attrs) else {
                break;
            };
            let Some((before, mut entry)) = Entry::and_before(attrs, at) else {
                break;
            };
            let flags = entry.flags();
            if flags & flag::INLINE == 0 {
                continue;
            }
            let ending = if run.course.asks && made.is_none() {
                match run.consult(before, &mut entry, &walk) {
                    Consulted::Make => run.execute(before, &mut entry, &walk, None, &mut results),
                    Consulted::End(ending) => ending,
                    Consulted::Ask(call) => {
                        run.course.ask(None, call);
                        walk.back(1);
                        self.pause = Some(Pause {
                            walk,
                            results,
                            tally,
                            first_due,
                        });
                        marked.clear(run.course.state);
                        return None;
                    }
                }
            } else if made.is_some() || run.course.sequence.goes_on() {
                run.execute(before, &mut entry, &walk, made, &mut results)
            } else {
                run.course.sequence.instead()
            };
            if run.course.is_watched {
                let call = Shown::of_entry(&entry);
                let watch = run.course.watch.take().map(|watch| watch.end(&call.args));
                Ended::new(call, ending, watch).show(run.session);
            }
            tally.ended(ending.outcome);
            let succeeded = flags & MINDS_SUCCESS == 0
                || ended::succeeded(&ending, entry.nr(), |index| entry.arg(index));
            run.course.sequence.ended(flags, succeeded);
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
                first_due.get_or_insert_with(|| {
                    let mut before = walk;
                    before.back(1);
                    before
                });
                tally.due += 1;
            }
        }
        marked.clear(run.course.state);
        if let Some(first_due) = first_due {
            self.walk = first_due;
        }
        self.due = tally.due;
        Some(tally)
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

/// Whether a call needs care of its own.
#[inline]
fn is_special(nr: u32) -> bool {
    matches!(
        nr,
        EXECVE | EXECVEAT | EXIT | EXIT_GROUP | UNSHARE | SETNS
    )
}

/// The ending of a call that nothing interrupted.
#[inline]
fn plain(ret: i64) -> Option<Ending> {
    if (-516..=-512).contains(&ret) {
        return None;
    }
    Some(Ending::ran(ret))
}

/// The value that an argument takes from an earlier call of the chain.
#[inline]
fn referred(before: &[u8], walk: &Walk, is_load: bool, arg: u64) -> Option<u64> {
    if !is_load {
        let at = walk.nth(before, usize::try_from(arg).ok()?)?;
        return Some(Earlier::at(before, at)?.ret() as u64);
    }
    let from = Load::of(arg);
    let at = walk.nth(before, from.call)?;
    let output = Earlier::at(before, at)?.output()?;
    let mut field = [0; 8];
    let into = field.get_mut(..from.width as usize)?;
    // The rest stays zero: on x86-64 what comes first is the lower half.
    let is_read = shim::read_user(output.checked_add(u64::from(from.offset))?, into);
    is_read.then_some(u64::from_ne_bytes(field))
}

/// Fills in the arguments of an entry that come from earlier calls, which lie `before` it in the
/// message. Says how the call ends where one cannot be read.
#[inline]
fn resolve(before: &[u8], entry: &mut Entry<'_>, walk: &Walk) -> core::result::Result<(), Ending> {
    let kinds = entry.arg_kinds();
    let mut references = references(kinds);
    while references != 0 {
        let lowest = references.trailing_zeros();
        references &= references - 1;
        let index = (lowest / ARG_KIND_BITS) as usize;
        let is_load = kinds >> lowest & 1 == 0;
        let Some(value) = referred(before, walk, is_load, entry.arg(index)) else {
            return Err(Ending::not_started(errno::EFAULT));
        };
        entry.set_arg(index, value);
    }
    Ok(())
}

impl Run<'_> {
    /// Whether calls may be made by the loop that asks nobody and tells nobody.
    #[inline]
    fn is_fast(&self) -> bool {
        let course = &self.course;
        let is_seen = course.is_watched || course.is_audited;
        course.sequence.goes_on() && !course.asks && !is_seen
    }

    /// Executes an entry, behind what lies `before` it in the message. `made`: it was called
    /// already, and this came back.
    #[inline]
    fn execute(
        &mut self,
        before: &[u8],
        entry: &mut Entry<'_>,
        walk: &Walk,
        made: Option<shim::Called>,
        results: &mut Results,
    ) -> Ending {
        let (nr, timeout_ns) = (entry.nr(), entry.timeout_ns());
        if let Err(ending) = resolve(before, entry, walk) {
            return ending;
        }
        if self.course.is_watched {
            self.course.watch = Some(Watch::begin(&entry.args()));
        }
        if timeout_ns != 0 || self.course.is_audited || is_special(nr) {
            return self.special(nr, &entry.args(), timeout_ns, results);
        }
        let done = made.unwrap_or_else(|| shim::call(nr, entry.args_in_place()));
        match plain(done.ret) {
            Some(ending) => {
                self.note(done.state);
                ending
            }
            None => self.carry_on(done, nr, &entry.args(), 0),
        }
    }

    /// Executes a call that has a time limit, or acts on the thread as a whole, or of which audit
    /// wants to know.
    #[cold]
    fn special(
        &mut self,
        nr: u32,
        args: &[u64; 6],
        timeout_ns: u64,
        results: &mut Results,
    ) -> Ending {
        match nr {
            EXIT | EXIT_GROUP if !self.course.may_exit => {
                return Ending::not_started(errno::EAGAIN);
            }
            EXIT | EXIT_GROUP => {
                // It never returns: its completion says that it is about to be made.
                self.course.farewell = Some(Farewell { nr, args: *args });
                self.course.sequence.stop(Ending::not_started(errno::ESRCH));
                return Ending::ran(0);
            }
            EXECVE | EXECVEAT if self.course.in_get_signal => {
                return Ending::not_started(errno::EAGAIN);
            }
            UNSHARE if args[0] & FOR_ONE_THREAD == 0 => {}
            UNSHARE if !crew::send_away() => return Ending::not_started(errno::EBUSY),
            // Whether that matters depends on the namespace: the call will say.
            SETNS => {
                crew::send_away();
            }
            _ => {}
        }
        let deadline = match timeout_ns {
            0 => 0,
            limit => sender::now_ns().saturating_add(limit).min(i64::MAX as u64) as i64,
        };
        let program = sender::program();
        let done = self.call(nr, args, deadline);
        let ending = self.carry_on(done, nr, args, deadline);
        if sender::program() != program {
            // Another program's memory.
            results.close();
            self.course.sequence.stop(Ending::not_started(errno::ESRCH));
        }
        ending
    }

    /// Makes a call.
    fn call(&self, nr: u32, args: &[u64; 6], deadline: i64) -> shim::Called {
        if self.course.is_audited {
            shim::call_audited(nr, args.as_ptr(), deadline)
        } else {
            shim::call_until(nr, args.as_ptr(), deadline)
        }
    }

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
            let is_restart = plain(done.ret).is_none();
            let stop = if done.state & called::LATE != 0 {
                Stop::TimedOut
            } else if is_restart && done.state & called::SIGNAL != 0 {
                Stop::Asked
            } else {
                Stop::No
            };
            done = match ended::after(done.ret, stop) {
                Next::Complete(ending) => return ending,
                Next::Again => self.call(nr, args, deadline),
                Next::Continue => self.call(RESTART_SYSCALL, args, deadline),
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
    /// Looks at the array at this address in that program of the current thread. Where it executes
    /// another one by now, there is none.
    fn open(head: u64, program: u64) -> Self {
        let mut results = Self {
            head,
            index: 0,
            left: 0,
        };
        if head == 0 || program != sender::programs() || sender::program().is_null() {
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
