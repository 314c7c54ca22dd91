// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use nlcall_abi::{syscalls, Outcome};
use rustix::event::{
    epoll::{self, EventData, EventFlags},
    eventfd, EventfdFlags,
};

use super::{Backend, Driver, Stopped};
use crate::{
    engine::{End, Engine, Key},
    panics::Panics,
    raw::{self, failed, Batch, Call, Cancel, Session, SubmitError},
    Error,
};

/// The kernel module makes the calls.
pub(crate) struct Netlink {
    session: Session,
    /// Readable when the engine was closed.
    closed: OwnedFd,
    /// An epoll set with the session, `closed` and, while somebody waits for room, the socket.
    readiness: OwnedFd,
}

impl Netlink {
    /// Opens a session in which at most so many calls are in flight, and makes a call through it:
    /// not before that does the module say whether it lets this process use it.
    pub(crate) fn open(depth: Option<usize>) -> Result<Self, Error> {
        let mut builder = Session::builder();
        if let Some(depth) = depth {
            builder = builder.max_in_flight(depth);
        }
        let session = builder.open()?;
        // SAFETY: getppid has no arguments and no effects.
        let call = unsafe { Call::new(syscalls::nr("getppid"), &[]) };
        session.submit(call.into())?;
        let completion = session.wait()?;
        if completion.outcome != Outcome::Ran {
            let errno = raw::result(completion.ret).err();
            return Err(Error::Rejected {
                errno: errno.unwrap_or(crate::Errno::PERM),
                message: Some("a first call was not made".to_owned()),
                attr_offset: None,
            });
        }

        let closed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(failed("making an eventfd"))?;
        let readiness =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed("making an epoll set"))?;
        let data = EventData::new_u64(0);
        for (fd, events) in [
            (session.as_fd(), EventFlags::IN),
            (closed.as_fd(), EventFlags::IN),
            (session.socket(), EventFlags::empty()),
        ] {
            epoll::add(&readiness, fd, data, events).map_err(failed("filling the epoll set"))?;
        }
        Ok(Self {
            session,
            closed,
            readiness,
        })
    }

    /// Most calls that the module lets be in flight.
    pub(crate) fn max_in_flight(&self) -> usize {
        self.session.features().max_in_flight as usize
    }

    /// Has the descriptor readable once, or not, when the kernel has room for what it rejected.
    fn watch_room(&self, watch: bool) -> Result<(), Error> {
        let events = match watch {
            true => EventFlags::OUT | EventFlags::ONESHOT,
            false => EventFlags::empty(),
        };
        let socket = self.session.socket();
        epoll::modify(&self.readiness, socket, EventData::new_u64(0), events)
            .map_err(failed("changing the epoll set"))
    }
}

impl Backend for Netlink {
    fn kind(&self) -> Driver {
        Driver::Netlink
    }

    fn submit(&self, _: &Arc<Engine>, batch: Batch) -> Result<(), SubmitError> {
        self.session.submit(batch).map(drop)
    }

    fn cancel(&self, _: &Engine, keys: &[Key]) -> Result<Stopped, Error> {
        // From the last to the first, so that none of them begins because one before it ended.
        for key in keys.iter().rev() {
            self.session.cancel(Cancel::UserData(key.to_user_data()))?;
        }
        Ok(Stopped::Soon)
    }

    fn await_room(&self) -> Result<(), Error> {
        self.watch_room(true)
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.readiness.as_fd())
    }

    fn process(&self, engine: &Engine) -> Result<(), Error> {
        // EAGAIN says that the engine was not closed since.
        let _ = rustix::io::read(&self.closed, &mut [0; 8]);
        let mut panics = Panics::default();
        while let Some(completion) = self.session.try_wait()? {
            let key = Key::from_user_data(completion.user_data);
            panics.catch(|| engine.complete(key, End::of(&completion)));
        }
        // Those that still meet the limit wait again.
        panics.catch(|| engine.has_room());
        panics.resume();
        Ok(())
    }

    fn close(&self) {
        // EAGAIN says that it is readable already. There is no other error.
        let _ = rustix::io::write(&self.closed, &1u64.to_ne_bytes());
    }
}
