// SPDX-License-Identifier: GPL-2.0

use crate::bus::Bus;
use crate::config::Config;
use crate::desc::tx;
use crate::desc::*;
use crate::offload;
use crate::regs::intr;
use crate::regs::Reg;
use crate::testing::packet;
use crate::testing::Bench;
use crate::testing::BUFFERS;
use crate::testing::TXH_RING;
use crate::testing::TX_RING;

const WHOLE: u32 = OWN | FIRST | LAST;

fn bench() -> Bench {
    Bench::open(Config::default())
}

fn place(bench: &mut Bench, index: u64, flags: u32, bytes: &[u8]) {
    let buffer = BUFFERS + index * 0x1000;
    bench.guest.put(buffer, bytes);
    bench
        .guest
        .desc(TX_RING, index, flags | bytes.len() as u32, 0, buffer);
}

fn ring(bench: &mut Bench) {
    bench.w8(Reg::TxPoll, 0x40);
}

#[test]
fn a_frame_goes_out_and_its_descriptor_comes_back() {
    let mut bench = bench();
    place(&mut bench, 0, WHOLE, &[7; 100]);
    place(&mut bench, 1, WHOLE | RING_END, &[8; 1514]);
    ring(&mut bench);
    assert_eq!(bench.guest.sent, [vec![7; 100], vec![8; 1514]]);
    assert_eq!(bench.guest.opts(TX_RING, 0).0, FIRST | LAST | 100);
    assert_eq!(
        bench.guest.opts(TX_RING, 1).0,
        FIRST | LAST | RING_END | 1514
    );
    assert_eq!(
        bench.r16(Reg::IntrStatus),
        intr::TX_OK | intr::TX_DESC_UNAVAIL
    );
    assert_eq!(bench.r8(Reg::TxPoll), 0, "the doorbell clears itself");
    assert_eq!(bench.chip.state().tx.index, 0, "the ring's end wraps");
    let counters = bench.chip.counters();
    assert_eq!((counters.tx_frames, counters.tx_bytes), (2, 1614));
    assert_eq!((counters.doorbells, counters.doorbells_empty), (1, 0));
    assert_eq!(bench.chip.tally().tx_ok, 2);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn short_frames_are_padded_with_zeroes() {
    let mut bench = bench();
    place(&mut bench, 0, WHOLE, &[9; 14]);
    place(&mut bench, 1, WHOLE, &[9; 60]);
    ring(&mut bench);
    let mut padded = vec![9; 14];
    padded.resize(60, 0);
    assert_eq!(bench.guest.sent, [padded, vec![9; 60]]);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn a_frame_in_parts() {
    let mut bench = bench();
    place(&mut bench, 0, OWN | FIRST, &[1; 14]);
    place(&mut bench, 1, OWN, &[2; 1]);
    place(&mut bench, 2, OWN | LAST, &[3; 100]);
    ring(&mut bench);
    let expected = [vec![1; 14], vec![2; 1], vec![3; 100]].concat();
    assert_eq!(bench.guest.sent, [expected]);
    for index in 0..3 {
        assert_eq!(bench.guest.opts(TX_RING, index).0 & OWN, 0);
    }
}

#[test]
fn all_descriptors_of_a_frame_have_the_same_flags() {
    let frame = packet(offload::TCP, 100);
    let sum = tx::IP_CHECKSUM | tx::TCP_CHECKSUM;
    for (flags, tag, reported) in [
        (sum, 0x2_0100, 0),
        (0, 0x2_0100, 1),
        (sum, 0, 1),
        // A bit of the size of segments.
        (sum | 1 << 26, 0x2_0100, 1),
    ] {
        let mut bench = bench();
        let (head, tail) = frame.split_at(54);
        bench.guest.put(BUFFERS, head);
        bench.guest.put(BUFFERS + 0x1000, tail);
        let first = OWN | FIRST | sum | head.len() as u32;
        bench.guest.desc(TX_RING, 0, first, 0x2_0100, BUFFERS);
        let last = OWN | LAST | flags | tail.len() as u32;
        bench.guest.desc(TX_RING, 1, last, tag, BUFFERS + 0x1000);
        ring(&mut bench);
        assert_eq!(bench.guest.sent.len(), 1);
        assert_eq!(bench.violations(), reported, "{}", bench.last_violation());
    }
}

#[test]
fn an_unfinished_frame_waits_for_the_next_doorbell() {
    let mut bench = bench();
    place(&mut bench, 0, OWN | FIRST, &[1; 60]);
    ring(&mut bench);
    assert!(bench.guest.sent.is_empty());
    assert_eq!(bench.violations(), 1);
    assert_ne!(bench.guest.opts(TX_RING, 0).0 & OWN, 0);
    place(&mut bench, 1, OWN | LAST, &[2; 60]);
    ring(&mut bench);
    assert_eq!(bench.guest.sent.len(), 1);
}

#[test]
fn a_transmitter_that_is_switched_on_begins_at_the_head() {
    let mut bench = bench();
    place(&mut bench, 0, WHOLE, &[1; 60]);
    ring(&mut bench);
    bench.w8(Reg::ChipCmd, 0x0c);
    place(&mut bench, 1, WHOLE, &[2; 60]);
    ring(&mut bench);
    assert_eq!(bench.guest.sent.len(), 2, "it was on, and goes on");
    bench.w8(Reg::ChipCmd, 0x08);
    bench.w8(Reg::ChipCmd, 0x0c);
    place(&mut bench, 0, WHOLE, &[3; 60]);
    ring(&mut bench);
    assert_eq!(bench.guest.sent.len(), 3, "it was off, and begins again");
    assert_eq!(bench.violations(), 0, "{}", bench.last_violation());
}

#[test]
fn the_high_priority_ring_goes_first() {
    let mut bench = bench();
    place(&mut bench, 0, WHOLE, &[1; 60]);
    bench.guest.put(BUFFERS + 0x8000, &[2; 60]);
    bench
        .guest
        .desc(TXH_RING, 0, WHOLE | 60, 0, BUFFERS + 0x8000);
    bench.w8(Reg::TxPoll, 0xc0);
    assert_eq!(bench.guest.sent, [vec![2; 60], vec![1; 60]]);
    assert_eq!(bench.chip.counters().doorbells, 2);
}

#[test]
fn doorbells_that_find_nothing_are_counted() {
    let mut bench = bench();
    ring(&mut bench);
    assert_eq!(bench.chip.counters().doorbells_empty, 1);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::TX_DESC_UNAVAIL);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn a_transmitter_that_is_off_or_has_no_ring_does_nothing() {
    let mut bench = bench();
    place(&mut bench, 0, WHOLE, &[1; 60]);
    bench.w8(Reg::ChipCmd, 0x08);
    ring(&mut bench);
    assert!(bench.last_violation().contains("off"));
    let mut fresh = Bench::with(Config::default());
    fresh.w8(Reg::ChipCmd, 0x04);
    fresh.w8(Reg::TxPoll, 0x40);
    assert!(fresh.last_violation().contains("address"));
    assert!(bench.guest.sent.is_empty() && fresh.guest.sent.is_empty());
    assert_eq!(fresh.guest.accesses, 0);
}

#[test]
fn the_cable_is_waited_for() {
    let mut bench = bench();
    bench.guest.ready = false;
    place(&mut bench, 0, WHOLE, &[1; 60]);
    ring(&mut bench);
    assert_eq!(bench.r8(Reg::TxPoll), 0x40);
    assert!(bench.chip.sending() && bench.guest.sent.is_empty());
    ring(&mut bench);
    bench.guest.ready = true;
    assert!(!bench.chip.resume(&mut bench.guest));
    assert_eq!(bench.guest.sent.len(), 1);
    assert_eq!(bench.r8(Reg::TxPoll), 0);
    assert_eq!(bench.chip.counters().doorbells_empty, 0);
}

#[test]
fn reset_forgets_what_was_to_be_sent() {
    let mut bench = bench();
    bench.guest.ready = false;
    place(&mut bench, 0, WHOLE, &[1; 60]);
    ring(&mut bench);
    bench.w8(Reg::ChipCmd, 0x10);
    bench.guest.ready = true;
    bench.chip.resume(&mut bench.guest);
    assert!(bench.guest.sent.is_empty());
}

#[test]
fn buffers_outside_memory_are_faults_and_send_nothing() {
    for buffer in [0, u64::MAX, u64::MAX - 30, BUFFERS + (1 << 30)] {
        let mut bench = bench();
        bench.guest.desc(TX_RING, 0, WHOLE | 60, 0, buffer);
        ring(&mut bench);
        assert_eq!(bench.chip.counters().dma_faults, 1);
        assert!(bench.guest.sent.is_empty());
    }
}

#[test]
fn absurd_descriptors_are_dropped_and_reported() {
    let not_first = |bench: &mut Bench| place(bench, 0, OWN | LAST, &[1; 60]);
    let empty = |bench: &mut Bench| place(bench, 0, WHOLE, &[]);
    let twice = |bench: &mut Bench| {
        place(bench, 0, OWN | FIRST, &[1; 60]);
        place(bench, 1, OWN | FIRST, &[1; 60]);
    };
    let too_long = |bench: &mut Bench| bench.guest.desc(TX_RING, 0, WHOLE | 0xffff, 0, BUFFERS);
    let cases: [&dyn Fn(&mut Bench); 4] = [&not_first, &empty, &twice, &too_long];
    for (i, case) in cases.iter().enumerate() {
        let mut bench = bench();
        case(&mut bench);
        ring(&mut bench);
        assert!(bench.guest.sent.is_empty(), "{i}");
        assert!(bench.violations() > 0, "{i}");
        assert_eq!(bench.guest.opts(TX_RING, 0).0 & OWN, 0, "{i}: given back");
        assert!(bench.chip.counters().tx_dropped > 0);
        assert_ne!(bench.r16(Reg::IntrStatus) & intr::TX_ERR, 0);
    }
}

#[test]
fn a_ring_without_an_end_is_left_after_1024() {
    let mut bench = bench();
    bench.w32(Reg::TxDescStartAddrLow, 0x14_0000);
    for index in 0..2000 {
        bench
            .guest
            .desc(0x14_0000, index, OWN | FIRST | LAST | 60, 0, BUFFERS);
    }
    ring(&mut bench);
    assert_eq!(bench.guest.sent.len(), 1023);
    assert_eq!(bench.violations(), 1);
    assert!(bench.last_violation().contains("no end"));
    assert_eq!(bench.chip.state().tx.index, 0);
}

#[test]
fn a_frame_that_never_ends_is_given_up() {
    let mut bench = bench();
    for index in 0..8 {
        let first = if index == 0 { FIRST } else { 0 };
        let end = if index == 7 { RING_END } else { 0 };
        place(&mut bench, index, OWN | first | end, &[1; 60]);
    }
    ring(&mut bench);
    assert!(bench.guest.sent.is_empty());
    assert_eq!(bench.chip.counters().tx_dropped, 1);
    assert_eq!(bench.violations(), 1);
}

#[test]
fn checksums_are_filled_in() {
    for (protocol, bit, proto) in [
        (offload::TCP, tx::TCP_CHECKSUM, crate::desc::rx::PROTO_TCP),
        (offload::UDP, tx::UDP_CHECKSUM, crate::desc::rx::PROTO_UDP),
    ] {
        let mut bench = bench();
        place(
            &mut bench,
            0,
            WHOLE | tx::IP_CHECKSUM | bit,
            &packet(protocol, 333),
        );
        ring(&mut bench);
        assert_eq!(offload::verdict(&bench.guest.sent[0]), proto);
        assert_eq!(bench.violations(), 0);
    }
}

#[test]
fn checksums_the_chip_cannot_do_are_told_and_left() {
    let short = packet(offload::UDP, 5);
    let mut ipv6 = packet(offload::TCP, 100);
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let udp_as_tcp = packet(offload::UDP, 100);
    for frame in [short, ipv6, udp_as_tcp] {
        let mut bench = bench();
        place(
            &mut bench,
            0,
            WHOLE | tx::IP_CHECKSUM | tx::TCP_CHECKSUM,
            &frame,
        );
        ring(&mut bench);
        // The sum of the IP header aside, which it can do.
        let sent = &bench.guest.sent[0];
        assert_eq!(sent[..24], frame[..24]);
        assert_eq!(sent[26..frame.len()], frame[26..]);
        assert_eq!(bench.violations(), 1);
    }
}

#[test]
fn offloads_that_the_chip_does_not_have() {
    let long = packet(offload::UDP, 2000);
    let tagged = {
        let mut frame = packet(offload::TCP, 1460);
        offload::insert_vlan(&mut frame, 7);
        frame
    };
    let short = packet(offload::TCP, 100);
    for (frame, flags, reported) in [
        (&short, tx::TCP_CHECKSUM, "without that of IP"),
        (&long, tx::IP_CHECKSUM | tx::UDP_CHECKSUM, "jumbo"),
        (&tagged, 0, ""),
        (&long, 0, ""),
    ] {
        let mut bench = bench();
        place(&mut bench, 0, WHOLE | flags, frame);
        ring(&mut bench);
        assert!(bench.guest.sent.iter().eq([frame]), "as it was");
        assert_eq!(bench.violations(), u64::from(!reported.is_empty()));
        assert!(bench.last_violation().contains(reported));
    }
    let mut bench = bench();
    let large = packet(offload::TCP, 4000);
    let send = tx::LARGE_SEND | 1600 << tx::MSS_SHIFT;
    place(&mut bench, 0, WHOLE | send, &large);
    ring(&mut bench);
    assert!(
        bench.last_violation().contains("jumbo"),
        "{}",
        bench.last_violation()
    );
}

#[test]
fn jumbo_frames_are_enabled_on_b380() {
    let mut bench = Bench::open(Config {
        revision: crate::Revision::B380,
        ..Config::default()
    });
    place(&mut bench, 0, WHOLE, &[7; 1515]);
    ring(&mut bench);
    assert!(bench.guest.sent.is_empty());
    assert!(bench.last_violation().contains("Config4"));
    bench.w8(Reg::Cfg9346, 0xc0);
    bench.w8(Reg::Config4, 1);
    place(&mut bench, 1, WHOLE, &[7; 1515]);
    ring(&mut bench);
    assert_eq!(bench.guest.sent.len(), 1);
    assert_eq!(bench.violations(), 1);
}

#[test]
fn a_vlan_tag_is_put_in() {
    let mut bench = bench();
    let frame = packet(offload::TCP, 100);
    bench.guest.put(BUFFERS, &frame);
    let flags = WHOLE | tx::IP_CHECKSUM | tx::TCP_CHECKSUM | frame.len() as u32;
    bench
        .guest
        .desc(TX_RING, 0, flags, tx::VLAN | 0x6400, BUFFERS);
    ring(&mut bench);
    let sent = &bench.guest.sent[0];
    assert_eq!(offload::vlan(sent), Some(100));
    assert_eq!(offload::verdict(sent), crate::desc::rx::PROTO_TCP);
    assert_eq!(sent.len(), frame.len() + 4);
}

#[test]
fn large_sends_are_cut() {
    let mut bench = bench();
    let frame = packet(offload::TCP, 4000);
    bench.guest.put(BUFFERS, &frame);
    let flags = WHOLE | tx::LARGE_SEND | (1460 << tx::MSS_SHIFT) | frame.len() as u32;
    bench.guest.desc(TX_RING, 0, flags, 0, BUFFERS);
    ring(&mut bench);
    let lengths: Vec<usize> = bench.guest.sent.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1514, 1514, 54 + 1080]);
    assert_eq!(bench.violations(), 0);
    assert_eq!(bench.chip.tally().tx_ok, 3);
}

