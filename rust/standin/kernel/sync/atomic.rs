// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::sync::atomic`: integers that several threads use at the same time.
//!
//! The kernel's memory model asks more than Rust's. On `x86_64`, and for what is here, rustc's code
//! fulfils it: a load or a store is a single move, which is neither torn nor repeated, and which
//! the CPU orders as `Acquire` and `Release` ask; a read-modify-write is a locked instruction, a
//! full barrier. The compiler moves no access across `Full`, which is `SeqCst`, thus an acquire and
//! a release at once.

use core::sync::atomic as real;
#[cfg(not(loom))]
use real as implementation;

#[cfg(loom)]
use loom::sync::atomic as implementation;

pub use ordering::{
    Acquire,
    Full,
    Relaxed,
    Release, //
};
use ordering::{
    AcquireOrRelaxed,
    Ordering,
    ReleaseOrRelaxed, //
};

mod sealed {
    pub trait Sealed {}
}

/// Stands for `kernel::sync::atomic::ordering`: what an operation orders, as a type.
pub mod ordering {
    use super::{
        real,
        sealed::Sealed, //
    };

    /// Stands for the trait of that name: any ordering.
    pub trait Ordering: Sealed {
        #[doc(hidden)]
        const REAL: real::Ordering;
    }

    /// Stands for the trait of that name: what a load can have.
    pub trait AcquireOrRelaxed: Ordering {}

    /// Stands for the trait of that name: what a store can have.
    pub trait ReleaseOrRelaxed: Ordering {}

    macro_rules! orderings {
        ($($name:ident is $real:ident: $text:literal $(, $for:ident)?;)*) => { $(
            #[doc = concat!("The ordering of that name: ", $text, ".")]
            pub struct $name;

            impl Sealed for $name {}
            impl Ordering for $name {
                const REAL: real::Ordering = real::Ordering::$real;
            }
            $( impl $for for $name {} )?
        )* };
    }

    orderings! {
        Relaxed is Relaxed: "nothing is ordered";
        Acquire is Acquire: "what follows happens after the load", AcquireOrRelaxed;
        Release is Release: "what precedes happens before the store", ReleaseOrRelaxed;
        Full is SeqCst: "what precedes happens before, what follows after";
    }
    impl AcquireOrRelaxed for Relaxed {}
    impl ReleaseOrRelaxed for Relaxed {}
}

/// Stands for `kernel::sync::atomic::AtomicType`: the integers that can be atomic.
///
/// # Safety
///
/// `Real` has the size and the alignment of the integer, and every value of it, and the methods do
/// what its methods do.
pub unsafe trait AtomicType: sealed::Sealed + Copy {
    #[doc(hidden)]
    type Real: Send + Sync;
    #[cfg(loom)]
    #[doc(hidden)]
    fn make(self) -> Self::Real;
    #[doc(hidden)]
    fn load(real: &Self::Real, order: real::Ordering) -> Self;
    #[doc(hidden)]
    fn store(real: &Self::Real, value: Self, order: real::Ordering);
    #[doc(hidden)]
    fn swap(real: &Self::Real, value: Self, order: real::Ordering) -> Self;
    #[doc(hidden)]
    fn add(real: &Self::Real, value: Self, order: real::Ordering);
}

macro_rules! atomics {
    ($($type:ident is $real:ident;)*) => { $(
        const _: () = assert!(
            size_of::<$type>() == size_of::<real::$real>()
                && align_of::<$type>() == align_of::<real::$real>()
        );

        impl sealed::Sealed for $type {}

        // SAFETY: Size and alignment are compared above; both have every pattern of bits as a
        // value.
        unsafe impl AtomicType for $type {
            type Real = implementation::$real;

            #[cfg(loom)]
            fn make(self) -> Self::Real {
                Self::Real::new(self)
            }

            #[inline(always)]
            fn load(real: &Self::Real, order: real::Ordering) -> Self {
                real.load(order)
            }

            #[inline(always)]
            fn store(real: &Self::Real, value: Self, order: real::Ordering) {
                real.store(value, order);
            }

            #[inline(always)]
            fn swap(real: &Self::Real, value: Self, order: real::Ordering) -> Self {
                real.swap(value, order)
            }

            #[inline(always)]
            fn add(real: &Self::Real, value: Self, order: real::Ordering) {
                real.fetch_add(value, order);
            }
        }
    )* };
}

atomics! {
    u32 is AtomicU32;
    u64 is AtomicU64;
    usize is AtomicUsize;
}

/// Stands for `kernel::sync::atomic::Atomic`: an integer that several threads use at the same time.
///
/// It is there for `u32`, `u64` and `usize`, and has the operations that the module uses.
#[cfg(not(loom))]
#[repr(transparent)]
pub struct Atomic<T: AtomicType>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
// SAFETY: A shared reference gives access by atomic operations only.
unsafe impl<T: AtomicType> Sync for Atomic<T> {}

#[cfg(not(loom))]
impl<T: AtomicType> Atomic<T> {
    /// Makes one of that value.
    pub const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    fn real(&self) -> &T::Real {
        // SAFETY: It points to a `T` that lives as long as `self`, and which has the size,
        // alignment and values of a `T::Real`, as `AtomicType` says. It may be written behind a
        // shared reference, being in an `UnsafeCell`, and every access is through such a reference.
        unsafe { &*self.0.get().cast::<T::Real>() }
    }
}

/// The same for the model checker, whose atomics have no `const` constructor and another size.
#[cfg(loom)]
pub struct Atomic<T: AtomicType>(T::Real);

#[cfg(loom)]
impl<T: AtomicType> Atomic<T> {
    /// Makes one of that value.
    pub fn new(value: T) -> Self {
        Self(value.make())
    }

    fn real(&self) -> &T::Real {
        &self.0
    }
}

impl<T: AtomicType> Atomic<T> {
    /// Returns the value.
    #[inline(always)]
    pub fn load<O: AcquireOrRelaxed>(&self, _: O) -> T {
        T::load(self.real(), O::REAL)
    }

    /// Sets the value.
    #[inline(always)]
    pub fn store<O: ReleaseOrRelaxed>(&self, value: T, _: O) {
        T::store(self.real(), value, O::REAL);
    }

    /// Sets the value and returns the one before.
    #[inline(always)]
    pub fn xchg<O: Ordering>(&self, value: T, _: O) -> T {
        T::swap(self.real(), value, O::REAL)
    }

    /// Adds to the value, which wraps.
    #[inline(always)]
    pub fn add<O: Ordering>(&self, value: T, _: O) {
        T::add(self.real(), value, O::REAL);
    }
}
