// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::config::Config;
use crate::crc::fcs;
use crate::desc::*;
use crate::offload::Ipv4;
use crate::testing::packet;
use crate::testing::Bench;
use crate::testing::BUFFERS;
use crate::testing::MAC;
use crate::testing::RX_RING;

const MS: u64 = 1_000_000;

fn bench() -> Bench {
    Bench::open(Config::default())
}

fn slots(bench: &mut Bench, count: u64, size: u32) {
    for index in 0..count {
        let end = if index + 1 == count { RING_END } else { 0 };
        bench.guest.desc(
            RX_RING,
            index,
            OWN | end | size,
            0xffff_ffff,
            BUFFERS + index * 0x1000,
        );
    }
}

fn to(destination: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.resize(len, 0x5a);
    frame
}

fn give(bench: &mut Bench, frame: &[u8]) -> Received {
    bench.chip.frame_in(&mut bench.guest, frame, false)
}

#[test]
fn a_frame_for_us_arrives_with_its_check_sequence() {
    let mut bench = bench();
    slots(&mut bench, 2, 0x1000 - 8);
    let frame = to(MAC, 60);
    assert_eq!(give(&mut bench, &frame), Received::Delivered);
    let (opts1, opts2) = bench.guest.opts(RX_RING, 0);
    assert_eq!(opts1, FIRST | LAST | rx::UNICAST | rx::ALWAYS | 64);
    assert_eq!(opts2, 0);
    assert_eq!(bench.guest.get(BUFFERS, 60), frame);
    assert_eq!(bench.guest.get(BUFFERS + 60, 4), fcs(&frame));
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_OK);
    // The next one meets the ring's end, keeps it and wraps.
    assert_eq!(give(&mut bench, &frame), Received::Delivered);
    assert_eq!(
        bench.guest.opts(RX_RING, 1).0,
        FIRST | LAST | RING_END | rx::UNICAST | rx::ALWAYS | 64
    );
    assert_eq!(bench.chip.state().rx.index, 0);
    assert_eq!(bench.chip.tally().rx_unicast, 2);
    assert_eq!(bench.chip.counters().rx_bytes, 120);
}

fn waiting() -> Bench {
    Bench::open(Config {
        rx_mode: RxMode::Wait,
        ..Config::default()
    })
}

#[test]
fn a_full_ring_makes_the_frame_wait() {
    let mut bench = waiting();
    slots(&mut bench, 1, 0x800);
    let frame = to(MAC, 60);
    give(&mut bench, &frame);
    bench.w16(Reg::IntrStatus, 0xffff);
    assert_eq!(give(&mut bench, &frame), Received::Wait);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_OVERFLOW);
    bench.w16(Reg::IntrStatus, 0xffff);
    assert_eq!(
        bench.chip.frame_in(&mut bench.guest, &frame, true),
        Received::Wait
    );
    assert_eq!(bench.r16(Reg::IntrStatus), 0, "reported once");
    slots(&mut bench, 1, 0x800);
    assert_eq!(
        bench.chip.frame_in(&mut bench.guest, &frame, true),
        Received::Delivered
    );
    assert_eq!(bench.chip.counters().rx_waits, 1);
    assert_eq!(bench.chip.counters().rx_dropped, 0);
}

/// A frame without flow control that finds no descriptor is kept inside, and written when there is
/// one: the chip looks.
#[test]
fn a_full_ring_fills_the_room_inside() {
    let mut bench = bench();
    slots(&mut bench, 1, 0x800);
    let frame = to(MAC, 60);
    give(&mut bench, &frame);
    bench.w16(Reg::IntrStatus, 0xffff);
    assert_eq!(give(&mut bench, &frame), Received::Kept);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_OVERFLOW);
    assert_eq!(bench.r8(Reg::ChipCmd) & 1, 0, "the buffer is not empty");
    bench.w16(Reg::IntrStatus, 0xffff);
    slots(&mut bench, 1, 0x800);
    let due = bench.chip.deadline().unwrap();
    bench.tick(due);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_OK);
    let opts1 = FIRST | LAST | RING_END | rx::UNICAST | rx::ALWAYS | 64;
    assert_eq!(bench.guest.opts(RX_RING, 0).0, opts1);
    assert_eq!(bench.chip.deadline(), None);
    assert_eq!(bench.chip.counters().rx_dropped, 0);
}

