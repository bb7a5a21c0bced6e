// SPDX-License-Identifier: GPL-2.0

//! The chip as a whole: its state, its interrupt line, its time.

use crate::bus::Bus;
use crate::bus::BusError;
use crate::config::Config;
use crate::config::RingState;
use crate::config::State;
use crate::counters::Counters;
use crate::counters::Tally;
use crate::desc::Ring;
use crate::eeprom::Serial;
use crate::faults::FaultConfig;
use crate::faults::FaultInjector;
use crate::faults::FaultKind;
use crate::faults::Lie;
use crate::history::History;
use crate::partner::Partner;
use crate::phy::Phy;
use crate::regs::cmd;
use crate::regs::config1;
use crate::regs::config2;
use crate::regs::intr;
use crate::regs::tally;
use crate::regs::Reg;
use crate::regs::REGISTER_COUNT;
use crate::rx::Corruption;
use crate::stall::Fifo;
use crate::timing::Mitigation;
use crate::timing::Timer;
use crate::wake::Wake;
use crate::writeback::DelayedWritebacks;

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
    /// The FIFO has run over, and the receiver waits for a reset.
    pub(crate) overflown: bool,
    /// The FIFO was full, and has not become empty since.
    pub(crate) was_full: bool,
    /// The power state is another than D0.
    pub(crate) asleep: bool,
    /// The chip may use the bus.
    pub(crate) master: bool,
    /// It has been allowed to at any time since the last reset.
    pub(crate) mastered: bool,
    /// Received frames that wait for the bus.
    pub(crate) fifo: Fifo,
    /// The time at which a dump of the tally counters that was asked for is due; later, if it waits
    /// for the bus.
    pub(crate) dump_due: Option<u64>,
    /// The times at which the last access to the PHY is done, and the last reset.
    pub(crate) phy_done: u64,
    pub(crate) reset_done: u64,
    pub(crate) tally: Tally,
    pub(crate) counters: Counters,
    /// The frame being put together; kept to spare an allocation per frame.
    pub(crate) frame: Vec<u8>,
    pub(crate) faults: FaultInjector,
    /// The corruption of the frame that is being received.
    pub(crate) corruption: Corruption,
    /// Descriptors that are given back later than they should.
    pub(crate) delayed: DelayedWritebacks,
    pub(crate) eeprom: Serial,
    pub(crate) mitigation: Mitigation,
    pub(crate) timer: Timer,
    pub(crate) woken: Option<Wake>,
    pub(crate) history: History,
    /// The time at which the driver last accessed a register.
    pub(crate) accessed: u64,
    line: bool,
    /// The line does not show what has happened: an interrupt is lost.
    muted: bool,
    pulse: bool,
    was_reset: bool,
    pub(crate) now: u64,
}

impl Chip {
    /// A chip after power-on.
    pub fn new(config: Config) -> Self {
        let mut chip = Chip {
            config,
            values: [0; REGISTER_COUNT],
            phy: config.phy(config.partner, 0),
            tx: [Ring::default(); 2],
            tx_busy: [false; 2],
            rx: Ring::default(),
            stopped: false,
            overflown: false,
            was_full: false,
            asleep: false,
            master: false,
            mastered: false,
            fifo: Fifo::default(),
            dump_due: None,
            phy_done: 0,
            reset_done: 0,
            tally: Tally::default(),
            counters: Counters::new(),
            frame: Vec::new(),
            faults: FaultInjector::new(),
            corruption: Corruption::default(),
            delayed: DelayedWritebacks::default(),
            eeprom: Serial::new(config.eeprom.words(config.mac)),
            mitigation: Mitigation::default(),
            timer: Timer::default(),
            woken: None,
            history: History::default(),
            accessed: 0,
            line: false,
            muted: false,
            pulse: false,
            was_reset: false,
            now: 0,
        };
        chip.power_cycle();
        chip
    }

    /// Cuts the power: everything but the counters for the observer is as after power-on.
    /// The cable stays as it is plugged.
    pub fn power_on(&mut self) {
        self.watched(Chip::power_cycle);
    }

    fn power_cycle(&mut self) {
        let cable = self.phy.cable();
        self.phy = self.config.phy(self.phy.partner(), self.now);
        self.phy.plug(cable);
        self.bus_reset();
    }

