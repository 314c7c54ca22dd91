// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each group of operations.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use nlcall::{
    op::{self, Operation},
    rustix::{
        fs::{Access, Advice, AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags},
        fs::{StatxFlags, XattrFlags},
        ioctl,
        mount::{MountFlags, UnmountFlags},
        net::{AddressFamily, Shutdown, SocketType},
        process::{Signal, WaitIdOptions},
        time::{Itimerspec, TimerfdClockId, Timespec},
    },
    Client, Driver, Errno,
};
use pollster::block_on;

use super::{
    tests,
    tools::{client, failure, Pipe},
    Test,
};

pub const TESTS: &[Test] = tests![
    names_are_made_changed_and_removed,
    a_folder_is_listed_in_pieces,
    a_file_is_cut_and_given_room,
    bytes_go_from_file_to_file,
    what_was_written_is_waited_for,
    extended_attributes,
    a_mount_is_made_and_removed,
    datagrams,
    a_connection,
    pipes_and_counters,
    a_child_is_signalled_and_waited_for,
    timers,
    advice,
    a_device_is_asked,
];

/// The output of an operation that is not rejected.
fn made<O: Operation>(client: &Client, op: O) -> O::Output {
    block_on(client.submit(op)).expect("accepted")
}

/// A file in a folder.
fn file(client: &Client, path: &Path) -> Arc<OwnedFd> {
    let open = op::Open::new(path).flags(OFlags::RDWR | OFlags::CREATE);
    Arc::new(made(client, open).expect("a file"))
}

fn names_are_made_changed_and_removed(driver: Driver) {
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let at = |name: &str| root.path().join(name);
    made(&client, op::MakeDir::new(at("a"))).expect("a folder");
    let dir = made(&client, op::Open::new(at("a")).flags(OFlags::DIRECTORY));
    let dir = Arc::new(dir.expect("a folder"));
    let made_in = op::MakeDir::at(Arc::clone(&dir), "b").mode(Mode::RWXU);
    made(&client, made_in).expect("a folder in it");
    fs::write(at("a/f"), "text").expect("a file");
    let link = op::Link::at(Arc::clone(&dir), "f", Arc::clone(&dir), "g");
    made(&client, link).expect("a second name");
    made(&client, op::Symlink::new("f", at("a/s"))).expect("a symbolic link");
    let (len, to) = made(
        &client,
        op::ReadLink::new(at("a/s"), Vec::with_capacity(64)),
    );
    assert_eq!((len, to), (Ok(1), b"f".to_vec()));
    let stat = op::Stat::at(Arc::clone(&dir), "s")
        .flags(AtFlags::SYMLINK_NOFOLLOW)
        .mask(StatxFlags::TYPE);
    let stat = made(&client, stat).expect("a link");
    let mode = u32::from(stat.stx_mode);
    assert_eq!(FileType::from_raw_mode(mode), FileType::Symlink);

    let kept = op::Rename::new(at("a/f"), at("a/g")).flags(RenameFlags::NOREPLACE);
    assert_eq!(failure(made(&client, kept)), "EEXIST");
    made(&client, op::Rename::new(at("a/f"), at("a/h"))).expect("another name");
    made(&client, op::Access::new(at("a/h"), Access::READ_OK)).expect("it may be read");
    let gone = made(&client, op::Access::new(at("a/f"), Access::EXISTS));
    assert_eq!(failure(gone), "ENOENT");

    let folder = op::Unlink::at(Arc::clone(&dir), "b");
    assert_eq!(failure(made(&client, folder)), "EISDIR");
    made(&client, op::Unlink::at(dir, "b").directory()).expect("it is removed");
    for name in ["a/g", "a/h", "a/s"] {
        made(&client, op::Unlink::new(at(name))).expect("it is removed");
    }
    fs::remove_dir(at("a")).expect("nothing is left in it");
}

fn a_folder_is_listed_in_pieces(driver: Driver) {
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let mut expected = BTreeSet::from([".".to_owned(), "..".to_owned()]);
    for number in 0..100 {
        let name = format!("file-{number}");
        fs::write(root.path().join(&name), "").expect("a file");
        expected.insert(name);
    }
    let dir = made(&client, op::Open::new(root.path()).flags(OFlags::DIRECTORY));
    let dir = Arc::new(dir.expect("a folder"));
    let (mut found, mut rounds) = (BTreeSet::new(), 0);
    let mut buf = Vec::with_capacity(1024);
    loop {
        let (len, entries) = made(&client, op::ReadDir::new(Arc::clone(&dir), buf));
        len.expect("a folder");
        if entries.is_empty() {
            break;
        }
        for entry in entries.iter() {
            let name = entry.name.to_str().expect("a name").to_owned();
            let is_file = entry.file_type == FileType::RegularFile;
            assert_eq!(is_file, name.starts_with("file-"));
            assert!(entry.ino > 0);
            assert!(found.insert(name), "twice");
        }
        rounds += 1;
        buf = entries.into_inner();
    }
    assert_eq!(found, expected);
    assert!(rounds > 1, "in one piece");
    let pipe = Pipe::new();
    let (len, entries) = made(&client, op::ReadDir::new(pipe.reader, vec![0; 64]));
    assert_eq!(failure(len), "ENOTDIR");
    assert_eq!(entries.iter().count(), 0);
}

