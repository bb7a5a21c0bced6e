// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::types`.

use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    mem::MaybeUninit, //
};

/// Stands for `kernel::types::Opaque`: memory for a C object, which C may write to at any time.
///
/// Nothing is assumed of its content: it may be uninitialised, or change behind a shared reference.
/// It is neither `Sync` nor `Unpin`; a type around it that may be shared has to say so itself.
#[repr(transparent)]
pub struct Opaque<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    // Without it, `&mut Opaque<T>` would mean that there is no other pointer to the content.
    _pinned: PhantomPinned,
}

impl<T> Opaque<T> {
    /// Makes one that contains `value`, which is never dropped.
    pub const fn new(value: T) -> Self {
        Self::from_content(MaybeUninit::new(value))
    }

    /// Makes one whose content is uninitialised.
    pub const fn uninit() -> Self {
        Self::from_content(MaybeUninit::uninit())
    }

    /// Makes one whose content is zeroes, also where these are no value of `T`.
    pub const fn zeroed() -> Self {
        Self::from_content(MaybeUninit::zeroed())
    }

    /// Returns the address of the content, to be given to C.
    pub const fn get(&self) -> *mut T {
        UnsafeCell::get(&self.value).cast::<T>()
    }

    const fn from_content(content: MaybeUninit<T>) -> Self {
        Self {
            value: UnsafeCell::new(content),
            _pinned: PhantomPinned,
        }
    }
}
