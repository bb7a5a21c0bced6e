// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::config::Config;
use crate::config::RxMode;
use crate::config::Width;
use crate::desc;
use crate::desc::rx;
use crate::regs::intr;
use crate::regs::Reg;
use crate::rx::Received;
use crate::testing::packet;
use crate::testing::Bench;
use crate::testing::BUFFERS;
use crate::testing::MAC;
use crate::testing::RX_RING;
use crate::testing::TX_RING;

const MS: u64 = 1_000_000;

fn bench() -> Bench {
    let mut bench = Bench::open(Config {
        rx_mode: RxMode::Wait,
        ..Config::default()
    });
    bench.w16(Reg::IntrMask, 0xffff);
    bench.guest.desc(RX_RING, 0, 0x8000_3ff8, 0, BUFFERS);
    bench
        .guest
        .desc(RX_RING, 1, 0xc000_3ff8, 0, BUFFERS + 0x4000);
    bench
}

/// Two frames in the transmit ring.
fn two_frames(bench: &mut Bench) {
    bench
        .guest
        .desc(TX_RING, 0, 0xb000_0000 | 60, 0, BUFFERS + 0x8000);
    bench
        .guest
        .desc(TX_RING, 1, 0xf000_0000 | 60, 0, BUFFERS + 0x8000);
}

fn frame() -> Vec<u8> {
    let mut frame = packet(crate::offload::UDP, 100);
    frame[..6].copy_from_slice(&MAC);
    frame
}

fn receive(bench: &mut Bench) -> Received {
    let frame = frame();
    bench.chip.frame_in(&mut bench.guest, &frame, false)
}

fn owned(bench: &Bench, ring: u64, index: u64) -> bool {
    bench.guest.opts(ring, index).0 & desc::OWN != 0
}

#[test]
fn names_are_found_again() {
    for kind in FaultKind::all() {
        assert_eq!(FaultKind::from_name(kind.name()), Some(kind));
        assert_eq!(TABLE[kind as usize].0, kind);
    }
    assert_eq!(FaultKind::from_name("tx_stall"), None);
}

#[test]
fn chance_comes_from_the_seed() {
    let hits = |seed| {
        let mut faults = FaultInjector::new();
        let config = FaultConfig {
            seed,
            rate: 4,
            ..FaultConfig::on(FaultKind::CrcError)
        };
        faults.configure(config, 0);
        (0..400)
            .map(|_| faults.fires(FaultKind::CrcError))
            .collect::<Vec<_>>()
    };
    assert_eq!(hits(1), hits(1));
    assert_ne!(hits(1), hits(2));
    let count = hits(3).iter().filter(|&&s| s).count();
    assert!((60..140).contains(&count), "{count} of 400 at 1/4");
}

#[test]
fn a_count_ends_it() {
    let mut faults = FaultInjector::new();
    faults.configure(
        FaultConfig {
            count: Some(2),
            ..FaultConfig::on(FaultKind::Runt)
        },
        0,
    );
    let hits: Vec<bool> = (0..4).map(|_| faults.fires(FaultKind::Runt)).collect();
    assert_eq!(hits, [true, true, false, false]);
    assert_eq!(faults.hits(FaultKind::Runt), 2);
    assert!(!faults.on(FaultKind::Runt));
}

#[test]
fn a_stalled_transmitter_keeps_its_frames_until_it_goes_on() {
    let mut bench = bench();
    two_frames(&mut bench);
    bench.fault(FaultConfig::on(FaultKind::TxStall));
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.guest.sent.len(), 0);
    assert!(owned(&bench, TX_RING, 0));
    assert_eq!(bench.r8(Reg::TxPoll), 0x40, "noted");
    assert!(!bench.chip.sending(), "there is nothing to wait for");
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
    bench.fault(FaultConfig::off(FaultKind::TxStall));
    assert_eq!(bench.guest.sent.len(), 2);
    assert!(!owned(&bench, TX_RING, 1));
    assert_eq!(bench.violations(), 0);
}

#[test]
fn a_reset_cures_what_is_ordered_until_then() {
    let mut bench = bench();
    for until_reset in [false, true] {
        let config = FaultConfig {
            until_reset,
            ..FaultConfig::on(FaultKind::TxStall)
        };
        bench.fault(config);
        bench.w8(Reg::ChipCmd, 0x10);
        assert_eq!(bench.chip.faults().on(FaultKind::TxStall), !until_reset);
    }
}

