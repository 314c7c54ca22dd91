// SPDX-License-Identifier: MIT OR Apache-2.0

//! The descriptors that the program must not lose, and does not see.

use core::sync::atomic::{
    AtomicI32,
    Ordering::Relaxed, //
};

use crate::session;
use crate::worker;

/// Those that the command placed: library, counters, trace; -1 for none.
static PLACED: [AtomicI32; 3] = [const { AtomicI32::new(-1) }; 3];

/// Takes note of the descriptors that the command placed.
pub fn set_placed(placed: [i32; 3]) {
    for (place, fd) in PLACED.iter().zip(placed) {
        place.store(fd, Relaxed);
    }
}

/// The descriptors that the command placed.
pub fn placed() -> [i32; 3] {
    PLACED.each_ref().map(|place| place.load(Relaxed))
}

/// Whether a descriptor is one of the library's.
pub fn is_ours(fd: u64) -> bool {
    ours().any(|ours| ours == fd as i32)
}

fn ours() -> impl Iterator<Item = i32> {
    let placed = placed().into_iter().chain(session::socket());
    placed.filter(|fd| *fd >= 0).chain(worker::sockets())
}

/// The parts of a range of descriptors that lie between the library's own, in their order.
pub fn around_ours(first: u32, last: u32) -> impl Iterator<Item = (u32, u32)> {
    around(ours, first, last)
}

fn around<I: Iterator<Item = i32>>(
    gaps: impl Fn() -> I,
    first: u32,
    last: u32,
) -> impl Iterator<Item = (u32, u32)> {
    let mut next = Some(first);
    core::iter::from_fn(move || loop {
        let begin = next?;
        let gaps = gaps().filter_map(|gap| u32::try_from(gap).ok());
        let Some(gap) = gaps.filter(|gap| (begin..=last).contains(gap)).min() else {
            next = None;
            return Some((begin, last));
        };
        next = (gap < last).then(|| gap + 1);
        if begin < gap {
            return Some((begin, gap - 1));
        }
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn parts(gaps: [i32; 4], first: u32, last: u32) -> Vec<(u32, u32)> {
        around(|| gaps.into_iter(), first, last).collect()
    }

    #[test]
    fn a_range_is_cut_where_the_library_has_descriptors() {
        let ours = [1026, 1024, -1, 1025];
        let all = u32::MAX;
        assert_eq!(parts(ours, 3, all), [(3, 1023), (1027, all)]);
        assert_eq!(parts(ours, 3, 1000), [(3, 1000)]);
        assert_eq!(parts(ours, 3, 1024), [(3, 1023)]);
        assert_eq!(parts(ours, 1024, 1026), []);
        assert_eq!(parts(ours, 1025, 2000), [(1027, 2000)]);
        assert_eq!(
            parts([5, 9, 7, -1], 3, 10),
            [(3, 4), (6, 6), (8, 8), (10, 10)]
        );
        assert_eq!(parts([-1; 4], 0, all), [(0, all)]);
        assert_eq!(parts([0, -1, -1, -1], 0, 0), []);
    }
}
