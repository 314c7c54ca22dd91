// SPDX-License-Identifier: MIT OR Apache-2.0

//! The engine over a driver that ends calls when, and as, a test wants.
//!
//! The calls write to memory through the addresses among their arguments, as the kernel does, so
//! that Miri sees a buffer that was freed or touched too early.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    ptr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc, Arc, Mutex,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use nlcall_abi::{self as abi, Outcome};
use proptest::prelude::*;

use super::{End, Engine, Key};
use crate::{
    client::{Client, Handle},
    driver::{Backend, Driver, Stopped},
    op::{self, Operation},
    raw::{self, SubmitError},
    Batch, Cancellation, Chain, Errno, Error, InFlight,
};

/// What the driver does next where it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Accepts,
    /// It rejects everything for a limit.
    IsFull,
    /// It rejects everything for good.
    Rejects,
    /// It accepts, and does not know whether it did.
    Doubts,
}

#[derive(Clone)]
struct Model(Arc<Mutex<Inner>>);

struct Inner {
    manners: Manners,
    /// Most calls that it takes of a batch.
    takes: usize,
    calls: VecDeque<abi::Call>,
    canceled: Vec<Key>,
    /// What another thread does during the next submission, before the driver has the calls.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

impl Model {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            manners: Manners::Accepts,
            takes: usize::MAX,
            calls: VecDeque::new(),
            canceled: Vec::new(),
            meanwhile: None,
        })))
    }

    fn client(&self, depth: usize) -> Client {
        let engine = Engine::new(Box::new(self.clone()), depth).expect("a page");
        Client {
            handle: Arc::new(Handle::new(Arc::new(engine), None)),
        }
    }

    fn behave(&self, manners: Manners) {
        self.0.lock().unwrap().manners = manners;
    }

    fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().meanwhile = Some(Box::new(act));
    }

    fn in_flight(&self) -> usize {
        self.0.lock().unwrap().calls.len()
    }

    fn canceled(&self) -> usize {
        self.0.lock().unwrap().canceled.len()
    }

    /// Ends the call at this place so: a read writes as many bytes of `byte` as it returns.
    fn end(&self, client: &Client, at: usize, end: End, byte: u8) {
        let call = self.0.lock().unwrap().calls.remove(at).expect("a call");
        if let (true, Ok(count)) = (call.nr == READ, end.result()) {
            let to = ptr::with_exposed_provenance_mut::<u8>(call.args[1] as usize);
            assert!(count <= call.args[2]);
            // SAFETY: the engine promises that the buffer is there, and nobody else's.
            unsafe { ptr::write_bytes(to, byte, count as usize) };
        }
        let key = Key::from_user_data(call.user_data);
        client.handle.engine.complete(key, end);
    }
}

const READ: u32 = abi::syscalls::nr("read");
const RAN: fn(i64) -> End = |ret| End::new(ret, Outcome::Ran);

impl Backend for Model {
    fn kind(&self) -> Driver {
        Driver::Threads
    }

    fn submit(&self, _: &Arc<Engine>, batch: raw::Batch) -> Result<(), SubmitError> {
        let meanwhile = self.0.lock().unwrap().meanwhile.take();
        if let Some(act) = meanwhile {
            act();
        }
        let mut inner = self.0.lock().unwrap();
        let errno = match inner.manners {
            Manners::Accepts | Manners::Doubts => None,
            Manners::IsFull => Some(Errno::AGAIN),
            Manners::Rejects => Some(Errno::INVAL),
        };
        let accepted = match errno {
            Some(_) => 0,
            None => batch.len().min(inner.takes),
        };
        inner.calls.extend(&batch.as_abi()[..accepted]);
        if inner.manners == Manners::Doubts {
            return Err(SubmitError {
                error: Error::Unanswered,
                accepted,
                doubtful: accepted,
                rest: raw::Batch::new(),
            });
        }
        if accepted == batch.len() {
            return Ok(());
        }
        let error = Error::Rejected {
            errno: errno.unwrap_or(Errno::AGAIN),
            message: None,
            attr_offset: None,
        };
        Err(SubmitError {
            error,
            accepted,
            doubtful: 0,
            rest: batch,
        })
    }

    fn cancel(&self, _: &Engine, keys: &[Key]) -> Result<Stopped, Error> {
        self.0.lock().unwrap().canceled.extend(keys);
        Ok(Stopped::Soon)
    }
}

