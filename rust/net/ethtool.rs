// SPDX-License-Identifier: GPL-2.0

//! The driver's side of `ethtool`.
//!
//! A driver implements [`Ethtool`] besides [`Operations`](super::operations::Operations). Unless it
//! says otherwise every method runs in process context under RTNL, so one at a time; the interface
//! may be up or down. EEE has no method: the core refuses it for a driver without the operation.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     device::NetDevice,
//!     ethtool::{
//!         Coalesce,
//!         Ethtool,
//!         ExtackError,
//!         RingSizes,
//!         TestResult,
//!         WakeEvents, //
//!     }, //
//! };
//!
//! struct Card;
//!
//! impl Ethtool for Card {
//!     const RINGS: Option<RingSizes> = Some(RingSizes {
//!         rx: 16..=1024,
//!         tx: 32..=1024,
//!         default: 256,
//!     });
//!     const WAKE_EVENTS: WakeEvents = WakeEvents::MAGIC.with(WakeEvents::UNICAST);
//!     const HAS_COALESCE: bool = true;
//!
//!     fn set_coalesce(&self, _dev: &NetDevice, wanted: &Coalesce) -> Result<(), ExtackError> {
//!         if wanted.rx_usecs > 100 {
//!             return Err(ExtackError::invalid(c"interrupts wait for 100 us at most"));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn register_test(written: u32, read: u32) -> TestResult {
//!     TestResult::of(read == written)
//! }
//! ```
//!
//! C header: [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)

pub(super) mod ops;
mod reports;

use super::{
    device::NetDevice,
    error,
    stats::{
        HardwareErrors,
        MacStatistics, //
    }, //
};
use crate::bindings;
use core::{
    ffi::CStr,
    ops::RangeInclusive, //
};
use kernel::prelude::*;

/// A setting that is refused: the error, and the reason that the user is shown.
pub struct ExtackError {
    /// The error.
    pub error: Error,
    /// One line for the user.
    pub why: &'static CStr,
}

impl ExtackError {
    /// Refuses a setting that is impossible in itself.
    pub const fn invalid(why: &'static CStr) -> Self {
        Self { error: EINVAL, why }
    }

    /// Refuses a setting that is possible elsewhere, or at another time.
    pub fn unsupported(why: &'static CStr) -> Self {
        Self {
            error: error::not_supported(),
            why,
        }
    }
}

/// The sizes that the rings may have, in descriptors.
pub struct RingSizes {
    /// Any number in this range.
    pub rx: RangeInclusive<u32>,
    /// Any power of two in this range.
    pub tx: RangeInclusive<u32>,
    /// The size of both until another is set.
    pub default: u32,
}

impl RingSizes {
    /// Refuses sizes that are not possible.
    pub(crate) fn check(&self, rx: u32, tx: u32) -> Result<(), ExtackError> {
        if !self.rx.contains(&rx) {
            return Err(ExtackError::invalid(
                c"RX ring: too few or too many descriptors",
            ));
        }
        if !self.tx.contains(&tx) {
            return Err(ExtackError::invalid(
                c"TX ring: too few or too many descriptors",
            ));
        }
        if !tx.is_power_of_two() {
            return Err(ExtackError::invalid(
                c"TX ring: the number of descriptors must be a power of two",
            ));
        }
        Ok(())
    }
}

/// Interrupt coalescing: how long interrupts wait, and for how many frames; all zero turns it off.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Coalesce {
    /// After a frame was received: microseconds.
    pub rx_usecs: u32,
    /// Received frames that end the wait; 0 if only time does.
    pub rx_frames: u32,
    /// After a frame was sent: microseconds.
    pub tx_usecs: u32,
    /// Sent frames that end the wait; 0 if only time does.
    pub tx_frames: u32,
}

/// A set of events that wake a machine up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeEvents(u32);

impl WakeEvents {
    /// Nothing does.
    pub const NONE: Self = Self(0);
    /// The cable is plugged in.
    pub const PHY: Self = Self(bindings::WAKE_PHY);
    /// A frame to the MAC address.
    pub const UNICAST: Self = Self(bindings::WAKE_UCAST);
    /// A frame to a group.
    pub const MULTICAST: Self = Self(bindings::WAKE_MCAST);
    /// A broadcast frame.
    pub const BROADCAST: Self = Self(bindings::WAKE_BCAST);
    /// A frame with the MAC address 16 times in it.
    pub const MAGIC: Self = Self(bindings::WAKE_MAGIC);

    /// Returns these and `more`.
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Returns whether all of `events` are among these.
    pub const fn contains(self, events: Self) -> bool {
        self.0 & events.0 == events.0
    }

