// SPDX-License-Identifier: GPL-2.0-only

//! Completions on their way into the receive buffer.
//!
//! A completion stays in its slot until the socket has taken the message that carries it. One
//! flusher per session is at work at a time, and it never waits: when the buffer's half is full,
//! the destructor of the next message that is read calls it again.

use core::ffi::c_void;

use kernel::{
    prelude::*,
    sync::Arc,
    time::Jiffies,
    workqueue::WorkItem, //
};
use zerocopy::IntoBytes;

use crate::{
    area::Area,
    calls::{
        Slot,
        Totals, //
    },
    compat::bindings,
    entries::Walk,
    errand::Errand,
    latency::Delivery,
    message::{
        Message,
        ATTR_HEADER,
        GENERIC_HEADER, //
    },
    parcels,
    parse::Output,
    sender,
    session::{
        Inner,
        Session,
        FLUSH,
        LATER, //
    },
    shim,
    slots::{
        Credentials,
        Slots, //
    },
    socket::SessionRef,
    trace::Unexecuted,
    wire::{
        complete,
        CallResult,
        Command,
        FrontEnd,
        Readi,
        MAX_COMPLETE_LEN, //
    },
};

/// What the kernel keeps at the end of a message's buffer: `SKB_WITH_OVERHEAD(0)`, from the size
/// of a default message.
const OVERHEAD: usize = bindings::PAGE_SIZE - bindings::GENLMSG_DEFAULT_SIZE - GENERIC_HEADER;

/// Most completions of one message: as many as fit a buffer of [`MAX_COMPLETE_LEN`] together with
/// what the kernel keeps there. One more, and the receive buffer is charged for twice the size.
pub(crate) const MOST: u32 =
    ((MAX_COMPLETE_LEN - OVERHEAD - GENERIC_HEADER - ATTR_HEADER) / size_of::<CallResult>()) as u32;

/// How long the flusher waits at first before it looks again, where nothing would call it: the
/// buffer is full of other messages, or memory is short. Jiffies.
pub(crate) const SHORTEST: Jiffies = 5;
/// How long it waits at most: about a second.
const LONGEST: Jiffies = 250;

/// A place in a batch: before the next completion, and how many there are from there on.
type Position = (Walk, u32);

/// What became of an attempt to deliver.
enum Attempt {
    /// A message was delivered; there may be more.
    Delivered,
    /// Nothing is left to deliver, or nobody to deliver to.
    Nothing,
    /// No room; reading one of our messages calls the flusher.
    Full,
    /// No room or no memory, and nothing will call the flusher.
    Later,
}

impl Session {
    /// Delivers what can be delivered, unless somebody else is at it.
    pub fn flush(self: &Arc<Self>) {
        if !self.inner().lock().gate.enter() {
            return;
        }
        loop {
            let last = loop {
                match self.deliver() {
                    Attempt::Delivered => {}
                    last => break last,
                }
            };
            if matches!(last, Attempt::Later) {
                let delay = {
                    let mut inner = self.inner().lock();
                    let delay = inner.patience;
                    inner.patience = (delay * 2).min(LONGEST);
                    delay
                };
                let _ = shim::queue().enqueue_delayed::<_, LATER>(self.clone(), delay);
            }
            if self.inner().lock().gate.leave() {
                return;
            }
        }
    }

    /// Lets the work queue deliver. Never sleeps.
    pub fn flush_soon(self: &Arc<Self>) {
        let _ = shim::queue().enqueue::<_, FLUSH>(self.clone());
    }

    /// The same, at the next tick of the clock: the first of several results, which are to share a
    /// message, must not wait for a call that takes long.
    pub(crate) fn flush_before_long(self: &Arc<Self>) {
        let _ = shim::queue().enqueue_delayed::<_, LATER>(self.clone(), 1);
    }

