// SPDX-License-Identifier: MIT OR Apache-2.0

//! What processes do while something may be refused at any moment. Each of them checks that it is
//! told so by an error number, that every accepted call is answered once, and that the session
//! works afterwards.

use std::{collections::BTreeSet, fs, os::fd::AsRawFd, time::Duration};

use nix::sys::{
    signal::{raise, Signal},
    wait::WaitStatus,
};
use nlcall::{
    raw::{
        Arg, Batch, Call, CallFlags, Cancel, Chain, Completion, Data, Monitor, Outcome, Results,
        Session, SubmitError, Submitted, Target,
    },
    Error,
};
use nlcall_abi::{CallResult, Readi, ResultsHeader};
use nlcall_tests::{
    audit::Daemon,
    calls::{self, inline},
    classic,
    memory::{Memory, PAGE},
    patience,
    pipe::Pipe,
    process::{exit_now, Child},
    results::ResultsArray,
    session,
    socket::RawSocket,
};
use rustix::net::{recv, RecvFlags};
use zerocopy::IntoBytes;

use crate::targets::{target, waiting_child};

/// One of them.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Runs in a process of its own.
    pub run: fn(&Window<'_>),
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        &[$(Scenario { name: stringify!($name), run: $name }),*]
    };
}

/// All of them.
pub const ALL: &[Scenario] = scenarios![
    a_session_is_opened,
    calls_on_workers,
    blocked_calls,
    many_calls,
    chains_on_workers,
    calls_with_time_limits,
    data_of_calls,
    much_data,
    calls_in_another_process,
    inline_calls,
    inline_chains,
    inline_results_by_message,
    inline_results_nowhere,
    inline_exit,
    cancels,
    questions,
    listeners,
    audited_calls,
    an_audited_exit,
    classic_reads,
];

/// What is done to a process that is killed where it lacks something besides.
pub const IN_A_DYING_PROCESS: Scenario = Scenario {
    name: "calls_in_a_dying_process",
    run: calls_in_a_dying_process,
};

/// A file that it makes where the process was killed.
pub const DIED: &str = "died";

/// When something may be refused.
pub struct Window<'a>(pub &'a dyn Fn(bool));

/// It may now; until this is dropped.
struct Open<'a>(&'a Window<'a>);

impl Window<'_> {
    fn open(&self) -> Open<'_> {
        self.0(true);
        Open(self)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0 .0(false);
    }
}

/// What a request that was refused for want of something may say.
const REFUSALS: [i32; 4] = [libc::ENOMEM, libc::EFAULT, libc::ENOBUFS, libc::EAGAIN];

/// The value of a request, if it was not refused. Every other error is a mistake.
fn granted<T>(result: Result<T, impl Into<Error>>) -> Option<T> {
    match result.map_err(Into::into) {
        Ok(value) => Some(value),
        Err(error) => {
            let errno = error.errno().map(|errno| errno.raw());
            let is_refusal = errno.is_some_and(|errno| REFUSALS.contains(&errno));
            assert!(is_refusal, "an error that says something else: {error:?}");
            None
        }
    }
}

/// The same for calls with an array for their results. Where nothing could be written into it and
/// nobody asked for an acknowledgement, the library does not know yet; their completions come.
fn granted_into(result: Result<Submitted, SubmitError>) -> bool {
    match result {
        Err(SubmitError {
            error: Error::Unanswered,
            ..
        }) => true,
        result => granted(result).is_some(),
    }
}

/// A session that nothing was refused so far.
fn opened() -> Session {
    Session::open().expect("a session")
}

/// Names calls from 0 on.
fn named(calls: impl IntoIterator<Item = Call>) -> Batch {
    (0..)
        .zip(calls)
        .map(|(name, call)| call.user_data(name))
        .collect()
}

/// Takes the completion of each call in flight: none twice, and each with a reason where it has no
/// value.
fn settle(session: &Session) -> Vec<Completion> {
    let completions = take(session);
    completions.iter().for_each(assert_explained);
    completions
}

/// Takes the completion of each call in flight, none twice.
fn take(session: &Session) -> Vec<Completion> {
    let mut names = BTreeSet::new();
    let mut completions = Vec::new();
    while session.in_flight() > 0 {
        let completion = session.wait().expect("a call is in flight");
        assert!(
            names.insert(completion.user_data),
            "a second completion: {completion:?}"
        );
        completions.push(completion);
    }
    completions
}

