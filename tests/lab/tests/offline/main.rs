// SPDX-License-Identifier: GPL-2.0

//! A machine that lost its network in an upgrade, and a stick with the file of
//! `scripts/make-offline`; `scripts/test-offline` makes both.

use std::time::Duration;

use lab::case::{file, Inputs};
use lab::installer::{Node, Options};
use lab::{guest_test, passt, require, Result};

/// From power-on to the end, on a busy machine without KVM.
const LIMIT: Duration = Duration::from_secs(420);

#[guest_test]
fn a_machine_gets_its_network_back_from_a_stick(inputs: &Inputs) -> Result<()> {
    let (image, initrd) = (file("LAB_OFFLINE_IMAGE")?, file("LAB_OFFLINE_INITRD")?);
    let stick = file("LAB_OFFLINE_STICK")?;
    let mut node = Node::boot(&Options {
        image: &image,
        initrd: &initrd,
        append: "net.ifnames=0",
        memory_mib: 1024,
        stick: Some(&stick),
        model: &inputs.model()?,
        artifacts: &inputs.artifacts,
    })?;
    // No other interface comes before that by its name.
    node.wait_for_line("OFFLINE: before: /sys/class/net/lo", LIMIT)?;
    require!(
        node.console()?.contains("unknown chip XID 300"),
        "the kernel's own r8169 does not refuse XID 300"
    );
    let leased = format!("INJECTED: eth0 r8168_rust {}/24", passt::GUEST);
    for line in [
        leased.as_str(),
        "OFFLINE: the file ended with status 0",
        "OFFLINE: package: installed",
        "OFFLINE: after: r8168_rust",
    ] {
        node.wait_for_line(line, LIMIT)?;
    }
    node.wait_for_lease(LIMIT)?;
    node.finish()
}
