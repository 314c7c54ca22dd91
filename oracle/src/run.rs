// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes the call of a case in one way, in a process of its own, and says what that left behind.

use std::{
    arch::asm,
    fs::{self, File},
    io::{Read, Seek, Write},
    os::fd::AsRawFd,
    panic::{catch_unwind, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    mount::MsFlags,
    sys::{
        signal::{kill, Signal},
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::{setresgid, setresuid, Pid},
};
use nlcall::{
    raw::{Batch, Call, Outcome, Results, Session},
    Errno,
};
use nlcall_tests::{
    calls::{self, Arg},
    memory::Memory,
    message::Message,
    patience,
    process::{exit_now, fork_unwatched},
    results::ResultsArray,
    socket::RawSocket,
};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fs::MemfdFlags,
    process::{pidfd_open, PidfdFlags},
};

use crate::{
    case::{Aspect, Case, Value, ERRORS},
    observe::{self, Observation},
    world::World,
};

/// How the call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the instruction.
    Plain,
    /// By a message, on a worker.
    Worker,
    /// By a message, in the thread that sends it.
    Inline,
}

/// Who a user without privileges is.
const USER: u32 = 1000;

/// When it is taken that a call hangs, in a stock kernel.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process ends with that a call's forking made.
const SECOND: i32 = 7;

/// What a process ends with where the preparation failed.
const UNPREPARED: i32 = 101;

/// Makes the call of a case.
pub fn run(case: &Case, way: Way, scratch: &Path) -> Result<Observation, String> {
    let _ = fs::remove_dir_all(scratch);
    fs::create_dir_all(scratch).map_err(|error| format!("{scratch:?}: {error}"))?;
    if case.as_user {
        std::os::unix::fs::chown(scratch, Some(USER), Some(USER))
            .map_err(|error| format!("{scratch:?}: {error}"))?;
    }
    let said = rustix::fs::memfd_create("observation", MemfdFlags::CLOEXEC)
        .map_err(|error| format!("a file in memory: {error}"))?;
    let mut said = File::from(said);
    let child = fork_unwatched(|| {
        let made = catch_unwind(AssertUnwindSafe(|| {
            make(case, way, &scratch.to_owned(), &mut said);
        }));
        exit_now(if made.is_ok() { 0 } else { UNPREPARED })
    });
    let status = wait(child)?;
    let mut text = String::new();
    let read = said
        .rewind()
        .and_then(|()| said.read_to_string(&mut text))
        .map_err(|error| format!("what the process said: {error}"));
    read?;
    if status == WaitStatus::Exited(child, UNPREPARED) {
        return Err("the preparation failed, see above".to_owned());
    }
    let mut observation: Observation = match text.is_empty() {
        true => Observation::new(),
        false => serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?,
    };
    let end = match status {
        WaitStatus::Exited(_, status) => format!("status {status}"),
        WaitStatus::Signaled(_, signal, _) => format!("signal {signal}"),
        other => format!("{other:?}"),
    };
    observation.insert(Aspect::End, vec![end]);
    observation.insert(Aspect::Files, observe::tree(scratch));
    Ok(observation)
}

/// Waits for a process; ends it where that takes too long.
fn wait(child: Pid) -> Result<WaitStatus, String> {
    let pid = rustix::process::Pid::from_raw(child.as_raw()).expect("a process id");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("pidfd: {error}"))?;
    let timeout = Timespec::try_from(patience::scaled(PATIENCE)).expect("a time limit");
    let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
    let hangs = ready != Ok(1);
    if hangs {
        // It is ours, and was not waited for.
        let _ = kill(child, Signal::SIGKILL);
    }
    let status = waitpid(child, None).map_err(|error| format!("waiting: {error}"))?;
    // Helpers are orphans now, and end with their parent.
    while let Ok(orphan) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        if orphan == WaitStatus::StillAlive {
            break;
        }
    }
    match hangs {
        true => Err("hangs".to_owned()),
        false => Ok(status),
    }
}

/// Prepares, makes the call, and says what that left behind.
fn make(case: &Case, way: Way, scratch: &PathBuf, said: &mut File) {
    std::env::set_current_dir(scratch).expect("the scratch folder");
    // SAFETY: takes a number.
    unsafe { libc::umask(0o022) };
    if case.apart {
        let flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
        // SAFETY: takes a number.
        assert_eq!(unsafe { libc::unshare(flags) }, 0, "namespaces");
        let none: Option<&str> = None;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .expect("a tree of mounts for this process alone");
    }
    if case.as_user {
        nix::unistd::setgroups(&[]).expect("no groups");
        setresgid(USER.into(), USER.into(), USER.into()).expect("another group");
        setresuid(USER.into(), USER.into(), USER.into()).expect("another user");
    }
    // Changing the user took this process's own folder of /proc away from it.
    // SAFETY: the option takes a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    // In every way, so that descriptors and memory are the same in all.
    let session = Session::open().expect("a session");
    let raw = case.forks.then(RawSocket::open);
    let mut world = World::default();
    world.processes.extend([
        (std::process::id() as i32, "this".to_owned()),
        (
            std::os::unix::process::parent_id() as i32,
            "the parent".to_owned(),
        ),
    ]);
    let args = (case.prepare)(&mut world);
    let call = calls::call(case.nr().into(), &args.map(Arg::mapped));
    let before = observe::mappings();

    let made = match (way, &raw) {
        (_, Some(raw)) => forking(way, call, raw),
        (Way::Plain, None) => Made::Returned(calls::plainly(&call)),
        (Way::Worker, None) => by_worker(&session, call),
        (Way::Inline, None) => inline(&session, call),
    };

    let value = match made {
        Made::Returned(value) => value,
        Made::Otherwise(_) => 0,
    };
    let mut observation = Observation::new();
    // SAFETY: the options take numbers. What the call made unreadable is read all the same.
    let dumpable = unsafe {
        let before = libc::prctl(libc::PR_GET_DUMPABLE);
        libc::prctl(libc::PR_SET_DUMPABLE, 1);
        before
    };
    let mappings = observe::changed_mappings(&before, &world);
    observation.insert(Aspect::Result, vec![shown(case, &world, &made)]);
    observation.insert(Aspect::Memory, observe::memory(&world));
    observation.insert(Aspect::Mappings, mappings);
    observation.insert(Aspect::Descriptors, observe::descriptors());
    let mut process = observe::process(&world);
    process.push(format!("dumpable: {dumpable}"));
    observation.insert(Aspect::Process, process);
    let looks = std::mem::take(&mut world.looks);
    let aftermath = looks.into_iter().map(|look| look(value)).collect();
    observation.insert(Aspect::Aftermath, aftermath);
    let text = serde_json::to_string(&observation).expect("it is text");
    said.write_all(text.as_bytes()).expect("memory for it");
    // Nothing is closed, ended or given back by this program: the kernel does it all.
    std::mem::forget(session);
}