fn assert_explained(completion: &Completion) {
    let expected = match completion.outcome {
        // Its own affair.
        Outcome::Ran => true,
        Outcome::NotStarted => completion
            .result()
            .is_err_and(|errno| REFUSALS.contains(&errno.raw())),
        Outcome::Canceled | Outcome::Interrupted | Outcome::TimedOut => true,
        _ => false,
    };
    assert!(expected, "an end without a reason: {completion:?}");
}

/// Submits calls and takes their completions; none where they were not accepted.
fn make(session: &Session, batch: Batch) -> Vec<Completion> {
    if let Err(error) = session.submit(batch) {
        assert_eq!(error.accepted, 0, "a message is accepted whole or not");
        granted::<()>(Err(error));
    }
    settle(session)
}

/// The same for INLINE calls, with an array for their results.
fn make_inline(session: &Session, calls: impl IntoIterator<Item = Call>) {
    let batch = named(inline(calls));
    let mut results = Results::new();
    let accepted = granted_into(session.submit_into(&batch, &mut results));
    let late = settle(session);
    let all: Vec<_> = results.iter().chain(late).collect();
    let names: BTreeSet<u64> = all.iter().map(|it| it.user_data).collect();
    let expected = if accepted { batch.len() } else { 0 };
    assert_eq!((all.len(), names.len()), (expected, expected), "{all:?}");
    all.iter().for_each(assert_explained);
}

/// Checks that a session is none the worse, and ends it.
fn assert_works(session: Session) {
    let pid = u64::from(std::process::id());
    assert_eq!(session::value(&session, calls::getpid()), pid);
    assert_eq!(
        session::inline_values(&session, [calls::getpid()]),
        [pid as i64]
    );
    session::close(session);
}

/// Calls that need memory of the kernel themselves, and leave nothing behind.
fn hungry_calls() -> Vec<Call> {
    let path = Memory::string("/proc/self/nothing/of/this/name");
    let open = calls::call(
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), 0.into()],
    );
    (0..3)
        .flat_map(|_| [calls::getpid(), open.clone()])
        .collect()
}

/// A call with arguments of any kind.
fn call(nr: libc::c_long, args: &[Arg]) -> Call {
    // SAFETY: as for `calls::call`: addresses come from Memory, which lives for ever, or are those
    // of the message's own data.
    unsafe { Call::with_args(nr as u32, args) }
}

fn a_session_is_opened(window: &Window<'_>) {
    let session = {
        let _open = window.open();
        granted(Session::open())
    };
    assert_works(session.unwrap_or_else(opened));
}

fn calls_on_workers(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        make(&session, named(hungry_calls()));
        make(&session, named(hungry_calls()));
    }
    assert_works(session);
}

fn blocked_calls(window: &Window<'_>) {
    const READS: usize = 20;

    let session = opened();
    let pipe = Pipe::new();
    {
        let _open = window.open();
        let reads = (0..READS).map(|_| pipe.read_call());
        let batch = named(reads.chain([calls::getpid()]));
        if granted(session.submit(batch)).is_some() {
            // The others get a worker while these block, or are answered.
            let first = session.wait().expect("a call is in flight");
            assert_explained(&first);
            pipe.fill(&[0; READS]);
        }
        settle(&session);
    }
    assert_works(session);
}

fn many_calls(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        make(&session, named((0..1500).map(|_| calls::getpid())));
    }
    assert_works(session);
}

/// Opens, measures, reads and closes a file, each call with what the one before found.
fn file_chain(is_inline: bool) -> Chain {
    const ST_SIZE: u32 = 48;
    let flags = if is_inline {
        CallFlags::INLINE
    } else {
        CallFlags::empty()
    };
    let hard = flags | CallFlags::HARDLINK;
    let (path, stat) = (Memory::string("/proc/self/maps"), Memory::zeroed(144));
    let [path, stat, contents] = [path, stat, Memory::zeroed(64)].map(Memory::address);
    let mut chain = Chain::new();
    let open = [libc::AT_FDCWD.into(), Arg::Value(path), 0.into()];
    let open = chain.push(call(libc::SYS_openat, &open).flags(flags).user_data(100));
    let measure = call(libc::SYS_fstat, &[open.result(), Arg::OutPtr(stat)]);
    let measure = chain.push(measure.flags(hard).user_data(101));
    let size = measure.load::<u64>(ST_SIZE);
    let read = call(libc::SYS_read, &[open.result(), Arg::Value(contents), size]);
    chain.push(read.flags(hard).user_data(102));
    let close = call(libc::SYS_close, &[open.result()]);
    chain.push(close.flags(flags).user_data(103));
    chain
}

