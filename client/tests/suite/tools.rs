// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests share.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsRawFd,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};

use nlcall::{
    op::{self, BufMut},
    rustix::pipe::{pipe_with, PipeFlags},
    Client, Driver, Errno, Error,
};

/// A client with this driver.
pub fn client(driver: Driver) -> Client {
    let client = Client::builder().driver(driver).open().expect("a client");
    assert_eq!(client.driver(), driver);
    client
}

/// A client with this driver and depth.
pub fn client_of_depth(driver: Driver, depth: usize) -> Client {
    let client = Client::builder().driver(driver).depth(depth).open();
    client.expect("a client")
}

/// Waits until it is so. Only something that never comes to be makes it hang.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut rounds = 0;
    while !is_so() {
        thread::sleep(Duration::from_millis(1));
        rounds += 1;
        if rounds % 10_000 == 0 {
            eprintln!("still waiting: {what}");
        }
    }
}

/// Number of open descriptors.
pub fn descriptors() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a folder");
    // That of the folder itself is one of them each time.
    entries.count()
}

/// A pipe.
#[derive(Clone, Debug)]
pub struct Pipe {
    pub reader: Arc<File>,
    pub writer: Arc<File>,
}

impl Pipe {
    pub fn new() -> Self {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        Self {
            reader: Arc::new(reader.into()),
            writer: Arc::new(writer.into()),
        }
    }

    /// A read of it, which blocks while it is empty.
    pub fn read<B: BufMut>(&self, buf: B) -> op::Read<Arc<File>, B> {
        op::Read::new(Arc::clone(&self.reader), buf)
    }

    /// Whether a thread of the pool is within a read of it.
    pub fn is_being_read(&self) -> bool {
        let call = format!("0 {:#x} ", self.reader.as_raw_fd());
        let threads = std::fs::read_dir("/proc/self/task").expect("a folder");
        threads.flatten().any(|thread| {
            let running = std::fs::read_to_string(thread.path().join("syscall"));
            running.is_ok_and(|text| text.starts_with(&call))
        })
    }

    pub fn put(&self, bytes: &[u8]) {
        (&*self.writer).write_all(bytes).expect("room in a pipe");
    }

    pub fn get(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        (&*self.reader).read_exact(&mut bytes).expect("bytes");
        bytes
    }
}

/// A buffer that tells when it is freed, and what was in it then.
#[derive(Debug)]
pub struct Watched {
    bytes: Box<[u8]>,
    watch: Arc<Watch>,
}

/// What is known of a [`Watched`] buffer.
#[derive(Debug, Default)]
pub struct Watch {
    freed: AtomicBool,
    first_byte: AtomicUsize,
}

impl Watched {
    pub fn new(len: usize) -> (Self, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        let buffer = Self {
            bytes: vec![0; len].into(),
            watch: Arc::clone(&watch),
        };
        (buffer, watch)
    }
}

impl Watch {
    pub fn is_freed(&self) -> bool {
        self.freed.load(Ordering::Acquire)
    }

    /// The first byte, when the buffer was freed.
    pub fn first_byte(&self) -> u8 {
        assert!(self.is_freed());
        self.first_byte.load(Ordering::Relaxed) as u8
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let first_byte = usize::from(self.bytes[0]);
        self.watch.first_byte.store(first_byte, Ordering::Relaxed);
        assert!(
            !self.watch.freed.swap(true, Ordering::AcqRel),
            "freed twice"
        );
    }
}

// SAFETY: the bytes of a box stay where they are as long as it is not touched.
unsafe impl BufMut for Watched {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// The name of an error number, such as `EBADF`.
pub fn name(errno: Errno) -> String {
    errno.name().expect("a known number")
}

/// The name of the error number that a call failed with.
pub fn failure<T: std::fmt::Debug>(result: Result<T, Errno>) -> String {
    name(result.expect_err("it fails"))
}

/// Asserts that a submission was rejected so.
pub fn assert_rejected(error: &Error, expected: &str, words: &str) {
    match error {
        Error::Rejected { errno, message, .. } => {
            assert_eq!(name(*errno), expected);
            let message = message.as_deref().expect("the kernel's words");
            assert!(message.contains(words), "{message}");
        }
        other => panic!("{other:?}"),
    }
}
