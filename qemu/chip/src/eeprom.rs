// SPDX-License-Identifier: GPL-2.0

//! The 93C46 behind Cfg9346: 64 words of 16 bits, read and written a bit at a time over chip
//! select, clock and two data lines.
//!
//! Commands are a one, two bits of operation and six of address. Data moves on the clock's rising
//! edge; a read begins with a zero that comes with the last bit of the address. What is written
//! stays until the process ends: it is not written to a file.

/// Words in it.
pub const EEPROM_WORDS: usize = 64;

/// The first word of an EEPROM that a chip of this family believes.
const ID: u16 = 0x8129;
/// The first of the three words of the station address.
const ADDRESS: usize = 7;

/// The EEPROM that is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eeprom {
    /// One whose contents fit the card, in the places that the data sheet gives (pages 24 to 26).
    /// The words that the model has no values of its own for are zero [guess].
    #[default]
    Usual,
    /// None: its data line reads as one.
    None,
    /// One with these words.
    Image([u16; EEPROM_WORDS]),
}

impl Eeprom {
    /// The words, if one is fitted.
    pub(crate) fn words(self, mac: [u8; 6]) -> Option<[u16; EEPROM_WORDS]> {
        match self {
            Eeprom::None => None,
            Eeprom::Image(words) => Some(words),
            Eeprom::Usual => {
                let mut words = [0; EEPROM_WORDS];
                // Identity, vendor, device, subsystem, the kinds of the two BARs.
                words[..6].copy_from_slice(&[ID, 0x10ec, 0x8168, 0x10ec, 0x8168, 0x0104]);
                // Config1; power management, device and link of PCI configuration space; Config5.
                words[10] = 0xcf00;
                words[11] = 0xf7c2;
                words[13..16].copy_from_slice(&[0x7fc3, 0x1000, 0x0200]);
                for (i, pair) in mac.chunks_exact(2).enumerate() {
                    words[ADDRESS + i] = u16::from_le_bytes([pair[0], pair[1]]);
                }
                Some(words)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for the start bit.
    Idle,
    /// The number of bits of operation and address that have come.
    Command { bits: u16, count: u8 },
    /// Shows a word, most significant bit first.
    Reading { address: u8, left: u8 },
    /// Takes a word; for one address or for all.
    Writing {
        address: Option<u8>,
        bits: u16,
        count: u8,
    },
    /// Done until chip select falls; shows "ready".
    Done,
}

/// The part.
#[derive(Clone, Debug)]
pub(crate) struct Serial {
    words: Option<[u16; EEPROM_WORDS]>,
    writable: bool,
    phase: Phase,
    clock: bool,
    out: bool,
}

impl Serial {
    pub(crate) fn new(words: Option<[u16; EEPROM_WORDS]>) -> Self {
        Serial {
            words,
            writable: false,
            phase: Phase::Idle,
            clock: false,
            out: true,
        }
    }

    /// All its bytes; ones where no part is fitted.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let words = self.words.unwrap_or([0xffff; EEPROM_WORDS]);
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The station address, from an EEPROM that is fitted and makes sense.
    pub(crate) fn address(&self) -> Option<[u8; 6]> {
        let words = self.words.as_ref().filter(|words| words[0] == ID)?;
        let mut mac = [0; 6];
        for (i, pair) in mac.chunks_exact_mut(2).enumerate() {
            pair.copy_from_slice(&words[ADDRESS + i].to_le_bytes());
        }
        (mac != [0; 6] && mac[0] & 1 == 0).then_some(mac)
    }

    /// The data line towards the chip. Nothing drives it where no part is fitted: it reads as one
    /// [guess].
    pub(crate) fn data_out(&self) -> bool {
        self.words.is_none() || self.out
    }

    /// The pins as they are now.
    pub(crate) fn pins(&mut self, select: bool, clock: bool, data: bool) {
        let rising = clock && !self.clock;
        self.clock = clock;
        if !select {
            self.phase = Phase::Idle;
            self.out = true;
        } else if rising {
            self.step(data);
        }
    }

    fn step(&mut self, data: bool) {
        let bit = u16::from(data);
        self.phase = match self.phase {
            Phase::Idle if data => Phase::Command { bits: 0, count: 0 },
            Phase::Idle => Phase::Idle,
            Phase::Command { bits, count } => {
                let bits = bits << 1 | bit;
                if count < 7 {
                    Phase::Command {
                        bits,
                        count: count + 1,
                    }
                } else {
                    self.command((bits >> 6) as u8, (bits & 0x3f) as u8)
                }
            }
            Phase::Reading { address, left } => {
                let word = self
                    .words
                    .map_or(0xffff, |words| words[usize::from(address)]);
                self.out = word >> (left - 1) & 1 != 0;
                match left {
                    // Further clocks read the next word.
                    1 => Phase::Reading {
                        address: (address + 1) & 0x3f,
                        left: 16,
                    },
                    _ => Phase::Reading {
                        address,
                        left: left - 1,
                    },
                }
            }
            Phase::Writing {
                address,
                bits,
                count,
            } => {
                let bits = bits << 1 | bit;
                if count < 15 {
                    Phase::Writing {
                        address,
                        bits,
                        count: count + 1,
                    }
                } else {
                    self.store(address, bits)
                }
            }
            Phase::Done => Phase::Done,
        };
    }

    fn command(&mut self, operation: u8, address: u8) -> Phase {
        let writing = |address| Phase::Writing {
            address,
            bits: 0,
            count: 0,
        };
        match (operation, address >> 4) {
            (2, _) => {
                self.out = false;
                Phase::Reading { address, left: 16 }
            }
            (1, _) => writing(Some(address)),
            (3, _) => self.store(Some(address), 0xffff),
            (0, 3) => {
                self.writable = true;
                Phase::Done
            }
            (0, 0) => {
                self.writable = false;
                Phase::Done
            }
            (0, 2) => self.store(None, 0xffff),
            _ => writing(None),
        }
    }

    fn store(&mut self, address: Option<u8>, value: u16) -> Phase {
        if let Some(words) = self.words.as_mut().filter(|_| self.writable) {
            match address {
                Some(address) => words[usize::from(address)] = value,
                None => words.fill(value),
            }
        }
        // A real part is busy for some milliseconds; this one is ready at once.
        self.out = true;
        Phase::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 1, 2, 3, 4, 5];

    fn clock(part: &mut Serial, data: bool) -> u16 {
        part.pins(true, false, data);
        part.pins(true, true, data);
        let out = u16::from(part.data_out());
        part.pins(true, false, data);
        out
    }

    /// The last bit that comes out with the command.
    fn command(part: &mut Serial, operation: u8, address: u8) -> u16 {
        part.pins(false, false, false);
        let bits = 0x100 | u16::from(operation) << 6 | u16::from(address);
        (0..9)
            .rev()
            .map(|at| clock(part, bits >> at & 1 != 0))
            .last()
            .unwrap()
    }

    fn read(part: &mut Serial, address: u8) -> u16 {
        assert_eq!(command(part, 2, address), 0, "the leading zero");
        (0..16).fold(0, |word, _| word << 1 | clock(part, false))
    }

    fn write(part: &mut Serial, address: u8, value: u16) {
        command(part, 1, address);
        for at in (0..16).rev() {
            clock(part, value >> at & 1 != 0);
        }
    }

    #[test]
    fn the_usual_contents() {
        let mut part = Serial::new(Eeprom::Usual.words(MAC));
        assert_eq!(read(&mut part, 0), 0x8129);
        assert_eq!(read(&mut part, 1), 0x10ec);
        assert_eq!(read(&mut part, 7), 0x0102);
        assert_eq!(read(&mut part, 9), 0x0504);
        assert_eq!(part.address(), Some(MAC));
    }

    #[test]
    fn words_follow_each_other() {
        let mut part = Serial::new(Eeprom::Usual.words(MAC));
        read(&mut part, 0);
        let next = (0..16).fold(0, |word, _| word << 1 | clock(&mut part, false));
        assert_eq!(next, 0x10ec);
    }

    #[test]
    fn writing_wants_to_be_enabled() {
        let mut part = Serial::new(Eeprom::Usual.words(MAC));
        write(&mut part, 0x20, 0x1234);
        assert_eq!(read(&mut part, 0x20), 0);
        command(&mut part, 0, 0x30);
        write(&mut part, 0x20, 0x1234);
        assert!(part.data_out(), "ready");
        assert_eq!(read(&mut part, 0x20), 0x1234);
        command(&mut part, 3, 0x20);
        assert_eq!(read(&mut part, 0x20), 0xffff);
        command(&mut part, 0, 0);
        write(&mut part, 0x20, 1);
        assert_eq!(read(&mut part, 0x20), 0xffff);
        command(&mut part, 0, 0x30);
        command(&mut part, 0, 0x20);
        assert_eq!(read(&mut part, 0), 0xffff);
        assert_eq!(part.address(), None, "no longer believed");
    }

    #[test]
    fn without_a_part_all_is_ones() {
        let mut part = Serial::new(Eeprom::None.words(MAC));
        command(&mut part, 2, 0);
        assert!((0..16).all(|_| clock(&mut part, false) == 1));
        assert_eq!(part.address(), None);
    }
}
