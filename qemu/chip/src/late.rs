//! Descriptors that are given back later than the interrupt says ([`FaultKind::DelayOwn`]).

use std::collections::VecDeque;

use crate::bus::Bus;
use crate::bus::Fault;
use crate::chip::Chip;
use crate::faults::FaultKind;

/// So many may be late at once; what comes then is on time after all.
const MOST: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Word {
    due: u64,
    address: u64,
    opts1: u32,
    interrupt: u16,
}

/// What has not been given back, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(VecDeque<Word>);

impl Late {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.0.front().map(|word| word.due)
    }

    /// Whether the descriptor there is one of them: to the chip, it is the driver's already.
    pub(crate) fn holds(&self, address: u64) -> bool {
        self.0.iter().any(|word| word.address == address)
    }

    /// All of them are due.
    pub(crate) fn hurry(&mut self) {
        for word in &mut self.0 {
            word.due = 0;
        }
    }
}

impl Chip {
    /// Gives a descriptor to the driver, now or late. One ring's descriptors keep their order: while any is late, so
    /// are those that follow.
    pub(crate) fn hand_over(
        &mut self,
        bus: &mut dyn Bus,
        address: u64,
        opts1: u32,
        interrupt: u16,
    ) -> Result<(), Fault> {
        let room = self.late.0.len() < MOST;
        let strikes = room && self.faults.strikes(FaultKind::DelayOwn);
        if !strikes && self.late.0.is_empty() {
            return bus.store(address, opts1);
        }
        if !room {
            self.late.hurry();
            self.give_back(bus);
            return bus.store(address, opts1);
        }
        let due = match self.late.0.back() {
            Some(last) if !strikes => last.due,
            _ => self
                .now
                .saturating_add(self.faults.delay(FaultKind::DelayOwn)),
        };
        self.late.0.push_back(Word {
            due,
            address,
            opts1,
            interrupt,
        });
        Ok(())
    }

    /// Gives back what is due, if the bus can be used.
    pub(crate) fn give_back(&mut self, bus: &mut dyn Bus) {
        if !self.can_transfer() {
            return;
        }
        let mut any = false;
        while let Some(&word) = self.late.0.front().filter(|word| word.due <= self.now) {
            self.late.0.pop_front();
            any = true;
            if let Err(fault) = bus.store(word.address, word.opts1) {
                self.dma_fault("late descriptor", word.address, fault);
            } else {
                self.raise(word.interrupt);
            }
        }
        if any {
            self.run_tx(bus);
        }
    }
}
