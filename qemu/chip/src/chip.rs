//! The register file: what a read shows and what a write does.

use crate::bus::Bus;
use crate::bus::Fault;
use crate::config::Config;
use crate::config::Revision;
use crate::config::RingState;
use crate::config::State;
use crate::config::Width;
use crate::counters::Access;
use crate::counters::Counters;
use crate::counters::Tally;
use crate::desc::Ring;
use crate::phy::Phy;
use crate::regs::cfg;
use crate::regs::cmd;
use crate::regs::intr;
use crate::regs::poll;
use crate::regs::tally;
use crate::regs::Reg;
use crate::regs::REGISTER_COUNT;
use crate::regs::TXCONFIG_WRITABLE;

pub(crate) const NORMAL: usize = 0;
pub(crate) const HIGH: usize = 1;

/// An RTL8111B.
#[derive(Debug)]
pub struct Chip {
    pub(crate) config: Config,
    pub(crate) values: [u32; REGISTER_COUNT],
    pub(crate) phy: Phy,
    /// The transmit rings, [`NORMAL`] and [`HIGH`].
    pub(crate) tx: [Ring; 2],
    pub(crate) tx_busy: [bool; 2],
    pub(crate) rx: Ring,
    /// StopReq was written: no transfers until the next reset.
    pub(crate) stopped: bool,
    /// In a power state other than D0.
    pub(crate) asleep: bool,
    pub(crate) tally: Tally,
    pub(crate) counters: Counters,
    /// The frame being put together; kept to spare an allocation per frame.
    pub(crate) frame: Vec<u8>,
    line: bool,
    now: u64,
    timer_start: u64,
}

impl Chip {
    /// A chip after power-on.
    pub fn new(config: Config) -> Self {
        let mut chip = Chip {
            config,
            values: [0; REGISTER_COUNT],
            phy: Phy::new(),
            tx: [Ring::default(); 2],
            tx_busy: [false; 2],
            rx: Ring::default(),
            stopped: false,
            asleep: false,
            tally: Tally::default(),
            counters: Counters::new(),
            frame: Vec::new(),
            line: false,
            now: 0,
            timer_start: 0,
        };
        chip.power_on();
        chip
    }

    /// What PCI reset does: everything but the counters for the person who watches is as after power-on. The cable
    /// stays as it is plugged.
    pub fn power_on(&mut self) {
        let cable = self.phy.cable();
        self.values = [0; REGISTER_COUNT];
        self.phy = Phy::new();
        self.phy.plug(cable);
        self.tx = [Ring::default(); 2];
        self.rx = Ring::default();
        self.tally = Tally::default();
        self.timer_start = self.now;
        self.load_address();
        // Memory and I/O space on, power management on. The LED bits are a guess.
        self.set(Reg::Config1, 0xcd);
        // LanWake [guess].
        self.set(Reg::Config5, 0x02);
        self.soft_reset();
    }

    fn load_address(&mut self) {
        let [a, b, c, d, e, f] = self.config.mac;
        self.set(Reg::Mac0, u32::from_le_bytes([a, b, c, d]));
        self.set(Reg::Mac4, u32::from_le_bytes([e, f, 0, 0]));
    }

    /// ChipCmd bit 4. Seen: IMR and ISR are zero afterwards, addresses, filter and ring bases stay. That the chip
    /// then begins at the rings' first descriptors is what r8169 relies on.
    fn soft_reset(&mut self) {
        self.set(Reg::ChipCmd, 0);
        self.set(Reg::IntrMask, 0);
        self.set(Reg::IntrStatus, 0);
        self.tx_busy = [false; 2];
        self.tx[NORMAL].index = 0;
        self.tx[HIGH].index = 0;
        self.rx.index = 0;
        self.stopped = false;
    }

    pub(crate) fn get(&self, reg: Reg) -> u32 {
        self.values[reg as usize]
    }

    pub(crate) fn set(&mut self, reg: Reg, value: u32) {
        self.values[reg as usize] = value;
    }

    pub(crate) fn violation(&mut self, text: String) {
        self.counters.violation(text);
    }

    pub(crate) fn raise(&mut self, bits: u16) {
        let status = self.get(Reg::IntrStatus) | u32::from(bits);
        self.set(Reg::IntrStatus, status);
    }

