// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{fmt, future::poll_fn, sync::Arc};

use crate::{
    completions::{self, Completions},
    driver::{Backend, Driver, Netlink, Threads},
    engine::{Engine, Flight},
    in_flight::InFlight,
    Batch, Error, Submit,
};

/// Makes system calls asynchronously.
///
/// The calls are made by the kernel module where it is loaded and lets this process use it,
/// otherwise by threads of this process; [`driver`](Self::driver) says which. Clones share
/// everything: the driver, the depth, what is in flight.
///
/// ```
#[doc = include_str!("../examples/first_file.rs")]
/// ```
///
/// # Depth
///
/// At most so many calls ([`Builder::depth`]) are in flight at a time. [`submit`](Self::submit)
/// begins at once where there is room, and otherwise when the future is polled and there is;
/// [`try_submit`](Self::try_submit) hands the operation back.
///
/// # The two drivers
///
/// A program is the same for both. What is different:
///
/// | | [`Driver::Netlink`] | [`Driver::Threads`] |
/// | --- | --- | --- |
/// | a call that blocks | is ended by [`cancel`](InFlight::cancel), a dropped future, [`timeout`](crate::op::Operation::timeout) | is not: it ends when it does. What has not begun can be cancelled |
/// | blocked calls | up to `max_workers` of the module | up to 500 in the process (`BLOCKING_MAX_THREADS`) |
/// | calls that act on their thread | rejected, with the module's reason | rejected, with the same reason |
/// | credentials | of the thread that submitted | of the thread of the pool |
///
/// # The end
///
/// When the last clone and the last [`InFlight`] are gone, what is still in flight (of futures that
/// were dropped) is awaited in the background. Nothing is freed before the call that uses it is
/// over, and a descriptor that nobody took is closed. [`shut_down`](Self::shut_down) waits for
/// that.
///
/// After a fork the client belongs to the parent: in the child, submitting and
/// [processing](Completions::process) answer [`Error::Forked`], and what a future of the parent holds
/// stays as it is.
#[derive(Clone)]
pub struct Client {
    pub(crate) handle: Arc<Handle>,
}

/// What clients and futures share. With the last one goes the engine, once nothing is in flight.
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
    /// Why the module does not make the calls, where nobody said who shall.
    fallback: Option<Error>,
}

impl Handle {
    pub(crate) const fn new(engine: Arc<Engine>, fallback: Option<Error>) -> Self {
        Self { engine, fallback }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A child must not take a lock that another thread of the parent may have held.
        if !self.engine.is_in_child() {
            self.engine.close();
        }
    }
}

/// Options of a [`Client`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct Builder {
    driver: Option<Driver>,
    depth: Option<usize>,
}

/// Calls in flight, unless the builder was told otherwise.
const DEPTH: usize = 1024;

impl Builder {
    /// Insists on a driver. Without this it is the module where that can be used, otherwise threads.
    pub fn driver(mut self, driver: Driver) -> Self {
        self.driver = Some(driver);
        self
    }

    /// Most calls in flight at a time: 1024 without this, and no more than the module lets one
    /// session have.
    ///
    /// # Panics
    ///
    /// Panics where it is zero.
    pub fn depth(mut self, calls: usize) -> Self {
        assert!(calls > 0, "with a depth of zero nothing is ever in flight");
        self.depth = Some(calls);
        self
    }

    /// Makes the client. A thread of the library waits for the module's completions.
    ///
    /// # Errors
    ///
    /// Where the builder insists on the module: as
    /// [`SessionBuilder::open`](crate::raw::SessionBuilder::open), and [`Error::Rejected`] where the
    /// module does not let this process use it (`EPERM`). [`Error::Io`] where a descriptor, a page
    /// or a thread cannot be made.
    pub fn open(self) -> Result<Client, Error> {
        let (client, completions) = self.open_manual()?;
        completions::in_background(completions)?;
        Ok(client)
    }

