// SPDX-License-Identifier: GPL-2.0

//! Descriptors that are given back later than the interrupt says ([`FaultKind::DelayOwn`]).

use std::collections::VecDeque;

use crate::bus::Bus;
use crate::bus::BusError;
use crate::chip::Chip;
use crate::faults::FaultKind;

/// The limit of delayed write-backs; beyond it all are immediate.
const MAX_DELAYED: usize = 256;

/// A descriptor's first word that is to be written, and the event of that.
#[derive(Clone, Copy, Debug)]
struct Word {
    due: u64,
    address: u64,
    opts1: u32,
    interrupt: u16,
}

/// The way of a descriptor to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteBack {
    /// It is written now.
    Now,
    /// It is kept here.
    Later,
    /// It is written now, after all that are kept here, which are due.
    Flush,
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

    /// Returns whether the descriptor at this address is delayed: to the chip, it is the driver's
    /// already.
    pub(crate) fn contains(&self, address: u64) -> bool {
        self.0.iter().any(|word| word.address == address)
    }

    /// Has all of them be due.
    pub(crate) fn make_due(&mut self) {
        for word in &mut self.0 {
            word.due = 0;
        }
    }

    fn has_room(&self) -> bool {
        self.0.len() < MAX_DELAYED
    }

    /// Takes a descriptor that a fault delays until `fault`, if one does. One ring's descriptors
    /// keep their order: while any is delayed, so are those that follow.
    fn write_back(
        &mut self,
        fault: Option<u64>,
        address: u64,
        opts1: u32,
        interrupt: u16,
    ) -> WriteBack {
        let Some(due) = fault.or(self.0.back().map(|last| last.due)) else {
            return WriteBack::Now;
        };
        if !self.has_room() {
            self.make_due();
            return WriteBack::Flush;
        }
        self.0.push_back(Word {
            due,
            address,
            opts1,
            interrupt,
        });
        WriteBack::Later
    }

    /// Takes out the next one if it is due.
    fn take_due(&mut self, now: u64) -> Option<Word> {
        let due = self.0.front().is_some_and(|word| word.due <= now);
        due.then(|| self.0.pop_front()).flatten()
    }
}

impl Chip {
    /// Gives a descriptor to the driver, now or delayed.
    pub(crate) fn write_back(
        &mut self,
        bus: &mut dyn Bus,
        address: u64,
        opts1: u32,
        interrupt: u16,
    ) -> Result<(), BusError> {
        // Only one that can be delayed is an opportunity.
        let fires = self.delayed.has_room() && self.faults.fires(FaultKind::DelayOwn);
        let delay = self.faults.delay(FaultKind::DelayOwn);
        let fault = fires.then(|| self.now.saturating_add(delay));
        match self.delayed.write_back(fault, address, opts1, interrupt) {
            WriteBack::Now => bus.store(address, opts1),
            WriteBack::Later => Ok(()),
            WriteBack::Flush => {
                self.give_back(bus);
                bus.store(address, opts1)
            }
        }
    }

    /// Gives back the descriptors that are due, if the bus can be used.
    pub(crate) fn give_back(&mut self, bus: &mut dyn Bus) {
        if !self.can_transfer() {
            return;
        }
        let mut any = false;
        while let Some(word) = self.delayed.take_due(self.now) {
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
