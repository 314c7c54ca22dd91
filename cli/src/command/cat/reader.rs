// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads files from their beginning to their end, through calls that are in flight together.

use std::collections::VecDeque;
use std::io::{
    self,
    Write, //
};
use std::mem::offset_of;

use linux_raw_sys::general::{
    self as kernel_abi,
    statx, //
};
use nlcall::raw::Outcome;
use nlcall::{
    Errno,
    Error, //
};

use super::source::Source;
use super::CatError;
use crate::exit::Failure;
use crate::kernel::{
    Kernel,
    Reply,
    Request, //
};
use crate::memory::Buffer;

#[cfg(test)]
mod tests;

/// Reads in flight at a time.
pub(super) const DEPTH: usize = 8;

/// Bytes that one read asks for.
pub(super) const CHUNK: usize = 256 << 10;

/// A part of a file that is being read, in file order.
#[derive(Debug)]
struct Chunk {
    /// Its buffer, which is also the `user_data` of its read.
    slot: usize,
    offset: u64,
    /// Bytes read so far.
    filled: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes are lacking, and no read is in flight. It is submitted at once, or when the chunk
    /// comes first.
    Wanted,
    /// A read is in flight. `first`: when it was submitted, all before it had been printed.
    Reading { first: bool },
    /// All bytes are there.
    Full,
    /// This is the end of the file: a read that was submitted as the first one found nothing.
    Ended,
    /// The read failed.
    Failed(Errno),
}

