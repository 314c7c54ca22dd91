// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels that check: a stock kernel's source with configurations of the project's own.
//!
//! Its configuration is a kernel's identity: the folder that it is built in is named after it, so
//! another configuration makes another kernel, and `make` goes on with one that was interrupted.

use std::path::{
    Path,
    PathBuf, //
};

use super::layout::SOURCES;
use crate::cache;
use crate::kernel::Kernel;

/// The options that are set; everything else that can be left out is.
const DEBUG: &str = include_str!("../../kernels/debug.config");
/// Those that are others in the kernel that looks for data races.
const KCSAN: &str = include_str!("../../kernels/kcsan.config");
/// Compilers that it and its modules are built with. Rust code is left out of a kernel that KASAN
/// watches over unless clang compiles its C code.
pub const MAKE_COMPILERS: &[&str] = &["CC=clang-19", "HOSTCC=gcc-14"];
/// What the tree holds for it besides the packages of every sandbox. Of the version of LLVM that
/// rustc brings along.
pub const PACKAGES: &[&str] = &["clang-19"];
/// The stamp of those packages.
pub const TOOLS_STEP: &str = "debug-tools";
/// What the kernels share in the folder of debug kernels, and their stamps.
const SHARED: &str = "debug";
/// File name of the configuration in the folder that the kernel is built in.
pub const FRAGMENT: &str = "nlcall.config";
/// Named in the kernel's log as those who built it, wherever that was.
pub const MAKE_VARIABLES: &[&str] = &[
    "ARCH=x86_64",
    "KBUILD_BUILD_USER=nlcall",
    "KBUILD_BUILD_HOST=nlcall",
];
/// How often longer than a stock kernel's everything may take in it.
pub const PATIENCE: u32 = 8;

/// Lets Rust code be compiled so that it tells the kernel of each access: the description of the
/// kernel's target names the sanitizers that exist for it, and leaves out this one, which the
/// kernel's build asks for in C only. A rule of the kernel's own build, which writes that file.
const TARGET_WITH_KCSAN: &str =
    r#"filechk_rust_target=$< < include/config/auto.conf | sed 's/"kernel-address"/&,"thread"/'"#;
/// What the module's Rust code is compiled with then. As the kernel's C code: a volatile access is
/// told from a plain one, which the kernel takes for a marked one, and functions are not announced.
const RUST_WITH_KCSAN: &str = "RUSTFLAGS_MODULE=-Zsanitizer=thread \
     -Cllvm-args=-tsan-distinguish-volatile=1 -Cllvm-args=-tsan-compound-read-before-write=1 \
     -Cllvm-args=-tsan-instrument-func-entry-exit=0";

/// What a debug kernel checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Memory, locks, objects, leaks; and it can let things fail.
    All,
    /// Data races, which excludes the others.
    Races,
}

impl Checks {
    /// Every kernel that checks.
    pub const EACH: [Self; 2] = [Self::All, Self::Races];

    /// What it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "debug",
            Self::Races => "kcsan",
        }
    }

    /// Whether it keeps account of its memory.
    pub const fn finds_leaks(self) -> bool {
        matches!(self, Self::All)
    }

    /// The configuration without its comments, one option a line.
    pub fn fragment(self) -> String {
        self.options()
            .iter()
            .map(|option| format!("{option}\n"))
            .collect()
    }

    /// The options of the configuration that a finished `.config` does not have: they depend on
    /// something that is missing.
    pub fn lost_options(self, config: &str) -> Vec<&'static str> {
        lost(&self.options(), config)
    }

    /// What `make` is told for the kernel besides.
    pub const fn of_kernel(self) -> &'static [&'static str] {
        match self {
            Self::All => &[],
            Self::Races => &[TARGET_WITH_KCSAN],
        }
    }

    /// What `make` is told for the module besides.
    pub const fn of_module(self) -> &'static [&'static str] {
        match self {
            Self::All => &[],
            Self::Races => &[RUST_WITH_KCSAN],
        }
    }

    fn options(self) -> Vec<&'static str> {
        match self {
            Self::All => options(DEBUG),
            Self::Races => with_others(&options(DEBUG), &options(KCSAN)),
        }
    }
}

/// Where a debug kernel is made of a stock kernel's source.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it checks.
    pub checks: Checks,
    /// Its own copy of the source, which stays as it was unpacked.
    pub source: PathBuf,
    /// Where it is built, inside the tree.
    pub folder: PathBuf,
    /// Distinguishes it from debug kernels of other configurations.
    pub key: String,
}

