// SPDX-License-Identifier: GPL-2.0

//! Reports and settings of `ethtool`. The kernel's r8169 on B380 is the reference where it can do
//! the same.

use lab::bench::Bench;
use lab::case::Case;
use lab::model::Chip;
use lab::setup::Setup;
use lab::traffic::guest_address;
use lab::{drive, guest_test, require, Error, Result};

use crate::address::comes_from_the_eeprom;

/// The first number on the first line of `text` that begins with `name`, after blanks.
fn number(text: &str, name: &str) -> Result<u64> {
    numbers(text, name)?
        .first()
        .copied()
        .ok_or_else(|| Error::Unmet(format!("found no number after {name:?} in: {text}")))
}

/// The first number on every line of `text` that begins with `name`.
fn numbers(text: &str, name: &str) -> Result<Vec<u64>> {
    let found: Vec<u64> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(name))
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .find(|word| !word.is_empty())?
                .parse()
                .ok()
        })
        .collect();
    require!(!found.is_empty(), "found no line {name:?} in: {text}");
    Ok(found)
}

/// Runs a script that must fail, and returns what it says.
fn refused(bench: &mut Bench, script: &str) -> Result<String> {
    let outcome = bench.guest.check(&format!(
        "{{ {script}; }} 2>&1 && echo unexpected success; true"
    ))?;
    require!(
        !outcome.contains("unexpected success"),
        "`{script}` succeeded, expected a refusal"
    );
    Ok(outcome)
}

/// Requires that `ethtool -g` shows these rings.
fn require_rings(bench: &mut Bench, interface: &str, rx: u64, tx: u64) -> Result<()> {
    let shown = bench.guest.check(&format!("ethtool -g {interface}"))?;
    // The limits come first, then the sizes.
    let (rxs, txs) = (numbers(&shown, "RX:")?, numbers(&shown, "TX:")?);
    require!(
        rxs == [1024, rx] && txs == [1024, tx],
        "expected limits of 1024 and rings of {rx} and {tx}, found: {shown}"
    );
    Ok(())
}

fn rings(bench: &mut Bench, interface: &str) -> Result<()> {
    require_rings(bench, interface, 256, 256)?;
    for (rx, tx) in [(16, 32), (1024, 1024), (100, 64)] {
        // Under traffic: what was in the old rings is lost, and comes again.
        let url = bench.url("body")?;
        bench.guest.check(&format!(
            "curl -sS -f -o /dev/null {url} & sleep 0.2
             ethtool -G {interface} rx {rx} tx {tx} && wait $!"
        ))?;
        require_rings(bench, interface, rx, tx)?;
        drive::fetch(bench)?;
        drive::send(bench)?;
    }
    for wrong in ["tx 48", "tx 16", "rx 8", "rx 1025", "tx 2048"] {
        refused(bench, &format!("ethtool -G {interface} {wrong}"))?;
    }
    require_rings(bench, interface, 100, 64)?;
    bench.guest.check(&format!(
        "ip link set {interface} down; ethtool -G {interface} rx 512 tx 128; ip link set {interface} up"
    ))?;
    bench.wait_carrier(interface, true)?;
    require_rings(bench, interface, 512, 128)?;
    drive::lease(bench, interface)?;
    drive::fetch(bench)?;
    Ok(())
}

/// The figures of `ethtool -c`: RX and TX microseconds, RX and TX frames.
fn coalescing(bench: &mut Bench, interface: &str) -> Result<[u64; 4]> {
    let shown = bench.guest.check(&format!("ethtool -c {interface}"))?;
    Ok([
        number(&shown, "rx-usecs:")?,
        number(&shown, "tx-usecs:")?,
        number(&shown, "rx-frames:")?,
        number(&shown, "tx-frames:")?,
    ])
}

fn require_coalescing(bench: &mut Bench, interface: &str, expected: [u64; 4]) -> Result<()> {
    let found = coalescing(bench, interface)?;
    require!(
        found == expected,
        "coalescing is {found:?} (RX, TX us; RX, TX frames), expected {expected:?}"
    );
    Ok(())
}

