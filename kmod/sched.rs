// SPDX-License-Identifier: GPL-2.0-only

//! When a worker is woken, made or sent to rest.
//!
//! Few workers run and many may be blocked: a blocked worker does not count, so that another
//! carries on with the queue. The promise behind it: while calls wait, there is a worker that can
//! be woken at once, without an allocation, as long as the cap allows one.

/// The workers of a session at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Workers that exist, those that are being made and those that leave included.
    pub workers: u32,
    /// Workers that leave.
    pub gone: u32,
    /// Workers without a call.
    pub idle: u32,
    /// Workers that sleep inside a call.
    pub blocked: u32,
    /// Most workers.
    pub max_workers: u32,
    /// Most workers that run at the same time.
    pub max_running: u32,
}

impl Pool {
    /// Workers that run or are about to.
    pub fn running(&self) -> u32 {
        self.workers
            .saturating_sub(self.gone)
            .saturating_sub(self.idle)
            .saturating_sub(self.blocked)
    }

    /// Whether to wake an idle worker for the `queued` calls that wait.
    pub fn shall_wake(&self, queued: u32) -> bool {
        queued > 0 && self.idle > 0 && self.running() < self.max_running
    }

    /// Whether to make a worker, because calls wait and nobody could be woken for them.
    pub fn shall_create(&self, queued: u32) -> bool {
        queued > 0 && self.idle == 0 && self.workers < self.max_workers
    }

    /// Whether a worker that is between two calls shall rest and leave the queue to others.
    pub fn shall_rest(&self) -> bool {
        self.running() > self.max_running
    }

    /// Whether a call that waits now waits for the end of a running one or for a new worker.
    pub fn is_stuck(&self) -> bool {
        self.idle == 0 && self.running() == 0
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
    #[derive(Clone, Copy, PartialEq)]
    enum Worker {
        Idle,
        Running,
        Blocked,
    }

    proptest! {
        /// Whatever blocks, the queue empties as long as fewer workers block than the cap.
        #[test]
        fn blocked_calls_hold_up_nobody(
            calls in prop::collection::vec(any::<bool>(), 1..200),
            max_running in 1_u32..4,
        ) {
            let blocking = calls.iter().filter(|blocks| **blocks).count() as u32;
            let max_workers = blocking + 1;
            let mut queue = calls.clone();
            let mut workers: Vec<Worker> = Vec::new();
            let mut steps = 0;
            while !queue.is_empty() {
                steps += 1;
                prop_assert!(steps < 10_000, "the queue does not empty");
                let count = |state| workers.iter().filter(|worker| **worker == state).count() as u32;
                let pool = Pool {
                    workers: workers.len() as u32,
                    gone: 0,
                    idle: count(Worker::Idle),
                    blocked: count(Worker::Blocked),
                    max_workers,
                    max_running,
                };
                prop_assert!(!pool.is_saturated(queue.len() as u32));
                if pool.shall_create(queue.len() as u32) {
                    workers.push(Worker::Running);
                } else if pool.shall_wake(queue.len() as u32) {
                    let idle = workers.iter_mut().find(|worker| **worker == Worker::Idle).unwrap();
                    *idle = Worker::Running;
                } else {
                    let at = workers.iter().position(|worker| *worker == Worker::Running).unwrap();
                    workers[at] = if pool.shall_rest() {
                        Worker::Idle
                    } else if queue.pop().unwrap() {
                        Worker::Blocked
                    } else {
                        Worker::Running
                    };
                }
            }
        }
    }

    #[test]
    fn saturation_means_that_all_up_to_the_cap_are_blocked() {
        let pool = Pool {
            workers: 4,
            gone: 0,
            idle: 0,
            blocked: 4,
            max_workers: 4,
            max_running: 2,
        };
        assert!(pool.is_saturated(1));
        assert!(!pool.is_saturated(0));
        assert!(!Pool { blocked: 3, ..pool }.is_saturated(1));
        assert!(!pool.shall_create(1) && !pool.shall_wake(1));
    }
}
