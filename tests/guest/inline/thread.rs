// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that act on the thread that makes them.

use std::{io::Read, os::unix::fs::PermissionsExt, thread};

use nix::{
    sys::{
        signal::{SigSet, Signal},
        wait::{waitpid, WaitStatus},
    },
    unistd::{dup2_stdout, gettid, Pid},
};
use nlcall::{
    raw::{Batch, Call, Outcome, Results, Session},
    Error,
};
use nlcall_tests::{
    calls::{self, call, inline, Arg},
    memory::Memory,
    message::{Message, REQUEST},
    patience,
    pipe::Pipe,
    process::{exit_now, in_a_child, Child},
    results::ResultsArray,
    session,
    socket::RawSocket,
    threads,
};
use zerocopy::IntoBytes;

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    an_inline_fork_makes_a_child,
    an_inline_execve_replaces_the_program,
    nothing_is_written_into_another_program,
    an_inline_execve_that_fails_is_an_error,
    an_inline_execve_leaves_shared_signal_handlers_alone,
    an_inline_exit_group_ends_the_process,
    an_inline_exit_ends_the_thread,
    inline_setuid_holds_for_the_calls_behind_it,
    inline_calls_change_the_state_of_their_thread,
    a_process_may_be_killed_within_an_inline_call,
];

/// `write(pipe, text)`, of one byte.
fn mark(pipe: &Pipe, text: &str) -> Call {
    calls::write(&pipe.writer, Memory::holding(text.as_bytes()))
}

/// Has the library submit these calls; returns where that returns.
fn submit(session: &Session, calls: impl IntoIterator<Item = Call>) -> (Results, Option<Error>) {
    let batch: Batch = inline(calls).into_iter().collect();
    let mut results = Results::new();
    let error = session.submit_into(&batch, &mut results).err();
    (results, error.map(|it| it.error))
}

fn an_inline_fork_makes_a_child() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    for by_message in [false, true] {
        let fork = call(libc::SYS_fork, &[]);
        let calls = [mark(&pipe, "a"), fork, mark(&pipe, "b"), calls::getpid()];
        let error = match by_message {
            false => {
                let (results, error) = submit(&session, calls);
                let values: Vec<_> = results.iter().map(|it| it.ret).collect();
                error.map_or(Ok(values), Err)
            }
            true => {
                let batch: Batch = inline(calls).into_iter().collect();
                let submitted = session.submit(batch).map_err(|it| it.error);
                submitted.map(|_| (0..4).map(|_| session.wait().expect("one").ret).collect())
            }
        };
        let values = match error {
            Ok(values) => values,
            Err(Error::InChild) if by_message => {
                // The parent reads its completions from the socket that both have: an answer to
                // this process might go there.
                exit_now(42)
            }
            Err(Error::InChild) => {
                // The session is the parent's.
                let refused = session.submit(calls::getpid().into());
                let errno = refused.map_err(|it| it.error.errno().map_or(0, |it| it.raw()));
                exit_now(match errno {
                    Err(libc::EPERM) => 42,
                    _ => 1,
                });
            }
            Err(error) => panic!("{error}"),
        };
        let [a, child, b, pid] = values[..] else {
            panic!("{values:?}")
        };
        assert_eq!((a, b, pid), (1, 1, std::process::id().into()));
        let child = Pid::from_raw(child as i32);
        let status = waitpid(child, None).expect("it is a child of this process");
        assert_eq!(status, WaitStatus::Exited(child, 42));
        assert_eq!(pipe.take(), b"ab", "the child made none of the calls");
    }
    session::assert_all_accounted_for(&session);
}

/// `execve(path, {path, "-c", script}, {})`.
fn execve(path: &str, script: &str) -> Call {
    let strings = [path, "-c", script].map(|text| Memory::string(text).address());
    let argv = Memory::holding([&strings[..], &[0]].concat().as_bytes());
    let envp = Memory::holding(0_u64.as_bytes());
    let path = Memory::string(path);
    call(libc::SYS_execve, &[path.into(), argv.into(), envp.into()])
}

fn an_inline_execve_replaces_the_program() {
    for with_thread in [false, true] {
        let pipe = Pipe::new();
        let mut child = Child::fork(|_| {
            let session = Session::open().expect("a session");
            // A worker and another thread do not survive it.
            session::value(&session, calls::getpid());
            if with_thread {
                thread::spawn(|| loop {
                    thread::park();
                });
            }
            submit(
                &session,
                [
                    mark(&pipe, "a"),
                    execve("/bin/sh", "exit 7"),
                    mark(&pipe, "b"),
                ],
            );
        });
        assert_eq!(child.wait(), WaitStatus::Exited(child.pid(), 7));
        assert_eq!(
            pipe.take(),
            b"a",
            "the new program makes no calls of the old one"
        );
    }
}