fn chains_on_workers(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        let mut batch = named(hungry_calls());
        batch.push_chain(&file_chain(false));
        make(&session, batch);
    }
    assert_works(session);
}

fn calls_with_time_limits(window: &Window<'_>) {
    const SOON: Duration = Duration::from_millis(20);

    let session = opened();
    let pipe = Pipe::new();
    {
        let _open = window.open();
        let calls = hungry_calls().into_iter().chain([pipe.read_call()]);
        make(&session, named(calls.map(|call| call.timeout(SOON))));
        let calls = hungry_calls();
        make_inline(&session, calls.into_iter().map(|call| call.timeout(SOON)));
    }
    assert_works(session);
}

/// Makes calls that need memory of the message, in this process or in another one.
fn with_data(session: &Session, len: usize, target: Option<&Target>) {
    for completion in make(session, data_batch(len, target)) {
        let is_known = completion.user_data == 1 && completion.outcome == Outcome::Ran;
        if is_known && completion.ret == 0 {
            assert_eq!(completion.data().len(), 390, "the whole output");
        }
    }
}

fn data_batch(len: usize, target: Option<&Target>) -> Batch {
    let mut data = Data::new();
    let vector = data.reserve(32);
    let texts = [data.put(b"one, "), data.put(b"two")];
    for (entry, text) in (0..).zip(texts) {
        data.pointer(16 * entry, text);
        data.write(
            vector.part(16 * entry + 8, 8),
            &u64::from(text.len()).to_ne_bytes(),
        );
    }
    data.put(&vec![1; len]);
    // At the end, where it is not sent.
    let name = data.reserve(390);
    let calls = [
        call(libc::SYS_writev, &[(-1).into(), vector.address(), 2.into()]),
        call(libc::SYS_uname, &[name.output()]),
        call(libc::SYS_uname, &[name.output()]),
    ];
    let mut batch = named(calls.into_iter().take(2));
    batch.data(data);
    if let Some(target) = target {
        batch.target(target);
    }
    batch
}

/// Waits until no memory of a message is left in a process. It is the only one there that no child
/// would get.
fn assert_no_areas(pid: impl std::fmt::Display) {
    let path = format!("/proc/{pid}/smaps");
    patience::until("the memory of messages is unmapped", || {
        let smaps = fs::read_to_string(&path).expect("the mappings of a process");
        let flags = smaps
            .lines()
            .filter_map(|line| line.strip_prefix("VmFlags:"));
        assert!(smaps.contains("VmFlags:"), "{path} says nothing of flags");
        !flags
            .flat_map(str::split_whitespace)
            .any(|flag| flag == "dc")
    });
}

fn data_of_calls(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        with_data(&session, 0, None);
        with_data(&session, 0, None);
    }
    assert_no_areas("self");
    assert_works(session);
}

fn much_data(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        // In several attributes.
        with_data(&session, 80_000, None);
    }
    assert_no_areas("self");
    assert_works(session);
}

fn calls_in_another_process(window: &Window<'_>) {
    let session = opened();
    let mut child = waiting_child();
    {
        let target = target(child.pid());
        let open = window.open();
        let batch = || {
            let mut batch = named([
                call(libc::SYS_getppid, &[]),
                call(libc::SYS_close, &[(-1).into()]),
            ]);
            batch.target(&target);
            batch
        };
        make(&session, batch());
        with_data(&session, 0, Some(&target));
        drop(open);
        let answers = make(&session, batch());
        let parent = i64::from(std::process::id());
        let first = answers.iter().find(|it| it.user_data == 0);
        assert_eq!(first.map(|it| it.ret), Some(parent), "{answers:?}");
        assert_no_areas(child.pid());
    }
    child.channel().put(0);
    child.succeed();
    assert_works(session);
}

