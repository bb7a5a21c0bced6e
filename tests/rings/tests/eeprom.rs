// SPDX-License-Identifier: GPL-2.0

//! The EEPROM on its pins, against a model of a 93C46 and a 93C56 made from their data sheets.

#![cfg(not(loom))]

use rings::driver::eeprom::{Part, Pins, SIGNATURE};
use std::cell::{Cell, RefCell};

/// The state of an EEPROM since it was selected.
#[derive(Default)]
struct State {
    select: bool,
    clock: bool,
    /// Bits that came in, from the start bit on.
    bits: Vec<bool>,
    /// The bits that are still to go out.
    answer: Vec<bool>,
    output: bool,
}

/// An EEPROM with addresses of `address_bits`; no words: nothing is connected.
struct Eeprom {
    address_bits: usize,
    words: Vec<u16>,
    state: RefCell<State>,
    /// The number of times that the inputs were set.
    sets: Cell<u32>,
}

impl Eeprom {
    fn new(address_bits: usize, words: Vec<u16>) -> Self {
        let state = RefCell::default();
        Self {
            address_bits,
            words,
            state,
            sets: Cell::new(0),
        }
    }
}

impl Pins for Eeprom {
    fn set(&self, select: bool, clock: bool, data: bool) -> bool {
        self.step(select, clock, data);
        self.output()
    }
}

impl Eeprom {
    fn step(&self, select: bool, clock: bool, data: bool) {
        self.sets.set(self.sets.get() + 1);
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

    fn output(&self) -> bool {
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
    fn set(&self, select: bool, clock: bool, data: bool) -> bool {
        let over = {
            let state = self.0.state.borrow();
            let rises = clock && !state.clock;
            rises && state.bits.len() == 3 + self.0.address_bits && state.answer.is_empty()
        };
        if over && select {
            let mut state = self.0.state.borrow_mut();
            state.clock = clock;
            state.output = true;
            return true;
        }
        self.0.set(select, clock, data)
    }
}

/// Reads an EEPROM, whole.
fn read(pins: &impl Pins) -> Vec<u8> {
    let part = Part::find(pins).expect("an EEPROM");
    let mut bytes = vec![0; part.size()];
    part.read(pins, 0, &mut bytes);
    bytes
}

fn bytes(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn a_93c56_is_read() {
    let eeprom = Eeprom::new(8, contents(128));
    assert_eq!(read(&eeprom), bytes(&contents(128)));
}

#[test]
fn a_93c46_is_read() {
    let eeprom = Tolerant(Eeprom::new(6, contents(64)));
    assert_eq!(read(&eeprom), bytes(&contents(64)));
}

#[test]
fn any_part_of_it_is_read() {
    let eeprom = Eeprom::new(8, contents(128));
    let part = Part::find(&eeprom).expect("an EEPROM");
    let all = bytes(&contents(128));
    for (offset, length) in [(0, 1), (1, 1), (3, 4), (4, 3), (255, 1), (256, 0)] {
        let mut found = vec![0; length];
        part.read(&eeprom, offset, &mut found);
        assert_eq!(found, all[offset..offset + length], "{length} at {offset}");
    }
}

#[test]
fn an_eeprom_of_another_kind_is_none() {
    let eeprom = Eeprom::new(8, vec![0x1234; 128]);
    assert_eq!(Part::find(&eeprom), None);
}

#[test]
fn without_an_eeprom_there_is_none() {
    assert_eq!(Part::find(&Eeprom::new(8, Vec::new())), None);
}

#[test]
fn the_address_is_in_three_words_from_the_seventh_and_no_others_are_read() {
    let mut words = contents(64);
    words[7..10].copy_from_slice(&[0x5452, 0x8100, 0x0b11]);
    let eeprom = Tolerant(Eeprom::new(6, words));
    let part = Part::find(&eeprom).expect("an EEPROM");
    assert_eq!(part.address(&eeprom), [0x52, 0x54, 0, 0x81, 0x11, 0x0b]);
    // Each time the inputs are set two accesses wait for the chip. A word takes 60 of them at most,
    // and one more may be read to find out how long addresses are.
    let sets = eeprom.0.sets.get();
    assert!(sets <= 5 * 60, "the inputs were set {sets} times");
}
