// SPDX-License-Identifier: GPL-2.0-only

//! The area of a message: memory of the executing process that its calls need.
//!
//! A call in another process can have no pointer of its sender's. What its arguments point to comes
//! along as DATA, which the first worker that needs it places in the memory of its process; what
//! a call leaves in an output area is fetched by its worker, and waits here for delivery.

use core::cell::UnsafeCell;

use kernel::{
    mm::Mm,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    }, //
};

use crate::{
    parse::{
        Output,
        Submit, //
    },
    reject::errno,
    shim,
    target,
    users::InlineBytes,
    wire::Reloc,
};

/// Where the area is, in the memory of the executing process.
#[derive(Clone, Copy)]
enum Placed {
    /// No call has started.
    Not,
    /// At this address.
    At(u64),
    /// It could not be placed, with this errno; or it is there no more.
    Nowhere(i32),
}

/// An area.
///
/// # Invariants
///
/// `bytes` is written by [`Area::place`], before any call of the message starts, and by
/// [`Area::fetch`] for a call that has started and not ended; it is read by [`Area::output`] for a
/// call that has ended. `parse.rs` made sure that output areas do not overlap, so no two of these
/// concern the same bytes at the same time: what orders them is the session's lock, under which a
/// call ends.
#[pin_data]
pub struct Area {
    /// Bytes of DATA.
    data: usize,
    /// DATA, and what the calls left in their outputs.
    bytes: UnsafeCell<KVVec<u8>>,
    relocs: KVec<Reloc>,
    /// The memory that it is placed in, kept to be compared and found again.
    mm: ARef<Mm>,
    /// Protects the place, and is held while the area is placed.
    #[pin]
    placed: Mutex<Placed>,
    _charge: InlineBytes,
}

// SAFETY: By the type invariant nobody reads bytes that somebody may be writing.
unsafe impl Sync for Area {}
// SAFETY: It owns what it holds, and may be dropped by any thread that may sleep.
unsafe impl Send for Area {}

impl Area {
    /// The area of a message that is for `mm`. `None` where no argument needs one.
    pub fn of(submit: &Submit<'_>, mm: &Mm, charge: InlineBytes) -> Result<Option<Arc<Self>>> {
        let Some(area) = submit.area() else {
            return Ok(None);
        };
        let mut bytes = KVVec::with_capacity(area.len, GFP_KERNEL_ACCOUNT)?;
        for part in submit.data() {
            bytes.extend_from_slice(part, GFP_KERNEL_ACCOUNT)?;
        }
        bytes.resize(area.len, 0, GFP_KERNEL_ACCOUNT)?;
        let mut relocs = KVec::new();
        for reloc in submit.relocs() {
            relocs.push(reloc, GFP_KERNEL_ACCOUNT)?;
        }
        let area = Arc::pin_init(
            pin_init!(Self {
                data: area.data,
                bytes: UnsafeCell::new(bytes),
                relocs,
                mm: ARef::from(mm),
                placed <- new_mutex!(Placed::Not),
                _charge: charge,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        Ok(Some(area))
    }

    /// Places it in the memory of the current thread, a worker, where it is not yet. Says at which
    /// address, or why not, as a positive errno.
    pub fn place(&self) -> core::result::Result<u64, i32> {
        let mut placed = self.placed.lock();
        match *placed {
            Placed::At(at) => Ok(at),
            Placed::Nowhere(errno) => Err(errno),
            Placed::Not => {
                let result = self.map().map_err(Self::reason);
                *placed = match result {
                    Ok(at) => Placed::At(at),
                    Err(errno) => Placed::Nowhere(errno),
                };
                result
            }
        }
    }

    /// Why the memory of the process is not to be had: where the process ends, or executes another
    /// program, its memory goes first, and every access to it fails in a way of its own.
    pub fn reason(errno: i32) -> i32 {
        if shim::dying() {
            errno::ESRCH
        } else {
            errno
        }
    }

    /// Maps memory and fills it in. By the one that found it not placed.
    fn map(&self) -> core::result::Result<u64, i32> {
        // SAFETY: No call of the message has started, and the caller holds the lock of the place,
        // so that nobody else writes or reads.
        let bytes = unsafe { &mut *self.bytes.get() };
        let len = bytes.len().max(1);
        let at = shim::map_memory(len)?;
        for reloc in &self.relocs {
            let pointer = (at + u64::from(reloc.to)).to_ne_bytes();
            let place = reloc.at as usize;
            if let Some(to) = bytes.get_mut(place..place + pointer.len()) {
                to.copy_from_slice(&pointer);
            }
        }
        if shim::write_user(at, &bytes[..self.data]) {
            return Ok(at);
        }
        target::unmap(&self.mm, at, len);
        Err(errno::EFAULT)
    }

    /// Fetches what a call of the current thread, which has not ended, left in an output area.
    /// What cannot be read stays as it was.
    pub fn fetch(&self, at: u64, output: Output) {
        let range = output.offset as usize..output.end() as usize;
        // SAFETY: By the type invariant nobody else has to do with these bytes now.
        let bytes = unsafe {
            let first = (*self.bytes.get()).as_ptr().cast_mut();
            core::slice::from_raw_parts_mut(first.add(range.start), range.len())
        };
        shim::read_user(at + u64::from(output.offset), bytes);
    }

    /// What a call that has ended left in an output area.
    pub fn output(&self, output: Output) -> &[u8] {
        let range = output.offset as usize..output.end() as usize;
        // SAFETY: By the type invariant nobody writes these bytes any more.
        unsafe {
            let first = (*self.bytes.get()).as_ptr();
            core::slice::from_raw_parts(first.add(range.start), range.len())
        }
    }

    /// Takes it out of the memory of its process. May sleep. Where the thread is killed meanwhile, it
    /// may stay: then the last one that has it takes it out.
    pub fn remove(&self) {
        let mut placed = self.placed.lock();
        if let Placed::At(at) = *placed {
            // SAFETY: The length never changes.
            let len = unsafe { (*self.bytes.get()).len() }.max(1);
            if !target::unmap(&self.mm, at, len) {
                return;
            }
        }
        *placed = Placed::Nowhere(errno::ESRCH);
    }
}
