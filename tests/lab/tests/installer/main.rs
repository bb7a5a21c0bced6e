// SPDX-License-Identifier: GPL-2.0

//! Installers and other boots whose initrds `scripts/inject-initrd` has been at;
//! `scripts/test-inject` makes those.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::case::{file, Inputs};
use lab::installer::{boot_to_its_end, Node, Options};
use lab::{guest_test, passt, require, Error, Result};

/// From power-on to the end of network configuration, on a busy machine without KVM.
const LIMIT: Duration = Duration::from_secs(900);

/// The kernel arguments for the Debian installer to run unattended up to its network.
const UNATTENDED: &str =
    "auto=true priority=critical DEBIAN_FRONTEND=text locale=C.UTF-8 keymap=us \
    hostname=node domain=lab net.ifnames=0";

fn boot(inputs: &Inputs, image: PathBuf, initrd: PathBuf, append: &str) -> Result<Node> {
    Node::boot(&Options {
        image: &image,
        initrd: &initrd,
        append,
        memory_mib: 1024,
        stick: None,
        model: &inputs.model()?,
        artifacts: &inputs.artifacts,
    })
}

/// Requires the line that `tests/inject/node/report` writes from inside once there is an address:
/// by which driver.
fn leases(mut node: Node) -> Result<()> {
    let line = node.wait_for_line("INJECTED:", LIMIT)?;
    let expected = format!("eth0 r8168_rust {}/24", passt::GUEST);
    require!(
        line.contains(&expected),
        "the node says {line:?}, expected {expected:?}"
    );
    node.finish()
}

#[guest_test]
fn the_debian_installer_finds_no_network_without_the_driver(inputs: &Inputs) -> Result<()> {
    let (image, initrd) = (file("LAB_INSTALLER_IMAGE")?, file("LAB_INSTALLER_INITRD")?);
    let mut node = boot(inputs, image, initrd, UNATTENDED)?;
    node.wait_for_line("No network interfaces detected", LIMIT)?;
    let console = node.console()?;
    require!(
        console.contains("unknown chip XID 300"),
        "the installer's own r8169 does not refuse XID 300"
    );
    node.finish()
}

/// Requires that an installer finds the network: the chip is the only card, and ours the only
/// driver that takes it.
fn finds_its_network(mut node: Node) -> Result<()> {
    node.wait_for_line("Configuring the network with DHCP", LIMIT)?;
    node.wait_for_lease(LIMIT)?;
    node.wait_for_line("RTL8111B (B300), XID 300", LIMIT)?;
    node.finish()
}

#[guest_test]
fn the_stock_debian_installer_gets_its_lease_with_the_driver(inputs: &Inputs) -> Result<()> {
    let (image, initrd) = (
        file("LAB_INSTALLER_IMAGE")?,
        file("LAB_INSTALLER_INJECTED")?,
    );
    finds_its_network(boot(inputs, image, initrd, UNATTENDED)?)
}

#[guest_test]
fn the_debian_installer_gets_its_lease_with_another_kernel(inputs: &Inputs) -> Result<()> {
    let image = inputs.kernel()?.image().to_path_buf();
    let append = format!("{UNATTENDED} anna/no_kernel_modules=true");
    finds_its_network(boot(
        inputs,
        image,
        file("LAB_INSTALLER_SWAPPED")?,
        &append,
    )?)
}

#[guest_test]
fn a_dracut_initrd_gets_its_lease_with_the_driver(inputs: &Inputs) -> Result<()> {
    let image = inputs.kernel()?.image().to_path_buf();
    leases(boot(
        inputs,
        image,
        file("LAB_DRACUT_INJECTED")?,
        "net.ifnames=0",
    )?)
}

/// `LAB_SAMPLES` has a path a line. `tests/inject/guest_reader.py` has put an init in front of
/// these initrds, and compares the results.
#[guest_test]
fn the_kernel_unpacks_samples(inputs: &Inputs) -> Result<()> {
    let (image, list) = (inputs.kernel()?.image().to_path_buf(), file("LAB_SAMPLES")?);
    let paths = fs::read_to_string(&list).map_err(Error::file(&list, "reading"))?;
    for path in paths.lines() {
        boot_to_its_end(&image, Path::new(path), "rdinit=/.reader/init", LIMIT)?;
    }
    Ok(())
}
