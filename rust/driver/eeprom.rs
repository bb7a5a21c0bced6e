// SPDX-License-Identifier: GPL-2.0

//! Reads the EEPROM that the chip takes its MAC address and settings from: a 93C46 (64 words) or a
//! 93C56 (128 words) on pins that Cfg9346 leads out.
//!
//! A read is a start bit, the command 10, and the address; then the EEPROM answers with 16 bits. Bits
//! go in at the rising clock and come out after it, the most significant first (the data sheets of
//! the EEPROMs, by whomever). The addresses of the two parts are 6 and 8 bits long; which part it is
//! shows by which length finds the signature, as in FreeBSD's re(4).

/// The pins, as the EEPROM has them.
pub trait Pins {
    /// Sets the inputs, and leaves the EEPROM the time that it needs.
    fn set(&self, select: bool, clock: bool, data: bool);

    /// Returns the output; ones if nothing is connected.
    fn data(&self) -> bool;
}

/// The first word of an EEPROM that belongs to a chip of this family.
pub const SIGNATURE: u16 = 0x8129;

/// The most that an EEPROM holds, in words.
pub const MAX_WORDS: usize = 128;

/// The first of the three words of the MAC address (Realtek's r8168).
const ADDRESS: usize = 7;

/// The lengths of addresses, and the words of an EEPROM that has such.
const PARTS: [(u32, usize); 2] = [(8, MAX_WORDS), (6, 64)];

/// The start bit and the command to read.
const READ: u32 = 0b110;

/// Reads the whole EEPROM into `words`, and returns how many it has; 0 if there is none.
pub fn read(pins: &impl Pins, words: &mut [u16; MAX_WORDS]) -> usize {
    for (address_bits, count) in PARTS {
        if read_word(pins, address_bits, 0) == SIGNATURE {
            for (address, word) in words.iter_mut().take(count).enumerate() {
                *word = read_word(pins, address_bits, address as u32);
            }
            return count;
        }
    }
    0
}

/// Returns the MAC address in the contents of an EEPROM, as bytes; `None` if there is none.
pub fn address(contents: &[u8]) -> Option<[u8; 6]> {
    let begin = ADDRESS * size_of::<u16>();
    contents.get(begin..begin + 6)?.try_into().ok()
}

fn read_word(pins: &impl Pins, address_bits: u32, address: u32) -> u16 {
    pins.set(false, false, false);
    pins.set(true, false, false);
    let command = READ << address_bits | address;
    for bit in (0..address_bits + 3).rev() {
        let data = command >> bit & 1 != 0;
        pins.set(true, false, data);
        pins.set(true, true, data);
    }
    let mut word = 0;
    for _ in 0..16 {
        pins.set(true, false, false);
        pins.set(true, true, false);
        word = word << 1 | u16::from(pins.data());
    }
    pins.set(true, false, false);
    pins.set(false, false, false);
    word
}
