// SPDX-License-Identifier: GPL-2.0

//! The ring between one producer and one consumer, against a model made of two queues.

#![cfg(not(loom))]

mod queue;

use proptest::prelude::*;
use queue::Queue;
use rings::net::spsc::{channel, restart, Consumer, Error, TxQueue, MAX_CAPACITY};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Returns the index of the oldest item and the item, and leaves it there.
fn peek<T: Clone>(rx: &mut Consumer<T>) -> Option<(u32, T)> {
    let mut seen = None;
    let popped = rx.pop_if(|index, item| {
        seen = Some((index, item.clone()));
        false
    });
    assert!(popped.is_none());
    seen
}

#[test]
fn capacity_is_checked() {
    for capacity in [0, 1, 3, 6, 4095, 4097, 8192, 1 << 31, u32::MAX] {
        assert_eq!(channel::<u8>(capacity).err(), Some(Error::Invalid));
    }
    for capacity in [2, 4, 256, MAX_CAPACITY] {
        assert_eq!(channel::<u8>(capacity).unwrap().0.capacity(), capacity);
    }
}

#[test]
fn indices_go_round_and_counters_wrap() {
    let (mut tx, mut rx) = channel(4).unwrap();
    // Two laps before the wrap to three laps after it.
    for n in 0..20u32 {
        assert_eq!(tx.next_index(), n % 4);
        assert_eq!(tx.index_after(3), (n + 3) % 4);
        assert_eq!(tx.index_after(u32::MAX), n.wrapping_sub(1) % 4);
        assert_eq!(tx.push(n), Ok(n % 4));
        assert_eq!(peek(&mut rx), None);
        tx.publish();
        assert_eq!(peek(&mut rx), Some((n % 4, n)));
        assert_eq!((rx.pending(), tx.free()), (1, 3));
        assert_eq!(rx.pop(), Some(n));
        assert_eq!((rx.pending(), tx.free()), (0, 3));
        rx.release();
        assert_eq!(tx.free(), 4);
    }
}

#[test]
fn stop_and_wake() {
    let queue = Queue::default();
    let (mut tx, mut rx) = channel(4).unwrap();
    for n in 0..3 {
        tx.push(n).unwrap();
        tx.publish();
        assert_eq!(tx.stop_if_full(&queue, 2), n == 2);
    }
    rx.pop();
    rx.wake_if_stopped(&queue, 2);
    assert!(queue.is_stopped(), "nothing was released");
    rx.release();
    rx.wake_if_stopped(&queue, 3);
    assert!(queue.is_stopped(), "two are free, not three");
    rx.wake_if_stopped(&queue, 2);
    assert!(!queue.is_stopped());
}

#[test]
fn restart_goes_back_to_index_0() {
    let (mut tx, mut rx) = channel(4).unwrap();
    let (mut other, _) = channel::<u32>(4).unwrap();
    for n in 0..3 {
        tx.push(n).unwrap();
    }
    tx.publish();
    assert_eq!(rx.pop(), Some(0));
    tx.push(3).unwrap();
    assert!(!restart(&mut other, &mut rx, |_| panic!("another ring")));
    let mut items = Vec::new();
    assert!(restart(&mut tx, &mut rx, |item| items.push(item)));
    assert_eq!(items, [1, 2, 3]);
    assert_eq!((tx.next_index(), tx.free(), rx.pending()), (0, 4, 0));
    tx.push(9).unwrap();
    tx.publish();
    assert_eq!(peek(&mut rx), Some((0, 9)));
}

