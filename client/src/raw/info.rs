// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use nlcall_abi::{self as abi, FrontEnd, SessionState, Verdict, LATENCY_BUCKETS};

/// One entry of the module's policy table: what may be done with a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyscallInfo {
    /// System call number of the x86-64 table.
    pub nr: u32,
    /// Its name, as in the kernel's table.
    pub name: String,
    /// What may be done with it.
    pub verdict: Verdict,
    /// Why, in words; none where it executes everywhere without a difference.
    pub reason: Option<String>,
}

/// One session of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Number of the session, unique since the module was loaded.
    pub id: u64,
    /// Process id of the owner in the reader's pid namespace; 0 where it is not visible there or
    /// the owner has ended.
    pub pid: u32,
    /// Where the owner executes calls on behalf of another process ([`Target`](super::Target)): the
    /// process id of that one, 0 where it is not visible or has ended.
    pub target_of: Option<u32>,
    /// Name (`comm`) of the owner.
    pub comm: String,
    /// Netlink port id of the socket.
    pub port_id: u32,
    /// Its state.
    pub state: SessionState,
    /// How it is spoken to.
    pub front_end: FrontEnd,
    /// Calls accepted whose completion was not yet delivered.
    pub in_flight: u32,
    /// Calls that wait for a worker.
    pub queued: u32,
    /// Calls that a worker executes, blocked ones included.
    pub running: u32,
    /// Running calls that are blocked.
    pub blocked: u32,
    /// Completions that wait for room in the receive buffer.
    pub undelivered: u32,
    /// Workers of the session.
    pub workers: u32,
    /// Whether every worker up to the cap is blocked while calls wait.
    pub saturated: bool,
    /// Calls accepted since the session began.
    pub accepted: u64,
    /// Completions delivered since the session began.
    pub delivered: u64,
    /// Calls that a message named and that were rejected with it.
    pub rejected: u64,
    /// `nlmsg_seq` of the last SUBMIT that was accepted.
    pub last_seq: u32,
    /// Calls that succeeded without a completion, as they asked for
    /// ([`CallFlags::SKIP_SUCCESS`](super::CallFlags::SKIP_SUCCESS)).
    pub skipped: u64,
    /// Calls that ended with `Outcome::Canceled`.
    pub canceled: u64,
    /// Calls that ended with `Outcome::TimedOut`.
    pub timed_out: u64,
    /// Calls that their submitting thread executed
    /// ([`CallFlags::INLINE`](super::CallFlags::INLINE)), not those of them that never started.
    pub inline: u64,
    /// Workers without a call.
    pub idle: u32,
    /// How long the calls took that were for workers, by system call number.
    pub latency: Vec<Latency>,
}

/// How long the calls of one system call number took in a session, from acceptance to the delivery
/// of the completion to the receive buffer. Calls of workers, however they ended; not those without
/// a completion ([`CallFlags::SKIP_SUCCESS`](super::CallFlags::SKIP_SUCCESS)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// System call number; none for all those that the kernel kept no number of their own for.
    pub nr: Option<u32>,
    /// Completions delivered.
    pub count: u64,
    /// Time that they took together.
    pub total: Duration,
    /// How many took how long: bucket 0 less than 1024 ns, bucket `k` from `2^(k+9)` to less than
    /// `2^(k+10)` ns, the last one anything longer.
    pub buckets: [u32; LATENCY_BUCKETS],
}

impl Latency {
    /// A time that at least this part of the calls (0.5 is the half) did not exceed: the upper end
    /// of its bucket, so up to twice as long as the exact one. None where there was no call, or
    /// where the bucket has no end.
    pub fn percentile(&self, part: f64) -> Option<Duration> {
        let calls: u64 = self.buckets.iter().copied().map(u64::from).sum();
        // The first call that has the part on its side; at least one.
        let rank = ((calls as f64 * part).ceil() as u64).clamp(1, calls.max(1));
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        })?;
        (bucket + 1 < LATENCY_BUCKETS).then(|| Duration::from_nanos(1 << (bucket + 10)))
    }

    /// Mean time of a call; none where there was none.
    pub fn mean(&self) -> Option<Duration> {
        let nanos = self.total.as_nanos().checked_div(self.count.into())?;
        Some(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }

    /// What it has counted since an earlier look at the same session.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.count = self.count.saturating_sub(earlier.count);
        since.total = self.total.saturating_sub(earlier.total);
        for (bucket, before) in since.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        since
    }

    /// What it and another one, of another session or number, have counted together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.count = self.count.saturating_add(other.count);
        both.total = self.total.saturating_add(other.total);
        for (bucket, others) in both.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.saturating_add(others);
        }
        both
    }

    /// What goes over the wire.
    pub(super) fn from_abi(latency: &abi::Latency) -> Self {
        Self {
            nr: (latency.nr != u32::MAX).then_some(latency.nr),
            count: latency.count,
            total: Duration::from_nanos(latency.total_ns),
            buckets: latency.buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_looks_differ_by_happened_between_them() {
        let mut earlier = Latency {
            nr: Some(0),
            count: 3,
            total: Duration::from_micros(30),
            ..Latency::default()
        };
        earlier.buckets[4] = 3;
        let mut recent = Latency {
            nr: Some(0),
            count: 1,
            total: Duration::from_millis(1),
            ..Latency::default()
        };
        recent.buckets[10] = 1;
        let all = earlier.and(&recent);
        assert_eq!((all.count, all.total), (4, Duration::from_micros(1030)));
        assert_eq!(all.percentile(0.5), Some(Duration::from_nanos(1 << 14)));
        assert_eq!(all.percentile(1.0), Some(Duration::from_nanos(1 << 20)));
        assert_eq!(all.since(&earlier), recent);
        // Of two that do not belong together nothing is left, rather than nonsense.
        let nothing = Latency {
            nr: Some(0),
            ..Latency::default()
        };
        assert_eq!(earlier.since(&all), nothing);
    }
}
