// SPDX-License-Identifier: GPL-2.0

//! The cable is pulled and plugged in again.

use std::time::Duration;

use lab::bench::Bench;
use lab::case::Case;
use lab::drive;
use lab::model::Chip;
use lab::setup::Setup;
use lab::{guest_test, require, Result};
use rtl8111b_control::Hex;

/// The kernel's own test of suspending: devices are suspended for five seconds, then resumed.
const SUSPEND: &str = "echo devices >/sys/power/pm_test && echo mem >/sys/power/state";

#[guest_test(
    name = "carrier_of_{driver}_follows_the_cable",
    ours(b300, b380),
    r8169 = b380,
    debug
)]
fn link_follows_the_cable(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
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

/// phylib reads the PHY whenever the link changes, also while the chip is being reset for other
/// rings.
#[guest_test(ours(b300, b380), debug)]
fn keeps_off_the_phy_during_a_reset(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        command_time: Some(400),
        negotiation: Some(1),
        ..case.setup()
    }
    .lease()?;
    bench.guest.check(&format!(
        "(for i in $(seq 60); do ethtool -G {interface} rx 64 tx 64; ethtool -G {interface} rx 256 tx 256; done
        touch /run/quiet) >/run/rings.log 2>&1 &"
    ))?;
    let mut quiet = false;
    while !quiet {
        for up in [false, true].repeat(50) {
            bench.model()?.set_link(up)?;
            std::thread::sleep(Duration::from_millis(3));
        }
        quiet = bench.guest.check("ls /run")?.contains("quiet");
    }
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;
    bench.finish()
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

#[guest_test(ours = b300, debug)]
fn wakes_a_phy_that_was_suspended(case: &Case) -> Result<()> {
    phy_that_was_suspended(case, true)?;
    phy_that_was_suspended(&case.on(Chip::B380), false)
}

/// A PHY as Linux' realtek driver leaves it, which neither its own reset nor one of the machine
/// mends.
fn phy_that_was_suspended(case: &Case, phy_driver: bool) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        phy_driver,
        ..case.setup()
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
    let phy = state.phy;
    require!(
        phy.registers[14] == Hex(0) && phy.page == 0,
        "the driver leaves the PHY as {phy:?}"
    );
    bench.finish()
}

/// The value that `realtek.ko` gives register 14 of an RTL8211B that it suspends. It must not be
/// left there: a boot ROM may not know of it, and gets no link.
const PHY_SUSPENDED: u32 = 0x0200;

/// Requires that register 14 of the PHY has this value, and that page 0 is selected.
fn register_14_is(bench: &mut Bench, value: u32, when: &str) -> Result<()> {
    let phy = bench.model()?.state()?.phy;
    require!(
        phy.registers[14] == Hex(value) && phy.page == 0,
        "{when} register 14 of the PHY is {:?} and its page {}, expected {value:#x} and 0",
        phy.registers[14],
        phy.page
    );
    Ok(())
}

/// `realtek.ko` takes the link from an RTL8211B when the interface is closed. The machine is
/// rebooted like that, and the driver removed.
#[guest_test(ours(b300, b380), debug)]
fn leaves_a_phy_that_gives_a_link(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        phy_id: Some(0xc912),
        resets: true,
        ..case.setup()
    })?;
    for reboot in [true, false] {
        let interface = bench.load_and_open()?;
        drive::lease(&mut bench, &interface)?;
        drive::ping(&mut bench, 3)?;
        bench
            .guest
            .check(&format!("ip link set {interface} down"))?;
        register_14_is(&mut bench, PHY_SUSPENDED, "with the interface closed")?;
        if reboot {
            let problems = bench.kernel_problems()?;
            require!(problems.is_empty(), "before the reboot: {problems:?}");
            let resets = bench.model()?.resets()?;
            bench.boot_by("reboot -f")?;
            require!(
                bench.model()?.resets()? > resets,
                "the machine has not reset the card"
            );
        } else {
            bench.unload()?;
        }
        let after = if reboot { "after a reboot" } else { "unloaded" };
        register_14_is(&mut bench, 0, after)?;
    }
    bench.finish()
}

#[guest_test(ours = b300, r8169 = b380, debug)]
fn forces_the_phy_of_the_data_sheet(case: &Case) -> Result<()> {
    phy_of_the_data_sheet(case)?;
    if case.is_ours() {
        phy_of_the_data_sheet(&case.on(Chip::B380))?;
    }
    Ok(())
}

/// A PHY 001c c910: `realtek.ko` does not suspend it, and when 100 Mbit/s are forced it writes
/// register 14, which is also what takes a link away.
fn phy_of_the_data_sheet(case: &Case) -> Result<()> {
    const ID: u16 = 0xc910;
    let id = Hex(ID.into());
    let (mut bench, interface) = Setup {
        phy_id: Some(ID),
        ..case.setup()
    }
    .lease()?;
    for round in 0..2 {
        for (mode, speed, register_14) in [
            ("speed 100 duplex full autoneg off", "100Mb/s", 0x0260),
            ("autoneg on", "1000Mb/s", 0),
        ] {
            bench
                .guest
                .check(&format!("ethtool -s {interface} {mode}"))?;
            drive::wait_link(&mut bench, &interface, speed, "Full")?;
            drive::ping(&mut bench, 3)?;
            bench
                .guest
                .check(&format!("ip link set {interface} down"))?;
            let phy = bench.model()?.state()?.phy;
            require!(
                phy.registers[0].0 & 0x0800 == 0 && phy.registers[14] == Hex(register_14),
                "a closed interface has suspended the PHY: {phy:?}"
            );
            bench.guest.check(&format!("ip link set {interface} up"))?;
            drive::wait_link(&mut bench, &interface, speed, "Full")?;
            bench.guest.check(SUSPEND)?;
            drive::wait_link(&mut bench, &interface, speed, "Full")?;
            drive::ping(&mut bench, 3)?;
            let phy = bench.model()?.state()?.phy;
            require!(
                phy.registers[3] == id && phy.registers[14] == Hex(register_14),
                "at {speed}, round {round}, the PHY is {phy:?}"
            );
        }
        // Unloaded while it is forced, so that what the driver leaves in register 14 must not keep
        // the next one from a link.
        bench.guest.check(&format!(
            "ethtool -s {interface} speed 100 duplex full autoneg off"
        ))?;
        drive::wait_link(&mut bench, &interface, "100Mb/s", "Full")?;
        bench.reload_and_open()?;
        bench.wait_carrier(&interface, true)?;
        drive::lease(&mut bench, &interface)?;
    }
    bench.finish()
}

#[guest_test(ours = b300, r8169 = b380, debug)]
fn negotiates_its_link(case: &Case) -> Result<()> {
    link_is_negotiated(case)?;
    if case.is_ours() {
        link_is_negotiated(&case.on(Chip::B380))?;
    }
    Ok(())
}

/// The link is what both ends can, and drivers show it.
fn link_is_negotiated(case: &Case) -> Result<()> {
    // phylib looks at the link when it is interrupted, and takes one that is back by then for the
    // same as before.
    let (mut bench, interface) = Setup {
        negotiation: Some(1000),
        ..case.setup()
    }
    .lease()?;
    // The MAC has no half duplex at gigabit, and ours does not offer it.
    let (speed, duplex) = if case.is_ours() {
        ("100Mb/s", "Full")
    } else {
        ("1000Mb/s", "Half")
    };
    for (partner, speed, duplex) in [
        ("1000half,100full", speed, duplex),
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
