// SPDX-License-Identifier: GPL-2.0

//! Network devices, as their drivers see them from any context.
//!
//! # Examples
//!
//! ```
//! use crate::net::device::NetDevice;
//!
//! /// A frame came in whose check sequence is wrong.
//! fn damaged(dev: &NetDevice) {
//!     dev.errors().rx_errors.count();
//!     dev.errors().rx_crc_errors.count();
//! }
//!
//! /// The device can go on only after a reset, which needs process context.
//! fn needs_reset(dev: &NetDevice) {
//!     dev.schedule_reset();
//! }
//! ```
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    address::MacAddress,
    atomic::Flag,
    chars,
    phy::Phy,
    stats::{
        Errors,
        Segmentation, //
    },
    xdp::Xdp, //
};
use crate::bindings;
use core::ffi::CStr;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// The part of the private area that does not depend on the driver.
#[repr(C)]
pub(super) struct Core {
    /// The first of all: C finds the callbacks in it.
    pub(super) private: bindings::net_helper_private,
    /// The configuration of the PCI device as its probe found it; owned.
    pub(super) config: *mut bindings::pci_saved_state,
    pub(super) napi: Opaque<bindings::napi_struct>,
    pub(super) reset: Opaque<bindings::work_struct>,
    /// A reset was asked for since the device was started.
    pub(super) reset_due: Flag,
    /// Resets a dead device through its bus; takes RTNL, but does not wait for it.
    pub(super) recover: Opaque<bindings::work_struct>,
    /// Asks the device for its counters; see `get_stats64`.
    pub(super) refresh: Opaque<bindings::work_struct>,
    pub(super) errors: Errors,
    pub(super) segmentation: Segmentation,
    pub(super) xdp: Xdp,
    /// The rings that the next `ndo_open` makes; written under RTNL.
    pub(super) rx_ring: Atomic<u32>,
    pub(super) tx_ring: Atomic<u32>,
    /// Bits of `NETIF_MSG_*`.
    pub(super) message_level: Atomic<u32>,
    pub(super) irq: u32,
    /// Calls `Mdio` of the driver, which is dropped later.
    pub(super) phy: Option<Phy>,
}

impl Core {
    /// Schedules the reset of a dead device through its bus, if the interface is up.
    pub(super) fn schedule_recovery(&self) {
        // SAFETY: The work item lives as long as the device; while it is disabled this does
        // nothing.
        unsafe { bindings::schedule_work(self.recover.get()) };
    }
}

/// Returns where the private area of a network device is, which is not read.
#[inline]
pub(super) fn private_area(dev: *mut bindings::net_device) -> *mut c_void {
    dev.wrapping_byte_add(bindings::NET_NETDEV_PRIV).cast()
}

/// A network device: what its driver may do with it from any context.
///
/// # Invariants
///
/// The `net_device` was allocated by `Registration::new`, so its private area begins with a
/// [`Core`].
#[repr(transparent)]
pub struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: The methods may be called from any thread.
unsafe impl Sync for NetDevice {}

impl NetDevice {
    /// Returns the network device behind a pointer.
    ///
    /// # Safety
    ///
    /// `dev` must be allocated by `Registration::new` and live for `'a`.
    pub(super) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `NetDevice` is a transparent wrapper; the rest by the safety requirements.
        unsafe { &*dev.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    fn core(&self) -> &Core {
        // SAFETY: By the type invariant a `Core` is there, and it lives as long as the device.
        unsafe { &*private_area(self.as_raw()).cast() }
    }

    pub(super) fn napi(&self) -> *mut bindings::napi_struct {
        self.core().napi.get()
    }

    /// Schedules [`Napi::poll`](super::operations::Napi::poll), if it is not scheduled already.
    pub fn schedule_poll(&self) {
        // SAFETY: The NAPI instance lives as long as the device. While it is disabled this does
        // nothing.
        unsafe { bindings::napi_schedule(self.napi()) };
    }

    /// Schedules a reset: the device is stopped and started again, in process context.
    pub fn schedule_reset(&self) {
        // If it is disabled, it is scheduled when it is enabled.
        self.core().reset_due.store(true, Relaxed);
        // SAFETY: The work item lives as long as the device; while it is disabled this does
        // nothing.
        unsafe { bindings::schedule_work(self.core().reset.get()) };
    }

    /// Returns the error counters.
    pub fn errors(&self) -> &Errors {
        &self.core().errors
    }

    pub(super) fn segmentation(&self) -> &Segmentation {
        &self.core().segmentation
    }

    pub(super) fn xdp(&self) -> &Xdp {
        &self.core().xdp
    }

    /// Returns the MTU in bytes.
    pub fn mtu(&self) -> u32 {
        // SAFETY: The device is live.
        unsafe { bindings::netdev_mtu(self.as_raw()) }
    }

    pub(super) fn parent(&self) -> *mut bindings::device {
        // SAFETY: The device is live.
        unsafe { bindings::netdev_parent(self.as_raw()) }
    }

    /// Returns the PCI device, which is bound, or being bound.
    pub(super) fn pdev(&self) -> *mut bindings::pci_dev {
        self.parent()
            .wrapping_byte_sub(bindings::NET_PCI_DEV_DEVICE)
            .cast()
    }

    /// Gives the PCI device the configuration again that its probe found.
    ///
    /// Not the one that was saved last: the PCI core saves it before a suspend and before a reset,
    /// and before Linux 7.2 it even saves the all ones that a dead device answers. The command
    /// register would come back from these with its interrupt disabled.
    pub(super) fn restore_config(&self) {
        // SAFETY: The PCI device is live, and `config` is a saved state of it, by the requirements
        // of `callbacks::init`.
        unsafe {
            bindings::pci_load_saved_state(self.pdev(), self.core().config);
            bindings::pci_restore_state(self.pdev());
            bindings::pci_clear_state_saved(self.pdev());
        }
    }

    /// Writes an error, with its number, to the kernel's log.
    pub(super) fn print_error(&self, text: &'static CStr, error: c_int) {
        // SAFETY: The device is live, and the text ends with a zero.
        unsafe { bindings::netdev_err(self.as_raw(), chars(text), error) };
    }

    /// Returns the PHY, if the device has one.
    pub fn phy(&self) -> Option<&Phy> {
        self.core().phy.as_ref()
    }

    /// Returns the MAC address.
    ///
    /// # Safety
    ///
    /// The address must not change meanwhile: RTNL must be held, or this be part of a runtime
    /// resume. It is set under RTNL, after a runtime resume that was under way has ended.
    pub(super) unsafe fn address(&self) -> MacAddress {
        // SAFETY: The device is live, and has an address of 6 bytes. By the safety requirements it
        // is not written meanwhile.
        unsafe {
            bindings::netdev_addr(self.as_raw())
                .cast::<MacAddress>()
                .read()
        }
    }

    /// Returns whether there is a link.
    pub fn has_link(&self) -> bool {
        // SAFETY: The device is live.
        unsafe { bindings::netif_carrier_ok(self.as_raw()) }
    }

    /// Returns the messages that are wanted: bits of `NETIF_MSG_*`.
    pub(super) fn message_level(&self) -> u32 {
        self.core().message_level.load(Relaxed)
    }

    pub(super) fn set_message_level(&self, level: u32) {
        self.core().message_level.store(level, Relaxed);
    }
}
