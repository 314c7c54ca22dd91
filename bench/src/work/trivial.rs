// SPDX-License-Identifier: MIT OR Apache-2.0

use io_uring::opcode;
use nlcall_abi::Call;
use syscalls::{raw::syscall0, Sysno};

use super::{call, signed, Entries, Work};

/// `getppid`, a call that does next to nothing. io_uring's is a no-operation.
pub struct Trivial {
    /// Calls of the batch.
    pub batch: usize,
}

impl Work for Trivial {
    fn units(&self, _phase: usize) -> usize {
        self.batch
    }

    fn operations(&self) -> usize {
        self.batch
    }

    fn plain(&self, _phase: usize, _unit: usize) -> i64 {
        // SAFETY: getppid takes no arguments and changes nothing.
        signed(unsafe { syscall0(Sysno::getppid as usize) })
    }

    fn calls(&self, _phase: usize, _unit: usize, calls: &mut Vec<Call>) {
        calls.push(call(Sysno::getppid, &[]));
    }

    fn entries(&self, _phase: usize, _unit: usize) -> Entries {
        Entries::Of(vec![opcode::Nop::new().build()])
    }
}
