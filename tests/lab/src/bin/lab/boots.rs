// SPDX-License-Identifier: GPL-2.0

//! `lab boots`: the same guest again and again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use lab::boots::{self, Ending, Machine};
use lab::kernel::Kernel;
use lab::model::Chip;

use crate::{existing, Progress};

#[derive(Debug, Args)]
pub(crate) struct BootOptions {
    /// The chip to emulate: b300 (XID 300) or b380 (XID 380)
    #[arg(long, default_value = "b300")]
    chip: Chip,
    /// The kernel's version, as in the name of its directory of modules
    #[arg(long, value_name = "VERSION")]
    kver: String,
    /// The directory in which the kernel's packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel_dir: PathBuf,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The directory in which the logs of boots that failed are kept
    #[arg(long, value_name = "DIR")]
    artifacts: PathBuf,
    /// The directory in which initramfs images are kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// The number of times that each machine is booted
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// The number of guests that run at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    guests: u16,
    /// Let each guest have only one of the host's processors, as on a busy host
    #[arg(long)]
    pin: bool,
    /// The most seconds that a boot may take
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Another machine, booted in turn with the lab's: NAME=QEMU-ARGUMENTS -- KERNEL-ARGUMENTS
    #[arg(long, value_name = "MACHINE", value_parser = Machine::parse)]
    also: Vec<Machine>,
}

pub(crate) fn run(options: &BootOptions) -> Result<bool> {
    existing(&options.model, "--model", "build the device model first")?;
    let kernel = Kernel::find(&options.kernel_dir, &options.kver)?;
    let mut machines = vec![Machine::of_the_lab()];
    machines.extend_from_slice(&options.also);
    let progress = Progress {
        start: Instant::now(),
    };
    progress.say(format_args!(
        "booting kernel {}, {} machine(s) {} times each, {} at once; a boot may take {} s",
        kernel.version(),
        machines.len(),
        options.count,
        options.guests,
        options.limit
    ));
    let total = machines.len() * usize::try_from(options.count)?;
    let done = AtomicUsize::new(0);
    let found = boots::run(
        &boots::Setup {
            kernel: &kernel,
            model: &options.model,
            chip: options.chip,
            machines: &machines,
            count: usize::try_from(options.count)?,
            guests: usize::from(options.guests),
            pin: options.pin,
            limit: Duration::from_secs(options.limit),
            cache: &options.cache,
            artifacts: &options.artifacts,
        },
        |boot| {
            let machine = &machines[boot.machine];
            let logs = boots::logs(&options.artifacts, machine, boot);
            let number = boot.number + 1;
            match &boot.ending {
                Ending::Init(_) => {}
                Ending::Hang => progress.say(format_args!(
                    "{}, boot {number}: hangs; its logs are in {}",
                    machine.name,
                    logs.display()
                )),
                Ending::Failure(why) => progress.say(format_args!(
                    "{}, boot {number}: {why}\nIts logs are in {}",
                    machine.name,
                    logs.display()
                )),
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done % 50 == 0 || done == total {
                progress.say(format_args!("{done} of {total} boots"));
            }
        },
    )?;
    print!("\n{}", boots::table(&machines, &found));
    Ok(found
        .iter()
        .filter(|boot| boot.machine == 0)
        .all(|boot| matches!(boot.ending, Ending::Init(_))))
}
