// SPDX-License-Identifier: MIT OR Apache-2.0

//! The instructions that may enter the kernel: everything else of the process is sent to the
//! handler of SIGSYS.
//!
//! They are in one section of their own, so that the range that syscall user dispatch lets through
//! is this page of code and nothing more.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::birth::Birth;
use crate::context::Context;
use crate::making::Making;
use crate::vfork::Saved;

global_asm!(
    ".pushsection .text.nlcall_run,\"ax\",@progbits",
    ".balign 16",
    "nlcall_run_text:",
    "nop",

    // Where handlers return to. Unwinders know a signal's frame by these very bytes.
    "nlcall_run_restorer:",
    "mov $15, %rax",
    "syscall",
    "hlt",

    // fn(number, &[u64; 6]) -> i64: a plain system call.
    ".balign 16",
    "nlcall_run_syscall:",
    ".cfi_startproc",
    "mov %rdi, %rax",
    "mov %rsi, %r11",
    "mov (%r11), %rdi",
    "mov 8(%r11), %rsi",
    "mov 16(%r11), %rdx",
    "mov 24(%r11), %r10",
    "mov 32(%r11), %r8",
    "mov 40(%r11), %r9",
    "syscall",
    "ret",
    ".cfi_endproc",

    // fn(&mut Making): one call with the program's own signal mask in force.
    ".balign 16",
    "nlcall_run_make:",
    ".cfi_startproc",
    "push %rbx",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset %rbx, -16",
    "mov %rdi, %rbx",
    "mov $2, %edi",
    "lea {mask}(%rbx), %rsi",
    "xor %edx, %edx",
    "mov $8, %r10d",
    "mov $14, %eax",
    "syscall",
    // From here on a signal's handler may run.
    "nlcall_run_open:",
    "mov {nr}(%rbx), %rax",
    "mov {args}(%rbx), %rdi",
    "mov {args}+8(%rbx), %rsi",
    "mov {args}+16(%rbx), %rdx",
    "mov {args}+24(%rbx), %r10",
    "mov {args}+32(%rbx), %r8",
    "mov {args}+40(%rbx), %r9",
    "syscall",
    "nlcall_run_made:",
    "mov %rax, {ret}(%rbx)",
    "nlcall_run_noted:",
    "mov $2, %edi",
    "lea nlcall_run_all_signals(%rip), %rsi",
    "lea {mask}(%rbx), %rdx",
    "mov $8, %r10d",
    "mov $14, %eax",
    "syscall",
    // Up to here.
    "nlcall_run_closed:",
    "pop %rbx",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",

    // fn(&Birth) -> i64: makes a child; one with a stack of its own begins there, from a frame
    // that lies ready.
    ".balign 16",
    "nlcall_run_clone:",
    ".cfi_startproc",
    "push %rbx",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset %rbx, -16",
    "mov %rdi, %rbx",
    "mov {birth_nr}(%rbx), %rax",
    "mov {birth_args}(%rbx), %rdi",
    "mov {birth_args}+8(%rbx), %rsi",
    "mov {birth_args}+16(%rbx), %rdx",
    "mov {birth_args}+24(%rbx), %r10",
    "mov {birth_args}+32(%rbx), %r8",
    // Not an argument; a child with a stack of its own may not look at its parent's.
    "mov {birth_frame}(%rbx), %r9",
    "syscall",
    "test %rax, %rax",
    "jnz 2f",
    "test %r9, %r9",
    "jz 2f",
    // The child, on its own stack: the birth lies there, too.
    "mov %rsp, %rbx",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call {born}",
    "mov {birth_frame}(%rbx), %rsp",
    "mov $15, %eax",
    "syscall",
    "hlt",
    "2: pop %rbx",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",

    // fn(number, &[u64; 6], &mut Saved) -> i64: makes a child that uses the same stack until it
    // executes a program or ends. Only the child returns, or a parent without one: another parent
    // goes on from the frame that was saved.
    ".balign 16",
    "nlcall_run_vfork:",
    ".cfi_startproc",
    "push %rbx",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset %rbx, -16",
    "mov %rdx, %rbx",
    "mov %rdi, %rax",
    "mov %rsi, %r11",
    "mov (%r11), %rdi",
    "mov 8(%r11), %rsi",
    "mov 16(%r11), %rdx",
    "mov 24(%r11), %r10",
    "mov 32(%r11), %r8",
    "syscall",
    "test %rax, %rax",
    "jle 2f",
    "lea {saved_stack_end}(%rbx), %rsp",
    "mov %rbx, %rdi",
    "mov %rax, %rsi",
    "call {resume}",
    "mov %rax, %rsp",
    "movl $0, {saved_in_use}(%rbx)",
    "mov $15, %eax",
    "syscall",
    "hlt",
    "2: pop %rbx",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",

    // fn(&Context) -> !: goes on as the frame says that begins with this context.
    ".balign 16",
    "nlcall_run_return:",
    "mov %rdi, %rsp",
    "mov $15, %eax",
    "syscall",
    "hlt",

    "nlcall_run_text_end:",

    // Handler of the program's signals: decides what the program is to see, and goes on with the
    // program's handler as if the kernel had called that.
    ".balign 16",
    "nlcall_run_signal:",
    ".cfi_startproc",
    "push %rdi",
    ".cfi_adjust_cfa_offset 8",
    "push %rsi",
    ".cfi_adjust_cfa_offset 8",
    "push %rdx",
    ".cfi_adjust_cfa_offset 8",
    "call {on_signal}",
    "pop %rdx",
    ".cfi_adjust_cfa_offset -8",
    "pop %rsi",
    ".cfi_adjust_cfa_offset -8",
    "pop %rdi",
    ".cfi_adjust_cfa_offset -8",
    "jmp *%rax",
    ".cfi_endproc",

    // fn(bytes, f, argument) -> i64: calls f(argument, memory) with so many bytes of the stack.
    ".balign 16",
    "nlcall_run_with_stack:",
    ".cfi_startproc",
    "push %rbp",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset %rbp, -16",
    "mov %rsp, %rbp",
    ".cfi_def_cfa_register %rbp",
    "sub %rdi, %rsp",
    "and $-16, %rsp",
    "mov %rsi, %rax",
    "mov %rdx, %rdi",
    "mov %rsp, %rsi",
    "call *%rax",
    "mov %rbp, %rsp",
    "pop %rbp",
    ".cfi_def_cfa %rsp, 8",
    "ret",
    ".cfi_endproc",
    ".popsection",

    ".pushsection .rodata.nlcall_run,\"a\",@progbits",
    ".balign 8",
    "nlcall_run_all_signals: .quad -1",
    ".popsection",

    nr = const offset_of!(Making, nr),
    args = const offset_of!(Making, args),
    mask = const offset_of!(Making, mask),
    ret = const offset_of!(Making, ret),
    birth_nr = const offset_of!(Birth, nr),
    birth_args = const offset_of!(Birth, args),
    birth_frame = const offset_of!(Birth, frame),
    saved_stack_end = const offset_of!(Saved, stack_end),
    saved_in_use = const offset_of!(Saved, in_use),
    born = sym crate::birth::born,
    resume = sym crate::vfork::resume,
    on_signal = sym crate::signals::on_signal,
    options(att_syntax),
);

