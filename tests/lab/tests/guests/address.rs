// SPDX-License-Identifier: GPL-2.0

//! The station address: where it comes from, and that the chip has it.

use lab::bench::{Bench, Loaded};
use lab::case::Case;
use lab::frame::{parse_address, Address};
use lab::model::Model;
use lab::setup::{Driver, Setup};
use lab::{drive, guest_test, require, Error, Result};

/// `addr_assign_type` of an address that is the card's own, and of one that was made up.
const OWN: u32 = 0;
const RANDOM: u32 = 1;

/// The address that a blank EEPROM leaves in the chip.
const ONES: &str = "ff:ff:ff:ff:ff:ff";

/// Writes an address into the registers of a card that no driver has, as its firmware or a kernel
/// that crashed may leave it.
fn leave(bench: &mut Bench, address: Address) -> Result<()> {
    let [a, b, c, d, e, f] = address;
    let (low, high) = (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, 0, 0]),
    );
    let device = &bench.device().address;
    // BAR 2 is the third line of `resource`; Cfg9346 unlocks the address.
    let script = format!(
        "cd /sys/bus/pci/devices/{device}; echo 1 >enable
        bar=$(sed -n 3p resource | cut -d' ' -f1); devmem $((bar + 0x50)) 8 0xc0
        devmem $((bar + 4)) 32 {high:#x}; devmem $bar 32 {low:#x}; devmem $((bar + 0x50)) 8 0; echo 0 >enable"
    );
    bench.guest.check(&script).map(|_| ())
}

/// Requires that the interface's address is of that kind, and the chip's too; returns it.
fn holds(bench: &mut Bench, interface: &str, kind: u32, after: &str) -> Result<Address> {
    let text = bench.guest.check(&format!(
        "cd /sys/class/net/{interface}; cat address addr_assign_type; \
        ethtool -d {interface} raw on | head -c 6 | od -An -v -tx1"
    ))?;
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default().trim().to_owned();
    let (shown, assigned, chip) = (next(), next(), next().replace(' ', ":"));
    require!(
        assigned == kind.to_string() && chip == shown,
        "{after}, the interface has {shown} (assigned: {assigned}) and the chip {chip}, expected them equal (assigned: {kind})"
    );
    let address = parse_address(&shown).filter(|address| address[0] & 1 == 0 && *address != [0; 6]);
    address.ok_or_else(|| Error::Unmet(format!("{after}, the interface has {shown}")))
}

/// Requires that the log has so many lines that name `origin` as where the address is from.
fn logged(bench: &mut Bench, origin: &str, times: usize, after: &str) -> Result<()> {
    let messages = bench.driver_messages()?;
    let lines: Vec<&String> = messages
        .iter()
        .filter(|line| line.contains("MAC address") && line.contains(origin))
        .collect();
    require!(
        lines.len() == times,
        "{after}, the log has {lines:?} about an address that is {origin}, expected {times} lines"
    );
    Ok(())
}

/// Has the driver, which is not loaded, come to a card with an address that it was left with;
/// returns the interface, which is open.
fn comes_after(bench: &mut Bench, address: Address) -> Result<String> {
    leave(bench, address)?;
    let name = bench.driver().name();
    bench.insert(name)?;
    let interface = name_of(bench.bound_interface()?)?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    Ok(interface)
}

/// A chip without a valid address, of every kind, gets one that works. One that has a valid
/// address, beside an EEPROM without one, keeps it.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn makes_up_an_address(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        mac: Some(ONES),
        ..case.setup()
    })?;
    let mut interface = bench.load_and_open()?;
    for (nth, address) in [[0xff; 6], [0; 6], [0x01, 0x00, 0x5e, 0x12, 0x34, 0x56]]
        .into_iter()
        .enumerate()
    {
        if nth > 0 {
            bench.unload()?;
            interface = comes_after(&mut bench, address)?;
        }
        let after = format!("with {address:02x?} in the chip");
        holds(&mut bench, &interface, RANDOM, &after)?;
        drive::lease(&mut bench, &interface)?;
        drive::ping(&mut bench, 3)?;
        if matches!(bench.driver(), Driver::R8168Rust(_)) {
            logged(&mut bench, "random", nth + 1, &after)?;
        }
    }
    bench.unload()?;
    let left = [0x02, 0xca, 0xfe, 0x00, 0x00, 0x01];
    let interface = comes_after(&mut bench, left)?;
    let after = format!("with {left:02x?} in the chip");
    let found = holds(&mut bench, &interface, OWN, &after)?;
    require!(
        found == left,
        "{after}, and none in its EEPROM, the interface has {found:02x?}"
    );
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    bench.finish()
}

/// The firmware's address comes before that of a chip which has one.
#[guest_test(ours = b300, debug)]
fn has_the_address_of_the_firmware(case: &Case) -> Result<()> {
    const FIRMWARE: Address = [0x02, 0x12, 0x34, 0x56, 0x78, 0x9a];
    let (mut bench, interface) = Setup {
        firmware_mac: Some(FIRMWARE),
        ..case.setup()
    }
    .open()?;
    let found = holds(&mut bench, &interface, OWN, "with one in the firmware")?;
    require!(
        found == FIRMWARE,
        "the interface has {found:02x?}, expected the firmware's {FIRMWARE:02x?}"
    );
    logged(
        &mut bench,
        "from the firmware",
        1,
        "with one in the firmware",
    )?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 3)?;
    bench.finish()
}

fn name_of(loaded: Loaded) -> Result<String> {
    match loaded {
        Loaded::Interface(name) => Ok(name),
        Loaded::Refused => Err(Error::Unmet("the driver took no card".to_owned())),
    }
}

/// The most registers that may be read from loading the driver to its interface: up to 60 for a
/// word of the EEPROM, of which four are needed, and the first once more to find out which part it
/// is, and 30 for the rest. (r8169, which reads no EEPROM, reads 45 in all.)
const PROBE_READS: u64 = 5 * 60 + 30;

/// The EEPROM has the card's own address, whatever is left in the chip: none, or that of a kernel
/// that has crashed. No more of it is read than that, until that is asked for.
pub fn comes_from_the_eeprom(bench: &mut Bench) -> Result<()> {
    let own = parse_address(Model::MAC);
    for (nth, left) in [[0; 6], [0x02, 0xde, 0xad, 0xbe, 0xef, 0x01]]
        .into_iter()
        .enumerate()
    {
        bench.unload()?;
        leave(bench, left)?;
        let before = bench.model()?.counters()?;
        bench.insert("r8168_rust")?;
        let interface = name_of(bench.bound_interface()?)?;
        let reads = bench.model()?.counters()?.since(&before).mmio_reads;
        require!(
            reads <= PROBE_READS,
            "probing read registers {reads} times, expected at most {PROBE_READS}"
        );
        let after = format!("with {left:02x?} left in the chip");
        let found = holds(bench, &interface, OWN, &after)?;
        let permanent = bench.guest.check(&format!("ethtool -P {interface}"))?;
        require!(
            Some(found) == own && permanent.ends_with(Model::MAC),
            "{after}, the address is {found:02x?} and {permanent}, expected {}",
            Model::MAC
        );
        logged(bench, "from its EEPROM", nth + 1, &after)?;
        bench.guest.check(&format!("ip link set {interface} up"))?;
        bench.wait_carrier(&interface, true)?;
        drive::lease(bench, &interface)?;
        drive::ping(bench, 3)?;
    }
    Ok(())
}
