// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel that checks: a stock kernel's source with a configuration of the project's own.
//!
//! Its configuration is its identity: the folder that it is built in is named after it, so another
//! configuration makes another kernel, and `make` goes on with one that was interrupted.

use std::path::{
    Path,
    PathBuf, //
};

use super::layout::SOURCES;
use crate::cache;
use crate::kernel::Kernel;

/// What it is called on the command line.
pub const NAME: &str = "debug";
/// The options that are set; everything else that can be left out is.
const CONFIGURATION: &str = include_str!("../../kernels/debug.config");
/// Compilers that it and its modules are built with. Rust code is left out of a kernel that KASAN
/// watches over unless clang compiles its C code.
pub const MAKE_COMPILERS: &[&str] = &["CC=clang-19", "HOSTCC=gcc-14"];
/// What the tree holds for it besides the packages of every sandbox. Of the version of LLVM that
/// rustc brings along.
pub const PACKAGES: &[&str] = &["clang-19"];
/// The stamp of those packages.
pub const TOOLS_STEP: &str = "debug-tools";
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

/// Where a debug kernel is made of a stock kernel's source.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its own copy of the source, which stays as it was unpacked.
    pub source: PathBuf,
    /// Where it is built, inside the tree.
    pub folder: PathBuf,
    /// Distinguishes it from debug kernels of other configurations.
    pub key: String,
}

impl Place {
    /// For this version of the configuration.
    pub fn of(kernel: &Kernel) -> Self {
        let folder = Path::new(SOURCES).join(format!("{NAME}-{}", kernel.release));
        let key = key(&options(CONFIGURATION));
        Self {
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
        format!("{}.{NAME}-source", kernel.release)
    }

    /// The stamp of the kernel, which holds its release name.
    pub fn kernel_step(&self, kernel: &Kernel) -> String {
        format!("{}.{NAME}-{}", kernel.release, self.key)
    }
}

/// The configuration without its comments, one option a line.
pub fn fragment() -> String {
    options(CONFIGURATION)
        .iter()
        .map(|option| format!("{option}\n"))
        .collect()
}

/// The options of the configuration that a finished `.config` does not have: they depend on
/// something that is missing.
pub fn lost_options(config: &str) -> Vec<&'static str> {
    lost(&options(CONFIGURATION), config)
}

fn options(configuration: &str) -> Vec<&str> {
    configuration
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
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
        let options = options(CONFIGURATION);
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

    #[test]
    fn what_the_kernel_is_for_is_set() {
        let options = options(CONFIGURATION);
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
