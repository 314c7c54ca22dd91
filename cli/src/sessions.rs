// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's sessions, as they are shown to people and to programs.

use std::borrow::Cow;
use std::time::Duration;

use nlcall::raw::{
    FrontEnd,
    Latency,
    SessionInfo,
    SessionState, //
};
use nlcall_abi::syscalls;
use serde::{
    Serialize,
    Serializer, //
};

/// One session as it is at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// The process whose calls it has; 0 where it has ended, or is not visible from here.
    pub pid: u32,
    /// The process that the calls come from, where it is another one.
    pub target_of: Option<u32>,
    /// Name of the process.
    pub comm: String,
    /// Port id of the socket.
    pub port_id: u32,
    /// `open`, `ended` or `closed`.
    pub state: &'static str,
    /// `generic` or `classic`.
    pub front_end: &'static str,
    /// Calls that were accepted and whose completion was not delivered.
    pub in_flight: u32,
    /// Of these, calls that wait for a worker.
    pub queued: u32,
    /// Calls that a worker executes.
    pub running: u32,
    /// Of these, calls that are blocked.
    pub blocked: u32,
    /// Completions that wait for room.
    pub undelivered: u32,
    /// Workers.
    pub workers: u32,
    /// Whether all workers that there may be are blocked, and calls wait.
    pub saturated: bool,
    /// Calls that were accepted, since it began, as all that follow.
    pub accepted: u64,
    /// Completions that were delivered.
    pub delivered: u64,
    /// Calls that were rejected.
    pub rejected: u64,
    /// Number of the last message.
    pub last_seq: u32,
    /// Workers without a call, at the moment.
    pub idle: u32,
    /// Calls that their submitters executed.
    pub inline: u64,
    /// Calls that succeeded without a completion.
    pub skipped: u64,
    /// Calls that were cancelled.
    pub canceled: u64,
    /// Calls whose time limit passed.
    pub timed_out: u64,
    /// How long its calls took on workers, by number.
    #[serde(serialize_with = "latencies")]
    pub latency: Vec<Latency>,
}

impl Session {
    /// The process that its calls come from; none where that has ended, or is not visible from here.
    pub fn sender(&self) -> Option<u32> {
        Some(self.target_of.unwrap_or(self.pid)).filter(|pid| *pid != 0)
    }
}

impl From<SessionInfo> for Session {
    fn from(info: SessionInfo) -> Self {
        Self {
            id: info.id,
            pid: info.pid,
            target_of: info.target_of,
            comm: info.comm,
            port_id: info.port_id,
            state: match info.state {
                SessionState::Open => "open",
                SessionState::Ended => "ended",
                SessionState::Closed => "closed",
            },
            front_end: match info.front_end {
                FrontEnd::Generic => "generic",
                FrontEnd::Classic => "classic",
            },
            in_flight: info.in_flight,
            queued: info.queued,
            running: info.running,
            blocked: info.blocked,
            undelivered: info.undelivered,
            workers: info.workers,
            saturated: info.saturated,
            accepted: info.accepted,
            delivered: info.delivered,
            rejected: info.rejected,
            last_seq: info.last_seq,
            idle: info.idle,
            inline: info.inline,
            skipped: info.skipped,
            canceled: info.canceled,
            timed_out: info.timed_out,
            latency: info.latency,
        }
    }
}

/// All sessions that may be seen, in the order of their numbers.
pub fn all(session: &nlcall::raw::Session) -> Result<Vec<Session>, nlcall::Error> {
    let mut sessions: Vec<_> = session.sessions()?.into_iter().map(Session::from).collect();
    sessions.sort_by_key(|session| session.id);
    Ok(sessions)
}

/// How long the calls of one system call number took on workers, for programs.
#[derive(Debug, Serialize)]
struct LatencyRow<'a> {
    /// None for all those that the kernel kept no number of their own for.
    nr: Option<u32>,
    name: Option<&'static str>,
    count: u64,
    mean_ns: Option<u64>,
    /// No longer than that, as a power of two; none beyond what the kernel tells apart.
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    /// As the kernel counts them: `struct nlcall_latency`.
    buckets: &'a [u32],
}

impl<'a> From<&'a Latency> for LatencyRow<'a> {
    fn from(latency: &'a Latency) -> Self {
        Self {
            nr: latency.nr,
            name: latency.nr.and_then(syscalls::by_nr).map(|entry| entry.name),
            count: latency.count,
            mean_ns: latency.mean().map(nanos),
            p50_ns: latency.percentile(0.50).map(nanos),
            p99_ns: latency.percentile(0.99).map(nanos),
            buckets: &latency.buckets,
        }
    }
}

/// Writes latencies for programs.
pub fn latencies<S: Serializer>(latency: &[Latency], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(latency.iter().map(LatencyRow::from))
}

/// A time in nanoseconds.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The name of the call that a latency is of.
pub fn call(latency: &Latency) -> Cow<'static, str> {
    match latency.nr {
        Some(nr) => match syscalls::by_nr(nr) {
            Some(entry) => entry.name.into(),
            None => nr.to_string().into(),
        },
        None => "(others)".into(),
    }
}

/// A time with three or four digits and its unit, or a dash.
pub fn time(time: Option<Duration>) -> String {
    let Some(nanos) = time.map(nanos) else {
        return "-".to_owned();
    };
    let (unit, name) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, tenths) = (nanos / unit, nanos % unit * 10 / unit);
    format!("{whole}.{tenths} {name}")
}

#[cfg(test)]
pub mod samples {
    //! Sessions that tests show.

    use super::*;

    /// `count` calls that took 2 microseconds on average, half of them less than that.
    pub fn latency(nr: Option<u32>, count: u64) -> Latency {
        let mut latency = Latency::default();
        latency.nr = nr;
        latency.count = count;
        latency.total = Duration::from_micros(2 * count);
        let half = u32::try_from(count / 2).unwrap();
        latency.buckets[1] = half;
        latency.buckets[2] = u32::try_from(count).unwrap() - half;
        latency
    }

    /// A session that a process has opened.
    pub fn session(id: u64, pid: u32, comm: &str) -> Session {
        Session {
            id,
            pid,
            comm: comm.to_owned(),
            port_id: pid,
            state: "open",
            front_end: "generic",
            ..Session::default()
        }
    }

    /// One in which much goes on.
    pub fn busy() -> Session {
        let mut long = latency(Some(999), 1);
        long.buckets = Default::default();
        long.buckets[23] = 1;
        Session {
            target_of: Some(8),
            in_flight: 3,
            queued: 1,
            running: 2,
            blocked: 2,
            workers: 2,
            saturated: true,
            accepted: 9,
            delivered: 6,
            last_seq: 4,
            inline: 3,
            latency: vec![latency(Some(0), 4), long, latency(None, 1)],
            ..session(1, 0, "sh")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_the_process_that_can_be_spoken_to() {
        let own = samples::session(1, 7, "a");
        assert_eq!(own.sender(), Some(7));
        assert_eq!(samples::busy().sender(), Some(8));
        let foreign = Session {
            target_of: Some(0),
            ..own
        };
        assert_eq!(foreign.sender(), None);
        assert_eq!(samples::session(1, 0, "a").sender(), None);
    }

    #[test]
    fn times_have_their_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1024, "1.0 us"),
            (999_999, "999.9 us"),
            (1_500_000, "1.5 ms"),
            (90_000_000_000, "90.0 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(time(Some(Duration::from_nanos(nanos))), text);
        }
        assert_eq!(time(None), "-");
    }
}
