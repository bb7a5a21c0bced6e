// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that the driver itself runs on what it receives.

use std::time::Duration;

use lab::bench::Bench;
use lab::case::Case;
use lab::frame::request;
use lab::setup::Setup;
use lab::traffic::{exchange, guest_address, start_echo, ECHO};
use lab::{drive, guest_test, require, Result};

use crate::frames::{every_size, sizes_are_counted};

/// A frame that was to come back would within this time.
const SILENCE: Duration = Duration::from_millis(400);

/// The largest MTU with which a frame, 256 bytes in front of it and the `skb_shared_info` behind it
/// are one page.
const LIMIT: u32 = 3498;

/// Attaches a program in place of the one before.
pub fn attach(bench: &mut Bench, interface: &str, task: &str) -> Result<()> {
    detach(bench, interface)?;
    bench.guest.check(&format!(
        "guest-echo xdp {interface} {task} >/run/xdp.log 2>&1 & echo $! >/run/xdp.pid"
    ))?;
    let attached = "grep -q attached /run/xdp.log";
    let what = format!("the program {task} to be attached");
    bench.guest.wait_until(&what, attached, ECHO).map(|_| ())
}

/// Removes the program, if there is one.
fn detach(bench: &mut Bench, interface: &str) -> Result<()> {
    bench
        .guest
        .check("[ ! -e /run/xdp.pid ] || kill $(cat /run/xdp.pid); rm -f /run/xdp.pid")?;
    let gone = format!("! ip link show dev {interface} | grep prog/xdp");
    bench
        .guest
        .wait_until("the program to be gone", &gone, ECHO)
        .map(|_| ())
}

/// Requires that the guest answers a frame, or does not.
fn require_answer(bench: &mut Bench, when: &str, expected: bool) -> Result<()> {
    let frame = request(guest_address()?, 200, 1);
    let limit = if expected { ECHO } else { SILENCE };
    let answered = exchange(bench, &frame, limit)?.is_some();
    require!(
        answered == expected,
        "{when}: a frame was answered: {answered}, expected {expected}"
    );
    Ok(())
}

/// Requires that the driver refuses a program, or an MTU, and that both are then as before.
fn limits(bench: &mut Bench, interface: &str) -> Result<()> {
    let mtu = |mtu: u32| format!("ip link set {interface} mtu {mtu}");
    bench.guest.check(&mtu(LIMIT))?;
    // Flow control goes with a large MTU, so that the link is negotiated again.
    bench.wait_carrier(interface, true)?;
    require_answer(bench, "at the limit", true)?;
    let above = bench.guest.run(&mtu(LIMIT + 1))?;
    require!(
        above.status != 0,
        "an MTU of {} is accepted beside a program",
        LIMIT + 1
    );
    require_answer(bench, "after an MTU that was refused", true)?;
    detach(bench, interface)?;
    bench.guest.check(&mtu(LIMIT + 1))?;
    let refused = bench
        .guest
        .run(&format!("guest-echo xdp {interface} pass 2>&1"))?;
    require!(
        refused.status != 0 && refused.text.contains("not supported"),
        "a program at an MTU of {} was not refused as not supported: {}",
        LIMIT + 1,
        refused.text
    );
    bench.guest.check(&mtu(1500))?;
    bench.wait_carrier(interface, true)
}

/// Nothing of it is a matter of the chip; the kernel's selftests are run on both.
#[guest_test(ours = b300, debug)]
fn runs_xdp_programs(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        pcap: true,
        ..case.frames()
    })?;
    bench
        .guest
        .check("for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done")?;
    let interface = bench.load_and_open()?;
    // Only the program echoes yet. Short frames show that what it cut is padded.
    attach(&mut bench, &interface, "echo")?;
    sizes_are_counted(&mut bench, &interface)?;
    bench
        .guest
        .check(&format!("ethtool -G {interface} rx 64 tx 64"))?;
    every_size(&mut bench)?;
    // One poll may redirect 64 frames, and does on a slow kernel: only then it looks for what was
    // sent.
    bench
        .guest
        .check(&format!("ethtool -G {interface} tx 256"))?;
    attach(&mut bench, &interface, "redirect")?;
    sizes_are_counted(&mut bench, &interface)?;
    limits(&mut bench, &interface)?;
    require_answer(&mut bench, "without a program", false)?;

    start_echo(&mut bench, &interface)?;
    attach(&mut bench, &interface, "pass")?;
    sizes_are_counted(&mut bench, &interface)?;
    attach(&mut bench, &interface, "drop")?;
    let before = drive::statistic(&mut bench, &interface, "rx_packets")?;
    require_answer(&mut bench, "with a program that drops", false)?;
    let received = drive::statistic(&mut bench, &interface, "rx_packets")? - before;
    require!(
        received == 1,
        "{received} frames were received of 1 that a program dropped"
    );
    detach(&mut bench, &interface)?;
    require_answer(&mut bench, "with the program gone", true)?;
    bench.finish()
}
