// SPDX-License-Identifier: GPL-2.0

//! Opening, closing and removing under traffic, again and again.

use std::time::{Duration, Instant};

use lab::bench::{Bench, Loaded};
use lab::case::{count, progress, Case};
use lab::debug::is_watching;
use lab::drive;
use lab::frame::{expected_echo, request};
use lab::setup::Setup;
use lab::traffic::{
    echo_returns, end_tcp, exchange, guest_address, peer, start_echo, start_tcp, wait_tcp, ECHO,
};
use lab::{guest_test, require, Result};

/// The number of times that the interface goes down and up, and the module goes and comes, unless
/// the caller says.
const TIMES: u32 = 20;

/// The time for which a chip is reset again and again.
const RESETS: Duration = Duration::from_secs(8);

/// The time that traffic may take to reach the card.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Frames a second that leave the guest time for interrupts.
const SLOW_FLOOD_RATE: u32 = 3_000;

/// Frames a second that keep the guest polling.
const FLOOD_RATE: u32 = 60_000;

/// TCP both ways all the time, the interface down and up; each time traffic must come back.
#[guest_test(ours = b380, alone, debug)]
fn goes_down_and_up_under_traffic(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        trace: true,
        ..case.setup()
    }
    .lease()?;
    start_tcp(&mut bench)?;
    let times = count("LAB_STORMS", TIMES)?;
    for time in 1..=times {
        progress("times down and up", time, times);
        // Closing under no traffic would show nothing.
        wait_tcp(&mut bench, &format!("before closing number {time}"))?;
        bench.guest.check(&format!(
            "ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.wait_carrier(&interface, true)?;
    }
    end_tcp(&mut bench)?;
    // The debug kernel has no kprobes.
    if !is_watching(&mut bench.guest)? {
        masks_for_good(&mut bench, &interface)?;
    }
    drive::ping(&mut bench, 5)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.finish()
}

/// The number of times that an interface is closed in the middle of a poll, and how many probes
/// make the end of a poll slow.
const CLOSINGS: u32 = 8;
const PROBES: u32 = 200;

/// The interface is closed under traffic while a poll has reported its end to the core, and has not
/// unmasked the interrupts yet: it must not do so any more when the interface is closed. Probes of
/// the kernel that walk the stack in that moment make it last for milliseconds. Of the polls in a
/// stream few end with that, as the next one is to follow; of those for single frames many do.
fn masks_for_good(bench: &mut Bench, interface: &str) -> Result<()> {
    let gateway = bench.gateway.clone();
    bench.guest.check(&format!(
        "while test ! -e /run/closed; do ping -W 1 -c 100 -i 0.03 {gateway} || sleep 0.1; done >/dev/null 2>&1 &
        mount -t tracefs none /sys/kernel/tracing; cd /sys/kernel/tracing
        for i in $(seq {PROBES}); do
            echo r:slow/p$i napi_complete_done >>kprobe_events && echo stacktrace >events/slow/p$i/trigger || exit 1
        done"
    ))?;
    for time in 1..=CLOSINGS {
        wait_traffic(bench, false, time)?;
        bench
            .guest
            .check(&format!("ip link set {interface} down; sleep 0.2"))?;
        let mask = bench.model()?.register("IntrMask")?;
        require!(
            mask == 0,
            "after closing number {time} the mask of the interrupts is {mask:#x}, expected 0x0"
        );
        bench.guest.check(&format!("ip link set {interface} up"))?;
        bench.wait_carrier(interface, true)?;
    }
    // Without triggers the probes are off; to remove them takes long.
    bench
        .guest
        .check(
            "touch /run/closed; for i in /sys/kernel/tracing/events/slow/p*; do echo '!stacktrace' >$i/trigger; done",
        )
        .map(|_| ())
}

/// A set-up for a flood of frames.
fn flooded(case: &Case) -> Setup<'_> {
    Setup {
        // The guest cannot take as many as a flood has.
        drop_when_full: true,
        trace: true,
        // A flood fills a capture with the same frame over and over.
        pcap: false,
        ..case.frames()
    }
}

