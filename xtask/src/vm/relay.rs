// SPDX-License-Identifier: MIT OR Apache-2.0

//! Passes the command's standard streams on, byte by byte as they are.

use std::io::{
    self,
    ErrorKind,
    Read,
    Write, //
};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{
    AtomicU64,
    Ordering, //
};
use std::sync::Arc;
use std::thread::{
    self,
    JoinHandle, //
};

/// Largest piece that is held in memory.
const PIECE_BYTES: usize = 256 * 1024;

/// A stream on its way out of the guest.
pub struct Outgoing {
    passed_on: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Outgoing {
    /// Passes everything from the guest on to `to`. `when_closed` is called if nobody reads that
    /// any more.
    pub fn start(
        from: UnixStream,
        to: Box<dyn Write + Send>,
        when_closed: impl FnOnce(io::Error) + Send + 'static,
    ) -> Self {
        let passed_on = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&passed_on);
        let thread = thread::spawn(move || {
            if let Err(error) = copy(from, to, &counter) {
                when_closed(error);
            }
        });
        Self { passed_on, thread }
    }

    /// Bytes that have been written to the destination.
    pub fn passed_on(&self) -> u64 {
        self.passed_on.load(Ordering::Acquire)
    }

    /// Whether no more will be passed on: all was, or nobody reads it any more.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything has been passed on; the machine must have ended.
    pub fn join(self) {
        // A relay that died said why as it did.
        drop(self.thread.join());
    }
}

/// Copies to the end. The reader waits for the writer, so a slow destination slows the guest down.
fn copy(mut from: UnixStream, mut to: impl Write, counter: &AtomicU64) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // The machine was ended while it wrote.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        };
        to.write_all(&piece[..length])?;
        to.flush()?;
        counter.fetch_add(length as u64, Ordering::Release);
    }
}

/// Passes `from` on to the guest, its end included. The thread ends with this program.
pub fn incoming(mut from: Box<dyn Read + Send>, to: UnixStream) {
    thread::spawn(move || {
        let mut to_write = &to;
        // The guest may end before it has read everything.
        drop(io::copy(&mut from, &mut to_write));
        drop(to.shutdown(Shutdown::Write));
        // Closing it altogether would make QEMU drop what the guest has not read yet.
        std::mem::forget(to);
    });
}