/// The messages behind it were sent by the same system call: their results array was in the memory
/// of the old program. Where it would be in that of the new one lies what is for an array there.
fn nothing_is_written_into_another_program() {
    /// `ADDR_NO_RANDOMIZE` of `include/uapi/linux/personality.h`.
    const SAME_ADDRESSES: libc::c_ulong = 0x004_0000;
    /// Where a stack ends, above a word that is zero, and the path of the program.
    const STACK_TOP: u64 = (1 << 47) - 4096;
    const PATH: &str = "/bin/cat";
    /// Bytes of an array with one result: its head, which says so, and the result.
    const LEN: usize = 48;

    let path_end = STACK_TOP - 8;
    let end = path_end - (PATH.len() as u64 + 1);
    let address = (end - LEN as u64) & !7;
    // As strings, each with a zero behind it: `done`, which is 0, `capacity`, and zeros up to the end.
    let mut environment = vec!["", "", "", "", "\u{1}"];
    environment.resize((end - address) as usize - 1, "");
    let expected: Vec<u8> = environment.join("\0").into_bytes();

    let (read, write) = rustix::pipe::pipe().expect("a pipe");
    let mut child = Child::fork(|_| {
        dup2_stdout(&write).expect("a standard output");
        // SAFETY: it takes no pointers, and holds for what is executed.
        assert!(unsafe { libc::personality(SAME_ADDRESSES) } >= 0);
        let strings = |of: &[&str]| {
            let mut addresses: Vec<u64> =
                of.iter().map(|it| Memory::string(it).address()).collect();
            addresses.push(0);
            Memory::holding(addresses.as_bytes())
        };
        let argv = strings(&[PATH, "/proc/self/environ"]);
        let args = [Memory::string(PATH), argv, strings(&environment)].map(Arg::from);
        let socket = RawSocket::open();
        let mut sent = Vec::new();
        let executed = inline([call(libc::SYS_execve, &args)]);
        for (calls, address) in [
            (executed, ResultsArray::new(1).address()),
            (inline([calls::getpid().user_data(0x5555_5555)]), address),
        ] {
            let calls: Vec<_> = calls.into_iter().map(nlcall_abi::Call::from).collect();
            let mut message = Message::submit_into(socket.family(), &calls, address);
            message.flags = REQUEST;
            sent.extend(message.bytes());
        }
        socket.send(&sent).expect("it is sent");
    });
    drop(write);
    let mut found = Vec::new();
    let read = std::fs::File::from(read).read_to_end(&mut found);
    read.expect("what the program says");
    child.succeed();
    assert_eq!(found, [&expected[..], b"\0"].concat());
}

fn an_inline_execve_that_fails_is_an_error() {
    let session = Session::open().expect("a session");
    let batch = [execve("/no/such/program", ""), calls::getpid()];
    let values = session::inline_values(&session, batch);
    assert_eq!(
        values,
        [-i64::from(libc::ENOENT), std::process::id().into()]
    );
    session::assert_all_accounted_for(&session);
}

/// The handlers may be shared beyond the process, by clone(2): an execve gives the process its own
/// while the kernel may be about to look at the shared ones.
fn an_inline_execve_leaves_shared_signal_handlers_alone() {
    extern "C" fn child(_: *mut libc::c_void) -> i32 {
        let session = Session::open().expect("a session");
        submit(&session, [execve("/bin/sh", "exit 7")]);
        // Nothing of the parent's memory is given back.
        std::mem::forget(session);
        1
    }

    for _ in 0..10 {
        let stack = Memory::pages(64);
        let top = (stack.address() as usize + stack.len()) as *mut libc::c_void;
        // With CLONE_VFORK, as the child uses this thread's memory: until it has its own program.
        let flags = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is the child's alone, and this thread waits as for vfork.
        let pid = unsafe { libc::clone(child, top, flags, std::ptr::null_mut()) };
        let pid = Pid::from_raw(pid);
        let status = waitpid(pid, None).expect("it is a child of this process");
        assert_eq!(status, WaitStatus::Exited(pid, 7));
    }
    // This process still gets its signals.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGUSR1);
    mask.thread_block().expect("blocking a signal");
    nix::sys::signal::raise(Signal::SIGUSR1).expect("a signal to itself");
    assert_eq!(mask.wait().expect("the signal"), Signal::SIGUSR1);
}

fn an_inline_exit_group_ends_the_process() {
    for with_thread in [false, true] {
        let pipe = Pipe::new();
        let mut child = Child::fork(|_| {
            let session = Session::open().expect("a session");
            session::value(&session, calls::getpid());
            if with_thread {
                thread::spawn(|| loop {
                    thread::park();
                });
            }
            let exit = call(libc::SYS_exit_group, &[23.into()]);
            submit(&session, [mark(&pipe, "a"), exit, mark(&pipe, "b")]);
        });
        assert_eq!(child.wait(), WaitStatus::Exited(child.pid(), 23));
        assert_eq!(pipe.take(), b"a", "nothing is made after the end");
    }
}

