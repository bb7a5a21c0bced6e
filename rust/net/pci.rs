// SPDX-License-Identifier: GPL-2.0

//! PCI devices.
//!
//! Not those of `kernel::pci`: its traits and types change from release to release.
//!
//! # Examples
//!
//! ```
//! use crate::net::pci::{
//!     dev_warn,
//!     Device,
//!     Enabled,
//!     Level,
//!     Probing, //
//! };
//! use kernel::prelude::*;
//!
//! /// Enables a device that reaches 32 bits of addresses.
//! fn enable(pdev: Probing<'_>) -> Result<Enabled<'_>> {
//!     let enabled = Enabled::new::<32>(pdev)?;
//!     enabled.set_master(true);
//!     Ok(enabled)
//! }
//!
//! fn warn(pdev: &Device) {
//!     dev_warn!(pdev, "interrupt {} does not come\n", pdev.irq());
//!     // That is short for this.
//!     pdev.print(Level::WARNING, format_args!("nothing is received\n"));
//! }
//! ```
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use super::chars;
use crate::bindings;
use core::{
    ffi::CStr,
    fmt, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// A PCI device that is bound to a driver, or is being bound to it.
///
/// # Invariants
///
/// It is the `struct pci_dev` of a live device, which stays live as long as it is borrowed.
#[repr(transparent)]
pub struct Device(Opaque<bindings::pci_dev>);

// SAFETY: A `struct pci_dev` belongs to no thread; it is only reached through references.
unsafe impl Send for Device {}
// SAFETY: No method here changes what is not guarded by the PCI core.
unsafe impl Sync for Device {}

impl Device {
    /// Returns the device behind a pointer.
    ///
    /// # Safety
    ///
    /// `pdev` must be live, and stay so for `'a`.
    pub(super) unsafe fn from_raw<'a>(pdev: *mut bindings::pci_dev) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        // INVARIANT: By the safety requirements the device is live for `'a`.
        unsafe { &*pdev.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::pci_dev {
        self.0.get()
    }

    /// Returns the number of the interrupt of the device's INTx pin.
    pub fn irq(&self) -> u32 {
        // SAFETY: The device is live, and its line is routed since it was enabled.
        unsafe { bindings::pci_irq(self.as_raw()) }
    }

    /// Writes a line to the kernel's log, at a level such as [`Level::INFO`]; what exceeds 159
    /// bytes is cut.
    ///
    /// Use [`dev_info!`] and the like. (Not by `%pA`, which only kernels with Rust know.)
    #[cold]
    #[inline(never)]
    pub fn print(&self, level: Level, message: fmt::Arguments<'_>) {
        let mut line = Line::new();
        // It fails when the line is full.
        let _ = fmt::write(&mut line, message);
        // SAFETY: The device is live by the type invariants. The level is one of the kernel's, and
        // the format asks for one string, which ends with a zero: `Line` keeps its last byte zero.
        unsafe {
            bindings::_dev_printk(chars(level.0), device(self), chars(c"%s"), line.as_ptr());
        }
    }
}

/// A text whose last byte stays zero.
struct Line {
    text: [u8; 160],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            text: [0; 160],
            length: 0,
        }
    }

    fn as_ptr(&self) -> *const c_char {
        self.text.as_ptr().cast()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.text.len() - 1 - self.length;
        let fits = more.len().min(room);
        let end = self.length + fits;
        self.text[self.length..end].copy_from_slice(&more.as_bytes()[..fits]);
        self.length = end;
        if fits == more.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// A level of the kernel's log. Only those below exist: C reads what stands in front of the text as
/// more than a string.
#[derive(Clone, Copy)]
pub struct Level(&'static CStr);

impl Level {
    /// `KERN_ERR`.
    pub const ERR: Self = Self(c"\x013");
    /// `KERN_WARNING`.
    pub const WARNING: Self = Self(c"\x014");
    /// `KERN_INFO`.
    pub const INFO: Self = Self(c"\x016");
}

/// Writes an error of a [`Device`] to the kernel's log.
#[macro_export]
#[doc(hidden)]
macro_rules! pci_err {
    ($pdev:expr, $($text:tt)*) => {
        $pdev.print($crate::net::pci::Level::ERR, ::core::format_args!($($text)*))
    };
}
/// Writes a warning of a [`Device`] to the kernel's log.
#[macro_export]
#[doc(hidden)]
macro_rules! pci_warn {
    ($pdev:expr, $($text:tt)*) => {
        $pdev.print($crate::net::pci::Level::WARNING, ::core::format_args!($($text)*))
    };
}
/// Writes a message of a [`Device`] to the kernel's log.
#[macro_export]
#[doc(hidden)]
macro_rules! pci_info {
    ($pdev:expr, $($text:tt)*) => {
        $pdev.print($crate::net::pci::Level::INFO, ::core::format_args!($($text)*))
    };
}
pub use crate::{
    pci_err as dev_err,
    pci_info as dev_info,
    pci_warn as dev_warn, //
};

/// Returns the C representation of the device in a PCI device.
#[inline]
pub(super) fn device(pdev: &Device) -> *mut bindings::device {
    device_of(pdev.as_raw())
}

/// The same of a pointer, which is not read.
#[inline]
pub(super) fn device_of(pdev: *mut bindings::pci_dev) -> *mut bindings::device {
    pdev.wrapping_byte_add(bindings::NET_PCI_DEV_DEVICE).cast()
}

/// A PCI device that is being probed, and not enabled yet.
pub struct Probing<'a>(pub(super) &'a Device);

/// A PCI device that is enabled; dropping this disables it again.
///
/// # Invariants
///
/// `pci_enable_device` succeeded on the device and has no `pci_disable_device` yet.
pub struct Enabled<'a>(&'a Device);

impl<'a> Enabled<'a> {
    /// Enables the device, its memory, its I/O ports and its interrupt line.
    ///
    /// Bus mastering is off, and its DMA addresses have `DMA_BITS` bits, 1 to 64.
    ///
    /// # Errors
    ///
    /// Those of `pci_enable_device`; `EIO` if the platform has no DMA of that width.
    pub fn new<const DMA_BITS: u32>(pdev: Probing<'a>) -> Result<Self> {
        const { assert!(DMA_BITS >= 1 && DMA_BITS <= 64) };
        let pdev = pdev.0;
        // SAFETY: The device is live.
        to_result(unsafe { bindings::pci_enable_device(pdev.as_raw()) })?;
        // INVARIANT: It just succeeded.
        let this = Self(pdev);
        this.set_master(false);
        // SAFETY: The device is live, and a mask has 1 to 64 bits. Nothing is allocated or mapped
        // for it yet: a `Device` to do it with is only to be had of what is returned here, and
        // there is one `Probing` a probe.
        to_result(unsafe { bindings::dma_set_mask_and_coherent(device(pdev), DMA_BITS) })?;
        Ok(this)
    }

    /// Returns the device.
    pub fn device(&self) -> &'a Device {
        self.0
    }

    /// Allows or forbids the device to access memory and to signal interrupts by messages.
    pub fn set_master(&self, on: bool) {
        // SAFETY: The device is live and enabled.
        unsafe {
            if on {
                bindings::pci_set_master(self.0.as_raw());
            } else {
                bindings::pci_clear_master(self.0.as_raw());
            }
        }
    }

    /// Sets the largest read that the device may ask for, in bytes: a power of two, 128 to 4096.
    ///
    /// Where the firmware or the bridge allows less, that stays.
    pub fn set_max_read_request(&self, bytes: u16) {
        // SAFETY: The device is live. It fails on a device that is not PCI Express, which then has
        // no such limit.
        let _ = unsafe { bindings::pcie_set_readrq(self.0.as_raw(), c_int::from(bytes)) };
    }

    /// Keeps the link of the device out of ASPM's L1.
    pub fn disable_l1(&self) {
        // SAFETY: The device is live; no lock of the PCI core is held.
        // Where the firmware owns ASPM this fails, and the firmware's choice stays.
        let _ = unsafe {
            bindings::pci_disable_link_state(self.0.as_raw(), bindings::NET_PCIE_LINK_STATE_L1)
        };
    }
}

impl Drop for Enabled<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this balances `pci_enable_device`.
        unsafe { bindings::pci_disable_device(self.0.as_raw()) };
    }
}
