// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::config::Revision;
use crate::config::RxMode;
use crate::config::Width;
use crate::counters::Access;
use crate::regs::TXCONFIG_WRITABLE;
use crate::rx::Received;
use crate::testing::Bench;
use crate::testing::BUFFERS;
use crate::testing::MAC;
use crate::testing::MEMORY;

mod commands;

fn b380() -> Bench {
    Bench::with(Config {
        revision: Revision::B380,
        ..Config::default()
    })
}

#[test]
fn identity_survives_every_write() {
    for (config, xid) in [
        (Config::default(), 0x300),
        (
            Config {
                revision: Revision::B380,
                ..Config::default()
            },
            0x380,
        ),
        (
            Config {
                xid: Some(0x541),
                ..Config::default()
            },
            0x541,
        ),
    ] {
        let mut bench = Bench::with(config);
        bench.w8(Reg::ChipCmd, 0x04);
        for value in [0, u32::MAX, 0x0300_0700] {
            bench.w32(Reg::TxConfig, value);
            let shown = bench.r32(Reg::TxConfig);
            assert_eq!((shown >> 20) & 0xfcf, xid);
            assert_eq!(shown & TXCONFIG_WRITABLE, value & TXCONFIG_WRITABLE);
        }
    }
}

/// A card with a blank EEPROM shows ones, and receives no unicast.
#[test]
fn an_address_that_is_none_is_shown_and_matches_nothing() {
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let mut bench = Bench::with(Config {
            mac,
            ..Config::default()
        });
        assert_eq!(
            bench.r32(Reg::Mac0),
            u32::from_le_bytes(mac[..4].try_into().unwrap())
        );
        assert_eq!(
            u32::from(bench.r16(Reg::Mac4)),
            u32::from(mac[4]) | u32::from(mac[5]) << 8
        );
        assert_eq!(bench.chip.eeprom.address(), None);
    }
}