#[test]
fn a_frame_that_may_run_dry_is_sent() {
    let mut bench = bench();
    bench.w8(Reg::MaxTxPacketSize, 8);
    place(&mut bench, 0, WHOLE, &[1; 1500]);
    ring(&mut bench);
    assert_eq!((bench.guest.sent.len(), bench.violations()), (1, 0));
}

/// The data sheet, page 16: 7436 bytes and their check sequence.
#[test]
fn the_longest_frame() {
    for (units, sent) in [(0x3f, 1), (0x3c, 1), (0x3b, 2)] {
        let mut bench = bench();
        bench.w8(Reg::MaxTxPacketSize, units);
        for (nth, len) in [7436, 7437].into_iter().enumerate() {
            bench.guest.put(BUFFERS, &vec![1; len]);
            let opts1 = WHOLE | len as u32;
            bench.guest.desc(TX_RING, nth as u64, opts1, 0, BUFFERS);
            ring(&mut bench);
        }
        assert_eq!(bench.guest.sent.len(), sent, "{units:#x}");
        assert_eq!(bench.violations(), 2 - sent as u64, "{units:#x}");
    }
    let mut bench = Bench::new();
    bench.w8(Reg::MaxTxPacketSize, 0xc0);
    assert_eq!(bench.violations(), 1, "zero is reserved");
}