    /// Delivers one message. Only by the one flusher that the gate admitted.
    fn deliver(self: &Arc<Self>) -> Attempt {
        let (sock, share, first) = {
            let mut inner = self.inner().lock();
            let Some(sock) = inner.sock.clone() else {
                return Attempt::Nothing;
            };
            let most = match self.front_end() {
                FrontEnd::Generic => MOST,
                FrontEnd::Classic => 1,
            };
            (sock, inner.share(most), inner.outstanding == 0)
        };
        let count = share.inline + share.workers;
        if count == 0 {
            return Attempt::Nothing;
        }
        let len = GENERIC_HEADER + share.len();
        // The first message may use the whole buffer: else a small one would take none.
        if !first && !sock.has_room(len) {
            return Attempt::Full;
        }
        if first && sock.is_full() {
            return Attempt::Later;
        }
        let message = match self.front_end() {
            FrontEnd::Generic => self.complete(share),
            FrontEnd::Classic => self.echo(),
        };
        let Ok((message, before)) = message else {
            self.inner().lock().calls.unsent();
            return Attempt::Later;
        };
        let mut unexecuted = Unexecuted::new(share.workers);
        let attached = sock.attach(message, self.clone());
        // One look at the clock for all completions of the message.
        let now = if share.workers > 0 { sender::now_ns() } else { 0 };
        let mut inner = self.inner().lock();
        match attached {
            Ok(attached) => {
                // Before it can be read: a reader may count on the room in the session, and the
                // destructor of the message on being counted.
                if let Some(unexecuted) = &mut unexecuted {
                    unexecuted.note(&inner.calls);
                }
                inner.sent(now);
                let over = inner.sent_inline(share.inline);
                self.settle(&mut inner);
                let waiting = self.find_room(&mut inner);
                inner.outstanding += 1;
                inner.patience = SHORTEST;
                drop(inner);
                drop(over);
                attached.send();
                if let Some(sock) = waiting {
                    sock.announce_room();
                }
                if let Some(unexecuted) = unexecuted {
                    unexecuted.show(self);
                }
                Attempt::Delivered
            }
            Err(_this) => {
                inner.calls.unsent();
                if let (Some(batch), Some(before)) = (inner.finished.front(), before) {
                    batch.go_back(before);
                }
                if inner.outstanding == 0 {
                    Attempt::Later
                } else {
                    Attempt::Full
                }
            }
        }
    }

    /// Writes these completions into a message. Says too where its INLINE calls come from.
    fn complete(&self, share: Share) -> Result<(Message, Option<Position>)> {
        let count = share.inline + share.workers;
        let mut message = Message::new(share.len())?;
        let mut body = message.begin(self.portid(), 0, 0, Command::Complete)?;
        let mut results = body.put_results(complete::RESULTS, count)?;
        let mut inner = self.inner().lock();
        let mut before = None;
        if share.inline > 0 {
            if let Some(batch) = inner.finished.front() {
                before = Some(batch.position());
                batch.send(share.inline, |result| results.push(result));
            }
        }
        let mut outputs = Outputs::default();
        inner.calls.send(share.workers, |slot, slots| {
            let mut result = slot.result();
            if slot.parcel() != parcels::NONE {
                outputs.take(slot, slots, &mut result);
            }
            results.push(&result);
        });
        if !results.is_full() || outputs.len != share.outputs {
            // The session was closed meanwhile.
            return Err(EPIPE);
        }
        drop(inner);
        if share.outputs > 0 {
            let mut data = body.put_data(complete::DATA, share.outputs as usize)?;
            outputs.each(|part| data.push(part));
        }
        body.end();
        Ok((message, before))
    }

    /// Writes one completion as the classic front end does: the message of its sender, with the
    /// return value in `count`.
    fn echo(&self) -> Result<(Message, Option<Position>)> {
        let mut message = Message::new(size_of::<Readi>())?;
        let mut echo = None;
        self.inner().lock().calls.send(1, |slot, _| {
            let readi = Readi {
                pid: slot.user_data() as u32 as i32,
                fd: slot.args()[0] as i32,
                ptr: slot.args()[1],
                count: slot.result().ret as i32,
                padding: [0; 4],
            };
            echo = Some(((slot.user_data() >> 32) as u32, readi));
        });
        let (seq, readi) = echo.ok_or(EPIPE)?;
        message.plain(self.portid(), seq, readi.as_bytes())?;
        Ok((message, None))
    }
}

/// Which completions a message takes.
#[derive(Clone, Copy)]
struct Share {
    /// Of the oldest finished batch of INLINE calls.
    inline: u32,
    /// Of workers.
    workers: u32,
    /// Bytes of their outputs.
    outputs: u32,
}

