// SPDX-License-Identifier: GPL-2.0

//! DMA memory: coherent words for descriptor rings.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     dma::{
//!         Group,
//!         SharedWords, //
//!     },
//!     pci, //
//! };
//! use kernel::prelude::*;
//!
//! /// The device has it while it owns a descriptor, which is 4 words.
//! const OWN: u32 = 1 << 31;
//!
//! fn ring(pdev: &pci::Device) -> Result<SharedWords<'_>> {
//!     SharedWords::new(pdev, 256 * 4)
//! }
//!
//! /// Gives a descriptor to the device: the word with `OWN` last.
//! fn give(ring: &SharedWords<'_>, index: usize, address: u64, length: u32) {
//!     let descriptor: Option<Group<'_, 4>> = ring.group(index);
//!     if let Some(words) = descriptor {
//!         words.write::<2>(address as u32);
//!         words.write::<3>((address >> 32) as u32);
//!         ring.wmb();
//!         words.write::<0>(OWN | length);
//!     }
//! }
//!
//! fn is_done(ring: &SharedWords<'_>, index: usize) -> bool {
//!     ring.read(4 * index).bits(OWN) == 0
//! }
//! ```
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::{
    barrier,
    from_device::FromDevice,
    pci, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Little-endian 32-bit words that the CPU and a device share.
///
/// Both may write at any time. So a read gives a [`FromDevice`], and every access is volatile.
///
/// # Invariants
///
/// `memory` is a live coherent allocation of `words` zeroed or written words for `pdev`, at
/// `address` for the device.
pub struct SharedWords<'a> {
    pdev: &'a pci::Device,
    memory: NonNull<u32>,
    address: u64,
    words: usize,
}

// SAFETY: The allocation belongs to no CPU, and the device reference is `Send`.
unsafe impl Send for SharedWords<'_> {}

// SAFETY: All accesses through a shared reference are volatile reads and writes of whole aligned
// words, which the kernel's memory model allows to race.
unsafe impl Sync for SharedWords<'_> {}

impl<'a> SharedWords<'a> {
    /// Allocates `words` zeroed words.
    ///
    /// The allocation is aligned to its size rounded up to a power of two of pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(pdev: &'a pci::Device, words: usize) -> Result<Self> {
        let size = words.checked_mul(size_of::<u32>()).ok_or(ENOMEM)?;
        let mut address = 0;
        // SAFETY: `pdev` is bound, so its device may be used for DMA; `address` is valid for
        // writes.
        let memory = unsafe {
            bindings::dma_alloc_attrs(
                pci::device(pdev),
                size,
                &mut address,
                bindings::NET_GFP_KERNEL,
                0,
            )
        };
        // INVARIANT: The allocation succeeded, and `dma_alloc_attrs` zeroes it.
        Ok(Self {
            pdev,
            memory: NonNull::new(memory.cast()).ok_or(ENOMEM)?,
            address,
            words,
        })
    }

    /// Returns the address of the first word for the device.
    pub fn dma_address(&self) -> u64 {
        self.address
    }

    /// Returns the number of words.
    pub fn count(&self) -> usize {
        self.words
    }

    /// Returns the `N` words with the `index`th place among groups of `N` words, or `None` beyond
    /// the end.
    #[inline]
    pub fn group<const N: usize>(&self, index: usize) -> Option<Group<'_, N>> {
        const { assert!(N > 0) };
        if index >= self.words / N {
            return None;
        }
        // SAFETY: The group ends within the allocation, by the type invariants and the check.
        let words = unsafe { self.memory.add(index * N) };
        // INVARIANT: These words are in the allocation, which lives as long as `self`.
        Some(Group {
            words,
            _memory: PhantomData,
        })
    }

    /// Reads a word, without ordering; beyond the end it reads 0.
    pub fn read(&self, index: usize) -> FromDevice<u32> {
        if index >= self.words {
            return FromDevice::new(0);
        }
        // SAFETY: `index` is within the allocation, by the type invariants and the check. Racing
        // writes of the device or of another CPU give some value, which is all that a `FromDevice`
        // is.
        let value = unsafe { self.memory.add(index).read_volatile() };
        FromDevice::new(u32::from_le(value))
    }

    /// Orders the reads before it against those after it, as far as the device is concerned.
    pub fn rmb(&self) {
        barrier::dma_rmb();
    }

    /// Orders the writes before it against those after it, as far as the device is concerned.
    pub fn wmb(&self) {
        barrier::dma_wmb();
    }
}

/// `N` neighbouring words of [`SharedWords`], whose bounds were checked once for all of them.
///
/// # Invariants
///
/// `words` points to `N` words of a [`SharedWords`] that is borrowed for `'a`.
pub struct Group<'a, const N: usize> {
    words: NonNull<u32>,
    _memory: PhantomData<&'a u32>,
}

impl<const N: usize> Group<'_, N> {
    /// Reads word `WORD`, without ordering.
    #[inline]
    pub fn read<const WORD: usize>(&self) -> FromDevice<u32> {
        const { assert!(WORD < N) };
        // SAFETY: By the type invariants and the assertion. Racing writes of the device or of
        // another CPU give some value, which is all that a `FromDevice` is.
        let value = unsafe { self.words.add(WORD).read_volatile() };
        FromDevice::new(u32::from_le(value))
    }

    /// Writes word `WORD`, without ordering.
    #[inline]
    pub fn write<const WORD: usize>(&self, value: u32) {
        const { assert!(WORD < N) };
        // SAFETY: By the type invariants and the assertion.
        unsafe { self.words.add(WORD).write_volatile(value.to_le()) };
    }
}

impl Drop for SharedWords<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this is the allocation of `new`, with its size and device.
        unsafe {
            bindings::dma_free_attrs(
                pci::device(self.pdev),
                self.words * size_of::<u32>(),
                self.memory.as_ptr().cast(),
                self.address,
                0,
            )
        };
    }
}
