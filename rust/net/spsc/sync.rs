// SPDX-License-Identifier: GPL-2.0

//! The few primitives that the rings need, by environment.
//!
//! In the kernel they are those of the `kernel` crate, so that the kernel's memory model applies.
//! On the host (`host_test`) they are those of `std`, and under `loom` those of the model checker.

#[cfg(not(any(host_test, loom)))]
mod environment {
    use kernel::{
        alloc::{
            flags::GFP_KERNEL,
            KVVec, //
        },
        sync::{
            atomic::{
                Acquire,
                Atomic,
                Release, //
            }, //
        },
    };

    pub(crate) use kernel::error::code::{
        EINVAL,
        ENOMEM, //
    };
    pub use kernel::error::Error;
    pub(crate) use kernel::sync::Arc;

    pub(super) type Word = Atomic<u32>;

    // Not `KVec`: 4096 slots may need more than the page allocator has in one piece.
    pub(super) type Vector<T> = KVVec<T>;

    pub(super) fn load_acquire(word: &Word) -> u32 {
        word.load(Acquire)
    }

    pub(super) fn store_release(word: &Word, value: u32) {
        word.store(value, Release);
    }

    pub(crate) fn full_barrier() {
        crate::net::barrier::smp_mb();
    }

    pub(crate) fn shared<T>(value: T) -> Result<Arc<T>, Error> {
        Ok(Arc::new(value, GFP_KERNEL)?)
    }

    pub(super) fn with_capacity<T>(capacity: usize) -> Result<Vector<T>, Error> {
        Ok(Vector::with_capacity(capacity, GFP_KERNEL)?)
    }

    pub(super) fn append<T>(vector: &mut Vector<T>, value: T) -> Result<(), Error> {
        vector.push_within_capacity(value).map_err(|_| ENOMEM)
    }
}

#[cfg(any(host_test, loom))]
mod environment {
    #[cfg(not(loom))]
    use std::sync::atomic;

    #[cfg(loom)]
    use loom::sync::atomic;

    #[cfg(loom)]
    pub(crate) use loom::sync::Arc;
    #[cfg(not(loom))]
    pub(crate) use std::sync::Arc;

    /// An error when a ring is made; in the kernel this is `kernel::error::Error`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Error {
        /// An argument is out of its range (`EINVAL`).
        Invalid,
        /// There is no memory (`ENOMEM`).
        NoMemory,
    }

    pub(crate) use Error::{
        Invalid as EINVAL,
        NoMemory as ENOMEM, //
    };

    pub(super) type Word = atomic::AtomicU32;
    pub(super) type Vector<T> = Vec<T>;

    pub(super) fn load_acquire(word: &Word) -> u32 {
        word.load(atomic::Ordering::Acquire)
    }

    pub(super) fn store_release(word: &Word, value: u32) {
        word.store(value, atomic::Ordering::Release);
    }

    pub(crate) fn full_barrier() {
        atomic::fence(atomic::Ordering::SeqCst);
    }

    pub(crate) fn shared<T>(value: T) -> Result<Arc<T>, Error> {
        Ok(Arc::new(value))
    }

    pub(super) fn with_capacity<T>(capacity: usize) -> Result<Vector<T>, Error> {
        let mut vector = Vec::new();
        vector.try_reserve_exact(capacity).map_err(|_| ENOMEM)?;
        Ok(vector)
    }

    pub(super) fn append<T>(vector: &mut Vector<T>, value: T) -> Result<(), Error> {
        vector.push(value);
        Ok(())
    }
}

#[cfg(not(loom))]
mod cell {
    use core::cell::UnsafeCell;

    /// A cell that gives out raw pointers; loom's counterpart checks their use.
    pub(crate) struct SlotCell<T>(UnsafeCell<T>);

    impl<T> SlotCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(UnsafeCell::new(value))
        }

        /// Lets `f` read through the pointer.
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get().cast_const())
        }

        /// Lets `f` write through the pointer.
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
pub(crate) type SlotCell<T> = loom::cell::UnsafeCell<T>;

#[cfg(not(loom))]
pub(crate) use cell::SlotCell;

pub use environment::Error;
pub(crate) use environment::{
    full_barrier,
    shared,
    Arc,
    EINVAL, //
};

/// A counter that two CPUs share, on a cache line of its own.
#[repr(align(64))]
pub(crate) struct Counter(environment::Word);

impl Counter {
    pub(crate) fn new(value: u32) -> Self {
        Self(environment::Word::new(value))
    }

    /// Reads the counter, before anything that follows.
    pub(crate) fn acquire(&self) -> u32 {
        environment::load_acquire(&self.0)
    }

    /// Writes the counter, after everything that precedes.
    pub(crate) fn release(&self, value: u32) {
        environment::store_release(&self.0, value);
    }
}

/// A table whose size is fixed when it is made.
pub(crate) struct Table<T>(environment::Vector<T>);

impl<T> Table<T> {
    /// Makes a table of the `count` values that `make` returns for `0..count`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or the first error of `make`; what was made before it is dropped.
    pub(crate) fn from_fn<E: From<Error>>(
        count: u32,
        mut make: impl FnMut(u32) -> Result<T, E>,
    ) -> Result<Self, E> {
        let mut values = environment::with_capacity(count as usize)?;
        for index in 0..count {
            environment::append(&mut values, make(index)?)?;
        }
        Ok(Self(values))
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.0.get(index as usize)
    }

    /// The same without a look at the size of the table.
    ///
    /// # Safety
    ///
    /// `index` must be below the number of values that the table was made of.
    pub(super) unsafe fn get_unchecked(&self, index: u32) -> &T {
        debug_assert!(self.get(index).is_some());
        // SAFETY: By the safety requirement.
        unsafe { self.0.get_unchecked(index as usize) }
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.0.get_mut(index as usize)
    }
}