/// Frames are lost when that room is full.
#[test]
fn without_flow_control_frames_are_lost() {
    let mut bench = Bench::open(Config {
        revision: Revision::B380,
        ..Config::default()
    });
    slots(&mut bench, 1, 0);
    bench.guest.desc(RX_RING, 0, RING_END, 0, BUFFERS);
    let frame = to(MAC, 1514);
    let mut kept = 0;
    while give(&mut bench, &frame) == Received::Kept {
        kept += 1;
    }
    assert_eq!(kept, 65536 / 1518);
    assert_eq!(
        bench.r16(Reg::IntrStatus),
        intr::RX_OVERFLOW | intr::RX_FIFO_OVER
    );
    assert_eq!(
        (bench.r32(Reg::RxMissed), bench.chip.tally().rx_missed),
        (1, 1)
    );
    slots(&mut bench, 64, 0x800);
    bench.chip.rx.index = 0;
    assert_eq!(give(&mut bench, &frame), Received::Delivered);
    assert_eq!(bench.chip.counters().rx_frames, kept + 1);
    let both = 3 << 23;
    assert_eq!(
        bench.guest.opts(RX_RING, 0).0 & (both | rx::ERROR),
        rx::ALWAYS
    );
    // FEmp; the overflow, which is masked, has cleared itself.
    let status = bench.r16(Reg::IntrStatus);
    assert_eq!(
        status & (intr::RX_FIFO_OVER | intr::RX_FIFO_EMPTY),
        intr::RX_FIFO_EMPTY
    );
}

#[test]
fn an_overflow_that_is_let_through_is_the_drivers_to_clear() {
    let mut bench = Bench::open(Config {
        revision: Revision::B380,
        rx_mode: RxMode::Drop,
        ..Config::default()
    });
    let both = intr::RX_FIFO_OVER | intr::RX_FIFO_EMPTY;
    bench.w16(Reg::IntrMask, intr::RX_FIFO_OVER);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Dropped);
    bench.tick(MS);
    assert_eq!(bench.r16(Reg::IntrStatus) & both, both);
    assert!(bench.chip.interrupt());
    bench.w16(Reg::IntrStatus, both);
    bench.tick(2 * MS);
    assert_eq!(bench.r16(Reg::IntrStatus) & both, 0, "once");
}

/// A slow driver that is at work is waited for; one that is not loses frames.
#[test]
fn the_cable_is_patient_with_a_driver_at_work() {
    let mut bench = Bench::open(Config {
        rx_timeout: 10,
        ..Config::default()
    });
    bench.tick(MS);
    bench.r16(Reg::IntrStatus);
    let frame = to(MAC, 1514);
    while give(&mut bench, &frame) == Received::Kept {}
    bench.tick(10 * MS);
    let again = |bench: &mut Bench| bench.chip.frame_in(&mut bench.guest, &frame, true);
    assert_eq!(again(&mut bench), Received::Wait);
    bench.r16(Reg::IntrStatus);
    bench.tick(19 * MS);
    assert_eq!(again(&mut bench), Received::Wait);
    assert_eq!(bench.chip.counters().rx_waits, 1);
    bench.tick(20 * MS);
    assert_eq!(again(&mut bench), Received::Dropped);
    assert_ne!(bench.r16(Reg::IntrStatus) & intr::RX_FIFO_OVER, 0);
}

/// The data sheet, page 62: it sends a PAUSE frame when it runs out of receive descriptors.
#[test]
fn with_flow_control_the_partner_pauses() {
    let mut bench = bench();
    bench.w32(Reg::PhyAr, 0x8004_05e1);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13, "what was negotiated counts");
    bench.w32(Reg::PhyAr, 0x8000_1340);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x73);
    bench.w16(Reg::IntrStatus, 0xffff);
    let frame = to(MAC, 60);
    assert_eq!(give(&mut bench, &frame), Received::Wait);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_OVERFLOW);
    // A forced mode has none.
    bench.w32(Reg::PhyAr, 0x8000_0140);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13);
    assert_eq!(give(&mut bench, &frame), Received::Kept);
}

