// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a program can be given the library: it is linked dynamically, and has no more rights
//! than its caller.

use std::ffi::{
    CString,
    OsStr,
    OsString, //
};
use std::fs::File;
use std::io::{
    self,
    Read, //
};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{
    Path,
    PathBuf, //
};

use object::elf;
use object::read::elf::{
    FileHeader,
    ProgramHeader, //
};
use rustix::fs::{
    access,
    Access, //
};

/// How deep scripts may be interpreted by scripts, as in the kernel.
const MAX_DEPTH: usize = 5;
/// Bytes of a program that say what it is.
const HEAD: u64 = 64 << 10;
/// Where shells look without a PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why a program cannot be run so.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// No file of that name.
    #[error("{0}: command not found")]
    NotFound(String),
    /// It cannot be read.
    #[error("{path}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Linked statically.
    #[error(
        "{0} is linked statically: a library cannot be loaded into it, so its system calls cannot \
         be redirected"
    )]
    Static(String),
    /// set-user-ID, set-group-ID, or with capabilities of its own.
    #[error(
        "{0} runs with more rights than yours (set-user-ID, set-group-ID or file capabilities): \
         libraries of yours are not loaded into it"
    )]
    Privileged(String),
    /// Not for this processor.
    #[error("{0} is no program for x86-64 Linux")]
    Foreign(String),
    /// Whatever it is, on this kernel.
    #[error(
        "this kernel gives no system call back to its program: it was built without \
         CONFIG_SYSCALL_USER_DISPATCH"
    )]
    Kernel,
    /// Script after script.
    #[error("{0}: scripts are interpreted by scripts more than {MAX_DEPTH} deep")]
    TooDeep(String),
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The file that a command names, as a shell looks for it.
pub fn find(name: &OsStr) -> Result<PathBuf, Unfit> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    std::env::split_paths(&path)
        .map(|folder| match folder.as_os_str().is_empty() {
            true => Path::new(".").join(name),
            false => folder.join(name),
        })
        .find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
        .ok_or_else(|| Unfit::NotFound(name.to_string_lossy().into_owned()))
}

/// Checks that the kernel can hand a program's system calls to a library in it.
pub fn check_kernel() -> Result<(), Unfit> {
    use linux_raw_sys::prctl::{PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF};

    let (set, off) = (PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF);
    // SAFETY: switches off what is not on: this program's calls are its own.
    match unsafe { libc::prctl(set as libc::c_int, off, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(Unfit::Kernel),
    }
}

/// Checks a program, or the interpreter of a script.
pub fn check(path: &Path) -> Result<(), Unfit> {
    let mut path = path.to_owned();
    for _ in 0..MAX_DEPTH {
        let unreadable = |source| Unfit::Unreadable {
            path: shown(&path),
            source,
        };
        let file = File::open(&path).map_err(unreadable)?;
        if is_privileged(&path, &file).map_err(unreadable)? {
            return Err(Unfit::Privileged(shown(&path)));
        }
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head).map_err(unreadable)?;
        match kind(&head) {
            Kind::Dynamic => return Ok(()),
            Kind::Static => return Err(Unfit::Static(shown(&path))),
            Kind::Foreign => return Err(Unfit::Foreign(shown(&path))),
            Kind::Script(interpreter) => path = interpreter,
        }
    }
    Err(Unfit::TooDeep(shown(&path)))
}

/// Whether the dynamic linker is careful with a program (`AT_SECURE`).
fn is_privileged(path: &Path, file: &File) -> io::Result<bool> {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2010;
    let metadata = file.metadata()?;
    let mode = metadata.mode();
    let other_user = mode & SET_USER != 0 && metadata.uid() != rustix::process::geteuid().as_raw();
    let other_group =
        mode & SET_GROUP == SET_GROUP && metadata.gid() != rustix::process::getegid().as_raw();
    Ok(other_user || other_group || has_capabilities(path))
}

/// Whether a program brings capabilities along that root does not have anyway.
fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: Only the size is asked for.
    let size = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            std::ptr::null_mut(),
            0,
        )
    };
    size > 0 && !rustix::process::geteuid().is_root()
}

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Dynamic,
    Static,
    Script(PathBuf),
    Foreign,
}

fn kind(head: &[u8]) -> Kind {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        return match words.find(|word| !word.is_empty()) {
            Some(word) => Kind::Script(PathBuf::from(OsStr::from_bytes(word))),
            None => Kind::Foreign,
        };
    }
    let Ok(header) = elf::FileHeader64::<object::LittleEndian>::parse(head) else {
        return Kind::Foreign;
    };
    let endian = object::LittleEndian;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Kind::Foreign;
    }
    match header.program_headers(endian, head) {
        Ok(segments)
            if segments
                .iter()
                .any(|it| it.p_type(endian) == elf::PT_INTERP) =>
        {
            Kind::Dynamic
        }
        Ok(_) => Kind::Static,
        Err(_) => Kind::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_what_its_interpreter_is() {
        assert_eq!(kind(b"#!/bin/sh\n"), Kind::Script("/bin/sh".into()));
        assert_eq!(
            kind(b"#! \t/usr/bin/env python3\nprint()\n"),
            Kind::Script("/usr/bin/env".into())
        );
        assert_eq!(kind(b"#!\n"), Kind::Foreign);
        assert_eq!(kind(b""), Kind::Foreign);
        assert_eq!(kind(b"MZ"), Kind::Foreign);
        assert_eq!(kind(&[0x7f, b'E', b'L', b'F']), Kind::Foreign);
    }

    #[test]
    fn a_script_of_itself_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        std::fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        assert!(matches!(check(&path), Err(Unfit::TooDeep(_))));
    }

    #[test]
    fn a_shell_is_found_and_may_be_run() {
        let shell = find(OsStr::new("sh")).unwrap();
        assert!(shell.is_absolute());
        check(&shell).unwrap();
        let missing = find(OsStr::new("no-such-command")).unwrap_err();
        assert_eq!(missing.to_string(), "no-such-command: command not found");
        assert!(matches!(
            check(Path::new("/no/such/file")),
            Err(Unfit::Unreadable { .. })
        ));
    }
}
