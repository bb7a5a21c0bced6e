// SPDX-License-Identifier: GPL-2.0

//! The register file: what a read shows and what a write does.

use crate::bus::Bus;
use crate::chip::Chip;
use crate::chip::HIGH;
use crate::chip::NORMAL;
use crate::config::Revision;
use crate::config::Width;
use crate::counters::Access;
use crate::desc::Ring;
use crate::faults::FaultKind;
use crate::faults::INTERRUPT;
use crate::regs::cfg;
use crate::regs::cmd;
use crate::regs::config1;
use crate::regs::config2;
use crate::regs::intr;
use crate::regs::poll;
use crate::regs::rxcfg;
use crate::regs::tally;
use crate::regs::Reg;
use crate::regs::TXCONFIG_LOOPBACK;
use crate::regs::TXCONFIG_MAC_LOOPBACK;
use crate::regs::TXCONFIG_WRITABLE;
use crate::timing::TIMER_INT_BITS;

impl Chip {
    /// A driver reads `width` at `offset` of either window. What is not there reads as zero.
    pub fn read(&mut self, offset: u16, width: Width) -> u32 {
        self.accessed = self.now;
        let value = self.read_now(offset, width);
        self.history.add(false, offset, width, value);
        value
    }

    fn read_now(&mut self, offset: u16, width: Width) -> u32 {
        self.counters.mmio_reads += 1;
        if self.gone() {
            return width.mask();
        }
        self.check_alignment(offset, width, "read");
        let mut value = 0;
        let mut byte = 0;
        let mut known = false;
        while byte < width.bytes() {
            let Some((reg, from, bytes)) = piece(offset, byte, width) else {
                byte += 1;
                continue;
            };
            known = true;
            if let Some(access) = self.counters.register_mut(reg) {
                access.reads += 1;
            }
            value |= (self.peek(reg) >> (8 * from)) << (8 * byte);
            byte += bytes;
            if reg == Reg::IntrStatus && self.get(reg) == 0 {
                self.counters.interrupts_spurious += 1;
            }
        }
        if !known {
            self.counters.unmodelled(offset);
        }
        let value = self.faults.scripted_register(offset, value);
        self.faults.lie_register(value) & width.mask()
    }

    /// Returns the value of a register. No register of this chip changes by being read.
    pub(crate) fn peek(&self, reg: Reg) -> u32 {
        match reg {
            Reg::TxConfig => {
                let xid = self.config.xid.unwrap_or(self.config.revision.xid());
                (u32::from(xid & 0xfcf) << 20) & !TXCONFIG_WRITABLE | self.get(reg)
            }
            Reg::ChipCmd => {
                let empty = if self.fifo.is_empty() {
                    cmd::RX_EMPTY
                } else {
                    0
                };
                let resets = if self.resets() { cmd::RESET } else { 0 };
                self.get(reg) | empty | resets
            }
            // Until the access is done bit 31 is as it was written, and what a read brings is not
            // there.
            Reg::PhyAr if self.now < self.phy_done => {
                let done = self.get(reg);
                let data = if done >> 31 == 0 { 0xffff } else { 0 };
                (done ^ (1 << 31)) & (0xffff_0000 | data)
            }
            Reg::TxPoll => {
                let bit = |busy, bit| if busy { bit } else { 0 };
                bit(self.tx_busy[NORMAL], poll::NORMAL) | bit(self.tx_busy[HIGH], poll::HIGH)
            }
            Reg::PhyStatus => self.phy.status().into(),
            Reg::Timer => self.timer.count(self.now),
            Reg::RxMissed => u32::from(self.tally.rx_missed),
            Reg::Cfg9346 => {
                let value = self.get(reg);
                let selected =
                    value & cfg::MODE == cfg::MODE_EEPROM && value & cfg::CHIP_SELECT != 0;
                if selected && self.eeprom.data_out() {
                    value | cfg::DATA_OUT
                } else {
                    value
                }
            }
            _ => self.get(reg),
        }
    }

    /// A driver writes `width` at `offset` of either window.
    pub fn write(&mut self, bus: &mut dyn Bus, offset: u16, width: Width, value: u32) {
        self.watched(|chip| chip.write_now(bus, offset, width, value));
    }

