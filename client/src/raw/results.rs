// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    fmt,
    mem::size_of,
    sync::atomic::{AtomicU64, Ordering},
};

use nlcall_abi::{self as abi, Outcome, Restart};

use super::Completion;

/// Words of a [`abi::ResultsHeader`] and of an [`abi::CallResult`].
const HEADER: usize = size_of::<abi::ResultsHeader>() / size_of::<u64>();
const ENTRY: usize = size_of::<abi::CallResult>() / size_of::<u64>();

/// Memory that the kernel writes the results of INLINE calls to; see
/// [`Session::submit_into`](super::Session::submit_into).
///
/// It grows as it is needed, and may be used for one batch after the other.
///
/// ```no_run
/// use nlcall::raw::{Batch, Call, CallFlags, Results, Session};
///
/// const GETPID: u32 = 39;
/// let session = Session::open()?;
/// // SAFETY: getpid has no arguments and no effects.
/// let getpid = unsafe { Call::new(GETPID, &[]) }.flags(CallFlags::INLINE);
/// let batch: Batch = (0..64).map(|n| getpid.clone().user_data(n)).collect();
/// let mut results = Results::new();
/// for _ in 0..1000 {
///     session.submit_into(&batch, &mut results)?;
///     for completion in results.iter() {
///         assert_eq!(completion.result(), Ok(std::process::id().into()));
///     }
/// }
/// # Ok::<(), nlcall::Error>(())
/// ```
#[derive(Default)]
pub struct Results {
    /// A header and entries as they lie in memory. The kernel writes here while
    /// [`Session::submit_into`](super::Session::submit_into) borrows it, and at no other time.
    /// Where a batch is sent in several messages, the header of the next one lies on the end of
    /// the last entry, which is put back afterwards: see [`Self::expose`].
    words: Box<[AtomicU64]>,
    /// Entries that were written, all of them with numbers that [`Completion`] knows.
    len: usize,
}

impl Results {
    /// No memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory for so many results.
    pub fn with_capacity(calls: usize) -> Self {
        let mut results = Self::default();
        results.clear_for(calls);
        results
    }

    /// Results that there is memory for.
    pub fn capacity(&self) -> usize {
        self.words.len().saturating_sub(HEADER) / ENTRY
    }

    /// Results of the last batch that are here. Those of its calls that are not were skipped
    /// ([`CallFlags::SKIP_SUCCESS`](super::CallFlags::SKIP_SUCCESS)), not accepted, or could not be
    /// written and come as completions of the session.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The result at this place. The calls of a batch end, and write their results, in order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Completion> {
        (index < self.len).then(|| self.completion(index))
    }

    /// All results, in order.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Completion> + ExactSizeIterator + '_ {
        (0..self.len).map(|index| self.completion(index))
    }

    /// Forgets all results, and makes room for so many.
    pub(super) fn clear_for(&mut self, calls: usize) {
        self.len = 0;
        if self.capacity() < calls {
            let words = calls
                .checked_mul(ENTRY)
                .and_then(|words| words.checked_add(HEADER));
            self.words = (0..words.expect("a batch of such a length fits in memory"))
                .map(|_| AtomicU64::new(0))
                .collect();
        }
    }

    /// Runs `send`, which may let the kernel write so many results behind those that are here, to
    /// the address that it is given; returns what `send` did and how many results came. There is
    /// room for them.
    pub(super) fn expose<R>(&mut self, calls: usize, send: impl FnOnce(u64) -> R) -> (R, usize) {
        let room = self.capacity() - self.len;
        debug_assert!(calls <= room, "clear_for() made room");
        let header = &self.words[self.len * ENTRY..];
        let covered: [u64; HEADER] = [0, 1].map(|word| header[word].load(Ordering::Relaxed));
        // `done` is zero, `capacity` as large as it can be.
        let capacity = u32::try_from(room).unwrap_or(u32::MAX);
        header[0].store(u64::from(capacity) << u32::BITS, Ordering::Relaxed);
        header[1].store(0, Ordering::Relaxed);
        let sent = send(header.as_ptr().expose_provenance() as u64);
        // Pairs with the release of ResultsHeader::done, for entries that another thread wrote:
        // where a ring sent the message, or a debugger stepped in.
        let done = header[0].load(Ordering::Acquire) as u32 as usize;
        for (word, value) in header.iter().zip(covered) {
            word.store(value, Ordering::Relaxed);
        }
        (sent, done.min(calls))
    }

    /// Takes so many more entries for results, up to the first that is none; returns that.
    pub(super) fn take(&mut self, entries: usize) -> Result<(), abi::CallResult> {
        for _ in 0..entries {
            let raw = self.raw(self.len);
            // Nearly all of them: a call that ran to its end.
            let ran = raw.outcome == Outcome::Ran as u16 && raw.restart == Restart::None as u16;
            if !ran && Completion::from_abi(&raw).is_none() {
                return Err(raw);
            }
            self.len += 1;
        }
        Ok(())
    }

    #[inline]
    fn completion(&self, index: usize) -> Completion {
        Completion::from_abi(&self.raw(index)).expect("take() looked at it")
    }

    #[inline]
    fn raw(&self, index: usize) -> abi::CallResult {
        let entry = &self.words[HEADER + index * ENTRY..][..ENTRY];
        let words: [u64; ENTRY] = [0, 1, 2, 3].map(|word| entry[word].load(Ordering::Relaxed));
        zerocopy::transmute!(words)
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
