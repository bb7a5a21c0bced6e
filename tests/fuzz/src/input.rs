// SPDX-License-Identifier: GPL-2.0

//! The meaning of an input's bytes: what the device does wrong, and what the guest does meanwhile.
//!
//! An input is a row of items of eight bytes, each of which means something whatever it is. The
//! first byte says what kind of item it is.

use lab::frame::{self, Address};
use lab::operations::{self, Operation};
use rtl8111b_control::FaultRequest;

/// The number of bytes of an item.
pub(crate) const ITEM: usize = 8;

/// The most items that an input has; what is behind them is not looked at.
pub(crate) const MOST: usize = 24;

/// The number of places at which the model can lie (`qemu/chip/src/faults/script.rs`).
const PLACES: u8 = 69;

/// The places that a driver looks at all the time, those of each frame more than once: half of all
/// lies are there. The others are registers that it reads when it is bound, opened, or asked.
const OFTEN: [u8; 16] = [
    RX_FIRST,
    RX_FIRST,
    RX_FIRST,
    RX_SECOND,
    RX_SECOND,
    TX_FIRST,
    TX_FIRST,
    INTERRUPT,
    INTERRUPT,
    0x3c / 4, // IntrStatus
    0x3c / 4,
    0x34 / 4, // ChipCmd
    0x60 / 4, // PHYAR
    0x10 / 4, // CounterAddrLow
    0x50 / 4, // Cfg9346
    68,       // any register
];
const RX_FIRST: u8 = 64;
const RX_SECOND: u8 = 65;
const TX_FIRST: u8 = 66;
const INTERRUPT: u8 = 67;

/// The most opportunities that pass before a lie: an execution has few.
const SKIPPED: u8 = 16;

/// The faults of the model that an input may have: all but the one whose choices come from a seed,
/// for which [`Item::Lie`] is there.
const FAULTS: [&str; 17] = [
    "tx-stall",
    "lost-doorbell",
    "lost-interrupt",
    "spurious-interrupt",
    "delay-own",
    "bad-checksum",
    "crc-error",
    "runt",
    "giant",
    "rx-fifo-overflow",
    "link-flap",
    "gone",
    "pci-abort",
    "dma-fault",
    "bus-stall",
    "reset-hang",
    "tally-hang",
];

/// One thing that happens in an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// The device tells a lie; what the bytes mean is the model's affair.
    Lie([u8; 8]),
    /// The device fails in one of the ways that the model has.
    Fault(FaultRequest),
    /// Frames arrive.
    Frames(Frames),
    /// The guest does something; the bytes are for the guest, and what they mean is for people.
    Operation([u8; operations::BYTES], Operation),
}

/// Frames that arrive one behind the other, all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames {
    shape: u8,
    length: u16,
    seed: u8,
    pub(crate) count: u8,
}

impl Item {
    fn from_bytes(bytes: [u8; ITEM]) -> Self {
        let [kind, rest @ ..] = bytes;
        let [a, b, c, d, e, f, _] = rest;
        match kind % 4 {
            0 => {
                // In the model's order: place, opportunities before, times, how, value.
                let (times, how) = (1 + (kind >> 4), kind >> 2);
                let value = [rest[2], rest[3], rest[4], rest[5]];
                let [one, two, three, four] = value;
                let place = match a {
                    0..128 => a % PLACES,
                    _ => OFTEN[usize::from(a) % OFTEN.len()],
                };
                Item::Lie([place, b % SKIPPED, times, how, one, two, three, four])
            }
            1 => Item::Fault(FaultRequest {
                name: FAULTS[usize::from(a) % FAULTS.len()].to_owned(),
                on: true,
                seed: Some(b.into()),
                rate: Some(1 + u32::from(c % 64)),
                count: (d != 0).then_some(d.into()),
                millis: Some(1 + u32::from(e % 128)),
                until_reset: f % 2 == 1,
            }),
            2 => Item::Frames(Frames {
                shape: a,
                length: u16::from_le_bytes([b, c]),
                seed: d,
                count: 1 + e % 32,
            }),
            _ => Item::Operation(rest, Operation::from_bytes(rest).0),
        }
    }
}

/// Reads an input.
pub(crate) fn items(input: &[u8]) -> Vec<Item> {
    let item = |bytes: &[u8]| bytes.try_into().ok().map(Item::from_bytes);
    input
        .chunks_exact(ITEM)
        .take(MOST)
        .filter_map(item)
        .collect()
}

impl Frames {
    /// The frame as it is on the wire, for a guest with this address.
    pub(crate) fn frame(self, guest: Address) -> Vec<u8> {
        let length = usize::from(self.length) % 4100 + frame::HEADER;
        let mut frame = frame::request(guest, length, u32::from(self.seed) << 8);
        match self.shape % 8 {
            0..=2 => {}
            3 => frame[..6].fill(0xff),
            4 => frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0x68, self.seed]),
            // A VLAN tag, of the lab's ethertype behind it.
            5 => drop(frame.splice(12..12, [0x81, 0, 0, self.seed])),
            6 => frame
                .splice(12.., ipv4(17, length, self.seed))
                .for_each(drop),
            _ => frame
                .splice(12.., ipv4(6, length, self.seed))
                .for_each(drop),
        }
        frame
    }
}

