// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tells the command of each call, with what its arguments point to.

use core::mem::size_of;

use zerocopy::IntoBytes;

use crate::count;
use crate::descriptors;
use crate::making::Call;
use crate::shared::{
    Capture,
    Moment,
    Piece,
    Record,
    Way,
    RECORD_LEN, //
};
use crate::sys;

/// A call ended.
pub fn ended(call: &Call, way: Way, ret: i64) {
    let [.., socket] = descriptors::placed();
    if socket >= 0 {
        tell(socket, call, way, ret, Moment::Ended);
    }
}

/// A call begins that does not come back if it succeeds.
pub fn begins(call: &Call) {
    let [.., socket] = descriptors::placed();
    if socket >= 0 {
        tell(socket, call, Way::Native, 0, Moment::Begins);
    }
}

/// Not inlined: its memory is on the stack only where there is a trace.
#[inline(never)]
fn tell(socket: i32, call: &Call, way: Way, ret: i64, moment: Moment) {
    let mut bytes = [0; RECORD_LEN];
    let record = Record {
        nr: call.nr,
        args: call.args,
        ret,
        thread: sys::gettid(),
        way: way as u8,
        moment: moment as u8,
        reserved: [0; 2],
    };
    let mut len = size_of::<Record>();
    bytes[..len].copy_from_slice(record.as_bytes());
    for (index, capture) in count::captures(call.nr).into_iter().enumerate() {
        let from = call.args[index];
        let Some(most) = capture.bytes(&call.args, ret).filter(|_| from != 0) else {
            continue;
        };
        let start = len + size_of::<Piece>();
        let Some(place) = bytes.get_mut(start..(start + most).min(RECORD_LEN)) else {
            continue;
        };
        let mut read = read_up_to(from, place);
        if let Capture::Text | Capture::TextAfter = capture {
            // With the zero byte.
            let end = place[..read].iter().position(|byte| *byte == 0);
            read = end.map_or(read, |end| end + 1);
        }
        if read == 0 && most > 0 {
            continue;
        }
        let piece = Piece {
            argument: index as u16,
            len: read as u16,
        };
        bytes[len..start].copy_from_slice(piece.as_bytes());
        len = start + read;
    }
    sys::send(socket, &bytes[..len]);
}

/// Reads memory up to where it ends: the kernel reads a page or nothing of it.
fn read_up_to(from: u64, into: &mut [u8]) -> usize {
    const PAGE: u64 = 4096;
    let mut done = 0;
    while done < into.len() {
        let at = from.wrapping_add(done as u64);
        let in_page = (PAGE - at % PAGE) as usize;
        let end = into.len().min(done + in_page);
        let read = sys::read_memory(at, &mut into[done..end]);
        done += read;
        if read < in_page {
            break;
        }
    }
    done
}
