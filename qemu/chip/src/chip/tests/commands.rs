// SPDX-License-Identifier: GPL-2.0

//! Commands that take their time: accesses to the PHY, resets, dumps of the tally counters.

use super::*;

fn slow() -> Bench {
    let mut bench = Bench::with(Config {
        command_time: 20,
        ..Config::default()
    });
    bench.tick(US);
    bench
}

#[test]
fn an_access_to_the_phy_takes_its_time() {
    let mut bench = slow();
    bench.w32(Reg::PhyAr, 2 << 16);
    bench.tick(20 * US);
    assert_eq!(bench.r32(Reg::PhyAr), 2 << 16, "a read is not done yet");
    bench.tick(21 * US);
    assert_eq!(bench.r32(Reg::PhyAr), 0x8002_001c);
    bench.w32(Reg::PhyAr, 0x8004_1234);
    assert_eq!(
        bench.r32(Reg::PhyAr),
        0x8004_1234,
        "a write is not done yet"
    );
    bench.tick(41 * US);
    assert_eq!(bench.r32(Reg::PhyAr), 0x0004_1234);
    assert_eq!(bench.violations(), 0);
    bench.w32(Reg::PhyAr, 2 << 16);
    bench.w32(Reg::PhyAr, 3 << 16);
    assert_eq!(bench.violations(), 1, "the first is not done yet");
}

#[test]
fn a_reset_takes_its_time() {
    let mut bench = slow();
    bench.w8(Reg::ChipCmd, 0x10);
    bench.tick(20 * US);
    assert_eq!(bench.r8(Reg::ChipCmd) & 0x10, 0x10);
    assert_eq!(bench.violations(), 0);
    bench.w16(Reg::IntrMask, 0xffff);
    assert_eq!(bench.violations(), 1, "it is not done yet");
    bench.tick(21 * US);
    assert_eq!(
        (bench.r8(Reg::ChipCmd) & 0x10, bench.r16(Reg::IntrMask)),
        (0, 0)
    );
    bench.w16(Reg::IntrMask, 1);
    assert_eq!((bench.violations(), bench.r16(Reg::IntrMask)), (1, 1));
}

#[test]
fn a_dump_takes_its_time() {
    let mut bench = slow();
    bench.chip.tally.rx_ok = 0x1122;
    let place = BUFFERS + 0x40;
    bench.w32(Reg::CounterAddrHigh, 0);
    bench.w32(Reg::CounterAddrLow, place as u32 | 8);
    assert_eq!(bench.chip.deadline(), Some(21 * US));
    assert_eq!(bench.guest.get(place + 8, 2), [0, 0]);
    assert_eq!(bench.r32(Reg::CounterAddrLow) & 8, 8);
    bench.tick(21 * US);
    assert_eq!(bench.guest.get(place + 8, 2), [0x22, 0x11]);
    assert_eq!(
        (bench.r32(Reg::CounterAddrLow) & 8, bench.chip.deadline()),
        (0, None)
    );
}

/// Found by the fuzzer: it was due at a time that had passed.
#[test]
fn a_dump_that_is_ordered_asleep_waits() {
    let mut bench = Bench::new();
    bench.chip.set_asleep(true);
    bench.w32(Reg::CounterAddrLow, BUFFERS as u32 | 8);
    bench.chip.set_asleep(false);
    assert_eq!(
        (bench.r32(Reg::CounterAddrLow) & 8, bench.chip.deadline()),
        (8, None)
    );
    bench.tick(1);
    assert_eq!(bench.r32(Reg::CounterAddrLow) & 8, 0);
}

#[test]
fn tally_counters_go_to_memory() {
    let mut bench = Bench::new();
    bench.chip.tally.rx_ok = 0x1122;
    let place = BUFFERS + 0x40;
    bench.w32(Reg::CounterAddrHigh, 0);
    bench.w32(Reg::CounterAddrLow, place as u32);
    assert_eq!(bench.guest.get(place + 8, 2), [0, 0]);
    bench.w32(Reg::CounterAddrLow, place as u32 | 8);
    assert_eq!(bench.r32(Reg::CounterAddrLow) & 8, 0);
    assert_eq!(bench.guest.get(place + 8, 2), [0x22, 0x11]);
    assert_eq!(bench.violations(), 0);
    bench.w32(Reg::CounterAddrLow, place as u32 | 1);
    assert_eq!(bench.violations(), 1, "no reset command");
    assert_eq!(bench.chip.tally().rx_ok, 0x1122);
}

#[test]
fn tally_counters_to_nowhere_never_finish() {
    let mut bench = Bench::new();
    bench.w32(Reg::CounterAddrHigh, 0xffff_ffff);
    bench.w32(Reg::CounterAddrLow, 0xffff_ffff);
    assert_eq!(bench.r32(Reg::CounterAddrLow) & 8, 8);
    assert_eq!(bench.chip.counters().dma_faults, 1);
    assert_ne!(bench.r16(Reg::IntrStatus) & intr::SYS_ERR, 0);
}
