// SPDX-License-Identifier: GPL-2.0

//! The receiver: filter, verdicts and the receive ring.

use crate::bus::Bus;
use crate::chip::Chip;
use crate::config::Revision;
use crate::config::RxMode;
use crate::crc;
use crate::desc;
use crate::desc::rx;
use crate::desc::Ring;
use crate::faults::FaultKind;
use crate::faults::RX_FIRST;
use crate::faults::RX_SECOND;
use crate::offload;
use crate::regs::cmd;
use crate::regs::cplus;
use crate::regs::intr;
use crate::regs::rxcfg;
use crate::regs::Reg;
use crate::regs::TXCONFIG_LOOPBACK;
use crate::regs::TXCONFIG_MAC_LOOPBACK;
use crate::stall::Kept;

/// The shortest frame without check sequence; anything shorter is a runt.
const MIN_FRAME: usize = 60;
const FCS: usize = 4;

/// The outcome of a frame that came in by the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The driver has it.
    Delivered,
    /// The filter does not want it.
    Filtered,
    /// The receiver is off or there is no link.
    Ignored,
    /// It was wanted, and lost.
    Dropped,
    /// There is no descriptor for it, or no room inside, and the partner pauses: offer it again
    /// later.
    Wait,
    /// It is inside, and waits for the bus or for a descriptor.
    Kept,
}

/// A descriptor with room in it.
struct Slot {
    index: u16,
    opts1: u32,
    buffer: u64,
    size: usize,
}

/// The corruption of a frame by faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Corruption {
    crc: bool,
    lost: bool,
    len: Option<usize>,
    verdict: bool,
}

/// The outcome of a frame that is written to memory.
pub(crate) enum Placed {
    Done,
    NoRoom,
    Lost,
}

/// The reason why a frame has no place to go.
enum NoRoom {
    Empty,
    Broken,
}

impl Chip {
    /// A frame comes in, complete but for its check sequence. `again` says that this one has been
    /// offered before and had to wait, so that it is counted and reported once.
    pub fn frame_in(&mut self, bus: &mut dyn Bus, frame: &[u8], again: bool) -> Received {
        self.watched(|chip| chip.receive(bus, frame, again))
    }

    fn receive(&mut self, bus: &mut dyn Bus, frame: &[u8], again: bool) -> Received {
        // One that was offered before came before the chip slept.
        if self.asleep && !again {
            self.frame_asleep(frame);
        }
        if self.mac_loopback() || self.phy.loopback() {
            // The cable is not connected meanwhile.
            self.counters.rx_ignored += 1;
            return Received::Ignored;
        }
        self.receive_any(bus, frame, again)
    }

    pub(crate) fn mac_loopback(&self) -> bool {
        self.get(Reg::TxConfig) & TXCONFIG_LOOPBACK == TXCONFIG_MAC_LOOPBACK
    }

    /// Receives a sent frame if loopback is on. There is no back-pressure then: without a
    /// descriptor it overflows.
    pub(crate) fn loop_back(&mut self, bus: &mut dyn Bus, frame: &[u8]) -> bool {
        let back = self.mac_loopback() || self.phy.loopback();
        if back {
            self.counters.looped += 1;
            if self.receive_any(bus, frame, false) == Received::Wait {
                self.overflow();
            }
        }
        back
    }

