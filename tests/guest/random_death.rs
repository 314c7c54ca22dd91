// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes that die at any moment, with any number of calls in flight, in every way there is.

use std::{
    collections::BTreeMap,
    os::fd::AsRawFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use nix::sys::{
    resource::{setrlimit, Resource},
    signal::{kill, raise, Signal},
    wait::{waitpid, WaitPidFlag, WaitStatus},
};
use nlcall::raw::Call;
use nlcall_abi::{cancel, Command};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    message::{Message, REQUEST},
    module, patience,
    pipe::Pipe,
    process::{end_this_thread, exit_now, fork_unwatched},
    session,
    socket::RawSocket,
};
use rustix::net::{recv, RecvFlags};

use crate::{
    harness::{note, scaled, seed, Test},
    scenes,
};

pub const TESTS: &[Test] = &[Test::new("random_death", random_death).patience(HOUR)];

/// When the whole test hangs; it takes minutes at most, the long one included.
const HOUR: Duration = Duration::from_secs(3600);

/// Every process follows from this and its number.
const SEED: u64 = 14;

/// Processes that live at the same time.
const AT_ONCE: usize = 6;

/// Exit status of a process that ends by its own will.
const ENOUGH: i32 = 3;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    /// exit_group.
    Exit,
    /// SIGKILL.
    Kill,
    /// Executes another program, which ends.
    Execve,
    /// Every thread ends by itself, the first one first.
    LastThread,
    /// Closes its sockets, then exits.
    Close,
    /// abort.
    Abort,
    /// abort, with a core file.
    AbortWithCore,
    /// SIGSTOP, then SIGKILL.
    StopAndKill,
}

impl Death {
    const ALL: [Self; 8] = [
        Self::Exit,
        Self::Kill,
        Self::Execve,
        Self::LastThread,
        Self::Close,
        Self::Abort,
        Self::AbortWithCore,
        Self::StopAndKill,
    ];

    fn of(number: u64) -> Self {
        *Rng::with_seed(seed(SEED) ^ number << 32)
            .choice(&Self::ALL)
            .expect("there are deaths")
    }

    /// Whether a process that ended so died this death.
    fn explains(self, status: WaitStatus) -> bool {
        match status {
            WaitStatus::Exited(_, status) => match self {
                Self::Exit | Self::Close => status == ENOUGH,
                Self::Execve | Self::LastThread => status == 0,
                _ => false,
            },
            WaitStatus::Signaled(_, signal, _) => match self {
                Self::Kill | Self::StopAndKill => signal == Signal::SIGKILL,
                Self::Abort | Self::AbortWithCore => signal == Signal::SIGABRT,
                _ => false,
            },
            _ => false,
        }
    }
}

fn random_death() {
    let references = module::references();
    let total = patience::affordable(scaled(500, 10_000));
    run(|begun| begun < total);
    patience::until("no session is left", || session::all().is_empty());
    patience::until("the module is free", || module::references() == references);
}

/// Begins processes until then, and returns how many there were.
pub fn run_until(until: Instant) -> u64 {
    run(|_| Instant::now() < until)
}

/// Begins processes while this holds for how many there were, and sees all of them to their ends.
fn run(mut goes_on: impl FnMut(u64) -> bool) -> u64 {
    let mut living = BTreeMap::new();
    let mut deaths = BTreeMap::<Death, usize>::new();
    let mut next = 0;
    loop {
        if living.len() < AT_ONCE && goes_on(next) {
            let number = next;
            next += 1;
            living.insert(fork_unwatched(|| live(number)), number);
            continue;
        }
        if living.is_empty() {
            break;
        }
        let status = waitpid(None, Some(WaitPidFlag::WUNTRACED)).expect("a child is left");
        let pid = status.pid().expect("it is about a child");
        if let WaitStatus::Stopped(..) = status {
            kill(pid, Signal::SIGKILL).expect("the child is there");
            continue;
        }
        let number = living.remove(&pid).expect("a child of this test");
        let death = Death::of(number);
        assert!(
            death.explains(status),
            "process {number}: {death:?}, but {status:?}"
        );
        *deaths.entry(death).or_default() += 1;
    }
    note(format_args!(
        "{next} processes, seed {}: {deaths:?}",
        seed(SEED)
    ));
    next
}

