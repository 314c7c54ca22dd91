// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the oracle found: plain calls held against the same calls over netlink.

use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// Every entry of the table, by number.
    pub calls: Vec<CallReport>,
}

/// One entry of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReport {
    /// Its number.
    pub nr: u32,
    /// Its name.
    pub name: String,
    /// The loaded module's verdict.
    pub verdict: Verdict,
    /// The module's reason.
    pub reason: Option<String>,
    /// The cases.
    pub cases: Vec<CaseReport>,
    /// Why no case succeeds.
    pub never_succeeds: Option<String>,
    /// Why no case fails.
    pub never_fails: Option<String>,
}

/// A verdict, as the report has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Executes everywhere.
    #[default]
    Both,
    /// Executes everywhere, with a stated difference on workers.
    Differs,
    /// Executes INLINE.
    InlineOnly,
    /// Executes nowhere.
    Refused,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// What the call does in it.
    pub what: String,
    /// Whether the plain call succeeds, or ends the process.
    pub succeeds: bool,
    /// What is not as the case expects it of the plain call.
    pub wrong: Option<String>,
    /// The call on a worker.
    pub worker: Compared,
    /// The call INLINE.
    pub inline: Compared,
}

/// A call over netlink, held against the plain one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compared {
    /// Nothing is another.
    Identical,
    /// Rejected, as the table says.
    Rejected,
    /// Another in the way that is stated.
    Stated {
        /// In what.
        aspects: Vec<String>,
        /// Why.
        why: String,
    },
    /// Another in a way that is not stated.
    Different(Vec<String>),
}

impl Compared {
    /// Whether it is as stated.
    pub fn is_right(&self) -> bool {
        !matches!(self, Self::Different(_))
    }
}

impl CaseReport {
    /// Whether everything is as stated.
    pub fn is_right(&self) -> bool {
        self.wrong.is_none() && self.worker.is_right() && self.inline.is_right()
    }
}

impl CallReport {
    /// Whether the call executes anywhere.
    pub fn executes(&self) -> bool {
        self.verdict != Verdict::Refused
    }

    /// What it lacks to have been compared: a case of success or of failure, without a reason.
    pub fn lacks(&self) -> Option<&'static str> {
        if !self.executes() {
            return None;
        }
        let some = |succeeds| self.cases.iter().any(|case| case.succeeds == succeeds);
        match () {
            () if !some(true) && self.never_succeeds.is_none() => Some("a case of success"),
            () if !some(false) && self.never_fails.is_none() => Some("a case of failure"),
            () if self.cases.is_empty() => Some("any case"),
            () => None,
        }
    }

    /// Whether all of its cases are right, and none is missing.
    pub fn is_right(&self) -> bool {
        self.lacks().is_none() && self.cases.iter().all(CaseReport::is_right)
    }
}

impl Report {
    /// Whether every call is as stated.
    pub fn is_right(&self) -> bool {
        self.calls.iter().all(CallReport::is_right)
    }
}
