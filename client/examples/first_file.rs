// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file opened and read, by the kernel module or, where there is none, by threads.

use nlcall::{op, Client};

async fn show(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::new()?;
    let file = client.submit(op::Open::new(path)).await??;
    let read = op::Read::new(file, Vec::with_capacity(4096));
    let (count, text) = client.submit(read).await?;
    println!("{} read {} bytes of {path}:", client.driver(), count?);
    println!("{}", String::from_utf8_lossy(&text));
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    pollster::block_on(show("/etc/hostname"))
}
