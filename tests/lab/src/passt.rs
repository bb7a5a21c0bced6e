// SPDX-License-Identifier: GPL-2.0

//! The outside world as `passt` makes it: a DHCP server, a gateway that answers, TCP to the lab.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{wait_for, Process};
use crate::Result;

/// The address that the guest is leased.
pub const GUEST: &str = "10.81.68.15";
/// The gateway; what is sent to it arrives on the lab's loopback.
pub const GATEWAY: &str = "10.81.68.1";

/// A running `passt`.
#[derive(Debug)]
pub struct Passt {
    process: Process,
    socket: PathBuf,
}

impl Passt {
    /// Starts `passt` and waits for its socket.
    pub fn start(artifacts: &Path, sockets: &Path) -> Result<Self> {
        let socket = sockets.join("passt");
        let mut command = Command::new("passt");
        command
            .args(["--foreground", "--ipv4-only", "--socket"])
            .arg(&socket)
            .args(["--address", GUEST, "--netmask", "24"])
            .args(["--gateway", GATEWAY, "--map-host-loopback", GATEWAY])
            .args(["--dns", "none", "--search", "none"]);
        let log = artifacts.join("passt.log");
        let mut process = Process::start("passt", &mut command, &log)?;
        wait_for("passt to make its socket", Duration::from_secs(20), || {
            process.check_alive()?;
            Ok(socket.exists().then_some(()))
        })?;
        Ok(Self { process, socket })
    }

    /// The stream socket that a wire connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Fails if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }
}
