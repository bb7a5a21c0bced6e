// SPDX-License-Identifier: GPL-2.0

//! Reference drivers, which other people wrote and proved on cards, and ours, on the same emulated
//! chip.
//!
//! Each goes through the same [`scenario`]; the registers after the interface was opened are
//! compared between ours and the kernel's own ([`registers`]); a [`table::Table`] shows the
//! outcomes.

pub mod registers;
pub mod scenario;
pub mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bare::{self, Machine};
use crate::bench::{Bench, Loaded};
use crate::ipxe::{Netboot, Uefi};
use crate::kernel::Kernel;
use crate::model::Chip;
use crate::setup::{Driver, Setup};
use crate::{require, Error, Result};

use registers::Snapshot;
use scenario::Outcome;
use table::{Cell, Table};

/// The inputs of the reference drivers' runs.
#[derive(Debug)]
pub struct Inputs {
    /// The kernel that ours and Realtek's driver are built for.
    pub kernel: Kernel,
    /// Debian 13's own.
    pub kernel612: Kernel,
    /// Debian 12's, whose r8169 still drives the B300.
    pub kernel61: Kernel,
    /// Our driver.
    pub ours: PathBuf,
    /// Realtek's driver.
    pub vendor: PathBuf,
    /// Its version.
    pub vendor_version: String,
    /// The directory with `ipxe.lkrn`, `ipxe.efi` and `snponly.efi`.
    pub ipxe: PathBuf,
    /// iPXE's option ROM for another of Realtek's cards.
    pub rom: PathBuf,
    /// The same with iPXE's driver for UEFI.
    pub uefi_rom: PathBuf,
    /// EDK2.
    pub uefi: Uefi,
    /// The device model.
    pub model: PathBuf,
    /// The registers that differ, and why.
    pub differences: PathBuf,
    /// The directory in which initramfs images are kept.
    pub cache: PathBuf,
    /// The directory in which those that fail leave their logs.
    pub artifacts: PathBuf,
}

/// The chips, in the order of the table's columns.
const CHIPS: [Chip; 2] = [Chip::B300, Chip::B380];

/// The time that EDK2 may take until it has found that nothing boots the machine.
const SHELL: Duration = Duration::from_secs(180);

/// The driver of a row of the table.
struct Reference<'a> {
    /// A short name without spaces.
    key: &'static str,
    title: String,
    kernel: &'a Kernel,
    driver: Driver,
    boot: Boot<'a>,
}

/// The firmware or kernel that comes before the driver.
#[derive(Clone, Copy)]
enum Boot<'a> {
    /// Nothing that has to do with the card.
    Plain,
    /// The kernel comes over the card.
    Network(Netboot<'a>),
    /// The same, once for r8169, and after a reset of the machine once more.
    Again(Netboot<'a>),
    /// EDK2, and nothing comes after it.
    Firmware(&'a Uefi),
}

impl<'a> Boot<'a> {
    fn netboot(self) -> Option<Netboot<'a>> {
        match self {
            Boot::Network(netboot) | Boot::Again(netboot) => Some(netboot),
            Boot::Plain | Boot::Firmware(_) => None,
        }
    }
}

impl Reference<'_> {
    fn is_ours(&self) -> bool {
        matches!(self.driver, Driver::R8168Rust(_))
    }

    /// r8169 has given up the older chip some time between 6.1 and 6.12.
    fn must_refuse(&self, chip: Chip) -> bool {
        ["r8169", "r8169-6.12"].contains(&self.key) && chip == Chip::B300
    }
}

/// The files of iPXE's package.
struct Images {
    kernel: PathBuf,
    application: PathBuf,
    without_drivers: PathBuf,
}

impl Images {
    fn in_directory(dir: &Path) -> Self {
        Self {
            kernel: dir.join("ipxe.lkrn"),
            application: dir.join("ipxe.efi"),
            without_drivers: dir.join("snponly.efi"),
        }
    }
}

