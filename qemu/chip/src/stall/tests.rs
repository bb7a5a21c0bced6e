// SPDX-License-Identifier: GPL-2.0

use crate::config::Config;
use crate::config::RxMode;
use crate::desc::*;
use crate::faults::FaultConfig;
use crate::faults::FaultKind;
use crate::regs::intr;
use crate::regs::Reg;
use crate::rx::Received;
use crate::testing::Bench;
use crate::testing::BUFFERS;
use crate::testing::MAC;
use crate::testing::RX_RING;
use crate::testing::TX_RING;

/// The address of the receive buffers.
const RX_BUFFERS: u64 = BUFFERS + 0x2_0000;
/// The address of the tally counters.
const TALLY: u64 = BUFFERS + 0x1_0000;
const DUMP: u32 = 8;

/// Room for eight frames, one frame to be sent, and a count to be seen.
fn bench(config: Config) -> Bench {
    let mut bench = Bench::open(config);
    let whole = OWN | FIRST | LAST | RING_END;
    bench.guest.put(BUFFERS, &[7; 60]);
    bench.guest.desc(TX_RING, 0, whole | 60, 0, BUFFERS);
    for index in 0..8 {
        let end = if index == 7 { RING_END } else { 0 };
        let buffer = RX_BUFFERS + index * 0x800;
        bench
            .guest
            .desc(RX_RING, index, OWN | end | 0x7f8, 0, buffer);
    }
    bench.w32(Reg::CounterAddrHigh, 0);
    bench
}

fn give(bench: &mut Bench, len: usize) -> Received {
    let mut frame = MAC.to_vec();
    frame.resize(len, 0x5a);
    bench.chip.frame_in(&mut bench.guest, &frame, false)
}

/// Has all there is wait for the bus: a frame each way, and the tally counters.
fn load(bench: &mut Bench) {
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(give(bench, 60), Received::Kept);
    bench.w32(Reg::CounterAddrLow, TALLY as u32 | DUMP);
}

fn is_waiting(bench: &mut Bench) -> bool {
    assert!(bench.guest.sent.is_empty());
    assert_ne!(bench.guest.opts(RX_RING, 0).0 & OWN, 0);
    assert_eq!(bench.guest.get(TALLY, 64), [0; 64]);
    (
        bench.r8(Reg::TxPoll),
        bench.r8(Reg::ChipCmd) & 1,
        bench.r32(Reg::CounterAddrLow) & DUMP,
    ) == (0x40, 0, DUMP)
}

fn nothing_is_wrong(bench: &mut Bench) {
    let counters = bench.chip.counters();
    assert_eq!((counters.violations, counters.dma_faults), (0, 0));
    assert_eq!(bench.r16(Reg::IntrStatus) & intr::SYS_ERR, 0);
}

#[test]
fn without_bus_mastering_everything_waits() {
    let mut bench = bench(Config::default());
    let accesses = bench.guest.accesses;
    bench.master(false);
    load(&mut bench);
    bench.tick(1_000_000_000);
    bench.chip.resume(&mut bench.guest);
    assert_eq!(bench.guest.accesses, accesses, "memory is out of reach");
    assert!(is_waiting(&mut bench));
    assert!(!bench.chip.sending(), "nothing can help it along");
    assert_eq!(bench.chip.deadline(), None);
    assert_eq!(bench.r16(Reg::IntrStatus), 0, "nothing has happened");
    bench.master(true);
    assert_eq!(bench.guest.sent.len(), 1);
    assert_eq!(bench.guest.opts(RX_RING, 0).0 & OWN, 0);
    assert_eq!(bench.guest.get(RX_BUFFERS, 6), MAC);
    assert_eq!(bench.r16(Reg::IntrStatus) & intr::RX_OK, intr::RX_OK);
    assert_eq!(bench.r32(Reg::CounterAddrLow) & DUMP, 0);
    assert_eq!(bench.r8(Reg::ChipCmd) & 1, 1, "nothing is kept");
    assert_eq!(bench.chip.counters().rx_bytes, 60);
    nothing_is_wrong(&mut bench);
}

