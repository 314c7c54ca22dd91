// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts how often the module passes each point, with a kernel probe at each.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::points::Point;

const TRACING: &str = "/sys/kernel/tracing";
const GROUP: &str = "nlcall_points";

/// Probes at points, which do not count yet. They go when this is dropped.
#[derive(Debug)]
pub struct Probes(());

impl Probes {
    /// At these points of the module whose code begins at `base`.
    pub fn at(points: &[Point], base: u64) -> Self {
        let probes = Self(());
        for (number, point) in points.iter().enumerate() {
            let at = base + point.probe();
            let text = format!("p:{GROUP}/point{number} {at:#x}\n");
            append("kprobe_events", &text)
                .unwrap_or_else(|error| panic!("a probe at {point}: {error}"));
        }
        probes
    }

    /// Lets them count, or not.
    pub fn count(&self, on: bool) {
        let path = PathBuf::from(TRACING)
            .join("events")
            .join(GROUP)
            .join("enable");
        fs::write(path, if on { "1" } else { "0" }).expect("probes can be switched");
    }

    /// The folder of the probe at the point of this number.
    pub fn event(&self, number: usize) -> String {
        format!("{TRACING}/events/{GROUP}/point{number}")
    }

    /// How often each was passed so far.
    pub fn profile(&self) -> String {
        let profile = fs::read_to_string(PathBuf::from(TRACING).join("kprobe_profile"));
        profile.expect("the kernel counts what probes hit")
    }
}

/// How often each point was passed between two profiles, by its number.
pub fn between(before: &str, after: &str) -> BTreeMap<usize, usize> {
    let before = counts(before);
    let mut counts = counts(after);
    counts.retain(|number, count| {
        *count = count.saturating_sub(*before.get(number).unwrap_or(&0));
        *count > 0
    });
    counts
}

fn counts(profile: &str) -> BTreeMap<usize, usize> {
    let counts = profile.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let number = words.next()?.strip_prefix("point")?.parse().ok()?;
        Some((number, words.next()?.parse().ok()?))
    });
    counts.collect()
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.count(false);
        let events = fs::read_to_string(PathBuf::from(TRACING).join("kprobe_events"));
        for line in events.unwrap_or_default().lines() {
            let name = line
                .split_whitespace()
                .next()
                .and_then(|it| it.split(':').nth(1));
            if let Some(name) = name.filter(|name| name.starts_with(GROUP)) {
                append("kprobe_events", &format!("-:{name}\n")).expect("a probe can be removed");
            }
        }
    }
}

fn append(file: &str, text: &str) -> std::io::Result<()> {
    use std::io::Write;

    let path = PathBuf::from(TRACING).join(file);
    fs::OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(text.as_bytes())
}