impl Inputs {
    fn references<'a>(&'a self, images: &'a Images) -> Vec<Reference<'a>> {
        let ours = Driver::R8168Rust(self.ours.clone());
        let of = |kernel: &Kernel, name: &str| format!("{name}, {}", kernel.version());
        let uefi = &self.uefi;
        let r8169 = |key, kernel| Reference {
            key,
            title: of(kernel, "r8169"),
            kernel,
            driver: Driver::R8169,
            boot: Boot::Plain,
        };
        let reference = |key, title: String, driver: &Driver, boot| Reference {
            key,
            title,
            kernel: &self.kernel,
            driver: driver.clone(),
            boot,
        };
        let over = |key, title: &str, netboot| {
            let title = format!("{title}, then ours");
            reference(key, title, &ours, Boot::Network(netboot))
        };
        let vendor = Driver::R8168(self.vendor.clone());
        let vendor_title = format!("Realtek's r8168 {}", self.vendor_version);
        vec![
            reference("ours", of(&self.kernel, "ours"), &ours, Boot::Plain),
            r8169("r8169", &self.kernel),
            r8169("r8169-6.12", &self.kernel612),
            r8169("r8169-6.1", &self.kernel61),
            reference(
                "r8168",
                of(&self.kernel, &vendor_title),
                &vendor,
                Boot::Plain,
            ),
            over(
                "ipxe-rom",
                "iPXE as option ROM",
                Netboot::OptionRom(&self.rom),
            ),
            over(
                "ipxe-kernel",
                "iPXE as kernel",
                Netboot::Image(&images.kernel),
            ),
            over(
                "ipxe-uefi",
                "iPXE as UEFI application",
                Netboot::Application {
                    uefi,
                    image: &images.application,
                },
            ),
            over(
                "edk2",
                "EDK2's PXE on iPXE's driver",
                Netboot::Edk2 {
                    uefi,
                    rom: &self.uefi_rom,
                    image: &images.without_drivers,
                },
            ),
            reference(
                "edk2-alone",
                "EDK2 without iPXE's driver".to_owned(),
                &ours,
                Boot::Firmware(uefi),
            ),
            reference(
                "reboot",
                "r8169, reset, iPXE as option ROM, then ours".to_owned(),
                &ours,
                Boot::Again(Netboot::OptionRom(&self.rom)),
            ),
        ]
    }

