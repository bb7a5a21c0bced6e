// SPDX-License-Identifier: GPL-2.0

//! The lab without the device model: QEMU's own e1000e in its place, and a guest that goes wrong.

use std::time::Duration;

use lab::bench::Bench;
use lab::case::Inputs;
use lab::drive;
use lab::model::Chip;
use lab::setup::Driver;
use lab::{guest_test, require, Error, Result};

fn drive_e1000e(inputs: &Inputs) -> Result<Bench> {
    let case = inputs.case(inputs.kernel()?, Chip::B300, Driver::E1000e)?;
    let (mut bench, _) = case.setup().lease()?;
    drive::ping(&mut bench, 20)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    Ok(bench)
}

#[guest_test]
fn the_lab_works_and_sees_a_guest_go_wrong(inputs: &Inputs) -> Result<()> {
    let mut bench = drive_e1000e(inputs)?;

    let failed = bench.guest.check("echo so it is; exit 7");
    require!(
        matches!(&failed, Err(Error::Command { status: 7, output, .. }) if output == "so it is"),
        "for a command that fails found {failed:?}"
    );
    let slow = bench
        .guest
        .run_within("sleep 3", Duration::from_millis(500));
    require!(
        matches!(slow, Err(Error::Timeout { .. })),
        "for a command that takes too long found {slow:?}"
    );
    let after = bench.guest.check("echo recovered")?;
    require!(
        after.ends_with("recovered"),
        "the command after one that took too long wrote {after:?}"
    );
    require!(
        bench.kernel_problems()?.is_empty(),
        "a healthy kernel is said to have problems: {:?}",
        bench.kernel_problems()?
    );
    let gone = bench.guest.run("echo c >/proc/sysrq-trigger");
    require!(
        matches!(&gone, Err(Error::GuestGone { cause, .. }) if cause.contains("the kernel says")),
        "for a crash of the guest found {gone:?}"
    );
    require!(
        !bench.kernel_problems()?.is_empty(),
        "a crash is not among the kernel's problems"
    );
    Ok(())
}
