//! A chip that fails, disappears or lies: it may cost frames, and nothing else.

use std::thread::sleep;
use std::time::Duration;

use lab::bench::{Bench, Driver};
use lab::model::Chip;
use lab::process::wait_for;
use lab::{drive, Result};

use crate::common::{case, only_expected_messages, Inputs, TIMED_OUT};

/// The watchdog of the network core waits for five seconds, on a machine that is not in a hurry.
const WATCHDOG: Duration = Duration::from_secs(40);

/// How long traffic may take to come back.
const RECOVERY: Duration = Duration::from_secs(30);

/// How long each fault lasts.
const SPELL: Duration = Duration::from_secs(3);

/// Traffic both ways in the background, and a multicast filter that changes all the time, until
/// `/run/enough` exists.
fn traffic(bench: &mut Bench, interface: &str) -> Result<()> {
    bench
        .guest
        .check(&format!(
            "loop() {{ while test ! -e /run/enough; do \"$@\" >/dev/null 2>&1; done; }}
            join() {{ ip maddr add 33:33:00:00:68:68 dev {interface}; ip maddr del 33:33:00:00:68:68 dev {interface}; }}
            loop ping -W 1 -c 200 -i 0.005 -s 1400 10.81.68.1 &
            loop join &"
        ))
        .map(|_| ())
}

fn recovered(bench: &mut Bench, after: &str) -> Result<()> {
    wait_for(
        &format!("a ping to be answered after {after}"),
        RECOVERY,
        || {
            let ping = bench.guest.run("ping -c 1 -W 1 10.81.68.1")?;
            Ok((ping.status == 0).then_some(()))
        },
    )
}

/// Sending stalls; the watchdog sees it, the driver resets the chip, and traffic comes back.
fn times_out(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&inputs.setup(&kernel, &model, chip, driver))?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    traffic(&mut bench, &interface)?;
    for _ in 0..2 {
        let before = bench.guest.console()?.matches(TIMED_OUT).count();
        bench.model()?.fault("tx-stall", true)?;
        wait_for("the watchdog to see that nothing is sent", WATCHDOG, || {
            Ok((bench.guest.console()?.matches(TIMED_OUT).count() > before).then_some(()))
        })?;
        bench.model()?.fault("tx-stall", false)?;
        recovered(&mut bench, "a transmit timeout")?;
    }
    bench.guest.check("touch /run/enough")?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    only_expected_messages(&mut bench, &[TIMED_OUT])?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// Each way to fail for a while, under traffic. After each the chip must be as good as new.
fn survives_failures(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&inputs.setup(&kernel, &model, chip, driver))?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    traffic(&mut bench, &interface)?;
    for fault in [
        "lost-doorbell",
        "lost-interrupt",
        "spurious-interrupt",
        "delay-own",
        "bad-checksum",
        "crc-error",
        "runt",
        "giant",
        "rx-fifo-overflow",
        "link-flap",
    ] {
        bench.model()?.fault(fault, true)?;
        sleep(SPELL);
        bench.model()?.fault(fault, false)?;
        recovered(&mut bench, fault)?;
    }
    bench.guest.check("touch /run/enough")?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    only_expected_messages(&mut bench, &[TIMED_OUT])?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// The card is pulled out under traffic: no hang, no complaint, and another one works.
fn survives_removal(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&inputs.setup(&kernel, &model, chip, driver))?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    traffic(&mut bench, &interface)?;
    bench.model()?.fault("gone", true)?;
    sleep(SPELL);
    for command in [
        format!("ip -s link show {interface}"),
        format!("ethtool {interface}"),
        format!("ip link set {interface} down"),
        format!("ip link set {interface} up || true"),
        format!("ip link set {interface} down || true"),
    ] {
        bench.guest.check(&command)?;
    }
    bench.guest.check("touch /run/enough")?;
    bench.unload()?;
    bench.model()?.fault("gone", false)?;
    // Its configuration is lost, as after power-on: the bus must find it again.
    bench.guest.check(
        "for d in /sys/bus/pci/devices/*; do
            test $(cat $d/vendor) = 0x10ec && echo 1 >$d/remove
        done; echo 1 >/sys/bus/pci/rescan",
    )?;
    bench.insert("r8168_rust")?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(&mut bench, &interface)?;
    drive::fetch(&mut bench)?;
    only_expected_messages(&mut bench, &[TIMED_OUT])?;
    bench.power_off()
}

/// Registers, descriptors and interrupts are anything at all for a while, from several seeds.
fn survives_lies(inputs: &Inputs, chip: Chip, driver: Driver) -> Result<()> {
    let (kernel, model) = (inputs.kernel()?, inputs.model()?);
    let mut bench = Bench::start(&inputs.setup(&kernel, &model, chip, driver))?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    traffic(&mut bench, &interface)?;
    for seed in 1..=6 {
        bench.model()?.lie(seed)?;
        sleep(SPELL);
        // What the driver believed about the link or the filter may be a lie: it starts anew.
        bench.guest.run(&format!(
            "ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.model()?.fault("lie", false)?;
        bench.guest.check(&format!(
            "ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.wait_carrier(&interface, true)?;
        recovered(&mut bench, &format!("lies from seed {seed}"))?;
    }
    bench.guest.check("touch /run/enough")?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    only_expected_messages(&mut bench, &[TIMED_OUT])?;
    bench.power_off()
}

#[test]
fn ours_recovers_from_transmit_timeouts_on_b300() {
    case("ours_recovers_from_transmit_timeouts_on_b300", |inputs| {
        times_out(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn ours_recovers_from_transmit_timeouts_on_b380() {
    case("ours_recovers_from_transmit_timeouts_on_b380", |inputs| {
        times_out(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn r8169_recovers_from_transmit_timeouts() {
    case("r8169_recovers_from_transmit_timeouts", |inputs| {
        times_out(inputs, Chip::B380, Driver::R8169)
    });
}

#[test]
fn ours_survives_failures_of_b300() {
    case("ours_survives_failures_of_b300", |inputs| {
        survives_failures(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn ours_survives_failures_of_b380() {
    case("ours_survives_failures_of_b380", |inputs| {
        survives_failures(inputs, Chip::B380, inputs.ours()?)
    });
}

#[test]
fn ours_survives_the_removal_of_its_card() {
    case("ours_survives_the_removal_of_its_card", |inputs| {
        survives_removal(inputs, Chip::B300, inputs.ours()?)
    });
}

#[test]
fn ours_survives_lies() {
    case("ours_survives_lies", |inputs| {
        survives_lies(inputs, Chip::B300, inputs.ours()?)
    });
}
