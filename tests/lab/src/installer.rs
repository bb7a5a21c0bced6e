// SPDX-License-Identifier: GPL-2.0

//! A node that boots an initrd of another program's on the emulated chip: an installer's, for
//! instance. It has no control channel; its console is all that it reports.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dmesg;
use crate::machine::{add_console, add_nic, essentials, machine, with_path, Loader, Nic};
use crate::model::{self, Chip, Model};
use crate::node::{add_stick, Slot};
use crate::passt::{self, Passt};
use crate::pcap;
use crate::process::{tail, wait_for, Process};
use crate::{namespace, Error, Result};

/// The settings with which a node is booted.
#[derive(Debug)]
pub struct Options<'a> {
    /// The bootable kernel.
    pub image: &'a Path,
    /// The initrd.
    pub initrd: &'a Path,
    /// The kernel's command line besides the console.
    pub append: &'a str,
    /// Main memory.
    pub memory_mib: u32,
    /// An image that it has as a disk on USB, if it has one.
    pub stick: Option<&'a Path>,
    /// The device model's program.
    pub model: &'a Path,
    /// The directory in which logs are written.
    pub artifacts: &'a Path,
}

/// A booting node with the emulated chip, and the network behind that.
pub struct Node {
    qemu: Process,
    model: Model,
    passt: Passt,
    console: PathBuf,
    capture: PathBuf,
    // Last, so that it is removed after the programs that use it have ended.
    _sockets: tempfile::TempDir,
}

impl Node {
    /// Starts it.
    pub fn boot(options: &Options<'_>) -> Result<Self> {
        namespace::prepare()?;
        let artifacts = options.artifacts;
        fs::create_dir_all(artifacts).map_err(Error::file(artifacts, "creating"))?;
        let sockets = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir()
            .map_err(Error::file(&std::env::temp_dir(), "making a directory"))?;
        let passt = Passt::start(artifacts, sockets.path())?;
        let model = Model::start(&model::Options {
            program: options.model,
            chip: Chip::B300,
            xid: None,
            phy_id: None,
            wire: model::Wire::Connect(passt.socket()),
            identity: model::Identity::port(0),
            prompt_acks: false,
            pcap: true,
            snaplen: None,
            trace: false,
            drop_when_full: false,
            negotiation: None,
            command_time: None,
            artifacts,
            sockets: sockets.path(),
        })?;
        let console = artifacts.join("console.log");
        let append = format!("{} {}", essentials(), options.append);
        let mut command = machine(options.memory_mib, 2)?;
        command
            .arg("-kernel")
            .arg(options.image)
            .arg("-initrd")
            .arg(options.initrd)
            .args(["-append", &append, "-nic", "none"]);
        add_console(&mut command, &console);
        if let Some(stick) = options.stick {
            add_stick(&mut command, stick, Slot::Usb, false);
        }
        add_nic(
            &mut command,
            0,
            &Nic::Model(model.socket().to_path_buf()),
            None,
            &Loader::Qemu,
        );
        let qemu = Process::start("QEMU", &mut command, &artifacts.join("qemu.log"))?;
        Ok(Self {
            qemu,
            model,
            passt,
            console,
            capture: artifacts.join(model::CAPTURE),
            _sockets: sockets,
        })
    }

    /// All that the console has shown so far.
    pub fn console(&self) -> Result<String> {
        match fs::read(&self.console) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(Error::file(&self.console, "reading the console")(error)),
        }
    }

    /// Waits until the console shows a line that contains `text`; returns that line.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> Result<String> {
        let what = format!("{text:?} on the console");
        let found = wait_for(&what, limit, || {
            let console = self.console()?;
            let line = console.lines().find(|line| line.contains(text));
            if let Some(line) = line {
                return Ok(Some(line.trim().to_owned()));
            }
            self.qemu.check_alive()?;
            Ok(None)
        });
        found.map_err(|error| self.explain(error))
    }

    /// Waits until the wire has carried the DHCP server's grant of the guest's address.
    pub fn wait_for_lease(&mut self, limit: Duration) -> Result<()> {
        let granted = wait_for("a DHCP lease on the wire", limit, || {
            self.qemu.check_alive()?;
            let frames = pcap::frames(&self.capture)?;
            Ok(frames.iter().any(|frame| grants(frame)).then_some(()))
        });
        granted.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Timeout { what, after, .. } => Error::Timeout {
                what,
                after,
                detail: format!("; the console ends with:\n{}", tail(&self.console, 12)),
            },
            other => other,
        }
    }

    /// Requires that the kernel and the device model have nothing to complain about; ends the node.
    pub fn finish(mut self) -> Result<()> {
        let console = self.console()?;
        if let Some(problem) = dmesg::problems(&console).first() {
            return Err(Error::Unmet(format!(
                "a kernel message needs attention: {}",
                problem.line
            )));
        }
        self.passt.check_alive()?;
        self.model.counters()?.check_clean()?;
        drop(self.qemu);
        self.model.stop()
    }
}

/// Boots an initrd without any device, and waits until its init, which is given by `append`, has
/// powered the machine off.
///
/// Its output to the second serial port goes to a file beside the initrd, ending with `.tar.gz`,
/// its console to one that ends with `.console`.
pub fn boot_to_its_end(image: &Path, initrd: &Path, append: &str, limit: Duration) -> Result<()> {
    let console = initrd.with_extension("console");
    let out = initrd.with_extension("tar.gz");
    let append = format!("{} no5lvl no_timer_check {append}", essentials());
    let mut command = machine(512, 1)?;
    command
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", &append, "-nic", "none"]);
    add_console(&mut command, &console);
    command
        .arg("-chardev")
        .arg(with_path("file,id=out,path=", &out))
        .args(["-serial", "chardev:out"]);
    let mut qemu = Process::start("QEMU", &mut command, &initrd.with_extension("log"))?;
    let status = qemu.wait(limit)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Ended {
        program: "QEMU".to_owned(),
        status: status.to_string(),
        tail: tail(qemu.log(), 12),
    })
}

/// Returns whether a frame is a DHCPACK (RFC 2131) that gives the guest its address.
fn grants(frame: &[u8]) -> bool {
    const SERVER: u16 = 67;
    let Some(packet) = pcap::packet(frame).filter(|packet| !packet.tcp) else {
        return false;
    };
    let address = passt::GUEST
        .parse::<Ipv4Addr>()
        .map(|address| address.octets());
    let yours = packet
        .payload
        .get(16..20)
        .is_some_and(|bytes| address.is_ok_and(|octets| bytes == octets));
    // They begin behind 236 bytes of BOOTP and a magic number.
    let options = packet.payload.get(240..).unwrap_or_default();
    packet.from_port == SERVER && yours && options.windows(3).any(|option| option == [53, 1, 5])
}