    /// Resets the bus, as a warm reboot does: the PHY is not reset and stays as it is
    /// (iPXE #390; its #584 reports the same of a reboot out of Linux).
    pub fn pci_reset(&mut self) {
        self.watched(Chip::bus_reset);
    }

    fn bus_reset(&mut self) {
        self.phy_done = 0;
        self.reset_done = 0;
        self.values = [0; REGISTER_COUNT];
        self.tx = [Ring::default(); 2];
        self.rx = Ring::default();
        self.tally = Tally::default();
        self.timer = Timer::started(self.now);
        self.master = false;
        self.load_address();
        // The LEDs' mode is the EEPROM's to say [guess].
        self.set(Reg::Config1, 0xc0 | config1::FIXED);
        self.set(Reg::Config2, config2::AUX);
        // LanWake [guess].
        self.set(Reg::Config5, 0x02);
        self.soft_reset();
    }

    pub(crate) fn load_address(&mut self) {
        let [a, b, c, d, e, f] = self.eeprom.address().unwrap_or(self.config.mac);
        self.set(Reg::Mac0, u32::from_le_bytes([a, b, c, d]));
        self.set(Reg::Mac4, u32::from_le_bytes([e, f, 0, 0]));
    }

    /// ChipCmd bit 4. Addresses and filter stay, and the chip begins at the rings' first
    /// descriptors again, whose bases it keeps (data sheet, page 5). IMR and ISR are zero
    /// afterwards, which r8169 relies on.
    pub(crate) fn soft_reset(&mut self) {
        self.set(Reg::ChipCmd, 0);
        self.set(Reg::IntrMask, 0);
        self.set(Reg::IntrStatus, 0);
        self.tx_busy = [false; 2];
        self.tx[NORMAL].index = 0;
        self.tx[HIGH].index = 0;
        self.rx.index = 0;
        self.stopped = false;
        self.overflown = false;
        self.was_full = false;
        self.muted = false;
        self.mastered = self.master;
        self.delayed.clear();
        self.fifo.clear();
        // A dump ends, too [guess].
        self.dump_due = None;
        let low = self.get(Reg::CounterAddrLow);
        self.set(Reg::CounterAddrLow, low & !tally::DUMP);
        self.mitigation = Mitigation::default();
        self.faults.reset();
        self.was_reset = true;
    }

    pub(crate) fn get(&self, reg: Reg) -> u32 {
        self.values[reg as usize]
    }

    pub(crate) fn set(&mut self, reg: Reg, value: u32) {
        self.values[reg as usize] = value;
    }

    pub(crate) fn violation(&mut self, text: String) {
        let accesses = self.history.describe();
        self.counters
            .violation(format!("{text} (last accesses: {accesses})"));
    }

    pub(crate) fn raise(&mut self, bits: u16) {
        if !self.interrupt() {
            self.muted = self.faults.fires(FaultKind::LostInterrupt);
        }
        let status = self.get(Reg::IntrStatus) | u32::from(bits);
        self.set(Reg::IntrStatus, status);
    }

    /// A transfer was refused: SYSErr, and the chip stops where it stands. r8169 answers with a
    /// reset.
    pub(crate) fn dma_fault(&mut self, what: &str, address: u64, fault: BusError) {
        self.counters.dma_faults += 1;
        if !matches!(fault, BusError::Injected | BusError::NoFile) {
            self.violation(format!("{what} at {address:#x}: {fault}"));
        }
        self.raise(intr::SYS_ERR);
    }

    /// The interrupt line: raised while an event is pending that IntrMask lets through.
    pub fn interrupt(&self) -> bool {
        let pending = self.get(Reg::IntrStatus) & self.get(Reg::IntrMask) & u32::from(intr::ALL);
        pending != 0 && !self.muted && !self.gone()
    }

