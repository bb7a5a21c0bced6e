// SPDX-License-Identifier: GPL-2.0

//! Atomic flags and pointers, made of the atomic integers that `kernel::sync::atomic` has on every
//! supported kernel: it has `Atomic<bool>` since Linux 7.0, `AtomicFlag` and `Atomic<*mut T>` since
//! 7.1.
//!
//! # Examples
//!
//! ```
//! use crate::net::atomic::Flag;
//! use kernel::sync::atomic::{
//!     Full,
//!     Relaxed, //
//! };
//!
//! /// Work that is asked for in one context and done in another.
//! struct Request(Flag);
//!
//! impl Request {
//!     fn ask(&self) {
//!         self.0.store(true, Relaxed);
//!     }
//!
//!     /// Returns whether it was asked for since the last time.
//!     fn take(&self) -> bool {
//!         self.0.xchg(false, Full)
//!     }
//! }
//! ```

use core::{
    marker::PhantomData,
    sync::atomic::AtomicPtr, //
};
use kernel::sync::atomic::{
    ordering::{
        AcquireOrRelaxed,
        Ordering,
        ReleaseOrRelaxed, //
    },
    Atomic, //
};

/// An atomic `bool`.
///
/// It takes 4 bytes, which every architecture exchanges by one instruction.
pub struct Flag(Atomic<u32>);

impl Flag {
    /// Makes a flag with this value.
    pub const fn new(value: bool) -> Self {
        Self(Atomic::new(value as u32))
    }

    /// Returns the value.
    #[inline]
    pub fn load<O: AcquireOrRelaxed>(&self, order: O) -> bool {
        self.0.load(order) != 0
    }

    /// Sets the value.
    #[inline]
    pub fn store<O: ReleaseOrRelaxed>(&self, value: bool, order: O) {
        self.0.store(u32::from(value), order);
    }

    /// Sets the value and returns the one before.
    #[inline]
    pub fn xchg<O: Ordering>(&self, value: bool, order: O) -> bool {
        self.0.xchg(u32::from(value), order) != 0
    }
}

/// An atomic pointer.
pub(super) struct Pointer<T>(Atomic<usize>, PhantomData<AtomicPtr<T>>);

impl<T> Pointer<T> {
    /// Makes a null pointer.
    pub(super) const fn null() -> Self {
        Self(Atomic::new(0), PhantomData)
    }

    /// Returns the pointer.
    #[inline]
    pub(super) fn load<O: AcquireOrRelaxed>(&self, order: O) -> *mut T {
        core::ptr::with_exposed_provenance_mut(self.0.load(order))
    }

    /// Sets the pointer.
    #[inline]
    pub(super) fn store<O: ReleaseOrRelaxed>(&self, value: *mut T, order: O) {
        self.0.store(value.expose_provenance(), order);
    }
}
