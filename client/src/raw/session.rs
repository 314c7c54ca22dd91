// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::{Duration, Instant},
};

use super::{
    connection::Connection,
    exchange::Patience,
    sys::{Socket, Transport},
    Batch, Cancel, Canceled, Completion, Config, Features, Results, SessionBuilder, SessionInfo,
    SyscallInfo,
};
use crate::Error;

/// One netlink socket that submits calls, and the process that owns it.
///
/// All methods take `&self`: threads may share a session. One may wait while another submits,
/// cancels or asks; when several wait, each completion goes to one of them.
///
/// # Poll loops
///
/// The session's descriptor ([`AsFd`]) is readable while there may be a completion to take. It is
/// an epoll descriptor and good for nothing but polling. Take completions with
/// [`try_wait`](Self::try_wait) until there is none, then poll.
///
/// After a submission was rejected for a limit ([`Error::is_limit`]), poll
/// [`socket`](Self::socket) for `POLLOUT` as well: it is not writable until there is room for what
/// was rejected. Submit the rest then, or after a completion was taken. Where only the session's
/// own [`Error::InFlightLimit`] was met, the kernel knows nothing of it, and a completion taken
/// is what makes room.
///
/// # The end of a session
///
/// Dropping a session cancels what is in flight and waits until every call is over, so that memory
/// which calls refer to may be freed once the drop has returned. A call that cannot be interrupted
/// (the uninterruptible sleep of `proc_pid_status(5)`) makes the drop wait as long as it lasts;
/// [`abandon`](Self::abandon) does not wait, and says what that costs. What was not taken by then
/// is gone.
///
/// What fails meanwhile is tried again. Where it never can succeed, since somebody else closed the
/// session's descriptor (`EBADF`, `ENOTSOCK`), and calls are in flight, the drop ends the process
/// (`abort(3)`) with a line on the standard error: nothing else keeps memory from being freed that
/// the kernel may still write to.
///
/// After a fork the session belongs to the parent alone: the kernel refuses the child's requests,
/// the child must not wait, and a drop in the child only closes its copy of the descriptors. After
/// `execve` the kernel ends the session.
pub struct Session {
    connection: Connection<Socket>,
}

/// What [`Session::submit`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Submitted {
    /// Calls that were accepted: all of the batch.
    pub calls: usize,
    /// Messages that they were sent in.
    pub messages: usize,
}

/// A submission that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{accepted} calls were accepted, {} were not", rest.len())]
#[non_exhaustive]
pub struct SubmitError {
    /// Why.
    #[source]
    pub error: Error,
    /// Calls of the batch that were accepted, and complete like any other. Those of a message
    /// whose answer was lost ([`Error::Unanswered`]) or not understood are among them, since they
    /// may run; they count as in flight.
    pub accepted: usize,
    /// Of these, so many at the end are those of such a message.
    pub(crate) doubtful: usize,
    /// The calls that were not accepted. They never started, and may be submitted again. Where
    /// the kernel names a call by its index, it counts from the first of these.
    pub rest: Batch,
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        error.error
    }
}

impl Session {
    /// Opens a session with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`SessionBuilder::open`].
    pub fn open() -> Result<Self, Error> {
        Self::builder().open()
    }

