// SPDX-License-Identifier: GPL-2.0

//! The transmitter: two rings of descriptors, and the processing of the frames in them.

use crate::bus::Bus;
use crate::chip::Chip;
use crate::chip::HIGH;
use crate::chip::NORMAL;
use crate::config::Revision;
use crate::desc;
use crate::desc::tx;
use crate::desc::Ring;
use crate::faults::FaultKind;
use crate::faults::TX_FIRST;
use crate::offload;
use crate::offload::Ipv4;
use crate::regs::cmd;
use crate::regs::config4;
use crate::regs::intr;
use crate::regs::Reg;
use crate::regs::TXCONFIG_NO_CRC;

/// The MAC pads to the minimal size Ethernet allows (without check sequence). r8169 and Realtek's
/// driver hand their short frames to this chip as they are (r8169's list of chips that need
/// software padding begins later), and ARP works. The padding is zeroes (data sheet, page 52).
const MIN_FRAME: usize = 60;

/// The longest frame that is no jumbo frame, without check sequence and VLAN tag.
const ORDINARY: usize = 1514;

/// Returns whether a frame is longer than an ordinary one; a tag that is in it already may come on
/// top.
fn is_jumbo(frame: &[u8]) -> bool {
    let tag = if offload::vlan(frame).is_some() { 4 } else { 0 };
    frame.len() > ORDINARY + tag
}

const FCS: usize = 4;

/// The longest frame that is sent without the risk of an underrun, with check sequence, and the
/// value of MaxTxPacketSize above which the chip sends no longer ones (data sheet, page 16).
const HELD: usize = 7440;
const HELD_UNITS: u32 = 0x3b;

/// The chip keeps a frame of so many bytes at most; the longest any driver sends is TSO's 32000.
const MAX_FRAME: usize = 0x1_0000;

/// Descriptors looked at per doorbell, so that a guest that refills behind the chip cannot hold it
/// here.
const BUDGET: usize = desc::RING_MAX as usize;

/// A descriptor that has been fetched.
#[derive(Clone, Copy)]
struct Fetched {
    index: u16,
    opts1: u32,
    opts2: u32,
    buffer: u64,
}

enum Step {
    /// The number of descriptors that were done.
    Done(usize),
    /// The next descriptor is the driver's.
    Empty,
    /// The ring cannot go on.
    Stop,
}

impl Chip {
    pub(crate) fn doorbell(&mut self, bus: &mut dyn Bus, which: usize) {
        self.counters.doorbells += 1;
        let name = if which == HIGH {
            "high priority"
        } else {
            "normal"
        };
        if self.get(Reg::ChipCmd) & cmd::TX_ENABLE == 0 {
            self.counters.doorbells_empty += 1;
            self.violation(format!(
                "doorbell of the {name} ring while the transmitter is off (ChipCmd bit 2)"
            ));
            return;
        }
        if self.tx[which].base.is_none() {
            self.counters.doorbells_empty += 1;
            self.violation(format!(
                "doorbell of the {name} ring, whose address was never written"
            ));
            return;
        }
        if !self.mastered {
            self.violation(format!(
                "doorbell of the {name} ring, but bus mastering has been off since the reset"
            ));
        }
        // One that comes while the last one's work still waits for the cable has nothing of its own
        // to find.
        if self.tx_busy[which] {
            return;
        }
        let unacknowledged = self.get(Reg::IntrStatus) & u32::from(intr::TX_OK) != 0;
        if unacknowledged && self.faults.fires(FaultKind::LostDoorbell) {
            return;
        }
        self.tx_busy[which] = true;
        if self.faults.is_active(FaultKind::TxStall)
            || self.faults.is_active(FaultKind::BusStall)
            || self.stalled()
        {
            return;
        }
        let before = self.tx[which].index;
        let frames = self.counters.tx_frames + self.counters.tx_dropped;
        self.run_tx(bus);
        let idle = !self.tx_busy[which] && self.tx[which].index == before;
        if idle && self.counters.tx_frames + self.counters.tx_dropped == frames {
            self.counters.doorbells_empty += 1;
        }
    }

