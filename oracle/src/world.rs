// SPDX-License-Identifier: MIT OR Apache-2.0

//! What surrounds a call: files, descriptors, memory, helpers. All of it is made anew in the
//! process that makes the call, in the same order whichever way that goes.

use std::{
    ffi::CString,
    fs,
    ops::Range,
    os::{
        fd::IntoRawFd,
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::Path,
    sync::OnceLock,
};

use nlcall_tests::{calls, memory::Memory, pipe::Pipe, process::exit_now};

use crate::case::{nr, Args, ERRORS};

/// What memory that a call is to write holds before.
pub const FILL: u8 = 0xaa;

/// Memory that is compared.
pub struct Prepared {
    /// Where it is.
    pub memory: Memory,
    /// What it held.
    pub before: Vec<u8>,
    /// Bytes that are another each time: only whether they were written counts.
    pub varies: Vec<Range<usize>>,
}

/// Pages that all prepared memory comes from.
const ARENA: usize = 64;

/// They lie where they did before the process was made that uses them.
pub fn arena() -> Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    *MEMORY.get_or_init(|| Memory::pages(ARENA))
}

/// Looks at something after the call, given what that returned.
pub type Look = Box<dyn FnOnce(i64) -> String>;

/// What surrounds a call.
#[derive(Default)]
pub struct World {
    /// All memory that was prepared.
    pub prepared: Vec<Prepared>,
    /// Processes, with their names.
    pub processes: Vec<(i32, String)>,
    /// What to look at afterwards.
    pub looks: Vec<Look>,
    /// How many bytes of the arena are taken.
    taken: usize,
    /// Pages whose state in the address space counts.
    pub pages: Vec<Memory>,
}

impl World {
    /// Memory that lies at the same place each time, with these bytes.
    fn prepare(&mut self, bytes: &[u8]) -> Memory {
        let memory = arena().from_offset(self.taken).first(bytes.len());
        memory.put(bytes);
        // Aligned for everything that a system call takes.
        self.taken += bytes.len().next_multiple_of(16);
        self.prepared.push(Prepared {
            memory,
            before: memory.get(),
            varies: Vec::new(),
        });
        memory
    }

    /// Memory for the call to write.
    pub fn out(&mut self, len: usize) -> Memory {
        self.prepare(&vec![FILL; len])
    }

    /// Memory for the call to write, of which these bytes are another each time.
    pub fn out_varying(&mut self, len: usize, varies: &[Range<usize>]) -> Memory {
        let memory = self.out(len);
        self.vary(varies);
        memory
    }

    /// Says that these bytes of the memory prepared last are another each time.
    pub fn vary(&mut self, varies: &[Range<usize>]) {
        let last = self.prepared.last_mut().expect("memory was prepared");
        last.varies.extend_from_slice(varies);
    }

    /// Memory for the call to read and write, which must be zero.
    pub fn out_zeroed(&mut self, len: usize) -> Memory {
        self.bytes(&vec![0; len])
    }

