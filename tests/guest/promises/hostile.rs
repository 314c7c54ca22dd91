// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ends with thousands of calls pending, forged messages, memory that changes under the kernel's eyes.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use nix::sys::{
    resource::{setrlimit, Resource, RLIM_INFINITY},
    signal::Signal,
    wait::WaitStatus,
};
use nlcall::raw::{CallFlags, Outcome, Session};
use nlcall_abi::{CallResult, Command, ResultsHeader};
use nlcall_tests::{
    calls,
    event::{Answer, Event},
    memory::Memory,
    message::{Message, ACK, REQUEST},
    pipe::Pipe,
    process::{exit_now, Child},
    results::ResultsArray,
    session,
    socket::{RawSocket, Received},
};
use rustix::mm::{mprotect, MprotectFlags};

use crate::{
    harness::{scaled, tests, Test},
    scenes,
};

pub const TESTS: &[Test] = tests![
    ten_thousand_pending_calls_end_with_their_process,
    ten_thousand_pending_calls_end_with_their_program,
    a_forged_sender_gets_no_answer,
    nobody_else_reaches_a_client,
    a_message_that_changes_is_one_message_or_another,
    a_results_array_that_changes_bounds_what_is_written,
];

/// Calls that are pending when their process ends.
const PENDING: usize = 10_000;

const PAGE: usize = 4096;

/// Reads that wait, on workers and for one. They would take what is in the pipe.
fn submit_pending(socket: &mut RawSocket, pipe: &Pipe) {
    let reads = (0..).map(|user_data| pipe.read_call().user_data(user_data));
    socket.accept(reads.take(PENDING));
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    CoreDump,
    Exit,
}

impl End {
    fn come(self) {
        let raise = |signal| nix::sys::signal::raise(signal).expect("a signal to this thread");
        match self {
            Self::Kill => raise(Signal::SIGKILL),
            Self::CoreDump => raise(Signal::SIGQUIT),
            Self::Exit => exit_now(7),
        }
    }

    fn of(status: WaitStatus) -> Option<Self> {
        match status {
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => Some(Self::Kill),
            WaitStatus::Signaled(_, Signal::SIGQUIT, _) => Some(Self::CoreDump),
            WaitStatus::Exited(_, 7) => Some(Self::Exit),
            _ => None,
        }
    }
}

fn ten_thousand_pending_calls_end_with_their_process() {
    for end in [End::Kill, End::CoreDump, End::Exit] {
        let mut socket = RawSocket::with_large_send_buffer();
        let pipe = Pipe::new();
        let mut owner = Child::fork(|_| {
            setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY).expect("RLIMIT_CORE");
            submit_pending(&mut socket, &pipe);
            end.come();
        });
        assert_eq!(End::of(owner.wait()), Some(end));
        let completions = socket.completions(PENDING);
        let names: BTreeSet<u64> = completions.iter().map(|it| it.user_data).collect();
        assert_eq!(
            names.len(),
            PENDING,
            "{end:?}: one completion for each call"
        );
        let ran = Outcome::Ran as u16;
        assert!(completions.iter().all(|it| it.outcome != ran), "{end:?}");
        socket.assert_no_more_completions();
        // Nobody is left that could take it away.
        pipe.fill(b"still here");
        assert_eq!(pipe.take(), b"still here", "{end:?}");
    }
}

fn ten_thousand_pending_calls_end_with_their_program() {
    let pipe = Pipe::new();
    let mut owner = Child::fork(|_| {
        let mut socket = RawSocket::with_large_send_buffer();
        submit_pending(&mut socket, &pipe);
        scenes::after_execve(socket.inheritable_copy(), Some(PENDING));
    });
    owner.succeed();
    pipe.fill(b"still here");
    assert_eq!(pipe.take(), b"still here");
}

/// The header names another socket as the sender.
fn a_forged_sender_gets_no_answer() {
    let mut victim = RawSocket::open();
    victim.accept([calls::getpid()]);
    victim.completions(1);
    let mut child = Child::fork(|channel| {
        let mut socket = RawSocket::open();
        let mut message = Message::submit(socket.family(), &[calls::getpid().into()]);
        message.pid = channel.get() as u32;
        let answer = socket.request(message);
        assert_eq!((answer.errno, answer.text.as_str()), (0, ""));
        assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
        let mut message = Message::new(socket.family(), Command::Cancel);
        message.pid = channel.get() as u32;
        message.attribute(nlcall_abi::cancel::ALL, &[]);
        socket.request(message);
    });
    let pipe = Pipe::new();
    victim.accept([pipe.read_call()]);
    for _ in 0..2 {
        child.channel().put(victim.port_id().into());
    }
    child.succeed();
    // It is neither told of the other's calls, nor are its own cancelled.
    let (events, overrun) = victim.drain();
    assert!(events.is_empty() && !overrun, "{events:?}");
    pipe.fill(b"x");
    assert_eq!(victim.completions(1)[0].ret, 1);
}

