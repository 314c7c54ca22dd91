// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::kernel::plain::Plain;
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of which no two 4 KiB pages are alike.
fn contents(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn cat(kernel: &mut dyn Kernel, path: &Path, out: &mut dyn Write) -> Result<(), CatError> {
    let mut reader = Reader::new(kernel).unwrap();
    let source = reader.open(path.as_os_str().as_bytes())?;
    let copied = reader.copy(&source, out);
    reader.close(source).unwrap();
    assert_eq!(reader.in_flight, 0);
    copied
}

fn calls_of(kernel: &Plain, nr: u32) -> usize {
    kernel
        .made
        .iter()
        .filter(|request| request.nr == nr)
        .count()
}

#[test]
fn a_large_file_is_read_with_several_reads_in_flight() {
    let bytes = contents(3 * DEPTH * CHUNK + 12345);
    let file = file(&bytes);
    for seed in 0..4 {
        let mut kernel = Plain::new(seed);
        let mut out = Vec::new();
        cat(&mut kernel, file.path(), &mut out).unwrap();
        assert!(out == bytes);
        assert_eq!(kernel.most, DEPTH);
        assert_eq!(calls_of(&kernel, kernel_abi::__NR_openat), 1);
        assert_eq!(calls_of(&kernel, kernel_abi::__NR_close), 1);
        assert_eq!(calls_of(&kernel, kernel_abi::__NR_read), 0);
    }
}

#[test]
fn short_and_interrupted_reads_are_read_on() {
    let bytes = contents(DEPTH * CHUNK + 1);
    let file = file(&bytes);
    let mut kernel = Plain {
        shorten: 100_000,
        interrupt: 3,
        ..Plain::new(3)
    };
    let mut out = Vec::new();
    cat(&mut kernel, file.path(), &mut out).unwrap();
    assert!(out == bytes);
}

#[test]
fn files_that_say_that_they_are_empty_are_read_all_the_same() {
    let mut kernel = Plain::new(1);
    let mut out = Vec::new();
    cat(&mut kernel, Path::new("/proc/version"), &mut out).unwrap();
    assert_eq!(out, std::fs::read("/proc/version").unwrap());
    assert_eq!(kernel.most, 1);
    out.clear();
    cat(&mut kernel, file(b"").path(), &mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn files_that_hold_less_than_they_say_end_where_they_end() {
    // Files of /sys say 4096.
    let paths = [
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/cpu/online",
    ];
    let Some(path) = paths.iter().map(Path::new).find(|path| path.exists()) else {
        eprintln!("skipped: this system has no /sys, whose files are the ones that say too much");
        return;
    };
    let mut out = Vec::new();
    cat(&mut Plain::new(1), path, &mut out).unwrap();
    assert_eq!(out, std::fs::read(path).unwrap());
}

/// Changes a file at its first write, which is while it is read.
struct Change<'a> {
    out: Vec<u8>,
    change: Option<Box<dyn FnOnce() + 'a>>,
}

impl Write for Change<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(change) = self.change.take() {
            change();
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_appended_meanwhile_is_printed_too() {
    let bytes = contents(2 * CHUNK + 10);
    let more = contents(CHUNK + 777);
    for seed in 0..8 {
        let file = file(&bytes);
        let append = || {
            let mut file = File::options().append(true).open(file.path()).unwrap();
            file.write_all(&more).unwrap();
        };
        let mut out = Change {
            out: Vec::new(),
            change: Some(Box::new(append)),
        };
        cat(&mut Plain::new(seed), file.path(), &mut out).unwrap();
        assert!(out.out == [&bytes[..], &more[..]].concat(), "seed {seed}");
    }
}

#[test]
fn a_file_that_shrinks_meanwhile_ends_early() {
    let bytes = contents(4 * DEPTH * CHUNK);
    for seed in 0..8 {
        let file = file(&bytes);
        let shrink = || {
            let file = File::options().write(true).open(file.path()).unwrap();
            file.set_len(CHUNK as u64 + 5).unwrap();
        };
        let mut out = Change {
            out: Vec::new(),
            change: Some(Box::new(shrink)),
        };
        cat(&mut Plain::new(seed), file.path(), &mut out).unwrap();
        assert!(out.out.len() > CHUNK, "seed {seed}");
        assert!(out.out.len() < bytes.len(), "seed {seed}");
        assert!(out.out == bytes[..out.out.len()], "seed {seed}");
    }
}

#[test]
fn a_failing_output_ends_it() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let file = file(&contents(3 * CHUNK));
    let mut kernel = Plain::new(1);
    let error = cat(&mut kernel, file.path(), &mut Broken).unwrap_err();
    assert!(
        matches!(error, CatError::Stop(Failure::Output(_))),
        "{error:?}"
    );
    assert_eq!(calls_of(&kernel, kernel_abi::__NR_close), 1);
}

/// A kernel that takes only so many calls at a time.
struct Narrow {
    plain: Plain,
    room: usize,
    in_flight: usize,
}

impl Kernel for Narrow {
    unsafe fn submit(&mut self, request: Request) -> Result<(), Error> {
        if self.in_flight == self.room {
            return Err(Error::InFlightLimit { limit: self.room });
        }
        self.in_flight += 1;
        // SAFETY: The caller promises it.
        unsafe { self.plain.submit(request) }
    }

    fn wait(&mut self) -> Result<Reply, Error> {
        self.in_flight -= 1;
        self.plain.wait()
    }
}

#[test]
fn fewer_reads_in_flight_do_where_there_is_no_room_for_more() {
    let bytes = contents(DEPTH * CHUNK + 99);
    let file = file(&bytes);
    for room in 1..4 {
        let plain = Plain {
            shorten: 200_000,
            ..Plain::new(room as u64)
        };
        let mut kernel = Narrow {
            plain,
            room,
            in_flight: 0,
        };
        let mut out = Vec::new();
        cat(&mut kernel, file.path(), &mut out).unwrap();
        assert!(out == bytes, "room for {room}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_file_is_printed_as_it_is(
        len in 0usize..3 * CHUNK,
        seed: u64,
        shorten in 0u64..2 * CHUNK as u64,
        interrupt in prop_oneof![Just(0usize), 2usize..9],
    ) {
        let bytes = contents(len);
        let file = file(&bytes);
        // Very short reads take very long.
        let shorten = if shorten < 5000 { 0 } else { shorten };
        let mut kernel = Plain { shorten, interrupt, ..Plain::new(seed) };
        let mut out = Vec::new();
        let printed = cat(&mut kernel, file.path(), &mut out);
        prop_assert!(printed.is_ok());
        prop_assert!(out == bytes);
    }
}