    /// Returns whether a fault keeps a ring that has work from going on.
    pub(crate) fn tx_held(&self, which: usize) -> bool {
        let ring = self.tx[which];
        let late = |base| self.delayed.contains(Ring::address(base, ring.index));
        self.faults.on(FaultKind::TxStall) || ring.base.is_some_and(late)
    }

    /// Sends what is there, the high priority ring first.
    pub(crate) fn run_tx(&mut self, bus: &mut dyn Bus) {
        let mut budget = BUDGET;
        for which in [HIGH, NORMAL] {
            while self.tx_busy[which] && !self.halted() && !self.stalled() && !self.tx_held(which) {
                if budget == 0 || !bus.cable_ready() {
                    return;
                }
                match self.send_next(bus, which) {
                    Step::Done(descriptors) => budget = budget.saturating_sub(descriptors),
                    Step::Empty => {
                        self.tx_busy[which] = false;
                        self.raise(intr::TX_DESC_UNAVAIL);
                    }
                    Step::Stop => self.tx_busy[which] = false,
                }
            }
        }
    }

    fn send_next(&mut self, bus: &mut dyn Bus, which: usize) -> Step {
        let Some(base) = self.tx[which].base else {
            return Step::Stop;
        };
        let mut fetched: Vec<Fetched> = Vec::new();
        let mut index = self.tx[which].index;
        let mut good = true;
        let next = loop {
            let address = Ring::address(base, index);
            let opts1 = match bus.load(address) {
                Ok(word) => word,
                Err(fault) => {
                    self.dma_fault("transmit descriptor", address, fault);
                    return Step::Stop;
                }
            };
            if opts1 & desc::OWN == 0 {
                if fetched.is_empty() {
                    return Step::Empty;
                }
                self.violation(format!(
                    "transmit descriptor {index} is not the chip's in the middle of a frame: OWN of the first one comes last"
                ));
                return Step::Empty;
            }
            let mut rest = [0; 12];
            if let Err(fault) = bus.read(address.wrapping_add(4), &mut rest) {
                self.dma_fault("transmit descriptor", address, fault);
                return Step::Stop;
            }
            let [a, b, c, d, buffer @ ..] = rest;
            if opts1 & desc::FIRST != 0 && !fetched.is_empty() {
                self.violation(format!(
                    "transmit descriptor {index} ({opts1:#010x}) begins a frame before the last one ended"
                ));
                good = false;
                break index;
            }
            if opts1 & desc::FIRST == 0 && fetched.is_empty() {
                self.violation(format!(
                    "transmit descriptor {index} ({opts1:#010x}) does not begin a frame (bit 29)"
                ));
                good = false;
            }
            fetched.push(Fetched {
                index,
                opts1,
                opts2: u32::from_le_bytes([a, b, c, d]),
                buffer: u64::from_le_bytes(buffer),
            });
            let next = Ring::after(index, opts1);
            let next = next.unwrap_or_else(|| {
                self.violation(format!(
                    "the transmit ring has no end (bit 30) in {} descriptors",
                    desc::RING_MAX
                ));
                good = false;
                0
            });
            if opts1 & desc::LAST != 0 || !good {
                break next;
            }
            if fetched.len() >= usize::from(desc::RING_MAX) || next == self.tx[which].index {
                self.violation(
                    "a transmit frame without an end (bit 28) fills the ring".to_owned(),
                );
                good = false;
                break next;
            }
            index = next;
        };
        if good {
            match self.gather(bus, &fetched) {
                Ok(whole) => good = whole,
                Err(()) => return Step::Stop,
            }
        }
        if good {
            good = self.emit(bus, &fetched);
        }
        if !good {
            self.counters.tx_dropped += 1;
            self.tally.tx_err = self.tally.tx_err.wrapping_add(1);
            self.tally.tx_aborted = self.tally.tx_aborted.wrapping_add(1);
            self.raise(intr::TX_ERR);
        }
        for descriptor in &fetched {
            let address = Ring::address(base, descriptor.index);
            // What else silicon changes in a descriptor it gives back is not known; no driver looks
            // [guess].
            let opts1 = descriptor.opts1 & !desc::OWN;
            let opts1 = self.faults.scripted(TX_FIRST, opts1);
            let opts1 = self.faults.lie_transmit(opts1);
            if let Err(fault) = self.write_back(bus, address, opts1, intr::TX_OK) {
                self.dma_fault("transmit descriptor", address, fault);
                return Step::Stop;
            }
        }
        if good {
            self.raise_frame(intr::TX_OK);
        }
        self.tx[which].index = next;
        Step::Done(fetched.len())
    }

