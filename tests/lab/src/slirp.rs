// SPDX-License-Identifier: GPL-2.0

//! The outside world as QEMU's user network makes it: like `passt`'s, and with a boot file by TFTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::qemu;
use crate::passt::{GATEWAY, GUEST};
use crate::process::{wait_for, Process};
use crate::Result;

/// A QEMU that is nothing but a network.
#[derive(Debug)]
pub struct Slirp {
    process: Process,
    socket: PathBuf,
}

impl Slirp {
    /// Starts it and waits for its socket. TFTP serves what is in `sockets`, DHCP names
    /// `boot_file`.
    pub fn start(artifacts: &Path, sockets: &Path, boot_file: &str) -> Result<Self> {
        let socket = sockets.join("world");
        let network = GATEWAY
            .rsplit_once('.')
            .map_or(GATEWAY, |(prefix, _)| prefix);
        let mut command = qemu("none");
        command
            .arg("-netdev")
            .arg(format!(
                "user,id=world,ipv6=off,net={network}.0/24,host={GATEWAY},dhcpstart={GUEST},tftp={},bootfile={boot_file}",
                sockets.display()
            ))
            .arg("-netdev")
            .arg(format!(
                "stream,id=wire,server=on,addr.type=unix,addr.path={}",
                socket.display()
            ))
            .args(["-netdev", "hubport,id=one,hubid=0,netdev=world"])
            .args(["-netdev", "hubport,id=other,hubid=0,netdev=wire"]);
        let log = artifacts.join("slirp.log");
        let mut process = Process::start("QEMU's user network", &mut command, &log)?;
        wait_for(
            "QEMU's user network to make its socket",
            Duration::from_secs(20),
            || {
                process.check_alive()?;
                Ok(socket.exists().then_some(()))
            },
        )?;
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
