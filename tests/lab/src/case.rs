// SPDX-License-Identifier: GPL-2.0

//! A guest test: its inputs, its turn, and the logs that it leaves when it fails.
//!
//! [`crate::guest_test`] makes the tests; a [`Case`] is what one of them is run with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::kernel::Kernel;
use crate::model::Chip;
use crate::setup::{Driver, Network, Setup};
use crate::{process, require, Error, Result};

/// The number of guests that run now. Most of a test is one CPU of a guest booting or waiting: two
/// cores carry two.
static GUESTS: Mutex<usize> = Mutex::new(0);
static GUEST_LEFT: Condvar = Condvar::new();
const MOST_GUESTS: usize = 2;

/// The right to have a guest running.
struct Turn(usize);

impl Turn {
    /// Waits for `share` of [`MOST_GUESTS`].
    fn take(share: usize) -> Self {
        let guests = GUESTS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guests = GUEST_LEFT
            .wait_while(guests, |guests| *guests + share > MOST_GUESTS)
            .unwrap_or_else(PoisonError::into_inner);
        *guests += share;
        Self(share)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *GUESTS.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        GUEST_LEFT.notify_all();
    }
}

/// The inputs of the tests.
///
/// | variable | what |
/// |---|---|
/// | `LAB_MODEL` | the device model, `rtl8111b` |
/// | `LAB_MODULE` | `r8168_rust.ko`, built for `LAB_KVER` |
/// | `LAB_EXAMPLE` | `edu_net.ko`, the example for rust/net, built for `LAB_KVER` |
/// | `LAB_KERNEL_DIR`, `LAB_KVER` | the stock kernel to test on |
/// | `LAB_KERNEL61_DIR`, `LAB_KVER61` | Debian 12's kernel, whose r8169 drives the B300 |
/// | `LAB_MODULE_OLDER`, `LAB_KERNEL_OLDER_DIR`, `LAB_KVER_OLDER` | the same for an older series of kernels |
/// | `LAB_MODULE_OLDEST`, `LAB_KERNEL_OLDEST_DIR`, `LAB_KVER_OLDEST` | the same for the oldest series |
/// | `LAB_KERNEL61_MISSING`, `LAB_KERNEL_OLDER_MISSING`, `LAB_KERNEL_OLDEST_MISSING` | why that kernel could not be fetched; tests that need it are skipped |
/// | `LAB_PLUGIN` | the plugin of QEMU that counts instructions, `count.so` |
/// | `LAB_CACHE` | where initramfs images are kept |
/// | `LAB_STORMS`, `LAB_REMOVALS`, `LAB_CHANGES`, `LAB_UNPLUGS` | how often tests reopen, reinsert, resize and unplug; may be unset |
/// | `LAB_PRESSURE` | how long memory is short, in seconds; may be unset |
/// | `LAB_ARTIFACTS` | where failed tests leave their logs |
#[derive(Debug, Clone)]
pub struct Inputs {
    cache: PathBuf,
    /// The program `guest-echo`.
    echo: PathBuf,
    /// The directory in which this test leaves its logs.
    pub artifacts: PathBuf,
}

/// A kernel of the inputs.
#[derive(Debug, Clone, Copy)]
pub enum Series {
    /// The kernel under test.
    Tested,
    /// One of a series between the oldest and the newest, and our driver built for it.
    Older,
    /// One of the oldest series that the module is built for, and our driver built for it.
    Oldest,
    /// Debian 12's, which our driver is not built for.
    Debian12,
}

/// The driver that a test is of.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    /// Ours.
    Ours,
    /// The kernel's own.
    R8169,
}

fn variable(name: &str) -> Result<String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(Error::Input(format!(
            "{name} is not set: run the tests by `make test`"
        ))),
    }
}

/// The file that a variable names.
pub fn file(name: &str) -> Result<PathBuf> {
    let path = PathBuf::from(variable(name)?);
    require!(path.is_file(), "{name}: found no file {}", path.display());
    Ok(path)
}

/// Fails with [`Error::Unavailable`] if the variable has a reason why an input is missing.
fn available(name: &str) -> Result<()> {
    match std::env::var(name) {
        Ok(reason) if !reason.is_empty() => Err(Error::Unavailable(reason)),
        _ => Ok(()),
    }
}

/// Notes a skipped test for the summary of `make test`, in the file that `R8168_SKIPS` names.
fn note_skip(name: &str, reason: &str) -> Result<()> {
    println!("SKIPPED {name}: {reason}");
    let Some(path) = std::env::var_os("R8168_SKIPS").map(PathBuf::from) else {
        return Ok(());
    };
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{name}: {reason}"))
        .map_err(Error::file(&path, "noting a skipped test"))
}

/// The number in a variable, or `default` if there is none.
pub fn count(name: &str, default: u32) -> Result<u32> {
    match std::env::var(name).ok().filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(Error::Input(format!(
                "{name} is {value:?}, expected a number above 0"
            ))),
        },
    }
}

/// Says how far a long test is, ten times in all.
pub fn progress(what: &str, time: u32, times: u32) {
    let tenths = |time: u32| time * 10 / times;
    if tenths(time) > tenths(time - 1) {
        println!("  {time} of {times} {what}");
    }
}

impl Inputs {
    /// The kernel under test.
    pub fn kernel(&self) -> Result<Kernel> {
        let dir = PathBuf::from(variable("LAB_KERNEL_DIR")?);
        Kernel::find(&dir, &variable("LAB_KVER")?)
    }

