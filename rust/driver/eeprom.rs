// SPDX-License-Identifier: GPL-2.0

//! Reads the EEPROM that the chip takes its MAC address and settings from: a 93C46 (64 words) or a
//! 93C56 (128 words) on pins that Cfg9346 leads out.
//!
//! A read is a start bit, the command 10, and the address; then the EEPROM answers with 16 bits.
//! Bits go in at the rising clock and come out after it, the most significant first (the data
//! sheets of the EEPROMs, of any maker). The addresses of the two parts are 6 and 8 bits long;
//! which part it is shows by which length finds the signature, as in FreeBSD's re(4).

/// The pins, as the EEPROM has them.
pub trait Pins {
    /// Sets the inputs, and leaves the EEPROM the time that it needs. Returns the output as it was
    /// when they arrived; a one if nothing is connected.
    fn set(&self, select: bool, clock: bool, data: bool) -> bool;
}

/// The first word of an EEPROM that belongs to a chip of this family.
pub const SIGNATURE: u16 = 0x8129;

/// The first of the three words of the MAC address (Realtek's r8168).
const ADDRESS: usize = 7;

/// The parts that are known: a 93C56 and a 93C46.
const PARTS: [Part; 2] = [
    Part {
        address_bits: 8,
        words: 128,
    },
    Part {
        address_bits: 6,
        words: 64,
    },
];

/// The start bit and the command to read.
const READ: u32 = 0b110;

/// An EEPROM: how its addresses are sent, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    address_bits: u32,
    words: usize,
}

impl Part {
    /// Finds out which EEPROM is on the pins, if there is one.
    pub fn find(pins: &impl Pins) -> Option<Self> {
        PARTS
            .into_iter()
            .find(|part| part.word(pins, 0) == SIGNATURE)
    }

    /// Returns how many bytes it holds.
    pub fn size(&self) -> usize {
        self.words * size_of::<u16>()
    }

    /// Reads the three words of the MAC address.
    pub fn address(&self, pins: &impl Pins) -> [u8; 6] {
        let mut address = [0; 6];
        self.read(pins, ADDRESS * size_of::<u16>(), &mut address);
        address
    }

    /// Reads bytes from `offset` on, the lower half of a word first; beyond the end it goes on at
    /// the beginning.
    pub fn read(&self, pins: &impl Pins, offset: usize, bytes: &mut [u8]) {
        let mut word = 0;
        for (nth, byte) in bytes.iter_mut().enumerate() {
            let place = offset.wrapping_add(nth);
            if nth == 0 || place % 2 == 0 {
                word = self.word(pins, place / 2);
            }
            *byte = word.to_le_bytes()[place % 2];
        }
    }

    fn word(&self, pins: &impl Pins, address: usize) -> u16 {
        pins.set(false, false, false);
        pins.set(true, false, false);
        let address = address as u32 & ((1 << self.address_bits) - 1);
        let command = READ << self.address_bits | address;
        for bit in (0..self.address_bits + 3).rev() {
            let data = command >> bit & 1 != 0;
            pins.set(true, false, data);
            pins.set(true, true, data);
        }
        // The zero before the first bit is there now.
        pins.set(true, false, false);
        let mut word = 0;
        for _ in 0..16 {
            pins.set(true, true, false);
            // What the edge has brought out stays until the next one.
            word = word << 1 | u16::from(pins.set(true, false, false));
        }
        pins.set(false, false, false);
        word
    }
}
