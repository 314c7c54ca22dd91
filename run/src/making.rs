// SPDX-License-Identifier: MIT OR Apache-2.0

//! One system call of the program, made on its behalf.
//!
//! While the library works, all signals are blocked. While the call itself is made, the program's
//! own mask is in force: what the kernel does about a signal is what it would do for the plain
//! call, and a handler that runs then finds everything in [`Making`].

use core::cmp::Ordering;
use core::ptr;

use nlcall_abi::{
    CallResult,
    Outcome,
    Restart,
    ResultsHeader, //
};
use zerocopy::IntoBytes;

use crate::context::{
    Context,
    SIGSYS_BIT, //
};
use crate::count;
use crate::session::{
    self,
    Message, //
};
use crate::shared::Way;
use crate::sys::{
    self,
    address,
    EFBIG,
    EINTR,
    EPIPE,
    RECVFROM,
    RESTART_SYSCALL,
    SENDTO, //
};
use crate::text;
use crate::worker::{
    Received,
    Taken,
    MESSAGE_LEN, //
};

/// A system call, as the program made it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Call {
    pub nr: u64,
    pub args: [u64; 6],
}

/// Where the module writes what came of a message's only call.
#[derive(Debug)]
#[repr(C)]
struct Results {
    header: ResultsHeader,
    entry: CallResult,
}

/// A call that is being made. The first fields are what the instructions in [`text`] work with.
#[derive(Debug)]
#[repr(C)]
pub struct Making {
    /// The call that enters the kernel: the program's, or the one that sends a message.
    pub(crate) nr: u64,
    pub(crate) args: [u64; 6],
    /// The program's signal mask, before the call and after it.
    pub(crate) mask: u64,
    /// What the kernel returned.
    pub(crate) ret: i64,
    /// Where the program is.
    outer: *mut Context,
    call: Call,
    way: Way,
    /// Goes on with a call that was interrupted.
    continues: bool,
    /// Comes back only where it fails, and was counted before.
    leaves: bool,
    began: u64,
    results: Results,
    message: Message,
    /// The session of the worker that executes it.
    taken: Option<Taken>,
    /// What that one receives.
    received: [u8; MESSAGE_LEN],
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It returned this.
    Done(i64),
    /// It was not begun, because of a signal.
    NotBegun,
    /// It was interrupted.
    Interrupted(Restart),
    /// It was not begun, and will not be: the module does not make it.
    Refused,
}

/// What the program sees when its handler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resumed {
    /// The result of the call.
    With(i64),
    /// The call is made again.
    Before,
}

impl Making {
    fn new(outer: *mut Context, call: &Call, way: Way, began: u64) -> Self {
        Self {
            nr: call.nr,
            args: call.args,
            // SAFETY: The context is that of the frame that the handler was given.
            mask: unsafe { (*outer).mask },
            ret: 0,
            outer,
            call: *call,
            way,
            continues: false,
            leaves: false,
            began,
            results: Results {
                header: ResultsHeader {
                    done: 0,
                    capacity: 1,
                    reserved: 0,
                },
                entry: CallResult::default(),
            },
            message: Message::EMPTY,
            taken: None,
            received: [0; MESSAGE_LEN],
        }
    }

    /// Prepares for the way that the call is to take, or another one if that is not open.
    fn set_out(&mut self) {
        if self.way == Way::Worker {
            match Taken::one() {
                Some(taken) => return self.receive(taken),
                None => self.way = Way::Inline,
            }
        }
        if self.way == Way::Inline {
            match session::socket() {
                Some(socket) => self.send(socket),
                None => self.way = Way::Native,
            }
        }
    }

    /// Sends the call to a worker, and turns this into waiting for it.
    fn receive(&mut self, taken: Taken) {
        self.taken = Some(taken);
        self.message = Message::for_worker(&self.call);
        sys::send(taken.socket(), self.message.as_bytes());
        let (at, len) = (address(&raw mut self.received), MESSAGE_LEN as u64);
        self.nr = RECVFROM;
        self.args = [taken.socket() as u64, at, len, 0, 0, 0];
    }

    /// Turns it into a message to the session.
    fn send(&mut self, socket: i32) {
        self.message = Message::inline(&self.call, address(&raw const self.results));
        let (at, len) = (address(&raw const self.message), size_of::<Message>());
        self.nr = SENDTO;
        self.args = [socket as u64, at, len as u64, 0, 0, 0];
    }