fn a_file_is_cut_and_given_room(driver: Driver) {
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("file");
    let file = file(&client, &path);
    let size = || fs::metadata(&path).expect("a file").len();
    made(&client, op::Truncate::new(Arc::clone(&file), 1000)).expect("it grows");
    assert_eq!(size(), 1000);
    made(&client, op::Allocate::new(Arc::clone(&file), 0, 5000)).expect("room");
    assert_eq!(size(), 5000);
    let kept = op::Allocate::new(Arc::clone(&file), 5000, 100).mode(FallocateFlags::KEEP_SIZE);
    made(&client, kept).expect("room");
    assert_eq!(size(), 5000);
    made(&client, op::Chmod::new(Arc::clone(&file), Mode::RUSR)).expect("its owner");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&path).expect("a file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o400);
    made(&client, op::Chown::new(file, None, None)).expect("as it is");
}

fn bytes_go_from_file_to_file(driver: Driver) {
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let [from, to] = ["from", "to"].map(|name| root.path().join(name));
    fs::write(&from, "0123456789").expect("a file");
    let [from, to_file] = [&from, &to].map(|path| file(&client, path));
    let copy = op::CopyFileRange::new(Arc::clone(&from), Arc::clone(&to_file), 4).from_offset(3);
    assert_eq!(made(&client, copy), Ok(4));
    let send = op::SendFile::new(Arc::clone(&to_file), Arc::clone(&from), 2);
    assert_eq!(made(&client, send), Ok(2));
    let pipe = Pipe::new();
    let splice = op::Splice::new(from, Arc::clone(&pipe.writer), 3);
    assert_eq!(made(&client, splice), Ok(3));
    assert_eq!(pipe.get(3), b"234");
    assert_eq!(fs::read(to).expect("a file"), b"345601");
}

fn what_was_written_is_waited_for(driver: Driver) {
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let file = file(&client, &root.path().join("file"));
    made(&client, op::Fsync::new(Arc::clone(&file))).expect("a file");
    made(&client, op::Fdatasync::new(Arc::clone(&file))).expect("a file");
    made(&client, op::Syncfs::new(Arc::clone(&file))).expect("a file");
    made(&client, op::SyncFileRange::new(Arc::clone(&file), 0, 0)).expect("a file");
    made(&client, op::SyncFileRange::new(file, 0, 0).start()).expect("a file");
    let pipe = Pipe::new();
    assert_eq!(
        failure(made(&client, op::Fsync::new(pipe.writer))),
        "EINVAL"
    );
}

fn extended_attributes(driver: Driver) {
    const NAME: &str = "user.nlcall";
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let file = file(&client, &root.path().join("file"));
    let set = op::SetXattr::new(Arc::clone(&file), NAME, "value").flags(XattrFlags::CREATE);
    match made(&client, set).0.map_err(|errno| errno.name()) {
        Ok(()) => {}
        // A file system without them.
        Err(Some(name)) if name == "EOPNOTSUPP" => return,
        other => panic!("{other:?}"),
    }
    let get = |buf: Vec<u8>| made(&client, op::GetXattr::new(Arc::clone(&file), NAME, buf));
    assert_eq!(get(Vec::new()), (Ok(5), Vec::new()));
    assert_eq!(failure(get(Vec::with_capacity(2)).0), "ERANGE");
    assert_eq!(get(Vec::with_capacity(64)), (Ok(5), b"value".to_vec()));
    let list = op::ListXattr::new(Arc::clone(&file), Vec::with_capacity(1024));
    let (len, names) = made(&client, list);
    assert_eq!(len, Ok(names.len()));
    assert!(names
        .split(|byte| *byte == 0)
        .any(|it| it == NAME.as_bytes()));
    made(&client, op::RemoveXattr::new(Arc::clone(&file), NAME)).expect("it was there");
    let gone = made(&client, op::RemoveXattr::new(file, NAME));
    assert_eq!(failure(gone), "ENODATA");
}

