// SPDX-License-Identifier: GPL-2.0-only

//! How long calls took, by system call number: from acceptance to the delivery of the completion.
//!
//! The calls of a message are accepted at one moment, and the completions of a message are handed
//! over at one, so that most of those that follow one another took equally long: they are counted
//! together.

use zerocopy_derive::FromZeros;

use crate::wire::{
    Latency,
    LATENCY_BUCKETS, //
};

/// Numbers that are told apart; all others share a place.
const MOST: usize = 32;

/// Places of the index of numbers. More than numbers, so that each is found soon.
const INDEX: usize = 64;

/// The calls of one number.
#[derive(Clone, Copy, FromZeros)]
struct Record {
    count: u64,
    total_ns: u64,
    buckets: [u32; LATENCY_BUCKETS],
}

impl Record {
    /// Counts `calls` that took `ns` each.
    fn add(&mut self, ns: u64, calls: u32) {
        self.count += u64::from(calls);
        self.total_ns = self
            .total_ns
            .saturating_add(ns.saturating_mul(calls.into()));
        let bucket = &mut self.buckets[bucket(ns)];
        *bucket = bucket.saturating_add(calls);
    }
}

/// The bucket for a call that took so long: 0 below 1024 ns, then one for each power of two.
fn bucket(ns: u64) -> usize {
    // The lowest bits count as one: their logarithm is 9.
    ((ns | 0x3ff).ilog2() as usize - 9).min(LATENCY_BUCKETS - 1)
}

/// The calls of a session by number.
///
/// # Invariants
///
/// `index` holds zeroes and the numbers from 1 to `used`, each of these once, in whatever place was
/// the first free one from that of its system call on when it came. `used` is at most [`MOST`], so
/// that the index always has a free place.
///
/// All zeroes is the beginning: it is allocated so.
#[derive(FromZeros)]
pub struct Latencies {
    records: [Record; MOST],
    others: Record,
    numbers: [u32; MOST],
    index: [u8; INDEX],
    used: u8,
}

impl Latencies {
    /// Counts `calls` of number `nr` that took `ns` each.
    fn add(&mut self, nr: u32, ns: u64, calls: u32) {
        self.record(nr).add(ns, calls);
    }

    /// The place of a number, which it may get now.
    fn record(&mut self, nr: u32) -> &mut Record {
        let mut at = nr as usize % INDEX;
        loop {
            match usize::from(self.index[at]).checked_sub(1) {
                None => break,
                Some(place) if self.numbers[place] == nr => return &mut self.records[place],
                Some(_) => at = (at + 1) % INDEX,
            }
        }
        let place = usize::from(self.used);
        if place == MOST {
            return &mut self.others;
        }
        self.used += 1;
        self.index[at] = self.used;
        self.numbers[place] = nr;
        &mut self.records[place]
    }

    /// The numbers that had calls, in the order in which they came; `u32::MAX` stands for those
    /// that no place was left for.
    pub fn iter(&self) -> impl Iterator<Item = Latency> + '_ {
        let known = self.numbers.iter().copied().zip(&self.records);
        known
            .take(usize::from(self.used))
            .chain([(u32::MAX, &self.others)])
            .filter(|(_, record)| record.count > 0)
            .map(|(nr, record)| Latency {
                nr,
                reserved: 0,
                count: record.count,
                total_ns: record.total_ns,
                buckets: record.buckets,
            })
    }
}

/// The completions of one message, on their way into the [`Latencies`] of their session. Dropped
/// when all were counted.
pub struct Delivery<'a> {
    latencies: &'a mut Latencies,
    /// When the message was handed over.
    now: u64,
    /// The number and the acceptance of the last call, and how many like it came in a row.
    nr: u32,
    accepted_at: u64,
    calls: u32,
}

