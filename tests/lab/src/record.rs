// SPDX-License-Identifier: GPL-2.0

//! The figures of a run, for programs: `scripts/bench` reads it.

use std::path::Path;
use std::time::Instant;

use serde_json::{json, Map, Value};

use crate::bench::Bench;
use crate::drive::Transfer;
use crate::model::Counters;
use crate::{Error, Result};

/// The figures of a run by name, and what the device had counted at its last step.
#[derive(Debug)]
pub struct Record {
    figures: Map<String, Value>,
    before: Option<Counters>,
    since: Instant,
}

impl Record {
    /// Begins the first step.
    pub fn new(bench: &mut Bench) -> Result<Self> {
        Ok(Self {
            figures: Map::new(),
            before: bench.counters()?,
            since: Instant::now(),
        })
    }

    /// Ends a step: adds under its name what it cost, and begins the next.
    pub fn step(&mut self, bench: &mut Bench, name: &str) -> Result<()> {
        let after = bench.counters()?;
        let counted = after.clone().zip(self.before.take());
        let mut step = accesses(counted.map(|(after, before)| after.since(&before)).as_ref());
        step.insert("seconds".into(), self.since.elapsed().as_secs_f64().into());
        self.figures.insert(name.into(), step.into());
        self.before = after;
        self.since = Instant::now();
        Ok(())
    }

    /// Adds a verified transfer.
    pub fn transfer(&mut self, name: &str, transfer: &Transfer) {
        let mut figures = accesses(transfer.counters.as_ref());
        figures.insert("mib".into(), transfer.mib().into());
        figures.insert("seconds".into(), transfer.seconds.into());
        figures.insert("frames".into(), transfer.frames().into());
        if let Some(microseconds) = transfer.model_cpu() {
            figures.insert("model_us_a_frame".into(), microseconds.into());
        }
        self.figures.insert(name.into(), figures.into());
    }

    /// Adds a figure.
    pub fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.into(), value.into());
    }

    /// Writes all figures, as one JSON object.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = json!(self.figures).to_string();
        std::fs::write(path, text).map_err(Error::file(path, "writing the figures"))
    }
}

/// The accesses of the driver and the interrupts of the device; none for a device that does not
/// count.
fn accesses(counters: Option<&Counters>) -> Map<String, Value> {
    let mut figures = Map::new();
    if let Some(counters) = counters {
        for (name, value) in [
            ("mmio_reads", counters.mmio_reads),
            ("mmio_writes", counters.mmio_writes),
            ("interrupts", counters.interrupts_raised),
        ] {
            figures.insert(name.into(), value.into());
        }
    }
    figures
}
