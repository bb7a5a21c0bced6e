// SPDX-License-Identifier: GPL-2.0

//! The C side of [`driver`](super::driver): what the driver core, the PCI core and the power
//! management core call.
//!
//! System sleep, shutdown and PCI errors stop the device, and all but shutdown start it again: see
//! [`operations`](super::operations). `runtime_pm` describes runtime suspend.
//!
//! C headers: [`include/linux/pm.h`](srctree/include/linux/pm.h),
//! [`include/linux/pci.h`](srctree/include/linux/pci.h)
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     adapter::DriverRegistration,
//!     driver::{
//!         DeviceTable,
//!         Driver, //
//!     }, //
//! };
//! use kernel::prelude::*;
//!
//! /// What `Module::init` does; the module keeps what is returned.
//! fn init<D: Driver>(
//!     module: &'static ThisModule,
//!     table: &'static DeviceTable<2>,
//! ) -> Result<DriverRegistration<D>> {
//!     DriverRegistration::new(module, table)
//! }
//! ```

use super::{
    chars,
    device::NetDevice,
    driver::{
        DeviceTable,
        Driver, //
    },
    lifecycle::{
        self,
        RuntimeSuspend, //
    },
    operations::WakeBy,
    pci::{
        self,
        Device,
        Probing, //
    },
    registration::Registration, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::Opaque, //
};

// SAFETY: Fields are integers, pointers, arrays and lists of such, and `Option`s of function
// pointers: zero is valid.
const ZEROED_DRIVER: bindings::pci_driver = unsafe { MaybeUninit::zeroed().assume_init() };

/// A registration with the PCI core; dropping it unbinds all devices.
///
/// # Invariants
///
/// The driver is registered, with the callbacks of `D`.
pub struct DriverRegistration<D: Driver>(Pin<KBox<Opaque<bindings::pci_driver>>>, PhantomData<D>);

// SAFETY: Any thread may unregister a driver.
unsafe impl<D: Driver> Send for DriverRegistration<D> {}
// SAFETY: There are no methods of shared references.
unsafe impl<D: Driver> Sync for DriverRegistration<D> {}

impl<D: Driver> DriverRegistration<D> {
    /// Registers the driver for the devices of a table; those that are there are probed at once.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of `pci_register_driver`.
    pub fn new<const COUNT: usize>(
        module: &'static ThisModule,
        table: &'static DeviceTable<COUNT>,
    ) -> Result<Self> {
        let mut driver = ZEROED_DRIVER;
        driver.name = chars(D::NAME);
        driver.id_table = core::ptr::from_ref(table).cast();
        driver.probe = Some(probe_callback::<D>);
        driver.remove = Some(remove_callback::<D>);
        driver.shutdown = Some(shutdown_callback::<D>);
        driver.err_handler = errors::<D>();
        driver.driver.pm = operations::<D>();
        let driver = KBox::pin(Opaque::new(driver), GFP_KERNEL)?;
        // SAFETY: The driver stays where it is until `drop` has unregistered it. Name, tables and
        // callbacks live as long as the module, which `self` does not outlive: it is part of the
        // module's state. The table ends with zeros by its type.
        to_result(unsafe {
            bindings::__pci_register_driver(driver.get(), module.as_ptr().cast(), chars(D::NAME))
        })?;
        // INVARIANT: It just succeeded.
        Ok(Self(driver, PhantomData))
    }
}

impl<D: Driver> Drop for DriverRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is registered. This returns when all devices are
        // unbound.
        unsafe { bindings::pci_unregister_driver(self.0.get()) };
    }
}

/// `probe`: process context, with the lock of the device held.
///
/// # Safety
///
/// Called by the PCI core, with a device that `D` is being bound to.
unsafe extern "C" fn probe_callback<D: Driver>(
    pdev: *mut bindings::pci_dev,
    _id: *const bindings::pci_device_id,
) -> c_int {
    // SAFETY: The device is live while a driver is bound to it; all that is made of the reference
    // here is dropped before `remove` returns, for the lifetime that `D::probe` sees is any that
    // the caller chooses.
    let device = unsafe { Device::from_raw(pdev) };
    from_result(|| {
        let interface = D::probe(Probing(device))?;
        // SAFETY: `remove_callback` drops it, or an error here does.
        let registration = KBox::new(unsafe { Registration::new(interface) }?, GFP_KERNEL)?;
        // SAFETY: The device is live, and the driver may set its private data while it is being
        // bound.
        unsafe { bindings::pci_set_drvdata(pdev, KBox::into_raw(registration).cast()) };
        Ok(0)
    })
}

