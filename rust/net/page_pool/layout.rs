// SPDX-License-Identifier: GPL-2.0

//! The layout of receive buffers in the pages of a pool.

use crate::bindings;
use crate::net::skb::ETHERNET_HEADER;
use kernel::prelude::*;

/// The layout of buffers in their pages. Every buffer has it, so it is small.
///
/// # Invariants
///
/// `slot` is a power of two, and `headroom + size + NET_SKB_OVERHEAD` not more than it.
#[derive(Clone, Copy)]
// As a whole it is moved by one instruction.
#[repr(align(8))]
pub(super) struct Layout {
    /// The bytes that a buffer occupies.
    slot: u16,
    /// The offset in that at which the device begins to write, in bytes.
    headroom: u16,
    /// The bytes that it may write: a multiple of 8, as devices take them.
    size: u16,
}

impl Layout {
    /// Returns the layout for buffers of at least `size` bytes, with `headroom` in front.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that is more than 32 KiB, or nothing.
    pub(super) fn new(size: u32, headroom: u16) -> Result<Self> {
        if size == 0 {
            return Err(EINVAL);
        }
        let around = u32::from(headroom) + bindings::NET_SKB_OVERHEAD as u32;
        // A buffer of less than half a page saves nothing.
        let slot = size
            .checked_add(around)
            .and_then(u32::checked_next_power_of_two)
            .ok_or(EINVAL)?
            .max(bindings::NET_PAGE_SIZE as u32 / 2);
        let size = slot.saturating_sub(around) & !7;
        // INVARIANT: `slot` is a power of two, and what is left of it is `size`, but for what was
        // rounded off.
        Ok(Self {
            slot: slot.try_into().map_err(|_| EINVAL)?,
            headroom,
            size: size.try_into().map_err(|_| EINVAL)?,
        })
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot.into()
    }

    pub(super) fn headroom(&self) -> u32 {
        self.headroom.into()
    }

    /// Returns what a device may write of a buffer, in bytes.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.size.into()
    }

    /// Returns what `build_skb` leaves of a buffer, in bytes.
    #[inline]
    pub(super) fn room(&self) -> u32 {
        self.slot().wrapping_sub(bindings::NET_SKB_OVERHEAD as u32)
    }

    /// Returns whether a device can have written a frame of this many bytes into a buffer: one that
    /// has an Ethernet header.
    #[inline]
    pub(super) fn holds(&self, length: u32) -> bool {
        (ETHERNET_HEADER..=self.size()).contains(&length)
    }

    /// Returns the size of a page, as a power of two of `PAGE_SIZE`.
    pub(super) fn order(&self) -> u32 {
        self.page_size()
            .div_ceil(bindings::NET_PAGE_SIZE as u32)
            .trailing_zeros()
    }

    /// Returns the size of a page, in bytes.
    pub(super) fn page_size(&self) -> u32 {
        self.slot().max(bindings::NET_PAGE_SIZE as u32)
    }

    /// Returns how many pages `buffers` buffers are in.
    pub(super) fn pages_of(&self, buffers: u32) -> u32 {
        if self.slot() < self.page_size() {
            buffers.div_ceil(2)
        } else {
            buffers
        }
    }
}
