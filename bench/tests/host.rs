// SPDX-License-Identifier: MIT OR Apache-2.0

//! The benchmark itself, with those contenders that every machine has.

use nlcall_bench::{
    clock::Unit,
    contender::Contender,
    fixtures::Fixtures,
    options::Options,
    plan::{self, Operation},
    result::{Event, Value},
    run, table,
};

/// The one test of this program: measuring needs a process without other threads, so what it does
/// is done by the main thread of a program of its own.
fn main() {
    every_operation_is_measured();
    println!("test every_operation_is_measured ... ok");
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

fn every_operation_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = Fixtures::below(folder.path()).expect("the files");
    let operations = Operation::all().filter(|operation| {
        // These speak to netlink or to the module.
        !matches!(
            operation,
            Operation::EmptyMessage | Operation::EmptyRequest | Operation::FirstCall
        )
    });
    let options = Options {
        only: operations.collect(),
        contenders: vec![Contender::Plain, Contender::Pool],
        batches: vec![2],
        quick: true,
        ..Options::default()
    };
    let mut told = 0;
    let found = run::measure(&options, Unit::Nanoseconds, fixtures, |event| {
        told += usize::from(matches!(event, Event::Begins { .. }));
        Ok(())
    })
    .expect("a result");
    assert_eq!(told, plan::groups(&options).len());
    assert!(!found.rows.is_empty());
    for row in &found.rows {
        match &row.value {
            Value::Measured { median, min, max } => {
                assert!(0.0 < *min && min <= median && median <= max, "{row:?}");
            }
            Value::NotPossible { .. } => {
                assert_eq!(row.operation, Operation::Blocked, "{row:?}");
                assert_eq!(row.contender, Contender::Plain, "{row:?}");
            }
            Value::NotSupported { .. } | Value::Failed { .. } => panic!("{row:?}"),
        }
    }
    let text = table::text(&found, None);
    assert!(text.contains("file-chain"), "{text}");
}
