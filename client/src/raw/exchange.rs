// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests, their answers, and the completions that arrive in between.
//!
//! One socket carries all three. Whoever receives a datagram, for whatever reason, files its
//! messages: completions into the inbox, answers under the sequence number of their request. No
//! lock is held while a thread sleeps or sends, so that threads that share a session neither
//! deadlock nor take each other's answers.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io::{self, IoSlice},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use netlink_packet_core::{
    Emitable, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, NLM_F_ACK, NLM_F_DUMP,
    NLM_F_REQUEST,
};
use netlink_packet_generic::{
    ctrl::{nlas::GenlCtrlAttrs, GenlCtrl, GenlCtrlCmd},
    GenlFamily, GenlMessage,
};
use nlcall_abi as abi;

use super::{
    controller::Family,
    enclosure::Enclosure,
    message::{Incoming, Reply, Request, Submit},
    rejection,
    sys::{failed, Received, Sent, Transport, DATAGRAM_MAX},
    Completion, Event, Results, SessionInfo,
};
use crate::Error;

/// How often a dump is begun again after the kernel had no memory or no room for it.
const DUMP_ATTEMPTS: usize = 4;

/// How long a thread sleeps for the completions of calls that may end without one, before it asks
/// the kernel: the first time, and at most.
const FIRST_DOZE: Duration = Duration::from_millis(10);
const LONGEST_DOZE: Duration = Duration::from_secs(1);

/// How long to wait for a completion.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// As long as a call is in flight.
    Forever,
    /// Until then.
    Until(Instant),
    /// Not at all.
    None,
}

/// Why a SUBMIT failed.
#[derive(Debug)]
pub(super) struct NotSubmitted {
    pub(super) error: Error,
    /// Whether the kernel may have accepted it all the same. Its calls then count as in flight.
    pub(super) perhaps_accepted: bool,
}

impl NotSubmitted {
    fn refused(error: Error) -> Self {
        Self {
            error,
            perhaps_accepted: false,
        }
    }

    fn unknown(error: Error) -> Self {
        Self {
            error,
            perhaps_accepted: true,
        }
    }

    /// The error, and how many of the calls the kernel may have accepted: all of these, or none.
    pub(super) fn with(self, calls: usize) -> (Error, usize) {
        (self.error, if self.perhaps_accepted { calls } else { 0 })
    }
}

/// What a thread sleeps for. Whatever it is, a completion to take ends the sleep as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    ForCompletion,
    /// Or until nothing is in flight any more.
    WhileInFlight,
    /// Until the kernel has room.
    ForRoom,
    /// Until fewer calls than that are in flight.
    ForLimit(usize),
}

/// What a member of the group `trace` hears, in the order in which it was sent.
#[derive(Debug)]
pub(super) enum Heard {
    Event(Box<Event>),
    /// The last event that was sent before has this number.
    Last(u64),
}

/// A connection to the family.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    transport: T,
    family: u16,
    /// Held during a dump: a socket has at most one.
    dumping: Mutex<()>,
    inner: Mutex<Inner>,
}

/// What the threads that use the session share.
#[derive(Debug)]
struct Inner {
    buffer: Box<[u8]>,
    last_sequence: u32,
    /// Requests that were sent, or are about to be, and whose end was not yet taken: few, one for
    /// each thread that sends.
    requests: Vec<(u32, Answer)>,
    /// Completions that were received and not yet taken.
    inbox: VecDeque<Completion>,
    /// Events that were received and not yet taken.
    heard: VecDeque<Heard>,
    /// Whether the kernel had to drop something.
    overrun: bool,
    /// Calls that were submitted and whose completion was not yet taken. Where the results of
    /// INLINE calls come as completions after all, those may be taken before they are counted.
    in_flight: isize,
    /// Calls among those submitted that may have ended without a completion, as they asked for,
    /// and of which the kernel has not said it yet; at most so many.
    perhaps_skipped: usize,
    /// Calls that the kernel said to have ended so, of all of the session.
    skipped: u64,
    /// Calls that were ever counted as in flight.
    counted: u64,
    /// Whether calls were submitted for another process: they form sessions of their own there.
    is_abroad: bool,
    /// Threads that sleep until there is a completion.
    sleepers: usize,
    /// Of these, the ones that give up when nothing is in flight.
    patient_sleepers: usize,
    /// Limits that threads sleep for until fewer calls are in flight.
    awaited_limits: Vec<usize>,
    /// Whether somebody else may poll the descriptor.
    exposed: bool,
    /// Whether [`Transport::signal`] is on.
    signaled: bool,
}

