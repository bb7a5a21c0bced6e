// SPDX-License-Identifier: GPL-2.0

//! Driver for the Realtek RTL8111B (PCI id 10ec:8168, XID 0x300 and 0x380).
//!
//! `net` holds safe abstractions over the network core and all `unsafe` code; `driver` is the driver
//! and has none, which the compiler enforces.

use kernel::{
    device::Core,
    pci,
    prelude::*, //
};

#[allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
mod bindings {
    //! The C side: what bindgen made of `rust/bindings/bindings.h`, and `kernel::bindings`.
    pub(crate) use kernel::bindings::*;
    use kernel::ffi;
    include!(env!("R8168_BINDINGS"));
}

mod compat;
#[cfg(CONFIG_KUNIT)]
mod kunit;
pub mod net;

#[forbid(unsafe_code)]
#[deny(clippy::mem_forget)]
pub mod driver;

use net::device::Registration;

/// The version, from `versions.conf`.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("R8168_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

struct Module;

compat::pci_device_table!(
    PCI_TABLE,
    <Module as pci::Driver>::IdInfo,
    [
        (pci::DeviceId::from_id(pci::Vendor::REALTEK, 0x8168), ()),
        // A clone with a vendor id that nobody has assigned; r8169 and Realtek's r8168 list it.
        (net::pci::device_id(0x0001, 0x8168), ())
    ]
);

impl pci::Driver for Module {
    type IdInfo = ();
    type Data<'bound> = Registration<'bound, driver::Nic<'bound>>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: compat::IdInfo<'bound, Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        driver::Driver::probe(pdev)
    }

    fn unbind<'bound>(_pdev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        this.unregister();
    }
}

impl net::power::Driver for Module {
    type Operations<'bound> = driver::Nic<'bound>;

    fn registration<'a, 'bound>(
        data: &'a Self::Data<'bound>,
    ) -> &'a Registration<'bound, driver::Nic<'bound>> {
        data
    }
}

kernel::module_driver! {
    <T>, net::power::Adapter<T>, {
        type: Module,
        name: "r8168_rust",
        authors: ["the r8168_rust developers"],
        description: "Realtek RTL8111B Ethernet driver (XID 0x300 and 0x380)",
        license: "GPL",
    }
}
