// SPDX-License-Identifier: GPL-2.0

//! `lab disk`: a machine without a network card, for a script.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use lab::disk;
use lab::ipxe::Uefi;

use crate::existing;

#[derive(Debug, Args)]
pub(crate) struct DiskOptions {
    /// The disk that it boots from, a raw image
    #[arg(long, value_name = "FILE")]
    disk: PathBuf,
    /// The file of the firmware's code, which is built for Secure Boot
    #[arg(long, value_name = "FILE")]
    firmware: PathBuf,
    /// The file of its variables, which is written to
    #[arg(long, value_name = "FILE")]
    variables: PathBuf,
    /// Main memory
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// The file that the console is written to, in place of this program's input and output
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,
}

/// Becomes QEMU; returns only if it cannot.
pub(crate) fn run(options: &DiskOptions) -> Result<bool> {
    existing(&options.disk, "--disk", "an image is expected")?;
    existing(&options.firmware, "--firmware", "ovmf has it")?;
    existing(&options.variables, "--variables", "make a copy of ovmf's")?;
    let mut command = disk::command(&disk::Options {
        firmware: &Uefi {
            code: options.firmware.clone(),
            variables: options.variables.clone(),
        },
        disk: &options.disk,
        memory_mib: options.memory,
        console: options.console.as_deref(),
    })?;
    Err(command.exec()).context("starting QEMU")
}
