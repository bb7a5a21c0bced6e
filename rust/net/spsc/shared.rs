// SPDX-License-Identifier: GPL-2.0

//! The part of a ring that both halves hold.

use super::sync::{
    Counter,
    SlotCell,
    Table, //
};

/// The state that the two halves share.
///
/// # Invariants
///
/// - `slots` has `mask + 1` elements, the capacity, which is a power of two and at most
///   [`super::MAX_CAPACITY`].
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
    pub(super) mask: u32,
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
    /// The slot must be full and belong to the caller's half, which must not write it during `'_`.
    #[inline]
    pub(super) unsafe fn get(&self, count: u32) -> &T {
        // SAFETY: The pointer comes from a cell that `self` keeps alive. By the safety requirement
        // and the type invariants nothing writes through it while the reference lives.
        let item = self.slot(count).with(|cell| unsafe { &*cell }).as_ref();
        debug_assert!(item.is_some());
        // SAFETY: By the safety requirement.
        unsafe { item.unwrap_unchecked() }
    }

    /// Puts an item into the slot counted `count`; one that is in it already is leaked.
    ///
    /// # Safety
    ///
    /// The slot must belong to the caller's half, which must not access it in any other way
    /// meanwhile.
    #[inline]
    pub(super) unsafe fn fill(&self, count: u32, item: T) {
        let slot = self.slot(count);
        // SAFETY: The pointer comes from a cell that `self` keeps alive. By the safety requirement
        // and the type invariants this is the only access.
        slot.with_mut(|cell| unsafe { cell.write(Some(item)) });
    }

    /// Takes the item out of the slot counted `count`.
    ///
    /// # Safety
    ///
    /// As for [`Inner::fill`], and the slot must be full.
    #[inline]
    pub(super) unsafe fn take(&self, count: u32) -> T {
        // SAFETY: The pointer comes from a cell that `self` keeps alive. By the safety requirements
        // and the type invariants this is the only access, and there is an item. The one that is
        // read is not dropped in the slot, which is overwritten. (`Option::take` would copy the
        // whole slot first.)
        self.slot(count).with_mut(|cell| unsafe {
            let item = core::ptr::read((*cell).as_ref().unwrap_unchecked());
            cell.write(None);
            item
        })
    }

    /// Returns the slot counted `count`.
    #[inline]
    fn slot(&self, count: u32) -> &SlotCell<Option<T>> {
        // SAFETY: By the type invariants there are `mask + 1` slots, and the index is not above
        // `mask`.
        unsafe { self.slots.get_unchecked(self.index(count)) }
    }

    /// Returns the number of slots.
    #[inline]
    pub(super) fn capacity(&self) -> u32 {
        // By the type invariants that does not wrap.
        self.mask.wrapping_add(1)
    }

    /// Returns the index of the slot counted `count`, in `0..capacity`.
    #[inline]
    pub(super) fn index(&self, count: u32) -> u32 {
        count & self.mask
    }
}
