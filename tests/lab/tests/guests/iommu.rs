// SPDX-License-Identifier: GPL-2.0

//! An IOMMU lets the card reach only what its driver has mapped, and only as long as it is mapped.

use lab::bench::Bench;
use lab::case::Case;
use lab::drive;
use lab::frame::request;
use lab::setup::Setup;
use lab::traffic::{echo_returns, guest_address, peer, start_echo};
use lab::{guest_test, require, Result};

use crate::frames::sizes_are_counted;
use crate::xdp::attach;

/// Frames a second while the interface is closed and opened.
const FLOOD_RATE: u32 = 3_000;

/// The number of times that the interface is closed and opened.
const TIMES: u32 = 10;

/// Starts a bench behind an IOMMU, and opens the interface.
fn start(setup: &Setup<'_>) -> Result<(Bench, String)> {
    let (mut bench, interface) = Setup {
        iommu: true,
        ..setup.clone()
    }
    .open()?;
    let address = &bench.device().address;
    let script = format!("cat /sys/bus/pci/devices/{address}/iommu_group/type");
    let domain = bench.guest.check(&script)?;
    require!(
        domain.starts_with("DMA"),
        "the card's IOMMU domain is {domain:?}, expected one that translates"
    );
    Ok((bench, interface))
}

/// TCP both ways, with frames in pieces and segmented by the card. An access to what is not mapped
/// is counted by the model.
#[guest_test(ours(b300), r8169 = b380, debug)]
fn keeps_to_what_it_has_mapped(case: &Case) -> Result<()> {
    let (mut bench, interface) = start(&case.setup())?;
    bench
        .guest
        .check(&format!("ethtool -K {interface} sg on tso on"))?;
    drive::lease(&mut bench, &interface)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.finish()
}

/// Frames of every size, echoed by the kernel and by XDP programs.
#[guest_test(name = "ours_keeps_to_what_it_has_mapped_with_xdp", ours = b300, debug)]
fn keeps_to_what_it_has_mapped_with_xdp(case: &Case) -> Result<()> {
    let setup = case.frames();
    let (mut bench, interface) = start(&setup)?;
    bench
        .guest
        .check("for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done")?;
    for task in ["echo", "redirect"] {
        attach(&mut bench, &interface, task)?;
        sizes_are_counted(&mut bench, &interface)?;
    }
    attach(&mut bench, &interface, "pass")?;
    start_echo(&mut bench, &interface)?;
    sizes_are_counted(&mut bench, &interface)?;
    bench.finish()
}

/// The interface closes and opens under traffic: what the chip may reach is taken away when it has
/// stopped, and no sooner.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn stops_the_chip_before_it_unmaps(case: &Case) -> Result<()> {
    let (mut bench, interface) = start(&Setup {
        pcap: false,
        trace: true,
        ..case.frames()
    })?;
    start_echo(&mut bench, &interface)?;
    let flood = peer(&mut bench)?.flood(request(guest_address()?, 300, 1), FLOOD_RATE);
    for time in 1..=TIMES {
        bench.guest.check(&format!(
            "sleep 0.2; ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.wait_carrier(&interface, true)?;
        echo_returns(&mut bench, time)?;
    }
    flood.stop()?;
    bench.finish()
}
