// SPDX-License-Identifier: GPL-2.0

//! The transmit ring against a device that obeys and one that lies.

#![cfg(not(loom))]

mod memory;
mod queue;

use memory::{Event, Memory};
use proptest::prelude::*;
use queue::Queue;
use rings::driver::ring::desc::{TxCommand, EOR, FS, LS, MAX_DESCRIPTORS, OWN};
use rings::driver::ring::tx::{channel, restart, PushError, TxConsumer, TxFragment, TxProducer};
use rings::net::spsc::{Error, TxQueue as _};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A fragment; the last one of a frame carries the frame's number.
#[derive(Debug)]
struct Fragment {
    number: u64,
    length: u32,
    frame: Option<u64>,
    alive: Rc<Cell<i64>>,
}

impl Fragment {
    fn new(number: u64, length: u32, frame: Option<u64>, alive: &Rc<Cell<i64>>) -> Self {
        alive.set(alive.get() + 1);
        Self {
            number,
            length,
            frame,
            alive: Rc::clone(alive),
        }
    }
}

impl Drop for Fragment {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

impl TxFragment for Fragment {
    fn dma_address(&self) -> u64 {
        address(self.number)
    }
    fn length(&self) -> u32 {
        self.length
    }
}

fn address(number: u64) -> u64 {
    0x12_3456_0000 + number * 0x1000
}

struct Bench {
    memory: Memory,
    alive: Rc<Cell<i64>>,
    tx: TxProducer<Fragment>,
    rx: TxConsumer<Fragment>,
}

impl Bench {
    fn new(count: u32) -> Self {
        let memory = Memory::new(count);
        let (tx, rx) = channel(&memory).unwrap();
        memory.take_log();
        let alive = Rc::default();
        Self {
            memory,
            alive,
            tx,
            rx,
        }
    }

    fn fragment(&self, number: u64, length: u32) -> Fragment {
        Fragment::new(number, length, Some(number), &self.alive)
    }

    /// Returns how many descriptors are free.
    fn free(&mut self) -> u32 {
        let full = (1..).find(|&need| !self.tx.has_room(need));
        full.unwrap_or(u32::MAX) - 1
    }