#[test]
fn a_full_ring_loses_the_frame_in_drop_mode() {
    let mut bench = Bench::open(Config {
        rx_mode: RxMode::Drop,
        ..Config::default()
    });
    slots(&mut bench, 1, 0x800);
    let frame = to(MAC, 60);
    give(&mut bench, &frame);
    assert_eq!(give(&mut bench, &frame), Received::Dropped);
    assert_eq!(
        bench.r16(Reg::IntrStatus),
        intr::RX_OK | intr::RX_OVERFLOW | intr::RX_FIFO_OVER
    );
    assert_eq!(bench.chip.tally().rx_missed, 1);
    assert_eq!(bench.r32(Reg::RxMissed), 1);
}

#[test]
fn after_an_overflow_b300_waits_for_a_reset() {
    for revision in [Revision::B300, Revision::B380] {
        let mut bench = Bench::open(Config {
            revision,
            rx_mode: RxMode::Drop,
            ..Config::default()
        });
        let frame = to(MAC, 60);
        assert_eq!(give(&mut bench, &frame), Received::Dropped);
        slots(&mut bench, 2, 0x800);
        bench.w16(Reg::IntrStatus, 0xffff);
        let next = give(&mut bench, &frame);
        if revision == Revision::B380 {
            assert_eq!(next, Received::Delivered);
            continue;
        }
        assert_eq!((next, bench.r16(Reg::IntrStatus)), (Received::Dropped, 0));
        bench.w8(Reg::ChipCmd, 0x0c);
        assert_eq!(give(&mut bench, &frame), Received::Dropped);
        bench.w8(Reg::ChipCmd, 0x10);
        bench.w8(Reg::ChipCmd, 0x0c);
        assert_eq!(give(&mut bench, &frame), Received::Delivered);
    }
}

#[test]
fn frames_above_8192_bytes_are_marked_as_errors() {
    let mut bench = bench();
    bench.w16(Reg::RxMaxSize, 0x3fff);
    for (len, marks) in [(8188, 0), (8189, rx::ERROR | rx::WATCHDOG)] {
        slots(&mut bench, 1, 0x3000);
        assert_eq!(give(&mut bench, &to(MAC, len)), Received::Delivered);
        let opts1 = bench.guest.opts(RX_RING, 0).0;
        assert_eq!(opts1 & (rx::ERROR | rx::WATCHDOG), marks);
        bench.w8(Reg::ChipCmd, 0x04);
        bench.w8(Reg::ChipCmd, 0x0c);
    }
}

#[test]
fn the_filter() {
    let other = [0x02, 0, 0, 0, 0, 0x77];
    let group = [0x01, 0x00, 0x5e, 0, 0, 0xfb];
    let all = [0xff; 6];
    let cases = [
        (0x00, MAC, false),
        (0x02, MAC, true),
        (0x01, MAC, true),
        (0x02, other, false),
        (0x01, other, true),
        (0x0a, group, false),
        (0x04, all, false),
        (0x08, all, true),
        (0x01, all, false),
    ];
    for (accept, destination, wanted) in cases {
        let mut bench = bench();
        slots(&mut bench, 1, 0x800);
        bench.w32(Reg::RxConfig, 0xe700 | accept);
        bench.w32(Reg::Mar0, u32::MAX);
        bench.w32(Reg::Mar4, u32::MAX);
        let expected = if wanted {
            Received::Delivered
        } else {
            Received::Filtered
        };
        assert_eq!(
            give(&mut bench, &to(destination, 60)),
            expected,
            "{accept:#x} {destination:x?}"
        );
    }
}

#[test]
fn the_multicast_hash_is_swapped_as_drivers_write_it() {
    let group = [0x01, 0x00, 0x5e, 0, 0, 0xfb];
    // What a driver does: bit n of a 64-bit filter, words swapped, bytes of each swapped.
    let bit = crate::multicast_hash(group);
    let mut filter = [0u32; 2];
    filter[usize::from(bit / 32)] = 1 << (bit % 32);
    let (low, high) = (filter[1].swap_bytes(), filter[0].swap_bytes());
    let mut bench = bench();
    slots(&mut bench, 2, 0x800);
    bench.w32(Reg::RxConfig, 0xe704);
    bench.w32(Reg::Mar4, high);
    bench.w32(Reg::Mar0, low);
    assert_eq!(give(&mut bench, &to(group, 60)), Received::Delivered);
    assert_ne!(bench.guest.opts(RX_RING, 0).0 & rx::MULTICAST, 0);
    bench.w32(Reg::Mar4, !high);
    bench.w32(Reg::Mar0, !low);
    assert_eq!(give(&mut bench, &to(group, 60)), Received::Filtered);
}

