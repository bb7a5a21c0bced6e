// SPDX-License-Identifier: GPL-2.0

//! Little memory for a long time, and jumbo frames, each buffer of which is two pages in a row.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::case::{count, progress, Case};
use lab::frame::{self, expected_echo, request};
use lab::setup::Setup;
use lab::traffic::{echo_returns, exchange, guest_address, peer, start_echo, ECHO};
use lab::{guest_test, require, Result};

/// How long it lasts, in seconds, unless the caller says.
const TIME: u32 = 30;

/// How often the interface gets its rings anew meanwhile.
const ROUND: Duration = Duration::from_secs(10);

/// The largest MTU of the chip.
const MTU: usize = 4074;

/// Frames a second, which even a kernel that watches itself can echo.
const FLOOD_RATE: u32 = 500;

/// Takes all memory but for some MiB, and gives it back in pieces, again and again.
const HOG: &str = "hog() {
        free=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)
        for i in $(seq 16); do head -c $(((free - 32768) / 16))k /dev/zero >/tmp/hog$i; done
        rm -f /tmp/hog?; sleep 0.3; rm -f /tmp/hog*
    }
    while test ! -e /run/enough; do hog; done >/dev/null 2>&1 &";

#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn survives_memory_pressure(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        // Without memory the guest cannot take as many, and what it does not take is to be lost.
        drop_when_full: true,
        pcap: false,
        trace: true,
        ..case.frames()
    }
    .open()?;
    start_echo(&mut bench, &interface)?;
    let widen = format!("ip link set {interface} mtu {MTU}");
    bench.guest.check(&widen)?;
    bench.wait_carrier(&interface, true)?;
    let longest = MTU + frame::HEADER;
    let guest = guest_address()?;
    bench.guest.check(HOG)?;
    let flood = peer(&mut bench)?.flood(request(guest, longest, 1), FLOOD_RATE);
    let seconds = count("LAB_PRESSURE", TIME)?;
    let times = seconds.div_ceil(ROUND.as_secs() as u32);
    let begin = Instant::now();
    for time in 1..=times {
        progress("rounds of little memory", time, times);
        // They may fail, and then all is to stay as it was.
        bench
            .guest
            .run(&format!("ip link set {interface} mtu 1500; {widen}"))?;
        echo_returns(&mut bench, time)?;
        sleep((ROUND * time).saturating_sub(begin.elapsed()));
    }
    flood.stop()?;
    let dropped = bench.guest.check(&format!(
        "touch /run/enough; sleep 2; rm -f /tmp/hog*; cat /sys/class/net/{interface}/statistics/rx_dropped"
    ))?;
    println!("{dropped} frames found no memory in {seconds} s");
    bench.guest.check(&widen)?;
    peer(&mut bench)?.drain(ECHO / 10)?;
    let frame = request(guest, longest, 3);
    let echo = exchange(&mut bench, &frame, ECHO)?;
    require!(
        echo == Some(expected_echo(&frame, guest)),
        "when there is memory again a frame of {longest} bytes does not come back as it was"
    );
    bench.finish()
}