/// Waits until the card has had traffic, and interrupted for it if `interrupts`; a busy host makes
/// bursts of it, which are polled.
fn wait_traffic(bench: &mut Bench, interrupts: bool, time: u32) -> Result<()> {
    let before = bench.model()?.counters()?;
    let deadline = Instant::now() + ARRIVAL;
    loop {
        bench.guest.check("sleep 0.2")?;
        let seen = bench.model()?.counters()?.since(&before);
        if seen.rx_frames > 10
            && seen.tx_frames > 10
            && (seen.interrupts_raised > 10 || !interrupts)
        {
            return Ok(());
        }
        require!(
            Instant::now() < deadline,
            "before interruption {time} the guest received {} frames, sent {}, and {} interrupts came: the driver was not busy",
            seen.rx_frames,
            seen.tx_frames,
            seen.interrupts_raised
        );
    }
}

/// Frames arrive at a rate and are echoed; the module is removed and inserted meanwhile.
#[guest_test(ours = b300, r8169 = b380, alone, debug)]
fn is_removed_and_inserted_under_traffic(case: &Case) -> Result<()> {
    let guest = guest_address()?;
    let (mut bench, interface) = flooded(case).open()?;
    start_echo(&mut bench, &interface)?;
    // A kernel that watches itself would never be done with as many.
    let slow = if is_watching(&mut bench.guest)? {
        10
    } else {
        1
    };
    let flood = peer(&mut bench)?.flood(request(guest, 300, 1), SLOW_FLOOD_RATE / slow);
    let name = bench.driver().name();
    let times = count("LAB_REMOVALS", TIMES)?;
    for time in 1..=times {
        progress("removals", time, times);
        // In a flood the driver only polls; most removals are to meet interrupts.
        let slow_flood = time % 4 != 0;
        flood.set_rate(if slow_flood {
            SLOW_FLOOD_RATE / slow
        } else {
            FLOOD_RATE
        });
        wait_traffic(&mut bench, slow_flood, time)?;
        bench.unload()?;
        bench.insert(name)?;
        let loaded = bench.bound_interface()?;
        require!(
            loaded == Loaded::Interface(interface.clone()),
            "at insertion {time} found {loaded:?}, expected {interface}"
        );
        bench.guest.check(&format!("ip link set {interface} up"))?;
        bench.wait_carrier(&interface, true)?;
        // A flood drowns the one frame for as long as it lasts, if the kernel is slow.
        flood.set_rate(SLOW_FLOOD_RATE / slow);
        echo_returns(&mut bench, time)?;
    }
    let sent = flood.stop()?;
    println!("{sent} frames were sent");
    peer(&mut bench)?.drain(ECHO / 10)?;
    let frame = request(guest, 1514, 3);
    let echo = exchange(&mut bench, &frame, ECHO)?;
    require!(
        echo == Some(expected_echo(&frame, guest)),
        "after the flood a frame does not come back as it was"
    );
    bench.unload()?;
    bench.finish()
}

/// The chip is reset again and again in a flood, while the multicast filter changes and its
/// counters are read: a filter that is set in the middle of a reset must not have the chip receive,
/// and a chip that is being stopped must not be asked for its counters.
#[guest_test(ours = b300, alone, debug)]
fn is_reset_in_a_downpour(case: &Case) -> Result<()> {
    let guest = guest_address()?;
    let (mut bench, interface) = flooded(case).open()?;
    start_echo(&mut bench, &interface)?;
    bench.guest.check(&format!(
        "while test ! -e /run/enough; do
            ip maddr add 33:33:00:00:68:68 dev {interface}; ip maddr del 33:33:00:00:68:68 dev {interface}
        done >/dev/null 2>&1 &
        while test ! -e /run/enough; do ethtool -S {interface}; done >/dev/null 2>&1 &"
    ))?;
    let flood = peer(&mut bench)?.flood(request(guest, 300, 1), FLOOD_RATE);
    // This chip must be reset after an overflow.
    bench.model()?.fault_at("rx-fifo-overflow", 100)?;
    std::thread::sleep(RESETS);
    bench.model()?.fault("rx-fifo-overflow", false)?;
    flood.stop()?;
    peer(&mut bench)?.drain(ECHO / 10)?;
    echo_returns(&mut bench, 1)?;
    bench.guest.check("touch /run/enough; sleep 0.5")?;
    bench.unload()?;
    bench.finish()
}