    /// What came of it, where the kernel returned `ret`; `None`: it has not been asked.
    fn answer(&self, ret: Option<i64>) -> Answer {
        match (self.way, ret) {
            (Way::Worker, ret) => self.answer_of_worker(ret.unwrap_or(-EINTR)),
            (_, None) => Answer::NotBegun,
            (Way::Native, Some(ret)) => Answer::Done(ret),
            (Way::Inline, Some(ret)) => {
                // SAFETY: The kernel has written the results, or left them alone. The read is
                // volatile since no code here writes them.
                let results = unsafe { ptr::read_volatile(&raw const self.results) };
                answer(ret, &results.header, &results.entry)
            }
        }
    }

    /// What came of waiting for a worker. If that was interrupted, so is the call.
    fn answer_of_worker(&self, received: i64) -> Answer {
        let Some(taken) = self.taken else {
            return Answer::Refused;
        };
        let result = match usize::try_from(received) {
            Ok(len) => {
                // SAFETY: The kernel wrote so many bytes; as above.
                let bytes = unsafe { ptr::read_volatile(&raw const self.received) };
                match Received::of(&bytes[..len.min(MESSAGE_LEN)]) {
                    Received::Completion(result) => Some(result),
                    Received::Answer | Received::Rejection => None,
                }
            }
            Err(_) => {
                let mask = sys::block_all();
                let result = taken.interrupt();
                sys::set_mask(mask);
                result
            }
        };
        taken.leave();
        result.map_or(Answer::Refused, |result| outcome(&result))
    }

    /// A signal's handler is about to run while the call is made, with the registers `at` that it
    /// interrupted, and asks for calls to be made again if `restarts`. Makes its frame one that
    /// interrupted the program.
    ///
    /// # Safety
    ///
    /// `at` is the context of the handler's frame, and the instructions in [`text`] were
    /// interrupted while they made this call.
    pub(crate) unsafe fn interrupted(&self, at: &mut Context, restarts: bool) {
        let rip = at.registers.rip;
        let ret = match rip.cmp(&text::made()) {
            Ordering::Less => None,
            Ordering::Equal => Some(at.registers.rax as i64),
            Ordering::Greater => Some(self.ret),
        };
        let resumed = match ret {
            None if self.continues => Resumed::With(-EINTR),
            ret => after_handler(self.answer(ret), restarts),
        };
        // SAFETY: The handler of SIGSYS, which this interrupted, has not returned.
        let outer = unsafe { &*self.outer };
        // SAFETY: By the caller's promise both are contexts of frames of this thread.
        unsafe { at.become_like(outer) };
        match resumed {
            Resumed::With(ret) => {
                at.registers.rax = ret as u64;
                match self.leaves {
                    true => count::failed(&self.call, ret),
                    false => count::ended(&self.call, self.way, ret, self.began),
                }
            }
            Resumed::Before => again(at, self.call.nr),
        }
    }
}

/// Goes back to the program's instruction.
fn again(context: &mut Context, nr: u64) {
    /// `syscall` has two bytes.
    const INSTRUCTION: u64 = 2;
    context.registers.rip -= INSTRUCTION;
    context.registers.rax = nr;
}

/// What came of a message's call.
fn answer(sent: i64, header: &ResultsHeader, entry: &CallResult) -> Answer {
    if sent < 0 || header.done == 0 {
        return Answer::Refused;
    }
    outcome(entry)
}

/// How a call ended.
fn outcome(result: &CallResult) -> Answer {
    match Outcome::from_wire(result.outcome) {
        // Refused by a filter, in the same words as the plain call.
        Some(Outcome::Ran | Outcome::Refused) => Answer::Done(result.ret),
        Some(Outcome::NotStarted) if result.ret == -EINTR => Answer::NotBegun,
        Some(Outcome::Canceled) => Answer::NotBegun,
        Some(Outcome::Interrupted) => {
            Answer::Interrupted(Restart::from_wire(result.restart).unwrap_or(Restart::None))
        }
        _ => Answer::Refused,
    }
}

/// What the program sees of a call, where a signal's handler ran (`handle_signal()` of
/// arch/x86/kernel/signal.c).
fn after_handler(answer: Answer, restarts: bool) -> Resumed {
    match answer {
        Answer::Done(ret) => Resumed::With(ret),
        Answer::NotBegun | Answer::Refused => Resumed::Before,
        Answer::Interrupted(Restart::NoIntr) => Resumed::Before,
        Answer::Interrupted(Restart::Sys) if restarts => Resumed::Before,
        Answer::Interrupted(_) => Resumed::With(-EINTR),
    }
}

