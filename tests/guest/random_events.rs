// SPDX-License-Identifier: MIT OR Apache-2.0

//! Submissions, cancels, time limits, data and closes in any order, against an oracle.
//!
//! Every round is a session of its own. What it submits follows from the seed and its number; a
//! second thread cancels and feeds at its own pace. At the end each call is accounted for: by its
//! one completion, by what the cancels said, by the bytes that it moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    os::fd::AsRawFd,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        Mutex,
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use nlcall::raw::{
    Arg, Batch, Call, CallFlags, Cancel, Canceled, Chain, Completion, Outcome, Session,
};
use nlcall_tests::{memory::Memory, patience, pipe::Pipe, session};

use crate::harness::{note, scaled, seed, Test};

pub const TESTS: &[Test] = &[Test::new("random_events", random_events).patience(HOURS)];

/// When the whole test hangs.
const HOURS: Duration = Duration::from_secs(4 * 3600);

/// Every round follows from this and its number.
const SEED: u64 = 21;

/// Events of a round.
const ROUND: u64 = 400;

/// Most calls in flight: nothing is gained from many that wait.
const IN_FLIGHT: usize = 300;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    /// Writes its number into the log.
    Log,
    /// Reads a byte from the pipe of this number.
    Read(usize),
    /// Sleeps for a moment, or for ever.
    Sleep(bool),
    /// Succeeds at once.
    Nothing,
    /// Fails at once.
    Fail,
    /// Takes what the call before it returned for a process.
    Pass,
}

/// A call that was accepted.
#[derive(Clone, Copy, Debug)]
struct Sent {
    deed: Deed,
    flags: CallFlags,
    limited: bool,
}

impl Sent {
    /// Whether a call that ran may have returned this.
    fn may_return(&self, ret: i64) -> bool {
        match self.deed {
            Deed::Log => ret == 8,
            Deed::Read(_) => ret == 1,
            Deed::Sleep(for_ever) => ret == 0 && !for_ever,
            Deed::Nothing => ret == i64::from(std::process::id()),
            Deed::Fail => ret == -i64::from(libc::EBADF),
            // What it was given may be a process or not; kernel threads are of group 0.
            Deed::Pass => ret >= 0 || ret == -i64::from(libc::ESRCH),
        }
    }

    /// Whether it succeeded; `None`: it was left out, so it did.
    fn succeeded(&self, completion: Option<&Completion>) -> bool {
        completion.is_none_or(|it| it.outcome == Outcome::Ran && it.ret >= 0)
    }
}

/// What all rounds together saw.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    rounds: u64,
    closed: u64,
    outcomes: BTreeMap<String, u64>,
}

fn random_events() {
    let total = scaled(20_000, 1_000_000);
    run(|events| events < total);
}

/// Rounds until then; returns how many events there were.
pub fn run_until(until: Instant) -> u64 {
    run(|_| Instant::now() < until)
}

/// Rounds while this holds for the events so far.
fn run(mut goes_on: impl FnMut(u64) -> bool) -> u64 {
    let mut tally = Tally::default();
    let places = Places::new();
    while goes_on(tally.events) {
        round(seed(SEED) ^ tally.rounds << 32, places, &mut tally);
        tally.rounds += 1;
    }
    note(format_args!("seed {}: {tally:?}", seed(SEED)));
    tally.events
}

/// Memory that all calls share: what they find there does not matter.
#[derive(Clone, Copy)]
struct Places {
    sink: Memory,
    /// Lengths of sleep: `struct timespec`.
    moment: Memory,
    ages: Memory,
}

impl Places {
    fn new() -> Self {
        Self {
            sink: Memory::zeroed(1),
            moment: Memory::of(&[0_u64, 100_000]),
            ages: Memory::of(&[1_u64 << 20, 0]),
        }
    }
}

/// What both threads of a round have: the session, and what happens to its calls.
struct Stage {
    session: Session,
    pipes: Vec<Pipe>,
    /// Bytes that were put into each pipe.
    fed: Vec<AtomicU64>,
    /// How many calls were accepted; they are numbered from 0.
    accepted: AtomicU64,
    /// What was cancelled, and what the answer was.
    answers: Mutex<Vec<(Cancel, Canceled)>>,
}

impl Stage {
    fn new() -> Self {
        let pipes = Pipe::several(4);
        Self {
            session: Session::open().expect("a session"),
            fed: pipes.iter().map(|_| AtomicU64::new(0)).collect(),
            pipes,
            accepted: AtomicU64::new(0),
            answers: Mutex::default(),
        }
    }

    fn cancel(&self, what: Cancel) {
        let found = self.session.cancel(what).expect("an answer");
        let mut answers = self.answers.lock().expect("no thread panicked");
        answers.push((what, found));
    }

