// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
    thread,
};

use rustix::{
    event::{eventfd, poll, EventfdFlags, PollFd, PollFlags},
    io::Errno,
};

use crate::{engine::Engine, raw::failed, Error};

/// What is left to do for a client that was made with
/// [`Builder::open_manual`](crate::Builder::open_manual): wait until the descriptor ([`AsFd`]) is
/// readable, and [`process`](Self::process).
///
/// It needs no runtime, and fits into each: with the feature `tokio`,
/// [`on_tokio`](Self::on_tokio) is a task that does it; with `smol`,
/// [`on_smol`](Self::on_smol). Where it is dropped before it is over, as when a runtime ends, a
/// thread of the library goes on with it.
///
/// ```
/// use nlcall::{op, Client};
///
/// let (client, completions) = Client::builder().open_manual()?;
/// let thread = std::thread::spawn(move || completions.run());
/// let file = pollster::block_on(client.submit(op::Open::new("/etc/os-release")))?;
/// assert!(file.is_ok());
/// drop(client);
/// thread.join().unwrap()?;
/// # Ok::<(), nlcall::Error>(())
/// ```
#[must_use = "completions do not process themselves"]
pub struct Completions {
    engine: Arc<Engine>,
    /// Readable, for the driver that has nothing to wait for.
    readable: Option<OwnedFd>,
    /// Whether nothing is left to do here.
    is_over: bool,
}

/// Whether there is anything left to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "when it is over, the descriptor stays readable"]
pub enum Progress {
    /// There may be more.
    Open,
    /// The clients are gone, and everything has ended.
    Over,
}

impl Completions {
    pub(crate) fn new(engine: Arc<Engine>) -> Result<Self, Error> {
        let readable = match engine.backend().readiness() {
            Some(_) => None,
            None => Some(eventfd(1, EventfdFlags::CLOEXEC).map_err(failed("making an eventfd"))?),
        };
        Ok(Self {
            engine,
            is_over: readable.is_some(),
            readable,
        })
    }

    /// Processes the completions that are there, and wakes those who wait for them. Does not block.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and others where the way to the module failed: everything in flight then ends
    /// with [`Error::Lost`], and it is over. [`Error::Forked`] in a child, which takes nothing away from
    /// its parent.
    pub fn process(&mut self) -> Result<Progress, Error> {
        if self.engine.is_in_child() {
            self.is_over = true;
            return Err(Error::Forked);
        }
        if !self.is_over {
            let processed = self.engine.backend().process(&self.engine);
            processed.map_err(|error| self.lose(error))?;
            self.is_over = self.engine.is_over();
        }
        Ok(match self.is_over {
            true => Progress::Over,
            false => Progress::Open,
        })
    }

    /// Nothing more can be heard, because of this.
    fn lose(&mut self, error: Error) -> Error {
        self.is_over = true;
        self.engine.lose(&error.to_string());
        error
    }

    /// Does all that is left to do, blocking this thread.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
    pub fn run(mut self) -> Result<(), Error> {
        while self.process()? == Progress::Open {
            let mut fds = [PollFd::new(&self, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(self.lose(failed("polling")(errno))),
            }
        }
        Ok(())
    }

    /// Does all that is left to do, as a task of a Tokio runtime: `tokio::spawn` it. The runtime
    /// needs its I/O driver (`enable_io`).
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
    #[cfg(feature = "tokio")]
    pub async fn on_tokio(self) -> Result<(), Error> {
        use tokio::io::{unix::AsyncFd, Interest};

        if self.engine.is_in_child() {
            return Err(Error::Forked);
        }
        // SAFETY: the descriptor stays the same, and open, whatever is processed.
        let ready = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        let mut ready = ready.map_err(failed("registering a descriptor"))?;
        loop {
            let mut guard = ready.readable_mut().await.map_err(failed("waiting"))?;
            if guard.get_inner_mut().process()? == Progress::Over {
                return Ok(());
            }
            guard.clear_ready();
        }
    }

    /// Does all that is left to do, as a task of smol or another executor that goes with the crate
    /// `async-io`: `smol::spawn` it.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
    #[cfg(feature = "smol")]
    pub async fn on_smol(self) -> Result<(), Error> {
        if self.engine.is_in_child() {
            return Err(Error::Forked);
        }
        // It is non-blocking by nature: nobody reads from it.
        let ready = async_io::Async::new_nonblocking(self);
        let mut ready = ready.map_err(failed("registering a descriptor"))?;
        loop {
            // SAFETY: the descriptor stays the same, and open, whatever is processed.
            if unsafe { ready.get_mut() }.process()? == Progress::Over {
                return Ok(());
            }
            ready.readable().await.map_err(failed("waiting"))?;
        }
    }
}

/// The name of the library's threads. Those that the kernel adds to the process are `nlcall`.
const THREAD: &str = "nlcall-client";

/// Has a thread of the library do what is left to do.
pub(crate) fn in_background(mut completions: Completions) -> Result<(), Error> {
    if completions.is_over {
        return Ok(());
    }
    completions.is_over = true;
    let engine = Arc::clone(&completions.engine);
    let run = move || {
        let rest = Completions {
            engine,
            readable: None,
            is_over: false,
        };
        // Those who wait are told what went wrong.
        let _ = rest.run();
    };
    let thread = thread::Builder::new().name(THREAD.to_owned());
    let started = thread.spawn(run).map_err(failed("starting a thread"));
    started.map(drop).map_err(|error| completions.lose(error))
}

impl Drop for Completions {
    fn drop(&mut self) {
        if self.is_over || self.engine.is_in_child() || self.engine.is_over() {
            return;
        }
        let rest = Self {
            engine: Arc::clone(&self.engine),
            readable: None,
            is_over: false,
        };
        // Those who wait are told what went wrong.
        let _ = in_background(rest);
    }
}

impl AsFd for Completions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let readable = self.readable.as_ref().map(AsFd::as_fd);
        readable
            .or_else(|| self.engine.backend().readiness())
            .expect("there is one where the driver has none")
    }
}

impl AsRawFd for Completions {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completions").finish_non_exhaustive()
    }
}
