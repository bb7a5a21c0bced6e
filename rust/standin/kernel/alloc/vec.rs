// SPDX-License-Identifier: GPL-2.0

//! A vector in memory of an allocator.

use super::{
    give_back,
    place,
    AllocError,
    Allocator,
    Flags,
    KVmalloc,
    Kmalloc, //
};
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};

/// Stands for `kernel::alloc::Vec`: a vector that asks before it allocates.
///
/// It has what the module uses: it grows by `extend_from_slice` only, and never shrinks.
// Invariant: `start` is of `place::<T, A>(capacity)`. The first `length` elements are initialised
// and owned by the vector. For a `T` without size that is so for every capacity; it is `usize::MAX`
// then. Else `length <= capacity`, and `capacity` elements are no more than `isize::MAX` bytes.
pub struct Vec<T, A: Allocator> {
    start: NonNull<T>,
    length: usize,
    capacity: usize,
    _owns: PhantomData<(T, A)>,
}

/// Stands for `kernel::alloc::KVec`: a vector in memory of `kmalloc`.
pub type KVec<T> = Vec<T, Kmalloc>;

/// Stands for `kernel::alloc::KVVec`: a vector in memory of `kvmalloc`.
pub type KVVec<T> = Vec<T, KVmalloc>;

// SAFETY: The vector owns its elements and gives access to nothing else, so that sending it sends
// them. An allocator's memory may be given back by another thread.
unsafe impl<T: Send, A: Allocator> Send for Vec<T, A> {}
// SAFETY: Of a shared vector one gets only shared references to the elements.
unsafe impl<T: Sync, A: Allocator> Sync for Vec<T, A> {}

/// Stands for `kernel::alloc::kvec::PushError`: there was no room for the value, which it returns.
#[derive(Debug)]
pub struct PushError<T>(pub T);

impl<T, A: Allocator> Vec<T, A> {
    /// Makes an empty vector with room for `capacity` elements.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn with_capacity(capacity: usize, _flags: Flags) -> Result<Self, AllocError> {
        let capacity = if size_of::<T>() == 0 {
            usize::MAX
        } else {
            capacity
        };
        Ok(Self {
            start: place::<T, A>(capacity)?,
            length: 0,
            capacity,
            _owns: PhantomData,
        })
    }

    /// Appends a value if there is room.
    ///
    /// # Errors
    ///
    /// If there is none: the value.
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.length == self.capacity {
            return Err(PushError(value));
        }
        // SAFETY: `length` is below `capacity`, so the element is within the memory, and its offset
        // fits in an `isize`, by the invariant.
        let element = unsafe { self.start.add(self.length) };
        // SAFETY: The memory is valid for writes, aligned, and ours alone. The element is not
        // initialised, so nothing is lost.
        unsafe { element.write(value) };
        self.length += 1;
        Ok(())
    }

    /// Appends copies of `more`; gets a larger piece of memory if there is no room.
    ///
    /// The real one clones, and needs no `Copy`.
    ///
    /// # Errors
    ///
    /// If there is no memory; the vector is as it was then.
    pub fn extend_from_slice(&mut self, more: &[T], flags: Flags) -> Result<(), AllocError>
    where
        T: Copy,
    {
        let length = self.length.checked_add(more.len()).ok_or(AllocError)?;
        if length > self.capacity {
            // Twice the size, so that appending one by one copies each element a few times only.
            let capacity = length.max(self.capacity.saturating_mul(2));
            let mut larger = Self::with_capacity(capacity, flags)?;
            larger.extend_from_slice(self, flags)?;
            *self = larger;
        }
        // SAFETY: `length` is at most `capacity`, so the end of what there is lies within the
        // memory or at its end, and its offset fits in an `isize`, by the invariant.
        let end = unsafe { self.start.add(self.length) };
        // SAFETY: `more` is valid for reads of so many. There is room for them behind `end`:
        // aligned, valid for writes, and ours alone, so that `more` does not overlap with it. `T`
        // is `Copy`, so both copies may be used.
        unsafe { core::ptr::copy_nonoverlapping(more.as_ptr(), end.as_ptr(), more.len()) };
        self.length = length;
        Ok(())
    }
}

impl<T, A: Allocator> Deref for Vec<T, A> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `start` is aligned and not null, and `length` elements behind it, in one
        // allocation of no more than `isize::MAX` bytes, are initialised, by the invariant. They
        // are borrowed shared as the vector is.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T, A: Allocator> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: As in `deref`, but they are borrowed exclusively as the vector is.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T, A: Allocator> Drop for Vec<T, A> {
    fn drop(&mut self) {
        // SAFETY: The elements are initialised and owned by the vector, and this is their last use.
        // Should the drop of one panic, then the others are dropped and the memory leaks.
        unsafe { core::ptr::drop_in_place::<[T]>(&mut **self) };
        // SAFETY: It is of `place` with the same parameters, by the invariant, and not used again.
        unsafe { give_back::<T, A>(self.start, self.capacity) };
    }
}
