//! The card's interrupt line is shared: its neighbour must be heard whatever state the card is in, and the card beside it.

use lab::bench::{Bench, Driver, Setup};
use lab::dmesg::TIMED_OUT;
use lab::drive;
use lab::model::Chip;
use lab::{require, Result};

use crate::common::{case, end_tcp, only_expected_messages, start_tcp, wait_tcp, Inputs};
use crate::power::{let_it_sleep, wait_status};

/// What the kernel has written about the card so far.
fn messages(bench: &mut Bench) -> Result<String> {
    let script = format!("dmesg | grep -F {}; true", bench.device().address);
    bench.guest.check(&script)
}

/// The neighbour interrupts while the card is busy, asleep, dead, and gone.
fn shares(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&Setup {
        neighbour: true,
        more_modules: &["virtio_rng"],
        pcap: false,
        ..inputs.setup(&kernel, &model, chip, driver)
    })?;
    let name = bench.driver().name();
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    bench.insert("virtio_rng")?;
    // With nothing to do, so that no interrupt of the card's own puts right what one of the neighbour's has done to it.
    bench.interrupt_by_neighbour(Some(&interface))?;
    drive::ping(&mut bench, 3)?;

    start_tcp(&mut bench)?;
    wait_tcp(&mut bench, "beside a neighbour")?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    wait_tcp(&mut bench, "after the neighbour interrupted")?;
    end_tcp(&mut bench)?;

    let_it_sleep(&mut bench)?;
    bench.model()?.set_link(false)?;
    wait_status(&mut bench, "suspended")?;
    bench.interrupt_by_neighbour(Some(&interface))?;
    bench.check_nothing_written_asleep()?;
    wait_status(&mut bench, "suspended")?;
    bench.model()?.set_link(true)?;
    wait_status(&mut bench, "active")?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;

    // A dead card reads as all ones, which is not an interrupt of its own with every cause that there is.
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
    only_expected_messages(&mut bench, &[TIMED_OUT])?;
    bench.power_off()
}

#[test]
fn ours_shares_its_interrupt_line_on_b300() {
    case("ours_shares_its_interrupt_line_on_b300", |inputs| {
        shares(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn ours_shares_its_interrupt_line_on_b380() {
    case("ours_shares_its_interrupt_line_on_b380", |inputs| {
        shares(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn r8169_shares_its_interrupt_line() {
    case("r8169_shares_its_interrupt_line", |inputs| {
        shares(inputs, Chip::B380, Driver::R8169)
    });
}
