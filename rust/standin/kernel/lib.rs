// SPDX-License-Identifier: GPL-2.0

//! A stand-in for what this module takes from the kernel's `kernel` crate, for kernels that are
//! built without Rust; `rust/standin/README.md` describes it.
//!
//! Paths, names and meaning are those of the real crate; each item says where it does less. For
//! `x86_64` only. `rust/standin/standin.c` is the C side.

#![no_std]
#![warn(missing_docs, unreachable_pub, unsafe_op_in_unsafe_fn)]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the stand-in for the kernel crate is for x86_64 only");

pub mod alloc;
pub mod error;
pub mod ffi;
#[cfg(CONFIG_KUNIT)]
pub mod kunit;
pub mod module;
pub mod prelude;
pub mod sync;
pub mod time;
pub mod types;

/// Stands for `kernel::macros`: the procedural macros.
pub mod macros {
    #[cfg(CONFIG_KUNIT)]
    pub use macros::kunit_tests;
    pub use macros::paste;
}

mod c;
mod line;

pub use module::{
    Module,
    ThisModule, //
};

/// Prints the message on the kernel's log and stops what runs, like C's `BUG()`.
///
/// The real crate does the same, but does not cut the message.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    use core::fmt::Write;

    let mut line = line::Line::<200>::new();
    // An error says that the message has been cut, which is as intended.
    let _ = write!(line, "{info}");
    let text = line.as_bytes();
    // SAFETY: `text` is that many initialised bytes, and C only reads them. 200 fits in a `c_int`.
    unsafe { c::standin_panic(text.as_ptr(), text.len() as ffi::c_int) }
}
