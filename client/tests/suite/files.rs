// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations on files, and how results come back.

use std::{fs, sync::Arc};

use nlcall::{
    op::{self, Buf},
    rustix::fs::{Mode, OFlags},
    Driver, Error,
};
use pollster::block_on;

use super::{
    tests,
    tools::{assert_rejected, client, failure, Pipe},
    Test,
};

pub const TESTS: &[Test] = tests![
    a_file_is_made_written_read_and_closed,
    the_error_of_a_call_is_in_its_result,
    a_path_with_a_zero_byte_is_no_path,
    a_buffer_comes_back_whatever_the_result,
    a_vector_is_filled_up_to_its_capacity,
    a_part_of_a_buffer_is_written,
    several_buffers_are_written_and_filled_in_their_order,
    any_call_can_be_made,
    a_call_that_acts_on_its_thread_is_rejected_with_the_reason,
    a_number_that_no_call_has_is_rejected,
    an_operation_that_was_not_submitted_does_nothing,
];

fn a_file_is_made_written_read_and_closed(driver: Driver) {
    let client = client(driver);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    block_on(async {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let open = op::Open::new(&path)
            .flags(flags)
            .mode(Mode::RUSR | Mode::WUSR);
        let file = client
            .submit(open)
            .await
            .expect("accepted")
            .expect("a file");
        let file = Arc::new(file);

        let write = op::Write::new(Arc::clone(&file), "0123456789");
        let (count, text) = client.submit(write).await.expect("accepted");
        assert_eq!((count, text), (Ok(10), "0123456789"));
        let write = op::WriteAt::new(Arc::clone(&file), b"ab".to_vec(), 4);
        let (count, _) = client.submit(write).await.expect("accepted");
        assert_eq!(count, Ok(2));

        let read = op::ReadAt::new(Arc::clone(&file), Vec::with_capacity(64), 2);
        let (count, bytes) = client.submit(read).await.expect("accepted");
        assert_eq!(count, Ok(8));
        assert_eq!(bytes, b"23ab6789");

        let stat = op::Stat::of(Arc::clone(&file));
        let stat = client
            .submit(stat)
            .await
            .expect("accepted")
            .expect("a file");
        assert_eq!(stat.stx_size, 10);
        assert_eq!(stat.stx_mode & 0o777, 0o600);

        let file = Arc::into_inner(file).expect("all operations are over");
        let closed = client.submit(op::Close::new(file)).await;
        assert_eq!(closed.expect("accepted"), Ok(()));
    });
    assert_eq!(fs::read(&path).expect("a file"), b"0123ab6789");
    assert_eq!(client.in_flight(), 0);
}

fn the_error_of_a_call_is_in_its_result(driver: Driver) {
    let client = client(driver);
    let opened = block_on(client.submit(op::Open::new("/no/such/file")));
    assert_eq!(failure(opened.expect("accepted")), "ENOENT");
    let stat = block_on(client.submit(op::Stat::new("/no/such/file")));
    assert_eq!(failure(stat.expect("accepted").map(drop)), "ENOENT");
}

fn a_path_with_a_zero_byte_is_no_path(driver: Driver) {
    let client = client(driver);
    let opened = block_on(client.submit(op::Open::new("/etc\0/passwd")));
    assert_eq!(failure(opened.expect("no rejection")), "EINVAL");
    assert_eq!(client.in_flight(), 0);
}

fn a_buffer_comes_back_whatever_the_result(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let buf = b"kept".to_vec();
    let begin = buf.as_ptr();
    // The wrong end.
    let read = op::Read::new(pipe.writer, buf);
    let (count, buf) = block_on(client.submit(read)).expect("accepted");
    assert_eq!(failure(count), "EBADF");
    assert_eq!((Buf::as_ptr(&buf), &buf[..]), (begin, &b"kept"[..]));
}

fn a_vector_is_filled_up_to_its_capacity(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    pipe.put(&[7; 100]);
    let mut buf = Vec::with_capacity(64);
    buf.push(1);
    let room = buf.capacity();
    let (count, buf) = block_on(client.submit(pipe.read(buf))).expect("accepted");
    assert_eq!(count, Ok(room.min(100)));
    assert_eq!(buf, vec![7; room.min(100)]);
}

fn a_part_of_a_buffer_is_written(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let write = op::Write::new(Arc::clone(&pipe.writer), "0123456789".slice(2..5));
    let (count, slice) = block_on(client.submit(write)).expect("accepted");
    assert_eq!(count, Ok(3));
    assert_eq!(slice.into_inner(), "0123456789");
    assert_eq!(pipe.get(3), b"234");
}

