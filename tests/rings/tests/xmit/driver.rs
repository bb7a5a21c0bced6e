// SPDX-License-Identifier: GPL-2.0

//! The driver's own path of a frame, at the place that it has in the kernel module, and what it
//! uses of the rest of the driver, by the same names.

pub use rings::driver::ring;

#[path = "../../../../rust/driver/xmit.rs"]
pub mod xmit;

use crate::net::pci;
use memory::{Chip, Descriptors, Mapped};
use nic::Nic;
use ring::tx::TxProducer;
use std::rc::Rc;
use xmit::TxState;

/// Makes the half that sends, for frames up to 1514 bytes.
pub fn xmit(memory: Descriptors<'static>, ring: TxProducer<Mapped>) -> TxState<'static> {
    let xmit = TxState::new(memory, ring, false);
    assert!(!xmit.is_jumbo());
    xmit
}

/// Makes the driver of a chip.
pub fn nic(pdev: &'static pci::Device, chip: &Rc<Chip>) -> Nic<'static> {
    Nic {
        pdev,
        hw: hw::Hw(Rc::clone(chip)),
    }
}

pub mod hw {
    use super::memory::Chip;
    use std::rc::Rc;

    pub const HEADER: u32 = 14;
    pub const ORDINARY_MTU: u32 = 1500;

    pub struct Hw(pub Rc<Chip>);

    impl Hw {
        pub fn ring_doorbell(&self) {
            self.0.doorbells.set(self.0.doorbells.get() + 1);
        }
    }
}

pub mod nic {
    use super::hw::Hw;
    use crate::net::pci;

    pub struct Nic<'a> {
        pub pdev: &'a pci::Device,
        pub hw: Hw,
    }
}

pub mod memory {
    use super::ring::desc::{DescriptorMemory, FS, OWN};
    use super::ring::tx::{self, TxConsumer, TxProducer};
    use crate::memory::Memory;
    use crate::net::fragment::MappedFragment;
    use rings::net::from_device::FromDevice;
    use std::cell::{Cell, RefCell};
    use std::marker::PhantomData;
    use std::rc::Rc;

    pub type Mapped = MappedFragment<'static>;

    /// A chip, and the poll that its interrupt starts.
    pub struct Chip {
        memory: Memory,
        /// It is at work, and sends what it finds without a doorbell.
        busy: bool,
        /// The poll runs at once when it has sent something.
        pub interrupts: Cell<bool>,
        consumer: RefCell<Option<TxConsumer<Mapped>>>,
        /// The descriptors that it has given back.
        pub sent: Cell<u32>,
        /// The frames that polls have found.
        pub completed: Cell<u32>,
        pub doorbells: Cell<u32>,
    }

    impl Chip {
        pub fn new(count: u32, busy: bool) -> Self {
            Self {
                memory: Memory::new(count),
                busy,
                interrupts: Cell::new(true),
                consumer: RefCell::new(None),
                sent: Cell::new(0),
                completed: Cell::new(0),
                doorbells: Cell::new(0),
            }
        }

        /// Makes the ring, and keeps the half that completes.
        pub fn open(&self, memory: &Descriptors<'static>) -> TxProducer<Mapped> {
            let (producer, consumer) = tx::channel(memory).unwrap();
            self.consumer.replace(Some(consumer));
            producer
        }

        /// Completes what there is to complete.
        pub fn poll(&self) {
            let mut consumer = self.consumer.borrow_mut();
            let consumer = consumer.as_mut().unwrap();
            while consumer.next_done(&self.memory).is_some() {
                self.completed.set(self.completed.get() + 1);
            }
            consumer.release();
        }
    }

    #[derive(Clone)]
    pub struct Descriptors<'a>(Rc<Chip>, PhantomData<&'a ()>);

    impl Descriptors<'_> {
        pub fn of(chip: &Rc<Chip>) -> Self {
            Self(Rc::clone(chip), PhantomData)
        }
    }

    impl DescriptorMemory for Descriptors<'_> {
        fn count(&self) -> u32 {
            self.0.memory.count()
        }

        fn opts1(&self, index: u32) -> FromDevice<u32> {
            self.0.memory.opts1(index)
        }

        fn opts2(&self, index: u32) -> FromDevice<u32> {
            self.0.memory.opts2(index)
        }

        fn rmb(&self) {
            self.0.memory.rmb();
        }

        fn publish(&self, index: u32, address: u64, opts1: u32, opts2: u32) {
            let chip = &self.0;
            chip.memory.publish(index, address, opts1, opts2);
            // The first descriptor comes last: now the chip has a frame.
            if chip.busy && opts1 & (OWN | FS) == OWN | FS {
                chip.memory.device_finishes(index);
                chip.sent.set(chip.sent.get() + 1);
                if chip.interrupts.get() {
                    chip.poll();
                }
            }
        }
    }
}
