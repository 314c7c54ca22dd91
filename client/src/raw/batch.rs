// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{borrow::Cow, ops::Range};

use nlcall_abi as abi;

use super::{
    chain::{has_sources, shift_sources},
    Call, Chain,
};

/// Calls to be submitted together.
///
/// ```
/// use nlcall::raw::{Batch, Call};
///
/// const GETPID: u32 = 39;
/// // SAFETY: getpid has no arguments and no effects.
/// let batch: Batch = (0..3).map(|n| unsafe { Call::new(GETPID, &[]) }.user_data(n)).collect();
/// assert_eq!(batch.len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    calls: Vec<abi::Call>,
}

impl Batch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { calls: Vec::new() }
    }

    /// An empty batch with room for this many calls.
    pub fn with_capacity(calls: usize) -> Self {
        Self {
            calls: Vec::with_capacity(calls),
        }
    }

    /// Adds a call at the end.
    pub fn push(&mut self, call: Call) -> &mut Self {
        self.calls.push(call.into());
        self
    }

    /// Adds the calls of a chain at the end.
    pub fn push_chain(&mut self, chain: &Chain) -> &mut Self {
        self.calls.extend(chain.behind(self.calls.len()));
        self
    }

    /// Number of calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is no call.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls as they go over the wire.
    pub fn as_abi(&self) -> &[abi::Call] {
        &self.calls
    }

    /// Removes the first `calls` calls. Where the others name calls by index, they count from the
    /// new beginning then.
    pub(super) fn discard(&mut self, calls: usize) {
        self.calls.drain(..calls);
        rebase(&mut self.calls, calls);
    }

    /// A copy that [`discard`](Self::discard) was applied to.
    pub(super) fn without_first(&self, calls: usize) -> Self {
        let mut rest = Self {
            calls: self.calls[calls..].to_vec(),
        };
        rebase(&mut rest.calls, calls);
        rest
    }

    /// These calls as they go into one message, in which they count from its beginning.
    pub(super) fn message(&self, calls: Range<usize>) -> Cow<'_, [abi::Call]> {
        let (from, calls) = (calls.start, &self.calls[calls]);
        if from == 0 || !calls.iter().any(has_sources) {
            return Cow::Borrowed(calls);
        }
        let mut calls = calls.to_vec();
        rebase(&mut calls, from);
        Cow::Owned(calls)
    }
}

/// Makes these calls, which others preceded, count from their own beginning.
fn rebase(calls: &mut [abi::Call], before: usize) {
    for call in calls {
        shift_sources(call, (before as u64).wrapping_neg());
    }
}

impl Extend<Call> for Batch {
    fn extend<I: IntoIterator<Item = Call>>(&mut self, calls: I) {
        self.calls.extend(calls.into_iter().map(abi::Call::from));
    }
}

impl FromIterator<Call> for Batch {
    fn from_iter<I: IntoIterator<Item = Call>>(calls: I) -> Self {
        Self {
            calls: calls.into_iter().map(abi::Call::from).collect(),
        }
    }
}

impl From<Call> for Batch {
    fn from(call: Call) -> Self {
        Self {
            calls: vec![call.into()],
        }
    }
}
