// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall bench`

use std::io::{
    self,
    IsTerminal,
    Write, //
};

use nlcall::raw::Session;
use nlcall_bench::clock::Unit;
use nlcall_bench::fixtures::Fixtures;
use nlcall_bench::plan::Operation;
use nlcall_bench::result::Event;
use nlcall_bench::{
    run,
    table, //
};

use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::options::BenchOptions;
use crate::table::{
    print,
    terminal_width, //
};

/// What is measured where nothing is named: the short form.
const SHORT: &[Operation] = &[
    Operation::Trivial,
    Operation::Pread,
    Operation::Statx,
    Operation::FileChain,
    Operation::Listing,
    Operation::RoundTrip,
];
const SHORT_BATCHES: &[usize] = &[1, 64];

/// Measures and prints what system calls cost on this machine.
pub fn run(options: &BenchOptions, json: bool) -> Result<Status, Failure> {
    // Without the module there is little to compare.
    drop(Session::open()?);
    let mut options = options.bench.clone();
    if options.only.is_empty() && !options.throughput {
        options.quick = true;
        options.only = SHORT.to_vec();
        if options.batches.is_empty() {
            options.batches = SHORT_BATCHES.to_vec();
        }
    }
    let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let failed = |error: anyhow::Error| Failure::Bench(error.into());
    let fixtures = Fixtures::below(&folder).map_err(failed)?;
    let progress = io::stderr().is_terminal();
    let found = run::measure(&options, Unit::of_this_machine(), fixtures, |event| {
        match event {
            Event::Begins { done, of, what } if progress => {
                // The line before is overwritten.
                write!(io::stderr(), "\r\x1b[K{}/{of} {what}", done + 1)?;
            }
            Event::Ends(_) if progress => write!(io::stderr(), "\r\x1b[K")?,
            _ => {}
        }
        Ok(())
    })
    .map_err(failed)?;
    match json {
        true => json::print_object(&found)?,
        false => print(&format!(
            "{}in {} per operation, beside plain calls; files on {}\n",
            table::text(&found, terminal_width()),
            found.unit.symbol(),
            found.conditions.file_system
        ))?,
    }
    Ok(Status::Success)
}

#[cfg(test)]
mod tests {
    use nlcall_bench::contender::Contender;
    use nlcall_bench::result::{
        Conditions,
        Row,
        Run,
        Value, //
    };

    use super::*;

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let row = |contender, value| Row {
            operation: Operation::Pread,
            batch: 64,
            contender,
            value,
        };
        let measured = Value::of(vec![412.0, 405.5, 431.0]);
        let missing = Value::NotPossible {
            reason: "POSIX AIO has no such operation".to_owned(),
        };
        let run = Run {
            unit: Unit::Nanoseconds,
            conditions: Conditions {
                kernel: "7.3.4+deb13-cloud-amd64".to_owned(),
                cpus: 2,
                processor: "AMD EPYC 9B14".to_owned(),
                accelerator: String::new(),
                file_system: "ext4".to_owned(),
                module: Some("0.1.0".to_owned()),
                rounds: 3,
            },
            rows: vec![
                row(Contender::Inline, measured),
                row(Contender::Plain, missing),
            ],
        };
        json::documented::assert_shows("nlcall bench", &json::pretty(&run));
    }
}