/// What came back for a request.
#[derive(Debug, Default)]
struct Answer {
    replies: Vec<Incoming>,
    /// The acknowledgement, the rejection or the end of the dump.
    end: Option<Result<(), Error>>,
}

impl<T: Transport> Exchange<T> {
    /// Finds the family and its version.
    pub(super) fn new(transport: T) -> Result<Self, Error> {
        let mut exchange = Self::unresolved(transport);
        exchange.family = exchange.resolve()?;
        Ok(exchange)
    }

    /// A connection to a family without a number.
    pub(super) fn unresolved(transport: T) -> Self {
        Self {
            transport,
            family: 0,
            dumping: Mutex::new(()),
            inner: Mutex::new(Inner {
                buffer: vec![0; DATAGRAM_MAX].into_boxed_slice(),
                last_sequence: 0,
                requests: Vec::new(),
                inbox: VecDeque::new(),
                heard: VecDeque::new(),
                overrun: false,
                in_flight: 0,
                perhaps_skipped: 0,
                skipped: 0,
                counted: 0,
                is_abroad: false,
                sleepers: 0,
                patient_sleepers: 0,
                awaited_limits: Vec::new(),
                exposed: false,
                signaled: false,
            }),
        }
    }

    pub(super) fn transport(&self) -> &T {
        &self.transport
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lock().in_flight()
    }

    /// From now on the descriptor is also readable while the inbox holds completions.
    pub(super) fn expose(&self) {
        let mut inner = self.lock();
        if !inner.exposed {
            inner.exposed = true;
            self.update_signal(&mut inner);
        }
    }

    /// Sends a `do` request and returns its replies.
    pub(super) fn request(&self, request: Request) -> Result<Vec<Reply>, Error> {
        let sequence = self.reserve();
        self.transact(sequence, NLM_F_ACK, self.message(request))
            .map(nlcall_replies)
    }