#[test]
fn a_frame_larger_than_a_buffer_takes_several() {
    let mut bench = waiting();
    slots(&mut bench, 4, 0x40);
    let mut frame = to(MAC, 150);
    for (i, byte) in frame[6..].iter_mut().enumerate() {
        *byte = i as u8;
    }
    assert_eq!(give(&mut bench, &frame), Received::Delivered);
    let marks = rx::UNICAST | rx::ALWAYS;
    assert_eq!(bench.guest.opts(RX_RING, 0).0, FIRST | marks | 0x40);
    assert_eq!(bench.guest.opts(RX_RING, 1).0, marks | 0x40);
    assert_eq!(bench.guest.opts(RX_RING, 2).0, LAST | marks | 154);
    assert_ne!(bench.guest.opts(RX_RING, 3).0 & OWN, 0);
    let parts = [
        bench.guest.get(BUFFERS, 64),
        bench.guest.get(BUFFERS + 0x1000, 64),
        bench.guest.get(BUFFERS + 0x2000, 22),
    ];
    assert_eq!(parts.concat(), frame);
    // One more would need three: nothing is touched meanwhile.
    assert_eq!(give(&mut bench, &frame), Received::Wait);
    assert_ne!(bench.guest.opts(RX_RING, 3).0 & OWN, 0);
}

#[test]
fn rings_that_cannot_hold_a_frame_are_reported() {
    let mut bench = bench();
    slots(&mut bench, 2, 0x40);
    assert_eq!(give(&mut bench, &to(MAC, 150)), Received::Dropped);
    assert!(bench.last_violation().contains("whole receive ring"));
    // The end lies before the descriptor the chip stands at, and passing it leads back to it for
    // ever.
    slots(&mut bench, 2, 0x40);
    bench.chip.rx.index = 5;
    for index in 5..8 {
        bench.guest.desc(
            RX_RING,
            index,
            OWN | 0x10 | if index == 7 { RING_END } else { 0 },
            0,
            BUFFERS,
        );
    }
    bench.guest.desc(RX_RING, 0, OWN | RING_END | 8, 0, BUFFERS);
    bench.w16(Reg::RxMaxSize, 0x3fff);
    assert_eq!(give(&mut bench, &to(MAC, 12000)), Received::Dropped);
    assert_eq!(bench.violations(), 2);
}

#[test]
fn buffers_without_room_or_out_of_place() {
    let mut bench = bench();
    bench.guest.desc(RX_RING, 0, OWN | 7, 0, BUFFERS);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Dropped);
    assert!(bench.last_violation().contains("no room"));
    bench.guest.desc(RX_RING, 0, OWN | 0x800, 0, BUFFERS + 3);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Delivered);
    assert!(bench.last_violation().contains("aligned"));
    bench.guest.desc(RX_RING, 1, OWN | 0x800, 0, 0);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Dropped);
    assert_eq!(bench.chip.counters().dma_faults, 1);
    assert_ne!(bench.guest.opts(RX_RING, 1).0 & OWN, 0);
}

