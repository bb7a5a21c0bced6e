// SPDX-License-Identifier: GPL-2.0

//! Memory barriers, which `kernel::sync::barrier` has since Linux 7.2 only, and in two shapes.
//!
//! See `Documentation/memory-barriers.txt`.

use crate::bindings;

/// Orders all accesses to memory before it, as other processors see them, against all after it.
#[inline]
pub(super) fn smp_mb() {
    // SAFETY: A barrier has no requirements.
    unsafe { bindings::net_helper_smp_mb() };
}

/// Orders reads of coherent memory that a device writes.
#[inline]
pub(super) fn dma_rmb() {
    // SAFETY: A barrier has no requirements.
    unsafe { bindings::net_helper_dma_rmb() };
}

/// Orders writes of coherent memory that a device reads.
#[inline]
pub(super) fn dma_wmb() {
    // SAFETY: A barrier has no requirements.
    unsafe { bindings::net_helper_dma_wmb() };
}