#[test]
fn widths_and_offsets_agree() {
    let mut bench = Bench::new();
    assert_eq!(bench.r32(Reg::Mac0), 0x8100_5452);
    assert_eq!(bench.r16(Reg::Mac4), 0x0168);
    for (i, byte) in MAC.iter().enumerate() {
        assert_eq!(bench.r8(i as u16), *byte);
    }
    // One access over two registers: IMR in the low half, ISR in the high half.
    bench.chip.raise(intr::RX_OK);
    bench.w32(Reg::IntrMask, 0x0000_0005);
    assert_eq!(bench.r32(Reg::IntrMask), 0x0001_0005);
    bench.w8(Reg::IntrStatus, 0x01);
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn misaligned_accesses_are_reported() {
    let mut bench = Bench::new();
    bench.r32(Reg::IntrStatus);
    assert_eq!(bench.violations(), 1);
    assert!(bench.last_violation().contains("aligned"));
}

#[test]
fn unknown_offsets_read_zero_and_are_counted() {
    let mut bench = Bench::new();
    assert_eq!(bench.r32(0x70_u16), 0);
    bench.w8(0xd2_u16, 0xff);
    assert_eq!(bench.r8(0xd2_u16), 0);
    assert_eq!(bench.chip.read(0xffe, Width::Word), 0);
    assert_eq!(bench.chip.read(0xffff, Width::Long), 0);
    let unmodelled = &bench.chip.counters().unmodelled;
    assert_eq!(unmodelled.get(&0x70), Some(&1));
    assert_eq!(unmodelled.get(&0xd2), Some(&2));
    assert_eq!(unmodelled.get(&0xffe), Some(&1));
}

#[test]
fn accesses_are_counted_by_register() {
    let mut bench = Bench::new();
    bench.r16(Reg::IntrStatus);
    bench.w16(Reg::IntrMask, 1);
    bench.w16(Reg::IntrMask, 0);
    let counters = bench.chip.counters();
    assert_eq!((counters.mmio_reads, counters.mmio_writes), (1, 2));
    assert_eq!(
        counters.register(Reg::IntrStatus),
        Access {
            reads: 1,
            writes: 0
        }
    );
    assert_eq!(
        counters.register(Reg::IntrMask),
        Access {
            reads: 0,
            writes: 2
        }
    );
    bench.chip.reset_counters();
    assert_eq!(bench.chip.counters().mmio_reads, 0);
}

#[test]
fn the_station_address_and_configuration_are_locked() {
    let mut bench = Bench::new();
    let before = bench.r32(Reg::Mac0);
    bench.w32(Reg::Mac0, 0x1234_5678);
    bench.w8(Reg::Config1, 0x10);
    assert_eq!(bench.r32(Reg::Mac0), before);
    assert_eq!(bench.r8(Reg::Config1), 0xcf);
    bench.w8(Reg::Config5, 0x42);
    assert_eq!(bench.r8(Reg::Config5), 0x02);
    assert_eq!(bench.violations(), 3);
    for half_open in [0x40, 0x80] {
        bench.w8(Reg::Cfg9346, half_open);
        bench.w32(Reg::Mac0, 0x1234_5678);
    }
    assert_eq!(bench.r32(Reg::Mac0), before);
    bench.w8(Reg::Cfg9346, 0xc0);
    bench.w32(Reg::Mac4, 0xffff_9abc);
    bench.w32(Reg::Mac0, 0x1234_5678);
    bench.w8(Reg::Config3, 0x21);
    bench.w8(Reg::Config5, 0x42);
    bench.w8(Reg::Config0, 0xff);
    bench.w8(Reg::Config1, 0x30);
    bench.w8(Reg::Config2, 0x01);
    bench.w8(Reg::Cfg9346, 0);
    let fixed = [Reg::Config0, Reg::Config1, Reg::Config2].map(|reg| bench.r8(reg));
    assert_eq!(fixed, [0, 0x3f, 0x11], "bits that are read only");
    assert_eq!(bench.r8(Reg::Config5), 0x42);
    assert_eq!(bench.r32(Reg::Mac0), 0x1234_5678);
    assert_eq!(bench.r32(Reg::Mac4), 0x0000_9abc);
    assert_eq!(bench.r8(Reg::Config3), 0x21);
    assert_eq!(bench.violations(), 5);
}

#[test]
fn cpluscmd_takes_words_only() {
    let mut bench = Bench::new();
    bench.w16(Reg::CPlusCmd, 0x2060);
    bench.w8(Reg::CPlusCmd, 0);
    bench.w8(Reg::CPlusCmd.byte(1), 0xff);
    assert_eq!(bench.r16(Reg::CPlusCmd), 0x2060);
    assert_eq!(bench.violations(), 2);
    bench.w32(Reg::CPlusCmd, 0x5151_0000);
    assert_eq!((bench.r16(Reg::CPlusCmd), bench.violations()), (0, 2));
}

#[test]
fn txconfig_wants_the_transmitter() {
    let mut bench = Bench::new();
    bench.w32(Reg::TxConfig, 0x0300_0700);
    assert_eq!(bench.r32(Reg::TxConfig) & 0x0300_0700, 0);
    bench.w8(Reg::ChipCmd, 0x04);
    bench.w32(Reg::TxConfig, 0x0300_0700);
    assert_eq!(bench.r32(Reg::TxConfig), 0x3300_0700);
    assert_eq!(bench.violations(), 0, "Realtek's driver does so");
}

/// RxConfig bit 6 is the chip's to say: Realtek's driver takes from it how many bits an address in
/// the EEPROM has.
#[test]
fn rxconfig_shows_a_93c46_whatever_is_written() {
    let mut bench = Bench::new();
    bench.w32(Reg::RxConfig, 0xe74a);
    assert_eq!(bench.r32(Reg::RxConfig), 0xe70a);
    bench.w8(Reg::RxConfig, 0x4a);
    assert_eq!(bench.r32(Reg::RxConfig), 0xe70a, "written as a byte");
    assert_eq!(bench.violations(), 0);
}

/// While the EEPROM's pins are led out the chip does nothing else.
#[test]
fn programming_the_eeprom_takes_the_network() {
    use crate::testing::RX_RING;
    use crate::testing::TX_RING;
    let mut bench = Bench::open(Config::default());
    bench.guest.desc(RX_RING, 0, 0xc000_0800, 0, BUFFERS);
    bench.guest.desc(TX_RING, 0, 0xf000_003c, 0, BUFFERS);
    bench.w8(Reg::Cfg9346, 0x80);
    bench.w8(Reg::TxPoll, 0x40);
    let frame = [0xff; 60];
    let given = |bench: &mut Bench| bench.chip.frame_in(&mut bench.guest, &frame, false);
    assert_eq!(given(&mut bench), Received::Ignored);
    assert_eq!(bench.guest.sent.len(), 0);
    bench.w8(Reg::Cfg9346, 0);
    assert_eq!(bench.guest.sent.len(), 1);
    assert_eq!(given(&mut bench), Received::Delivered);
}

#[test]
fn address_and_filter_take_whole_words_only() {
    let mut bench = Bench::new();
    bench.w8(Reg::Cfg9346, 0xc0);
    bench.w8(Reg::Mac0, 0);
    bench.w16(Reg::Mar0, 0xffff);
    assert_eq!(bench.r8(Reg::Mac0), 0x52);
    assert_eq!(bench.r32(Reg::Mar0), 0);
    assert_eq!(bench.violations(), 2);
    bench.w32(Reg::Mar0, 0x8000_0001);
    assert_eq!(bench.r32(Reg::Mar0), 0x8000_0001);
}

#[test]
fn no_eeprom_reads_as_ones_and_changes_nothing() {
    let mut bench = Bench::with(Config {
        eeprom: crate::eeprom::Eeprom::None,
        ..Config::default()
    });
    bench.w8(Reg::Cfg9346, 0x88);
    for bit in 0..9 {
        bench.w8(Reg::Cfg9346, 0x88 | ((bit & 1) << 1));
        bench.w8(Reg::Cfg9346, 0x8c | ((bit & 1) << 1));
    }
    assert_eq!(bench.r8(Reg::Cfg9346) & 1, 1);
    bench.w8(Reg::Cfg9346, 0x80);
    assert_eq!(bench.r8(Reg::Cfg9346) & 1, 0);
    bench.w8(Reg::Cfg9346, 0x40);
    assert_eq!(bench.r8(Reg::Cfg9346), 0, "loading ends by itself");
    assert_eq!(bench.r32(Reg::Mac0), 0x8100_5452);
}

#[test]
fn soft_reset_clears_interrupts_and_keeps_addresses() {
    let mut bench = Bench::open(Config::default());
    bench.w32(Reg::Mar0, 0x1111_1111);
    bench.w16(Reg::IntrMask, 0xffff);
    bench.chip.watched(|chip| chip.raise(intr::LINK_CHG));
    bench.chip.tx[NORMAL].index = 7;
    bench.w8(Reg::ChipCmd, 0x10);
    assert_eq!(bench.r8(Reg::ChipCmd) & 0x1c, 0);
    assert_eq!(bench.r16(Reg::IntrMask), 0);
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
    assert_eq!(bench.r32(Reg::TxDescStartAddrLow), MEMORY as u32);
    assert_eq!(bench.r32(Reg::Mar0), 0x1111_1111);
    assert_eq!(bench.r32(Reg::Mac0), 0x8100_5452);
    assert_eq!(bench.chip.state().tx.index, 0);
    assert!(!bench.chip.interrupt());
}

#[test]
fn power_on_forgets_everything_but_the_cable() {
    let mut bench = Bench::open(Config::default());
    bench.w8(Reg::Cfg9346, 0xc0);
    bench.w32(Reg::Mac0, 0);
    bench.chip.set_link(false);
    bench.chip.power_on();
    assert_eq!(bench.r32(Reg::Mac0), 0x8100_5452);
    assert_eq!(bench.r32(Reg::TxDescStartAddrLow), 0);
    assert_eq!(bench.chip.state().tx.base, None);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x04);
    bench.chip.set_link(true);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13);
}

