// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is in flight, whichever driver makes the calls.

mod flight;
mod room;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem::{self, ManuallyDrop},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::{
    birthmark::Birthmark,
    driver::{Backend, Driver, Stopped},
    panics::{wake, Panics},
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
    /// Whether it is not known if the driver has the call.
    is_doubtful: bool,
}

struct State {
    table: Table<Slot>,
    room: Room,
    /// Those who have room and were turned away for a limit of the driver's.
    turned_away: Vec<Waker>,
    /// Those who wait for the end.
    enders: Vec<Waker>,
    /// Doubtful calls in the table.
    doubtful: usize,
    /// Whether nothing is accepted any more.
    closed: bool,
    /// Why nothing is heard any more.
    lost: Option<String>,
}

/// The calls in flight of a client and its clones.
pub(crate) struct Engine {
    /// Before the state, which keeps what calls in flight use: its drop waits for those that may still
    /// be made.
    backend: Box<dyn Backend>,
    birthmark: Birthmark,
    depth: usize,
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
            depth,
            state: Mutex::new(State {
                table: Table::new(),
                room: Room::new(depth),
                turned_away: Vec::new(),
                enders: Vec::new(),
                doubtful: 0,
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
        self.depth
    }

    /// Calls in flight; none in a child.
    pub(crate) fn in_flight(&self) -> usize {
        match self.is_in_child() {
            true => 0,
            false => self.state().table.len(),
        }
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
        self.state().check()?;
        let limit = self.depth;
        match calls <= limit {
            true => Ok(()),
            false => Err(Error::ChainTooLong { calls, limit }),
        }
    }

    /// Takes room for so many calls, where there is some at once.
    pub(crate) fn try_take_room(&self, calls: usize) -> bool {
        self.state().room.try_take(calls)
    }

    /// Waits for room for so many calls, in the place that the ticket stands for. An error says that
    /// there will be none.
    pub(crate) fn poll_room(
        &self,
        calls: usize,
        ticket: &mut Option<Ticket>,
        context: &Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let mut state = self.state();
        if let Err(error) = state.check() {
            // All places in the queue are gone.
            *ticket = None;
            return Poll::Ready(Err(error));
        }
        let Some(place) = *ticket else {
            if state.room.try_take(calls) {
                return Poll::Ready(Ok(()));
            }
            *ticket = Some(state.room.enter(calls, context.waker()));
            return Poll::Pending;
        };
        let (granted, next, old) = state.room.take(place, context.waker());
        drop(state);
        drop(old);
        wake(next);
        if !granted {
            return Poll::Pending;
        }
        *ticket = None;
        Poll::Ready(Ok(()))
    }

    /// Gives up a place in the queue for room.
    pub(crate) fn leave_room(&self, ticket: Ticket) {
        let (next, old) = self.state().room.leave(ticket);
        drop(old);
        wake(next);
    }

    /// Gives room back that was taken for so many calls and is not used.
    pub(crate) fn release_room(&self, calls: usize) {
        let next = self.state().room.release(calls);
        wake(next);
    }

    /// Whoever was turned away for a limit of the driver's is woken when there may be room. An error
    /// says that there will be none.
    pub(crate) fn poll_driver_room(&self, context: &Context<'_>) -> Result<(), Error> {
        let mut state = self.state();
        state.check()?;
        state.turned_away.push(context.waker().clone());
        drop(state);
        self.backend.await_room()
    }

    /// There may be room below a limit of the driver's.
    pub(crate) fn has_room(&self) {
        let wakers = mem::take(&mut self.state().turned_away);
        wake(wakers);
    }

    /// Hands these to the driver, as one batch, in this order. Room was taken for all of them; of
    /// those that are over already it is given back. Where foreign code panics, what the driver does
    /// not have is over, and has no room.
    pub(crate) fn launch(
        self: &Arc<Self>,
        flights: Vec<Arc<dyn AnyFlight>>,
    ) -> Result<(), NotLaunched> {
        let mut launch = Launch {
            engine: self,
            sent: Vec::with_capacity(flights.len()),
            rest: flights.into(),
        };
        launch.run().map_err(|error| NotLaunched {
            error,
            rest: launch.take_back(),
        })
    }

    /// A call has ended.
    pub(crate) fn complete(&self, key: Key, end: End) {
        let mut state = self.state();
        // A key that is not there belongs to a call that was taken back, or is none of ours.
        let Some(slot) = state.table.remove(key) else {
            return;
        };
        state.doubtful -= usize::from(slot.is_doubtful);
        let next = state.room.release(1);
        let mut wakers = mem::take(&mut state.turned_away);
        wakers.extend(state.enders());
        drop(state);
        let mut panics = Panics::default();
        // May run what belongs to the output: the closing of a descriptor, the drop of a buffer.
        panics.catch(move || slot.flight.ended(slot.call, end));
        panics.wake(next);
        panics.wake(wakers);
        panics.resume();
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

    /// From now on nothing is accepted. Whoever waits for room learns it, and has no place in the
    /// queue any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let wakers = state.wakers();
        drop(state);
        self.backend.close();
        wake(wakers);
    }

    /// Whether nothing is accepted and nothing in flight any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state().is_over()
    }

