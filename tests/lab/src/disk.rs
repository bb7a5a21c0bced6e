// SPDX-License-Identifier: GPL-2.0

//! A machine that boots from a disk by UEFI with Secure Boot and has no network card: `lab disk`,
//! for scripts/test-signing.

use std::path::Path;
use std::process::Command;

use crate::ipxe::Uefi;
use crate::machine::{add_console, add_uefi, machine, with_path};
use crate::Result;

/// The settings with which it is switched on.
#[derive(Debug)]
pub struct Options<'a> {
    /// The firmware, built for Secure Boot, and the machine's own variables.
    pub firmware: &'a Uefi,
    /// The disk, a raw image that the machine may not write to.
    pub disk: &'a Path,
    /// Main memory.
    pub memory_mib: u32,
    /// The file that the console is written to; without, it is this process's input and output.
    pub console: Option<&'a Path>,
}

/// Returns QEMU's command.
///
/// # Errors
///
/// If `LAB_ACCEL` is none of its values.
pub fn command(options: &Options<'_>) -> Result<Command> {
    let mut command = machine(options.memory_mib, 1)?;
    command.args(["-nic", "none"]);
    add_uefi(&mut command, options.firmware, true);
    match options.console {
        Some(file) => add_console(&mut command, file),
        None => {
            command.args(["-serial", "stdio"]);
        }
    }
    let drive = "if=none,id=disk,format=raw,readonly=on,file=";
    command.arg("-drive").arg(with_path(drive, options.disk));
    command.args(["-device", "virtio-blk-pci,drive=disk"]);
    Ok(command)
}
