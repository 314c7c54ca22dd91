// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is measured besides batches: the parts of a message's price, and what threads cost.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsRawFd,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Barrier,
    },
    thread,
    time::Duration,
};

use anyhow::{ensure, Context, Result};
use blocking::{unblock, Task};
use futures_lite::future::block_on;
use io_uring::{opcode, squeue, types::Fd, IoUring};
use nlcall_abi::{config, Call};
use rustix::net::{send, SendFlags};
use syscalls::Sysno;

use crate::{
    area::Area,
    clock::Unit,
    contender::{uring, Contender, Job, Offer, Refusal, Run},
    netlink::{Channel, Message},
};

/// A round trip between two threads over two pipes, a byte each way.
pub fn ping_pong() -> Offer {
    let (their_end, our_writer) = pipe()?;
    let (our_end, their_writer) = pipe()?;
    let (mut reader, mut writer) = (their_end, their_writer);
    // It ends with the process.
    thread::spawn(move || {
        let mut byte = [0];
        while reader.read_exact(&mut byte).is_ok() && writer.write_all(&byte).is_ok() {}
    });
    let (mut reader, mut writer) = (our_end, our_writer);
    Ok(Job {
        operations: 1,
        run: Run::Whole(Box::new(move || {
            let mut byte = [1];
            writer.write_all(&byte)?;
            reader.read_exact(&mut byte)?;
            Ok(())
        })),
    })
}

fn pipe() -> Result<(File, File)> {
    let (reader, writer) = rustix::pipe::pipe().context("making a pipe")?;
    Ok((reader.into(), writer.into()))
}

/// A `send` that fails at once: what entering the kernel for it costs.
pub fn failing_send() -> Offer {
    let (reader, _) = pipe()?;
    Ok(Job {
        operations: 1,
        run: Run::Whole(Box::new(move || {
            ensure!(
                send(&reader, &[0; 16], SendFlags::empty()).is_err(),
                "a pipe took a message"
            );
            Ok(())
        })),
    })
}

/// A message of one header that says NLMSG_NOOP: what netlink costs before a family is asked.
pub fn empty_message() -> Offer {
    let channel = Channel::open()?;
    let message = channel.noop();
    Ok(Job {
        operations: 1,
        run: Run::Whole(Box::new(move || channel.send(&message))),
    })
}

/// A request that the family carries out and that changes nothing: a CONFIG_SET of the limit of calls
/// in flight to what it is.
pub fn empty_request() -> Offer {
    let channel = Channel::open()?;
    let message = channel.config_set(config::MAX_IN_FLIGHT, channel.features.max_in_flight);
    // Asked once with an acknowledgement: whoever may not change settings gets the reason.
    channel.acknowledged(&message)?;
    Ok(Job {
        operations: 1,
        run: Run::Whole(Box::new(move || channel.send(&message))),
    })
}

/// The first SUBMIT of a session, one `getppid`: from `send` to the completion's arrival. Opening
/// and closing the socket do not count.
pub fn first_submit() -> Offer {
    Ok(Job {
        operations: 1,
        run: Run::Part(Box::new(|unit| {
            let mut channel = Channel::open()?;
            let call = Call {
                nr: Sysno::getppid.id() as u32,
                ..Call::default()
            };
            let message = channel.submit(&[call], None);
            let begun = unit.now();
            channel.send(&message.bytes)?;
            channel.complete(1)?;
            let took = unit.now() - begun;
            drop(channel);
            // The worker of this session shall not be in the way of the next.
            thread::sleep(Duration::from_millis(20));
            Ok(took)
        })),
    })
}

/// `pthread_create` of a thread that calls `getppid`, and `pthread_join`.
pub fn thread_and_join() -> Offer {
    Ok(Job {
        operations: 1,
        run: Run::Part(Box::new(|unit| {
            let begun = unit.now();
            // SAFETY: getppid takes no arguments and changes nothing.
            let thread =
                thread::spawn(|| unsafe { syscalls::raw::syscall0(Sysno::getppid as usize) });
            let joined = thread.join();
            let took = unit.now() - begun;
            ensure!(joined.is_ok(), "the thread panicked");
            thread::sleep(Duration::from_millis(20));
            Ok(took)
        })),
    })
}

/// Reads of 64 empty pipes that block together: from the first byte that is written, by a plain call
/// for each pipe, to the last completion. How they came to block does not count.
pub fn blocked(contender: Contender) -> Offer {
    let pipes = Pipes::new()?;
    let mut reads: Box<dyn Reads> = match contender {
        Contender::Plain => return Err(Refusal::NotPossible("a thread blocks in one call")),
        Contender::Inline => return Err(Refusal::NotPossible("the sender itself would block")),
        Contender::Worker => Box::new(WorkerReads::new(&pipes)?),
        Contender::Uring => Box::new(RingReads::new(&pipes)?),
        Contender::Pool => Box::new(PoolReads::default()),
        Contender::Aio => return Err(Refusal::NotPossible("the C library has at most 20 threads")),
    };
    let pipes = Arc::new(pipes);
    let run = move |unit: Unit| {
        reads.begin(&pipes)?;
        thread::sleep(Duration::from_millis(50));
        let begun = unit.now();
        for (_, writer) in &pipes.ends {
            let mut writer: &File = writer;
            writer.write_all(&[1])?;
        }
        reads.end()?;
        Ok(unit.now() - begun)
    };
    Ok(Job {
        operations: Pipes::COUNT,
        run: Run::Part(Box::new(run)),
    })
}