/// The same questions to ours and to r8169.
fn coalesce(bench: &mut Bench, interface: &str) -> Result<()> {
    require_coalescing(bench, interface, [0, 0, 1, 1])?;
    for (wanted, expected) in [
        ("rx-usecs 20 rx-frames 8", [20, 0, 8, 1]),
        ("rx-usecs 100 tx-usecs 200", [120, 200, 8, 0]),
        ("rx-usecs 75 tx-usecs 1 rx-frames 5", [75, 5, 8, 0]),
        (
            "rx-usecs 2400 rx-frames 60 tx-frames 60",
            [2400, 160, 60, 60],
        ),
        (
            "rx-usecs 0 tx-usecs 0 rx-frames 0 tx-frames 0",
            [0, 0, 1, 1],
        ),
    ] {
        bench
            .guest
            .check(&format!("ethtool -C {interface} {wanted}"))?;
        require_coalescing(bench, interface, expected)?;
    }
    for wrong in [
        "rx-usecs 2401",
        "tx-usecs 10 tx-frames 61",
        "rx-frames 4",
        "adaptive-rx on",
    ] {
        refused(bench, &format!("ethtool -C {interface} {wrong}"))?;
        require_coalescing(bench, interface, [0, 0, 1, 1])?;
    }
    Ok(())
}

/// Requires what r8169 does not do: the setting stays over down and up, and follows the speed of
/// the link.
fn coalesce_stays(bench: &mut Bench, interface: &str) -> Result<()> {
    bench.guest.check(&format!(
        "ethtool -C {interface} rx-usecs 20 rx-frames 8; ip link set {interface} down; ip link set {interface} up"
    ))?;
    bench.wait_carrier(interface, true)?;
    require_coalescing(bench, interface, [20, 0, 8, 1])?;
    let registers = registers(bench, interface)?;
    require!(
        registers[0xe2..0xe4] == [0x42, 0x00],
        "IntrMitigate is {:02x?}, expected 0x0042",
        &registers[0xe2..0xe4]
    );
    // 8 units of 2.56 us; at 1000 Mbit/s it is 4 of 5 us.
    negotiate(bench, interface, "0x8", "100Mb/s")?;
    require_coalescing(bench, interface, [21, 0, 8, 1])?;
    negotiate(bench, interface, "0x3f", "1000Mb/s")?;
    require_coalescing(bench, interface, [20, 0, 8, 1])?;
    bench
        .guest
        .check(&format!("ethtool -C {interface} rx-usecs 0 rx-frames 0"))?;
    drive::fetch(bench).map(|_| ())
}

/// Has the link negotiated anew.
fn negotiate(bench: &mut Bench, interface: &str, advertise: &str, speed: &str) -> Result<()> {
    bench.guest.check(&format!(
        "ethtool -s {interface} autoneg on advertise {advertise}"
    ))?;
    drive::wait_link(bench, interface, speed, "Full")
}

fn pause(bench: &mut Bench, interface: &str) -> Result<()> {
    // The partner offers pause frames in both directions.
    for (wanted, rx, tx) in [("rx off tx off", "off", "off"), ("rx on tx on", "on", "on")] {
        bench
            .guest
            .check(&format!("ethtool -A {interface} {wanted}"))?;
        bench.wait_carrier(interface, true)?;
        let limit = std::time::Duration::from_secs(20);
        let script = format!(
            "ethtool -a {interface} >/run/pause; grep -q '^RX:.*{rx}' /run/pause && grep -q '^TX:.*{tx}' /run/pause"
        );
        bench.guest.wait_until("flow control", &script, limit)?;
    }
    // The chip does no flow control with jumbo frames.
    bench
        .guest
        .check(&format!("ip link set {interface} mtu 4000"))?;
    bench.wait_carrier(interface, true)?;
    let shown = bench.guest.check(&format!("ethtool -a {interface}"))?;
    require!(
        shown.matches("off").count() == 4,
        "with jumbo frames the flow control is: {shown}"
    );
    refused(bench, &format!("ethtool -A {interface} rx on tx on"))?;
    bench
        .guest
        .check(&format!("ip link set {interface} mtu 1500"))?;
    bench.wait_carrier(interface, true)
}

