// SPDX-License-Identifier: GPL-2.0

//! A chip that fails, disappears or lies: it may cost frames, and nothing else.

use std::thread::sleep;
use std::time::Duration;

use lab::bench::Bench;
use lab::case::Case;
use lab::dmesg::TIMED_OUT;
use lab::process::wait_for;
use lab::traffic::{end_tcp, start_tcp, wait_tcp};
use lab::{drive, guest_test, require, watch, Result};

/// The watchdog of the network core waits for five seconds, on a machine that is not busy.
const WATCHDOG: Duration = Duration::from_secs(40);

/// The time that traffic may take to come back.
const RECOVERY: Duration = Duration::from_secs(30);

/// The time for which each fault lasts.
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
    // The watchdog may have to see to it.
    wait_for(
        &format!("a ping to be answered after {after}"),
        WATCHDOG + RECOVERY,
        || {
            let ping = bench.guest.run("ping -c 1 -W 1 10.81.68.1")?;
            Ok((ping.status == 0).then_some(()))
        },
    )
}

/// Sending stalls; the watchdog sees it, the driver resets the chip, and traffic comes back.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn recovers_from_transmit_timeouts(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    traffic(&mut bench, &interface)?;
    for _ in 0..2 {
        let before = bench.guest.console()?.matches(TIMED_OUT).count();
        bench.model()?.fault("tx-stall", true)?;
        wait_for("the watchdog to see that nothing is sent", WATCHDOG, || {
            Ok((bench.guest.console()?.matches(TIMED_OUT).count() > before).then_some(()))
        })?;
        let noted = case.inputs.artifacts.join(watch::STATE);
        wait_for("the lab to note what the chip holds", RECOVERY, || {
            let text = std::fs::read_to_string(&noted).unwrap_or_default();
            Ok(text.contains("IntrStatus").then_some(()))
        })?;
        std::fs::remove_file(&noted).map_err(lab::Error::file(&noted, "removing"))?;
        bench.model()?.fault("tx-stall", false)?;
        recovered(&mut bench, "a transmit timeout")?;
    }
    bench.guest.check("touch /run/enough")?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// Each way to fail for a while, under traffic. After each the chip must be as good as new.
#[guest_test(name = "{driver}_survives_failures_of_{chip}", ours(b300, b380), debug)]
fn survives_failures(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
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
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// A chip whose transfers fail until it is reset: the driver resets it when nothing is sent.
fn reset_cures(bench: &mut Bench, fault: &str, rate: u32) -> Result<()> {
    bench.model()?.fault_until_reset(fault, rate)?;
    let what = format!("the driver to reset a chip with {fault}");
    wait_for(&what, WATCHDOG, || {
        Ok((!bench.model()?.has_fault(fault)?).then_some(()))
    })?;
    recovered(bench, &format!("{fault} that a reset ends"))
}

/// Transfers fail at one in `rate` while the statistics are read, until the interface goes down,
/// which resets the chip. What waits for the chip must not wait for ever.
fn closes_while_transfers_fail(
    bench: &mut Bench,
    interface: &str,
    fault: &str,
    rate: u32,
) -> Result<()> {
    bench.model()?.fault_until_reset(fault, rate)?;
    bench.guest.check(&format!(
        "sleep 1; ethtool -S {interface}; ip -s link show {interface}
        ip link set {interface} down; ip link set {interface} up"
    ))?;
    require!(
        !bench.model()?.has_fault(fault)?,
        "the chip was not reset although the interface was down"
    );
    let before = sent(bench, interface)?;
    bench.wait_carrier(interface, true)?;
    recovered(bench, &format!("{fault} and another opening"))?;
    let after = sent(bench, interface)?;
    require!(
        after > before,
        "after {fault} the chip's counter of sent frames stays at {after}"
    );
    Ok(())
}

/// The frames that the chip has counted as sent: `ethtool -S` has it write its counters to memory.
fn sent(bench: &mut Bench, interface: &str) -> Result<u64> {
    let script = format!("ethtool -S {interface} | sed -n 's/^ *tx_packets: *//p'");
    let text = bench.guest.check(&script)?;
    text.parse().map_err(|_| {
        lab::Error::Unmet(format!(
            "{script} says {text:?} in the guest, expected a number"
        ))
    })
}

/// The end of a test in which transfers failed: all is as good as new, and nothing was done wrong
/// after that.
fn transfers_again(mut bench: Bench) -> Result<()> {
    bench.guest.check("touch /run/enough")?;
    bench.model()?.reset_counters()?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.only_expected_messages(&[TIMED_OUT])?;
    let known = bench.driver().known_violations();
    bench.model()?.counters()?.check_clean_but(known)?;
    bench.power_off()
}

/// Bit 29 of the PCI command and status registers, in its byte: received master abort.
const MASTER_ABORT: u32 = 1 << 5;

/// Transfers of the chip are not answered: it shows SYSErr and a master abort, and stops where it
/// stands. Neither driver asks for an interrupt then (r8169 does not on PCI Express, of whose chips
/// one sets SYSErr without a reason), so it is the watchdog that has the chip reset.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn recovers_from_aborted_transfers(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    traffic(&mut bench, &interface)?;
    reset_cures(&mut bench, "pci-abort", 1)?;
    let config = format!("/sys/bus/pci/devices/{}/config", bench.device().address);
    let status: u32 = bench
        .guest
        .check(&format!("hexdump -s 7 -n 1 -e '1/1 \"%d\"' {config}"))?
        .parse()
        .unwrap_or(0);
    require!(
        status & MASTER_ABORT != 0,
        "the upper half of the PCI status is {status:#x} after an abort, expected {MASTER_ABORT:#x} in it"
    );
    // After a single one the chip goes on at the next doorbell.
    bench.model()?.fault_at("pci-abort", 20)?;
    sleep(SPELL);
    bench.model()?.fault("pci-abort", false)?;
    recovered(&mut bench, "single aborts")?;
    closes_while_transfers_fail(&mut bench, &interface, "pci-abort", 1)?;
    let counters = bench.model()?.counters()?;
    let faults = counters.dma_faults;
    println!("{faults} transfers were aborted");
    require!(faults > 0, "no transfer was aborted");
    let known = bench.driver().known_violations();
    counters.without_dma_faults().check_clean_but(known)?;
    transfers_again(bench)
}

