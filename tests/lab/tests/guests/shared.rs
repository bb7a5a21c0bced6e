// SPDX-License-Identifier: GPL-2.0

//! The card's interrupt line is shared: interrupts of its neighbour must be handled in every state
//! of the card, and the card's beside them.

use lab::bench::Bench;
use lab::case::Case;
use lab::dmesg::TIMED_OUT;
use lab::drive;
use lab::setup::Setup;
use lab::traffic::{end_tcp, start_tcp, wait_tcp};
use lab::{guest_test, require, Result};

use crate::power::{allow_runtime_suspend, wait_status};

/// Returns the kernel's messages about the card so far.
fn messages(bench: &mut Bench) -> Result<String> {
    let script = format!("dmesg | grep -F {}; true", bench.device().address);
    bench.guest.check(&script)
}

/// The neighbour interrupts while the card is busy, suspended, gone, and removed.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn shares_its_interrupt_line(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        neighbour: true,
        more_modules: &["virtio_rng"],
        pcap: false,
        ..case.setup()
    })?;
    let name = bench.driver().name();
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    bench.insert("virtio_rng")?;
    // With nothing to do, so that no interrupt of the card's own puts right what one of the
    // neighbour's has done to it.
    bench.interrupt_by_neighbour(Some(&interface))?;
    drive::ping(&mut bench, 3)?;

    start_tcp(&mut bench)?;
    wait_tcp(&mut bench, "beside a neighbour")?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    wait_tcp(&mut bench, "after the neighbour interrupted")?;
    end_tcp(&mut bench)?;

    allow_runtime_suspend(&mut bench)?;
    bench.model()?.set_link(false)?;
    wait_status(&mut bench, "suspended")?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    bench.check_nothing_written_in_d3()?;
    wait_status(&mut bench, "suspended")?;
    bench.model()?.set_link(true)?;
    wait_status(&mut bench, "active")?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;

    // A dead card reads as all ones, which is not an interrupt of its own with every cause that
    // there is.
    bench.model()?.fault("gone", true)?;
    let before = messages(&mut bench)?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    let after = messages(&mut bench)?;
    require!(
        after == before,
        "when the neighbour of the dead card interrupted, the kernel had this to say besides: {}",
        after.strip_prefix(&before).unwrap_or(&after)
    );

    let address = bench.device().address.clone();
    bench
        .guest
        .check(&format!("echo 1 >/sys/bus/pci/devices/{address}/remove"))?;
    bench.interrupt_by_neighbour(None)?;
    bench.unload()?;
    bench.interrupt_by_neighbour(None)?;
    bench.model()?.fault("gone", false)?;
    bench.guest.check("echo 1 >/sys/bus/pci/rescan")?;
    bench.insert(name)?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(&mut bench, &interface)?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    drive::fetch(&mut bench)?;
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.power_off()
}
