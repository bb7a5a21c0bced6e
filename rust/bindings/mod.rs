// SPDX-License-Identifier: GPL-2.0

//! The C side: what bindgen made of `bindings.h`.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::ffi;
type u8_ = u8;
type u16_ = u16;
type u32_ = u32;
type u64_ = u64;

include!(env!("R8168_BINDINGS"));