/// An ethertype and an IPv4 packet of UDP or TCP, whose checksums are wrong or right by chance.
fn ipv4(protocol: u8, length: usize, seed: u8) -> Vec<u8> {
    let total = length.max(frame::SHORTEST) - 12;
    let [high, low] = (total as u16 - 2).to_be_bytes();
    let mut packet = vec![8, 0, 0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend_from_slice(&[10, 81, 68, 1, 10, 81, 68, 15]);
    packet.resize(total, seed);
    packet
}

/// Commands of `ethtool`, by their place in `lab::operations`.
const TEST: u8 = 10;
const SWOL: u8 = 17;
const SPAUSE: u8 = 20;
const SSG: u8 = 23;
const STSO: u8 = 24;

/// Inputs to begin with: each operation, each fault, and each register's lie, amid traffic.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let frames = [2, 0, 0xe8, 3, 7, 3, 0, 0];
    let send = [3, 3, 2, 0x80, 4, 3, 0, 0];
    let mut seeds = vec![[frames, send].concat()];
    for code in 0..32 {
        seeds.push([frames, [3, code, code, 0x40, 1, 8, 0, 0], send].concat());
    }
    for a in 0..30 {
        for value in [0, 1, 64] {
            seeds.push([[3, 11, a, value, 0, value, 0, 0], frames].concat());
        }
    }
    // A program of XDP is there when frames arrive that come after the next operation.
    let wait = [3, 31, 4, 0, 0, 0, 0, 0];
    for task in 0..5 {
        let xdp = [3, 21, task, 0, 0, 0, 0, 0];
        seeds.push([xdp, frames, wait, frames, send, wait].concat());
    }
    // Scatter-gather and segmentation by the card, without which no frame has pieces.
    let on = |command| [3, 11, command, 1, 0, 0, 0, 0];
    let long = [3, 3, 3, 0, 0x20, 3, 0xb4, 5];
    seeds.push([on(SSG), on(STSO), long, send, wait].concat());
    seeds.push([on(SSG), [3, 3, 1, 0xff, 0x0f, 15, 0, 0], wait].concat());
    for shape in 0..8 {
        let others = [2, shape, 0xe8, 3, shape, 3, 0, 0];
        let short = [2, shape, 0, 0, shape, 3, 0, 0];
        seeds.push([others, short, send].concat());
    }
    let [stop, open, rebind, suspend] = [2, 0, 23, 22].map(|code| [3, code, 0, 0, 0, 0, 0, 0]);
    let idle = [3, 24, 0, 0, 0, 0, 0, 0];
    seeds.push([idle, stop, wait, wait, open, wait, frames].concat());
    seeds.push([[3, 11, SWOL, 0x3f, 0, 0, 0, 0], suspend, frames].concat());
    seeds.push([[3, 19, 3, 0, 0, 0, 0, 0], frames].concat());
    // A chip that has no address, in its EEPROM or its registers, when the driver looks.
    let pins = [0xfc, 0x50 / 4, 0, 0xfe, 0xff, 0xff, 0xff, 0];
    let none = [0xfc, 0, 0, 0, 0, 0, 0, 0];
    seeds.push([pins, pins, pins, none, rebind, open, frames].concat());
    // A jumbo MTU, with what differs then.
    let jumbo = [3, 8, 0, 0xa0, 0x0f, 0, 0, 0];
    let large = [2, 0, 0xa0, 0x0f, 7, 3, 0, 0];
    let test = on(TEST);
    seeds.push([jumbo, wait, large, send, on(SPAUSE), test].concat());
    seeds.push([jumbo, [3, 21, 1, 0, 0, 0, 0, 0]].concat());
    seeds.push([stop, test, open].concat());
    for fault in 0..FAULTS.len() as u8 {
        seeds.push([[1, fault, 1, 0, 8, 20, 0, 0], frames, send].concat());
    }
    for place in 0..PLACES {
        let lie = [4, place, 0, 0xff, 0xff, 0, 0, 0];
        seeds.push([lie, frames, send, stop, open].concat());
        // What is read once, or says that there is no such chip.
        let ones = [0, place, 0, 0xff, 0xff, 0xff, 0xff, 0];
        seeds.push([ones, rebind, open, frames].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_mean_something() {
        for kind in 0..=255 {
            for rest in [0, 1, 0x7f, 0xff] {
                let mut bytes = [rest; ITEM];
                bytes[0] = kind;
                let items = items(&bytes);
                assert_eq!(items.len(), 1);
                if let Item::Frames(frames) = &items[0] {
                    let frame = frames.frame([2, 0, 0, 0, 0, 1]);
                    assert!((60..=4200).contains(&frame.len()), "{}", frame.len());
                }
            }
        }
    }

    #[test]
    fn half_of_all_lies_are_where_drivers_look_often() {
        let lie = |place, skip| match Item::from_bytes([0, place, skip, 0, 0, 0, 0, 0]) {
            Item::Lie([place, skip, ..]) => (place, skip),
            item => panic!("{item:?}"),
        };
        let often = (0..=255).filter(|&place| OFTEN.contains(&lie(place, 0).0));
        assert!(often.count() >= 128);
        for place in 0..=255 {
            assert!(lie(place, place).0 < PLACES);
            assert!(lie(place, place).1 < SKIPPED);
        }
        // Each place is there.
        assert!((0..PLACES).all(|place| lie(place, 0).0 == place));
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        assert_eq!(items(&[3; ITEM * MOST + 40]).len(), MOST);
        assert_eq!(items(&[3; ITEM - 1]), []);
    }

    #[test]
    fn frames_of_all_shapes_are_of_their_length() {
        for shape in 0..8 {
            for length in [0, 40, 46, 100, 1500, 4099] {
                let frames = Frames {
                    shape,
                    length,
                    seed: 1,
                    count: 1,
                };
                let tag = if shape == 5 { 4 } else { 0 };
                let expected = (usize::from(length) + frame::HEADER).max(frame::SHORTEST) + tag;
                let found = frames.frame([2, 0, 0, 0, 0, 1]).len();
                assert_eq!(found, expected, "{shape}");
            }
        }
    }

    #[test]
    fn seeds_are_whole_items() {
        assert!(seeds().iter().all(|seed| seed.len() % ITEM == 0));
    }
}
