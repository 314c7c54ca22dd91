// SPDX-License-Identifier: GPL-2.0-only

//! When a worker is woken, made or sent to rest.
//!
//! Few workers run and many may be blocked: a blocked worker does not count, so that another
//! carries on with the queue. The promise behind it: while a worker executes a call and others
//! wait, there is a worker without a call, which comes by itself or can be woken at once, without
//! an allocation, as long as the limits allow one more.

use crate::burst;

/// The workers of a session at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Workers that take calls, those that are being made included.
    pub workers: u32,
    /// Workers that have not yet come for their first call.
    pub fresh: u32,
    /// Workers that rest.
    pub idle: u32,
    /// Workers that have a call.
    pub busy: u32,
    /// Workers that sleep inside a call.
    pub blocked: u32,
    /// Most workers.
    pub max_workers: u32,
    /// Most workers that run at the same time.
    pub max_running: u32,
}

impl Pool {
    /// Workers that run or were woken.
    pub fn running(&self) -> u32 {
        self.workers
            .saturating_sub(self.fresh)
            .saturating_sub(self.idle)
            .saturating_sub(self.blocked)
    }

    /// Workers that come for a call by themselves.
    fn coming(&self) -> u32 {
        self.workers
            .saturating_sub(self.idle)
            .saturating_sub(self.busy)
    }

    /// Whether to wake an idle worker for the `queued` calls that wait.
    pub fn shall_wake(&self, queued: u32) -> bool {
        self.idle > 0 && self.running() < self.max_running && queued > self.coming()
    }

    /// Whether to make a worker, because calls wait and every worker has a call of its own.
    pub fn shall_create(&self, queued: u32) -> bool {
        queued > 0 && self.workers <= self.busy && self.workers < self.max_workers
    }

    /// Whether a worker without a call may take one; `woken`: it is one of those that run.
    pub fn may_work(&self, woken: bool) -> bool {
        self.running() < self.max_running + u32::from(woken)
    }

    /// How many of the `queued` calls a worker takes at once. Where others may run beside it, half
    /// of its share: what is left evens out how long they take, and few calls are taken one by
    /// one, in their order.
    pub fn burst(&self, queued: u32) -> u32 {
        let parts = match self.max_running {
            0 | 1 => 1,
            several => 2 * several,
        };
        (queued / parts).clamp(1, burst::MOST)
    }

    /// Whether a call that waits now waits for the end of a running one or for a new worker.
    pub fn is_stuck(&self) -> bool {
        self.workers <= self.blocked
    }