/// Returns the output of a command, as bytes.
fn bytes(bench: &mut Bench, command: &str) -> Result<Vec<u8>> {
    let text = bench.guest.check(&format!("{command} | od -An -v -tx1"))?;
    Ok(text
        .split_whitespace()
        .filter_map(|word| u8::from_str_radix(word, 16).ok())
        .collect())
}

/// The dump of the registers.
fn registers(bench: &mut Bench, interface: &str) -> Result<Vec<u8>> {
    let bytes = bytes(bench, &format!("ethtool -d {interface} raw on"))?;
    require!(bytes.len() == 256, "the dump has {} bytes", bytes.len());
    Ok(bytes)
}

fn dump(bench: &mut Bench, interface: &str, chip: Chip) -> Result<()> {
    let registers = registers(bench, interface)?;
    let address = guest_address()?;
    require!(
        registers[..6] == address,
        "the dump begins with {:02x?}, expected {address:02x?}",
        &registers[..6]
    );
    let config = u32::from_le_bytes([registers[64], registers[65], registers[66], registers[67]]);
    require!(
        (config >> 20) & 0xfcf == chip.xid(),
        "TxConfig in the dump is {config:#x}"
    );
    Ok(())
}

/// The counters of the chip against those of the device model, and the kernel's own.
fn statistics(bench: &mut Bench, interface: &str) -> Result<()> {
    drive::ping(bench, 20)?;
    let before = bench.guest.check(&format!("ethtool -S {interface}"))?;
    let model_before = bench.model()?.counters()?;
    drive::fetch(bench)?;
    let text = bench
        .guest
        .check(&format!("sleep 1; ethtool -S {interface}"))?;
    let model = bench.model()?.counters()?;
    for (name, expected) in [
        ("tx_packets:", model.tx_frames - model_before.tx_frames),
        ("rx_packets:", model.rx_frames - model_before.rx_frames),
    ] {
        let more = number(&text, name)? - number(&before, name)?;
        require!(
            more.abs_diff(expected) <= 4,
            "{name} rose by {more}, the device model counted {expected}"
        );
    }
    for name in [
        "tx_errors:",
        "rx_errors:",
        "rx_missed:",
        "tx_aborted:",
        "tx_underrun:",
    ] {
        let value = number(&text, name)?;
        require!(value == 0, "{name} {value}, expected none");
    }
    let received =
        number(&text, "unicast:")? + number(&text, "broadcast:")? + number(&text, "multicast:")?;
    let all = number(&text, "rx_packets:")?;
    require!(
        received == all,
        "{received} frames by their kinds, {all} received"
    );

    let mac = bench
        .guest
        .check(&format!("ethtool -S {interface} --groups eth-mac"))?;
    let sent = number(&mac, "eth-mac-FramesTransmittedOK:")?;
    let counted = number(&text, "tx_packets:")?;
    require!(
        sent.abs_diff(counted) <= 4,
        "FramesTransmittedOK is {sent}, tx_packets {counted}"
    );
    Ok(())
}

/// The counters of our driver begin at zero and go on over down and up. The chip is never asked for
/// them while its receiver is off: some never answer then.
fn statistics_go_on(bench: &mut Bench, interface: &str) -> Result<()> {
    const FAULT: &str = "tally-hang";
    bench.model()?.fault(FAULT, true)?;
    let before = bench.guest.check(&format!("ethtool -S {interface}"))?;
    let before = number(&before, "rx_packets:")?;
    let down = bench.guest.check(&format!(
        "ip link set {interface} down; ethtool -S {interface}; ip link set {interface} up"
    ))?;
    let down = number(&down, "rx_packets:")?;
    require!(
        down >= before,
        "rx_packets fell from {before} to {down} when the interface went down"
    );
    bench.wait_carrier(interface, true)?;
    drive::lease(bench, interface)?;
    drive::ping(bench, 5)?;
    let after = bench.guest.check(&format!("ethtool -S {interface}"))?;
    let after = number(&after, "rx_packets:")?;
    require!(
        after >= down + 5 && after < down + 1000,
        "rx_packets went from {down} to {after} over an up"
    );
    // A driver that comes anew counts anew, although the chip does not.
    bench.unload()?;
    bench.insert("r8168_rust")?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(interface, true)?;
    let anew = bench.guest.check(&format!("ethtool -S {interface}"))?;
    let anew = number(&anew, "rx_packets:")?;
    require!(anew < 100, "rx_packets is {anew} after a reload");
    let hits = bench.model()?.hits(FAULT)?;
    require!(
        hits == 0,
        "the chip was asked for its counters with the receiver off, {hits} times"
    );
    bench.model()?.fault(FAULT, false)?;
    drive::lease(bench, interface).map(|_| ())
}

