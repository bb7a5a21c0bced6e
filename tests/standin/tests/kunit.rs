// SPDX-License-Identifier: GPL-2.0

//! Tests of KUnit, on the host.

#![cfg(not(loom))]

// The name that the macro's code has for it.
extern crate standin as kernel;

use kernel::fake;
use kernel::macros::kunit_tests;

#[kunit_tests(suite)]
mod tests {
    fn no_test() -> u32 {
        7
    }

    #[test]
    fn holds() {
        assert!(no_test() == 7);
        assert_eq!(no_test(), 7,);
    }

    #[test]
    fn fails() {
        for number in 6..9 {
            assert_eq!(no_test() + 1, number + 2);
        }
    }

    #[test]
    fn comes_after_one_that_failed() {
        assert!(no_test() > 6);
    }
}

extern "C" {
    fn standin_kunit_run();
}

#[test]
fn all_tests_run_and_one_fails() {
    // SAFETY: The macro has made it, and it has no requirements.
    unsafe { standin_kunit_run() };
    let log = fake::log();
    assert_eq!(
        (log.len(), &log[0], &log[1], &log[3]),
        (
            4,
            &"holds".into(),
            &"fails".into(),
            &"comes_after_one_that_failed".into()
        )
    );
    assert!(
        log[2].starts_with("tests/kunit.rs:")
            && log[2].ends_with(": expected no_test() + 1 == number + 2"),
        "{log:?}"
    );
}