    /// Waits until it is over.
    pub(crate) fn poll_over(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_in_child() {
            return Poll::Ready(Err(Error::Forked));
        }
        let mut state = self.state();
        if let Some(why) = &state.lost {
            return Poll::Ready(Err(Error::Lost { why: why.clone() }));
        }
        if state.is_over() {
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker();
        if !state.enders.iter().any(|it| it.will_wake(waker)) {
            state.enders.push(waker.clone());
        }
        Poll::Pending
    }

    /// It is not known whether the driver has these calls: they keep their places until their
    /// completions come, and nobody waits for those.
    fn doubt(&self, keys: &[Key]) {
        let mut state = self.state();
        for key in keys {
            if let Some(slot) = state.table.get_mut(*key) {
                slot.is_doubtful = true;
                state.doubtful += 1;
            }
        }
        let enders = state.enders();
        drop(state);
        wake(enders);
    }

    /// Nothing will be heard of what is in flight. What it refers to is kept for ever.
    pub(crate) fn lose(&self, why: &str) {
        let mut state = self.state();
        state.lost.get_or_insert_with(|| why.to_owned());
        // The calls may go on, and use their memory, also where a waker panics here.
        let slots = ManuallyDrop::new(state.table.drain());
        state.doubtful = 0;
        let mut wakers = state.wakers();
        wakers.append(&mut state.enders);
        drop(state);
        let mut panics = Panics::default();
        for slot in slots.iter() {
            panics.catch(|| slot.flight.lost(why));
        }
        panics.wake(wakers);
        panics.resume();
    }

    fn insert(&self, flight: &Arc<dyn AnyFlight>) -> Result<Vec<Key>, Error> {
        let mut state = self.state();
        state.check()?;
        let keys = (0..flight.len()).map(|call| {
            state.table.insert(Slot {
                flight: Arc::clone(flight),
                call,
                is_doubtful: false,
            })
        });
        Ok(keys.collect())
    }

    fn remove(&self, keys: &[Key]) {
        let mut state = self.state();
        let slots: Vec<Option<Slot>> = keys.iter().map(|key| state.table.remove(*key)).collect();
        let enders = state.enders();
        drop(state);
        // Now that no lock is held: with the last of them goes what was submitted.
        drop(slots);
        wake(enders);
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

    /// Whether nothing is accepted and nothing in flight any more, as far as anything will be heard of.
    fn is_over(&self) -> bool {
        self.closed && self.table.len() == self.doubtful
    }

    /// Those of all who wait for room, which they do no more.
    fn wakers(&mut self) -> Vec<Waker> {
        let mut wakers = mem::take(&mut self.turned_away);
        wakers.extend(self.room.drain());
        wakers
    }

    /// Those of all who wait for the end, where this is it.
    fn enders(&mut self) -> Vec<Waker> {
        match self.is_over() {
            true => mem::take(&mut self.enders),
            false => Vec::new(),
        }
    }
}

/// What is on its way to the driver. The drop takes back what has not come there.
struct Launch<'a> {
    engine: &'a Arc<Engine>,
    /// What counts as with the driver, in order.
    sent: Vec<(Arc<dyn AnyFlight>, Vec<Key>)>,
    /// What comes behind that.
    rest: VecDeque<Arc<dyn AnyFlight>>,
}

impl Launch<'_> {
    /// After an error, what the driver does not have is still here.
    fn run(&mut self) -> Result<(), Error> {
        let engine = self.engine;
        let mut batch = raw::Batch::with_capacity(self.rest.iter().map(|it| it.len()).sum());
        while let Some(flight) = self.rest.front() {
            let flight = Arc::clone(flight);
            if flight.len() == 0 {
                self.rest.pop_front();
                flight.end_held();
                continue;
            }
            let keys = engine.insert(&flight)?;
            self.rest.pop_front();
            if !flight.begin(&keys) {
                let mut panics = Panics::default();
                panics.catch(|| engine.remove(&keys));
                panics.catch(|| engine.release_room(flight.len()));
                panics.resume();
                continue;
            }
            self.sent.push((Arc::clone(&flight), keys.clone()));
            match flight.push_to(&keys, &mut batch) {
                Ok(()) => {}
                Err(Unfit::Call(at, errno)) => {
                    self.sent.pop();
                    let mut panics = Panics::default();
                    panics.catch(|| engine.remove(&keys));
                    panics.catch(|| flight.never_made(at, errno));
                    panics.catch(|| engine.release_room(flight.len()));
                    panics.resume();
                }
                Err(Unfit::Work(error)) => return Err(error),
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        // From here on the driver may have it, whatever panics.
        let sent = mem::take(&mut self.sent);
        let (accepted, doubtful, refused) = match engine.backend.submit(engine, batch) {
            Ok(()) => (usize::MAX, 0, None),
            Err(refused) => (refused.accepted, refused.doubtful, Some(refused.error)),
        };
        let (mut calls, mut panics) = (0, Panics::default());
        for (flight, keys) in sent {
            calls += keys.len();
            if calls > accepted {
                self.sent.push((flight, keys));
                continue;
            }
            let doubt = refused.as_ref().filter(|_| calls > accepted - doubtful);
            if let Some(why) = doubt {
                panics.catch(|| engine.doubt(&keys));
                panics.catch(|| flight.lost(&why.to_string()));
            }
            if doubt.is_some() || flight.shall_end() {
                // Whoever wanted that may have told the driver before it knew of it. The call ends
                // later where it cannot be stopped.
                panics.catch(|| drop(engine.cancel(&keys)));
            }
        }
        panics.resume();
        refused.map_or(Ok(()), Err)
    }

    /// The driver does not have it: it is held again.
    fn take_back(&mut self) -> Vec<Arc<dyn AnyFlight>> {
        for (flight, keys) in &self.sent {
            self.engine.remove(keys);
            flight.returned();
        }
        let sent = self.sent.drain(..).map(|(flight, _)| flight);
        sent.chain(self.rest.drain(..)).collect()
    }
}

impl Drop for Launch<'_> {
    fn drop(&mut self) {
        // There is something where foreign code panicked. That panic goes on; others do not.
        let mut panics = Panics::default();
        for (flight, keys) in &self.sent {
            self.engine.remove(keys);
            panics.catch(|| flight.returned());
        }
        let sent = self.sent.drain(..).map(|(flight, _)| flight);
        for flight in sent.chain(self.rest.drain(..)) {
            panics.catch(|| flight.end_held());
            panics.catch(|| self.engine.release_room(flight.len()));
        }
        panics.resume();
    }
}
