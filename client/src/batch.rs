// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    fmt,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{ready, Context, Poll},
};

use crate::{
    client::Handle,
    engine::{AnyFlight, Flight, NotLaunched, Ticket},
    panics::Panics,
    Error, InFlight, Submit,
};

/// Operations and chains that are submitted together: with the module, as one message.
///
/// Each has a future of its own, which is pending until the batch is [submitted](Self::submit).
/// Where the batch is dropped before, they end with `ECANCELED`, and never begin.
///
/// ```
/// use nlcall::{op, Client};
///
/// # pollster::block_on(async {
/// let client = Client::new()?;
/// let mut batch = client.batch();
/// let files = ["/etc/passwd", "/etc/group"].map(|path| batch.push(op::Stat::new(path)));
/// batch.submit().await?;
/// for file in files {
///     println!("{} bytes", file.await??.stx_size);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a batch does nothing until `submit` is called"]
pub struct Batch {
    handle: Arc<Handle>,
    flights: Vec<Arc<dyn AnyFlight>>,
}

impl Batch {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            flights: Vec::new(),
        }
    }

    /// Adds an operation or a [`Chain`](crate::Chain) at the end.
    pub fn push<W: Submit>(&mut self, work: W) -> InFlight<W> {
        let flight = Arc::new(Flight::new(work));
        self.flights.push(Arc::clone(&flight) as _);
        InFlight::of_batch(Arc::clone(&self.handle), flight)
    }

    /// Operations and chains in it.
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Submits all of it. Where it has more calls than the client's depth, this is done in parts,
    /// each when there is room for it.
    ///
    /// # Errors
    ///
    /// What the kernel says against a call. Those that were not submitted end with `ECANCELED`.
    pub async fn submit(mut self) -> Result<(), Error> {
        loop {
            let engine = Arc::clone(&self.handle.engine);
            let (mut calls, mut flights) = (0, 0);
            for flight in &self.flights {
                engine.check(flight.len())?;
                if calls + flight.len() > engine.depth() {
                    break;
                }
                calls += flight.len();
                flights += 1;
            }
            if flights == 0 {
                return Ok(());
            }
            Part {
                handle: &self.handle,
                flights: self.flights.drain(..flights).collect(),
                room: Room::Wanted(calls),
            }
            .submit()
            .await?;
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        end(&self.handle, &self.flights);
    }
}

/// Ends what was not submitted.
fn end(handle: &Handle, flights: &[Arc<dyn AnyFlight>]) {
    if !handle.engine.is_in_child() {
        let mut panics = Panics::default();
        for flight in flights {
            panics.catch(|| flight.end_held());
        }
        panics.resume();
    }
}

/// What is submitted at once.
struct Part<'a> {
    handle: &'a Arc<Handle>,
    flights: Vec<Arc<dyn AnyFlight>>,
    room: Room,
}

enum Room {
    /// For so many calls.
    Wanted(usize),
    /// In this place.
    Awaited(usize, Ticket),
    /// That of these flights.
    Taken,
}

impl Part<'_> {
    async fn submit(mut self) -> Result<(), Error> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let engine = Arc::clone(&self.handle.engine);
        engine.check(0)?;
        let (calls, mut ticket) = match self.room {
            Room::Wanted(calls) => (calls, None),
            Room::Awaited(calls, ticket) => (calls, Some(ticket)),
            Room::Taken => (0, None),
        };
        if !matches!(self.room, Room::Taken) {
            let polled = engine.poll_room(calls, &mut ticket, context);
            self.room = match (&polled, ticket) {
                (Poll::Ready(Ok(())), _) => Room::Taken,
                (_, Some(ticket)) => Room::Awaited(calls, ticket),
                (_, None) => Room::Wanted(calls),
            };
            ready!(polled)?;
        }
        match engine.launch(mem::take(&mut self.flights)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(NotLaunched { error, rest }) => {
                self.flights = rest;
                if !error.is_limit() {
                    return Poll::Ready(Err(error));
                }
                engine.poll_driver_room(context)?;
                Poll::Pending
            }
        }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        let engine = &self.handle.engine;
        if engine.is_in_child() {
            return;
        }
        match self.room {
            Room::Wanted(_) => {}
            Room::Awaited(_, ticket) => engine.leave_room(ticket),
            Room::Taken => engine.release_room(self.flights.iter().map(|it| it.len()).sum()),
        }
        end(self.handle, &self.flights);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
