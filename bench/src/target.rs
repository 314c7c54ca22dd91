// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was aimed at, in guest instructions, and whether it was reached.

use crate::{
    contender::Contender::{self, Inline, Plain, Uring, Worker},
    plan::{Operation, LARGEST},
    result::Run,
    walk,
};

/// How much dearer a call of the largest batch may be than one of 64, for the cost to count as flat.
const FLAT: f64 = 1.05;

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is compared.
    pub what: String,
    /// The most that is allowed.
    pub required: f64,
    /// What is reached for; none where only the requirement was set.
    pub reach: Option<f64>,
    /// What was measured; none where a contender was not.
    pub measured: Option<f64>,
    /// Whether these are ratios, or instructions.
    pub is_ratio: bool,
}

impl Target {
    /// Whether it holds; none where it was not measured.
    pub fn holds(&self) -> Option<bool> {
        self.measured.map(|measured| measured <= self.required)
    }

    /// A value of this target, as text.
    pub fn text(&self, value: f64) -> String {
        match self.is_ratio {
            true => format!("{value:.2}"),
            false => format!("{value:.0}"),
        }
    }
}

/// The targets, held against a run that counted instructions.
pub fn targets(run: &Run) -> Vec<Target> {
    use Operation::*;

    let mut targets = Vec::new();
    let mut ratio = |what: &str, required: f64, reach: Option<f64>, of, to| {
        let cost = |(operation, batch, contender): (Operation, usize, Contender)| {
            run.cost(operation, batch, contender)
        };
        targets.push(Target {
            what: what.to_owned(),
            required,
            reach,
            measured: cost(of).zip(cost(to)).map(|(of, to)| of / to),
            is_ratio: true,
        });
    };
    let trivial = |batch, contender| (Trivial, batch, contender);
    let pread = |contender| (Pread, 64, contender);
    let statx = |contender| (Statx, 64, contender);
    let chain = |contender| (FileChain, 64, contender);
    let listing = |contender| (Listing, 1000, contender);
    ratio(
        "trivial call, batch 64, INLINE / plain",
        0.98,
        Some(0.80),
        trivial(64, Inline),
        trivial(64, Plain),
    );
    ratio(
        "pread 4 KiB, batch 64, INLINE / plain",
        1.0,
        Some(0.97),
        pread(Inline),
        pread(Plain),
    );
    ratio(
        "pread 4 KiB, batch 64, INLINE / io_uring",
        0.85,
        None,
        pread(Inline),
        pread(Uring),
    );
    ratio(
        "statx, batch 64, INLINE / plain",
        1.0,
        Some(0.96),
        statx(Inline),
        statx(Plain),
    );
    ratio(
        "statx, batch 64, INLINE / io_uring",
        0.71,
        None,
        statx(Inline),
        statx(Uring),
    );
    ratio(
        "64 files x (openat, fstat, read, close), INLINE / plain",
        1.0,
        Some(0.95),
        chain(Inline),
        chain(Plain),
    );
    ratio(
        "64 files x (openat, fstat, read, close), INLINE / io_uring",
        0.65,
        Some(0.55),
        chain(Inline),
        chain(Uring),
    );
    ratio(
        "getdents64 of 1,000 entries + statx of each, INLINE / plain",
        1.0,
        Some(0.96),
        listing(Inline),
        listing(Plain),
    );
    ratio(
        "getdents64 of 1,000 entries + statx of each, INLINE / io_uring",
        0.75,
        Some(0.70),
        listing(Inline),
        listing(Uring),
    );
    ratio(
        "trivial call, batch 64, worker / plain",
        2.0,
        Some(1.5),
        trivial(64, Worker),
        trivial(64, Plain),
    );
    ratio(
        "pread 4 KiB, batch 64, worker / io_uring",
        1.0,
        Some(0.95),
        pread(Worker),
        pread(Uring),
    );
    ratio(
        "statx, batch 64, worker / io_uring",
        0.80,
        Some(0.74),
        statx(Worker),
        statx(Uring),
    );
    ratio(
        "single call through a worker / two-thread pipe ping-pong",
        1.25,
        Some(1.05),
        (RoundTrip, 1, Worker),
        (RoundTrip, 1, Plain),
    );
    ratio(
        "first SUBMIT of a session with workers / pthread_create + join",
        1.2,
        Some(1.0),
        (FirstCall, 1, Worker),
        (FirstCall, 1, Plain),
    );
    ratio(
        "trivial call, INLINE, batch 16,384 / batch 64",
        FLAT,
        None,
        trivial(LARGEST, Inline),
        trivial(64, Inline),
    );
    ratio(
        "trivial call, worker, batch 16,384 / batch 64",
        FLAT,
        None,
        trivial(LARGEST, Worker),
        trivial(64, Worker),
    );
    let walk = |contender| (Walk, walk::FILES, contender);
    ratio(
        "walk through 100,000 files, INLINE / plain",
        1.0,
        None,
        walk(Inline),
        walk(Plain),
    );
    ratio(
        "walk through 100,000 files, INLINE / io_uring",
        1.0,
        None,
        walk(Inline),
        walk(Uring),
    );
    let empty = run.cost(EmptyMessage, 1, Plain);
    let request = run.cost(EmptyRequest, 1, Plain);
    let single = run.cost(Trivial, 1, Inline);
    let mut count = |what: &str, required: f64, reach: f64, measured| {
        targets.push(Target {
            what: what.to_owned(),
            required,
            reach: Some(reach),
            measured,
            is_ratio: false,
        });
    };
    count("empty message (NLMSG_NOOP)", 3500.0, 2500.0, empty);
    count(
        "empty request (one that the family carries out)",
        3500.0,
        2500.0,
        request,
    );
    let beyond = |less: Option<f64>| single.zip(less).map(|(single, less)| single - less);
    count(
        "single INLINE call, beyond an empty message",
        500.0,
        300.0,
        beyond(empty),
    );
    count(
        "single INLINE call, beyond an empty request",
        500.0,
        300.0,
        beyond(request),
    );
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Unit,
        result::{Conditions, Row, Value},
    };

    fn run(costs: &[(Operation, usize, Contender, f64)]) -> Run {
        let rows = costs
            .iter()
            .map(|&(operation, batch, contender, cost)| Row {
                operation,
                batch,
                contender,
                value: Value::of(vec![cost]),
            });
        Run {
            unit: Unit::Instructions,
            conditions: Conditions {
                kernel: String::new(),
                cpus: 1,
                processor: String::new(),
                accelerator: String::new(),
                file_system: String::new(),
                module: None,
                rounds: 1,
            },
            rows: rows.collect(),
        }
    }

    #[test]
    fn a_ratio_is_held_against_its_requirement() {
        let run = run(&[
            (Operation::Trivial, 64, Inline, 300.0),
            (Operation::Trivial, 64, Plain, 400.0),
            (Operation::Trivial, 64, Worker, 900.0),
        ]);
        let targets = targets(&run);
        assert_eq!(targets[0].measured, Some(0.75));
        assert_eq!(targets[0].holds(), Some(true));
        let worker = targets
            .iter()
            .find(|target| target.what == "trivial call, batch 64, worker / plain")
            .expect("the target");
        assert_eq!(worker.measured, Some(2.25));
        assert_eq!(worker.holds(), Some(false));
    }

    #[test]
    fn what_was_not_measured_neither_holds_nor_fails() {
        assert!(targets(&run(&[]))
            .iter()
            .all(|target| target.holds().is_none()));
    }

    #[test]
    fn a_single_call_is_counted_beyond_the_empty_message() {
        let run = run(&[
            (Operation::EmptyMessage, 1, Plain, 3000.0),
            (Operation::Trivial, 1, Inline, 3400.0),
        ]);
        let beyond = targets(&run)
            .into_iter()
            .find(|target| target.what == "single INLINE call, beyond an empty message")
            .expect("the target");
        assert_eq!((beyond.measured, beyond.holds()), (Some(400.0), Some(true)));
        assert_eq!(beyond.text(400.0), "400");
    }
}