    /// Returns whether there is none.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    const fn as_raw(self) -> u32 {
        self.0
    }

    /// Returns the events in `raw`, if all of them are in `possible`.
    fn from_raw(raw: u32, possible: Self) -> Option<Self> {
        (raw & !possible.0 == 0).then_some(Self(raw))
    }
}

/// The outcome of a test; see [`Ethtool::SELF_TESTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestResult {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    NotRun,
}

impl TestResult {
    /// Returns the outcome of a test that was run.
    pub fn of(passed: bool) -> Self {
        if passed {
            Self::Passed
        } else {
            Self::Failed
        }
    }
}

/// The most tests that a driver may have.
pub const MAX_TESTS: usize = 8;

/// The answers of a driver to `ethtool`. See the [module](self) for when.
///
/// All of it is optional: what a driver leaves out is not supported.
pub trait Ethtool {
    /// The sizes that the rings may have; `None` if there is nothing to choose.
    const RINGS: Option<RingSizes> = None;
    /// The names of [`Ethtool::statistics`], up to 31 characters each.
    const STATISTICS: &'static [&'static CStr] = &[];
    /// Says whether there is an [`Ethtool::mac_statistics`].
    const HAS_MAC_STATISTICS: bool = false;
    /// The names of the tests, up to 31 characters each, [`MAX_TESTS`] at most; see
    /// [`Operations::self_test`](super::operations::Operations::self_test).
    const SELF_TESTS: &'static [&'static CStr] = &[];
    /// The size of the dump of [`Ethtool::read_registers`], in bytes.
    const REGISTER_BYTES: usize = 0;
    /// The events that can wake the machine up.
    const WAKE_EVENTS: WakeEvents = WakeEvents::NONE;
    /// The number by which `ethtool` names the kind of the EEPROM, if there is an
    /// [`Ethtool::read_eeprom`].
    const EEPROM_MAGIC: Option<u32> = None;
    /// Says whether there are [`Ethtool::coalesce`] and [`Ethtool::set_coalesce`].
    const HAS_COALESCE: bool = false;

    /// Fills in the values of [`Ethtool::STATISTICS`], in their order.
    fn statistics(&self, _values: &mut [u64]) {}

    /// Returns the statistics that IEEE 802.3 names.
    fn mac_statistics(&self) -> MacStatistics {
        MacStatistics::default()
    }

    /// Returns the errors that the device itself counted, as far as they were known when
    /// [`Ethtool::refresh_statistics`] ran last. Any context: must not wait.
    fn hardware_errors(&self) -> HardwareErrors {
        HardwareErrors::default()
    }

    /// Asks the device for its counters. Process context, up or down; not always under RTNL.
    fn refresh_statistics(&self) {}

    /// Returns the version of the layout of the dump.
    fn register_version(&self) -> u32 {
        0
    }

    /// Fills in the dump of registers: [`Ethtool::REGISTER_BYTES`] bytes.
    fn read_registers(&self, _dump: &mut [u8]) {}

    /// Returns the interrupt coalescing.
    ///
    /// # Errors
    ///
    /// If it is not known.
    fn coalesce(&self) -> Result<Coalesce> {
        Err(error::not_supported())
    }

    /// Sets the interrupt coalescing.
    ///
    /// # Errors
    ///
    /// If the device cannot do that, or not at the speed of its link.
    fn set_coalesce(&self, _dev: &NetDevice, _wanted: &Coalesce) -> Result<(), ExtackError> {
        Err(ExtackError::unsupported(c"interrupts do not wait"))
    }

    /// Says whether flow control can be negotiated with an MTU of `mtu` bytes. Where it cannot,
    /// none is offered to the partner.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn check_pause(&self, _mtu: u32) -> Result<(), ExtackError> {
        Ok(())
    }

    /// Returns the events that are to wake the machine up.
    fn wake_events(&self) -> WakeEvents {
        WakeEvents::NONE
    }

    /// Sets the events that are to wake the machine up; all of them are in
    /// [`Ethtool::WAKE_EVENTS`].
    fn set_wake_events(&self, _events: WakeEvents) {}

    /// Returns the size of the EEPROM of the device, in bytes; 0 if it has none.
    fn eeprom_size(&self) -> usize {
        0
    }

    /// Reads the EEPROM, from this byte on; all of it is within [`Ethtool::eeprom_size`].
    ///
    /// The interface is down, or this runs after
    /// [`Operations::stop`](super::operations::Operations::stop) and before
    /// [`Operations::start`](super::operations::Operations::start); the device must be left as it
    /// was.
    fn read_eeprom(&self, _offset: usize, _bytes: &mut [u8]) {}
}
