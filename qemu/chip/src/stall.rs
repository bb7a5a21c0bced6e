// SPDX-License-Identifier: GPL-2.0

//! Bus mastering, and what waits while the chip may not use the bus.
//!
//! A function whose Bus Master Enable bit is clear issues no memory requests (PCI Express Base
//! Specification, "Command Register"). Nothing is refused then, so there is neither a master abort
//! nor SYSErr: what needs the bus waits. Software clears the bit of a function that is at work:
//! r8169 does so in `rtl8169_down` before it resets the chip, and leaves the receiver on for
//! Wake-on-LAN that way ("r8169: fix DMA being used after buffer free if WoL is enabled", seen on
//! cards); Linux' PCI core does it before a function level reset and a kexec. So it is no
//! violation, and must not harm the chip.
//!
//! Transfers that wait are done when the bit is set again, unless a reset came between. That is
//! what a driver must see to: the addresses that the chip still has may belong to other programs by
//! then.

use std::collections::VecDeque;

use crate::bus::Bus;
use crate::chip::Chip;
use crate::config::RxMode;
use crate::faults::FaultConfig;
use crate::faults::FaultKind;
use crate::regs::cfg;
use crate::regs::cmd;
use crate::regs::intr;
use crate::regs::tally;
use crate::regs::Reg;
use crate::rx::Placed;
use crate::rx::Received;

/// The size of the receiver's FIFO, which holds frames while it cannot use the bus or has no
/// descriptor: cards with its sister 8169 are sold with "FIFO (8K/64K)", for sending and receiving.
const FIFO: usize = 65536;
/// The interval at which the chip looks for a descriptor while frames are kept for want of one, in
/// nanoseconds [guess]. Drivers do not show it.
const LOOK: u64 = 1_000_000;

/// A received frame with its check sequence, as it is to be written to memory.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) data: Vec<u8>,
    pub(crate) status: u32,
    pub(crate) opts2: u32,
}

impl Kept {
    pub(crate) fn new(data: &[u8], status: u32, opts2: u32) -> Self {
        Kept {
            data: data.to_vec(),
            status,
            opts2,
        }
    }
}

/// The frames that the receiver keeps inside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fifo {
    frames: VecDeque<Kept>,
    bytes: usize,
    /// The time at which to look for a descriptor.
    look: u64,
}

impl Fifo {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Fifo::default();
    }

    fn has_room(&self, len: usize) -> bool {
        self.bytes + len <= FIFO
    }

    fn push(&mut self, frame: Kept) {
        self.bytes += frame.data.len();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Kept> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.data.len();
        Some(frame)
    }

    fn put_back(&mut self, frame: Kept) {
        self.bytes += frame.data.len();
        self.frames.push_front(frame);
    }
}

impl Chip {
    /// Sets whether the chip may use the bus, as the command register says; off after power-on.
    pub fn set_bus_master(&mut self, bus: &mut dyn Bus, on: bool) {
        self.watched(|chip| chip.allow_transfers(bus, on));
    }

    fn allow_transfers(&mut self, bus: &mut dyn Bus, on: bool) {
        self.master = on;
        self.mastered |= on;
        if !on && self.faults.on(FaultKind::BusStall) {
            self.faults
                .configure(FaultConfig::off(FaultKind::BusStall), self.now);
        }
        self.carry_on(bus);
    }

    /// Returns whether the chip may use the bus.
    pub fn bus_master(&self) -> bool {
        self.master
    }

    /// Returns whether what needs the bus has to wait.
    pub(crate) fn stalled(&self) -> bool {
        !self.master || self.programming() || self.faults.on(FaultKind::BusStall)
    }

    /// Returns whether the EEPROM's pins are led out: the chip neither receives nor uses the bus
    /// then (data sheet, page 11).
    pub(crate) fn programming(&self) -> bool {
        self.get(Reg::Cfg9346) & cfg::MODE == cfg::MODE_EEPROM
    }

    /// Returns whether the chip can read and write memory. One that sleeps or is gone cannot.
    pub(crate) fn can_transfer(&self) -> bool {
        !self.stalled() && !self.asleep && !self.gone()
    }