    /// As [`open`](Self::open), without a thread of the library: whoever calls this waits for the
    /// completions, and has them processed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_manual(self) -> Result<(Client, Completions), Error> {
        let netlink = || Netlink::open(self.depth);
        let (backend, fallback) = match self.driver {
            Some(Driver::Netlink) => (Ok(netlink()?), None),
            Some(Driver::Threads) => (Err(Threads::default()), None),
            None => match netlink() {
                Ok(netlink) => (Ok(netlink), None),
                Err(why) => (Err(Threads::default()), Some(why)),
            },
        };
        let depth = self.depth.unwrap_or(DEPTH);
        let (backend, depth): (Box<dyn Backend>, usize) = match backend {
            Ok(netlink) => {
                let depth = depth.min(netlink.max_in_flight());
                (Box::new(netlink), depth)
            }
            Err(threads) => (Box::new(threads), depth),
        };
        let engine = Arc::new(Engine::new(backend, depth)?);
        let completions = Completions::new(Arc::clone(&engine))?;
        let handle = Arc::new(Handle::new(engine, fallback));
        Ok((Client { handle }, completions))
    }
}

impl Client {
    /// A client with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where a descriptor, a page or a thread cannot be made.
    pub fn new() -> Result<Self, Error> {
        Self::builder().open()
    }

    /// A client with other than the default options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What makes the calls.
    pub fn driver(&self) -> Driver {
        self.engine().driver()
    }

    /// Why it is not the module, where nobody insisted on a driver.
    pub fn why_not_netlink(&self) -> Option<&Error> {
        self.handle.fallback.as_ref()
    }

    /// Most calls in flight at a time.
    pub fn depth(&self) -> usize {
        self.engine().depth()
    }

    /// Calls in flight, those of dropped futures included. Of the calls of a chain, those that have
    /// not ended. In a child process that is none: they are its parent's.
    pub fn in_flight(&self) -> usize {
        self.engine().in_flight()
    }

    /// Submits an operation or a [`Chain`](crate::Chain).
    ///
    /// Where there is room it begins at once, also if the future is never polled. Otherwise it
    /// begins when the future is polled and there is room, in the order of the first polls.
    pub fn submit<W: Submit>(&self, work: W) -> InFlight<W> {
        InFlight::submit(Arc::clone(&self.handle), Flight::new(work))
    }

    /// Submits an operation or a [`Chain`](crate::Chain) where there is room at once.
    ///
    /// # Errors
    ///
    /// The operation is handed back, with the reason: none where there is no room, otherwise what
    /// the kernel says against it.
    pub fn try_submit<W: Submit>(&self, work: W) -> Result<InFlight<W>, NotSubmitted<W>> {
        InFlight::try_submit(Arc::clone(&self.handle), Flight::new(work))
    }

    /// An empty batch.
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.handle))
    }

    /// Cancels what is in flight, accepts nothing any more from this client and its clones, and
    /// returns when every call is over. A call that cannot be ended makes it wait as long as that
    /// lasts; one that the module may not have accepted at all ([`Error::Lost`]) is not waited for.
    /// When this is dropped before it is ready, the client is shut down all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] where the way to the module failed, [`Error::Forked`] in a child.
    pub async fn shut_down(&self) -> Result<(), Error> {
        let engine = self.engine();
        match engine.check(0) {
            Ok(()) => engine.close(),
            Err(Error::ShutDown) => {}
            Err(error) => return Err(error),
        }
        engine.cancel_all()?;
        poll_fn(|context| engine.poll_over(context)).await
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("driver", &self.driver())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// An operation that [`Client::try_submit`] hands back.
#[derive(thiserror::Error)]
#[error("{}", .why.as_ref().map_or("no room: take outputs first".to_owned(), ToString::to_string))]
#[non_exhaustive]
pub struct NotSubmitted<W> {
    /// It.
    pub work: W,
    /// Why it cannot be submitted; none where there is no room for it now.
    pub why: Option<Error>,
}

impl<W> fmt::Debug for NotSubmitted<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotSubmitted")
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}
