// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bounded depth: how many calls may be in flight, and who waits until fewer are.

use std::{collections::VecDeque, mem, task::Waker};

/// Names one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    need: usize,
    waker: Waker,
}

/// Room for calls, handed out in the order in which it was asked for.
///
/// Who needs much is not overtaken for ever by those who need little: while somebody waits, nobody
/// else is served. The methods that make room return whom to wake, and those that take a waker out
/// return it to be dropped, once no lock is held any more: it may be the last owner of a task, which
/// may own others who wait.
#[derive(Debug)]
pub(crate) struct Room {
    capacity: usize,
    free: usize,
    queue: VecDeque<Waiting>,
    last_ticket: u64,
}

impl Room {
    pub(crate) const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            free: capacity,
            queue: VecDeque::new(),
            last_ticket: 0,
        }
    }

    /// Takes room for so many calls, where there is some and nobody waits for it.
    pub(crate) fn try_take(&mut self, need: usize) -> bool {
        let granted = self.queue.is_empty() && need <= self.free;
        if granted {
            self.free -= need;
        }
        granted
    }

    /// Waits for room for so many calls, at most the capacity.
    pub(crate) fn enter(&mut self, need: usize, waker: &Waker) -> Ticket {
        debug_assert!(need <= self.capacity, "there will never be room for that");
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.queue.push_back(Waiting {
            ticket,
            need,
            waker: waker.clone(),
        });
        ticket
    }

    /// Whether the one with this ticket now has its room, and waits no more. Otherwise `waker` is
    /// the one to wake from now on. Returns whom to wake, and the waker that was there.
    pub(crate) fn take(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
    ) -> (bool, Option<Waker>, Option<Waker>) {
        let Some(place) = self.place(ticket) else {
            return (false, None, None);
        };
        if place == 0 && self.queue[0].need <= self.free {
            self.free -= self.queue[0].need;
            let old = self.queue.pop_front().map(|it| it.waker);
            return (true, self.next(), old);
        }
        let old = &mut self.queue[place].waker;
        let old = (!old.will_wake(waker)).then(|| mem::replace(old, waker.clone()));
        (false, None, old)
    }

    /// The one with this ticket waits no more. Returns whom to wake, and the waker that was there.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> (Option<Waker>, Option<Waker>) {
        let place = self.place(ticket);
        let old = place.and_then(|place| self.queue.remove(place));
        match old {
            Some(old) => (self.next(), Some(old.waker)),
            None => (None, None),
        }
    }

    /// So many calls are in flight no more.
    pub(crate) fn release(&mut self, calls: usize) -> Option<Waker> {
        self.free += calls;
        debug_assert!(self.free <= self.capacity, "more room than there is");
        self.next()
    }

    /// Nobody waits any more. Returns the wakers of those who did.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waker> + '_ {
        self.queue.drain(..).map(|it| it.waker)
    }

    /// The waker of the one who can be served now.
    fn next(&self) -> Option<Waker> {
        let first = self.queue.front()?;
        (first.need <= self.free).then(|| first.waker.clone())
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.queue.iter().position(|it| it.ticket == ticket)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    };

    use proptest::prelude::*;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_comes_later_waits_behind_who_needs_more() {
        let waker = Waker::noop();
        let mut room = Room::new(4);
        assert!(room.try_take(3));
        let large = room.enter(2, waker);
        assert!(!room.try_take(1), "it would overtake");
        let small = room.enter(1, waker);
        assert!(!room.take(small, waker).0);
        assert!(room.release(1).is_some());
        let (granted, next, _) = room.take(large, waker);
        assert!(granted);
        assert!(next.is_none(), "all of it is taken");
        assert!(room.release(2).is_some());
        assert!(room.take(small, waker).0);
        assert!(!room.take(small, waker).0, "only once");
        assert!(room.release(1).is_none());
        assert!(room.release(2).is_none());
        assert!(room.try_take(4));
    }

    #[test]
    fn who_gives_up_lets_the_next_one_pass() {
        let waker = Waker::noop();
        let mut room = Room::new(1);
        assert!(room.try_take(1));
        let [first, second] = [(); 2].map(|()| room.enter(1, waker));
        assert!(room.release(1).is_some(), "the first is woken");
        assert!(room.leave(first).0.is_some(), "and hands it on");
        assert!(room.take(second, waker).0);
        assert!(room.leave(second).0.is_none(), "it does not wait any more");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Try(usize),
        Enter(usize),
        Poll(prop::sample::Index),
        Leave(prop::sample::Index),
        Release(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..=CAPACITY).prop_map(Step::Try),
            (1..=CAPACITY).prop_map(Step::Enter),
            any::<prop::sample::Index>().prop_map(Step::Poll),
            any::<prop::sample::Index>().prop_map(Step::Leave),
            any::<prop::sample::Index>().prop_map(Step::Release),
        ]
    }

    const CAPACITY: usize = 5;

    proptest! {
        /// Never more than the capacity is taken; whoever can be served has been woken; at the end
        /// everybody is served, in order.
        #[test]
        fn nobody_is_forgotten(steps in prop::collection::vec(step(), 0..100)) {
            let mut room = Room::new(CAPACITY);
            let mut taken: Vec<usize> = Vec::new();
            let mut waiting: Vec<(Ticket, usize, Arc<Count>)> = Vec::new();
            let wake = |waker: Option<Waker>| if let Some(waker) = waker { waker.wake() };
            for step in steps {
                match step {
                    Step::Try(need) if room.try_take(need) => {
                        prop_assert!(waiting.is_empty());
                        taken.push(need);
                    }
                    // Who asks for the first time has tried before.
                    Step::Enter(need) => {
                        if room.try_take(need) {
                            taken.push(need);
                        } else {
                            let count = Arc::new(Count::default());
                            let ticket = room.enter(need, &Waker::from(Arc::clone(&count)));
                            waiting.push((ticket, need, count));
                        }
                    }
                    Step::Poll(which) if !waiting.is_empty() => {
                        let at = which.index(waiting.len());
                        let (ticket, need, count) = waiting[at].clone();
                        let (granted, next, _) = room.take(ticket, &Waker::from(count));
                        if granted {
                            prop_assert_eq!(at, 0);
                            waiting.remove(at);
                            taken.push(need);
                        }
                        wake(next);
                    }
                    Step::Leave(which) if !waiting.is_empty() => {
                        let (ticket, ..) = waiting.remove(which.index(waiting.len()));
                        wake(room.leave(ticket).0);
                    }
                    Step::Release(which) if !taken.is_empty() => {
                        let calls = taken.swap_remove(which.index(taken.len()));
                        wake(room.release(calls));
                    }
                    _ => {}
                }
                let used: usize = taken.iter().sum();
                prop_assert!(used <= CAPACITY);
                if let Some((_, need, count)) = waiting.first() {
                    let woken = count.0.load(Ordering::Relaxed) > 0;
                    prop_assert!(woken || *need > CAPACITY - used, "not woken");
                }
            }
            while let Some((ticket, need, count)) = waiting.first().cloned() {
                let (granted, next, _) = room.take(ticket, &Waker::from(count));
                wake(next);
                if granted {
                    waiting.remove(0);
                    taken.push(need);
                } else {
                    prop_assert!(!taken.is_empty(), "stuck");
                    wake(room.release(taken.remove(0)));
                }
            }
        }
    }
}
