// SPDX-License-Identifier: GPL-2.0

//! The partner at the other end of the cable.

use std::fmt;
use std::str::FromStr;

/// 10 Mbit/s in half duplex; each mode has a bit, slower ones and half duplex first.
const MODES: [(&str, u8); 6] = [
    ("10half", 0x01),
    ("10full", 0x02),
    ("100half", 0x04),
    ("100full", 0x08),
    ("1000half", 0x10),
    ("1000full", 0x20),
];
const ALL: u8 = 0x3f;
const FIXED: u8 = 0x40;

/// The link partner: the modes that it has, and whether it negotiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    modes: u8,
    negotiates: bool,
}

impl Default for Partner {
    /// A switch with all modes up to gigabit.
    fn default() -> Self {
        Partner {
            modes: ALL,
            negotiates: true,
        }
    }
}

impl Partner {
    /// The form in which a trace has it.
    pub fn bits(self) -> u8 {
        self.modes | if self.negotiates { 0 } else { FIXED }
    }

    /// A partner from its form in a trace.
    pub fn from_bits(bits: u8) -> Option<Self> {
        let partner = Partner {
            modes: bits & ALL,
            negotiates: bits & FIXED == 0,
        };
        (bits & !(ALL | FIXED) == 0 && partner.makes_sense()).then_some(partner)
    }

    fn makes_sense(self) -> bool {
        if self.negotiates {
            self.modes != 0
        } else {
            self.modes.count_ones() == 1 && self.modes & 0x30 == 0
        }
    }

    pub(crate) fn negotiates(self) -> bool {
        self.negotiates
    }

    /// The modes at 10 and 100 Mbit/s, where MII registers 4 and 5 have them.
    pub(crate) fn modes(self) -> u16 {
        u16::from(self.modes & 0x0f) << 5
    }

    /// The mode detected by parallel detection of a partner that does not negotiate: the speed, in
    /// half duplex.
    pub(crate) fn detected(self) -> u16 {
        let modes = self.modes();
        modes & 0x00a0 | (modes & 0x0140) >> 1
    }

    /// The modes at 1000 Mbit/s, where MII register 9 has them.
    pub(crate) fn modes_1000(self) -> u16 {
        u16::from(self.modes & 0x30) << 4
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.negotiates {
            f.write_str("fixed-")?;
        }
        let names: Vec<&str> = MODES
            .iter()
            .filter(|mode| self.modes & mode.1 != 0)
            .map(|mode| mode.0)
            .collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Partner {
    type Err = String;

    /// `10`, `100` and `1000` are all modes up to that speed; `100half,10full` is a list;
    /// `fixed-100full` does not negotiate.
    fn from_str(text: &str) -> Result<Self, String> {
        let (list, negotiates) = match text.strip_prefix("fixed-") {
            Some(mode) => (mode, false),
            None => (text, true),
        };
        let mut modes = 0;
        for word in list.split(',') {
            modes |= match word {
                "10" => 0x03,
                "100" => 0x0f,
                "1000" => ALL,
                _ => MODES
                    .iter()
                    .find(|mode| mode.0 == word)
                    .map(|mode| mode.1)
                    .ok_or(
                        "expected 10, 100, 1000, a list such as 10full,100half, or fixed-100half",
                    )?,
            };
        }
        let partner = Partner { modes, negotiates };
        if partner.makes_sense() {
            Ok(partner)
        } else {
            Err("a partner that does not negotiate has one mode, of 10 or 100 Mbit/s".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_are_named_and_kept() {
        for (text, name) in [
            ("1000", "10half,10full,100half,100full,1000half,1000full"),
            ("100", "10half,10full,100half,100full"),
            ("10full,100half", "10full,100half"),
            ("fixed-100full", "fixed-100full"),
        ] {
            let partner: Partner = text.parse().unwrap();
            assert_eq!(partner.to_string(), name);
            assert_eq!(Partner::from_bits(partner.bits()), Some(partner));
            assert_eq!(name.parse(), Ok(partner));
        }
        for text in ["", "fixed-100", "fixed-1000full", "10,", "fast"] {
            assert!(text.parse::<Partner>().is_err(), "{text}");
        }
        assert_eq!(Partner::from_bits(0x80), None);
        assert_eq!(Partner::from_bits(0), None);
        assert_eq!(Partner::default().modes(), 0x01e0);
        assert_eq!(Partner::default().modes_1000(), 0x0300);
    }
}
