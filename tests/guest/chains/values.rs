// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arguments that are results of earlier calls, or fields of their output.

use std::{fs, path::PathBuf};

use nlcall::raw::{Arg, Batch, Call, CallFlags, Chain, Outcome, Session, Step};
use nlcall_abi::{ArgKind, Call as WireCall};
use nlcall_tests::{
    calls, event::Answer, memory::Memory, message::Message, pipe::Pipe, session, socket::RawSocket,
};

use super::{endings, ran, CANCELED};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_file_is_opened_measured_read_and_closed,
    a_thousand_files_in_one_message,
    a_result_reaches_a_thousand_calls_back,
    a_result_of_a_failed_call_is_its_error,
    loads_of_every_width_are_extended_with_zeros,
    a_load_that_faults_ends_its_call,
    what_an_argument_becomes_is_judged,
    a_reference_to_no_earlier_call_is_rejected,
];

/// Offset of `st_size` in `struct stat`.
const ST_SIZE: u32 = 48;

/// The call of this number, which is one of `libc::SYS_*`.
fn call(nr: libc::c_long, args: &[Arg]) -> Call {
    // SAFETY: as for `calls::call`: addresses come from Memory, which lives for ever.
    unsafe { Call::with_args(nr as u32, args) }
}

fn address(memory: Memory) -> Arg {
    Arg::Value(memory.address())
}

/// Opens, measures, reads and closes a file; the descriptor and the size pass from call to call.
fn file_chain(path: &str, contents: Memory, first: u64) -> Chain {
    let (path, stat) = (Memory::string(path), Memory::zeroed(144));
    let hard = CallFlags::HARDLINK;
    let mut chain = Chain::new();
    let cwd = Arg::from(libc::AT_FDCWD);
    let open = call(libc::SYS_openat, &[cwd, address(path), 0.into()]);
    let open = chain.push(open.user_data(first));
    let stat = Arg::OutPtr(stat.address());
    let fstat = call(libc::SYS_fstat, &[open.result(), stat]).flags(hard);
    let fstat = chain.push(fstat.user_data(first + 1));
    let size = fstat.load::<u64>(ST_SIZE);
    let read = call(libc::SYS_read, &[open.result(), address(contents), size]);
    chain.push(read.flags(hard).user_data(first + 2));
    let close = call(libc::SYS_close, &[open.result()]);
    chain.push(close.user_data(first + 3));
    chain
}

/// A folder of files of different sizes, gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn of(files: usize) -> Self {
        let path = std::env::temp_dir().join(format!("nlcall-chains-{}", std::process::id()));
        fs::create_dir(&path).expect("a folder");
        let folder = Self(path);
        for file in 0..files {
            fs::write(folder.path(file), Self::contents(file)).expect("a file");
        }
        folder
    }

    fn path(&self, file: usize) -> String {
        self.0.join(file.to_string()).display().to_string()
    }

    fn contents(file: usize) -> Vec<u8> {
        vec![file as u8; file % 977]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder can be removed");
    }
}

fn a_file_is_opened_measured_read_and_closed() {
    let session = Session::open().expect("a session");
    let folder = Folder::of(5);
    let before = descriptors();
    let contents = Memory::zeroed(4096);
    let mut batch = Batch::new();
    // A reference counts from the beginning of the message.
    batch.push(calls::getpid().user_data(9));
    batch.push_chain(&file_chain(&folder.path(4), contents, 0));
    session.submit(batch).expect("the chain is accepted");
    let completions = session::collect(&session, 5);
    let chain: Vec<_> = (0..4).map(|place| completions[&place].clone()).collect();
    let fd = chain[0].ret;
    assert_eq!(endings(&chain), [ran(fd), ran(0), ran(4), ran(0)]);
    assert_eq!(contents.get()[..4], Folder::contents(4));
    assert_eq!(descriptors(), before);

    // No file: nothing else happens.
    let mut batch = Batch::new();
    batch.push_chain(&file_chain("/nowhere/at/all", contents, 0));
    session.submit(batch).expect("the chain is accepted");
    let chain: Vec<_> = session::collect(&session, 4).into_values().collect();
    let enoent = ran(-i64::from(libc::ENOENT));
    assert_eq!(endings(&chain), [enoent, CANCELED, CANCELED, CANCELED]);
    session::close(session);
}

/// Open descriptors of this process.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc").count()
}

