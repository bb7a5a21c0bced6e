//! An IOMMU lets the card reach only what its driver has mapped, and only as long as it is mapped.

use lab::bench::{Bench, Driver, Setup};
use lab::drive;
use lab::frame::request;
use lab::model::Chip;
use lab::{require, Result};

use crate::common::{case, echo_returns, guest_address, peer, start_echo, Inputs};
use crate::frames::sizes_are_counted;
use crate::xdp::attach;

/// Frames a second in a storm.
const RAIN: u32 = 3_000;

/// How often a storm closes and opens the interface.
const TIMES: u32 = 10;

/// Starts a bench behind an IOMMU, and opens the interface.
fn start(setup: &Setup<'_>) -> Result<(Bench, String)> {
    let mut bench = Bench::start(&Setup {
        iommu: true,
        ..setup.clone()
    })?;
    let interface = bench.load_and_open()?;
    let address = &bench.device().address;
    let script = format!("cat /sys/bus/pci/devices/{address}/iommu_group/type");
    let domain = bench.guest.check(&script)?;
    require!(
        domain.starts_with("DMA"),
        "the card's IOMMU domain is {domain:?}, expected one that translates"
    );
    Ok((bench, interface))
}

/// TCP both ways, with frames in pieces and segmented by the card. An access to what is not mapped is counted by the model.
fn transfers(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let (mut bench, interface) = start(&inputs.setup(&kernel, &model, chip, driver))?;
    bench
        .guest
        .check(&format!("ethtool -K {interface} sg on tso on"))?;
    drive::lease(&mut bench, &interface)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.finish()
}

/// Frames of every size, echoed by the kernel and by XDP programs.
fn frames(inputs: &Inputs) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let setup = inputs.frames(&kernel, &model, Chip::B300, inputs.ours()?);
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

/// The interface closes and opens under traffic: what the chip may reach is taken away when it has stopped, and no sooner.
fn storm(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let (mut bench, interface) = start(&Setup {
        pcap: false,
        trace: true,
        ..inputs.frames(&kernel, &model, chip, driver)
    })?;
    start_echo(&mut bench, &interface)?;
    let flood = peer(&mut bench)?.flood(request(guest_address()?, 300, 1), RAIN);
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

#[test]
fn ours_keeps_to_what_it_has_mapped_on_b300() {
    case("ours_keeps_to_what_it_has_mapped_on_b300", |inputs| {
        transfers(inputs, Chip::B300, inputs.ours()?)
    });
}

/// Nothing of it is a matter of the chip.
#[test]
fn ours_keeps_to_what_it_has_mapped_with_xdp() {
    case("ours_keeps_to_what_it_has_mapped_with_xdp", frames);
}

#[test]
fn r8169_keeps_to_what_it_has_mapped() {
    case("r8169_keeps_to_what_it_has_mapped", |inputs| {
        transfers(inputs, Chip::B380, Driver::R8169)
    });
}

#[test]
fn ours_stops_the_chip_before_it_unmaps_on_b300() {
    case("ours_stops_the_chip_before_it_unmaps_on_b300", |inputs| {
        storm(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn ours_stops_the_chip_before_it_unmaps_on_b380() {
    case("ours_stops_the_chip_before_it_unmaps_on_b380", |inputs| {
        storm(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn r8169_stops_the_chip_before_it_unmaps() {
    case("r8169_stops_the_chip_before_it_unmaps", |inputs| {
        storm(inputs, Chip::B380, Driver::R8169)
    });
}
