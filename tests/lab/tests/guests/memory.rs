// SPDX-License-Identifier: GPL-2.0

//! Memory that a card of 32 bits cannot reach, or may not: what it costs, and what others pay for
//! it.

use std::time::Duration;

use lab::bench::{Bench, Loaded};
use lab::case::Case;
use lab::debug::is_watching;
use lab::drive;
use lab::frame::request;
use lab::process::wait_for;
use lab::setup::{Driver, Setup};
use lab::traffic::{guest_address, peer, start_echo, ECHO};
use lab::{guest_test, require, Result};

use crate::xdp::attach;

/// The number of connections that are not read from, and what each may have in its receive buffer.
const UNREAD: u32 = 24;
const RECEIVE_BUFFER: u32 = 1 << 20;

/// The minimum that they have together, in pages.
const PILED_UP: u64 = 4096;

/// The most of the 4096 slots of 2 KiB to bounce in that may be in use: our rings may have pages
/// that are bounced, two slots for two buffers. r8169 has 256 buffers of 16 KiB.
const SLOTS: u64 = 1024;
const SLOTS_R8169: u64 = 2560;

/// The number in a file of the guest's.
fn number_in(bench: &mut Bench, script: &str) -> Result<u64> {
    let text = bench.guest.check(script)?;
    text.trim().parse().map_err(|_| {
        lab::Error::Unmet(format!(
            "{script} says {text:?} in the guest, expected a number"
        ))
    })
}

/// Peers fill the receive buffers of sockets that are not read from. The others must not be
/// affected.
fn pile_up(bench: &mut Bench, when: &str) -> Result<()> {
    let url = bench.url("body")?;
    bench.guest.check(&format!(
        "echo 4096 {RECEIVE_BUFFER} {RECEIVE_BUFFER} >/proc/sys/net/ipv4/tcp_rmem
        for i in $(seq {UNREAD}); do curl -s {url} | sleep 1000 & done; sleep 5"
    ))?;
    let used = number_in(bench, "cat /sys/kernel/debug/swiotlb/io_tlb_used")?;
    drive::ping(bench, 5)?;
    let held = number_in(bench, "sed -n 's/^TCP: .* mem //p' /proc/net/sockstat")?;
    require!(
        held >= PILED_UP,
        "{when}: unread sockets hold {held} pages, expected {PILED_UP}: nothing has piled up"
    );
    let most = match bench.driver() {
        Driver::R8169 => SLOTS_R8169,
        _ => SLOTS,
    };
    require!(
        used < most,
        "{when}: {used} slots to bounce in are in use, expected less than {most}"
    );
    drive::fetch(bench)?;
    drive::send(bench)?;
    bench
        .guest
        .check("killall sleep curl; sleep 0.5")
        .map(|_| ())
}

/// The flag of an allocation that may wait until memory has been freed, `__GFP_DIRECT_RECLAIM`.
const MAY_WAIT: u64 = 0x400;

/// An interface that is opened waits for memory if need be, as r8169's does. Whether it may shows
/// what it asks the page pool for.
fn waits_for_memory(bench: &mut Bench, interface: &str) -> Result<()> {
    let trace = bench.guest.check(&format!(
        "mount -t tracefs none /sys/kernel/tracing; cd /sys/kernel/tracing
        echo 'p:buffer page_pool_alloc_frag_netmem flags=%cx:u32' >kprobe_events
        ip link set {interface} down; echo 1 >events/kprobes/buffer/enable
        ip link set {interface} up; echo 0 >events/kprobes/buffer/enable
        sed -n 's/^ *ip-.*flags=//p' trace; echo >kprobe_events"
    ))?;
    let waiting = trace.lines().filter_map(|line| line.parse::<u64>().ok());
    let waiting: Vec<bool> = waiting.map(|flags| flags & MAY_WAIT != 0).collect();
    require!(
        waiting.len() >= 256 && waiting.iter().all(|&may| may),
        "of {} allocations while the interface was opened {} might wait, expected 256 and all",
        waiting.len(),
        waiting.iter().filter(|&&may| may).count()
    );
    bench.wait_carrier(interface, true)?;
    drive::lease(bench, interface).map(|_| ())
}

