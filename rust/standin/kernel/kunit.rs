// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::kunit`: assertions of tests that run in the kernel.
//!
//! [`kunit_tests`](crate::macros::kunit_tests) calls these functions; in its module `assert!` and
//! `assert_eq!` are the macros here, as with the real one. They return from the test.

use crate::{
    c,
    ffi::c_int,
    line::Line, //
};
use core::fmt::{
    Arguments,
    Write, //
};

pub use crate::{
    kunit_assert as assert,
    kunit_assert_eq as assert_eq, //
};

fn cut(text: Arguments<'_>) -> Line<200> {
    let mut line = Line::new();
    // An error says that the text has been cut, which is as intended.
    let _ = line.write_fmt(text);
    line
}

/// Logs the name of the test that begins.
pub fn begin(test: &str) {
    let line = cut(format_args!("{test}"));
    let text = line.as_bytes();
    // SAFETY: `text` is that many initialised bytes, and C only reads them. 200 fits in a `c_int`.
    unsafe { c::standin_kunit_begin(text.as_ptr(), text.len() as c_int) };
}

/// Has the test fail, with this message.
pub fn fail(text: Arguments<'_>) {
    let line = cut(text);
    let text = line.as_bytes();
    // SAFETY: `text` is that many initialised bytes, and C only reads them. 200 fits in a `c_int`.
    unsafe { c::standin_kunit_fail(text.as_ptr(), text.len() as c_int) };
}

/// Has the test fail, and returns from it, unless the condition holds.
#[macro_export]
macro_rules! kunit_assert {
    ($condition:expr $(,)?) => {
        if !$condition {
            $crate::kunit::fail(::core::format_args!(
                "{}:{}: expected {}",
                ::core::file!(),
                ::core::line!(),
                ::core::stringify!($condition)
            ));
            return;
        }
    };
}

/// Has the test fail, and returns from it, unless the two are equal.
#[macro_export]
macro_rules! kunit_assert_eq {
    ($left:expr, $right:expr $(,)?) => {
        $crate::kunit_assert!($left == $right)
    };
}
