// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall top` on a terminal, with sessions that are made up: the program is this one, started on
//! the far side of a pseudo-terminal.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{
    Child,
    Command,
    ExitCode,
    Stdio, //
};
use std::sync::mpsc::{
    channel,
    Receiver, //
};
use std::time::{
    Duration,
    Instant, //
};

use libtest_mimic::{
    Arguments,
    Trial, //
};
use nlcall_cli::activity::{
    Activity,
    Tracker, //
};
use nlcall_cli::command::top::state::State;
use nlcall_cli::command::top::{
    columns,
    interact,
    Source, //
};
use nlcall_cli::exit::Failure;
use nlcall_cli::sessions::Session;
use rustix::process::{
    kill_process,
    waitpid,
    Pid,
    Signal,
    WaitOptions, //
};
use rustix::pty::{
    grantpt,
    openpt,
    ptsname,
    unlockpt,
    OpenptFlags, //
};
use rustix::termios::{
    tcgetattr,
    tcsetwinsize,
    LocalModes,
    Winsize, //
};

/// Says which end the program on the far side is to come to.
const SCENE: &str = "NLCALL_TEST_SCENE";

/// How long anything may take, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The process that signals are sent to.
const VICTIM: u32 = 4711;

struct Scene {
    tracker: Tracker,
    looks: u32,
    end: String,
}

impl Source for Scene {
    fn look(&mut self) -> Result<Activity, Failure> {
        self.looks += 1;
        match (self.looks, self.end.as_str()) {
            (3, "panic") => panic!("the third look panics"),
            (3, "error") => return Err(nlcall::Error::ModuleMissing.into()),
            _ => {}
        }
        let session = Session {
            id: 1,
            pid: VICTIM,
            comm: "made-up".to_owned(),
            state: "open",
            accepted: u64::from(self.looks) * 10,
            ..Session::default()
        };
        let at = Duration::from_secs(u64::from(self.looks));
        Ok(self.tracker.look(at, vec![session]))
    }

    fn signal(&mut self, pid: u32, signal: u32) -> Result<String, Failure> {
        Ok(format!("{pid} would get {signal}"))
    }
}

fn main() -> ExitCode {
    match std::env::var(SCENE) {
        Ok(end) => {
            far_side(end);
            ExitCode::SUCCESS
        }
        Err(_) => run_tests(),
    }
}

fn run_tests() -> ExitCode {
    let tests: [(&str, fn()); 5] = [
        (
            "sessions_are_drawn_and_keys_are_heard",
            sessions_are_drawn_and_keys_are_heard,
        ),
        (
            "the_terminal_is_restored_after_a_panic",
            the_terminal_is_restored_after_a_panic,
        ),
        (
            "the_terminal_is_restored_after_an_error",
            the_terminal_is_restored_after_an_error,
        ),
        (
            "the_terminal_is_restored_after_a_signal",
            the_terminal_is_restored_after_a_signal,
        ),
        (
            "a_stopped_program_gives_the_terminal_back",
            a_stopped_program_gives_the_terminal_back,
        ),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn far_side(end: String) {
    let mut scene = Scene {
        tracker: Tracker::default(),
        looks: 0,
        end,
    };
    let sort = columns::by_heading("PID").unwrap();
    let mut state = State::new(sort, "", Duration::from_millis(20));
    match interact(&mut scene, &mut state, u64::MAX) {
        Ok(()) => eprintln!("the end"),
        Err(failure) => eprintln!("the end: {}", failure.message()),
    }
}

/// A program on a terminal.
struct Far {
    child: Child,
    near: std::fs::File,
    far: Option<OwnedFd>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Far {
    fn start(end: &str) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let open = || {
            let mut options = std::fs::File::options();
            options.read(true).write(true).custom_flags(libc::O_NOCTTY);
            OwnedFd::from(options.open(name.to_str().unwrap()).unwrap())
        };
        let far = open();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&near, size).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env(SCENE, end)
            .env_remove("NO_COLOR")
            .env("RUST_BACKTRACE", "0")
            // What stops it is to stop nobody else.
            .process_group(0)
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()));
        let child = command.spawn().unwrap();
        let near = std::fs::File::from(near);
        let (sender, output) = channel();
        let mut reader = near.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = std::io::Read::read(&mut reader, &mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            near,
            far: Some(far),
            output,
            screen: vt100::Parser::new(24, 80, 0),
        }
    }

    /// Reads until the screen shows this.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        self.comes_to(text, |screen| screen.contents().contains(text));
    }

    /// Reads until this is so.
    #[track_caller]
    fn comes_to(&mut self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self.screen.screen()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("no `{what}` on:\n{}", self.screen.screen().contents()),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.near.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether keys come one by one and are not shown.
    fn is_raw(&self) -> bool {
        let far = self.far.as_ref().expect("it is open");
        let modes = tcgetattr(far).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// It ends, and has said this on a terminal that is what it was.
    #[track_caller]
    fn ends_with(mut self, text: &str) {
        self.shows(text);
        self.child.wait().unwrap();
        assert!(!self.is_raw());
        // The last one who could say something.
        drop(self.far.take());
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        assert!(!screen.contents().contains("made-up"));
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // Where a test fails; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sessions_are_drawn_and_keys_are_heard() {
    let mut far = Far::start("");
    far.shows("made-up");
    assert!(far.is_raw() && far.screen.screen().alternate_screen());
    far.comes_to("hidden cursor", vt100::Screen::hide_cursor);
    // Ten calls in each of its seconds.
    far.shows(" 10 ");
    far.press("/nothing");
    far.shows("No session has that in it.");
    far.press("\x1b");
    far.shows("4711 made-up");
    far.press("k");
    far.shows("Signal process 4711 (made-up)?");
    far.press("t");
    far.shows("4711 would get 15");
    far.press("?");
    far.shows("stand still");
    far.press("x");
    far.press("q");
    far.ends_with("the end");
}

fn the_terminal_is_restored_after_a_panic() {
    let far = Far::start("panic");
    far.ends_with("the third look panics");
}

fn the_terminal_is_restored_after_an_error() {
    let far = Far::start("error");
    far.ends_with("the end: the kernel has no generic-netlink family");
}

fn the_terminal_is_restored_after_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut far = Far::start("");
        far.shows("made-up");
        let pid = Pid::from_child(&far.child);
        kill_process(pid, signal).unwrap();
        far.ends_with("the end");
    }
}

fn a_stopped_program_gives_the_terminal_back() {
    let mut far = Far::start("");
    far.shows("made-up");
    let pid = Pid::from_child(&far.child);
    far.press("\x1a");
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
    far.comes_to("other screen", |screen| !screen.alternate_screen());
    assert!(!far.is_raw());
    kill_process(pid, Signal::CONT).unwrap();
    far.shows("made-up");
    far.press("q");
    far.ends_with("the end");
}
