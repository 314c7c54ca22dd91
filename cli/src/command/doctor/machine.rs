// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the checks look at.

use std::fs;
use std::io;
use std::path::{
    Path,
    PathBuf, //
};

/// A machine and the user on it; in tests, a folder that takes its part.
#[derive(Debug)]
pub(super) struct Machine {
    /// Where `/proc`, `/sys` and `/lib` are.
    pub root: PathBuf,
    /// Kernel release, as `uname -r` prints it.
    pub release: String,
    /// Effective user id.
    pub user: u32,
    /// Effective group id and supplementary group ids.
    pub groups: Vec<u32>,
    /// The folder in which the sandbox of `cargo xtask` is kept, if there is a place for it.
    pub cache: Option<PathBuf>,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        let uname = rustix::system::uname();
        let mut groups: Vec<_> = rustix::process::getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(rustix::process::Gid::as_raw)
            .collect();
        groups.push(rustix::process::getegid().as_raw());
        Self {
            root: PathBuf::from("/"),
            release: uname.release().to_string_lossy().into_owned(),
            user: rustix::process::geteuid().as_raw(),
            groups,
            cache: cache(|name| std::env::var_os(name).map(PathBuf::from)),
        }
    }

    /// A path of the machine.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// The text of a file, without the space around it; `None` where it cannot be read.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = self.bytes(path).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        fs::read(self.path(path))
    }

    /// The folder of the running kernel's modules.
    pub(super) fn modules(&self) -> PathBuf {
        Path::new("/lib/modules").join(&self.release)
    }
}

/// The folder of `cargo xtask`: `$NLCALL_CACHE`, `$XDG_CACHE_HOME/nlcall` or `~/.cache/nlcall`.
fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let variable = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
    variable("NLCALL_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("nlcall")))
        .or_else(|| Some(variable("HOME")?.join(".cache/nlcall")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_variables_say() {
        let with = |set: &[(&str, &str)]| {
            cache(|name| {
                set.iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/nlcall".into()));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]),
            Some("/x/nlcall".into())
        );
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "")]),
            Some("/h/.cache/nlcall".into())
        );
        assert_eq!(
            with(&[("HOME", "/h"), ("NLCALL_CACHE", "/c")]),
            Some("/c".into())
        );
    }
}
