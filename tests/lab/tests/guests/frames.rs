// SPDX-License-Identifier: GPL-2.0

//! Frame by frame: every size, and the receive filter.

use std::collections::BTreeMap;
use std::time::Duration;

use lab::bench::Bench;
use lab::case::Case;
use lab::frame::{self, expected_echo, request, Address};
use lab::setup::{Driver, Setup};
use lab::traffic::{exchange, guest_address, peer, start_echo, ECHO};
use lab::{drive, guest_test, require, Error, Result};

/// Frames on their way at a time: fewer than any ring has descriptors.
const WINDOW: usize = 32;

/// Nothing comes back from a guest that was not to receive the frame; it would within this time.
const SILENCE: Duration = Duration::from_millis(400);

const BROADCAST: Address = [0xff; 6];
const FOREIGN: Address = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
const GROUP: Address = [0x01, 0x00, 0x5e, 0x11, 0x22, 0x33];

/// The number of times that r8169 may leave frames in its ring in one go through all sizes.
const NUDGES: u64 = 3;

/// Sends a frame of every size and requires each to come back bit for bit. Returns how many frames
/// of [`frame::SHORTEST`] bytes were sent besides, for which there is no echo.
///
/// r8169 may need these: the write by which it acknowledges an event may reach the chip after its
/// poll has looked at the ring for the last time. That clears the event of frames that came
/// between, and they stay in the ring until the next frame. On silicon such a write takes no
/// longer than a microsecond; here it may wait for a busy host.
pub fn every_size(bench: &mut Bench) -> Result<u64> {
    let guest = guest_address()?;
    let may_nudge = !matches!(bench.driver(), Driver::R8168Rust(_));
    let mut nudges = 0;
    let mut under_way: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let mut sizes = frame::HEADER..=frame::MAX_LENGTH;
    loop {
        while under_way.len() < WINDOW {
            let Some(size) = sizes.next() else { break };
            let seed = 0x0101 * u32::try_from(size).unwrap_or(1);
            let frame = request(guest, size, seed);
            peer(bench)?.send(&frame)?;
            under_way.insert(size, expected_echo(&frame, guest));
        }
        let Some((first, _)) = under_way.first_key_value() else {
            return Ok(nudges);
        };
        let first = *first;
        let Some(echo) = peer(bench)?.receive(ECHO)? else {
            if may_nudge && nudges < NUDGES {
                println!("no echo of the frame of {first} bytes: sending another frame");
                let mut nudge = request(guest, frame::SHORTEST, 0);
                // The local experimental Ethertype that is not the echo's.
                nudge[12..14].copy_from_slice(&[0x88, 0xb6]);
                peer(bench)?.send(&nudge)?;
                nudges += 1;
                continue;
            }
            return Err(Error::Timeout {
                what: format!("the echo of the frame of {first} bytes"),
                after: ECHO,
                detail: String::new(),
            });
        };
        let size = usize::from(u16::from_be_bytes([echo[4], echo[5]]));
        let expected = under_way.remove(&size);
        let expected = expected.ok_or_else(|| {
            Error::Unmet(format!(
                "found an echo of {size} bytes that was not asked for"
            ))
        })?;
        if echo != expected {
            let differs = echo.iter().zip(&expected).position(|(a, b)| a != b);
            return Err(Error::Unmet(format!(
                "the frame of {size} bytes came back with {} bytes, expected {}; first difference at {differs:?}",
                echo.len(),
                expected.len()
            )));
        }
    }
}

/// The interface's statistics must count every frame once, with the lengths that the stack knows.
pub fn sizes_are_counted(bench: &mut Bench, interface: &str) -> Result<()> {
    let names = ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes"];
    let mut risen = [0; 4];
    for (value, name) in risen.iter_mut().zip(names) {
        *value = drive::statistic(bench, interface, name)?;
    }
    let nudges = every_size(bench)?;
    for (value, name) in risen.iter_mut().zip(names) {
        *value = drive::statistic(bench, interface, name)? - *value;
    }
    let sizes = || (frame::HEADER..=frame::MAX_LENGTH).map(|size| size as u64);
    let frames = sizes().count() as u64;
    let short: u64 = sizes().sum();
    let padded: u64 = sizes().map(|size| size.max(frame::SHORTEST as u64)).sum();
    let [rx_packets, tx_packets, rx_bytes, tx_bytes] = risen;
    let (received, bytes) = (frames + nudges, padded + nudges * frame::SHORTEST as u64);
    // A driver may count what it sends before or after padding.
    require!(
        [rx_packets, tx_packets, rx_bytes] == [received, frames, bytes]
            && [short, padded].contains(&tx_bytes),
        "{names:?} rose by {risen:?} with {frames} frames of {padded} bytes in and {short} to {padded} bytes out"
    );
    Ok(())
}

/// Returns whether a frame to `to` reaches the guest; a refusal is only ever silence for that long.
fn passes(bench: &mut Bench, to: Address, silence: Duration) -> Result<bool> {
    let frame = request(to, 200, u32::from(to[5]));
    let echo = exchange(bench, &frame, silence)?;
    if let Some(echo) = &echo {
        let expected = expected_echo(&frame, guest_address()?);
        require!(*echo == expected, "a frame to {to:02x?} came back changed");
    }
    Ok(echo.is_some())
}