#[test]
fn a_doorbell_is_lost_only_while_another_completion_is_to_come() {
    let mut bench = bench();
    two_frames(&mut bench);
    bench.fault(FaultConfig {
        rate: 1,
        ..FaultConfig::on(FaultKind::LostDoorbell)
    });
    bench.guest.desc(TX_RING, 1, 0x7000_0000 | 60, 0, BUFFERS);
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.guest.sent.len(), 1);
    two_frames(&mut bench);
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.guest.sent.len(), 1, "too close");
    bench.w16(Reg::IntrStatus, 0xffff);
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.guest.sent.len(), 3);
}

#[test]
fn a_lost_interrupt_shows_in_the_status_and_the_next_event_brings_it() {
    let mut bench = bench();
    bench.fault(FaultConfig {
        rate: 1,
        count: Some(1),
        ..FaultConfig::on(FaultKind::LostInterrupt)
    });
    receive(&mut bench);
    assert!(!bench.chip.interrupt());
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_OK);
    bench.w16(Reg::IntrMask, 0xffff);
    assert!(!bench.chip.interrupt(), "lost, whatever the mask");
    receive(&mut bench);
    assert!(bench.chip.interrupt());
}

#[test]
fn ending_it_or_resetting_brings_the_line_back() {
    for reset in [false, true] {
        let mut bench = bench();
        bench.fault(FaultConfig {
            rate: 1,
            ..FaultConfig::on(FaultKind::LostInterrupt)
        });
        receive(&mut bench);
        assert!(!bench.chip.interrupt());
        bench.fault(FaultConfig::off(FaultKind::LostInterrupt));
        assert!(bench.chip.interrupt());
        if reset {
            bench.w8(Reg::ChipCmd, 0x10);
            assert!(!bench.chip.interrupt());
        }
    }
}

#[test]
fn spurious_interrupts_come_by_the_clock() {
    let mut bench = bench();
    bench.fault(FaultConfig {
        count: Some(2),
        ..FaultConfig::on(FaultKind::SpuriousInterrupt)
    });
    assert_eq!(bench.chip.deadline(), Some(10 * MS));
    bench.tick(9 * MS);
    assert!(!bench.chip.take_pulse());
    bench.tick(10 * MS);
    assert!(bench.chip.take_pulse() && !bench.chip.take_pulse());
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
    bench.tick(20 * MS);
    assert!(bench.chip.take_pulse());
    assert_eq!(bench.chip.deadline(), None);
}

#[test]
fn the_link_flaps_and_is_there_again_in_the_end() {
    let mut bench = bench();
    bench.fault(FaultConfig {
        seed: 5,
        ..FaultConfig::on(FaultKind::LinkFlap)
    });
    let at = bench.chip.deadline().unwrap();
    assert!(at <= 1000 * MS);
    bench.tick(at);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x04);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::LINK_CHG);
    bench.tick(bench.chip.deadline().unwrap());
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13);
    bench.tick(bench.chip.deadline().unwrap());
    bench.fault(FaultConfig::off(FaultKind::LinkFlap));
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13);
}

#[test]
fn descriptors_come_back_late_and_in_order() {
    let mut bench = bench();
    two_frames(&mut bench);
    bench.fault(FaultConfig::on(FaultKind::DelayOwn));
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.guest.sent.len(), 2);
    assert!(owned(&bench, TX_RING, 0) && owned(&bench, TX_RING, 1));
    assert_eq!(
        bench.r16(Reg::IntrStatus) & intr::TX_OK,
        intr::TX_OK,
        "it comes before"
    );
    bench.w16(Reg::IntrStatus, 0xffff);
    // The chip does not take what it is about to give back for new work.
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.guest.sent.len(), 2);
    bench.tick(2 * MS);
    assert!(!owned(&bench, TX_RING, 0) && !owned(&bench, TX_RING, 1));
    assert_eq!(
        bench.r16(Reg::IntrStatus) & intr::TX_OK,
        intr::TX_OK,
        "and again"
    );
    assert_eq!(bench.guest.sent.len(), 2);
    assert_eq!(bench.chip.deadline(), None);
}