#[test]
fn the_phy_outlives_a_reset_of_the_bus() {
    let mut bench = Bench::new();
    // As Linux leaves it: suspended, on another page.
    phy_write(&mut bench, 0, 0x1940);
    phy_write(&mut bench, 14, 0x0200);
    phy_write(&mut bench, 31, 1);
    bench.chip.pci_reset();
    assert_eq!(phy_read(&mut bench, 31), 1);
    phy_write(&mut bench, 31, 0);
    assert_eq!(phy_read(&mut bench, 14), 0x0200);
    phy_write(&mut bench, 0, 0x9140);
    assert_eq!(
        bench.r8(Reg::PhyStatus) & 2,
        0,
        "a reset of the PHY does not help"
    );
    phy_write(&mut bench, 14, 0);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13);
    phy_write(&mut bench, 14, 0x0200);
    bench.chip.power_on();
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13, "power was cut");
}

#[test]
fn a_negotiation_is_two_changes_of_the_link() {
    const MS: u64 = 1_000_000;
    let mut bench = Bench::with(Config {
        negotiation: 50,
        ..Config::default()
    });
    assert_eq!(bench.chip.deadline(), Some(50 * MS));
    bench.tick(50 * MS);
    assert_eq!(
        (bench.r16(Reg::IntrStatus), bench.r8(Reg::PhyStatus)),
        (0x20, 0x13)
    );
    bench.w16(Reg::IntrStatus, 0x20);
    phy_write(&mut bench, 9, 0);
    phy_write(&mut bench, 0, 0x1200);
    assert_eq!(
        (bench.r16(Reg::IntrStatus), bench.r8(Reg::PhyStatus) & 2),
        (0x20, 0)
    );
    bench.w16(Reg::IntrStatus, 0x20);
    bench.tick(100 * MS);
    assert_eq!(
        (bench.r16(Reg::IntrStatus), bench.r8(Reg::PhyStatus)),
        (0x20, 0x0b)
    );
    bench.w16(Reg::IntrStatus, 0x20);
    bench.chip.set_partner("10half".parse().unwrap());
    assert_eq!(
        (bench.r16(Reg::IntrStatus), bench.r8(Reg::PhyStatus) & 2),
        (0x20, 0)
    );
    bench.tick(150 * MS);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x06);
    assert_eq!(bench.chip.deadline(), None);
}

