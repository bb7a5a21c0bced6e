// SPDX-License-Identifier: GPL-2.0

//! Reports of a debug kernel: `scripts/debug-kernel` builds one.

use std::time::Duration;

use crate::guest::Guest;
use crate::{require, Error, Result};

/// A scan of all memory by kmemleak, on an emulated processor that checks every access.
const SCAN: Duration = Duration::from_secs(180);

/// Kmemleak leaves objects alone that are younger than five seconds.
const RIPE: u32 = 6;

/// Returns whether the guest's kernel is one of those.
pub fn is_watching(guest: &mut Guest) -> Result<bool> {
    let script = "test -e /sys/kernel/debug/kmemleak";
    Ok(guest.run(script)?.status == 0)
}

/// Requires that nothing has leaked, that every DMA mapping was used by the rules, and that the
/// checks were still at work: lockdep and the DMA checks end with their first report.
pub fn require_clean(guest: &mut Guest) -> Result<()> {
    let leaks = leaks(guest)?;
    require!(leaks.is_empty(), "kmemleak has found: {leaks}");
    let mut expect = |what: &str, script: &str, expected: &str| {
        let found = guest.check(script)?;
        require!(
            found == expected,
            "{what} is {found:?} at the end, expected {expected:?}"
        );
        Ok(())
    };
    expect(
        "debug_locks of lockdep",
        "sed -n 's/.*debug_locks: *//p' /proc/lockdep_stats",
        "1",
    )?;
    let dma = "/sys/kernel/debug/dma-api";
    expect(
        "the count of wrong uses of DMA",
        &format!("cat {dma}/error_count"),
        "0",
    )?;
    expect(
        "the switch that turns the checks of DMA off",
        &format!("cat {dma}/disabled"),
        "N",
    )
}

/// Returns kmemleak's report; empty if there is no leak.
///
/// A scan sees memory in motion, so what one finds must be found by the next as well; a pause
/// before it lets what was freed last come back from RCU.
pub fn leaks(guest: &mut Guest) -> Result<String> {
    let file = "/sys/kernel/debug/kmemleak";
    let script = format!(
        "sleep {RIPE}; echo scan >{file} && sleep {RIPE} && echo scan >{file} && cat {file}"
    );
    guest.check_within(&script, SCAN)
}

/// The checks of DMA, the first and the last function: with the first failure of their own
/// bookkeeping they end.
const SPARED: (&str, &str) = ("add_dma_entry", "debug_dma_sync_sg_for_device");

/// Failures of memory allocation, on purpose: `failslab` and `fail_page_alloc` together.
///
/// The kernel says nothing about them itself: whatever it says is about their effects.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The code that a call chain must pass through.
    code: (u64, u64),
}

impl Faults {
    /// Faults in allocations that `module`, which must be loaded, makes, itself or by what it
    /// calls.
    pub fn below(guest: &mut Guest, module: &str) -> Result<Self> {
        // More than its text, which is all of it that calls anything.
        let script = format!(
            "cat /sys/module/{module}/sections/.text; sed -n 's/^{module} \\([0-9]*\\) .*/\\1/p' /proc/modules"
        );
        let text = guest.check(&script)?;
        let mut words = text.split_whitespace();
        let start = words
            .next()
            .and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        let size = words.next().and_then(|word| word.parse::<u64>().ok());
        match start.zip(size) {
            Some((start, size)) => Ok(Self {
                code: (start, start.saturating_add(size)),
            }),
            None => Err(Error::Unmet(format!(
                "cannot read where {module} is loaded: {text:?}"
            ))),
        }
    }

    /// Faults in allocations that the kernel's function `name` causes.
    pub fn below_function(guest: &mut Guest, name: &str) -> Result<Self> {
        Ok(Self {
            code: function(guest, name)?,
        })
    }

    /// Arms them: each `interval`th allocation fails with a probability of `percent`, in every
    /// context if `everyone`, else only in tasks that ask for it (`/proc/self/make-it-fail`, or
    /// `fail-nth`).
    pub fn arm(
        &self,
        guest: &mut Guest,
        percent: u32,
        interval: u32,
        everyone: bool,
    ) -> Result<()> {
        let (start, end) = self.code;
        let filter = if everyone { 'N' } else { 'Y' };
        let (spare_start, _) = function(guest, SPARED.0)?;
        let (_, spare_end) = function(guest, SPARED.1)?;
        guest
            .check(&format!(
                "for kind in failslab fail_page_alloc; do
                cd /sys/kernel/debug/$kind || exit
                echo 0 >probability
                echo 0 >verbose; echo -1 >times; echo 0 >space
                echo {filter} >task-filter; echo {interval} >interval
                echo 32 >stacktrace-depth
                echo 0x{start:x} >require-start; echo 0x{end:x} >require-end
                echo 0x{spare_start:x} >reject-start; echo 0x{spare_end:x} >reject-end
                echo N >ignore-gfp-wait
                done
                echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
                for kind in failslab fail_page_alloc; do echo {percent} >/sys/kernel/debug/$kind/probability; done"
            ))
            .map(|_| ())
    }

    /// Disarms them.
    pub fn disarm(guest: &mut Guest) -> Result<()> {
        guest
            .check(
                "for kind in failslab fail_page_alloc; do echo 0 >/sys/kernel/debug/$kind/probability; done",
            )
            .map(|_| ())
    }
}

/// Keeps the PCI device at `address`, which no driver may have, switched on: then its interrupt is
/// not routed when it is probed or removed. When memory fails ACPI's interpreter, which does so,
/// Linux 7.3 goes on with an object that it has freed, and never routes again: no driver can do
/// anything about that.
pub fn keep_enabled(guest: &mut Guest, address: &str) -> Result<()> {
    guest
        .check(&format!("echo 1 >/sys/bus/pci/devices/{address}/enable"))
        .map(|_| ())
}

/// Returns where a function of the kernel is.
fn function(guest: &mut Guest, name: &str) -> Result<(u64, u64)> {
    let script = format!("grep -A1 ' {name}$' /proc/kallsyms");
    let text = guest.check(&script)?;
    let mut addresses = text
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok());
    match (addresses.next(), addresses.next()) {
        (Some(start), Some(end)) if start < end => Ok((start, end)),
        _ => Err(Error::Unmet(format!(
            "cannot read where {name} is: {text:?}"
        ))),
    }
}
