// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{borrow::Cow, ops::Range};

use nlcall_abi as abi;

use super::{
    chain::{has_sources, outputs_end, shift_sources},
    enclosure::Enclosure,
    Call, Chain, Data, Target,
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
    data: Option<Box<Data>>,
    target: Option<Target>,
}

impl Batch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self {
            calls: Vec::new(),
            data: None,
            target: None,
        }
    }

    /// An empty batch with room for this many calls.
    pub fn with_capacity(calls: usize) -> Self {
        Self {
            calls: Vec::with_capacity(calls),
            ..Self::new()
        }
    }

    /// Adds a call at the end.
    #[inline]
    pub fn push(&mut self, call: Call) -> &mut Self {
        self.calls.push(call.into());
        self
    }

    /// Adds the calls of a chain at the end.
    pub fn push_chain(&mut self, chain: &Chain) -> &mut Self {
        self.calls.extend(chain.behind(self.calls.len()));
        self
    }

    /// Removes all calls, and what they are sent along with; keeps the memory for more.
    pub fn clear(&mut self) {
        self.calls.clear();
        (self.data, self.target) = (None, None);
    }

    /// Sends this memory along, for arguments that are [`Arg::Data`](super::Arg::Data) or
    /// [`Arg::Out`](super::Arg::Out). The batch is one message then, and its calls are none of them
    /// INLINE.
    pub fn data(&mut self, data: Data) -> &mut Self {
        self.data = Some(Box::new(data));
        self
    }

    /// Has all calls made in this process instead of the caller's. None of them is INLINE then. The
    /// batch keeps the target's pidfd open until it is dropped.
    ///
    /// ```no_run
    /// use nlcall::raw::{Batch, Call, Session, Target};
    ///
    /// const GETPID: u32 = 39;
    /// // SAFETY: getpid has no arguments and no effects.
    /// let mut batch = Batch::from(unsafe { Call::new(GETPID, &[]) });
    /// batch.target(&Target::open(1234)?);
    /// let session = Session::open()?;
    /// session.submit(batch)?;
    /// assert_eq!(session.wait()?.result(), Ok(1234));
    /// # Ok::<(), nlcall::Error>(())
    /// ```
    pub fn target(&mut self, target: &Target) -> &mut Self {
        self.target = Some(target.clone());
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

    /// What the messages of this batch hold besides its calls.
    pub(super) fn enclosure(&self) -> Enclosure {
        let data = self.data.as_deref().map(|data| {
            let outputs = self.calls.iter().map(outputs_end).max().unwrap_or(0);
            // What is behind the data is in the area only as an output.
            let sent = match outputs >= data.len() as u64 {
                true => data.bytes().len(),
                false => data.len(),
            };
            (data, sent)
        });
        Enclosure::new(self.target.as_ref(), data)
    }

    /// The memory that is sent along, and the process that the calls are made in.
    pub(super) fn environment(&self) -> (Option<&Data>, Option<&Target>) {
        (self.data.as_deref(), self.target.as_ref())
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
            data: self.data.clone(),
            target: self.target.clone(),
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
            ..Self::new()
        }
    }
}

impl From<Call> for Batch {
    fn from(call: Call) -> Self {
        Self {
            calls: vec![call.into()],
            ..Self::new()
        }
    }
}
