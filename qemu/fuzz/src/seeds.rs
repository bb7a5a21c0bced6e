// SPDX-License-Identifier: GPL-2.0

//! Inputs for the targets out of traces: what a driver really does is where the fuzzer begins.
//!
//! The targets have 64 KiB of memory, the machine of a trace had more. So rings and buffers are
//! moved: rings have places of their own, buffers share what is left. What the chip read there is
//! in the input as well, as the guest's writes before the act in which it was read.

use std::collections::HashMap;

use rtl8111b_chip::Config;
use rtl8111b_chip::Eeprom;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Revision;
use rtl8111b_chip::RxMode;
use rtl8111b_chip::Width;
use rtl8111b_trace::Event;

use crate::guest;
use crate::guest::BUFFERS;
use crate::guest::COUNT;
use crate::guest::COUNTERS;
use crate::guest::RX_RING;
use crate::guest::SIZE;
use crate::guest::TX_HIGH;
use crate::guest::TX_RING;
use crate::messages as client;

/// The longest input that is made, in bytes; and that libFuzzer makes.
pub const MAX_INPUT: usize = 8192;

/// Of what the chip reads outside of rings, the bytes that an input has: the headers of a frame.
const HEADERS: u64 = 64;

const PAGE: u64 = 4096;

/// Registers that hold the lower halves of addresses, the bits that are no address, and where what
/// is there is moved to.
const ADDRESSES: [(u16, u32, u32); 4] = [
    (0x20, 0xff, TX_RING),
    (0x28, 0xff, TX_HIGH),
    (0xe4, 0xff, RX_RING),
    (0x10, 0x3f, COUNTERS),
];

/// One act, as the targets know it.
enum Step<'a> {
    Write(u16, Width, u32),
    Read(u16, Width),
    Time(u32),
    Frame(bool, &'a [u8]),
    /// An act of the kind 12, which has no arguments.
    Order(u8),
    /// The same, with the one that has.
    Partner(Partner),
    Fault(FaultConfig),
    /// The guest writes a word of its memory.
    Poke(u16, u32),
}

/// The places in the targets' memory of things that were somewhere else in the machine.
#[derive(Default)]
struct Places {
    /// The upper half of an address, by register.
    upper: HashMap<u16, u32>,
    /// The address at which the thing was, by register.
    bases: HashMap<u16, u64>,
    /// The place of a page, by its place in the machine.
    pages: HashMap<u64, u64>,
}

impl Places {
    /// The value that is to be written instead.
    fn write(&mut self, offset: u16, value: u32) -> u32 {
        let lower = |&&(at, ..): &&(u16, u32, u32)| at == offset;
        if let Some(&(_, flags, place)) = ADDRESSES.iter().find(lower) {
            let upper = self.upper.get(&offset).copied().unwrap_or(0);
            let base = u64::from(upper) << 32 | u64::from(value & !flags);
            self.bases.insert(offset, base);
            return place | value & flags;
        }
        if ADDRESSES.iter().any(|&(at, ..)| at + 4 == offset) {
            self.upper.insert(offset - 4, value);
            return 0;
        }
        value
    }

    /// Returns how far into a ring an address is, with the ring's place.
    fn in_ring(&self, address: u64) -> Option<(u64, u32)> {
        ADDRESSES.iter().find_map(|&(at, _, place)| {
            let room = if at == 0xe4 {
                u64::from(COUNTERS - RX_RING)
            } else {
                PAGE
            };
            let inside = address.checked_sub(*self.bases.get(&at)?)?;
            (inside < room).then_some((inside, place))
        })
    }

    fn moved(&mut self, address: u64) -> u16 {
        if let Some((inside, place)) = self.in_ring(address) {
            return (u64::from(place) + inside) as u16;
        }
        let there = (SIZE as u64 - BUFFERS) / PAGE;
        let next = BUFFERS + self.pages.len() as u64 % there * PAGE;
        let page = self.pages.entry(address / PAGE).or_insert(next);
        (*page + address % PAGE) as u16
    }
}

/// The memory that the chip reads and writes between two acts.
struct Memory {
    places: Places,
    /// The targets' memory as it is if the chip does there what it did.
    holds: Vec<u8>,
    /// Words that the chip has read or written since the last act.
    touched: Vec<u16>,
}

impl Memory {
    fn new() -> Self {
        Memory {
            places: Places::default(),
            holds: guest::memory(),
            touched: Vec::new(),
        }
    }

    fn word(&mut self, at: u16) -> Option<&mut [u8]> {
        self.holds
            .get_mut(usize::from(at)..usize::from(at).checked_add(4)?)
    }

