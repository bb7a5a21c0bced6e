// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::prelude`: what nearly every file of a module uses.
//!
//! It has fewer names than the real one.

#[cfg(CONFIG_KUNIT)]
pub use crate::macros::kunit_tests;
pub use crate::{
    alloc::{
        flags::GFP_KERNEL,
        KBox,
        KVVec,
        KVec, //
    },
    error::{
        code::*,
        Error,
        Result, //
    },
    ffi::{
        c_char,
        c_int,
        c_long,
        c_longlong,
        c_schar,
        c_short,
        c_uchar,
        c_uint,
        c_ulong,
        c_ulonglong,
        c_ushort,
        c_void, //
    },
    module,
    module::ThisModule, //
};
pub use core::pin::Pin;