fn require_filter(bench: &mut Bench, when: &str, to: Address, expected: bool) -> Result<()> {
    // An echo that is to come may be slow on a busy machine.
    let passed = passes(bench, to, if expected { ECHO } else { SILENCE })?;
    require!(
        passed == expected,
        "{when}: a frame to {to:02x?} {} received, expected the contrary",
        if passed { "was" } else { "was not" }
    );
    Ok(())
}

/// Returns how many of 16 groups that were not joined are received, with so much time for each.
fn groups_received(bench: &mut Bench, silence: Duration) -> Result<usize> {
    let mut count = 0;
    for last in 0x40..0x50 {
        let group = [0x01, 0x00, 0x5e, 0x55, 0x66, last];
        count += usize::from(passes(bench, group, silence)?);
    }
    Ok(count)
}

/// Sets what frames are received. The writes to registers are posted, and a frame goes another way:
/// it could come before them, if no read followed.
fn set(bench: &mut Bench, interface: &str, script: &str) -> Result<()> {
    let script = format!("{script} && ethtool -d {interface} >/dev/null");
    bench.guest.check(&script).map(|_| ())
}

fn filter(bench: &mut Bench, interface: &str) -> Result<()> {
    let guest = guest_address()?;
    let group = "01:00:5e:11:22:33";
    require_filter(bench, "at first", guest, true)?;
    require_filter(bench, "at first", BROADCAST, true)?;
    require_filter(bench, "at first", FOREIGN, false)?;
    let foreign = groups_received(bench, SILENCE)?;
    require!(
        foreign < 8,
        "{foreign} of 16 groups that were not joined are received: the hash filter is not in use"
    );

    let script = format!("ip maddr add {group} dev {interface}");
    set(bench, interface, &script)?;
    require_filter(bench, "after joining", GROUP, true)?;
    require_filter(bench, "after joining", FOREIGN, false)?;

    let script = format!("ip link set {interface} allmulticast on");
    set(bench, interface, &script)?;
    let before = drive::statistic(bench, interface, "multicast")?;
    let foreign = groups_received(bench, ECHO)?;
    require!(
        foreign == 16,
        "all-multicast: {foreign} of 16 groups are received"
    );
    let counted = drive::statistic(bench, interface, "multicast")?.saturating_sub(before);
    require!(
        counted >= 16,
        "{counted} multicasts were counted, expected the 16 that were received"
    );
    require_filter(bench, "all-multicast", FOREIGN, false)?;

    let script = format!("ip link set {interface} allmulticast off promisc on");
    set(bench, interface, &script)?;
    require_filter(bench, "promiscuous", FOREIGN, true)?;
    require_filter(bench, "promiscuous", guest, true)?;

    let script = format!("ip link set {interface} promisc off");
    set(bench, interface, &script)?;
    require_filter(bench, "promiscuous no more", FOREIGN, false)?;
    require_filter(bench, "promiscuous no more", GROUP, true)?;
    require_filter(bench, "promiscuous no more", guest, true)
}

/// The check sequence of a frame, and frames in which it is wrong, are received by programs that
/// ask for them.
fn check_sequences(bench: &mut Bench, interface: &str) -> Result<()> {
    let request = request(guest_address()?, 200, 1);
    let expected = expected_echo(&request, guest_address()?);
    let mut with_sequence = expected.clone();
    with_sequence.extend_from_slice(&frame::check_sequence(&request));
    let ask = |bench: &mut Bench, option: &str, damaged: bool, limit| {
        set(
            bench,
            interface,
            &format!("ethtool -K {interface} {option}"),
        )?;
        bench.model()?.fault("crc-error", damaged)?;
        let echo = exchange(bench, &request, limit);
        bench.model()?.fault("crc-error", false)?;
        echo
    };
    let whole = ask(bench, "rx-fcs on", false, ECHO)?;
    require!(
        whole.as_ref() == Some(&with_sequence),
        "with rx-fcs a frame came in as {whole:02x?}, expected {with_sequence:02x?}"
    );
    require!(
        ask(bench, "rx-fcs off", true, SILENCE)?.is_none(),
        "a damaged frame was received that was not asked for"
    );
    let damaged = ask(bench, "rx-all on", true, ECHO)?;
    require!(
        damaged.as_ref() == Some(&expected),
        "with rx-all a damaged frame came in as {damaged:02x?}"
    );
    require!(
        ask(bench, "rx-all off", true, SILENCE)?.is_none(),
        "a damaged frame was received although rx-all is off again"
    );
    Ok(())
}

#[guest_test(ours(b300, b380), r8169(b380), debug)]
fn echoes_and_filters_frames(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&Setup {
        pcap: true,
        ..case.frames()
    })?;
    // No frame but the lab's is to be counted.
    bench
        .guest
        .check("for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done")?;
    let interface = bench.load_and_open()?;
    start_echo(&mut bench, &interface)?;
    sizes_are_counted(&mut bench, &interface)?;
    filter(&mut bench, &interface)?;
    check_sequences(&mut bench, &interface)?;
    bench.finish()
}
