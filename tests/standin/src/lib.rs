// SPDX-License-Identifier: GPL-2.0

//! The stand-in for the kernel crate, compiled for the host with a C side for tests.
//!
//! The largest alignment is accepted, a larger one is not:
//! ```
//! # use standin::alloc::{flags::GFP_KERNEL, KBox};
//! #[repr(align(4096))]
//! struct Page(u8);
//! drop(KBox::new(Page(1), GFP_KERNEL));
//! ```
//! ```compile_fail
//! # use standin::alloc::{flags::GFP_KERNEL, KBox};
//! #[repr(align(8192))]
//! struct Page(u8);
//! drop(KBox::new(Page(1), GFP_KERNEL));
//! ```
//! A value for C is not shared between threads, and a lock is not sent to one:
//! ```
//! fn shared<T: Sync>() {}
//! shared::<standin::sync::Mutex<u32>>();
//! ```
//! ```compile_fail
//! fn shared<T: Sync>() {}
//! shared::<standin::types::Opaque<u32>>();
//! ```
//! ```compile_fail
//! fn sent<T: Send>() {}
//! sent::<standin::sync::Guard<'static, u32>>();
//! ```

#[path = "../../../rust/standin/kernel/alloc/mod.rs"]
pub mod alloc;
#[path = "../../../rust/standin/kernel/error.rs"]
pub mod error;
#[path = "../../../rust/standin/kernel/ffi.rs"]
pub mod ffi;
#[path = "../../../rust/standin/kernel/kunit.rs"]
pub mod kunit;
#[path = "../../../rust/standin/kernel/line.rs"]
mod line;
#[path = "../../../rust/standin/kernel/sync/mod.rs"]
pub mod sync;
#[path = "../../../rust/standin/kernel/time.rs"]
pub mod time;
#[path = "../../../rust/standin/kernel/types.rs"]
pub mod types;

mod c;

/// The macros.
pub mod macros {
    pub use macros::{kunit_tests, paste};
}

pub use c::fake;

#[cfg(test)]
mod tests {
    use crate::line::Line;
    use std::fmt::Write;

    #[test]
    fn a_line_is_cut_between_characters() {
        let mut line = Line::<8>::new();
        assert_eq!(line.as_bytes(), b"");
        let number = 12;
        write!(line, "abc: {number}").unwrap();
        assert_eq!(line.as_bytes(), b"abc: 12");
        // It has two bytes, and there is room for one.
        assert!(write!(line, "\u{e9}z").is_err());
        assert_eq!(line.as_bytes(), b"abc: 12");
        line.write_str("3").unwrap();
        assert!(line.write_char('4').is_err());
        assert_eq!(line.as_bytes(), b"abc: 123");
        let mut line = Line::<8>::new();
        assert!(write!(line, "abcdef\u{e9}\u{e9}").is_err());
        assert_eq!(line.as_bytes(), "abcdef\u{e9}".as_bytes());
    }
}