/// r8169 clears bus mastering of a chip at work, and ours does it of one that still sends.
#[test]
fn stopping_a_chip_at_work_is_no_violation_and_a_reset_forgets_all() {
    let mut bench = bench(Config::default());
    bench.fault(FaultConfig::on(FaultKind::BusStall));
    load(&mut bench);
    assert!(is_waiting(&mut bench));
    // This ends the stall: what waits would use the bus right now.
    bench.master(false);
    assert!(!bench.chip.faults().on(FaultKind::BusStall));
    assert!(is_waiting(&mut bench));
    nothing_is_wrong(&mut bench);
    let accesses = bench.guest.accesses;
    bench.w8(Reg::ChipCmd, 0x10);
    assert_eq!((bench.r8(Reg::TxPoll), bench.r8(Reg::ChipCmd)), (0, 1));
    assert_eq!(bench.r32(Reg::CounterAddrLow) & DUMP, 0);
    bench.master(true);
    bench.w8(Reg::ChipCmd, 0x0c);
    bench.tick(1);
    bench.chip.resume(&mut bench.guest);
    assert_eq!(bench.guest.accesses, accesses, "nothing is left of it");
    nothing_is_wrong(&mut bench);
}

#[test]
fn a_stall_of_the_bus_ends_by_itself_too() {
    let mut bench = bench(Config::default());
    bench.fault(FaultConfig::on(FaultKind::BusStall));
    load(&mut bench);
    assert_eq!(bench.chip.faults().hits(FaultKind::BusStall), 3);
    bench.fault(FaultConfig::off(FaultKind::BusStall));
    assert_eq!(bench.guest.sent.len(), 1);
    assert_eq!(bench.chip.counters().rx_frames, 1);
    assert_ne!(bench.guest.get(TALLY, 64), [0; 64]);
    nothing_is_wrong(&mut bench);
}

#[test]
fn bus_mastering_that_was_never_on_is_the_drivers_mistake() {
    let mut bench = bench(Config::default());
    bench.master(false);
    bench.w8(Reg::ChipCmd, 0x10);
    bench.w8(Reg::ChipCmd, 0x0c);
    bench.w8(Reg::TxPoll, 0x40);
    assert!(bench.last_violation().contains("bus mastering"));
    bench.w32(Reg::CounterAddrLow, TALLY as u32 | DUMP);
    assert!(bench.last_violation().contains("tally"));
    assert_eq!(bench.violations(), 2);
    // For Wake-on-LAN receivers run without it.
    assert_eq!(give(&mut bench, 60), Received::Kept);
    assert_eq!(bench.violations(), 2);
    bench.master(true);
    assert_eq!(bench.guest.sent.len(), 1, "it goes on all the same");
    bench.w8(Reg::TxPoll, 0x40);
    assert_eq!(bench.violations(), 2);
}

#[test]
fn the_room_inside_is_bounded() {
    for rx_mode in [RxMode::Wait, RxMode::Silicon, RxMode::Drop] {
        let mut bench = bench(Config {
            rx_mode,
            ..Config::default()
        });
        bench.master(false);
        let mut kept = 0;
        let last = loop {
            match give(&mut bench, 1514) {
                Received::Kept => kept += 1,
                other => break other,
            }
        };
        assert_eq!(kept, 65536 / 1518);
        if rx_mode == RxMode::Wait {
            assert_eq!(last, Received::Wait);
            assert_eq!(bench.r16(Reg::IntrStatus), 0);
        } else {
            assert_eq!(last, Received::Dropped);
            assert_eq!(bench.r16(Reg::IntrStatus), intr::RX_FIFO_OVER);
            assert_eq!(bench.chip.tally().rx_missed, 1);
        }
        bench.master(true);
        // B300 receives nothing more after an overflow, not what it has inside, either.
        let (frames, next) = match rx_mode {
            RxMode::Wait => (8, Received::Kept),
            _ => (0, Received::Dropped),
        };
        assert_eq!(bench.chip.counters().rx_frames, frames);
        assert_eq!(give(&mut bench, 60), next);
        nothing_is_wrong(&mut bench);
    }
}

#[test]
fn what_is_kept_goes_with_the_receiver_and_keeps_its_order() {
    let mut bench = bench(Config::default());
    bench.master(false);
    give(&mut bench, 60);
    bench.w8(Reg::ChipCmd, 0x04);
    bench.w8(Reg::ChipCmd, 0x0c);
    bench.master(true);
    assert_eq!(bench.chip.counters().rx_frames, 0);
    bench.guest.desc(RX_RING, 1, 0, 0, RX_BUFFERS);
    bench.master(false);
    for len in [60, 61, 62] {
        assert_eq!(give(&mut bench, len), Received::Kept);
    }
    bench.master(true);
    assert_eq!(bench.guest.opts(RX_RING, 0).0 & 0x3fff, 64);
    assert_eq!(bench.chip.counters().rx_frames, 1);
    for index in 1..3 {
        let buffer = RX_BUFFERS + index * 0x800;
        bench.guest.desc(RX_RING, index, OWN | 0x7f8, 0, buffer);
    }
    let due = bench.chip.deadline().unwrap();
    bench.tick(due);
    assert_eq!(bench.guest.opts(RX_RING, 2).0 & 0x3fff, 66);
    let counters = bench.chip.counters();
    assert_eq!((counters.rx_frames, counters.rx_dropped), (3, 0));
    nothing_is_wrong(&mut bench);
}

