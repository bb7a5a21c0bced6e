// SPDX-License-Identifier: GPL-2.0

//! The receive ring against a device that obeys and one that lies.

#![cfg(not(loom))]

mod memory;

use memory::{Event, Memory};
use proptest::prelude::*;
use rings::driver::ring::desc::{RxError, FS, LS, MAX_DESCRIPTORS, OWN};
use rings::driver::ring::rx::{RxBuffer, RxRing};
use rings::net::spsc::Error;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

const SIZE: u32 = 2048;

/// All buffers that are alive, by number.
type Alive = Rc<RefCell<BTreeSet<u64>>>;

#[derive(Debug)]
struct Buffer {
    number: u64,
    alive: Alive,
}

impl Buffer {
    fn new(number: u64, alive: &Alive) -> Self {
        assert!(alive.borrow_mut().insert(number));
        let alive = Rc::clone(alive);
        Self { number, alive }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        assert!(self.alive.borrow_mut().remove(&self.number));
    }
}

impl RxBuffer for Buffer {
    fn dma_address(&self) -> u64 {
        address(self.number)
    }
}

/// Above 4 GiB, so that a lost upper half shows.
fn address(number: u64) -> u64 {
    0x12_3456_0000 + number * 0x1000
}

fn ring(memory: &Memory, alive: &Alive) -> RxRing<Buffer> {
    RxRing::new(memory, SIZE, |index| {
        Ok::<_, Error>(Buffer::new(index.into(), alive))
    })
    .unwrap()
}

