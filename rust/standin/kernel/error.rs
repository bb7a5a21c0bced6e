// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::error`: the error numbers of the C side.

use crate::{
    alloc::AllocError,
    ffi::c_int, //
};
use core::num::{
    NonZeroI32,
    TryFromIntError, //
};

/// The largest error number; `include/linux/err.h` has it.
const MAX_ERRNO: c_int = 4095;

/// Stands for `kernel::error::Error`: an error number, from -4095 to -1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// Stands for `kernel::error::Result`.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Stands for `kernel::error::code`: the error numbers by name.
///
/// It has those that the module uses; others come from `Error::from_errno`.
pub mod code {
    use super::{
        Error,
        NonZeroI32, //
    };

    macro_rules! codes {
        ($($name:ident = $number:literal, $text:literal;)*) => { $(
            #[doc = concat!($text, ".")]
            pub const $name: Error = Error(NonZeroI32::new(-$number).unwrap());
        )* };
    }

    codes! {
        EIO = 5, "I/O error";
        EAGAIN = 11, "Try again";
        ENOMEM = 12, "Out of memory";
        EBUSY = 16, "Device or resource busy";
        ENODEV = 19, "No such device";
        EINVAL = 22, "Invalid argument";
        ERANGE = 34, "Result out of range";
        ETIMEDOUT = 110, "Timed out";
    }
}

impl Error {
    /// Makes an error of a negative number, as C functions return it.
    ///
    /// What is no error number becomes `EINVAL`. The real crate prints a warning as well.
    pub const fn from_errno(errno: c_int) -> Self {
        match NonZeroI32::new(errno) {
            Some(number) if errno >= -MAX_ERRNO && errno < 0 => Self(number),
            _ => code::EINVAL,
        }
    }

    /// Returns the number, which is negative.
    pub const fn to_errno(self) -> c_int {
        self.0.get()
    }
}

/// Prints the number only; the real crate prints the name where it knows it.
impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Error").field(&self.0.get()).finish()
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<TryFromIntError> for Error {
    fn from(_: TryFromIntError) -> Self {
        code::EINVAL
    }
}

/// Stands for `kernel::error::to_result`: what C returned as an `int`.
///
/// # Errors
///
/// The error of that number if it is negative.
pub fn to_result(errno: c_int) -> Result {
    if errno < 0 {
        Err(Error::from_errno(errno))
    } else {
        Ok(())
    }
}

/// Stands for `kernel::error::from_result`: the answer of a callback of C, from that of a closure.
///
/// The real crate also takes a result whose type is no `c_int`.
pub fn from_result<F>(f: F) -> c_int
where
    F: FnOnce() -> Result<c_int>,
{
    match f() {
        Ok(value) => value,
        Err(error) => error.to_errno(),
    }
}

/// Stands for `kernel::error::from_err_ptr`: what C returned as a pointer.
///
/// # Errors
///
/// The error that an `ERR_PTR` contains. A null pointer is none, and returned like any other.
pub fn from_err_ptr<T>(pointer: *mut T) -> Result<*mut T> {
    // An `ERR_PTR` is an address in the last 4095 bytes.
    let address = pointer.addr() as isize;
    if (-(MAX_ERRNO as isize)..0).contains(&address) {
        // The range is checked, so that the conversion keeps the value.
        Err(Error::from_errno(address as c_int))
    } else {
        Ok(pointer)
    }
}