    /// Does what has waited for the bus, if it may be used now.
    pub(crate) fn carry_on(&mut self, bus: &mut dyn Bus) {
        self.give_back(bus);
        self.empty_fifo(bus);
        self.run_dump(bus);
        self.run_tx(bus);
    }

    /// Keeps a received frame until the bus can be used or there is a descriptor.
    pub(crate) fn keep(&mut self, frame: Kept, again: bool) -> Received {
        if self.stalled() {
            self.faults.is_active(FaultKind::BusStall);
        }
        if self.fifo.has_room(frame.data.len()) {
            self.fifo.push(frame);
            return Received::Kept;
        }
        if self.pauses() || self.waits_for_driver() {
            return self.hold_back(again);
        }
        self.overflow()
    }

    /// Writes the frames that were kept to memory. One for which there is no descriptor stays, or
    /// is lost without room inside.
    pub(crate) fn empty_fifo(&mut self, bus: &mut dyn Bus) {
        while self.can_transfer() && !self.halted() && !self.overflown {
            let (Some(base), Some(frame)) = (self.rx.base, self.fifo.pop()) else {
                break;
            };
            match self.place(bus, base, &frame.data, frame.status, frame.opts2) {
                Placed::Done => self.count(frame.status, frame.data.len()),
                Placed::NoRoom if self.config.rx_mode == RxMode::Drop => drop(self.overflow()),
                Placed::NoRoom => {
                    self.fifo.put_back(frame);
                    self.fifo.look = self.now.saturating_add(LOOK);
                    return;
                }
                Placed::Lost => {}
            }
        }
        self.report_empty();
    }

    /// Reports a FIFO that has become empty after it was full. A driver that lets RxFIFOOver
    /// through has to clear that by itself then; for another one the chip does (data sheet, page
    /// 6).
    fn report_empty(&mut self) {
        if !self.was_full || self.overflown || !self.fifo.is_empty() {
            return;
        }
        self.was_full = false;
        let over = u32::from(intr::RX_FIFO_OVER);
        if self.get(Reg::IntrMask) & over == 0 {
            let status = self.get(Reg::IntrStatus) & !over;
            self.set(Reg::IntrStatus, status);
        }
        self.raise(intr::RX_FIFO_EMPTY);
    }

    /// Returns when to look for a descriptor for the frames that are kept.
    pub(crate) fn fifo_deadline(&self) -> Option<u64> {
        let waits = !self.fifo.is_empty() && self.can_transfer() && !self.halted();
        (waits && !self.overflown).then_some(self.fifo.look.max(self.now.saturating_add(1)))
    }

    /// Begins a dump of the tally counters to the address in CounterAddrLow and CounterAddrHigh.
    pub(crate) fn order_dump(&mut self, bus: &mut dyn Bus) {
        if !self.mastered {
            self.violation(
                "dump of the tally counters, but bus mastering has been off since the reset"
                    .to_owned(),
            );
        }
        if self.stalled() {
            self.faults.is_active(FaultKind::BusStall);
        }
        if self.get(Reg::ChipCmd) & cmd::RX_ENABLE == 0 {
            self.faults.is_active(FaultKind::TallyHang);
        }
        self.dump_due = Some(self.config.done(self.now));
        self.run_dump(bus);
    }

    /// Dumps the counters if that is due and the bus can be used.
    pub(crate) fn run_dump(&mut self, bus: &mut dyn Bus) {
        let off = self.get(Reg::ChipCmd) & cmd::RX_ENABLE == 0;
        if !self.can_transfer()
            || self.dump_due.is_none_or(|due| due > self.now)
            || off && self.faults.on(FaultKind::TallyHang)
        {
            return;
        }
        self.dump_due = None;
        let low = self.get(Reg::CounterAddrLow);
        let address =
            (u64::from(self.get(Reg::CounterAddrHigh)) << 32) | u64::from(low & tally::ADDRESS);
        match bus.write(address, &self.tally.bytes()) {
            Ok(()) => self.set(Reg::CounterAddrLow, low & !tally::DUMP),
            // The command never finishes: a driver that polls for it has to give up by itself.
            Err(fault) => self.dma_fault("tally counters", address, fault),
        }
    }
}

#[cfg(test)]
mod tests;
