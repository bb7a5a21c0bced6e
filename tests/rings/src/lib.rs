// SPDX-License-Identifier: GPL-2.0

//! The hardware-independent core of the driver's rings, compiled for the host.
//!
//! The modules are the driver's own files, at the paths they have in the kernel module.

/// See `rust/net`.
#[path = "../../../rust/net"]
pub mod net {
    pub mod from_device;
    pub mod spsc;
}

/// See `rust/driver`.
#[path = "../../../rust/driver"]
#[forbid(unsafe_code)]
pub mod driver {
    pub mod eeprom;
    pub mod ring;
}
