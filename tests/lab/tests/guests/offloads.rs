// SPDX-License-Identifier: GPL-2.0

//! Checksums, segmentation, VLAN tags and large frames, judged by what is on the wire.

use std::collections::BTreeMap;

use lab::bench::Bench;
use lab::case::Case;
use lab::frame::{self, expected_echo, request};
use lab::model::CAPTURE;
use lab::pcap::{self, Packet};
use lab::setup::Setup;
use lab::traffic::{exchange, guest_address, start_echo, ECHO};
use lab::trunk::tagged;
use lab::{drive, guest_test, require, Error, Result};

/// The longest frame at an MTU of 1500.
const ORDINARY: usize = frame::MAX_LENGTH;

/// The shortest frame whose checksum the chip computes right, in bytes.
const SHORTEST_SUMMED: usize = 60;

/// The largest MTU of the chip.
const JUMBO: usize = 4074;

/// Transfers under each setting; the capture must show frames that any receiver would accept.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn offloads(case: &Case) -> Result<()> {
    let setup = Setup {
        megabytes: 4,
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    let capture = setup.artifacts.join(CAPTURE);

    // What is on from the start: checksums, not segmentation.
    let features = bench.guest.check(&format!("ethtool -k {interface}"))?;
    for (feature, on) in [
        ("tx-checksum-ipv4", true),
        ("rx-checksumming", true),
        ("tx-vlan-hw-insert", false),
        ("tx-vlan-offload", true),
        ("rx-vlan-offload", true),
        ("tx-tcp-segmentation", false),
        ("tx-scatter-gather", false),
    ] {
        let line = features
            .lines()
            .find(|line| line.trim().starts_with(&format!("{feature}:")));
        // The name of the VLAN feature differs by the version of ethtool.
        if let Some(line) = line {
            let word = if on { ": on" } else { ": off" };
            require!(line.contains(word), "{feature} is not as expected: {line}");
        }
    }

    for setting in [
        "tx on sg off tso off",
        "tx on sg on tso off",
        "tx on sg on tso on",
        "tx off sg off tso off rx off",
        "tx on sg on tso on rx on",
    ] {
        bench
            .guest
            .check(&format!("ethtool -K {interface} {setting}"))?;
        let before = bench.model()?.counters()?;
        drive::fetch(&mut bench)?;
        drive::send(&mut bench)?;
        let seen = bench.model()?.counters()?.since(&before);
        let segmented = setting.contains("tso on");
        // A large segment leaves the driver by one doorbell and arrives as many frames.
        require!(
            !segmented || seen.tx_frames > 1000,
            "with {setting} only {} frames were sent",
            seen.tx_frames
        );
    }
    drive::ping(&mut bench, 5)?;
    bench.finish()?;

    let frames = pcap::frames(&capture)?;
    let packets: Vec<Packet<'_>> = frames.iter().filter_map(|f| pcap::packet(f)).collect();
    let tcp = packets.iter().filter(|packet| packet.tcp).count();
    require!(tcp > 10_000, "only {tcp} TCP packets were captured");
    for (packet, frame) in frames.iter().filter_map(|f| Some((pcap::packet(f)?, f))) {
        // The host's side of the wire leaves its checksums to be believed: ours are the guest's.
        let from_guest = packet.from == guest_address()?;
        // A window that is nearly closed makes TCP send such pieces; see `sums_short_pieces`.
        let excused = !case.is_ours() && packet.length < SHORTEST_SUMMED;
        require!(
            !from_guest || excused || (packet.header_right && packet.payload_right),
            "a packet of the guest has a wrong checksum: {packet:?}"
        );
        require!(
            !from_guest || frame.len() <= ORDINARY,
            "a frame of {} bytes was sent",
            frame.len()
        );
    }
    Ok(())
}

