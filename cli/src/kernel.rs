// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one place through which the commands make system calls: the module, or in tests whatever
//! takes its part.

use nlcall::raw::{
    Batch,
    Call,
    Completion,
    Outcome,
    Session, //
};
use nlcall::Error;

/// One call to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// System call number.
    pub nr: u32,
    /// Its arguments.
    pub args: [u64; 6],
    /// Returned in its [`Reply`].
    pub user_data: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Of the request.
    pub user_data: u64,
    /// What the call returned.
    pub ret: i64,
    /// How it ended.
    pub outcome: Outcome,
}

impl From<&Completion> for Reply {
    fn from(completion: &Completion) -> Self {
        Self {
            user_data: completion.user_data,
            ret: completion.ret,
            outcome: completion.outcome,
        }
    }
}

/// Something that makes system calls in this process, several at a time.
pub trait Kernel {
    /// Starts a call.
    ///
    /// # Safety
    ///
    /// As for [`Call::new`]: every address among the arguments stays valid for what the call does
    /// with it until its reply was received.
    unsafe fn submit(&mut self, request: Request) -> Result<(), Error>;

    /// Waits for the next call to end, in whatever order.
    fn wait(&mut self) -> Result<Reply, Error>;
}

impl Kernel for Session {
    unsafe fn submit(&mut self, request: Request) -> Result<(), Error> {
        // SAFETY: The caller promises what `Call::new` asks for.
        let call = unsafe { Call::new(request.nr, &request.args) }.user_data(request.user_data);
        Session::submit(self, Batch::from(call))?;
        Ok(())
    }

    fn wait(&mut self) -> Result<Reply, Error> {
        Session::wait(self).map(|completion| Reply::from(&completion))
    }
}

/// Makes one call and waits for it. Nothing else may be in flight.
///
/// # Safety
///
/// As for [`Kernel::submit`].
pub unsafe fn call(kernel: &mut dyn Kernel, nr: u32, args: [u64; 6]) -> Result<Reply, Error> {
    // SAFETY: The caller promises it.
    unsafe {
        kernel.submit(Request {
            nr,
            args,
            user_data: 0,
        })?
    };
    kernel.wait()
}

#[cfg(test)]
pub mod plain {
    //! The module's part, taken by the plain system calls of this process.

    use super::*;

    /// Makes calls with `syscall(2)`, when their reply is asked for and in an order that differs
    /// from that of their submission.
    #[derive(Default)]
    pub struct Plain {
        /// Calls submitted and not yet made.
        pub waiting: Vec<Request>,
        /// Chooses which is made next.
        pub seed: u64,
        /// Every call made.
        pub made: Vec<Request>,
        /// Most calls that were in flight at a time.
        pub most: usize,
        /// Reads return no more than so many bytes, if not 0.
        pub shorten: u64,
        /// One in so many calls is interrupted, if not 0; closing never is.
        pub interrupt: usize,
        /// Calls whose reply was asked for.
        pub replies: usize,
    }

    impl Plain {
        /// An order of replies of its own for each seed.
        pub fn new(seed: u64) -> Self {
            Self {
                seed,
                ..Self::default()
            }
        }

        fn next(&mut self) -> usize {
            // Knuth's MMIX generator; its upper bits are the good ones.
            self.seed = self
                .seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.seed >> 33) as usize % self.waiting.len()
        }
    }

    impl Kernel for Plain {
        unsafe fn submit(&mut self, request: Request) -> Result<(), Error> {
            self.waiting.push(request);
            self.most = self.most.max(self.waiting.len());
            Ok(())
        }

        fn wait(&mut self) -> Result<Reply, Error> {
            if self.waiting.is_empty() {
                return Err(Error::NothingInFlight);
            }
            let next = self.next();
            let request = self.waiting.swap_remove(next);
            let Request {
                nr,
                mut args,
                user_data,
            } = request;
            self.replies += 1;
            let is_close = i64::from(nr) == libc::SYS_close;
            if self.interrupt > 0 && self.replies % self.interrupt == 0 && !is_close {
                let ret = -i64::from(libc::EINTR);
                return Ok(Reply {
                    user_data,
                    ret,
                    outcome: Outcome::Ran,
                });
            }
            let is_read = [libc::SYS_read, libc::SYS_pread64].contains(&i64::from(nr));
            if is_read && self.shorten > 0 {
                args[2] = args[2].min(self.shorten);
            }
            self.made.push(request);
            let [a, b, c, d, e, f] = args;
            // SAFETY: The submitter promised that the addresses are valid until the reply, and
            // nothing else runs in this process that the calls of the tests could disturb.
            let ret = unsafe { libc::syscall(i64::from(nr), a, b, c, d, e, f) };
            let ret = match ret {
                -1 => -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
                ret => ret,
            };
            Ok(Reply {
                user_data,
                ret,
                outcome: Outcome::Ran,
            })
        }
    }
}