/// A `read` whose descriptor is only a number.
struct Read(Vec<u8>);

// SAFETY: the model makes no call, and writes to the buffer only.
unsafe impl Operation for Read {
    type Output = (Result<u64, Errno>, Vec<u8>);

    fn request(&mut self) -> Result<op::Request, Errno> {
        let mut args = op::Args::default();
        args.push(7);
        args.push(self.0.as_mut_ptr().expose_provenance() as u64);
        args.push(self.0.len());
        Ok(op::Request::new(op::Sysno::of("read"), args))
    }

    unsafe fn complete(self, end: End) -> Self::Output {
        (end.result(), self.0)
    }
}

fn read(len: usize) -> Read {
    Read(vec![0; len])
}

/// An operation that shows, by the count of this, whether it is still there.
fn watched(watch: &Arc<()>) -> op::Syscall<Arc<()>> {
    // SAFETY: the model makes no call.
    unsafe { op::Syscall::new(op::Sysno::of("getppid"), &[]) }.keep(Arc::clone(watch))
}

/// A waker that panics.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker of a test");
    }
}

/// Polls with a waker that panics.
fn poll_to_panic<F: Future + Unpin>(future: &mut F) {
    let waker = Waker::from(Arc::new(Panicking));
    let polled = Pin::new(future).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
}

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls, and returns what counts the wakes.
fn poll_to_count<F: Future + Unpin>(future: &mut F) -> Arc<Count> {
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let polled = Pin::new(future).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    count
}

/// That this comes to an end.
fn ends(step: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        step();
        sender.send(()).expect("somebody waits");
    });
    let end = receiver.recv_timeout(Duration::from_secs(60));
    end.expect("it hangs, or has panicked");
}

/// An operation that cannot be made, although it promises one.
struct Impossible;

// SAFETY: there is no call.
unsafe impl Operation for Impossible {
    type Output = ();

    fn request(&mut self) -> Result<op::Request, Errno> {
        panic!("an operation of a test");
    }

    unsafe fn complete(self, _: End) {}
}

/// That this panics.
fn panics(step: impl FnOnce()) {
    panic::catch_unwind(AssertUnwindSafe(step)).expect_err("no panic");
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<F: Future + Unpin>(future: &mut F) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is pending"),
    }
}

#[test]
fn each_completion_reaches_its_own_call() {
    let model = Model::new();
    let client = model.client(8);
    let mut reads: Vec<InFlight<Read>> = (0..3).map(|_| client.submit(read(4))).collect();
    model.end(&client, 1, RAN(2), b'b');
    assert!(poll(&mut reads[0]).is_pending());
    assert_eq!(ready(&mut reads[1]).unwrap(), (Ok(2), b"bb\0\0".to_vec()));
    model.end(&client, 1, RAN(4), b'c');
    model.end(&client, 0, RAN(-5), 0);
    assert_eq!(ready(&mut reads[2]).unwrap().1, b"cccc");
    assert_eq!(ready(&mut reads[0]).unwrap().0, Err(Errno::IO));
}

#[test]
fn a_buffer_of_a_dropped_future_is_there_for_the_late_completion() {
    let model = Model::new();
    let client = model.client(8);
    let first = client.submit(read(4));
    drop(first);
    assert_eq!(model.canceled(), 1);
    assert_eq!(client.in_flight(), 1);
    let mut second = client.submit(read(4));
    model.end(&client, 0, RAN(4), b'x');
    assert!(poll(&mut second).is_pending(), "it was the first one's");
    model.end(&client, 0, RAN(4), b'y');
    assert_eq!(ready(&mut second).unwrap().1, b"yyyy");
}

#[test]
fn a_completion_that_comes_twice_reaches_nobody() {
    let model = Model::new();
    let client = model.client(8);
    let mut first = client.submit(read(1));
    let key = Key::from_user_data(model.0.lock().unwrap().calls[0].user_data);
    model.end(&client, 0, RAN(1), b'1');
    let mut second = client.submit(read(1));
    client.handle.engine.complete(key, RAN(0));
    assert_eq!(ready(&mut first).unwrap().1, b"1");
    assert!(poll(&mut second).is_pending());
    assert_eq!(client.in_flight(), 1);
}

