// SPDX-License-Identifier: MIT OR Apache-2.0

//! The larger examples do what they say, and stay short.

#[path = "../examples/async_walker.rs"]
mod async_walker;
#[path = "../examples/file_server.rs"]
mod file_server;

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use nlcall::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[test]
fn they_have_fewer_than_150_lines() {
    for (name, source) in [
        ("walker", include_str!("../examples/walker.rs")),
        ("async_walker", include_str!("../examples/async_walker.rs")),
        ("log_rotator", include_str!("../examples/log_rotator.rs")),
        ("file_server", include_str!("../examples/file_server.rs")),
    ] {
        let lines = source.lines().count();
        assert!(lines < 150, "{name} has {lines} lines");
    }
}

/// What a plain walk finds: files, folders, bytes on the disk.
fn plain(folder: &Path) -> (u64, u64, u64) {
    let mut found = (0, 1, 0);
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let metadata = entry.metadata().expect("a file");
        found.2 += metadata.blocks() * 512;
        if metadata.is_dir() {
            let (files, folders, bytes) = plain(&entry.path());
            found = (found.0 + files, found.1 + folders, found.2 + bytes);
        } else {
            found.0 += 1;
        }
    }
    found
}

#[test]
fn the_walker_finds_what_a_plain_walk_does() {
    let root = tempfile::tempdir().expect("a folder");
    for folder in 0..40 {
        let path = root
            .path()
            .join(format!("folder-{}/below-{folder}", folder % 7));
        fs::create_dir_all(&path).expect("a folder");
        for file in 0..folder * 8 {
            let contents = vec![1; file * 100];
            fs::write(path.join(format!("file-{file}")), contents).expect("a file");
        }
    }
    let link = root.path().join("link");
    std::os::unix::fs::symlink("/", link).expect("a link, which is not followed");
    let client = Client::new().expect("a client");
    let total = pollster::block_on(async_walker::walk(&client, root.path())).expect("accepted");
    assert_eq!(total.errors, [""; 0]);
    let found = (total.files, total.folders, total.bytes);
    assert_eq!(found, plain(root.path()));

    // A second name takes no room.
    let [from, to] = ["folder-6/below-6/file-40", "second"].map(|name| root.path().join(name));
    fs::hard_link(from, to).expect("a second name");
    let again = pollster::block_on(async_walker::walk(&client, root.path())).expect("accepted");
    assert_eq!((again.files, again.bytes), (total.files + 1, total.bytes));
}

#[test]
fn the_walker_says_what_it_cannot_look_at() {
    let client = Client::new().expect("a client");
    let total = pollster::block_on(async_walker::walk(&client, Path::new("/no/such/folder")));
    let errors = total.expect("accepted").errors;
    assert_eq!(
        errors,
        ["/no/such/folder/: ENOENT (No such file or directory)"]
    );
}

#[tokio::test]
async fn the_file_server_serves_files_and_nothing_else() {
    let root = tempfile::tempdir().expect("a folder");
    let long: Vec<u8> = (0..1_000_000u32).map(|it| (it % 251) as u8).collect();
    fs::create_dir(root.path().join("public")).expect("a folder");
    fs::write(root.path().join("public/long"), &long).expect("a file");
    fs::write(root.path().join("public/empty"), "").expect("a file");
    fs::write(root.path().join("secret"), "secret").expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (client, completions) = Client::builder().open_manual().expect("a client");
    tokio::spawn(completions.on_tokio());
    tokio::spawn(file_server::serve(
        listener,
        client,
        root.path().join("public"),
    ));

    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut answers = Vec::new();
    for target in ["/long", "/empty", "/missing", "/../secret", "/.", "/long"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
    }
    stream
        .write_all(b"PUT /long HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    stream.shutdown().await.expect("sent");
    stream.read_to_end(&mut answers).await.expect("answers");

    let of = |status: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let (ok, missing, bad) = ("200 OK", "404 Not Found", "400 Bad Request");
    let expected = [
        of(ok, &long),
        of(ok, b""),
        of(missing, b""),
        of(bad, b""),
        of(bad, b""),
        of(ok, &long),
        of(bad, b""),
    ]
    .concat();
    assert!(
        answers == expected,
        "{}",
        String::from_utf8_lossy(&answers[..200])
    );
}