/// The core cuts large datagrams; the last piece is too short for the chip's checksum, and the core
/// does not ask the driver about that piece alone. r8169 sends such pieces with a wrong checksum.
#[guest_test(ours(b300), r8169 = b380, debug)]
fn sums_short_pieces(case: &Case) -> Result<()> {
    const PIECE: usize = 1000;
    /// The port that `guest-echo gso` sends to.
    const DISCARD: u16 = 9;
    let setup = Setup {
        megabytes: 1,
        echo: case.frames().echo,
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 2)?;
    let gateway = bench.gateway.clone();
    for rest in 1..=20 {
        let length = 2 * PIECE + rest;
        bench
            .guest
            .check(&format!("guest-echo gso {gateway} {PIECE} {length}"))?;
    }
    drive::ping(&mut bench, 2)?;
    bench.finish()?;

    let frames = pcap::frames(&setup.artifacts.join(CAPTURE))?;
    let from_guest = guest_address()?;
    let pieces: Vec<Packet<'_>> = frames
        .iter()
        .filter_map(|frame| pcap::packet(frame))
        .filter(|packet| packet.from == from_guest && packet.to_port == DISCARD)
        .collect();
    require!(
        pieces.len() == 3 * 20,
        "{} pieces of 20 datagrams were captured, expected 60",
        pieces.len()
    );
    for piece in pieces {
        let right = piece.header_right && piece.payload_right;
        let expected = case.is_ours() || piece.length >= SHORTEST_SUMMED;
        require!(
            right == expected,
            "the checksums of a piece are right: {right}, expected {expected}: {piece:?}"
        );
    }
    Ok(())
}

/// Tagged frames reach the VLAN's interface and come back tagged, whether chip or core handles the
/// tag.
#[guest_test(ours = b300, r8169 = b380, debug)]
fn tags_vlans(case: &Case) -> Result<()> {
    const ID: u16 = 0x123;
    let setup = Setup {
        more_modules: &["8021q"],
        ..case.frames()
    };
    let mut bench = Bench::start(&setup)?;
    let interface = bench.load_and_open()?;
    // insmod knows no dependencies.
    for module in ["llc", "stp", "mrp", "garp", "8021q"] {
        bench.insert(module)?;
    }
    bench.guest.check(&format!(
        "ip link add link {interface} name vlan0 type vlan id {ID} && ip link set vlan0 up"
    ))?;
    start_echo(&mut bench, "vlan0")?;
    let guest = guest_address()?;
    for setting in ["on", "off", "on"] {
        bench.guest.check(&format!(
            "ethtool -K {interface} rxvlan {setting} txvlan {setting}"
        ))?;
        for length in [60, 61, 200, 300, 1000, ORDINARY] {
            let plain = request(guest, length, 7);
            let echo = exchange(&mut bench, &tagged(&plain, ID), ECHO)?;
            let expected = tagged(&expected_echo(&plain, guest), ID);
            require!(
                echo.as_ref() == Some(&expected),
                "with the offload {setting} a tagged frame of {length} bytes came back as {echo:02x?}"
            );
        }
        // Another VLAN's frames are not for this interface.
        let foreign = tagged(&request(guest, 100, 7), ID + 1);
        let echo = exchange(&mut bench, &foreign, std::time::Duration::from_millis(400))?;
        require!(echo.is_none(), "a frame of another VLAN was echoed");
    }
    bench.finish()
}

/// The least number of large segments that the driver is given for 4 MiB.
const SEGMENTS: u32 = 50;

/// Sends in a VLAN under `setting`; returns how many large segments the driver was handed, with the
/// tag beside them and in them.
fn segments_in_vlan(bench: &mut Bench, interface: &str, setting: &str) -> Result<[u32; 2]> {
    bench.guest.check(&format!(
        "ethtool -K {interface} {setting}; cd /sys/kernel/tracing; echo >trace
        echo 'name == \"{interface}\" && gso_size > 0' >events/net/net_dev_start_xmit/filter
        echo 1 >events/net/net_dev_start_xmit/enable"
    ))?;
    drive::send(bench)?;
    let counts = bench.guest.check(
        "cd /sys/kernel/tracing; echo 0 >events/net/net_dev_start_xmit/enable
        for tagged in 1 0; do grep -c \"vlan_tagged=$tagged\" trace; done; true",
    )?;
    let mut counts = counts.lines().map(str::parse);
    match (counts.next(), counts.next()) {
        (Some(Ok(beside)), Some(Ok(within))) => Ok([beside, within]),
        _ => Err(lab::Error::Unmet("cannot count the segments".to_owned())),
    }
}