#[test]
fn what_the_driver_has_no_room_for_waits() {
    let model = Model::new();
    let client = model.client(2);
    model.behave(Manners::IsFull);
    let mut first = client.submit(read(1));
    assert!(poll(&mut first).is_pending());
    assert_eq!((model.in_flight(), client.in_flight()), (0, 0));
    model.behave(Manners::Accepts);
    client.handle.engine.has_room();
    assert!(poll(&mut first).is_pending());
    assert_eq!(model.in_flight(), 1);
    model.end(&client, 0, RAN(1), b'1');
    assert_eq!(ready(&mut first).unwrap().1, b"1");
    // All of the room came back.
    let reads: Vec<_> = (0..2)
        .map(|_| client.try_submit(read(1)).unwrap())
        .collect();
    assert!(client.try_submit(read(1)).unwrap_err().why.is_none());
    drop(reads);
    (0..2).for_each(|_| model.end(&client, 0, End::CANCELED, 0));
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn what_is_rejected_gives_its_room_back() {
    let model = Model::new();
    let client = model.client(1);
    model.behave(Manners::Rejects);
    for _ in 0..3 {
        let error = ready(&mut client.submit(read(1))).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::INVAL));
        let refused = client.try_submit(read(1)).unwrap_err();
        assert_eq!(refused.work.0, [0]);
        assert!(refused.why.is_some());
    }
    model.behave(Manners::IsFull);
    let refused = client.try_submit(read(1)).unwrap_err();
    assert!(refused.why.is_none());
    model.behave(Manners::Accepts);
    drop(client.try_submit(read(1)).unwrap());
    model.end(&client, 0, End::CANCELED, 0);
}

#[test]
fn what_the_driver_may_have_keeps_its_room_and_its_memory() {
    let model = Model::new();
    let client = model.client(2);
    model.behave(Manners::Doubts);
    let watch = Arc::new(());
    let mut doubtful = client
        .try_submit(watched(&watch))
        .expect("perhaps accepted");
    assert!(matches!(ready(&mut doubtful), Err(Error::Lost { .. })));
    drop(doubtful);
    assert_eq!(Arc::strong_count(&watch), 2, "the call may use it");
    assert_eq!((client.in_flight(), model.canceled()), (1, 1));
    model.behave(Manners::Accepts);
    let mut other = client.submit(read(1));
    assert!(client.try_submit(read(1)).unwrap_err().why.is_none());
    // It was accepted.
    model.end(&client, 0, RAN(1), 0);
    assert_eq!(Arc::strong_count(&watch), 1);
    model.end(&client, 0, RAN(1), b'x');
    assert_eq!(ready(&mut other).unwrap().1, b"x");
    assert!(client.handle.engine.try_take_room(2), "all is there again");
}

#[test]
fn a_completion_ends_the_doubt_whether_there_is_one() {
    let model = Model::new();
    let client = model.client(2);
    model.behave(Manners::Doubts);
    let mut batch = client.batch();
    let mut reads = [(); 2].map(|()| batch.push(read(1)));
    let submitted = ready(&mut Box::pin(batch.submit()));
    assert!(matches!(submitted, Err(Error::Unanswered)));
    model.end(&client, 0, RAN(1), b'x');
    let [first, second] = reads.each_mut().map(ready);
    assert_eq!(first.unwrap().1, b"x");
    assert!(matches!(second, Err(Error::Lost { .. })));
    model.end(&client, 0, RAN(1), b'y');
    assert!(client.handle.engine.try_take_room(2), "all is there again");
}

#[test]
fn a_batch_of_which_the_driver_takes_a_part_is_sent_on() {
    let model = Model::new();
    let client = model.client(4);
    model.0.lock().unwrap().takes = 2;
    let mut batch = client.batch();
    let mut reads: Vec<_> = (0..3).map(|_| batch.push(read(1))).collect();
    let mut submitting = Box::pin(batch.submit());
    assert!(poll(&mut submitting).is_pending());
    assert_eq!(model.in_flight(), 2);
    assert!(reads.iter_mut().all(|read| poll(read).is_pending()));
    model.end(&client, 1, RAN(1), b'2');
    ready(&mut submitting).unwrap();
    assert_eq!(ready(&mut reads[1]).unwrap().1, b"2");
    (0..2).for_each(|_| model.end(&client, 0, RAN(1), b'x'));
    for read in [0, 2] {
        assert_eq!(ready(&mut reads[read]).unwrap().1, b"x");
    }
    assert!(client.handle.engine.try_take_room(4), "all is there again");
}