#[test]
fn the_line_is_status_and_mask() {
    let mut bench = Bench::new();
    bench.chip.set_link(false);
    assert!(!bench.chip.interrupt());
    assert_eq!(bench.r16(Reg::IntrStatus), 0x20);
    bench.w16(Reg::IntrMask, 0x0020);
    assert!(bench.chip.interrupt(), "raised by the write of the mask");
    bench.w16(Reg::IntrMask, 0);
    assert!(!bench.chip.interrupt());
    bench.w16(Reg::IntrMask, 0x0020);
    assert!(bench.chip.interrupt());
    bench.w16(Reg::IntrStatus, 0x0001);
    assert!(bench.chip.interrupt(), "another bit's acknowledgement");
    bench.w16(Reg::IntrStatus, 0x0020);
    assert!(!bench.chip.interrupt());
    assert_eq!(bench.chip.counters().interrupts_raised, 2);
    assert_eq!(bench.chip.counters().interrupts_spurious, 0);
    assert_eq!(bench.r16(Reg::IntrStatus), 0);
    assert_eq!(bench.chip.counters().interrupts_spurious, 1);
}

#[test]
fn software_interrupt() {
    let mut bench = Bench::new();
    bench.w8(Reg::TxPoll, 0x01);
    assert_eq!(bench.r16(Reg::IntrStatus), 0x0100);
    assert_eq!(bench.chip.counters().doorbells, 0);
}

