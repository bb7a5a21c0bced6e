// SPDX-License-Identifier: GPL-2.0

//! A hostile guest's attacks on the model, as three functions of some bytes. Each of them panics
//! when the model does what it must not: panic itself, reach outside the memory it was shown, work
//! without end, or grow.
//!
//! `cargo fuzz` (or `scripts/fuzz-model`, which needs no more than a stable toolchain) finds the
//! bytes.

mod guest;
mod messages;
pub mod seeds;

/// The card, which the program puts together: a program is no library, so its file is compiled here
/// once more.
#[path = "../../rtl8111b/src"]
#[expect(dead_code, reason = "what the program reports and records")]
mod card {
    pub(crate) mod device;
}

use rtl8111b_chip::Chip;
use rtl8111b_chip::Config;
use rtl8111b_chip::Eeprom;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Revision;
use rtl8111b_chip::RxMode;
use rtl8111b_chip::Width;
use rtl8111b_chip::VIOLATION_LOG;

use guest::Bytes;
use guest::Guest;

pub use messages::messages;

fn config(choice: u8) -> Config {
    Config {
        revision: if choice & 1 != 0 {
            Revision::B380
        } else {
            Revision::B300
        },
        rx_mode: match choice >> 1 & 3 {
            0 => RxMode::Wait,
            1 => RxMode::Drop,
            _ => RxMode::Silicon,
        },
        eeprom: if choice & 8 != 0 {
            Eeprom::None
        } else {
            Eeprom::Usual
        },
        ..Config::default()
    }
}

fn width(choice: u8) -> Width {
    [Width::Byte, Width::Word, Width::Long, Width::Long][usize::from(choice & 3)]
}

/// One thing that the guest, the cable or the person at the control socket does.
fn act(chip: &mut Chip, guest: &mut Guest, bytes: &mut Bytes<'_>) {
    let choice = bytes.u8();
    match choice & 15 {
        0..=7 => {
            let (offset, value) = (bytes.offset(), bytes.u32());
            chip.write(guest, offset, width(choice >> 4), value);
        }
        8..=9 => {
            chip.read(bytes.offset(), width(choice >> 4));
        }
        10 => {
            let len = usize::from(bytes.u16());
            let frame: Vec<u8> = (0..len).map(|i| (i as u8) ^ choice).collect();
            let mut frame = frame;
            for byte in frame.iter_mut().take(42) {
                *byte = bytes.u8();
            }
            chip.frame_in(guest, &frame, choice & 0x80 != 0);
        }
        11 => {
            guest.now = guest.now.saturating_add(u64::from(bytes.u32()));
            let now = guest.now;
            chip.tick(guest, now);
        }
        12 => match choice >> 4 {
            0 => chip.set_link(true),
            1 => chip.set_link(false),
            2 => chip.set_asleep(true),
            3..=5 => chip.set_asleep(false),
            6 => chip.pci_reset(),
            7 => chip.set_bus_master(guest, false),
            8..=10 => chip.set_bus_master(guest, true),
            11 => {
                if let Some(partner) = Partner::from_bits(bytes.u8()) {
                    chip.set_partner(partner);
                }
            }
            _ => {
                chip.resume(guest);
            }
        },
        13 => {
            let kind = FaultKind::all().nth(usize::from(bytes.u8()) % FaultKind::all().count());
            if let Some(kind) = kind {
                let config = FaultConfig {
                    on: choice & 0x10 != 0,
                    seed: bytes.u8().into(),
                    rate: bytes.u8().into(),
                    ..FaultConfig::on(kind)
                };
                chip.fault(guest, config);
            }
        }
        14 => guest.ready = choice & 0x10 != 0,
        _ => {
            let (at, value) = (bytes.u16(), bytes.u32());
            guest.poke(at.into(), value);
        }
    }
}

fn check(chip: &Chip) {
    assert!(chip.counters().violation_log().len() <= VIOLATION_LOG);
    assert!(chip
        .counters()
        .violation_log()
        .all(|text| text.len() < 2048));
    let _ = chip.state();
    if let Some(due) = chip.deadline() {
        assert!(due > 0);
    }
}

/// Sequences of register accesses, with frames, time and faults between them.
pub fn mmio(data: &[u8]) {
    check(&drive(data));
}

/// The chip after them.
fn drive(data: &[u8]) -> Chip {
    let mut bytes = Bytes::new(data);
    let mut chip = Chip::new(config(bytes.u8()));
    let mut guest = Guest::new();
    chip.set_bus_master(&mut guest, true);
    while !bytes.is_empty() {
        guest.begin();
        act(&mut chip, &mut guest, &mut bytes);
        guest.settle(&mut chip);
    }
    chip
}

/// Rings full of anything. The chip may write where a receive descriptor that it owns points, as
/// far as that has room, and back into the rings; nowhere else.
pub fn descriptors(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.u8();
    let mut chip = Chip::new(config(choice));
    let mut guest = Guest::new();
    chip.set_bus_master(&mut guest, true);
    let settings = bytes.u16();
    for (offset, width, value) in [
        (0x20, Width::Long, guest::TX_RING),
        (0x28, Width::Long, guest::TX_HIGH),
        (0xe4, Width::Long, guest::RX_RING),
        (0xda, Width::Word, bytes.u16().into()),
        (0xec, Width::Byte, bytes.u8().into()),
        (0xe0, Width::Word, settings.into()),
        (0x3c, Width::Word, 0xffff),
        (0x37, Width::Byte, 0x0c),
        (0x40, Width::Long, u32::from(choice & 0x10) << 13),
        (0x44, Width::Long, 0xe73f),
    ] {
        chip.write(&mut guest, offset, width, value);
    }
    guest.fill_rings(&mut bytes);
    guest.watched = true;
    for round in 0..4u8 {
        guest.begin();
        chip.write(&mut guest, 0x38, Width::Byte, 0xc0);
        guest.settle(&mut chip);
        let len = usize::from(bytes.u16()) & 0x3fff;
        let mut frame = vec![round; len];
        for byte in frame.iter_mut().take(42) {
            *byte = bytes.u8();
        }
        guest.begin();
        chip.frame_in(&mut guest, &frame, false);
        guest.settle(&mut chip);
    }
    check(&chip);
}

#[cfg(test)]
mod tests;
