// SPDX-License-Identifier: GPL-2.0

//! Interrupt coalescing: IntrMitigate and the unit in CPlusCmd.
//!
//! ```text
//! IntrMitigate  15:12  wait after a frame was sent, in units     11:8  or this many times 4 frames
//!                 7:4  wait after a frame was received, in units  3:0  or this many times 4 frames
//!
//! CPlusCmd 1:0     1000 Mbit/s    100 Mbit/s    10 Mbit/s
//!          0            5 us         2.56 us     40.96 us
//!          1           40 us        20.48 us     327.7 us
//!          2           80 us        40.96 us     655.4 us
//!          3          160 us        81.92 us      1.31 ms
//! ```
//!
//! The layout and the units are those of r8169 for the 8168 family.

use crate::net::ethtool::{
    Coalesce,
    ExtackError, //
};
use core::num::NonZeroU64;
use kernel::error::code::ERANGE;

/// The largest value of each field.
const FIELD_MAX: u16 = 15;
/// The frames that a field counts at a time.
const FRAMES: u32 = 4;
/// The units, in multiples of that for 0.
const UNITS: [u32; 4] = [1, 8, 16, 32];

/// The values of the two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mitigation {
    unit: u16,
    bits: u16,
}

/// Returns the unit for 0 with a link of `speed` Mbit/s, in nanoseconds. Without a link it is that
/// of the highest speed, as in r8169; no other speeds are possible.
fn base(speed: Option<u32>) -> u32 {
    match speed {
        Some(100) => 2560,
        Some(10) => 40960,
        _ => 5000,
    }
}

impl Mitigation {
    /// No coalescing.
    pub(crate) const OFF: Self = Self { unit: 0, bits: 0 };

    /// Returns the bits of CPlusCmd: the unit.
    pub(crate) fn unit(self) -> u16 {
        self.unit
    }

    /// Returns the value of IntrMitigate.
    pub(crate) fn bits(self) -> u16 {
        self.bits
    }

    /// Encodes `wanted` for a link of `speed` Mbit/s; times and frames are rounded up.
    ///
    /// # Errors
    ///
    /// If it is too much, or frames are to be waited for without a limit of time.
    pub(crate) fn encode(speed: Option<u32>, wanted: &Coalesce) -> Result<Self, ExtackError> {
        let refuse = |why| ExtackError { error: ERANGE, why };
        if wanted.rx_frames.max(wanted.tx_frames) > u32::from(FIELD_MAX) * FRAMES {
            return Err(refuse(c"interrupts wait for 60 frames at most"));
        }
        if (wanted.rx_frames != 0 && wanted.rx_usecs == 0)
            || (wanted.tx_frames != 0 && wanted.tx_usecs == 0)
        {
            return Err(ExtackError::invalid(
                c"to wait for frames needs a limit of time as well",
            ));
        }
        if Self::unit_for(speed, wanted).is_none() {
            return Err(refuse(c"interrupts cannot wait that long at this speed"));
        }
        Ok(Self::nearest(speed, wanted))
    }

    /// Encodes as [`Mitigation::encode`], but what is too much becomes the most that is possible.
    pub(crate) fn nearest(speed: Option<u32>, wanted: &Coalesce) -> Self {
        let unit = Self::unit_for(speed, wanted).unwrap_or(UNITS.len() - 1);
        let length = Self::length(speed, unit);
        let time = |usecs: u32| field(divide_up(u64::from(usecs) * 1000, length));
        let frames = |frames: u32| field(u64::from(frames.div_ceil(FRAMES)));
        Self {
            unit: unit as u16,
            bits: time(wanted.tx_usecs) << 12
                | frames(wanted.tx_frames) << 8
                | time(wanted.rx_usecs) << 4
                | frames(wanted.rx_frames),
        }
    }

    /// Decodes the two registers for a link of `speed` Mbit/s; microseconds are rounded up.
    pub(crate) fn decode(self, speed: Option<u32>) -> Coalesce {
        let length = Self::length(speed, usize::from(self.unit));
        let field = |shift: u16| u32::from(self.bits >> shift & FIELD_MAX);
        // 15 units of 1.31 ms are far from the end of an u32.
        let usecs = |shift| (u64::from(field(shift)) * length.get()).div_ceil(1000) as u32;
        Coalesce {
            rx_usecs: usecs(4),
            rx_frames: field(0) * FRAMES,
            tx_usecs: usecs(12),
            tx_frames: field(8) * FRAMES,
        }
    }

    /// Returns the length of a unit in nanoseconds.
    fn length(speed: Option<u32>, unit: usize) -> NonZeroU64 {
        let multiple = UNITS.get(unit).copied().unwrap_or(1);
        NonZeroU64::new(u64::from(base(speed) * multiple)).unwrap_or(NonZeroU64::MIN)
    }

    /// Returns the finest unit that reaches as far as `wanted` wants, if one does; how far it
    /// reaches is rounded up, as in [`Mitigation::decode`], so that what was shown can be set
    /// again.
    fn unit_for(speed: Option<u32>, wanted: &Coalesce) -> Option<usize> {
        let longest = u64::from(wanted.rx_usecs.max(wanted.tx_usecs));
        (0..UNITS.len()).find(|&unit| {
            let reach = Self::length(speed, unit).get() * u64::from(FIELD_MAX);
            longest <= reach.div_ceil(1000)
        })
    }
}

/// Returns `value / by`, rounded up.
fn divide_up(value: u64, by: NonZeroU64) -> u64 {
    value.saturating_add(by.get() - 1) / by
}

/// Returns `value`, or the most that a field can hold.
fn field(value: u64) -> u16 {
    value.min(u64::from(FIELD_MAX)) as u16
}
