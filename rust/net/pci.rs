// SPDX-License-Identifier: GPL-2.0

//! What a network driver needs of PCI beyond `kernel::pci`.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use crate::bindings;
use kernel::{
    device::Bound,
    dma::{
        Device as _,
        DmaMask, //
    },
    error::to_result,
    pci::{
        Device,
        DeviceId, //
    },
    prelude::*, //
};

/// Returns an entry for a device table with a vendor that `pci::Vendor` does not know.
pub const fn device_id(vendor: u16, device: u16) -> DeviceId {
    let raw = bindings::pci_device_id {
        vendor: vendor as u32,
        device: device as u32,
        subvendor: !0,
        subdevice: !0,
        class: 0,
        class_mask: 0,
        driver_data: 0,
        override_only: 0,
    };
    // SAFETY: `pci::DeviceId` is a transparent wrapper of `struct pci_device_id`, and adds nothing.
    unsafe { core::mem::transmute(raw) }
}

/// Returns the C representation of a PCI device.
pub(super) fn as_raw(pdev: &Device<Bound>) -> *mut bindings::pci_dev {
    // CAST: `pci::Device` is a transparent wrapper of `Opaque<struct pci_dev>`.
    core::ptr::from_ref(pdev)
        .cast::<bindings::pci_dev>()
        .cast_mut()
}

/// Returns the C representation of the device in a PCI device.
pub(super) fn device(pdev: &Device<Bound>) -> *mut bindings::device {
    // SAFETY: By the type invariant of `pci::Device` the pointer is to a live `struct pci_dev`.
    unsafe { &raw mut (*as_raw(pdev)).dev }
}

/// A PCI device that is switched on; dropping it switches it off again.
///
/// # Invariants
///
/// `pci_enable_device` succeeded on the device and has no `pci_disable_device` yet.
pub struct Enabled<'a>(&'a Device<Bound>);

impl<'a> Enabled<'a> {
    /// Switches on the device, its memory, its I/O ports and its interrupt line.
    ///
    /// Bus mastering is off, and its DMA addresses have `dma_bits` bits.
    ///
    /// # Errors
    ///
    /// Those of `pci_enable_device`; `EIO` if the platform has no DMA of that width.
    pub fn new(pdev: &'a Device<kernel::device::Core<'_>>, dma_bits: u32) -> Result<Self> {
        let mask = DmaMask::try_new(dma_bits)?;
        let bound: &'a Device<Bound> = pdev;
        // SAFETY: The pointer is to a live `struct pci_dev`.
        to_result(unsafe { bindings::pci_enable_device(as_raw(bound)) })?;
        // INVARIANT: It just succeeded.
        let this = Self(bound);
        this.set_master(false);
        // SAFETY: The device is being probed and nothing is allocated or mapped for it yet.
        unsafe { pdev.dma_set_mask_and_coherent(mask) }?;
        Ok(this)
    }

    /// Allows or forbids the device to access memory and to signal interrupts by messages.
    pub fn set_master(&self, on: bool) {
        // SAFETY: The pointer is to a live `struct pci_dev`, which is enabled.
        unsafe {
            if on {
                bindings::pci_set_master(as_raw(self.0));
            } else {
                bindings::pci_clear_master(as_raw(self.0));
            }
        }
    }

    /// Lets the device use Memory Write and Invalidate, if it can.
    pub fn try_set_mwi(&self) {
        // SAFETY: The pointer is to a live `struct pci_dev`, which is enabled.
        // The answer only says whether there will be such transactions.
        let _ = unsafe { bindings::pci_try_set_mwi(as_raw(self.0)) };
    }

    /// Sets the largest read that the device may ask for, in bytes: a power of two, 128 to 4096.
    ///
    /// Where the firmware or the bridge allows less, that stays.
    pub fn set_max_read_request(&self, bytes: u16) {
        // SAFETY: The pointer is to a live `struct pci_dev`. It fails on a device that is not PCI
        // Express, which then has no such limit.
        let _ = unsafe { bindings::pcie_set_readrq(as_raw(self.0), c_int::from(bytes)) };
    }

    /// Keeps the link of the device out of ASPM's L1.
    pub fn disable_l1(&self) {
        // SAFETY: The pointer is to a live `struct pci_dev`; no lock of the PCI core is held.
        // Where the firmware owns ASPM this fails, and the firmware's choice stays.
        let _ = unsafe {
            bindings::pci_disable_link_state(as_raw(self.0), bindings::NET_PCIE_LINK_STATE_L1)
        };
    }

    /// Remembers the configuration of the device, to restore it after an error of the bus.
    pub fn save_state(&self) {
        // SAFETY: The pointer is to a live `struct pci_dev`. If there is no memory for it, the
        // configuration is not restored, and the device stays dead after such an error.
        let _ = unsafe { bindings::pci_save_state(as_raw(self.0)) };
    }

    /// Returns the number of the interrupt of the device's INTx pin.
    pub fn irq(&self) -> u32 {
        // SAFETY: The pointer is to a live `struct pci_dev`, whose line is routed while enabled.
        unsafe { bindings::net_helper_pci_irq(as_raw(self.0)) }
    }
}

impl Drop for Enabled<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this balances `pci_enable_device`.
        unsafe { bindings::pci_disable_device(as_raw(self.0)) };
    }
}