#[test]
fn frames_come_only_with_receiver_and_link() {
    let mut bench = bench();
    slots(&mut bench, 1, 0x800);
    bench.w8(Reg::ChipCmd, 0x04);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Ignored);
    bench.w8(Reg::ChipCmd, 0x0c);
    bench.chip.set_link(false);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Ignored);
    bench.chip.set_link(true);
    bench.chip.set_asleep(true);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Ignored);
    bench.chip.set_asleep(false);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Delivered);
    assert_eq!(bench.chip.counters().rx_ignored, 3);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn runts_and_giants() {
    let mut bench = bench();
    slots(&mut bench, 4, 0x800);
    assert_eq!(give(&mut bench, &to(MAC, 59)), Received::Dropped);
    assert_ne!(bench.r16(Reg::IntrStatus) & intr::RX_ERR, 0);
    bench.w32(Reg::RxConfig, 0xe71a);
    assert_eq!(give(&mut bench, &to(MAC, 59)), Received::Delivered);
    assert_ne!(bench.guest.opts(RX_RING, 0).0 & rx::RUNT, 0);
    bench.w16(Reg::RxMaxSize, 1518);
    assert_eq!(give(&mut bench, &to(MAC, 1514)), Received::Delivered);
    assert_eq!(give(&mut bench, &to(MAC, 1515)), Received::Delivered);
    let marks = |bench: &Bench, nth| bench.guest.opts(RX_RING, nth).0 & (rx::ERROR | rx::WATCHDOG);
    assert_eq!(marks(&bench, 1), 0);
    assert_eq!(marks(&bench, 2), rx::ERROR | rx::WATCHDOG);
    assert_eq!(bench.guest.opts(RX_RING, 2).0 & rx::LENGTH, 1519, "whole");
    bench.w16(Reg::RxMaxSize, 0);
    assert_eq!(give(&mut bench, &to(MAC, 60)), Received::Ignored);
    bench.w16(Reg::RxMaxSize, 0x4000);
    assert_eq!(give(&mut bench, &to(MAC, 15997)), Received::Dropped);
    for len in 0..14 {
        give(&mut bench, &to(MAC, 60)[..len]);
    }
}

#[test]
fn checksum_verdicts_when_asked_for() {
    for (protocol, good, fail) in [
        (offload::TCP, rx::PROTO_TCP, rx::TCP_FAIL),
        (offload::UDP, rx::PROTO_UDP, rx::UDP_FAIL),
    ] {
        let mut bench = bench();
        slots(&mut bench, 3, 0x800);
        bench.w32(Reg::RxConfig, 0xe70f);
        let bad = packet(protocol, 64);
        let mut right = bad.clone();
        let ip = Ipv4::find(&right).unwrap();
        ip.fill_header(&mut right);
        ip.fill_transport(&mut right, protocol);
        let mask = rx::PROTO_IP | rx::IP_FAIL | rx::UDP_FAIL | rx::TCP_FAIL;
        give(&mut bench, &right);
        assert_eq!(bench.guest.opts(RX_RING, 0).0 & mask, 0);
        bench.w16(Reg::CPlusCmd, 0x20);
        give(&mut bench, &right);
        assert_eq!(bench.guest.opts(RX_RING, 1).0 & mask, good);
        give(&mut bench, &bad);
        assert_eq!(
            bench.guest.opts(RX_RING, 2).0 & mask,
            good | fail | rx::IP_FAIL
        );
    }
}

#[test]
fn vlan_tags_are_taken_out_when_asked_for() {
    let mut bench = bench();
    slots(&mut bench, 2, 0x800);
    let mut frame = to(MAC, 64);
    frame[12..16].copy_from_slice(&[0x81, 0, 0x20, 0x64]);
    give(&mut bench, &frame);
    assert_eq!(bench.guest.opts(RX_RING, 0).0 & rx::LENGTH, 68);
    assert_eq!(bench.guest.opts(RX_RING, 0).1, 0);
    bench.w16(Reg::CPlusCmd, 0x40);
    give(&mut bench, &frame);
    assert_eq!(bench.guest.opts(RX_RING, 1).0 & rx::LENGTH, 64);
    assert_eq!(bench.guest.opts(RX_RING, 1).1, rx::VLAN | 0x6420);
    let stripped = [&frame[..12], &frame[16..]].concat();
    assert_eq!(bench.guest.get(BUFFERS + 0x1000, 60), stripped);
    // The tag counts for the longest frame.
    slots(&mut bench, 4, 0x800);
    bench.w16(Reg::RxMaxSize, 67);
    assert_eq!(give(&mut bench, &frame), Received::Delivered);
    assert_ne!(bench.guest.opts(RX_RING, 0).0 & rx::WATCHDOG, 0);
}

#[test]
fn of_a_descriptor_that_is_the_drivers_only_one_word_is_read() {
    for (owner, expected, accesses) in [(0, Received::Kept, 1), (OWN, Received::Delivered, 2)] {
        let mut bench = bench();
        let opts1 = owner | RING_END | 0xff8;
        bench.guest.desc(RX_RING, 0, opts1, 0, BUFFERS);
        let before = bench.guest.accesses;
        assert_eq!(give(&mut bench, &to(MAC, 60)), expected);
        let found = bench.guest.accesses - before;
        assert!(found == accesses || owner == OWN && found > accesses);
    }
}
