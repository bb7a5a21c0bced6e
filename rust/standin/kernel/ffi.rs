// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::ffi`: C's types as the kernel has them.
//!
//! Other than in `core::ffi`, `char` has no sign (`-funsigned-char`), and `long` is `isize`.

pub use core::ffi::c_void;

macro_rules! types {
    ($($name:ident = $type:ident;)*) => { $(
        #[doc = concat!("C's type of that name, which is `", stringify!($type), "`.")]
        #[allow(non_camel_case_types)]
        pub type $name = $type;
    )* };
}

types! {
    c_char = u8;
    c_schar = i8;
    c_uchar = u8;
    c_short = i16;
    c_ushort = u16;
    c_int = i32;
    c_uint = u32;
    c_long = isize;
    c_ulong = usize;
    c_longlong = i64;
    c_ulonglong = u64;
}
