// SPDX-License-Identifier: GPL-2.0

//! The scenario of a reference driver: probe, link, lease, pings, transfers, down and up, out and
//! in.

use crate::bench::Bench;
use crate::drive;
use crate::initramfs::SUMS;
use crate::model::Counters;
use crate::setup::{Driver, Setup};
use crate::{require, Result};

use super::registers::{at_rest, Snapshot};

/// The number of pings of the gateway, none of which may be lost.
const PINGS: u32 = 1000;

/// The number of times that the interface goes down and up.
const TIMES: u32 = 3;

/// The outcome of the scenario.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The registers when the interface was open.
    pub opened: Option<Snapshot>,
    /// The findings of the device model that ours would fail for.
    pub notes: Vec<String>,
    /// The reason why the driver must not drive this chip.
    pub refusal: Option<String>,
}

/// Goes through the whole scenario. A violation fails ours, and is a note about any other driver.
pub fn run(setup: &Setup<'_>, ours: bool) -> Result<Outcome> {
    let mut bench = Bench::start(setup)?;
    let notes = match setup.netboot {
        Some(_) => arrived(&mut bench)?,
        None => Vec::new(),
    };
    go(bench, setup, ours, notes)
}

/// Has the driver of `first` at work when the machine is reset; the next kernel comes over the card
/// as it has been left, and goes the whole scenario with ours. The other's violations are notes.
pub fn run_after(first: &Setup<'_>, setup: &Setup<'_>) -> Result<Outcome> {
    let mut bench = Bench::start(first)?;
    let mut notes = arrived(&mut bench)?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    drive::fetch(&mut bench)?;
    // What wakes the card leaves the receiver on, and the link at its lowest speed.
    bench
        .guest
        .check(&format!("ethtool -s {interface} wol g"))?;
    let problems = bench.kernel_problems()?;
    require!(problems.is_empty(), "before the reset: {problems:?}");
    let resets = bench.model()?.resets()?;
    bench.reboot_into(setup)?;
    require!(
        bench.model()?.resets()? > resets,
        "the machine has not reset the card"
    );
    notes.extend(arrived(&mut bench)?);
    go(bench, setup, true, notes)
}

/// Requires that what came over the card is what was sent; returns what the model had to note about
/// that.
fn arrived(bench: &mut Bench) -> Result<Vec<String>> {
    bench.guest.check(&format!("sha256sum -c -s {SUMS}"))?;
    let notes = notes(&bench.model()?.counters()?);
    bench.model()?.reset_counters()?;
    Ok(notes)
}

fn go(
    mut bench: Bench,
    setup: &Setup<'_>,
    ours: bool,
    notes_before: Vec<String>,
) -> Result<Outcome> {
    let mut outcome = Outcome {
        notes: notes_before,
        ..Outcome::default()
    };
    let interface = bench.load_and_open()?;
    let link = bench.guest.check(&format!("ethtool {interface}"))?;
    require!(
        link.contains("Speed: 1000Mb/s") && link.contains("Duplex: Full"),
        "ethtool shows no gigabit link: {link}"
    );
    outcome.opened = Some(at_rest(&mut bench)?);
    let lease = drive::lease(&mut bench, &interface)?;
    let ping = if ours {
        drive::ping_at_once(&mut bench, PINGS)?
    } else {
        drive::ping_with_late_replies(&mut bench, PINGS)?
    };
    if ping.sent > PINGS {
        outcome.notes.push(format!(
            "{} of {PINGS} replies were seen a second late, with the next frame",
            ping.sent - PINGS
        ));
    }
    let fetched = drive::fetch(&mut bench)?;
    let sent = drive::send(&mut bench)?;
    println!("    leased {lease}\n    ping {ping}");
    println!(
        "    {:.0} MiB fetched at {:.0}, sent at {:.0} Mbit/s",
        fetched.mib(),
        fetched.mbit_per_s(),
        sent.mbit_per_s()
    );
    for _ in 0..TIMES {
        bench.guest.check(&format!(
            "ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.wait_carrier(&interface, true)?;
        drive::ping(&mut bench, 3)?;
    }
    if matches!(setup.driver, Driver::R8168(_)) {
        bench
            .guest
            .check(&format!("ip link set {interface} down"))?;
        outcome.notes.push(
            "unloaded when closed only: it deletes its NAPI before it closes the interface, which the kernel warns about"
                .to_owned(),
        );
    }
    let interface = bench.reload_and_open()?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    drive::fetch(&mut bench)?;
    let notes_so_far = &mut outcome.notes;
    bench.finish_if(|counters| {
        if ours {
            return counters.check_clean();
        }
        notes_so_far.extend(notes(counters));
        Ok(())
    })?;
    Ok(outcome)
}

/// Returns the findings of the device model that ours would fail for, and registers that it does
/// not know, one line each.
fn notes(counters: &Counters) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(first) = counters.violation_log.first() {
        let text = first.split(" (last accesses").next().unwrap_or_default();
        notes.push(format!(
            "{} violations, the first: {text}",
            counters.violations
        ));
    }
    if counters.dma_faults > 0 {
        notes.push(format!("{} DMA faults", counters.dma_faults));
    }
    if !counters.unmodelled.is_empty() {
        let places: Vec<&str> = counters.unmodelled.keys().map(String::as_str).collect();
        notes.push(format!(
            "uses what the model does not know: {}",
            places.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_minds_is_noted() {
        assert!(notes(&Counters::default()).is_empty());
        let counters = Counters::from(rtl8111b_control::Counters {
            violations: 2,
            violation_log: vec!["a frame (last accesses: x)".to_owned(), "b".to_owned()],
            unmodelled: [("0x18".to_owned(), 3)].into(),
            ..rtl8111b_control::Counters::default()
        });
        assert_eq!(
            notes(&counters),
            [
                "2 violations, the first: a frame",
                "uses what the model does not know: 0x18"
            ]
        );
    }
}
