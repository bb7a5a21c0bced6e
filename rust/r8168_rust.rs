// SPDX-License-Identifier: GPL-2.0

//! Driver for the Realtek RTL8111B (PCI id 10ec:8168, XID 0x300 and 0x380).
//!
//! `net` holds safe abstractions over the network core and all `unsafe` code; `driver` is the
//! driver and has none, which the compiler enforces.

use core::ffi::CStr;
use kernel::prelude::*;

mod bindings;

#[cfg(CONFIG_KUNIT)]
mod kunit;

// Private: what another crate could call would be compiled even if nothing calls it, and not be
// inlined.
#[cfg_attr(not(clippy), allow(unreachable_pub))]
mod net;

#[cfg_attr(not(clippy), allow(unreachable_pub))]
#[forbid(unsafe_code)]
#[deny(clippy::mem_forget)]
mod driver;

/// Has Clippy see as public what would be in crates of their own, for the lints that are about such
/// items only.
#[cfg(clippy)]
pub mod public {
    pub use crate::driver::*;

    /// Both have a `phy`.
    pub mod net {
        pub use crate::net::*;
    }
}

use net::{
    adapter::DriverRegistration,
    driver::device_table, //
};

/// The version, from `versions.conf`.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("R8168_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

device_table!(
    "r8168_rust",
    PCI_TABLE,
    2,
    [
        (0x10ec, 0x8168),
        // A clone, with a vendor id that is not assigned; r8169 and Realtek's r8168 list it.
        (0x0001, 0x8168),
    ]
);

struct Module {
    _driver: DriverRegistration<driver::Driver>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _driver: DriverRegistration::new(module, &PCI_TABLE)?,
        })
    }
}

module! {
    type: Module,
    name: "r8168_rust",
    authors: ["the r8168_rust developers"],
    description: "Realtek RTL8111B Ethernet driver (XID 0x300 and 0x380)",
    license: "GPL",
}
