// SPDX-License-Identifier: MIT OR Apache-2.0

use anyhow::{ensure, Result};
use nlcall::{
    raw::{Batch, CallFlags, Completion, Results, Session},
    Error,
};
use nlcall_tests::files::Files;

use crate::report::Report;

const FILES: usize = 1000;

/// Opens, measures, reads and closes each of many files by one message.
pub fn run(report: &mut Report) -> Result<()> {
    let files = Files::make(FILES);
    let descriptors = open_descriptors()?;
    for (how, flags) in [
        ("INLINE", CallFlags::INLINE),
        ("on workers", CallFlags::empty()),
    ] {
        let session = Session::open()?;
        let mut batch = Batch::with_capacity(4 * FILES);
        let mut contents = Vec::with_capacity(FILES);
        for file in files.iter() {
            let (chain, memory) = file.chain(flags);
            batch.push_chain(&chain);
            contents.push(memory);
        }
        let (submitted, results) = match flags.contains(CallFlags::INLINE) {
            true => {
                let mut results = Results::new();
                let submitted = session.submit_into(&batch, &mut results);
                (submitted, results.iter().collect())
            }
            false => {
                let submitted = session.submit(batch);
                let mut results: Vec<Completion> = Vec::new();
                while session.in_flight() > 0 {
                    results.push(session.wait()?);
                }
                (submitted, results)
            }
        };
        let submitted = submitted.map_err(Error::from)?;
        report.show(format_args!(
            "{how}: {FILES} files, {} calls, {} message",
            submitted.calls, submitted.messages
        ));
        ensure!(submitted.messages == 1, "it took more than one message");
        ensure!(results.len() == 4 * FILES, "{} results", results.len());
        if let Some(failed) = results.iter().find(|it| !it.ran() || it.ret < 0) {
            anyhow::bail!("a call gave {failed:?}");
        }
        let mut bytes = 0;
        for (number, (file, memory)) in files.iter().zip(&contents).enumerate() {
            let expected = file.contents();
            ensure!(
                memory.get()[..expected.len()] == *expected,
                "file {number} holds something else"
            );
            bytes += expected.len();
        }
        report.show(format_args!("{bytes} bytes came"));
    }
    ensure!(open_descriptors()? == descriptors, "a file was left open");
    report.checked("each file's bytes are those that were written; no descriptor is left open");
    Ok(())
}

fn open_descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
