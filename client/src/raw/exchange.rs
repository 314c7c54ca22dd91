// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests, their answers, and the completions that arrive in between.
//!
//! One socket carries all three. Whoever receives a datagram, for whatever reason, files its
//! messages: completions into the inbox, answers under the sequence number of their request. No
//! lock is held while a thread sleeps or sends, so that threads that share a session neither
//! deadlock nor take each other's answers.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
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
    message::{Incoming, Reply, Request},
    rejection,
    sys::{failed, Received, Transport, DATAGRAM_MAX},
    Completion,
};
use crate::Error;

/// How often a dump is begun again after the kernel had no memory or no room for it.
const DUMP_ATTEMPTS: usize = 4;

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
    /// Requests that were sent, or are about to be, and whose end was not yet taken.
    requests: HashMap<u32, Answer>,
    /// Completions that were received and not yet taken.
    inbox: VecDeque<Completion>,
    /// Calls that were submitted and whose completion was not yet taken.
    in_flight: usize,
    /// Threads that sleep until there is a completion.
    sleepers: usize,
    /// Of these, the ones that give up when nothing is in flight.
    patient_sleepers: usize,
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

    fn unresolved(transport: T) -> Self {
        Self {
            transport,
            family: 0,
            dumping: Mutex::new(()),
            inner: Mutex::new(Inner {
                buffer: vec![0; DATAGRAM_MAX].into_boxed_slice(),
                last_sequence: 0,
                requests: HashMap::new(),
                inbox: VecDeque::new(),
                in_flight: 0,
                sleepers: 0,
                patient_sleepers: 0,
                exposed: false,
                signaled: false,
            }),
        }
    }

    pub(super) fn transport(&self) -> &T {
        &self.transport
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lock().in_flight
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
    pub(super) fn request(&self, request: Request<'_>) -> Result<Vec<Reply>, Error> {
        let sequence = self.reserve();
        self.transact(sequence, NLM_F_ACK, self.message(request))
            .map(nlcall_replies)
    }

    /// Sends a `dump` request and returns its replies.
    pub(super) fn dump(&self, request: impl Fn() -> Request<'static>) -> Result<Vec<Reply>, Error> {
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

    /// Sends these calls as one message.
    ///
    /// No two threads may be in here at the same time: see [`Self::was_accepted`].
    pub(super) fn submit(&self, calls: &[abi::Call]) -> Result<(), NotSubmitted> {
        let sequence = self.reserve();
        // Completions may overtake the acknowledgement.
        self.lock().in_flight += calls.len();

        let refused = |error| NotSubmitted {
            error,
            perhaps_accepted: false,
        };
        let unknown = |error| NotSubmitted {
            error,
            perhaps_accepted: true,
        };
        let done = match self.send(sequence, NLM_F_ACK, self.message(Request::submit(calls))) {
            Err(error) => Err(refused(error)),
            Ok(()) => match self.answer(sequence) {
                Ok(_) => Ok(()),
                Err(error @ Error::Rejected { .. }) => Err(refused(error)),
                Err(Error::Unanswered) => match self.was_accepted(sequence) {
                    Ok(()) => Ok(()),
                    Err(error @ Error::RejectionLost) => Err(refused(error)),
                    Err(error) => Err(unknown(error)),
                },
                Err(error) => Err(unknown(error)),
            },
        };
        if matches!(
            done,
            Err(NotSubmitted {
                perhaps_accepted: false,
                ..
            })
        ) {
            let mut inner = self.lock();
            inner.in_flight = inner.in_flight.saturating_sub(calls.len());
            self.update_signal(&mut inner);
        }
        done
    }

    /// The next completion, or none when patience ends before there is one.
    pub(super) fn completion(&self, patience: Patience) -> Result<Option<Completion>, Error> {
        let mut inner = self.lock();
        loop {
            while inner.inbox.is_empty() && self.receive(&mut inner)? {}
            if let Some(completion) = inner.inbox.pop_front() {
                inner.in_flight = inner.in_flight.saturating_sub(1);
                self.update_signal(&mut inner);
                return Ok(Some(completion));
            }
            let timeout = match patience {
                Patience::None => return Ok(None),
                Patience::Forever if inner.in_flight == 0 => return Err(Error::NothingInFlight),
                Patience::Forever => None,
                Patience::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    Some(left)
                }
            };
            inner = self.sleep(inner, timeout)?;
        }
    }

    /// Sleeps until there may be a completion to take.
    fn sleep<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        timeout: Option<Duration>,
    ) -> Result<MutexGuard<'a, Inner>, Error> {
        let patient = usize::from(timeout.is_none());
        inner.sleepers += 1;
        inner.patient_sleepers += patient;
        self.update_signal(&mut inner);
        drop(inner);
        let slept = self.transport.sleep(timeout);
        inner = self.lock();
        inner.sleepers -= 1;
        inner.patient_sleepers -= patient;
        self.update_signal(&mut inner);
        slept
            .map_err(failed("waiting for the socket"))
            .map(|()| inner)
    }

    /// Makes the signal say what other threads have to learn: that there are completions which the
    /// socket no longer shows, or that there is nothing left to wait for.
    fn update_signal(&self, inner: &mut Inner) {
        let completions = !inner.inbox.is_empty() && (inner.exposed || inner.sleepers > 0);
        let nothing_left = inner.in_flight == 0 && inner.patient_sleepers > 0;
        let on = completions || nothing_left;
        if on != inner.signaled {
            self.transport.signal(on);
            inner.signaled = on;
        }
    }

    /// Asks for the family's number.
    fn resolve(&self) -> Result<u16, Error> {
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
        let (mut id, mut version) = (None, None);
        for attribute in replies.into_iter().flat_map(|reply| match reply {
            Incoming::Controller(reply) => reply.nlas,
            Incoming::Nlcall(_) => Vec::new(),
        }) {
            match attribute {
                GenlCtrlAttrs::FamilyId(number) => id = Some(number),
                GenlCtrlAttrs::Version(number) => version = Some(number),
                _ => {}
            }
        }
        let expected = u32::from(abi::FAMILY_VERSION);
        match (id, version) {
            (Some(id), Some(version)) if version == expected => Ok(id),
            (Some(_), Some(found)) => Err(Error::WrongVersion { found, expected }),
            _ => Err(Error::Protocol(
                "the controller's reply names no family".into(),
            )),
        }
    }

    /// Learns the fate of a SUBMIT whose acknowledgement was lost.
    ///
    /// The kernel remembers the last one that it accepted. That is enough, since a session sends
    /// one SUBMIT at a time.
    fn was_accepted(&self, sequence: u32) -> Result<(), Error> {
        let own = self
            .dump(Request::own_session)
            .map_err(|_| Error::Unanswered)?;
        match own.first() {
            Some(Reply::Session(session)) if session.last_seq == sequence => Ok(()),
            // It was rejected, and the reason is lost. (Before the first SUBMIT that is accepted
            // a socket has no session.)
            Some(Reply::Session(_)) | None => Err(Error::RejectionLost),
            Some(_) => Err(Error::Unanswered),
        }
    }

    fn message<'a>(&self, request: Request<'a>) -> GenlMessage<Request<'a>> {
        let mut message = GenlMessage::from_payload(request);
        message.set_resolved_family_id(self.family);
        message
    }

    /// The sequence number for a request that is about to be sent. Zero is none: events have it.
    fn reserve(&self) -> u32 {
        let mut inner = self.lock();
        loop {
            let sequence = inner.last_sequence.wrapping_add(1);
            inner.last_sequence = sequence;
            if sequence != 0 && !inner.requests.contains_key(&sequence) {
                inner.requests.insert(sequence, Answer::default());
                return sequence;
            }
        }
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
            .send(&bytes)
            .map_err(failed("sending a message"));
        if sent.is_err() {
            self.lock().requests.remove(&sequence);
        }
        sent
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
        let answer = inner.requests.remove(&sequence).unwrap_or_default();
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
            // What was lost is an answer; whoever misses it finds out when the socket is empty.
            Received::Overrun => Ok(true),
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
    /// Whether this request still waits for its end.
    fn is_open(&self, sequence: u32) -> bool {
        self.requests
            .get(&sequence)
            .is_some_and(|answer| answer.end.is_none())
    }

    /// Files the messages of a datagram of `length` bytes in the buffer.
    fn file(&mut self, length: usize) -> Result<(), Error> {
        let Self {
            buffer,
            requests,
            inbox,
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
            let answer = requests.get_mut(&header.sequence_number);
            match (payload, answer) {
                (NetlinkPayload::InnerMessage(Incoming::Nlcall(Reply::Complete(list))), _) => {
                    inbox.extend(list);
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
            let name = GenlCtrlAttrs::FamilyName("nlctrl".to_owned());
            assert!(reply.nlas.contains(&name));
        }
        assert!(exchange.lock().requests.is_empty());
    }

    #[test]
    fn a_dump_has_all_its_replies() {
        let exchange = controller();
        let replies = exchange.transact(exchange.reserve(), NLM_F_DUMP, get_family(Vec::new()));
        let name = GenlCtrlAttrs::FamilyName("nlctrl".to_owned());
        let has_name = |reply: &Incoming| match reply {
            Incoming::Controller(reply) => reply.nlas.contains(&name),
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