    /// A session with other than the default options.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::new()
    }

    pub(super) fn over(socket: Socket, max_in_flight: Option<usize>) -> Result<Self, Error> {
        Connection::new(socket, max_in_flight).map(|connection| Self { connection })
    }

    /// What the loaded module supports.
    pub fn features(&self) -> &Features {
        &self.connection.features
    }

    /// Port id of the socket, which identifies the session in
    /// [`SessionInfo::port_id`].
    pub fn port_id(&self) -> u32 {
        self.connection.exchange.transport().port_id()
    }

    /// The netlink socket itself, for what this crate does not do. Whoever receives from it takes
    /// completions and answers away from the session.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.connection.exchange.transport().netlink()
    }

    /// Submits a batch: returns when the kernel has accepted the calls, not when they ran.
    ///
    /// A batch too long for one message is sent in several; chains are never split. Each message
    /// is accepted whole or rejected whole. Batches that several threads submit through one session
    /// are sent one after the other; a batch of INLINE calls therefore holds up the next one.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the kernel rejects a message: `EINVAL` and others for a call that
    /// cannot be executed, `EAGAIN` where a limit is reached (take completions, then submit the
    /// rest). [`Error::InFlightLimit`], [`Error::ChainTooLong`], [`Error::Io`] likewise leave the
    /// rest not submitted; for other errors see [`SubmitError::accepted`].
    pub fn submit(&self, batch: Batch) -> Result<Submitted, SubmitError> {
        self.connection.submit(batch)
    }

    /// Submits a batch of INLINE calls and has their results written to memory: when this returns,
    /// all of them have ended, and no message came back. The batch is only read, and may be
    /// submitted again.
    ///
    /// Results are in the order of the calls. A call has none there where it succeeded and asked
    /// for that ([`CallFlags::SKIP_SUCCESS`](super::CallFlags::SKIP_SUCCESS)), or where the memory
    /// could not be written: its completion then comes as any other, counts as
    /// [in flight](Self::in_flight) and is to be [waited for](Self::wait).
    ///
    /// The batch is split as for [`submit`](Self::submit). Other threads may submit through the
    /// session meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`submit`](Self::submit), without the limit of calls in flight; `EINVAL` names a call
    /// that is not INLINE. [`Error::InChild`] where the batch [forked](super::Call#inline-calls)
    /// and this is the child. The results of what was accepted are there in any case.
    pub fn submit_into(
        &self,
        batch: &Batch,
        results: &mut Results,
    ) -> Result<Submitted, SubmitError> {
        self.connection.submit_into(batch, results)
    }

    /// Blocks while a limit stands in the way of a submission, after one was rejected for that
    /// ([`Error::is_limit`]). Returns at once where there is room, or when there is a completion to
    /// take, which makes room as well.
    ///
    /// Limits of the user and of the machine (`EBUSY`) are none that this session makes room under
    /// alone: waiting for a time is all that can be done about those.
    ///
    /// ```no_run
    /// # use nlcall::raw::{Batch, Session};
    /// # fn example(session: &Session, mut batch: Batch) -> Result<(), nlcall::Error> {
    /// while let Err(rejected) = session.submit(batch) {
    ///     if !rejected.error.is_limit() {
    ///         return Err(rejected.error);
    ///     }
    ///     batch = rejected.rest;
    ///     while let Some(completion) = session.try_wait()? {
    ///         println!("call {}: {:?}", completion.user_data, completion.result());
    ///     }
    ///     session.wait_for_room()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for_room(&self) -> Result<(), Error> {
        self.connection.wait_for_room()
    }

    /// The next completion; blocks until there is one.
    ///
    /// # Errors
    ///
    /// [`Error::NothingInFlight`] when there is nothing to wait for, also when another thread takes
    /// the last completion meanwhile.
    pub fn wait(&self) -> Result<Completion, Error> {
        // With this patience there is a completion or an error.
        self.connection
            .exchange
            .completion(Patience::Forever)?
            .ok_or(Error::NothingInFlight)
    }

    /// The next completion, or none when there is none within this time.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Completion>, Error> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self
                .connection
                .exchange
                .completion(Patience::Until(deadline)),
            None => self.wait().map(Some),
        }
    }

    /// The next completion, if there is one; does not block.
    pub fn try_wait(&self) -> Result<Option<Completion>, Error> {
        self.connection.exchange.completion(Patience::None)
    }

    /// Calls that were accepted and whose completion was not yet returned to the caller.
    ///
    /// A call with [`CallFlags::SKIP_SUCCESS`](super::CallFlags::SKIP_SUCCESS) that succeeds stays
    /// in this number, since nothing is heard of it, until the session asks the kernel: with such
    /// calls it is an upper bound. [`wait`](Self::wait) asks before it sleeps, and
    /// [`submit`](Self::submit) before it reports a limit.
    pub fn in_flight(&self) -> usize {
        self.connection.exchange.in_flight()
    }

    /// Cancels calls in flight. Each of them still completes.
    pub fn cancel(&self, what: Cancel) -> Result<Canceled, Error> {
        self.connection.cancel(what)
    }

    /// The module's limits, and who may use it.
    pub fn config(&self) -> Result<Config, Error> {
        self.connection.config()
    }

    /// Changes those of the module's settings that are given, at once and for everybody.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`]: `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `EINVAL`
    /// or `ERANGE` names a setting that cannot have this value. Nothing was changed then.
    pub fn set_config(&self, config: &Config) -> Result<(), Error> {
        self.connection.set_config(config)
    }

    /// The module's policy table: every system call, whether it can be executed, and why not.
    pub fn syscalls(&self) -> Result<Vec<SyscallInfo>, Error> {
        self.connection.syscalls()
    }

    /// The sessions of this machine: all of them for the host's root, otherwise this one.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        self.connection.sessions()
    }

    /// This session as the kernel sees it; none before its first call was accepted.
    pub fn own_info(&self) -> Result<Option<SessionInfo>, Error> {
        self.connection.own_info()
    }

    /// Closes the session without waiting for calls in flight.
    ///
    /// The kernel ends them as soon as they can be interrupted, which may be after this returned:
    /// what their arguments refer to must stay valid for the rest of the process's life (see
    /// [`Call::new`](super::Call::new)).
    pub fn abandon(mut self) {
        self.connection.abandoned = true;
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.exchange.expose();
        self.connection.exchange.transport().readiness()
    }
}

impl AsRawFd for Session {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("port_id", &self.port_id())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