#[test]
fn a_batch_that_is_given_up_half_way_gives_its_room_back() {
    let model = Model::new();
    let client = model.client(4);
    model.0.lock().unwrap().takes = 1;
    let mut batch = client.batch();
    let mut reads: Vec<_> = (0..3).map(|_| batch.push(read(1))).collect();
    let mut submitting = Box::pin(batch.submit());
    assert!(poll(&mut submitting).is_pending());
    // One of those that wait is cancelled, one dropped with the batch.
    let mut cancel = Box::pin(reads[1].cancel());
    assert!(matches!(ready(&mut cancel), Ok(Cancellation::Cancelled(_))));
    drop(cancel);
    drop(submitting);
    assert_eq!(ready(&mut reads[2]).unwrap().0, Err(Errno::CANCELED));
    model.end(&client, 0, RAN(1), b'1');
    assert_eq!(ready(&mut reads[0]).unwrap().1, b"1");
    assert!(client.handle.engine.try_take_room(4), "all is there again");
}

/// A part of a batch, and a cancel of it for another thread.
fn cancelable(batch: &mut Batch) -> (Arc<Mutex<InFlight<Read>>>, impl FnOnce() + Send) {
    let part = Arc::new(Mutex::new(batch.push(read(1))));
    let same = Arc::clone(&part);
    let cancel = move || {
        let mut part = same.lock().unwrap();
        assert!(poll(&mut Box::pin(part.cancel())).is_pending());
    };
    (part, cancel)
}

#[test]
fn a_cancel_that_meets_the_submission_is_not_lost() {
    let model = Model::new();
    let client = model.client(1);
    let mut batch = client.batch();
    let (part, cancel) = cancelable(&mut batch);
    model.meanwhile(cancel);
    ready(&mut Box::pin(batch.submit())).unwrap();
    assert_eq!(model.canceled(), 2, "once before the driver had the call");
    model.end(&client, 0, End::CANCELED, 0);
    let (result, _) = ready(&mut *part.lock().unwrap()).unwrap();
    assert_eq!(result, Err(Errno::CANCELED));
}

#[test]
fn a_shut_down_that_meets_a_submission_cancels_it() {
    let model = Model::new();
    let client = model.client(1);
    let same = client.clone();
    model.meanwhile(move || assert!(poll(&mut Box::pin(same.shut_down())).is_pending()));
    let mut read = client.submit(read(1));
    assert_eq!(model.canceled(), 2, "once before the driver had the call");
    model.end(&client, 0, End::CANCELED, 0);
    assert_eq!(ready(&mut read).unwrap().0, Err(Errno::CANCELED));
}

#[test]
fn what_is_cancelled_while_the_driver_turns_it_away_is_over() {
    let model = Model::new();
    let client = model.client(1);
    let mut batch = client.batch();
    let (part, cancel) = cancelable(&mut batch);
    model.meanwhile(cancel);
    model.behave(Manners::IsFull);
    let mut submitting = Box::pin(batch.submit());
    assert!(poll(&mut submitting).is_pending());
    let (result, _) = ready(&mut *part.lock().unwrap()).unwrap();
    assert_eq!(result, Err(Errno::CANCELED));
    model.behave(Manners::Accepts);
    client.handle.engine.has_room();
    ready(&mut submitting).unwrap();
    assert_eq!(model.in_flight(), 0, "it is not submitted later");
    assert!(client.handle.engine.try_take_room(1), "all is there again");
}

#[test]
fn a_shut_down_that_is_dropped_is_in_nobodys_way() {
    let model = Model::new();
    let client = model.client(1);
    let read = client.submit(read(1));
    assert!(poll(&mut Box::pin(client.shut_down())).is_pending());
    let mut again = Box::pin(client.shut_down());
    let woken = poll_to_count(&mut again);
    model.end(&client, 0, End::CANCELED, 0);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    ready(&mut again).unwrap();
    drop(read);
}

