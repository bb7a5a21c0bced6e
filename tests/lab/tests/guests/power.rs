//! Sleep and waking, under traffic and without.

use lab::bench::{Bench, Driver};
use lab::model::Chip;
use lab::{drive, Result};

use crate::common::{case, Inputs};

/// The kernel's own test of suspending: devices sleep for five seconds, then wake.
const SUSPEND: &str = "echo devices >/sys/power/pm_test && echo mem >/sys/power/state";

fn sleeps_and_wakes(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&inputs.setup(&kernel, &model, chip, driver))?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;

    // With nothing to do, then in the middle of a transfer, which must survive.
    bench.guest.check(SUSPEND)?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;
    bench
        .guest
        .check("ping -i 0.05 -c 1000 10.81.68.1 >/dev/null &")?;
    bench.guest.check(SUSPEND)?;
    bench.wait_carrier(&interface, true)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;

    // An interface that is down stays down, and comes up afterwards.
    bench
        .guest
        .check(&format!("ip link set {interface} down; {SUSPEND}"))?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;
    bench.finish()
}

#[test]
fn ours_sleeps_and_wakes_on_b300() {
    case("ours_sleeps_and_wakes_on_b300", |inputs| {
        sleeps_and_wakes(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn ours_sleeps_and_wakes_on_b380() {
    case("ours_sleeps_and_wakes_on_b380", |inputs| {
        sleeps_and_wakes(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn r8169_sleeps_and_wakes() {
    case("r8169_sleeps_and_wakes", |inputs| {
        sleeps_and_wakes(inputs, Chip::B380, Driver::R8169)
    });
}
