// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a library without a standard library has to bring along.

use core::arch::global_asm;
use core::panic::PanicInfo;

/// Called by the dynamic linker when all libraries are loaded.
#[used]
#[link_section = ".init_array"]
static START: unsafe extern "C" fn(i32, *const *const u8, *mut *mut u8) = crate::program::start;

/// A mistake of the library: the program ends at once, by SIGILL.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: Ends the process.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

// What the compiler makes of copies and comparisons. Not seen outside of the library.
global_asm!(
    ".pushsection .text.nlcall_run_memory,\"ax\",@progbits",
    ".globl memcpy, memmove, memset, memcmp, bcmp, strlen",
    ".hidden memcpy, memmove, memset, memcmp, bcmp, strlen",
    "memcpy:",
    "mov %rdi, %rax",
    "mov %rdx, %rcx",
    "rep movsb",
    "ret",
    "memmove:",
    "mov %rdi, %rax",
    "mov %rdx, %rcx",
    "mov %rdi, %r8",
    "sub %rsi, %r8",
    "cmp %rdx, %r8",
    "jae 1f",
    "std",
    "lea -1(%rdi,%rdx), %rdi",
    "lea -1(%rsi,%rdx), %rsi",
    "rep movsb",
    "cld",
    "ret",
    "1: rep movsb",
    "ret",
    "memset:",
    "mov %rdi, %r8",
    "mov %esi, %eax",
    "mov %rdx, %rcx",
    "rep stosb",
    "mov %r8, %rax",
    "ret",
    "bcmp:",
    "memcmp:",
    "mov %rdx, %rcx",
    "xor %eax, %eax",
    "cmp %rcx, %rcx",
    "repe cmpsb",
    "je 2f",
    "movzbl -1(%rdi), %eax",
    "movzbl -1(%rsi), %ecx",
    "sub %ecx, %eax",
    "2: ret",
    "strlen:",
    "mov %rdi, %rax",
    "3: cmpb $0, (%rax)",
    "je 4f",
    "inc %rax",
    "jmp 3b",
    "4: sub %rdi, %rax",
    "ret",
    ".popsection",
    options(att_syntax),
);
