// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every system call made plainly and over netlink, in the guest, and what that showed.

use std::fmt::Write;
use std::fs;
use std::io;
use std::sync::{
    Arc,
    Mutex,
    PoisonError, //
};
use std::time::Duration;

use anyhow::{
    Context,
    Result, //
};
use nlcall_oracle::{
    CallReport,
    CaseReport,
    Compared,
    Report,
    Verdict, //
};

use crate::checkout;
use crate::exit::Exit;
use crate::sandbox::Sandbox;
use crate::say::say;
use crate::vm::{
    self,
    Streams, //
};

/// The program that compares; what is not as stated it says itself.
const PROGRAM: &str = "nlcall-guest-oracle";
/// The time it may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Where the result is written.
const RESULT: &str = "docs/results/syscalls.md";

/// Compares all calls and returns the exit status. A result in which everything is as stated is
/// written down.
pub fn run(sandbox: &Sandbox) -> Result<u8> {
    let options = vm::Options {
        timeout: LIMIT * sandbox.patience(),
        command: vec![PROGRAM.into(), "--json".into()],
        ..vm::Options::default()
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let streams = Streams {
        stdin: Box::new(io::empty()),
        stdout: Box::new(Listener(heard.clone())),
        stderr: Streams::own()?.stderr,
    };
    let status = vm::run(sandbox, &options, streams)?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    if status != 0 {
        say!("{PROGRAM} ended with status {status}: {RESULT} is left as it is");
        return Ok(Exit::Failed as u8);
    }
    let report: Report = serde_json::from_slice(&heard)
        .with_context(|| format!("{PROGRAM} said something else than its result"))?;
    if !report.is_right() {
        say!("{PROGRAM} ended well, and its result is not as stated");
        return Ok(Exit::Failed as u8);
    }
    let path = checkout::root().join(RESULT);
    fs::write(&path, markdown(&report, &sandbox.to_string()))
        .with_context(|| format!("writing {path:?}"))?;
    say!("the result is in {}", path.display());
    println!("{}", sum(&report));
    Ok(0)
}

/// Takes what the program prints.
struct Listener(Arc<Mutex<Vec<u8>>>);

impl io::Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `N of N calls ...`
fn sum(report: &Report) -> String {
    let executed = || report.calls.iter().filter(|call| call.executes());
    let right = executed().filter(|call| call.is_right()).count();
    let stated = executed()
        .filter(|call| stated(call).next().is_some())
        .count();
    let cases: usize = report.calls.iter().map(|call| call.cases.len()).sum();
    format!(
        "{right} of {} calls give what they give plainly, {stated} of them but for differences on \
         workers that are stated; {cases} cases",
        executed().count(),
    )
}

/// The cases of a call that are another on a worker, with what is another and why.
fn stated(call: &CallReport) -> impl Iterator<Item = (&CaseReport, &[String], &str)> {
    call.cases.iter().filter_map(|case| match &case.worker {
        Compared::Stated { aspects, why } => Some((case, &aspects[..], &why[..])),
        _ => None,
    })
}

/// The whole result.
fn markdown(report: &Report, kernel: &str) -> String {
    let mut text = String::from(
        "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n\
         # Every system call, plainly and over netlink\n\n\
         Written by `cargo xtask test --oracle`. Each case is a call with a preparation of its own. It is made three\n\
         times, each time in a new process and a new folder: plainly, by a message on a worker, and by a message INLINE.\n\
         Compared are the value or the error, all prepared memory byte by byte, the table of descriptors and their\n\
         state, the mappings, the state of the process (credentials, signals, limits, folders, timers, scheduling,\n\
         namespaces), the tree of files, how the process ended, and what the case looks at afterwards. Fields that are\n\
         another each time (times, inodes, free space) count as written or not written. The plain call must give what\n\
         the case says, so that no case is empty. `oracle/` has the cases; [decision\n\
         0018](../decisions/0018-oracle.md) says what they rest on.\n\n",
    );
    let _ = writeln!(text, "**{}.**\n\nKernel: {kernel}\n", sum(report));
    text.push_str(
        "## Differences on workers\n\n| call | case | in | why |\n| --- | --- | --- | --- |\n",
    );
    for call in &report.calls {
        for (case, aspects, why) in stated(call) {
            let aspects = aspects.join(", ").to_lowercase();
            let _ = writeln!(
                text,
                "| {} | {} | {aspects} | {why} |",
                call.name, case.what
            );
        }
    }
    text.push_str("\n## Calls that succeed in no case, or fail in none\n\n| call | never | why |\n| --- | --- | --- |\n");
    for call in report.calls.iter().filter(|call| call.executes()) {
        for (never, why) in [
            ("succeeds", &call.never_succeeds),
            ("fails", &call.never_fails),
        ] {
            if let Some(why) = why {
                let _ = writeln!(text, "| {} | {never} | {why} |", call.name);
            }
        }
    }
    text.push_str(
        "\n## All calls\n\nCases: how many succeed and how many fail. `rejected`: the module refuses the call there, by its verdict.\n\n\
         | | call | verdict | cases | worker | INLINE | reason |\n| ---: | --- | --- | --- | --- | --- | --- |\n",
    );
    for call in &report.calls {
        text.push_str(&row(call));
    }
    text
}

fn row(call: &CallReport) -> String {
    let verdict = match call.verdict {
        Verdict::Both => "both",
        Verdict::Differs => "differs",
        Verdict::InlineOnly => "INLINE only",
        Verdict::Refused => "refused",
    };
    let succeed = call.cases.iter().filter(|case| case.succeeds).count();
    let cases = match call.executes() {
        true => format!("{succeed} + {}", call.cases.len() - succeed),
        false => String::new(),
    };
    let [worker, inline] = [
        |case: &CaseReport| case.worker.clone(),
        |case: &CaseReport| case.inline.clone(),
    ]
    .map(|way| cell(call.cases.iter().map(way)));
    let reason = call.reason.as_deref().unwrap_or("");
    format!(
        "| {} | {} | {verdict} | {cases} | {worker} | {inline} | {reason} |\n",
        call.nr, call.name
    )
}

/// What became of the cases in one way.
fn cell(compared: impl Iterator<Item = Compared>) -> String {
    let (mut identical, mut rejected, mut stated, mut different) = (0, 0, 0, 0);
    for one in compared {
        match one {
            Compared::Identical => identical += 1,
            Compared::Rejected => rejected += 1,
            Compared::Stated { .. } => stated += 1,
            Compared::Different(_) => different += 1,
        }
    }
    let parts = [
        ("identical", identical),
        ("rejected", rejected),
        ("as stated above", stated),
        ("DIFFERENT", different),
    ];
    let kinds = parts.iter().filter(|(_, count)| *count > 0).count();
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    let parts = parts.map(|(what, count)| match kinds {
        1 => (*what).to_owned(),
        _ => format!("{count} {what}"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(what: &str, succeeds: bool, worker: Compared) -> CaseReport {
        CaseReport {
            what: what.to_owned(),
            succeeds,
            wrong: None,
            worker,
            inline: Compared::Identical,
        }
    }

    fn report() -> Report {
        let read = CallReport {
            name: "read".to_owned(),
            cases: vec![
                case("a file", true, Compared::Identical),
                case("no descriptor", false, Compared::Identical),
            ],
            ..CallReport::default()
        };
        let gettid = CallReport {
            nr: 186,
            name: "gettid".to_owned(),
            verdict: Verdict::Differs,
            reason: Some("answers about the worker".to_owned()),
            cases: vec![case(
                "this thread",
                true,
                Compared::Stated {
                    aspects: vec!["Result".to_owned()],
                    why: "it is the worker".to_owned(),
                },
            )],
            never_fails: Some("cannot fail".to_owned()),
            ..CallReport::default()
        };
        Report {
            kernel: "7.3".to_owned(),
            calls: vec![read, gettid],
        }
    }

    #[test]
    fn calls_and_differences_are_counted() {
        assert_eq!(
            sum(&report()),
            "2 of 2 calls give what they give plainly, 1 of them but for differences on workers that are \
             stated; 3 cases"
        );
    }

    #[test]
    fn a_call_without_a_case_is_not_right() {
        let mut report = report();
        assert!(report.is_right());
        report.calls[0].cases.pop();
        assert_eq!(report.calls[0].lacks(), Some("a case of failure"));
        assert!(!report.is_right());
        report.calls[1].never_fails = None;
        assert!(sum(&report).starts_with("0 of 2 calls"));
        report.calls[1].verdict = Verdict::Refused;
        assert!(sum(&report).starts_with("0 of 1 calls"));
    }

    #[test]
    fn every_call_has_a_row_and_every_difference_another() {
        let text = markdown(&report(), "Linux");
        for line in [
            "| 0 | read | both | 1 + 1 | identical | identical |  |",
            "| 186 | gettid | differs | 1 + 0 | as stated above | identical | answers about the worker |",
            "| gettid | this thread | result | it is the worker |",
            "| gettid | fails | cannot fail |",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
    }

    #[test]
    fn a_cell_counts_where_cases_are_not_alike() {
        let mixed = [Compared::Identical, Compared::Rejected, Compared::Identical];
        assert_eq!(cell(mixed.into_iter()), "2 identical, 1 rejected");
        assert_eq!(cell([Compared::Rejected].into_iter()), "rejected");
        assert_eq!(cell([].into_iter()), "");
    }
}