/// Transfers go wrong and nothing shows it, as when an IOMMU blocks them: what the chip writes is
/// lost, and what it reads are ones, which it takes for a descriptor of its own and for the last of
/// the ring. Chip and driver differ about where they are then, also when transfers are as they
/// should be again, until the watchdog has the chip reset. What the chip finds wrong with such
/// descriptors is counted as violations. (r8169 passes or not, by chance: it keeps the mark of the
/// last descriptor that the chip has written to another one, also over resets, and receives
/// nothing until it is opened again; docs/upstream/r8169-ring-end.md.)
#[guest_test(ours(b300, b380), debug)]
fn recovers_from_lost_transfers(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    traffic(&mut bench, &interface)?;
    for rate in [3, 50] {
        reset_cures(&mut bench, "dma-fault", rate)?;
    }
    closes_while_transfers_fail(&mut bench, &interface, "dma-fault", 3)?;
    let hits = bench.model()?.hits("dma-fault")?;
    println!("{hits} transfers were lost");
    transfers_again(bench)
}

/// A card that is dead when it is opened for the second time is an error. (phylib of Linux 6.18
/// oopses if a PHY fails to attach then.)
#[guest_test(ours = b300, debug)]
#[guest_test(name = "ours_survives_opening_a_dead_card_on_the_oldest_kernel", ours = b300, kernel = oldest)]
fn survives_opening_a_dead_card(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().open()?;
    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    bench.model()?.fault("gone", true)?;
    for _ in 0..3 {
        bench
            .guest
            .check(&format!("! ip link set {interface} up"))?;
    }
    bench.unload()?;
    bench.finish()
}

