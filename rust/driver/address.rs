// SPDX-License-Identifier: GPL-2.0

//! The choice of the MAC address that an interface gets.
//!
//! The first valid one of: the platform's firmware (r8169); the EEPROM (Realtek's r8168); the
//! registers, which the chip has filled from the EEPROM at power-on, and which firmware or a kernel
//! that has crashed may have changed since (r8169); a random one. The interface has it written to
//! the chip, which receives nothing for itself with a wrong one.

use super::nic::Nic;
use crate::net::{
    address::{
        self,
        StationAddress, //
    },
    pci::dev_warn, //
};

impl Nic<'_> {
    /// Returns the address for the interface; the log says so if it is not the one that the chip
    /// was found with.
    pub(super) fn station_address(&self) -> StationAddress {
        let found = &self.hw.mac_address();
        let (chosen, origin) = if let Some(address) = address::of_platform(self.pdev) {
            (StationAddress::Own(address), "from the firmware")
        } else if let Some(address) = self.eeprom_address {
            (StationAddress::Own(address), "from its EEPROM")
        } else if address::is_valid(found) {
            (StationAddress::Own(*found), "its own")
        } else {
            (StationAddress::random(), "random")
        };
        if chosen.bytes() != found {
            dev_warn!(
                self.pdev,
                "the chip has {} MAC address ({}): using {} ({})\n",
                if address::is_valid(found) {
                    "another"
                } else {
                    "no valid"
                },
                address::text(found).as_str(),
                address::text(chosen.bytes()).as_str(),
                origin
            );
        }
        chosen
    }
}
