// SPDX-License-Identifier: GPL-2.0

//! Events of a chip, and their notation: a verb, some numbers, some bytes.

use rtl8111b_chip::BusError;
use rtl8111b_chip::Config;
use rtl8111b_chip::Eeprom;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Received;
use rtl8111b_chip::Revision;
use rtl8111b_chip::RxMode;
use rtl8111b_chip::Width;
use rtl8111b_chip::EEPROM_WORDS;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The chip is made; the first event of a trace.
    Chip(Box<Config>),
    /// The time is set, in nanoseconds.
    Tick(u64),
    /// The guest read a register and got the value.
    Read(u16, Width, u32),
    /// The guest writes a register.
    Write(u16, Width, u32),
    /// The guest read configuration space (not replayed).
    ConfigRead(u64, Vec<u8>),
    /// The guest wrote configuration space (not replayed).
    ConfigWrite(u64, Vec<u8>),
    /// A frame comes in; whether it was offered before.
    Frame(bool, Vec<u8>),
    /// The outcome.
    Received(Received),
    /// The cable has room again.
    Resume,
    /// The cable is plugged in or pulled.
    Link(bool),
    /// The power state is not D0.
    Asleep(bool),
    /// The chip may use the bus, or not.
    BusMaster(bool),
    /// The power was cut.
    PowerOn,
    /// PCI reset.
    PciReset,
    /// The cable is plugged into another partner.
    Partner(Partner),
    /// A fault is turned on or off.
    Fault(FaultConfig),
    /// The chip tells these lies from now on: `Lie::BYTES` bytes for each.
    Script(Vec<u8>),
    /// The chip read memory.
    DmaRead(u64, usize, Result<Vec<u8>, BusError>),
    /// The chip wrote memory.
    DmaWrite(u64, Vec<u8>, Result<(), BusError>),
    /// The chip read an ownership word.
    Load(u64, Result<u32, BusError>),
    /// The chip wrote an ownership word.
    Store(u64, u32, Result<(), BusError>),
    /// The chip asked whether the cable takes a frame.
    Ready(bool),
    /// The chip sent a frame.
    Sent(Vec<u8>),
    /// The interrupt line changed.
    Line(bool),
}

/// An event's form on paper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) verb: u8,
    pub(crate) numbers: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

/// The verbs: the name of each, how many numbers it has, and whether bytes follow.
pub(crate) const VERBS: [(&str, usize, bool); 24] = [
    ("chip", 9, true),
    ("tick", 1, false),
    ("r", 3, false),
    ("w", 3, false),
    ("config-r", 1, true),
    ("config-w", 1, true),
    ("frame-in", 1, true),
    ("received", 1, false),
    ("resume", 0, false),
    ("link", 1, false),
    ("asleep", 1, false),
    ("power-on", 0, false),
    ("fault", 7, false),
    ("dma-r", 3, true),
    ("dma-w", 2, true),
    ("load", 3, false),
    ("store", 3, false),
    ("ready", 1, false),
    ("frame-out", 0, true),
    ("line", 1, false),
    ("bus-master", 1, false),
    ("pci-reset", 0, false),
    ("partner", 1, false),
    ("script", 0, true),
];

const OUTCOMES: [Received; 6] = [
    Received::Delivered,
    Received::Filtered,
    Received::Ignored,
    Received::Dropped,
    Received::Wait,
    Received::Kept,
];

const FAULTS: [BusError; 5] = [
    BusError::BusMasterOff,
    BusError::Unmapped,
    BusError::Forbidden,
    BusError::Injected,
    BusError::NoFile,
];

/// Zero is none, others count from one; so too for faults.
fn some(value: Option<u32>) -> u64 {
    value.map_or(0, |value| u64::from(value) + 1)
}

fn none(value: u64) -> Option<Option<u32>> {
    match value {
        0 => Some(None),
        _ => u32::try_from(value - 1).ok().map(Some),
    }
}

fn failure<T>(result: &Result<T, BusError>) -> u64 {
    match result {
        Ok(_) => 0,
        Err(fault) => 1 + FAULTS.iter().position(|f| f == fault).unwrap_or(0) as u64,
    }
}