    fn cancel_something(&self, random: &mut Rng) {
        let accepted = self.accepted.load(Relaxed);
        // Mostly one of the last calls, which may still be there.
        let recent = accepted.saturating_sub(random.u64(1..64));
        self.cancel(match random.u32(0..40) {
            0 => Cancel::All,
            1 => Cancel::Nr(libc::SYS_read as u32),
            2 => Cancel::Nr(libc::SYS_nanosleep as u32),
            3 => Cancel::Fd(self.pipes[random.usize(0..4)].reader.as_raw_fd()),
            _ => Cancel::UserData(recent),
        });
    }

    fn feed(&self, random: &mut Rng) {
        let pipe = random.usize(0..self.pipes.len());
        let bytes = [0; 8];
        let count = random.usize(1..=bytes.len());
        self.pipes[pipe].fill(&bytes[..count]);
        self.fed[pipe].fetch_add(count as u64, Relaxed);
    }

    /// What the second thread does: a few events for each of the first one's, at any moment.
    fn disturb(&self, random: &mut Rng, is_over: &AtomicBool) -> u64 {
        let mut events = 0;
        while !is_over.load(Relaxed) {
            match random.u32(0..8) {
                0..2 => thread::sleep(Duration::from_micros(random.u64(0..300))),
                2..5 => self.feed(random),
                _ => self.cancel_something(random),
            }
            events += 1;
        }
        events
    }
}

/// One session, and what is known about it.
struct Round<'a> {
    stage: &'a Stage,
    random: Rng,
    log: Pipe,
    sent: Vec<Sent>,
    /// The chains, those of one call included.
    chains: Vec<Range<usize>>,
    completions: BTreeMap<u64, Completion>,
    /// The calls that wrote into the log, in that order.
    logged: Vec<usize>,
    places: Places,
}

fn round(seed: u64, places: Places, tally: &mut Tally) {
    let stage = Stage::new();
    let port_id = stage.session.port_id();
    let mut round = Round {
        stage: &stage,
        random: Rng::with_seed(seed),
        log: Pipe::new(),
        sent: Vec::new(),
        chains: Vec::new(),
        completions: BTreeMap::new(),
        logged: Vec::new(),
        places,
    };
    let mut helper = round.random.fork();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| stage.disturb(&mut helper, &is_over));
        for _ in 0..ROUND {
            round.event();
        }
        is_over.store(true, Relaxed);
        tally.events += ROUND + other.join().expect("the other thread does not panic");
    });
    // Half of the sessions are closed with whatever is in flight.
    if round.random.bool() {
        round.finish();
        round.check(tally);
    } else {
        tally.closed += 1;
    }
    drop(round);
    drop(stage);
    session::assert_gone(port_id);
}

