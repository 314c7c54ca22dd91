// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel saves of a thread when a signal interrupts it.

use core::mem::{
    offset_of,
    size_of, //
};
use core::ptr;

/// The bit of SIGSYS in a signal mask.
pub const SIGSYS_BIT: u64 = 1 << (31 - 1);

/// `SS_DISABLE`: a thread without an alternate signal stack.
const SS_DISABLE: i32 = 2;
/// `SS_AUTODISARM`: the alternate stack is put out of use while a handler runs.
const SS_AUTODISARM: i32 = i32::MIN;

/// `stack_t`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Stack {
    pub sp: u64,
    pub flags: i32,
    pub padding: u32,
    pub size: u64,
}

/// The general registers of `struct sigcontext`, in its order.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Registers {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub flags: u64,
    pub segments: u64,
}

impl Registers {
    /// The six arguments of a system call.
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// `struct ucontext`.
///
/// One that a handler is given lies in a frame: a return address before it, and behind it, where
/// `floating` leads to, the state of the floating point unit.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Context {
    pub uc_flags: u64,
    pub link: u64,
    pub stack: Stack,
    pub registers: Registers,
    pub error: u64,
    pub trap: u64,
    pub old_mask: u64,
    pub cr2: u64,
    pub floating: u64,
    pub reserved: [u64; 8],
    pub mask: u64,
}

const _: () = {
    assert!(offset_of!(Context, registers) == 40);
    assert!(offset_of!(Context, floating) == 40 + 184);
    assert!(offset_of!(Context, mask) == 296);
    assert!(size_of::<Context>() == 304);
};

/// `struct siginfo`, as far as the handlers here look at it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Info {
    pub signo: i32,
    pub errno: i32,
    pub code: i32,
    pub padding: i32,
    pub call_address: u64,
    pub syscall: i32,
    pub architecture: u32,
}

/// Where `struct _fpx_sw_bytes` is in the floating point state, and what its `magic1` is.
const SOFTWARE: u64 = 464;
const MAGIC: u32 = 0x4650_5853;
/// Bytes of a floating point state without extensions.
const LEGACY: u64 = 512;

impl Context {
    /// Bytes of the floating point state.
    ///
    /// # Safety
    ///
    /// The context is that of a frame.
    unsafe fn floating_len(&self) -> u64 {
        if self.floating == 0 {
            return 0;
        }
        // SAFETY: The caller promises that the kernel wrote the state there, which holds these.
        unsafe {
            let software = ptr::with_exposed_provenance::<u32>((self.floating + SOFTWARE) as usize);
            match software.read() == MAGIC {
                true => u64::from(software.add(1).read()),
                false => LEGACY,
            }
        }
    }

    /// Where the context's frame begins, and its length.
    ///
    /// # Safety
    ///
    /// `this` is the context of a frame.
    unsafe fn frame(this: *const Self) -> (*const u8, usize) {
        let start = this.cast::<u8>().wrapping_sub(size_of::<u64>());
        // SAFETY: By the caller's promise.
        let (floating, len) = unsafe { ((*this).floating, (*this).floating_len()) };
        let end = match floating {
            // Behind the context lies `struct siginfo`, which nobody returns through.
            0 => this.expose_provenance() as u64 + size_of::<Self>() as u64,
            _ => floating + len,
        };
        (start, (end - start.expose_provenance() as u64) as usize)
    }

    /// Bytes of the frame.
    ///
    /// # Safety
    ///
    /// As for [`copy_frame`](Self::copy_frame).
    pub unsafe fn frame_len(this: *const Self) -> usize {
        // SAFETY: By the caller's promise.
        unsafe { Self::frame(this).1 }
    }

    /// Copies the frame of a context to below `top`, and returns the context there.
    ///
    /// # Safety
    ///
    /// `this` is the context of a frame, and there is memory below `top` that nobody uses.
    pub unsafe fn copy_frame(this: *const Self, top: u64) -> *mut Self {
        // SAFETY: By the caller's promise.
        let (start, len) = unsafe { Self::frame(this) };
        /// What the floating point state is aligned to.
        const ALIGNMENT: u64 = 64;
        let from = start.expose_provenance() as u64;
        let below = top - len as u64;
        let to = below - (below.wrapping_sub(from) % ALIGNMENT);
        let copy = ptr::with_exposed_provenance_mut::<u8>(to as usize);
        // SAFETY: By the caller's promise; the two are apart.
        unsafe {
            ptr::copy_nonoverlapping(start, copy, len);
            let context = copy.add(size_of::<u64>()).cast::<Self>();
            if (*context).floating != 0 {
                (*context).floating = (*context).floating.wrapping_add(to.wrapping_sub(from));
            }
            context
        }
    }

    /// Copies the frame of a context back to where it was before `copy` was made of it.
    ///
    /// # Safety
    ///
    /// `copy` was made of the frame of `this`, which nobody uses now.
    pub unsafe fn restore_frame(this: *mut Self, copy: *const Self) {
        // SAFETY: By the caller's promise.
        unsafe {
            let (start, len) = Self::frame(copy);
            let floating = (*copy).floating;
            let to = this.cast::<u8>().sub(size_of::<u64>());
            ptr::copy_nonoverlapping(start, to, len);
            if floating != 0 {
                let moved = (this.expose_provenance()).wrapping_sub(copy.expose_provenance());
                (*this).floating = floating.wrapping_add(moved as u64);
            }
        }
    }

    /// Makes this frame continue where `outer` does.
    ///
    /// # Safety
    ///
    /// Both are contexts of frames of this thread.
    pub unsafe fn become_like(&mut self, outer: &Self) {
        self.registers = outer.registers;
        if outer.stack.flags & SS_AUTODISARM != 0 {
            self.stack = outer.stack;
        }
        // SAFETY: By the caller's promise.
        let (mine, its) = unsafe { (self.floating_len(), outer.floating_len()) };
        if mine == its && mine != 0 {
            let from = ptr::with_exposed_provenance::<u8>(outer.floating as usize);
            let to = ptr::with_exposed_provenance_mut::<u8>(self.floating as usize);
            // SAFETY: By the caller's promise the kernel placed both states, apart from each other.
            unsafe { ptr::copy_nonoverlapping(from, to, its as usize) };
        }
    }

    /// As a new thread begins: without an alternate signal stack.
    pub fn without_signal_stack(&mut self) {
        self.stack = Stack {
            flags: SS_DISABLE,
            ..Stack::default()
        };
    }
}
