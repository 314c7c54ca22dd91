// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pipes: what a call can block on as long as a test wants it to.

use std::os::fd::OwnedFd;

use nlcall::raw::Call;
use rustix::{
    fs::{fcntl_setfl, OFlags},
    io::Errno,
    pipe::{pipe_with, PipeFlags},
};

use crate::{calls, memory::Memory};

/// A pipe, empty at first.
#[derive(Debug)]
pub struct Pipe {
    /// The end to read from.
    pub reader: OwnedFd,
    /// The end to write to.
    pub writer: OwnedFd,
}

impl Pipe {
    /// An empty pipe.
    pub fn new() -> Self {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        Self { reader, writer }
    }

    /// So many empty pipes.
    pub fn several(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::new()).collect()
    }

    /// A read of one byte, which blocks while the pipe is empty.
    pub fn read_call(&self) -> Call {
        calls::read(&self.reader, Memory::zeroed(1))
    }

    /// Puts bytes in.
    pub fn fill(&self, bytes: &[u8]) {
        let written = rustix::io::write(&self.writer, bytes).expect("the pipe has room");
        assert_eq!(written, bytes.len());
    }

    /// Takes out what is there; does not wait.
    pub fn take(&self) -> Vec<u8> {
        fcntl_setfl(&self.reader, OFlags::NONBLOCK).expect("F_SETFL");
        let mut bytes = vec![0; 65536];
        let taken = match rustix::io::read(&self.reader, &mut bytes[..]) {
            Ok(taken) => taken,
            Err(Errno::AGAIN) => 0,
            Err(errno) => panic!("reading a pipe: {errno}"),
        };
        fcntl_setfl(&self.reader, OFlags::empty()).expect("F_SETFL");
        bytes.truncate(taken);
        bytes
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}
