// SPDX-License-Identifier: GPL-2.0-only

//! Waiting for room in a session.
//!
//! A sender whose message was turned away because its own calls are in the way can wait until
//! there is room for it: `poll` does not report `POLLOUT` before. A netlink socket is writable as
//! long as little of its send buffer is charged, and netlink charges nothing to it; so the session
//! charges more than any buffer has, and gives it back when there is room.

use crate::{
    config,
    reject::{
        reject,
        Rejection, //
    },
    session::{
        Inner,
        Session, //
    },
    socket::Sock,
    wire::SessionState,
};

/// What a sender waits for that was turned away.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Calls that there has to be room for.
    count: usize,
    /// A worker has to be there for them.
    by_workers: bool,
}

/// Why calls do not fit.
enum Misfit {
    /// Every worker is blocked, and there may be no more.
    Saturated,
    /// Too many would be in flight.
    InFlight,
}

impl Session {
    /// Whether `count` calls fit: for workers, or INLINE. Where they do not, but may when others
    /// are over, the socket is not writable before the `whole` message may fit.
    pub(crate) fn check_room(
        &self,
        inner: &mut Inner,
        count: usize,
        by_workers: bool,
        whole: usize,
    ) -> Result<(), Rejection> {
        match self.misfit(inner, count, by_workers) {
            None => Ok(()),
            Some(misfit) => Err(self.turn_away(inner, count, by_workers, whole, &misfit)),
        }
    }

    fn misfit(&self, inner: &Inner, count: usize, by_workers: bool) -> Option<Misfit> {
        if by_workers && self.pool(inner).is_saturated(1) {
            return Some(Misfit::Saturated);
        }
        let most = config::max_in_flight() as usize;
        (count > most.saturating_sub(inner.occupied() as usize)).then_some(Misfit::InFlight)
    }

    #[cold]
    fn turn_away(
        &self,
        inner: &mut Inner,
        count: usize,
        by_workers: bool,
        whole: usize,
        misfit: &Misfit,
    ) -> Rejection {
        let max = config::max_in_flight() as usize;
        // What never fits is not waited for, nor an end.
        if whole <= max && inner.state == SessionState::Open {
            if let (None, Some(sock)) = (inner.wanted, &inner.sock) {
                sock.fill();
            }
            // The least that somebody waits for: who needs more is turned away again.
            inner.wanted = Some(inner.wanted.map_or(
                Wanted {
                    count: whole,
                    by_workers,
                },
                |other| Wanted {
                    count: whole.min(other.count),
                    by_workers: by_workers && other.by_workers,
                },
            ));
        }
        match misfit {
            Misfit::Saturated => reject!(
                EAGAIN,
                "all {} workers are blocked (max_workers)",
                config::max_workers()
            ),
            Misfit::InFlight => reject!(
                EAGAIN,
                "{count} calls and {} in flight exceed max_in_flight {max}",
                inner.occupied()
            ),
        }
    }

    /// Where somebody waits for room and there is: lets the socket be writable. The caller then
    /// [announces](Sock::announce_room) it without the lock.
    #[inline]
    pub(crate) fn find_room(&self, inner: &mut Inner) -> Option<Sock> {
        let wanted = inner.wanted?;
        match self.misfit(inner, wanted.count, wanted.by_workers) {
            None => inner.end_waiting(),
            Some(_) => None,
        }
    }

    /// Says that there is room, where somebody waits for it and there is.
    pub(crate) fn offer_room(&self) {
        let waiting = self.find_room(&mut self.inner().lock());
        if let Some(sock) = waiting {
            sock.announce_room();
        }
    }
}

impl Inner {
    /// Lets the socket be writable again, where it is not.
    pub(crate) fn end_waiting(&mut self) -> Option<Sock> {
        self.wanted.take()?;
        // The socket goes after the session was closed, which ended the waiting.
        let sock = self.sock.clone()?;
        sock.drain();
        Some(sock)
    }
}