#[test]
fn a_full_ring_of_late_descriptors_holds_frames_up() {
    let mut bench = bench();
    bench.fault(FaultConfig::on(FaultKind::DelayOwn));
    assert_eq!(receive(&mut bench), Received::Delivered);
    assert_eq!(receive(&mut bench), Received::Delivered);
    assert_eq!(receive(&mut bench), Received::Wait);
    bench.fault(FaultConfig::off(FaultKind::DelayOwn));
    assert!(!owned(&bench, RX_RING, 0) && !owned(&bench, RX_RING, 1));
    // A reset forgets delayed descriptors.
    bench.fault(FaultConfig::on(FaultKind::DelayOwn));
    bench.guest.desc(RX_RING, 0, 0xc000_3ff8, 0, BUFFERS);
    assert_eq!(receive(&mut bench), Received::Delivered);
    bench.w8(Reg::ChipCmd, 0x10);
    bench.tick(100 * MS);
    assert!(owned(&bench, RX_RING, 0));
}

#[test]
fn a_verdict_is_turned_round() {
    let mut bench = bench();
    bench.w16(Reg::CPlusCmd, 0x20);
    // This packet's sums are wrong: the chip says so, and under the fault it does not.
    for (fault, fails) in [(false, true), (true, false)] {
        if fault {
            bench.fault(FaultConfig::on(FaultKind::BadChecksum));
        }
        receive(&mut bench);
        let (opts1, _) = bench.guest.opts(RX_RING, u64::from(fault));
        assert_eq!(opts1 & rx::UDP_FAIL != 0, fails, "{opts1:#x}");
        assert_eq!(opts1 & rx::PROTO_IP, rx::PROTO_UDP);
    }
}

#[test]
fn bad_check_sequences() {
    let mut bench = bench();
    bench.fault(FaultConfig::on(FaultKind::CrcError));
    assert_eq!(receive(&mut bench), Received::Dropped);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_ERR);
    assert_eq!(bench.chip.tally().rx_err, 1);
    // With AcceptErr the driver gets it, marked.
    bench.w32(Reg::RxConfig, 0xe72a);
    assert_eq!(receive(&mut bench), Received::Delivered);
    let (opts1, _) = bench.guest.opts(RX_RING, 0);
    assert_eq!(opts1 & (rx::ERROR | rx::CRC), rx::ERROR | rx::CRC);
    let len = frame().len();
    let fcs = bench.guest.get(BUFFERS + len as u64, 4);
    assert_ne!(fcs, crate::crc::fcs(&frame()));
}

#[test]
fn runts_and_giants() {
    let mut bench = bench();
    bench.fault(FaultConfig::on(FaultKind::Runt));
    assert_eq!(receive(&mut bench), Received::Dropped);
    bench.w32(Reg::RxConfig, 0xe71a);
    assert_eq!(receive(&mut bench), Received::Delivered);
    let (opts1, _) = bench.guest.opts(RX_RING, 0);
    assert_eq!(opts1 & (rx::ERROR | rx::RUNT), rx::ERROR | rx::RUNT);
    assert!((18..64).contains(&(opts1 & rx::LENGTH)), "{opts1:#x}");
    bench.fault(FaultConfig::off(FaultKind::Runt));
    bench.fault(FaultConfig::on(FaultKind::Giant));
    assert_eq!(receive(&mut bench), Received::Delivered);
    let (opts1, _) = bench.guest.opts(RX_RING, 1);
    assert!(opts1 & rx::LENGTH > 1522, "{opts1:#x}");
    bench.w16(Reg::RxMaxSize, 1522);
    bench.guest.desc(RX_RING, 0, 0xc000_3ff8, 0, BUFFERS);
    assert_eq!(receive(&mut bench), Received::Delivered);
    let (opts1, _) = bench.guest.opts(RX_RING, 0);
    assert_ne!(opts1 & rx::WATCHDOG, 0, "longer than RxMaxSize");
}

