// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is measured: operations, batch sizes, contenders; and the measuring itself.

use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    cell::{Cell, Opened},
    clock::Unit,
    contender::{Contender, Offer, Refusal},
    extra,
    fixtures::{Fixtures, LOGS, SERVED, TREE},
    options::Options,
    result::{Row, Value},
    rotate, serve, walk,
    work::{FileChain, Fsync, Getdents, Listing, Names, OpenClose, Pread, StatxFile, Trivial},
};

/// The batch of which the cost per call is held against that of 64.
pub const LARGEST: usize = 16384;

/// What is done.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// getppid (io_uring: NOP)
    Trivial,
    /// pread64 of 4 KiB from the page cache
    Pread,
    /// statx of a name in an open folder
    Statx,
    /// openat and close
    OpenClose,
    /// openat, fstat, read, close of a 4 KiB file
    FileChain,
    /// lseek and getdents64 of a directory of 1,000 entries
    Getdents,
    /// getdents64 of 1,000 entries and statx of each, per entry
    Listing,
    /// mkdirat of all names, then unlinkat of all, per call
    Names,
    /// pwrite64 of 4 KiB by a plain call, and fsync
    Fsync,
    /// one call there and back (plain: a byte between two threads over two pipes)
    RoundTrip,
    /// a netlink message that does nothing (NLMSG_NOOP)
    EmptyMessage,
    /// a request that changes nothing (CONFIG_SET of a setting to what it is)
    EmptyRequest,
    /// a send that fails at once
    FailingSend,
    /// the first SUBMIT of a session (plain: pthread_create and join)
    FirstCall,
    /// 64 blocked reads: a byte written to each pipe, all completions, per read
    Blocked,
    /// a walk through 100,000 files in 1,041 folders (openat, getdents64, statx), per file
    Walk,
    /// a server of 4 KiB files on Tokio and 16 connections that ask it, per request
    Serve,
    /// the log of another process rotated (plain: by SIGHUP and its help)
    Rotate,
    /// getppid, one thread
    Trivial1Thread,
    /// getppid, two threads
    Trivial2Threads,
    /// pread64, one thread
    Pread1Thread,
    /// pread64, two threads
    Pread2Threads,
    /// statx, one thread
    Statx1Thread,
    /// statx, two threads
    Statx2Threads,
}

impl Operation {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// The name on the command line and in results.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it is, in words.
    pub fn about(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }

    /// Whether it is about how many calls are made in a time, by threads.
    pub fn is_throughput(self) -> bool {
        self.threads().is_some()
    }

    fn threads(self) -> Option<(Self, usize)> {
        match self {
            Self::Trivial1Thread => Some((Self::Trivial, 1)),
            Self::Trivial2Threads => Some((Self::Trivial, 2)),
            Self::Pread1Thread => Some((Self::Pread, 1)),
            Self::Pread2Threads => Some((Self::Pread, 2)),
            Self::Statx1Thread => Some((Self::Statx, 1)),
            Self::Statx2Threads => Some((Self::Statx, 2)),
            _ => None,
        }
    }

    /// The batch sizes that are measured where none are asked for.
    pub fn batches(self) -> &'static [usize] {
        match self {
            Self::Trivial => &[1, 8, 64, 1024, LARGEST],
            Self::Pread | Self::Statx | Self::OpenClose | Self::FileChain => &[1, 8, 64, 1024],
            Self::Names => &[1, 8, 64, 1024],
            Self::Getdents => &[1, 8],
            Self::Fsync => &[1, 8, 64],
            Self::Listing => &[1000],
            Self::RoundTrip
            | Self::EmptyMessage
            | Self::EmptyRequest
            | Self::FailingSend
            | Self::FirstCall
            | Self::Rotate => &[1],
            Self::Serve => &[serve::ALL],
            Self::Blocked => &[64],
            Self::Walk => &[walk::FILES],
            _ => &[64],
        }
    }

    /// Whether the size of the batch is part of the operation.
    fn is_of_one_size(self) -> bool {
        self.batches().len() == 1
    }

    fn contenders(self, batch: usize) -> &'static [Contender] {
        use Contender::*;
        match self {
            Self::EmptyMessage | Self::EmptyRequest | Self::FailingSend => &[Plain],
            Self::FirstCall | Self::Rotate => &[Plain, Worker],
            Self::Serve => &[Plain, Worker, Pool],
            Self::RoundTrip => &[Plain, Inline, Worker, Uring, Pool],
            Self::Trivial if batch == LARGEST => &[Plain, Inline, Worker],
            _ => &Contender::ALL,
        }
    }

    /// Makes what is measured.
    fn job(self, contender: Contender, batch: usize, fixtures: &Arc<Fixtures>) -> Offer {
        if let Some((operation, threads)) = self.threads() {
            let fixtures = fixtures.clone();
            return extra::throughput(threads, move || operation.job(contender, batch, &fixtures));
        }
        match self {
            Self::Trivial => contender.job(Trivial { batch }),
            Self::Pread => contender.job(Pread::new(fixtures, batch)?),
            Self::Statx => contender.job(StatxFile::new(fixtures, batch)?),
            Self::OpenClose => contender.job(OpenClose::new(fixtures, batch)?),
            Self::FileChain => contender.job(FileChain::new(fixtures, batch)?),
            Self::Getdents => contender.job(Getdents::new(fixtures, batch)?),
            Self::Listing => contender.job(Listing::new(fixtures)?),
            Self::Names => contender.job(Names::new(fixtures, batch)?),
            Self::Fsync => contender.job(Fsync::new(fixtures, batch)?),
            Self::RoundTrip if contender == Contender::Plain => extra::ping_pong(),
            Self::RoundTrip => contender.job(Trivial { batch: 1 }),
            Self::EmptyMessage => extra::empty_message(),
            Self::EmptyRequest => extra::empty_request(),
            Self::FailingSend => extra::failing_send(),
            Self::FirstCall if contender == Contender::Plain => extra::thread_and_join(),
            Self::FirstCall => extra::first_submit(),
            Self::Blocked => extra::blocked(contender),
            Self::Walk => walk::job(contender, &fixtures.path(TREE)),
            Self::Serve => serve::job(contender, &fixtures.path(SERVED)),
            Self::Rotate => rotate::job(contender, &fixtures.path(LOGS)),
            _ => Err(Refusal::NotPossible("no such operation")),
        }
    }
}

