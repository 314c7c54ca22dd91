// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the calls are made.

use std::{fmt, sync::Arc};

use anyhow::{ensure, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{clock::Unit, netlink::Rejected, work::Work};

mod aio;
mod inline;
mod plain;
mod pool;
pub(crate) mod uring;
mod worker;

/// A way to make system calls.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Contender {
    /// One after the other, by the `syscall` instruction.
    Plain,
    /// nlcall, executed by the submitting thread, results in its memory.
    Inline,
    /// nlcall, executed by workers, results in messages.
    Worker,
    /// io_uring.
    Uring,
    /// A pool of threads, as asynchronous runtimes use for calls that block.
    Pool,
    /// POSIX AIO, as the C library does it.
    Aio,
}

impl Contender {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Inline,
        Self::Worker,
        Self::Uring,
        Self::Pool,
        Self::Aio,
    ];

    /// The name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Inline => "nlcall inline",
            Self::Worker => "nlcall worker",
            Self::Uring => "io_uring",
            Self::Pool => "thread pool",
            Self::Aio => "POSIX AIO",
        }
    }

    /// Makes what is measured of a batch.
    pub fn job<W: Work>(self, work: W) -> Offer {
        let work = Arc::new(work);
        let mut batch = match self {
            Self::Plain => plain::batch(work.clone()),
            Self::Inline => inline::batch(work.clone()),
            Self::Worker => worker::batch(work.clone()),
            Self::Uring => uring::batch(work.clone()),
            Self::Pool => pool::batch(work.clone()),
            Self::Aio => aio::batch(work.clone()),
        }?;
        // The calls must have been made, and rightly.
        work.clear();
        batch().map_err(Refusal::of_first_batch)?;
        work.verify()?;
        Ok(Job {
            operations: work.operations(),
            run: Run::Whole(batch),
        })
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// A batch that can be repeated.
pub type Batch = Box<dyn FnMut() -> Result<()>>;

/// What is measured.
pub struct Job {
    /// What the measurement is divided by.
    pub operations: usize,
    /// What is repeated.
    pub run: Run,
}

/// What is repeated.
pub enum Run {
    /// All of it counts.
    Whole(Batch),
    /// It says itself what counted, because something that does not must happen in between.
    Part(Box<dyn FnMut(Unit) -> Result<u64>>),
}

/// What a contender makes of an operation.
pub type Offer<T = Job> = Result<T, Refusal>;

/// Why a contender is not measured.
#[derive(Debug)]
pub enum Refusal {
    /// This way has no such operation.
    NotPossible(&'static str),
    /// The module that is loaded does not do it.
    NotSupported(String),
    /// Something went wrong.
    Failed(anyhow::Error),
}

impl Refusal {
    /// Why the first batch failed: FEATURES_GET does not tell apart what works INLINE and what works
    /// on workers.
    fn of_first_batch(error: anyhow::Error) -> Self {
        match error.downcast::<Rejected>() {
            Ok(rejected) if rejected.errno == libc::EOPNOTSUPP => Self::NotSupported(rejected.text),
            Ok(rejected) => Self::Failed(rejected.into()),
            Err(error) => Self::Failed(error),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes the calls of a phase by plain calls.
fn by_hand<W: Work>(work: &W, phase: usize) -> Result<()> {
    let units = work.units(phase);
    let succeeded = (0..units).all(|unit| work.plain(phase, unit) >= 0);
    ensure!(succeeded, "a plain call failed");
    Ok(())
}