impl Round<'_> {
    fn event(&mut self) {
        match self.random.u32(0..10) {
            0..5 if self.stage.session.in_flight() < IN_FLIGHT => self.submit(),
            0..7 => self.collect(),
            7 => self.stage.feed(&mut self.random),
            8 => self.stage.cancel_something(&mut self.random),
            _ => thread::sleep(Duration::from_micros(self.random.u64(0..200))),
        }
        self.read_log();
    }

    fn submit(&mut self) {
        let first = self.sent.len();
        let (mut sent, mut chains) = (Vec::new(), Vec::new());
        let mut batch = Batch::new();
        for _ in 0..self.random.usize(1..5) {
            let start = first + sent.len();
            let mut chain = Chain::new();
            let mut before = None;
            for _ in 0..self.length() {
                let one = self.one(before.is_some());
                let user_data = (first + sent.len()) as u64;
                let args = before.map(|step: nlcall::raw::Step| step.result());
                let call = self.call(&one, user_data, args);
                before = Some(chain.push(call));
                sent.push(one);
            }
            chains.push(start..first + sent.len());
            batch.push_chain(&chain);
        }
        match self.stage.session.submit(batch) {
            Ok(_) => {
                self.sent.append(&mut sent);
                self.chains.append(&mut chains);
                self.stage.accepted.store(self.sent.len() as u64, Relaxed);
            }
            Err(error) => {
                // All workers are blocked: what was fed and cancelled meanwhile helps.
                let errno = error.error.errno().map(|errno| errno.raw());
                assert_eq!(errno, Some(libc::EAGAIN), "{error:?}");
                assert_eq!(error.accepted, 0);
                self.stage.cancel(Cancel::Nr(libc::SYS_read as u32));
            }
        }
    }

    /// How many calls a chain has.
    fn length(&mut self) -> usize {
        match self.random.u32(0..4) {
            0 => self.random.usize(2..7),
            _ => 1,
        }
    }

    /// A call; `chained`: another one goes before it.
    fn one(&mut self, chained: bool) -> Sent {
        let random = &mut self.random;
        let deed = match random.u32(0..16) {
            0..5 => Deed::Log,
            5..9 => Deed::Read(random.usize(0..4)),
            9..11 => Deed::Sleep(random.u32(0..4) == 0),
            11 => Deed::Fail,
            12 if chained => Deed::Pass,
            _ => Deed::Nothing,
        };
        let mut flags = CallFlags::empty();
        flags.set(CallFlags::HARDLINK, random.u32(0..4) == 0);
        flags.set(CallFlags::DRAIN, random.u32(0..40) == 0);
        flags.set(CallFlags::SKIP_SUCCESS, random.u32(0..8) == 0);
        let blocks = matches!(deed, Deed::Read(_) | Deed::Sleep(_));
        let limited = random.u32(0..if blocks { 2 } else { 8 }) == 0;
        Sent {
            deed,
            flags,
            limited,
        }
    }

    fn call(&mut self, sent: &Sent, user_data: u64, before: Option<Arg>) -> Call {
        let value = |fd: i32| Arg::from(fd);
        let memory = |memory: Memory| Arg::Value(memory.address());
        let (nr, args) = match sent.deed {
            Deed::Log => {
                let number = memory(Memory::of(&user_data));
                let log = value(self.log.writer.as_raw_fd());
                (libc::SYS_write, vec![log, number, 8.into()])
            }
            Deed::Read(pipe) => {
                let fd = value(self.stage.pipes[pipe].reader.as_raw_fd());
                (libc::SYS_read, vec![fd, memory(self.places.sink), 1.into()])
            }
            Deed::Sleep(for_ever) => {
                let time = if for_ever {
                    self.places.ages
                } else {
                    self.places.moment
                };
                (libc::SYS_nanosleep, vec![memory(time), 0.into()])
            }
            Deed::Nothing => (libc::SYS_getpid, vec![]),
            Deed::Fail => (libc::SYS_close, vec![value(-1)]),
            Deed::Pass => {
                let pid = before.unwrap_or(value(0));
                (libc::SYS_getpgid, vec![pid])
            }
        };
        // SAFETY: addresses are those of Memory, which lives for ever; descriptors are the test's
        // own until the session is gone; nothing here has an effect on anything else.
        let call = unsafe { Call::with_args(nr as u32, &args) };
        let call = call.user_data(user_data).flags(sent.flags);
        match sent.limited {
            true => call.timeout(Duration::from_nanos(self.random.u64(1..2_000_000))),
            false => call,
        }
    }

    /// Takes what has completed.
    fn collect(&mut self) {
        loop {
            match self.stage.session.try_wait() {
                Ok(Some(completion)) => self.complete(completion),
                Ok(None) => return,
                Err(error) => panic!("receiving: {error}"),
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let id = completion.user_data;
        assert!(
            (id as usize) < self.sent.len(),
            "no call has this name: {completion:?}"
        );
        let before = self.completions.insert(id, completion);
        assert_eq!(before, None, "two completions of one call");
    }

    fn read_log(&mut self) {
        for entry in self.log.take().chunks_exact(8) {
            let id = u64::from_ne_bytes(entry.try_into().expect("eight bytes"));
            self.logged.push(id as usize);
        }
    }

    /// Lets every call come to its end.
    fn finish(&mut self) {
        patience::until("every call is over", || {
            self.stage.cancel(Cancel::All);
            self.collect();
            self.read_log();
            session::info(&self.stage.session).in_flight == 0
        });
        self.collect();
        self.read_log();
    }

    fn check(&mut self, tally: &mut Tally) {
        self.check_completions(tally);
        self.check_chains();
        self.check_answers();
        self.check_log();
        self.check_bytes();
    }

    /// Each call has one completion or left it out, and the counters say the same.
    fn check_completions(&self, tally: &mut Tally) {
        let mut skipped = 0;
        for (id, sent) in self.sent.iter().enumerate() {
            let Some(completion) = self.completions.get(&(id as u64)) else {
                assert!(sent.flags.contains(CallFlags::SKIP_SUCCESS), "{id} is lost");
                skipped += 1;
                continue;
            };
            let skips = sent.flags.contains(CallFlags::SKIP_SUCCESS);
            assert!(
                !(skips && sent.succeeded(Some(completion))),
                "{completion:?}"
            );
            let is_right = match completion.outcome {
                Outcome::Ran => sent.may_return(completion.ret),
                Outcome::Canceled => completion.ret == -i64::from(libc::ECANCELED),
                Outcome::Interrupted => completion.ret == -i64::from(libc::EINTR),
                Outcome::TimedOut => sent.limited && completion.ret == -i64::from(libc::ETIME),
                _ => false,
            };
            assert!(is_right, "{sent:?}: {completion:?}");
            let outcome = format!("{:?}", completion.outcome);
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
        *tally.outcomes.entry("skipped".to_owned()).or_default() += skipped;
        let info = session::info(&self.stage.session);
        assert_eq!(info.accepted, self.sent.len() as u64);
        assert_eq!(info.delivered, self.completions.len() as u64);
        assert_eq!(info.skipped, skipped);
        assert_eq!(info.canceled, self.count(Outcome::Canceled));
        assert_eq!(info.timed_out, self.count(Outcome::TimedOut));
    }

    fn count(&self, outcome: Outcome) -> u64 {
        let of_outcome = |it: &&Completion| it.outcome == outcome;
        self.completions.values().filter(of_outcome).count() as u64
    }

    fn outcome(&self, id: usize) -> Outcome {
        let completion = self.completions.get(&(id as u64));
        completion.map_or(Outcome::Ran, |it| it.outcome)
    }

    /// The calls whose chain broke before them.
    fn broken(&self) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        for chain in &self.chains {
            let breaks = |id: &usize| {
                let sent = &self.sent[*id];
                let succeeded = sent.succeeded(self.completions.get(&(*id as u64)));
                !succeeded && !sent.flags.contains(CallFlags::HARDLINK)
            };
            if let Some(at) = chain.clone().find(breaks) {
                all.extend(at + 1..chain.end);
            }
        }
        all
    }

    /// Behind the call that broke its chain, everything is cancelled.
    fn check_chains(&self) {
        for id in self.broken() {
            assert_eq!(self.outcome(id), Outcome::Canceled, "{id}");
        }
    }

    /// What the cancels said is what became of the calls.
    fn check_answers(&self) {
        let answers = self.stage.answers.lock().expect("no thread panicked");
        let broken = self.broken();
        let mut named = BTreeMap::new();
        let (mut canceled, mut interrupted) = (0, 0);
        for (what, found) in answers.iter() {
            canceled += u64::from(found.canceled);
            interrupted += u64::from(found.interrupted);
            let Cancel::UserData(id) = what else { continue };
            let outcome = self.outcome(*id as usize);
            match (found.canceled, found.interrupted) {
                (0, 0) => continue,
                (1, 0) => assert_eq!(outcome, Outcome::Canceled, "{id}"),
                (0, 1) => assert!(
                    matches!(outcome, Outcome::Interrupted | Outcome::Ran),
                    "{id}: {outcome:?}"
                ),
                more => panic!("one call is found {more:?} times"),
            }
            let before = named.insert(*id, *found);
            assert_eq!(before, None, "{id} is found by two cancels");
        }
        let by_cancel = |id: &usize| self.outcome(*id) == Outcome::Canceled && !broken.contains(id);
        let by_cancel = (0..self.sent.len()).filter(by_cancel).count() as u64;
        assert!(
            by_cancel <= canceled,
            "{by_cancel} were cancelled, {canceled} are said to be"
        );
        assert!(canceled <= self.count(Outcome::Canceled));
        assert!(self.count(Outcome::Interrupted) <= interrupted);
    }

    /// The log shows in which order calls ran: chains in theirs, draining ones alone.
    fn check_log(&self) {
        let mut place = BTreeMap::new();
        for (at, id) in self.logged.iter().enumerate() {
            assert_eq!(self.sent[*id].deed, Deed::Log);
            assert_eq!(place.insert(*id, at), None, "{id} ran twice");
        }
        for (id, sent) in self.sent.iter().enumerate() {
            if sent.deed == Deed::Log {
                let ran = self.outcome(id) == Outcome::Ran;
                assert_eq!(place.contains_key(&id), ran, "{id}");
            }
        }
        for chain in &self.chains {
            let places: Vec<usize> = place.range(chain.clone()).map(|it| *it.1).collect();
            assert!(places.is_sorted(), "{chain:?}: {places:?}");
            let drains = |id: usize| self.sent[id].flags.contains(CallFlags::DRAIN);
            let (Some(first), Some(last), true) =
                (places.first(), places.last(), chain.clone().any(drains))
            else {
                continue;
            };
            let before = place.range(..chain.start).all(|it| it.1 < first);
            let behind = place.range(chain.end..).all(|it| it.1 > last);
            assert!(before && behind, "{chain:?} did not run alone");
        }
    }

    /// What calls read was in the pipes, and what they did not read is still there.
    fn check_bytes(&self) {
        for (number, pipe) in self.stage.pipes.iter().enumerate() {
            let read = (0..self.sent.len()).filter(|id| {
                self.sent[*id].deed == Deed::Read(number) && self.outcome(*id) == Outcome::Ran
            });
            let fed = self.stage.fed[number].load(Relaxed);
            let left = pipe.take().len() as u64;
            assert_eq!(read.count() as u64 + left, fed, "pipe {number}");
        }
    }
}