/// TCP in a VLAN: the card cuts segments and tags frames, or does one of the two. Each frame must
/// be tagged and whole.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn cuts_segments_in_vlans(case: &Case) -> Result<()> {
    const ID: u16 = 0x123;
    let setup = Setup {
        vlan: Some(ID),
        megabytes: 4,
        more_modules: &["8021q"],
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    let interface = bench.load_and_open()?;
    bench.insert("8021q")?;
    bench.guest.check(&format!(
        "mount -t tracefs none /sys/kernel/tracing
        ip link add link {interface} name vlan0 type vlan id {ID} && ip link set vlan0 up"
    ))?;
    drive::lease(&mut bench, "vlan0")?;
    for (setting, expected) in [
        ("sg on tso on txvlan on", [true, false]),
        ("sg on tso on txvlan off", [false, true]),
        ("sg off tso off txvlan on", [false, false]),
    ] {
        let segments = segments_in_vlan(&mut bench, &interface, setting)?;
        let many = segments.map(|count| count >= SEGMENTS);
        require!(
            many == expected && segments.iter().sum::<u32>() < SEGMENTS * 100,
            "with {setting} the driver was handed {segments:?} segments with the tag beside and in them, \
             expected {expected:?}: {SEGMENTS} and more"
        );
        drive::fetch(&mut bench)?;
    }
    drive::ping(&mut bench, 3)?;
    bench.finish()?;

    let frames = pcap::frames(&setup.artifacts.join(CAPTURE))?;
    let own = guest_address()?;
    let packets: Vec<Packet<'_>> = frames
        .iter()
        .filter_map(|frame| pcap::packet(frame))
        .filter(|packet| packet.from == own)
        .collect();
    // The guest has no address but in the VLAN.
    let tcp = packets.iter().filter(|packet| packet.tcp);
    require!(
        tcp.clone().count() > 8_000,
        "only {} TCP packets were captured",
        tcp.count()
    );
    let wrong = tcp.clone().find(|packet| {
        let right = packet.header_right && packet.payload_right;
        !right || packet.vlan != Some(ID) || packet.length > ORDINARY + 4
    });
    require!(wrong.is_none(), "the guest sent {wrong:?} to VLAN {ID:#x}");
    Ok(())
}

/// Frames of up to 4074 bytes payload, the MTU changed while the interface is up.
#[guest_test(ours(b300, b380), debug)]
fn takes_jumbo_frames(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.frames().open()?;
    start_echo(&mut bench, &interface)?;
    let guest = guest_address()?;
    for mtu in [1500, 1501, 2000, 3600, JUMBO, 576, 1500] {
        bench
            .guest
            .check(&format!("ip link set {interface} mtu {mtu}"))?;
        bench.wait_carrier(&interface, true)?;
        let features = bench.guest.check(&format!("ethtool -k {interface}"))?;
        let computed = features.contains("tx-checksum-ipv4: on");
        require!(
            computed == (mtu <= 1500),
            "with an MTU of {mtu} the chip computes checksums: {computed}"
        );
        let longest = mtu + frame::HEADER;
        let mut failed = BTreeMap::new();
        for length in [60, longest - 1, longest] {
            let sent = request(guest, length, 11);
            let echo = exchange(&mut bench, &sent, ECHO)?;
            if echo != Some(expected_echo(&sent, guest)) {
                failed.insert(length, echo.map(|echo| echo.len()));
            }
        }
        require!(
            failed.is_empty(),
            "with an MTU of {mtu} these lengths did not come back (with what came): {failed:?}"
        );
    }
    let refused = bench
        .guest
        .run(&format!("ip link set {interface} mtu {}", JUMBO + 1))?;
    require!(
        refused.status != 0,
        "an MTU of {} bytes was accepted",
        JUMBO + 1
    );
    bench.finish()
}

/// Returns how many bytes the card may ask memory for at once, as `lspci -vv` shows it: device
/// control of its PCI Express capability, which is at 0x60.
fn read_request(bench: &mut Bench) -> Result<u32> {
    let config = format!("/sys/bus/pci/devices/{}/config", bench.device().address);
    let command = format!("hexdump -s 0x69 -n 1 -e '1/1 \"%d\"' {config}");
    let text = bench.guest.check(&command)?;
    let byte: u32 = text
        .parse()
        .map_err(|_| Error::Unmet(format!("found {text:?} in {config}, expected a number")))?;
    Ok(128 << (byte >> 4 & 7))
}

/// Large reads stall the chip with large frames.
#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn reads_less_at_once_with_jumbo_frames(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    let down = format!("ip link set {interface} down");
    let up = format!("ip link set {interface} up");
    for (mtu, while_down, expected) in [
        (1500, false, 4096),
        (1501, false, 512),
        (1500, false, 4096),
        (JUMBO, true, 512),
        (576, true, 4096),
    ] {
        let set = format!("ip link set {interface} mtu {mtu}");
        bench.guest.check(&if while_down {
            format!("{down}; {set}; {up}")
        } else {
            set
        })?;
        bench.wait_carrier(&interface, true)?;
        let found = read_request(&mut bench)?;
        require!(
            found == expected,
            "with an MTU of {mtu} the card reads {found} bytes at once, expected {expected}"
        );
    }
    bench.finish()
}