/// The card is pulled out under traffic: no hang, no complaint, and another one works.
#[guest_test(ours = b300, debug)]
fn survives_the_removal_of_its_card(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    traffic(&mut bench, &interface)?;
    bench.model()?.fault("gone", true)?;
    // Nothing resets a card that is soldered on.
    let detached = "dmesg | grep -q 'cannot be reset through its bus.*detached'";
    let what = "the driver to find the card dead, and to say so";
    bench.guest.wait_until(what, detached, WATCHDOG)?;
    for command in [
        format!("ip -s link show {interface}"),
        format!("ethtool {interface} || true"),
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
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.power_off()
}

/// Suspends the devices for no time at all, and resumes them.
pub const SUSPEND_BRIEFLY: &str = "echo 0 >/sys/module/suspend/parameters/pm_test_delay
    echo devices >/sys/power/pm_test; echo mem >/sys/power/state";

/// Has frames in both directions wait for the bus, until it is free or bus mastering is switched
/// off.
fn stall_bus(bench: &mut Bench) -> Result<()> {
    wait_for("frames to wait both ways", RECOVERY, || {
        let model = bench.model()?;
        model.fault("bus-stall", true)?;
        sleep(Duration::from_millis(200));
        let state = model.state()?;
        let sends = state.tx.busy;
        // Receiver and transmitter are on, and of bits 0 and 1 none says that all is empty.
        let command = state.register("ChipCmd");
        let keeps = command.is_some_and(|command| command & 0xf == 0xc);
        if !(sends && keeps) {
            // It was between two transfers.
            model.fault("bus-stall", false)?;
            sleep(Duration::from_millis(100));
        }
        Ok((sends && keeps).then_some(()))
    })
}

/// Stops the device while transfers wait for the bus. They may go on at the very moment in which
/// bus mastering is switched off, so that whatever the chip still does falls between that and its
/// reset, each time.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn survives_a_stop_amid_transfers(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    // TCP comes in without being asked for; the pings soon fill the ring of a chip that does not
    // send.
    start_tcp(&mut bench)?;
    traffic(&mut bench, &interface)?;
    wait_tcp(&mut bench, "at first")?;
    let reopen = format!("ip link set {interface} down; ip link set {interface} up");
    for command in [&reopen, SUSPEND_BRIEFLY, &reopen, SUSPEND_BRIEFLY] {
        stall_bus(&mut bench)?;
        bench.guest.check(command)?;
        require!(
            !bench.model()?.has_fault("bus-stall")?,
            "{command} has not switched bus mastering off"
        );
        wait_tcp(&mut bench, &format!("after {command}"))?;
    }
    if case.is_ours() {
        // r8169 resets the chip with bus mastering on.
        stall_bus(&mut bench)?;
        wait_for("the watchdog to have the chip reset", WATCHDOG, || {
            Ok((!bench.model()?.has_fault("bus-stall")?).then_some(()))
        })?;
        wait_tcp(&mut bench, "after a transmit timeout")?;
    }
    stall_bus(&mut bench)?;
    let interface = bench.reload_and_open()?;
    drive::lease(&mut bench, &interface)?;
    wait_tcp(&mut bench, "after the driver was loaded anew")?;
    end_tcp(&mut bench)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.only_expected_messages(&[TIMED_OUT])?;

    bench.guest.check("rm /run/enough")?;
    start_tcp(&mut bench)?;
    wait_tcp(&mut bench, "at the end")?;
    stall_bus(&mut bench)?;
    let known = bench.driver().known_violations();
    let counters = bench.power_off_and_count()?.unwrap_or_default();
    counters.check_clean_but(known)
}

/// A chip whose reset hangs may still send from the rings of before: it must not have the bus until
/// it is out of it.
#[guest_test(ours = b300, debug)]
fn survives_a_reset_that_hangs(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    start_tcp(&mut bench)?;
    traffic(&mut bench, &interface)?;
    wait_tcp(&mut bench, "at first")?;
    let config = format!("/sys/bus/pci/devices/{}/config", bench.device().address);
    let command = format!("hexdump -s 4 -n 1 -e '1/1 \"%d\"' {config}");
    stall_bus(&mut bench)?;
    bench.model()?.fault("reset-hang", true)?;
    bench
        .guest
        .check(&format!("ethtool -G {interface} rx 128 tx 128"))?;
    let bits: u32 = bench.guest.check(&command)?.parse().unwrap_or(u32::MAX);
    require!(
        bits & 4 == 0,
        "a chip whose reset hangs has the bus, and its old rings are freed: PCI command {bits:#x}"
    );
    bench.model()?.fault("reset-hang", false)?;
    // The watchdog has the chip reset once more.
    wait_tcp(&mut bench, "after a reset that hung")?;
    let faults = bench.model()?.counters()?.dma_faults;
    require!(faults == 0, "{faults} DMA faults, expected none");
    // The write that turned its transmitter on had no effect, so that doorbells were violations
    // until it was reset.
    bench.model()?.reset_counters()?;
    drive::fetch(&mut bench)?;
    end_tcp(&mut bench)?;
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.model()?.counters()?.check_clean()?;
    bench.power_off()
}

/// Registers, descriptors and interrupts are anything at all for a while, from several seeds.
#[guest_test(ours = b300, debug)]
fn survives_lies(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
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
    bench.only_expected_messages(&[TIMED_OUT])?;
    bench.power_off()
}
