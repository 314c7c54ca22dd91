// SPDX-License-Identifier: MIT OR Apache-2.0

//! The terminal, which is afterwards what it was before, whatever ends the command.

use std::io;

use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    enable_raw_mode,
    EnterAlternateScreen, //
};
use ratatui::widgets::Widget;
use ratatui::DefaultTerminal;

/// A terminal that is drawn on. Dropping it restores what was there; so does a panic, before it says
/// what it has to say.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn enter() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                // A part of it may be done.
                let _ = ratatui::try_restore();
                Err(error)
            }
        }
    }

    /// Draws on all of it.
    pub fn draw(&mut self, widget: impl Widget) -> io::Result<()> {
        self.terminal
            .draw(|frame| frame.render_widget(widget, frame.area()))?;
        Ok(())
    }

    /// Gives the terminal back while the process is stopped, as job control does it.
    pub fn stop(&mut self) -> io::Result<()> {
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        // SAFETY: It stops the processes of this group, this one among them, until somebody lets
        // them go on; there is no handler.
        unsafe { libc::kill(0, libc::SIGTSTP) };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that has gone.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}
