// SPDX-License-Identifier: GPL-2.0

//! A device without a link sleeps until a cable is plugged in.
//!
//! As in r8169: a PCI device that can signal PME is idle while its interface is down or has no carrier.
//! When it has been so for a while (`power/autosuspend_delay_ms`, 10 s at first) the device is put to
//! sleep, watching its link, and the PCI core puts it into D3. It is woken by PME, and by whoever needs
//! its registers: the network core (`ethtool`, `ip link set up`) and [`Awake`]. Users allow all this with
//! `power/control`. The callbacks are in `adapter`.
//!
//! # RTNL
//!
//! The core resumes devices with RTNL held, so `runtime_resume` cannot take it, and somebody who holds RTNL may
//! be waiting for a suspension to end, so `runtime_suspend` may only try to. What the core calls without having resumed the
//! device, and touches the rings or registers, begins with an [`Awake`]: `ndo_open`, `ndo_stop`, replacing the rings, and
//! setting the address, the MTU and the features. The queue of a sleeping interface is stopped, so that nothing is sent,
//! and it receives nothing, so that its filter is only noted. (Were the interface detached, as r8169 does it, the
//! core would refuse to set its address and MTU, and a bond could not take it.)
//!
//! C header: [`include/linux/pm_runtime.h`](srctree/include/linux/pm_runtime.h)

use super::device::NetDevice;
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// How long a device is idle before it is put to sleep, unless the user says otherwise (r8169).
const DELAY_MS: c_int = 10_000;

/// Lets the parent of `dev` sleep when it is idle, if it can call for power; returns whether it can.
///
/// The first to call the driver because of this is the driver core, when the probe is over.
pub(super) fn allow(dev: &NetDevice) -> bool {
    // SAFETY: The parent is a PCI device that is bound, or being bound, so it is live. The reference that is given up is the one that
    // the PCI core holds for the driver.
    unsafe {
        let can = bindings::pci_dev_run_wake(dev.pdev());
        if can {
            bindings::pm_runtime_allow_autosuspend(dev.parent(), DELAY_MS);
        }
        can
    }
}

/// Undoes an [`allow`] that returned `true`: wakes the device, and keeps it awake.
///
/// Process context, without RTNL.
pub(super) fn forbid(dev: &NetDevice) {
    // SAFETY: As above.
    unsafe { bindings::pm_runtime_forbid_autosuspend(dev.parent()) }
}

/// Has the device wake, or stay awake, if its link has come; has it looked after if the link has gone.
///
/// Any context: neither is waited for.
pub(super) fn link_changed(dev: &NetDevice) {
    // SAFETY: As above.
    unsafe {
        if dev.has_link() {
            bindings::pm_request_resume(dev.parent());
        } else {
            bindings::pm_request_idle(dev.parent());
        }
    }
}

/// A device that is kept awake while this lives.
///
/// Whoever holds RTNL may make one: to resume a device takes no RTNL.
///
/// # Invariants
///
/// It is owed one `pm_runtime_put`.
pub(super) struct Awake<'a> {
    parent: *mut bindings::device,
    _dev: PhantomData<&'a NetDevice>,
}

impl<'a> Awake<'a> {
    /// Wakes the device. Process context.
    pub(super) fn new(dev: &'a NetDevice) -> Self {
        let parent = dev.parent();
        // SAFETY: As above. If it fails the device does not answer, which is no news to a driver.
        unsafe { bindings::pm_runtime_get_sync(parent) };
        // INVARIANT: The reference was taken, whatever came of it.
        Self {
            parent,
            _dev: PhantomData,
        }
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        // SAFETY: The device is live, as its network device is borrowed. By the type invariant.
        unsafe { bindings::pm_runtime_put(self.parent) };
    }
}
