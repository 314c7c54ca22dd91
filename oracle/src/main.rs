// SPDX-License-Identifier: MIT OR Apache-2.0

//! The oracle: every system call made plainly and over netlink, on a worker and INLINE, with the
//! same preparation each time, and everything that it left behind compared.
//!
//! ```text
//! nlcall-guest-oracle [--json] [--quick] [FILTER]
//! ```
//!
//! The command's signatures of all calls are held against those that the kernel describes, and each
//! call must have a case of success and one of failure, or a reason why there is none. A kernel that
//! tells its configuration need not have what that leaves out: then every way must say so.
//!
//! `--json` prints the whole result as one line. `--quick` makes only the calls in which the verdicts
//! show: those that a worker must reject, or may make differently. With a filter, only cases whose
//! call or description contains it are looked at.

// Which bytes vary is a list of ranges, and often there is one.
#![allow(clippy::single_range_in_vec_init)]

mod case;
mod cases;
mod compare;
mod configuration;
mod observe;
mod run;
mod signatures;
mod world;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use nix::{
    sys::wait::{waitpid, WaitStatus},
    unistd::Pid,
};
use nlcall::raw::{Session, SyscallInfo};
use nlcall_abi as abi;
use nlcall_oracle::{CallReport, CaseReport, Compared, Report, Verdict};
use nlcall_tests::{
    calls::of_this_kernel,
    process::{exit_now, fork_unwatched},
};

use crate::{
    case::{Case, Exempt},
    configuration::Configuration,
    run::Way,
};

/// Where the calls find their files.
const SCRATCH: &str = "/tmp/nlcall-oracle";

/// Keeps the C library from registering an area for rseq, which a case does.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

fn main() -> ExitCode {
    if std::env::var(TUNABLES.0).is_err() {
        let program = std::env::current_exe().expect("the path of this program");
        let mut again = Command::new(program);
        again
            .args(std::env::args().skip(1))
            .env(TUNABLES.0, TUNABLES.1);
        panic!("starting once more: {}", again.exec());
    }
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut take = |option: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != option);
        arguments.len() < before
    };
    let (json, quick) = (take("--json"), take("--quick"));
    let filter = arguments.first();
    // Before there are other processes.
    world::arena();
    observe::own_namespaces();
    let table = table();
    let mut cases = cases::all();
    let known = of_this_kernel().last().expect("a table").nr;
    cases.retain(|case| case.nr() <= known);
    let configuration = Configuration::of_this_kernel();
    let mut right = filter.is_some() || is_complete(&cases, &table, &configuration);
    for case in &mut cases {
        configuration.adapt(case);
    }
    if quick {
        cases.retain(|case| shows_a_verdict(case, &table));
    }
    if let Some(filter) = filter {
        cases.retain(|case| case.title().contains(filter.as_str()));
    }
    let mut by_call: BTreeMap<u32, Vec<CaseReport>> = BTreeMap::new();
    for (case, report) in examine_all(&cases, &table) {
        if !report.is_right() {
            complain(&case.title(), &report);
        }
        by_call.entry(case.nr()).or_default().push(report);
    }
    let report = Report {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        calls: table
            .into_iter()
            .map(|entry| call_report(entry, &mut by_call))
            .collect(),
    };
    right &= summary(&report);
    if json {
        println!("{}", serde_json::to_string(&report).expect("it is text"));
    }
    match right {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The module's table.
fn table() -> Vec<SyscallInfo> {
    let session = Session::open().expect("the module is loaded");
    session.syscalls().expect("SYSCALL_GET is answered")
}

/// Whether the signatures are the kernel's, and no call lacks a case; says what is not so.
fn is_complete(cases: &[Case], table: &[SyscallInfo], configuration: &Configuration) -> bool {
    let mut wrong = signatures::differences(configuration);
    for entry in table {
        if entry.verdict == abi::Verdict::Refused {
            continue;
        }
        let has = |fails: bool| {
            let mut cases = cases.iter().filter(|case| case.call == entry.name);
            cases.any(|case| matches!(case.expected, case::Expected::Error(_)) == fails)
        };
        for (fails, list, what) in [
            (false, cases::NEVER_SUCCEED, "success"),
            (true, cases::NEVER_FAIL, "failure"),
        ] {
            if has(fails) == reason(list, &entry.name).is_some() {
                wrong.push(format!(
                    "{}: one of: a case of {what}, a reason for none",
                    entry.name
                ));
            }
        }
    }
    for line in &wrong {
        eprintln!("{line}");
    }
    wrong.is_empty()
}

/// Whether a worker must reject the call, or may make it differently.
fn shows_a_verdict(case: &Case, table: &[SyscallInfo]) -> bool {
    let both = |entry: &SyscallInfo| entry.name == case.call && entry.verdict == abi::Verdict::Both;
    case.only_inline || case.difference.is_some() || !table.iter().any(both)
}

/// Why no case of this call is there.
fn reason(list: &[Exempt], call: &str) -> Option<String> {
    let exempt = list.iter().find(|exempt| exempt.calls.contains(&call));
    exempt.map(|exempt| exempt.why.to_owned())
}

/// Makes the calls of all cases, several at a time where they do not disturb each other.
fn examine_all<'a>(cases: &'a [Case], table: &[SyscallInfo]) -> Vec<(&'a Case, CaseReport)> {
    let folder = |number: usize| Path::new(SCRATCH).join(number.to_string());
    fs::create_dir_all(SCRATCH).expect("a folder");
    let (alone, beside): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case.alone);
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let runners: Vec<_> = (0..hands)
        .map(|number| {
            let share = beside.iter().skip(number).step_by(hands);
            let reports = Path::new(SCRATCH).join(format!("reports-{number}"));
            Runner::start(reports, || {
                share
                    .map(|case| examine(case, table, &folder(number)))
                    .collect()
            })
        })
        .collect();
    let mut shares: Vec<_> = runners
        .into_iter()
        .map(|runner| runner.reports().into_iter())
        .collect();
    let mut reports: Vec<_> = (0..beside.len())
        .map(|at| shares[at % hands].next().expect("a report of each case"))
        .zip(&beside)
        .map(|(report, case)| (*case, report))
        .collect();
    reports.extend(
        alone
            .into_iter()
            .map(|case| (case, examine(case, table, &folder(0)))),
    );
    reports
}

