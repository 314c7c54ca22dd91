// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library as a task of a runtime.

use nlcall::{
    op,
    rustix::event::{poll, PollFd, PollFlags},
    Client, Progress,
};

/// Many operations at a time.
async fn look(client: &Client) {
    let stats: Vec<_> = (0..100)
        .map(|_| client.submit(op::Stat::new("/")))
        .collect();
    for stat in stats {
        assert!(stat.await.expect("accepted").is_ok());
    }
}

#[tokio::test]
async fn it_is_a_task_of_tokio() {
    let (client, completions) = Client::builder().open_manual().expect("a client");
    let task = tokio::spawn(completions.on_tokio());
    look(&client).await;
    drop(client);
    task.await.expect("no panic").expect("no error");
}

#[test]
fn it_outlives_a_tokio_runtime() {
    let (client, completions) = Client::builder().open_manual().expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        tokio::spawn(completions.on_tokio());
        look(&client).await;
    });
    drop(runtime);
    pollster::block_on(look(&client));
}

#[test]
fn it_is_a_task_of_smol() {
    let (client, completions) = Client::builder().open_manual().expect("a client");
    let task = smol::spawn(completions.on_smol());
    smol::block_on(async {
        look(&client).await;
        drop(client);
        task.await.expect("no error");
    });
}

#[test]
fn it_is_a_part_of_a_poll_loop() {
    let (client, mut completions) = Client::builder().open_manual().expect("a client");
    let looking = std::thread::spawn(move || pollster::block_on(look(&client)));
    while completions.process().expect("no error") == Progress::Open {
        let mut fds = [PollFd::new(&completions, PollFlags::IN)];
        poll(&mut fds, None).expect("a poll");
    }
    looking.join().expect("no panic");
}

#[test]
fn bytes_are_buffers() {
    let client = Client::new().expect("a client");
    pollster::block_on(async {
        let (reader, writer) = client
            .submit(op::Pipe::new())
            .await
            .expect("accepted")
            .expect("a pipe");
        let write = op::Write::new(writer, bytes::Bytes::from_static(b"text"));
        assert_eq!(client.submit(write).await.expect("accepted").0, Ok(4));
        let read = op::Read::new(reader, bytes::BytesMut::with_capacity(16));
        let (count, text) = client.submit(read).await.expect("accepted");
        assert_eq!((count, &text[..]), (Ok(4), &b"text"[..]));
    });
}