/// Not even root can send to a client what looks like a completion.
fn nobody_else_reaches_a_client() {
    let session = Session::open().expect("a session");
    session::value(&session, calls::getpid());
    let pipe = Pipe::new();
    session::submit(&session, 0, [pipe.read_call()]);
    let mut child = Child::fork(|channel| {
        let port_id = channel.get() as u32;
        let mut own = Socket::new(NETLINK_GENERIC).expect("a socket");
        own.bind_auto().expect("binding");
        let forged = Message::new(RawSocket::open().family(), Command::Complete).bytes();
        let sent = own.send_to(&forged, &SocketAddr::new(port_id, 0), 0);
        let errno = sent.expect_err("it is not taken").raw_os_error();
        assert_eq!(errno, Some(libc::ECONNREFUSED));
    });
    child.channel().put(session.port_id().into());
    child.succeed();
    pipe.fill(b"x");
    assert_eq!(session.wait().expect("the read's own completion").ret, 1);
    session::assert_all_accounted_for(&session);
}

/// Sends what is at `bytes`, which may change meanwhile.
fn send_in_place(fd: RawFd, bytes: Memory) -> io::Result<()> {
    // SAFETY: the memory is never freed, and only the kernel reads it here.
    let sent = unsafe { libc::send(fd, bytes.address() as *const libc::c_void, bytes.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Changes a word of memory between two values until the end of `body`.
fn while_it_changes(at: u64, values: [u32; 2], body: impl FnOnce()) {
    let word = ptr::with_exposed_provenance_mut::<u32>(at as usize);
    // SAFETY: the memory is aligned, never freed, and no reference to it lives meanwhile.
    let word = unsafe { AtomicU32::from_ptr(word) };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for value in values {
                    word.store(value, Ordering::Relaxed);
                }
            }
        });
        body();
        is_over.store(true, Ordering::Relaxed);
    });
}

/// The answer to what was sent, and the completions that came with it.
fn answer(socket: &RawSocket) -> (Answer, Vec<CallResult>) {
    let mut completions = Vec::new();
    loop {
        let Received::Events(events) = socket.receive(true) else {
            panic!("the answer was dropped");
        };
        for event in events {
            match event {
                Event::Answer(answer) => return (answer, completions),
                Event::Completions(list) => completions.extend(list),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The number of the call is another one from moment to moment: of one that is harmless, and of one
/// that would be the end of whoever makes it, and is refused. What was checked is what is executed.
fn a_message_that_changes_is_one_message_or_another() {
    let numbers = [libc::SYS_getpid, libc::SYS_rt_sigreturn].map(|nr| nr as u32);
    let pid = i64::from(std::process::id());
    for flags in [CallFlags::empty(), CallFlags::INLINE] {
        let mut socket = RawSocket::open();
        let call: nlcall_abi::Call = calls::getpid().flags(flags).into();
        let mut message = Message::submit(socket.family(), &[call]);
        message.flags = REQUEST | ACK;
        let bytes = message.bytes();
        let entry = [numbers[0].to_ne_bytes(), call.flags.to_ne_bytes()].concat();
        let mut places = bytes.windows(entry.len());
        let place = places.position(|it| it == entry).expect("the entry");
        let in_place = Memory::holding(&bytes);
        let number = in_place.address() + place as u64;
        while_it_changes(number, numbers, || {
            for _ in 0..scaled(2000, 100_000) {
                send_in_place(socket.as_raw_fd(), in_place).expect("it is sent");
                let (answer, mut completions) = answer(&socket);
                match answer.errno {
                    0 if completions.is_empty() => completions = socket.completions(1),
                    0 => {}
                    errno => assert_eq!(errno, libc::EOPNOTSUPP, "{answer:?}"),
                }
                for completion in &completions {
                    assert_eq!(
                        (completion.outcome, completion.ret),
                        (Outcome::Ran as u16, pid)
                    );
                }
                assert_eq!(completions.len(), usize::from(answer.errno == 0));
            }
        });
        socket.assert_no_more_completions();
    }
}

/// The room that the head of the array tells of is another one from moment to moment; behind the
/// smaller one is memory that cannot be written.
fn a_results_array_that_changes_bounds_what_is_written() {
    const ROOM: usize = 8;
    let mut socket = RawSocket::open();
    let pages = Memory::pages(2);
    let len = ResultsArray::len(ROOM);
    let array = pages.first(PAGE).from_offset(PAGE - len);
    let behind = pages.address() as usize + PAGE;
    // SAFETY: the second page is this test's, and nothing refers into it.
    unsafe {
        mprotect(
            ptr::with_exposed_provenance_mut(behind),
            PAGE,
            MprotectFlags::empty(),
        )
    }
    .expect("a page that cannot be written");
    let capacity = array.address() + std::mem::offset_of!(ResultsHeader, capacity) as u64;
    while_it_changes(capacity, [ROOM as u32, u32::MAX], || {
        for _ in 0..scaled(500, 20_000) {
            let results = ResultsArray::begin(array, ROOM);
            let batch = (0..2 * ROOM as u64).map(|it| calls::getpid().user_data(it));
            let batch = batch.map(|call| call.flags(CallFlags::INLINE));
            let answer = socket.submit_into(batch, results.address());
            assert_eq!((answer.errno, answer.text.as_str()), (0, ""));
            // Each result is in the array, or in a completion.
            let written = results.results();
            assert!(written.len() <= ROOM);
            let sent = socket.completions(2 * ROOM - written.len());
            let names: BTreeSet<u64> = written.iter().chain(&sent).map(|it| it.user_data).collect();
            assert_eq!(names.len(), 2 * ROOM);
        }
    });
    socket.assert_no_more_completions();
}