struct Pipes {
    ends: Vec<(File, File)>,
    bytes: Area,
}

impl Pipes {
    const COUNT: usize = 64;

    fn new() -> Result<Self> {
        Ok(Self {
            ends: (0..Self::COUNT).map(|_| pipe()).collect::<Result<_>>()?,
            bytes: Area::new(Self::COUNT)?,
        })
    }

    fn reader(&self, index: usize) -> i32 {
        self.ends[index].0.as_raw_fd()
    }
}

/// The reads of a contender.
trait Reads {
    fn begin(&mut self, pipes: &Arc<Pipes>) -> Result<()>;
    fn end(&mut self) -> Result<()>;
}

struct WorkerReads {
    channel: Channel,
    message: Message,
}

impl WorkerReads {
    fn new(pipes: &Pipes) -> Result<Self> {
        let calls = (0..Pipes::COUNT).map(|index| Call {
            nr: Sysno::read.id() as u32,
            args: [
                pipes.reader(index) as u64,
                pipes.bytes.address(index),
                1,
                0,
                0,
                0,
            ],
            ..Call::default()
        });
        let channel = Channel::open()?;
        let message = channel.submit(&calls.collect::<Vec<_>>(), None);
        Ok(Self { channel, message })
    }
}

impl Reads for WorkerReads {
    fn begin(&mut self, _pipes: &Arc<Pipes>) -> Result<()> {
        self.channel.send(&self.message.bytes)
    }

    fn end(&mut self) -> Result<()> {
        self.channel.complete(Pipes::COUNT)
    }
}

struct RingReads {
    ring: IoUring,
    entries: Vec<squeue::Entry>,
}

impl RingReads {
    fn new(pipes: &Pipes) -> Result<Self> {
        let entries = (0..Pipes::COUNT).map(|index| {
            opcode::Read::new(Fd(pipes.reader(index)), pipes.bytes.at(index), 1).build()
        });
        Ok(Self {
            ring: uring::ring(Pipes::COUNT)?,
            entries: entries.collect(),
        })
    }
}

impl Reads for RingReads {
    fn begin(&mut self, _pipes: &Arc<Pipes>) -> Result<()> {
        // SAFETY: The pipes and their bytes outlive the ring.
        unsafe { self.ring.submission().push_multiple(&self.entries) }?;
        self.ring.submit()?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.ring.submit_and_wait(Pipes::COUNT)?;
        let read = self
            .ring
            .completion()
            .filter(|done| done.result() == 1)
            .count();
        ensure!(read == Pipes::COUNT, "{read} reads brought a byte");
        Ok(())
    }
}

#[derive(Default)]
struct PoolReads {
    tasks: Vec<Task<isize>>,
}

impl Reads for PoolReads {
    fn begin(&mut self, pipes: &Arc<Pipes>) -> Result<()> {
        self.tasks.extend((0..Pipes::COUNT).map(|index| {
            let pipes = pipes.clone();
            // SAFETY: The byte is this read's own.
            unblock(move || unsafe {
                libc::read(pipes.reader(index), pipes.bytes.at(index).cast(), 1)
            })
        }));
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        for task in self.tasks.drain(..) {
            ensure!(block_on(task) == 1, "a read brought no byte");
        }
        Ok(())
    }
}

/// Batches of 64 by several threads at once, each with a job of its own: from the start of the first
/// to the end of the last.
pub fn throughput(threads: usize, make: impl Fn() -> Offer + Clone + Send + 'static) -> Offer {
    /// Batches of a thread in one go.
    const BATCHES: usize = 16;

    let barrier = Arc::new(Barrier::new(threads + 1));
    let failed = Arc::new(AtomicBool::new(false));
    // The reason of a refusal, before any thread waits for the others.
    let operations = make()?.operations * BATCHES * threads;
    for _ in 0..threads {
        let (barrier, failed, make) = (barrier.clone(), failed.clone(), make.clone());
        // They end with the process.
        thread::spawn(move || {
            let mut batch = match make() {
                Ok(Job {
                    run: Run::Whole(batch),
                    ..
                }) => batch,
                _ => Box::new(|| anyhow::bail!("the job could not be made again")),
            };
            loop {
                barrier.wait();
                for _ in 0..BATCHES {
                    if batch().is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
                barrier.wait();
            }
        });
    }
    let run = move |unit: Unit| {
        barrier.wait();
        let begun = unit.now();
        barrier.wait();
        let took = unit.now() - begun;
        ensure!(!failed.load(Ordering::Relaxed), "a thread's batch failed");
        Ok(took)
    };
    Ok(Job {
        operations,
        run: Run::Part(Box::new(run)),
    })
}