fn result<T>(code: u64, value: T) -> Option<Result<T, BusError>> {
    match usize::try_from(code).ok()?.checked_sub(1) {
        None => Some(Ok(value)),
        Some(index) => FAULTS.get(index).map(|&fault| Err(fault)),
    }
}

fn eeprom(kind: u64, data: &[u8]) -> Option<Eeprom> {
    match (kind, data.len()) {
        (0, 0) => Some(Eeprom::Usual),
        (1, 0) => Some(Eeprom::None),
        (2, len) if len == 2 * EEPROM_WORDS => {
            let mut words = [0; EEPROM_WORDS];
            for (word, pair) in words.iter_mut().zip(data.chunks_exact(2)) {
                *word = u16::from_le_bytes([pair[0], pair[1]]);
            }
            Some(Eeprom::Image(words))
        }
        _ => None,
    }
}

impl Event {
    pub(crate) fn raw(&self) -> Raw {
        let raw = |verb: u8, numbers: &[u64], data: &[u8]| Raw {
            verb,
            numbers: numbers.to_vec(),
            data: data.to_vec(),
        };
        match self {
            Event::Chip(config) => {
                let revision = u64::from(config.revision == Revision::B380);
                let mode = match config.rx_mode {
                    RxMode::Wait => 0,
                    RxMode::Drop => 1,
                    RxMode::Silicon => 2,
                };
                let xid = some(config.xid.map(u32::from));
                let phy_id = some(config.phy_id.map(u32::from));
                let mut data = config.mac.to_vec();
                let eeprom = match config.eeprom {
                    Eeprom::Usual => 0,
                    Eeprom::None => 1,
                    Eeprom::Image(words) => {
                        data.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                        2
                    }
                };
                let (time, partner) = (config.negotiation, config.partner.bits());
                let numbers = [
                    revision,
                    xid,
                    mode,
                    eeprom,
                    time.into(),
                    partner.into(),
                    config.command_time.into(),
                    config.rx_timeout.into(),
                    phy_id,
                ];
                raw(0, &numbers, &data)
            }
            Event::Tick(now) => raw(1, &[*now], &[]),
            Event::Read(offset, width, value) => raw(2, &access(*offset, *width, *value), &[]),
            Event::Write(offset, width, value) => raw(3, &access(*offset, *width, *value), &[]),
            Event::ConfigRead(offset, data) => raw(4, &[*offset], data),
            Event::ConfigWrite(offset, data) => raw(5, &[*offset], data),
            Event::Frame(again, frame) => raw(6, &[(*again).into()], frame),
            Event::Received(outcome) => {
                let index = OUTCOMES.iter().position(|o| o == outcome);
                raw(7, &[index.unwrap_or(0) as u64], &[])
            }
            Event::Resume => raw(8, &[], &[]),
            Event::Link(up) => raw(9, &[(*up).into()], &[]),
            Event::Asleep(asleep) => raw(10, &[(*asleep).into()], &[]),
            Event::PowerOn => raw(11, &[], &[]),
            Event::Fault(config) => raw(
                12,
                &[
                    config.kind as u64,
                    config.on.into(),
                    config.seed,
                    config.rate.into(),
                    some(config.count),
                    config.millis.into(),
                    config.until_reset.into(),
                ],
                &[],
            ),
            Event::DmaRead(address, len, outcome) => {
                let data = outcome.as_deref().unwrap_or(&[]);
                raw(13, &[*address, *len as u64, failure(outcome)], data)
            }
            Event::DmaWrite(address, data, outcome) => raw(14, &[*address, failure(outcome)], data),
            Event::Load(address, outcome) => {
                let value = outcome.unwrap_or(0);
                raw(15, &[*address, value.into(), failure(outcome)], &[])
            }
            Event::Store(address, value, outcome) => {
                raw(16, &[*address, (*value).into(), failure(outcome)], &[])
            }
            Event::Ready(ready) => raw(17, &[(*ready).into()], &[]),
            Event::Sent(frame) => raw(18, &[], frame),
            Event::Line(level) => raw(19, &[(*level).into()], &[]),
            Event::BusMaster(on) => raw(20, &[(*on).into()], &[]),
            Event::PciReset => raw(21, &[], &[]),
            Event::Partner(partner) => raw(22, &[partner.bits().into()], &[]),
            Event::Script(lies) => raw(23, &[], lies),
        }
    }

