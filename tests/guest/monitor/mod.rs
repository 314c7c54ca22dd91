// SPDX-License-Identifier: MIT OR Apache-2.0

//! Those that look on: what they see, who they are, and that nothing waits for them.

mod command;
mod events;
mod listeners;
mod losses;
mod tracepoints;

use std::time::Duration;

use nlcall::raw::{Event, Monitor, Notice, TracedCall, TracedEnd, What};

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    events::TESTS,
    listeners::TESTS,
    losses::TESTS,
    tracepoints::TESTS,
    command::TESTS,
];

/// How long nothing has to be heard until it is taken that nothing comes any more.
const SILENCE: Duration = Duration::from_millis(300);

/// Events of this process until none comes any more, and how many were lost.
fn hear(monitor: &mut Monitor) -> (Vec<Event>, u64) {
    let (mut events, mut lost) = (Vec::new(), 0);
    while let Some(notice) = monitor.wait_timeout(SILENCE).expect("the monitor listens") {
        match notice {
            Notice::Event(event) if event.pid == std::process::id() => events.push(*event),
            Notice::Event(_) => {}
            Notice::Lost(count) => lost += count,
        }
    }
    (events, lost)
}

/// The same, where nothing may be lost.
fn hear_all(monitor: &mut Monitor) -> Vec<Event> {
    let (events, lost) = hear(monitor);
    assert_eq!(lost, 0, "events were lost");
    events
}

/// The events of calls that ended, in their order.
fn endings(events: &[Event]) -> Vec<(&Event, &TracedCall, &TracedEnd)> {
    let endings = events.iter().filter_map(|event| match &event.what {
        What::Completed(call, end) => Some((event, call, &**end)),
        _ => None,
    });
    endings.collect()
}

/// The ending of the call with this name.
fn ending_of(events: &[Event], user_data: u64) -> (&Event, &TracedCall, &TracedEnd) {
    let endings = endings(events);
    let mut of_it = endings
        .iter()
        .filter(|(_, it, _)| it.user_data == user_data);
    let ending = of_it.next().expect("its end is told");
    assert!(of_it.next().is_none(), "it is told twice");
    *ending
}