/// Where that process is killed, its calls end for that reason, and for no other.
fn calls_in_a_dying_process(window: &Window<'_>) {
    let session = opened();
    let mut child = waiting_child();
    let mut errnos = Vec::new();
    {
        let target = target(child.pid());
        let mut plain = named(hungry_calls());
        plain.target(&target);
        let _open = window.open();
        for batch in [plain, data_batch(0, Some(&target))] {
            let submitted = session.submit(batch);
            let errno = submitted
                .err()
                .map(|refused| refused.error.errno().expect("the kernel's answer"));
            let completions = take(&session);
            let unstarted = completions
                .iter()
                .filter(|it| it.outcome == Outcome::NotStarted);
            errnos.extend(errno);
            errnos.extend(unstarted.filter_map(|it| it.result().err()));
        }
    }
    child.signal(Signal::SIGTERM);
    let expected = match child.wait() {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => {
            fs::write(DIED, "").expect("a file");
            &[libc::ESRCH][..]
        }
        status => {
            let unharmed = WaitStatus::Signaled(child.pid(), Signal::SIGTERM, false);
            assert_eq!(status, unharmed, "how the child ended");
            &REFUSALS
        }
    };
    let is_expected = errnos.iter().all(|errno| expected.contains(&errno.raw()));
    assert!(is_expected, "{errnos:?} are not {expected:?}");
    assert_works(session);
}

fn inline_calls(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        make_inline(&session, hungry_calls());
        // One by one.
        for call in hungry_calls() {
            make_inline(&session, [call]);
        }
    }
    assert_works(session);
}

fn inline_chains(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        let mut batch = named(inline(hungry_calls()));
        batch.push_chain(&file_chain(true));
        let mut results = Results::new();
        granted_into(session.submit_into(&batch, &mut results));
        settle(&session);
        // Each behind a call that another thread could have made, so that none is simple.
        make(&session, batch);
    }
    assert_works(session);
}

fn inline_results_by_message(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        make(&session, named(inline(hungry_calls())));
        let mixed = inline(hungry_calls()).into_iter().chain(hungry_calls());
        make(&session, named(mixed));
    }
    assert_works(session);
}

/// Results go to pages of which the second cannot be written, or not even the first; and a
/// chain needs what cannot be read.
fn inline_results_nowhere(window: &Window<'_>) {
    const CALLS: usize = 8;

    let mut socket = RawSocket::open();
    let len = ResultsArray::len(CALLS);
    let entry = size_of::<CallResult>();
    {
        let _open = window.open();
        for written in [0, 3] {
            for call in [
                calls::getpid(),
                calls::getpid().flags(CallFlags::LINK),
                calls::getpid().timeout(Duration::from_secs(1000)),
            ] {
                let pages = Memory::pages(2);
                let start = pages.from_offset(PAGE - ResultsArray::len(written) - entry / 2);
                let array = ResultsArray::begin(start.first(len), CALLS);
                pages.from_offset(PAGE).protect(libc::PROT_NONE);
                // The last one is linked to none.
                let calls = (1..CALLS).map(|_| call.clone()).chain([calls::getpid()]);
                let calls = inline(calls);
                let answer = socket.submit_into(calls, array.address());
                if answer.errno != 0 {
                    assert!(REFUSALS.contains(&answer.errno), "{answer:?}");
                    continue;
                }
                let head: ResultsHeader = start.first(size_of::<ResultsHeader>()).get_as();
                let late = socket.completions(CALLS - head.done as usize);
                assert!(late.iter().all(|it| it.outcome == Outcome::Ran as u16));
            }
        }
    }
    socket.assert_no_more_completions();
    let port_id = socket.port_id();
    drop(socket);
    session::assert_gone(port_id);
}

/// A process that ends itself INLINE; where that was refused, plainly.
fn leave_inline(window: &Window<'_>) {
    let session = opened();
    let exit = calls::call(libc::SYS_exit_group, &[7.into()]);
    window.0(true);
    make_inline(&session, [calls::getpid(), exit]);
    window.0(false);
    assert_works(session);
    exit_now(7);
}

fn ends_itself(window: &Window<'_>, before: impl FnOnce(&Child)) {
    let mut child = Child::fork(|channel| {
        channel.get();
        leave_inline(window);
    });
    before(&child);
    child.channel().put(0);
    let status = wait(&mut child);
    let expected = WaitStatus::Exited(child.pid(), 7);
    assert_eq!(status, expected, "how the child ended");
}

