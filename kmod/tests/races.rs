// SPDX-License-Identifier: GPL-2.0-only

//! Who comes first: a call's own end, a cancel, its time limit, the end of its session.
//!
//! loom runs them in the orders that the session's lock allows.

mod memory;

use loom::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Condvar, Mutex,
    },
    thread,
};
use memory::Memory;
use nlcall_kmod::{
    burst::{Burst, Hand, Word},
    calls::{Calls, Incoming, Which},
    ended::{self, Ending, Next, Stop},
    parcels,
    reject::errno,
    wire::{flag, Call, Outcome},
};

const WORKER: u32 = 0;
const STRIDE: u32 = 1;

/// What the session's lock protects. Whoever interrupts the worker holds it, too.
struct Inner {
    open: bool,
    calls: Calls<(), Memory<()>>,
    hand: Hand<()>,
    interrupted: bool,
}

struct Atomic(AtomicU64);

impl Word for Atomic {
    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        let exchanged = self
            .0
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
        exchanged.map(drop)
    }
}

/// A session with one worker.
#[derive(Clone)]
struct Session {
    inner: Arc<Mutex<Inner>>,
    burst: Arc<Burst<Atomic>>,
    wake: Arc<Condvar>,
}

impl Session {
    /// A session with these calls in its queue, as one message, each with a time limit.
    fn new(flags: &[u32]) -> Self {
        Self::with_calls(flags, 1)
    }

    fn with_calls(flags: &[u32], timeout_ns: u64) -> Self {
        let mut calls = Calls::new(Memory::new(flags.len()));
        let mut incoming = Incoming::new(&mut [], parcels::NONE);
        for (place, flags) in flags.iter().enumerate() {
            let call = Call {
                user_data: place as u64,
                nr: 39,
                args: [place as u64; 6],
                flags: *flags,
                timeout_ns,
                ..Call::default()
            };
            assert!(calls.accept(&mut incoming, place, &call, &(), 0));
        }
        calls.queue(&mut incoming.heads(), u32::MAX, None);
        Self {
            inner: Arc::new(Mutex::new(Inner {
                open: true,
                calls,
                hand: Hand::default(),
                interrupted: false,
            })),
            burst: Arc::new(Burst::new(Atomic(AtomicU64::new(0)))),
            wake: Arc::new(Condvar::new()),
        }
    }