/// A process that makes the calls of some cases.
struct Runner {
    pid: Pid,
    /// Where it writes what it found. Not a descriptor: the next runner, and its cases, would have it.
    reports: PathBuf,
}

impl Runner {
    fn start(reports: PathBuf, body: impl FnOnce() -> Vec<CaseReport>) -> Self {
        let pid = fork_unwatched(|| {
            let text = serde_json::to_string(&body()).expect("it is text");
            fs::write(&reports, text).expect("a file for it");
            exit_now(0)
        });
        Self { pid, reports }
    }

    fn reports(self) -> Vec<CaseReport> {
        let status = waitpid(self.pid, None).expect("it is a child of this process");
        assert_eq!(status, WaitStatus::Exited(self.pid, 0), "how it ended");
        let text = fs::read_to_string(self.reports).expect("what the runner wrote");
        serde_json::from_str(&text).expect("reports")
    }
}

/// Makes the call of a case in every way.
fn examine(case: &Case, table: &[SyscallInfo], scratch: &Path) -> CaseReport {
    let entry = table.iter().find(|entry| entry.nr == case.nr());
    let entry = entry.unwrap_or_else(|| panic!("the module does not know {}", case.call));
    let plain = run::run(case, Way::Plain, scratch);
    let worker = run::run(case, Way::Worker, scratch);
    let inline = run::run(case, Way::Inline, scratch);
    let succeeds = !matches!(case.expected, case::Expected::Error(_));
    let (wrong, plain) = match plain {
        Ok(plain) => (compare::unexpected(case, &plain), plain),
        Err(error) => (Some(error), Default::default()),
    };
    let only_inline = case.only_inline || entry.verdict == abi::Verdict::InlineOnly;
    CaseReport {
        what: case.what.to_owned(),
        succeeds,
        wrong,
        worker: match worker {
            Ok(worker) if only_inline => compare::rejected(&worker),
            Ok(worker) => compare::with(&plain, &worker, case.difference.as_ref()),
            Err(error) => Compared::Different(vec![error]),
        },
        inline: match inline {
            Ok(inline) => compare::with(&plain, &inline, None),
            Err(error) => Compared::Different(vec![error]),
        },
    }
}

fn complain(name: &str, report: &CaseReport) {
    eprintln!("{name}");
    if let Some(wrong) = &report.wrong {
        eprintln!("  plainly: {wrong}");
    }
    for (way, compared) in [("worker", &report.worker), ("INLINE", &report.inline)] {
        if let Compared::Different(lines) = compared {
            for line in lines {
                eprintln!("  {way}: {line}");
            }
        }
    }
}

fn call_report(entry: SyscallInfo, by_call: &mut BTreeMap<u32, Vec<CaseReport>>) -> CallReport {
    CallReport {
        nr: entry.nr,
        never_succeeds: reason(cases::NEVER_SUCCEED, &entry.name),
        never_fails: reason(cases::NEVER_FAIL, &entry.name),
        verdict: match entry.verdict {
            abi::Verdict::Both => Verdict::Both,
            abi::Verdict::Differs => Verdict::Differs,
            abi::Verdict::InlineOnly => Verdict::InlineOnly,
            abi::Verdict::Refused => Verdict::Refused,
        },
        cases: by_call.remove(&entry.nr).unwrap_or_default(),
        name: entry.name,
        reason: entry.reason,
    }
}

/// Says how many calls were made in cases, and whether all of them are as stated.
fn summary(report: &Report) -> bool {
    let made = report.calls.iter().filter(|call| !call.cases.is_empty());
    let right = |call: &&CallReport| call.cases.iter().all(CaseReport::is_right);
    let (count, right) = (made.clone().count(), made.clone().filter(right).count());
    let cases: usize = made.map(|call| call.cases.len()).sum();
    eprintln!("{right} of {count} calls are as stated, in {cases} cases");
    right == count
}