fn a_thousand_files_in_one_message() {
    const FILES: usize = 1000;
    let folder = Folder::of(FILES);
    let mut socket = RawSocket::with_large_send_buffer();
    let before = descriptors();
    let mut batch = Batch::new();
    let mut contents = Vec::new();
    for file in 0..FILES {
        let memory = Memory::zeroed(1000);
        batch.push_chain(&file_chain(&folder.path(file), memory, 4 * file as u64));
        contents.push(memory);
    }
    let message = Message::submit(socket.family(), batch.as_abi());
    let answer = socket.request(message);
    assert_eq!(answer.errno, 0, "{answer:?}");
    let mut completions = socket.completions(4 * FILES);
    completions.sort_by_key(|it| it.user_data);
    for (file, chain) in completions.chunks_exact(4).enumerate() {
        let size = Folder::contents(file).len() as i64;
        assert!(chain.iter().all(|it| it.outcome == Outcome::Ran as u16));
        assert!(chain[0].ret >= 0, "{chain:?}");
        let rets: Vec<i64> = chain[1..].iter().map(|it| it.ret).collect();
        assert_eq!(rets, [0, size, 0], "file {file}");
        assert_eq!(
            contents[file].get()[..size as usize],
            Folder::contents(file)
        );
    }
    assert_eq!(descriptors(), before);
    socket.assert_no_more_completions();
}

fn a_result_reaches_a_thousand_calls_back() {
    let session = Session::open().expect("a session");
    let before = descriptors();
    let mut chain = Chain::new();
    let root = Memory::string("/");
    let open = [Arg::from(libc::AT_FDCWD), address(root), 0.into()];
    let skip = CallFlags::SKIP_SUCCESS;
    let open = chain.push(call(libc::SYS_openat, &open).flags(skip));
    for _ in 0..1023 {
        chain.push(calls::getpid().flags(skip));
    }
    chain.push(call(libc::SYS_close, &[open.result()]).user_data(7));
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    session.submit(batch).expect("the chain is accepted");
    let completion = session.wait().expect("the last call completes");
    assert_eq!((completion.user_data, completion.ret), (7, 0));
    assert_eq!(descriptors(), before);
    let info = session::info(&session);
    assert_eq!((info.skipped, info.accepted), (1024, 1025));
}

/// Behind a hard link, the result of a failed call is its negative errno.
fn a_result_of_a_failed_call_is_its_error() {
    let session = Session::open().expect("a session");
    let mut chain = Chain::new();
    let hard = CallFlags::HARDLINK;
    let failed = chain.push(call(libc::SYS_close, &[Arg::from(-1)]).flags(hard));
    chain.push(call(libc::SYS_close, &[failed.result()]).user_data(1));
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    session.submit(batch).expect("the chain is accepted");
    let completions: Vec<_> = session::collect(&session, 2).into_values().collect();
    let ebadf = ran(-i64::from(libc::EBADF));
    assert_eq!(endings(&completions), [ebadf, ebadf]);
    session::close(session);
}

/// Reads eight bytes of 0xff with one call, and takes 1, 2, 4 and 8 of them as an argument.
fn loads_of_every_width_are_extended_with_zeros() {
    let session = Session::open().expect("a session");
    let file = rustix::fs::memfd_create("values", rustix::fs::MemfdFlags::CLOEXEC);
    let file = file.expect("a memfd");
    rustix::io::write(&file, &[0xff; 16]).expect("writing the file");
    let fd = Arg::from(std::os::fd::AsRawFd::as_raw_fd(&file));
    let buffer = Memory::zeroed(16);
    let load = |step: Step, width: u32| match width {
        1 => step.load::<u8>(8),
        2 => step.load::<u16>(8),
        4 => step.load::<u32>(8),
        _ => step.load::<u64>(8),
    };
    for (width, expected) in [
        (1, 0xff),
        (2, 0xffff),
        (4, 0xffff_ffff),
        // Too far for a file: the call's own error.
        (8, -i64::from(libc::EINVAL)),
    ] {
        let mut chain = Chain::new();
        let out = Arg::OutPtr(buffer.address());
        let pread = [fd, out, 16_u32.into(), 0.into()];
        let step = chain.push(call(libc::SYS_pread64, &pread));
        let seek = [fd, load(step, width), libc::SEEK_SET.into()];
        chain.push(call(libc::SYS_lseek, &seek).user_data(1));
        let mut batch = Batch::new();
        batch.push_chain(&chain);
        session.submit(batch).expect("the chain is accepted");
        let completions: Vec<_> = session::collect(&session, 2).into_values().collect();
        assert_eq!(endings(&completions), [ran(16), ran(expected)], "{width}");
    }
    session::close(session);
}