fn wake_on_lan(bench: &mut Bench, interface: &str) -> Result<()> {
    let wakeup = format!(
        "/sys/bus/pci/devices/{}/power/wakeup",
        bench.device().address
    );
    for (wanted, config3, config5, enabled) in [
        ("g", 0x20, 0x02, "enabled"),
        ("pumb", 0x10, 0x72, "enabled"),
        ("d", 0x00, 0x00, "disabled"),
    ] {
        bench
            .guest
            .check(&format!("ethtool -s {interface} wol {wanted}"))?;
        let shown = bench.guest.check(&format!("ethtool {interface}"))?;
        let supported = shown
            .lines()
            .any(|line| line.trim() == "Supports Wake-on: pumbg");
        let set = shown
            .lines()
            .any(|line| line.trim() == format!("Wake-on: {wanted}"));
        require!(
            supported && set,
            "expected wake-on {wanted}, found: {shown}"
        );
        let registers = registers(bench, interface)?;
        let found = (registers[0x54] & 0x30, registers[0x56] & 0x72);
        require!(
            found == (config3, config5),
            "wol {wanted}: Config3 and Config5 are {found:02x?}, expected {config3:02x} and {config5:02x}"
        );
        let state = bench.guest.check(&format!("cat {wakeup}"))?;
        require!(state == enabled, "wol {wanted}: {wakeup} says {state}");
    }
    refused(bench, &format!("ethtool -s {interface} wol a")).map(|_| ())
}

fn self_test(bench: &mut Bench, interface: &str) -> Result<()> {
    for mode in ["online", "offline", "offline"] {
        let text = bench
            .guest
            .check(&format!("ethtool -t {interface} {mode}"))?;
        require!(
            text.contains("The test result is PASS") && text.matches("test (o").count() == 4,
            "the {mode} self-test says: {text}"
        );
    }
    bench.wait_carrier(interface, true)?;
    drive::ping(bench, 5)?;
    drive::fetch(bench)?;
    // The link test needs a cable; the others need the interface.
    bench.model()?.set_link(false)?;
    bench.wait_carrier(interface, false)?;
    let text = refused(bench, &format!("ethtool -t {interface} online"))?;
    require!(
        text.contains("FAIL") && number(&text, "link test (on/offline)")? == 1,
        "the self-test without a cable says: {text}"
    );
    bench.model()?.set_link(true)?;
    bench.wait_carrier(interface, true)?;
    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    refused(bench, &format!("ethtool -t {interface} offline"))?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(interface, true)?;
    drive::lease(bench, interface).map(|_| ())
}

fn the_rest(bench: &mut Bench, interface: &str) -> Result<()> {
    let stamps = bench.guest.check(&format!("ethtool -T {interface}"))?;
    require!(
        stamps.contains("software-transmit") && stamps.contains("software-receive"),
        "ethtool -T shows: {stamps}"
    );
    bench.guest.check(&format!("ethtool -r {interface}"))?;
    bench.wait_carrier(interface, true)?;
    let eee = refused(bench, &format!("ethtool --show-eee {interface}"))?;
    require!(eee.contains("not supported"), "EEE is refused with: {eee}");
    Ok(())
}

