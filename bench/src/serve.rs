// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file server of the library's examples, and the same server without nlcall.

use std::{
    fs,
    future::Future,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{ensure, Context, Result};
use nlcall::{Client, Driver};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime::{self, Runtime},
    task::JoinSet,
};

use crate::contender::{Contender, Job, Offer, Refusal, Run};

#[path = "../../client/examples/file_server.rs"]
#[allow(
    missing_docs,
    reason = "an example documents what a reader of it needs"
)]
mod file_server;

/// Connections that are served at the same time, and requests of each, one after the other.
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 16;
/// All requests.
pub const ALL: usize = CONNECTIONS * REQUESTS;
/// Bytes of a file.
const SIZE: usize = 4 << 10;

/// Makes the file of each connection.
pub fn plant(root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("making {root:?}"))?;
    for number in 0..CONNECTIONS {
        fs::write(root.join(name(number)), content(number)).context("writing a file")?;
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("file-{number:02}")
}

fn content(number: usize) -> Vec<u8> {
    vec![number as u8; SIZE]
}

/// A server and those who ask it, in one thread but for what blocks.
pub fn job(contender: Contender, root: &Path) -> Offer {
    // The same connections for all rounds, as a browser keeps them.
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let address = listener.local_addr()?;
    let root = root.to_owned();
    match contender {
        Contender::Worker => {
            let builder = Client::builder().driver(Driver::Netlink);
            let (client, completions) = builder.open_manual()?;
            runtime.spawn(completions.on_tokio());
            runtime.spawn(file_server::serve(listener, client, root));
        }
        Contender::Plain => {
            runtime.spawn(serve(listener, root, converse_and_block));
        }
        Contender::Pool => {
            runtime.spawn(serve(listener, root, converse_in_pool));
        }
        Contender::Inline => return Err(Refusal::NotPossible("the runtime would block")),
        Contender::Uring => return Err(Refusal::NotPossible("Tokio's files are not on a ring")),
        Contender::Aio => return Err(Refusal::NotPossible("POSIX AIO does not open files")),
    }
    let connect = async {
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            streams.push(BufReader::new(TcpStream::connect(address).await?));
        }
        io::Result::Ok(streams)
    };
    let mut streams = runtime.block_on(connect)?;
    Ok(Job {
        operations: ALL,
        run: Run::Whole(Box::new(move || {
            streams = ask(&runtime, std::mem::take(&mut streams))?;
            Ok(())
        })),
    })
}

/// Makes all requests, and checks what comes.
fn ask(runtime: &Runtime, streams: Vec<BufReader<TcpStream>>) -> Result<Vec<BufReader<TcpStream>>> {
    runtime.block_on(async {
        let mut askers = JoinSet::new();
        for (number, mut stream) in streams.into_iter().enumerate() {
            askers.spawn(async move {
                for _ in 0..REQUESTS {
                    let request = format!("GET /{} HTTP/1.1\r\n\r\n", name(number));
                    stream.write_all(request.as_bytes()).await?;
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
                    let mut answer = vec![0; head.len() + SIZE];
                    stream.read_exact(&mut answer).await?;
                    let (found, body) = answer.split_at(head.len());
                    ensure!(found == head.as_bytes(), "another answer");
                    ensure!(body == content(number), "another file");
                }
                Ok((number, stream))
            });
        }
        let mut streams = Vec::new();
        while let Some(asked) = askers.join_next().await {
            streams.push(asked??);
        }
        streams.sort_by_key(|(number, _)| *number);
        Ok(streams.into_iter().map(|(_, stream)| stream).collect())
    })
}

/// The example's loop, with another way to have the files.
async fn serve<C, F>(listener: TcpListener, root: PathBuf, converse: C) -> io::Result<()>
where
    C: Fn(TcpStream, Arc<Path>) -> F,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let root: Arc<Path> = root.into();
    loop {
        let (stream, from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let conversation = converse(stream, Arc::clone(&root));
        tokio::spawn(async move {
            if let Err(why) = conversation.await {
                eprintln!("{from}: {why}");
            }
        });
    }
}

/// What follows a request for something that is not there is not measured.
fn not_there() -> io::Error {
    io::Error::other("a request for something else")
}

async fn head(stream: &mut BufReader<TcpStream>, size: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

/// The files by plain calls, for which everything else waits.
async fn converse_and_block(stream: TcpStream, root: Arc<Path>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(path) = file_server::request(&mut stream).await? {
        let mut file = fs::File::open(root.join(path.ok_or_else(not_there)?))?;
        let mut left = file.metadata()?.len();
        head(&mut stream, left).await?;
        let mut buf = vec![0; file_server::CHUNK.min(left as usize)];
        while left > 0 {
            let count = file.read(&mut buf)?;
            stream.write_all(&buf[..count]).await?;
            left -= count as u64;
        }
    }
    Ok(())
}

/// The files by Tokio, which has a pool of threads for them.
async fn converse_in_pool(stream: TcpStream, root: Arc<Path>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(path) = file_server::request(&mut stream).await? {
        let path = root.join(path.ok_or_else(not_there)?);
        let mut file = tokio::fs::File::open(path).await?;
        let mut left = file.metadata().await?.len();
        head(&mut stream, left).await?;
        let mut buf = vec![0; file_server::CHUNK.min(left as usize)];
        while left > 0 {
            let count = file.read(&mut buf).await?;
            stream.write_all(&buf[..count]).await?;
            left -= count as u64;
        }
    }
    Ok(())
}
