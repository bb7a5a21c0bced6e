// SPDX-License-Identifier: GPL-2.0

//! Registers in a memory BAR of a PCI device.
//!
//! The names and the grammar of [`register!`] are those of `kernel::io` in Linux 7.3, which earlier
//! kernels have in part (`register!` since 7.1) or in another shape (`Bar`).
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     mmio::{
//!         register,
//!         Bar,
//!         Location,
//!         Register,
//!         Word, //
//!     },
//!     pci, //
//! };
//! use kernel::prelude::*;
//!
//! register! {
//!     /// Begins a reset, and shows whether it is done.
//!     COMMAND(u8) @ 0x37 {
//!         4:4 reset => bool;
//!         3:2 mode;
//!     }
//! }
//!
//! fn map(pdev: &pci::Device) -> Result<Bar<'_, 0x100>> {
//!     Bar::new(pdev, 2, c"example")
//! }
//!
//! /// Returns whether the reset is done at once.
//! fn reset(bar: &Bar<'_, 0x100>) -> bool {
//!     bar.write_reg(COMMAND::zeroed().with_const_mode::<1>().with_reset(true));
//!     !bar.read(COMMAND).reset()
//! }
//!
//! fn raw<T: Word, R: Register<Raw = T>>(bar: &Bar<'_, 0x100>, register: Location<R>) -> T {
//!     bar.read(register).into_raw()
//! }
//! ```
//!
//! C header: [`include/linux/io.h`](srctree/include/linux/io.h)

use super::{
    chars,
    pci::Device, //
};
use crate::bindings;
use core::{
    ffi::CStr,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
}

/// The type of a register's value: as wide as the access.
pub trait Word: Copy + sealed::Sealed {
    /// Reads device memory in little endian, before all later accesses to memory.
    ///
    /// # Safety
    ///
    /// `at` must be in mapped device memory, aligned to the size of the type.
    unsafe fn read(at: *const c_void) -> Self;

    /// Writes device memory in little endian, after all earlier accesses to memory.
    ///
    /// # Safety
    ///
    /// `at` must be in mapped device memory, aligned to the size of the type.
    unsafe fn write(self, at: *mut c_void);
}

macro_rules! word {
    ($type:ty, $read:ident, $write:ident) => {
        impl Word for $type {
            #[inline]
            unsafe fn read(at: *const c_void) -> Self {
                // SAFETY: By the safety requirements.
                unsafe { bindings::$read(at) }
            }

            #[inline]
            unsafe fn write(self, at: *mut c_void) {
                // SAFETY: By the safety requirements.
                unsafe { bindings::$write(self, at) }
            }
        }
    };
}
word!(u8, readb, writeb);
word!(u16, readw, writew);
word!(u32, readl, writel);

/// The value of a register; [`register!`] makes such types.
pub trait Register: Copy {
    /// The type of the value.
    type Raw: Word;
    /// The offset of the register in the BAR, in bytes.
    const OFFSET: usize;

    /// Returns the register with this value.
    fn from_raw(raw: Self::Raw) -> Self;

    /// Returns the value.
    fn into_raw(self) -> Self::Raw;
}

/// A register to read; [`register!`] makes one under the name of the register.
#[derive(Clone, Copy)]
pub struct Location<R>(PhantomData<R>);

impl<R> Location<R> {
    #[doc(hidden)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The first `SIZE` bytes of a memory BAR.
///
/// # Invariants
///
/// `base` is the mapping of the memory BAR `index` of `pdev`, which is requested and has `SIZE`
/// bytes or more; the device is enabled, or does not decode its memory and reads all ones.
pub struct Bar<'a, const SIZE: usize> {
    pdev: &'a Device,
    base: NonNull<c_void>,
    index: c_int,
}

// SAFETY: A mapping of a BAR is valid on all CPUs, in any context.
unsafe impl<const SIZE: usize> Send for Bar<'_, SIZE> {}
// SAFETY: All methods take `&self` and make single accesses, of which a device takes any number at
// the same time.
unsafe impl<const SIZE: usize> Sync for Bar<'_, SIZE> {}

impl<'a, const SIZE: usize> Bar<'a, SIZE> {
    /// Requests and maps the memory BAR of this number, under `name` in /proc/iomem.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no memory BAR or has fewer bytes; `EBUSY` if another driver has requested
    /// it; `ENOMEM`.
    pub fn new(pdev: &'a Device, index: u32, name: &'static CStr) -> Result<Self> {
        const { assert!(SIZE > 0, "a BAR that does not exist has 0 bytes") };
        let raw = pdev.as_raw();
        let index = c_int::try_from(index)?;
        // SAFETY: The device is live; the helper answers 0, which is less than `SIZE`, for a number
        // that no BAR has.
        if unsafe { bindings::pci_memory_bar_len(raw, index) } < SIZE as u64 {
            return Err(EINVAL);
        }
        // SAFETY: The device is live, the BAR exists, and the name lives forever.
        if unsafe { bindings::pci_request_region(raw, index, chars(name)) } != 0 {
            return Err(EBUSY);
        }
        // SAFETY: The BAR exists and was just requested.
        let Some(base) = NonNull::new(unsafe { bindings::pci_iomap(raw, index, 0) }) else {
            // SAFETY: It was just requested, and is not mapped.
            unsafe { bindings::pci_release_region(raw, index) };
            return Err(ENOMEM);
        };
        // INVARIANT: It was just requested and mapped whole, and has `SIZE` bytes.
        Ok(Self { pdev, base, index })
    }

    /// Returns where a register is; that it is within the BAR and aligned is checked when this is
    /// compiled.
    #[inline]
    fn at<R: Register>(&self) -> *mut c_void {
        const {
            assert!(R::OFFSET + size_of::<R::Raw>() <= SIZE);
            assert!(R::OFFSET % size_of::<R::Raw>() == 0);
        };
        self.base.as_ptr().wrapping_byte_add(R::OFFSET)
    }

    /// Reads a register.
    #[inline]
    pub fn read<R: Register>(&self, _: Location<R>) -> R {
        // SAFETY: By the type invariants and the checks in `at`.
        R::from_raw(unsafe { R::Raw::read(self.at::<R>()) })
    }

    /// Writes a register.
    #[inline]
    pub fn write_reg<R: Register>(&self, value: R) {
        // SAFETY: By the type invariants and the checks in `at`.
        unsafe { value.into_raw().write(self.at::<R>()) };
    }

    /// Reads a register and writes what `change` makes of it.
    pub fn update<R: Register>(&self, location: Location<R>, change: impl FnOnce(R) -> R) {
        self.write_reg(change(self.read(location)));
    }

    /// Reads 32 bits.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are not within the BAR, or not aligned.
    pub fn try_read32(&self, offset: usize) -> Result<u32> {
        let end = offset.checked_add(size_of::<u32>()).ok_or(EINVAL)?;
        if offset % size_of::<u32>() != 0 || end > SIZE {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariants and the check.
        Ok(unsafe { u32::read(self.base.as_ptr().wrapping_byte_add(offset)) })
    }
}

impl<const SIZE: usize> Drop for Bar<'_, SIZE> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the BAR is mapped and requested; with `self` its last user
        // goes.
        unsafe {
            bindings::pci_iounmap(self.pdev.as_raw(), self.base.as_ptr());
            bindings::pci_release_region(self.pdev.as_raw(), self.index);
        }
    }
}

