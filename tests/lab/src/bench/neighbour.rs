// SPDX-License-Identifier: GPL-2.0

//! A bench whose card shares its interrupt line with a virtio-rng; see
//! [`crate::setup::Setup::neighbour`].

use std::fs;

use super::Bench;
use crate::{guest, Error, Result};

impl Bench {
    /// Has the card's neighbour interrupt some hundred times; its module `virtio_rng` must be
    /// loaded. Requires that `interface`, if there is one, is on the same line.
    pub fn interrupt_by_neighbour(&mut self, interface: Option<&str>) -> Result<()> {
        const LINE: &str = "grep virtio /proc/interrupts";
        let before = self.guest.check(LINE)?;
        self.guest.check(
            "for i in $(seq 200); do dd if=/dev/hwrng bs=64 count=1; done >/dev/null 2>&1",
        )?;
        let after = self.guest.check(LINE)?;
        let times = interrupts(&after).saturating_sub(interrupts(&before));
        crate::require!(
            times >= 200 && interface.is_none_or(|interface| after.contains(interface)),
            "the neighbour interrupted {times} times, expected 200 and {interface:?} on its line: {after}"
        );
        Ok(())
    }

    /// Requires that nothing was written to registers of the card while it was in D3, where they
    /// are out of reach; for a card with a neighbour.
    pub fn check_nothing_written_in_d3(&mut self) -> Result<()> {
        let writes = self.written_in_d3()?;
        crate::require!(
            writes.is_empty(),
            "the card was written to {} times while it was in D3, expected not once; QEMU says: {}",
            writes.len(),
            writes[0]
        );
        Ok(())
    }

    /// Requires that [`Bench::check_nothing_written_in_d3`] sees a write: puts a card without a
    /// driver into D3, and writes to IntrMask. After that it sees one forever.
    pub fn check_that_writes_in_d3_show(&mut self) -> Result<()> {
        let before = self.written_in_d3()?.len();
        let bar = self.bar()?;
        // The capability of power management is at 0x40, its control word at 0x44.
        self.guest.check(&format!(
            "cd /sys/bus/pci/devices/{}; echo 1 >enable
            printf '\\003' | dd of=config bs=1 seek=68 count=1 conv=notrunc 2>/dev/null
            devmem {:#x} 16 0",
            self.device.address,
            bar + 0x3c
        ))?;
        let written = self.written_in_d3()?.len() - before;
        crate::require!(
            written == 1,
            "of a write to the card in D3 {written} are seen, expected one"
        );
        Ok(())
    }

    /// Returns where the card's registers are, by its BAR 2.
    fn bar(&mut self) -> Result<u64> {
        let resource = format!("/sys/bus/pci/devices/{}/resource", self.device.address);
        let bar = self.guest.check(&format!("sed -n 3p {resource}"))?;
        let bar = bar.split_whitespace().next().and_then(parse_hex);
        bar.ok_or_else(|| Error::Unmet(format!("found no BAR 2 in {resource}")))
    }

    /// Returns QEMU's lines about writes to registers of the card that were out of reach.
    fn written_in_d3(&mut self) -> Result<Vec<String>> {
        let path = self.guest.log(guest::INVALID);
        let bar = self.bar()?;
        let log = fs::read_to_string(&path).map_err(Error::file(&path, "reading"))?;
        let writes = log.lines().filter(|line| {
            let at = line.split_once("write at addr ").map(|(_, rest)| rest);
            let at = at
                .and_then(|rest| rest.split(',').next())
                .and_then(parse_hex);
            at.is_some_and(|at| (bar..bar + 0x1000).contains(&at))
        });
        Ok(writes.map(str::to_owned).collect())
    }
}

fn parse_hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// Returns how often an interrupt came, by its line in `/proc/interrupts`.
fn interrupts(line: &str) -> u64 {
    let numbers = line.split_whitespace().skip(1).map(str::parse::<u64>);
    numbers.map_while(std::result::Result::ok).sum()
}
