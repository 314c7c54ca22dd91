// SPDX-License-Identifier: GPL-2.0-only

//! The front end of the early demonstration: raw netlink protocol 28.
//!
//! A message is a `struct readi`; it is executed as `read` and comes back with the return value in
//! `count`. In the initial network namespace only.

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

use crate::{
    family,
    readi::{
        Message,
        Messages, //
    },
    reject::Rejection,
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
        Command,
        FrontEnd,
        CLASSIC_PROTOCOL, //
    },
};

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
            // The kernel does not say which.
            pr_err!("classic=1: netlink protocol {CLASSIC_PROTOCOL} is in use, or memory is short\n");
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
    let bytes = unsafe { core::slice::from_raw_parts((*skb).data, (*skb).len as usize) };
    for message in Messages::of(bytes) {
        // SAFETY: By the caller's promise; the message lies in that buffer, from its header on.
        // netlink aligns the buffer, and messages lie on multiples of four bytes.
        unsafe { take(skb, (*skb).data.add(message.at).cast(), &message) };
    }
}

/// Takes one message. It is answered by its completion, or by a netlink error message at once.
///
/// # Safety
///
/// `skb` is the message that the protocol's handler is handling; `header` points to the header of
/// `message` in it.
unsafe fn take(
    skb: *mut bindings::sk_buff,
    header: *mut bindings::nlmsghdr,
    message: &Message<'_>,
) {
    // SAFETY: By the caller's promise.
    if let Err(rejection) = unsafe { read(skb, message) } {
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
unsafe fn read(skb: *mut bindings::sk_buff, message: &Message<'_>) -> Result<(), Rejection> {
    sender::check()?.may_leave_to_itself(0)?;
    let (pid, call) = message.call()?;
    // SAFETY: By the caller's promise.
    let session: Arc<Session> = match unsafe { Session::bound(skb, FrontEnd::Classic) } {
        Some(session) => session,
        // SAFETY: By the caller's promise.
        None => unsafe { Session::begin(skb, FrontEnd::Classic) }?,
    };
    session.may_submit()?;
    let own = Process::current().map_or(0, |process| process.number());
    let session = if pid as u32 == own {
        session.submit(1, core::iter::once(call), message.seq)?;
        session
    } else {
        let target = Target::of_pid(pid)?;
        let there = session.abroad(&target)?;
        there.submit_one_abroad(call, &target, message.seq)?;
        there
    };
    if trace::is_on() {
        trace::submitted(&session, core::iter::once(call));
    }
    Ok(())
}