    fn write_now(&mut self, bus: &mut dyn Bus, offset: u16, width: Width, value: u32) {
        self.accessed = self.now;
        self.history.add(true, offset, width, value);
        self.counters.mmio_writes += 1;
        if self.gone() {
            return;
        }
        self.check_alignment(offset, width, "write");
        let mut byte = 0;
        let mut known = false;
        while byte < width.bytes() {
            let Some((reg, from, bytes)) = piece(offset, byte, width) else {
                byte += 1;
                continue;
            };
            known = true;
            if let Some(Access { writes, .. }) = self.counters.register_mut(reg) {
                *writes += 1;
            }
            let mask = (u32::MAX >> (32 - 8 * u32::from(bytes))) << (8 * from);
            let part = ((value >> (8 * byte)) << (8 * from)) & mask;
            self.write_register(bus, reg, part, mask);
            byte += bytes;
        }
        if !known {
            self.counters.unmodelled(offset);
        }
        let scripted = self.faults.scripted(INTERRUPT, 0) as u16;
        if scripted != 0 {
            self.raise(scripted);
        }
        if let Some(bits) = self.faults.lie_interrupt() {
            self.raise(bits);
        }
    }

    fn check_alignment(&mut self, offset: u16, width: Width, what: &str) {
        if offset % width.bytes() != 0 {
            let bits = 8 * width.bytes();
            self.violation(format!(
                "{what} of {bits} bits at {offset:#04x}: accesses must be aligned"
            ));
        }
    }

    /// `value` and `mask` stand where the bytes stand in the register.
    fn write_register(&mut self, bus: &mut dyn Bus, reg: Reg, value: u32, mask: u32) {
        let merged = self.get(reg) & !mask | value;
        if self.get(Reg::ChipCmd) & cmd::RESET != 0 {
            // The last one hangs.
            return;
        }
        if self.resets() {
            let name = reg.name();
            self.violation(format!(
                "write of {value:#x} to {name} while the chip resets: ChipCmd bit 4 shows when it is done"
            ));
            return;
        }
        match reg {
            Reg::Mac0 | Reg::Mac4 => {
                if self.unlocked(reg, value) && self.whole(reg, value, mask) {
                    let keep = if reg == Reg::Mac4 { 0xffff } else { u32::MAX };
                    self.set(reg, value & keep);
                }
            }
            Reg::Mar0 | Reg::Mar4 => {
                if self.whole(reg, value, mask) {
                    self.set(reg, value);
                }
            }
            Reg::CounterAddrLow => self.write_tally(bus, merged),
            Reg::TxDescStartAddrLow => {
                self.tx[NORMAL] = self.ring(reg, Reg::TxDescStartAddrHigh, merged);
            }
            Reg::TxHDescStartAddrLow => {
                self.tx[HIGH] = self.ring(reg, Reg::TxHDescStartAddrHigh, merged);
            }
            Reg::RxDescAddrLow => {
                self.rx = self.ring(reg, Reg::RxDescAddrHigh, merged);
            }
            Reg::ChipCmd => self.write_command(merged),
            Reg::TxPoll => self.write_poll(bus, value),
            Reg::IntrStatus => {
                let left = self.get(reg) & !value;
                self.set(reg, left);
            }
            Reg::TxConfig => self.write_tx_config(merged),
            Reg::Timer => {
                self.timer.restart(self.now, self.get(Reg::TimerInt));
            }
            Reg::RxMissed => self.tally.rx_missed = 0,
            Reg::Cfg9346 => self.write_lock(bus, merged),
            // All of them are locked (data sheet, pages 11 and 26). FreeBSD writes Config5 when it
            // has locked the others again, and QEMU's rtl8139, which is another chip, lets it.
            Reg::Config1 | Reg::Config2 | Reg::Config3 | Reg::Config4 | Reg::Config5 => {
                if self.unlocked(reg, value) {
                    let value = match reg {
                        Reg::Config1 => merged & config1::WRITABLE | config1::FIXED,
                        Reg::Config2 => merged | config2::AUX,
                        _ => merged,
                    };
                    self.set(reg, value);
                }
            }
            Reg::CPlusCmd => {
                if mask == 0xffff {
                    self.set(reg, merged);
                } else {
                    self.violation(format!(
                        "write of {value:#x} to CPlusCmd (mask {mask:#x}): it takes 16 bits only"
                    ));
                }
            }
            Reg::MaxTxPacketSize => {
                if merged & 0x3f == 0 {
                    self.violation(format!(
                        "write of {value:#x} to MaxTxPacketSize: zero is reserved"
                    ));
                }
                self.set(reg, merged);
            }
            // A 93C46 is fitted, or none.
            Reg::RxConfig => self.set(reg, merged & !rxcfg::EEPROM_93C56),
            Reg::PhyAr => self.write_phy(merged, mask),
            // Read only.
            Reg::Config0 | Reg::PhyStatus | Reg::Ersr => {}
            Reg::TimerInt => {
                self.set(reg, merged & TIMER_INT_BITS);
                self.timer.set_end(self.now, merged & TIMER_INT_BITS);
            }
            // These chips have nothing behind it; Realtek's driver uses it on all it knows.
            // Commands end at once and read zero [guess].
            Reg::CsiAr => {
                self.counters.unmodelled(reg.offset());
                self.set(reg, merged ^ (1 << 31));
                if merged >> 31 == 0 {
                    self.set(Reg::CsiDr, 0);
                }
            }
            Reg::CounterAddrHigh
            | Reg::TxDescStartAddrHigh
            | Reg::TxHDescStartAddrHigh
            | Reg::RxDescAddrHigh
            | Reg::CsiDr
            | Reg::Flash
            | Reg::IntrMask
            | Reg::MultiIntr
            | Reg::RxMaxSize
            | Reg::IntrMitigate => self.set(reg, merged),
        }
    }

