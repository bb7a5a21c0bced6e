// SPDX-License-Identifier: GPL-2.0

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;

use rtl8111b_chip::Bus;
use rtl8111b_chip::BusError;
use rtl8111b_chip::Config;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Width;

use super::*;
use crate::codec::Reader;
use crate::record::BusProbe;
use crate::record::Recorder;

const RING: u64 = 0x1000;
const FRAME: u64 = 0x2000;

struct Memory(Vec<u8>);

impl Memory {
    fn at(&mut self, address: u64, len: usize) -> Result<&mut [u8], BusError> {
        let from = usize::try_from(address).map_err(|_| BusError::Unmapped)?;
        self.0.get_mut(from..from + len).ok_or(BusError::Unmapped)
    }
}

impl Bus for Memory {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        into.copy_from_slice(self.at(address, into.len())?);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        self.at(address, from.len())?.copy_from_slice(from);
        Ok(())
    }

    fn load(&mut self, address: u64) -> Result<u32, BusError> {
        let mut word = [0; 4];
        self.read(address, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError> {
        self.write(address, &value.to_le_bytes())
    }

    fn cable_ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, _frame: &[u8]) {}
}

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run that writes these registers (32 bits), rings the doorbell, receives a frame under a fault;
/// recorded.
fn run(writes: &[(u16, u32)], lie: bool) -> Vec<Event> {
    let file = File::default();
    let config = Config::default();
    let mut chip = Chip::new(config);
    let mut memory = Memory(vec![0; 0x1_0000]);
    let mut recorder = Recorder::new(Box::new(file.clone()), String::new(), config);
    let mut note = |chip: &mut Chip, memory: &mut Memory, event: Event| {
        let read = matches!(event, Event::Read(..));
        if !read {
            recorder.event(&event);
        }
        let mut probe = BusProbe::new(memory, &mut recorder);
        let after = match event {
            Event::Tick(now) => {
                chip.tick(&mut probe, now);
                None
            }
            Event::BusMaster(on) => {
                chip.set_bus_master(&mut probe, on);
                None
            }
            Event::Fault(config) => {
                chip.fault(&mut probe, config);
                None
            }
            Event::Read(offset, width, _) => {
                Some(Event::Read(offset, width, chip.read(offset, width)))
            }
            Event::Write(offset, width, value) => {
                chip.write(&mut probe, offset, width, value);
                None
            }
            Event::Frame(again, frame) => {
                Some(Event::Received(chip.frame_in(&mut probe, &frame, again)))
            }
            _ => None,
        };
        if let Some(event) = after {
            recorder.event(&event);
        }
        recorder.line(chip.interrupt());
    };
    let long = |offset, value| Event::Write(offset, Width::Long, value);
    let descriptor = |memory: &mut Memory, at: u64| {
        memory.store(at, 0xf000_003c).unwrap();
        memory.write(at + 8, &FRAME.to_le_bytes()).unwrap();
    };
    descriptor(&mut memory, RING);
    descriptor(&mut memory, RING + 0x100);
    memory.store(RING + 0x100, 0xc000_0800).unwrap();
    note(&mut chip, &mut memory, Event::Tick(1000));
    note(&mut chip, &mut memory, Event::BusMaster(true));
    if lie {
        note(
            &mut chip,
            &mut memory,
            Event::Fault(FaultConfig {
                rate: 1,
                ..FaultConfig::on(FaultKind::Lie)
            }),
        );
    }
    for &(offset, value) in writes {
        note(&mut chip, &mut memory, long(offset, value));
    }
    for event in [
        long(0x20, RING as u32),
        long(0xe4, RING as u32 + 0x100),
        Event::Write(0xda, Width::Word, 0x4000),
        Event::Write(0xec, Width::Byte, 0x3f),
        Event::Write(0x37, Width::Byte, 0x0c),
        Event::Write(0x3c, Width::Word, 0x2f),
        long(0x44, 0xe70f),
        Event::Write(0x38, Width::Byte, 0x40),
        Event::Read(0x3e, Width::Word, 0),
        Event::Write(0x3e, Width::Word, 0xffff),
        Event::Frame(false, vec![0xff; 60]),
        Event::Read(0x48, Width::Long, 0),
    ] {
        note(&mut chip, &mut memory, event);
    }
    let bytes = file.0.lock().unwrap().clone();
    Reader::new("t".to_owned(), &bytes[..])
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn a_run_plays_again_the_same() {
    for lie in [false, true] {
        let events = run(&[], lie);
        assert!(events.iter().any(|e| matches!(e, Event::Sent(_))));
        assert!(events.iter().any(|e| matches!(e, Event::Line(true))));
        let played = replay(&events, |_, _| true).unwrap();
        assert_eq!(played.events, events.len());
        assert_eq!(played.chip.counters().tx_frames, 1);
        assert_eq!(played.chip.counters().rx_frames, 1);
    }
}

#[test]
fn whatever_is_changed_in_a_trace_is_found() {
    let events = run(&[], false);
    let mut found = 0;
    for at in 1..events.len() {
        let mut changed = events.clone();
        match &mut changed[at] {
            Event::Read(_, _, value) => *value ^= 1,
            Event::Sent(frame) => frame[3] ^= 1,
            Event::Store(_, value, _) => *value ^= 1,
            Event::DmaWrite(address, ..) | Event::DmaRead(address, ..) => *address ^= 1,
            Event::Line(level) => *level = !*level,
            Event::Received(outcome) => *outcome = rtl8111b_chip::Received::Filtered,
            _ => continue,
        }
        let mismatch = replay(&changed, |_, _| true).unwrap_err();
        assert_eq!(mismatch.number, at + 1);
        found += 1;
    }
    assert!(found >= 10, "{found}");
    let mut missing = events.clone();
    let sent = missing
        .iter()
        .position(|e| matches!(e, Event::Sent(_)))
        .unwrap();
    missing.remove(sent);
    assert_eq!(replay(&missing, |_, _| true).unwrap_err().number, sent + 1);
}

#[test]
fn a_cut_trace_plays_to_its_end() {
    let events = run(&[], false);
    for end in 1..events.len() {
        replay(&events[..end], |_, _| true).unwrap();
    }
}

#[test]
fn differences_are_reported() {
    let one = run(&[(0x08, 1), (0x0c, 2)], false);
    let two = run(&[(0x0c, 2), (0x08, 1)], false);
    let three = run(&[(0x08, 1), (0x0c, 3)], false);
    let same = diff(&one, &one, Moment::End, true).unwrap();
    assert!(same.same_state() && same.same_writes() && !same.writes.is_empty());
    let order = diff(&one, &two, Moment::End, false).unwrap();
    assert!(order.same_state() && !order.same_writes());
    let value = diff(&one, &three, Moment::Open, false).unwrap();
    assert_eq!(value.registers, [("MAR4", 2, 3)]);
    let changed: Vec<&String> = value
        .writes
        .iter()
        .filter(|l| !l.starts_with(' '))
        .collect();
    assert_eq!(changed, ["- MAR4 = 0x2", "+ MAR4 = 0x3"]);
    assert!(
        value.writes.iter().all(|line| !line.contains("RxConfig")),
        "it came after the opening"
    );
    assert!(order
        .writes
        .iter()
        .any(|line| line.contains("RxConfig = 0xe70f [")));
}
