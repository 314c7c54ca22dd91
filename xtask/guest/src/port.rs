// SPDX-License-Identifier: MIT OR Apache-2.0

//! virtio-serial ports by name.

use std::fs::File;
use std::path::PathBuf;
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    Context,
    Result, //
};

/// The kernel adds ports a moment after it starts the first process.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the port with this name for reading and writing.
pub fn open(name: &str) -> Result<File> {
    let begun = Instant::now();
    let device = loop {
        if let Some(device) = find(name) {
            break device;
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the machine has no port {name}");
        std::thread::sleep(Duration::from_millis(2));
    };
    File::options()
        .read(true)
        .write(true)
        .open(&device)
        .with_context(|| format!("opening the port {name} ({device:?})"))
}

fn find(name: &str) -> Option<PathBuf> {
    let ports = std::fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports.flatten().find_map(|port| {
        let found = std::fs::read_to_string(port.path().join("name")).ok()?;
        let device = PathBuf::from("/dev").join(port.file_name());
        (found.trim_end() == name && device.exists()).then_some(device)
    })
}
