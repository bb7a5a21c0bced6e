// SPDX-License-Identifier: GPL-2.0

//! Values that a device wrote.
//!
//! A device may be broken, unplugged or hostile, so a number that it wrote is a claim and not a
//! fact. [`FromDevice`] keeps such a number apart until the driver has narrowed it.
//!
//! # Examples
//!
//! ```
//! use crate::net::from_device::FromDevice;
//!
//! /// The length in a descriptor, if it is one of a frame.
//! fn length(status: FromDevice<u32>) -> Option<u32> {
//!     FromDevice::new(status.bits(0x3fff)).bounded(64..=1522)
//! }
//! ```

use core::{
    fmt,
    ops::{
        BitAnd,
        RangeInclusive, //
    },
};

/// A value that a device wrote and that has not been checked yet.
///
/// There is no `Deref`, no comparison, and no way to the plain value but by a check.
#[derive(Clone, Copy)]
pub struct FromDevice<T: Copy>(T);

impl<T: Copy> FromDevice<T> {
    /// Marks `value` as written by the device.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value if it is in `range`.
    pub fn bounded(self, range: RangeInclusive<T>) -> Option<T>
    where
        T: PartialOrd,
    {
        range.contains(&self.0).then_some(self.0)
    }

    /// Returns the bits of `mask`.
    ///
    /// Any combination of them must make sense to the caller, as is the case for flags.
    pub fn bits(self, mask: T) -> T
    where
        T: BitAnd<Output = T>,
    {
        self.0 & mask
    }
}

impl<T: Copy + fmt::LowerHex> fmt::Debug for FromDevice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromDevice({:#x})", self.0)
    }
}

impl FromDevice<u16> {
    /// Returns whether all bits are set: what a read returns when no device answers.
    pub const fn is_all_ones(self) -> bool {
        self.0 == u16::MAX
    }
}
