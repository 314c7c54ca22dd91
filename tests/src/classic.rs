// SPDX-License-Identifier: MIT OR Apache-2.0

//! Raw netlink protocol 28 from a program's side.

use netlink_sys::{Socket, SocketAddr};
use nlcall_abi::CLASSIC_PROTOCOL;

/// A socket of the protocol, connected to the kernel.
///
/// # Panics
///
/// Panics where the module does not serve it.
pub fn socket() -> Socket {
    let mut socket = Socket::new(CLASSIC_PROTOCOL as isize).expect("protocol 28 is served");
    socket.bind_auto().expect("binding");
    socket
        .connect(&SocketAddr::new(0, 0))
        .expect("connecting to the kernel");
    socket
}

/// A message with this sequence number, padded as netlink wants it.
pub fn message(seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(seq.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
