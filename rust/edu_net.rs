// SPDX-License-Identifier: GPL-2.0

//! The module of the example for `rust/net`; see `example`.

use kernel::prelude::*;

mod bindings;

// A driver uses what it needs.
#[allow(dead_code, unreachable_pub, unused_imports)]
mod net;

#[forbid(unsafe_code)]
mod example;

use net::{
    adapter::DriverRegistration,
    driver::device_table, //
};

device_table!("edu_net", PCI_TABLE, 1, [(0x1234, 0x11e8)]);

struct Module {
    _driver: DriverRegistration<example::Driver>,
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
    name: "edu_net",
    authors: ["the r8168_rust developers"],
    description: "Example for rust/net: a network interface that gets back what it sends, on QEMU's edu",
    license: "GPL",
}
