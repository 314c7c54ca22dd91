// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs each test in a process of its own.

mod isolation;
pub mod traces;

use std::{
    cmp::Reverse,
    path::Path,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        Mutex, MutexGuard, OnceLock, PoisonError,
    },
    time::{Duration, Instant},
};

use clap::Parser;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Options that a test's process is started with, as [`Options`] has them.
const INSIDE: &str = "--inside";
const FULL: &str = "--full";
const SEED: &str = "--seed";
/// Marks a line of a test's output that is worth showing although the test passed.
const NOTE: &str = "remark: ";
/// Marks a line that says how far a long test is, which is shown while it runs.
const PROGRESS: &str = "progress: ";

static IS_FULL: AtomicBool = AtomicBool::new(false);
static GIVEN_SEED: OnceLock<u64> = OnceLock::new();
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static DURATIONS: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// When it is taken that a test hangs, in a stock kernel. Not a promise about time: a slow machine needs a fraction.
const PATIENCE: Duration = Duration::from_secs(180);

/// One test.
#[derive(Clone, Copy)]
pub struct Test {
    theme: &'static str,
    name: &'static str,
    body: fn(),
    patience: Duration,
}

impl Test {
    /// A test of this name.
    pub const fn new(name: &'static str, body: fn()) -> Self {
        Self {
            theme: "",
            name,
            body,
            patience: PATIENCE,
        }
    }

    /// Gives it more time before it counts as hanging.
    pub const fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Puts it under the name of its file.
    pub const fn in_theme(self, theme: &'static str) -> Self {
        Self { theme, ..self }
    }

    fn path(&self) -> String {
        format!("{}::{}", self.theme, self.name)
    }
}

/// Lists tests by the names of their functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$($crate::harness::Test::new(stringify!($name), $name)),*]
    };
}
pub(crate) use tests;

/// The command line: libtest's, and more.
#[derive(Parser)]
struct Options {
    /// Raises the counts.
    #[arg(long)]
    full: bool,
    /// Says at the end how long each test took.
    #[arg(long)]
    times: bool,
    /// What random tests choose follows from this number, and not from their own ones.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Runs the test of this name in this process.
    #[arg(long, value_name = "TEST", hide = true)]
    inside: Option<String>,
    #[command(flatten)]
    libtest: Arguments,
}

/// Carries out the command line.
pub fn run(tests: Vec<Test>) -> ExitCode {
    let mut options = Options::parse();
    IS_FULL.store(options.full, Ordering::Relaxed);
    if let Some(seed) = options.seed {
        GIVEN_SEED.set(seed).expect("nobody else sets it");
    }
    if let Some(path) = options.inside {
        let test = tests.iter().find(|test| test.path() == path);
        (test.expect("a test of this name").body)();
        return ExitCode::SUCCESS;
    }
    options.libtest.test_threads.get_or_insert(1);
    isolation::adopt_orphans();
    let trials = tests
        .into_iter()
        .map(|test| Trial::ignorable_test(test.path(), move || timed(&test)));
    let conclusion = libtest_mimic::run(&options.libtest, trials.collect());
    for note in lock(&NOTES).iter() {
        eprintln!("{note}");
    }
    if options.times {
        let mut times = lock(&DURATIONS);
        times.sort_by_key(|(duration, _)| Reverse(*duration));
        for (duration, test) in times.iter() {
            eprintln!("{:8.3} s  {test}", duration.as_secs_f64());
        }
    }
    conclusion.exit_code()
}

fn timed(test: &Test) -> Result<Completion, Failed> {
    let begun = Instant::now();
    let result = isolation::run(test);
    lock(&DURATIONS).push((begun.elapsed(), test.path()));
    if let Some(reason) = result.as_ref().err().and_then(Failed::message) {
        // They are listed after the last test, which a run of hours may not reach.
        eprintln!("{}: {reason}", test.path());
    }
    result
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the long run was asked for.
pub fn is_full() -> bool {
    IS_FULL.load(Ordering::Relaxed)
}

/// What a random test's choices follow from: its own number, or the one that was given for all.
pub fn seed(own: u64) -> u64 {
    given_seed().unwrap_or(own)
}

fn given_seed() -> Option<u64> {
    GIVEN_SEED.get().copied()
}

/// The first number, or the second in the long run.
pub fn scaled<T>(plain: T, full: T) -> T {
    if is_full() {
        full
    } else {
        plain
    }
}

/// Says something that is worth showing although the test passed.
pub fn note(text: std::fmt::Arguments<'_>) {
    println!("{NOTE}{text}");
}

/// Says how far a test is that takes minutes.
pub fn progress(text: std::fmt::Arguments<'_>) {
    println!("{PROGRESS}{text}");
}

/// Ends the test as one that cannot be run here, because of this.
pub fn skip(reason: &str) -> ! {
    println!("{reason}");
    std::process::exit(isolation::SKIPPED);
}

/// Leaves the test out where what it needs is not there.
pub fn needs(path: &str) {
    if !Path::new(path).exists() {
        skip(&format!(
            "no {path} in the sandbox: `cargo xtask test` adds it"
        ));
    }
}