    /// Collects a frame's bytes; `Ok(false)` if they are none the chip could send.
    fn gather(&mut self, bus: &mut dyn Bus, fetched: &[Fetched]) -> Result<bool, ()> {
        self.frame.clear();
        for descriptor in fetched {
            let len = (descriptor.opts1 & tx::LENGTH) as usize;
            let at = self.frame.len();
            if len == 0 {
                let index = descriptor.index;
                self.violation(format!("transmit descriptor {index} has no bytes"));
                return Ok(false);
            }
            if at + len > MAX_FRAME {
                self.violation(format!("a transmit frame of more than {MAX_FRAME} bytes"));
                return Ok(false);
            }
            self.frame.resize(at + len, 0);
            if let Err(fault) = bus.read(descriptor.buffer, &mut self.frame[at..]) {
                self.dma_fault("transmit data", descriptor.buffer, fault);
                return Err(());
            }
        }
        Ok(true)
    }

    /// Does what the descriptors ask for and puts the result on the cable. The flags must be the
    /// same in all descriptors of a frame: FreeBSD and OpenBSD call that a requirement, found by
    /// testing an 8169 (checksums), and do it for VLAN tags, too; r8169 and Realtek's driver repeat
    /// both. What silicon does otherwise is not known: here the first one's count [guess].
    fn emit(&mut self, bus: &mut dyn Bus, fetched: &[Fetched]) -> bool {
        let Some(&Fetched { opts1, opts2, .. }) = fetched.first() else {
            return false;
        };
        let flags = |descriptor: &&Fetched| {
            descriptor.opts1 & tx::FLAGS != opts1 & tx::FLAGS || descriptor.opts2 != opts2
        };
        if let Some(other) = fetched.iter().find(flags) {
            self.violation(format!(
                "transmit descriptor {} ({:#010x}, {:#x}) has other flags than the first one of its frame ({opts1:#010x}, \
                 {opts2:#x}): all must have the same",
                other.index, other.opts1, other.opts2
            ));
        }
        let mut frame = std::mem::take(&mut self.frame);
        let tag = (opts2 & tx::VLAN != 0).then(|| (opts2 as u16).swap_bytes());
        if frame.len() < offload::ETHERNET {
            let len = frame.len();
            self.violation(format!(
                "a transmit frame of {len} bytes: less than an Ethernet header"
            ));
        }
        let sent = if opts1 & tx::LARGE_SEND != 0 {
            self.emit_segments(bus, &frame, opts1, tag)
        } else {
            self.emit_plain(bus, &mut frame, opts1, tag)
        };
        self.frame = frame;
        sent
    }

    fn emit_plain(
        &mut self,
        bus: &mut dyn Bus,
        frame: &mut Vec<u8>,
        opts1: u32,
        tag: Option<u16>,
    ) -> bool {
        // The register says from how many bytes on the chip begins to send a frame while it still
        // reads it, with the risk of an underrun, which does not happen here. FreeBSD and OpenBSD
        // write 16 all the same. A chip that is to hold longer frames than [`HELD`] whole sends
        // none. iPXE leaves the register as it is after power-on, zero, which the data sheet
        // reserves, and its frames are sent [guess: of any length].
        let units = self.get(Reg::MaxTxPacketSize) & 0x3f;
        let len = frame.len() + FCS;
        if units > HELD_UNITS && len > HELD {
            self.violation(format!(
                "a transmit frame of {len} bytes with its check sequence: {HELD} are the most with MaxTxPacketSize above {HELD_UNITS:#x}"
            ));
            return false;
        }
        // r8169 sets it, as Realtek's driver does; what the chip does without is not known [guess:
        // it sends nothing].
        let allowed =
            self.config.revision == Revision::B300 || self.get(Reg::Config4) & config4::JUMBO != 0;
        if is_jumbo(frame) && !allowed {
            let len = frame.len();
            self.violation(format!(
                "a transmit frame of {len} bytes: jumbo frames are not enabled (Config4 bit 0)"
            ));
            return false;
        }
        if opts1 & (tx::IP_CHECKSUM | tx::TCP_CHECKSUM | tx::UDP_CHECKSUM) != 0 {
            self.fill_checksums(frame, opts1);
        }
        if let Some(tag) = tag {
            offload::insert_vlan(frame, tag);
        }
        self.put(bus, frame);
        true
    }

