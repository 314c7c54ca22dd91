// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is told of calls.

use std::{collections::BTreeMap, io::Write, time::Duration};

use nix::sys::signal::Signal;
use nlcall::{
    raw::{
        Arg, ArgKind, Batch, Call, CallFlags, Cancel, Chain, Data, Monitor, Notice, Outcome,
        Restart, Results, Session, Target, Way, What,
    },
    Errno,
};
use nlcall_abi::TRACE_MEMORY_MAX;
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    pipe::Pipe,
    process::Child,
    session,
};

use super::{ending_of, endings, hear_all};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_workers_call_is_told_with_what_was_in_memory,
    an_inline_call_is_told_by_its_own_thread,
    a_chain_is_told_with_the_arguments_that_it_had,
    a_call_in_another_process_is_told_of_that_process,
    calls_that_did_not_run_are_told_as_such,
    calls_that_were_interrupted_are_told_once,
    another_programs_memory_is_not_told,
    memory_that_is_not_there_is_not_waited_for,
    a_rejection_is_told_with_its_reason,
    every_call_is_told_once,
    calls_that_began_before_are_not_told,
    processes_end_while_somebody_listens,
];

fn listen() -> Monitor {
    Monitor::open().expect("root may listen")
}

fn thread() -> u32 {
    nix::unistd::gettid().as_raw() as u32
}

fn a_workers_call_is_told_with_what_was_in_memory() {
    const OPEN: u64 = 21;
    const READ: u64 = 22;

    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"what the file holds").expect("written");
    let mut path = file.path().to_str().expect("UTF-8").as_bytes().to_vec();
    // All that is looked at: what lies behind it is somebody else's, and may change.
    path.resize(TRACE_MEMORY_MAX, 0);
    let path = Memory::holding(&path);
    let buffer = Memory::holding(&[b'.'; 64]);
    let session = Session::open().expect("a session");
    let mut monitor = listen();

    let open = [libc::AT_FDCWD.into(), path.into(), libc::O_RDONLY.into()];
    let open = call(libc::SYS_openat, &open).user_data(OPEN);
    session.submit(open.into()).expect("accepted");
    let opened = session.wait().expect("it completes");
    let fd = opened.result().expect("it opens") as i32;
    let read = calls::read(fd, buffer).user_data(READ);
    session.submit(read.into()).expect("accepted");
    session.wait().expect("it completes");

    let events = hear_all(&mut monitor);
    let id = session::info(&session).id;
    let (event, call, end) = ending_of(&events, OPEN);
    assert_eq!(event.session, Some(id));
    assert!(event.tid.is_some_and(|tid| tid != thread() && tid != 0));
    assert_eq!(call.way, Way::Worker);
    assert_eq!(call.flags, CallFlags::empty());
    assert_eq!(i64::from(call.nr), libc::SYS_openat);
    assert_eq!(call.args[0] as i32, libc::AT_FDCWD);
    assert_eq!((end.ret, end.outcome), (i64::from(fd), Outcome::Ran));
    assert_eq!(end.restart, Restart::None);
    assert!(end.duration.is_some_and(|time| time > Duration::ZERO));
    let seen = end.memory[1].before.as_deref().expect("the path was there");
    let mut wanted = file.path().to_str().expect("UTF-8").as_bytes().to_vec();
    wanted.push(0);
    assert!(seen.starts_with(&wanted), "{seen:?}");
    assert_eq!(end.memory[1].after, None, "the path stayed what it was");
    assert_eq!(end.memory[2].before, None, "flags are no address");

    let (_, _, end) = ending_of(&events, READ);
    let memory = &end.memory[1];
    let (before, after) = (memory.before.as_deref(), memory.after.as_deref());
    assert!(before.is_some_and(|bytes| bytes.starts_with(&[b'.'; 64])));
    assert!(after.is_some_and(|bytes| bytes.starts_with(b"what the file holds.....")));

    let comm = std::fs::read_to_string("/proc/self/comm").expect("a name");
    assert!(events.iter().all(|event| event.comm == comm.trim_end()));
    let submitted: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Submitted(call) => Some((call.user_data, event.tid)),
            _ => None,
        })
        .collect();
    let thread = Some(thread());
    assert_eq!(submitted, [(OPEN, thread), (READ, thread)]);
}

