// SPDX-License-Identifier: GPL-2.0

//! PCI drivers of network devices: their tables, and how they are bound and unbound.

use super::{
    Device,
    Probing, //
};
use crate::{
    bindings,
    net::{
        chars,
        device::{
            Interface,
            Operations,
            Registration, //
        },
        power, //
    }, //
};
use core::{
    ffi::CStr,
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// The devices that a driver is offered, as the PCI core reads them: rows, and one of zeros that ends them.
///
/// [`device_table!`] makes one that `modpost` finds, too.
#[repr(C)]
pub struct DeviceTable<const COUNT: usize> {
    rows: [bindings::pci_device_id; COUNT],
    end: bindings::pci_device_id,
}

impl<const COUNT: usize> DeviceTable<COUNT> {
    /// Makes a table of pairs of vendor and device id.
    pub const fn new(ids: [(u16, u16); COUNT]) -> Self {
        let mut table = Self {
            rows: [ZEROED_ID; COUNT],
            end: ZEROED_ID,
        };
        let mut row = 0;
        while row < COUNT {
            let (vendor, device) = ids[row];
            table.rows[row].vendor = vendor as u32;
            table.rows[row].device = device as u32;
            table.rows[row].subvendor = ANY;
            table.rows[row].subdevice = ANY;
            row += 1;
        }
        table
    }
}

/// `PCI_ANY_ID`.
const ANY: u32 = !0;

// SAFETY: All fields are integers: zero is valid.
const ZEROED_ID: bindings::pci_device_id = unsafe { MaybeUninit::zeroed().assume_init() };
// SAFETY: Fields are integers, pointers, arrays and lists of such, and `Option`s of function pointers: zero is valid.
const ZEROED_DRIVER: bindings::pci_driver = unsafe { MaybeUninit::zeroed().assume_init() };

/// Makes a [`DeviceTable`] by the name under which `modpost` looks for it, to write the aliases by which the module is loaded
/// for these devices.
#[macro_export]
#[doc(hidden)]
macro_rules! pci_device_table {
    ($module:literal, $table:ident, $count:literal, $ids:expr) => {
        #[export_name = concat!("__mod_device_table__0__kmod_", $module, "__pci__", stringify!($table))]
        static $table: $crate::net::pci::driver::DeviceTable<$count> =
            $crate::net::pci::driver::DeviceTable::new($ids);

        // The name up to Linux 6.13. A table without the name that modpost looks for is no error: the module is never loaded.
        const _: () = {
            #[export_name = concat!("__mod_pci__", stringify!($table), "_device_table")]
            static OLD: $crate::net::pci::driver::DeviceTable<$count> =
                $crate::net::pci::driver::DeviceTable::new($ids);
        };
    };
}
pub use crate::pci_device_table as device_table;

/// A driver of PCI devices that are network devices.
pub trait Driver: 'static {
    /// The name in sysfs.
    const NAME: &'static CStr;
    /// The operations of the network device.
    type Operations<'a>: Operations + 'a;

    /// Makes what drives a device; the network device is registered afterwards. Process context.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the device is left to another driver.
    fn probe(pdev: Probing<'_>) -> Result<Interface<'_, Self::Operations<'_>>>;
}

/// What is registered with the PCI core; dropping it unbinds all devices.
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
        driver.probe = Some(probe::<D>);
        driver.remove = Some(remove::<D>);
        driver.shutdown = Some(power::shutdown::<D>);
        driver.err_handler = power::errors::<D>();
        driver.driver.pm = power::operations::<D>();
        let driver = KBox::pin(Opaque::new(driver), GFP_KERNEL)?;
        // SAFETY: The driver stays where it is until `drop` has unregistered it. Name, tables and callbacks live as long as the
        // module, which `self` does not outlive: it is part of the module's state. The table ends with zeros by its type.
        to_result(unsafe {
            bindings::__pci_register_driver(driver.get(), module.as_ptr().cast(), chars(D::NAME))
        })?;
        // INVARIANT: It just succeeded.
        Ok(Self(driver, PhantomData))
    }
}

impl<D: Driver> Drop for DriverRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is registered. This returns when all devices are unbound.
        unsafe { bindings::pci_unregister_driver(self.0.get()) };
    }
}

/// `probe`: process context, with the lock of the device held.
///
/// # Safety
///
/// Called by the PCI core, with a device that `D` is being bound to.
unsafe extern "C" fn probe<D: Driver>(
    pdev: *mut bindings::pci_dev,
    _id: *const bindings::pci_device_id,
) -> c_int {
    // SAFETY: The device is live while a driver is bound to it; all that is made of the reference here is dropped before
    // `remove` returns, for the lifetime that `D::probe` sees is any that the caller chooses.
    let device = unsafe { Device::from_raw(pdev) };
    let bound = D::probe(Probing(device)).and_then(|interface| {
        // SAFETY: `remove` drops it, or an error here does.
        let registration = KBox::new(unsafe { Registration::new(interface) }?, GFP_KERNEL)?;
        Ok(KBox::into_raw(registration))
    });
    match bound {
        Ok(registration) => {
            // SAFETY: The device is live, and the driver may set its private data while it is being bound.
            unsafe { bindings::net_helper_pci_set_drvdata(pdev, registration.cast()) };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// `remove`: process context, with the lock of the device held, and the device awake.
///
/// # Safety
///
/// Called by the PCI core, with a device that `D` is bound to.
unsafe extern "C" fn remove<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: The device is live.
    let data = unsafe { bindings::net_helper_drvdata(super::device_of(pdev)) };
    // SAFETY: `probe` has made the private data of such a box. Other callbacks only borrow it, and none of them runs now: those of
    // the power management core and for errors of the bus take the lock of the device, and those of runtime power management
    // are over, and do not begin while the PCI core keeps the device awake. The driver core forgets the pointer next.
    drop(unsafe { KBox::from_raw(data.cast::<Registration<'_, D::Operations<'_>>>()) });
}