impl<'a> Delivery<'a> {
    /// A message that is handed over at `now`, in the clock of the calls' acceptance.
    pub fn new(latencies: &'a mut Latencies, now: u64) -> Self {
        Self {
            latencies,
            now,
            nr: 0,
            accepted_at: 0,
            calls: 0,
        }
    }

    /// Counts the next completion.
    #[inline(always)]
    pub fn count(&mut self, nr: u32, accepted_at: u64) {
        // One branch instead of two.
        if u64::from(nr ^ self.nr) | (accepted_at ^ self.accepted_at) != 0 {
            self.turn_to(nr, accepted_at);
        }
        self.calls += 1;
    }

    /// The calls from the next one on are others. Out of line, so that what happens for each call
    /// is short.
    #[inline(never)]
    fn turn_to(&mut self, nr: u32, accepted_at: u64) {
        if self.calls > 0 {
            let ns = self.now.saturating_sub(self.accepted_at);
            self.latencies.add(self.nr, ns, self.calls);
        }
        self.nr = nr;
        self.accepted_at = accepted_at;
        self.calls = 0;
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        self.turn_to(0, 0);
    }
}

// It is allocated as one.
const _: () = assert!(size_of::<Latencies>() <= 4096);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1023), 0);
        for k in 1..LATENCY_BUCKETS - 1 {
            assert_eq!(bucket(1 << (k + 9)), k);
            assert_eq!(bucket((1 << (k + 10)) - 1), k);
        }
        // The last takes whatever is longer.
        let last = LATENCY_BUCKETS - 1;
        assert_eq!(bucket((1 << (last + 9)) - 1), last - 1);
        assert_eq!(bucket(1 << (last + 9)), last);
        assert_eq!(bucket(u64::MAX), last);
    }

    proptest! {
        /// Each call is counted once, under its number or under "others", and the first numbers
        /// have places of their own, whatever message each of them comes with.
        #[test]
        fn every_call_is_counted_once(
            // Few moments and many rows of equal calls.
            calls in prop::collection::vec(
                ((0_u32..600, prop_oneof![0_u64..4, any::<u64>()]), 1_usize..4),
                0..200,
            ),
            messages in prop::collection::vec((1_usize..50, any::<u64>()), 1..20),
        ) {
            let calls = calls.into_iter().flat_map(|(call, times)| vec![call; times]);
            let mut calls: VecDeque<(u32, u64)> = calls.collect();
            let mut latencies = Latencies::new_zeroed();
            let mut numbers: Vec<u32> = Vec::new();
            let mut expected: BTreeMap<u32, Record> = BTreeMap::new();
            for (size, now) in messages.iter().cycle() {
                if calls.is_empty() {
                    break;
                }
                let mut message = Delivery::new(&mut latencies, *now);
                for (nr, accepted_at) in calls.drain(..calls.len().min(*size)) {
                    message.count(nr, accepted_at);
                    if !numbers.contains(&nr) && numbers.len() < MOST {
                        numbers.push(nr);
                    }
                    let key = if numbers.contains(&nr) { nr } else { u32::MAX };
                    let record = expected.entry(key).or_insert_with(Record::new_zeroed);
                    let ns = now.saturating_sub(accepted_at);
                    record.count += 1;
                    record.total_ns = record.total_ns.saturating_add(ns);
                    record.buckets[bucket(ns)] += 1;
                }
            }
            let shown: Vec<Latency> = latencies.iter().collect();
            prop_assert_eq!(shown.len(), expected.len());
            let order: Vec<u32> = shown.iter().map(|latency| latency.nr).collect();
            prop_assert_eq!(&order[..numbers.len()], &numbers[..]);
            for latency in shown {
                let record = &expected[&latency.nr];
                prop_assert_eq!(latency.count, record.count);
                prop_assert_eq!(latency.total_ns, record.total_ns);
                prop_assert_eq!(latency.buckets, record.buckets);
                let sum: u64 = latency.buckets.iter().copied().map(u64::from).sum();
                prop_assert_eq!(sum, latency.count);
            }
        }
    }
}