impl Place {
    /// For this version of the configuration.
    pub fn of(kernel: &Kernel, checks: Checks) -> Self {
        let folder = Path::new(SOURCES).join(format!("{SHARED}-{}", kernel.release));
        let mut options = checks.options();
        options.extend(checks.of_kernel());
        let key = key(&options);
        Self {
            checks,
            source: folder.join("source"),
            folder: folder.join(&key),
            key,
        }
    }

    /// Its image.
    pub fn image(&self) -> PathBuf {
        self.folder.join("arch/x86/boot/bzImage")
    }

    /// The stamp of its source.
    pub fn source_step(kernel: &Kernel) -> String {
        format!("{}.{SHARED}-source", kernel.release)
    }

    /// The stamp of the kernel, which holds its release name.
    pub fn kernel_step(&self, kernel: &Kernel) -> String {
        format!("{}.{SHARED}-{}", kernel.release, self.key)
    }
}

/// One option a line, without comments.
fn options(configuration: &str) -> Vec<&str> {
    configuration
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// The options, where others that are of the same name take their place.
fn with_others<'a>(options: &[&'a str], others: &[&'a str]) -> Vec<&'a str> {
    let is_another = |option: &&&str| {
        let name = name_of(option);
        others.iter().any(|other| name_of(other) == name)
    };
    let kept = options.iter().filter(|option| !is_another(option));
    kept.chain(others).copied().collect()
}

/// What stands before the value of an option.
fn name_of(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

/// Compilers and options, in short.
fn key(options: &[&str]) -> String {
    cache::key(MAKE_COMPILERS.iter().chain(options).copied())
}

fn lost<'a>(options: &[&'a str], config: &str) -> Vec<&'a str> {
    let holds = |option: &str| match option.strip_suffix("=n") {
        Some(name) => !config.lines().any(|line| {
            line.strip_prefix(name)
                .is_some_and(|value| value.starts_with('='))
        }),
        None => config.lines().any(|line| line == option),
    };
    options
        .iter()
        .copied()
        .filter(|option| !holds(option))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_set_once() {
        for options in Checks::EACH.map(Checks::options) {
            let mut names: Vec<_> = options
                .iter()
                .map(|option| {
                    let (name, value) = option.split_once('=').unwrap();
                    assert!(name.starts_with("CONFIG_"), "{option}");
                    assert!(!value.is_empty(), "{option}");
                    name
                })
                .collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn others_take_the_place_of_options_and_add_to_them() {
        let options = ["CONFIG_A=y", "CONFIG_AB=y", "CONFIG_C=\"c\""];
        let others = ["CONFIG_A=n", "CONFIG_D=y", "CONFIG_C=\"d\""];
        let both = with_others(&options, &others);
        let expected = ["CONFIG_AB=y", "CONFIG_A=n", "CONFIG_D=y", "CONFIG_C=\"d\""];
        assert_eq!(both, expected);
    }

    #[test]
    fn what_looks_for_races_is_another_kernel_that_serves_the_same_programs() {
        let [all, races] = Checks::EACH.map(Checks::options);
        assert_ne!(key(&all), key(&races));
        for option in ["CONFIG_KCSAN=y", "CONFIG_KASAN=n", "CONFIG_RUST=y"] {
            assert!(races.contains(&option), "{option}");
        }
    }

    #[test]
    fn what_the_kernel_is_for_is_set() {
        let options = Checks::All.options();
        for option in [
            "RUST",
            "KASAN",
            "PROVE_LOCKING",
            "DEBUG_ATOMIC_SLEEP",
            "DEBUG_OBJECTS",
            "DEBUG_KMEMLEAK",
            "FAILSLAB",
            "FAIL_PAGE_ALLOC",
        ] {
            let option = format!("CONFIG_{option}=y");
            assert!(options.contains(&option.as_str()), "{option}");
        }
    }

    #[test]
    fn comments_do_not_make_another_kernel_and_options_do() {
        let key = |text| key(&options(text));
        let plain = key("CONFIG_A=y\nCONFIG_B=n\n");
        assert_eq!(key("# why\n\nCONFIG_A=y\n  CONFIG_B=n\n"), plain);
        assert_ne!(key("CONFIG_A=y\n"), plain);
        assert_ne!(key("CONFIG_A=y\nCONFIG_B=y\n"), plain);
        assert_eq!(plain.len(), 8);
    }

    #[test]
    fn an_option_that_fell_out_is_lost_and_so_is_one_that_came_in() {
        let options = ["CONFIG_A=y", "CONFIG_B=n", "CONFIG_C=\"c\""];
        let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"c\"\nCONFIG_BB=y\n";
        assert!(lost(&options, config).is_empty());
        let config = "# CONFIG_A is not set\nCONFIG_B=m\nCONFIG_C=\"d\"\n";
        assert_eq!(lost(&options, config), options);
    }
}
