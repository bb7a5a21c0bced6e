// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernels that the module is built for: Linux 7.3, and 7.2 where `Kbuild` sets `linux_7_2`.
//!
//! When 7.2 goes: delete this file, write what its users import from here as 7.3 has it, and take `linux_7_2` out of `Kbuild`.

use crate::bindings;
use kernel::prelude::*;
#[cfg(not(linux_7_2))]
use kernel::sync::barrier;

#[cfg(all(linux_7_2, not(CONFIG_X86_64)))]
compile_error!(
    "for this architecture the module cannot be built for Linux 7.2, which has no barriers for devices there: build it for 7.3 or later (which nobody has tried)"
);

/// What the probe of a PCI driver is given of its device table.
#[cfg(not(linux_7_2))]
pub(crate) type IdInfo<'a, T> = Option<&'a T>;
#[cfg(linux_7_2)]
pub(crate) type IdInfo<'a, T> = &'a T;

/// Makes a PCI device table.
#[cfg(not(linux_7_2))]
pub(crate) use kernel::pci_device_table;
#[cfg(linux_7_2)]
macro_rules! pci_device_table {
    ($table:ident, $info:ty, $rows:expr) => {
        kernel::pci_device_table!($table, MODULE_PCI_TABLE, $info, $rows);
    };
}
#[cfg(linux_7_2)]
pub(crate) use pci_device_table;

/// `EOPNOTSUPP`, for which 7.2 has no name.
pub(crate) fn not_supported() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// `ENETDOWN`, likewise.
pub(crate) fn net_down() -> Error {
    Error::from_errno(-(bindings::ENETDOWN as c_int))
}

/// The full barrier between processors.
#[cfg(not(linux_7_2))]
#[inline]
pub(crate) fn smp_mb() {
    barrier::smp_mb(barrier::Full);
}
#[cfg(linux_7_2)]
pub(crate) use kernel::sync::barrier::smp_mb;

/// `dma_rmb` and `dma_wmb`. The crate of 7.2 only has those between processors, which are the same on x86, the only
/// architecture that 7.2 is built for here.
#[cfg(not(linux_7_2))]
#[inline]
pub(crate) fn dma_rmb() {
    barrier::dma_mb(barrier::Read);
}
#[cfg(not(linux_7_2))]
#[inline]
pub(crate) fn dma_wmb() {
    barrier::dma_mb(barrier::Write);
}
#[cfg(linux_7_2)]
pub(crate) use kernel::sync::barrier::{
    smp_rmb as dma_rmb,
    smp_wmb as dma_wmb, //
};

/// Variants of C enumerations, which bindgen makes types of in 7.3 and numbers in 7.2.
pub(crate) mod enums {
    #[cfg(not(linux_7_2))]
    mod these {
        use crate::bindings::{
            dma_data_direction,
            irqreturn, //
        };
        pub(crate) const DMA_BIDIRECTIONAL: dma_data_direction =
            dma_data_direction::DMA_BIDIRECTIONAL;
        pub(crate) const DMA_FROM_DEVICE: dma_data_direction = dma_data_direction::DMA_FROM_DEVICE;
        pub(crate) const IRQ_HANDLED: irqreturn = irqreturn::IRQ_HANDLED;
        pub(crate) const IRQ_NONE: irqreturn = irqreturn::IRQ_NONE;
    }
    #[cfg(linux_7_2)]
    mod these {
        pub(crate) use crate::bindings::{
            dma_data_direction_DMA_BIDIRECTIONAL as DMA_BIDIRECTIONAL,
            dma_data_direction_DMA_FROM_DEVICE as DMA_FROM_DEVICE,
            irqreturn_IRQ_HANDLED as IRQ_HANDLED,
            irqreturn_IRQ_NONE as IRQ_NONE, //
        };
    }
    pub(crate) use these::*;
}