#[test]
fn a_shut_down_waits_for_nobody_who_waits_for_room() {
    let model = Model::new();
    let client = model.client(2);
    model.behave(Manners::IsFull);
    let admitted = client.submit(read(1));
    model.behave(Manners::Accepts);
    let sent = client.submit(read(1));
    // None of these is polled again before it is over.
    let mut waits = client.submit(read(1));
    let mut batch = client.batch();
    let part = batch.push(read(1));
    let mut submitting = Box::pin(batch.submit());
    let woken = [poll_to_count(&mut waits), poll_to_count(&mut submitting)];
    let mut shut_down = Box::pin(client.shut_down());
    assert!(poll(&mut shut_down).is_pending());
    assert!(woken.iter().all(|it| it.0.load(Ordering::Relaxed) == 1));
    model.end(&client, 0, End::CANCELED, 0);
    ready(&mut shut_down).unwrap();
    for mut future in [waits, admitted] {
        assert!(matches!(ready(&mut future), Err(Error::ShutDown)));
    }
    assert!(matches!(ready(&mut submitting), Err(Error::ShutDown)));
    drop((sent, part));
    assert!(client.handle.engine.try_take_room(2), "all is there again");
}

#[test]
fn a_shut_down_learns_that_what_it_waits_for_is_taken_back() {
    let model = Model::new();
    let client = model.client(1);
    let shut_down = Arc::new(Mutex::new(Box::pin({
        let client = client.clone();
        async move { client.shut_down().await }
    })));
    let woken = Arc::new(Mutex::new(None));
    model.meanwhile({
        let (shut_down, woken) = (Arc::clone(&shut_down), Arc::clone(&woken));
        move || *woken.lock().unwrap() = Some(poll_to_count(&mut *shut_down.lock().unwrap()))
    });
    model.behave(Manners::IsFull);
    let mut read = client.submit(read(1));
    let woken = woken.lock().unwrap().take().expect("it was submitted");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    ready(&mut *shut_down.lock().unwrap()).unwrap();
    assert!(matches!(ready(&mut read), Err(Error::ShutDown)));
}

#[test]
#[cfg_attr(miri, ignore = "what it keeps for ever is a leak to Miri")]
fn a_shut_down_ends_where_the_way_is_lost() {
    let model = Model::new();
    let client = model.client(1);
    let read = client.submit(read(1));
    let mut shut_down = Box::pin(client.shut_down());
    let woken = poll_to_count(&mut shut_down);
    client.handle.engine.lose("a test");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(matches!(ready(&mut shut_down), Err(Error::Lost { .. })));
    drop(read);
}

#[test]
fn a_shut_down_does_not_wait_for_what_may_never_come() {
    let model = Model::new();
    let client = model.client(2);
    let sent = client.submit(read(1));
    model.behave(Manners::Doubts);
    let doubtful = client.submit(read(1));
    let mut shut_down = Box::pin(client.shut_down());
    assert!(poll(&mut shut_down).is_pending());
    model.end(&client, 0, End::CANCELED, 0);
    ready(&mut shut_down).unwrap();
    // It comes all the same.
    model.end(&client, 0, End::CANCELED, 0);
    assert!(client.handle.engine.is_over());
    drop((sent, doubtful));
}

#[test]
fn a_chain_is_over_with_its_last_call() {
    let model = Model::new();
    let client = model.client(4);
    let mut chain = Chain::new();
    let steps = [1, 2].map(|len| chain.push(read(len)));
    let mut chain = client.submit(chain);
    assert_eq!(client.in_flight(), 2);
    model.end(&client, 1, RAN(2), b'b');
    assert!(poll(&mut chain).is_pending());
    model.end(&client, 0, RAN(1), b'a');
    let mut outputs = ready(&mut chain).unwrap();
    let [first, second] = steps.map(|step| outputs.take(step));
    assert_eq!((first.1, second.1), (b"a".to_vec(), b"bb".to_vec()));
}

#[test]
#[cfg_attr(miri, ignore = "what it keeps for ever is a leak to Miri")]
fn when_the_way_is_lost_nothing_is_freed() {
    let model = Model::new();
    let client = model.client(1);
    let mut lost = client.submit(read(4));
    let mut waits = client.submit(read(4));
    assert!(poll(&mut waits).is_pending());
    client.handle.engine.lose("a test");
    let lost = ready(&mut lost).unwrap_err();
    assert!(matches!(&lost, Error::Lost { why } if why == "a test"));
    assert!(matches!(ready(&mut waits), Err(Error::Lost { .. })));
    assert!(matches!(
        ready(&mut client.submit(read(1))),
        Err(Error::Lost { .. })
    ));
    // For all that is known the call goes on.
    model.end(&client, 0, RAN(4), b'x');
}