    /// `None` where it makes no sense.
    pub(crate) fn from_raw(raw: Raw) -> Option<Event> {
        let numbers = raw.numbers;
        let number = |at: usize| numbers.get(at).copied();
        let flag = || number(0).map(|value| value != 0);
        let read = || {
            let offset = u16::try_from(number(0)?).ok()?;
            let width = Width::of(usize::try_from(number(1)?).ok()?)?;
            Some((offset, width, u32::try_from(number(2)?).ok()?))
        };
        Some(match raw.verb {
            0 => Event::Chip(Box::new(Config {
                revision: if flag()? {
                    Revision::B380
                } else {
                    Revision::B300
                },
                xid: match none(number(1)?)? {
                    Some(xid) => Some(u16::try_from(xid).ok()?),
                    None => None,
                },
                mac: raw.data.get(..6)?.try_into().ok()?,
                rx_mode: match number(2)? {
                    0 => RxMode::Wait,
                    1 => RxMode::Drop,
                    2 => RxMode::Silicon,
                    _ => return None,
                },
                eeprom: eeprom(number(3)?, &raw.data[6..])?,
                negotiation: u32::try_from(number(4)?).ok()?,
                partner: Partner::from_bits(u8::try_from(number(5)?).ok()?)?,
                command_time: u32::try_from(number(6)?).ok()?,
                rx_timeout: u32::try_from(number(7)?).ok()?,
                phy_id: match none(number(8)?)? {
                    Some(id) => Some(u16::try_from(id).ok()?),
                    None => None,
                },
            })),
            1 => Event::Tick(number(0)?),
            2 => read().map(|(offset, width, value)| Event::Read(offset, width, value))?,
            3 => read().map(|(offset, width, value)| Event::Write(offset, width, value))?,
            4 => Event::ConfigRead(number(0)?, raw.data),
            5 => Event::ConfigWrite(number(0)?, raw.data),
            6 => Event::Frame(flag()?, raw.data),
            7 => Event::Received(*OUTCOMES.get(usize::try_from(number(0)?).ok()?)?),
            8 => Event::Resume,
            9 => Event::Link(flag()?),
            10 => Event::Asleep(flag()?),
            11 => Event::PowerOn,
            12 => Event::Fault(FaultConfig {
                kind: FaultKind::all().find(|&kind| Some(kind as u64) == number(0))?,
                on: number(1)? != 0,
                seed: number(2)?,
                rate: u32::try_from(number(3)?).ok()?,
                count: none(number(4)?)?,
                millis: u32::try_from(number(5)?).ok()?,
                until_reset: number(6)? != 0,
            }),
            13 => {
                let len = usize::try_from(number(1)?).ok()?;
                Event::DmaRead(number(0)?, len, result(number(2)?, raw.data)?)
            }
            14 => Event::DmaWrite(number(0)?, raw.data, result(number(1)?, ())?),
            15 => {
                let value = u32::try_from(number(1)?).ok()?;
                Event::Load(number(0)?, result(number(2)?, value)?)
            }
            16 => {
                let value = u32::try_from(number(1)?).ok()?;
                Event::Store(number(0)?, value, result(number(2)?, ())?)
            }
            17 => Event::Ready(flag()?),
            18 => Event::Sent(raw.data),
            19 => Event::Line(flag()?),
            20 => Event::BusMaster(flag()?),
            21 => Event::PciReset,
            22 => Event::Partner(Partner::from_bits(u8::try_from(number(0)?).ok()?)?),
            23 => Event::Script(raw.data),
            _ => return None,
        })
    }

    /// Returns whether this is done to the chip, and not by it.
    pub(crate) fn is_input(&self) -> bool {
        matches!(
            self,
            Event::Tick(_)
                | Event::Read(..)
                | Event::Write(..)
                | Event::Frame(..)
                | Event::Resume
                | Event::Link(_)
                | Event::Asleep(_)
                | Event::BusMaster(_)
                | Event::PowerOn
                | Event::PciReset
                | Event::Partner(_)
                | Event::Fault(_)
                | Event::Script(_)
        )
    }
}

fn access(offset: u16, width: Width, value: u32) -> [u64; 3] {
    [offset.into(), width.bytes().into(), value.into()]
}
