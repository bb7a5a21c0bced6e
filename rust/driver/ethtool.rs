// SPDX-License-Identifier: GPL-2.0

//! The chip's side of `ethtool`: what it shows and sets.
//!
//! # The dump of registers
//!
//! `ethtool -d` gives the 256 bytes of the register file in the order of their addresses, each as
//! it was when it was read, which is in 32-bit accesses from the first to the last; `regs` names
//! those that the driver uses. The version is the XID in the upper 16 bits and the version of this
//! layout, 1, in the lower. All ones: the chip is gone.

use super::{
    eeprom,
    hw::ORDINARY_MTU,
    nic::Nic,
    regs,
    ring::desc,
    selftest,
    tally, //
};
use crate::net::{
    device::NetDevice,
    ethtool::{
        Coalesce,
        Ethtool,
        ExtackError,
        RingSizes,
        WakeEvents, //
    },
    phy::Phy,
    skb,
    stats::{
        HardwareErrors,
        MacStatistics, //
    }, //
};
use core::ffi::CStr;
use kernel::prelude::*;

/// Descriptors in each ring from the start, as in r8169.
const DEFAULT_RING: u32 = 256;

/// The smallest rings. A frame of the most fragments must fit into that for sending.
const RX_RING_MIN: u32 = 16;
const TX_RING_MIN: u32 = {
    let least = skb::MAX_FRAGMENTS.next_power_of_two();
    if least < RX_RING_MIN {
        RX_RING_MIN
    } else {
        least
    }
};

/// The version of the layout of the dump.
const DUMP_VERSION: u32 = 1;

impl Ethtool for Nic<'_> {
    const RINGS: Option<RingSizes> = Some(RingSizes {
        rx: RX_RING_MIN..=desc::MAX_DESCRIPTORS,
        tx: TX_RING_MIN..=desc::MAX_DESCRIPTORS,
        default: DEFAULT_RING,
    });
    const HAS_MAC_STATISTICS: bool = true;
    const HAS_COALESCE: bool = true;
    const STATISTICS: &'static [&'static CStr] = &tally::NAMES;
    const SELF_TESTS: &'static [&'static CStr] = &selftest::NAMES;
    const REGISTER_BYTES: usize = regs::END;
    const WAKE_EVENTS: WakeEvents = WakeEvents::PHY
        .with(WakeEvents::UNICAST)
        .with(WakeEvents::MULTICAST)
        .with(WakeEvents::BROADCAST)
        .with(WakeEvents::MAGIC);
    const EEPROM_MAGIC: Option<u32> = Some(eeprom::SIGNATURE as u32);

    fn statistics(&self, values: &mut [u64]) {
        self.tally.all(values);
    }

    fn mac_statistics(&self) -> MacStatistics {
        self.tally.mac_statistics()
    }

    fn hardware_errors(&self) -> HardwareErrors {
        self.tally.errors()
    }

    fn refresh_statistics(&self) {
        self.tally.refresh(&self.hw);
    }

    fn register_version(&self) -> u32 {
        self.hw.xid().number() << 16 | DUMP_VERSION
    }

    fn read_registers(&self, dump: &mut [u8]) {
        self.hw.read_all(dump);
    }

    fn coalesce(&self) -> Result<Coalesce> {
        Ok(self.hw.coalesce())
    }

    fn set_coalesce(&self, dev: &NetDevice, wanted: &Coalesce) -> Result<(), ExtackError> {
        self.hw.set_coalesce(dev.phy().and_then(Phy::speed), wanted)
    }

    fn check_pause(&self, mtu: u32) -> Result<(), ExtackError> {
        if mtu > ORDINARY_MTU {
            // As r8169.
            return Err(ExtackError::unsupported(
                c"no flow control with jumbo frames",
            ));
        }
        Ok(())
    }

    fn wake_events(&self) -> WakeEvents {
        self.hw.wake_events()
    }

    fn set_wake_events(&self, events: WakeEvents) {
        self.hw.set_wake_events(events);
    }

    fn eeprom_size(&self) -> usize {
        self.eeprom.map_or(0, |part| part.size())
    }

    fn read_eeprom(&self, offset: usize, bytes: &mut [u8]) {
        if let Some(part) = self.eeprom {
            self.hw.with_eeprom(|pins| part.read(pins, offset, bytes));
        }
    }
}
