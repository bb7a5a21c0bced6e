// SPDX-License-Identifier: GPL-2.0

//! Offloads that a network device can do.
//!
//! # Examples
//!
//! ```
//! use crate::net::features::Features;
//!
//! const OFFLOADS: Features = Features::SG
//!     .with(Features::IP_CSUM)
//!     .with(Features::TSO);
//!
//! /// The offloads of a device that computes no checksums of jumbo frames.
//! fn fix(mtu: u32, wanted: Features) -> Features {
//!     if mtu > 1500 {
//!         wanted.without_checksums()
//!     } else {
//!         wanted
//!     }
//! }
//! ```
//!
//! C header: [`include/linux/netdev_features.h`](srctree/include/linux/netdev_features.h)

use crate::bindings;

/// A set of offloads (`netdev_features_t`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Features(bindings::netdev_features_t);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// Sending frames of several fragments (scatter-gather).
    pub const SG: Self = Self(bindings::NET_F_SG);
    /// Computing the checksums of TCP and UDP over IPv4.
    pub const IP_CSUM: Self = Self(bindings::NET_F_IP_CSUM);
    /// Segmenting TCP over IPv4 (TSO).
    pub const TSO: Self = Self(bindings::NET_F_TSO);
    /// Checking the checksums of received frames.
    pub const RXCSUM: Self = Self(bindings::NET_F_RXCSUM);
    /// Inserting VLAN tags.
    pub const VLAN_TX: Self = Self(bindings::NET_F_VLAN_TX);
    /// Stripping VLAN tags.
    pub const VLAN_RX: Self = Self(bindings::NET_F_VLAN_RX);
    /// Leaving the frame check sequence at the end of received frames.
    pub const RXFCS: Self = Self(bindings::NET_F_RXFCS);
    /// Receiving frames with a wrong check sequence, and runts.
    pub const RXALL: Self = Self(bindings::NET_F_RXALL);
    /// The offloads that depend on checksums.
    const NEED_CSUM: Self = Self(bindings::NET_F_CSUM_MASK | bindings::NET_F_GSO_MASK);

    pub(super) const fn from_raw(raw: bindings::netdev_features_t) -> Self {
        Self(raw)
    }

    pub(super) const fn as_raw(self) -> bindings::netdev_features_t {
        self.0
    }

    /// Returns both sets in one.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the set without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the set without the computing of checksums, and so without segmentation.
    pub const fn without_checksums(self) -> Self {
        self.without(Self::NEED_CSUM)
    }
}