    fn post(&mut self, number: u64) -> Result<(), PushError> {
        let fragment = self.fragment(number, 60);
        self.tx.post(&self.memory, fragment, TxCommand::plain())
    }
}

#[test]
fn a_new_ring_is_idle() {
    for count in [2, 4, 256] {
        let bench = Bench::new(count);
        for index in 0..count {
            let end = if index == count - 1 { EOR } else { 0 };
            assert_eq!(bench.memory.at(index).opts1, end);
        }
        assert!(!bench.tx.finished_early(&bench.memory));
    }
    for count in [0, 1, 3, MAX_DESCRIPTORS * 2] {
        let result = channel::<Fragment>(&Memory::new(count));
        assert_eq!(result.err(), Some(Error::Invalid));
    }
}

#[test]
fn one_fragment_is_a_frame() {
    let mut bench = Bench::new(4);
    bench.post(7).unwrap();
    let expected = Event::Publish {
        index: 0,
        address: address(7),
        opts1: OWN | FS | LS | 60,
        opts2: 0,
    };
    assert_eq!(bench.memory.take_log(), [expected]);
    assert!(bench.rx.next_done(&bench.memory).is_none());
    assert!(!bench.tx.finished_early(&bench.memory));

    bench.memory.device_finishes(0);
    assert!(bench.tx.finished_early(&bench.memory));
    bench.memory.take_log();
    assert_eq!(bench.rx.next_done(&bench.memory).unwrap().number, 7);
    // Completion reads OWN and nothing else.
    assert_eq!(bench.memory.take_log(), [Event::ReadOpts1(0)]);
    assert_eq!(bench.free(), 3);
    bench.rx.release();
    assert_eq!(bench.free(), 4);
    assert!(!bench.tx.finished_early(&bench.memory));
}

#[test]
fn the_first_own_comes_last_also_around_the_end() {
    let mut bench = Bench::new(4);
    for number in 0..3 {
        bench.post(number).unwrap();
        bench.memory.device_finishes(number as u32);
        assert!(bench.rx.next_done(&bench.memory).is_some());
    }
    bench.rx.release();
    bench.memory.take_log();

    let mut frame = bench
        .tx
        .begin(Fragment::new(3, 100, None, &bench.alive))
        .unwrap();
    frame
        .push(Fragment::new(4, 200, None, &bench.alive))
        .unwrap();
    frame
        .push(Fragment::new(5, 0xffff, Some(5), &bench.alive))
        .unwrap();
    assert_eq!(
        bench.memory.take_log(),
        [],
        "nothing is written before commit"
    );
    frame.commit(&bench.memory, TxCommand::plain());
    assert_eq!(
        Memory::published(&bench.memory.take_log()),
        [
            (1, OWN | LS | 0xffff),
            (0, OWN | 200),
            (3, OWN | EOR | FS | 100)
        ]
    );
}

#[test]
fn giving_up_leaves_no_trace() {
    let mut bench = Bench::new(2);
    let mut frame = bench
        .tx
        .begin(Fragment::new(0, 60, None, &bench.alive))
        .unwrap();
    frame
        .push(Fragment::new(1, 60, None, &bench.alive))
        .unwrap();
    let refused = frame
        .push(Fragment::new(2, 60, Some(0), &bench.alive))
        .unwrap_err();
    assert_eq!((refused, bench.alive.get()), (PushError::Full, 2));
    drop(frame);
    assert_eq!(bench.alive.get(), 0);
    assert_eq!(bench.memory.take_log(), []);
    assert_eq!((bench.free(), bench.rx.pending()), (2, 0));

    // Not even a frame that was leaked.
    std::mem::forget(bench.tx.begin(Fragment::new(3, 60, None, &bench.alive)));
    bench.post(4).unwrap();
    assert_eq!(bench.alive.get(), 1);
    assert_eq!(
        (bench.rx.pending(), bench.memory.at(0).address),
        (1, address(4))
    );
}

#[test]
fn impossible_lengths_are_refused() {
    let mut bench = Bench::new(2);
    for length in [0, 0x1_0000, u32::MAX] {
        let fragment = bench.fragment(0, length);
        let refused = bench.tx.begin(fragment).err().unwrap();
        assert_eq!(refused, PushError::Length);
    }
    assert_eq!((bench.free(), bench.alive.get()), (2, 0));
}

#[test]
fn restart_takes_everything_back() {
    let mut bench = Bench::new(4);
    for number in 0..3 {
        bench.post(number).unwrap();
    }
    bench.memory.device_finishes(0);
    assert!(bench.rx.next_done(&bench.memory).is_some());
    let mut numbers = Vec::new();
    assert!(restart(
        &mut bench.tx,
        &mut bench.rx,
        &bench.memory,
        |fragment| {
            numbers.push(fragment.number);
        }
    ));
    assert_eq!(numbers, [1, 2]);
    assert!((0..4).all(|index| !bench.memory.is_owned(index)));
    bench.post(9).unwrap();
    assert_eq!(bench.memory.at(0).address, address(9));

    let mut other = Bench::new(4);
    assert!(!restart(&mut bench.tx, &mut other.rx, &bench.memory, drop));
    assert!(bench.memory.is_owned(0));
}

#[test]
fn the_queue_stops_and_wakes() {
    let (mut bench, queue) = (Bench::new(4), Queue::default());
    for number in 0..4 {
        bench.post(number).unwrap();
        assert_eq!(bench.tx.stop_if_full(&queue, 2), number >= 2);
    }
    assert_eq!(bench.post(4), Err(PushError::Full));
    for index in 0..2 {
        bench.memory.device_finishes(index);
        assert!(bench.rx.next_done(&bench.memory).is_some());
        bench.rx.release();
        bench.rx.wake_if_stopped(&queue, 2);
        assert_eq!(queue.is_stopped(), index == 0);
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// The driver sends a frame of these fragments, or gives up after so many.
    Send(Vec<u32>, Option<usize>),
    /// The device sends what it owns next.
    Obey,
    /// The device writes anything anywhere.
    Lie(u32, u32, u32),
    /// The driver completes up to so many fragments.
    Reap(usize),
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let lengths = proptest::collection::vec(1u32..=0xffff, 1..6);
    let op = prop_oneof![
        6 => (lengths, proptest::option::weighted(0.2, 0usize..5)).prop_map(|(l, g)| Op::Send(l, g)),
        12 => Just(Op::Obey),
        2 => (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(i, a, b)| Op::Lie(i, a, b)),
        6 => (0usize..6).prop_map(Op::Reap),
        1 => Just(Op::Restart),
    ];
    proptest::collection::vec(op, 0..300)
}

/// Checks that the log of one commit is the frame at `start`: back to front, first OWN last.
fn check_frame(log: &[Event], start: u32, count: u32, numbers: &[u64], lengths: &[u32]) {
    assert_eq!(log.len(), numbers.len());
    for (event, nth) in log.iter().zip((0..numbers.len()).rev()) {
        let slot = (start + nth as u32) % count;
        let flags = [
            (true, OWN),
            (nth == 0, FS),
            (nth == numbers.len() - 1, LS),
            (slot == count - 1, EOR),
        ];
        let flags: u32 = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).sum();
        let expected = Event::Publish {
            index: slot,
            address: address(numbers[nth]),
            opts1: flags | lengths[nth],
            opts2: 0,
        };
        assert_eq!(*event, expected);
    }
}

proptest! {
    #[test]
    fn every_fragment_once(order in 1u32..=3, lies: bool, ops in ops()) {
        let count = 1u32 << order;
        let mut bench = Bench::new(count);
        let alive = Rc::clone(&bench.alive);
        let mut inside: VecDeque<u64> = VecDeque::new();
        let (mut number, mut head, mut device) = (0u64, 0u32, 0u32);

        for op in ops {
            match op {
                Op::Send(lengths, give_up) => {
                    let room = bench.tx.has_room(lengths.len() as u32);
                    prop_assert_eq!(room, inside.len() + lengths.len() <= count as usize);
                    let numbers: Vec<u64> = (number..).take(lengths.len()).collect();
                    number += lengths.len() as u64;
                    let mut pieces = numbers.iter().zip(&lengths).map(|(&number, &length)| {
                        let last = Some(number).filter(|_| Some(&number) == numbers.last());
                        Fragment::new(number, length, last, &alive)
                    });
                    let sent = match bench.tx.begin(pieces.next().unwrap()) {
                        Ok(mut frame) => {
                            let given_up = give_up.is_some_and(|after| after < lengths.len());
                            let limit = give_up.unwrap_or(lengths.len());
                            let all = pieces.take(limit).all(|piece| frame.push(piece).is_ok());
                            if all && !given_up {
                                frame.commit(&bench.memory, TxCommand::plain());
                                true
                            } else {
                                false
                            }
                        }
                        Err(refused) => {
                            prop_assert_eq!(refused, PushError::Full);
                            false
                        }
                    };
                    let log = bench.memory.take_log();
                    if sent {
                        prop_assert!(room);
                        check_frame(&log, head, count, &numbers, &lengths);
                        head = (head + lengths.len() as u32) % count;
                        inside.extend(numbers);
                    } else {
                        prop_assert!(log.is_empty());
                    }
                }
                Op::Obey => {
                    if bench.memory.is_owned(device) {
                        bench.memory.device_finishes(device);
                        device = (device + 1) % count;
                    }
                }
                Op::Lie(index, opts1, opts2) => {
                    if lies {
                        bench.memory.device_writes(index % count, opts1, opts2);
                    }
                }
                Op::Reap(max) => {
                    for _ in 0..max {
                        let Some(fragment) = bench.rx.next_done(&bench.memory) else { break };
                        // In order, and never one that was not sent.
                        prop_assert_eq!(Some(fragment.number), inside.pop_front());
                        prop_assert!(fragment.frame.is_none_or(|frame| frame == fragment.number));
                    }
                    bench.rx.release();
                    prop_assert!(bench.memory.take_log().iter().all(
                        |event| matches!(event, Event::ReadOpts1(_))
                    ));
                }
                Op::Restart => {
                    let mut left = VecDeque::new();
                    restart(&mut bench.tx, &mut bench.rx, &bench.memory, |fragment| {
                        left.push_back(fragment.number);
                    });
                    prop_assert_eq!(left, std::mem::take(&mut inside));
                    (head, device) = (0, 0);
                    bench.memory.take_log();
                }
            }
            prop_assert_eq!(alive.get(), inside.len() as i64);
            prop_assert_eq!(bench.rx.pending() as usize, inside.len());
            prop_assert_eq!(bench.free() + bench.rx.pending(), count);
        }
        drop(bench);
        prop_assert_eq!(alive.get(), 0);
    }
}