/// What became of the call.
enum Made {
    /// It returned this.
    Returned(i64),
    /// It did not run, or not to its end.
    Otherwise(String),
}

/// How a rejected call is shown.
pub const REFUSED: &str = "rejected: ";

fn by_worker(session: &Session, call: Call) -> Made {
    if let Err(error) = session.submit(call.into()) {
        return rejected(error.error.errno(), &error.error.to_string());
    }
    match session.wait() {
        Ok(completion) => ended(completion.outcome, completion.ret),
        Err(error) => Made::Otherwise(format!("no completion: {error}")),
    }
}

fn inline(session: &Session, call: Call) -> Made {
    let batch: Batch = calls::inline([call]).into_iter().collect();
    let mut results = Results::new();
    if let Err(error) = session.submit_into(&batch, &mut results) {
        return rejected(error.error.errno(), &error.error.to_string());
    }
    match results.get(0) {
        Some(completion) => ended(completion.outcome, completion.ret),
        None => Made::Otherwise("no result".to_owned()),
    }
}

fn ended(outcome: Outcome, ret: i64) -> Made {
    match outcome {
        Outcome::Ran => Made::Returned(ret),
        // The plain call ends with the same number when a handler without SA_RESTART ran.
        Outcome::Interrupted => Made::Returned(ret),
        outcome => Made::Otherwise(format!("{outcome:?} {ret}")),
    }
}

fn rejected(errno: Option<Errno>, text: &str) -> Made {
    let name = errno.and_then(Errno::name).unwrap_or_default();
    Made::Otherwise(format!("{REFUSED}{name}: {text}"))
}

/// A call that returns twice. The new process may share this one's memory and stack, so that it
/// ends where it begins.
fn forking(way: Way, call: Call, raw: &RawSocket) -> Made {
    let abi = call.as_abi();
    let [a, b, c, d, e, _] = abi.args;
    match way {
        // SAFETY: what the call does to this process is that it gets a child.
        Way::Plain => Made::Returned(unsafe { twice(abi.nr.into(), [a, b, c, d, e]) }),
        Way::Worker => by_worker(&Session::open().expect("a session"), call),
        Way::Inline => {
            let results = ResultsArray::new(1);
            let [call] = &calls::inline([call])[..] else {
                unreachable!("one call is one call")
            };
            let calls = [call.as_abi().to_owned()];
            let bytes = Message::submit_into(raw.family(), &calls, results.address()).bytes();
            let message = Memory::holding(&bytes);
            let socket = raw.as_raw_fd() as u64;
            let args = [socket, message.address(), bytes.len() as u64, 0, 0];
            // SAFETY: as for the plain way; the message is sent to the kernel.
            let sent = unsafe { twice(libc::SYS_sendto as u64, args) };
            assert_eq!(sent, bytes.len() as i64, "the message is sent");
            match results.results()[..] {
                [result] => match Outcome::from_wire(result.outcome) {
                    Some(outcome) => ended(outcome, result.ret),
                    None => Made::Otherwise(format!("outcome {}", result.outcome)),
                },
                _ => Made::Otherwise("no result".to_owned()),
            }
        }
    }
}

/// Makes a call that may return twice; where it returns 0, this is the new process, which ends
/// without another step in memory.
///
/// # Safety
///
/// The call changes nothing of this process that Rust relies on.
unsafe fn twice(nr: u64, args: [u64; 5]) -> i64 {
    let ret: i64;
    // SAFETY: by the caller's promise; nothing is pushed between the two returns.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov edi, {second}",
            "mov eax, 60",
            "syscall",
            "2:",
            second = const SECOND,
            inlateout("rax") nr as i64 => ret,
            inlateout("rdi") args[0] => _,
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") 0,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    ret
}

/// The outcome as it is compared.
fn shown(case: &Case, world: &World, made: &Made) -> String {
    match made {
        Made::Otherwise(text) => text.clone(),
        Made::Returned(value) if ERRORS.contains(value) => {
            let errno = Errno::from_raw(-(*value as i32));
            format!("-{}", errno.name().unwrap_or_else(|| value.to_string()))
        }
        Made::Returned(value) => match case.value {
            Value::Exact => value.to_string(),
            Value::Process => observe::who(world, *value as i32),
            Value::Varies => "a value".to_owned(),
        },
    }
}

/// How an error number is shown.
pub fn error(errno: i32) -> String {
    let errno = Errno::from_raw(errno);
    format!("-{}", errno.name().unwrap_or_default())
}