#[test]
#[cfg_attr(miri, ignore = "what it keeps for ever is a leak to Miri")]
fn a_waker_that_panics_frees_nothing_of_what_is_lost() {
    let model = Model::new();
    let client = model.client(2);
    let watch = Arc::new(());
    let mut futures = [(); 2].map(|()| client.submit(watched(&watch)));
    futures.iter_mut().for_each(poll_to_panic);
    panics(|| client.handle.engine.lose("a test"));
    drop(futures);
    assert_eq!(Arc::strong_count(&watch), 3, "their calls may go on");
}

/// One that has its room, and one that waits for some. The waker of the first panics.
fn one_behind_the_other(model: &Model) -> (Client, [InFlight<Read>; 2], Arc<Count>) {
    let client = model.client(1);
    let mut reads = [(); 2].map(|()| client.submit(read(1)));
    poll_to_panic(&mut reads[0]);
    let count = poll_to_count(&mut reads[1]);
    (client, reads, count)
}

#[test]
fn a_waker_that_panics_leaves_others_awake_when_a_call_ends() {
    let model = Model::new();
    let (client, mut reads, count) = one_behind_the_other(&model);
    panics(|| model.end(&client, 0, RAN(1), b'1'));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(poll(&mut reads[1]).is_pending());
    model.end(&client, 0, RAN(1), b'2');
    for (read, byte) in reads.iter_mut().zip([b"1", b"2"]) {
        assert_eq!(ready(read).unwrap().1, byte);
    }
}