fn an_inline_call_is_told_by_its_own_thread() {
    let session = Session::open().expect("a session");
    let mut monitor = listen();
    let values = session::inline_values(&session, [calls::getpid(), calls::close(-1)]);
    let events = hear_all(&mut monitor);
    assert_eq!(values, [i64::from(std::process::id()), -9]);
    for (user_data, ret) in (0..).zip(values) {
        let (event, call, end) = ending_of(&events, user_data);
        assert_eq!(event.tid, Some(thread()));
        assert_eq!(call.way, Way::Inline);
        assert_eq!(call.flags, CallFlags::INLINE);
        assert_eq!((end.ret, end.outcome), (ret, Outcome::Ran));
        assert!(end.duration.is_some());
    }
    assert_eq!(events.len(), 4, "each is told when it is accepted, too");
}

/// Opens a file, measures it and reads all of it, the way there being what the flags say.
fn tell_a_chain(flags: CallFlags) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"123456789").expect("written");
    let path = Memory::string(file.path().to_str().expect("UTF-8"));
    let (stat, buffer) = (Memory::zeroed(144), Memory::zeroed(64));
    let mut chain = Chain::new();
    let with = |nr: libc::c_long, args: &[Arg], user_data: u64| {
        // SAFETY: as in `calls::call`.
        unsafe { Call::with_args(nr as u32, args) }
            .flags(flags)
            .user_data(user_data)
    };
    let dir = Arg::from(libc::AT_FDCWD);
    let open = chain.push(with(libc::SYS_openat, &[dir, path.address().into()], 1));
    let measured = [open.result(), Arg::OutPtr(stat.address())];
    let measured = chain.push(with(libc::SYS_fstat, &measured, 2));
    let size = measured.load::<i64>(48);
    let read = [open.result(), buffer.address().into(), size];
    chain.push(with(libc::SYS_read, &read, 3));

    let session = Session::open().expect("a session");
    let mut monitor = listen();
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    let fd = if flags.contains(CallFlags::INLINE) {
        let mut results = Results::new();
        session.submit_into(&batch, &mut results).expect("accepted");
        results.get(0).expect("a result").ret
    } else {
        session.submit(batch).expect("accepted");
        session::collect(&session, 3)[&1].ret
    };
    let events = hear_all(&mut monitor);
    let (_, call, end) = ending_of(&events, 3);
    // What was a reference when the call was accepted.
    assert_eq!((call.args[0] as i64, call.args[2]), (fd, 9));
    assert_eq!(end.ret, 9);
    let after = end.memory[1].after.as_deref().expect("it was filled");
    assert!(after.starts_with(b"123456789\0"));
    let submitted = events.iter().find_map(|event| match &event.what {
        What::Submitted(call) if call.user_data == 3 => Some(call),
        _ => None,
    });
    let kinds = submitted.expect("its acceptance is told").arg_kinds;
    assert_eq!(kinds & 0xf, ArgKind::Result as u32);
    assert_eq!(kinds >> 8 & 0xf, ArgKind::Load as u32);
    session::value(&session, calls::close(fd as i32));
}

fn a_chain_is_told_with_the_arguments_that_it_had() {
    tell_a_chain(CallFlags::empty());
    tell_a_chain(CallFlags::INLINE);
}

