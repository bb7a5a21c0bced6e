// SPDX-License-Identifier: GPL-2.0

//! Traces on the command line.

use std::io;
use std::io::Write;
use std::path::Path;

use rtl8111b_trace::diff;
use rtl8111b_trace::replay;
use rtl8111b_trace::show;
use rtl8111b_trace::Difference;
use rtl8111b_trace::Event;
use rtl8111b_trace::Moment;
use rtl8111b_trace::Reader;

use crate::args::Diff;
use crate::args::Trace;

/// Does it; false where the answer is no. An error is one line.
pub(crate) fn run(what: &Trace) -> Result<bool, String> {
    let stdout = io::stdout().lock();
    let mut out = io::BufWriter::new(stdout);
    let answer = match what {
        Trace::Show { file } => print(file, &mut out).map(|()| true),
        Trace::Diff(options) => compare(options, &mut out),
        Trace::Replay { file } => {
            let events = read(file)?;
            let name = file.display();
            let played =
                replay(&events, |_, _| true).map_err(|error| format!("{name}: {error}"))?;
            let line = format!(
                "{name}: {} events, all as recorded; {} violations",
                played.events,
                played.chip.counters().violations
            );
            writeln!(out, "{line}").map(|()| true).map_err(in_words)
        }
    };
    // A reader that has had enough is no error.
    match answer.and_then(|answer| out.flush().map(|()| answer).map_err(in_words)) {
        Err(error) if error.is_empty() => Ok(true),
        answer => answer,
    }
}

fn in_words(error: io::Error) -> String {
    if error.kind() == io::ErrorKind::BrokenPipe {
        String::new()
    } else {
        error.to_string()
    }
}

fn read(path: &Path) -> Result<Vec<Event>, String> {
    Reader::open(path)
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string())
}

fn print(path: &Path, out: &mut impl Write) -> Result<(), String> {
    let mut now = 0;
    for event in Reader::open(path).map_err(|error| error.to_string())? {
        match event.map_err(|error| error.to_string())? {
            Event::Tick(at) => now = at,
            event => {
                let (seconds, micros) = (now / 1_000_000_000, now / 1000 % 1_000_000);
                writeln!(out, "{seconds:4}.{micros:06} {}", show(&event)).map_err(in_words)?;
            }
        }
    }
    Ok(())
}

fn compare(options: &Diff, out: &mut impl Write) -> Result<bool, String> {
    let (first, second) = (read(&options.first)?, read(&options.second)?);
    let moment = if options.open {
        Moment::Open
    } else {
        Moment::End
    };
    let found = diff(&first, &second, moment, options.all).map_err(|(number, error)| {
        let path = if number == 1 {
            &options.first
        } else {
            &options.second
        };
        format!("{}: {error}", path.display())
    })?;
    write_difference(&found, options.brief, out).map_err(in_words)?;
    Ok(found.same_state() && found.same_writes())
}

fn write_difference(found: &Difference, brief: bool, out: &mut impl Write) -> io::Result<()> {
    let same = |same| if same { "the same" } else { "different" };
    writeln!(out, "registers: {}", same(found.same_state()))?;
    for (name, a, b) in &found.registers {
        writeln!(out, "  {name:<22} {a:#010x} {b:#010x}")?;
    }
    for (register, a, b) in &found.phy {
        writeln!(out, "  MII {register:<18} {a:#06x}     {b:#06x}")?;
    }
    writeln!(out, "writes: {}", same(found.same_writes()))?;
    for line in &found.writes {
        if !brief || !line.starts_with(' ') {
            writeln!(out, "{line}")?;
        }
    }
    if found.cut {
        writeln!(out, "(there were more writes than are compared)")?;
    }
    Ok(())
}
