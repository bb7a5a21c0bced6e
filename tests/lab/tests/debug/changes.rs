// SPDX-License-Identifier: GPL-2.0

//! The rings are replaced under traffic in both directions.

use lab::case::{count, progress, Case};
use lab::frame::request;
use lab::setup::Setup;
use lab::traffic::{echo_returns, guest_address, peer, start_echo};
use lab::{guest_test, require, Result};

/// The number of times that they are replaced, there and back, unless the caller says.
const TIMES: u32 = 25;

/// Frames a second: enough that the transmit ring fills and its queue stops now and then.
const FLOOD_RATE: u32 = 30_000;

/// The changes by the MTU: other buffers in as many descriptors.
const MTU: [&str; 2] = ["ip link set PORT mtu 4000", "ip link set PORT mtu 1500"];

/// The changes by `ethtool -G`, from the smallest to the largest; r8169 cannot.
const SIZES: [&str; 2] = [
    "ethtool -G PORT rx 16 tx 32",
    "ethtool -G PORT rx 1024 tx 1024",
];

#[guest_test(ours(b380), r8169 = b380, debug)]
fn changes_its_mtu_under_traffic(case: &Case) -> Result<()> {
    under_traffic(case, MTU)
}

#[guest_test(ours(b300), debug)]
fn changes_its_rings_under_traffic(case: &Case) -> Result<()> {
    under_traffic(case, SIZES)
}

/// Changes there and back in a flood: the poll completes frames, and wakes the queue, at the very
/// moment at which the device is made quiet.
fn under_traffic(case: &Case, [there, back]: [&str; 2]) -> Result<()> {
    let (mut bench, interface) = Setup {
        // The guest cannot take as many.
        drop_when_full: true,
        pcap: false,
        trace: true,
        ..case.frames()
    }
    .open()?;
    start_echo(&mut bench, &interface)?;
    let change = format!("sleep 0.1; {there}; sleep 0.1; {back}").replace("PORT", &interface);
    let flood = peer(&mut bench)?.flood(request(guest_address()?, 300, 1), FLOOD_RATE);
    let times = count("LAB_CHANGES", TIMES)?;
    for time in 1..=times {
        progress("changes", time, times);
        let before = bench.model()?.counters()?;
        bench.guest.check(&change)?;
        let seen = bench.model()?.counters()?.since(&before);
        require!(
            seen.rx_frames > 10 && seen.tx_frames > 10,
            "around change {time} the guest received {} frames and sent {}: the driver was not busy",
            seen.rx_frames,
            seen.tx_frames
        );
        flood.set_rate(FLOOD_RATE / 30);
        echo_returns(&mut bench, time)?;
        flood.set_rate(FLOOD_RATE);
    }
    flood.stop()?;
    bench.finish()
}
