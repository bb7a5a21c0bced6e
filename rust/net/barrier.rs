// SPDX-License-Identifier: GPL-2.0

//! Memory barriers, which `kernel::sync::barrier` has since Linux 7.2 only, and in two shapes.
//!
//! See `Documentation/memory-barriers.txt`.

use crate::bindings;

/// Orders all accesses to memory before it, as other processors see them, against all after it.
#[inline]
pub(super) fn smp_mb() {
    // SAFETY: A barrier has no requirements.
    unsafe { bindings::smp_mb() };
}

/// Orders reads of coherent memory that a device writes.
#[inline]
pub(super) fn dma_rmb() {
    #[cfg(target_arch = "x86_64")]
    compiler_barrier();
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: A barrier has no requirements.
    unsafe {
        bindings::dma_rmb()
    };
}

/// Orders writes of coherent memory that a device reads.
#[inline]
pub(super) fn dma_wmb() {
    #[cfg(target_arch = "x86_64")]
    compiler_barrier();
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: A barrier has no requirements.
    unsafe {
        bindings::dma_wmb()
    };
}

/// Keeps the compiler from moving accesses to memory across it, which is all that `dma_rmb` and
/// `dma_wmb` of x86 do (`arch/x86/include/asm/barrier.h`). A call of C for it would cost more than
/// the descriptor.
#[cfg(target_arch = "x86_64")]
#[inline]
fn compiler_barrier() {
    // SAFETY: There is no instruction.
    unsafe { core::arch::asm!("", options(nostack, preserves_flags)) };
}
