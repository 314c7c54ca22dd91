// SPDX-License-Identifier: GPL-2.0-only

//! A netlink socket, and the session that is bound to it.

use core::{
    ffi::c_void,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc, //
};

use crate::{
    compat::{
        new_spinlock_irq,
        sync::SpinLockIrq, //
    },
    message::Message,
    recent,
    shim, //
};

/// `NETLINK_CB()`: what netlink notes in a message.
///
/// # Safety
///
/// `skb` is a message that netlink handed to a handler that is running.
unsafe fn control(skb: *mut bindings::sk_buff) -> bindings::netlink_skb_parms {
    // SAFETY: By the caller's promise the control block holds netlink's notes. It is as large and
    // as aligned as they need.
    unsafe {
        (&raw const (*skb).cb)
            .cast::<bindings::netlink_skb_parms>()
            .read()
    }
}

/// The port id of the socket that sent `skb`.
///
/// # Safety
///
/// `skb` is the message that a netlink handler is handling.
pub unsafe fn portid(skb: *mut bindings::sk_buff) -> u32 {
    // SAFETY: By the caller's promise.
    unsafe { control(skb) }.portid
}

/// The credentials that opened the socket that sent `skb`; null where nobody did. They live as
/// long as the message is being handled.
///
/// # Safety
///
/// `skb` is the message that a netlink handler is handling.
pub unsafe fn opener(skb: *mut bindings::sk_buff) -> *const bindings::cred {
    // SAFETY: By the caller's promise: the sender is inside `sendmsg` and holds the file, which
    // holds the socket and the credentials.
    unsafe { shim::ffi::nlcall_opener(control(skb).sk) }
}

/// The sessions of a protocol's sockets: `struct xarray`, by the address of the `struct sock`.
///
/// An entry is a [`Binding`]. It is stored once in the life of a socket, and removed when the
/// socket is released, at which time nobody uses the socket any more.
#[derive(Clone, Copy)]
pub struct Bindings(*mut bindings::xarray);

/// Ties a session to a socket: the only thing that generic netlink keeps for us per socket. It
/// frees it itself, so this is memory of `kmalloc`.
#[repr(C)]
pub struct Binding {
    session: *mut c_void,
    sk: *mut bindings::sock,
}

impl Binding {
    /// Takes the session's reference over.
    ///
    /// # Safety
    ///
    /// Once for each binding, when its socket is released.
    pub unsafe fn take<T: SessionRef>(&self) -> T {
        recent::forget(self.sk);
        // SAFETY: The reference that `Bindings::bind()` gave away; by the caller's promise it is
        // taken back once.
        unsafe { T::from_raw(self.session) }
    }
}

/// Why a session was not bound.
pub enum Unbound<T> {
    /// Another one is bound to the socket.
    Taken(T),
    /// No memory.
    NoMemory(T),
}

impl Bindings {
    /// The sessions in that array.
    ///
    /// # Safety
    ///
    /// The array is initialised and outlives every use of the value.
    pub unsafe fn new(array: *mut bindings::xarray) -> Self {
        Self(array)
    }

    /// What is bound to the socket that sent `skb`, as it was given to [`Bindings::bind`]; null
    /// where nothing is. Valid while the message is being handled.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    pub unsafe fn get(self, skb: *mut bindings::sk_buff) -> *mut c_void {
        // SAFETY: By the caller's promise the sender holds its socket, so the entry stays.
        unsafe {
            let sk = control(skb).sk;
            let recent = recent::session_of(sk);
            if !recent.is_null() {
                return recent;
            }
            let binding = bindings::xa_load(self.0, sk as usize).cast::<Binding>();
            if binding.is_null() {
                return core::ptr::null_mut();
            }
            recent::note(sk, (*binding).session);
            (*binding).session
        }
    }

    /// Binds `session` to the socket that sent `skb`, unless another is.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    pub unsafe fn bind<T: SessionRef>(
        self,
        skb: *mut bindings::sk_buff,
        session: T,
    ) -> core::result::Result<(), Unbound<T>> {
        let unused = Binding {
            session: core::ptr::null_mut(),
            // SAFETY: By the caller's promise.
            sk: unsafe { control(skb) }.sk,
        };
        let Ok(mut binding) = KBox::new(unused, GFP_KERNEL_ACCOUNT) else {
            return Err(Unbound::NoMemory(session));
        };
        binding.session = session.into_raw();
        let binding = KBox::into_raw(binding);
        // SAFETY: By the caller's promise; the binding is complete before it can be found.
        let err = unsafe {
            let sk = control(skb).sk;
            shim::ffi::nlcall_xa_claim(self.0, sk as usize, binding.cast())
        };
        if err == 0 {
            return Ok(());
        }
        // SAFETY: It was not stored: the memory and the reference are still ours.
        let session = unsafe { T::from_raw(KBox::from_raw(binding).session) };
        if to_result(err) == Err(EEXIST) {
            Err(Unbound::Taken(session))
        } else {
            Err(Unbound::NoMemory(session))
        }
    }

    /// Removes the binding of a socket that is being released.
    ///
    /// # Safety
    ///
    /// Called by netlink's release of `sk`.
    pub unsafe fn remove(self, sk: *mut bindings::sock) -> Option<KBox<Binding>> {
        // SAFETY: By the caller's promise nobody else uses the entry any more.
        unsafe {
            let binding = bindings::xa_erase(self.0, sk as usize).cast::<Binding>();
            if binding.is_null() {
                None
            } else {
                Some(KBox::from_raw(binding))
            }
        }
    }
}

