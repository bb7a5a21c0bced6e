// SPDX-License-Identifier: GPL-2.0

//! The receive ring.
//!
//! Every descriptor has a buffer at all times: a received buffer leaves the ring only in exchange
//! for another one, so the ring never has a hole. Addresses live in CPU memory; of what the chip
//! wrote only the status is read, and believed as far as [`RxStatus::decode`] goes.

use super::desc::{
    self,
    DescriptorMemory,
    RxError,
    RxFrameInfo,
    RxStatus, //
};
use crate::net::{
    from_device::FromDevice,
    spsc::{
        Error,
        Table,
        EINVAL, //
    },
};

/// A buffer that the chip can receive into.
pub trait RxBuffer {
    /// Returns the address at which the chip sees the buffer.
    fn dma_address(&self) -> u64;
}

/// The receive ring, with the buffers in it.
///
/// Dropping it drops the buffers: stop the chip first.
///
/// # Invariants
///
/// - `slots` has `count` buffers of `buffer_size` bytes each, and `next < count`.
/// - `buffer_size` is in [`desc::RX_BUFFER_SIZES`], `count` in `1..=MAX_DESCRIPTORS`.
pub struct RxRing<B> {
    slots: Table<B>,
    count: u32,
    next: u32,
    buffer_size: u32,
}

impl<B: RxBuffer> RxRing<B> {
    /// Makes a ring for all descriptors of `memory` and gives them to the chip.
    ///
    /// `make` returns the buffer of an index; each must have at least `buffer_size` bytes that the
    /// chip may write. The chip must not run yet.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `buffer_size` is not in [`desc::RX_BUFFER_SIZES`] or the number of descriptors
    /// not in `1..=MAX_DESCRIPTORS`; `ENOMEM`; the first error of `make`. No descriptor is written
    /// then.
    pub fn new<E: From<Error>>(
        memory: &impl DescriptorMemory,
        buffer_size: u32,
        make: impl FnMut(u32) -> Result<B, E>,
    ) -> Result<Self, E> {
        let count = memory.count();
        if !desc::RX_BUFFER_SIZES.contains(&buffer_size)
            || !(1..=desc::MAX_DESCRIPTORS).contains(&count)
        {
            return Err(EINVAL.into());
        }

        // INVARIANT: Both ranges were checked, and the table has `count` buffers.
        let mut ring = Self {
            slots: Table::from_fn(count, make)?,
            count,
            next: 0,
            buffer_size,
        };
        ring.restart(memory);
        Ok(ring)
    }

    /// Gives all descriptors to the chip again, from index 0 on, as after a reset of the chip.
    ///
    /// The chip must be stopped. Frames that were received and not taken yet are lost.
    pub fn restart(&mut self, memory: &impl DescriptorMemory) {
        for index in 0..self.count {
            if let Some(buffer) = self.slots.get(index) {
                let opts1 = desc::rx_opts1(self.buffer_size, is_end(index, self.count));
                memory.publish(index, buffer.dma_address(), opts1, 0);
            }
        }
        // INVARIANT: `count` is at least 1.
        self.next = 0;
    }

    /// Returns what the chip may write into a buffer, in bytes.
    pub fn buffer_size(&self) -> u32 {
        self.buffer_size
    }

    /// Returns what the chip received next, or `None` if it still owns that descriptor.
    ///
    /// The ring goes on when the answer is given to [`Received::replace`] or
    /// [`Received::recycle`]; until then this returns the same descriptor.
    #[inline]
    pub fn next<'a>(&'a mut self, memory: &impl DescriptorMemory) -> Option<Received<'a, B>> {
        let index = self.next;
        let slot = self.slots.get_mut(index)?;
        let (opts1, opts2) = memory.received(index)?;

        Some(Received {
            opts1,
            opts2,
            index,
            slot,
            next: &mut self.next,
            count: self.count,
            buffer_size: self.buffer_size,
        })
    }
}

/// Returns whether `index` is the last descriptor of a ring of `count`.
fn is_end(index: u32, count: u32) -> bool {
    index.wrapping_add(1) >= count
}

/// A descriptor that the chip has given back, and the buffer in it.
///
/// It borrows the ring, so there is one at a time and it cannot reach another ring. It ends in
/// [`Received::replace`] or [`Received::recycle`].
#[must_use = "the ring does not go on until the descriptor is replaced or recycled"]
pub struct Received<'a, B> {
    opts1: FromDevice<u32>,
    opts2: FromDevice<u32>,
    index: u32,
    slot: &'a mut B,
    next: &'a mut u32,
    count: u32,
    buffer_size: u32,
}

impl<B: RxBuffer> Received<'_, B> {
    /// Returns the frame in the buffer, or why there is none.
    #[inline]
    pub fn info(&self) -> Result<RxFrameInfo, RxError> {
        RxStatus::decode(self.opts1, self.buffer_size)
    }

    /// Returns the frame in the buffer if all that is wrong with it is its FCS, or that it is too
    /// short.
    pub fn damaged(&self) -> Option<RxFrameInfo> {
        RxStatus::decode_damaged(self.opts1, self.buffer_size)
    }

    /// Returns the second word of the descriptor, which holds the VLAN tag.
    pub fn opts2(&self) -> FromDevice<u32> {
        self.opts2
    }

    /// Returns the buffer, to look at the frame and leave it in the ring.
    pub fn buffer(&self) -> &B {
        self.slot
    }

    /// Takes the buffer out and gives the chip `new`, of the same size, in its place.
    #[must_use = "the buffer that was taken out holds the frame"]
    #[inline]
    pub fn replace(self, memory: &impl DescriptorMemory, new: B) -> B {
        let old = core::mem::replace(&mut *self.slot, new);
        self.give_back(memory);
        old
    }

    /// Gives the same buffer to the chip again; the frame in it is lost.
    #[inline]
    pub fn recycle(self, memory: &impl DescriptorMemory) {
        self.give_back(memory);
    }

    #[inline]
    fn give_back(self, memory: &impl DescriptorMemory) {
        let end = is_end(self.index, self.count);
        let opts1 = desc::rx_opts1(self.buffer_size, end);
        memory.publish(self.index, self.slot.dma_address(), opts1, 0);
        // INVARIANT: `index` is below `count`, and it is not the last when 1 is added.
        *self.next = if end { 0 } else { self.index.wrapping_add(1) };
    }
}
