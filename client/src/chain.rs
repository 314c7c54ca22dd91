// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering},
};

use nlcall_abi::REACH;

use crate::{
    engine::{End, Key, Unfit, Work},
    op::{self, step, Args, Close, Descriptor, GivesDescriptor, Operation, Request},
    raw::{self, Arg, CallFlags},
    Errno, Error,
};

/// Operations that are made one after the other, each when the one before succeeded, and that may
/// use what earlier ones give: with the module, one chain of its; otherwise, one after the other by
/// one thread.
///
/// An operation fails where its call does, and where a `read`, `write`, `pread`, `pwrite`, `tee` or
/// `splice` transfers fewer bytes than it was asked for. Those behind it end with `ECANCELED`, except
/// behind [`carry_on`](Self::carry_on).
///
/// [`push`](Self::push) returns a [`Step`], by which the output is taken when the chain is over, and
/// from which later operations get a descriptor ([`Step::fd`]) or a number ([`Step::size`]). The
/// length of a buffer is never passed on: the kernel would write beyond its end.
///
/// ```
/// use nlcall::{op, Chain, Client};
///
/// # pollster::block_on(async {
/// let mut chain = Chain::new();
/// let file = chain.push(op::Open::new("/etc/os-release"));
/// let status = chain.push(op::Stat::of(file.fd()));
/// let read = chain.push(op::Read::new(file.fd(), Vec::with_capacity(4096)));
/// // A short file does not fill the buffer, and the file is closed all the same.
/// chain.carry_on();
/// let closed = chain.close(file);
///
/// let client = Client::new()?;
/// let mut outputs = client.submit(chain).await?;
/// let (count, text) = outputs.take(read);
/// assert_eq!(outputs.take(status)?.stx_size, count? as u64);
/// assert!(text.starts_with(b"PRETTY_NAME"));
/// outputs.take(closed)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a chain does nothing until it is submitted"]
pub struct Chain {
    /// Unique in the process.
    id: u64,
    links: Vec<Link>,
}

struct Link {
    op: Box<dyn AnyOperation>,
    /// Whether the next one begins however this one ends.
    carries_on: bool,
    /// The operation whose descriptor this one closes.
    closes: Option<usize>,
}

/// An operation of a [`Chain`].
pub struct Step<O> {
    chain: u64,
    index: usize,
    op: PhantomData<fn() -> O>,
}

/// Something that an operation of a chain takes from an earlier one.
pub struct Passed<T> {
    chain: u64,
    arg: Arg,
    what: PhantomData<fn() -> T>,
}

/// What came of a [`Chain`].
pub struct Outputs {
    chain: u64,
    outputs: Vec<Option<Box<dyn Any + Send>>>,
}