    /// Sends a `dump` request and returns its replies.
    pub(super) fn dump(&self, request: impl Fn() -> Request) -> Result<Vec<Reply>, Error> {
        let _guard = self.dumping.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let sequence = self.reserve();
            let done = self.transact(sequence, NLM_F_DUMP, self.message(request()));
            match done {
                // The kernel found no room or no memory for a piece of the dump, or still has
                // such an earlier dump; it ends that one while the socket is being emptied.
                Err(error) if attempts < DUMP_ATTEMPTS && is_transient(&error) => self.empty()?,
                done => return done.map(nlcall_replies),
            }
        }
    }

    /// Sends these calls, with what belongs to them, as one message.
    ///
    /// No two threads may be in here at the same time: see [`Self::was_accepted`].
    pub(super) fn submit(
        &self,
        calls: &[abi::Call],
        enclosure: &Enclosure,
    ) -> Result<(), NotSubmitted> {
        let sequence = self.reserve();
        // Completions may overtake the acknowledgement.
        let mut inner = self.lock();
        inner.count(calls, calls.len());
        inner.is_abroad |= enclosure.is_abroad();
        drop(inner);
        let message = Submit::new(self.family, sequence, NLM_F_ACK, calls, enclosure, None);
        let done = match message.send(&self.transport) {
            Ok(Sent::InChild) => return Err(NotSubmitted::refused(Error::InChild)),
            Ok(Sent::Here) => match self.answer(sequence) {
                Ok(_) => Ok(()),
                Err(error @ Error::Rejected { .. }) => Err(NotSubmitted::refused(error)),
                Err(Error::Unanswered) => match self.was_accepted(sequence) {
                    Ok(()) => Ok(()),
                    Err(error @ Error::RejectionLost) => Err(NotSubmitted::refused(error)),
                    Err(error) => Err(NotSubmitted::unknown(error)),
                },
                Err(error) => Err(NotSubmitted::unknown(error)),
            },
            Err(error) => Err(self.not_sent(sequence, error)),
        };
        if done.as_ref().is_err_and(|why| !why.perhaps_accepted) {
            let mut inner = self.lock();
            inner.in_flight -= calls.len() as isize;
            inner.perhaps_skipped = inner.perhaps_skipped.saturating_sub(skippable(calls));
            self.update_signal(&mut inner);
        }
        done
    }

    /// Sends these INLINE calls as one message, and takes the results that they wrote; what they
    /// did not write comes as completions, or never, where they asked for that.
    pub(super) fn submit_into(
        &self,
        calls: &[abi::Call],
        enclosure: &Enclosure,
        results: &mut Results,
    ) -> Result<(), NotSubmitted> {
        // A first result says that the message was accepted, as well as an acknowledgement does.
        // Where calls may write none, that has to be asked for.
        let skips = skippable(calls) > 0;
        let flags = if skips { NLM_F_ACK } else { 0 };
        let sequence = self.reserve();
        let (sent, written) = results.expose(calls.len(), |address| {
            Submit::new(
                self.family,
                sequence,
                flags,
                calls,
                enclosure,
                Some(address),
            )
            .send(&self.transport)
        });
        let answer = match sent {
            Ok(Sent::InChild) => return Err(NotSubmitted::refused(Error::InChild)),
            Ok(Sent::Here) if written == calls.len() && !skips => {
                self.lock().forget(sequence);
                Ok(())
            }
            Ok(Sent::Here) => match self.answer(sequence) {
                Ok(_) => Ok(()),
                Err(error @ Error::Rejected { .. }) => Err(NotSubmitted::refused(error)),
                Err(Error::Unanswered) if written > 0 => Ok(()),
                Err(error) => Err(NotSubmitted::unknown(error)),
            },
            Err(error) => Err(self.not_sent(sequence, error)),
        };
        let accepted = answer.as_ref().err().is_none_or(|why| why.perhaps_accepted);
        if accepted && written < calls.len() {
            let mut inner = self.lock();
            inner.count(calls, calls.len() - written);
            self.update_signal(&mut inner);
        }
        answer.and_then(|()| {
            results.take(written).map_err(|raw| {
                let text = format!("unknown outcome in {raw:?}");
                NotSubmitted::unknown(Error::Protocol(text.into()))
            })
        })
    }

    /// The kernel has not seen this message.
    fn not_sent(&self, sequence: u32, error: io::Error) -> NotSubmitted {
        self.lock().forget(sequence);
        NotSubmitted::refused(failed("sending a message")(error))
    }

    /// Learns from the kernel how many calls ended without a completion, where there may be such.
    /// Where it does not say, nothing is learned.
    pub(super) fn learn_skipped(&self) -> Result<(), Error> {
        let inner = self.lock();
        let (before, counted, is_abroad) = (inner.perhaps_skipped, inner.counted, inner.is_abroad);
        drop(inner);
        if before == 0 {
            return Ok(());
        }
        let own = match self.own_sessions() {
            Err(error @ Error::Io { .. }) => return Err(error),
            own => own.unwrap_or_default(),
        };
        if own.is_empty() {
            return Ok(());
        }
        let skipped = own.iter().map(|session| session.skipped).sum::<u64>();
        let all_ended = own.iter().all(|session| session.in_flight == 0);
        let mut inner = self.lock();
        // Another thread may have heard a later number meanwhile.
        let news = skipped.saturating_sub(inner.skipped);
        inner.skipped += news;
        let news = usize::try_from(news).unwrap_or(usize::MAX);
        inner.in_flight = inner.in_flight.saturating_sub_unsigned(news);
        // Where nothing is in flight, all calls that were counted before this was asked have ended.
        let over = if all_ended { before } else { news };
        inner.perhaps_skipped = inner.perhaps_skipped.saturating_sub(over);
        if is_abroad && all_ended && inner.counted == counted {
            // A session in another process ends with that, and then the kernel forgets what it
            // counted. What has not come by now was skipped.
            while self.receive(&mut inner)? {}
            inner.in_flight = inner.inbox.len() as isize;
        }
        self.update_signal(&mut inner);
        Ok(())
    }

    /// What the kernel knows about the sessions of this socket: its own one and, where calls were
    /// submitted for other processes, those there.
    pub(super) fn own_sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let is_abroad = self.lock().is_abroad;
        let sessions = match is_abroad {
            false => self.dump(Request::own_session)?,
            true => self.dump(Request::sessions)?,
        };
        let sessions = sessions.into_iter().filter_map(|reply| match reply {
            Reply::Session(session) => Some(*session),
            _ => None,
        });
        let (port, pid) = (self.transport.port_id(), std::process::id());
        let is_own = |session: &SessionInfo| {
            let processes = [Some(session.pid), session.target_of];
            !is_abroad || session.port_id == port && processes.contains(&Some(pid))
        };
        Ok(sessions.filter(is_own).collect())
    }

    /// The next completion, or none when patience ends before there is one.
    pub(super) fn completion(&self, patience: Patience) -> Result<Option<Completion>, Error> {
        let mut doze = FIRST_DOZE;
        let mut inner = self.lock();
        loop {
            while inner.inbox.is_empty() && self.receive(&mut inner)? {}
            if let Some(completion) = inner.inbox.pop_front() {
                inner.in_flight -= 1;
                self.update_signal(&mut inner);
                return Ok(Some(completion));
            }
            let (reason, timeout) = match patience {
                Patience::None => return Ok(None),
                Patience::Forever if inner.in_flight() == 0 => return Err(Error::NothingInFlight),
                Patience::Forever if inner.perhaps_skipped > 0 => {
                    // No completion tells that such a call has ended.
                    drop(inner);
                    self.learn_skipped()?;
                    inner = self.lock();
                    if inner.in_flight() == 0 || !inner.inbox.is_empty() {
                        continue;
                    }
                    let timeout = doze;
                    doze = (doze * 2).min(LONGEST_DOZE);
                    (Sleep::WhileInFlight, Some(timeout))
                }
                Patience::Forever => (Sleep::WhileInFlight, None),
                Patience::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    (Sleep::ForCompletion, Some(left))
                }
            };
            inner = self.sleep(inner, reason, timeout)?;
        }
    }

    /// Blocks until fewer calls than `limit` are in flight and the kernel has room, or until there
    /// is a completion to take.
    pub(super) fn wait_for_room(&self, limit: usize) -> Result<(), Error> {
        let mut doze = FIRST_DOZE;
        let mut inner = self.lock();
        loop {
            while inner.inbox.is_empty() && self.receive(&mut inner)? {}
            // It stays there, for whoever takes it.
            self.update_signal(&mut inner);
            if !inner.inbox.is_empty() {
                return Ok(());
            }
            let below = inner.in_flight() < limit;
            let asked = self.transport.has_room();
            if below && asked.map_err(failed("polling the socket"))? {
                return Ok(());
            }
            let mut timeout = None;
            if !below && inner.perhaps_skipped > 0 {
                drop(inner);
                self.learn_skipped()?;
                inner = self.lock();
                if inner.in_flight() < limit {
                    continue;
                }
                timeout = Some(doze);
                doze = (doze * 2).min(LONGEST_DOZE);
            }
            let reason = match below {
                true => Sleep::ForRoom,
                false => Sleep::ForLimit(limit),
            };
            inner = self.sleep(inner, reason, timeout)?;
        }
    }

    /// Sleeps until there may be what the thread sleeps for.
    fn sleep<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        reason: Sleep,
        timeout: Option<Duration>,
    ) -> Result<MutexGuard<'a, Inner>, Error> {
        inner.sleepers += 1;
        match reason {
            Sleep::WhileInFlight => inner.patient_sleepers += 1,
            Sleep::ForLimit(limit) => inner.awaited_limits.push(limit),
            Sleep::ForCompletion | Sleep::ForRoom => {}
        }
        self.update_signal(&mut inner);
        drop(inner);
        let slept = self.transport.sleep(timeout, reason == Sleep::ForRoom);
        inner = self.lock();
        inner.sleepers -= 1;
        match reason {
            Sleep::WhileInFlight => inner.patient_sleepers -= 1,
            Sleep::ForLimit(limit) => {
                let own = inner.awaited_limits.iter().position(|it| *it == limit);
                own.map(|own| inner.awaited_limits.swap_remove(own));
            }
            Sleep::ForCompletion | Sleep::ForRoom => {}
        }
        self.update_signal(&mut inner);
        slept
            .map_err(failed("waiting for the socket"))
            .map(|()| inner)
    }

    /// Makes the signal say what other threads have to learn: that there are completions which the
    /// socket no longer shows, or that there is nothing left to wait for.
    fn update_signal(&self, inner: &mut Inner) {
        let completions = !inner.inbox.is_empty() && (inner.exposed || inner.sleepers > 0);
        let nothing_left = inner.in_flight() == 0 && inner.patient_sleepers > 0;
        let below_limit = inner
            .awaited_limits
            .iter()
            .any(|it| inner.in_flight() < *it);
        let on = completions || nothing_left || below_limit;
        if on != inner.signaled {
            self.transport.signal(on);
            inner.signaled = on;
        }
    }

    /// The next thing that a member of the group hears, if there is one.
    pub(super) fn hear(&self) -> Result<Option<Heard>, Error> {
        let mut inner = self.lock();
        while inner.heard.is_empty() && self.receive(&mut inner)? {}
        Ok(inner.heard.pop_front())
    }

    /// Whether the kernel had to drop something since this was asked last.
    pub(super) fn take_overrun(&self) -> bool {
        mem::take(&mut self.lock().overrun)
    }

    /// Asks for the number of a multicast group of the family.
    pub(super) fn group(&self, name: &str) -> Result<u32, Error> {
        let families = self.families()?;
        let mut groups = families.iter().flat_map(|family| &family.groups);
        if let Some((_, id)) = groups.find(|(it, _)| it == name) {
            return Ok(*id);
        }
        let text = format!("the module has no multicast group {name}");
        Err(Error::Protocol(text.into()))
    }

    /// Asks for the family's number.
    fn resolve(&self) -> Result<u16, Error> {
        let expected = u32::from(abi::FAMILY_VERSION);
        let families = self.families()?;
        let known = families.iter().find_map(|it| it.id.zip(it.version));
        match known {
            Some((id, version)) if version == expected => Ok(id),
            Some((_, found)) => Err(Error::WrongVersion { found, expected }),
            _ => Err(Error::Protocol(
                "the controller's reply names no family".into(),
            )),
        }
    }

    /// What the controller says about the family.
    fn families(&self) -> Result<Vec<Family>, Error> {
        let sequence = self.reserve();
        let question = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(Request::family_name().to_owned())],
        });
        let replies = match self.transact(sequence, NLM_F_ACK, question) {
            Err(Error::Rejected { errno, .. }) if errno == crate::Errno::NOENT => {
                return Err(Error::ModuleMissing);
            }
            replies => replies?,
        };
        let families = replies.into_iter().filter_map(|reply| match reply {
            Incoming::Controller(family) => Some(family),
            Incoming::Nlcall(_) => None,
        });
        Ok(families.collect())
    }

    /// Learns the fate of a SUBMIT whose acknowledgement was lost.
    ///
    /// The kernel remembers the last one that it accepted. That is enough, since a session sends
    /// one SUBMIT at a time.
    fn was_accepted(&self, sequence: u32) -> Result<(), Error> {
        let own = self.own_sessions().map_err(|_| Error::Unanswered)?;
        match own.iter().any(|session| session.last_seq == sequence) {
            true => Ok(()),
            // It was rejected, and the reason is lost. (Before the first SUBMIT that is accepted
            // a socket has no session.)
            false => Err(Error::RejectionLost),
        }
    }

    fn message(&self, request: Request) -> GenlMessage<Request> {
        let mut message = GenlMessage::from_payload(request);
        message.set_resolved_family_id(self.family);
        message
    }

    fn reserve(&self) -> u32 {
        self.lock().reserve()
    }

    /// Sends a request and returns what came back.
    fn transact<F>(
        &self,
        sequence: u32,
        flags: u16,
        message: GenlMessage<F>,
    ) -> Result<Vec<Incoming>, Error>
    where
        F: GenlFamily + Emitable + Debug,
    {
        self.send(sequence, flags, message)?;
        self.answer(sequence)
    }

    /// Sends a request; on an error, the kernel has not seen it.
    fn send<F>(&self, sequence: u32, flags: u16, message: GenlMessage<F>) -> Result<(), Error>
    where
        F: GenlFamily + Emitable + Debug,
    {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);

        let sent = self
            .transport
            .send(&[IoSlice::new(&bytes)])
            .map_err(failed("sending a message"));
        if sent.is_err() {
            self.lock().forget(sequence);
        }
        // Only the calls of a SUBMIT can make a child.
        sent.map(drop)
    }

    /// What came back for a request that was sent.
    ///
    /// The kernel answers within `send`, and continues a dump within `receive`: when the socket is
    /// empty and the answer has not come, it will not come any more.
    fn answer(&self, sequence: u32) -> Result<Vec<Incoming>, Error> {
        let mut inner = self.lock();
        let mut received = Ok(true);
        while matches!(received, Ok(true)) && inner.is_open(sequence) {
            received = self.receive(&mut inner);
        }
        let answer = inner.forget(sequence);
        self.update_signal(&mut inner);
        drop(inner);
        received?;
        answer
            .end
            .unwrap_or(Err(Error::Unanswered))
            .map(|()| answer.replies)
    }

    /// Receives until the socket is empty.
    fn empty(&self) -> Result<(), Error> {
        let mut inner = self.lock();
        while self.receive(&mut inner)? {}
        self.update_signal(&mut inner);
        Ok(())
    }

    /// Receives and files one datagram; false when there is none.
    fn receive(&self, inner: &mut Inner) -> Result<bool, Error> {
        let received = self.transport.receive(&mut inner.buffer);
        match received.map_err(failed("receiving from the socket"))? {
            Received::Empty => Ok(false),
            // What was lost is an answer, or events; whoever misses it finds out when the socket is
            // empty.
            Received::Overrun => {
                inner.overrun = true;
                Ok(true)
            }
            Received::Datagram(length) => {
                inner.file(length)?;
                Ok(true)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No invariant of Inner spans two statements that can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn in_flight(&self) -> usize {
        usize::try_from(self.in_flight).unwrap_or(0)
    }

    /// Counts so many of these calls as in flight.
    fn count(&mut self, calls: &[abi::Call], in_flight: usize) {
        self.in_flight += in_flight as isize;
        self.counted += in_flight as u64;
        self.perhaps_skipped += skippable(calls);
    }

    /// The sequence number for a request that is about to be sent. Zero is none: events have it.
    fn reserve(&mut self) -> u32 {
        loop {
            let sequence = self.last_sequence.wrapping_add(1);
            self.last_sequence = sequence;
            if sequence != 0 && self.place(sequence).is_none() {
                self.requests.push((sequence, Answer::default()));
                return sequence;
            }
        }
    }

    fn place(&self, sequence: u32) -> Option<usize> {
        self.requests.iter().position(|(it, _)| *it == sequence)
    }

    /// Takes what came back for a request; later answers to it are of no interest.
    fn forget(&mut self, sequence: u32) -> Answer {
        match self.place(sequence) {
            Some(place) => self.requests.swap_remove(place).1,
            None => Answer::default(),
        }
    }

    /// Whether this request still waits for its end.
    fn is_open(&self, sequence: u32) -> bool {
        self.place(sequence)
            .is_some_and(|place| self.requests[place].1.end.is_none())
    }

    /// Files the messages of a datagram of `length` bytes in the buffer.
    fn file(&mut self, length: usize) -> Result<(), Error> {
        let Self {
            buffer,
            requests,
            inbox,
            heard,
            ..
        } = self;
        let mut rest = buffer.get(..length).ok_or(Error::Truncated { length })?;
        while !rest.is_empty() {
            let frame = NetlinkBuffer::new_checked(rest).map_err(Error::Protocol)?;
            let aligned = (frame.length() as usize)
                .next_multiple_of(4)
                .min(rest.len());
            let message = NetlinkMessage::deserialize(rest).map_err(Error::Protocol)?;
            rest = &rest[aligned..];

            let (header, payload) = message.into_parts();
            let answer = requests
                .iter_mut()
                .find(|(sequence, _)| *sequence == header.sequence_number)
                .map(|(_, answer)| answer);
            match (payload, answer) {
                (NetlinkPayload::InnerMessage(Incoming::Nlcall(Reply::Complete(list))), _) => {
                    inbox.extend(list);
                }
                (NetlinkPayload::InnerMessage(Incoming::Nlcall(Reply::Trace(event))), _) => {
                    heard.push_back(Heard::Event(event));
                }
                (NetlinkPayload::InnerMessage(Incoming::Nlcall(Reply::TraceStart(last))), _) => {
                    heard.push_back(Heard::Last(last));
                }
                (NetlinkPayload::InnerMessage(reply), Some(answer)) => answer.replies.push(reply),
                (NetlinkPayload::Error(error), Some(answer)) => {
                    answer.end = Some(rejection::of_request(&header, &error));
                }
                (NetlinkPayload::Done(done), Some(answer)) => {
                    answer.end = Some(rejection::of_dump(&header, &done));
                }
                // Answers to a request that somebody gave up, and messages without content.
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many of these calls may end without a completion.
fn skippable(calls: &[abi::Call]) -> usize {
    calls
        .iter()
        .filter(|call| call.flags & abi::flag::SKIP_SUCCESS != 0)
        .count()
}

fn nlcall_replies(incoming: Vec<Incoming>) -> Vec<Reply> {
    let of_nlcall = |incoming| match incoming {
        Incoming::Nlcall(reply) => Some(reply),
        Incoming::Controller(_) => None,
    };
    incoming.into_iter().filter_map(of_nlcall).collect()
}

/// Whether a dump that ended so may succeed when it is asked for again.
fn is_transient(error: &Error) -> bool {
    matches!(error, Error::Unanswered)
        || error.errno().is_some_and(|it| {
            [crate::Errno::NOBUFS, crate::Errno::BUSY, crate::Errno::INTR].contains(&it)
        })
}

#[cfg(test)]
mod tests {
    //! The framing against this machine's kernel, whose controller every machine has.

    use netlink_packet_generic::constants::GENL_ID_CTRL;

    use super::*;
    use crate::raw::sys::{BufferSizes, Socket};

    fn controller() -> Exchange<Socket> {
        let sizes = BufferSizes {
            receive: 64 << 10,
            send: 64 << 10,
        };
        Exchange::unresolved(Socket::open(&sizes).expect("a socket"))
    }

    fn get_family(nlas: Vec<GenlCtrlAttrs>) -> GenlMessage<GenlCtrl> {
        GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas,
        })
    }

    #[test]
    fn a_reply_and_its_acknowledgement_belong_to_the_request() {
        let exchange = controller();
        for _ in 0..3 {
            let question = get_family(vec![GenlCtrlAttrs::FamilyName("nlctrl".to_owned())]);
            let replies = exchange
                .transact(exchange.reserve(), NLM_F_ACK, question)
                .expect("an answer");
            let [Incoming::Controller(reply)] = &replies[..] else {
                panic!("{replies:?}")
            };
            assert_eq!(reply.name, "nlctrl");
            assert_eq!(reply.id, Some(GENL_ID_CTRL));
            let groups: Vec<_> = reply.groups.iter().map(|(name, _)| &name[..]).collect();
            assert_eq!(groups, ["notify"]);
        }
        assert!(exchange.lock().requests.is_empty());
    }

    #[test]
    fn a_dump_has_all_its_replies() {
        let exchange = controller();
        let replies = exchange.transact(exchange.reserve(), NLM_F_DUMP, get_family(Vec::new()));
        let has_name = |reply: &Incoming| match reply {
            Incoming::Controller(reply) => reply.name == "nlctrl",
            Incoming::Nlcall(_) => false,
        };
        assert!(replies.expect("an answer").iter().any(has_name));
    }

    #[test]
    fn a_rejection_has_the_kernels_words_and_the_place() {
        let exchange = controller();
        let question = get_family(vec![GenlCtrlAttrs::FamilyName("x".repeat(40))]);
        let error = exchange
            .transact(exchange.reserve(), NLM_F_ACK, question)
            .err();
        let Some(Error::Rejected {
            errno,
            message,
            attr_offset,
        }) = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(errno.name().as_deref(), Some("EINVAL"));
        assert_eq!(
            message.as_deref(),
            Some("Attribute failed policy validation")
        );
        assert_eq!(attr_offset, Some(20), "the first attribute");
    }
}