/// Waits for a process that acts for this one; where it is killed, so is this one.
fn wait(child: &mut Child) -> WaitStatus {
    let status = child.wait();
    if matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)) {
        raise(Signal::SIGKILL).expect("a signal to oneself");
    }
    status
}

fn inline_exit(window: &Window<'_>) {
    ends_itself(window, |_| {});
}

fn cancels(window: &Window<'_>) {
    let session = opened();
    let pipe = Pipe::new();
    {
        let _open = window.open();
        let batch = named((0..4).map(|_| pipe.read_call()));
        if granted(session.submit(batch)).is_some() {
            granted(session.cancel(Cancel::UserData(0)));
            granted(session.cancel(Cancel::All));
            // What the cancel did not find, since it was refused, or was not told of.
            pipe.fill(&[0; 4]);
        }
        settle(&session);
    }
    assert_works(session);
}

fn questions(window: &Window<'_>) {
    let session = opened();
    session::value(&session, calls::getpid());
    {
        let _open = window.open();
        granted(session.own_info());
        granted(session.sessions());
        granted(session.syscalls());
        if let Some(config) = granted(session.config()) {
            granted(session.set_config(&config));
        }
        // One that never submits is gone with its socket.
        drop(granted(Session::open()));
    }
    assert_works(session);
}

fn listeners(window: &Window<'_>) {
    let session = opened();
    {
        let _open = window.open();
        let mut monitor = granted(Monitor::open());
        make(&session, named(hungry_calls()));
        make_inline(&session, hungry_calls());
        // A message that is rejected for its own sake.
        let nothing = calls::call(100_000, &[]);
        let error = session.submit(nothing.into()).expect_err("no such call");
        assert_eq!(error.error.errno().map(|it| it.raw()), Some(libc::ENOSYS));
        if let Some(monitor) = &mut monitor {
            while granted(monitor.try_wait()).flatten().is_some() {}
        }
    }
    assert_works(session);
}

fn audited_calls(window: &Window<'_>) {
    let mut daemon = Daemon::begin().expect("this kernel audits calls");
    let child = &mut Child::fork(|channel| {
        let session = opened();
        channel.get();
        {
            let _open = window.open();
            make(&session, named(hungry_calls()));
            make_inline(&session, hungry_calls());
            make(&session, named(inline(hungry_calls())));
        }
        assert_works(session);
    });
    daemon
        .watch(child.pid(), &[libc::SYS_getpid])
        .expect("the rule is taken");
    child.channel().put(0);
    let status = wait(child);
    assert_eq!(status, WaitStatus::Exited(child.pid(), 0), "how it ended");
}

fn an_audited_exit(window: &Window<'_>) {
    let mut daemon = Daemon::begin().expect("this kernel audits calls");
    ends_itself(window, |child| {
        daemon
            .watch(child.pid(), &[libc::SYS_exit_group])
            .expect("the rule is taken");
    });
}

fn classic_reads(window: &Window<'_>) {
    const ATTEMPTS: usize = 5;

    let socket = classic::socket();
    fs::write("file", "abcdefgh").expect("a file");
    let file = fs::File::open("file").expect("a plain open");
    let memory = Memory::zeroed(4);
    let readi = Readi {
        pid: std::process::id() as i32,
        fd: file.as_raw_fd(),
        ptr: memory.address(),
        count: 4,
        ..Readi::default()
    };
    // An echo or an error; or that there was no memory for either.
    let exchange = |payload: &[u8]| {
        socket
            .send(&classic::message(0, payload), 0)
            .expect("it is sent");
        let mut buffer = [0; 4096];
        match recv(&socket, &mut buffer[..], RecvFlags::TRUNC) {
            Ok(_) => {}
            Err(errno) => assert_eq!(errno, rustix::io::Errno::NOBUFS),
        }
    };
    {
        let _open = window.open();
        exchange(readi.as_bytes());
        exchange(&readi.as_bytes()[..8]);
    }
    let mut served = false;
    for _ in 0..ATTEMPTS {
        memory.put(&[0; 4]);
        exchange(readi.as_bytes());
        served |= memory.get() != [0; 4];
    }
    assert!(served, "no read is served any more");
    drop(socket);
    patience::until("its worker is gone", || {
        nlcall_tests::threads::of_this_process()
            .iter()
            .all(|thread| !thread.is_worker())
    });
}
