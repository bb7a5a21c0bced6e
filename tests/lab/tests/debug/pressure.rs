// SPDX-License-Identifier: GPL-2.0

//! Little memory for a long time, and jumbo frames, each buffer of which is two pages in a row.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::bench::Bench;
use lab::case::{count, progress, Case};
use lab::drive::statistic;
use lab::frame::{self, expected_echo, request};
use lab::setup::Setup;
use lab::traffic::{echo_returns, exchange, guest_address, peer, start_echo, ECHO};
use lab::{guest_test, require, Result};

/// The time for which it lasts, in seconds, unless the caller says.
const TIME: u32 = 30;

/// The interval at which the interface gets its rings anew meanwhile.
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

/// Memory below 4 GiB, in MiB. The guest has about as much above.
const LOW_MEMORY: u32 = 520;

/// Takes all memory but for some MiB, and gives back what it took first. That was memory above
/// 4 GiB: everything in the guest has enough of that now, and what is below, the only memory that
/// the card can reach, is nearly gone.
const TAKE_LOW_MEMORY: &str = "echo 4096 >/proc/sys/vm/min_free_kbytes
    file=0
    while test $(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) -gt 24576; do
        file=$((file + 1)); head -c 8192k /dev/zero >/tmp/low$file || exit
    done
    test $file -gt 32 || { echo \"$((file * 8)) MiB were available\"; exit 1; }
    for first in $(seq 16); do rm /tmp/low$first; done";

/// The time that it may take, and frames at the flood's rate to take the rest.
const SHORTAGE: Duration = Duration::from_secs(180);

/// Frames that are dropped before the shortage ends.
const DROPPED: u64 = 200;

/// No memory that the card can reach is left, while the flood goes on: a socket keeps the frames
/// that it gets. The driver must count frames that it has found no memory for, and receive again
/// when there is some.
fn runs_out_of_memory(bench: &mut Bench, interface: &str, time: u32) -> Result<()> {
    let before = statistic(bench, interface, "rx_dropped")?;
    bench.guest.check_within(TAKE_LOW_MEMORY, SHORTAGE)?;
    bench.guest.check(&format!(
        "guest-echo hold {interface} >/run/hold.log 2>&1 & echo $! >/run/hold"
    ))?;
    bench.guest.wait_until(
        "the driver to find no memory for frames",
        &format!("test $(cat /sys/class/net/{interface}/statistics/rx_dropped) -gt $(({before} + {DROPPED}))"),
        SHORTAGE,
    )?;
    let held = bench.guest.check(
        "cat /run/hold.log; grep -A1 'zone *DMA32' /proc/zoneinfo; kill $(cat /run/hold); rm /tmp/low*",
    )?;
    println!("{}", held.split_whitespace().collect::<Vec<_>>().join(" "));
    echo_returns(bench, time)?;
    let after = statistic(bench, interface, "rx_dropped")?;
    sleep(ECHO / 5);
    let later = statistic(bench, interface, "rx_dropped")?;
    println!("{} frames found no memory below 4 GiB", after - before);
    require!(
        later == after,
        "{} frames find no memory although there is some again, expected none",
        later - after
    );
    Ok(())
}

#[guest_test(ours(b300, b380), r8169 = b380, memory = 512, debug)]
fn survives_memory_pressure(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        // Without memory the guest cannot take as many, and what it does not take is to be lost.
        drop_when_full: true,
        pcap: false,
        trace: true,
        low_memory_mib: Some(LOW_MEMORY),
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
    bench
        .guest
        .check("touch /run/enough; sleep 2; rm -f /tmp/hog*")?;
    let dropped = statistic(&mut bench, &interface, "rx_dropped")?;
    println!("{dropped} frames found no memory in {seconds} s");
    bench.guest.check(&widen)?;
    if case.is_ours() {
        // r8169 receives into buffers that it keeps, and copies into memory of any kind.
        runs_out_of_memory(&mut bench, &interface, times + 1)?;
    }
    flood.stop()?;
    peer(&mut bench)?.drain(ECHO / 10)?;
    let frame = request(guest, longest, 3);
    let echo = exchange(&mut bench, &frame, ECHO)?;
    require!(
        echo == Some(expected_echo(&frame, guest)),
        "when there is memory again a frame of {longest} bytes does not come back as it was"
    );
    bench.finish()
}
