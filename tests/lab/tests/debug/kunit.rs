// SPDX-License-Identifier: GPL-2.0

//! The module's own KUnit tests.

use lab::bench::Bench;
use lab::case::Case;
use lab::{guest_test, require, Result};

#[guest_test(name = "the_module_passes_its_own_tests", ours = b300, debug)]
fn passes_its_own_tests(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&case.setup())?;
    bench.load()?;
    let results = bench
        .guest
        .check("cat /sys/kernel/debug/kunit/r8168_rust/results")?;
    println!("{results}");
    // KUnit prints no sums for a suite of one case, as it is on the stand-in for the kernel crate.
    require!(
        results.ends_with("ok 1 r8168_rust")
            && !results.contains("not ok")
            && !results.contains("# SKIP")
            && results.contains("phylib_hears_of_no_missing_master"),
        "the KUnit tests report: {results}"
    );
    bench.finish()
}