/// Most memory is above 4 GiB, where the card cannot reach it, and there is no IOMMU.
#[guest_test(ours = b300, r8169 = b380, memory = 6144, debug)]
fn leaves_bounce_buffers_to_others(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        append: "swiotlb=4096",
        ..case.setup()
    }
    .lease()?;
    // The debug kernel has no kprobes.
    if case.is_ours() && !is_watching(&mut bench.guest)? {
        waits_for_memory(&mut bench, &interface)?;
    }
    pile_up(&mut bench, "with 6 GiB")?;
    bench.finish()
}

/// All that the card is to reach is bounced, wherever it is, as in a guest whose memory is
/// encrypted.
#[guest_test(ours = b380, debug)]
fn leaves_bounce_buffers_to_others_where_all_is_bounced(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        append: "swiotlb=4096,force",
        ..case.with_echo()
    }
    .lease()?;
    pile_up(&mut bench, "bounced")?;
    if case.is_ours() {
        attach(&mut bench, &interface, "pass")?;
        pile_up(&mut bench, "bounced, with XDP")?;
    }
    bench.finish()
}

/// Frames that are sent to the guest, and how many at a time.
const BATCHES: u32 = 10;
const BATCH: u32 = 20;

/// The kernel's warning, once, about the first frame that is out of the card's reach.
const OUT_OF_REACH: [&str; 4] = [
    "[ cut here ]",
    "kernel/dma/direct",
    "Tainted:",
    "Call Trace",
];

/// Most memory is out of the card's reach, and there is nothing to bounce in. What is received
/// comes through; what cannot be sent is dropped and counted, and nothing else happens.
#[guest_test(ours(b300, b380), memory = 6144, debug)]
fn copes_with_memory_out_of_reach(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        append: "swiotlb=noforce",
        ..case.frames()
    }
    .open()?;
    start_echo(&mut bench, &interface)?;
    let guest = guest_address()?;
    let statistics = format!("/sys/class/net/{interface}/statistics");
    let before = number_in(&mut bench, &format!("cat {statistics}/rx_packets"))?;
    let (mut echoes, mut dropped) = (0, 0);
    // The echo's socket has room for some dozens.
    for batch in 1..=BATCHES {
        for number in 0..BATCH {
            peer(&mut bench)?.send(&request(guest, 60 + number as usize * 70, batch))?;
        }
        wait_for("each frame to be echoed or dropped", ECHO, || {
            while peer(&mut bench)?.receive(Duration::ZERO)?.is_some() {
                echoes += 1;
            }
            dropped = number_in(&mut bench, &format!("cat {statistics}/tx_dropped"))?;
            Ok((echoes + dropped >= u64::from(batch * BATCH)).then_some(()))
        })?;
    }
    let received = number_in(&mut bench, &format!("cat {statistics}/rx_packets"))? - before;
    println!("{echoes} echoes, {dropped} frames dropped");
    require!(
        dropped > 0 && received == u64::from(BATCHES * BATCH),
        "of {} frames {received} were received, and {dropped} were dropped on their way back; expected all, and some",
        BATCHES * BATCH
    );
    bench.guest.check(&format!(
        "ip link set {interface} down; ip link set {interface} up; ethtool -t {interface} offline; ip link set {interface} mtu 4000"
    ))?;
    bench.wait_carrier(&interface, true)?;
    bench.unload()?;
    let problems = bench.kernel_problems()?;
    let times = problems
        .iter()
        .filter(|problem| problem.line.contains(OUT_OF_REACH[1]));
    require!(
        times.count() <= 1,
        "the kernel warns more than once: {problems:?}"
    );
    bench.only_expected_messages(&OUT_OF_REACH)?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// Its receive buffers are out of reach, so that it does not even open.
#[guest_test(name = "r8169_copes_with_memory_out_of_reach", r8169 = b380, memory = 6144)]
fn refuses_to_open_with_memory_out_of_reach(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        append: "swiotlb=noforce",
        ..case.frames()
    })?;
    let Loaded::Interface(interface) = bench.load()? else {
        return Err(lab::Error::Unmet("r8169 has no interface".to_owned()));
    };
    let up = bench.guest.run(&format!("ip link set {interface} up"))?;
    require!(
        up.status != 0,
        "r8169 opens with buffers that are out of the card's reach"
    );
    bench.unload()?;
    bench.only_expected_messages(&OUT_OF_REACH)?;
    bench.power_off()
}
