// SPDX-License-Identifier: GPL-2.0

//! A device without a link sleeps until a cable is plugged in.
//!
//! As in r8169: a PCI device that can signal PME is idle while its interface is down or has no carrier.
//! When it has been so for a while (`power/autosuspend_delay_ms`, 10 s at first) the device is put to
//! sleep, watching its link, and the PCI core puts it into D3. It is woken by PME, and by whoever needs
//! its registers: the network core (`ethtool`, `ip link set up`) and [`Awake`]. Users allow all this with
//! `power/control`.
//!
//! # RTNL
//!
//! The core resumes devices with RTNL held, so [`resume`] cannot take it, and somebody who holds RTNL may
//! be waiting for a suspension to end, so [`suspend`] may only try to. What the core calls without having resumed the
//! device, and touches the rings or registers, begins with an [`Awake`]: `ndo_open`, `ndo_stop`, replacing the rings, and
//! setting the address, the MTU and the features. The queue of a sleeping interface is stopped, so that nothing is sent,
//! and it receives nothing, so that its filter is only noted. (Were the interface detached, as r8169 does it, the
//! core would refuse to set its address and MTU, and a bond could not take it.)
//!
//! C header: [`include/linux/pm_runtime.h`](srctree/include/linux/pm_runtime.h)

use super::{
    device::NetDevice,
    pci::driver::Driver,
    power::net_device,
    slow_paths::{
        self,
        Doze, //
    },
};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// How long a device is idle before it is put to sleep, unless the user says otherwise (r8169).
const DELAY_MS: c_int = 10_000;

/// Returns the PCI device of a network device, as what power management knows it by.
fn parent(dev: &NetDevice) -> *mut bindings::device {
    // SAFETY: The device is live.
    unsafe { bindings::net_helper_netdev_parent(dev.as_raw()) }
}

/// Lets the parent of `dev` sleep when it is idle, if it can call for power; returns whether it can.
///
/// The first to call the driver because of this is the driver core, when the probe is over.
pub(super) fn allow(dev: &NetDevice) -> bool {
    // SAFETY: The parent is a PCI device that is bound, or being bound, so it is live.
    unsafe { bindings::net_helper_pm_allow(parent(dev), DELAY_MS) }
}

/// Undoes an [`allow`] that returned `true`: wakes the device, and keeps it awake.
///
/// Process context, without RTNL.
pub(super) fn forbid(dev: &NetDevice) {
    // SAFETY: As above.
    unsafe { bindings::net_helper_pm_forbid(parent(dev)) };
}

/// Has the device wake, or stay awake, if its link has come; has it looked after if the link has gone.
///
/// Any context: neither is waited for.
pub(super) fn link_changed(dev: &NetDevice) {
    // SAFETY: As above.
    unsafe {
        if dev.has_link() {
            bindings::net_helper_pm_request_resume(parent(dev));
        } else {
            bindings::net_helper_pm_request_idle(parent(dev));
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
        let parent = parent(dev);
        // SAFETY: As above. If it fails the device does not answer, which is no news to a driver.
        unsafe { bindings::net_helper_pm_get_sync(parent) };
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
        unsafe { bindings::net_helper_pm_put(self.parent) };
    }
}

/// `runtime_idle`: returns 0 to have the device suspended when its time has come.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
pub(super) unsafe extern "C" fn idle<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; see `suspend` for the private data.
    let dev = unsafe { net_device::<D>(dev).map(|net| NetDevice::from_raw(net.as_ptr())) };
    match dev {
        Some(dev) if !slow_paths::is_in_use(dev) => {
            // SAFETY: The device is live.
            unsafe { bindings::net_helper_pm_mark_busy(parent(dev)) };
            0
        }
        _ => EBUSY.to_errno(),
    }
}

/// `runtime_suspend`: process context.
///
/// The lock of the device is not held in any of the three callbacks. There is none while the driver is
/// unbound, because the PCI core wakes the device first, waits for those that run (`pm_runtime_barrier`),
/// and calls the driver no more afterwards. There may be one before the probe has set the private data,
/// and that finds none.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
pub(super) unsafe extern "C" fn suspend<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    let doze = unsafe {
        net_device::<D>(dev).map_or(Doze::InUse, |net| {
            slow_paths::doze::<D::Operations<'_>>(net)
        })
    };
    match doze {
        Doze::Asleep => 0,
        // When that changes, the device is asked again.
        Doze::InUse => EBUSY.to_errno(),
        Doze::NotNow => {
            // The core tries again when the delay is over.
            // SAFETY: The device is live.
            unsafe { bindings::net_helper_pm_mark_busy(dev) };
            EBUSY.to_errno()
        }
    }
}

/// `runtime_resume`: process context, perhaps with RTNL held by who waits for it.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
pub(super) unsafe extern "C" fn resume<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(dev) {
            slow_paths::rouse::<D::Operations<'_>>(net);
        }
    }
    0
}