#[test]
fn a_waker_that_panics_leaves_others_awake_when_there_is_room_or_never_will_be() {
    let model = Model::new();
    model.behave(Manners::IsFull);
    for act in [Engine::has_room as fn(&Engine), Engine::close] {
        let client = model.client(2);
        let mut reads = [(); 2].map(|()| client.submit(read(1)));
        poll_to_panic(&mut reads[0]);
        let count = poll_to_count(&mut reads[1]);
        panics(|| act(&client.handle.engine));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}

#[test]
#[cfg_attr(miri, ignore = "what it keeps for ever is a leak to Miri")]
fn a_waker_that_panics_leaves_others_awake_when_the_way_is_lost() {
    let (client, _reads, count) = one_behind_the_other(&Model::new());
    panics(|| client.handle.engine.lose("a test"));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_waker_that_panics_leaves_others_awake_when_a_batch_is_dropped() {
    let client = Model::new().client(2);
    let mut batch = client.batch();
    let mut reads = [(); 2].map(|()| batch.push(read(1)));
    poll_to_panic(&mut reads[0]);
    let count = poll_to_count(&mut reads[1]);
    panics(|| drop(batch));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn an_operation_that_panics_leaves_nothing_behind() {
    let model = Model::new();
    let client = model.client(3);
    panics(|| drop(client.submit(Impossible)));
    let mut batch = client.batch();
    let mut first = batch.push(read(1));
    let mut impossible = batch.push(Impossible);
    let mut last = batch.push(read(1));
    panics(|| drop(poll(&mut Box::pin(batch.submit()))));
    for read in [&mut first, &mut last] {
        assert_eq!(ready(read).unwrap().0, Err(Errno::CANCELED));
    }
    ready(&mut impossible).unwrap();
    assert_eq!((model.in_flight(), client.in_flight()), (0, 0));
    assert!(client.handle.engine.try_take_room(3), "all is there again");
}

#[test]
fn an_operation_that_panics_when_there_is_room_can_be_polled_again() {
    let model = Model::new();
    let client = model.client(1);
    let first = client.submit(read(1));
    let mut impossible = client.submit(Impossible);
    assert!(poll(&mut impossible).is_pending());
    drop(first);
    model.end(&client, 0, End::CANCELED, 0);
    panics(|| drop(poll(&mut impossible)));
    ready(&mut impossible).unwrap();
    assert!(client.handle.engine.try_take_room(1), "all is there again");
}

/// A waker that owns what waits for room as well, as the last one of a task does.
struct Owner(#[expect(dead_code, reason = "it is only dropped")] Mutex<InFlight<Read>>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn what_a_waker_owns_is_dropped_without_a_lock() {
    ends(|| {
        let model = Model::new();
        let client = model.client(1);
        let mut with_room = client.submit(read(1));
        let mut waits = client.submit(read(1));
        let owner = || {
            let mut owned = client.submit(read(1));
            assert!(poll(&mut owned).is_pending());
            Waker::from(Arc::new(Owner(Mutex::new(owned))))
        };
        for read in [&mut with_room, &mut waits] {
            // Replaced by another one, and dropped with the future.
            for waker in [owner(), owner()] {
                let mut context = Context::from_waker(&waker);
                assert!(Pin::new(&mut *read).poll(&mut context).is_pending());
            }
        }
        drop((waits, with_room));
        model.end(&client, 0, End::CANCELED, 0);
        assert!(client.handle.engine.try_take_room(1), "nobody waits");
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri does not fork")]
fn a_child_takes_no_lock() {
    let client = Model::new().client(3);
    // Another thread may hold it when the child is made.
    let state = client.handle.engine.state();
    // SAFETY: the child looks at memory and ends; where it waits for the lock, a signal ends it.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: it only sets a timer of the child.
            unsafe { libc::alarm(60) };
            let is_right = (client.depth(), client.in_flight()) == (3, 0);
            // SAFETY: it ends the child.
            unsafe { libc::_exit(i32::from(!is_right)) }
        }
        child => {
            let mut status = -1;
            // SAFETY: the status is a local variable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child");
        }
    }
    drop(state);
}

#[derive(Clone, Debug)]
enum Step {
    Submit,
    Chain,
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
    Cancel(prop::sample::Index),
    End(prop::sample::Index, u8),
    Full(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Step::Submit),
        1 => Just(Step::Chain),
        4 => index().prop_map(Step::Poll),
        2 => index().prop_map(Step::Drop),
        1 => index().prop_map(Step::Cancel),
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Step::End(at, byte)),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

/// What was submitted, of either kind.
enum Submitted {
    One(InFlight<Read>),
    Many(InFlight<Chain>),
}

impl Submitted {
    /// Whether it is over.
    fn poll(&mut self) -> bool {
        match self {
            Self::One(read) => poll(read).is_ready(),
            Self::Many(chain) => poll(chain).is_ready(),
        }
    }

    fn cancel(&mut self) {
        match self {
            Self::One(read) => {
                let _ = poll(&mut Box::pin(read.cancel()));
            }
            Self::Many(chain) => {
                let _ = poll(&mut Box::pin(chain.cancel()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever is submitted, polled, dropped, cancelled and ended in whatever order: the depth is
    /// kept, everything ends, and all room comes back.
    #[test]
    fn nothing_is_lost_whatever_happens(steps in prop::collection::vec(step(), 0..60)) {
        const DEPTH: usize = 4;
        let model = Model::new();
        let client = model.client(DEPTH);
        let mut futures: Vec<Submitted> = Vec::new();
        for step in steps {
            match step {
                Step::Submit => futures.push(Submitted::One(client.submit(read(3)))),
                Step::Chain => {
                    let mut chain = Chain::new();
                    chain.push(read(1));
                    chain.push(read(2));
                    futures.push(Submitted::Many(client.submit(chain)));
                }
                Step::Poll(which) if !futures.is_empty() => {
                    let at = which.index(futures.len());
                    if futures[at].poll() {
                        futures.swap_remove(at);
                    }
                }
                Step::Drop(which) if !futures.is_empty() => {
                    futures.swap_remove(which.index(futures.len()));
                }
                Step::Cancel(which) if !futures.is_empty() => {
                    let at = which.index(futures.len());
                    futures[at].cancel();
                    // Its output may have been taken by that.
                    futures.swap_remove(at);
                }
                Step::End(which, byte) if model.in_flight() > 0 => {
                    model.end(&client, which.index(model.in_flight()), RAN(1), byte);
                }
                Step::Full(is_full) => {
                    model.behave(if is_full { Manners::IsFull } else { Manners::Accepts });
                    client.handle.engine.has_room();
                }
                _ => {}
            }
            prop_assert!(model.in_flight() <= DEPTH);
            prop_assert_eq!(model.in_flight(), client.in_flight());
        }
        model.behave(Manners::Accepts);
        client.handle.engine.has_room();
        let mut rounds = 0;
        while !futures.is_empty() || model.in_flight() > 0 {
            futures.retain_mut(|future| !future.poll());
            while model.in_flight() > 0 {
                model.end(&client, 0, RAN(1), 0);
            }
            rounds += 1;
            prop_assert!(rounds < 1000, "stuck");
        }
        prop_assert!(client.handle.engine.try_take_room(DEPTH), "room was lost");
    }
}
