// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall fds --pid PID [--close FD]...`

use linux_raw_sys::general::{
    __NR_close, //
    O_LARGEFILE,
};
use nlcall::raw::{
    Batch,
    Call,
    Data, //
};
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::invocation::errno;
use crate::json;
use crate::names::file;
use crate::options::FdsOptions;
use crate::process::{
    failure,
    Caller,
    Descriptor,
    Proc,
    Process, //
};
use crate::table::{
    numbers,
    print_table,
    text,
    Column, //
};

const COLUMNS: &[Column] = &[
    numbers("FD"),
    text("FLAGS"),
    numbers("POSITION"),
    text("TARGET"),
];

/// Closes what is to be closed; otherwise shows everything.
pub fn run(options: &FdsOptions, json: bool) -> Result<Status, Failure> {
    if options.close.is_empty() {
        return list(options.pid, json);
    }
    let mut process = Process::open(options.pid)?;
    close(&mut process, options)
}

/// Prints the descriptors, for which no module is needed.
fn list(pid: u32, json: bool) -> Result<Status, Failure> {
    let descriptors = Proc::new(pid).descriptors();
    let descriptors = descriptors.map_err(|error| Failure::Process {
        pid,
        why: match error.kind() {
            std::io::ErrorKind::NotFound => "there is none".to_owned(),
            _ => format!("its descriptors may not be read: {error}"),
        },
    })?;
    let rows: Vec<_> = descriptors.iter().map(Row::from).collect();
    match json {
        true => json::print_list("descriptors", &rows)?,
        false => {
            let cells = rows.iter().map(Row::cells);
            print_table(COLUMNS, cells)?;
        }
    }
    Ok(Status::Success)
}

/// Closes the descriptors, each whatever becomes of the others.
fn close(process: &mut dyn Caller, options: &FdsOptions) -> Result<Status, Failure> {
    let calls: Batch = (0..)
        .zip(&options.close)
        // SAFETY: close(2) takes no address. To take the descriptor away is what the user wants.
        .map(|(index, fd)| unsafe { Call::new(__NR_close, &[u64::from(*fd)]) }.user_data(index))
        .collect();
    let answers = process
        .make(calls, Data::new())
        .map_err(|error| failure(options.pid, error))?;
    let mut failed = false;
    for (fd, answer) in options.close.iter().zip(&answers) {
        if let Some(errno) = errno(&answer.reply) {
            eprintln!("nlcall fds: descriptor {fd}: {errno}");
            failed = true;
        }
    }
    Ok(Status::failed_if(failed))
}

/// One descriptor, for programs.
#[derive(Debug, Serialize)]
struct Row {
    fd: u32,
    flags: String,
    position: u64,
    target: String,
}

impl From<&Descriptor> for Row {
    fn from(descriptor: &Descriptor) -> Self {
        // Every file of a 64-bit program has it, and it means nothing.
        let flags = descriptor.flags & !O_LARGEFILE;
        Self {
            fd: descriptor.fd,
            flags: file::OPEN.show(u64::from(flags)),
            position: descriptor.position,
            target: descriptor.target.to_string_lossy().into_owned(),
        }
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        vec![
            self.fd.to_string(),
            self.flags.clone(),
            self.position.to_string(),
            self.target.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::own::Own;
    use std::os::fd::IntoRawFd;

    #[test]
    fn every_descriptor_is_closed_although_one_is_missing() {
        let open = || std::fs::File::open("/dev/null").unwrap().into_raw_fd() as u32;
        let [one, two] = [open(), open()];
        let options = FdsOptions {
            pid: std::process::id(),
            close: vec![one, i32::MAX as u32, two],
        };
        let mut process = Own::default();
        let status = close(&mut process, &options).unwrap();
        assert_eq!(status, Status::Failed);
        let closed: Vec<_> = process
            .made
            .iter()
            .map(|(_, args)| args[0] as u32)
            .collect();
        assert_eq!(closed, options.close);
        assert_eq!(process.made[0].0, __NR_close);
    }

    #[test]
    fn a_row_shows_how_a_file_was_opened() {
        let descriptor = Descriptor {
            fd: 3,
            flags: 0o2102001,
            position: 7,
            target: "/var/log/x".into(),
        };
        let row = Row::from(&descriptor);
        assert_eq!(row.cells().len(), COLUMNS.len());
        assert_eq!(
            row.cells(),
            ["3", "O_WRONLY|O_APPEND|O_CLOEXEC", "7", "/var/log/x"]
        );
        let printed = json::pretty_list("descriptors", &[row]);
        json::documented::assert_shows("nlcall fds", &printed);
    }
}
