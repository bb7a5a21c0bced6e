// SPDX-License-Identifier: GPL-2.0

//! A node of a cluster: a machine whose only network card is the emulated chip, plugged into a wire
//! of another program's. It boots by the option ROM of its card, from its disk or from a stick, and
//! has no control channel; its console is a file, and there may be a screen and a keyboard.
//!
//! [`serve`] is `lab node`, by which a program in another language switches such machines on and
//! off.

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{json, Value};

use crate::guest::REGISTERS;
use crate::ipxe::{self, Uefi};
use crate::machine::{
    add_console, add_qmp, add_uefi, boot_by_rom, machine, model_device, with_path, NIC,
};
use crate::model::{self, Chip, Identity, Model};
use crate::process::Process;
use crate::qmp::Qmp;
use crate::{Error, Result};

/// The part of each frame that is kept, in bytes: the headers, and the beginning of what they
/// carry; about a tenth of the whole.
const SNAPLEN: u32 = 128;

/// The time that QEMU may take to end when it is asked to.
const OFF: Duration = Duration::from_secs(20);

/// The time for which a key is pressed, with some time to spare: QEMU releases it after 100 ms.
const KEY: Duration = Duration::from_millis(200);

/// The kind of drive that a stick is to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Slot {
    /// A disk on USB.
    Usb,
    /// A disc in a drive.
    Cd,
}

/// The settings with which a node is switched on.
#[derive(Debug)]
pub struct Options<'a> {
    /// Its name.
    pub name: &'a str,
    /// The address of its card.
    pub mac: &'a str,
    /// The wire of its card, as `rtl8111b serve --wire` takes it.
    pub wire: &'a str,
    /// The device model's program.
    pub model: &'a Path,
    /// iPXE as an option ROM, for a card of Realtek's.
    pub rom: &'a Path,
    /// Main memory.
    pub memory_mib: u32,
    /// Its disk, if it has one.
    pub disk: Option<&'a Path>,
    /// Says whether it boots from the disk first, and not from the network.
    pub disk_first: bool,
    /// An image that it boots from before all else, which it may not write to.
    pub stick: Option<(&'a Path, Slot)>,
    /// UEFI with variables of the machine's own, built for Secure Boot, in place of the BIOS.
    pub firmware: Option<&'a Uefi>,
    /// Says whether it has a screen and a keyboard; if not, its firmware writes to the console.
    pub screen: bool,
    /// The prefix of the names of this run's files.
    pub run: &'a str,
    /// The directory in which these are written.
    pub directory: &'a Path,
}

/// A node that is switched on.
pub struct Node {
    qemu: Process,
    qmp: Qmp,
    model: Model,
    registers: PathBuf,
    cpu: Duration,
    // Last, so that it is removed after the programs that use it have ended.
    _sockets: tempfile::TempDir,
}

impl Node {
    /// Switches it on.
    ///
    /// # Errors
    ///
    /// If the option ROM is none for a card of Realtek's, or a program does not start.
    pub fn start(options: &Options<'_>) -> Result<Self> {
        let directory = options.directory;
        let sockets = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir()
            .map_err(Error::file(&std::env::temp_dir(), "making a directory"))?;
        fs::create_dir_all(directory).map_err(Error::file(directory, "creating"))?;
        let rom = ipxe::option_rom(options.rom, sockets.path())?;
        let model = Model::start(&model::Options {
            program: options.model,
            chip: Chip::B300,
            xid: None,
            phy_id: None,
            wire: model::Wire::Spec(options.wire),
            identity: Identity::named(options.run, options.mac),
            pcap: true,
            snaplen: Some(SNAPLEN),
            trace: false,
            // iPXE has four receive descriptors, and no time to lose.
            prompt_acks: true,
            drop_when_full: false,
            negotiation: None,
            command_time: None,
            artifacts: directory,
            sockets: sockets.path(),
        })?;
        let file = |name: &str| directory.join(format!("{}-{name}", options.run));
        let monitor = sockets.path().join("qmp");
        let qmp = Qmp::listen(&monitor)?;
        let mut command = machine(options.memory_mib, 2)?;
        command.args(["-name", options.name, "-nic", "none"]);
        if options.screen {
            command.args(["-device", "VGA"]);
        } else {
            // Without graphics the firmware, and with it iPXE, writes to the console.
            command.args(["-machine", "graphics=off"]);
        }
        if let Some(firmware) = options.firmware {
            add_uefi(&mut command, firmware, true);
        }
        if let Some((image, slot)) = options.stick {
            add_stick(&mut command, image, slot, true);
        }
        add_console(&mut command, &file("console.log"));
        add_qmp(&mut command, &monitor);
        let (card_turn, disk_turn) = if options.disk_first { (2, 1) } else { (1, 2) };
        if let Some(disk) = options.disk {
            // A node that loses its power is installed anew: the host need not wait for its own
            // disk.
            let drive = "if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file=";
            let device =
                format!("ide-hd,drive=disk,bus=ide.0,bootindex={disk_turn},model=node,serial=1");
            command.arg("-drive").arg(with_path(drive, disk));
            command.args(["-device", &device]);
        }
        let mut card = model_device(NIC, model.socket(), None);
        boot_by_rom(&mut card, &rom, card_turn);
        command.args(["-device", &card.to_string()]);
        let qemu = Process::start("QEMU", &mut command, &file("qemu.log"))?;
        Ok(Self {
            qemu,
            qmp,
            model,
            registers: directory.join(REGISTERS),
            cpu: Duration::ZERO,
            _sockets: sockets,
        })
    }