fn a_mount_is_made_and_removed(driver: Driver) {
    let client = client(driver);
    let root = tempfile::tempdir().expect("a folder");
    let mount = op::Mount::new("none", root.path(), "tmpfs")
        .flags(MountFlags::NOSUID)
        .data("size=64k");
    if let Err(errno) = made(&client, mount) {
        // Not everybody may.
        assert_eq!(errno.name().as_deref(), Some("EPERM"));
        return;
    }
    fs::write(root.path().join("file"), vec![0; 128 << 10]).expect_err("it is as small as said");
    let unmount = op::Unmount::new(root.path()).flags(UnmountFlags::DETACH);
    made(&client, unmount).expect("it is mounted");
    assert!(!root.path().join("file").exists());
    let missing = made(&client, op::Unmount::new(root.path()));
    assert_eq!(failure(missing), "EINVAL");
}

fn datagrams(driver: Driver) {
    let client = client(driver);
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let to = there.local_addr().expect("its address");
    let socket = made(
        &client,
        op::Socket::new(AddressFamily::INET, SocketType::DGRAM),
    );
    let socket = Arc::new(socket.expect("a socket"));
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    made(&client, op::Bind::new(Arc::clone(&socket), &any)).expect("an address");
    let send = op::SendTo::new(Arc::clone(&socket), "hello", &to);
    assert_eq!(made(&client, send).0, Ok(5));
    let mut bytes = [0; 16];
    let (len, from) = there.recv_from(&mut bytes).expect("a datagram");
    assert_eq!(&bytes[..len], b"hello");
    there.send_to(b"answer", from).expect("sent");
    let peek = op::Recv::new(Arc::clone(&socket), Vec::with_capacity(16)).peek();
    assert_eq!(made(&client, peek), (Ok(6), b"answer".to_vec()));
    let recv = op::RecvFrom::new(Arc::clone(&socket), Vec::with_capacity(16));
    let (received, bytes) = made(&client, recv);
    let (len, sender) = received.expect("a datagram");
    assert_eq!((len, &bytes[..]), (6, &b"answer"[..]));
    let sender = SocketAddr::try_from(sender.expect("an address"));
    assert_eq!(sender.expect("an address of the internet"), to);
    there.send_to(b"more", from).expect("sent");
    let recv = op::Recv::new(socket, Vec::with_capacity(16));
    assert_eq!(made(&client, recv), (Ok(4), b"more".to_vec()));

    // A sender without an address.
    let (here, there) = UnixDatagram::pair().expect("sockets");
    here.send(b"hello").expect("sent");
    let recv = op::RecvFrom::new(there, Vec::with_capacity(16));
    assert_eq!(made(&client, recv), (Ok((5, None)), b"hello".to_vec()));
}

fn a_connection(driver: Driver) {
    let client = client(driver);
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let new = || {
        made(
            &client,
            op::Socket::new(AddressFamily::INET, SocketType::STREAM),
        )
    };
    let listener = Arc::new(new().expect("a socket"));
    made(&client, op::Bind::new(Arc::clone(&listener), &any)).expect("an address");
    made(&client, op::Listen::new(Arc::clone(&listener), 8)).expect("it listens");
    let accept = client.submit(op::Accept::new(Arc::clone(&listener)));
    let own = TcpListener::from(listener.try_clone().expect("a descriptor"));
    let address = own.local_addr().expect("its address");

    let here = Arc::new(new().expect("a socket"));
    made(&client, op::Connect::new(Arc::clone(&here), &address)).expect("connected");
    let there = block_on(accept).expect("accepted").expect("a connection");
    let there = Arc::new(there);
    let send = op::SendBytes::new(Arc::clone(&here), "1234567890");
    assert_eq!(made(&client, send).0, Ok(10));
    let recv = op::Recv::new(Arc::clone(&there), vec![0; 10]).whole();
    assert_eq!(made(&client, recv), (Ok(10), b"1234567890".to_vec()));
    made(&client, op::Shutdown::new(here, Shutdown::Both)).expect("connected");
    let recv = op::Recv::new(there, vec![0; 10]);
    assert_eq!(made(&client, recv).0, Ok(0));
    let here = TcpStream::connect(address).expect("connected");
    let (_there, from) =
        made(&client, op::AcceptFrom::new(Arc::clone(&listener))).expect("a connection");
    let from = SocketAddr::try_from(from.expect("an address"));
    let own_address = here.local_addr().expect("its address");
    assert_eq!(from.expect("an address of the internet"), own_address);
    drop(own);
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(60)).is_ok());
}

