// SPDX-License-Identifier: GPL-2.0

//! `lab`: a stock kernel on the emulated chip.

mod boots;
mod disk;
mod node;
mod run;
mod selftests;

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, Result};
use clap::{Parser, Subcommand};

/// Boots a stock Debian kernel on the emulated RTL8111B and drives it.
///
/// To be run inside the toolbox, in a network namespace of its own.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot, load the driver, ping and transfer, report; the exit status is 0 when all checks
    /// passed
    Run(run::Options),
    /// Boot, load the driver, get a lease, then give an interactive console in the guest
    Shell(run::Options),
    /// Boot the same guest again and again; the exit status is 0 when all boots reached their first
    /// program
    Boots(boots::BootOptions),
    /// Boot a machine without a card from a disk, by UEFI with Secure Boot; the exit status is
    /// QEMU's
    Disk(disk::DiskOptions),
    /// Switch a node of a cluster on, do what the lines of the standard input ask for, switch it
    /// off at their end; see lab::node
    Node(node::NodeOptions),
    /// Run the kernel's own selftests, and r8169 on b380 beside it; the exit status is 0 when all
    /// failures are explained
    Selftests(selftests::SelftestOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let passed = match &cli.command {
        Command::Run(options) => run::run(options),
        Command::Shell(options) => run::shell(options).map(|()| true),
        Command::Boots(options) => boots::run(options),
        Command::Disk(options) => disk::run(options),
        Command::Node(options) => node::run(options).map(|()| true),
        Command::Selftests(options) => selftests::run(options),
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn existing(path: &Path, option: &str, advice: &str) -> Result<()> {
    if !path.is_file() {
        bail!("{option}: found no file {}; {advice}", path.display());
    }
    Ok(())
}

/// Progress lines with the time since the start.
struct Progress {
    start: Instant,
}

impl Progress {
    fn say(&self, text: impl Display) {
        println!("[{:6.1} s] {text}", self.start.elapsed().as_secs_f64());
    }
}