#[test]
fn lengths_that_are_wrong_come_from_the_seed() {
    for kind in [FaultKind::Runt, FaultKind::Giant] {
        let lengths = |seed| -> Vec<u32> {
            let mut bench = bench();
            bench.w32(Reg::RxConfig, 0xe71a);
            bench.fault(FaultConfig {
                seed,
                ..FaultConfig::on(kind)
            });
            let mut length = || {
                bench.guest.desc(RX_RING, 0, 0xc000_3ff8, 0, BUFFERS);
                receive(&mut bench);
                bench.guest.opts(RX_RING, 0).0 & rx::LENGTH
            };
            (0..8).map(|_| length()).collect()
        };
        let mut found = lengths(1);
        assert_eq!(found, lengths(1));
        assert_ne!(found, lengths(2));
        found.sort_unstable();
        found.dedup();
        assert!(found.len() > 4, "{kind:?}: {found:?}");
    }
}

#[test]
fn a_frame_that_waits_is_corrupted_once() {
    let mut bench = bench();
    bench.w32(Reg::RxConfig, 0xe71a);
    bench.guest.desc(RX_RING, 0, 0x4000_3ff8, 0, BUFFERS);
    bench.fault(FaultConfig {
        count: Some(1),
        ..FaultConfig::on(FaultKind::Runt)
    });
    assert_eq!(receive(&mut bench), Received::Wait);
    bench.guest.desc(RX_RING, 0, 0xc000_3ff8, 0, BUFFERS);
    let frame = frame();
    let again = bench.chip.frame_in(&mut bench.guest, &frame, true);
    assert_eq!(again, Received::Delivered);
    assert_ne!(bench.guest.opts(RX_RING, 0).0 & rx::RUNT, 0);
    assert_eq!(bench.chip.faults().hits(FaultKind::Runt), 1);
}

#[test]
fn a_dump_that_wants_the_receiver() {
    let mut bench = bench();
    bench.fault(FaultConfig::on(FaultKind::TallyHang));
    bench.w8(Reg::ChipCmd, 0x04);
    bench.w32(Reg::CounterAddrLow, BUFFERS as u32 | 8);
    bench.tick(MS);
    assert_ne!(bench.r32(Reg::CounterAddrLow) & 8, 0);
    assert_eq!(bench.chip.deadline(), None);
    assert_eq!(bench.chip.faults().hits(FaultKind::TallyHang), 1);
    bench.w8(Reg::ChipCmd, 0x0c);
    bench.tick(2 * MS);
    assert_eq!(
        bench.r32(Reg::CounterAddrLow) & 8,
        0,
        "it ends with the receiver on"
    );
    bench.w32(Reg::CounterAddrLow, BUFFERS as u32 | 8);
    assert_eq!(bench.r32(Reg::CounterAddrLow) & 8, 0);
    assert_eq!(bench.chip.faults().hits(FaultKind::TallyHang), 1);
}

#[test]
fn an_overflow_of_the_receiver() {
    let mut bench = bench();
    bench.fault(FaultConfig::on(FaultKind::RxFifoOverflow));
    assert_eq!(receive(&mut bench), Received::Dropped);
    assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_FIFO_OVER);
    assert_eq!(bench.r32(Reg::RxMissed), 1);
    assert!(owned(&bench, RX_RING, 0));
}

#[test]
fn a_card_that_is_gone() {
    let mut bench = bench();
    receive(&mut bench);
    assert!(bench.chip.interrupt());
    bench.fault(FaultConfig::on(FaultKind::Gone));
    assert!(!bench.chip.interrupt());
    for (width, ones) in [
        (Width::Byte, 0xff),
        (Width::Word, 0xffff),
        (Width::Long, u32::MAX),
    ] {
        assert_eq!(bench.chip.read(0x40, width), ones);
    }
    two_frames(&mut bench);
    let before = bench.guest.accesses;
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(receive(&mut bench), Received::Ignored);
    bench.chip.resume(&mut bench.guest);
    assert_eq!(bench.guest.accesses, before, "no transfers");
    bench.fault(FaultConfig::off(FaultKind::Gone));
    assert_eq!(bench.r32(Reg::RxConfig), 0, "as after power-on");
    assert_eq!(bench.violations(), 0);
}