    /// The station address and the configuration registers can be written while Cfg9346 says so
    /// only.
    fn unlocked(&mut self, reg: Reg, value: u32) -> bool {
        let open = self.get(Reg::Cfg9346) & cfg::MODE == cfg::MODE_UNLOCKED;
        if !open {
            let name = reg.name();
            self.violation(format!(
                "write of {value:#x} to {name} while locked: Cfg9346 must be 0xc0 first"
            ));
        }
        open
    }

    /// TxConfig can be changed only when the transmitter is on (data sheet, page 9); r8169, iPXE
    /// and BSD switch it on first. Realtek's r8168 writes it before, never after, and has driven
    /// cards so for as long as there were any: such a write has no effect, and is no violation.
    fn write_tx_config(&mut self, value: u32) {
        if self.get(Reg::ChipCmd) & cmd::TX_ENABLE == 0 {
            return;
        }
        if ![0, TXCONFIG_MAC_LOOPBACK].contains(&(value & TXCONFIG_LOOPBACK)) {
            self.violation(format!(
                "write of {value:#x} to TxConfig: bits 18:17 are 0, or 1 for loopback; the others are reserved"
            ));
        }
        self.set(Reg::TxConfig, value & TXCONFIG_WRITABLE);
    }

    /// The data sheet (page 2) permits writes of the address and filter registers in 32 bits only.
    fn whole(&mut self, reg: Reg, value: u32, mask: u32) -> bool {
        if mask != u32::MAX {
            let name = reg.name();
            self.violation(format!(
                "write of {value:#x} to {name} (mask {mask:#x}): it takes 32 bits only"
            ));
        }
        mask == u32::MAX
    }

    /// The low half of a ring's address takes both halves over and puts the chip at the first
    /// descriptor [guess; drivers write the high half first and reset or stop the chip before].
    fn ring(&mut self, low: Reg, high: Reg, value: u32) -> Ring {
        if value & 0xff != 0 {
            let name = low.name();
            self.violation(format!(
                "write of {value:#x} to {name}: rings are aligned to 256 bytes"
            ));
        }
        let value = value & !0xff;
        self.set(low, value);
        Ring {
            base: Some((u64::from(self.get(high)) << 32) | u64::from(value)),
            index: 0,
        }
    }

    fn write_command(&mut self, value: u32) {
        if value & cmd::RESET != 0 {
            if self.faults.is_active(FaultKind::ResetHang) {
                let command = self.get(Reg::ChipCmd);
                self.set(Reg::ChipCmd, command | cmd::RESET);
            } else {
                self.soft_reset();
                self.reset_done = self.config.done(self.now);
            }
            return;
        }
        let before = self.get(Reg::ChipCmd);
        let now = value & (cmd::RX_ENABLE | cmd::TX_ENABLE);
        self.set(Reg::ChipCmd, now);
        // B300 has no such bit.
        if value & cmd::STOP_REQ != 0 && self.config.revision == Revision::B380 {
            self.stopped = true;
        }
        if now & cmd::TX_ENABLE == 0 {
            self.tx_busy = [false; 2];
        } else if before & cmd::TX_ENABLE == 0 {
            // A transmitter that is switched on begins at the ring's head, as the 8139C+ does.
            self.tx[NORMAL].index = 0;
            self.tx[HIGH].index = 0;
        }
        if now & !before & cmd::RX_ENABLE != 0 {
            self.rx.index = 0;
        } else if now & cmd::RX_ENABLE == 0 {
            self.fifo.clear();
        }
    }