/// Reads files through a [`Kernel`], one after the other.
pub(crate) struct Reader<'a> {
    kernel: &'a mut dyn Kernel,
    buffers: Vec<Buffer>,
    /// Holds a path or a `struct statx`.
    status: Buffer,
    /// Bytes on their way to the output.
    bytes: Vec<u8>,
    /// Calls submitted whose reply was not received.
    in_flight: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(kernel: &'a mut dyn Kernel) -> io::Result<Self> {
        let buffers = (0..DEPTH)
            .map(|_| Buffer::zeroed(CHUNK))
            .collect::<io::Result<_>>()?;
        let status = Buffer::zeroed(size_of::<statx>())?;
        Ok(Self {
            kernel,
            buffers,
            status,
            bytes: Vec::new(),
            in_flight: 0,
        })
    }

    /// Opens a file.
    pub(super) fn open(&mut self, path: &[u8]) -> Result<Source, CatError> {
        let no_memory = |error| CatError::Stop(Failure::Memory(error));
        let path = Buffer::holding(&[path, &[0]].concat()).map_err(no_memory)?;
        let flags = kernel_abi::O_RDONLY | kernel_abi::O_CLOEXEC;
        let at = kernel_abi::AT_FDCWD as u64;
        let fd = self.call(
            kernel_abi::__NR_openat,
            [at, path.address(), flags.into(), 0, 0, 0],
        )?;
        // A descriptor is an int.
        self.look_at(fd as i32, true)
    }

    /// The standard input, read from where it stands.
    pub(super) fn standard_input(&mut self) -> Result<Source, CatError> {
        self.look_at(libc::STDIN_FILENO, false)
    }

    fn look_at(&mut self, fd: i32, opened: bool) -> Result<Source, CatError> {
        let no_memory = |error| CatError::Stop(Failure::Memory(error));
        let empty = Buffer::holding(&[0]).map_err(no_memory)?;
        let args = [
            fd as u64,
            empty.address(),
            kernel_abi::AT_EMPTY_PATH.into(),
            kernel_abi::STATX_BASIC_STATS.into(),
            self.status.address(),
            0,
        ];
        let source = Source {
            fd,
            opened,
            mode: 0,
            size: 0,
            device: 0,
            inode: 0,
        };
        if let Err(error) = self.call(kernel_abi::__NR_statx, args) {
            self.close(source)?;
            return Err(error);
        }
        let status = self.status.copy(size_of::<statx>());
        let u16_at = |at: usize| u16::from_ne_bytes([status[at], status[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let major = u32_at(offset_of!(statx, stx_dev_major));
        let minor = u32_at(offset_of!(statx, stx_dev_minor));
        Ok(Source {
            mode: u16_at(offset_of!(statx, stx_mode)).into(),
            size: u64_at(offset_of!(statx, stx_size)),
            device: libc::makedev(major, minor),
            inode: u64_at(offset_of!(statx, stx_ino)),
            ..source
        })
    }

    /// Writes the contents of a file to `out`.
    pub(super) fn copy(&mut self, source: &Source, out: &mut dyn Write) -> Result<(), CatError> {
        if let Some(end) = source.parallel_up_to() {
            let copied = self.copy_in_parallel(source.fd, end, out);
            // Reads beyond the end of the file, or beyond an error, may still be in flight.
            while self.in_flight > 0 {
                self.wait()?;
            }
            match copied {
                Copied::Nothing(errno) if errno.raw() == libc::ESPIPE => {}
                Copied::Nothing(errno) => return Err(errno.into()),
                Copied::All => return Ok(()),
                Copied::Some(error) => return Err(error),
            }
        }
        self.copy_in_order(source.fd, out)
    }

    /// One read at a time, each where the one before ended.
    fn copy_in_order(&mut self, fd: i32, out: &mut dyn Write) -> Result<(), CatError> {
        loop {
            let address = self.buffers[0].address();
            let args = [fd as u64, address, CHUNK as u64, 0, 0, 0];
            match self.call(kernel_abi::__NR_read, args)? {
                0 => return Ok(()),
                // A read returns at most what it was asked for.
                count => self.print(0, count as usize, out)?,
            }
        }
    }

    /// Several reads at a time, up to `end`; one at a time beyond it, until there is no more.
    fn copy_in_parallel(&mut self, fd: i32, end: u64, out: &mut dyn Write) -> Copied {
        let mut window = Window {
            fd,
            end,
            next: 0,
            chunks: VecDeque::new(),
        };
        let mut printed = false;
        loop {
            let advanced = self.fill(&mut window).and_then(|()| {
                let reply = self.wait()?;
                self.receive(&mut window, reply)
            });
            if let Err(error) = advanced {
                return Copied::Some(error.into());
            }
            while let Some(chunk) = window.chunks.front() {
                let (slot, filled, state) = (chunk.slot, chunk.filled, chunk.state);
                match state {
                    State::Wanted => {
                        if let Err(error) = self.read_on(&mut window, 0) {
                            return Copied::Some(error.into());
                        }
                        break;
                    }
                    State::Reading { .. } => break,
                    State::Full | State::Ended | State::Failed(_) => {}
                }
                if let Err(error) = self.print(slot, filled, out) {
                    return Copied::Some(error);
                }
                printed |= filled > 0;
                window.chunks.pop_front();
                match state {
                    State::Ended => return Copied::All,
                    State::Failed(errno) if printed => return Copied::Some(errno.into()),
                    State::Failed(errno) => return Copied::Nothing(errno),
                    _ => {}
                }
            }
        }
    }

    /// Submits reads of the chunks that come next.
    fn fill(&mut self, window: &mut Window) -> Result<(), Error> {
        while window.chunks.len() < DEPTH && (window.next < window.end || window.chunks.is_empty())
        {
            let used = |slot: &usize| window.chunks.iter().any(|chunk| chunk.slot == *slot);
            let Some(slot) = (0..DEPTH).find(|slot| !used(slot)) else {
                break;
            };
            let chunk = Chunk {
                slot,
                offset: window.next,
                filled: 0,
                state: State::Wanted,
            };
            window.chunks.push_back(chunk);
            window.next += CHUNK as u64;
            let last = window.chunks.len() - 1;
            self.read_on(window, last)?;
            if window.chunks[last].state == State::Wanted {
                break;
            }
        }
        Ok(())
    }

    /// Submits a read of what a chunk lacks. It stays wanted where too much is in flight already.
    fn read_on(&mut self, window: &mut Window, index: usize) -> Result<(), Error> {
        let chunk = &mut window.chunks[index];
        let request = Request {
            nr: kernel_abi::__NR_pread64,
            args: [
                window.fd as u64,
                self.buffers[chunk.slot].address() + chunk.filled as u64,
                (CHUNK - chunk.filled) as u64,
                chunk.offset + chunk.filled as u64,
                0,
                0,
            ],
            user_data: chunk.slot as u64,
        };
        chunk.state = State::Wanted;
        match self.submit(request) {
            Ok(()) => chunk.state = State::Reading { first: index == 0 },
            Err(error) if self.in_flight > 0 && is_full(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes in how a read ended; submits another where the chunk is not full.
    fn receive(&mut self, window: &mut Window, reply: Reply) -> Result<(), Error> {
        let is_its = |chunk: &Chunk| chunk.slot as u64 == reply.user_data;
        let Some(index) = window.chunks.iter().position(is_its) else {
            return Ok(());
        };
        let chunk = &mut window.chunks[index];
        let first = chunk.state == State::Reading { first: true };
        match result(&reply) {
            Ok(0) if first => chunk.state = State::Ended,
            // The file may have grown when this chunk comes first: look again then.
            Ok(0) => chunk.state = State::Wanted,
            Ok(count) => {
                // A read returns at most what it was asked for.
                chunk.filled = CHUNK.min(chunk.filled + count as usize);
                match chunk.filled {
                    CHUNK => chunk.state = State::Full,
                    _ => self.read_on(window, index)?,
                }
            }
            Err(errno) if is_interruption(errno) => self.read_on(window, index)?,
            Err(errno) => chunk.state = State::Failed(errno),
        }
        Ok(())
    }

    /// Closes a file that was opened here.
    pub(super) fn close(&mut self, source: Source) -> Result<(), CatError> {
        if source.opened {
            let args = [source.fd as u64, 0, 0, 0, 0, 0];
            self.submit(Request {
                nr: kernel_abi::__NR_close,
                args,
                user_data: 0,
            })?;
            // Interrupted or not, the descriptor is closed.
            result(&self.wait()?)
                .map(drop)
                .or_else(|errno| match is_interruption(errno) {
                    true => Ok(()),
                    false => Err(CatError::from(errno)),
                })?;
        }
        Ok(())
    }

    /// Writes the first bytes of a buffer to `out`.
    fn print(&mut self, slot: usize, count: usize, out: &mut dyn Write) -> Result<(), CatError> {
        self.buffers[slot].copy_into(&mut self.bytes, count);
        out.write_all(&self.bytes)
            .map_err(|error| CatError::Stop(Failure::Output(error)))
    }

    /// Makes one call, again where a signal interrupted it.
    fn call(&mut self, nr: u32, args: [u64; 6]) -> Result<u64, CatError> {
        loop {
            self.submit(Request {
                nr,
                args,
                user_data: 0,
            })?;
            match result(&self.wait()?) {
                Err(errno) if is_interruption(errno) => {}
                result => return Ok(result?),
            }
        }
    }

    fn submit(&mut self, request: Request) -> Result<(), Error> {
        // SAFETY: Every address here is that of a `Buffer`, with a length that it has, and buffers
        // are never unmapped. Nothing reads a buffer before the reply to the call that writes it,
        // and no Rust reference points to one. Descriptors are those that the reader opened, or
        // the standard input.
        unsafe { self.kernel.submit(request)? };
        self.in_flight += 1;
        Ok(())
    }

    fn wait(&mut self) -> Result<Reply, Error> {
        let reply = self.kernel.wait()?;
        self.in_flight -= 1;
        Ok(reply)
    }
}

/// The chunks of a file that are being read.
#[derive(Debug)]
struct Window {
    fd: i32,
    /// Up to where several reads may be in flight.
    end: u64,
    /// Offset of the chunk that comes next.
    next: u64,
    chunks: VecDeque<Chunk>,
}

/// How far a file was copied.
enum Copied {
    /// To its end.
    All,
    /// Nothing was, because the first read failed so.
    Nothing(Errno),
    /// Some of it, perhaps, until this went wrong.
    Some(CatError),
}

/// The value that a call returned, or its error.
fn result(reply: &Reply) -> Result<u64, Errno> {
    match (reply.outcome, crate::invocation::errno(reply)) {
        (_, Some(errno)) => Err(errno),
        (Outcome::Ran, None) => Ok(reply.ret as u64),
        // It did not run to its end, and did not say why.
        (_, None) => Err(Errno::from_raw(libc::EIO)),
    }
}

fn is_interruption(errno: Errno) -> bool {
    errno.raw() == libc::EINTR
}

/// Whether a call was not accepted because too many are in flight.
fn is_full(error: &Error) -> bool {
    match error {
        Error::InFlightLimit { .. } => true,
        Error::Rejected { errno, .. } => errno.raw() == libc::EAGAIN,
        _ => false,
    }
}
