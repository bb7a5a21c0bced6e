// SPDX-License-Identifier: GPL-2.0

//! The EEPROM on its pins, against a model of a 93C46 and a 93C56 made from their data sheets.

#![cfg(not(loom))]

use rings::driver::eeprom::{address, read, Pins, MAX_WORDS, SIGNATURE};
use std::cell::RefCell;

/// What an EEPROM has seen since it was selected.
#[derive(Default)]
struct State {
    select: bool,
    clock: bool,
    /// Bits that came in, from the start bit on.
    bits: Vec<bool>,
    /// What is still to go out.
    answer: Vec<bool>,
    output: bool,
}

/// An EEPROM with addresses of `address_bits`; no words: nothing is connected.
struct Eeprom {
    address_bits: usize,
    words: Vec<u16>,
    state: RefCell<State>,
}

impl Eeprom {
    fn new(address_bits: usize, words: Vec<u16>) -> Self {
        let state = RefCell::default();
        Self {
            address_bits,
            words,
            state,
        }
    }
}

impl Pins for Eeprom {
    fn set(&self, select: bool, clock: bool, data: bool) {
        let mut state = self.state.borrow_mut();
        let rises = clock && !state.clock;
        assert!(!rises || select, "the clock runs with nothing selected");
        if !select {
            *state = State::default();
            return;
        }
        if select && !state.select {
            assert!(!clock, "selected with the clock high");
        }
        state.select = select;
        state.clock = clock;
        if !rises || self.words.is_empty() {
            return;
        }
        if state.bits.len() == 3 + self.address_bits {
            // Beyond the 16th bit a real one goes on with the next word; nobody asks for it.
            assert!(!state.answer.is_empty(), "more than a word is read");
            state.output = state.answer.remove(0);
            return;
        }
        if state.bits.is_empty() && !data {
            return;
        }
        state.bits.push(data);
        if state.bits.len() == 3 + self.address_bits {
            assert_eq!(state.bits[..3], [true, true, false], "only reads are sent");
            let address = state.bits[3..]
                .iter()
                .fold(0, |address, bit| address << 1 | usize::from(*bit));
            let word = self.words[address % self.words.len()];
            state.answer = (0..16).rev().map(|bit| word >> bit & 1 != 0).collect();
            // The dummy bit.
            state.output = false;
        }
    }

    fn data(&self) -> bool {
        let state = self.state.borrow();
        let driven = state.bits.len() == 3 + self.address_bits;
        !driven || state.output
    }
}

fn contents(count: usize) -> Vec<u16> {
    let mut words: Vec<u16> = (0..count)
        .map(|word| (word as u16).wrapping_mul(0x2f1d) ^ 0x55)
        .collect();
    words[0] = SIGNATURE;
    words
}

/// A part that gets two bits more than it has addresses takes them for clocks of its answer.
struct Tolerant(Eeprom);

impl Pins for Tolerant {
    fn set(&self, select: bool, clock: bool, data: bool) {
        let over = {
            let state = self.0.state.borrow();
            state.bits.len() == 3 + self.0.address_bits && state.answer.is_empty()
        };
        if over && select {
            let mut state = self.0.state.borrow_mut();
            state.clock = clock;
            state.output = true;
            return;
        }
        self.0.set(select, clock, data);
    }

    fn data(&self) -> bool {
        self.0.data()
    }
}

#[test]
fn a_93c56_is_read() {
    let mut words = [0; MAX_WORDS];
    let eeprom = Eeprom::new(8, contents(128));
    assert_eq!(read(&eeprom, &mut words), 128);
    assert_eq!(words.to_vec(), contents(128));
}

#[test]
fn a_93c46_is_read() {
    let mut words = [0; MAX_WORDS];
    let eeprom = Tolerant(Eeprom::new(6, contents(64)));
    assert_eq!(read(&eeprom, &mut words), 64);
    assert_eq!(words[..64], contents(64));
}

#[test]
fn an_eeprom_of_another_kind_is_none() {
    let mut words = [0; MAX_WORDS];
    let eeprom = Eeprom::new(8, vec![0x1234; 128]);
    assert_eq!(read(&eeprom, &mut words), 0);
}

#[test]
fn without_an_eeprom_there_is_none() {
    let mut words = [0; MAX_WORDS];
    assert_eq!(read(&Eeprom::new(8, Vec::new()), &mut words), 0);
    assert_eq!(words, [0; MAX_WORDS]);
}

#[test]
fn the_address_is_in_three_words_from_the_seventh() {
    let mut contents = vec![0; 128];
    contents[14..20].copy_from_slice(&[0x52, 0x54, 0, 0x81, 0x11, 0x0b]);
    assert_eq!(address(&contents), Some([0x52, 0x54, 0, 0x81, 0x11, 0x0b]));
    assert_eq!(address(&contents[..20]), address(&contents));
    assert_eq!(address(&contents[..19]), None);
    assert_eq!(address(&[]), None);
}
