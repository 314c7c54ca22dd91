// SPDX-License-Identifier: GPL-2.0-only

//! A netlink message being written.

use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*, //
};

use crate::{
    compat::bindings,
    wire::{
        CallResult,
        Command, //
    }, //
};

/// `NLMSG_HDRLEN`.
pub const HEADER: usize = 16;
/// `NLMSG_HDRLEN` plus `GENL_HDRLEN`.
pub const GENERIC_HEADER: usize = HEADER + 4;
/// `NLA_HDRLEN`.
pub const ATTR_HEADER: usize = 4;

/// A message of our own, complete or not.
///
/// # Invariants
///
/// Owns the buffer, which has room for a generic header and `room` bytes behind it.
pub struct Message {
    skb: NonNull<bindings::sk_buff>,
    room: usize,
}

impl Message {
    /// Room for `payload` bytes of attributes.
    pub fn new(payload: usize) -> Result<Self> {
        // SAFETY: Only allocates.
        let skb = unsafe { bindings::genlmsg_new(payload, bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // INVARIANT: `genlmsg_new()` made the room.
        Ok(Self { skb, room: payload })
    }

    /// The same without waiting for memory.
    pub fn at_once(payload: usize) -> Result<Self> {
        let flags = bindings::GFP_NOWAIT | bindings::__GFP_NOWARN;
        // SAFETY: Only allocates.
        let skb = unsafe { bindings::genlmsg_new(payload, flags) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // INVARIANT: As above.
        Ok(Self { skb, room: payload })
    }

    /// Gives the buffer away.
    pub fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).skb.as_ptr()
    }

    /// Begins a generic-netlink message in the buffer.
    pub fn begin(
        &mut self,
        portid: u32,
        seq: u32,
        flags: u32,
        command: Command,
    ) -> Result<Body<'_>> {
        // SAFETY: The buffer is valid by the type invariant, and the body borrows it.
        unsafe { Body::begin(self.skb.as_ptr(), portid, seq, flags, command) }
    }

    /// Writes a whole message without a generic header: type 0 and `payload`.
    pub fn plain(&mut self, portid: u32, seq: u32, payload: &[u8]) -> Result {
        if payload.len() > self.room {
            return Err(EMSGSIZE);
        }
        // SAFETY: By the type invariant there is room for the header and the payload, which is all
        // that `__nlmsg_put()` asks for.
        unsafe {
            let len = payload.len() as c_int;
            let header = bindings::__nlmsg_put(self.skb.as_ptr(), portid, seq, 0, len, 0);
            let data = header.cast::<u8>().add(HEADER);
            core::ptr::copy_nonoverlapping(payload.as_ptr(), data, payload.len());
        }
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: The buffer is ours by the type invariant.
        unsafe { bindings::nlmsg_free(self.skb.as_ptr()) };
    }
}

/// The attributes of one generic-netlink message. Dropped without [`Body::end`], it is taken out
/// of the buffer again.
///
/// # Invariants
///
/// `header` points behind the generic header of the last message in the valid buffer `skb`.
pub struct Body<'a> {
    skb: *mut bindings::sk_buff,
    header: *mut core::ffi::c_void,
    _buffer: core::marker::PhantomData<&'a mut Message>,
}

