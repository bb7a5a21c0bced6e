// SPDX-License-Identifier: GPL-2.0

//! rust/net as a crate of its own, against which the snippets in misuse/ are compiled.


#![allow(dead_code, missing_docs, unreachable_pub)]

#[allow(clippy::all, improper_ctypes, non_camel_case_types, non_snake_case, non_upper_case_globals, unsafe_op_in_unsafe_fn)]
mod bindings {
    use kernel::ffi;
    type u8_ = u8;
    type u16_ = u16;
    type u32_ = u32;
    type u64_ = u64;

    include!(env!("R8168_BINDINGS"));
}

#[path = "../../rust/net/mod.rs"]
pub mod net;
