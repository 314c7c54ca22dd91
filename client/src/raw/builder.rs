// SPDX-License-Identifier: MIT OR Apache-2.0

use super::{
    sys::{BufferSizes, Socket},
    Session,
};
use crate::Error;

/// Options of a [`Session`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct SessionBuilder {
    buffers: BufferSizes,
    max_in_flight: Option<usize>,
}

impl SessionBuilder {
    /// The defaults: 1 MiB for each buffer, the module's limit for calls in flight.
    pub(super) fn new() -> Self {
        Self {
            buffers: BufferSizes {
                receive: 1 << 20,
                send: 1 << 20,
            },
            max_in_flight: None,
        }
    }

    /// Size of the socket's receive buffer in bytes, as `SO_RCVBUF` takes it: the kernel doubles
    /// it for its own bookkeeping. Beyond `net.core.rmem_max` it takes `CAP_NET_ADMIN`; without
    /// that right the size is cut to it.
    ///
    /// A small buffer loses no completion, it only delays them.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.buffers.receive = bytes;
        self
    }

    /// Size of the socket's send buffer in bytes, as `SO_SNDBUF` takes it; `net.core.wmem_max` cuts
    /// it likewise. It bounds the length of one message, and so how many messages a large batch is
    /// split into.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.buffers.send = bytes;
        self
    }

    /// Most calls in flight that [`Session::submit`] lets through. Without it the module's own
    /// limit for a session holds.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = Some(calls);
        self
    }

    /// Opens the session.
    ///
    /// # Errors
    ///
    /// [`Error::ModuleMissing`] when no module is loaded, [`Error::WrongVersion`] when it speaks
    /// another version, [`Error::Rejected`] when it refuses this user, [`Error::Io`] when no socket
    /// can be made (`EMFILE`, `ENOMEM`, ...).
    pub fn open(self) -> Result<Session, Error> {
        Session::over(Socket::open(&self.buffers)?, self.max_in_flight)
    }
}