fn a_load_that_faults_ends_its_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let page = 4096_u32;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let map = |at: u64, flags: i32| {
        let place = [Arg::Value(at), page.into(), protection.into()];
        let what = [flags.into(), (-1).into(), 0.into()];
        call(libc::SYS_mmap, &[place, what].concat())
    };
    let at = session::value(&session, map(0, flags));
    let write = |text: &[u8]| super::write(&pipe, text);
    for hard in [CallFlags::empty(), CallFlags::HARDLINK] {
        let mut chain = Chain::new();
        let uname = chain.push(call(libc::SYS_uname, &[Arg::OutPtr(at)]).user_data(0));
        let munmap = [Arg::Value(at), page.into()];
        chain.push(call(libc::SYS_munmap, &munmap).user_data(1));
        let close = call(libc::SYS_close, &[uname.load::<u32>(0)]);
        chain.push(close.user_data(2).flags(hard));
        chain.push(write(b"x").user_data(3));
        let mut batch = Batch::new();
        batch.push_chain(&chain);
        session.submit(batch).expect("the chain is accepted");
        let completions: Vec<_> = session::collect(&session, 4).into_values().collect();
        let fault = (Outcome::NotStarted, -i64::from(libc::EFAULT));
        // It counts as a failure: of a link, not of a hard one.
        let (last, written) = match hard.is_empty() {
            true => (CANCELED, &b""[..]),
            false => (ran(1), &b"x"[..]),
        };
        assert_eq!(endings(&completions), [ran(0), ran(0), fault, last]);
        assert_eq!(pipe.take(), written);
        // The next round needs its page again, at the same place.
        let again = map(at, flags | libc::MAP_FIXED_NOREPLACE);
        assert_eq!(session::value(&session, again), at);
    }
    session::close(session);
}

/// What a worker may not do is not known when the message is accepted.
fn what_an_argument_becomes_is_judged() {
    let session = Session::open().expect("a session");
    // The id 0 means the worker itself, any other a thread by name.
    let (mask, pid) = (Memory::zeroed(128), Arg::from(std::process::id()));
    for (from, expected) in [
        (call(libc::SYS_getpgid, &[pid]), None),
        (
            call(libc::SYS_umask, &[0.into()]),
            Some((Outcome::NotStarted, -i64::from(libc::EOPNOTSUPP))),
        ),
    ] {
        session::value(&session, call(libc::SYS_umask, &[0.into()]));
        let mut chain = Chain::new();
        let step = chain.push(from.user_data(0));
        let get = [step.result(), 128_u32.into(), address(mask)];
        chain.push(call(libc::SYS_sched_getaffinity, &get).user_data(1));
        let mut batch = Batch::new();
        batch.push_chain(&chain);
        session.submit(batch).expect("the chain is accepted");
        let completions: Vec<_> = session::collect(&session, 2).into_values().collect();
        let ending = endings(&completions)[1];
        match expected {
            Some(expected) => assert_eq!(ending, expected),
            None => assert!(matches!(ending, (Outcome::Ran, _)), "{ending:?}"),
        }
    }
    session::close(session);
}

fn a_reference_to_no_earlier_call_is_rejected() {
    let mut socket = RawSocket::open();
    let link = nlcall_abi::flag::LINK;
    let getpid = |flags| WireCall {
        nr: libc::SYS_getpid as u32,
        flags,
        ..WireCall::default()
    };
    let with = |kind: ArgKind, value: u64| WireCall {
        args: [value, 0, 0, 0, 0, 0],
        arg_kinds: kind as u32,
        ..getpid(0)
    };
    let load = |call: u64, width: u64| with(ArgKind::Load, call | width << 24);
    let out = WireCall {
        flags: link,
        ..with(ArgKind::OutPtr, 0x1000)
    };
    let mut ask = |calls: &[WireCall]| -> Answer {
        let message = Message::submit(socket.family(), calls);
        socket.request(message)
    };
    for (calls, word) in [
        // The call itself, a later one, one of another chain, none.
        (
            vec![getpid(link), with(ArgKind::Result, 1)],
            "no earlier call",
        ),
        (
            vec![getpid(link), with(ArgKind::Result, 2)],
            "no earlier call",
        ),
        (vec![getpid(0), with(ArgKind::Result, 0)], "no earlier call"),
        (
            vec![getpid(link), with(ArgKind::Result, 1 << 40)],
            "no earlier call",
        ),
        (vec![getpid(link), load(0, 8)], "without OUT_PTR"),
        (vec![out, load(0, 3)], "LOAD of 3 bytes"),
        (
            vec![
                getpid(0),
                WireCall {
                    arg_kinds: ArgKind::OutPtr as u32 * 0x11,
                    ..getpid(0)
                },
            ],
            "a second OUT_PTR",
        ),
    ] {
        let answer = ask(&calls);
        assert!(answer.is_rejection(libc::EINVAL, word), "{answer:?}");
        assert!(answer.text.starts_with("call 1: argument"), "{answer:?}");
    }
    let mut long = vec![getpid(link); 1025];
    long.push(with(ArgKind::Result, 0));
    let answer = ask(&long);
    assert!(
        answer.is_rejection(libc::EINVAL, "1024 calls back"),
        "{answer:?}"
    );
    socket.assert_no_more_completions();
}
