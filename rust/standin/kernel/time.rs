// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::time`.

/// Stands for `kernel::time::Delta`: a span of time, kept in nanoseconds. It may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Delta {
    nanos: i64,
}

impl Delta {
    /// No time at all.
    pub const ZERO: Self = Self { nanos: 0 };

    /// Makes a span of microseconds; saturates at about 292 years.
    pub const fn from_micros(micros: i64) -> Self {
        Self {
            nanos: micros.saturating_mul(1_000),
        }
    }

    /// Makes a span of milliseconds; saturates at about 292 years.
    pub const fn from_millis(millis: i64) -> Self {
        Self {
            nanos: millis.saturating_mul(1_000_000),
        }
    }

    /// Returns the span in microseconds, rounded up.
    pub const fn as_micros_ceil(self) -> i64 {
        self.nanos.saturating_add(999) / 1_000
    }
}

/// Stands for `kernel::time::delay`.
pub mod delay {
    use super::Delta;
    use crate::{
        c,
        ffi::c_ulong, //
    };

    /// Stands for `kernel::time::delay::fsleep`: sleeps for at least `delta`.
    ///
    /// As in the real crate, what is negative or above `i32::MAX` microseconds (36 minutes) is a
    /// bug of the caller and sleeps for that maximum.
    pub fn fsleep(delta: Delta) {
        const MAX: Delta = Delta::from_micros(i32::MAX as i64);
        let delta = if (Delta::ZERO..=MAX).contains(&delta) {
            delta
        } else {
            MAX
        };
        // SAFETY: C's `fsleep` has no requirement on memory; where one may not sleep, the kernel
        // says so. The range is checked, so that the conversion keeps the value.
        unsafe { c::standin_fsleep(delta.as_micros_ceil() as c_ulong) }
    }
}
