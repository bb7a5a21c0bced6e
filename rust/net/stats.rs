// SPDX-License-Identifier: GPL-2.0

//! Error statistics of a network device.
//!
//! Packets and bytes are counted per CPU by the network core (`tstats`). Errors are rare, so they
//! are plain atomic counters, which may be counted and read from any context.
//!
//! # Examples
//!
//! ```
//! use crate::net::stats::{
//!     Counter,
//!     Errors,
//!     HardwareErrors,
//!     MacStatistics, //
//! };
//!
//! fn dropped(errors: &Errors) {
//!     let counter: &Counter = &errors.tx_dropped;
//!     counter.count();
//! }
//!
//! /// What a device has counted by itself.
//! fn counted(missed: u64, sent: u64) -> (HardwareErrors, MacStatistics) {
//!     let errors = HardwareErrors {
//!         rx_missed_errors: missed,
//!         ..HardwareErrors::default()
//!     };
//!     let mac = MacStatistics {
//!         frames_transmitted_ok: sent,
//!         ..MacStatistics::default()
//!     };
//!     (errors, mac)
//! }
//! ```
//!
//! C header: [`include/uapi/linux/if_link.h`](srctree/include/uapi/linux/if_link.h)

use crate::bindings;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A 64-bit counter that starts at zero and only grows.
pub struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds one.
    pub fn count(&self) {
        self.0.add(1, Relaxed);
    }

    /// Adds a number.
    pub(super) fn add(&self, number: u32) {
        self.0.add(u64::from(number), Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The frames that the device has segmented; see
/// [`XmitContext::segmented`](super::contexts::XmitContext::segmented).
pub(super) struct Segmentation {
    /// Frames before segmentation (`hw_gso_packets`).
    pub(super) frames: Counter,
    /// Segments that they became (`hw_gso_wire_packets`).
    pub(super) segments: Counter,
}

impl Segmentation {
    pub(super) const fn new() -> Self {
        Self {
            frames: Counter::new(),
            segments: Counter::new(),
        }
    }
}

/// Errors of frames; each counter is the one of `struct rtnl_link_stats64` of the
/// same name.
pub struct Errors {
    /// Frames received in error, whatever the reason.
    pub rx_errors: Counter,
    /// Of these, frames of an impossible length.
    pub rx_length_errors: Counter,
    /// Of these, frames with a bad frame check sequence.
    pub rx_crc_errors: Counter,
    /// Of these, frames that the device lost because its FIFO was full.
    pub rx_fifo_errors: Counter,
    /// Good frames that were not handed up, for want of memory.
    pub rx_dropped: Counter,
    /// Frames to a multicast address, broadcasts apart: no errors, but counted like them.
    pub(super) multicast: Counter,
    /// Frames that could not be sent because the device failed.
    pub tx_errors: Counter,
    /// Frames that were not given to the device.
    pub tx_dropped: Counter,
}

impl Errors {
    pub(super) const fn new() -> Self {
        Self {
            rx_errors: Counter::new(),
            rx_length_errors: Counter::new(),
            rx_crc_errors: Counter::new(),
            rx_fifo_errors: Counter::new(),
            rx_dropped: Counter::new(),
            multicast: Counter::new(),
            tx_errors: Counter::new(),
            tx_dropped: Counter::new(),
        }
    }

    /// Returns how many good frames were not handed up for want of memory.
    pub(super) fn rx_allocations_failed(&self) -> u64 {
        self.rx_dropped.value()
    }

    pub(super) fn add_to(&self, stats: &mut bindings::rtnl_link_stats64) {
        let add = |to: &mut u64, counter: &Counter| *to = to.wrapping_add(counter.value());
        add(&mut stats.rx_errors, &self.rx_errors);
        add(&mut stats.rx_length_errors, &self.rx_length_errors);
        add(&mut stats.rx_crc_errors, &self.rx_crc_errors);
        add(&mut stats.rx_fifo_errors, &self.rx_fifo_errors);
        add(&mut stats.rx_dropped, &self.rx_dropped);
        add(&mut stats.multicast, &self.multicast);
        add(&mut stats.tx_errors, &self.tx_errors);
        add(&mut stats.tx_dropped, &self.tx_dropped);
    }
}

/// Errors that a device counts by itself; each is the one of `struct rtnl_link_stats64` of the same
/// name.
#[derive(Clone, Copy, Default)]
pub struct HardwareErrors {
    /// Frames lost because there was no room for them.
    pub rx_missed_errors: u64,
    /// Frames that were not sent.
    pub tx_errors: u64,
    /// Of these, frames given up after too many collisions.
    pub tx_aborted_errors: u64,
    /// Frames that were sent after more than one collision.
    pub collisions: u64,
}

impl HardwareErrors {
    pub(super) fn add_to(&self, stats: &mut bindings::rtnl_link_stats64) {
        let add = |to: &mut u64, value: u64| *to = to.wrapping_add(value);
        add(&mut stats.rx_missed_errors, self.rx_missed_errors);
        add(&mut stats.tx_errors, self.tx_errors);
        add(&mut stats.tx_aborted_errors, self.tx_aborted_errors);
        add(&mut stats.collisions, self.collisions);
    }
}

/// The statistics of IEEE 802.3 clause 30.3.1 that a device has; each is the one of
/// `struct ethtool_eth_mac_stats` of the same name.
#[derive(Clone, Copy, Default)]
pub struct MacStatistics {
    /// Frames that were sent.
    pub frames_transmitted_ok: u64,
    /// Of these, frames that were sent after one collision.
    pub single_collision_frames: u64,
    /// Of these, frames that were sent after more than one collision.
    pub multiple_collision_frames: u64,
    /// Frames that were received.
    pub frames_received_ok: u64,
    /// Frames that were no whole number of bytes, with a wrong check sequence.
    pub alignment_errors: u64,
    /// Frames that were not sent because of the MAC.
    pub frames_lost_due_to_int_mac_xmit_error: u64,
    /// Broadcasts that were received.
    pub broadcast_frames_received_ok: u64,
    /// Multicasts that were received, broadcasts apart.
    pub multicast_frames_received_ok: u64,
}
