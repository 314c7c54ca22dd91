// SPDX-License-Identifier: GPL-2.0-only

//! Those that listen to the multicast group `trace`, and the events that they hear.
//!
//! Generic netlink lets everybody join the group who has `CAP_SYS_ADMIN` over a network namespace,
//! be it one of his own; the family is not asked. So joining has no effect here. A listener joins,
//! then sends TRACE_START, where who may not listen is told so; and each event is offered to
//! rightful members alone (`nlcall_broadcast()`). The event that finds none of these is the last.
//!
//! Nothing here waits. An event that finds no memory or no room is lost; its number is missing.

use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock, //
    }, //
};
use zerocopy::IntoBytes;
use zerocopy_derive::{
    FromZeros,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

use crate::{
    ended::Ending,
    message::{
        Body,
        Message,
        ATTR_HEADER, //
    },
    reject::Rejection,
    sender,
    session::Session,
    shim,
    trace::{
        Shown,
        Watch, //
    },
    wire::{
        flag,
        trace as attr,
        Call,
        Command,
        Restart,
        TraceEvent,
        Way,
        TRACE_MEMORY_MAX, //
    },
};

/// What events have in common.
struct Events {
    /// Number of the last one.
    last: u64,
    /// Whether they are sent.
    on: bool,
}

global_lock! {
    // SAFETY: Initialised by `init()`, before the family is registered.
    unsafe(uninit) static EVENTS: SpinLock<Events> = Events {
        last: 0,
        on: false,
    };
}

/// Whether events are sent, to be asked without the lock.
static ON: Atomic<i32> = Atomic::new(0);

/// Bytes of an event's attributes, those of memory aside: more than there are.
const PLAIN: usize = 384;
/// The first address that may be memory: below is what only a number is.
const LOWEST: u64 = bindings::PAGE_SIZE as u64;

/// Prepares the lock.
pub fn init() {
    // SAFETY: Called once, by module initialisation, before anything else here.
    unsafe { EVENTS.init() };
}

/// Somebody who may do so listens. Says the number of the last event.
pub(crate) fn start() -> u64 {
    let mut events = EVENTS.lock();
    events.switch(true);
    events.last
}

/// Whether events are sent.
pub(crate) fn are_there() -> bool {
    ON.load(Relaxed) != 0
}

impl Events {
    fn switch(&mut self, on: bool) {
        if self.on != on {
            self.on = on;
            ON.store(i32::from(on), Relaxed);
            shim::watched().add(if on { 1 } else { -1 }, Relaxed);
        }
    }
}

/// A thread that submits or executes calls.
#[derive(Clone, Copy, FromZeros, KnownLayout)]
pub(crate) struct Who {
    pid: u32,
    /// 0: none of that process.
    tid: u32,
    comm: [u8; 16],
}

impl Who {
    /// The current thread.
    fn current() -> Self {
        let task = current!();
        Self {
            pid: task.group_leader().pid() as u32,
            tid: task.pid() as u32,
            comm: sender::process_name(),
        }
    }

    /// The process of a session, and none of its threads.
    fn owner(session: &Session) -> Self {
        let mut comm = [0; 16];
        for (to, from) in comm[..15].iter_mut().zip(session.comm().bytes()) {
            *to = from;
        }
        Self {
            pid: session.owner().global_number(),
            tid: 0,
            comm,
        }
    }

    fn put(&self, body: &mut Body<'_>) -> Result {
        body.put_u32(attr::PID, self.pid)?;
        if self.tid != 0 {
            body.put_u32(attr::TID, self.tid)?;
        }
        let len = self.comm.iter().position(|byte| *byte == 0).unwrap_or(15);
        body.put_bytes(attr::COMM, &self.comm[..=len])
    }
}

/// What is in memory where an argument points to, as an attribute has it.
#[derive(FromZeros, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Memory {
    argument: u32,
    bytes: [u8; TRACE_MEMORY_MAX],
    len: u32,
}

impl Memory {
    /// Looks at the memory of the current process.
    fn look(&mut self, argument: usize, at: u64) {
        self.argument = argument as u32;
        self.len = 0;
        if at >= LOWEST {
            self.len = shim::peek_user(at, &mut self.bytes) as u32;
        }
    }

    /// The attribute, where there is memory.
    fn payload(&self) -> Option<&[u8]> {
        (self.len > 0).then(|| &self.as_bytes()[..size_of::<u32>() + self.len as usize])
    }
}

/// What a call's thread saw of it.
#[derive(FromZeros, KnownLayout)]
pub(crate) struct Sight {
    who: Who,
    /// Its address space, to compare.
    program: usize,
    before: [Memory; 6],
    after: [Memory; 6],
}

impl Sight {
    /// Before a call of the current thread with these arguments. `None`: there is no memory, which
    /// the thread's control group is charged for.
    pub(crate) fn before(args: &[u64; 6]) -> Option<KBox<Self>> {
        let charged = GFP_KERNEL_ACCOUNT & !GFP_KERNEL;
        let flags = GFP_NOWAIT | __GFP_NOWARN | __GFP_ZERO | charged;
        let zeroes = KBox::<Self>::new_uninit(flags).ok()?;
        // SAFETY: `Sight` is `FromZeros`.
        let mut sight = unsafe { zeroes.assume_init() };
        sight.who = Who::current();
        sight.program = sender::program() as usize;
        for (argument, memory) in sight.before.iter_mut().enumerate() {
            memory.look(argument, args[argument]);
        }
        Some(sight)
    }