    fn with<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        look(&mut self.inner.lock().unwrap())
    }

    /// The worker: executes calls until there is none. A call that `blocks` ends only when it is
    /// interrupted.
    fn work(&self, blocks: bool) {
        loop {
            let started = self.with(|inner| {
                while inner.calls.end_broken(STRIDE) {}
                if !inner.open {
                    let ending = Ending::not_started(errno::ESRCH);
                    while inner.calls.end_queued(STRIDE, ending) {}
                }
                inner.calls.start(WORKER)
            });
            let Some(started) = started else { return };
            let ret = self.execute(blocks);
            self.with(|inner| {
                let stop = match inner.calls.stop(started.index) {
                    Stop::No if !inner.open => Stop::Asked,
                    stop => stop,
                };
                let ending = match ended::after(ret, stop) {
                    Next::Complete(ending) => ending,
                    // A late interruption of an earlier call: it is issued again, and runs.
                    Next::Again | Next::Continue => Ending::ran(5),
                };
                let succeeded = started.succeeded(&ending);
                inner.calls.finish(started.index, ending, succeeded);
            });
        }
    }

    /// The worker, where it takes all calls at once. Which of them ran.
    fn burst(&self) -> Vec<u64> {
        let mut ran = Vec::new();
        // SAFETY: This is the worker, without a burst.
        let taken =
            self.with(|inner| unsafe { inner.hand.take(&mut inner.calls, &self.burst, WORKER, 8) });
        if taken.is_none() {
            return ran;
        }
        while let Some(at) = self.burst.progress().next() {
            // SAFETY: This is the worker, and the call is the one that began last.
            unsafe {
                ran.push(self.burst.call(at).1[0]);
                self.burst.ended(at, 5);
            }
        }
        self.with(|inner| {
            // Nobody meant the next call with it.
            inner.interrupted = false;
            // SAFETY: This is the worker.
            unsafe { inner.hand.close(&mut inner.calls, &self.burst) }
        });
        ran
    }

    /// The worker is said to block: what it has not begun waits again.
    fn recall(&self) {
        self.with(|inner| inner.hand.recall(&mut inner.calls, &self.burst));
    }

    /// CANCEL, of calls of a burst: what its answer says.
    fn cancel_taken(&self, which: Which) -> (u32, u32) {
        let canceled = self.with(|inner| {
            let (calls, hand) = (&mut inner.calls, &mut inner.hand);
            calls.cancel_waiting(which, 0, u32::MAX, |_, at| hand.withdraw(&self.burst, at))
        });
        let interrupted = self.with(|inner| {
            let calls = &mut inner.calls;
            calls.cancel_running(which, 0, u32::MAX, |_, at| {
                let runs = at.is_none_or(|at| self.burst.progress().ask(at));
                inner.interrupted |= runs;
                runs
            })
        });
        (canceled, interrupted)
    }

    /// What the system call returns.
    fn execute(&self, blocks: bool) -> i64 {
        let mut inner = self.inner.lock().unwrap();
        while blocks && !inner.interrupted {
            inner = self.wake.wait(inner).unwrap();
        }
        let interrupted = std::mem::take(&mut inner.interrupted);
        if interrupted {
            -512
        } else {
            5
        }
    }

    /// CANCEL: what its answer says.
    fn cancel(&self, which: Which) -> (u32, u32) {
        let canceled =
            self.with(|inner| inner.calls.cancel_waiting(which, 0, u32::MAX, |_, _| false));
        let interrupted = self.with(|inner| {
            let running = &mut inner.calls;
            let found = running.cancel_running(which, 0, u32::MAX, |_, _| {
                inner.interrupted = true;
                true
            });
            self.wake.notify_all();
            found
        });
        while self.with(|inner| inner.calls.end_broken(STRIDE)) {}
        (canceled, interrupted)
    }

    /// The timer of the call in slot 0 fires.
    fn time_out(&self) -> bool {
        self.with(|inner| {
            let stops = inner.calls.time_out(0, WORKER);
            inner.interrupted |= stops;
            self.wake.notify_all();
            stops
        })
    }

    /// The process of the session ends.
    fn end(&self) {
        self.with(|inner| {
            inner.open = false;
            inner.interrupted = true;
            self.wake.notify_all();
        });
        let ending = Ending::not_started(errno::ESRCH);
        while self.with(|inner| inner.calls.end_queued(STRIDE, ending)) {}
    }

    /// The outcomes in the order of the calls; each has exactly one.
    fn outcomes(&self) -> Vec<(Outcome, i64)> {
        self.with(|inner| {
            let mut all = Vec::new();
            inner
                .calls
                .send(u32::MAX, |slot, _| all.push(slot.result()));
            inner.calls.sent(|_| {});
            assert_eq!(inner.calls.used(), 0, "every call is over");
            all.sort_unstable_by_key(|result| result.user_data);
            assert!(all
                .iter()
                .enumerate()
                .all(|(at, it)| it.user_data == at as u64));
            let outcome = |it: &nlcall_kmod::wire::CallResult| {
                (Outcome::from_wire(it.outcome).unwrap(), it.ret)
            };
            all.iter().map(outcome).collect()
        })
    }
}

/// Runs `test` again and again, once for each order in which its threads may take the lock, as long
/// as no more than two of them are taken the processor away (`LOOM_MAX_PREEMPTIONS`: than so many).
fn in_every_order(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(2);
    model.check(test);
}

fn spawn<R: 'static>(
    session: &Session,
    act: impl FnOnce(&Session) -> R + 'static,
) -> thread::JoinHandle<R> {
    let session = session.clone();
    thread::spawn(move || act(&session))
}

/// The answer of a cancel, whether the time limit stopped the call, whether the session ended,
/// against the outcome.
fn assert_consistent(outcome: Outcome, answer: (u32, u32), timed_out: bool, ended: bool) {
    match answer {
        (1, 0) => assert_eq!(outcome, Outcome::Canceled),
        (0, 1) => assert!(matches!(outcome, Outcome::Interrupted | Outcome::Ran)),
        (0, 0) => assert_ne!(outcome, Outcome::Canceled),
        more => panic!("one call is found {more:?} times"),
    }
    match outcome {
        Outcome::TimedOut => assert!(timed_out && answer == (0, 0)),
        Outcome::Interrupted => assert!(!timed_out && (ended || answer == (0, 1))),
        Outcome::NotStarted => assert!(ended && !timed_out),
        Outcome::Canceled => assert!(!timed_out),
        Outcome::Ran | Outcome::Refused => {}
    }
}