/// Makes a call of the program and says what it returned. The context is the program's; its signal
/// mask is what the call left.
///
/// # Safety
///
/// The call is the program's, and `outer` the context of the frame of the handler that runs, with
/// all signals blocked.
pub(crate) unsafe fn make(outer: *mut Context, call: &Call, way: Way) -> i64 {
    let began = count::begin();
    let mut way = way;
    let mut continues = false;
    loop {
        let mut making = Making::new(outer, call, way, began);
        if continues {
            // The kernel keeps what remains of the call's time.
            (making.nr, making.continues) = (RESTART_SYSCALL, true);
            making.way = Way::Native;
        } else {
            making.set_out();
            way = making.way;
        }
        // SAFETY: By the caller's promise.
        unsafe {
            text::make(&mut making);
            (*outer).mask = making.mask & !SIGSYS_BIT;
        }
        let answer = making.answer(Some(making.ret));
        // No handler ran: one that does never comes back to here.
        match answer {
            // The signal that goes with it is for the thread.
            Answer::Done(ret) if way == Way::Worker && [-EPIPE, -EFBIG].contains(&ret) => {
                way = Way::Inline;
            }
            Answer::Done(ret) => {
                count::ended(call, way, ret, began);
                return ret;
            }
            Answer::Interrupted(Restart::None) => {
                count::ended(call, way, -EINTR, began);
                return -EINTR;
            }
            // A worker's time is its own.
            Answer::Interrupted(Restart::Block) => continues = way != Way::Worker,
            Answer::Interrupted(_) | Answer::NotBegun => {}
            Answer::Refused if way == Way::Worker => way = Way::Inline,
            Answer::Refused => {
                session::discard();
                way = Way::Native;
            }
        }
    }
}

/// Makes a call that comes back only where it fails.
///
/// # Safety
///
/// As for [`make`].
pub(crate) unsafe fn leave(outer: *mut Context, call: &Call) -> i64 {
    count::begins(call);
    let mut making = Making::new(outer, call, Way::Native, 0);
    making.leaves = true;
    // SAFETY: By the caller's promise.
    unsafe {
        text::make(&mut making);
        (*outer).mask = making.mask & !SIGSYS_BIT;
    }
    count::failed(call, making.ret);
    making.ret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: Outcome, ret: i64, restart: Restart) -> CallResult {
        CallResult {
            ret,
            outcome: outcome as u16,
            restart: restart as u16,
            ..CallResult::default()
        }
    }

    fn answer_to(outcome: Outcome, ret: i64, restart: Restart) -> Answer {
        let header = ResultsHeader {
            done: 1,
            capacity: 1,
            reserved: 0,
        };
        answer(140, &header, &entry(outcome, ret, restart))
    }

    #[test]
    fn a_message_that_was_not_accepted_is_a_call_that_was_not_made() {
        let none = ResultsHeader::default();
        let ran = entry(Outcome::Ran, 5, Restart::None);
        assert_eq!(answer(140, &none, &ran), Answer::Refused);
        assert_eq!(answer(-105, &none, &ran), Answer::Refused);
    }

    #[test]
    fn what_ran_is_done_whatever_it_returned() {
        for ret in [0, 7, -9, -EINTR] {
            assert_eq!(
                answer_to(Outcome::Ran, ret, Restart::None),
                Answer::Done(ret)
            );
        }
    }

    #[test]
    fn a_call_that_a_signal_prevented_is_made_again_and_another_natively() {
        let prevented = answer_to(Outcome::NotStarted, -EINTR, Restart::None);
        assert_eq!(prevented, Answer::NotBegun);
        assert_eq!(after_handler(prevented, false), Resumed::Before);
        assert_eq!(
            answer_to(Outcome::NotStarted, -3, Restart::None),
            Answer::Refused
        );
    }

    #[test]
    fn an_interrupted_call_is_restarted_as_the_kernel_would() {
        let after = |restart, restarts| {
            let answer = answer_to(Outcome::Interrupted, -EINTR, restart);
            after_handler(answer, restarts)
        };
        let interrupted = Resumed::With(-EINTR);
        for restart in [Restart::None, Restart::NoHand, Restart::Block] {
            assert_eq!(after(restart, false), interrupted, "{restart:?}");
            assert_eq!(after(restart, true), interrupted, "{restart:?}");
        }
        assert_eq!(after(Restart::Sys, false), interrupted);
        assert_eq!(after(Restart::Sys, true), Resumed::Before);
        assert_eq!(after(Restart::NoIntr, false), Resumed::Before);
    }
}
