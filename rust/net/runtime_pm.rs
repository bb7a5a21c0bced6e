// SPDX-License-Identifier: GPL-2.0

//! Runtime power management: a device without a link is suspended until a cable is plugged in.
//!
//! As in r8169: a PCI device that can signal PME is idle while its interface is down or has no
//! carrier. When it has been so for a while (`power/autosuspend_delay_ms`, 10 s at first) the
//! device is runtime-suspended, armed for its link, and the PCI core puts it into D3. It is resumed
//! by PME, and by all that needs its registers: the network core (`ethtool`, `ip link set up`) and
//! [`RpmGuard`]. Users allow all this with `power/control`. The callbacks are in `adapter`.
//!
//! # RTNL
//!
//! The core resumes devices with RTNL held, so `runtime_resume` cannot take it, and a thread that
//! holds RTNL may be waiting for a suspension to end, so `runtime_suspend` may only try to. What
//! the core calls without having resumed the device, and touches the rings or registers, begins
//! with an [`RpmGuard`]: `ndo_open`, `ndo_stop`, replacing the rings, and setting the address, the
//! MTU and the features. The queue of a suspended interface is stopped, so that nothing is sent,
//! and it receives nothing, so that its filter is only noted. (Were the interface detached, as
//! r8169 does it, the core would refuse to set its address and MTU, and a bond could not take it.)
//!
//! C header: [`include/linux/pm_runtime.h`](srctree/include/linux/pm_runtime.h)

use super::device::NetDevice;
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// The time that a device is idle before it is suspended, unless the user says otherwise (r8169).
const DELAY_MS: c_int = 10_000;

/// Lets the parent of `dev` be suspended when it is idle, if it can signal PME; returns whether it
/// can.
///
/// The first to call the driver because of this is the driver core, when the probe is over.
pub(super) fn allow(dev: &NetDevice) -> bool {
    // SAFETY: The parent is a PCI device that is bound, or being bound, so it is live. The
    // reference that is given up is the one that the PCI core holds for the driver.
    unsafe {
        let can = bindings::pci_dev_run_wake(dev.pdev());
        if can {
            bindings::pm_runtime_set_autosuspend_delay(dev.parent(), DELAY_MS);
            bindings::pm_runtime_use_autosuspend(dev.parent());
            bindings::pm_runtime_put_noidle(dev.parent());
        }
        can
    }
}

/// Undoes an [`allow`] that returned `true`: resumes the device, and keeps it so.
///
/// Process context, without RTNL.
pub(super) fn forbid(dev: &NetDevice) {
    // SAFETY: The parent is live, as its network device is. The reference that is taken is the one
    // that `allow` gave up.
    unsafe {
        bindings::pm_runtime_get_sync(dev.parent());
        bindings::pm_runtime_dont_use_autosuspend(dev.parent());
    }
}

/// Requests a runtime resume on link-up, an idle check on link-down.
///
/// Any context: neither is waited for.
pub(super) fn link_changed(dev: &NetDevice) {
    // SAFETY: The parent is live, as its network device is.
    unsafe {
        if dev.has_link() {
            bindings::pm_request_resume(dev.parent());
        } else {
            bindings::pm_request_idle(dev.parent());
        }
    }
}

/// A device that is kept from runtime suspend while this lives.
///
/// It may be made with RTNL held: to resume a device takes no RTNL.
///
/// # Invariants
///
/// It is owed one `pm_runtime_put`.
pub(super) struct RpmGuard<'a> {
    parent: *mut bindings::device,
    _dev: PhantomData<&'a NetDevice>,
}

impl<'a> RpmGuard<'a> {
    /// Resumes the device. Process context.
    pub(super) fn new(dev: &'a NetDevice) -> Self {
        let parent = dev.parent();
        // SAFETY: The parent is live, as its network device is. It fails if the device does not
        // answer, which a driver expects of any access.
        unsafe { bindings::pm_runtime_get_sync(parent) };
        // INVARIANT: The usage count was raised, even if the resume failed.
        Self {
            parent,
            _dev: PhantomData,
        }
    }
}

impl Drop for RpmGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: The device is live, as its network device is borrowed, and by the type invariant
        // the usage count is this one's to lower.
        unsafe { bindings::pm_runtime_put(self.parent) };
    }
}
