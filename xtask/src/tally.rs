// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts test results, from what test runners print and from checks of our own.

use std::fmt;
use std::io::{
    self,
    Write, //
};
use std::ops::AddAssign;
use std::sync::{
    Arc,
    Mutex,
    PoisonError, //
};

use crate::exit::Exit;

/// How many tests passed, failed and were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were left out.
    pub ignored: u64,
}

impl Tally {
    /// One that passed.
    pub const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        ignored: 0,
    };
    /// One that failed.
    pub const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        ignored: 0,
    };

    /// The exit status that they lead to.
    pub fn status(self) -> u8 {
        if self.failed == 0 {
            0
        } else {
            Exit::Failed as u8
        }
    }

    /// Reads the line with which a test binary closes.
    pub fn from_line(line: &str) -> Option<Self> {
        let counts = line.trim().strip_prefix("test result: ")?;
        let (_, counts) = counts.split_once(". ")?;
        let count = |what: &str| {
            let part = counts
                .split(';')
                .map(str::trim)
                .find(|part| part.ends_with(what))?;
            part.split(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: count(" passed")?,
            failed: count(" failed")?,
            ignored: count(" ignored")?,
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// What a test runner printed.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<u8>>>);

impl Transcript {
    /// Writes to `to` and into this transcript.
    pub fn and<W: Write>(&self, to: W) -> Tee<W> {
        Tee {
            to,
            transcript: self.clone(),
        }
    }

    /// All that was written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// The results of all test binaries in it.
    pub fn tally(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.text().lines().filter_map(Tally::from_line) {
            total += tally;
        }
        total
    }
}

/// Passes on what it is given and keeps it in a [`Transcript`].
pub struct Tee<W> {
    to: W,
    transcript: Transcript,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.to.write(bytes)?;
        let mut text = self
            .transcript
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_binary_is_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(
            Tally::from_line(line),
            Some(Tally {
                passed: 12,
                failed: 3,
                ignored: 1
            })
        );
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "test a ... ok",
            "test result: ok",
            "",
            "running 3 tests",
            "12 passed; 3 failed; 1 ignored",
        ] {
            assert_eq!(Tally::from_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_transcript_adds_up_what_several_binaries_print() {
        let transcript = Transcript::default();
        let mut tee = transcript.and(io::sink());
        for piece in [
            "test result: ok. 2 passed; 0 failed; 0 ign",
            "ored; 0 measured\nnoise\n",
        ] {
            tee.write_all(piece.as_bytes()).unwrap();
        }
        tee.write_all(b"test result: FAILED. 0 passed; 1 failed; 4 ignored; 0 measured\n")
            .unwrap();
        assert_eq!(
            transcript.tally(),
            Tally {
                passed: 2,
                failed: 1,
                ignored: 4
            }
        );
        assert_eq!(transcript.tally().to_string(), "2 passed, 1 failed");
    }
}
