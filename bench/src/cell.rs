// SPDX-License-Identifier: MIT OR Apache-2.0

//! One contender at work, in a process of its own.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    panic::{catch_unwind, AssertUnwindSafe},
    time::Duration,
};

use anyhow::{bail, ensure, Context, Result};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    process::{kill_process, waitpid, Pid, Signal, WaitOptions},
};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Unit,
    contender::{Job, Offer, Run},
    result::Value,
};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most repetitions of a round.
const MOST_REPETITIONS: u64 = 20_000;
/// All rounds of a contender together last at most so many times what one should.
const LONG: u64 = 5;
/// Most repetitions where something that does not count happens in between.
const MOST_PARTS: u64 = 3;

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Ready { operations: usize, in_parts: bool },
    Refused(Value),
    Took(u64),
    Failed(String),
}

/// A contender that may have been refused.
pub enum Opened {
    /// It can be measured.
    Ready(Cell),
    /// It cannot.
    Refused(Value),
}

/// The process of a contender, and what it measured.
pub struct Cell {
    unit: Unit,
    child: Child,
    operations: usize,
    in_parts: bool,
    repetitions: u64,
    rounds_left: u64,
    per_operation: Vec<f64>,
    failed: Option<String>,
}

impl Cell {
    /// Starts the process, which makes the job.
    pub fn open(unit: Unit, make: impl FnOnce() -> Offer) -> Result<Opened> {
        let mut child = Child::start(unit, make)?;
        let refused = |reason: String| Ok(Opened::Refused(Value::Failed { reason }));
        match child.reply() {
            Ok(Reply::Ready {
                operations,
                in_parts,
            }) => Ok(Opened::Ready(Self {
                unit,
                child,
                operations,
                in_parts,
                repetitions: 1,
                rounds_left: u64::MAX,
                per_operation: Vec::new(),
                failed: None,
            })),
            Ok(Reply::Refused(value)) => Ok(Opened::Refused(value)),
            Ok(Reply::Failed(reason)) => refused(reason),
            Ok(reply) => refused(format!("the process said {reply:?}")),
            Err(error) => refused(format!("{error:#}")),
        }
    }

    /// Fills caches, makes workers, and finds out how long a repetition takes. The job has been done
    /// once already.
    pub fn warm_up(&mut self) {
        let Some(first) = self.take(1) else { return };
        self.rounds_left = (self.unit.round() * LONG / first.max(1)).max(1);
        if self.rounds_left == 1 {
            // So long that a few instructions or a tick more do not show.
            return;
        }
        if let Some(took) = self.take(1) {
            let fit = self.unit.round() / took.max(1);
            let most = match self.in_parts {
                true => MOST_PARTS,
                false => MOST_REPETITIONS,
            };
            self.repetitions = fit.clamp(1, most);
        }
    }

    /// One round, unless the repetitions are so long that there were enough.
    pub fn round(&mut self) {
        if self.rounds_left == 0 {
            return;
        }
        self.rounds_left -= 1;
        if let Some(took) = self.take(self.repetitions) {
            let operations = self.operations as f64 * self.repetitions as f64;
            self.per_operation.push(took as f64 / operations);
        }
    }

    fn take(&mut self, repetitions: u64) -> Option<u64> {
        if self.failed.is_some() {
            return None;
        }
        let reply = self
            .child
            .order(repetitions)
            .and_then(|()| self.child.reply());
        match reply {
            Ok(Reply::Took(took)) => Some(took),
            Ok(Reply::Failed(reason)) => {
                self.failed = Some(reason);
                None
            }
            Ok(reply) => {
                self.failed = Some(format!("the process said {reply:?}"));
                None
            }
            Err(error) => {
                self.failed = Some(format!("{error:#}"));
                None
            }
        }
    }

    /// Ends the process and returns what it measured.
    pub fn close(self) -> Value {
        match self.failed {
            Some(reason) => Value::Failed { reason },
            None => Value::of(self.per_operation),
        }
    }
}

/// The process.
struct Child {
    pid: Pid,
    orders: File,
    replies: BufReader<File>,
}

impl Child {
    fn start(unit: Unit, make: impl FnOnce() -> Offer) -> Result<Self> {
        let tasks = std::fs::read_dir("/proc/self/task").context("counting threads")?;
        ensure!(
            tasks.count() == 1,
            "the benchmark's process has other threads"
        );
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (their_orders, our_orders) = pipe().context("making a pipe")?;
        let (our_replies, their_replies) = pipe().context("making a pipe")?;
        // SAFETY: This process has one thread, so that the child finds no lock taken.
        match unsafe { libc::fork() } {
            -1 => Err(std::io::Error::last_os_error()).context("making a process"),
            0 => {
                drop((our_orders, our_replies));
                serve(unit, make, their_orders.into(), their_replies.into())
            }
            pid => Ok(Self {
                pid: Pid::from_raw(pid).context("a process without a number")?,
                orders: our_orders.into(),
                replies: BufReader::new(our_replies.into()),
            }),
        }
    }

    fn order(&mut self, repetitions: u64) -> Result<()> {
        self.orders
            .write_all(&repetitions.to_ne_bytes())
            .context("the process is gone")
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut fds = [PollFd::new(self.replies.get_ref(), PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).context("a time limit")?;
        if poll(&mut fds, Some(&patience)).context("waiting for the process")? == 0 {
            bail!("no answer within {} s", PATIENCE.as_secs());
        }
        let mut line = String::new();
        self.replies.read_line(&mut line).context("reading")?;
        ensure!(!line.is_empty(), "the process died");
        serde_json::from_str(&line).with_context(|| format!("reading {line:?}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have died already.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// The child's side: carries out orders until it is killed.
fn serve(unit: Unit, make: impl FnOnce() -> Offer, mut orders: File, mut replies: File) -> ! {
    let served = catch_unwind(AssertUnwindSafe(|| {
        carry_out(unit, make, &mut orders, &mut replies)
    }));
    let reason = match served {
        Ok(Ok(())) => "no more orders".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "a panic (see above)".to_owned(),
    };
    // Where the parent is gone, nobody is left to tell.
    let _ = say(&mut replies, &Reply::Failed(reason));
    // SAFETY: Ends the process without running what the parent registered for its own exit.
    unsafe { libc::_exit(1) }
}

fn carry_out(
    unit: Unit,
    make: impl FnOnce() -> Offer,
    orders: &mut File,
    replies: &mut File,
) -> Result<()> {
    let Job {
        operations,
        mut run,
    } = match make() {
        Ok(job) => job,
        Err(refusal) => return say(replies, &Reply::Refused(refusal.into())),
    };
    let in_parts = matches!(run, Run::Part(_));
    say(
        replies,
        &Reply::Ready {
            operations,
            in_parts,
        },
    )?;
    let mut order = [0; 8];
    while orders.read_exact(&mut order).is_ok() {
        let repetitions = u64::from_ne_bytes(order);
        let took = match &mut run {
            Run::Whole(batch) => {
                let begun = unit.now();
                for _ in 0..repetitions {
                    batch()?;
                }
                unit.now() - begun
            }
            Run::Part(part) => {
                let mut took = 0;
                for _ in 0..repetitions {
                    took += part(unit)?;
                }
                took
            }
        };
        say(replies, &Reply::Took(took))?;
    }
    Ok(())
}

fn say(replies: &mut File, reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_string(reply)?;
    line.push('\n');
    replies
        .write_all(line.as_bytes())
        .context("the parent is gone")
}
