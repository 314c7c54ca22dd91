// SPDX-License-Identifier: MIT OR Apache-2.0

//! Both directions of a connection without a kernel, for the fuzz targets (`fuzz/`).

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
    time::Duration,
};

use super::{
    exchange::{Exchange, Heard as Found, Patience},
    message::{Reply, Request, Submit},
    plan,
    sys::{Received, Sent, Transport},
    Batch, Canceled, Completion, Config, Event, Features, SessionInfo, SyscallInfo,
};
use crate::Error;

/// Sequence number of the request that [`hear`] makes.
pub const SEQUENCE: u32 = 1;

/// What a connection made of datagrams.
#[derive(Debug)]
pub struct Heard {
    /// Completions, in their order.
    pub completions: Vec<Completion>,
    /// Events, in their order.
    pub events: Vec<Event>,
    /// What came back for the request, or why nothing did.
    pub answer: Result<Vec<Answer>, Error>,
    /// What was wrong with datagrams behind the answer.
    pub errors: Vec<Error>,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the type that it holds")]
pub enum Answer {
    Canceled(Canceled),
    Features(Features),
    Session(SessionInfo),
    Config(Config),
    Syscall(SyscallInfo),
}

/// Has a connection make a request with the number [`SEQUENCE`], and receive these datagrams.
pub fn hear(datagrams: impl IntoIterator<Item = Vec<u8>>) -> Heard {
    let exchange = Exchange::unresolved(Recorded {
        datagrams: RefCell::new(datagrams.into_iter().collect()),
        sent: RefCell::default(),
    });
    let answer = exchange.request(Request::features());
    let mut heard = Heard {
        completions: Vec::new(),
        events: Vec::new(),
        answer: answer.map(|replies| replies.into_iter().filter_map(answer_of).collect()),
        errors: Vec::new(),
    };
    loop {
        match exchange.hear() {
            Ok(Some(Found::Event(event))) => heard.events.push(*event),
            Ok(Some(Found::Last(_))) => {}
            Ok(None) => break,
            Err(error) => heard.errors.push(error),
        }
    }
    // Nothing is left to receive.
    while let Ok(Some(completion)) = exchange.completion(Patience::None) {
        heard.completions.push(completion);
    }
    heard
}

/// The messages that a batch is sent in, of at most `limit` calls each where it may be cut.
pub fn messages(batch: &Batch, limit: usize, results: Option<u64>) -> Result<Vec<Vec<u8>>, Error> {
    let enclosure = batch.enclosure();
    let transport = Recorded::default();
    let mut done = 0;
    while done < batch.len() {
        let rest = &batch.as_abi()[done..];
        let calls = match enclosure.is_whole() {
            true => plan::whole_message(rest.len(), limit)?,
            false => plan::next_message(rest, limit)?,
        };
        let message = batch.message(done..done + calls);
        Submit::new(0, SEQUENCE, 0, &message, &enclosure, results)
            .send(&transport)
            .expect("it only records");
        done += calls;
    }
    Ok(transport.sent.into_inner())
}

fn answer_of(reply: Reply) -> Option<Answer> {
    Some(match reply {
        Reply::Canceled(canceled) => Answer::Canceled(canceled),
        Reply::Features(features) => Answer::Features(*features),
        Reply::Session(session) => Answer::Session(*session),
        Reply::Config(config) => Answer::Config(*config),
        Reply::Syscall(syscall) => Answer::Syscall(syscall),
        // Those are no answers: they were told apart before.
        Reply::Complete(_) | Reply::Trace(_) | Reply::TraceStart(_) => return None,
    })
}

/// Datagrams to be received, and messages that were sent.
#[derive(Default)]
struct Recorded {
    datagrams: RefCell<VecDeque<Vec<u8>>>,
    sent: RefCell<Vec<Vec<u8>>>,
}

impl Transport for Recorded {
    fn port_id(&self) -> u32 {
        0
    }

    fn message_max(&self) -> usize {
        usize::MAX
    }

    fn send(&self, message: &[IoSlice<'_>]) -> io::Result<Sent> {
        let parts = message.iter().flat_map(|part| part.iter());
        self.sent.borrow_mut().push(parts.copied().collect());
        Ok(Sent::Here)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let Some(datagram) = self.datagrams.borrow_mut().pop_front() else {
            return Ok(Received::Empty);
        };
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(Received::Datagram(datagram.len()))
    }

    fn sleep(&self, _timeout: Option<Duration>, _for_room: bool) -> io::Result<()> {
        unreachable!("nobody waits here")
    }

    fn has_room(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn signal(&self, _on: bool) {}

    fn is_owner(&self) -> bool {
        true
    }
}
