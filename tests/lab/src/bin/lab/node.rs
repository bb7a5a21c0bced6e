// SPDX-License-Identifier: GPL-2.0

//! `lab node`: a node of a cluster, for a program in another language.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lab::ipxe::Uefi;
use lab::node;

use crate::existing;

#[derive(Debug, Args)]
pub(crate) struct NodeOptions {
    /// The node's name
    #[arg(long)]
    name: String,
    /// The address of its card
    #[arg(long)]
    mac: String,
    /// The wire of its card, as `rtl8111b serve --wire` takes it
    #[arg(long, value_name = "SPEC")]
    wire: String,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// iPXE as an option ROM, for a card of Realtek's
    #[arg(long, value_name = "FILE", default_value = lab::ipxe::ROM)]
    rom: PathBuf,
    /// Main memory
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// Its disk, a raw image; without one it has none
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Boot from the disk first, and not from the network
    #[arg(long, requires = "disk")]
    disk_first: bool,
    /// An image that it boots from before all else
    #[arg(long, value_name = "FILE")]
    stick: Option<PathBuf>,
    /// The kind of drive that the image is
    #[arg(long, value_enum, default_value = "usb", requires = "stick")]
    slot: node::Slot,
    /// UEFI in place of the BIOS: the file of its code
    #[arg(long, value_name = "FILE", requires = "variables")]
    firmware: Option<PathBuf>,
    /// The file of its variables, which is written to
    #[arg(long, value_name = "FILE", requires = "firmware")]
    variables: Option<PathBuf>,
    /// Give it a screen and a keyboard
    #[arg(long)]
    screen: bool,
    /// The prefix of the names of this run's files
    #[arg(long, value_name = "NAME")]
    run: String,
    /// The directory in which these are written: console, logs, a capture of the wire
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(options: &NodeOptions) -> Result<()> {
    existing(&options.model, "--model", "build the device model first")?;
    let uefi = options
        .firmware
        .clone()
        .zip(options.variables.clone())
        .map(|(code, variables)| Uefi { code, variables });
    let node = node::Options {
        name: &options.name,
        mac: &options.mac,
        wire: &options.wire,
        model: &options.model,
        rom: &options.rom,
        memory_mib: options.memory,
        disk: options.disk.as_deref(),
        disk_first: options.disk_first,
        stick: options.stick.as_deref().map(|image| (image, options.slot)),
        firmware: uefi.as_ref(),
        screen: options.screen,
        run: &options.run,
        directory: &options.directory,
    };
    let input = std::io::stdin().lock();
    let output = std::io::stdout().lock();
    node::serve(&node, input, output).map_err(anyhow::Error::from_boxed)
}