    fn fill_checksums(&mut self, frame: &mut [u8], opts1: u32) {
        if frame.len() < MIN_FRAME {
            // A bug of the silicon: r8169 sums such frames itself on this chip. What exactly goes
            // wrong is not known; here nothing is filled in [guess].
            let len = frame.len();
            self.violation(format!(
                "checksum asked for in a frame of {len} bytes: this chip cannot below {MIN_FRAME}"
            ));
            return;
        }
        if is_jumbo(frame) {
            // r8169 switches the offloads off with jumbo frames on this chip. What goes wrong is
            // not known [guess: nothing is filled in].
            let len = frame.len();
            self.violation(format!(
                "checksum asked for in a frame of {len} bytes: this chip cannot in jumbo frames"
            ));
            return;
        }
        let Some(ip) = Ipv4::find(frame) else {
            self.violation("checksum asked for in a frame without a whole IPv4 packet".to_owned());
            return;
        };
        if opts1 & tx::IP_CHECKSUM == 0 {
            // OpenBSD: without it the other two take no effect.
            self.violation(
                "checksum of TCP or UDP asked for without that of IP: it takes no effect"
                    .to_owned(),
            );
            return;
        }
        ip.fill_header(frame);
        for (bit, protocol) in [
            (tx::TCP_CHECKSUM, offload::TCP),
            (tx::UDP_CHECKSUM, offload::UDP),
        ] {
            if opts1 & bit != 0 && !ip.fill_transport(frame, protocol) {
                self.violation(format!(
                    "checksum of IP protocol {protocol} asked for in a packet that is none or a fragment"
                ));
            }
        }
    }

    fn emit_segments(
        &mut self,
        bus: &mut dyn Bus,
        frame: &[u8],
        opts1: u32,
        tag: Option<u16>,
    ) -> bool {
        let mss = (opts1 >> tx::MSS_SHIFT) & tx::MSS_MAX;
        // A few bytes per segment would make thousands of frames out of one; TCP never goes so low
        // [guess].
        if mss < 64 {
            self.violation(format!("large send with segments of {mss} bytes"));
            return false;
        }
        let mut jumbo = false;
        let done = offload::segment(frame, mss as usize, |part| {
            jumbo |= is_jumbo(part);
            if let Some(tag) = tag {
                offload::insert_vlan(part, tag);
            }
            self.put(bus, part);
        });
        if jumbo {
            // r8169 does not use it above an MTU of 1500. What goes wrong is not known [guess:
            // nothing].
            self.violation(format!(
                "large send with segments of {mss} bytes: jumbo frames"
            ));
        }
        if !done {
            self.violation("large send of a frame that is not TCP over IPv4".to_owned());
        }
        done
    }

    fn put(&mut self, bus: &mut dyn Bus, frame: &mut Vec<u8>) {
        if frame.len() < MIN_FRAME {
            frame.resize(MIN_FRAME, 0);
        }
        if self.get(Reg::TxConfig) & TXCONFIG_NO_CRC != 0 {
            self.violation(
                "a frame is sent without a check sequence (TxConfig bit 16): nothing at the other end takes it"
                    .to_owned(),
            );
            return;
        }
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += frame.len() as u64;
        self.tally.tx_ok = self.tally.tx_ok.wrapping_add(1);
        if !self.loop_back(bus, frame) {
            bus.transmit(frame);
        }
    }
}

#[cfg(test)]
mod tests;
