// SPDX-License-Identifier: GPL-2.0

//! Writes inputs for the targets, made of traces: DIRECTORY/TARGET/NAME of each trace NAME.trace,
//! and DIRECTORY/messages/opening, which needs none.
//!
//! Usage: seeds DIRECTORY [TRACE...]

use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use rtl8111b_fuzz::seeds;
use rtl8111b_trace::Event;
use rtl8111b_trace::Reader;

fn write(directory: &Path, target: &str, name: &OsStr, input: &[u8]) -> Result<(), String> {
    let path = directory.join(target).join(name);
    std::fs::create_dir_all(directory.join(target))
        .and_then(|()| std::fs::write(&path, input))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("{}: {} bytes", path.display(), input.len());
    Ok(())
}

fn convert(directory: &Path, trace: &Path) -> Result<(), String> {
    let events: Vec<Event> = Reader::open(trace)
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string())?;
    let name = trace.file_stem().unwrap_or_default();
    write(directory, "mmio", name, &seeds::mmio(&events))?;
    write(directory, "messages", name, &seeds::messages(&events))?;
    match seeds::descriptors(&events) {
        Some(input) => write(directory, "descriptors", name, &input),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let Some((directory, traces)) = paths.split_first() else {
        eprintln!("seeds: a directory is expected");
        return ExitCode::from(2);
    };
    let opening = seeds::messages(&[]);
    let done = write(directory, "messages", "opening".as_ref(), &opening).and_then(|()| {
        traces
            .iter()
            .try_for_each(|trace| convert(directory, trace))
    });
    if let Err(error) = done {
        eprintln!("seeds: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