#[test]
fn cancel_and_time_limit_race_with_the_end_of_a_call() {
    in_every_order(|| {
        let session = Session::new(&[0]);
        let worker = spawn(&session, |session| session.work(false));
        let timer = spawn(&session, Session::time_out);
        let canceler = spawn(&session, |session| session.cancel(Which::UserData(0)));
        worker.join().unwrap();
        let (timed_out, answer) = (timer.join().unwrap(), canceler.join().unwrap());
        let [(outcome, _)] = session.outcomes()[..] else {
            panic!("one call has one completion");
        };
        assert_consistent(outcome, answer, timed_out, false);
    });
}

#[test]
fn the_end_of_the_session_races_with_both() {
    in_every_order(|| {
        let session = Session::new(&[0]);
        let timer = spawn(&session, Session::time_out);
        let canceler = spawn(&session, |session| session.cancel(Which::All));
        let worker = spawn(&session, |session| session.work(true));
        session.end();
        worker.join().unwrap();
        let (timed_out, answer) = (timer.join().unwrap(), canceler.join().unwrap());
        let [(outcome, _)] = session.outcomes()[..] else {
            panic!("one call has one completion");
        };
        assert_consistent(outcome, answer, timed_out, true);
    });
}

#[test]
fn two_cancels_find_a_call_once() {
    in_every_order(|| {
        let session = Session::new(&[0]);
        let worker = spawn(&session, |session| session.work(false));
        let other = spawn(&session, |session| session.cancel(Which::Nr(39)));
        let mine = session.cancel(Which::All);
        worker.join().unwrap();
        let other = other.join().unwrap();
        let [(outcome, _)] = session.outcomes()[..] else {
            panic!("one call has one completion");
        };
        assert_consistent(outcome, (mine.0 + other.0, mine.1 + other.1), false, false);
    });
}

#[test]
fn a_chain_is_cancelled_while_it_goes_from_one_call_to_the_next() {
    for link in [flag::LINK, flag::HARDLINK] {
        in_every_order(move || {
            let session = Session::new(&[link, link, 0]);
            let worker = spawn(&session, |session| session.work(false));
            let timer = spawn(&session, Session::time_out);
            let answer = session.cancel(Which::UserData(1));
            worker.join().unwrap();
            let timed_out = timer.join().unwrap();
            let [first, second, third] = session.outcomes()[..] else {
                panic!("three calls have three completions");
            };
            // An interruption that came too late for the first call may meet a later one.
            assert_consistent(first.0, (0, 0), timed_out, false);
            if link == flag::HARDLINK {
                assert_consistent(second.0, answer, false, false);
                assert_eq!(third.0, Outcome::Ran);
                return;
            }
            if first.0 != Outcome::Ran {
                assert_eq!((second.0, third.0), (Outcome::Canceled, Outcome::Canceled));
                return;
            }
            assert_consistent(second.0, answer, false, false);
            let goes_on = second.0 == Outcome::Ran;
            let expected = if goes_on {
                Outcome::Ran
            } else {
                Outcome::Canceled
            };
            assert_eq!(third.0, expected);
        });
    }
}

#[test]
fn calls_of_a_burst_run_once_or_never() {
    in_every_order(|| {
        let session = Session::with_calls(&[0, 0, 0], 0);
        let worker = spawn(&session, Session::burst);
        let recaller = spawn(&session, Session::recall);
        let answer = session.cancel_taken(Which::UserData(1));
        let ran = worker.join().unwrap();
        recaller.join().unwrap();
        // Another worker carries on with what was left.
        let rest = session.burst();
        let mut all = [ran, rest].concat();
        let outcomes = session.outcomes();
        assert_eq!(outcomes.len(), 3);
        assert_consistent(outcomes[1].0, answer, false, false);
        all.sort_unstable();
        let expected: Vec<u64> = (0..3)
            .filter(|at| outcomes[*at as usize].0 == Outcome::Ran)
            .collect();
        assert_eq!(all, expected);
        assert!(outcomes.iter().all(|it| it.0 != Outcome::Ran || it.1 == 5));
        // The calls beside the one that was cancelled ran.
        assert!(all.starts_with(&[0]) && all.ends_with(&[2]));
    });
}