    /// A transfer was refused: SYSErr, and the chip stops where it stands. r8169 answers with a reset.
    pub(crate) fn dma_fault(&mut self, what: &str, address: u64, fault: Fault) {
        self.counters.dma_faults += 1;
        self.violation(format!("{what} at {address:#x}: {fault}"));
        self.raise(intr::SYS_ERR);
    }

    /// The interrupt line: high while something that the driver wants to hear of has happened.
    pub fn interrupt(&self) -> bool {
        self.get(Reg::IntrStatus) & self.get(Reg::IntrMask) & u32::from(intr::ALL) != 0
    }

    /// Counts the rising edges of the line; to be called at the end of whatever may have moved it.
    fn watch_line(&mut self) {
        let line = self.interrupt();
        if line && !self.line {
            self.counters.interrupts_raised += 1;
        }
        self.line = line;
    }

    /// What has been counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts from zero again.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::new();
    }

    /// The chip's own counters.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The PHY, to look at.
    pub fn phy(&self) -> &Phy {
        &self.phy
    }

    /// Plugs the cable in or pulls it.
    pub fn set_link(&mut self, up: bool) {
        if self.phy.plug(up) {
            self.raise(intr::LINK_CHG);
        }
        self.watch_line();
    }

    /// Tells the power state. A chip that sleeps starts no transfers; frames that come meanwhile could wake it, and are
    /// not received.
    pub fn set_asleep(&mut self, asleep: bool) {
        self.asleep = asleep;
    }

    /// Tells the time, in nanoseconds from any beginning.
    pub fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    /// Everything there is to see.
    pub fn state(&self) -> State {
        let ring = |ring: &Ring, busy| RingState {
            base: ring.base,
            index: ring.index,
            busy,
        };
        State {
            registers: Reg::all().map(|reg| (reg.name(), self.peek(reg))).collect(),
            tx: ring(&self.tx[NORMAL], self.tx_busy[NORMAL]),
            tx_high: ring(&self.tx[HIGH], self.tx_busy[HIGH]),
            rx: ring(&self.rx, false),
            interrupt: self.interrupt(),
        }
    }

    /// Carries on sending after the cable was not ready. True if there is still something to do.
    pub fn resume(&mut self, bus: &mut dyn Bus) -> bool {
        self.run_tx(bus);
        self.watch_line();
        self.sending()
    }

    /// Neither ring is served.
    pub(crate) fn halted(&self) -> bool {
        self.stopped || self.asleep
    }

    /// Whether frames wait to be sent by [`Chip::resume`].
    pub fn sending(&self) -> bool {
        self.tx_busy != [false; 2] && !self.halted()
    }

    pub(crate) fn frame_done(&mut self) {
        self.watch_line();
    }

    // --- reads ---------------------------------------------------------------------------------------------------

    /// A driver reads `width` at `offset` of either window. What is not there reads as zero.
    pub fn read(&mut self, offset: u16, width: Width) -> u32 {
        self.counters.mmio_reads += 1;
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
        value & width.mask()
    }

    /// What a register shows. No register of this chip changes by being read.
    fn peek(&self, reg: Reg) -> u32 {
        match reg {
            Reg::TxConfig => {
                let xid = self.config.xid.unwrap_or(self.config.revision.xid());
                (u32::from(xid & 0xfcf) << 20) & !TXCONFIG_WRITABLE | self.get(reg)
            }
            Reg::ChipCmd => {
                // RxBufEmpty: nothing is ever kept inside.
                self.get(reg) | cmd::RX_EMPTY
            }
            Reg::TxPoll => {
                let bit = |busy, bit| if busy { bit } else { 0 };
                bit(self.tx_busy[NORMAL], poll::NORMAL) | bit(self.tx_busy[HIGH], poll::HIGH)
            }
            Reg::PhyStatus => self.phy.status().into(),
            // Counts at 125 MHz, the PCI Express clock [guess].
            Reg::Timer => (self.now.saturating_sub(self.timer_start) / 8) as u32,
            Reg::RxMissed => u32::from(self.tally.rx_missed),
            Reg::Cfg9346 => {
                let value = self.get(reg);
                // No EEPROM is fitted. A data line that nobody drives reads as one, so drivers find 0xffff
                // where an id should be [guess].
                if value & cfg::MODE == cfg::MODE_EEPROM && value & cfg::CHIP_SELECT != 0 {
                    value | cfg::DATA_OUT
                } else {
                    value
                }
            }
            _ => self.get(reg),
        }
    }

    // --- writes --------------------------------------------------------------------------------------------------

    /// A driver writes `width` at `offset` of either window.
    pub fn write(&mut self, bus: &mut dyn Bus, offset: u16, width: Width, value: u32) {
        self.counters.mmio_writes += 1;
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
        self.watch_line();
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
            Reg::TxConfig => {
                self.set(reg, merged & TXCONFIG_WRITABLE);
            }
            Reg::Timer => self.timer_start = self.now,
            Reg::RxMissed => self.tally.rx_missed = 0,
            Reg::Cfg9346 => self.write_lock(merged),
            Reg::Config1 | Reg::Config2 | Reg::Config3 | Reg::Config4 | Reg::Config5 => {
                if self.unlocked(reg, value) {
                    self.set(reg, merged);
                }
            }
            Reg::PhyAr => self.write_phy(merged, mask),
            // Read only.
            Reg::Config0 | Reg::PhyStatus | Reg::Ersr => {}
            Reg::TimerInt => {
                if merged != 0 {
                    self.counters.unmodelled(reg.offset());
                }
                self.set(reg, merged);
            }
            Reg::CounterAddrHigh
            | Reg::TxDescStartAddrHigh
            | Reg::TxHDescStartAddrHigh
            | Reg::RxDescAddrHigh
            | Reg::Flash
            | Reg::IntrMask
            | Reg::RxConfig
            | Reg::MultiIntr
            | Reg::RxMaxSize
            | Reg::CPlusCmd
            | Reg::IntrMitigate
            | Reg::MaxTxPacketSize => self.set(reg, merged),
        }
    }

    /// The station address and the configuration registers can be written while Cfg9346 says so only.
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

    /// The 8139C+/8169 documents permit writes of the address and filter registers in 32 bits only.
    fn whole(&mut self, reg: Reg, value: u32, mask: u32) -> bool {
        if mask != u32::MAX {
            let name = reg.name();
            self.violation(format!(
                "write of {value:#x} to {name} (mask {mask:#x}): it takes 32 bits only"
            ));
        }
        mask == u32::MAX
    }

    /// The low half of a ring's address takes both halves over and puts the chip at the first descriptor [guess; the
    /// peers write the high half first and reset or stop the chip before].
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
            self.soft_reset();
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
            // A transmitter that is switched on begins at the ring's head, as the 8139C+ does [guess].
            self.tx[NORMAL].index = 0;
            self.tx[HIGH].index = 0;
        }
        if now & !before & cmd::RX_ENABLE != 0 {
            self.rx.index = 0;
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

    fn write_lock(&mut self, value: u32) {
        let value = value & (cfg::MODE | cfg::PINS);
        if value & cfg::MODE == cfg::MODE_AUTOLOAD {
            // Reads the EEPROM again and returns to normal mode. There is none; that the address comes back all
            // the same is a guess.
            self.load_address();
            self.set(Reg::Cfg9346, 0);
        } else {
            self.set(Reg::Cfg9346, value);
        }
    }

    /// PHYAR: bits 20:16 name the register. A read is done when bit 31 reads one, a write when it reads zero. Either
    /// takes no time here; it begins when the top byte is written.
    fn write_phy(&mut self, value: u32, mask: u32) {
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
        if effect.unmodelled {
            self.counters.unmodelled(Reg::PhyAr.offset());
            self.violation(format!(
                "PHY register {register} of page {page:#x}: no such page"
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
        self.set(Reg::CounterAddrLow, value & !tally::DUMP);
        if value & tally::DUMP == 0 {
            return;
        }
        let address =
            (u64::from(self.get(Reg::CounterAddrHigh)) << 32) | u64::from(value & tally::ADDRESS);
        if let Err(fault) = bus.write(address, &self.tally.bytes()) {
            // The command never finishes: a driver that polls for it has to give up by itself.
            self.set(Reg::CounterAddrLow, value);
            self.dma_fault("tally counters", address, fault);
        }
    }
}

/// The piece of an access that falls on one register, from byte `byte` of the access on: the register, the first byte
/// in it, and how many.
fn piece(offset: u16, byte: u16, width: Width) -> Option<(Reg, u16, u16)> {
    let at = offset.checked_add(byte)?;
    let reg = Reg::at(at)?;
    let from = at - reg.offset();
    let bytes = (width.bytes() - byte).min(u16::from(reg.size()) - from);
    Some((reg, from, bytes))
}

#[cfg(test)]
mod tests;
