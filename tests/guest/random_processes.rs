// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes that fork, execute, change their user, filter their calls, are stopped and killed, with
//! calls of their own in flight and others made in them from outside, in any order, against an oracle.
//!
//! Every round is a session and a few processes. What happens follows from the seed and the number of
//! the round; when it happens to a process that has other things to do, does not. Each process accounts
//! for its own calls, and the test for those that it made in them.

use std::{
    collections::BTreeMap,
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use nix::{
    sys::{signal::Signal, wait::WaitStatus},
    unistd::{execv, getuid, setresuid, Pid, Uid},
};
use nlcall::raw::{Arg, Batch, Call, Cancel, Completion, Data, Outcome, Session, Target};
use nlcall_tests::{
    calls, module, patience,
    pipe::Pipe,
    process::{exit_now, in_a_child, Channel, Child},
    seccomp::{gain_no_privileges, Filter},
    session,
};
use rustix::io::fcntl_dupfd_cloexec;

use crate::harness::{note, scaled, seed, Test};

pub const TESTS: &[Test] = &[Test::new("random_processes", random_processes).patience(HOURS)];

/// When the whole test hangs.
const HOURS: Duration = Duration::from_secs(2 * 3600);

/// Every round follows from this and its number.
const SEED: u64 = 35;

/// Processes of a round, and events.
const PROCESSES: usize = 3;
const EVENTS: usize = 120;

/// Most calls in flight, of each session.
const IN_FLIGHT: usize = 100;

/// What the processes call the end of the pipe that is read from.
const NUMBER: i32 = 500;

/// A user that owns nothing.
const NOBODY: Uid = Uid::from_raw(54323);

/// Exit status of a process that ended when it was told to.
const ENOUGH: i32 = 4;

/// What a process is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// Submits calls of its own.
    Submit,
    /// Takes what has completed.
    Collect,
    /// Cancels its calls.
    Cancel,
    /// Closes its session, with what is in flight, and opens a new one.
    Close,
    /// Makes a child, which has a session of its own.
    Fork,
    /// Becomes another user.
    Setuid,
    /// Has one of its calls refused by seccomp.
    Filter,
    /// Makes a thread, which ends.
    Thread,
    /// Executes another program.
    Execve,
    /// Accounts for its calls, and ends.
    Exit,
}

impl Order {
    const ALL: [Self; 10] = [
        Self::Submit,
        Self::Collect,
        Self::Cancel,
        Self::Close,
        Self::Fork,
        Self::Setuid,
        Self::Filter,
        Self::Thread,
        Self::Execve,
        Self::Exit,
    ];
}

/// What all rounds together saw.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    orders: BTreeMap<Order, u64>,
    ends: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
}

fn random_processes() {
    let references = module::references();
    let total = patience::affordable(scaled(12, 1000)).max(3);
    run(|rounds| rounds < total);
    patience::until("no session is left", || session::all().is_empty());
    patience::until("the module is free", || module::references() == references);
}

/// Rounds until then; returns how many events there were.
pub fn run_until(until: Instant) -> u64 {
    run(|_| Instant::now() < until)
}

/// Rounds while this holds for those so far.
fn run(mut goes_on: impl FnMut(u64) -> bool) -> u64 {
    let mut tally = Tally::default();
    while goes_on(tally.rounds) {
        round(seed(SEED) ^ tally.rounds << 32, &mut tally);
        tally.rounds += 1;
    }
    note(format_args!("seed {}: {tally:?}", seed(SEED)));
    tally.rounds * EVENTS as u64
}

fn round(seed: u64, tally: &mut Tally) {
    let mut random = Rng::with_seed(seed);
    let mut pipe = Pipe::new();
    // Reads are sent into executed programs too: a program's own file must not have the number, or
    // it loses a byte of that.
    pipe.reader = fcntl_dupfd_cloexec(&pipe.reader, NUMBER).expect("a number that is free");
    // Declared first, so that the processes end first where something is wrong: it waits for the calls
    // in them. Begun last, so that they do not have its socket.
    let mut outside;
    let actors = (0..PROCESSES).map(|_| Actor::start(random.u64(..), &pipe));
    let mut actors: Vec<Actor> = actors.collect();
    outside = Outside {
        session: Session::open().expect("a session"),
        pipe: &pipe,
        sent: Vec::new(),
        completions: BTreeMap::new(),
    };
    for _ in 0..EVENTS {
        let actor = &mut actors[random.usize(0..PROCESSES)];
        match random.u32(0..48) {
            0..16 => outside.submit(&mut random, actor),
            16..19 => outside.collect(),
            19..23 => outside.cancel(&mut random),
            23..26 => outside.pipe.fill(&vec![0; random.usize(1..8)]),
            26..28 => actor.signal(Signal::SIGSTOP),
            28..31 => actor.signal(Signal::SIGCONT),
            31 => actor.signal(Signal::SIGKILL),
            32..36 => thread::sleep(Duration::from_micros(random.u64(0..400))),
            _ => actor.tell_something(&mut random, tally),
        }
    }
    // Some end before what was asked of them, others behind it.
    let early = random.usize(0..=PROCESSES);
    for actor in &mut actors[..early] {
        actor.end(&mut random, tally);
    }
    // Nothing comes to its end in a process that is stopped.
    for actor in &mut actors[early..] {
        actor.signal(Signal::SIGCONT);
    }
    match random.u32(0..4) {
        0 => outside.session.abandon(),
        _ => outside.finish(tally),
    }
    for actor in &mut actors[early..] {
        actor.end(&mut random, tally);
    }
}