/// Makes types for registers, and for each a [`Location`] of the same name:
///
/// ```text
/// NAME(u8, u16 or u32) @ offset {
///     high:low field;              // with_const_field::<VALUE>()
///     bit:bit flag => bool;        // flag(), with_flag(on)
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! mmio_register {
    ($(
        $(#[$doc:meta])* $vis:vis $name:ident($raw:ty) @ $offset:literal { $($fields:tt)* }
    )*) => { $(
        $(#[$doc])*
        #[allow(clippy::upper_case_acronyms, non_camel_case_types)]
        #[derive(Clone, Copy)]
        $vis struct $name {
            raw: $raw,
        }

        $(#[$doc])*
        #[allow(dead_code)]
        $vis const $name: $crate::net::mmio::Location<$name> = $crate::net::mmio::Location::new();

        impl $crate::net::mmio::Register for $name {
            type Raw = $raw;
            const OFFSET: usize = $offset;

            #[inline]
            fn from_raw(raw: $raw) -> Self {
                Self { raw }
            }

            #[inline]
            fn into_raw(self) -> $raw {
                self.raw
            }
        }

        impl From<$raw> for $name {
            #[inline]
            fn from(raw: $raw) -> Self {
                Self { raw }
            }
        }

        #[allow(dead_code)]
        impl $name {
            #[inline]
            $vis const fn zeroed() -> Self {
                Self { raw: 0 }
            }

            #[inline]
            $vis const fn into_raw(self) -> $raw {
                self.raw
            }

            $crate::mmio_register!(@fields $vis $raw; $($fields)*);
        }
    )* };
    (@fields $vis:vis $raw:ty;) => {};
    (@fields $vis:vis $raw:ty; $(#[$doc:meta])* $high:literal : $low:literal $field:ident => bool; $($rest:tt)*) => {
        ::kernel::macros::paste! {
            $(#[$doc])*
            #[inline]
            $vis const fn $field(self) -> bool {
                self.raw & (1 << $low) != 0
            }

            $(#[$doc])*
            #[allow(clippy::eq_op)]
            #[inline]
            $vis const fn [<with_ $field>](self, on: bool) -> Self {
                const { assert!($high == $low) };
                Self {
                    raw: self.raw & !(1 << $low) | (on as $raw) << $low,
                }
            }
        }
        $crate::mmio_register!(@fields $vis $raw; $($rest)*);
    };
    (@fields $vis:vis $raw:ty; $(#[$doc:meta])* $high:literal : $low:literal $field:ident; $($rest:tt)*) => {
        ::kernel::macros::paste! {
            $(#[$doc])*
            #[allow(clippy::identity_op)]
            #[inline]
            $vis const fn [<with_const_ $field>]<const VALUE: $raw>(self) -> Self {
                const MASK: $raw = <$raw>::MAX >> (<$raw>::BITS - 1 - ($high - $low));
                const { assert!(VALUE <= MASK) };
                Self {
                    raw: self.raw & !(MASK << $low) | VALUE << $low,
                }
            }
        }
        $crate::mmio_register!(@fields $vis $raw; $($rest)*);
    };
}
pub use crate::mmio_register as register;