impl Body<'_> {
    /// Begins a message in a buffer that netlink owns.
    ///
    /// # Safety
    ///
    /// `skb` is a netlink buffer being written, and lives as long as the value.
    pub unsafe fn begin(
        skb: *mut bindings::sk_buff,
        portid: u32,
        seq: u32,
        flags: u32,
        command: Command,
    ) -> Result<Self> {
        // SAFETY: By the caller's promise; the family is registered while messages are written.
        let header = unsafe {
            bindings::genlmsg_put(
                skb,
                portid,
                seq,
                crate::family::raw(),
                flags as c_int,
                command as u8,
            )
        };
        if header.is_null() {
            return Err(EMSGSIZE);
        }
        // INVARIANT: `genlmsg_put()` returned the place.
        Ok(Self {
            skb,
            header,
            _buffer: core::marker::PhantomData,
        })
    }

    /// Completes the message.
    pub fn end(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant.
        unsafe { bindings::genlmsg_end(this.skb, this.header) };
    }

    /// Adds an attribute of bytes.
    pub fn put_bytes(&mut self, kind: u16, bytes: &[u8]) -> Result {
        // SAFETY: The buffer is valid by the type invariant; `nla_put` copies the bytes or fails.
        to_result(unsafe {
            bindings::nla_put(
                self.skb,
                c_int::from(kind),
                bytes.len() as c_int,
                bytes.as_ptr().cast(),
            )
        })
    }

    /// Adds a `u32` attribute.
    pub fn put_u32(&mut self, kind: u16, value: u32) -> Result {
        self.put_bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a `u64` attribute, aligned by means of the padding attribute `pad`.
    pub fn put_u64(&mut self, kind: u16, value: u64, pad: u16) -> Result {
        // SAFETY: The buffer is valid by the type invariant; the eight bytes are copied.
        to_result(unsafe {
            bindings::nla_put_64bit(
                self.skb,
                c_int::from(kind),
                size_of::<u64>() as c_int,
                (&raw const value).cast(),
                c_int::from(pad),
            )
        })
    }

    /// Adds a flag attribute.
    pub fn put_flag(&mut self, kind: u16) -> Result {
        self.put_bytes(kind, &[])
    }

    /// Adds a string attribute with its final NUL.
    pub fn put_str(&mut self, kind: u16, text: &str) -> Result {
        // SAFETY: The buffer is valid by the type invariant; the attribute is reserved with room
        // for the text and a NUL, and filled completely.
        unsafe {
            let attr = bindings::nla_reserve(self.skb, c_int::from(kind), text.len() as c_int + 1);
            if attr.is_null() {
                return Err(EMSGSIZE);
            }
            let data = attr.cast::<u8>().add(ATTR_HEADER);
            core::ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
            data.add(text.len()).write(0);
        }
        Ok(())
    }

    /// Reserves an attribute for `count` completions, to be written one by one.
    pub fn put_results(&mut self, kind: u16, count: u32) -> Result<Results> {
        let len = count as usize * size_of::<CallResult>();
        // SAFETY: The buffer is valid by the type invariant.
        let attr = unsafe { bindings::nla_reserve(self.skb, c_int::from(kind), len as c_int) };
        if attr.is_null() {
            return Err(EMSGSIZE);
        }
        // INVARIANT: `nla_reserve()` made room for `len` bytes behind the attribute's header.
        Ok(Results {
            // SAFETY: Within the reserved attribute.
            next: unsafe { attr.cast::<u8>().add(ATTR_HEADER) },
            room: count,
        })
    }
}

impl Body<'_> {
    /// Reserves an attribute of `len` bytes, to be written part by part; zeroes until then.
    pub fn put_data(&mut self, kind: u16, len: usize) -> Result<Data> {
        // SAFETY: The buffer is valid by the type invariant.
        let attr = unsafe { bindings::nla_reserve(self.skb, c_int::from(kind), len as c_int) };
        if attr.is_null() {
            return Err(EMSGSIZE);
        }
        // SAFETY: `nla_reserve()` made room for `len` bytes behind the attribute's header.
        let next = unsafe {
            let next = attr.cast::<u8>().add(ATTR_HEADER);
            next.write_bytes(0, len);
            next
        };
        // INVARIANT: Just made.
        Ok(Data { next, room: len })
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::genlmsg_cancel(self.skb, self.header) };
    }
}

/// The place of completions in a message.
///
/// # Invariants
///
/// `next` has room for `room` completions, inside a buffer that is not sent before this is gone.
pub struct Results {
    next: *mut u8,
    room: u32,
}

impl Results {
    /// Writes the next one, as long as there is room.
    pub fn push(&mut self, result: &CallResult) {
        if self.room == 0 {
            return;
        }
        // SAFETY: By the type invariant; attributes are aligned to four bytes only, so the copy is
        // a copy of bytes.
        unsafe {
            self.next.cast::<CallResult>().write_unaligned(*result);
            self.next = self.next.add(size_of::<CallResult>());
        }
        self.room -= 1;
    }

    /// Whether all that was reserved is written.
    pub fn is_full(&self) -> bool {
        self.room == 0
    }
}

/// The place of bytes in a message.
///
/// # Invariants
///
/// `next` has room for `room` bytes, inside a buffer that is not sent before this is gone.
pub struct Data {
    next: *mut u8,
    room: usize,
}

impl Data {
    /// Writes the next ones, as long as there is room.
    pub fn push(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.room);
        // SAFETY: By the type invariant.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.next, len);
            self.next = self.next.add(len);
        }
        self.room -= len;
    }
}
