// SPDX-License-Identifier: GPL-2.0

//! Sleep, shutdown and PCI errors of a network device on the PCI bus.
//!
//! `kernel::pci::Adapter` fills in how a driver is bound and unbound. [`Adapter`] fills in the rest:
//! all of it is quiescing the device and starting it again, see [`device`](super::device). What happens
//! while the system runs is in `runtime_pm`.
//!
//! C headers: [`include/linux/pm.h`](srctree/include/linux/pm.h),
//! [`include/linux/pci.h`](srctree/include/linux/pci.h)

use super::{
    device::{
        Operations,
        Registration,
        WakeBy, //
    },
    runtime_pm,
    slow_paths, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::{
    driver::{
        DriverLayout,
        RegistrationOps, //
    },
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

/// A PCI driver whose private data is the registration of a network device.
pub trait Driver: kernel::pci::Driver {
    /// The operations of the network device.
    type Operations<'bound>: Operations + 'bound;

    /// Returns the registration in the private data.
    fn registration<'a, 'bound>(
        data: &'a Self::Data<'bound>,
    ) -> &'a Registration<'bound, Self::Operations<'bound>>;
}

/// What registers a [`Driver`]: `kernel::pci::Adapter` with power management and error handlers.
pub struct Adapter<D: Driver>(PhantomData<D>);

// SAFETY: As `kernel::pci::Adapter`, on which this builds: the same types, the same offset.
unsafe impl<D: Driver> DriverLayout for Adapter<D> {
    type DriverType = bindings::pci_driver;
    type DriverData<'bound> = D::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(bindings::pci_driver, driver);
}

// SAFETY: `unregister` is that of `kernel::pci::Adapter`, as is `register` but for more fields.
unsafe impl<D: Driver> RegistrationOps for Adapter<D> {
    unsafe fn register(
        driver: &Opaque<bindings::pci_driver>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: The fields may be set until the driver is registered; both tables live for ever.
        unsafe {
            (*driver.get()).driver.pm = &Callbacks::<D>::PM;
            (*driver.get()).err_handler = &Callbacks::<D>::ERRORS;
            (*driver.get()).shutdown = Some(shutdown::<D>);
            <kernel::pci::Adapter<D> as RegistrationOps>::register(driver, name, module)
        }
    }

    unsafe fn unregister(driver: &Opaque<bindings::pci_driver>) {
        // SAFETY: By the safety requirements.
        unsafe { <kernel::pci::Adapter<D> as RegistrationOps>::unregister(driver) }
    }
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
        errors.slot_reset = Some(slot_reset);
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
    let data = unsafe { bindings::dev_get_drvdata(dev) };
    if data.is_null() {
        return None;
    }
    // SAFETY: The private data of a bound device is what `kernel::pci` made of the answer of the
    // probe: a pinned box. The driver stays bound.
    let data = unsafe { <Pin<KBox<D::Data<'_>>> as ForeignOwnable>::borrow(data.cast()) };
    Some(D::registration(&data).as_raw())
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
unsafe extern "C" fn shutdown<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        let dev = &raw mut (*pdev).dev;
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
        if let Some(net) = net_device::<D>(&raw mut (*pdev).dev) {
            slow_paths::sleep::<D::Operations<'_>>(net, WakeBy::Nothing);
        }
    }
    if state == bindings::pci_channel_io_perm_failure {
        bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
    } else {
        bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET
    }
}

/// `slot_reset`: the device answers again, with its configuration lost.
///
/// # Safety
///
/// Called by the PCI core, with a device of a [`Driver`].
unsafe extern "C" fn slot_reset(pdev: *mut bindings::pci_dev) -> bindings::pci_ers_result_t {
    // SAFETY: The device is live, and its configuration was saved by `Enabled::save_state`.
    let answers = unsafe {
        bindings::pci_restore_state(pdev);
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
        if let Some(net) = net_device::<D>(&raw mut (*pdev).dev) {
            slow_paths::wake::<D::Operations<'_>>(net);
        }
    }
}
