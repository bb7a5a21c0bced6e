//! Witnesses: drivers that other people wrote and proved on cards, and ours, on the same emulated chip.
//!
//! Each goes the same [`course`]; what the registers hold once the interface is open is compared between
//! ours and the kernel's own ([`registers`]); a [`table::Table`] tells what came of it.

pub mod course;
pub mod registers;
pub mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::bench::{Bench, Driver, Loaded, Setup};
use crate::ipxe::Netboot;
use crate::kernel::Kernel;
use crate::model::Chip;
use crate::{require, Error, Result};

use course::Course;
use registers::Snapshot;
use table::{Cell, Table};

/// What the witnesses need.
#[derive(Debug)]
pub struct Inputs {
    /// The kernel that ours and Realtek's driver are built for.
    pub kernel: Kernel,
    /// Debian 12's, whose r8169 still drives the B300.
    pub kernel61: Kernel,
    /// Our driver.
    pub ours: PathBuf,
    /// Realtek's driver.
    pub vendor: PathBuf,
    /// Its version.
    pub vendor_version: String,
    /// `ipxe.lkrn`.
    pub ipxe: PathBuf,
    /// iPXE's option ROM for another of Realtek's cards.
    pub rom: PathBuf,
    /// The device model.
    pub model: PathBuf,
    /// Which registers differ, and why.
    pub differences: PathBuf,
    /// Where initramfs images are kept.
    pub cache: PathBuf,
    /// Where those that fail leave their logs.
    pub artifacts: PathBuf,
}

/// The chips, in the order of the table's columns.
const CHIPS: [Chip; 2] = [Chip::B300, Chip::B380];

/// What a row of the table is about.
struct Witness<'a> {
    /// A short name without spaces.
    key: &'static str,
    title: String,
    kernel: &'a Kernel,
    driver: Driver,
    netboot: Option<Netboot<'a>>,
}

impl Witness<'_> {
    fn is_ours(&self) -> bool {
        matches!(self.driver, Driver::R8168Rust(_))
    }

    /// r8169 has given up the older chip some time after 6.1.
    fn must_refuse(&self, chip: Chip) -> bool {
        self.key == "r8169" && chip == Chip::B300
    }
}

impl Inputs {
    fn witnesses(&self) -> Vec<Witness<'_>> {
        let ours = Driver::R8168Rust(self.ours.clone());
        let of = |kernel: &Kernel, name: &str| format!("{name}, {}", kernel.version());
        let witness = |key, title, driver, netboot| Witness {
            key,
            title,
            kernel: &self.kernel,
            driver,
            netboot,
        };
        let vendor = format!("Realtek's r8168 {}", self.vendor_version);
        vec![
            witness("ours", of(&self.kernel, "ours"), ours.clone(), None),
            witness("r8169", of(&self.kernel, "r8169"), Driver::R8169, None),
            Witness {
                kernel: &self.kernel61,
                ..witness(
                    "r8169-6.1",
                    of(&self.kernel61, "r8169"),
                    Driver::R8169,
                    None,
                )
            },
            witness(
                "r8168",
                of(&self.kernel, &vendor),
                Driver::R8168(self.vendor.clone()),
                None,
            ),
            witness(
                "ipxe-rom",
                "iPXE as option ROM, then ours".to_owned(),
                ours.clone(),
                Some(Netboot::OptionRom(&self.rom)),
            ),
            witness(
                "ipxe-kernel",
                "iPXE as kernel, then ours".to_owned(),
                ours,
                Some(Netboot::Image(&self.ipxe)),
            ),
        ]
    }

    /// Lets all witnesses speak, or those whose names contain one of `names`; the comparison of registers
    /// is called `registers`. Tells about each as it comes.
    pub fn hear(&self, names: &[String]) -> Result<Table<{ CHIPS.len() }>> {
        let wanted = |key: &str| names.is_empty() || names.iter().any(|name| key.contains(name));
        let witnesses = self.witnesses();
        let keys = witnesses.iter().map(|witness| witness.key);
        for name in names {
            require!(
                keys.clone()
                    .chain(["registers"])
                    .any(|key| key.contains(name)),
                "no witness is called {name}; there are {}, registers",
                keys.collect::<Vec<_>>().join(", ")
            );
        }
        let explained = registers::read(&self.differences)?;
        let mut table = Table::new(CHIPS.map(Chip::name));
        let mut opened = Opened::default();
        for witness in &witnesses {
            let compared = wanted("registers") && opened.has_place_for(witness);
            let cells = CHIPS.map(|chip| {
                if !wanted(witness.key) && !compared {
                    return Cell::NotRun;
                }
                let start = Instant::now();
                let artifacts = self
                    .artifacts
                    .join(format!("{}-{}", witness.key, chip.name()));
                println!("{}, {}:", witness.title, chip.name());
                let heard = self.hear_one(witness, chip, &artifacts);
                let cell = heard.map_or_else(
                    |error| Cell::failed(&error, &artifacts),
                    |course| {
                        let cell = Cell::of(&course);
                        opened.keep(witness, chip, course.opened);
                        cell
                    },
                );
                println!(
                    "    {} ({:.0} s)",
                    cell.verdict(),
                    start.elapsed().as_secs_f64()
                );
                cell
            });
            table.add(&witness.title, cells);
        }
        if wanted("registers") {
            let cells = CHIPS.map(|chip| opened.compare(chip, &explained));
            table.add("registers once open, ours and r8169's", cells);
        }
        Ok(table)
    }

    fn hear_one(&self, witness: &Witness<'_>, chip: Chip, artifacts: &Path) -> Result<Course> {
        // Logs of an earlier run would be mistaken for this one's.
        if artifacts.exists() {
            std::fs::remove_dir_all(artifacts).map_err(Error::file(artifacts, "removing"))?;
        }
        let setup = Setup {
            netboot: witness.netboot,
            pcap: true,
            megabytes: 16,
            ..Setup::new(
                witness.kernel,
                &self.model,
                chip,
                witness.driver.clone(),
                &self.cache,
                artifacts,
            )
        };
        let course = if witness.must_refuse(chip) {
            refuses(&setup)
        } else {
            course::run(&setup, witness.is_ours())
        }?;
        std::fs::remove_dir_all(artifacts).map_err(Error::file(artifacts, "removing"))?;
        Ok(course)
    }
}

