// SPDX-License-Identifier: GPL-2.0-only

//! What is sent to the classic front end: from bytes to calls.

use core::mem::size_of;

use zerocopy::FromBytes;

use crate::{
    parse, policy,
    reject::{
        reject,
        Rejection, //
    },
    wire::{
        Call,
        Readi, //
    },
};

/// `NLMSG_HDRLEN` and `NLMSG_ALIGNTO` of `include/uapi/linux/netlink.h`.
const HEADER: usize = 16;
const ALIGN: usize = 4;

const READ: u32 = policy::nr("read");

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where its header is among the bytes that were sent, a multiple of 4.
    pub at: usize,
    /// Its `nlmsg_seq`.
    pub seq: u32,
    /// What follows its header.
    pub payload: &'a [u8],
}

/// Messages one after the other, up to the first that is not whole.
pub struct Messages<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Messages<'a> {
    /// Those in these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let &[l0, l1, l2, l3, _, _, _, _, s0, s1, s2, s3, ..] = rest else {
            return None;
        };
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let payload = rest.get(HEADER..len)?;
        self.at = at + len.next_multiple_of(ALIGN);
        Some(Message {
            at,
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload,
        })
    }
}

impl Message<'_> {
    /// The call that it asks for, and the process that is to make it.
    pub fn call(&self) -> Result<(i32, Call), Rejection> {
        let Ok((readi, _)) = Readi::read_from_prefix(self.payload) else {
            let need = size_of::<Readi>();
            return Err(reject!(
                EINVAL,
                "{} bytes are no struct readi of {need}",
                self.payload.len()
            ));
        };
        let call = Call {
            user_data: u64::from(self.seq) << 32 | u64::from(readi.pid as u32),
            nr: READ,
            args: [
                readi.fd as u64,
                readi.ptr,
                // A negative count is more than any buffer holds: `read` answers as it always does.
                readi.count as u64,
                0,
                0,
                0,
            ],
            ..Call::default()
        };
        parse::judge(0, call.nr, &call.args)?;
        Ok((readi.pid, call))
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    fn message(seq: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(seq.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    const READI: Readi = Readi {
        pid: 7,
        fd: -1,
        ptr: 0x1234_5678_9abc,
        count: -2,
        padding: [0; 4],
    };

    #[test]
    fn a_structure_is_a_read() {
        let bytes = message(3, READI.as_bytes());
        let message = Messages::of(&bytes).next().unwrap();
        let (pid, call) = message.call().unwrap();
        assert_eq!((pid, call.nr, call.flags), (7, 0, 0));
        assert_eq!(call.user_data, 3 << 32 | 7);
        let [fd, ptr, count, ..] = call.args;
        assert_eq!((fd as i64, ptr, count as i64), (-1, READI.ptr, -2));
    }

    #[test]
    fn messages_come_in_order_up_to_the_first_that_is_not_whole() {
        let mut bytes = message(1, READI.as_bytes());
        // Aligned to four bytes.
        bytes.extend(message(2, &[1, 2, 3]));
        bytes.push(0);
        bytes.extend(message(3, &[]));
        let seen: Vec<_> = Messages::of(&bytes)
            .map(|message| (message.at, message.seq, message.payload.len()))
            .collect();
        assert_eq!(seen, [(0, 1, 24), (40, 2, 3), (60, 3, 0)]);

        for len in [0_u32, 15, 17, u32::MAX] {
            let mut broken = bytes.clone();
            broken[60..64].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(Messages::of(&broken).count(), 2, "{len}");
        }
        assert_eq!(Messages::of(&bytes[..15]).count(), 0);
        // The padding of the last one may be missing.
        assert_eq!(Messages::of(&bytes[..59]).count(), 2);
    }

    #[test]
    fn less_than_a_structure_is_rejected() {
        let bytes = message(1, &READI.as_bytes()[..23]);
        let rejection = Messages::of(&bytes).next().unwrap().call().unwrap_err();
        assert_eq!(
            rejection.text.as_str(),
            "23 bytes are no struct readi of 24"
        );
    }
}