impl Share {
    /// Bytes of attributes.
    fn len(self) -> usize {
        let count = (self.inline + self.workers) as usize;
        let results = ATTR_HEADER + count * size_of::<CallResult>();
        match self.outputs {
            0 => results,
            outputs => results + ATTR_HEADER + (outputs as usize).next_multiple_of(ATTR_HEADER),
        }
    }
}

/// Most completions with outputs of one message.
const MOST_WITH_OUTPUTS: usize = 8;

/// The outputs of a message's completions, to be copied when the lock is not held any more.
#[derive(Default)]
struct Outputs {
    some: [Option<(Arc<Area>, [Option<Output>; 6])>; MOST_WITH_OUTPUTS],
    count: usize,
    /// Bytes of all.
    len: u32,
}

impl Outputs {
    /// Takes those of a completion, and says in it where they are.
    fn take(&mut self, slot: &Slot<Credentials>, slots: &Slots, result: &mut CallResult) {
        let mut outputs = [None; 6];
        let mut len = 0;
        for (place, output) in outputs.iter_mut().zip(slot.outputs()) {
            *place = Some(output);
            len += output.len;
        }
        if len == 0 {
            return;
        }
        let Some(area) = slots.areas.get(slot.parcel()) else {
            return;
        };
        if let Some(place) = self.some.get_mut(self.count) {
            *place = Some((area.clone(), outputs));
            self.count += 1;
            (result.data_off, result.data_len) = (self.len, len);
            self.len += len;
        }
    }

    /// Shows each.
    fn each(&self, mut show: impl FnMut(&[u8])) {
        for (area, outputs) in self.some.iter().flatten() {
            for output in outputs.iter().flatten() {
                show(area.output(*output));
            }
        }
    }
}

impl Inner {
    /// What the next message takes, `most` at most.
    fn share(&mut self, most: u32) -> Share {
        let inline = self
            .finished
            .front()
            .map_or(0, |batch| batch.due())
            .min(most);
        const SIZE: usize = size_of::<CallResult>();
        const ROOM: usize = MAX_COMPLETE_LEN - OVERHEAD - GENERIC_HEADER - 2 * ATTR_HEADER;
        let room = (ROOM - ATTR_HEADER).saturating_sub(inline as usize * SIZE);
        let (workers, outputs) = self.calls.sendable(
            most - inline,
            MOST_WITH_OUTPUTS as u32,
            SIZE as u32,
            room as u32,
        );
        Share {
            inline,
            workers,
            outputs,
        }
    }

    /// The completions of workers that a message took are delivered, at `now`.
    fn sent(&mut self, now: u64) {
        match &mut self.latencies {
            Some(latencies) => {
                let mut delivery = Delivery::new(latencies, now);
                self.calls
                    .sent(|slot| delivery.count(slot.nr(), slot.accepted_at()));
            }
            None => self.calls.sent(|_| {}),
        }
    }

    /// So many completions of the oldest finished batch were delivered. Gives that back where it
    /// is over.
    fn sent_inline(&mut self, count: u32) -> Option<KBox<Errand>> {
        if count == 0 {
            return None;
        }
        // None where the session was closed meanwhile, which dropped them.
        let is_over = self.finished.front()?.due() == 0;
        self.inline_due -= count;
        self.inline_in_flight -= count;
        self.calls.count(Totals {
            delivered: u64::from(count),
            ..Totals::default()
        });
        if is_over {
            self.finished.pop()
        } else {
            None
        }
    }
}

impl WorkItem<FLUSH> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.flush();
        // What ended without a worker, whether or not its completion found room.
        this.tidy_soon(&this.inner().lock());
    }
}

impl WorkItem<LATER> for Session {
    type Pointer = Arc<Session>;

    fn run(this: Arc<Session>) {
        this.flush();
    }
}

/// A COMPLETE message was read, or went with its socket: there may be room for the next. In any
/// context, interrupts included.
#[no_mangle]
extern "C" fn nlcall_message_gone(session: *mut c_void) {
    // SAFETY: The reference that the message took over in `Sock::deliver()`, given back once.
    let session = unsafe { <Arc<Session> as SessionRef>::from_raw(session) };
    let waiting = {
        let mut inner = session.inner().lock();
        inner.outstanding -= 1;
        inner.undelivered() > 0
    };
    if waiting {
        session.flush_soon();
    }
}
