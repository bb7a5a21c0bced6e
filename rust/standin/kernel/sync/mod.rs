// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::sync`.

pub mod atomic;

mod arc;
mod mutex;

pub use arc::Arc;
pub use mutex::{
    Guard,
    LockClassKey,
    Mutex,
    MutexInit, //
};

/// A recipe for a value that is made where it stays.
///
/// Stands for `pin_init::PinInit`, which the real crate uses, without errors and without the macros
/// that put such recipes together.
///
/// # Safety
///
/// When [`Self::init`] returns, there is a valid `T` at `place`, and it has read nothing there that
/// it had not written itself. If it panics, then what it wrote need not be dropped.
pub unsafe trait PinInit<T> {
    /// Makes the value at `place`.
    ///
    /// # Safety
    ///
    /// `place` is aligned, valid for writes of a `T`, and used by the callee alone until it
    /// returns. Then the value stays there until it is dropped, and its memory is used for nothing
    /// else before.
    unsafe fn init(self, place: *mut T);
}
