// SPDX-License-Identifier: GPL-2.0

//! Two traces side by side: what the registers hold in the end, and in which order they were
//! written.

use rtl8111b_chip::Chip;
use rtl8111b_chip::Reg;

use crate::event::Event;
use crate::replay::replay;
use crate::replay::Mismatch;
use crate::show::touched;

/// Longer lists of writes are compared up to here only.
const MAX_LINES: usize = 3000;

/// Up to where traces are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The end of each.
    End,
    /// The point at which the driver has opened the card: the first time that receiver, transmitter
    /// and interrupts are all on.
    Open,
}

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Registers with both values.
    pub registers: Vec<(&'static str, u32, u32)>,
    /// Registers of the PHY's page 0 with both values.
    pub phy: Vec<(u8, u16, u16)>,
    /// The writes of both, in their order: those of the first only with `-`, of the second only
    /// with `+`, those of both with a space before them.
    pub writes: Vec<String>,
    /// There were more writes than are compared.
    pub cut: bool,
}

impl Difference {
    /// The registers hold the same.
    pub fn same_state(&self) -> bool {
        self.registers.is_empty() && self.phy.is_empty()
    }

    /// The writes are the same ones in the same order.
    pub fn same_writes(&self) -> bool {
        self.writes.iter().all(|line| line.starts_with(' '))
    }
}

/// Plays both and compares them. Registers that hold addresses or the time are left out unless
/// `all` is set.
pub fn diff(
    first: &[Event],
    second: &[Event],
    moment: Moment,
    all: bool,
) -> Result<Difference, (usize, Mismatch)> {
    let play = |number: usize, events| play(events, moment).map_err(|error| (number, error));
    let (one, events_one) = play(1, first)?;
    let (two, events_two) = play(2, second)?;
    let wanted = |reg: Reg| all || !reg.is_incidental();
    let state = |chip: &Chip| chip.state().registers;
    let registers = Reg::all()
        .zip(state(&one).into_iter().zip(state(&two)))
        .filter(|(reg, (a, b))| wanted(*reg) && a.1 != b.1)
        .map(|(_, (a, b))| (a.0, a.1, b.1))
        .collect();
    let phy = (0..32)
        .map(|register| (register, one.phy().peek(register), two.phy().peek(register)))
        .filter(|(_, a, b)| a != b)
        .collect();
    let (mut a, mut b) = (writes(events_one, all), writes(events_two, all));
    let cut = a.len() > MAX_LINES || b.len() > MAX_LINES;
    a.truncate(MAX_LINES);
    b.truncate(MAX_LINES);
    Ok(Difference {
        registers,
        phy,
        writes: aligned(&a, &b),
        cut,
    })
}

fn play(events: &[Event], moment: Moment) -> Result<(Chip, &[Event]), Mismatch> {
    let mut opened = false;
    let played = replay(events, |chip, _| {
        opened = moment == Moment::Open && is_open(chip);
        !opened
    })?;
    Ok((played.chip, &events[..played.events.min(events.len())]))
}

fn is_open(chip: &Chip) -> bool {
    let value = |name| {
        let registers = chip.state().registers;
        registers.iter().find(|r| r.0 == name).map_or(0, |r| r.1)
    };
    value(Reg::ChipCmd.name()) & 0x0c == 0x0c && value(Reg::IntrMask.name()) != 0
}

/// All writes of registers, one line each.
fn writes(events: &[Event], all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for event in events {
        let Event::Write(offset, width, value) = *event else {
            continue;
        };
        let parts = touched(offset, width, value);
        if parts.is_empty() {
            lines.push(format!("{offset:#04x} = {value:#x}"));
        }
        for (reg, part) in parts {
            let fields = reg.fields(part).join(" ");
            let mut line = reg.name().to_owned();
            if all || !reg.is_incidental() {
                line += &format!(" = {part:#x}");
                if !fields.is_empty() {
                    line += &format!(" [{fields}]");
                }
            }
            lines.push(line);
        }
    }
    lines
}

/// The longest common subsequence, with what is missing on either side between.
fn aligned(a: &[String], b: &[String]) -> Vec<String> {
    let width = b.len() + 1;
    let mut longest = vec![0u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] = if a[i] == b[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len()
            || i < a.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]
        {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests;
