// SPDX-License-Identifier: GPL-2.0

//! Socket buffers.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::pci;
use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};

/// An owned `struct sk_buff`: one frame.
///
/// # Invariants
///
/// The pointer is to a live `sk_buff`, and this value owns one reference to it.
pub struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: An `sk_buff` belongs to no CPU; ownership may move.
unsafe impl Send for SkBuff {}

impl SkBuff {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `skb` must be a live `sk_buff`, and the caller gives up one reference to it.
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(skb)
    }

    /// Gives the reference up to the caller.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Returns the length of the frame in bytes, all fragments included.
    pub fn length(&self) -> u32 {
        // SAFETY: By the type invariant the buffer is live, and it is not written meanwhile: who
        // sends it gave it up, who receives it has not handed it up.
        unsafe { (*self.as_raw()).len }
    }

    /// Returns whether all bytes are in the one linear area.
    pub fn is_linear(&self) -> bool {
        // SAFETY: As in `len`.
        unsafe { (*self.as_raw()).data_len == 0 }
    }

    /// Takes the software time stamp of the transmission, if one was asked for.
    pub fn tx_timestamp(&self) {
        // SAFETY: By the type invariant the buffer is live.
        unsafe { bindings::net_helper_skb_tx_timestamp(self.as_raw()) };
    }

    /// Frees a frame that was sent; `budget` is that of the NAPI poll this runs in.
    fn consume(self, budget: i32) {
        // SAFETY: The reference is given up. With a budget of 0 the function does not assume NAPI.
        unsafe { bindings::napi_consume_skb(self.into_raw(), budget) };
    }
}

impl Drop for SkBuff {
    /// Frees a frame that was not sent or not handed up, in any context.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this gives up the reference that is owned.
        unsafe { bindings::net_helper_kfree_skb_any(self.as_raw()) };
    }
}

/// A frame whose linear area is mapped for a device to read.
///
/// # Invariants
///
/// `address` is a live mapping of the `length` bytes of the linear area of `skb`, for `pdev`.
pub struct MappedSkb<'a> {
    pdev: &'a kernel::pci::Device<Bound>,
    address: u64,
    length: u32,
    skb: ManuallyDrop<SkBuff>,
}

impl<'a> MappedSkb<'a> {
    /// Maps a frame.
    ///
    /// # Errors
    ///
    /// Gives the frame back if it is not linear, is empty, or cannot be mapped.
    pub fn new(pdev: &'a kernel::pci::Device<Bound>, skb: SkBuff) -> Result<Self, SkBuff> {
        let length = skb.length();
        if !skb.is_linear() || length == 0 {
            return Err(skb);
        }
        let device = pci::device(pdev);
        // SAFETY: The device is bound; the linear area has `length` bytes as there is no other, and
        // it stays as it is while the frame is owned by the mapping.
        let address = unsafe {
            bindings::net_helper_dma_map_single(
                device,
                (*skb.as_raw()).data.cast(),
                length as usize,
            )
        };
        // SAFETY: `address` is the answer of the mapping function for this device.
        if unsafe { bindings::net_helper_dma_mapping_error(device, address) } {
            return Err(skb);
        }
        // INVARIANT: The mapping succeeded.
        Ok(Self {
            pdev,
            address,
            length,
            skb: ManuallyDrop::new(skb),
        })
    }

    /// Returns the address for the device.
    pub fn dma_address(&self) -> u64 {
        self.address
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Returns the frame, to look at.
    pub fn skb(&self) -> &SkBuff {
        &self.skb
    }

    fn unmap(&self) {
        // SAFETY: By the type invariants this is a live mapping with that length; the callers end
        // this value's life.
        unsafe {
            bindings::net_helper_dma_unmap_single(
                pci::device(self.pdev),
                self.address,
                self.length as usize,
            )
        };
    }

    /// Unmaps and frees a frame that was sent; returns its length in bytes.
    ///
    /// `budget` is that of the NAPI poll this runs in.
    pub fn complete(self, budget: i32) -> u32 {
        let mut this = ManuallyDrop::new(self);
        this.unmap();
        // SAFETY: `this` is never used or dropped again.
        unsafe { ManuallyDrop::take(&mut this.skb) }.consume(budget);
        this.length
    }
}

impl Drop for MappedSkb<'_> {
    fn drop(&mut self) {
        self.unmap();
        // SAFETY: The value is being dropped, so the field is never used again.
        unsafe { ManuallyDrop::drop(&mut self.skb) };
    }
}