    /// Whether calls wait and nothing but the end of a running call can help.
    pub fn is_saturated(&self, queued: u32) -> bool {
        queued > 0 && self.workers >= self.max_workers && self.is_stuck()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A worker of the model.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Worker {
        /// Has not come yet.
        Fresh,
        Idle,
        /// Was woken, or is between two calls.
        Looking,
        /// Executes a call, which blocks some time or does not.
        Executing(bool),
        Blocked,
    }

    /// The workers of a session, driven as `crew.rs` does it.
    #[derive(Debug)]
    struct Model {
        workers: Vec<Worker>,
        /// Whether each call that waits blocks.
        queue: Vec<bool>,
        max_workers: u32,
        max_running: u32,
    }

    impl Model {
        fn count(&self, which: impl Fn(Worker) -> bool) -> u32 {
            self.workers.iter().filter(|worker| which(**worker)).count() as u32
        }

        fn queued(&self) -> u32 {
            self.queue.len() as u32
        }

        fn pool(&self) -> Pool {
            Pool {
                workers: self.workers.len() as u32,
                fresh: self.count(|worker| worker == Worker::Fresh),
                idle: self.count(|worker| worker == Worker::Idle),
                busy: self.count(|worker| matches!(worker, Worker::Executing(_) | Worker::Blocked)),
                blocked: self.count(|worker| worker == Worker::Blocked),
                max_workers: self.max_workers,
                max_running: self.max_running,
            }
        }

        fn wake(&mut self) -> bool {
            if !self.pool().shall_wake(self.queued()) {
                return false;
            }
            let idle = self
                .workers
                .iter_mut()
                .find(|worker| **worker == Worker::Idle);
            *idle.expect("an idle worker") = Worker::Looking;
            true
        }

        fn create(&mut self) {
            if self.pool().shall_create(self.queued()) {
                self.workers.push(Worker::Fresh);
            }
        }

        fn submit(&mut self, calls: &[bool]) {
            self.queue.extend(calls);
            while self.wake() {}
            self.create();
        }

        /// Something happens to the worker that `at` picks.
        fn step(&mut self, at: usize) {
            let at = at % self.workers.len();
            self.workers[at] = match self.workers[at] {
                // Comes by itself, as after a signal.
                state @ (Worker::Fresh | Worker::Idle | Worker::Looking) => {
                    let woken = state == Worker::Looking;
                    match self
                        .pool()
                        .may_work(woken)
                        .then(|| self.queue.pop())
                        .flatten()
                    {
                        Some(blocks) => {
                            self.workers[at] = Worker::Executing(blocks);
                            self.create();
                            self.workers[at]
                        }
                        None => Worker::Idle,
                    }
                }
                Worker::Executing(true) => {
                    self.workers[at] = Worker::Blocked;
                    self.wake();
                    Worker::Blocked
                }
                Worker::Executing(false) => Worker::Looking,
                Worker::Blocked => Worker::Blocked,
            };
        }
    }

    proptest! {
        /// Whatever blocks, and whoever comes when, the queue empties as long as fewer calls block
        /// than the cap, and somebody is always there for the calls that wait.
        #[test]
        fn blocked_calls_hold_up_nobody(
            messages in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..20), 1..8),
            order in prop::collection::vec(any::<usize>(), 1..64),
            max_running in 1_u32..4,
        ) {
            let blocking = messages.concat().iter().filter(|blocks| **blocks).count() as u32;
            let mut model = Model {
                workers: Vec::new(),
                queue: Vec::new(),
                max_workers: blocking + 1,
                max_running,
            };
            let mut messages = messages.into_iter();
            let mut steps = 0;
            for at in order.iter().cycle() {
                steps += 1;
                prop_assert!(steps < 10_000, "the queue does not empty: {model:?}");
                // A message every now and then, and the next where all is done.
                if steps % 16 == 1 || model.queue.is_empty() {
                    match messages.next() {
                        Some(message) => model.submit(&message),
                        None if model.queue.is_empty() => break,
                        None => {}
                    }
                }
                // In any order, and everyone comes some time.
                model.step(*at);
                model.step(steps);
                let pool = model.pool();
                let queued = model.queued();
                prop_assert!(!pool.is_saturated(queued), "{model:?}");
                prop_assert!(!pool.shall_create(queued), "nobody is there: {model:?}");
                // Nobody is made who is not needed: one for each that blocks, one that carries on
                // and one that stands by.
                prop_assert!(pool.workers <= blocking + 2, "{model:?}");
            }
        }

        /// Calls that do not block need as many workers as may run, and one that stands by.
        #[test]
        fn calls_that_do_not_block_need_few_workers(
            order in prop::collection::vec(any::<usize>(), 1..64),
            max_running in 1_u32..4,
        ) {
            let mut model = Model {
                workers: Vec::new(),
                queue: Vec::new(),
                max_workers: 128,
                max_running,
            };
            let mut picks = order.iter().cycle().zip(0..);
            for _ in 0..4 {
                model.submit(&[false; 64]);
                while !model.queue.is_empty() {
                    let (at, step) = picks.next().unwrap();
                    model.step(*at);
                    model.step(step);
                    prop_assert!(model.pool().running() <= max_running, "{model:?}");
                    prop_assert!(model.workers.len() as u32 <= max_running + 1, "{model:?}");
                }
            }
        }
    }

    #[test]
    fn a_burst_leaves_work_for_those_that_run_beside() {
        let size = |max_running, queued| {
            let pool = Pool {
                max_running,
                ..Pool::default()
            };
            pool.burst(queued)
        };
        assert_eq!(
            [1, 4, 64].map(|queued| size(1, queued)),
            [1, 4, burst::MOST]
        );
        assert_eq!([1, 7, 8, 64].map(|queued| size(2, queued)), [1, 1, 2, 16]);
        assert_eq!(
            [16, 64, 16_384].map(|queued| size(4, queued)),
            [2, 8, burst::MOST]
        );
    }

    #[test]
    fn saturation_means_that_all_up_to_the_cap_are_blocked() {
        let pool = Pool {
            workers: 4,
            busy: 4,
            blocked: 4,
            max_workers: 4,
            max_running: 2,
            ..Pool::default()
        };
        assert!(pool.is_saturated(1));
        assert!(!pool.is_saturated(0));
        assert!(!Pool { blocked: 3, ..pool }.is_saturated(1));
        assert!(!pool.shall_create(1) && !pool.shall_wake(1));
    }
}
