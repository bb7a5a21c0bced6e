// SPDX-License-Identifier: GPL-2.0

//! Sleep, shutdown and PCI errors of a network device on the PCI bus.
//!
//! All of it is quiescing the device and starting it again, see [`device`](super::device). How a driver is bound and unbound
//! is in [`pci::driver`](super::pci::driver), what happens while the system runs in `runtime_pm`.
//!
//! C headers: [`include/linux/pm.h`](srctree/include/linux/pm.h),
//! [`include/linux/pci.h`](srctree/include/linux/pci.h)

use super::{
    device::{
        Registration,
        WakeBy, //
    },
    pci::{
        self,
        driver::Driver, //
    },
    runtime_pm,
    slow_paths, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Returns the table of the power management core.
pub(super) const fn operations<D: Driver>() -> *const bindings::dev_pm_ops {
    &Callbacks::<D>::PM
}

/// Returns the table of the PCI core for errors.
pub(super) const fn errors<D: Driver>() -> *const bindings::pci_error_handlers {
    &Callbacks::<D>::ERRORS
}

struct Callbacks<D>(PhantomData<D>);

// SAFETY: All fields are `Option`s of function pointers: zero is valid.
const ZEROED_PM: bindings::dev_pm_ops = unsafe { MaybeUninit::zeroed().assume_init() };
// SAFETY: All fields are `Option`s of function pointers: zero is valid.
const ZEROED_ERRORS: bindings::pci_error_handlers = unsafe { MaybeUninit::zeroed().assume_init() };

impl<D: Driver> Callbacks<D> {
    /// Suspend to memory and to disk are alike for a device that forgets everything.
    const PM: bindings::dev_pm_ops = {
        let mut pm = ZEROED_PM;
        pm.suspend = Some(suspend::<D>);
        pm.resume = Some(resume::<D>);
        pm.freeze = Some(suspend::<D>);
        pm.thaw = Some(resume::<D>);
        pm.poweroff = Some(suspend::<D>);
        pm.restore = Some(resume::<D>);
        pm.runtime_suspend = Some(runtime_pm::suspend::<D>);
        pm.runtime_resume = Some(runtime_pm::resume::<D>);
        pm.runtime_idle = Some(runtime_pm::idle::<D>);
        pm
    };

    const ERRORS: bindings::pci_error_handlers = {
        let mut errors = ZEROED_ERRORS;
        errors.error_detected = Some(error_detected::<D>);
        errors.slot_reset = Some(slot_reset::<D>);
        errors.resume = Some(error_resume::<D>);
        errors
    };
}

/// Returns the network device that a PCI device is bound to.
///
/// # Safety
///
/// `dev` must be in a callback of a [`Driver`] `D`, with the lock of the device held, or in one that the
/// bus waits for when the driver is unbound: then the driver is bound, or there is no private data.
pub(super) unsafe fn net_device<D: Driver>(
    dev: *mut bindings::device,
) -> Option<NonNull<bindings::net_device>> {
    // SAFETY: The device is live.
    let data = unsafe { bindings::net_helper_drvdata(dev) };
    if data.is_null() {
        return None;
    }
    // SAFETY: The private data of a bound device is what `probe` made of a box of this type, once it was registered. The driver stays bound.
    let data = unsafe { &*data.cast::<Registration<'_, D::Operations<'_>>>() };
    Some(data.as_raw())
}

/// Returns what wakes a device that sleeps with the system.
///
/// # Safety
///
/// `dev` must be live.
unsafe fn wake_by(dev: *mut bindings::device) -> WakeBy {
    // SAFETY: By the safety requirement.
    if unsafe { bindings::net_helper_device_may_wakeup(dev) } {
        WakeBy::Events
    } else {
        WakeBy::Nothing
    }
}

/// `suspend`, `freeze` and `poweroff`: process context, with the lock of the device held.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
unsafe extern "C" fn suspend<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(dev) {
            slow_paths::sleep::<D::Operations<'_>>(net, wake_by(dev));
        }
    }
    0
}

/// `resume`, `thaw` and `restore`: process context, with the lock of the device held.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
unsafe extern "C" fn resume<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(dev) {
            slow_paths::wake::<D::Operations<'_>>(net);
        }
    }
    0
}

/// `shutdown`: process context, with the lock of the device held. There is no way back.
///
/// # Safety
///
/// Called by the PCI core, with a device of `D`.
pub(super) unsafe extern "C" fn shutdown<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        let dev = pci::device_of(pdev);
        if let Some(net) = net_device::<D>(dev) {
            slow_paths::sleep::<D::Operations<'_>>(net, wake_by(dev));
            slow_paths::retire::<D::Operations<'_>>(net);
            if bindings::net_helper_powering_off() {
                bindings::pci_prepare_to_sleep(pdev);
            }
        }
    }
}

/// `error_detected`: the device may be cut off; process context, with its lock held.
///
/// # Safety
///
/// Called by the PCI core, with a device of `D`.
unsafe extern "C" fn error_detected<D: Driver>(
    pdev: *mut bindings::pci_dev,
    state: bindings::pci_channel_state_t,
) -> bindings::pci_ers_result_t {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(pci::device_of(pdev)) {
            slow_paths::sleep::<D::Operations<'_>>(net, WakeBy::Nothing);
        }
    }
    if state == bindings::pci_channel_io_perm_failure {
        bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
    } else {
        bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET
    }
}

/// `slot_reset`: the device answers again, with its configuration lost; process context, with its lock held.
///
/// # Safety
///
/// Called by the PCI core, with a device of `D`.
unsafe extern "C" fn slot_reset<D: Driver>(
    pdev: *mut bindings::pci_dev,
) -> bindings::pci_ers_result_t {
    // SAFETY: By the safety requirements the device is live; a network device that it is bound to has kept its configuration.
    let answers = unsafe {
        if let Some(net) = net_device::<D>(pci::device_of(pdev)) {
            bindings::net_helper_restore_config(net.as_ptr());
        }
        bindings::pci_device_is_present(pdev)
    };
    if answers {
        bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED
    } else {
        bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
    }
}

/// `resume` after an error.
///
/// # Safety
///
/// Called by the PCI core, with a device of `D`.
unsafe extern "C" fn error_resume<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(pci::device_of(pdev)) {
            slow_paths::wake::<D::Operations<'_>>(net);
        }
    }
}
