// SPDX-License-Identifier: GPL-2.0-only

//! The front end of the early demonstration: raw netlink protocol 28.
//!
//! A message is a `struct readi`; it is executed as `read` and comes back with the return value in
//! `count`. In the initial network namespace only.

use core::{
    mem::size_of,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};
use zerocopy::FromBytes;

use crate::{
    family,
    message::HEADER,
    parse,
    policy,
    reject::{
        reject,
        Rejection, //
    },
    sender,
    session::{
        End,
        Session, //
    },
    shim::Process,
    socket::Bindings,
    target::Target,
    trace,
    wire::{
        Call,
        Command,
        FrontEnd,
        Readi,
        CLASSIC_PROTOCOL, //
    },
};

const READ: u32 = policy::nr("read");

/// The sessions of the protocol's sockets.
struct Sockets(Opaque<bindings::xarray>);

// SAFETY: A `struct xarray` does its own locking.
unsafe impl Sync for Sockets {}

static SOCKETS: Sockets = Sockets(Opaque::zeroed());

/// The sessions of the protocol's sockets.
pub fn bindings() -> Bindings {
    // SAFETY: Initialised by `Registration::new()`, before the protocol has a socket; a static.
    unsafe { Bindings::new(SOCKETS.0.get()) }
}

/// The registered protocol; dropping it waits for its last message.
pub struct Registration(NonNull<bindings::sock>);

// SAFETY: The kernel's socket may be released from any thread.
unsafe impl Send for Registration {}
// SAFETY: Nothing is done through a shared reference.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers protocol 28, in the initial network namespace.
    pub fn new() -> Result<Self> {
        let mut config = bindings::netlink_kernel_cfg {
            input: Some(input),
            release: Some(released),
            ..Default::default()
        };
        // SAFETY: Called once, by module initialisation. The configuration is copied.
        let sock = unsafe {
            bindings::xa_init_flags(SOCKETS.0.get(), 0);
            bindings::__netlink_kernel_create(
                &raw mut bindings::init_net,
                CLASSIC_PROTOCOL as i32,
                crate::this_module(),
                &mut config,
            )
        };
        let Some(sock) = NonNull::new(sock) else {
            pr_err!("classic=1: netlink protocol {CLASSIC_PROTOCOL} is in use\n");
            return Err(Error::from_errno(-(bindings::EADDRINUSE as i32)));
        };
        Ok(Self(sock))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: The socket is ours. Each socket of the protocol holds the module, so none is
        // left, and the array is empty.
        unsafe {
            bindings::netlink_kernel_release(self.0.as_ptr());
            bindings::xa_destroy(SOCKETS.0.get());
        }
    }
}

/// A socket of the protocol was released.
///
/// # Safety
///
/// Called by netlink.
unsafe extern "C" fn released(sk: *mut bindings::sock, _groups: *mut usize) {
    // SAFETY: By the caller's promise.
    let Some(binding) = (unsafe { bindings().remove(sk) }) else {
        return;
    };
    // SAFETY: The binding was removed, so this is the one time.
    let session = unsafe { binding.take::<Arc<Session>>() };
    session.end(End::Socket);
}

/// Takes what was sent: messages one after the other. They carry no request flag, so that
/// `netlink_rcv_skb()` would pass them over.
///
/// # Safety
///
/// Called by netlink.
unsafe extern "C" fn input(skb: *mut bindings::sk_buff) {
    // SAFETY: By the caller's promise: a linear buffer of that length, which nobody else changes.
    let (mut next, mut left) = unsafe { ((*skb).data, (*skb).len as usize) };
    while left >= HEADER {
        let header = next.cast::<bindings::nlmsghdr>();
        // SAFETY: A header's worth of bytes is left. netlink aligns messages to four bytes.
        let len = unsafe { (*header).nlmsg_len } as usize;
        if len < HEADER || len > left {
            return;
        }
        // SAFETY: By the caller's promise and the check above.
        unsafe { take(skb, header, len - HEADER) };
        let step = len.next_multiple_of(4).min(left);
        // SAFETY: Within what is left, or at its end.
        next = unsafe { next.add(step) };
        left -= step;
    }
}

/// Takes one message. It is answered by its completion, or by a netlink error message at once.
///
/// # Safety
///
/// `skb` is the message that the protocol's handler is handling; `header` points to a header in
/// it that `len` bytes follow.
unsafe fn take(skb: *mut bindings::sk_buff, header: *mut bindings::nlmsghdr, len: usize) {
    // SAFETY: By the caller's promise.
    let (seq, payload) = unsafe {
        let payload = core::slice::from_raw_parts(header.cast::<u8>().add(HEADER), len);
        ((*header).nlmsg_seq, payload)
    };
    // SAFETY: By the caller's promise.
    if let Err(rejection) = unsafe { read(skb, seq, payload) } {
        if trace::is_on() {
            // SAFETY: By the caller's promise.
            let session = unsafe { Session::bound(skb, FrontEnd::Classic) };
            trace::rejected(session.as_deref(), Command::Submit as u8, &rejection);
        }
        let mut extack = bindings::netlink_ext_ack::default();
        // SAFETY: By the caller's promise; the extended acknowledgement lives on this stack for as
        // long as it is used.
        unsafe {
            let err = family::extack(&mut extack, core::ptr::null(), &rejection);
            bindings::netlink_ack(skb, header, err, &extack);
        }
    }
}

/// # Safety
///
/// `skb` is the message that the protocol's handler is handling.
unsafe fn read(skb: *mut bindings::sk_buff, seq: u32, payload: &[u8]) -> Result<(), Rejection> {
    sender::check()?;
    let Ok((readi, _)) = Readi::read_from_prefix(payload) else {
        let need = size_of::<Readi>();
        return Err(reject!(
            EINVAL,
            "{} bytes are no struct readi of {need}",
            payload.len()
        ));
    };
    // SAFETY: By the caller's promise.
    let session: Arc<Session> = match unsafe { Session::bound(skb, FrontEnd::Classic) } {
        Some(session) => session,
        // SAFETY: By the caller's promise.
        None => unsafe { Session::begin(skb, FrontEnd::Classic) }?,
    };
    session.may_submit()?;
    let call = Call {
        user_data: u64::from(seq) << 32 | u64::from(readi.pid as u32),
        nr: READ,
        args: [
            readi.fd as u64,
            readi.ptr,
            // A negative count is more than any buffer holds: `read` answers as it always does.
            readi.count as u64,
            0,
            0,
            0,
        ],
        ..Call::default()
    };
    parse::judge(0, call.nr, &call.args)?;
    let own = Process::current().map_or(0, |process| process.number());
    let session = if readi.pid as u32 == own {
        session.submit(1, core::iter::once(call), seq)?;
        session
    } else {
        let target = Target::of_pid(readi.pid)?;
        let there = session.abroad(&target)?;
        there.submit_one_abroad(call, &target, seq)?;
        there
    };
    if trace::is_on() {
        trace::submitted(&session, core::iter::once(call));
    }
    Ok(())
}