fn a_call_in_another_process_is_told_of_that_process() {
    let mut child = Child::fork(|channel| {
        channel.put(0);
        channel.get();
    });
    child.channel().get();
    let pid = child.pid().as_raw() as u32;
    let session = Session::open().expect("a session");
    let mut monitor = listen();
    let mut data = Data::new();
    let path = data.put_c_str(c"/no/such/file");
    // SAFETY: the path travels with the call.
    let chdir = unsafe { Call::with_args(libc::SYS_chdir as u32, &[path.address()]) };
    let mut batch = Batch::from(chdir.user_data(9));
    batch
        .data(data)
        .target(&Target::open(pid).expect("it is there"));
    session.submit(batch).expect("accepted");
    assert_eq!(session.wait().expect("it fails").ret, -2);
    let (mut submitted, mut completed) = (0, 0);
    while let Some(notice) = monitor.wait_timeout(super::SILENCE).expect("it listens") {
        let Notice::Event(event) = notice else {
            panic!("{notice:?}");
        };
        match event.what {
            What::Submitted(call) => {
                assert_eq!((event.tid, call.way), (Some(thread()), Way::Target));
                submitted += 1;
            }
            What::Completed(call, end) => {
                assert_eq!((event.pid, call.way), (pid, Way::Target));
                assert!(event.tid.is_some_and(|tid| tid != pid));
                let before = end.memory[0]
                    .before
                    .as_deref()
                    .expect("it was placed there");
                assert!(before.starts_with(b"/no/such/file\0"));
                completed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((submitted, completed), (1, 1));
    child.channel().put(0);
    child.succeed();
}

fn calls_that_did_not_run_are_told_as_such() {
    let session = Session::open().expect("a session");
    let mut monitor = listen();
    // The first fails, so the others do not begin.
    for flags in [CallFlags::empty(), CallFlags::INLINE] {
        let mut chain = Chain::new();
        for (user_data, call) in (1..).zip([calls::close(-1), calls::getpid(), calls::getpid()]) {
            chain.push(call.flags(flags).user_data(user_data));
        }
        let mut batch = Batch::new();
        batch.push_chain(&chain);
        session.submit(batch).expect("accepted");
        session::collect(&session, 3);
        let events = hear_all(&mut monitor);
        assert_eq!(ending_of(&events, 1).2.outcome, Outcome::Ran);
        for user_data in [2, 3] {
            let (event, _, end) = ending_of(&events, user_data);
            assert_eq!(end.outcome, Outcome::Canceled);
            assert_eq!(end.ret, -i64::from(libc::ECANCELED));
            assert_eq!(end.duration, None);
            assert_eq!(event.tid, None, "no thread executed it");
            assert_eq!(event.pid, std::process::id());
        }
        assert_eq!(endings(&events).len(), 3);
    }
}

fn calls_that_were_interrupted_are_told_once() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let mut monitor = listen();
    let late = pipe
        .read_call()
        .timeout(Duration::from_millis(20))
        .user_data(1);
    session.submit(late.into()).expect("accepted");
    session.wait().expect("its time is over");
    session
        .submit(pipe.read_call().user_data(2).into())
        .expect("accepted");
    session::info_until(&session, "it blocks", |info| info.blocked == 1);
    session.cancel(Cancel::All).expect("cancelled");
    session.wait().expect("it was cancelled");
    let events = hear_all(&mut monitor);
    let (event, _, late) = ending_of(&events, 1);
    assert_eq!(late.outcome, Outcome::TimedOut);
    // Its time was that from its acceptance: it may have passed before a worker took the call.
    assert_eq!(late.duration.is_some(), event.tid.is_some());
    let (event, _, canceled) = ending_of(&events, 2);
    assert_eq!(canceled.outcome, Outcome::Interrupted);
    assert_eq!(canceled.restart, Restart::Sys);
    assert!(event.tid.is_some(), "a thread executed it");
    assert_eq!(endings(&events).len(), 2);
}

fn another_programs_memory_is_not_told() {
    let mut monitor = listen();
    let mut child = Child::fork(|_| {
        let session = Session::open().expect("a session");
        let path = Memory::string("/bin/true");
        let argv = Memory::of(&[path.address(), 0]);
        let args = [path.into(), argv.into(), 0.into()];
        let execve = call(libc::SYS_execve, &args).user_data(5);
        let batch: Batch = calls::inline([execve]).into_iter().collect();
        // Only where it fails does it come back.
        let _ = session.submit(batch);
    });
    child.succeed();
    let pid = child.pid().as_raw() as u32;
    let mut told = Vec::new();
    while let Some(notice) = monitor.wait_timeout(super::SILENCE).expect("it listens") {
        if let Notice::Event(event) = notice {
            if let What::Completed(call, end) = event.what {
                assert_eq!(event.pid, pid);
                told.push((call.nr, end));
            }
        }
    }
    let [(nr, end)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((i64::from(*nr), end.ret), (libc::SYS_execve, 0));
    let path = end.memory[0].before.as_deref().expect("the path was there");
    assert!(path.starts_with(b"/bin/true\0"));
    assert!(end.memory.iter().all(|memory| memory.after.is_none()));
}

fn memory_that_is_not_there_is_not_waited_for() {
    let session = Session::open().expect("a session");
    let mut monitor = listen();
    // Never touched, so that no page is there, and read by a call that fails before it would be.
    let untouched = Memory::pages(1);
    let write = calls::write(-1, untouched).user_data(1);
    session.submit(write.into()).expect("accepted");
    assert_eq!(session.wait().expect("it fails").ret, -9);
    let events = hear_all(&mut monitor);
    let (_, _, end) = ending_of(&events, 1);
    assert_eq!(end.memory[1].before, None);
    assert_eq!(end.memory[1].after, None);
}

fn a_rejection_is_told_with_its_reason() {
    let session = Session::open().expect("a session");
    let mut monitor = listen();
    let calls: Batch = [calls::getpid(), call(libc::SYS_rt_sigreturn, &[])]
        .into_iter()
        .collect();
    let error = session.submit(calls).expect_err("rejected").error;
    let events = hear_all(&mut monitor);
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    let What::Rejected {
        command,
        errno,
        message,
    } = &event.what
    else {
        panic!("{event:?}");
    };
    assert_eq!(*command, nlcall_abi::Command::Submit as u8);
    assert_eq!(*errno, Errno::from_raw(libc::EOPNOTSUPP));
    assert!(message.contains("call 1: rt_sigreturn"), "{message}");
    assert!(error.to_string().contains(message.as_str()), "{error}");
    assert_eq!(event.tid, Some(thread()));
    assert_eq!(event.session, None, "the socket has none yet");
}

fn every_call_is_told_once() {
    const CALLS: u64 = 1000;

    let session = Session::open().expect("a session");
    let mut monitor = listen();
    let mixed = (0..CALLS).map(|user_data| {
        let flags = match user_data % 3 {
            0 => CallFlags::INLINE,
            _ => CallFlags::empty(),
        };
        calls::getpid().flags(flags).user_data(user_data)
    });
    session.submit(mixed.collect()).expect("accepted");
    session::collect(&session, CALLS as usize);
    let events = hear_all(&mut monitor);
    let mut told = BTreeMap::new();
    let mut accepted = 0;
    for event in &events {
        match &event.what {
            What::Submitted(call) => {
                assert!(!told.contains_key(&call.user_data), "told before it began");
                accepted += 1;
            }
            What::Completed(call, end) => {
                assert_eq!(end.ret, i64::from(std::process::id()));
                assert_eq!(told.insert(call.user_data, ()), None, "told twice");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted, told.len() as u64), (CALLS, CALLS));
    let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

fn calls_that_began_before_are_not_told() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    session
        .submit(pipe.read_call().user_data(1).into())
        .expect("accepted");
    session::info_until(&session, "it blocks", |info| info.blocked == 1);
    let mut monitor = listen();
    pipe.fill(b"x");
    session.wait().expect("it completes");
    // It began when nobody looked on, so there is nothing to tell; the next one is told.
    session::value(&session, calls::getpid());
    let events = hear_all(&mut monitor);
    let told: Vec<_> = endings(&events)
        .iter()
        .map(|(_, call, _)| call.nr)
        .collect();
    assert_eq!(told, [libc::SYS_getpid as u32]);
}

fn processes_end_while_somebody_listens() {
    let mut monitor = listen();
    for round in 0..20 {
        let mut child = Child::fork(|channel| {
            let session = Session::open().expect("a session");
            let pipe = Pipe::new();
            session::submit(&session, 0, (0..8).map(|_| pipe.read_call()));
            session::submit(&session, 8, (0..200).map(|_| calls::getpid()));
            channel.put(1);
            session::info_until(&session, "they block", |info| info.blocked == 8);
            channel.get();
        });
        child.channel().get();
        if round % 2 == 0 {
            child.stop();
        }
        child.signal(Signal::SIGKILL);
        child.wait();
        while monitor.try_wait().expect("it listens").is_some() {}
    }
    let session = Session::open().expect("a session");
    session::value(&session, calls::getpid());
    let (events, _) = super::hear(&mut monitor);
    assert_eq!(endings(&events).len(), 1);
}
