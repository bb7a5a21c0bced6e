// SPDX-License-Identifier: GPL-2.0

//! The protocol between the halves of the ring, in every order that the memory model allows.
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release --test loom

#![cfg(loom)]

use loom::sync::atomic::{fence, AtomicBool, AtomicU32, Ordering};
use loom::sync::Arc;
use loom::thread;
use rings::driver::ring::desc::{DescriptorMemory, TxCommand, OWN};
use rings::driver::ring::tx::{self, TxFragment};
use rings::net::from_device::FromDevice;
use rings::net::spsc::{channel, Consumer, Producer, TxQueue};

/// A stop flag that orders nothing, as the trait wants it.
struct Queue(AtomicBool);

impl Queue {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false)))
    }
}

impl TxQueue for Queue {
    fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    fn wake(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An item whose content is not atomic: loom sees a race on it, and a leak of it.
type Item = Box<u32>;

fn drain(rx: &mut Consumer<Item>, expected: &mut u32) {
    while let Some(item) = rx.pop_if(|_, item| {
        assert_eq!(**item, *expected);
        true
    }) {
        assert_eq!(*item, *expected);
        *expected += 1;
    }
    rx.release();
}

#[test]
fn items_arrive_once_and_in_order() {
    loom::model(|| {
        let (mut tx, mut rx) = channel::<Item>(2).unwrap();
        let producer = thread::spawn(move || {
            let mut sent = 0;
            // Slots are used again as soon as the other thread lets them go.
            for _ in 0..4 {
                if tx.push(Box::new(sent)).is_ok() {
                    sent += 1;
                    tx.publish();
                }
            }
            (tx, sent)
        });
        let mut received = 0;
        drain(&mut rx, &mut received);
        drain(&mut rx, &mut received);
        let (tx, sent) = producer.join().unwrap();
        assert_eq!(rx.pending(), sent - received);
        drain(&mut rx, &mut received);
        assert_eq!((received, tx.free()), (sent, 2));
    });
}

#[test]
fn what_is_unpublished_is_unseen() {
    loom::model(|| {
        let (mut tx, mut rx) = channel::<Item>(2).unwrap();
        let producer = thread::spawn(move || {
            tx.push(Box::new(0)).unwrap();
            tx.push(Box::new(9)).unwrap();
            assert_eq!(*tx.peek_unpublished(1).unwrap().1, Box::new(9));
            assert_eq!(*tx.unpush().unwrap(), 9);
            tx.publish();
        });
        let mut received = 0;
        drain(&mut rx, &mut received);
        producer.join().unwrap();
        drain(&mut rx, &mut received);
        assert_eq!(received, 1);
    });
}

#[test]
fn the_last_half_drops_the_items() {
    loom::model(|| {
        let (mut tx, rx) = channel::<std::sync::Arc<()>>(2).unwrap();
        let item = std::sync::Arc::new(());
        tx.push(item.clone()).unwrap();
        tx.publish();
        tx.push(item.clone()).unwrap();
        let producer = thread::spawn(move || drop(tx));
        drop(rx);
        producer.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
    });
}

/// Sends up to `frames` frames as the network core would: not while the queue is stopped.
fn send(tx: &mut Producer<Item>, queue: &Queue, frames: std::ops::Range<u32>, need: u32) {
    for n in frames {
        if queue.is_stopped() {
            break;
        }
        // The queue may have been woken once too often.
        if !tx.has_room(1) && tx.stop_if_full(queue, need) {
            break;
        }
        tx.push(Box::new(n)).unwrap();
        tx.publish();
        tx.stop_if_full(queue, need);
    }
}

/// Sends on one thread and polls on the other; whatever the order, somebody must be left to wake a
/// stopped queue.
fn stop_and_wake(capacity: u32, frames: u32, need: u32, polls: u32, threshold: u32) {
    let queue = Queue::new();
    let (mut tx, mut rx) = channel::<Item>(capacity).unwrap();
    // All but the last free slots are taken before the two meet.
    send(&mut tx, &queue, 0..capacity - need, need);
    let producer = thread::spawn({
        let queue = Arc::clone(&queue);
        move || {
            let start = capacity - need;
            send(&mut tx, &queue, start..start + frames, need);
            tx
        }
    });
    for _ in 0..polls {
        while rx.pop().is_some() {}
        rx.release();
        rx.wake_if_stopped(&*queue, threshold);
    }
    let tx = producer.join().unwrap();
    // What is still in the ring will be completed, and that wakes the queue. If nothing is,
    // the queue must run.
    let pending = rx.pending();
    assert!(!queue.is_stopped() || pending > 0, "{} free", tx.free());
}

/// A ring that gets full while the consumer empties it.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| stop_and_wake(2, 1, 1, 2, 1));
}

/// Frames may need several slots, and the threshold is above that.
#[test]
fn no_wake_up_is_lost_above_a_threshold() {
    loom::model(|| stop_and_wake(4, 1, 2, 1, 3));
}

/// The producer goes on when the queue was woken. Longer, so with few preemptions.
#[test]
fn no_wake_up_is_lost_in_the_long_run() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| stop_and_wake(2, 3, 1, 2, 1));
}

