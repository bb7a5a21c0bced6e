//! The rings are replaced under traffic in both directions.

use lab::bench::{Bench, Driver, Setup};
use lab::frame::request;
use lab::model::Chip;
use lab::{require, Result};

use crate::common::{case, count, guest_address, peer, start_echo, Inputs};
use crate::faults::echo_returns;

/// How often the MTU changes, there and back, unless the caller says.
const TIMES: u32 = 25;

/// Frames a second: enough that the transmit ring fills and its queue stops now and then.
const DOWNPOUR: u32 = 30_000;

/// The poll completes frames, and wakes the queue, at the very moment at which the device is made quiet.
fn mtu_under_traffic(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&Setup {
        drop_when_full: true,
        pcap: false,
        ..inputs.frames(&kernel, &model, chip, driver)
    })?;
    let interface = bench.load_and_open()?;
    start_echo(&mut bench, &interface)?;
    let flood = peer(&mut bench)?.flood(request(guest_address()?, 300, 1), DOWNPOUR);
    for time in 1..=count("LAB_CHANGES", TIMES)? {
        let before = bench.model()?.counters()?;
        bench.guest.check(&format!(
            "sleep 0.1; ip link set {interface} mtu 4000; sleep 0.1; ip link set {interface} mtu 1500"
        ))?;
        let seen = bench.model()?.counters()?.since(&before);
        require!(
            seen.rx_frames > 10 && seen.tx_frames > 10,
            "around change {time} the guest received {} frames and sent {}: that is no storm",
            seen.rx_frames,
            seen.tx_frames
        );
        flood.set_rate(DOWNPOUR / 30);
        echo_returns(&mut bench, time)?;
        flood.set_rate(DOWNPOUR);
    }
    flood.stop()?;
    bench.finish()
}

#[test]
fn ours_changes_its_mtu_under_traffic_on_b380() {
    case("ours_changes_its_mtu_under_traffic_on_b380", |inputs| {
        mtu_under_traffic(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn r8169_changes_its_mtu_under_traffic() {
    case("r8169_changes_its_mtu_under_traffic", |inputs| {
        mtu_under_traffic(inputs, Chip::B380, Driver::R8169)
    });
}