/// The life of a process, and its end.
fn live(number: u64) -> ! {
    let mut random = Rng::with_seed(seed(SEED).wrapping_add(number));
    let death = Death::of(number);
    let core = if death == Death::AbortWithCore {
        1 << 20
    } else {
        0
    };
    setrlimit(Resource::RLIMIT_CORE, core, core).expect("RLIMIT_CORE");
    let world = Arc::new(World::new(&mut random));

    let mut threads = Vec::new();
    for _ in 0..random.usize(0..3) {
        let (world, mut random) = (world.clone(), random.fork());
        let rounds = random.usize(1..8);
        threads.push(thread::spawn(move || {
            (0..rounds).for_each(|_| world.act(&mut random));
            if death == Death::LastThread {
                end_this_thread(0);
            }
        }));
    }
    // Death comes from this thread, or from another one while this one goes on.
    let from_outside = random.bool() && death != Death::LastThread;
    if from_outside {
        let (theirs, delay) = (world.clone(), random.u64(0..5000));
        thread::spawn(move || {
            thread::sleep(Duration::from_micros(delay));
            die(death, &theirs)
        });
        loop {
            world.act(&mut random);
        }
    }
    (0..random.usize(0..8)).for_each(|_| world.act(&mut random));
    if random.bool() {
        thread::sleep(Duration::from_micros(random.u64(0..3000)));
    }
    die(death, &world)
}

fn die(death: Death, world: &World) -> ! {
    match death {
        Death::Exit => {}
        Death::Kill => {
            raise(Signal::SIGKILL).expect("SIGKILL");
        }
        Death::Execve => {
            scenes::leave();
        }
        Death::LastThread => end_this_thread(0),
        Death::Close => world.close(),
        Death::Abort | Death::AbortWithCore => std::process::abort(),
        Death::StopAndKill => {
            raise(Signal::SIGSTOP).expect("SIGSTOP");
            // The test sees that, and kills.
            loop {
                thread::park();
            }
        }
    }
    exit_now(ENOUGH)
}

/// What the threads of a process share.
struct World {
    sockets: Vec<RawSocket>,
    pipes: Vec<Pipe>,
    word: Memory,
}

impl World {
    fn new(random: &mut Rng) -> Self {
        let small = random.u8(0..4) == 0;
        let open = || {
            if small {
                RawSocket::with_smallest_receive_buffer()
            } else {
                RawSocket::open()
            }
        };
        Self {
            sockets: (0..random.usize(1..4)).map(|_| open()).collect(),
            pipes: Pipe::several(3),
            word: Memory::zeroed(4),
        }
    }

    /// One random thing on one of the sockets.
    fn act(&self, random: &mut Rng) {
        let socket = &self.sockets[random.usize(0..self.sockets.len())];
        let message = match random.u8(0..10) {
            0 => {
                let mut message = Message::new(socket.family(), Command::Cancel);
                match random.u8(0..3) {
                    0 => message.attribute(cancel::ALL, &[]),
                    1 => message.attribute(cancel::NR, &0_u32.to_ne_bytes()),
                    _ => message.attribute(cancel::USER_DATA, &1_u64.to_ne_bytes()),
                };
                message
            }
            1 => {
                // The socket may have been closed by a call.
                let _ = recv(socket, &mut [0; 8192], RecvFlags::DONTWAIT);
                return;
            }
            2 => {
                let pipe = &self.pipes[random.usize(0..self.pipes.len())];
                pipe.fill(&vec![0; random.usize(1..8)]);
                return;
            }
            _ => {
                let calls = (0..random.usize(1..20)).map(|_| self.call(random));
                let calls: Vec<_> = calls.map(|call| call.user_data(1).into()).collect();
                Message::submit(socket.family(), &calls)
            }
        };
        let flags = if random.bool() {
            REQUEST
        } else {
            message.flags
        };
        // The socket may have been closed by a call, and its number may be another file's by now.
        let _ = socket.send(&Message { flags, ..message }.bytes());
    }

    fn call(&self, random: &mut Rng) -> Call {
        let pipe = &self.pipes[random.usize(0..self.pipes.len())];
        match random.u8(0..32) {
            0..=7 => calls::getpid(),
            8..=13 => pipe.read_call(),
            14..=17 => calls::nanosleep(Duration::from_micros(random.u64(0..5000))),
            18..=19 => calls::nanosleep(Duration::from_secs(1 << 20)),
            20..=23 => calls::futex_wait(self.word, 0),
            24..=25 => calls::futex_wake(self.word, 2),
            26..=27 => calls::write(&pipe.writer, Memory::holding(b"x")),
            28 => {
                let socket = &self.sockets[random.usize(0..self.sockets.len())];
                calls::close(socket.as_raw_fd())
            }
            29 => call(
                libc::SYS_wait4,
                &[(-1).into(), 0.into(), 0.into(), 0.into()],
            ),
            30 => call(
                libc::SYS_openat,
                &[libc::AT_FDCWD.into(), Memory::string("/").into()],
            ),
            _ => call(
                libc::SYS_poll,
                &[0.into(), 0.into(), random.i32(-1..20).into()],
            ),
        }
    }

    fn close(&self) {
        for socket in &self.sockets {
            // SAFETY: the process ends before anybody could take the number for another file.
            unsafe { libc::close(socket.as_raw_fd()) };
        }
    }
}