    /// Memory with these bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Memory {
        self.prepare(bytes)
    }

    /// Memory with this text and a zero.
    pub fn text(&mut self, text: &str) -> Memory {
        self.prepare(format!("{text}\0").as_bytes())
    }

    /// Memory with these words of 64 bits.
    pub fn words(&mut self, words: &[u64]) -> Memory {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.bytes(&bytes)
    }

    /// Memory with these words of 32 bits.
    pub fn halves(&mut self, halves: &[u32]) -> Memory {
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_ne_bytes()).collect();
        self.bytes(&bytes)
    }

    /// New pages, whose contents and state count.
    pub fn pages(&mut self, count: usize) -> Memory {
        let memory = Memory::pages(count);
        memory.put(b"pages");
        self.pages.push(memory);
        memory
    }

    /// A file in the scratch folder with these contents, and its path.
    pub fn file(&mut self, path: &str, contents: &[u8]) -> Memory {
        fs::write(path, contents).expect("writing a file");
        self.text(path)
    }

    /// A folder in the scratch folder, and its path.
    pub fn folder(&mut self, path: &str) -> Memory {
        fs::create_dir(path).expect("making a folder");
        self.text(path)
    }

    /// A new file with these contents, open for reading and writing.
    pub fn open(&mut self, path: &str, contents: &[u8]) -> i32 {
        fs::write(path, contents).expect("writing a file");
        self.open_with(path, libc::O_RDWR)
    }

    /// What is there, opened with these flags.
    pub fn open_with(&mut self, path: &str, flags: i32) -> i32 {
        let path = CString::new(path).expect("a path");
        // SAFETY: the path is a string.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o644) };
        assert!(fd >= 0, "{path:?}: {}", std::io::Error::last_os_error());
        fd
    }

    /// The scratch folder, or another, open.
    pub fn open_folder(&mut self, path: &str) -> i32 {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_DIRECTORY);
        options.open(path).expect("a folder").into_raw_fd()
    }

    /// Whether no descriptor has this number.
    pub fn is_free(&self, fd: i32) -> bool {
        plain("fcntl", crate::case::args![fd, libc::F_GETFD]) < 0
    }

    /// A pipe: the end to read from, the end to write to.
    pub fn pipe(&mut self) -> (i32, i32) {
        let Pipe { reader, writer } = Pipe::new();
        (reader.into_raw_fd(), writer.into_raw_fd())
    }

    /// A pipe that holds these bytes.
    pub fn filled_pipe(&mut self, bytes: &[u8]) -> (i32, i32) {
        let (reader, writer) = self.pipe();
        self.put(writer, bytes);
        (reader, writer)
    }

    /// Two sockets that are connected.
    pub fn sockets(&mut self) -> (i32, i32) {
        let (a, b) = UnixStream::pair().expect("a socket pair");
        (a.into_raw_fd(), b.into_raw_fd())
    }

    /// Writes these bytes.
    pub fn put(&mut self, fd: i32, bytes: &[u8]) {
        let memory = Memory::holding(bytes);
        let written = self.sys(
            "write",
            crate::case::args![fd, memory.address(), bytes.len()],
        );
        assert_eq!(written, bytes.len() as i64);
    }

    /// A plain call, which must succeed.
    pub fn sys(&mut self, name: &str, args: Args) -> i64 {
        must(name, args)
    }

    /// A process that waits to be killed, or does this and ends. It has begun when this returns.
    pub fn child_doing(&mut self, body: fn()) -> i32 {
        let Pipe { reader, writer } = Pipe::new();
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: the option takes a number.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            drop((reader, writer));
            body();
            exit_now(0);
        }
        drop(writer);
        // The end of the pipe: the C library of the new process has done its part.
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]), Ok(0));
        let name = format!("helper {}", self.processes.len());
        self.processes.push((pid, name));
        pid
    }

    /// A process that waits to be killed.
    pub fn child(&mut self) -> i32 {
        self.child_doing(sleep)
    }

    /// A process that has ended with this status, and was not waited for.
    pub fn ended_child(&mut self) -> i32 {
        let pid = self.child_doing(|| exit_now(7));
        // SAFETY: the structure may be all zero, and the call only looks.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOWAIT;
            assert_eq!(libc::waitid(libc::P_PID, pid as u32, &mut info, flags), 0);
        }
        pid
    }

    /// Looks at something after the call.
    pub fn then(&mut self, look: impl FnOnce(i64) -> String + 'static) {
        self.looks.push(Box::new(look));
    }

    /// Reads from there after the call, at most 64 bytes, without waiting.
    pub fn then_read(&mut self, fd: i32) {
        self.then(move |_| {
            let memory = Memory::zeroed(64);
            calls_nonblocking(fd);
            let read = plain("read", crate::case::args![fd, memory, 64]);
            let bytes = memory.get();
            format!(
                "read: {read} {:?}",
                String::from_utf8_lossy(&bytes[..read.clamp(0, 64) as usize])
            )
        });
    }

    /// How the helper ended, after the call.
    pub fn then_wait(&mut self, pid: i32) {
        self.then(move |_| {
            let status = Memory::zeroed(4);
            let waited = plain("wait4", crate::case::args![pid, status, 0, 0]);
            format!(
                "waited: {} status {:#x}",
                waited == i64::from(pid),
                status.get_as::<u32>()
            )
        });
    }

    /// What a plain call gives after the call.
    pub fn then_call(&mut self, name: &'static str, args: Args) {
        self.then(move |_| format!("{name}: {}", plain(name, args)));
    }

    /// An address that nothing lies at.
    pub fn nowhere(&self) -> u64 {
        16
    }
}

fn calls_nonblocking(fd: i32) {
    let flags = plain("fcntl", crate::case::args![fd, libc::F_GETFL]);
    plain(
        "fcntl",
        crate::case::args![fd, libc::F_SETFL, flags | i64::from(libc::O_NONBLOCK)],
    );
}

/// Waits to be killed.
pub fn sleep() {
    loop {
        // SAFETY: takes no arguments.
        unsafe { libc::pause() };
    }
}

/// A plain call: its value, or a negative error number.
pub fn plain(name: &str, args: Args) -> i64 {
    let args = args.map(calls::Arg::mapped);
    calls::plainly(&calls::call(nr(name).into(), &args))
}

/// A plain call, which must succeed.
pub fn must(name: &str, args: Args) -> i64 {
    let value = plain(name, args);
    assert!(!ERRORS.contains(&value), "{name}{args:?}: {value}");
    value
}

/// Whether a file of this name is there.
pub fn is_there(path: &str) -> bool {
    Path::new(path).symlink_metadata().is_ok()
}

/// The number of a descriptor that is open nowhere in the cases.
pub const NO_FD: i32 = 999;

/// A process id that no process has.
pub const NO_PID: i32 = 4_000_000;
