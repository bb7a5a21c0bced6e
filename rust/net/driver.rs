// SPDX-License-Identifier: GPL-2.0

//! PCI drivers of network devices, and the devices that they drive.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     address::StationAddress,
//!     driver::{
//!         device_table,
//!         DeviceTable,
//!         Driver,
//!         Interface, //
//!     },
//!     operations::Operations,
//!     pci::{
//!         Enabled,
//!         Probing, //
//!     }, //
//! };
//! use kernel::prelude::*;
//!
//! device_table!("example", PCI_TABLE, 1, [(0x1234, 0x11e8)]);
//!
//! /// What [`Driver::probe`] does for a device without a PHY and without an address.
//! fn probe<'a, D: Driver>(
//!     pdev: Probing<'a>,
//!     make: impl FnOnce(Enabled<'a>) -> D::Operations<'a>,
//! ) -> Result<Interface<'a, D::Operations<'a>>>
//! where
//!     D::Operations<'a>: Operations,
//! {
//!     let enabled = Enabled::new::<32>(pdev)?;
//!     let pdev = enabled.device();
//!     let address = StationAddress::random();
//!     Ok(Interface::new(pdev, address, None, make(enabled)))
//! }
//!
//! fn table() -> &'static DeviceTable<1> {
//!     &PCI_TABLE
//! }
//! ```

use super::{
    address::StationAddress,
    operations::Operations,
    pci::{
        self,
        Probing, //
    }, //
};
use crate::bindings;
use core::{
    ffi::CStr,
    mem::MaybeUninit, //
};
use kernel::prelude::*;

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

/// A network device that is to be registered.
///
/// [`Driver::probe`] returns it; the device is registered afterwards, and unregistered
/// when the driver is unbound: the driver cannot keep it longer.
pub struct Interface<'a, T: Operations> {
    pub(super) pdev: &'a pci::Device,
    pub(super) address: StationAddress,
    pub(super) mdio: Option<T::Mdio>,
    pub(super) driver: T,
}

impl<'a, T: Operations + 'a> Interface<'a, T> {
    /// Describes the interface of `pdev`, with the interrupt of its INTx pin.
    ///
    /// It begins with `address`, which must be valid, and which `driver` is given first. `mdio`
    /// reaches its PHY, if it has one.
    pub fn new(
        pdev: &'a pci::Device,
        address: StationAddress,
        mdio: Option<T::Mdio>,
        driver: T,
    ) -> Self {
        Self {
            pdev,
            address,
            mdio,
            driver,
        }
    }
}

/// The devices that a driver is offered, as the PCI core reads them: rows, and one of zeros that
/// ends them.
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

/// Makes a [`DeviceTable`] by the name under which `modpost` looks for it, to write the aliases by
/// which the module is loaded for these devices.
#[macro_export]
#[doc(hidden)]
macro_rules! pci_device_table {
    ($module:literal, $table:ident, $count:literal, $ids:expr) => {
        #[export_name = concat!("__mod_device_table__0__kmod_", $module, "__pci__", stringify!($table))]
        static $table: $crate::net::driver::DeviceTable<$count> =
            $crate::net::driver::DeviceTable::new($ids);

        // The name up to Linux 6.13. A table without the name that modpost looks for is no error:
        // the module is never loaded.
        const _: () = {
            #[export_name = concat!("__mod_pci__", stringify!($table), "_device_table")]
            static OLD: $crate::net::driver::DeviceTable<$count> =
                $crate::net::driver::DeviceTable::new($ids);
        };
    };
}
pub use crate::pci_device_table as device_table;
