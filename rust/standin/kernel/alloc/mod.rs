// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::alloc`: values in memory of `kmalloc` and `kvmalloc`.
//!
//! The allocators are called without an alignment. Since Linux 6.11 `kmalloc` aligns to the largest
//! power of two that divides the size (up to a page); the size of a type is a multiple of its
//! alignment, so that this is enough, and [`place`] refuses larger alignments when it is compiled.

mod kbox;
mod vec;

pub use kbox::KBox;
pub use vec::{
    KVVec,
    KVec,
    PushError,
    Vec, //
};

use crate::c;
use core::ptr::NonNull;

/// Stands for `kernel::alloc::AllocError`: there is no memory. As an `Error` it is `ENOMEM`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocError;

/// Stands for `kernel::alloc::Flags`, C's `gfp_t`: how memory may be got. There is one value.
#[derive(Clone, Copy)]
pub struct Flags(());

/// Stands for `kernel::alloc::flags`.
pub mod flags {
    use super::Flags;

    /// The allocator may sleep, and may use any kernel memory.
    pub const GFP_KERNEL: Flags = Flags(());
}

/// Alignments up to this are what an allocator guarantees for sizes that are a multiple of them.
const MAX_ALIGN: usize = 4096;

/// Stands for `kernel::alloc::Allocator`: where memory comes from. It can neither grow nor shrink.
///
/// # Safety
///
/// Memory that [`Self::alloc`] returns is of `size` bytes, aligned to the largest power of two that
/// divides `size`, or to `MAX_ALIGN` if that is less, and belongs to the caller alone until it is
/// given to [`Self::free`].
pub unsafe trait Allocator {
    /// Returns `size` bytes of memory, uninitialised; null if there is none. May sleep.
    fn alloc(size: usize) -> *mut u8;

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// `memory` was returned by [`Self::alloc`] of the same type, is not null, has not been given
    /// back, and is not used afterwards.
    unsafe fn free(memory: *mut u8);
}

/// Stands for `kernel::alloc::allocator::Kmalloc`: memory in one piece.
pub struct Kmalloc;

/// Stands for `kernel::alloc::allocator::KVmalloc`: memory of `kmalloc` or, where it is large, of
/// single pages.
pub struct KVmalloc;

// SAFETY: `kmalloc` returns memory of that size and alignment (see above), which it gives to none
// else before `kfree`.
unsafe impl Allocator for Kmalloc {
    fn alloc(size: usize) -> *mut u8 {
        // SAFETY: `kmalloc` takes any size. Who says `GFP_KERNEL` may sleep; where one may not, the
        // kernel says so.
        unsafe { c::standin_kmalloc(size).cast() }
    }

    unsafe fn free(memory: *mut u8) {
        // SAFETY: It is of `kmalloc`, not yet freed, and not used afterwards, as the caller says.
        unsafe { c::standin_kfree(memory.cast()) }
    }
}

// SAFETY: `kvmalloc` returns memory of `kmalloc`, or whole pages, which start at a multiple of
// `MAX_ALIGN`; it gives them to no other caller before `kvfree`.
unsafe impl Allocator for KVmalloc {
    fn alloc(size: usize) -> *mut u8 {
        // SAFETY: `kvmalloc` takes any size. Who says `GFP_KERNEL` may sleep; where one may not,
        // the kernel says so.
        unsafe { c::standin_kvmalloc(size).cast() }
    }

    unsafe fn free(memory: *mut u8) {
        // SAFETY: It is of `kvmalloc`, not yet freed, and not used afterwards, as the caller says.
        unsafe { c::standin_kvfree(memory.cast()) }
    }
}

/// Returns a place for `count` values of `T`, aligned and uninitialised; for no bytes it is
/// dangling.
fn place<T, A: Allocator>(count: usize) -> Result<NonNull<T>, AllocError> {
    const {
        assert!(
            align_of::<T>() <= MAX_ALIGN,
            "no allocator guarantees this alignment"
        )
    };
    let bytes = size_of::<T>().checked_mul(count).ok_or(AllocError)?;
    // No object may be larger than `isize::MAX`: offsets within it have a sign.
    if bytes > isize::MAX as usize {
        return Err(AllocError);
    }
    if bytes == 0 {
        return Ok(NonNull::dangling());
    }
    NonNull::new(A::alloc(bytes).cast()).ok_or(AllocError)
}

/// Gives back what [`place`] returned for the same `T`, `A` and `count`.
///
/// # Safety
///
/// `start` is of such a call, has not been given back, and is not used afterwards.
unsafe fn give_back<T, A: Allocator>(start: NonNull<T>, count: usize) {
    // It does not overflow, as it did not in `place`.
    if size_of::<T>() * count != 0 {
        // SAFETY: `place` had bytes to allocate, so `start` is of `A::alloc` and not null; by
        // the safety requirements it has not been given back and is not used afterwards.
        unsafe { A::free(start.as_ptr().cast()) };
    }
}
