//! The cable is pulled and plugged in again.

use lab::bench::{Bench, Driver, Setup};
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

/// Writes a register of the PHY, on no driver's behalf.
fn write_phy(bench: &mut Bench, register: u32, value: u32) -> Result<()> {
    let command = 0x8000_0000 | register << 16 | value;
    let address = bench.device().address.clone();
    bench
        .guest
        .check(&format!(
            "cd /sys/bus/pci/devices/{address}; echo 1 >enable; bar=$(sed -n 3p resource | cut -d' ' -f1)
             devmem $((bar + 0x60)) 32 {command:#x}; sleep 0.1; echo 0 >enable"
        ))
        .map(drop)
}

/// A PHY as Linux' realtek driver leaves it, which neither its own reset nor one of the machine mends.
fn phy_that_was_suspended(inputs: &Inputs, chip: Chip, phy_driver: bool) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&Setup {
        phy_driver,
        ..inputs.setup(&kernel, &model, chip, inputs.ours()?)
    })?;
    for (register, value) in [(0, 0x1940), (14, 0x0200), (31, 1)] {
        write_phy(&mut bench, register, value)?;
    }
    let interface = bench.load_and_open()?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    bench.unload()?;
    // What comes next may be a boot ROM that knows nothing of register 14.
    let state = bench.model()?.state()?;
    let phy = &state["state"]["phy"];
    require!(
        phy["registers"][14] == "0x0000" && phy["page"] == 0,
        "the driver leaves the PHY as {phy}"
    );
    bench.finish()
}

#[test]
fn ours_wakes_a_phy_that_was_suspended() {
    case("ours_wakes_a_phy_that_was_suspended", |inputs| {
        phy_that_was_suspended(inputs, Chip::B300, true)?;
        phy_that_was_suspended(inputs, Chip::B380, false)
    });
}

/// The link is what both ends can, and drivers show it.
fn link_is_negotiated(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    // phylib looks at the link when it is interrupted, and takes one that is back by then for the same as before.
    let mut bench = Bench::start(&Setup {
        negotiation: Some(1000),
        ..inputs.setup(&kernel, &model, chip, driver)
    })?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    for (partner, speed, duplex) in [
        ("100half", "100Mb/s", "Half"),
        ("10", "10Mb/s", "Full"),
        ("fixed-100full", "100Mb/s", "Half"),
        ("1000", "1000Mb/s", "Full"),
    ] {
        bench.model()?.set_partner(partner)?;
        drive::wait_link(&mut bench, &interface, speed, duplex)?;
        drive::ping(&mut bench, 3)?;
    }
    // What this end offers, with the cable left alone.
    for (offer, speed, duplex) in [
        ("autoneg on advertise 0x004", "100Mb/s", "Half"),
        ("autoneg on advertise 0x03f", "1000Mb/s", "Full"),
        ("speed 10 duplex full autoneg off", "10Mb/s", "Full"),
        ("autoneg on", "1000Mb/s", "Full"),
    ] {
        bench
            .guest
            .check(&format!("ethtool -s {interface} {offer}"))?;
        drive::wait_link(&mut bench, &interface, speed, duplex)?;
        drive::ping(&mut bench, 3)?;
    }
    bench.finish()
}

#[test]
fn ours_negotiates_its_link() {
    case("ours_negotiates_its_link", |inputs| {
        link_is_negotiated(inputs, Chip::B300, inputs.ours()?)?;
        link_is_negotiated(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn r8169_negotiates_its_link() {
    case("r8169_negotiates_its_link", |inputs| {
        link_is_negotiated(inputs, Chip::B380, Driver::R8169)
    });
}