/// `remove`: process context, with the lock of the device held, and the device resumed.
///
/// # Safety
///
/// Called by the PCI core, with a device that `D` is bound to.
unsafe extern "C" fn remove_callback<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: The device is live.
    let data = unsafe { bindings::dev_get_drvdata(pci::device_of(pdev)) };
    // SAFETY: `probe` has made the private data of such a box. Other callbacks only borrow it, and
    // none of them runs now: those of the power management core and for errors of the bus take the
    // lock of the device, and those of runtime power management are over, and do not begin while
    // the PCI core keeps the device resumed. The driver core forgets the pointer next.
    drop(unsafe { KBox::from_raw(data.cast::<Registration<'_, D::Operations<'_>>>()) });
}

/// Returns the table of the power management core.
const fn operations<D: Driver>() -> *const bindings::dev_pm_ops {
    &Callbacks::<D>::PM
}

/// Returns the table of the PCI core for errors.
const fn errors<D: Driver>() -> *const bindings::pci_error_handlers {
    &Callbacks::<D>::ERRORS
}

struct Callbacks<D>(PhantomData<D>);

// SAFETY: All fields are `Option`s of function pointers: zero is valid.
const ZEROED_PM: bindings::dev_pm_ops = unsafe { MaybeUninit::zeroed().assume_init() };
// SAFETY: All fields are `Option`s of function pointers: zero is valid.
const ZEROED_ERRORS: bindings::pci_error_handlers = unsafe { MaybeUninit::zeroed().assume_init() };

impl<D: Driver> Callbacks<D> {
    /// Suspend to memory and to disk are alike for a device that loses its registers in both.
    const PM: bindings::dev_pm_ops = {
        let mut pm = ZEROED_PM;
        pm.suspend = Some(suspend_callback::<D>);
        pm.resume = Some(resume_callback::<D>);
        pm.freeze = Some(suspend_callback::<D>);
        pm.thaw = Some(resume_callback::<D>);
        pm.poweroff = Some(suspend_callback::<D>);
        pm.restore = Some(resume_callback::<D>);
        pm.runtime_suspend = Some(runtime_suspend_callback::<D>);
        pm.runtime_resume = Some(runtime_resume_callback::<D>);
        pm.runtime_idle = Some(runtime_idle_callback::<D>);
        pm
    };

    const ERRORS: bindings::pci_error_handlers = {
        let mut errors = ZEROED_ERRORS;
        errors.error_detected = Some(error_detected_callback::<D>);
        errors.slot_reset = Some(slot_reset_callback::<D>);
        errors.resume = Some(error_resume_callback::<D>);
        errors
    };
}

/// Returns the network device that a PCI device is bound to.
///
/// # Safety
///
/// `dev` must be in a callback of a [`Driver`] `D`, with the lock of the device held, or in one
/// that the bus waits for when the driver is unbound: then the driver is bound, or there is no
/// private data.
unsafe fn net_device<D: Driver>(
    dev: *mut bindings::device,
) -> Option<NonNull<bindings::net_device>> {
    // SAFETY: The device is live.
    let data = unsafe { bindings::dev_get_drvdata(dev) };
    if data.is_null() {
        return None;
    }
    // SAFETY: The private data of a bound device is what `probe` made of a box of this type, once
    // it was registered. The driver stays bound.
    let data = unsafe { &*data.cast::<Registration<'_, D::Operations<'_>>>() };
    Some(data.as_raw())
}

/// Returns the events that end the suspension of a device.
///
/// # Safety
///
/// `dev` must be live.
unsafe fn wake_by(dev: *mut bindings::device) -> WakeBy {
    // SAFETY: By the safety requirement.
    if unsafe { bindings::device_may_wakeup(dev) } {
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
unsafe extern "C" fn suspend_callback<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(dev) {
            lifecycle::suspend::<D::Operations<'_>>(net, wake_by(dev));
        }
    }
    0
}