fn more_of_ours(bench: &mut Bench, interface: &str) -> Result<()> {
    // The card has a 93C46, with the address at word 7. It is read while the chip does nothing
    // else, then goes on.
    let eeprom = bytes(bench, &format!("ethtool -e {interface} raw on"))?;
    require!(
        eeprom.len() == 128 && eeprom[..2] == [0x29, 0x81] && eeprom[14..20] == guest_address()?,
        "the EEPROM is {eeprom:02x?}"
    );
    drive::ping(bench, 3)?;
    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    let some = format!("ethtool -e {interface} raw on offset 13 length 4");
    let (offset, some) = (13, bytes(bench, &some)?);
    require!(
        some == eeprom[offset..offset + 4],
        "4 bytes of the EEPROM from {offset} on are {some:02x?}, expected those of {eeprom:02x?}"
    );
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(interface, true)?;
    drive::lease(bench, interface)?;
    bench
        .guest
        .check(&format!("ethtool -s {interface} msglvl link off"))?;
    let lines = |bench: &mut Bench| -> Result<usize> {
        let messages = bench.driver_messages()?;
        Ok(messages
            .iter()
            .filter(|line| line.contains("Link is"))
            .count())
    };
    let before = lines(bench)?;
    bench
        .guest
        .check(&format!("ethtool -r {interface}; sleep 3"))?;
    bench.wait_carrier(interface, true)?;
    require!(
        lines(bench)? == before,
        "the link is still reported, with the messages about it off"
    );
    bench
        .guest
        .check(&format!("ethtool -s {interface} msglvl link on"))
        .map(|_| ())
}

#[guest_test(name = "ethtool_sets_{driver}", ours(b300, b380), debug)]
fn settings(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        pcap: false,
        megabytes: 4,
        ..case.setup()
    }
    .lease()?;
    rings(&mut bench, &interface)?;
    coalesce(&mut bench, &interface)?;
    coalesce_stays(&mut bench, &interface)?;
    pause(&mut bench, &interface)?;
    wake_on_lan(&mut bench, &interface)?;
    bench.finish()
}

#[guest_test(name = "ethtool_shows_{driver}", ours(b300, b380), debug)]
fn reports(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        pcap: false,
        megabytes: 4,
        ..case.setup()
    }
    .lease()?;
    dump(&mut bench, &interface, case.chip)?;
    self_test(&mut bench, &interface)?;
    the_rest(&mut bench, &interface)?;
    more_of_ours(&mut bench, &interface)?;
    statistics(&mut bench, &interface)?;
    statistics_go_on(&mut bench, &interface)?;
    comes_from_the_eeprom(&mut bench)?;
    bench.finish()
}

/// The self-test's interrupt may be masked while the test waits for it, by a handler that was
/// called for a neighbour on the line and looked before whether the test waits. Here a program
/// masks it.
#[guest_test(ours(b300, b380), debug)]
fn passes_its_test_when_the_interrupt_is_masked(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        // Else the kernel keeps what a driver has to the driver.
        append: "iomem=relaxed",
        ..case.with_echo()
    }
    .lease()?;
    let address = bench.device().address.clone();
    bench.guest.check(&format!(
        "bar=$(sed -n 3p /sys/bus/pci/devices/{address}/resource | cut -d' ' -f1)
        guest-echo zero $(printf %x $((bar + 0x3c))) >/run/masked.log 2>&1 &
        while ! grep -q mapped /run/masked.log; do sleep 0.1; kill -0 $! || exit; done"
    ))?;
    // What the program masks in between stays masked until the interface is opened again, and the
    // kernel waits five seconds for what is sent.
    for _ in 0..20 {
        bench.guest.check(&format!(
            "killall -CONT guest-echo; ethtool -t {interface} offline || exit
            killall -STOP guest-echo; ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.wait_carrier(&interface, true)?;
    }
    bench.guest.check("killall -KILL guest-echo")?;
    // The program writes while the chip resets, too, which a driver must not.
    bench.model()?.reset_counters()?;
    bench.guest.check(&format!(
        "ip link set {interface} down; ip link set {interface} up"
    ))?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    bench.finish()
}

/// The reference: where the kernel's driver can do the same, the same is required of it.
#[guest_test(name = "ethtool_is_answered_alike_by_{driver}", r8169(b380))]
fn is_answered_alike(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        pcap: false,
        megabytes: 4,
        ..case.setup()
    })?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    coalesce(&mut bench, &interface)?;
    pause(&mut bench, &interface)?;
    wake_on_lan(&mut bench, &interface)?;
    dump(&mut bench, &interface, case.chip)?;
    the_rest(&mut bench, &interface)?;
    statistics(&mut bench, &interface)?;
    bench.finish()
}