/// Contenders of one operation and batch size, which are measured together.
#[derive(Clone, Debug)]
pub struct Group {
    /// The operation.
    pub operation: Operation,
    /// The batch size.
    pub batch: usize,
    /// The contenders.
    pub contenders: Vec<Contender>,
}

/// The groups that the options ask for.
pub fn groups(options: &Options) -> Vec<Group> {
    let mut groups = Vec::new();
    for operation in Operation::all() {
        let asked_for = match options.only.is_empty() {
            true => operation.is_throughput() == options.throughput,
            false => options.only.contains(&operation),
        };
        if !asked_for {
            continue;
        }
        let asked = |batch: &&usize| options.batches.is_empty() || options.batches.contains(batch);
        let sizes: Vec<usize> = match operation.is_of_one_size() {
            true => operation.batches().to_vec(),
            false if options.only.is_empty() => {
                operation.batches().iter().filter(asked).copied().collect()
            }
            false if options.batches.is_empty() => operation.batches().to_vec(),
            // Named explicitly: any size.
            false => options.batches.clone(),
        };
        for batch in sizes {
            let contenders = operation.contenders(batch).iter().copied();
            let wanted = |contender: &Contender| {
                options.contenders.is_empty() || options.contenders.contains(contender)
            };
            let contenders: Vec<_> = contenders.filter(wanted).collect();
            if !contenders.is_empty() {
                groups.push(Group {
                    operation,
                    batch,
                    contenders,
                });
            }
        }
    }
    groups
}

/// Measures a group: each contender in a process of its own, one round of each in turn.
///
/// This process must have one thread.
pub fn measure(
    group: &Group,
    unit: Unit,
    rounds: usize,
    fixtures: &Arc<Fixtures>,
) -> Result<Vec<Row>> {
    match group.operation {
        Operation::Walk => fixtures.plant()?,
        Operation::Serve => serve::plant(&fixtures.path(SERVED))?,
        _ => {}
    }
    let mut cells = Vec::new();
    for &contender in &group.contenders {
        let (operation, batch) = (group.operation, group.batch);
        let opened = Cell::open(unit, move || operation.job(contender, batch, fixtures))?;
        cells.push((contender, opened));
    }
    for (_, opened) in &mut cells {
        if let Opened::Ready(cell) = opened {
            cell.warm_up();
        }
    }
    for _ in 0..rounds {
        for (_, opened) in &mut cells {
            if let Opened::Ready(cell) = opened {
                cell.round();
            }
        }
    }
    let rows = cells.into_iter().map(|(contender, opened)| Row {
        operation: group.operation,
        batch: group.batch,
        contender,
        value: match opened {
            Opened::Refused(value) => value,
            Opened::Ready(cell) => cell.close(),
        },
    });
    Ok(rows.collect())
}

impl From<Refusal> for Value {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotPossible(reason) => Self::NotPossible {
                reason: reason.to_owned(),
            },
            Refusal::NotSupported(what) => Self::NotSupported {
                reason: format!("not supported by this module: {what}"),
            },
            Refusal::Failed(error) => Self::Failed {
                reason: format!("{error:#}"),
            },
        }
    }
}