    fn receive_any(&mut self, bus: &mut dyn Bus, frame: &[u8], again: bool) -> Received {
        let linked = self.phy.speed().is_some() || self.mac_loopback();
        // With zero in RxMaxSize nothing is received (data sheet, page 15).
        let enabled = self.get(Reg::RxMaxSize) != 0
            && self.get(Reg::ChipCmd) & cmd::RX_ENABLE != 0
            && !self.halted()
            && !self.programming();
        let Some(base) = self.rx.base.filter(|_| enabled && linked) else {
            self.counters.rx_ignored += 1;
            return Received::Ignored;
        };
        if !again {
            self.corruption = self.corrupt(frame);
        }
        let corruption = self.corruption;
        let mut changed = Vec::new();
        let frame = match corruption.len {
            Some(len) => {
                changed.extend_from_slice(&frame[..len.min(frame.len())]);
                changed.resize(len, 0);
                changed.as_slice()
            }
            None => frame,
        };
        let Some(mut status) = self.filter().accepts(frame) else {
            self.counters.rx_filtered += 1;
            return Received::Filtered;
        };
        if frame.len() < MIN_FRAME {
            if self.get(Reg::RxConfig) & rxcfg::ACCEPT_RUNT == 0 {
                return self.lose_bad();
            }
            status |= rx::ERROR | rx::RUNT;
        }
        if corruption.lost {
            return self.overflow();
        }
        if self.overflown {
            self.counters.rx_dropped += 1;
            self.tally.rx_missed = self.tally.rx_missed.wrapping_add(1);
            return Received::Dropped;
        }
        self.empty_fifo(bus);
        if corruption.crc {
            if self.get(Reg::RxConfig) & rxcfg::ACCEPT_ERROR == 0 {
                return self.lose_bad();
            }
            status |= rx::ERROR | rx::CRC;
        }
        let settings = self.get(Reg::CPlusCmd);
        if settings & cplus::RX_CHECKSUM != 0 {
            status |= offload::verdict(frame);
            if corruption.verdict {
                status ^= offload::failures(status);
            }
        }
        // Longer ones than RxMaxSize are delivered as errors (data sheet, page 15; Plan 9 calls it
        // a filter). They are measured as they come, with a tag that is taken out [guess].
        let most = self.get(Reg::RxMaxSize) as usize;
        let too_long = frame.len() + FCS > rx::MAX_FRAME;
        if frame.len() + FCS > most {
            status |= rx::ERROR | rx::WATCHDOG;
        }
        let mut fcs = crc::fcs(frame);
        if corruption.crc {
            fcs[0] ^= 1;
        }
        let mut data = std::mem::take(&mut self.frame);
        data.clear();
        let mut opts2 = 0;
        match offload::vlan(frame).filter(|_| settings & cplus::RX_VLAN != 0) {
            Some(tag) => {
                opts2 = rx::VLAN | u32::from(tag.swap_bytes());
                data.extend_from_slice(&frame[..12]);
                data.extend_from_slice(&frame[16..]);
            }
            None => data.extend_from_slice(frame),
        }
        data.extend_from_slice(&fcs);
        if data.len() > rx::MAX_GOOD_FRAME {
            status |= rx::ERROR | rx::WATCHDOG;
        }
        let outcome = if too_long {
            self.lose_bad()
        } else if self.stalled() || !self.fifo.is_empty() {
            self.keep(Kept::new(&data, status, opts2), again)
        } else {
            match self.place(bus, base, &data, status, opts2) {
                Placed::Done => {
                    self.count(status, data.len());
                    Received::Delivered
                }
                Placed::NoRoom => {
                    if !again {
                        self.raise(intr::RX_OVERFLOW);
                    }
                    if self.pauses() {
                        self.hold_back(again)
                    } else if self.config.rx_mode == RxMode::Drop {
                        self.overflow()
                    } else {
                        self.keep(Kept::new(&data, status, opts2), again)
                    }
                }
                Placed::Lost => Received::Dropped,
            }
        };
        self.frame = data;
        outcome
    }

    /// Returns whether the partner stops sending when there is no room for more.
    pub(crate) fn pauses(&self) -> bool {
        match self.config.rx_mode {
            RxMode::Silicon => self.phy.pauses(),
            RxMode::Wait => true,
            RxMode::Drop => false,
        }
    }

    /// Returns whether the cable waits for the driver, which is at work; see
    /// [`Config::rx_timeout`](crate::Config::rx_timeout).
    pub(crate) fn waits_for_driver(&self) -> bool {
        let rx_timeout = u64::from(self.config.rx_timeout) * 1_000_000;
        self.config.rx_mode == RxMode::Silicon && self.now - self.accessed < rx_timeout
    }

