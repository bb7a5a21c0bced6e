// SPDX-License-Identifier: GPL-2.0

use std::collections::HashMap;

use rtl8111b_chip::Bus;
use rtl8111b_chip::BusError;
use rtl8111b_trace::Event;

use super::*;

const TX_RING: u64 = 0x1_2345_6000;
const RX_RING: u64 = 0x1_2346_0000;
const TX_BUFFER: u64 = 0x7_0000_1000;
const RX_BUFFER: u64 = 0x7_0000_3800;
/// The chip's, the first, the last and the last of the ring.
const WHOLE: u32 = 0xf000_0000;

/// A machine with memory where the targets have none, which writes down what happens, as a trace
/// does.
#[derive(Default)]
struct Machine {
    memory: HashMap<u64, u32>,
    events: Vec<Event>,
}

impl Machine {
    fn descriptor(&mut self, at: u64, opts1: u32, buffer: u64) {
        let words = [opts1, 0, buffer as u32, (buffer >> 32) as u32];
        for (index, word) in words.into_iter().enumerate() {
            self.memory.insert(at + 4 * index as u64, word);
        }
    }

    fn write(&mut self, chip: &mut Chip, offset: u16, width: Width, value: u32) {
        self.events.push(Event::Write(offset, width, value));
        chip.write(self, offset, width, value);
    }
}

impl Bus for Machine {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        for (index, place) in into.chunks_mut(4).enumerate() {
            let word = self.memory.get(&(address + 4 * index as u64));
            let bytes = word.copied().unwrap_or(0).to_le_bytes();
            place.copy_from_slice(&bytes[..place.len()]);
        }
        let done = Event::DmaRead(address, into.len(), Ok(into.to_vec()));
        self.events.push(done);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        self.events
            .push(Event::DmaWrite(address, from.to_vec(), Ok(())));
        Ok(())
    }

    fn load(&mut self, address: u64) -> Result<u32, BusError> {
        let word = self.memory.get(&address).copied().unwrap_or(0);
        self.events.push(Event::Load(address, Ok(word)));
        Ok(word)
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError> {
        self.memory.insert(address, value);
        self.events.push(Event::Store(address, value, Ok(())));
        Ok(())
    }

    fn cable_ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, frame: &[u8]) {
        self.events.push(Event::Sent(frame.to_vec()));
    }
}

/// A frame each way, in a machine whose memory is elsewhere: an input that says less would still be
/// run, and no run would show it.
#[test]
fn seeds_do_what_the_trace_did() {
    let mut machine = Machine::default();
    let mut chip = Chip::new(Config::default());
    machine.events = vec![Event::Chip(Box::default()), Event::BusMaster(true)];
    chip.set_bus_master(&mut machine, true);
    machine.events.push(Event::Tick(1_000_000));
    chip.tick(&mut machine, 1_000_000);
    machine.descriptor(TX_RING, WHOLE | 60, TX_BUFFER);
    machine.descriptor(RX_RING, WHOLE | 0x600, RX_BUFFER);
    for (offset, width, value) in [
        (0x24, Width::Long, (TX_RING >> 32) as u32),
        (0x20, Width::Long, TX_RING as u32),
        (0xe8, Width::Long, (RX_RING >> 32) as u32),
        (0xe4, Width::Long, RX_RING as u32),
        (0xda, Width::Word, 0x600),
        (0x37, Width::Byte, 0x0c),
        (0x40, Width::Long, 0x0300_0700),
        (0x44, Width::Long, 0xe70f),
        (0x38, Width::Byte, 0x40),
    ] {
        machine.write(&mut chip, offset, width, value);
    }
    let frame = vec![0xff; 60];
    machine.events.push(Event::Frame(false, frame.clone()));
    chip.frame_in(&mut machine, &frame, false);
    let carried = |chip: &Chip| (chip.counters().tx_frames, chip.counters().rx_frames);
    assert_eq!(carried(&chip), (1, 1), "the machine");

    let events = machine.events;
    assert_eq!(carried(&drive(&seeds::mmio(&events))), (1, 1), "mmio");
    // Nothing comes from the cable there.
    let card = messages::converse(&seeds::messages(&events));
    assert_eq!(carried(&card.chip), (1, 0), "messages");
    let input = seeds::descriptors(&events).unwrap();
    assert_eq!(input[6..10], (WHOLE | 60).to_le_bytes(), "descriptors");
    descriptors(&input);
}
