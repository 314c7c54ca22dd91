// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall-bench`: the benchmark as it runs in the guest.

use std::io::{stderr, stdout, IsTerminal, Write};

use anyhow::{Context, Result};
use clap::Parser;
use nlcall_bench::{
    clock::{self, Unit},
    fixtures::Fixtures,
    options::Options,
    result::Event,
    run, table,
};

/// Measures what system calls cost, made in every way that Linux has.
///
/// Counts instructions in a guest with an instruction counter (`cargo xtask vm --icount`) and
/// nanoseconds elsewhere. Works on an ext4 of its own, unless a folder is given.
#[derive(Parser)]
#[command(name = "nlcall-bench")]
struct Arguments {
    #[command(flatten)]
    options: Options,

    /// Print JSON, an object per line, for a program that shows progress
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let unit = Unit::of_this_machine();
    let fixtures = match &arguments.options.folder {
        Some(folder) => Fixtures::below(folder)?,
        None => Fixtures::on_ext4().context("an ext4 (or give --folder)")?,
    };
    clock::settle();
    let result = run::measure(&arguments.options, unit, fixtures, |event| {
        if arguments.json {
            let line = serde_json::to_string(&event).context("writing JSON")?;
            writeln!(stdout(), "{line}").context("writing the standard output")?;
        } else if let Event::Begins { done, of, what } = event {
            // The line is overwritten by the next where that is possible.
            let end = if stderr().is_terminal() { '\r' } else { '\n' };
            write!(stderr(), "{done}/{of} {what}{end}").context("writing the standard error")?;
        }
        Ok(())
    })?;
    if !arguments.json {
        print!("{}", table::text(&result, None));
    }
    Ok(())
}
