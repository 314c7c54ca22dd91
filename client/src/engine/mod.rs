// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is in flight, whichever driver makes the calls.

mod flight;
mod room;
mod table;
#[cfg(test)]
mod tests;

use std::{
    mem::{self, ManuallyDrop},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::{
    birthmark::Birthmark,
    driver::{Backend, Driver, Stopped},
    raw, Error,
};

pub(crate) use flight::{AnyFlight, Flight, Stoppable};
pub use flight::{End, Unfit, Work};
use room::Room;
pub(crate) use room::Ticket;
pub use table::Key;
use table::Table;

/// A call in flight, as part of what it was submitted with. That is kept, with its buffers, until
/// the call has ended.
struct Slot {
    flight: Arc<dyn AnyFlight>,
    call: usize,
}

struct State {
    table: Table<Slot>,
    room: Room,
    /// Those who have room and were turned away for a limit of the driver's.
    turned_away: Vec<Waker>,
    /// Whether nothing is accepted any more.
    closed: bool,
    /// Why nothing is heard any more.
    lost: Option<String>,
}

/// The calls in flight of a client and its clones.
pub(crate) struct Engine {
    backend: Box<dyn Backend>,
    birthmark: Birthmark,
    state: Mutex<State>,
}

/// What the driver did not take.
pub(crate) struct NotLaunched {
    pub(crate) error: Error,
    /// It, in its order. It has its room. What is not here is with the driver, or is over.
    pub(crate) rest: Vec<Arc<dyn AnyFlight>>,
}

impl Engine {
    pub(crate) fn new(backend: Box<dyn Backend>, depth: usize) -> Result<Self, Error> {
        Ok(Self {
            backend,
            birthmark: Birthmark::new()?,
            state: Mutex::new(State {
                table: Table::new(),
                room: Room::new(depth),
                turned_away: Vec::new(),
                closed: false,
                lost: None,
            }),
        })
    }

    pub(crate) fn driver(&self) -> Driver {
        self.backend.kind()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Most calls in flight.
    pub(crate) fn depth(&self) -> usize {
        self.state().room.capacity()
    }

    /// Calls in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state().table.len()
    }

    /// Whether this is a child of the process that the engine belongs to. Nothing of it may be
    /// touched then: another thread may have held any lock when the child was made.
    pub(crate) fn is_in_child(&self) -> bool {
        self.birthmark.is_in_child()
    }

    /// Checks that so many calls can ever be submitted here together.
    pub(crate) fn check(&self, calls: usize) -> Result<(), Error> {
        if self.is_in_child() {
            return Err(Error::Forked);
        }
        let state = self.state();
        state.check()?;
        let limit = state.room.capacity();
        match calls <= limit {
            true => Ok(()),
            false => Err(Error::ChainTooLong { calls, limit }),
        }
    }

    /// Takes room for so many calls, where there is some at once.
    pub(crate) fn try_take_room(&self, calls: usize) -> bool {
        self.state().room.try_take(calls)
    }

    /// Waits for room for so many calls, in the place that the ticket stands for.
    pub(crate) fn poll_room(
        &self,
        calls: usize,
        ticket: &mut Option<Ticket>,
        context: &Context<'_>,
    ) -> Poll<()> {
        let mut state = self.state();
        let Some(place) = *ticket else {
            if state.room.try_take(calls) {
                return Poll::Ready(());
            }
            *ticket = Some(state.room.enter(calls, context.waker()));
            return Poll::Pending;
        };
        let (granted, next) = state.room.take(place, context.waker());
        drop(state);
        wake(next);
        if !granted {
            return Poll::Pending;
        }
        *ticket = None;
        Poll::Ready(())
    }

    /// Gives up a place in the queue for room.
    pub(crate) fn leave_room(&self, ticket: Ticket) {
        let next = self.state().room.leave(ticket);
        wake(next);
    }

    /// Gives room back that was taken for so many calls and is not used.
    pub(crate) fn release_room(&self, calls: usize) {
        let next = self.state().room.release(calls);
        wake(next);
    }

    /// Whoever was turned away for a limit of the driver's is woken when there may be room.
    pub(crate) fn poll_driver_room(&self, context: &Context<'_>) -> Result<(), Error> {
        self.state().turned_away.push(context.waker().clone());
        self.backend.await_room()
    }

    /// There may be room below a limit of the driver's.
    pub(crate) fn has_room(&self) {
        let wakers = mem::take(&mut self.state().turned_away);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Hands these to the driver, as one batch, in this order. Room was taken for all of them; of
    /// those that are over already it is given back.
    pub(crate) fn launch(
        self: &Arc<Self>,
        flights: Vec<Arc<dyn AnyFlight>>,
    ) -> Result<(), NotLaunched> {
        let mut batch = raw::Batch::with_capacity(flights.iter().map(|it| it.len()).sum());
        let mut sent: Vec<(Arc<dyn AnyFlight>, Vec<Key>)> = Vec::with_capacity(flights.len());
        let mut flights = flights.into_iter();
        while let Some(flight) = flights.next() {
            if flight.len() == 0 {
                flight.end_held();
                continue;
            }
            let keys = match self.insert(&flight) {
                Ok(keys) => keys,
                Err(error) => {
                    let mut rest = self.take_back(sent);
                    rest.push(flight);
                    rest.extend(flights);
                    return Err(NotLaunched { error, rest });
                }
            };
            if !flight.begin(&keys) {
                self.remove(&keys);
                self.release_room(flight.len());
                continue;
            }
            match flight.push_to(&keys, &mut batch) {
                Ok(()) => sent.push((flight, keys)),
                Err(Unfit::Call(at, errno)) => {
                    self.remove(&keys);
                    flight.never_made(at, errno);
                    self.release_room(flight.len());
                }
                Err(Unfit::Work(error)) => {
                    sent.push((flight, keys));
                    let mut rest = self.take_back(sent);
                    rest.extend(flights);
                    return Err(NotLaunched { error, rest });
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let (accepted, doubtful, refused) = match self.backend.submit(self, batch) {
            Ok(()) => (usize::MAX, 0, None),
            Err(refused) => (refused.accepted, refused.doubtful, Some(refused.error)),
        };
        let (mut calls, mut rest) = (0, Vec::new());
        for (flight, keys) in sent {
            calls += keys.len();
            if calls > accepted {
                rest.push((flight, keys));
                continue;
            }
            let doubt = refused.as_ref().filter(|_| calls > accepted - doubtful);
            if let Some(why) = doubt {
                // It keeps its place until its completion comes, if ever one does.
                flight.lost(&why.to_string());
            }
            if doubt.is_some() || flight.shall_end() {
                // Whoever wanted that may have told the driver before it knew of it. The call ends
                // later where it cannot be stopped.
                let _ = self.cancel(&keys);
            }
        }
        match refused {
            None => Ok(()),
            Some(error) => Err(NotLaunched {
                error,
                rest: self.take_back(rest),
            }),
        }
    }

    /// The driver does not have what was to be sent: it is held again.
    fn take_back(&self, sent: Vec<(Arc<dyn AnyFlight>, Vec<Key>)>) -> Vec<Arc<dyn AnyFlight>> {
        let back = sent.into_iter().map(|(flight, keys)| {
            self.remove(&keys);
            flight.returned();
            flight
        });
        back.collect()
    }

    /// A call has ended.
    pub(crate) fn complete(&self, key: Key, end: End) {
        let mut state = self.state();
        // A key that is not there belongs to a call that was taken back, or is none of ours.
        let Some(slot) = state.table.remove(key) else {
            return;
        };
        let next = state.room.release(1);
        let wakers = mem::take(&mut state.turned_away);
        drop(state);
        // May run what belongs to the output: the closing of a descriptor, the drop of a buffer.
        slot.flight.ended(slot.call, end);
        wake(next);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends calls where that can be done.
    pub(crate) fn cancel(&self, keys: &[Key]) -> Result<Stopped, Error> {
        self.backend.cancel(self, keys)
    }

    /// Ends everything in flight where that can be done.
    pub(crate) fn cancel_all(&self) -> Result<(), Error> {
        let mut flights = self.state().table.values(|slot| Arc::clone(&slot.flight));
        // The calls of a chain lie beside each other, or are asked to end more than once.
        flights.dedup_by(|a, b| Arc::ptr_eq(a, b));
        for flight in flights {
            let keys = flight.stop_calls();
            if !keys.is_empty() {
                self.cancel(&keys)?;
            }
        }
        Ok(())
    }

    /// From now on nothing is accepted. Whoever waits for room learns it.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let wakers = state.wakers();
        drop(state);
        self.backend.close();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether nothing is accepted and nothing in flight any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.closed && state.table.len() == 0
    }

    /// Nothing will be heard of what is in flight. What it refers to is kept for ever.
    pub(crate) fn lose(&self, why: &str) {
        let mut state = self.state();
        state.lost.get_or_insert_with(|| why.to_owned());
        // The calls may go on, and use their memory, also where a waker panics here.
        let slots = ManuallyDrop::new(state.table.drain());
        let wakers = state.wakers();
        drop(state);
        for slot in slots.iter() {
            slot.flight.lost(why);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn insert(&self, flight: &Arc<dyn AnyFlight>) -> Result<Vec<Key>, Error> {
        let mut state = self.state();
        state.check()?;
        let keys = (0..flight.len()).map(|call| {
            let flight = Arc::clone(flight);
            state.table.insert(Slot { flight, call })
        });
        Ok(keys.collect())
    }

    fn remove(&self, keys: &[Key]) {
        let mut state = self.state();
        let slots: Vec<Option<Slot>> = keys.iter().map(|key| state.table.remove(*key)).collect();
        drop(state);
        // Now that no lock is held: with the last of them goes what was submitted.
        drop(slots);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No invariant of State spans two statements that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether anything is accepted.
    fn check(&self) -> Result<(), Error> {
        match &self.lost {
            Some(why) => Err(Error::Lost { why: why.clone() }),
            None if self.closed => Err(Error::ShutDown),
            None => Ok(()),
        }
    }

    /// Those of all who wait for room.
    fn wakers(&mut self) -> Vec<Waker> {
        let mut wakers = mem::take(&mut self.turned_away);
        wakers.extend(self.room.wakers());
        wakers
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