/// A netlink socket, which the sessions of it share.
#[derive(Clone)]
pub struct Sock(Arc<Held>);

/// # Invariants
///
/// Owns one reference of the `struct sock`.
#[pin_data(PinnedDrop)]
struct Held {
    sk: NonNull<bindings::sock>,
    /// How many of its sessions keep it from being writable. It is filled while any does, once: the
    /// lock protects both, and is taken under that of a session.
    #[pin]
    fills: SpinLockIrq<u32>,
}

// SAFETY: `struct sock` is reference counted; what is done with it here is atomic or locks.
unsafe impl Send for Held {}
// SAFETY: As above.
unsafe impl Sync for Held {}

#[pinned_drop]
impl PinnedDrop for Held {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Gives back the reference of the type invariant.
        unsafe { shim::ffi::nlcall_sock_put(self.sk.as_ptr()) };
    }
}

impl Sock {
    /// The socket that sent `skb`.
    ///
    /// # Safety
    ///
    /// `skb` is the message that a netlink handler is handling.
    pub unsafe fn of_sender(skb: *mut bindings::sk_buff) -> Result<Self> {
        // SAFETY: By the caller's promise.
        let sk = NonNull::new(unsafe { control(skb) }.sk).ok_or(EINVAL)?;
        // INVARIANT: The reference is taken below, where there was memory, before anybody drops it.
        let held = pin_init!(Held {
            sk,
            fills <- new_spinlock_irq!(0),
        });
        let held = Arc::pin_init(held, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: The sender is inside `sendmsg` and holds its socket.
        unsafe { shim::ffi::nlcall_sock_get(sk.as_ptr()) };
        Ok(Self(held))
    }

    fn as_ptr(&self) -> *mut bindings::sock {
        self.0.sk.as_ptr()
    }

    /// Whether completions may take `len` more bytes of the receive buffer, half of which is for
    /// acknowledgements and rejections.
    pub fn has_room(&self, len: usize) -> bool {
        // SAFETY: The type invariant keeps the socket alive.
        unsafe { shim::ffi::nlcall_has_room(self.as_ptr(), len) }
    }

    /// Whether the receive buffer is full.
    pub fn is_full(&self) -> bool {
        // SAFETY: The type invariant keeps the socket alive.
        unsafe { shim::ffi::nlcall_is_full(self.as_ptr()) }
    }

    /// Keeps the socket from being writable in the eyes of `poll`, until [`drain`](Self::drain).
    pub fn fill(&self) {
        let mut fills = self.0.fills.lock();
        if *fills == 0 {
            // SAFETY: The type invariant keeps the socket alive.
            unsafe { shim::ffi::nlcall_sock_fill(self.as_ptr()) };
        }
        *fills += 1;
    }

    /// Takes one [`fill`](Self::fill) back.
    pub fn drain(&self) {
        let mut fills = self.0.fills.lock();
        *fills -= 1;
        if *fills == 0 {
            // SAFETY: The type invariant keeps the socket alive, and with it the first unit of its
            // send buffer's counter.
            unsafe { shim::ffi::nlcall_sock_drain(self.as_ptr()) };
        }
    }

    /// Wakes those that wait for the socket to be writable. Not under a lock.
    pub fn announce_room(&self) {
        // SAFETY: The type invariant keeps the socket alive.
        unsafe { shim::ffi::nlcall_sock_announce(self.as_ptr()) };
    }

    /// Charges `message` to the receive buffer without waiting. `owner` goes along and comes back
    /// through `nlcall_message_gone()`; where there is no room it is given back at once.
    pub fn attach<T: SessionRef>(
        &self,
        message: Message,
        owner: T,
    ) -> core::result::Result<Attached, T> {
        let owner = owner.into_raw();
        let skb = message.into_raw();
        // SAFETY: The socket is alive; the message is complete and handed over; the reference in
        // `owner` is handed over on success, and taken back below otherwise.
        let err = unsafe { shim::ffi::nlcall_attach_message(self.as_ptr(), skb, owner) };
        if err == 0 {
            // INVARIANT: Attached, and the socket is held for it.
            return Ok(Attached {
                sk: self.as_ptr(),
                skb,
            });
        }
        // SAFETY: `nlcall_attach_message()` failed and left the reference with us.
        Err(unsafe { T::from_raw(owner) })
    }
}

/// A message that the receive buffer has room for, and that is to be sent.
///
/// # Invariants
///
/// `skb` is attached to `sk`, which is held for it.
#[must_use = "a message that is not sent is leaked"]
pub struct Attached {
    sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
}

impl Attached {
    /// Puts the message into the receive queue, where it can be read.
    pub fn send(self) {
        // SAFETY: By the type invariant; both are handed over.
        unsafe { shim::ffi::nlcall_send_message(self.sk, self.skb) };
    }
}

/// A counted reference that can cross the C border and come back.
///
/// # Safety
///
/// `from_raw` restores what `into_raw` gave away.
pub unsafe trait SessionRef: Sized {
    /// Gives the reference away.
    fn into_raw(self) -> *mut c_void;

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `raw` comes from `into_raw`, and each one is taken back once.
    unsafe fn from_raw(raw: *mut c_void) -> Self;
}
