// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, Instant};

use nlcall_abi as abi;

use super::{
    exchange::{Exchange, Heard},
    message::Request,
    sys::{failed, BufferSizes, Socket, Transport},
    Event,
};
use crate::{Errno, Error};

/// Receive buffer of a monitor, in bytes.
const BUFFER: usize = 4 << 20;

/// Listens to what the module does for all processes: calls that are accepted, calls that end,
/// messages that are rejected.
///
/// It needs `CAP_SYS_ADMIN` in the initial user namespace and a socket in the initial network
/// namespace. Events wait in the socket's receive buffer. Those for which it has no room are lost,
/// and [`Notice::Lost`] says how many; nobody's call waits for a monitor or fails for it. While
/// somebody listens, calls are executed one by one, which takes longer.
#[derive(Debug)]
pub struct Monitor {
    exchange: Exchange<Socket>,
    count: Count,
    /// It was heard behind what was lost.
    next: Option<Box<Event>>,
}

/// What a [`Monitor`] has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something happened.
    Event(Box<Event>),
    /// So many events were lost here.
    Lost(u64),
}

impl Monitor {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// [`Error::ModuleMissing`] when no module is loaded; [`Error::Rejected`] with `EPERM` and a
    /// reason where this process may not listen.
    pub fn open() -> Result<Self, Error> {
        Self::with_receive_buffer(BUFFER)
    }

    /// The same with a receive buffer of so many bytes, as
    /// [`SessionBuilder::receive_buffer`](super::SessionBuilder::receive_buffer) takes it.
    pub fn with_receive_buffer(bytes: usize) -> Result<Self, Error> {
        let sizes = BufferSizes {
            receive: bytes,
            send: 1 << 16,
        };
        let exchange = Exchange::new(Socket::open(&sizes)?)?;
        let group = exchange.group(abi::TRACE_GROUP)?;
        match exchange.transport().join(group) {
            // The module says why.
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw()) => {
                start(&exchange)?;
                return Err(failed("joining the multicast group")(error));
            }
            joined => joined.map_err(failed("joining the multicast group"))?,
        }
        start(&exchange)?;
        Ok(Self {
            exchange,
            count: Count::default(),
            next: None,
        })
    }

    /// The next notice; none where there is none within this time. A signal that is handled ends
    /// the wait as well.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Notice>, Error> {
        let deadline = Instant::now().checked_add(timeout);
        let mut has_slept = false;
        loop {
            if let Some(notice) = self.try_wait()? {
                return Ok(Some(notice));
            }
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            if has_slept || left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let slept = self.exchange.transport().sleep(left, false);
            slept.map_err(failed("waiting for the socket"))?;
            has_slept = true;
        }
    }

    /// The next notice, if there is one; does not block.
    pub fn try_wait(&mut self) -> Result<Option<Notice>, Error> {
        loop {
            if let Some(event) = self.next.take() {
                return Ok(Some(Notice::Event(event)));
            }
            let lost = match self.exchange.hear()? {
                Some(Heard::Event(event)) => {
                    let lost = self.count.before(event.seq);
                    self.next = Some(event);
                    lost
                }
                Some(Heard::Last(seq)) => self.count.up_to(seq),
                // What was lost last is known by nobody but the module.
                None if self.exchange.take_overrun() => {
                    match start(&self.exchange) {
                        // The answer was lost in turn: then there is something to hear.
                        Ok(()) | Err(Error::Unanswered) => continue,
                        Err(error) => return Err(error),
                    }
                }
                None => return Ok(None),
            };
            if lost > 0 {
                return Ok(Some(Notice::Lost(lost)));
            }
        }
    }
}

/// Asks the module for events. Its answer says where they begin.
fn start(exchange: &Exchange<Socket>) -> Result<(), Error> {
    exchange.request(Request::trace_start()).map(drop)
}

/// Finds out what is missing among the numbers of events.
#[derive(Debug, Default)]
struct Count {
    /// The last number that is accounted for; none before the first.
    last: Option<u64>,
}

impl Count {
    /// How many are missing before this one, which was heard.
    fn before(&mut self, seq: u64) -> u64 {
        self.up_to(seq).saturating_sub(1)
    }

    /// How many are missing, this one included, which was sent.
    fn up_to(&mut self, seq: u64) -> u64 {
        let missing = self.last.map_or(0, |last| seq.saturating_sub(last));
        self.last = self.last.max(Some(seq));
        missing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_before_the_first_is_not_missing() {
        let mut count = Count::default();
        assert_eq!(count.before(17), 0);
        assert_eq!(count.before(18), 0);
        assert_eq!(count.before(21), 2);
        assert_eq!(count.up_to(21), 0);
        assert_eq!(count.up_to(24), 3);
        assert_eq!(count.before(25), 0);
        // Asked again, the module says what it said before.
        assert_eq!(count.up_to(25), 0);
    }

    proptest! {
        #[test]
        fn heard_and_missing_are_all(
            first in 0..u64::MAX / 2, heard in proptest::collection::vec(any::<bool>(), 0..100),
        ) {
            let mut count = Count::default();
            prop_assert_eq!(count.up_to(first), 0);
            let mut missing = 0;
            for (seq, _) in (first + 1..).zip(&heard).filter(|(_, heard)| **heard) {
                missing += count.before(seq);
            }
            missing += count.up_to(first + heard.len() as u64);
            prop_assert_eq!(missing, heard.iter().filter(|heard| !**heard).count() as u64);
        }
    }
}
