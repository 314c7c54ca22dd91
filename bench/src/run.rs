// SPDX-License-Identifier: MIT OR Apache-2.0

//! One run of the benchmark on the machine that this is.

use std::{fs, sync::Arc, thread};

use anyhow::Result;

use crate::{
    clock::Unit,
    fixtures::Fixtures,
    options::Options,
    plan,
    result::{Conditions, Event, Run},
};

/// Measures what the options ask for, and says what it is at.
///
/// The calling process must have one thread.
pub fn measure(
    options: &Options,
    unit: Unit,
    fixtures: Fixtures,
    mut tell: impl FnMut(Event) -> Result<()>,
) -> Result<Run> {
    let rounds = options.rounds(unit);
    let groups = plan::groups(options);
    let conditions = Conditions::of_this_machine(&fixtures, rounds);
    let fixtures = Arc::new(fixtures);
    let mut rows = Vec::new();
    for (done, group) in groups.iter().enumerate() {
        tell(Event::Begins {
            done,
            of: groups.len(),
            what: format!("{}, batch {}", group.operation.name(), group.batch),
        })?;
        rows.extend(plan::measure(group, unit, rounds, &fixtures)?);
    }
    let run = Run {
        unit,
        conditions,
        rows,
    };
    tell(Event::Ends(run.clone()))?;
    Ok(run)
}

impl Conditions {
    fn of_this_machine(fixtures: &Fixtures, rounds: usize) -> Self {
        let features = nlcall::raw::Session::open().map(|session| session.features().clone());
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        Self {
            kernel: release,
            cpus: thread::available_parallelism().map_or(1, Into::into),
            processor: processor(),
            accelerator: String::new(),
            file_system: fixtures.file_system(),
            module: features.ok().map(|features| features.module_version),
            rounds,
        }
    }
}

/// The processor's model, as `/proc/cpuinfo` names it.
pub fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model
        .map_or("unknown processor", |(_, model)| model)
        .to_owned()
}