fn an_inline_exit_ends_the_thread() {
    let session: &Session = Box::leak(Box::new(Session::open().expect("a session")));
    session::inline_values(session, [calls::getpid()]);
    let pipe: &Pipe = Box::leak(Box::new(Pipe::new()));
    // The thread's handle is never joined: what the thread owns is never given back.
    thread::spawn(|| {
        let exit = call(libc::SYS_exit, &[0.into()]);
        submit(session, [mark(pipe, "a"), exit, mark(pipe, "b")]);
        mark_plainly(pipe);
    });
    patience::until("the thread has written", || {
        session::info(session).accepted >= 4
    });
    patience::until("the thread is gone", || {
        threads::own(Pid::this()).len() == 1
    });
    assert_eq!(pipe.take(), b"a", "nothing is made after the end");
    // The others go on, with the same session.
    assert_eq!(session.in_flight(), 0);
    session::inline_values(session, [calls::getpid()]);
    session::value(session, calls::getpid());
}

fn mark_plainly(pipe: &Pipe) {
    pipe.fill(b"c");
}

fn inline_setuid_holds_for_the_calls_behind_it() {
    const USER: i32 = 1000;

    in_a_child(|| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let only_owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), only_owner).expect("chmod");
        let path = Memory::string(file.path().to_str().expect("a path in UTF-8"));
        let open = || {
            call(
                libc::SYS_openat,
                &[libc::AT_FDCWD.into(), path.into(), libc::O_RDONLY.into()],
            )
        };
        let session = Session::open().expect("a session");
        let become_user = call(
            libc::SYS_setresuid,
            &[USER.into(), USER.into(), USER.into()],
        );
        let batch = [open(), become_user, open(), call(libc::SYS_geteuid, &[])];
        let values = session::inline_values(&session, batch);
        assert!(values[0] > 0, "{values:?}");
        assert_eq!(values[1..], [0, -i64::from(libc::EACCES), USER.into()]);
        assert_eq!(
            nix::unistd::getuid().as_raw(),
            USER as u32,
            "it is the thread's"
        );
        // Later messages come from the new user.
        let values = session::inline_values(&session, [call(libc::SYS_getuid, &[])]);
        assert_eq!(values, [USER.into()]);
        assert_eq!(
            session::value(&session, call(libc::SYS_getuid, &[])),
            USER as u64
        );
        // The file is another user's, in a folder with the sticky bit.
        std::mem::forget(file);
    });
}

fn inline_calls_change_the_state_of_their_thread() {
    let session = Session::open().expect("a session");
    // rt_sigprocmask(SIG_BLOCK, {SIGUSR2}, NULL, 8)
    let set = Memory::of(&(1_u64 << (Signal::SIGUSR2 as i32 - 1)));
    let mask = call(
        libc::SYS_rt_sigprocmask,
        &[libc::SIG_BLOCK.into(), set.into(), 0.into(), 8.into()],
    );
    // sigaltstack({stack, 0, len}, NULL)
    let stack = Memory::pages(16);
    let description = Memory::of(&[stack.address(), 0, stack.len() as u64]);
    let altstack = call(libc::SYS_sigaltstack, &[description.into(), 0.into()]);
    let name = Memory::string("inline");
    let rename = call(libc::SYS_prctl, &[libc::PR_SET_NAME.into(), name.into()]);
    let gettid_call = call(libc::SYS_gettid, &[]);
    let values = session::inline_values(&session, [mask, altstack, rename, gettid_call]);
    assert_eq!(values, [0, 0, 0, gettid().as_raw().into()]);

    let mask = SigSet::thread_get_mask().expect("the mask");
    assert!(mask.contains(Signal::SIGUSR2));
    let now = Memory::zeroed(24);
    let ask = call(libc::SYS_sigaltstack, &[0.into(), now.into()]);
    assert_eq!(calls::plainly(&ask), 0);
    assert_eq!(
        now.get_as::<[u64; 3]>(),
        [stack.address(), 0, stack.len() as u64]
    );
    let own = threads::own(Pid::this());
    assert_eq!(own[0].comm, "inline");

    // The thread leaves the alternate stack as the runtime expects it.
    let none = Memory::of(&[0, u64::from(libc::SS_DISABLE as u32), 0]);
    let disable = call(libc::SYS_sigaltstack, &[none.into(), 0.into()]);
    assert_eq!(session::inline_values(&session, [disable]), [0]);
    let outcomes = session::run_inline(&session, [calls::getpid()]);
    assert_eq!(outcomes[0].outcome, Outcome::Ran);
}

fn a_process_may_be_killed_within_an_inline_call() {
    for with_worker in [false, true] {
        let pipe = Pipe::new();
        let mut child = Child::fork(|channel| {
            let session = Session::open().expect("a session");
            if with_worker {
                session::submit(&session, 0, [pipe.read_call()]);
            }
            channel.put(0);
            submit(
                &session,
                [mark(&pipe, ""), pipe.read_call(), mark(&pipe, "b")],
            );
        });
        child.channel().get();
        patience::until("the child is blocked", || {
            threads::own(child.pid()).iter().all(|it| it.state == 'S')
        });
        child.kill();
        assert_eq!(pipe.take(), b"", "nothing is made after the end");
    }
}
