// SPDX-License-Identifier: GPL-2.0

//! The part of a ring that both halves hold.

use super::sync::{
    Counter,
    SlotCell,
    Table, //
};

/// What the two halves share.
///
/// # Invariants
///
/// - `slots` has `capacity` elements; `capacity` is a power of two, at most [`super::MAX_CAPACITY`].
/// - `published` is written by the producer only, `released` by the consumer only, and
///   `published - released <= capacity` modulo 2^32.
/// - The slots of the counts `released..published` belong to the consumer and are full (up to
///   `popped`: empty); the slots of `published..released + capacity` belong to the producer. A
///   slot changes hands only by a release store to the counter which its owner writes, and is
///   taken over only after an acquire load of that counter.
pub(super) struct Inner<T> {
    pub(super) published: Counter,
    pub(super) released: Counter,
    pub(super) slots: Table<SlotCell<Option<T>>>,
    pub(super) capacity: u32,
}

// SAFETY: The only parts of `Inner` that are not `Sync` by themselves are the cells in `slots`. By
// the type invariants each of them belongs to one half at a time and changes hands by a release
// store and an acquire load, so no two threads access a cell at once. Items move from one thread
// to the other, which `T: Send` allows. References to items are handed out by the halves only,
// which are not `Sync` unless `T` is (see their `PhantomData`).
unsafe impl<T: Send> Sync for Inner<T> {}

impl<T> Inner<T> {
    /// Returns the item in the slot counted `count`.
    ///
    /// # Safety
    ///
    /// The slot must belong to the caller's half, which must not write it during `'_`.
    #[inline]
    pub(super) unsafe fn get(&self, count: u32) -> Option<&T> {
        let slot = self.slots.get(self.index(count))?;
        // SAFETY: The pointer comes from a cell that `self` keeps alive. By the safety requirement
        // and the type invariants nobody writes through it while the reference lives.
        slot.with(|cell| unsafe { &*cell }).as_ref()
    }

    /// Puts an item into the slot counted `count`; one that is in it already is leaked.
    ///
    /// # Safety
    ///
    /// The slot must belong to the caller's half, which must not access it in any other way
    /// meanwhile.
    #[inline]
    pub(super) unsafe fn fill(&self, count: u32, item: T) {
        if let Some(slot) = self.slots.get(self.index(count)) {
            // SAFETY: The pointer comes from a cell that `self` keeps alive. By the safety requirement
            // and the type invariants this is the only access.
            slot.with_mut(|cell| unsafe { cell.write(Some(item)) });
        }
    }

    /// Takes the item out of the slot counted `count` if `wanted` says so, which gets the index of the slot, too.
    ///
    /// # Safety
    ///
    /// As for [`Inner::fill`].
    #[inline]
    pub(super) unsafe fn take_if(
        &self,
        count: u32,
        wanted: impl FnOnce(u32, &T) -> bool,
    ) -> Option<T> {
        let index = self.index(count);
        // SAFETY: As in `fill`.
        self.slots.get(index)?.with_mut(|cell| unsafe {
            match &*cell {
                Some(item) if wanted(index, item) => (*cell).take(),
                _ => None,
            }
        })
    }

    /// Returns the index of the slot counted `count`, in `0..capacity`.
    #[inline]
    pub(super) fn index(&self, count: u32) -> u32 {
        count & self.capacity.wrapping_sub(1)
    }
}
