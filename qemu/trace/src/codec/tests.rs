// SPDX-License-Identifier: GPL-2.0

use rtl8111b_chip::BusError;
use rtl8111b_chip::Config;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Received;
use rtl8111b_chip::Revision;
use rtl8111b_chip::RxMode;
use rtl8111b_chip::Width;

use super::*;

fn events() -> Vec<Event> {
    let mut events = vec![
        Event::Chip(Box::new(Config {
            revision: Revision::B380,
            xid: Some(0xfcf),
            phy_id: Some(0xc910),
            rx_mode: RxMode::Drop,
            ..Config::default()
        })),
        Event::Chip(Box::new(Config {
            eeprom: rtl8111b_chip::Eeprom::None,
            ..Config::default()
        })),
        Event::Chip(Box::new(Config {
            eeprom: rtl8111b_chip::Eeprom::Image([0x1234; 64]),
            ..Config::default()
        })),
        Event::Tick(u64::MAX),
        Event::Read(0xfffe, Width::Word, 0xffff),
        Event::Write(0x37, Width::Byte, 0x10),
        Event::Write(0x44, Width::Long, 0xe700),
        Event::ConfigRead(0x40, vec![1, 2, 3, 4]),
        Event::ConfigWrite(4, vec![7]),
        Event::Frame(true, vec![0xff; 60]),
        Event::Received(Received::Wait),
        Event::Resume,
        Event::Link(false),
        Event::Asleep(true),
        Event::BusMaster(true),
        Event::PowerOn,
        Event::PciReset,
        Event::Partner("100half".parse().unwrap()),
        Event::Script((0..16).collect()),
        Event::DmaRead(1 << 63, 4, Ok(vec![9; 4])),
        Event::DmaRead(0, 4, Err(BusError::Injected)),
        Event::DmaWrite(16, vec![], Ok(())),
        Event::DmaWrite(16, vec![1], Err(BusError::Forbidden)),
        Event::Load(8, Ok(u32::MAX)),
        Event::Load(8, Err(BusError::BusMasterOff)),
        Event::Store(8, 1, Ok(())),
        Event::Store(8, 1, Err(BusError::Unmapped)),
        Event::Ready(false),
        Event::Sent(vec![]),
        Event::Line(true),
    ];
    for kind in FaultKind::all() {
        events.push(Event::Fault(FaultConfig::on(kind)));
        events.push(Event::Fault(FaultConfig {
            count: Some(u32::MAX),
            seed: u64::MAX,
            until_reset: true,
            ..FaultConfig::off(kind)
        }));
    }
    events
}

fn written() -> Vec<u8> {
    let mut out = HEAD.as_bytes().to_vec();
    for event in events() {
        encode(&event, &mut out);
    }
    out
}

fn read(bytes: &[u8]) -> Result<Vec<Event>, TraceError> {
    Reader::new("t".to_owned(), bytes)?.collect()
}

#[test]
fn every_event_comes_back() {
    assert_eq!(read(&written()).unwrap(), events());
}

#[test]
fn bytes_are_hexadecimal() {
    let mut out = Vec::new();
    encode(&Event::Sent((0..=255).collect()), &mut out);
    let digits: Vec<_> = (0..=255).map(|byte| format!("{byte:02x}")).collect();
    let line = format!("frame-out :{}\n", digits.concat());
    assert_eq!(out, line.as_bytes());
}

#[test]
fn a_trace_that_was_cut_short_ends_with_its_last_whole_event() {
    let all = events();
    let bytes = written();
    for end in HEAD.len()..bytes.len() {
        let some = read(&bytes[..end]).unwrap();
        assert_eq!(some, all[..some.len()]);
        assert!(some.len() < all.len());
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    for bytes in [
        &b""[..],
        b"# rtl8111b trace 5\n",
        b"\x00rtl8111b-trace-5",
        b"hello",
    ] {
        assert!(matches!(read(bytes), Err(TraceError::NoTrace(_))));
    }
    for line in [
        "dance",
        "tick",
        "tick 1 2",
        "tick x",
        "r 40 3 0",
        "link 1 :00",
        "frame-in 0 :0",
        "received 9",
    ] {
        let text = format!("{HEAD}{line}\n");
        assert!(
            matches!(
                read(text.as_bytes()),
                Err(TraceError::Event { number: 1, .. })
            ),
            "{line}"
        );
    }
}

#[test]
fn noise_does_no_harm() {
    let mut state = 1u32;
    for _ in 0..2000 {
        let mut bytes = HEAD.as_bytes().to_vec();
        for _ in 0..16 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (verb, ..) = VERBS[(state >> 24) as usize % VERBS.len()];
            bytes.extend_from_slice(verb.as_bytes());
            for _ in 0..state >> 20 & 0xf {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push(b" :0189abfx\n\xff"[(state >> 24) as usize % 12]);
            }
        }
        let _ = read(&bytes);
    }
}