/// Descriptors in memory that two threads share without any order of its own.
struct Memory([AtomicU32; 2]);

impl DescriptorMemory for Memory {
    fn count(&self) -> u32 {
        2
    }
    fn opts1(&self, index: u32) -> FromDevice<u32> {
        FromDevice::new(self.0[index as usize].load(Ordering::Relaxed))
    }
    fn opts2(&self, _: u32) -> FromDevice<u32> {
        panic!("completion reads OWN only");
    }
    fn rmb(&self) {
        fence(Ordering::Acquire);
    }
    fn publish(&self, index: u32, _: u64, opts1: u32, _: u32) {
        self.0[index as usize].store(opts1, Ordering::Release);
    }
}

struct Fragment(u64);

impl TxFragment for Fragment {
    fn dma_address(&self) -> u64 {
        self.0
    }
    fn length(&self) -> u32 {
        60
    }
}

/// The chip may finish, and interrupt, before the slots are published: then the driver must know.
#[test]
fn no_completion_is_lost() {
    loom::model(|| {
        let memory = Arc::new(Memory([AtomicU32::new(0), AtomicU32::new(0)]));
        let (mut tx, mut rx) = tx::channel(&*memory).unwrap();
        let chip = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                // The chip sends what it finds and interrupts; the interrupt is a full barrier.
                // The poll runs at once, on this CPU.
                let mut reaped = 0;
                let opts1 = memory.0[0].load(Ordering::Acquire);
                let sent = opts1 & OWN != 0;
                if sent {
                    memory.0[0].store(opts1 & !OWN, Ordering::Release);
                    fence(Ordering::SeqCst);
                    while rx.next_done(&*memory).is_some() {
                        reaped += 1;
                    }
                    rx.release();
                }
                (sent, reaped)
            }
        });
        tx.post(&*memory, Fragment(1), TxCommand::plain())
            .ok()
            .unwrap();
        let poll = tx.finished_early(&*memory);
        let (sent, reaped) = chip.join().unwrap();
        assert!(!sent || reaped == 1 || poll, "the interrupt found nothing");
        assert!(sent || !poll, "the chip has not finished");
    });
}

/// The consumer never takes the cleared OWN of the lap before for a completion.
#[test]
fn nothing_is_completed_before_it_is_sent() {
    loom::model(|| {
        let memory = Arc::new(Memory([AtomicU32::new(0), AtomicU32::new(0)]));
        let (mut tx, mut rx) = tx::channel(&*memory).unwrap();
        let poll = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                // No chip runs here, so nothing may be done.
                assert!(rx.next_done(&*memory).is_none());
                rx
            }
        });
        let mut frame = tx.begin(Fragment(1)).ok().unwrap();
        frame.push(Fragment(2)).ok().unwrap();
        frame.commit(&*memory, TxCommand::plain());
        let rx = poll.join().unwrap();
        assert_eq!(rx.pending(), 2);
    });
}
