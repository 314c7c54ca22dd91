// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command on a terminal of 80 by 24.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use rustix::{
    event::{poll, PollFd, PollFlags},
    fs::{fcntl_setfl, OFlags},
    pty::{openpt, unlockpt, OpenptFlags},
    termios::{tcgetattr, tcsetwinsize, LocalModes, Winsize},
};

use nlcall_tests::patience;

const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A terminal, and the command that was started on it.
pub struct Terminal {
    child: Child,
    near: File,
    far: OwnedFd,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts the command with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        unlockpt(&near).expect("it is ours");
        let name = rustix::pty::ptsname(&near, Vec::new()).expect("its far side");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).expect("it is there");
        tcsetwinsize(&near, SIZE).expect("a size");
        fcntl_setfl(&near, OFlags::RDWR | OFlags::NONBLOCK).expect("F_SETFL");
        let stdio = || Stdio::from(far.try_clone().expect("a descriptor"));
        let child = Command::new("nlcall")
            .args(arguments)
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("nlcall is on the PATH");
        Self {
            child,
            near: near.into(),
            far,
            screen: vt100::Parser::new(SIZE.ws_row, SIZE.ws_col, 0),
        }
    }

    /// Takes in what was printed; waits a little for it.
    fn read(&mut self) {
        let mut fds = [PollFd::new(&self.near, PollFlags::IN)];
        let step = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        poll(&mut fds, Some(&step)).expect("poll");
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = self.near.read(&mut bytes) {
            self.screen.process(&bytes[..count]);
        }
    }

    /// Waits until the screen shows this.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        self.comes_to(text, |contents| contents.contains(text));
    }

    /// Waits until this is so of what the screen shows.
    #[track_caller]
    pub fn comes_to(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let reached = patience::holds_eventually(|| {
            self.read();
            is_so(&self.screen.screen().contents())
        });
        let contents = self.screen.screen().contents();
        assert!(reached, "waited in vain for `{what}`:\n{contents}");
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.near.write_all(keys.as_bytes()).expect("it is read");
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is there");
    }

    /// The command ends well, and the terminal is what it was.
    pub fn ends(mut self) {
        let status = self.child.wait().expect("it is ours");
        assert!(status.success(), "{status}");
        self.read();
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(screen.contents(), "", "what was there is there again");
        let modes = tcgetattr(self.far.as_fd()).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }
}