#[test]
fn stop_request_is_for_b380() {
    for (config, stops) in [(Config::default(), false), (b380().chip.config, true)] {
        let mut bench = Bench::open(config);
        bench.w8(Reg::ChipCmd, 0x8c);
        assert_eq!(bench.r8(Reg::ChipCmd) & 0x8c, 0x0c);
        let ignored =
            bench.chip.frame_in(&mut bench.guest, &[0xff; 60], false) == Received::Ignored;
        assert_eq!(ignored, stops);
        bench.w8(Reg::TxPoll, 0x40);
        assert_eq!(
            bench.guest.accesses == 0,
            stops,
            "the transmit ring is not looked at"
        );
        bench.w8(Reg::ChipCmd, 0x10);
        assert!(!bench.chip.stopped);
    }
}

fn phy_read(bench: &mut Bench, register: u32) -> u16 {
    bench.w32(Reg::PhyAr, register << 16);
    let value = bench.r32(Reg::PhyAr);
    assert_ne!(value & (1 << 31), 0, "done reads one");
    value as u16
}

fn phy_write(bench: &mut Bench, register: u32, value: u16) {
    bench.w32(Reg::PhyAr, (1 << 31) | (register << 16) | u32::from(value));
    assert_eq!(bench.r32(Reg::PhyAr) & (1 << 31), 0, "done reads zero");
}

#[test]
fn the_phy_is_behind_phyar() {
    let mut bench = Bench::new();
    assert_eq!(phy_read(&mut bench, 2), 0x001c);
    assert_eq!(phy_read(&mut bench, 3), 0xc910);
    assert_eq!(phy_read(&mut bench, 1), 0x796d);
    phy_write(&mut bench, 31, 1);
    phy_write(&mut bench, 16, 0xf41b);
    assert_eq!(phy_read(&mut bench, 16), 0xf41b);
    phy_write(&mut bench, 31, 0);
    phy_write(&mut bench, 0, 0x1840);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x04);
    assert_eq!(bench.r16(Reg::IntrStatus), 0x20);
    bench.w16(Reg::IntrStatus, 0x20);
    phy_write(&mut bench, 0, 0x1240);
    assert_eq!(bench.r8(Reg::PhyStatus), 0x13);
    assert_eq!(bench.r16(Reg::IntrStatus), 0x20);
    assert_eq!(bench.violations(), 0);
    phy_write(&mut bench, 31, 0x0bc0);
    phy_read(&mut bench, 20);
    assert_eq!(bench.violations(), 1);
}

#[test]
fn a_phy_access_by_bytes_begins_with_the_last_one() {
    let mut bench = Bench::new();
    bench.w16(Reg::PhyAr, 0);
    bench.w8(Reg::PhyAr.byte(2), 2);
    assert_eq!(bench.r32(Reg::PhyAr) & (1 << 31), 0);
    bench.w8(Reg::PhyAr.byte(3), 0);
    assert_eq!(bench.r32(Reg::PhyAr), 0x8002_001c);
}

/// Microseconds of the bench's clock.
const US: u64 = 1_000;

#[test]
fn rings_take_both_halves_with_the_low_one_and_are_aligned() {
    let mut bench = Bench::new();
    bench.w32(Reg::RxDescAddrHigh, 0x12);
    assert_eq!(bench.chip.state().rx.base, None);
    bench.w32(Reg::RxDescAddrLow, 0x3456_7800);
    assert_eq!(bench.chip.state().rx.base, Some(0x12_3456_7800));
    assert_eq!(bench.violations(), 0);
    bench.w32(Reg::TxDescStartAddrLow, 0x3456_7880);
    assert_eq!(bench.chip.state().tx.base, Some(0x3456_7800));
    assert_eq!(bench.r32(Reg::TxDescStartAddrLow), 0x3456_7800);
    assert_eq!(bench.violations(), 1);
    assert!(bench.last_violation().contains("256"));
}