    pub(crate) fn hold_back(&mut self, again: bool) -> Received {
        if !again {
            self.counters.rx_waits += 1;
        }
        Received::Wait
    }

    /// Draws the corruption of a frame by the faults that are on, when it is first offered.
    fn corrupt(&mut self, frame: &[u8]) -> Corruption {
        let mut corruption = Corruption {
            crc: self.faults.fires(FaultKind::CrcError),
            lost: self.faults.fires(FaultKind::RxFifoOverflow),
            len: None,
            verdict: false,
        };
        if self.faults.fires(FaultKind::Runt) {
            // The addresses are left, or the filter would have nothing to look at.
            let len = 14 + self.faults.draw(FaultKind::Runt, (MIN_FRAME - 14) as u32) as usize;
            corruption.len = Some(len.min(frame.len()));
        }
        if self.faults.fires(FaultKind::Giant) {
            let longest = rx::LENGTH as usize - FCS;
            let more = self.faults.draw(FaultKind::Giant, (longest - 1518) as u32);
            corruption.len = Some((1519 + more as usize).max(frame.len()));
        }
        // Only a packet that has a verdict is an opportunity.
        if self.faults.on(FaultKind::BadChecksum) && offload::failures(offload::verdict(frame)) != 0
        {
            corruption.verdict = self.faults.fires(FaultKind::BadChecksum);
        }
        corruption
    }

    /// Counts a frame of `len` bytes with its check sequence, and reports it to the driver.
    pub(crate) fn count(&mut self, status: u32, len: usize) {
        self.counters.rx_frames += 1;
        self.counters.rx_bytes += len.saturating_sub(FCS) as u64;
        self.tally.rx_ok = self.tally.rx_ok.wrapping_add(1);
        if status & rx::BROADCAST != 0 {
            self.tally.rx_broadcast = self.tally.rx_broadcast.wrapping_add(1);
        } else if status & rx::MULTICAST != 0 {
            self.tally.rx_multicast = self.tally.rx_multicast.wrapping_add(1);
        } else {
            self.tally.rx_unicast = self.tally.rx_unicast.wrapping_add(1);
        }
        self.raise_frame(intr::RX_OK);
    }

    fn lose_bad(&mut self) -> Received {
        self.counters.rx_dropped += 1;
        self.tally.rx_err = self.tally.rx_err.wrapping_add(1);
        self.raise(intr::RX_ERR);
        Received::Dropped
    }

    /// Writes the frame to memory and gives the descriptors to the driver.
    pub(crate) fn place(
        &mut self,
        bus: &mut dyn Bus,
        base: u64,
        data: &[u8],
        status: u32,
        opts2: u32,
    ) -> Placed {
        let (slots, next) = match self.slots(bus, base, data.len()) {
            Ok(found) => found,
            Err(NoRoom::Empty) => return Placed::NoRoom,
            Err(NoRoom::Broken) => {
                self.counters.rx_dropped += 1;
                return Placed::Lost;
            }
        };
        let status = status | rx::ALWAYS;
        let mut rest = data;
        let last = slots.len() - 1;
        for (i, slot) in slots.iter().enumerate() {
            let (now, later) = rest.split_at(slot.size.min(rest.len()));
            rest = later;
            let address = Ring::address(base, slot.index);
            // The frame's whole length stands in its last descriptor (FreeBSD, OpenBSD); in the
            // ones before, what is in them [guess].
            let len = if i == last { data.len() } else { now.len() };
            let mut opts1 = slot.opts1 & desc::RING_END | status | len as u32;
            if i == 0 {
                opts1 |= desc::FIRST;
            }
            if i == last {
                opts1 |= desc::LAST;
            }
            let opts1 = self.faults.scripted(RX_FIRST, opts1);
            let opts1 = self.faults.lie_receive(opts1);
            let opts2 = self.faults.scripted(RX_SECOND, opts2);
            let opts2 = self.faults.lie_second(opts2);
            let written = bus
                .write(slot.buffer, now)
                .map_err(|fault| ("receive data", slot.buffer, fault))
                .and_then(|()| {
                    bus.write(address.wrapping_add(4), &opts2.to_le_bytes())
                        .and_then(|()| self.write_back(bus, address, opts1, intr::RX_OK))
                        .map_err(|fault| ("receive descriptor", address, fault))
                });
            if let Err((what, at, fault)) = written {
                self.dma_fault(what, at, fault);
                self.counters.rx_dropped += 1;
                return Placed::Lost;
            }
        }
        self.rx.index = next;
        Placed::Done
    }

