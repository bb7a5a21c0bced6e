// SPDX-License-Identifier: GPL-2.0

//! The card's slot: it is unplugged and plugged in again, and its link reports errors.
//!
//! A card whose model is killed cannot be tried: QEMU 11.1 aborts. One that reads all ones is among
//! the faults.

use std::time::Duration;

use lab::bench::Bench;
use lab::case::{count, progress, Case};
use lab::dmesg::TIMED_OUT;
use lab::guest::{Slot, SLOT};
use lab::process::wait_for;
use lab::setup::{Driver, Setup};
use lab::traffic::{end_tcp, start_tcp, wait_tcp};
use lab::{drive, guest_test, require, Result};

use crate::faults::SUSPEND_BRIEFLY;

/// The time that the kernel may take to reset a link.
const RECOVERY: Duration = Duration::from_secs(30);

/// The number of times that a card is unplugged, unless the caller says.
const TIMES: u32 = 3;

/// A bench with the card in a slot, and TCP both ways over the interface that is named.
fn begin(case: &Case, slot: Slot) -> Result<(Bench, String)> {
    let (mut bench, interface) = Setup {
        slot: Some(slot),
        pcap: false,
        ..case.setup()
    }
    .lease()?;
    start_tcp(&mut bench)?;
    Ok((bench, interface))
}

fn end(mut bench: Bench) -> Result<()> {
    wait_tcp(&mut bench, "at the end")?;
    end_tcp(&mut bench)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.finish()
}

/// The card is unplugged under traffic and plugged in again; each time traffic must come back.
#[guest_test(ours = b300, debug)]
fn survives_unplugging_under_traffic(case: &Case) -> Result<()> {
    let (mut bench, interface) = begin(case, Slot::Firmware)?;
    let times = count("LAB_UNPLUGS", TIMES)?;
    for time in 1..=times {
        progress("unpluggings", time, times);
        wait_tcp(&mut bench, &format!("before unplugging number {time}"))?;
        bench.unplug()?;
        let left = bench.guest.check("ls /sys/class/net")?;
        require!(
            left == "lo",
            "without the card the interfaces are {left:?}, expected lo alone"
        );
        let again = bench.plug()?;
        require!(
            again == interface,
            "card number {time} became {again}, expected {interface}"
        );
        bench.guest.check(&format!("ip link set {interface} up"))?;
        bench.wait_carrier(&interface, true)?;
        drive::lease(&mut bench, &interface)?;
    }
    end(bench)
}

/// The link to the card reports errors, which QEMU feigns in its port; the kernel resets the link,
/// and the card with it, and traffic must come back.
#[guest_test(ours(b300), debug)]
fn recovers_from_errors_of_its_link(case: &Case) -> Result<()> {
    let (mut bench, interface) = begin(case, Slot::Native)?;
    // Of a frozen link, and of one that goes on; and once more, for the PCI core may forget what it
    // restored.
    for (time, error) in ["DLP", "COMP_TIME", "DLP"].into_iter().enumerate() {
        wait_tcp(&mut bench, &format!("before {error}"))?;
        let resets = bench.model()?.resets()?;
        bench
            .guest
            .qmp
            .monitor(&format!("pcie_aer_inject_error {SLOT} {error}"))?;
        let recovered = format!(
            "test $(dmesg | grep -c 'device recovery successful') = {}",
            time + 1
        );
        bench
            .guest
            .wait_until("the kernel to recover the link", &recovered, RECOVERY)?;
        let resets = bench.model()?.resets()? - resets;
        // The PCI core of Linux 6.12 does not reset a bus whose link goes on, even if a driver asks
        // for it.
        let fatal = error == "DLP";
        require!(
            resets > 0 || !fatal && case.kernel.is_before(6, 18),
            "after {error} the card was not reset, expected it to be"
        );
        bench.wait_carrier(&interface, true)?;
    }
    dies(&mut bench, &interface)?;
    if matches!(bench.driver(), Driver::R8168Rust(_)) {
        dies_while_suspended(&mut bench, &interface)?;
    }
    wait_tcp(&mut bench, "at the end")?;
    end_tcp(&mut bench)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// The card answers nothing but ones, and no port reports it, until it is reset: the driver finds
/// that out when nothing has been sent for a while, and resets the bus of the card.
fn dies(bench: &mut Bench, interface: &str) -> Result<()> {
    wait_tcp(bench, "before the card dies")?;
    let resets = bench.model()?.resets()?;
    bench.model()?.fault_until_reset("gone", 1)?;
    // TCP sends no more while the card keeps what it sent; the core looks after a queue that is
    // full.
    let gateway = &bench.gateway;
    bench.guest.check(&format!(
        "ping -i 0.005 -c 1000 -s 1400 {gateway} >/dev/null 2>&1 &"
    ))?;
    wait_for("the driver to reset the bus of the card", RECOVERY, || {
        Ok((bench.model()?.resets()? > resets).then_some(()))
    })?;
    bench.wait_carrier(interface, true)
}

/// The card is dead when the system is resumed. It has no carrier then, so that nothing is sent and
/// no watchdog looks after that; r8169 leaves it so.
fn dies_while_suspended(bench: &mut Bench, interface: &str) -> Result<()> {
    wait_tcp(bench, "before the card dies once more")?;
    let resets = bench.model()?.resets()?;
    bench.model()?.fault_until_reset("gone", 1)?;
    bench.guest.check(SUSPEND_BRIEFLY)?;
    wait_for(
        "the driver to reset the bus of a card that is dead after a suspend",
        RECOVERY,
        || Ok((bench.model()?.resets()? > resets).then_some(())),
    )?;
    bench.wait_carrier(interface, true)
}
