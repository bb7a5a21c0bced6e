//! A node of a cluster: a machine whose only network card is the emulated chip, plugged into somebody else's wire. It boots
//! by the option ROM of its card, from its disk or from a stick, and has no control channel; its console is a file, and there may be a screen
//! and a keyboard.
//!
//! [`serve`] is `lab node`, by which a program in another language switches such machines on and off.

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{json, Value};

use crate::guest::{add_console, add_qmp, boot_by_rom, machine, model_device, with_path};
use crate::guest::{NIC, REGISTERS};
use crate::ipxe;
use crate::model::{self, Chip, Identity, Model};
use crate::process::Process;
use crate::qmp::Qmp;
use crate::{Error, Result};

/// How much of each frame is kept: the headers, and the beginning of what they carry; about a tenth of the whole.
const SNAPLEN: u32 = 128;

/// How long QEMU may take to end when it is asked to.
const OFF: Duration = Duration::from_secs(20);

/// How long a key is pressed, with some time to spare: QEMU releases it after 100 ms.
const KEY: Duration = Duration::from_millis(200);

/// What a stick looks like to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Slot {
    /// A disk on USB.
    Usb,
    /// A disc in a drive.
    Cd,
}

/// Firmware other than the BIOS that QEMU brings: UEFI, with variables of the machine's own.
#[derive(Debug, Clone, Copy)]
pub struct Firmware<'a> {
    /// Its code.
    pub code: &'a Path,
    /// Its variables, which it writes to.
    pub variables: &'a Path,
}

/// How a node is to be switched on.
#[derive(Debug)]
pub struct Options<'a> {
    /// Its name.
    pub name: &'a str,
    /// The address of its card.
    pub mac: &'a str,
    /// What its card is plugged into, as `rtl8111b serve --wire` takes it.
    pub wire: &'a str,
    /// The device model's program.
    pub model: &'a Path,
    /// iPXE as an option ROM, for a card of Realtek's.
    pub rom: &'a Path,
    /// Main memory.
    pub memory_mib: u32,
    /// Its disk, if it has one.
    pub disk: Option<&'a Path>,
    /// Whether it boots from the disk first, and not from the network.
    pub disk_first: bool,
    /// An image that it boots from before all else, which it may not write to.
    pub stick: Option<(&'a Path, Slot)>,
    /// UEFI, if it has that.
    pub firmware: Option<Firmware<'a>>,
    /// Whether it has a screen and a keyboard; if not, its firmware writes to the console.
    pub screen: bool,
    /// What the names of the files of this run begin with.
    pub run: &'a str,
    /// Where these are written.
    pub directory: &'a Path,
}

/// A node that is switched on.
pub struct Node {
    qemu: Process,
    qmp: Qmp,
    model: Model,
    registers: PathBuf,
    cpu: Duration,
    // Last, so that it is removed after those who use it have ended.
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
            wire: model::Wire::Spec(options.wire),
            identity: Identity::named(options.run, options.mac),
            pcap: true,
            snaplen: Some(SNAPLEN),
            trace: false,
            // iPXE has four receive descriptors, and no time to lose.
            prompt_acks: true,
            drop_when_full: false,
            negotiation: None,
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
            add_firmware(&mut command, firmware);
        }
        if let Some((image, slot)) = options.stick {
            add_stick(&mut command, image, slot);
        }
        add_console(&mut command, &file("console.log"));
        add_qmp(&mut command, &monitor);
        let (card_turn, disk_turn) = if options.disk_first { (2, 1) } else { (1, 2) };
        if let Some(disk) = options.disk {
            // A node that loses its power is installed anew: the host need not wait for its own disk.
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
    fn answer(&mut self, request: &Value) -> Result<Value> {
        match request["do"].as_str() {
            Some("state") => {
                let cpu = self.cpu_time().as_secs_f64();
                Ok(json!({ "running": self.is_running()?, "cpu": cpu }))
            }
            Some("card") => self.model.request(&request["request"]),
            Some("registers") => {
                self.qmp.save_registers(&self.registers)?;
                Ok(json!(self.registers))
            }
            Some("pause") => self.qmp.execute("stop", &json!({})),
            Some("screen") => {
                let arguments = json!({ "filename": request["file"], "format": request["format"] });
                self.qmp.execute("screendump", &arguments)
            }
            Some("press") => self.press(&request["keys"]),
            _ => Err(Error::Input(format!("no such request: {request}"))),
        }
    }

    /// Presses keys one after the other, by QEMU's names for them, such as `ret`.
    fn press(&mut self, keys: &Value) -> Result<Value> {
        for key in keys.as_array().into_iter().flatten() {
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

/// Gives the machine UEFI, built for Secure Boot: that lets nobody write its variables but itself in System Management Mode. Whether it asks for
/// signatures depends on the keys in its variables.
fn add_firmware(command: &mut Command, firmware: Firmware<'_>) {
    command.args(["-machine", "smm=on"]);
    command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    command.args(["-global", "ICH9-LPC.disable_s3=1"]);
    let code = "if=pflash,format=raw,unit=0,readonly=on,file=";
    let variables = "if=pflash,format=raw,unit=1,file=";
    command
        .arg("-drive")
        .arg(with_path(code, firmware.code))
        .arg("-drive")
        .arg(with_path(variables, firmware.variables));
}

/// Puts an image into the machine, to be booted first. The controller is xHCI: that of EHCI looks for work once a millisecond, which is minutes
/// for an initrd on a busy host, and firmware hides from what it boots which one it is.
fn add_stick(command: &mut Command, image: &Path, slot: Slot) {
    let drive = "if=none,id=stick,format=raw,readonly=on,file=";
    command.arg("-drive").arg(with_path(drive, image));
    match slot {
        Slot::Usb => command
            .args(["-device", "qemu-xhci,id=usb", "-device"])
            .arg("usb-storage,bus=usb.0,drive=stick,bootindex=0,removable=on"),
        Slot::Cd => command.args(["-device", "ide-cd,drive=stick,bus=ide.1,bootindex=0"]),
    };
}

/// Switches a node on and does what the lines of `input` ask for, each with a line of `output`; at the end of the input
/// it is switched off.
///
/// A request is a JSON object: `{"do":"state"}`, which is answered by `running` and `cpu` (seconds); `{"do":"card",
/// "request":...}`, which the control socket of the card is asked; `{"do":"registers"}`, which saves the registers of all
/// processors and tells where; `{"do":"pause"}`, after which the machine stands; `{"do":"screen","file":...,"format":"png"}`, which writes what
/// its screen shows, or `"ppm"`; `{"do":"press","keys":[...]}`, which presses keys. An answer is `{"ok":true,"value":...}` or
/// `{"ok":false,"error":"..."}`. The first line of the output is the answer to switching it on.
///
/// # Errors
///
/// If nobody reads the output, or the node does not end well.
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
            .and_then(|request: Value| node.answer(&request));
        say(outcome)?;
    }
    Ok(node.stop()?)
}