#[test]
fn plain_storage() {
    let mut bench = Bench::new();
    for (reg, value) in [
        (Reg::CPlusCmd, 0x2063),
        (Reg::IntrMitigate, 0x5151),
        (Reg::RxMaxSize, 0x4000),
    ] {
        bench.w16(reg, value);
        assert_eq!(bench.r16(reg), value);
    }
    bench.w8(Reg::MaxTxPacketSize, 0x3f);
    bench.w32(Reg::RxConfig, 0xe70a);
    assert_eq!(bench.r8(Reg::MaxTxPacketSize), 0x3f);
    assert_eq!(bench.r32(Reg::RxConfig), 0xe70a);
}

#[test]
fn the_timer_counts_and_starts_again_when_written() {
    let mut bench = Bench::new();
    bench.tick(8000);
    assert_eq!(bench.r32(Reg::Timer), 1000);
    bench.w32(Reg::Timer, 5);
    assert_eq!(bench.r32(Reg::Timer), 0);
    bench.tick(4000);
    assert_eq!(bench.r32(Reg::Timer), 0, "time does not run back");
    bench.tick(8080);
    assert_eq!(bench.r32(Reg::Timer), 10);
}

/// A guest that means harm: registers, descriptors and frames from a seed. Nothing may panic, run
/// away or grow.
#[test]
fn nothing_a_guest_does_breaks_the_chip() {
    for seed in 1..60u64 {
        let mut state = seed;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut bench = Bench::open(Config {
            rx_mode: match seed % 4 {
                0 => RxMode::Drop,
                1 => RxMode::Wait,
                _ => RxMode::Silicon,
            },
            revision: if seed % 3 == 0 {
                Revision::B300
            } else {
                Revision::B380
            },
            ..Config::default()
        });
        for byte in &mut bench.guest.memory[..0x1_0000] {
            *byte = random() as u8;
        }
        // Buffers that exist, behind flags that are anything.
        for index in 0..0x1000 {
            let buffer = MEMORY + random() % 0xf_0000;
            let at = (index * 16 + 8) as usize;
            if random() % 8 != 0 {
                bench.guest.memory[at..at + 8].copy_from_slice(&buffer.to_le_bytes());
            }
        }
        let mut most = 0;
        for step in 0..600 {
            let before = bench.guest.accesses;
            let offset = (random() % 256) as u16;
            match random() % 8 {
                0 => {
                    let len = (random() % 3000) as usize;
                    bench
                        .chip
                        .frame_in(&mut bench.guest, &vec![0xff; len], step % 2 == 0);
                }
                1 => {
                    bench.w8(Reg::ChipCmd, 0x0c);
                    bench.w8(Reg::TxPoll, 0xc0);
                }
                2 => {
                    let width = [Width::Byte, Width::Word, Width::Long][(random() % 3) as usize];
                    bench.chip.read(offset, width);
                }
                3 => bench.guest.ready = random() % 2 == 0,
                4 => {
                    bench.chip.resume(&mut bench.guest);
                }
                5 => bench.w32(
                    [
                        Reg::TxDescStartAddrLow,
                        Reg::TxHDescStartAddrLow,
                        Reg::RxDescAddrLow,
                    ][(random() % 3) as usize],
                    (MEMORY + random() % 0x1_0000) as u32,
                ),
                _ => {
                    let width = [Width::Byte, Width::Word, Width::Long][(random() % 3) as usize];
                    bench
                        .chip
                        .write(&mut bench.guest, offset, width, random() as u32);
                }
            }
            most = most.max(bench.guest.accesses - before);
            bench.guest.sent.clear();
        }
        // Two rings of 1024 descriptors, each with a few transfers.
        assert!(most < 20_000, "seed {seed}: {most} transfers in one step");
    }
}

