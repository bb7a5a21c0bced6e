// SPDX-License-Identifier: GPL-2.0

//! Playing a trace again on a new chip.

use std::fmt;
use std::mem;

use rtl8111b_chip::Bus;
use rtl8111b_chip::BusError;
use rtl8111b_chip::Chip;
use rtl8111b_chip::Lie;

use crate::event::Event;

/// The place at which a trace and the chip part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The event, counted from 1 (the chip's own being 1).
    pub number: usize,
    /// The recorded event, if there is one.
    pub recorded: Option<Event>,
    /// The chip's event instead, if there is one.
    pub played: Option<Event>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let describe = |event: &Option<Event>| match event {
            Some(event) => format!("{event:?}"),
            None => "nothing more".to_owned(),
        };
        let (recorded, played) = (describe(&self.recorded), describe(&self.played));
        write!(
            f,
            "event {}: recorded {recorded}, played {played}",
            self.number
        )
    }
}

/// A trace that has been played.
#[derive(Debug)]
pub struct Played {
    /// The chip as it is at the end.
    pub chip: Chip,
    /// The number of events that it took.
    pub events: usize,
}

/// Memory and cable as they answered when the trace was made.
struct Script<'a> {
    events: &'a [Event],
    at: usize,
    mismatch: Option<Mismatch>,
}

impl Script<'_> {
    /// The chip does something: was it so?
    fn expect(&mut self, played: Event) -> Option<&Event> {
        if self.mismatch.is_some() {
            return None;
        }
        let recorded = self.events.get(self.at);
        // What the world answered is not the chip's doing.
        let same = match (&played, recorded) {
            (Event::DmaRead(a, len, _), Some(Event::DmaRead(b, size, _))) => a == b && len == size,
            (Event::DmaWrite(a, data, _), Some(Event::DmaWrite(b, bytes, _))) => {
                a == b && data == bytes
            }
            (Event::Load(a, _), Some(Event::Load(b, _))) => a == b,
            (Event::Store(a, value, _), Some(Event::Store(b, word, _))) => a == b && value == word,
            (Event::Ready(_), Some(Event::Ready(_))) => true,
            (played, Some(recorded)) => played == recorded,
            (_, None) => false,
        };
        if !same {
            self.mismatch = Some(Mismatch {
                number: self.at + 1,
                recorded: recorded.cloned(),
                played: Some(played),
            });
            return None;
        }
        self.at += 1;
        recorded
    }
}

impl Bus for Script<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        let played = Event::DmaRead(address, into.len(), Ok(Vec::new()));
        match self.expect(played) {
            Some(Event::DmaRead(_, _, Ok(data))) if data.len() == into.len() => {
                into.copy_from_slice(data);
                Ok(())
            }
            Some(&Event::DmaRead(_, _, Err(fault))) => Err(fault),
            _ => Err(BusError::Unmapped),
        }
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        match self.expect(Event::DmaWrite(address, from.to_vec(), Ok(()))) {
            Some(&Event::DmaWrite(_, _, result)) => result,
            _ => Err(BusError::Unmapped),
        }
    }

    fn load(&mut self, address: u64) -> Result<u32, BusError> {
        match self.expect(Event::Load(address, Ok(0))) {
            Some(&Event::Load(_, result)) => result,
            _ => Err(BusError::Unmapped),
        }
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError> {
        match self.expect(Event::Store(address, value, Ok(()))) {
            Some(&Event::Store(_, _, result)) => result,
            _ => Err(BusError::Unmapped),
        }
    }

    fn cable_ready(&mut self) -> bool {
        matches!(self.expect(Event::Ready(true)), Some(Event::Ready(true)))
    }

    fn transmit(&mut self, frame: &[u8]) {
        self.expect(Event::Sent(frame.to_vec()));
    }
}

/// Plays `events`, the first of which makes the chip, and compares all that comes out. `watch` is
/// called after each input with the chip and the number of events done; it ends the play by
/// returning false.
pub fn replay(
    events: &[Event],
    mut watch: impl FnMut(&Chip, usize) -> bool,
) -> Result<Played, Mismatch> {
    let Some(Event::Chip(config)) = events.first() else {
        return Err(Mismatch {
            number: 1,
            recorded: events.first().cloned(),
            played: None,
        });
    };
    let mut chip = Chip::new(**config);
    let mut line = false;
    let mut script = Script {
        events,
        at: 1,
        mismatch: None,
    };
    while let Some(event) = events.get(script.at) {
        if matches!(event, Event::ConfigRead(..) | Event::ConfigWrite(..)) {
            script.at += 1;
            continue;
        }
        if !event.is_input() {
            // The chip did this, and now does not.
            return Err(Mismatch {
                number: script.at + 1,
                recorded: Some(event.clone()),
                played: None,
            });
        }
        input(&mut chip, &mut script, event);
        if chip.interrupt() != line {
            line = chip.interrupt();
            script.expect(Event::Line(line));
        }
        if let Some(mismatch) = mem::take(&mut script.mismatch) {
            // A trace that was cut short ends in the middle of what the chip did.
            if mismatch.recorded.is_none() {
                break;
            }
            return Err(mismatch);
        }
        if !watch(&chip, script.at) {
            break;
        }
    }
    Ok(Played {
        chip,
        events: script.at,
    })
}

fn input(chip: &mut Chip, script: &mut Script<'_>, event: &Event) {
    if let Event::Read(offset, width, _) = *event {
        let value = chip.read(offset, width);
        script.expect(Event::Read(offset, width, value));
        return;
    }
    script.at += 1;
    match event {
        Event::Tick(now) => chip.tick(script, *now),
        Event::Write(offset, width, value) => chip.write(script, *offset, *width, *value),
        Event::Frame(again, frame) => {
            let outcome = chip.frame_in(script, frame, *again);
            script.expect(Event::Received(outcome));
        }
        Event::Resume => drop(chip.resume(script)),
        Event::Link(up) => chip.set_link(*up),
        Event::Asleep(asleep) => chip.set_asleep(*asleep),
        Event::BusMaster(on) => chip.set_bus_master(script, *on),
        Event::PowerOn => chip.power_on(),
        Event::PciReset => chip.pci_reset(),
        Event::Partner(partner) => chip.set_partner(*partner),
        Event::Fault(config) => chip.fault(script, *config),
        Event::Script(lies) => chip.script(Lie::all_from_bytes(lies)),
        _ => {}
    }
}
