// SPDX-License-Identifier: GPL-2.0

//! Values that a device wrote.
//!
//! A device may be broken, unplugged or hostile, so a number that it wrote is a claim and not a
//! fact. [`FromDevice`] keeps such a number apart until the driver has narrowed it.

use core::{
    fmt,
    ops::{
        BitAnd,
        RangeInclusive, //
    },
};

/// A value that a device wrote and that nobody has checked yet.
///
/// There is no `Deref`, no comparison and no way to the plain value but a check.
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

    /// Returns the value in a form that can only be printed, in hexadecimal.
    pub const fn raw_for_log(self) -> RawForLog<T> {
        RawForLog(self.0)
    }
}

impl<T: Copy + fmt::LowerHex> fmt::Debug for FromDevice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromDevice({:#x})", self.0)
    }
}

/// An unchecked value of a device on its way to the log; see [`FromDevice::raw_for_log`].
#[derive(Clone, Copy)]
pub struct RawForLog<T: Copy>(T);

impl<T: Copy + fmt::LowerHex> fmt::LowerHex for RawForLog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl<T: Copy + fmt::LowerHex> fmt::Debug for RawForLog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Gives `FromDevice` of an unsigned integer the test for a device that is gone.
macro_rules! impl_all_ones {
    ($($integer:ty),*) => {$(
        impl FromDevice<$integer> {
            /// Returns whether all bits are set: what a read returns when no device answers.
            pub const fn is_all_ones(self) -> bool {
                self.0 == <$integer>::MAX
            }
        }
    )*};
}

impl_all_ones!(u8, u16, u32);
