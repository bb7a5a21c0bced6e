//! The cable is pulled and plugged in again.

use lab::bench::{Bench, Driver};
use lab::drive;
use lab::model::Chip;
use lab::{require, Result};

use crate::common::{case, Inputs};

fn link_follows_the_cable(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&inputs.setup(&kernel, &model, chip, driver))?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    for _ in 0..5 {
        bench.model()?.set_link(false)?;
        bench.wait_carrier(&interface, false)?;
        let text = bench.guest.check(&format!("ethtool {interface}"))?;
        require!(
            text.contains("Link detected: no"),
            "without a cable ethtool says: {text}"
        );
        bench.model()?.set_link(true)?;
        bench.wait_carrier(&interface, true)?;
        drive::ping(&mut bench, 3)?;
    }
    // Pulled while the interface is down, and back in: `up` must find the link.
    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    bench.model()?.set_link(false)?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, false)?;
    bench.model()?.set_link(true)?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;
    bench.finish()
}

#[test]
fn carrier_of_ours_follows_the_cable_on_b300() {
    case("carrier_of_ours_follows_the_cable_on_b300", |inputs| {
        link_follows_the_cable(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn carrier_of_ours_follows_the_cable_on_b380() {
    case("carrier_of_ours_follows_the_cable_on_b380", |inputs| {
        link_follows_the_cable(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn carrier_of_r8169_follows_the_cable() {
    case("carrier_of_r8169_follows_the_cable", |inputs| {
        link_follows_the_cable(inputs, Chip::B380, Driver::R8169)
    });
}