/// Runs a chip in the lying mode; returns its accesses as seen from outside.
fn lies(seed: u64) -> Vec<u32> {
    let mut bench = bench();
    bench.fault(FaultConfig {
        seed,
        rate: 2,
        ..FaultConfig::on(FaultKind::Lie)
    });
    let mut seen = Vec::new();
    for _ in 0..50 {
        bench.guest.desc(RX_RING, 0, 0xc000_3ff8, 0, BUFFERS);
        receive(&mut bench);
        seen.push(bench.guest.opts(RX_RING, 0).0);
        seen.push(bench.r16(Reg::IntrStatus).into());
        seen.push(bench.r32(Reg::TxConfig));
        bench.w16(Reg::IntrStatus, 0xffff);
    }
    seen
}

#[test]
fn a_liar_is_consistent() {
    assert_eq!(lies(1), lies(1));
    assert_ne!(lies(1), lies(2));
    let honest: Vec<u32> = lies(3).into_iter().skip(2).step_by(3).collect();
    let truths = honest.iter().filter(|&&xid| xid == 0x3000_0000).count();
    assert!((5..45).contains(&truths), "{truths} of 50 reads were true");
}

#[test]
fn a_liar_stays_inside_the_buffers() {
    for seed in 0..64 {
        let mut bench = bench();
        bench.guest.memory.fill(0x5a);
        bench.guest.desc(RX_RING, 0, 0xc000_0100, 0, BUFFERS);
        bench.fault(FaultConfig {
            seed,
            rate: 1,
            ..FaultConfig::on(FaultKind::Lie)
        });
        receive(&mut bench);
        assert!(bench
            .guest
            .get(BUFFERS + 0x100, 0x1000)
            .iter()
            .all(|&b| b == 0x5a));
    }
}

/// A lie of a script: place, opportunities before, times, how, and the value.
fn lie(place: u8, skip: u8, times: u8, how: u8, value: u32) -> Lie {
    let [a, b, c, d] = value.to_le_bytes();
    Lie::from_bytes([place, skip, times, how, a, b, c, d])
}

#[test]
fn lies_of_a_script_fire_where_and_when_it_says() {
    let mut bench = bench();
    let tx_config = Reg::TxConfig.offset() as u8 / 4;
    let lies = [
        lie(tx_config, 1, 2, 0, 7),
        lie(tx_config, 0, 0, 1, 1),
        lie(tx_config, 0, 1, 2, 0xf0),
        lie(tx_config, 0, 1, 3, 0x2000_0000),
    ];
    bench.chip.script(lies.to_vec());
    let seen: Vec<u32> = (0..7).map(|_| bench.r32(Reg::TxConfig)).collect();
    let truth = seen[0];
    let lied = [7, 7, truth ^ 1, truth | 0xf0, truth & 0x2000_0000];
    assert_eq!(seen[1..6], lied);
    assert_eq!(seen[6], truth);
    assert_eq!(bench.chip.faults().lies(), 5);
    // Whatever register is read.
    bench.chip.script(vec![lie(68, 1, 1, 0, u32::MAX)]);
    assert_eq!(bench.r32(Reg::TxConfig), truth);
    assert_eq!(bench.r16(Reg::IntrStatus), 0xffff);
    assert_ne!(bench.r16(Reg::IntrStatus), 0xffff);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn lies_of_a_script_are_about_descriptors_and_interrupts_too() {
    let mut bench = bench();
    bench.guest.desc(RX_RING, 0, 0xc000_3ff8, 0, BUFFERS);
    bench
        .chip
        .script(vec![lie(64, 0, 1, 0, 0x1234), lie(65, 0, 1, 0, 0x5678)]);
    receive(&mut bench);
    assert_eq!(bench.guest.opts(RX_RING, 0), (0x1234, 0x5678));
    bench.w16(Reg::IntrStatus, 0xffff);
    bench.chip.script(vec![lie(67, 1, 1, 0, 0x0040)]);
    bench.w16(Reg::IntrMask, 0);
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
    bench.w16(Reg::IntrMask, 0);
    assert_eq!(bench.r16(Reg::IntrStatus), 0x0040);
    // An empty script ends what is left.
    bench.chip.script(vec![lie(67, 0, 9, 0, 0x0080)]);
    bench.chip.script(Vec::new());
    bench.w16(Reg::IntrStatus, 0xffff);
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
}
