// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a step prints.

use std::fmt::Display;

use anyhow::{ensure, Result};

/// The lines of one step.
#[derive(Default)]
pub struct Report {
    is_checked: bool,
}

impl Report {
    /// Shows what was asked for, or what came back.
    pub fn show(&mut self, line: impl Display) {
        println!("   {line}");
    }

    /// Says how it was checked.
    pub fn checked(&mut self, how: impl Display) {
        println!("   checked: {how}");
        self.is_checked = true;
    }

    /// The step is over; a step that checked nothing shows nothing.
    pub fn end(self) -> Result<()> {
        ensure!(self.is_checked, "nothing was checked");
        Ok(())
    }
}
