// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serves the files below a folder over HTTP/1.1. Tokio has the sockets; opening, looking at and
//! reading files, which would block it, goes through nlcall, on the same runtime.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nlcall::{
    op,
    rustix::fs::{FileType, OFlags},
    Client,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Bytes that are read at a time.
pub const CHUNK: usize = 128 << 10;
/// Bytes of a line of a request, and lines of it, that are looked at.
const LINE: u64 = 8 << 10;
const LINES: usize = 100;

/// Serves the files below `root` to whoever connects.
pub async fn serve(listener: TcpListener, client: Client, root: PathBuf) -> io::Result<()> {
    let root = client.submit(op::Open::new(&root).flags(OFlags::PATH | OFlags::DIRECTORY));
    let root = Arc::new(root.await.map_err(io::Error::other)??);
    loop {
        let (stream, from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, root) = (client.clone(), Arc::clone(&root));
        tokio::spawn(async move {
            if let Err(why) = converse(stream, &client, root).await {
                eprintln!("{from}: {why}");
            }
        });
    }
}

/// Answers one request after the other.
async fn converse(stream: TcpStream, client: &Client, root: Arc<OwnedFd>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(path) = request(&mut stream).await? {
        let found = match path {
            Some(path) => find(client, &root, &path).await?,
            None => Err("400 Bad Request"),
        };
        match found {
            Ok((file, size)) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                send(client, &mut stream, Arc::new(file), size).await?;
            }
            Err(status) => {
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// The path of the next request, relative to the root; none inside where there is no sense in it,
/// none outside at the end of the connection.
pub async fn request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Option<PathBuf>>> {
    let mut path = None;
    for number in 0..LINES {
        let mut line = String::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut *stream, LINE);
        limited.read_line(&mut line).await?;
        match line.trim_end() {
            _ if !line.ends_with('\n') => return Ok(None),
            "" => return Ok(Some(path)),
            line if number == 0 => {
                let mut words = line.split(' ');
                let target = words.next().filter(|it| *it == "GET").and(words.next());
                path = target.and_then(|it| below(Path::new(it.strip_prefix('/')?)));
            }
            _ => {}
        }
    }
    Err(io::Error::other("a request of too many lines"))
}

/// The path, where it leads nowhere but down.
fn below(path: &Path) -> Option<PathBuf> {
    let is_name = |part| matches!(part, Component::Normal(_));
    path.components().all(is_name).then(|| path.to_owned())
}

/// Opens a file, and finds its size.
async fn find(
    client: &Client,
    root: &Arc<OwnedFd>,
    path: &Path,
) -> io::Result<Result<(OwnedFd, u64), &'static str>> {
    let open = op::Open::at(Arc::clone(root), path).flags(OFlags::NOFOLLOW | OFlags::NONBLOCK);
    let Ok(file) = client.submit(open).await.map_err(io::Error::other)? else {
        return Ok(Err("404 Not Found"));
    };
    let file = Arc::new(file);
    let stat = client.submit(op::Stat::of(Arc::clone(&file))).await;
    let stat = stat.map_err(io::Error::other)??;
    let file = Arc::into_inner(file).ok_or_else(|| io::Error::other("the call is over"))?;
    Ok(match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => Ok((file, stat.stx_size)),
        _ => Err("404 Not Found"),
    })
}

/// Sends so many bytes of a file.
async fn send(
    client: &Client,
    stream: &mut BufReader<TcpStream>,
    file: Arc<OwnedFd>,
    size: u64,
) -> io::Result<()> {
    let (mut sent, mut buf) = (0, Vec::with_capacity(CHUNK.min(size as usize)));
    while sent < size {
        let read = op::ReadAt::new(Arc::clone(&file), buf, sent);
        let (count, filled) = client.submit(read).await.map_err(io::Error::other)?;
        let count = count?.min((size - sent) as usize);
        if count == 0 {
            return Err(io::Error::other("the file became shorter"));
        }
        stream.write_all(&filled[..count]).await?;
        sent += count as u64;
        buf = filled;
    }
    Ok(())
}

#[allow(dead_code, reason = "a test uses the rest")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let (client, completions) = Client::builder().open_manual()?;
    tokio::spawn(completions.on_tokio());
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 8080))).await?;
    println!("http://{}/ ({})", listener.local_addr()?, client.driver());
    Ok(serve(listener, client, root.into()).await?)
}
