// SPDX-License-Identifier: GPL-2.0

//! The checks see what they are there for.

use lab::bench::Bench;
use lab::case::Inputs;
use lab::model::Chip;
use lab::setup::{Driver, Setup};
use lab::{debug, guest_test, require, Result};

/// Faults of the kernel's own module for that, and what the log must have of each. The last ends in
/// an oops.
const CRASHES: [(&str, &str); 3] = [
    ("READ_AFTER_FREE", "KASAN: slab-use-after-free"),
    ("ARRAY_BOUNDS", "UBSAN: array-index-out-of-bounds"),
    ("CFI_FORWARD_PROTO", "CFI failure"),
];

#[guest_test(debug)]
fn the_kernel_sees_leaks_and_wrong_accesses(inputs: &Inputs) -> Result<()> {
    let case = inputs.case(inputs.kernel()?, Chip::B380, Driver::R8169)?;
    let mut bench = Bench::start(&Setup {
        more_modules: &["lkdtm", "kmemleak_test"],
        ..case.setup()
    })?;
    require!(
        debug::is_watching(&mut bench.guest)?,
        "kernel {} does not watch itself: run this by `make test-debug`",
        case.kernel.version()
    );
    debug::require_clean(&mut bench.guest)?;
    let before = bench.kernel_problems()?;
    require!(
        before.is_empty(),
        "a healthy kernel is said to have problems: {before:?}"
    );

    bench.insert("kmemleak_test")?;
    bench.guest.check("rmmod kmemleak_test")?;
    let leaks = debug::leaks(&mut bench.guest)?;
    require!(
        leaks.contains("unreferenced object"),
        "for a module that leaks found {leaks:?}"
    );
    bench.insert("lkdtm")?;
    bench
        .guest
        .check("echo 0 >/proc/sys/kernel/panic_on_oops")?;
    for (crash, expected) in CRASHES {
        // The module may end the process that asked.
        bench.guest.run(&format!(
            "sh -c 'echo {crash} >/sys/kernel/debug/provoke-crash/DIRECT'"
        ))?;
        let problems = bench.kernel_problems()?;
        require!(
            problems
                .iter()
                .any(|problem| problem.line.contains(expected)),
            "for {crash} found {problems:?}, expected {expected}"
        );
    }
    let outcome = debug::require_clean(&mut bench.guest);
    require!(
        outcome.is_err(),
        "a kernel that leaked passes for a clean one"
    );
    bench.power_off()
}
