// SPDX-License-Identifier: GPL-2.0

//! Values of the C side that are owned by pointer, as `kernel::types::Owned` of later kernels has
//! them.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     owned::Owned,
//!     skb::SkBuff, //
//! };
//!
//! /// A frame is freed with the value that owns it.
//! fn discard(skb: Owned<SkBuff>) -> u32 {
//!     skb.length()
//! }
//! ```

use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};

/// A type whose values are owned by pointer.
///
/// # Safety
///
/// A value must stay live until it is released, wherever that happens.
pub unsafe trait Ownable {
    /// Ends the life of a value.
    ///
    /// # Safety
    ///
    /// `this` must be live; what the caller owns of it is given up.
    unsafe fn release(this: NonNull<Self>);
}

/// An owned value.
///
/// # Invariants
///
/// The pointer is to a live value that this one owns.
pub struct Owned<T: Ownable>(NonNull<T>);

// SAFETY: It owns the value, and gives it to no one else: sending it sends the value.
unsafe impl<T: Ownable + Send> Send for Owned<T> {}
// SAFETY: Shared references give shared references to the value only.
unsafe impl<T: Ownable + Sync> Sync for Owned<T> {}

impl<T: Ownable> Owned<T> {
    /// Takes a value over.
    ///
    /// # Safety
    ///
    /// `pointer` must be to a live value that the caller owns and gives up.
    #[inline]
    pub(super) unsafe fn from_raw(pointer: NonNull<T>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(pointer)
    }

    /// Gives the value up to the caller.
    #[inline]
    pub(super) fn into_raw(this: Self) -> NonNull<T> {
        ManuallyDrop::new(this).0
    }
}

impl<T: Ownable> Deref for Owned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Ownable> Drop for Owned<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and it is not used again.
        unsafe { T::release(self.0) };
    }
}
