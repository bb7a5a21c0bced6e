// SPDX-License-Identifier: GPL-2.0

//! A value with a count of its owners.

use crate::{
    alloc::{
        AllocError,
        Flags,
        KBox, //
    },
    c, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};

#[cfg(not(loom))]
use core::sync::atomic::{
    fence,
    AtomicUsize,
    Ordering, //
};
#[cfg(loom)]
use loom::sync::atomic::{
    fence,
    AtomicUsize,
    Ordering, //
};

/// The value and its count, in one piece of memory.
struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

/// Counts above this are taken for wrong. A right one cannot get there: so many owners do not fit
/// in memory, unless they are forgotten.
const LIMIT: usize = isize::MAX as usize;

/// The number that a wrong count is set to, as `refcount_t` does: so far from 0 and from [`LIMIT`]
/// that what other CPUs add or subtract at the same moment does not matter. The value is never
/// dropped then.
const SATURATED: usize = LIMIT + LIMIT / 2;

/// Stands for `kernel::sync::Arc`: one of several owners of a value.
///
/// `T` is sized, and there is neither `UniqueArc` nor `ArcBorrow`. The count is as wide as a
/// pointer; that of the real one is a `refcount_t`.
// Invariant: The pointer is of `KBox::into_raw`, and its count includes this owner, or is
// saturated.
pub struct Arc<T>(NonNull<Inner<T>>, PhantomData<Inner<T>>);

// SAFETY: Several threads that have an owner each share `&T`, so `T` must be `Sync`. The last one
// drops the value, whichever thread that is, so `T` must be `Send`. The count is atomic.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: A shared owner can be cloned, which gives the other thread an owner: as above.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}

impl<T> Arc<T> {
    /// Moves `value` to new memory, with one owner.
    ///
    /// # Errors
    ///
    /// If there is no memory; the value is dropped then.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        let count = AtomicUsize::new(1);
        let inner = KBox::into_raw(KBox::new(Inner { count, value }, flags)?);
        // SAFETY: A box has no null pointer.
        Ok(Self(unsafe { NonNull::new_unchecked(inner) }, PhantomData))
    }

    /// Returns whether both own the same value.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.0 == other.0
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: The count includes this owner, by the invariant, so the value and its count live
        // at least as long as it. There are shared references only.
        unsafe { self.0.as_ref() }
    }

    /// Keeps the value forever.
    #[cold]
    fn saturate(&self) {
        self.inner().count.store(SATURATED, Ordering::Relaxed);
        // SAFETY: It has no requirements.
        unsafe { c::standin_warn_count() };
    }

    #[cfg(host_test)]
    #[doc(hidden)]
    pub fn count(&self) -> &AtomicUsize {
        &self.inner().count
    }
}

impl<T> Clone for Arc<T> {
    /// Adds an owner. A count that would get too large is set such that the value is never dropped.
    fn clone(&self) -> Self {
        // It orders nothing: a new owner is passed on by this one, by means that order memory
        // themselves.
        if self.inner().count.fetch_add(1, Ordering::Relaxed) > LIMIT {
            self.saturate();
        }
        Self(self.0, PhantomData)
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        // What this owner did with the value happens before it is gone ...
        let before = self.inner().count.fetch_sub(1, Ordering::Release);
        if before == 1 {
            // ... and so, for the last one, what all others did happens before this.
            fence(Ordering::Acquire);
            // SAFETY: The pointer is of `into_raw`, by the invariant. The count is 0, so that there
            // is no other owner, and there cannot be one again: this is its last use.
            drop(unsafe { KBox::from_raw(self.0.as_ptr()) });
        } else if before > LIMIT {
            self.saturate();
        }
    }
}