#[test]
fn without_a_check_sequence_nothing_gets_through() {
    let mut bench = bench();
    bench.w32(Reg::TxConfig, 0x0001_0000);
    place(&mut bench, 0, WHOLE, &[1; 60]);
    ring(&mut bench);
    assert_eq!((bench.guest.sent.len(), bench.violations()), (0, 1));
}

#[test]
fn a_driver_that_does_not_say_so_may_send_the_longest_frame() {
    // iPXE sets the ring and switches on, no more.
    let mut bench = Bench::new();
    bench.w32(Reg::TxDescStartAddrHigh, 0);
    bench.w32(Reg::TxDescStartAddrLow, TX_RING as u32);
    bench.w8(Reg::ChipCmd, 0x0c);
    place(&mut bench, 0, WHOLE, &[1; 1514]);
    ring(&mut bench);
    assert_eq!(bench.r8(Reg::MaxTxPacketSize), 0);
    assert_eq!(bench.guest.sent.len(), 1);
    assert_eq!(bench.violations(), 0);
}

/// A guest that hands every descriptor back at once.
struct Refilling {
    guest: crate::testing::Guest,
    sent: usize,
}

impl Bus for Refilling {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), crate::BusError> {
        self.guest.read(address, into)
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), crate::BusError> {
        self.guest.write(address, from)
    }

    fn load(&mut self, address: u64) -> Result<u32, crate::BusError> {
        self.guest.load(address)
    }

    fn store(&mut self, _: u64, _: u32) -> Result<(), crate::BusError> {
        Ok(())
    }

    fn cable_ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, _: &[u8]) {
        self.sent += 1;
        assert!(self.sent <= 5000, "held for ever");
    }
}

