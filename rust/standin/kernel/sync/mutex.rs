// SPDX-License-Identifier: GPL-2.0

//! C's `struct mutex` around a value.

use super::PinInit;
use crate::{
    c,
    types::Opaque, //
};
use core::{
    cell::UnsafeCell,
    ffi::CStr,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    }, //
};

/// `struct mutex`: its size, and no less than its alignment; `sizes.c` takes both from C.
type RawMutex = [u64; c::MUTEX_BYTES / 8];

/// `struct lock_class_key`; as above. Without lockdep it is empty.
type RawKey = [u64; c::LOCK_CLASS_KEY_BYTES / 8];

/// Stands for `kernel::sync::Mutex`: a value that one thread at a time has access to.
///
/// It is made by [`new_mutex!`](crate::new_mutex) and `KBox::pin_init`.
// Invariant: `raw` is a C mutex that `__mutex_init` has made and that has not been moved since. The
// fields are private, and all that makes a mutex is `MutexInit`.
pub struct Mutex<T> {
    raw: Opaque<RawMutex>,
    data: UnsafeCell<T>,
}

// SAFETY: Of a shared mutex one gets access to the data by `lock` only, which gives it to one
// thread at a time; so `T` need be `Send` only. C synchronises the use of its part.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// Stands for `kernel::sync::LockClassKey`: by which lockdep distinguishes kinds of locks.
#[repr(transparent)]
pub struct LockClassKey(Opaque<RawKey>);

// SAFETY: Only lockdep uses the content, and it synchronises that.
unsafe impl Sync for LockClassKey {}

impl LockClassKey {
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(Opaque::zeroed())
    }
}

/// The recipe that [`new_mutex!`](crate::new_mutex) returns: the value, the name and the key.
///
/// Name and key are `'static`, for C keeps pointers to them.
pub struct MutexInit<T> {
    #[doc(hidden)]
    pub value: T,
    #[doc(hidden)]
    pub name: &'static CStr,
    #[doc(hidden)]
    pub key: &'static LockClassKey,
}

// SAFETY: Both fields of the mutex are written, and nothing is read. C's part is complete when
// `__mutex_init` returns. It does not panic between.
unsafe impl<T> PinInit<Mutex<T>> for MutexInit<T> {
    unsafe fn init(self, place: *mut Mutex<T>) {
        // SAFETY: `place` is valid for writes of a mutex, as the caller says, so this is within it.
        let (raw, data) = unsafe { (&raw mut (*place).raw, &raw mut (*place).data) };
        // SAFETY: It is a field of `place`, thus aligned and valid for writes, and uninitialised.
        unsafe { data.write(UnsafeCell::new(self.value)) };
        // SAFETY: `raw` is of the size and alignment of a `struct mutex` and stays there until it
        // is dropped, as the caller says. The name is terminated; it and the key live forever, and
        // C may write to the key, which is in an `Opaque`.
        unsafe {
            c::standin_mutex_init(
                raw.cast(),
                self.name.as_ptr().cast(),
                self.key.0.get().cast(),
            );
        }
    }
}

/// Stands for `kernel::new_mutex`: a recipe for a mutex around a value.
///
/// Each place in the source has its own lock class, named by file and line. Other than the real
/// one, it takes no name.
#[macro_export]
macro_rules! new_mutex {
    ($value:expr $(,)?) => {{
        static KEY: $crate::sync::LockClassKey = $crate::sync::LockClassKey::new();
        const NAME: &::core::ffi::CStr = match ::core::ffi::CStr::from_bytes_with_nul(
            concat!(file!(), ":", line!(), "\0").as_bytes(),
        ) {
            Ok(name) => name,
            Err(_) => panic!("the name of the file contains a null character"),
        };
        $crate::sync::MutexInit {
            value: $value,
            name: NAME,
            key: &KEY,
        }
    }};
}

impl<T> Mutex<T> {
    /// Waits until no other thread has the mutex, and takes it. May sleep.
    ///
    /// A thread that has it already waits forever, as in C.
    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: It is an initialised mutex, by the invariant. Where one may not sleep, the kernel
        // says so.
        unsafe { c::standin_mutex_lock(self.raw.get().cast()) };
        Guard(self, PhantomData)
    }
}

/// Stands for `kernel::sync::lock::Guard`: access to the value, until it is dropped.
///
/// It is not `Send`, for in C the thread that locks has to unlock. Nor is it `Sync`, other than the
/// real one.
// Invariant: This thread has locked the mutex, and has no other guard of it.
#[must_use = "the mutex is unlocked when the guard is dropped"]
pub struct Guard<'a, T>(&'a Mutex<T>, PhantomData<*mut ()>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: Only the thread that has the lock has references to the data, and this is
        // the only guard, by the invariant; it is borrowed shared.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Only the thread that has the lock has references to the data, and this is
        // the only guard, by the invariant; it is borrowed exclusively.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: It is an initialised mutex, which this thread has locked, by the invariants. The
        // guard, and all references through it, end here.
        unsafe { c::standin_mutex_unlock(self.0.raw.get().cast()) };
    }
}
