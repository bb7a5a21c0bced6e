//! Descriptors that are given back later than the interrupt says ([`FaultKind::DelayOwn`]).

use std::collections::VecDeque;

use crate::bus::Bus;
use crate::bus::BusError;
use crate::chip::Chip;
use crate::faults::FaultKind;

/// The limit of delayed write-backs; beyond it all are immediate.
const MAX_DELAYED: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Word {
    due: u64,
    address: u64,
    opts1: u32,
    interrupt: u16,
}

/// Descriptors that have not been given back, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct DelayedWritebacks(VecDeque<Word>);

impl DelayedWritebacks {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.0.front().map(|word| word.due)
    }

    /// Returns whether the descriptor at this address is delayed: to the chip, it is the driver's already.
    pub(crate) fn contains(&self, address: u64) -> bool {
        self.0.iter().any(|word| word.address == address)
    }

    /// Has all of them be due.
    pub(crate) fn make_due(&mut self) {
        for word in &mut self.0 {
            word.due = 0;
        }
    }
}

impl Chip {
    /// Gives a descriptor to the driver, now or delayed. One ring's descriptors keep their order: while any is delayed,
    /// so are those that follow.
    pub(crate) fn hand_over(
        &mut self,
        bus: &mut dyn Bus,
        address: u64,
        opts1: u32,
        interrupt: u16,
    ) -> Result<(), BusError> {
        let room = self.delayed.0.len() < MAX_DELAYED;
        let fires = room && self.faults.fires(FaultKind::DelayOwn);
        if !fires && self.delayed.0.is_empty() {
            return bus.store(address, opts1);
        }
        if !room {
            self.delayed.make_due();
            self.give_back(bus);
            return bus.store(address, opts1);
        }
        let due = match self.delayed.0.back() {
            Some(last) if !fires => last.due,
            _ => self
                .now
                .saturating_add(self.faults.delay(FaultKind::DelayOwn)),
        };
        self.delayed.0.push_back(Word {
            due,
            address,
            opts1,
            interrupt,
        });
        Ok(())
    }

    /// Gives back the descriptors that are due, if the bus can be used.
    pub(crate) fn give_back(&mut self, bus: &mut dyn Bus) {
        if !self.can_transfer() {
            return;
        }
        let mut any = false;
        while let Some(&word) = self.delayed.0.front().filter(|word| word.due <= self.now) {
            self.delayed.0.pop_front();
            any = true;
            if let Err(fault) = bus.store(word.address, word.opts1) {
                self.dma_fault("delayed descriptor", word.address, fault);
            } else {
                self.raise(word.interrupt);
            }
        }
        if any {
            self.run_tx(bus);
        }
    }
}