#[test]
fn a_guest_that_refills_behind_the_chip_does_not_hold_it() {
    let mut bench = bench();
    place(&mut bench, 0, WHOLE | RING_END, &[1; 60]);
    let mut bus = Refilling {
        guest: bench.guest,
        sent: 0,
    };
    bench.chip.write(&mut bus, 0x38, crate::Width::Byte, 0x40);
    assert_eq!(bus.sent, 1024);
    assert!(bench.chip.sending());
    assert!(bench.chip.resume(&mut bus));
    assert_eq!(bus.sent, 2048);
}

#[test]
fn loopback_has_one_mode() {
    for (mode, looped, violations) in [(1, 1, 0), (2, 0, 1), (3, 0, 1)] {
        let mut bench = bench();
        bench.w32(Reg::TxConfig, mode << 17);
        assert_eq!(bench.violations(), violations, "{mode}");
        place(&mut bench, 0, WHOLE, &[1; 60]);
        ring(&mut bench);
        assert_eq!(bench.chip.counters().looped, looped, "{mode}");
    }
}

#[test]
fn loopback_brings_frames_back_and_takes_the_cable_off() {
    use crate::desc::rx;
    use crate::rx::Received;
    use crate::testing::RX_RING;
    for mac in [true, false] {
        let mut bench = Bench::open(Config {
            rx_mode: crate::config::RxMode::Wait,
            ..Config::default()
        });
        if mac {
            bench.w32(Reg::TxConfig, 0x0002_0000);
            bench.chip.set_link(false);
        } else {
            bench.chip.set_link(false);
            bench.w32(Reg::PhyAr, 0x8000_4140);
            assert_eq!(bench.r8(Reg::PhyStatus), 0x13, "its own partner");
        }
        let mut frame = packet(offload::UDP, 60);
        frame[..6].copy_from_slice(&crate::testing::MAC);
        bench.guest.put(BUFFERS, &frame);
        let opts1 = 0xf000_0000 | frame.len() as u32;
        for (ring, index) in [(0, 0), (1, 0)] {
            bench
                .guest
                .desc(TX_RING + ring * 16, index, opts1 & !(1 << 30), 0, BUFFERS);
        }
        bench
            .guest
            .desc(RX_RING, 0, 0xc000_0800, 0, BUFFERS + 0x1000);
        bench.w8(Reg::TxPoll, 0x40);
        assert_eq!(bench.guest.sent.len(), 0);
        assert_eq!(bench.chip.counters().looped, 2);
        assert_eq!(bench.guest.get(BUFFERS + 0x1000, frame.len()), frame);
        assert_ne!(bench.guest.opts(RX_RING, 0).0 & rx::UNICAST, 0);
        // The second one found no descriptor, and no frame waits for one.
        assert_eq!(bench.chip.tally().rx_missed, 1);
        assert_eq!(
            bench.chip.frame_in(&mut bench.guest, &frame, false),
            Received::Ignored
        );
    }
}
