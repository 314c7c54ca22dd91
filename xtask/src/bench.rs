// SPDX-License-Identifier: MIT OR Apache-2.0

//! The benchmark: boots the guests that measure.

use anyhow::Result;

use crate::sandbox::Sandbox;
use crate::vm::{
    self,
    Streams, //
};

/// The program that measures, in the guest.
const PROGRAM: &str = "nlcall-bench";

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Fewer rounds
    #[arg(long)]
    quick: bool,
}

/// Runs the benchmark.
pub fn run(sandbox: &Sandbox, arguments: &Arguments) -> Result<u8> {
    sandbox.add_bench_tools()?;
    let mut command = vec![PROGRAM.into()];
    if arguments.quick {
        command.push("--quick".into());
    }
    let options = vm::Options {
        icount: true,
        command,
        ..vm::Options::default()
    };
    vm::run(sandbox, &options, Streams::own()?)
}