#[test]
fn a_new_ring_belongs_to_the_chip() {
    for count in [1, 2, 3, 256] {
        let (memory, alive) = (Memory::new(count), Alive::default());
        let mut ring = ring(&memory, &alive);
        for index in 0..count {
            let descriptor = memory.at(index);
            let end = if index == count - 1 { 1 << 30 } else { 0 };
            assert_eq!(descriptor.opts1, OWN | end | SIZE);
            assert_eq!(
                (descriptor.opts2, descriptor.address),
                (0, address(index.into()))
            );
        }
        assert!(ring.next(&memory).is_none());
        drop(ring);
        assert!(alive.borrow().is_empty());
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let make = |_| -> Result<Buffer, Error> { panic!("no buffer is needed") };
    for (count, size) in [(0, SIZE), (MAX_DESCRIPTORS + 1, SIZE), (4, 17), (4, 0x4000)] {
        let result = RxRing::new(&Memory::new(count), size, make);
        assert_eq!(result.err(), Some(Error::Invalid), "{count} of {size}");
    }
}

#[test]
fn no_memory_leaves_nothing_behind() {
    let (memory, alive) = (Memory::new(8), Alive::default());
    let result = RxRing::new(&memory, SIZE, |index| match index {
        5 => Err(Error::NoMemory),
        _ => Ok(Buffer::new(index.into(), &alive)),
    });
    assert_eq!(result.err(), Some(Error::NoMemory));
    assert!(alive.borrow().is_empty());
    assert_eq!(memory.take_log(), []);
}

#[test]
fn a_frame_is_read_in_order_and_exchanged() {
    let (memory, alive) = (Memory::new(4), Alive::default());
    let mut ring = ring(&memory, &alive);
    memory.device_writes(0, FS | LS | 64, 0x1_0203);
    memory.take_log();

    let received = ring.next(&memory).unwrap();
    assert_eq!(received.info().unwrap().length(), 60);
    assert_eq!(received.opts2().bits(u32::MAX), 0x1_0203);
    assert_eq!(received.buffer().number, 0);
    assert_eq!(
        memory.take_log(),
        [Event::ReadOpts1(0), Event::ReadBarrier, Event::ReadOpts2(0)]
    );

    let old = received.replace(&memory, Buffer::new(100, &alive));
    assert_eq!(old.number, 0);
    assert_eq!(
        memory.take_log(),
        [Event::Publish {
            index: 0,
            address: address(100),
            opts1: OWN | SIZE,
            opts2: 0
        }]
    );
}

#[test]
fn a_dropped_token_loses_nothing() {
    let (memory, alive) = (Memory::new(4), Alive::default());
    let mut ring = ring(&memory, &alive);
    memory.device_writes(0, FS | LS | 64, 0);
    assert!(ring.next(&memory).is_some());
    let received = ring.next(&memory).unwrap();
    assert_eq!(received.buffer().number, 0);
    received.recycle(&memory);
    assert_eq!(memory.at(0).address, address(0));
    assert!(memory.is_owned(0));
}

#[test]
fn restart_begins_at_0() {
    let (memory, alive) = (Memory::new(4), Alive::default());
    let mut ring = ring(&memory, &alive);
    for index in 0..2 {
        memory.device_writes(index, 0, 0);
        let received = ring.next(&memory).unwrap();
        assert_eq!(received.info(), Err(RxError::Fragmented));
        received.recycle(&memory);
    }
    memory.device_writes(2, 0, 0);
    ring.restart(&memory);
    assert!((0..4).all(|index| memory.is_owned(index)));
    memory.device_writes(0, FS | LS | 64, 0);
    assert_eq!(ring.next(&memory).unwrap().buffer().number, 0);
}

#[derive(Clone, Debug)]
enum Op {
    /// The device finishes its next descriptor with a good frame of this length.
    Obey(u32),
    /// The device writes anything anywhere.
    Lie(u32, u32, u32),
    /// The driver takes the next frame and exchanges the buffer; it may fail to get one.
    Take(bool),
    /// The driver keeps what it took no longer.
    Free,
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let word = prop_oneof![
        any::<u32>(),
        any::<u32>().prop_map(|word| word & !OWN),
        (0u32..64).prop_map(|length| FS | LS | length),
    ];
    let op = prop_oneof![
        4 => (18..=SIZE).prop_map(Op::Obey),
        4 => (any::<u32>(), word, any::<u32>()).prop_map(|(i, a, b)| Op::Lie(i, a, b)),
        8 => any::<bool>().prop_map(Op::Take),
        1 => Just(Op::Free),
        1 => Just(Op::Restart),
    ];
    proptest::collection::vec(op, 0..300)
}

proptest! {
    #[test]
    fn never_a_hole(count in 1u32..12, ops in ops()) {
        let (memory, alive) = (Memory::new(count), Alive::default());
        let mut ring = ring(&memory, &alive);
        // Which buffer the ring must have in which slot.
        let mut slots: Vec<u64> = (0..count.into()).collect();
        let mut taken: Vec<Buffer> = Vec::new();
        let (mut fresh, mut next, mut device) = (1000, 0u32, 0u32);

        for op in ops {
            match op {
                Op::Obey(length) => {
                    if memory.is_owned(device) {
                        memory.device_writes(device, FS | LS | length, 0);
                        device = (device + 1) % count;
                    }
                }
                Op::Lie(index, opts1, opts2) => memory.device_writes(index % count, opts1, opts2),
                Op::Take(buffer) => {
                    let owned = memory.is_owned(next);
                    let Some(received) = ring.next(&memory) else {
                        prop_assert!(owned);
                        continue;
                    };
                    prop_assert!(!owned);
                    let slot = &mut slots[next as usize];
                    prop_assert_eq!(received.buffer().number, *slot);
                    if let Ok(info) = received.info() {
                        prop_assert!((14..=SIZE - 4).contains(&info.length()));
                    }
                    if buffer && received.info().is_ok() {
                        let old = received.replace(&memory, Buffer::new(fresh, &alive));
                        prop_assert_eq!(old.number, std::mem::replace(slot, fresh));
                        taken.push(old);
                        fresh += 1;
                    } else {
                        received.recycle(&memory);
                    }
                    // The chip has the descriptor again, with the address of what is in the slot.
                    let descriptor = memory.at(next);
                    prop_assert_eq!(descriptor.opts1 & (OWN | 0x3fff), OWN | SIZE);
                    prop_assert_eq!(descriptor.address, address(*slot));
                    next = (next + 1) % count;
                }
                Op::Free => taken.clear(),
                Op::Restart => {
                    ring.restart(&memory);
                    (next, device) = (0, 0);
                }
            }
            // Every buffer is in the ring or in the driver's hands, exactly once.
            let accounted: BTreeSet<u64> =
                slots.iter().copied().chain(taken.iter().map(|buffer| buffer.number)).collect();
            prop_assert_eq!(accounted.len(), slots.len() + taken.len());
            prop_assert_eq!(&accounted, &*alive.borrow());
        }
        drop(ring);
        drop(taken);
        prop_assert!(alive.borrow().is_empty());
    }
}
