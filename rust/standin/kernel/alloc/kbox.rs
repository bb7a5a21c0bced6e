// SPDX-License-Identifier: GPL-2.0

//! A box of `kmalloc`.

use super::{
    give_back,
    place,
    AllocError,
    Flags,
    Kmalloc, //
};
use crate::{
    error::Result,
    sync::PinInit, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    },
    pin::Pin,
    ptr::NonNull, //
};

/// Stands for `kernel::alloc::KBox`: the owner of a value in memory of `kmalloc`.
///
/// `T` is sized, and there is one allocator; the real one is generic over both.
// Invariant: The pointer is of `place::<T, Kmalloc>(1)` and points to a value, which the box owns.
pub struct KBox<T>(NonNull<T>, PhantomData<T>);

// SAFETY: The box owns the value and gives access to nothing else, so that sending it sends the
// value. `kfree` may be called by another thread than `kmalloc`.
unsafe impl<T: Send> Send for KBox<T> {}
// SAFETY: Of a shared box one gets only shared references to the value.
unsafe impl<T: Sync> Sync for KBox<T> {}

impl<T> KBox<T> {
    /// Moves `value` into a new box.
    ///
    /// # Errors
    ///
    /// If there is no memory; the value is dropped then.
    pub fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        let place = place::<T, Kmalloc>(1)?;
        // SAFETY: The place is for one `T`: valid for writes, aligned, and ours alone.
        unsafe { place.write(value) };
        Ok(Self(place, PhantomData))
    }

    /// Moves `value` into a new box, where it stays until it is dropped.
    ///
    /// # Errors
    ///
    /// If there is no memory; the value is dropped then.
    pub fn pin(value: T, flags: Flags) -> Result<Pin<Self>, AllocError> {
        Ok(Self::new(value, flags)?.into())
    }

    /// Makes a value in a new box, where it stays until it is dropped.
    ///
    /// In the real crate this is a method of the trait `InPlaceInit`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. Making the value itself cannot fail, other than in the real crate.
    pub fn pin_init(init: impl PinInit<T>, _flags: Flags) -> Result<Pin<Self>> {
        let place = place::<T, Kmalloc>(1)?;
        // SAFETY: The place is for one `T`: valid for writes, aligned, and ours alone. The value is
        // given out in a pinned box only, which drops it before it gives back the memory.
        unsafe { init.init(place.as_ptr()) };
        Ok(Self(place, PhantomData).into())
    }

    /// Gives up the box; the value stays where it is, until [`Self::from_raw`] takes it back.
    pub fn into_raw(this: Self) -> *mut T {
        ManuallyDrop::new(this).0.as_ptr()
    }

    /// Takes back what [`Self::into_raw`] gave up.
    ///
    /// # Safety
    ///
    /// `raw` was returned by `into_raw` of a box of the same type and has not been taken back, it
    /// points to a value, and is not used afterwards but through the box.
    pub unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: `into_raw` returns no null pointers. The invariant of the box holds by the
        // safety requirements.
        Self(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }
}

impl<T> From<KBox<T>> for Pin<KBox<T>> {
    fn from(this: KBox<T>) -> Self {
        // SAFETY: The value has an address of its own, which does not change when the box is moved.
        // The box drops it there before it gives back the memory, and none of `Deref`, `DerefMut`
        // and `Drop` moves it. `into_raw` takes boxes that are not pinned.
        unsafe { Pin::new_unchecked(this) }
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The pointer points to a value, by the invariant. It lives as long as the box, and
        // is borrowed shared as the box is.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The pointer points to a value, by the invariant. It lives as long as the box, and
        // is borrowed exclusively as the box is.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for KBox<T> {
    fn drop(&mut self) {
        // SAFETY: The pointer points to a value that the box owns, by the invariant, and this is
        // its last use. Should the value's own drop panic, then the memory leaks.
        unsafe { self.0.drop_in_place() };
        // SAFETY: It is of `place` with the same parameters, by the invariant, and not used again.
        unsafe { give_back::<T, Kmalloc>(self.0, 1) };
    }
}