/// A process, as the test sees it.
struct Actor {
    child: Child,
    target: Target,
    takes_orders: bool,
    /// What may have ended it.
    signals: Vec<Signal>,
    /// Whether it executes a program that does not end by itself.
    executes: bool,
}

impl Actor {
    fn start(seed: u64, pipe: &Pipe) -> Self {
        let child = Child::fork(|channel| Inside::new(seed, pipe).obey(channel));
        let target = Target::open(child.pid().as_raw() as u32).expect("it is there");
        Self {
            child,
            target,
            takes_orders: true,
            signals: Vec::new(),
            executes: false,
        }
    }

    fn tell_something(&mut self, random: &mut Rng, tally: &mut Tally) {
        let order = match random.u32(0..32) {
            0..12 => Order::Submit,
            12..17 => Order::Collect,
            17..20 => Order::Cancel,
            20..22 => Order::Close,
            22..25 => Order::Fork,
            25 => Order::Setuid,
            26 => Order::Filter,
            27..30 => Order::Thread,
            30 => Order::Execve,
            _ => Order::Exit,
        };
        if self.takes_orders {
            self.tell(order);
            *tally.orders.entry(order).or_default() += 1;
        }
    }

    fn tell(&mut self, order: Order) {
        self.child.channel().put(order as u64);
        self.takes_orders = !matches!(order, Order::Execve | Order::Exit);
        self.executes = order == Order::Execve;
    }

    /// A process that has ended is there until the test takes note of that.
    fn signal(&mut self, signal: Signal) {
        self.child.signal(signal);
        if !matches!(signal, Signal::SIGSTOP | Signal::SIGCONT) {
            self.takes_orders = false;
            self.signals.push(signal);
        }
    }

    /// Ends it, and checks that it came to that end.
    fn end(&mut self, random: &mut Rng, tally: &mut Tally) {
        self.signal(Signal::SIGCONT);
        if self.takes_orders && random.bool() {
            self.tell(Order::Exit);
        } else if self.takes_orders || self.executes {
            let signals = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGABRT];
            self.signal(signals[random.usize(0..signals.len())]);
        }
        let status = self.child.wait();
        let is_right = match status {
            WaitStatus::Exited(_, status) => status == ENOUGH,
            WaitStatus::Signaled(_, signal, _) => self.signals.contains(&signal),
            _ => false,
        };
        assert!(is_right, "{status:?}, signals {:?}", self.signals);
        let end = match status {
            WaitStatus::Signaled(_, signal, _) => signal.to_string(),
            _ => "exit".to_owned(),
        };
        *tally.ends.entry(end).or_default() += 1;
    }
}

/// A call that was made in a process from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    /// Asks for the number of that process, which is this.
    Pid(Pid),
    /// Reads a byte from the pipe, which an executed program does not have.
    Read,
    /// Sleeps for a moment, or for ever.
    Sleep(bool),
    /// Has a name copied out of the memory that travels with the call.
    Name,
}

/// The kernel copies nothing from or to the memory of a process that is being killed.
const FAULT: i64 = -(libc::EFAULT as i64);

impl Deed {
    /// Whether a call that ran may have returned this.
    fn may_return(self, ret: i64) -> bool {
        match self {
            Self::Pid(pid) => ret == i64::from(pid.as_raw()),
            Self::Read => ret == 1 || ret == -i64::from(libc::EBADF) || ret == FAULT,
            Self::Sleep(for_ever) => (ret == 0 && !for_ever) || ret == FAULT,
            Self::Name => ret == 0 || ret == FAULT,
        }
    }
}

/// The side that makes calls in others.
struct Outside<'a> {
    session: Session,
    pipe: &'a Pipe,
    sent: Vec<Deed>,
    completions: BTreeMap<u64, Completion>,
}