    /// A kernel, and our driver built for it, if it is.
    fn series(&self, series: Series) -> Result<(Kernel, Result<Driver>)> {
        let (kernel, name) = match series {
            Series::Tested => return Ok((self.kernel()?, self.ours())),
            Series::Older => ("KERNEL_OLDER", "KVER_OLDER"),
            Series::Oldest => ("KERNEL_OLDEST", "KVER_OLDEST"),
            Series::Debian12 => ("KERNEL61", "KVER61"),
        };
        available(&format!("LAB_{kernel}_MISSING"))?;
        let dir = PathBuf::from(variable(&format!("LAB_{kernel}_DIR"))?);
        let module = name.replace("KVER", "LAB_MODULE");
        let kernel = Kernel::find(&dir, &variable(&format!("LAB_{name}"))?)?;
        Ok((kernel, file(&module).map(Driver::R8168Rust)))
    }

    /// The device model.
    pub fn model(&self) -> Result<PathBuf> {
        file("LAB_MODEL")
    }

    /// Our driver.
    pub fn ours(&self) -> Result<Driver> {
        file("LAB_MODULE").map(Driver::R8168Rust)
    }

    /// The example for rust/net.
    pub fn example(&self) -> Result<Driver> {
        file("LAB_EXAMPLE").map(Driver::Edu)
    }

    /// The case of a kernel, a chip and a driver.
    pub fn case(&self, kernel: Kernel, chip: Chip, driver: Driver) -> Result<Case> {
        let model = match driver {
            Driver::E1000e => PathBuf::new(),
            _ => self.model()?,
        };
        Ok(Case {
            inputs: self.clone(),
            kernel,
            model,
            chip,
            driver,
            memory_mib: 0,
        })
    }

    /// The case that a test of [`crate::guest_test`] is of.
    pub fn variant(&self, series: Series, of: Of, chip: Chip, memory_mib: u32) -> Result<Case> {
        let (kernel, ours) = self.series(series)?;
        let driver = match of {
            Of::Ours => ours?,
            Of::R8169 => Driver::R8169,
        };
        Ok(Case {
            memory_mib,
            ..self.case(kernel, chip, driver)?
        })
    }
}

/// The kernel, chip and driver that a guest test is run with.
#[derive(Debug, Clone)]
pub struct Case {
    /// The inputs, which all cases of a test share.
    pub inputs: Inputs,
    /// The kernel that the guest boots.
    pub kernel: Kernel,
    /// The chip.
    pub chip: Chip,
    /// The driver.
    pub driver: Driver,
    model: PathBuf,
    memory_mib: u32,
}

impl Case {
    /// The same on another chip.
    pub fn on(&self, chip: Chip) -> Self {
        Self {
            chip,
            ..self.clone()
        }
    }

    /// The same with another driver.
    pub fn with(&self, driver: Driver) -> Self {
        Self {
            driver,
            ..self.clone()
        }
    }

    /// Returns whether the driver is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self.driver, Driver::R8168Rust(_))
    }

    /// The usual set-up for tests, with `passt` at the far end of the wire and a short transfer.
    pub fn setup(&self) -> Setup<'_> {
        Setup {
            pcap: true,
            megabytes: 16,
            more_memory_mib: self.memory_mib,
            ..Setup::new(
                &self.kernel,
                &self.model,
                self.chip,
                self.driver.clone(),
                &self.inputs.cache,
                &self.inputs.artifacts,
            )
        }
    }

    /// The same with `guest-echo` in the guest, for what else that program does.
    pub fn with_echo(&self) -> Setup<'_> {
        Setup {
            echo: Some(&self.inputs.echo),
            ..self.setup()
        }
    }

    /// A set-up with the lab at the far end of the wire and the echo in the guest.
    pub fn frames(&self) -> Setup<'_> {
        Setup {
            network: Network::Frames,
            megabytes: 1,
            ..self.with_echo()
        }
    }
}

/// Runs one test, `alone` or perhaps beside another; keeps its logs if it fails, and panics then.
pub fn run(name: &str, alone: bool, echo: &Path, body: impl FnOnce(&Inputs) -> Result<()>) {
    let _turn = Turn::take(if alone { MOST_GUESTS } else { 1 });
    let start = Instant::now();
    let outcome = inputs(name, echo).and_then(|inputs| {
        let outcome = body(&inputs);
        let artifacts = &inputs.artifacts;
        if outcome.is_ok() && artifacts.exists() {
            fs::remove_dir_all(artifacts).map_err(Error::file(artifacts, "removing"))?;
        } else if !matches!(outcome, Ok(()) | Err(Error::Unavailable(_))) {
            let console = process::tail(&artifacts.join("console.log"), 20);
            eprintln!("the end of the guest's console:\n{console}");
            eprintln!("console, logs and capture are in {}", artifacts.display());
        }
        outcome
    });
    let outcome = match outcome {
        Err(Error::Unavailable(reason)) => note_skip(name, &reason),
        outcome => outcome,
    };
    println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    if let Err(error) = outcome {
        panic!("{name}: {error}");
    }
}

fn inputs(name: &str, echo: &Path) -> Result<Inputs> {
    let cache = PathBuf::from(variable("LAB_CACHE")?);
    let artifacts = PathBuf::from(variable("LAB_ARTIFACTS")?).join(name);
    // Logs of an earlier run would be mistaken for this one's.
    if artifacts.exists() {
        fs::remove_dir_all(&artifacts).map_err(Error::file(&artifacts, "removing"))?;
    }
    Ok(Inputs {
        cache,
        echo: echo.to_path_buf(),
        artifacts,
    })
}