#[test]
fn one_that_sleeps_or_is_gone_does_not_touch_memory() {
    for gone in [false, true] {
        let mut bench = bench(Config::default());
        bench.fault(FaultConfig::on(FaultKind::DelayOwn));
        bench.w8(Reg::TxPoll, 0x40);
        give(&mut bench, 60);
        let accesses = bench.guest.accesses;
        if gone {
            bench.fault(FaultConfig::on(FaultKind::Gone));
        } else {
            bench.chip.set_asleep(true);
        }
        bench.tick(1_000_000_000);
        bench.fault(FaultConfig::off(FaultKind::DelayOwn));
        assert_eq!(bench.guest.accesses, accesses);
        assert_eq!(bench.chip.deadline(), None);
        bench.chip.set_asleep(false);
        bench.tick(1_000_000_001);
        let back = bench.guest.opts(TX_RING, 0).0 & OWN == 0;
        assert_eq!(back, !gone);
        assert_eq!(bench.chip.counters().dma_faults, 0);
        assert_eq!(bench.violations(), 0);
    }
}

#[test]
fn late_descriptors_wait_too() {
    let mut bench = bench(Config::default());
    bench.fault(FaultConfig::on(FaultKind::DelayOwn));
    bench.w8(Reg::TxPoll, 0x40);
    bench.master(false);
    bench.tick(1_000_000_000);
    assert_ne!(bench.guest.opts(TX_RING, 0).0 & OWN, 0);
    assert_eq!(bench.chip.deadline(), None);
    bench.master(true);
    assert_eq!(bench.guest.opts(TX_RING, 0).0 & OWN, 0);
    nothing_is_wrong(&mut bench);
}

#[test]
fn a_frame_that_came_before_the_sleep_wakes_nobody() {
    let mut bench = bench(Config::default());
    bench.w8(Reg::Cfg9346, 0xc0);
    bench.w8(Reg::Config5, 0x10);
    bench.master(false);
    let mut frame = MAC.to_vec();
    frame.resize(60, 0);
    bench.chip.set_asleep(true);
    bench.chip.frame_in(&mut bench.guest, &frame, true);
    assert_eq!(bench.chip.take_wake(), None);
    bench.chip.frame_in(&mut bench.guest, &frame, false);
    assert!(bench.chip.take_wake().is_some());
}

/// Transfers that a driver must expect before it lets a chip use the bus again.
#[test]
fn a_reset_that_hangs_forgets_nothing_and_hears_nothing() {
    let mut bench = bench(Config::default());
    bench.fault(FaultConfig::on(FaultKind::BusStall));
    load(&mut bench);
    bench.fault(FaultConfig::on(FaultKind::ResetHang));
    bench.master(false);
    bench.w8(Reg::ChipCmd, 0x10);
    assert_eq!(bench.r8(Reg::ChipCmd), 0x1c);
    bench.w32(Reg::TxDescStartAddrLow, TX_RING as u32 + 0x100);
    bench.w8(Reg::ChipCmd, 0x00);
    assert_eq!(
        (bench.r32(Reg::TxDescStartAddrLow), bench.r8(Reg::ChipCmd)),
        (TX_RING as u32, 0x1c)
    );
    bench.master(true);
    assert_eq!(bench.guest.sent.len(), 1, "from the ring of before");
    bench.fault(FaultConfig::off(FaultKind::ResetHang));
    assert_eq!(bench.r8(Reg::ChipCmd), 1);
    bench.w8(Reg::ChipCmd, 0x0c);
    assert_eq!(bench.r8(Reg::ChipCmd), 0x0d);
    bench.fault(FaultConfig::on(FaultKind::ResetHang));
    bench.fault(FaultConfig::off(FaultKind::ResetHang));
    assert_eq!(bench.r8(Reg::ChipCmd), 0x0d, "there was no reset");
    nothing_is_wrong(&mut bench);
}