impl Outside<'_> {
    fn submit(&mut self, random: &mut Rng, actor: &Actor) {
        if self.session.in_flight() > IN_FLIGHT {
            return self.collect();
        }
        let (mut batch, mut data, mut sent) = (Batch::new(), Data::new(), Vec::new());
        for _ in 0..random.usize(1..6) {
            let deed = match random.u32(0..8) {
                0..3 => Deed::Pid(actor.child.pid()),
                3..5 => Deed::Read,
                5 => Deed::Name,
                6 => Deed::Sleep(true),
                _ => Deed::Sleep(false),
            };
            let call = self.call(deed, &mut data);
            let call = call.user_data((self.sent.len() + sent.len()) as u64);
            batch.push(match random.u32(0..4) {
                0 => call.timeout(Duration::from_nanos(random.u64(1..3_000_000))),
                _ => call,
            });
            sent.push(deed);
        }
        batch.data(data).target(&actor.target);
        match self.session.submit(batch) {
            Ok(_) => self.sent.append(&mut sent),
            Err(error) => {
                assert_eq!(error.accepted, 0);
                let errno = error.error.errno().map(|errno| errno.raw());
                let ended = errno == Some(libc::ESRCH);
                // Its workers are all blocked: what is cancelled helps.
                let full = errno == Some(libc::EAGAIN);
                assert!(ended || full, "{error:?}");
                if full {
                    self.cancel_all();
                }
            }
        }
    }

    fn call(&self, deed: Deed, data: &mut Data) -> Call {
        let (nr, args): (_, Vec<Arg>) = match deed {
            Deed::Pid(_) => (libc::SYS_getpid, vec![]),
            Deed::Read => {
                let fd = self.pipe.reader.as_raw_fd();
                let room = data.reserve(1);
                (libc::SYS_read, vec![fd.into(), room.output(), 1.into()])
            }
            Deed::Sleep(for_ever) => {
                let time = if for_ever {
                    [1_u64 << 20, 0]
                } else {
                    [0, 100_000]
                };
                let time = data.put_aligned(time.map(u64::to_ne_bytes).as_flattened(), 8);
                (libc::SYS_nanosleep, vec![time.address(), 0.into()])
            }
            Deed::Name => {
                let room = data.reserve(6 * 65);
                (libc::SYS_uname, vec![room.output()])
            }
        };
        // SAFETY: addresses are of memory that travels with the call; the descriptor is the pipe's
        // until the process executes another program, which has none of this number.
        unsafe { Call::with_args(nr as u32, &args) }
    }

    fn cancel(&self, random: &mut Rng) {
        match random.u32(0..8) {
            0 => self.cancel_all(),
            1 => drop(self.session.cancel(Cancel::Nr(libc::SYS_read as u32))),
            _ => {
                let recent = random.u64(0..16) + 1;
                let name = (self.sent.len() as u64).saturating_sub(recent);
                drop(self.session.cancel(Cancel::UserData(name)));
            }
        }
    }

    fn cancel_all(&self) {
        self.session.cancel(Cancel::All).expect("an answer");
    }

    fn collect(&mut self) {
        while let Some(completion) = self.session.try_wait().expect("receiving works") {
            keep(&mut self.completions, completion);
        }
    }

    /// Lets every call come to its end, and accounts for each.
    fn finish(mut self, tally: &mut Tally) {
        patience::until("every call in another process is over", || {
            self.cancel_all();
            self.collect();
            self.session.in_flight() == 0
        });
        assert_eq!(self.completions.len(), self.sent.len());
        for (deed, completion) in self.sent.iter().zip(self.completions.values()) {
            let ret = completion.ret;
            let is_right = match completion.outcome {
                Outcome::Ran => deed.may_return(ret),
                Outcome::NotStarted => ret == -i64::from(libc::ESRCH),
                outcome => ret == -i64::from(errno_of(outcome)),
            };
            assert!(is_right, "{deed:?}: {completion:?}");
            let outcome = format!("{:?}", completion.outcome);
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
        let extra = self.session.try_wait().expect("receiving works");
        assert_eq!(extra, None, "a completion too many");
        let port_id = self.session.port_id();
        drop(self.session);
        session::assert_gone(port_id);
    }
}

/// The error number of a call that neither ran to its end nor stayed where it was.
fn errno_of(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Canceled => libc::ECANCELED,
        Outcome::Interrupted => libc::EINTR,
        Outcome::TimedOut => libc::ETIME,
        outcome => panic!("{outcome:?}"),
    }
}

fn keep(completions: &mut BTreeMap<u64, Completion>, completion: Completion) {
    let name = completion.user_data;
    let before = completions.insert(name, completion);
    assert_eq!(before, None, "two completions of call {name}");
}

/// A process, as it sees itself.
struct Inside<'a> {
    random: Rng,
    pipe: &'a Pipe,
    session: Session,
    /// What the calls that the session accepted return, where that is known.
    sent: Vec<Option<i64>>,
    completions: BTreeMap<u64, Completion>,
    /// Whether seccomp refuses [`FILTERED`].
    is_filtered: bool,
}