fn refuses(setup: &Setup<'_>) -> Result<Course> {
    let mut bench = Bench::start(setup)?;
    let loaded = bench.load()?;
    let messages = bench.driver_messages()?;
    let line = messages
        .iter()
        .find(|line| line.contains("unknown chip XID 300"));
    let Some(line) = line.filter(|_| loaded == Loaded::Refused) else {
        return Err(Error::Unmet(format!(
            "expected that it refuses XID 300, found {loaded:?}; the kernel says: {}",
            messages.join(" | ")
        )));
    };
    let refusal = format!("does not drive it any more: {line}");
    bench.finish()?;
    Ok(Course {
        refusal: Some(refusal),
        ..Course::default()
    })
}

/// What the registers held when ours, and the kernel's own, had opened the interface; by chip.
#[derive(Default)]
struct Opened {
    ours: [Option<Snapshot>; CHIPS.len()],
    theirs: [Option<Snapshot>; CHIPS.len()],
}

impl Opened {
    /// Each chip is compared with the last r8169 that was made for it.
    fn is_reference(witness: &Witness<'_>, chip: Chip) -> bool {
        witness.key
            == match chip {
                Chip::B300 => "r8169-6.1",
                Chip::B380 => "r8169",
            }
    }

    fn has_place_for(&self, witness: &Witness<'_>) -> bool {
        witness.key == "ours" || CHIPS.iter().any(|&chip| Self::is_reference(witness, chip))
    }

    fn keep(&mut self, witness: &Witness<'_>, chip: Chip, snapshot: Option<Snapshot>) {
        if witness.key == "ours" {
            self.ours[chip as usize] = snapshot;
        } else if Self::is_reference(witness, chip) {
            self.theirs[chip as usize] = snapshot;
        }
    }

    fn compare(&self, chip: Chip, explained: &[registers::Entry]) -> Cell {
        let index = chip as usize;
        let (Some(ours), Some(theirs)) = (&self.ours[index], &self.theirs[index]) else {
            return Cell::Failed("one of the two was not opened".to_owned());
        };
        match registers::judge(chip, ours, theirs, explained) {
            Ok(0) => Cell::passed("no difference"),
            Ok(count) => Cell::passed(&format!("{count} differences, all explained")),
            Err(error) => Cell::Failed(error.to_string()),
        }
    }
}