    /// Does something to the chip that may move the interrupt line, and counts the line's rising
    /// edge. All that comes from outside is done in here; the tests find out what is not.
    pub(crate) fn watched<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        if cfg!(any(test, debug_assertions)) {
            assert_eq!(self.line, self.interrupt(), "the line has moved unseen");
        }
        let result = act(self);
        let line = self.interrupt();
        if line && !self.line {
            self.counters.interrupts_raised += 1;
        }
        self.line = line;
        result
    }

    /// The counters.
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
        self.watched(|chip| chip.plug(up));
    }

    fn plug(&mut self, up: bool) {
        if self.phy.plug(up) {
            self.link_moved();
        }
    }

    /// Plugs the cable into another partner.
    pub fn set_partner(&mut self, partner: Partner) {
        self.watched(|chip| {
            if chip.phy.set_partner(partner) {
                chip.link_moved();
            }
        });
    }

    fn link_moved(&mut self) {
        self.raise(intr::LINK_CHG);
        if self.asleep {
            self.link_asleep();
        }
    }

    /// Sets the power state. A chip that sleeps starts no transfers; frames that come meanwhile may
    /// wake it ([`Chip::take_wake`]), and are not received.
    pub fn set_asleep(&mut self, asleep: bool) {
        self.asleep = asleep;
    }

    /// A register is written in a power state other than D0, in which a function takes
    /// configuration accesses only: the request is one that it does not support, which a root port
    /// may report as an error.
    pub fn written_asleep(&mut self, offset: u16) {
        let name = Reg::at(offset).map_or("no register", Reg::name);
        self.violation(format!("offset {offset:#04x} ({name}) written outside D0"));
    }

    /// Sets the time, in nanoseconds from any beginning, and does what is due.
    pub fn tick(&mut self, bus: &mut dyn Bus, now: u64) {
        self.watched(|chip| chip.advance(bus, now));
    }

    fn advance(&mut self, bus: &mut dyn Bus, now: u64) {
        self.now = self.now.max(now);
        if self.phy.tick(self.now) {
            self.link_moved();
        }
        let due = self.faults.due(self.now);
        self.pulse |= due.pulse && !self.gone();
        if due.flap {
            self.plug(!self.phy.cable());
        }
        self.give_back(bus);
        self.empty_fifo(bus);
        self.run_dump(bus);
        self.timing();
    }

    /// Returns when [`Chip::tick`] has something to do of its own accord.
    pub fn deadline(&self) -> Option<u64> {
        [
            self.faults.deadline(),
            self.delayed.deadline().filter(|_| self.can_transfer()),
            // One that is overdue has waited for the bus, and goes on with it or with the next
            // access.
            self.dump_due
                .filter(|&due| due > self.now && self.can_transfer()),
            self.timing_deadline(),
            self.fifo_deadline(),
            self.phy.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The faults, to look at.
    pub fn faults(&self) -> &FaultInjector {
        &self.faults
    }

    /// Turns a fault on or off.
    pub fn fault(&mut self, bus: &mut dyn Bus, config: FaultConfig) {
        self.watched(|chip| chip.configure(bus, config));
    }

    /// Has it tell these lies from now on, in place of those that were left.
    pub fn script(&mut self, lies: Vec<Lie>) {
        self.faults.script(lies);
    }

    fn configure(&mut self, bus: &mut dyn Bus, config: FaultConfig) {
        let was_on = self.faults.on(config.kind);
        self.faults.configure(config, self.now);
        if !config.on && was_on {
            match config.kind {
                FaultKind::TxStall => self.run_tx(bus),
                FaultKind::BusStall => self.carry_on(bus),
                FaultKind::ResetHang if self.get(Reg::ChipCmd) & cmd::RESET != 0 => {
                    self.soft_reset();
                }
                FaultKind::LostInterrupt => self.muted = false,
                FaultKind::LinkFlap => self.plug(true),
                FaultKind::DelayOwn => {
                    self.delayed.make_due();
                    self.give_back(bus);
                }
                FaultKind::Gone => self.power_cycle(),
                _ => {}
            }
        }
    }

    /// Returns whether the card has been pulled out.
    pub fn gone(&self) -> bool {
        self.faults.on(FaultKind::Gone)
    }

    /// Returns whether the line has gone up and down again since the last time of asking.
    pub fn take_pulse(&mut self) -> bool {
        std::mem::take(&mut self.pulse)
    }

    /// Returns whether the chip has been reset since the last time of asking.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.was_reset)
    }

    /// The bytes of its EEPROM.
    pub fn eeprom(&self) -> Vec<u8> {
        self.eeprom.bytes()
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
        self.watched(|chip| chip.run_tx(bus));
        self.sending()
    }

    /// Neither ring is served.
    pub(crate) fn halted(&self) -> bool {
        self.stopped || self.asleep || self.gone()
    }

    /// Returns whether frames wait to be sent by [`Chip::resume`].
    pub fn sending(&self) -> bool {
        !self.halted()
            && !self.stalled()
            && (0..2).any(|ring| self.tx_busy[ring] && !self.tx_held(ring))
    }
}

#[cfg(test)]
mod tests;