/// The call that seccomp refuses, and how.
const FILTERED: libc::c_long = libc::SYS_getppid;
const REFUSAL: i32 = libc::ENOTUNIQ;

impl<'a> Inside<'a> {
    fn new(seed: u64, pipe: &'a Pipe) -> Self {
        Self {
            random: Rng::with_seed(seed),
            pipe,
            session: Session::open().expect("a session"),
            sent: Vec::new(),
            completions: BTreeMap::new(),
            is_filtered: false,
        }
    }

    fn obey(mut self, channel: &Channel) {
        while let Some(order) = channel.try_get() {
            match Order::ALL[order as usize] {
                Order::Submit => self.submit(),
                Order::Collect => self.collect(),
                Order::Cancel => self.cancel_all(),
                Order::Close => self.close(),
                Order::Fork => self.fork(),
                Order::Setuid => self.setuid(),
                Order::Filter => self.filter(),
                Order::Thread => thread::spawn(|| ()).join().expect("it does nothing"),
                Order::Execve => {
                    execv(c"/bin/sleep", &[c"sleep", c"1000"]).expect("execve");
                }
                Order::Exit => {
                    self.finish();
                    exit_now(ENOUGH);
                }
            }
        }
    }

    fn submit(&mut self) {
        if self.session.in_flight() > IN_FLIGHT {
            return self.collect();
        }
        let (mut batch, mut sent) = (Batch::new(), Vec::new());
        for _ in 0..self.random.usize(1..8) {
            let uid = getuid().as_raw().into();
            let (call, ret) = match self.random.u32(0..7) {
                0 => (self.pipe.read_call(), Some(1)),
                1 => (calls::nanosleep(Duration::from_secs(1 << 20)), None),
                2 => (calls::nanosleep(Duration::from_micros(100)), Some(0)),
                3 => (calls::call(FILTERED, &[]), None),
                // As whoever it was when the message was sent.
                4 | 5 => (calls::call(libc::SYS_getuid, &[]), Some(uid)),
                _ => (calls::getpid(), Some(std::process::id().into())),
            };
            batch.push(call.user_data((self.sent.len() + sent.len()) as u64));
            sent.push(ret);
        }
        match self.session.submit(batch) {
            Ok(_) => self.sent.append(&mut sent),
            Err(error) => {
                // All workers are blocked.
                let errno = error.error.errno().map(|errno| errno.raw());
                assert_eq!(errno, Some(libc::EAGAIN), "{error:?}");
                assert_eq!(error.accepted, 0);
                self.cancel_all();
            }
        }
    }

    fn collect(&mut self) {
        while let Some(completion) = self.session.try_wait().expect("receiving works") {
            let ret = completion.ret;
            let is_right = match completion.outcome {
                Outcome::Ran => {
                    let expected = self.sent[completion.user_data as usize];
                    expected.is_none_or(|expected| ret == expected)
                }
                Outcome::Refused => self.is_filtered && ret == -i64::from(REFUSAL),
                // A signal came while seccomp was asked.
                Outcome::NotStarted => self.is_filtered && ret == -i64::from(libc::EINTR),
                outcome => ret == -i64::from(errno_of(outcome)),
            };
            assert!(is_right, "{completion:?}");
            keep(&mut self.completions, completion);
        }
    }

    fn cancel_all(&self) {
        self.session.cancel(Cancel::All).expect("an answer");
    }

    fn close(&mut self) {
        let new = Session::open().expect("a session");
        let old = std::mem::replace(&mut self.session, new);
        old.abandon();
        self.sent.clear();
        self.completions.clear();
    }

    /// The child has the session's socket, and leaves it alone: it would take what is its parent's.
    fn fork(&mut self) {
        in_a_child(|| {
            let own = Session::open().expect("a session of its own");
            let pid = session::value(&own, calls::getpid());
            assert_eq!(pid, u64::from(std::process::id()));
        });
    }

    fn setuid(&mut self) {
        setresuid(NOBODY, NOBODY, NOBODY).expect("becoming another user");
    }

    fn filter(&mut self) {
        if !self.is_filtered {
            gain_no_privileges();
            Filter::calls(FILTERED, libc::SECCOMP_RET_ERRNO | REFUSAL as u32).install();
            self.is_filtered = true;
        }
    }

    /// Lets every call come to its end, and accounts for each.
    fn finish(mut self) {
        patience::until("every call is over", || {
            self.cancel_all();
            self.collect();
            self.session.in_flight() == 0
        });
        assert_eq!(self.completions.len(), self.sent.len());
        // Without a call there is no session.
        if !self.sent.is_empty() {
            session::assert_all_accounted_for(&self.session);
        }
        let port_id = self.session.port_id();
        drop(self.session);
        // Workers that others have here may be there.
        patience::until("its session is gone", || {
            session::of_port(port_id).is_none()
        });
    }
}
