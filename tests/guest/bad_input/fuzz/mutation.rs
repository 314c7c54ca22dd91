// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of a message that was right.

use fastrand::Rng;

/// Changes a message in one way.
pub fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(0..bytes.len());
    match random.u8(0..7) {
        // A bit, a byte, a value that borders on something.
        0 => bytes[at] ^= 1 << random.u8(0..8),
        1 => bytes[at] = random.u8(..),
        2 => {
            let border = [0_u32, 1, 3, 4, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX];
            let border = border[random.usize(0..border.len())].to_ne_bytes();
            let at = at & !3;
            let end = (at + 4).min(bytes.len());
            bytes[at..end].copy_from_slice(&border[..end - at]);
        }
        // Cut, grow, repeat, shift.
        3 => bytes.truncate(at),
        4 => bytes.extend((0..random.usize(1..64)).map(|_| 0)),
        5 => {
            let part = bytes[at..].to_vec();
            bytes.extend(part);
        }
        _ => {
            let shift = random.usize(1..9);
            bytes.splice(at..at, vec![0; shift]);
        }
    }
}

/// Makes the message's own length the true one, so that it gets past netlink's look at it, and the
/// next one is found behind it.
pub fn frame(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().max(16), 0);
    let len = (bytes.len() as u32).to_ne_bytes();
    bytes[..4].copy_from_slice(&len);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