fn pipes_and_counters(driver: Driver) {
    let client = client(driver);
    let (reader, writer) = made(&client, op::Pipe::new()).expect("a pipe");
    assert_eq!(made(&client, op::Write::new(writer, "text")).0, Ok(4));
    let read = op::Read::new(reader, Vec::with_capacity(16));
    assert_eq!(made(&client, read), (Ok(4), b"text".to_vec()));
    let counter = made(&client, op::Eventfd::new(7)).expect("a counter");
    let (len, count) = made(&client, op::Read::new(counter, Vec::with_capacity(8)));
    assert_eq!((len, count), (Ok(8), 7u64.to_ne_bytes().to_vec()));
}

fn a_child_is_signalled_and_waited_for(driver: Driver) {
    let client = client(driver);
    let child = Command::new("sleep").arg("1000000").spawn();
    #[allow(clippy::zombie_processes, reason = "it is waited for by its pidfd")]
    let child = child.expect("a child").id();
    let pidfd = made(&client, op::PidfdOpen::new(child)).expect("a child");
    let pidfd = Arc::new(pidfd);
    let wait = op::Wait::new(Arc::clone(&pidfd)).options(WaitIdOptions::NOHANG);
    assert_eq!(made(&client, wait), Ok(None));
    let waits = client.submit(op::Wait::new(Arc::clone(&pidfd)));
    let kill = op::PidfdSendSignal::new(Arc::clone(&pidfd), Signal::TERM);
    made(&client, kill).expect("a child");
    let status = block_on(waits).expect("accepted").expect("a child");
    let status = status.expect("it has ended");
    assert_eq!(
        (status.code, status.status),
        (libc::CLD_KILLED, libc::SIGTERM)
    );
    assert_eq!(status.exit_status(), None);
    assert_eq!(failure(made(&client, op::Wait::new(pidfd))), "ECHILD");
}

fn timers(driver: Driver) {
    let client = client(driver);
    made(&client, op::Sleep::new(Duration::from_millis(1))).expect("a short sleep");
    let timer = made(&client, op::Timerfd::new(TimerfdClockId::Monotonic));
    let timer = Arc::new(timer.expect("a timer"));
    let time = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        },
    };
    made(&client, op::TimerfdSet::new(Arc::clone(&timer), time)).expect("it starts");
    let (len, count) = made(&client, op::Read::new(timer, Vec::with_capacity(8)));
    assert_eq!((len, count), (Ok(8), 1u64.to_ne_bytes().to_vec()));
}

fn advice(driver: Driver) {
    let client = client(driver);
    let buf = vec![7u8; 1 << 20];
    let (advised, buf) = made(&client, op::Advise::new(buf, op::Advice::WillNeed));
    advised.expect("memory");
    let (advised, buf) = made(&client, op::Advise::new(buf, op::Advice::Cold));
    advised.expect("memory");
    assert!(buf.iter().all(|byte| *byte == 7), "it stays as it is");
    let (advised, _) = made(&client, op::Advise::new(vec![1; 10], op::Advice::Normal));
    advised.expect("no page is no page");
    let root = tempfile::tempdir().expect("a folder");
    let file = file(&client, &root.path().join("file"));
    let advise = op::AdviseFile::new(Arc::clone(&file), 0, 0, Advice::Sequential);
    made(&client, advise).expect("a file");
    let pipe = Pipe::new();
    assert_eq!(
        failure(made(&client, op::ReadAhead::new(pipe.reader, 0, 10))),
        "EINVAL"
    );
}

fn a_device_is_asked(driver: Driver) {
    const FIONREAD: ioctl::Opcode = 0x541b;
    const TCSETS: ioctl::Opcode = 0x5402;
    let client = client(driver);
    let pipe = Pipe::new();
    pipe.put(b"123");
    // SAFETY: FIONREAD writes an int.
    let getter = unsafe { ioctl::Getter::<FIONREAD, i32>::new() };
    // SAFETY: as above, for every kind of file that knows it.
    let waiting = unsafe { op::Ioctl::new(Arc::clone(&pipe.reader), getter) };
    assert_eq!(made(&client, waiting), Ok(3));
    // SAFETY: it is not made.
    let none = unsafe { ioctl::NoArg::<TCSETS>::new() };
    // SAFETY: it is not made.
    let terminal = unsafe { op::Ioctl::new(pipe.reader, none) };
    let error = block_on(client.submit(terminal)).expect_err("a rejection");
    super::tools::assert_rejected(&error, "EOPNOTSUPP", "only INLINE for terminals");
    let _: Option<Errno> = error.errno();
}