#[test]
fn the_address_comes_from_the_eeprom() {
    let mut words = [0; 64];
    words[0] = 0x8129;
    words[7..10].copy_from_slice(&[0x2202, 0x4433, 0x6655]);
    let image = crate::eeprom::Eeprom::Image(words);
    let mut bench = Bench::with(Config {
        eeprom: image,
        ..Config::default()
    });
    assert_eq!(bench.r32(Reg::Mac0), 0x4433_2202);
    bench.w8(Reg::Cfg9346, 0xc0);
    bench.w32(Reg::Mac0, 0);
    bench.w8(Reg::Cfg9346, 0x40);
    assert_eq!(
        (bench.r32(Reg::Mac0), bench.r8(Reg::Cfg9346)),
        (0x4433_2202, 0),
        "loaded again"
    );
    words[0] = 0;
    let mut bench = Bench::with(Config {
        eeprom: crate::eeprom::Eeprom::Image(words),
        ..Config::default()
    });
    assert_eq!(bench.r8(Reg::Mac0), MAC[0], "not believed");
}

#[test]
fn the_eeprom_is_read_through_the_pins() {
    let mut bench = Bench::new();
    // Start, read, address 7; then sixteen clocks. As BSD's if_re does it.
    bench.w8(Reg::Cfg9346, 0x88);
    for at in (0..9).rev() {
        let data = if 0x187 >> at & 1 != 0 { 0x02 } else { 0 };
        bench.w8(Reg::Cfg9346, 0x88 | data);
        bench.w8(Reg::Cfg9346, 0x8c | data);
        bench.w8(Reg::Cfg9346, 0x88 | data);
    }
    let mut word = 0;
    for _ in 0..16 {
        bench.w8(Reg::Cfg9346, 0x8c);
        word = word << 1 | u16::from(bench.r8(Reg::Cfg9346) & 1);
        bench.w8(Reg::Cfg9346, 0x88);
    }
    assert_eq!(word.to_le_bytes(), MAC[..2]);
    assert_eq!(bench.violations(), 0);
}

#[test]
fn configuration_space_commands_of_later_chips_end() {
    let mut bench = Bench::new();
    bench.w32(Reg::CsiAr, 0x0000_f070);
    assert_eq!(bench.r32(Reg::CsiAr) >> 31, 1, "read");
    assert_eq!(bench.r32(Reg::CsiDr), 0);
    bench.w32(Reg::CsiAr, 0x8000_f070);
    assert_eq!(bench.r32(Reg::CsiAr) >> 31, 0, "written");
}

#[test]
fn the_eeprom_can_be_taken_out_whole() {
    let words: [u16; 64] = std::array::from_fn(|word| 0x100 * word as u16 + 0x55);
    for (eeprom, expected) in [
        (crate::eeprom::Eeprom::Image(words), [0x55, 0, 0x55, 1]),
        (crate::eeprom::Eeprom::None, [0xff; 4]),
        (crate::eeprom::Eeprom::Usual, [0x29, 0x81, 0xec, 0x10]),
    ] {
        let bench = Bench::with(Config {
            eeprom,
            ..Config::default()
        });
        let bytes = bench.chip.eeprom();
        assert_eq!((bytes.len(), &bytes[..4]), (128, &expected[..]));
    }
}

#[test]
fn twelve_bits_are_interrupts() {
    let mut bench = Bench::new();
    for bit in (0..16).map(|nth| 1 << nth) {
        bench.w16(Reg::IntrMask, bit);
        bench.chip.watched(|chip| chip.raise(bit));
        let expected = bit & 0xc3ff != 0;
        assert_eq!(bench.chip.interrupt(), expected, "{bit:#x}");
        bench.w16(Reg::IntrStatus, 0xffff);
        assert!(!bench.chip.interrupt());
    }
}