/// `resume`, `thaw` and `restore`: process context, with the lock of the device held.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
unsafe extern "C" fn resume_callback<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(dev) {
            lifecycle::resume::<D::Operations<'_>>(net);
        }
    }
    0
}

/// `shutdown`: process context, with the lock of the device held. There is no way back.
///
/// # Safety
///
/// Called by the PCI core, with a device of `D`.
unsafe extern "C" fn shutdown_callback<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        let dev = pci::device_of(pdev);
        if let Some(net) = net_device::<D>(dev) {
            lifecycle::suspend::<D::Operations<'_>>(net, wake_by(dev));
            lifecycle::hand_over::<D::Operations<'_>>(net);
            if bindings::is_powering_off() {
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
unsafe extern "C" fn error_detected_callback<D: Driver>(
    pdev: *mut bindings::pci_dev,
    state: bindings::pci_channel_state_t,
) -> bindings::pci_ers_result_t {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(pci::device_of(pdev)) {
            lifecycle::suspend::<D::Operations<'_>>(net, WakeBy::Nothing);
        }
    }
    if state == bindings::pci_channel_io_perm_failure {
        bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
    } else {
        bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET
    }
}

/// `slot_reset`: the device answers again, with its configuration lost; process context, with its
/// lock held.
///
/// # Safety
///
/// Called by the PCI core, with a device of `D`.
unsafe extern "C" fn slot_reset_callback<D: Driver>(
    pdev: *mut bindings::pci_dev,
) -> bindings::pci_ers_result_t {
    // SAFETY: By the safety requirements the device is live, and so is a network device that it is
    // bound to.
    let answers = unsafe {
        if let Some(net) = net_device::<D>(pci::device_of(pdev)) {
            NetDevice::from_raw(net.as_ptr()).restore_config();
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
unsafe extern "C" fn error_resume_callback<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(pci::device_of(pdev)) {
            lifecycle::resume::<D::Operations<'_>>(net);
        }
    }
}

/// `runtime_idle`: returns 0 to have the device suspended when its time has come.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
unsafe extern "C" fn runtime_idle_callback<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; see `runtime_suspend` for the private data.
    let dev = unsafe { net_device::<D>(dev).map(|net| NetDevice::from_raw(net.as_ptr())) };
    match dev {
        Some(dev) if !lifecycle::is_in_use(dev) => {
            // SAFETY: The device is live.
            unsafe { bindings::pm_runtime_mark_last_busy(dev.parent()) };
            0
        }
        _ => EBUSY.to_errno(),
    }
}

/// `runtime_suspend`: process context.
///
/// The lock of the device is not held in any of the three callbacks. There is none while the driver
/// is unbound, because the PCI core resumes the device first, waits for those that run
/// (`pm_runtime_barrier`), and calls the driver no more afterwards. There may be one before the
/// probe has set the private data, and that finds none.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
unsafe extern "C" fn runtime_suspend_callback<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    let answer = unsafe {
        net_device::<D>(dev).map_or(RuntimeSuspend::InUse, |net| {
            lifecycle::runtime_suspend::<D::Operations<'_>>(net)
        })
    };
    match answer {
        RuntimeSuspend::Suspended => 0,
        // When that changes, the device is asked again.
        RuntimeSuspend::InUse => EBUSY.to_errno(),
        RuntimeSuspend::NotNow => {
            // The core tries again when the delay is over.
            // SAFETY: The device is live.
            unsafe { bindings::pm_runtime_mark_last_busy(dev) };
            EBUSY.to_errno()
        }
    }
}

/// `runtime_resume`: process context. A thread that waits for it may hold RTNL.
///
/// # Safety
///
/// Called by the power management core, with a device of `D`.
unsafe extern "C" fn runtime_resume_callback<D: Driver>(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements; the network device is of those operations.
    unsafe {
        if let Some(net) = net_device::<D>(dev) {
            lifecycle::runtime_resume::<D::Operations<'_>>(net);
        }
    }
    0
}
