//! What a witness is put through: probe, link, lease, pings, transfers, down and up, out and in.

use crate::bench::{Bench, Driver, Setup};
use crate::drive;
use crate::initramfs::SUMS;
use crate::model::Counters;
use crate::{require, Result};

use super::registers::{at_rest, Snapshot};

/// How often the gateway is pinged, none of which may be lost.
const PINGS: u32 = 1000;

/// How often the interface goes down and up.
const TIMES: u32 = 3;

/// What came of it.
#[derive(Debug, Default)]
pub struct Course {
    /// What the registers held when the interface was open.
    pub opened: Option<Snapshot>,
    /// What the device model has seen that it would not let pass in ours.
    pub notes: Vec<String>,
    /// Why the witness does not drive this chip, which is as it must be.
    pub refusal: Option<String>,
}

/// Goes the whole course. A violation fails ours, and is a note about anybody else.
pub fn run(setup: &Setup<'_>, ours: bool) -> Result<Course> {
    let mut bench = Bench::start(setup)?;
    let notes = match setup.netboot {
        Some(_) => arrived(&mut bench)?,
        None => Vec::new(),
    };
    go(bench, setup, ours, notes)
}

/// Has the driver of `first` at work when the machine is reset; the next kernel comes over the card as it has been left, and goes the whole
/// course with ours. The other's violations are notes.
pub fn run_after(first: &Setup<'_>, setup: &Setup<'_>) -> Result<Course> {
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

/// Requires that what came over the card is what was sent; returns what the model had to note about that.
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
) -> Result<Course> {
    let mut course = Course {
        notes: notes_before,
        ..Course::default()
    };
    let interface = bench.load_and_open()?;
    let link = bench.guest.check(&format!("ethtool {interface}"))?;
    require!(
        link.contains("Speed: 1000Mb/s") && link.contains("Duplex: Full"),
        "ethtool shows no gigabit link: {link}"
    );
    course.opened = Some(at_rest(&mut bench)?);
    let lease = drive::lease(&mut bench, &interface)?;
    let ping = drive::ping_at_once(&mut bench, PINGS)?;
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
        course.notes.push(
            "unloaded when closed only: it deletes its NAPI before it closes the interface, which the kernel warns about"
                .to_owned(),
        );
    }
    let interface = bench.reload_and_open()?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    drive::fetch(&mut bench)?;
    let notes_so_far = &mut course.notes;
    bench.finish_if(|counters| {
        if ours {
            return counters.check_clean();
        }
        notes_so_far.extend(notes(counters));
        Ok(())
    })?;
    Ok(course)
}

/// What the device model would not let pass in ours, or does not know, one line each.
fn notes(counters: &Counters) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(first) = counters.violation_log.first() {
        let first = first.as_str().unwrap_or_default();
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_model_minds_is_noted() {
        assert!(notes(&Counters::default()).is_empty());
        let counters = Counters {
            violations: 2,
            violation_log: vec![json!("a frame (last accesses: x)"), json!("b")],
            unmodelled: [("0x18".to_owned(), json!(3))].into(),
            ..Counters::default()
        };
        assert_eq!(
            notes(&counters),
            [
                "2 violations, the first: a frame",
                "uses what the model does not know: 0x18"
            ]
        );
    }
}
