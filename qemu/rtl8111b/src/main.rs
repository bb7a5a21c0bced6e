// SPDX-License-Identifier: GPL-2.0

//! An emulated RTL8111B: a vfio-user server that a stock QEMU attaches as a PCI device.
//!
//! This binary puts the parts together: the chip and its configuration space become one
//! [`device::Device`] behind a lock, used by the vfio-user thread, the wire's thread and the
//! control socket.
#![forbid(unsafe_code)]

mod args;
mod device;
mod logger;
mod report;
mod serve;
mod socket;
mod trace;

use std::process::ExitCode;

use args::Command;
use args::Parsed;
use rtl8111b_control::Client;

/// Wrong arguments.
const USAGE: u8 = 2;
/// Anything that went wrong later.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let command = match args::parse() {
        Ok(Parsed::Command(command)) => command,
        Ok(Parsed::Text(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(line) => return fail(&line, USAGE),
    };
    let result = match command {
        Command::Serve(options) => serve::run(&options).map_err(|error| error.to_string()),
        Command::Trace(what) => match trace::run(&what) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(FAILED),
            Err(error) => Err(error),
        },
        Command::Ctl(options) => {
            let answer = Client::connect(&options.control)
                .and_then(|mut client| client.ask_json(&options.request()));
            answer
                .map(|answer| println!("{answer:#}"))
                .map_err(|error| error.to_string())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => fail(&line, FAILED),
    }
}

fn fail(line: &str, status: u8) -> ExitCode {
    eprintln!("rtl8111b: {line}");
    ExitCode::from(status)
}