impl Chain {
    /// A chain without an operation.
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            links: Vec::new(),
        }
    }

    /// Adds an operation at the end.
    ///
    /// # Panics
    ///
    /// Panics where it uses something of another chain, or of an operation more than 1024 before it,
    /// or a descriptor that this one closes before.
    pub fn push<O: Operation>(&mut self, op: O) -> Step<O> {
        self.add(op, None)
    }

    /// Adds an operation that closes the descriptor of an earlier one. That has no output then; where
    /// the chain does not come so far, its descriptor is closed at the end.
    ///
    /// # Panics
    ///
    /// Panics where that is in another chain, or more than 1024 operations before.
    pub fn close<O: GivesDescriptor>(&mut self, step: Step<O>) -> Step<Close<Passed<OwnedFd>>> {
        self.add(Close::passed(step.fd()), Some(step.index))
    }

    /// The next operation begins however the last one ends, unless that was never begun.
    pub fn carry_on(&mut self) {
        if let Some(last) = self.links.last_mut() {
            last.carries_on = true;
        }
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    fn add<O: Operation>(&mut self, op: O, closes: Option<usize>) -> Step<O> {
        let mut op = Box::new(op);
        // An error is reported when the chain is submitted.
        if let Ok(request) = op.request() {
            self.check(&request.args);
        }
        self.links.push(Link {
            op,
            carries_on: false,
            closes,
        });
        Step {
            chain: self.id,
            index: self.links.len() - 1,
            op: PhantomData,
        }
    }

    fn check(&self, args: &Args) {
        assert!(
            args.belong_to(Some(self.id)),
            "an operation uses something of another chain"
        );
        for arg in args.as_slice() {
            let (Arg::Result(of) | Arg::Load { of, .. }) = arg else {
                continue;
            };
            assert!(
                self.links.len().saturating_sub(of.index()) <= REACH,
                "an operation uses something of one more than {REACH} before it"
            );
        }
        for (index, link) in self.links.iter().enumerate() {
            let Some(closed) = link.closes else { continue };
            let closed = step(closed).result();
            assert!(
                !args.as_slice().contains(&closed),
                "an operation uses a descriptor that operation {index} of the chain has closed"
            );
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Operation> Step<O> {
    /// The descriptor that it gives, for later operations.
    pub fn fd(&self) -> Passed<OwnedFd>
    where
        O: GivesDescriptor,
    {
        self.pass(step(self.index).result())
    }

    fn pass<T>(&self, arg: Arg) -> Passed<T> {
        Passed {
            chain: self.chain,
            arg,
            what: PhantomData,
        }
    }
}

impl<D: Descriptor> Step<op::Stat<D>> {
    /// The size that it finds, in bytes, for later operations.
    pub fn size(&self) -> Passed<u64> {
        self.pass(step(self.index).load::<u64>(op::Stat::<D>::SIZE))
    }
}

impl<T> Passed<T> {
    pub(crate) fn push_to(&self, args: &mut Args) {
        args.push_passed(self.chain, self.arg);
    }
}

impl<T> Clone for Passed<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Passed<T> {}

impl Outputs {
    /// The output of an operation.
    ///
    /// # Panics
    ///
    /// Panics where that is in another chain.
    pub fn take<O: Operation>(&mut self, step: Step<O>) -> O::Output {
        assert_eq!(self.chain, step.chain, "a step of another chain");
        let output = self.outputs[step.index].take();
        let output = output.expect("a step can be used once, and what closes it uses it");
        *output.downcast().expect("a step knows its operation")
    }
}

/// An operation of whatever type.
trait AnyOperation: Send {
    fn request(&mut self) -> Result<Request, Errno>;

    /// # Safety
    ///
    /// As for [`Operation::complete`].
    unsafe fn complete(self: Box<Self>, end: End) -> Box<dyn Any + Send>;
}

impl<O: Operation> AnyOperation for O {
    fn request(&mut self) -> Result<Request, Errno> {
        Operation::request(self)
    }

    unsafe fn complete(self: Box<Self>, end: End) -> Box<dyn Any + Send> {
        // SAFETY: by the contract of this function.
        Box::new(unsafe { Operation::complete(*self, end) })
    }
}

/// What [`Client::submit`](crate::Client::submit) takes: every [`Operation`], and [`Chain`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be submitted",
    label = "neither an operation nor a chain",
    note = "operations are in `nlcall::op`"
)]
pub trait Submit: Work {}

impl<O: Operation> Submit for O {}
impl Submit for Chain {}

impl<O: Operation> Work for O {
    type Output = O::Output;

    fn len(&self) -> usize {
        1
    }

    fn push_to(&mut self, keys: &[Key], batch: &mut raw::Batch) -> Result<(), Unfit> {
        let request = self.request().map_err(|errno| Unfit::Call(0, errno))?;
        if !request.args.belong_to(None) {
            return Err(Unfit::Work(Error::Misplaced));
        }
        batch.push(to_call(&request, keys[0]));
        Ok(())
    }

    unsafe fn finish(self, ends: &[End]) -> O::Output {
        // SAFETY: by the contract of this function the end is that of its only call.
        unsafe { self.complete(ends[0]) }
    }
}

impl Work for Chain {
    type Output = Outputs;

    fn len(&self) -> usize {
        self.links.len()
    }

    fn push_to(&mut self, keys: &[Key], batch: &mut raw::Batch) -> Result<(), Unfit> {
        let mut chain = raw::Chain::new();
        for (index, (link, key)) in self.links.iter_mut().zip(keys).enumerate() {
            let request = link.op.request();
            let request = request.map_err(|errno| Unfit::Call(index, errno))?;
            let flags = match link.carries_on {
                true => CallFlags::HARDLINK,
                false => CallFlags::empty(),
            };
            chain.push(to_call(&request, *key).flags(flags));
        }
        batch.push_chain(&chain);
        Ok(())
    }

    unsafe fn finish(self, ends: &[End]) -> Outputs {
        // Descriptors that calls of the chain have closed do not belong to those that made them.
        let mut closed = vec![false; ends.len()];
        for (link, end) in self.links.iter().zip(ends) {
            if let Some(of) = link.closes {
                closed[of] |= end.has_begun();
            }
        }
        let outputs = self.links.into_iter().zip(ends).zip(closed);
        let outputs = outputs.map(|((link, end), closed)| match closed {
            true => None,
            // SAFETY: by the contract of this function each call has its own end.
            false => Some(unsafe { link.op.complete(*end) }),
        });
        Outputs {
            chain: self.id,
            outputs: outputs.collect(),
        }
    }
}

fn to_call(request: &Request, key: Key) -> raw::Call {
    // SAFETY: by the contract of `Operation`, which is neither moved nor touched until the call has
    // ended: a flight, in which it lies, keeps it.
    unsafe { raw::Call::with_args(request.nr, request.args.as_slice()) }
        .user_data(key.to_user_data())
        .timeout(request.timeout)
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<O> fmt::Debug for Step<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Step").field(&self.index).finish()
    }
}

impl<T> fmt::Debug for Passed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Passed").field(&self.arg).finish()
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs")
            .field("len", &self.outputs.len())
            .finish_non_exhaustive()
    }
}
