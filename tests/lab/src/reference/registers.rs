// SPDX-License-Identifier: GPL-2.0

//! The registers after a driver has opened the interface: ours beside the kernel's own.
//!
//! Each difference must stand, with its reason, in a file; one line each:
//!
//! ```text
//! CHIP REGISTER OURS THEIRS REASON
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rtl8111b_control::State;

use crate::bench::Bench;
use crate::model::Chip;
use crate::process::wait_for;
use crate::{require, Error, Result};

/// Registers by name, those of the PHY's page 0 as `MII` and their number.
pub type Snapshot = BTreeMap<String, u32>;

/// A difference that is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    chip: Chip,
    register: String,
    ours: u32,
    theirs: u32,
}

impl Entry {
    /// The name of the register that differs.
    pub fn register(&self) -> &str {
        &self.register
    }
}

/// Returns the registers when there is no traffic, after the driver's first frames.
pub fn at_rest(bench: &mut Bench) -> Result<Snapshot> {
    let mut before = None;
    let limit = Duration::from_secs(20);
    wait_for("the registers to stop changing", limit, || {
        let now = snapshot(&bench.model()?.state()?);
        if before.as_ref() == Some(&now) {
            return Ok(Some(now));
        }
        before = Some(now);
        std::thread::sleep(Duration::from_millis(500));
        Ok(None)
    })
}

/// The registers in the model's state, but for those that hold addresses or the time.
pub fn snapshot(state: &State) -> Snapshot {
    let of_mac = state
        .registers
        .iter()
        .filter(|(name, _)| !state.incidental.contains(name))
        .map(|(name, value)| (name.clone(), value.0));
    let of_phy = state.phy.registers.iter().enumerate();
    let of_phy = of_phy.map(|(index, value)| (format!("MII{index}"), value.0));
    of_mac.chain(of_phy).collect()
}

/// Reads the file of explained differences.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = fs::read_to_string(path).map_err(Error::file(path, "reading the differences"))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            entry(line).ok_or_else(|| {
                Error::Input(format!(
                    "{}, line {}: found {line:?}, expected: CHIP REGISTER OURS THEIRS REASON",
                    path.display(),
                    index + 1
                ))
            })
        })
        .collect()
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    let chip = words.next()?.parse().ok()?;
    let register = words.next()?.to_owned();
    let mut number = || u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (ours, theirs) = (number()?, number()?);
    // The reason is for people, but there has to be one.
    words.next()?;
    Some(Entry {
        chip,
        register,
        ours,
        theirs,
    })
}

/// Requires that every difference is explained and that every explanation is needed; returns how
/// many there are.
pub fn judge(chip: Chip, ours: &Snapshot, theirs: &Snapshot, explained: &[Entry]) -> Result<usize> {
    let found: Vec<Entry> = ours
        .iter()
        .filter_map(|(register, &ours)| {
            let theirs = *theirs.get(register)?;
            (ours != theirs).then(|| Entry {
                chip,
                register: register.clone(),
                ours,
                theirs,
            })
        })
        .collect();
    let describe = |entry: &Entry| {
        format!(
            "{} (ours {:#x}, r8169's {:#x})",
            entry.register, entry.ours, entry.theirs
        )
    };
    let new: Vec<String> = found
        .iter()
        .filter(|entry| !explained.contains(entry))
        .map(describe)
        .collect();
    require!(
        new.is_empty(),
        "registers differ without an explanation: {}",
        new.join(", ")
    );
    let old: Vec<String> = explained
        .iter()
        .filter(|entry| entry.chip == chip && !found.contains(entry))
        .map(describe)
        .collect();
    require!(
        old.is_empty(),
        "differences are explained that there are no longer: {}",
        old.join(", ")
    );
    Ok(found.len())
}

#[cfg(test)]
mod tests {
    use rtl8111b_control::{Hex, Phy};

    use super::*;

    fn registers(pairs: &[(&str, u32)]) -> Snapshot {
        let pairs = pairs.iter().map(|&(name, value)| (name.to_owned(), value));
        pairs.collect()
    }

    #[test]
    fn a_snapshot_leaves_out_what_two_runs_never_share() {
        let register = |name: &str, value| (name.to_owned(), Hex(value));
        let state = State {
            incidental: vec!["Timer".to_owned()],
            registers: [register("Timer", 0x12), register("ChipCmd", 0xc)].into(),
            phy: Phy {
                registers: vec![Hex(0x1140)],
                ..Phy::default()
            },
            ..State::default()
        };
        let expected = registers(&[("ChipCmd", 0xc), ("MII0", 0x1140)]);
        assert_eq!(snapshot(&state), expected);
    }

    #[test]
    fn a_difference_is_explained_or_fails() {
        let ours = registers(&[("ChipCmd", 0xc), ("IntrMask", 0x2f)]);
        let theirs = registers(&[("ChipCmd", 0xc), ("IntrMask", 0x6f)]);
        let explained = [entry("b300 IntrMask 0x2f 0x6f because").unwrap()];
        let judge = |chip, theirs, explained| judge(chip, &ours, theirs, explained);
        assert_eq!(judge(Chip::B300, &theirs, &explained).unwrap(), 1);
        let error = judge(Chip::B380, &theirs, &explained).unwrap_err();
        assert_eq!(
            error.to_string(),
            "registers differ without an explanation: IntrMask (ours 0x2f, r8169's 0x6f)"
        );
        let error = judge(Chip::B300, &ours, &explained).unwrap_err();
        assert!(error.to_string().contains("no longer"), "{error}");
        assert_eq!(judge(Chip::B380, &ours, &explained).unwrap(), 0);
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# comment\n\nb300 IntrMask 0x2f 0x6f\n").unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
        fs::write(file.path(), "b300 IntrMask 0x2f 0x6f because\n").unwrap();
        assert_eq!(read(file.path()).unwrap().len(), 1);
    }
}