    /// Returns whether it is switched on.
    ///
    /// # Errors
    ///
    /// If QEMU has failed, or the card has ended before the machine did.
    pub fn is_running(&mut self) -> Result<bool> {
        match self.qemu.ended() {
            None => self.model.check_alive().map(|()| true),
            Some(status) if status.success() => Ok(false),
            Some(_) => self.qemu.check_alive().map(|()| false),
        }
    }

    /// Returns the processor time that it has cost so far, with that of its card.
    pub fn cpu_time(&mut self) -> Duration {
        // When one of them has ended, what was seen last.
        if let (Ok(machine), Ok(card)) = (self.qemu.cpu_time(), self.model.cpu_time()) {
            self.cpu = machine + card;
        }
        self.cpu
    }

    /// Carries out one request of [`serve`]'s.
    fn answer(&mut self, request: &Request) -> Result<Value> {
        match request {
            Request::State => {
                let cpu = self.cpu_time().as_secs_f64();
                Ok(json!({ "running": self.is_running()?, "cpu": cpu }))
            }
            Request::Card { request } => self.model.request(request),
            Request::Registers => {
                self.qmp.save_registers(&self.registers)?;
                Ok(json!(self.registers))
            }
            Request::Pause => self.qmp.execute("stop", &json!({})),
            Request::Screen { file, format } => {
                let arguments = json!({ "filename": file, "format": format });
                self.qmp.execute("screendump", &arguments)
            }
            Request::Press { keys } => self.press(keys),
        }
    }

    /// Presses keys one after the other.
    fn press(&mut self, keys: &[String]) -> Result<Value> {
        for key in keys {
            let keys = json!({ "keys": [{ "type": "qcode", "data": key }] });
            self.qmp.execute("send-key", &keys)?;
            // The next is lost if this one is still down.
            thread::sleep(KEY);
        }
        Ok(Value::Null)
    }

    /// Switches it off, whatever it is doing.
    pub fn stop(mut self) -> Result<()> {
        if self.qemu.ended().is_none() {
            self.qemu.terminate(OFF)?;
        }
        self.model.stop()
    }
}

/// A line of [`serve`]'s input: `{"do":"press","keys":["ret"]}`.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Request {
    /// Asks for `running` and `cpu` (seconds).
    State,
    /// Asks the control socket of the card.
    Card {
        /// The request to it.
        request: rtl8111b_control::Request,
    },
    /// Saves the registers of all processors; the answer says where.
    Registers,
    /// Has the machine stop where it is.
    Pause,
    /// Writes what the screen shows to a file.
    Screen {
        /// The file.
        file: PathBuf,
        /// `png` or `ppm`.
        format: String,
    },
    /// Presses keys one after the other.
    Press {
        /// QEMU's names for them.
        keys: Vec<String>,
    },
}

/// Puts an image into the machine, to be booted first or not at all. The controller is xHCI: that
/// of EHCI looks for work once a millisecond, which is minutes for an initrd on a busy host, and
/// firmware hides from what it boots which one it is.
pub(crate) fn add_stick(command: &mut Command, image: &Path, slot: Slot, first: bool) {
    let drive = "if=none,id=stick,format=raw,readonly=on,file=";
    let turn = if first { ",bootindex=0" } else { "" };
    command.arg("-drive").arg(with_path(drive, image));
    match slot {
        Slot::Usb => command
            .args(["-device", "qemu-xhci,id=usb", "-device"])
            .arg(format!(
                "usb-storage,bus=usb.0,drive=stick,removable=on{turn}"
            )),
        Slot::Cd => command
            .arg("-device")
            .arg(format!("ide-cd,drive=stick,bus=ide.1{turn}")),
    };
}

/// Switches a node on and does what the lines of `input` ask for, each with a line of `output`; at
/// the end of the input it is switched off.
///
/// A line is a [`Request`]. An answer is `{"ok":true,"value":...}` or `{"ok":false,"error":"..."}`.
/// The first line of the output is the answer to switching it on.
///
/// # Errors
///
/// If the output cannot be written, or the node does not end well.
pub fn serve(
    options: &Options<'_>,
    input: impl BufRead,
    mut output: impl Write,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut say = move |outcome: Result<Value>| -> std::io::Result<()> {
        let line = match outcome {
            Ok(value) => json!({ "ok": true, "value": value }),
            Err(error) => json!({ "ok": false, "error": error.to_string() }),
        };
        writeln!(output, "{line}")?;
        output.flush()
    };
    let mut node = match Node::start(options) {
        Ok(node) => node,
        Err(error) => return Ok(say(Err(error))?),
    };
    say(Ok(Value::Null))?;
    for line in input.lines() {
        let outcome = serde_json::from_str(&line?)
            .map_err(|error| Error::Input(error.to_string()))
            .and_then(|request| node.answer(&request));
        say(outcome)?;
    }
    Ok(node.stop()?)
}
