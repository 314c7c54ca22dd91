// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library with the drivers that this machine has.

mod suite;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use nlcall::{Client, Driver};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Several look at all descriptors of the process.
    arguments.test_threads = Some(1);
    let has_module = Client::builder().driver(Driver::Netlink).open().is_ok();
    let trial = |driver: Driver, name, test: fn()| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(format!("{driver}::{name}"), run)
    };
    let trials = suite::TESTS.concat().into_iter().flat_map(|test| {
        let netlink = trial(Driver::Netlink, test.name, test.netlink);
        [
            trial(Driver::Threads, test.name, test.threads),
            netlink.with_ignored_flag(!has_module),
        ]
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
