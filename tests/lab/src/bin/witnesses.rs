// SPDX-License-Identifier: GPL-2.0

//! Lets every reference driver drive the emulated chips and prints the outcomes; see `make
//! test-witnesses`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use lab::ipxe::Uefi;
use lab::kernel::Kernel;
use lab::reference::Inputs;

/// Drivers that other people wrote, and ours, on the same emulated chips: a table, driver by chip.
///
/// To be run inside the toolbox, in a network namespace of its own.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The kernel's version, as in the name of its directory of modules
    #[arg(long, value_name = "VERSION")]
    kver: String,
    /// The directory in which its packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel_dir: PathBuf,
    /// The version of Debian 13's own kernel
    #[arg(long, value_name = "VERSION")]
    kver612: String,
    /// The directory in which its packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel612_dir: PathBuf,
    /// The version of Debian 12's kernel
    #[arg(long, value_name = "VERSION")]
    kver61: String,
    /// The directory in which its packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel61_dir: PathBuf,
    /// r8168_rust.ko
    #[arg(long, value_name = "FILE")]
    ours: PathBuf,
    /// Realtek's r8168.ko
    #[arg(long, value_name = "FILE")]
    vendor: PathBuf,
    /// Its version
    #[arg(long, value_name = "VERSION")]
    vendor_version: String,
    /// The directory with ipxe.lkrn, ipxe.efi and snponly.efi
    #[arg(long, value_name = "DIR")]
    ipxe: PathBuf,
    /// The directory that Debian's package ovmf is unpacked in
    #[arg(long, value_name = "DIR")]
    ovmf: PathBuf,
    /// iPXE's option ROM for another of Realtek's cards
    #[arg(long, value_name = "FILE")]
    rom: PathBuf,
    /// The same with iPXE's driver for UEFI
    #[arg(long, value_name = "FILE")]
    uefi_rom: PathBuf,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The registers that differ, and why
    #[arg(long, value_name = "FILE")]
    differences: PathBuf,
    /// The directory in which initramfs images are kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// The directory in which those that fail leave their logs
    #[arg(long, value_name = "DIR")]
    artifacts: PathBuf,
    /// Only those whose names contain one of these
    names: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("witnesses: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> lab::Result<bool> {
    let inputs = Inputs {
        kernel: Kernel::find(&cli.kernel_dir, &cli.kver)?,
        kernel612: Kernel::find(&cli.kernel612_dir, &cli.kver612)?,
        kernel61: Kernel::find(&cli.kernel61_dir, &cli.kver61)?,
        ours: cli.ours,
        vendor: cli.vendor,
        vendor_version: cli.vendor_version,
        ipxe: cli.ipxe,
        rom: cli.rom,
        uefi_rom: cli.uefi_rom,
        uefi: Uefi::in_package(&cli.ovmf),
        model: cli.model,
        differences: cli.differences,
        cache: cli.cache,
        artifacts: cli.artifacts,
    };
    let table = inputs.run(&cli.names)?;
    print!("\n{}", table.render());
    Ok(table.passed())
}
