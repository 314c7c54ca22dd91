// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the benchmark is asked to do.

use std::path::PathBuf;

use clap::Args;

use crate::{
    clock::Unit,
    contender::Contender,
    plan::{Operation, LARGEST},
};

/// What is measured, and how long.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Measure only these operations
    #[arg(long, value_name = "OPERATION,...", value_delimiter = ',')]
    pub only: Vec<Operation>,

    /// Measure only these ways to make calls
    #[arg(long, value_name = "CONTENDER,...", value_delimiter = ',')]
    pub contenders: Vec<Contender>,

    /// Measure batches of these sizes
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = batch_size)]
    pub batches: Vec<usize>,

    /// Measure several threads at once instead
    #[arg(long)]
    pub throughput: bool,

    /// Fewer rounds
    #[arg(long)]
    pub quick: bool,

    /// Work on files below this folder
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

impl Options {
    /// Rounds of each contender.
    pub fn rounds(&self, unit: Unit) -> usize {
        match (unit, self.quick) {
            (Unit::Instructions, false) => 3,
            (Unit::Instructions, true) => 2,
            (Unit::Nanoseconds, false) => 9,
            (Unit::Nanoseconds, true) => 3,
        }
    }
}

fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (1..=LARGEST).contains(&size) => Ok(size),
        _ => Err(format!("not a number from 1 to {LARGEST}")),
    }
}
