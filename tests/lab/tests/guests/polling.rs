// SPDX-License-Identifier: GPL-2.0

//! Interrupts that the core defers, and what they cost.

use lab::case::{file, Case};
use lab::drive::{self, Transfer};
use lab::model::Chip;
use lab::setup::Setup;
use lab::{guest_test, machine, require, Error, Result};

/// One read shows whether the interrupt is the chip's, one waits for the last acknowledgement.
/// Polls that no interrupt has called, and the link, may cost a few more.
fn two_reads(transfer: &Transfer) -> Result<()> {
    let Some(counters) = &transfer.counters else {
        return Ok(());
    };
    let (reads, interrupts) = (counters.mmio_reads, counters.interrupts_raised);
    require!(
        reads <= interrupts * 5 / 2 + 50,
        "{reads} reads of registers for {interrupts} interrupts, expected about two each"
    );
    Ok(())
}

#[guest_test(ours = b300, debug)]
fn polls_with_interrupts_deferred(case: &Case) -> Result<()> {
    deferral(case)?;
    deferral(&case.on(Chip::B380))
}

/// Traffic with interrupts deferred, as it is by default, and at once.
fn deferral(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        megabytes: 4,
        ..case.setup()
    }
    .lease()?;
    let settings =
        format!("cd /sys/class/net/{interface}; cat napi_defer_hard_irqs gro_flush_timeout");
    let deferred = bench.guest.check(&settings)?;
    require!(
        deferred.split_whitespace().eq(["1", "20000"]),
        "interrupts are deferred as {deferred:?}, expected once, for 20000 ns"
    );
    for (times, nanoseconds) in [(1, 20_000), (0, 0), (0, 20_000), (4, 50_000)] {
        bench.guest.check(&format!(
            "cd /sys/class/net/{interface}; echo {times} >napi_defer_hard_irqs; echo {nanoseconds} >gro_flush_timeout"
        ))?;
        drive::ping_at_once(&mut bench, 50)?;
        for transfer in [drive::fetch(&mut bench)?, drive::send(&mut bench)?] {
            if (times, nanoseconds) == (1, 20_000) {
                two_reads(&transfer)?;
            }
        }
    }
    // With interrupts masked for a minute only the poll can see the link go.
    bench.guest.check(&format!(
        "cd /sys/class/net/{interface}; echo 1000000 >napi_defer_hard_irqs; echo 50000 >gro_flush_timeout"
    ))?;
    drive::ping(&mut bench, 1)?;
    for up in [false, true] {
        bench.model()?.set_link(up)?;
        bench.wait_carrier(&interface, up)?;
    }
    bench.finish()
}

/// Instructions of the module for a frame on each chip, as `make count` found them on an idle
/// machine, where polls are shorter than under load. Less is welcome: then lower these.
const INSTRUCTIONS: [(Chip, f64); 2] = [(Chip::B300, 280.0), (Chip::B380, 280.0)];

/// Counts the module's instructions for a frame, which may grow by a twentieth.
fn count(case: &Case, recorded: f64) -> Result<()> {
    let (mut bench, _) = Setup {
        megabytes: 16,
        pcap: false,
        plugin: Some(&file("LAB_PLUGIN")?),
        ..case.setup()
    }
    .lease()?;
    let (fetched, sent) = (drive::fetch(&mut bench)?, drive::send(&mut bench)?);
    let table = drive::instructions(&mut bench, &fetched, &sent)?;
    println!("{}: {}", case.chip.name(), table.summary());
    let found = table.in_module();
    require!(
        found > 0.0 && found <= recorded * 1.05,
        "{}: the module took {found:.1} instructions a frame, expected at most {recorded} and 5 %:\n{table}",
        case.chip.name()
    );
    bench.finish()
}

#[guest_test(name = "instructions_a_frame_are_as_recorded", ours = b300)]
fn instructions_a_frame(case: &Case) -> Result<()> {
    if !machine::is_emulated() {
        return Err(Error::Unavailable(
            "KVM counts no instructions; LAB_ACCEL=tcg does".to_owned(),
        ));
    }
    for (chip, recorded) in INSTRUCTIONS {
        count(&case.on(chip), recorded)?;
    }
    Ok(())
}
