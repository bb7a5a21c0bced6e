// SPDX-License-Identifier: GPL-2.0

//! Sleep and waking, under traffic and without.

use std::time::Duration;

use lab::bench::Bench;
use lab::case::Case;
use lab::model::Model;
use lab::setup::{Driver, Setup};
use lab::{drive, guest_test, require, Result};

/// The kernel's own test of suspending: devices are suspended for five seconds, then resumed.
const SUSPEND: &str = "echo devices >/sys/power/pm_test && echo mem >/sys/power/state";

/// The number of times that devices are suspended for no time at all, and what does away with that
/// time.
const BRIEF_SUSPENDS: u32 = 10;
const NO_DELAY: &str = "echo 0 >/sys/module/suspend/parameters/pm_test_delay";

#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn suspends_and_resumes(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;

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

    // What its resume reports of the link must not find the PHY suspended again.
    for _ in 0..BRIEF_SUSPENDS {
        bench.guest.check(&format!("{NO_DELAY}; {SUSPEND}"))?;
        bench.wait_carrier(&interface, true)?;
    }
    drive::ping(&mut bench, 3)?;
    bench.finish()
}

/// The time that a card without a link may take to be suspended (r8169 waits for 10 s), and one
/// with a link to be resumed.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until the card is `suspended` or `active`, as power management at run time has it, and
/// requires that it is in the power state that belongs to it.
pub fn wait_status(bench: &mut Bench, status: &str) -> Result<()> {
    let dir = format!("/sys/bus/pci/devices/{}", bench.device().address);
    let script = format!("test $(cat {dir}/power/runtime_status) = {status}");
    let what = format!("the card to be {status}");
    bench.guest.wait_until(&what, &script, SUSPEND_TIMEOUT)?;
    let expected = if status == "active" { "D0" } else { "D3hot" };
    let state = bench.guest.check(&format!("cat {dir}/power_state"))?;
    require!(
        state == expected,
        "a card that is {status} is in {state}, expected {expected}"
    );
    Ok(())
}

/// Allows runtime suspend of the card, of ours soon.
pub fn allow_runtime_suspend(bench: &mut Bench) -> Result<()> {
    let power = format!("/sys/bus/pci/devices/{}/power", bench.device().address);
    bench.guest.check(&format!("echo auto >{power}/control"))?;
    if matches!(bench.driver(), Driver::R8168Rust(_)) {
        bench
            .guest
            .check(&format!("echo 1000 >{power}/autosuspend_delay_ms"))?;
    }
    Ok(())
}

/// A card without a link is suspended, and resumed by the cable.
fn runtime_suspended(bench: &mut Bench) -> Result<String> {
    let interface = bench.load_and_open()?;
    drive::lease(bench, &interface)?;
    allow_runtime_suspend(bench)?;
    bench.guest.check("sleep 2")?;
    wait_status(bench, "active")?;

    bench.model()?.set_link(false)?;
    wait_status(bench, "suspended")?;
    bench.model()?.set_link(true)?;
    wait_status(bench, "active")?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(bench, 3)?;
    Ok(interface)
}

#[guest_test(name = "r8169_runtime_suspends_without_a_link", r8169 = b380)]
fn r8169_runtime_suspends(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&case.setup())?;
    runtime_suspended(&mut bench)?;
    bench.finish()
}

/// An address that is not the card's own.
const OTHER: &str = "02:00:00:00:00:33";

/// Has the core set a card in runtime suspend, which it does without resuming it: its address, MTU
/// and features, and has a bond take it. All of it must work, and be so when the card is resumed.
fn is_set_while_suspended(bench: &mut Bench, interface: &str) -> Result<()> {
    for command in [
        format!("ip link set {interface} address {OTHER}"),
        format!("ip link set {interface} mtu 2000"),
        format!("ip link set {interface} mtu 1500"),
        format!("ip link add bond7 type bond && ip link set {interface} down && ip link set {interface} master bond7"),
        format!("ip link set bond7 up && ip link set bond7 address {}", Model::MAC),
        format!("ip link set {interface} nomaster && ip link del bond7"),
        format!("ip link set {interface} up && ip link set {interface} address {OTHER}"),
    ] {
        wait_status(bench, "suspended")?;
        bench.guest.check(&command)?;
    }
    wait_status(bench, "suspended")?;
    let shown = bench.guest.check(&format!(
        "ethtool -d {interface} raw on | head -c 6 | od -An -v -tx1"
    ))?;
    require!(
        shown.trim().replace(' ', ":") == OTHER,
        "a card in runtime suspend when its address was set has {shown}, expected {OTHER}"
    );
    Ok(())
}