    /// The chip read a word, so the guest had written it, if it was not there.
    fn read(&mut self, address: u64, value: u32, steps: &mut Vec<Step<'_>>) {
        let at = self.places.moved(address);
        if self.touched.contains(&at) {
            return;
        }
        self.touched.push(at);
        let Some(word) = self.word(at) else { return };
        if *word != value.to_le_bytes() {
            word.copy_from_slice(&value.to_le_bytes());
            steps.push(Step::Poke(at, value));
        }
    }

    fn read_all(&mut self, address: u64, data: &[u8], steps: &mut Vec<Step<'_>>) {
        let words: Vec<u32> = data
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let ring = self.places.in_ring(address);
        for (index, &word) in words.iter().enumerate() {
            let past = 4 * index as u64;
            let value = match ring.map(|(inside, _)| (inside + past) % 16) {
                Some(8) => {
                    let upper = words.get(index + 1).copied().unwrap_or(0);
                    self.places
                        .moved(u64::from(upper) << 32 | u64::from(word))
                        .into()
                }
                Some(12) => 0,
                None if past >= HEADERS => return,
                _ => word,
            };
            self.read(address.wrapping_add(past), value, steps);
        }
    }

    fn written(&mut self, address: u64, data: &[u8]) {
        for (index, word) in data.chunks_exact(4).enumerate() {
            let at = self.places.moved(address.wrapping_add(4 * index as u64));
            self.touched.push(at);
            if let Some(place) = self.word(at) {
                place.copy_from_slice(word);
            }
        }
    }
}

/// The acts of a trace.
fn steps(events: &[Event]) -> Vec<Step<'_>> {
    let mut memory = Memory::new();
    let (mut steps, mut pokes) = (Vec::new(), Vec::new());
    let (mut now, mut then) = (0, 0);
    // What the chip read comes behind the act in a trace, and before it in an input.
    let mut act = None;
    for event in events {
        match event {
            Event::Load(address, Ok(value)) => memory.read(*address, *value, &mut pokes),
            Event::DmaRead(address, _, Ok(data)) => memory.read_all(*address, data, &mut pokes),
            Event::Store(address, value, Ok(())) => memory.written(*address, &value.to_le_bytes()),
            Event::DmaWrite(address, data, Ok(())) => memory.written(*address, data),
            Event::Tick(at) => now = *at,
            _ => {}
        }
        let next = match event {
            Event::Write(offset, width, value) => {
                let value = memory.places.write(*offset, *value);
                Step::Write(*offset, *width, value)
            }
            // Of reads again and again, as of a bit that is waited for, one is enough.
            Event::Read(offset, width, _) => match act {
                Some(Step::Read(at, _)) if at == *offset => continue,
                _ => Step::Read(*offset, *width),
            },
            Event::Frame(again, frame) => Step::Frame(*again, frame),
            Event::Link(up) => Step::Order(u8::from(!up)),
            Event::Asleep(true) => Step::Order(2),
            Event::Asleep(false) => Step::Order(3),
            Event::PciReset | Event::PowerOn => Step::Order(6),
            Event::BusMaster(false) => Step::Order(7),
            Event::BusMaster(true) => Step::Order(8),
            Event::Partner(partner) => Step::Partner(*partner),
            Event::Resume => Step::Order(12),
            Event::Fault(config) => Step::Fault(*config),
            _ => continue,
        };
        steps.append(&mut pokes);
        steps.extend(act.replace(next));
        memory.touched.clear();
        if now > then {
            steps.push(Step::Time(u32::try_from(now - then).unwrap_or(u32::MAX)));
            then = now;
        }
    }
    steps.append(&mut pokes);
    steps.extend(act);
    steps
}

fn offset(at: u16, out: &mut Vec<u8>) {
    match u8::try_from(at) {
        Ok(byte) if byte != 0xff => out.push(byte),
        _ => {
            out.push(0xff);
            out.extend_from_slice(&at.to_le_bytes());
        }
    }
}

fn width(width: Width) -> u8 {
    match width {
        Width::Byte => 0,
        Width::Word => 1,
        Width::Long => 2,
    }
}

/// The byte that chooses a chip: the reverse of `config` of the targets.
pub(crate) fn chip(config: &Config) -> u8 {
    let mode = match config.rx_mode {
        RxMode::Wait => 0,
        RxMode::Drop => 1,
        RxMode::Silicon => 2,
    };
    let without = config.eeprom == Eeprom::None;
    u8::from(config.revision == Revision::B380) | mode << 1 | u8::from(without) << 3
}

