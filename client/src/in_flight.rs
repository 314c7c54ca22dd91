// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    fmt,
    future::{poll_fn, Future},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    client::{Handle, NotSubmitted},
    driver::Stopped,
    engine::{AnyFlight, Flight, NotLaunched, Stoppable, Ticket},
    Error, Submit,
};

/// What was submitted: a future of its output.
///
/// The output has the call's own result in it. An [`Error`] says that the calls were not made, or
/// that the way to the module failed: [`Error::Rejected`] has the kernel's words.
///
/// # Dropping it
///
/// What has not begun never does. What has is cancelled as far as the driver can do that
/// ([`Client`](crate::Client#the-two-drivers)); its buffers are kept until the call is over, and a
/// descriptor that it gives is closed. Leaking the future (`mem::forget`) leaves the call alone.
#[must_use = "dropping it cancels what was submitted"]
pub struct InFlight<W: Submit> {
    handle: Arc<Handle>,
    flight: Arc<Flight<W>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It waits for room, in this place once it was polled.
    Waiting(Option<Ticket>),
    /// It has room, and the driver turned it away for a limit of its own.
    Admitted,
    /// It is with the driver, or belongs to a batch.
    Sent,
    /// It could not be submitted.
    Failed(Error),
    /// Its output was taken.
    Done,
}

/// What became of a cancel.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancellation<T> {
    /// The calls were ended before their time, or never begun. The output says so as well
    /// (`ECANCELED` or `EINTR`), and has the buffers.
    Cancelled(T),
    /// The calls had come to their end all the same.
    Completed(T),
    /// There is nothing that could be cancelled: the output was taken already, or a thread of the
    /// pool is within a call. That goes on, and its output can be awaited as before.
    NotFound,
}

impl<W: Submit> InFlight<W> {
    pub(crate) fn submit(handle: Arc<Handle>, flight: Flight<W>) -> Self {
        let mut this = Self {
            handle,
            flight: Arc::new(flight),
            stage: Stage::Waiting(None),
        };
        if let Err(error) = this.handle.engine.check(this.flight.len()) {
            this.stage = Stage::Failed(error);
        } else if this.handle.engine.try_take_room(this.flight.len()) {
            this.launch();
        }
        this
    }

    pub(crate) fn try_submit(
        handle: Arc<Handle>,
        flight: Flight<W>,
    ) -> Result<Self, NotSubmitted<W>> {
        let mut this = Self::submit(handle, flight);
        let why = match &mut this.stage {
            Stage::Sent => return Ok(this),
            Stage::Failed(_) => match mem::replace(&mut this.stage, Stage::Done) {
                Stage::Failed(error) => Some(error),
                _ => None,
            },
            _ => None,
        };
        match this.flight.take_back() {
            Some(work) => Err(NotSubmitted { work, why }),
            None => Ok(this),
        }
    }

    /// A part of a batch.
    pub(crate) fn of_batch(handle: Arc<Handle>, flight: Arc<Flight<W>>) -> Self {
        Self {
            handle,
            flight,
            stage: Stage::Sent,
        }
    }

    /// Hands it to the driver. There is room.
    fn launch(&mut self) {
        let flight: Arc<dyn AnyFlight> = Arc::clone(&self.flight) as _;
        // It has no room where this panics.
        self.stage = Stage::Waiting(None);
        self.stage = match self.handle.engine.launch(vec![flight]) {
            Ok(()) => Stage::Sent,
            // The driver may have it: it has its room until its completion comes, and was told that
            // perhaps none does.
            Err(NotLaunched { rest, .. }) if rest.is_empty() => Stage::Sent,
            Err(NotLaunched { error, .. }) if error.is_limit() => Stage::Admitted,
            Err(NotLaunched { error, .. }) => {
                self.handle.engine.release_room(self.flight.len());
                Stage::Failed(error)
            }
        };
    }

    /// The output, and whether it is that of a cancelled call.
    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<Result<(W::Output, bool), Error>> {
        let engine = &self.handle.engine;
        if engine.is_in_child() {
            return Poll::Ready(Err(Error::Forked));
        }
        if let Stage::Waiting(ticket) = &mut self.stage {
            match engine.poll_room(self.flight.len(), ticket, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => self.launch(),
                Poll::Ready(Err(error)) => self.stage = Stage::Failed(error),
            }
        } else if matches!(self.stage, Stage::Admitted) {
            self.launch();
        }
        if matches!(self.stage, Stage::Admitted) {
            // Where there is room by now, this is woken at once.
            if let Err(error) = self.handle.engine.poll_driver_room(context) {
                self.handle.engine.release_room(self.flight.len());
                self.stage = Stage::Failed(error);
            }
        }
        match &self.stage {
            Stage::Waiting(_) | Stage::Admitted => Poll::Pending,
            Stage::Sent => {
                let output = self.flight.poll(context.waker());
                if output.is_ready() {
                    self.stage = Stage::Done;
                }
                output
            }
            Stage::Failed(_) => match mem::replace(&mut self.stage, Stage::Done) {
                Stage::Failed(error) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            },
            Stage::Done => panic!("an InFlight was polled again after it had its output"),
        }
    }

    /// Cancels the calls, and waits for what becomes of them. What has not begun never does; what
    /// runs is interrupted, where the driver can do that.
    ///
    /// When this is dropped before it is ready, the cancel has been asked for, and the output can
    /// still be awaited.
    ///
    /// # Errors
    ///
    /// Those of the future itself.
    pub async fn cancel(&mut self) -> Result<Cancellation<W::Output>, Error> {
        let engine = Arc::clone(&self.handle.engine);
        if engine.is_in_child() {
            return Err(Error::Forked);
        }
        match &mut self.stage {
            Stage::Done => return Ok(Cancellation::NotFound),
            Stage::Waiting(_) | Stage::Admitted => self.give_up_room(),
            Stage::Sent | Stage::Failed(_) => {}
        }
        if let Stage::Sent = self.stage {
            if let Stoppable::Sent(keys) = self.flight.stop() {
                if engine.cancel(&keys)? == Stopped::Cannot {
                    return Ok(Cancellation::NotFound);
                }
            }
        }
        let (output, is_canceled) = poll_fn(|context| self.poll_output(context)).await?;
        Ok(match is_canceled {
            true => Cancellation::Cancelled(output),
            false => Cancellation::Completed(output),
        })
    }

    /// It does not wait for room any more, nor has any, unless it was submitted.
    fn give_up_room(&mut self) {
        let engine = &self.handle.engine;
        match mem::replace(&mut self.stage, Stage::Sent) {
            Stage::Waiting(Some(ticket)) => engine.leave_room(ticket),
            Stage::Admitted => engine.release_room(self.flight.len()),
            Stage::Waiting(None) => {}
            other => self.stage = other,
        }
    }
}

impl<W: Submit> Future for InFlight<W> {
    type Output = Result<W::Output, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let output = self.get_mut().poll_output(context);
        output.map(|output| output.map(|(output, _)| output))
    }
}

impl<W: Submit> Drop for InFlight<W> {
    fn drop(&mut self) {
        if self.handle.engine.is_in_child() {
            // The parent goes on with it. What the child has is a copy, whose locks somebody may
            // hold.
            mem::forget(Arc::clone(&self.flight));
            return;
        }
        self.give_up_room();
        if let Stoppable::Sent(keys) = self.flight.abandon() {
            // Where it cannot be cancelled, it ends when it does.
            let _ = self.handle.engine.cancel(&keys);
        }
    }
}

// What is pinned is in the flight.
impl<W: Submit> Unpin for InFlight<W> {}

impl<W: Submit> fmt::Debug for InFlight<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
