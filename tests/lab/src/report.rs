// SPDX-License-Identifier: GPL-2.0

//! The findings of a run, for a person to read.

use std::fmt;

use crate::drive::Transfer;
use crate::model::Counters;

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All checks passed.
    Passed,
    /// The driver refused the chip, as it must; this is the message it did it with.
    Refused(String),
    /// A check failed.
    Failed(String),
}

/// The findings of a run in the order in which they were made.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<(&'static str, String)>,
}

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, label: &'static str, value: impl fmt::Display) {
        self.findings.push((label, value.to_string()));
    }

    /// Adds a verified transfer.
    pub fn add_transfer(&mut self, label: &'static str, transfer: &Transfer) {
        self.add(
            label,
            format_args!(
                "{:.0} MiB in {:.1} s, {:.0} Mbit/s, SHA-256 equal on both ends ({}...)",
                transfer.mib(),
                transfer.seconds,
                transfer.mbit_per_s(),
                &transfer.body.sha256[..12]
            ),
        );
    }

    /// Adds what the driver's accesses to the device cost a transfer.
    pub fn add_cost(&mut self, label: &'static str, transfer: &Transfer) {
        let Some(counters) = &transfer.counters else {
            return;
        };
        let per_mib = |count: u64| count as f64 / transfer.mib();
        self.add(
            label,
            format_args!(
                "{:.1} reads, {:.1} writes, {:.1} interrupts a MiB",
                per_mib(counters.mmio_reads),
                per_mib(counters.mmio_writes),
                per_mib(counters.interrupts_raised)
            ),
        );
    }

    /// Adds the CPU time that the device model takes for one large frame, each way.
    pub fn add_model_cpu(&mut self, fetched: &Transfer, sent: &Transfer) {
        let (Some(fetched), Some(sent)) = (fetched.model_cpu(), sent.model_cpu()) else {
            return;
        };
        self.add(
            "device model, CPU",
            format_args!("{fetched:.1} us a frame fetched, {sent:.1} us a frame sent"),
        );
    }

    /// Adds the totals of the device model.
    pub fn add_totals(&mut self, counters: &Counters) {
        self.add(
            "MMIO, total",
            format_args!(
                "{} reads, {} writes",
                counters.mmio_reads, counters.mmio_writes
            ),
        );
        self.add(
            "interrupts",
            format_args!(
                "{} raised; IntrStatus was zero in {} reads",
                counters.interrupts_raised, counters.interrupts_spurious
            ),
        );
        self.add(
            "device model",
            format_args!(
                "{} violations, {} DMA faults, {} frames dropped",
                counters.violations, counters.dma_faults, counters.rx_dropped
            ),
        );
    }

    /// The whole report under a headline with the end of the run.
    pub fn render(&self, driver: &str, outcome: &Outcome) -> String {
        let headline = match outcome {
            Outcome::Passed => format!("{driver}: all checks passed"),
            Outcome::Refused(line) => {
                format!("{driver} refuses this chip, as expected: {line}")
            }
            Outcome::Failed(why) => format!("{driver}: FAILED: {why}"),
        };
        let rule = "-".repeat(72);
        let width = self.findings.iter().map(|(label, _)| label.len()).max();
        let width = width.unwrap_or(0);
        let mut text = format!("{rule}\n");
        for (label, value) in &self.findings {
            text.push_str(&format!("{label:width$}  {value}\n"));
        }
        text.push_str(&format!("{rule}\n{headline}\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_ends_with_how_it_ended() {
        let mut report = Report::default();
        report.add("kernel", "7.3.4");
        report.add("ping", "fine");
        let text = report.render("r8169", &Outcome::Passed);
        assert!(text.contains("\nkernel  7.3.4\nping    fine\n"), "{text}");
        assert!(text.ends_with("\nr8169: all checks passed\n"), "{text}");
        let text = report.render("r8169", &Outcome::Failed("no carrier".to_owned()));
        assert!(text.ends_with("\nr8169: FAILED: no carrier\n"), "{text}");
    }
}