extern "C" {
    static nlcall_run_text: u8;
    static nlcall_run_text_end: u8;
    static nlcall_run_restorer: u8;
    static nlcall_run_open: u8;
    static nlcall_run_made: u8;
    static nlcall_run_closed: u8;
    static nlcall_run_signal: u8;

    fn nlcall_run_syscall(nr: u64, args: *const [u64; 6]) -> i64;
    fn nlcall_run_make(making: *mut u8);
    fn nlcall_run_clone(birth: *const Birth) -> i64;
    fn nlcall_run_vfork(nr: u64, args: *const [u64; 6], saved: *mut Saved) -> i64;
    fn nlcall_run_return(context: *const Context) -> !;
    fn nlcall_run_with_stack(
        bytes: usize,
        f: unsafe extern "C" fn(*mut u8, *mut u8) -> i64,
        argument: *mut u8,
    ) -> i64;
}

/// Addresses inside the text.
macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident = $symbol:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name() -> u64 {
            (&raw const $symbol).expose_provenance() as u64
        }
    )+};
}

addresses! {
    /// Where the range begins whose system calls are made.
    start = nlcall_run_text;
    /// Where it ends.
    end = nlcall_run_text_end;
    /// Where a signal's handler returns to.
    restorer = nlcall_run_restorer;
    /// In [`make`]: from here on the program's signal mask is in force.
    open = nlcall_run_open;
    /// Behind the call's own instruction.
    made = nlcall_run_made;
    /// Up to here.
    closed = nlcall_run_closed;
    /// The handler that the kernel calls instead of one of the program's.
    signal = nlcall_run_signal;
}

/// A plain system call.
///
/// # Safety
///
/// As that call.
#[inline]
pub unsafe fn syscall(nr: u64, args: &[u64; 6]) -> i64 {
    // SAFETY: By the caller's promise.
    unsafe { nlcall_run_syscall(nr, args) }
}

/// Makes the call of `making` with its signal mask in force, and leaves all signals blocked.
///
/// # Safety
///
/// As that call. All signals are blocked, and a handler that interrupts this finds what it needs in
/// `making`.
pub unsafe fn make(making: &mut Making) {
    // SAFETY: By the caller's promise.
    unsafe { nlcall_run_make((&raw mut *making).cast()) }
}

/// Makes the child of a birth, which returns 0 where it goes on with its parent's stack.
///
/// # Safety
///
/// As that call. Where the child has a stack of its own, a copy of the birth lies where that
/// begins, and leads to a frame there.
pub unsafe fn clone(birth: &Birth) -> i64 {
    // SAFETY: By the caller's promise.
    unsafe { nlcall_run_clone(birth) }
}

/// Makes a child on the same stack. Returns in the child, or with an error.
///
/// # Safety
///
/// As that call. `saved` holds the frame that the parent is to go on from.
pub unsafe fn vfork(nr: u64, args: &[u64; 6], saved: *mut Saved) -> i64 {
    // SAFETY: By the caller's promise.
    unsafe { nlcall_run_vfork(nr, args, saved) }
}

/// Goes on as a signal's frame says.
///
/// # Safety
///
/// `context` is that of a frame.
pub unsafe fn go_on(context: *const Context) -> ! {
    // SAFETY: By the caller's promise.
    unsafe { nlcall_run_return(context) }
}

/// Calls `f` with `argument` and so many bytes of the stack.
///
/// # Safety
///
/// As `f`.
pub unsafe fn with_stack(
    bytes: usize,
    f: unsafe extern "C" fn(*mut u8, *mut u8) -> i64,
    argument: *mut u8,
) -> i64 {
    // SAFETY: By the caller's promise.
    unsafe { nlcall_run_with_stack(bytes, f, argument) }
}