fn several_buffers_are_written_and_filled_in_their_order(driver: Driver) {
    let client = client(driver);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    block_on(async {
        let open = op::Open::new(&path).flags(OFlags::RDWR | OFlags::CREATE);
        let file = client.submit(open).await.expect("accepted");
        let file = Arc::new(file.expect("a file"));
        let write = op::WriteVectored::new(Arc::clone(&file), vec!["0123", "", "45", "6789"]);
        let (count, bufs) = client.submit(write).await.expect("accepted");
        assert_eq!((count, bufs.len()), (Ok(10), 4));
        let write = op::WriteVectoredAt::new(Arc::clone(&file), vec!["a".to_owned(); 2], 9);
        let (count, _) = client.submit(write).await.expect("accepted");
        assert_eq!(count, Ok(2));

        let bufs = || Vec::from([3, 0, 4, 100, 5].map(Vec::<u8>::with_capacity));
        let read = op::ReadVectoredAt::new(Arc::clone(&file), bufs(), 1);
        let (count, filled) = client.submit(read).await.expect("accepted");
        assert_eq!(count, Ok(10));
        assert_eq!(filled, [&b"123"[..], b"", b"4567", b"8aa", b""]);

        // The file stands behind what was written without an offset.
        let read = op::ReadVectored::new(Arc::clone(&file), bufs());
        let (count, filled) = client.submit(read).await.expect("accepted");
        assert_eq!(count, Ok(1));
        assert_eq!(filled.concat(), b"a");

        let many = op::ReadVectored::new(file, vec![vec![7; 1]; 1025]);
        let (count, kept) = client.submit(many).await.expect("accepted");
        assert_eq!(failure(count), "EINVAL");
        assert!(kept.iter().all(|buf| buf == &[7]) && kept.len() == 1025);
    });
}

fn any_call_can_be_made(driver: Driver) {
    const GETCWD: op::Sysno = op::Sysno::of("getcwd");
    let client = client(driver);
    let mut buf = vec![0u8; 4096].into_boxed_slice();
    let args = [buf.as_mut_ptr() as u64, buf.len() as u64];
    // SAFETY: the buffer is kept, and has so many bytes.
    let call = unsafe { op::Syscall::new(GETCWD, &args) }.keep(buf);
    let (len, buf) = block_on(client.submit(call)).expect("accepted");
    let path = &buf[..len.expect("a folder") as usize - 1];
    let expected = std::env::current_dir().expect("a folder");
    assert_eq!(path, expected.as_os_str().as_encoded_bytes());
}

fn a_call_that_acts_on_its_thread_is_rejected_with_the_reason(driver: Driver) {
    let client = client(driver);
    for (name, words) in [
        ("setuid", "setuid: credentials are per thread"),
        ("execve", "execve: would replace or end the worker"),
        (
            "rt_sigreturn",
            "rt_sigreturn: works on the thread's own saved registers",
        ),
        (
            "sched_getaffinity",
            "sched_getaffinity: only INLINE for id 0",
        ),
    ] {
        // SAFETY: it is not made.
        let call = unsafe { op::Syscall::new(op::Sysno::of(name), &[0, 0, 0]) };
        let error = block_on(client.submit(call)).expect_err("a rejection");
        assert_rejected(&error, "EOPNOTSUPP", words);
        // SAFETY: it is not made.
        let call = unsafe { op::Syscall::new(op::Sysno::of(name), &[0, 0, 0]) };
        let kept = client
            .try_submit(call.keep("kept"))
            .expect_err("a rejection");
        assert!(kept.why.is_some());
    }
    assert_eq!(client.in_flight(), 0);
}

fn a_number_that_no_call_has_is_rejected(driver: Driver) {
    let client = client(driver);
    // SAFETY: there is no such call.
    let call = unsafe { op::Syscall::new(op::Sysno::new(1000), &[]) };
    let error = block_on(client.submit(call)).expect_err("a rejection");
    assert_rejected(&error, "ENOSYS", "no system call has the number 1000");
    assert!(!matches!(error, Error::ShutDown));
}

fn an_operation_that_was_not_submitted_does_nothing(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    drop(op::Write::new(Arc::clone(&pipe.writer), "never"));
    let write = op::Write::new(Arc::clone(&pipe.writer), "ever");
    let (count, _) = block_on(client.submit(write)).expect("accepted");
    assert_eq!(count, Ok(4));
    assert_eq!(pipe.get(4), b"ever");
}