    /// The descriptors that hold `len` bytes, and the one after them.
    fn slots(
        &mut self,
        bus: &mut dyn Bus,
        base: u64,
        len: usize,
    ) -> Result<(Vec<Slot>, u16), NoRoom> {
        let mut slots = Vec::with_capacity(1);
        let mut index = self.rx.index;
        let mut room = 0;
        loop {
            let address = Ring::address(base, index);
            let fault = |fault| ("receive descriptor", address, fault);
            let mut bytes = [0; 8];
            let word = bus.load(address).and_then(|word| {
                if word & desc::OWN != 0 {
                    bus.read(address.wrapping_add(8), &mut bytes)?;
                }
                Ok(word)
            });
            let opts1 = match word.map_err(fault) {
                Ok(word) => word,
                Err((what, at, fault)) => {
                    self.dma_fault(what, at, fault);
                    return Err(NoRoom::Broken);
                }
            };
            if opts1 & desc::OWN == 0 || self.delayed.contains(address) {
                return Err(NoRoom::Empty);
            }
            let size = (opts1 & rx::LENGTH) as usize;
            let buffer = u64::from_le_bytes(bytes);
            if size < 8 {
                // The data sheet (pages 58 and 59) wants 8 bytes at least, multiples of 8, and less
                // than 8192; r8169 gives the chip 16383 and lives.
                self.violation(format!(
                    "receive descriptor {index} ({opts1:#010x}) has no room: it takes 8 bytes at least"
                ));
                return Err(NoRoom::Broken);
            }
            if buffer & 7 != 0 {
                self.violation(format!(
                    "receive descriptor {index}: its buffer {buffer:#x} is not aligned to 8 bytes"
                ));
            }
            slots.push(Slot {
                index,
                opts1,
                // The data sheet (page 60) and FreeBSD require it. The low bits are not wired
                // [guess].
                buffer: buffer & !7,
                size,
            });
            room += size;
            let next = Ring::after(index, opts1).unwrap_or_else(|| {
                self.violation(format!(
                    "the receive ring has no end (bit 30) in {} descriptors",
                    desc::RING_MAX
                ));
                0
            });
            if room >= len {
                return Ok((slots, next));
            }
            // An end that lies before the descriptor we began with would be passed again and again.
            if next == self.rx.index || slots.len() >= usize::from(desc::RING_MAX) {
                self.violation(format!(
                    "a frame of {len} bytes is more than the whole receive ring holds"
                ));
                return Err(NoRoom::Broken);
            }
            index = next;
        }
    }

    /// The FIFO is full: the frame is lost. B300 receives nothing more then until it is reset:
    /// r8169 until Linux 6.1, Realtek's driver and Plan 9's ("this is a big hammer, but it gets
    /// things going again") reset it for that reason.
    pub(crate) fn overflow(&mut self) -> Received {
        self.overflown |= self.config.revision == Revision::B300;
        self.was_full = true;
        self.counters.rx_dropped += 1;
        self.tally.rx_missed = self.tally.rx_missed.wrapping_add(1);
        self.raise(intr::RX_FIFO_OVER);
        Received::Dropped
    }
}

#[cfg(test)]
mod tests;
