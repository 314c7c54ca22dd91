// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall cat FILE...`

use std::ffi::{
    OsStr,
    OsString, //
};
use std::fs::File;
use std::io::{
    self,
    Write, //
};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nlcall::Client;

use crate::exit::{
    Failure,
    Status, //
};
use crate::options::CatOptions;

mod library;
mod reader;
mod source;

use library::Library;
use reader::Reader;
use source::Source;

/// Prints the files.
pub fn run(options: &CatOptions) -> Result<Status, Failure> {
    let client = Client::new()?;
    match client.why_not_netlink() {
        Some(why) => {
            let driver = client.driver();
            eprintln!("nlcall cat: {driver} read the files, not the module: {why}");
        }
        None if options.verbose => eprintln!("nlcall cat: {} reads the files", client.driver()),
        None => {}
    }
    let mut kernel = Library::new(client);
    // Without the line buffer of `io::stdout`, which would look for line ends in everything.
    let stdout = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(Failure::Output)?;
    let mut stdout = File::from(stdout);
    let output = Output::of(&stdout);
    let mut reader = Reader::new(&mut kernel).map_err(Failure::Memory)?;
    let standard_input = [OsString::from("-")];
    let files = match options.files.is_empty() {
        true => &standard_input[..],
        false => &options.files,
    };
    let mut failed = false;
    for file in files {
        match print(&mut reader, file, &output, &mut stdout) {
            Ok(()) => {}
            Err(CatError::Stop(failure)) => return Err(failure),
            Err(CatError::File(why)) => {
                eprintln!("nlcall cat: {}: {why}", Path::new(file).display());
                failed = true;
            }
        }
    }
    Ok(Status::failed_if(failed))
}

/// Why a file was not printed to its end.
#[derive(Debug)]
pub(crate) enum CatError {
    /// This file could not be read; the next one may.
    File(String),
    /// Nothing more can be done.
    Stop(Failure),
}

impl From<nlcall::Error> for CatError {
    fn from(error: nlcall::Error) -> Self {
        CatError::Stop(error.into())
    }
}

impl From<nlcall::Errno> for CatError {
    fn from(errno: nlcall::Errno) -> Self {
        CatError::File(errno.description())
    }
}

fn print(
    reader: &mut Reader<'_>,
    file: &OsStr,
    output: &Output,
    out: &mut dyn Write,
) -> Result<(), CatError> {
    let source = match file.as_bytes() {
        b"-" => reader.standard_input()?,
        path => reader.open(path)?,
    };
    let printed = match output.is(&source) {
        true => Err(CatError::File("input file is output file".to_owned())),
        false => reader.copy(&source, out),
    };
    let closed = reader.close(source);
    printed.and(closed)
}

/// The file that the standard output goes to, where reading it would never end.
#[derive(Debug, Default)]
struct Output {
    regular: Option<(u64, u64)>,
}

impl Output {
    fn of(stdout: &File) -> Self {
        let regular = stdout
            .metadata()
            .ok()
            .filter(|metadata| metadata.is_file())
            .map(|metadata| (metadata.dev(), metadata.ino()));
        Self { regular }
    }

    fn is(&self, source: &Source) -> bool {
        self.regular
            .is_some_and(|output| source.is_regular_file(output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::plain::Plain;

    fn cat(path: &Path, output: &Output) -> Result<Vec<u8>, CatError> {
        let mut kernel = Plain::new(1);
        let mut reader = Reader::new(&mut kernel).unwrap();
        let mut out = Vec::new();
        print(&mut reader, path.as_os_str(), output, &mut out).map(|()| out)
    }

    #[test]
    fn a_file_is_not_copied_onto_itself() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "text").unwrap();
        let output = Output::of(file.as_file());
        match cat(file.path(), &output) {
            Err(CatError::File(why)) => assert_eq!(why, "input file is output file"),
            other => panic!("{other:?}"),
        }
        assert_eq!(cat(file.path(), &Output::default()).unwrap(), b"text");
    }

    #[test]
    fn what_cannot_be_read_is_said_in_words() {
        for (path, why) in [
            ("/", "Is a directory"),
            ("/no/such", "No such file or directory"),
        ] {
            match cat(Path::new(path), &Output::default()) {
                Err(CatError::File(text)) => assert_eq!(text, why),
                other => panic!("{other:?}"),
            }
        }
    }
}
