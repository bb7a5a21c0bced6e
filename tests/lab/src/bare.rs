// SPDX-License-Identifier: GPL-2.0

//! A machine without a kernel: the card, the firmware, and what the card's option ROM does by
//! itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::CONSOLE;
use crate::ipxe::{self, Uefi};
use crate::machine::{add_console, add_uefi, boot_by_rom, machine_of, model_device, NIC};
use crate::model::{self, Chip, Identity, Model, Wire, LOG};
use crate::process::{wait_for, Process};
use crate::{Error, Result};

/// Main memory.
const MEMORY_MIB: u32 = 512;

/// The settings with which it is started.
#[derive(Debug)]
pub struct Options<'a> {
    /// The device model's program.
    pub model: &'a Path,
    /// The chip.
    pub chip: Chip,
    /// The kind of memory, as QEMU's `-object` takes it, without name and size; usually
    /// [`crate::machine::SHARED`].
    pub memory: &'a str,
    /// iPXE as an option ROM, for a card of Realtek's.
    pub rom: Option<&'a Path>,
    /// UEFI in place of the BIOS.
    pub uefi: Option<&'a Uefi>,
    /// The directory in which the logs are written.
    pub artifacts: &'a Path,
}

/// A machine that is switched on.
#[derive(Debug)]
pub struct Machine {
    qemu: Process,
    /// The card, whose cable ends nowhere.
    pub model: Model,
    artifacts: PathBuf,
    // Last, so that it is removed after the programs that use it have ended.
    _sockets: tempfile::TempDir,
}

impl Machine {
    /// Switches it on.
    pub fn start(options: &Options<'_>) -> Result<Self> {
        let artifacts = options.artifacts;
        fs::create_dir_all(artifacts).map_err(Error::file(artifacts, "creating"))?;
        let sockets = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir()
            .map_err(Error::file(&std::env::temp_dir(), "making a directory"))?;
        let model = Model::start(&model::Options {
            program: options.model,
            chip: options.chip,
            xid: None,
            phy_id: None,
            wire: Wire::Spec("none"),
            identity: Identity::port(0),
            prompt_acks: true,
            pcap: false,
            snaplen: None,
            trace: false,
            drop_when_full: false,
            negotiation: None,
            command_time: None,
            artifacts,
            sockets: sockets.path(),
        })?;
        let mut command = machine_of(options.memory, MEMORY_MIB, 1)?;
        // Without graphics the firmware writes to the console.
        command.args(["-machine", "graphics=off", "-nic", "none"]);
        add_console(&mut command, &artifacts.join(CONSOLE));
        if let Some(uefi) = options.uefi {
            add_uefi(
                &mut command,
                &uefi.with_own_variables(sockets.path())?,
                false,
            );
        }
        let mut card = model_device(NIC, model.socket(), None);
        if let Some(rom) = options.rom {
            boot_by_rom(&mut card, &ipxe::option_rom(rom, sockets.path())?, 1);
        }
        command.args(["-device", &card.to_string()]);
        let qemu = Process::start("QEMU", &mut command, &artifacts.join("qemu.log"))?;
        Ok(Self {
            qemu,
            model,
            artifacts: artifacts.to_path_buf(),
            _sockets: sockets,
        })
    }

    /// Waits until the console shows `text`.
    pub fn wait_console(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait_in(CONSOLE, text, limit).map(drop)
    }

    /// Waits until the card's log has lines with `text`; returns them.
    pub fn wait_log(&mut self, text: &str, limit: Duration) -> Result<Vec<String>> {
        self.wait_in(LOG, text, limit)
    }

    fn wait_in(&mut self, name: &str, text: &str, limit: Duration) -> Result<Vec<String>> {
        let path = self.artifacts.join(name);
        wait_for(&format!("{text:?} in {name}"), limit, || {
            self.qemu.check_alive()?;
            self.model.check_alive()?;
            let written = fs::read(&path).unwrap_or_default();
            let written = String::from_utf8_lossy(&written);
            let lines = written.lines().filter(|line| line.contains(text));
            let lines: Vec<String> = lines.map(str::to_owned).collect();
            Ok((!lines.is_empty()).then_some(lines))
        })
    }

    /// Switches it off.
    pub fn stop(mut self) -> Result<()> {
        self.qemu.terminate(Duration::from_secs(20))?;
        self.model.stop()
    }
}