#[test]
fn two_threads() {
    const COUNT: u32 = 200_000;
    struct Flag(AtomicBool);
    impl TxQueue for Flag {
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
    let queue = Flag(AtomicBool::new(false));
    let (mut tx, mut rx) = channel(8).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..COUNT {
                // It sends only while the queue is not stopped: a lost wake-up hangs the test.
                // The queue may be woken once too often; then it is stopped again.
                while queue.is_stopped() || !tx.has_room(1) && tx.stop_if_full(&queue, 1) {
                    std::thread::yield_now();
                }
                assert!(tx.push(Box::new(n)).is_ok());
                tx.publish();
                tx.stop_if_full(&queue, 1);
            }
        });
        let mut expected = 0;
        while expected < COUNT {
            while let Some(item) = rx.pop() {
                assert_eq!(*item, expected);
                expected += 1;
            }
            rx.release();
            rx.wake_if_stopped(&queue, 4);
            std::thread::yield_now();
        }
    });
}

#[derive(Clone, Debug)]
enum Op {
    Push,
    Unpush,
    Publish,
    Pop,
    Release,
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => Just(Op::Push),
        1 => Just(Op::Unpush),
        4 => Just(Op::Publish),
        8 => Just(Op::Pop),
        4 => Just(Op::Release),
        1 => Just(Op::Restart),
    ];
    proptest::collection::vec(op, 0..400)
}

proptest! {
    #[test]
    fn like_queues(order in 1u32..=4, ops in ops()) {
        let capacity = 1u32 << order;
        let (mut tx, mut rx) = channel::<Rc<u32>>(capacity).unwrap();
        let (mut hidden, mut shown) = (VecDeque::new(), VecDeque::new());
        let (mut next, mut popped) = (0u32, 0u32);
        let mut index = 0u32;
        let mut all = Vec::new();

        for op in ops {
            let used = hidden.len() as u32 + shown.len() as u32 + popped;
            match op {
                Op::Push => {
                    let item = Rc::new(next);
                    all.push(Rc::clone(&item));
                    let result = tx.push(item);
                    if used < capacity {
                        prop_assert_eq!(result, Ok(index % capacity));
                        hidden.push_back(next);
                        index += 1;
                    } else {
                        prop_assert_eq!(result, Err(Rc::new(next)));
                    }
                    next += 1;
                }
                Op::Unpush => {
                    let item = hidden.pop_back();
                    index -= u32::from(item.is_some());
                    prop_assert_eq!(tx.unpush().map(|item| *item), item);
                }
                Op::Publish => {
                    tx.publish();
                    shown.append(&mut hidden);
                }
                Op::Pop => {
                    let item = shown.pop_front();
                    popped += u32::from(item.is_some());
                    prop_assert_eq!(peek(&mut rx).map(|(_, item)| *item), item);
                    prop_assert_eq!(rx.pop().map(|item| *item), item);
                }
                Op::Release => {
                    rx.release();
                    popped = 0;
                }
                Op::Restart => {
                    let mut left = VecDeque::new();
                    let same = restart(&mut tx, &mut rx, |item| left.push_back(*item));
                    prop_assert!(same);
                    shown.append(&mut hidden);
                    prop_assert_eq!(left, std::mem::take(&mut shown));
                    (popped, index) = (0, 0);
                }
            }
            let used = hidden.len() as u32 + shown.len() as u32 + popped;
            prop_assert_eq!(tx.free(), capacity - used);
            prop_assert_eq!(tx.unpublished(), hidden.len() as u32);
            prop_assert_eq!(tx.next_index(), index % capacity);
            prop_assert_eq!(rx.pending(), shown.len() as u32);
            for (n, item) in hidden.iter().enumerate() {
                let (_, seen) = tx.peek_unpublished(n as u32).unwrap();
                prop_assert_eq!(**seen, *item);
            }
            prop_assert!(tx.peek_unpublished(hidden.len() as u32).is_none());
        }

        // What is still inside is alive, once; it goes when the second half goes.
        let inside = hidden.len() + shown.len();
        let alive = |all: &[Rc<u32>]| all.iter().filter(|item| Rc::strong_count(item) == 2).count();
        prop_assert_eq!(alive(&all), inside);
        drop(tx);
        prop_assert_eq!(alive(&all), inside);
        drop(rx);
        prop_assert_eq!(alive(&all), 0);
    }
}
