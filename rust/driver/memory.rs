// SPDX-License-Identifier: GPL-2.0

//! The memory of the descriptor rings, in the form that the rings want.

use super::ring::{
    desc::{
        self,
        DescriptorMemory,
        DESCRIPTOR_SIZE, //
    },
    rx::RxBuffer,
    tx::{
        TxFragment,
        TxFrame, //
    }, //
};
use crate::net::{
    dma::{
        Group,
        SharedWords, //
    },
    fragment::{
        MappedFragment,
        Pieces, //
    },
    from_device::FromDevice,
    page_pool,
    pci, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// 32-bit words in a descriptor.
const WORDS: usize = DESCRIPTOR_SIZE / size_of::<u32>();

/// The descriptors of one ring. Both halves of a ring hold it.
#[derive(Clone)]
pub(super) struct Descriptors<'a>(Arc<SharedWords<'a>>);

impl<'a> Descriptors<'a> {
    /// Allocates `count` descriptors, aligned as the chip wants it (256 bytes).
    pub(super) fn new(pdev: &'a pci::Device, count: u32) -> Result<Self> {
        let words = SharedWords::new(pdev, count as usize * WORDS)?;
        Ok(Self(Arc::new(words, GFP_KERNEL)?))
    }

    pub(super) fn dma_address(&self) -> u64 {
        self.0.dma_address()
    }

    #[inline]
    fn descriptor(&self, index: u32) -> Option<Group<'_, WORDS>> {
        self.0.group(index as usize)
    }
}

impl DescriptorMemory for Descriptors<'_> {
    fn count(&self) -> u32 {
        (self.0.count() / WORDS) as u32
    }

    #[inline]
    fn opts1(&self, index: u32) -> FromDevice<u32> {
        self.descriptor(index)
            .map_or(FromDevice::new(0), |words| words.read::<0>())
    }

    #[inline]
    fn opts2(&self, index: u32) -> FromDevice<u32> {
        self.descriptor(index)
            .map_or(FromDevice::new(0), |words| words.read::<1>())
    }

    #[inline]
    fn received(&self, index: u32) -> Option<(FromDevice<u32>, FromDevice<u32>)> {
        // Looked up once for both.
        let words = self.descriptor(index)?;
        let opts1 = words.read::<0>();
        if opts1.bits(desc::OWN) != 0 {
            return None;
        }
        self.rmb();
        Some((opts1, words.read::<1>()))
    }

    #[inline]
    fn rmb(&self) {
        self.0.rmb();
    }

    #[inline]
    fn publish(&self, index: u32, addr: u64, opts1: u32, opts2: u32) {
        if let Some(words) = self.descriptor(index) {
            words.write::<1>(opts2);
            words.write::<2>(addr as u32);
            words.write::<3>((addr >> 32) as u32);
            self.0.wmb();
            words.write::<0>(opts1);
        }
    }
}

impl RxBuffer for page_pool::RxBuffer<'_> {
    fn dma_address(&self) -> u64 {
        page_pool::RxBuffer::dma_address(self)
    }
}

impl TxFragment for MappedFragment<'_> {
    fn dma_address(&self) -> u64 {
        MappedFragment::dma_address(self)
    }

    fn length(&self) -> u32 {
        MappedFragment::length(self)
    }
}

impl<'a> Pieces<'a> for TxFrame<'_, MappedFragment<'a>> {
    // A call would move the fragment once more.
    #[inline(always)]
    fn take(&mut self, piece: MappedFragment<'a>) -> Result {
        self.push(piece).map_err(|_| EINVAL)
    }
}
