// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that are made through the library, by whatever driver it found.

use std::future::{
    poll_fn,
    Future, //
};
use std::pin::Pin;
use std::task::Poll;

use nlcall::op::{
    Syscall,
    Sysno, //
};
use nlcall::raw::Outcome;
use nlcall::{
    Client,
    Error,
    InFlight, //
};

use crate::kernel::{
    Kernel,
    Reply,
    Request, //
};

/// A client, and its calls with their `user_data`.
pub(super) struct Library {
    client: Client,
    calls: Vec<(u64, InFlight<Syscall>)>,
}

impl Library {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            calls: Vec::new(),
        }
    }
}

impl Kernel for Library {
    unsafe fn submit(&mut self, request: Request) -> Result<(), Error> {
        // SAFETY: The caller promises that what the arguments refer to is there until the reply.
        let call = unsafe { Syscall::new(Sysno::new(request.nr), &request.args) };
        let limit = self.client.depth();
        match self.client.try_submit(call) {
            Ok(call) => self.calls.push((request.user_data, call)),
            Err(refused) => return Err(refused.why.unwrap_or(Error::InFlightLimit { limit })),
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<Reply, Error> {
        if self.calls.is_empty() {
            return Err(Error::NothingInFlight);
        }
        pollster::block_on(poll_fn(|context| {
            for at in 0..self.calls.len() {
                let (user_data, call) = &mut self.calls[at];
                let user_data = *user_data;
                if let Poll::Ready(output) = Pin::new(call).poll(context) {
                    drop(self.calls.swap_remove(at));
                    return Poll::Ready(output.map(|(result, ())| Reply {
                        user_data,
                        ret: match result {
                            Ok(value) => value as i64,
                            Err(errno) => -i64::from(errno.raw()),
                        },
                        // Whatever kept it from running is its error.
                        outcome: Outcome::Ran,
                    }));
                }
            }
            Poll::Pending
        }))
    }
}
