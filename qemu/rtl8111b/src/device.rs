// SPDX-License-Identifier: GPL-2.0

//! The whole card as others have it: the bus ([`Endpoint`]), the cable ([`NicPort`]), the clock and
//! the control socket. What they do to it is in [`card`].

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Partner;
use rtl8111b_transport::DmaMap;
use rtl8111b_transport::Endpoint;
use rtl8111b_transport::Lines;
use rtl8111b_transport::Region;
use rtl8111b_wire::Link;
use rtl8111b_wire::NicPort;

mod card;
mod host;

use card::Card;
pub(crate) use card::Device;

impl Device {
    /// Plugs the cable into another partner.
    pub(crate) fn set_partner(&mut self, partner: Partner) {
        self.change(|card| card.set_partner(partner));
    }

    /// Plugs the cable in or pulls it.
    pub(crate) fn set_link(&mut self, up: bool) {
        self.change(|card| card.set_link(up));
    }

    /// Turns a fault on or off.
    pub(crate) fn fault(&mut self, config: FaultConfig) {
        self.change(|card| card.fault(config));
    }

    /// Has the chip tell these lies from now on.
    pub(crate) fn script(&mut self, lies: Vec<u8>) {
        self.change(|card| card.script(lies));
    }

    /// Turns all faults off, and ends the lies. The cable is plugged in, also if a fault that has
    /// ended by itself has left it out.
    pub(crate) fn behave(&mut self) {
        self.change(|card| {
            card.script(Vec::new());
            for kind in FaultKind::all() {
                if card.faults(kind).on(kind) {
                    card.fault(FaultConfig::off(kind));
                }
            }
            if !card.chip.phy().cable() {
                card.set_link(true);
            }
        });
    }
}

impl Endpoint for Device {
    fn read(&mut self, region: Region, offset: u64, into: &mut [u8]) {
        self.change(|card| match region {
            _ if card.chip.gone() => into.fill(0xff),
            Region::Config => card.read_config(offset, into),
            // A device that sleeps answers configuration accesses only.
            Region::Bar(0 | 2) if card.awake() => {
                into.fill(0xff);
                card.read_registers(offset, into);
            }
            Region::Bar(_) => into.fill(0xff),
        });
    }

    fn write(&mut self, region: Region, offset: u64, from: &[u8]) {
        self.change(|card| match region {
            _ if card.chip.gone() => {}
            Region::Config => card.write_config(offset, from),
            Region::Bar(0 | 2) if card.awake() => card.write_registers(offset, from),
            Region::Bar(0 | 2) => {
                let offset = u16::try_from(offset).unwrap_or(u16::MAX);
                card.chip.written_asleep(offset);
            }
            Region::Bar(_) => {}
        });
    }

    fn reset(&mut self) {
        self.change(Card::reset);
    }

    fn dma(&mut self) -> &mut DmaMap {
        self.memory()
    }

    fn lines(&mut self) -> &mut Lines {
        self.interrupt_lines()
    }

    fn disconnected(&mut self) {
        self.change(Card::cut_power);
    }
}

/// The device behind its lock.
pub(crate) struct Shared(pub(crate) Mutex<Device>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Sets the chip's time whenever it waits for it; until the process ends.
    pub(crate) fn keep_time(&self) {
        let alarm = self.lock().alarm.clone();
        loop {
            let mut device = self.lock();
            let due = device.announced.map(|at| at.max(device.held_until()));
            let wait = due.map(|at| at.saturating_sub(device.now()));
            match wait {
                Some(0) => device.change(Card::tick),
                Some(wait) => drop(alarm.wait_timeout(device, Duration::from_nanos(wait))),
                None => drop(alarm.wait(device)),
            }
        }
    }
}

impl NicPort for Shared {
    fn offer(&self, frame: &[u8], again: bool) -> bool {
        let mut device = self.lock();
        !device.holds_back(again) && device.change(|card| card.offer(frame, again))
    }

    fn attach(&self, link: Option<Link>) {
        self.lock().change(|card| card.attach(link));
    }

    fn blocked(&self) -> bool {
        let device = self.lock();
        device.sender.waiting() || device.chip.sending()
    }

    fn writable(&self) {
        self.lock().change(|card| {
            if card.sender.flush() {
                card.resume();
            }
        });
    }
}

#[cfg(test)]
mod tests;