    /// After it, in the same thread.
    pub(crate) fn after(&mut self, args: &[u64; 6]) {
        // Another program's memory is nothing of this call's.
        if self.program != sender::program() as usize {
            return;
        }
        for (argument, memory) in self.after.iter_mut().enumerate() {
            memory.look(argument, args[argument]);
        }
    }

    /// Adds what was there before, and what is another after.
    fn put_memory(&self, body: &mut Body<'_>) -> Result {
        for (before, after) in self.before.iter().zip(&self.after) {
            let (before, after) = (before.payload(), after.payload());
            if let Some(bytes) = before {
                body.put_bytes(attr::BEFORE, bytes)?;
            }
            if let Some(bytes) = after.filter(|_| after != before) {
                body.put_bytes(attr::AFTER, bytes)?;
            }
        }
        Ok(())
    }

    /// More bytes than those attributes take.
    fn room(&self) -> usize {
        // Headers, the number of the argument, and what aligns the next.
        const MORE: usize = ATTR_HEADER + size_of::<u32>() + 3;
        let both = self.before.iter().zip(&self.after);
        both.map(|(before, after)| MORE + before.len as usize + MORE + after.len as usize)
            .sum()
    }
}

/// Tells that the current thread submitted a call.
pub(crate) fn submitted(session: &Session, call: &Call) {
    send(0, TraceEvent::Submitted, |body| {
        body.put_u64(attr::SESSION, session.id(), attr::PAD)?;
        Who::current().put(body)?;
        put_call(body, session, &Shown::from(call))?;
        body.put_u32(attr::ARG_KINDS, call.arg_kinds)
    });
}

/// Tells that a call came to its end; `watch`: in the thread that executed it.
pub(crate) fn completed(session: &Session, call: &Shown, ending: &Ending, watch: Option<&Watch>) {
    let sight = watch.and_then(Watch::sight);
    send(sight.map_or(0, Sight::room), TraceEvent::Completed, |body| {
        body.put_u64(attr::SESSION, session.id(), attr::PAD)?;
        match sight {
            Some(sight) => sight.who.put(body)?,
            None => Who::owner(session).put(body)?,
        }
        put_call(body, session, call)?;
        body.put_u64(attr::RET, ending.ret as u64, attr::PAD)?;
        body.put_u32(attr::OUTCOME, ending.outcome as u32)?;
        if ending.restart != Restart::None {
            body.put_u32(attr::RESTART, ending.restart as u32)?;
        }
        if let Some(watch) = watch {
            body.put_u64(attr::DURATION_NS, watch.took(), attr::PAD)?;
        }
        sight.map_or(Ok(()), |sight| sight.put_memory(body))
    });
}

/// Tells that a message of the current thread was rejected.
pub(crate) fn rejected(session: Option<&Session>, command: u8, rejection: &Rejection) {
    send(0, TraceEvent::Rejected, |body| {
        if let Some(session) = session {
            body.put_u64(attr::SESSION, session.id(), attr::PAD)?;
        }
        Who::current().put(body)?;
        body.put_u32(attr::COMMAND, u32::from(command))?;
        body.put_u32(attr::ERRNO, rejection.errno as u32)?;
        body.put_str(attr::TEXT, rejection.text.as_str())
    });
}

fn put_call(body: &mut Body<'_>, session: &Session, call: &Shown) -> Result {
    let way = match session.on_behalf_of() {
        Some(_) => Way::Target,
        None if call.flags & flag::INLINE != 0 => Way::Inline,
        None => Way::Worker,
    };
    body.put_u64(attr::USER_DATA, call.user_data, attr::PAD)?;
    body.put_u32(attr::NR, call.nr)?;
    body.put_u32(attr::FLAGS, call.flags)?;
    body.put_bytes(attr::ARGS, call.args.as_bytes())?;
    body.put_u32(attr::WAY, way as u32)
}

/// Sends an event with these attributes, which take less than [`PLAIN`] and `room` bytes.
fn send(room: usize, event: TraceEvent, fill: impl FnOnce(&mut Body<'_>) -> Result) {
    if !are_there() {
        return;
    }
    let message = Message::at_once(PLAIN + room);
    // The lock keeps events in the order of their numbers on their way to every listener.
    let mut events = EVENTS.lock();
    if !events.on {
        return;
    }
    events.last += 1;
    let message = message.and_then(|mut message| {
        let mut body = message.begin(0, 0, 0, Command::Trace)?;
        body.put_u32(attr::EVENT, event as u32)?;
        body.put_u64(attr::SEQ, events.last, attr::PAD)?;
        body.put_u64(attr::TIME_NS, shim::wall_clock(), attr::PAD)?;
        fill(&mut body)?;
        body.end();
        Ok(message)
    });
    let Ok(message) = message else { return };
    // SAFETY: The message is complete and handed over; the family is registered.
    let listeners = unsafe { shim::ffi::nlcall_broadcast(message.into_raw(), group()) };
    if listeners == 0 {
        events.switch(false);
    }
}

/// Number of the group.
fn group() -> u32 {
    // SAFETY: Generic netlink wrote it when the family was registered, which is so as long as
    // there is anything to tell.
    unsafe { (*crate::family::raw()).mcgrp_offset }
}