    /// Runs all drivers, or those whose names contain one of `names`; the comparison of registers
    /// is called `registers`. Reports each as it comes.
    pub fn run(&self, names: &[String]) -> Result<Table<{ CHIPS.len() }>> {
        let wanted = |key: &str| names.is_empty() || names.iter().any(|name| key.contains(name));
        let images = Images::in_directory(&self.ipxe);
        let references = self.references(&images);
        let keys = references.iter().map(|reference| reference.key);
        for name in names {
            require!(
                keys.clone()
                    .chain(["registers"])
                    .any(|key| key.contains(name)),
                "no driver is called {name}; there are {}, registers",
                keys.collect::<Vec<_>>().join(", ")
            );
        }
        let explained = registers::read(&self.differences)?;
        let mut table = Table::new(CHIPS.map(Chip::name));
        let mut opened = Opened::default();
        for reference in &references {
            let compared = wanted("registers") && opened.has_place_for(reference);
            let cells = CHIPS.map(|chip| {
                if !wanted(reference.key) && !compared {
                    return Cell::NotRun;
                }
                let start = Instant::now();
                let artifacts = self
                    .artifacts
                    .join(format!("{}-{}", reference.key, chip.name()));
                println!("{}, {}:", reference.title, chip.name());
                let run = self.run_one(reference, chip, &artifacts);
                let cell = run.map_or_else(
                    |error| Cell::failed(&error, &artifacts),
                    |outcome| {
                        let cell = Cell::of(&outcome);
                        opened.keep(reference, chip, outcome.opened);
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
            table.add(&reference.title, cells);
        }
        if wanted("registers") {
            let cells = CHIPS.map(|chip| opened.compare(chip, &explained));
            table.add("registers once open, ours and r8169's", cells);
        }
        Ok(table)
    }

    fn run_one(&self, reference: &Reference<'_>, chip: Chip, artifacts: &Path) -> Result<Outcome> {
        // Logs of an earlier run would be mistaken for this one's.
        if artifacts.exists() {
            std::fs::remove_dir_all(artifacts).map_err(Error::file(artifacts, "removing"))?;
        }
        let setup = Setup {
            netboot: reference.boot.netboot(),
            pcap: true,
            megabytes: 16,
            ..Setup::new(
                reference.kernel,
                &self.model,
                chip,
                reference.driver.clone(),
                &self.cache,
                artifacts,
            )
        };
        let outcome = match reference.boot {
            Boot::Firmware(uefi) => self.leaves_alone(uefi, chip, artifacts),
            Boot::Again(_) => {
                let r8169 = Setup {
                    kernel: self.reference(chip),
                    driver: Driver::R8169,
                    resets: true,
                    ..setup.clone()
                };
                scenario::run_after(&r8169, &setup)
            }
            _ if reference.must_refuse(chip) => refuses(&setup),
            _ => scenario::run(&setup, reference.is_ours()),
        }?;
        std::fs::remove_dir_all(artifacts).map_err(Error::file(artifacts, "removing"))?;
        Ok(outcome)
    }
}

impl Inputs {
    /// The last kernel whose r8169 was made for that chip.
    fn reference(&self, chip: Chip) -> &Kernel {
        match chip {
            Chip::B300 => &self.kernel61,
            Chip::B380 => &self.kernel,
        }
    }

    /// Requires that the firmware by itself accesses no register of the card, and boots nothing.
    fn leaves_alone(&self, uefi: &Uefi, chip: Chip, artifacts: &Path) -> Result<Outcome> {
        let mut machine = Machine::start(&bare::Options {
            model: &self.model,
            chip,
            memory: crate::machine::SHARED,
            rom: None,
            uefi: Some(uefi),
            artifacts,
        })?;
        machine.wait_console("Shell>", SHELL)?;
        let counters = machine.model.counters()?;
        require!(
            counters.mmio_reads + counters.mmio_writes == 0,
            "EDK2 accessed {} registers of the card, expected none: it has a driver",
            counters.mmio_reads + counters.mmio_writes
        );
        machine.stop()?;
        Ok(Outcome {
            refusal: Some("has no driver of the card, and boots to its shell".to_owned()),
            ..Outcome::default()
        })
    }
}

fn refuses(setup: &Setup<'_>) -> Result<Outcome> {
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
    Ok(Outcome {
        refusal: Some(refusal),
        ..Outcome::default()
    })
}

/// The registers after ours, and after the kernel's own, had opened the interface; by chip.
#[derive(Default)]
struct Opened {
    ours: [Option<Snapshot>; CHIPS.len()],
    theirs: [Option<Snapshot>; CHIPS.len()],
}

impl Opened {
    /// Each chip is compared with the last r8169 that was made for it.
    fn is_reference(reference: &Reference<'_>, chip: Chip) -> bool {
        reference.key
            == match chip {
                Chip::B300 => "r8169-6.1",
                Chip::B380 => "r8169",
            }
    }

    fn has_place_for(&self, reference: &Reference<'_>) -> bool {
        reference.key == "ours"
            || CHIPS
                .iter()
                .any(|&chip| Self::is_reference(reference, chip))
    }

    fn keep(&mut self, reference: &Reference<'_>, chip: Chip, snapshot: Option<Snapshot>) {
        if reference.key == "ours" {
            self.ours[chip as usize] = snapshot;
        } else if Self::is_reference(reference, chip) {
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