/// An access to the registers of a card in runtime suspend resumes it, for as long as that takes.
#[guest_test(ours(b300), debug)]
fn runtime_suspends_without_a_link(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        neighbour: true,
        more_modules: &["virtio_rng", "bonding"],
        ..case.setup()
    })?;
    let interface = runtime_suspended(&mut bench)?;
    bench.model()?.set_link(false)?;
    wait_status(&mut bench, "suspended")?;
    // The handler is called for each interrupt of a neighbour on the line.
    bench.insert("virtio_rng")?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    bench.check_nothing_written_in_d3()?;
    wait_status(&mut bench, "suspended")?;
    let text = bench.guest.check(&format!(
        "ethtool -t {interface} online; ethtool {interface}"
    ))?;
    require!(
        text.contains("Link detected: no") && text.contains("Supports Wake-on: pumbg"),
        "of a suspended card ethtool says: {text}"
    );
    wait_status(&mut bench, "suspended")?;
    bench.guest.check(&format!(
        "ip link set {interface} down; ip link set {interface} up"
    ))?;
    wait_status(&mut bench, "suspended")?;
    bench.insert("bonding")?;
    is_set_while_suspended(&mut bench, &interface)?;
    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    wait_status(&mut bench, "suspended")?;
    bench.model()?.set_link(true)?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;

    // In runtime suspend when the system is suspended, and when the driver is removed.
    bench.model()?.set_link(false)?;
    wait_status(&mut bench, "suspended")?;
    bench.guest.check(SUSPEND)?;
    wait_status(&mut bench, "suspended")?;
    bench.reload()?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.model()?.set_link(true)?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    bench.check_nothing_written_in_d3()?;
    bench.unload()?;
    bench.check_that_writes_in_d3_show()?;
    bench.finish()
}

/// The card is the better half of a bond. Without a cable it is suspended while the other one
/// carries on, and the bond goes on to set its address and MTU; with a cable it takes over again.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn serves_a_bond(case: &Case) -> Result<()> {
    // r8169 refuses both while it is suspended.
    let ours = case.is_ours();
    let (mut bench, interface) = Setup {
        neighbour: true,
        more_modules: &["bonding", "dummy"],
        ..case.setup()
    }
    .open()?;
    for module in ["bonding", "dummy"] {
        bench.insert(module)?;
    }
    bench.guest.check(&format!(
        "ip link set {interface} down; ip link set dummy0 down
        ip link add bond7 type bond mode active-backup miimon 100 || exit
        ip link set {interface} master bond7 && ip link set dummy0 master bond7 &&
        ip link set bond7 type bond primary {interface} && ip link set bond7 up"
    ))?;
    carries(&mut bench, &interface)?;
    drive::lease(&mut bench, "bond7")?;
    allow_runtime_suspend(&mut bench)?;
    drive::fetch(&mut bench)?;
    for round in ["first", "second"] {
        bench.model()?.set_link(false)?;
        carries(&mut bench, "dummy0")?;
        wait_status(&mut bench, "suspended")?;
        if ours && round == "first" {
            // Each wakes the card for a while, in which the other would find it awake.
            for change in ["mtu 1400".to_owned(), format!("address {OTHER}")] {
                bench.guest.check(&format!("ip link set bond7 {change}"))?;
                wait_status(&mut bench, "suspended")?;
            }
        }
        bench.model()?.set_link(true)?;
        carries(&mut bench, &interface)?;
        drive::lease(&mut bench, "bond7")?;
        drive::ping(&mut bench, 3)?;
        drive::fetch(&mut bench)?;
        drive::send(&mut bench)?;
    }
    if ours {
        bench.check_nothing_written_in_d3()?;
        let has = bench.guest.check(&format!(
            "cat /sys/class/net/{interface}/mtu /sys/class/net/{interface}/address"
        ))?;
        require!(
            has == format!("1400\n{OTHER}"),
            "the card that slept when its bond was changed has {has:?}"
        );
    }
    bench.guest.check(&format!(
        "ip link set {interface} nomaster; ip link del bond7"
    ))?;
    bench.finish()
}

/// Waits until that interface is the one by which the bond sends.
fn carries(bench: &mut Bench, interface: &str) -> Result<()> {
    let script = format!("test \"$(cat /sys/class/net/bond7/bonding/active_slave)\" = {interface}");
    let what = format!("{interface} to carry the bond");
    bench
        .guest
        .wait_until(&what, &script, SUSPEND_TIMEOUT)
        .map(|_| ())
}
