// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module is refused something while it is being loaded.
//!
//! Where its code will lie is not known before, so that no single call of it can be singled out.
//! But all that its beginning needs is needed in the thread that loads it, below the kernel's own
//! `do_one_initcall`: `fail-nth` counts that. Which call it was is in the trace in the kernel's log.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
};

use nlcall_tests::{module, patience};
use rustix::io::Errno;

use super::{injector::Injector, points::Module};

/// What calls the beginning of a module.
const CALLER: &str = "do_one_initcall";
/// Where it is told what was refused.
const LOG: &str = "/dev/kmsg";

/// Loads it again and again, each time with the next allocation refused, until none is. Returns how
/// often each point failed, by its number. The module is not loaded before, and is afterwards.
pub fn fail_each(injector: &Injector, module: &Module, parameters: &str) -> BTreeMap<usize, usize> {
    let mut failed = BTreeMap::new();
    injector.arm_loading(function_in_kernel(CALLER));
    for nth in 1.. {
        let mut log = Log::from_here();
        fs::write("/proc/thread-self/fail-nth", nth.to_string()).expect("fail-nth");
        let loaded = module::load(parameters);
        let left = fs::read_to_string("/proc/thread-self/fail-nth").expect("fail-nth");
        fs::write("/proc/thread-self/fail-nth", "0").expect("fail-nth");
        if left.trim() != "0" {
            assert_eq!(loaded, Ok(()), "nothing was refused");
            break;
        }
        // Who is content with less asks in a way that leaves no trace.
        let back = log.returns(module);
        if !back.is_empty() {
            let point = back.iter().find_map(|back| module.number_of(*back));
            let point = point.unwrap_or_else(|| panic!("below no point: {back:x?}"));
            println!("loading, {nth}: {}, {loaded:?}", module.points[point]);
            *failed.entry(point).or_default() += 1;
        }
        match loaded {
            Ok(()) => patience::until("the module goes", || module::unload().is_ok()),
            // Of a protocol that it could not register, the kernel does not say why.
            Err(Errno::NOMEM | Errno::ADDRINUSE) => {}
            Err(errno) => panic!("loading without memory: {errno}"),
        }
    }
    injector.disarm_loading();
    failed
}

/// Where a function of the kernel begins and ends.
fn function_in_kernel(name: &str) -> std::ops::Range<u64> {
    let symbols = fs::read_to_string("/proc/kallsyms").expect("the kernel's symbols");
    let address = |line: &str| u64::from_str_radix(line.split(' ').next()?, 16).ok();
    let start = symbols
        .lines()
        .find(|line| line.split(' ').nth(2) == Some(name))
        .and_then(address)
        .unwrap_or_else(|| panic!("the kernel has no {name}"));
    let addresses = symbols.lines().filter_map(address);
    let end = addresses.filter(|address| *address > start).min();
    start..end.expect("something behind it")
}

/// What the kernel has said since this began to listen.
struct Log(File);

impl Log {
    fn from_here() -> Self {
        use std::io::{Seek, SeekFrom};

        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(LOG)
            .expect("the kernel's log");
        file.seek(SeekFrom::End(0)).expect("the end of the log");
        Self(file)
    }

    /// The places in the module's code that the first trace in it names, innermost first.
    fn returns(&mut self, module: &Module) -> Vec<u64> {
        let mut text = String::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(len) => text.push_str(&String::from_utf8_lossy(&record[..len])),
                // Some were overwritten meanwhile: it goes on with the oldest there is.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{LOG}: {error}"),
            }
        }
        let frames = text.lines().filter_map(|line| {
            // Behind what `/dev/kmsg` puts before each record. A frame that was only found on the
            // stack is marked, so that it has no symbol's name.
            let (_, frame) = line.strip_suffix(" [nlcall]")?.split_once(';')?;
            let (symbol, rest) = frame.trim_start().split_once('+')?;
            let offset = rest.split('/').next()?.trim_start_matches("0x");
            Some(module.symbols.get(symbol)? + u64::from_str_radix(offset, 16).ok()?)
        });
        frames.collect()
    }
}
