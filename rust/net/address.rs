// SPDX-License-Identifier: GPL-2.0

//! MAC addresses, and where they come from.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     address::{
//!         self,
//!         MacAddress,
//!         StationAddress, //
//!     },
//!     pci, //
//! };
//!
//! /// The address in the EEPROM of a device, or that which the firmware has for it, or any.
//! fn station(pdev: &pci::Device, eeprom: MacAddress) -> StationAddress {
//!     Some(eeprom)
//!         .filter(address::is_valid)
//!         .or_else(|| address::of_platform(pdev))
//!         .map_or_else(StationAddress::random, StationAddress::Own)
//! }
//!
//! fn show(pdev: &pci::Device, station: &StationAddress) {
//!     let text: address::Text = address::text(station.bytes());
//!     pci::dev_info!(pdev, "{}\n", text.as_str());
//! }
//! ```
//!
//! C header: [`include/linux/etherdevice.h`](srctree/include/linux/etherdevice.h)

use super::pci;
use crate::bindings;

/// A MAC address.
pub type MacAddress = [u8; 6];

/// The address that an interface begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StationAddress {
    /// The device's own, by which it is known for good.
    Own(MacAddress),
    /// One that was made up for this time.
    Random(MacAddress),
}

impl StationAddress {
    /// Makes one up.
    pub fn random() -> Self {
        let mut address = MacAddress::default();
        // SAFETY: There is room for an address.
        unsafe { bindings::eth_random_addr(address.as_mut_ptr()) };
        Self::Random(address)
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &MacAddress {
        match self {
            Self::Own(address) | Self::Random(address) => address,
        }
    }
}

/// Returns whether a station may have this address: it is no group's, and not zero.
pub fn is_valid(address: &MacAddress) -> bool {
    address[0] & 1 == 0 && *address != [0; 6]
}

/// Returns the address that the firmware of the platform has for a device (device tree, ACPI), if
/// it is valid.
pub fn of_platform(pdev: &pci::Device) -> Option<MacAddress> {
    let dev = pci::device(pdev);
    let mut address = MacAddress::default();
    // SAFETY: The device is live, and there is room for an address.
    let found = unsafe {
        bindings::eth_platform_get_mac_address(dev, address.as_mut_ptr()) == 0
            || bindings::device_get_mac_address(dev, address.as_mut_ptr().cast()) == 0
    };
    Some(address).filter(|address| found && is_valid(address))
}

/// An address as `ip link` shows it.
pub struct Text([u8; 17]);

impl Text {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        // It is ASCII.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes an address as text.
pub fn text(address: &MacAddress) -> Text {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 0xf)];
    let mut text = [b':'; 17];
    for (to, byte) in text.chunks_mut(3).zip(address) {
        to[0] = digit(byte >> 4);
        to[1] = digit(*byte);
    }
    Text(text)
}
