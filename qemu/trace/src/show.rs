// SPDX-License-Identifier: GPL-2.0

//! A trace for people: registers and fields by name.

use std::fmt::Write;

use rtl8111b_chip::Config;
use rtl8111b_chip::Reg;
use rtl8111b_chip::Revision;
use rtl8111b_chip::Width;

use crate::event::Event;

/// An event as one line, without what every trace is full of: the time stands before the line.
pub fn show(event: &Event) -> String {
    match event {
        Event::Chip(config) => chip(config),
        Event::Tick(now) => format!(
            "time     {}.{:09}",
            now / 1_000_000_000,
            now % 1_000_000_000
        ),
        Event::Read(offset, width, value) => access("read ", *offset, *width, *value),
        Event::Write(offset, width, value) => access("WRITE", *offset, *width, *value),
        Event::ConfigRead(offset, data) => format!("config read  {offset:#05x} {}", hex(data)),
        Event::ConfigWrite(offset, data) => format!("config WRITE {offset:#05x} {}", hex(data)),
        Event::Frame(again, frame) => {
            let again = if *again { " (again)" } else { "" };
            format!(
                "frame in  {} bytes{again}: {}",
                frame.len(),
                frame_head(frame)
            )
        }
        Event::Received(outcome) => format!("  {outcome:?}"),
        Event::Resume => "the cable has room".to_owned(),
        Event::Link(up) => format!("cable {}", if *up { "plugged in" } else { "pulled" }),
        Event::Asleep(asleep) => (if *asleep { "asleep" } else { "awake" }).to_owned(),
        Event::BusMaster(on) => format!("bus mastering {}", if *on { "on" } else { "off" }),
        Event::PowerOn => "power cut".to_owned(),
        Event::PciReset => "PCI reset".to_owned(),
        Event::Partner(partner) => format!("the link partner has {partner}"),
        Event::Fault(config) => format!(
            "fault {} {}: {config:?}",
            config.kind.name(),
            if config.on { "on" } else { "off" }
        ),
        Event::Script(lies) => format!("lies from now on: {}", hex(lies)),
        Event::DmaRead(address, len, outcome) => match outcome {
            Ok(data) => format!("  DMA read  {address:#x} {}", hex(data)),
            Err(fault) => format!("  DMA read  {address:#x} {len} bytes: {fault}"),
        },
        Event::DmaWrite(address, data, outcome) => {
            format!("  DMA write {address:#x} {}{}", hex(data), failed(outcome))
        }
        Event::Load(address, Ok(value)) => format!("  descriptor {address:#x} is {}", word(*value)),
        Event::Load(address, Err(fault)) => format!("  descriptor {address:#x}: {fault}"),
        Event::Store(address, value, outcome) => format!(
            "  descriptor {address:#x} becomes {}{}",
            word(*value),
            failed(outcome)
        ),
        Event::Ready(ready) => format!("  cable {}", if *ready { "ready" } else { "not ready" }),
        Event::Sent(frame) => format!("  frame out {} bytes: {}", frame.len(), frame_head(frame)),
        Event::Line(level) => format!("  interrupt line {}", if *level { "up" } else { "down" }),
    }
}

fn chip(config: &Config) -> String {
    let name = match config.revision {
        Revision::B300 => "B300",
        Revision::B380 => "B380",
    };
    format!("an RTL8111B {name}: {config:?}")
}

/// The registers that an access touches with the part of the value that each gets, shifted to its
/// place.
pub(crate) fn touched(offset: u16, width: Width, value: u32) -> Vec<(Reg, u32)> {
    let mut parts: Vec<(Reg, u32)> = Vec::new();
    for byte in 0..width.bytes() {
        let Some(reg) = offset.checked_add(byte).and_then(Reg::at) else {
            continue;
        };
        let at = offset + byte - reg.offset();
        let part = ((value >> (8 * byte)) & 0xff) << (8 * at);
        match parts.last_mut().filter(|last| last.0 == reg) {
            Some(last) => last.1 |= part,
            None => parts.push((reg, part)),
        }
    }
    parts
}

fn access(what: &str, offset: u16, width: Width, value: u32) -> String {
    let digits = usize::from(width.bytes()) * 2;
    let mut line = format!("{what} {offset:#06x} {value:0digits$x}");
    line = format!("{line:<22}");
    let parts = touched(offset, width, value);
    if parts.is_empty() {
        line += " (not a register of the model's)";
    }
    for (reg, part) in parts {
        line += &format!(" {}", reg.name());
        let at = offset.saturating_sub(reg.offset());
        if at > 0 {
            line += &format!("+{at}");
        }
        let fields = reg.fields(part);
        if !fields.is_empty() {
            line += &format!(" [{}]", fields.join(" "));
        }
    }
    line
}

/// A descriptor's first word, as far as both directions agree.
fn word(value: u32) -> String {
    let mut text = format!("{value:08x}");
    for (bit, name) in [(31, "OWN"), (30, "EOR"), (29, "FS"), (28, "LS")] {
        if value >> bit & 1 != 0 {
            text += &format!(" {name}");
        }
    }
    text
}

fn failed<T>(outcome: &Result<T, rtl8111b_chip::BusError>) -> String {
    match outcome {
        Ok(_) => String::new(),
        Err(fault) => format!(": {fault}"),
    }
}

fn hex(data: &[u8]) -> String {
    const MAX_SHOWN: usize = 32;
    let mut text = String::new();
    for byte in data.iter().take(MAX_SHOWN) {
        let _ = write!(text, "{byte:02x}");
    }
    if data.len() > MAX_SHOWN {
        text += &format!("... {} bytes", data.len());
    }
    text
}

fn frame_head(frame: &[u8]) -> String {
    match frame {
        [a, b, c, d, e, f, g, h, i, j, k, l, t, u, ..] => format!(
            "{g:02x}:{h:02x}:{i:02x}:{j:02x}:{k:02x}:{l:02x} to {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} \
             type {t:02x}{u:02x}"
        ),
        _ => hex(frame),
    }
}
