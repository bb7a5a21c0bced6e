// SPDX-License-Identifier: GPL-2.0

//! The memory of a ring, with a log of what the driver did to it and a hand for the device.

use rings::driver::ring::desc::{DescriptorMemory, EOR, OWN};
use rings::net::from_device::FromDevice;
use std::cell::{Cell, RefCell};

/// One access of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    ReadOpts1(u32),
    ReadOpts2(u32),
    ReadBarrier,
    Publish {
        index: u32,
        address: u64,
        opts1: u32,
        opts2: u32,
    },
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptor {
    pub opts1: u32,
    pub opts2: u32,
    pub address: u64,
}

pub struct Memory {
    descriptors: Vec<Cell<Descriptor>>,
    log: RefCell<Vec<Event>>,
}

// Not every test uses every method.
#[allow(dead_code)]
impl Memory {
    pub fn new(count: u32) -> Self {
        // Stale ownership: a ring that forgets to write a descriptor shows it.
        let stale = Descriptor {
            opts1: 0xdead_beef | OWN,
            opts2: 0xdead_beef,
            address: 0xdead_beef,
        };
        Self {
            descriptors: (0..count).map(|_| Cell::new(stale)).collect(),
            log: RefCell::default(),
        }
    }

    pub fn at(&self, index: u32) -> Descriptor {
        self.descriptors[index as usize].get()
    }

    /// The device writes both words.
    pub fn device_writes(&self, index: u32, opts1: u32, opts2: u32) {
        let cell = &self.descriptors[index as usize];
        cell.set(Descriptor {
            opts1,
            opts2,
            ..cell.get()
        });
    }

    /// The device does what it should: it only clears OWN.
    pub fn device_finishes(&self, index: u32) {
        let was = self.at(index);
        self.device_writes(index, was.opts1 & !OWN, was.opts2);
    }

    pub fn is_owned(&self, index: u32) -> bool {
        self.at(index).opts1 & OWN != 0
    }

    /// Returns and clears the log.
    pub fn take_log(&self) -> Vec<Event> {
        self.log.take()
    }

    pub fn published(log: &[Event]) -> Vec<(u32, u32)> {
        log.iter()
            .filter_map(|event| match event {
                Event::Publish { index, opts1, .. } => Some((*index, *opts1)),
                _ => None,
            })
            .collect()
    }
}

impl DescriptorMemory for Memory {
    fn count(&self) -> u32 {
        self.descriptors.len() as u32
    }

    fn opts1(&self, index: u32) -> FromDevice<u32> {
        self.log.borrow_mut().push(Event::ReadOpts1(index));
        FromDevice::new(self.at(index).opts1)
    }

    fn opts2(&self, index: u32) -> FromDevice<u32> {
        self.log.borrow_mut().push(Event::ReadOpts2(index));
        FromDevice::new(self.at(index).opts2)
    }

    fn rmb(&self) {
        self.log.borrow_mut().push(Event::ReadBarrier);
    }

    fn publish(&self, index: u32, address: u64, opts1: u32, opts2: u32) {
        let last = self.count() - 1;
        assert!(index <= last, "descriptor {index} does not exist");
        assert_eq!(opts1 & EOR != 0, index == last, "EOR at {index}");
        self.log.borrow_mut().push(Event::Publish {
            index,
            address,
            opts1,
            opts2,
        });
        self.descriptors[index as usize].set(Descriptor {
            opts1,
            opts2,
            address,
        });
    }
}
