// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results as Markdown.

use std::fmt::Write as _;

use crate::{
    clock::Unit,
    result::{Report, Run},
    table,
    target::{targets, Target},
};

/// What the numbers include, for every reader.
const INCLUDED: &str = "\
Numbers are the cost of one operation, of user and kernel mode together, with everything that a program does for it: \
filling the submission ring (io_uring), making tasks (thread pool), looking at every result. nlcall's message is built once and \
sent again and again, as a program may that repeats a batch; io_uring's entries are built once and copied into the ring, as they \
must be. Nothing is subtracted. Each contender runs in a process of its own, so that one's threads do not slow down the others' \
calls. The middle one of the rounds counts (of fewer rounds where one is \
long); in brackets, the ratio to plain calls. `-` means that this way has no such operation.";

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from(
        "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n# The benchmark\n\n\
         Written by `cargo xtask bench`; the same as JSON is in [bench.json](bench.json).\n\n",
    );
    let _ = writeln!(
        text,
        "| | |\n| --- | --- |\n| date | {} |\n| commit | {} |\n| machine | {} |\n| emulator | {} |\n",
        report.date, report.commit, report.machine, report.emulator
    );
    let _ = writeln!(
        text,
        "![Cost relative to plain calls](bench.svg)\n\n{INCLUDED}\n"
    );
    for run in &report.runs {
        if run.unit == Unit::Instructions {
            let _ = writeln!(text, "## Targets\n\n{}", target_table(&targets(run)));
        }
        section(&mut text, run);
    }
    operations(&mut text, report);
    text
}

fn section(text: &mut String, run: &Run) {
    let conditions = &run.conditions;
    let processors = match conditions.cpus {
        1 => "1 processor".to_owned(),
        cpus => format!("{cpus} processors"),
    };
    let what = match run.unit {
        Unit::Instructions => "Guest instructions".to_owned(),
        Unit::Nanoseconds => format!("Nanoseconds, {processors}"),
    };
    let _ = writeln!(
        text,
        "## {what}\n\nLinux {}, {processors}, {} ({}), files on {}, module {}, {} rounds.\n",
        conditions.kernel,
        conditions.processor,
        conditions.accelerator,
        conditions.file_system,
        conditions.module.as_deref().unwrap_or("not loaded"),
        conditions.rounds,
    );
    let contenders = table::contenders(&run.rows);
    let titles: Vec<_> = contenders
        .iter()
        .map(|contender| contender.title())
        .collect();
    let _ = writeln!(
        text,
        "| operation | batch | {} |\n| --- | ---: |{}",
        titles.join(" | "),
        " ---: |".repeat(titles.len())
    );
    for (operation, batch) in table::lines(&run.rows) {
        let cells = table::cells(run, operation, batch, &contenders).join(" | ");
        let _ = writeln!(text, "| {} | {batch} | {cells} |", operation.name());
    }
    text.push('\n');
    for reason in table::reasons(&run.rows) {
        let _ = writeln!(text, "- {reason}");
    }
    text.push('\n');
}

/// What each operation is.
fn operations(text: &mut String, report: &Report) {
    text.push_str("## The operations\n\n| | |\n| --- | --- |\n");
    let mut known = Vec::new();
    for row in report.runs.iter().flat_map(|run| &run.rows) {
        if !known.contains(&row.operation) {
            known.push(row.operation);
            let (name, about) = (row.operation.name(), row.operation.about());
            let _ = writeln!(text, "| {name} | {about} |");
        }
    }
}

/// The targets, each with what was measured.
pub fn target_table(targets: &[Target]) -> String {
    let mut text = String::from(
        "| target | required | reach for | measured | |\n| --- | ---: | ---: | ---: | --- |\n",
    );
    for target in targets {
        let or_dash = |value: Option<f64>| value.map_or("-".to_owned(), |value| target.text(value));
        let verdict = match target.holds() {
            Some(true) => "holds",
            Some(false) => "**does not hold**",
            None => "not measured",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {verdict} |",
            target.what,
            target.text(target.required),
            or_dash(target.reach),
            or_dash(target.measured),
        );
    }
    text
}