    fn write_poll(&mut self, bus: &mut dyn Bus, value: u32) {
        if value & poll::SW_INT != 0 {
            self.raise(intr::SW_INT);
        }
        for (bit, ring) in [(poll::HIGH, HIGH), (poll::NORMAL, NORMAL)] {
            if value & bit != 0 {
                self.doorbell(bus, ring);
            }
        }
    }

    fn write_lock(&mut self, bus: &mut dyn Bus, value: u32) {
        let value = value & (cfg::MODE | cfg::PINS);
        if value & cfg::MODE == cfg::MODE_AUTOLOAD {
            // Reads the EEPROM again and returns to normal mode. The address comes back even where
            // there is none, or none that makes sense [guess]. It takes about 2 ms (data sheet,
            // page 11), and no time here.
            self.load_address();
            self.set(Reg::Cfg9346, 0);
        } else {
            self.set(Reg::Cfg9346, value);
        }
        let pins = if value & cfg::MODE == cfg::MODE_EEPROM {
            value
        } else {
            0
        };
        self.eeprom.pins(
            pins & cfg::CHIP_SELECT != 0,
            pins & cfg::CLOCK != 0,
            pins & cfg::DATA_IN != 0,
        );
        self.carry_on(bus);
    }

    /// Returns whether a reset is not done yet.
    fn resets(&self) -> bool {
        self.now < self.reset_done
    }

    /// PHYAR: bits 20:16 name the register. A read is done when bit 31 reads one, a write when it
    /// reads zero. Either begins when the top byte is written.
    fn write_phy(&mut self, value: u32, mask: u32) {
        if self.now < self.phy_done {
            self.violation(format!(
                "write of {value:#x} to PHYAR while the last access runs: its bit 31 shows when it is done"
            ));
        }
        if mask & 0xff00_0000 == 0 {
            self.set(Reg::PhyAr, value);
            return;
        }
        let register = ((value >> 16) & 31) as u8;
        let page = self.phy.page();
        let (effect, shown) = if value & (1 << 31) != 0 {
            (self.phy.write(register, value as u16), value & !(1 << 31))
        } else {
            let (data, effect) = self.phy.read(register);
            (effect, value & 0x7fff_0000 | (1 << 31) | u32::from(data))
        };
        self.set(Reg::PhyAr, shown);
        self.phy_done = self.config.done(self.now);
        if effect.unmodelled {
            self.counters.unmodelled(Reg::PhyAr.offset());
            self.violation(format!(
                "PHY register {register} of page {page:#x}: no such page"
            ));
        }
        if let Some(harm) = effect.harm {
            self.violation(format!(
                "write of {:#06x} to PHY register {register}: {harm}",
                value as u16
            ));
        }
        if effect.link_changed {
            self.raise(intr::LINK_CHG);
        }
    }

    fn write_tally(&mut self, bus: &mut dyn Bus, value: u32) {
        if value & tally::RESET != 0 {
            self.violation(format!(
                "write of {value:#x} to CounterAddrLow: this chip cannot reset its counters"
            ));
        }
        let value = value & !tally::RESET;
        self.set(Reg::CounterAddrLow, value);
        self.dump_due = None;
        if value & tally::DUMP != 0 {
            self.order_dump(bus);
        }
    }
}

/// The piece of an access that falls on one register, from byte `byte` of the access on: the
/// register, the first byte in it, and how many.
fn piece(offset: u16, byte: u16, width: Width) -> Option<(Reg, u16, u16)> {
    let at = offset.checked_add(byte)?;
    let reg = Reg::at(at)?;
    let from = at - reg.offset();
    let bytes = (width.bytes() - byte).min(u16::from(reg.size()) - from);
    Some((reg, from, bytes))
}