/// A step as `mmio` reads it.
fn encode(step: &Step<'_>, out: &mut Vec<u8>) {
    match step {
        Step::Write(at, size, value) => {
            out.push(width(*size) << 4);
            offset(*at, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Step::Read(at, size) => {
            out.push(8 | width(*size) << 4);
            offset(*at, out);
        }
        Step::Frame(again, frame) => {
            out.push(10 | u8::from(*again) << 7);
            let len = u16::try_from(frame.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend(frame.iter().take(42));
        }
        Step::Time(by) => {
            out.push(11);
            out.extend_from_slice(&by.to_le_bytes());
        }
        Step::Order(order) => out.push(12 | order << 4),
        Step::Partner(partner) => out.extend_from_slice(&[12 | 11 << 4, partner.bits()]),
        Step::Fault(config) => {
            let kind = FaultKind::all().position(|kind| kind == config.kind);
            let rate = u8::try_from(config.rate).unwrap_or(u8::MAX);
            out.extend_from_slice(&[13 | u8::from(config.on) << 4, kind.unwrap_or(0) as u8]);
            out.extend_from_slice(&[config.seed as u8, rate]);
        }
        Step::Poke(at, value) => {
            out.push(15);
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

fn config(events: &[Event]) -> Config {
    match events.first() {
        Some(Event::Chip(config)) => **config,
        _ => Config::default(),
    }
}

/// The trace as an input of `mmio`, as far as there is room.
pub fn mmio(events: &[Event]) -> Vec<u8> {
    let mut input = vec![chip(&config(events))];
    for step in steps(events) {
        let mut bytes = Vec::new();
        encode(&step, &mut bytes);
        if input.len() + bytes.len() > MAX_INPUT {
            break;
        }
        input.append(&mut bytes);
    }
    input
}

/// The first descriptors that the chip took from each ring, as an input of `descriptors`. Nothing
/// if it took none.
pub fn descriptors(events: &[Event]) -> Option<Vec<u8>> {
    let mut places = Places::default();
    let mut rings: HashMap<u32, Vec<[u8; 11]>> = HashMap::new();
    let mut registers: HashMap<u16, u32> = HashMap::new();
    let (mut frames, mut first) = (Vec::new(), 0);
    for event in events {
        match event {
            Event::Write(offset, _, value) => {
                places.write(*offset, *value);
                registers.insert(*offset, *value);
            }
            Event::Load(_, Ok(value)) => first = *value,
            Event::DmaRead(address, _, Ok(data)) => {
                let Some((inside, ring)) = places.in_ring(*address) else {
                    continue;
                };
                // The first word is read alone. Of a receive descriptor the second has no meaning,
                // and is not read.
                let (second, buffer) = match inside % 16 {
                    4 => (data.get(..4), data.get(4..6)),
                    _ => (None, data.get(..2)),
                };
                let mut seed = [0; 11];
                seed[..4].copy_from_slice(&first.to_le_bytes());
                seed[4..8].copy_from_slice(second.unwrap_or(&[0; 4]));
                seed[8..10].copy_from_slice(buffer.unwrap_or(&[0; 2]));
                rings.entry(ring).or_default().push(seed);
            }
            Event::Frame(_, frame) if frames.len() < 4 => frames.push(frame),
            _ => {}
        }
    }
    if rings.is_empty() {
        return None;
    }
    let value = |offset| registers.get(&offset).copied().unwrap_or(0);
    let checksums = u8::from(value(0x40) >> 17 & 1 != 0) << 4;
    let mut input = vec![chip(&config(events)) | checksums];
    input.extend_from_slice(&(value(0xe0) as u16).to_le_bytes());
    input.extend_from_slice(&(value(0xda) as u16).to_le_bytes());
    input.push(value(0xec) as u8);
    for ring in [TX_RING, TX_HIGH, RX_RING] {
        let taken = rings.remove(&ring).unwrap_or_default();
        for index in 0..COUNT as usize {
            input.extend_from_slice(taken.get(index).unwrap_or(&[0; 11]));
        }
    }
    for frame in frames {
        input.extend_from_slice(&(frame.len() as u16).to_le_bytes());
        let headers = frame.iter().chain(std::iter::repeat(&0));
        input.extend(headers.take(42));
    }
    Some(input)
}

/// The trace as an input of `messages`: what QEMU says before, and then the accesses.
pub fn messages(events: &[Event]) -> Vec<u8> {
    let mut input = client::opening(chip(&config(events)));
    for step in steps(events) {
        let mut bytes = Vec::new();
        match step {
            Step::Write(at, size, value) => {
                let value = value.to_le_bytes();
                client::write(2, at, &value[..size.bytes().into()], &mut bytes);
            }
            Step::Read(at, size) => client::read(2, at, size.bytes(), &mut bytes),
            Step::Poke(at, value) => client::poke(at, value, &mut bytes),
            Step::Order(order @ (7 | 8)) => {
                client::write(7, 4, &[0x03 | u8::from(order == 8) << 2, 0], &mut bytes);
            }
            Step::Order(6) => client::reset(&mut bytes),
            _ => {}
        }
        if input.len() + bytes.len() > MAX_INPUT {
            break;
        }
        input.append(&mut bytes);
    }
    input
}
