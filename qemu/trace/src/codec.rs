// SPDX-License-Identifier: GPL-2.0

//! The form of a trace: an event a line, which is a verb, hexadecimal numbers, and bytes behind a
//! colon.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::path::Path;

use thiserror::Error;

use crate::event::Event;
use crate::event::Raw;
use crate::event::VERBS;

/// The first line.
pub(crate) const HEAD: &str = "# rtl8111b trace 6\n";
/// The maximal number of bytes that an event carries: a frame of the largest large send.
const MAX_DATA: u64 = 1 << 20;
/// The longest line.
const MAX_LINE: u64 = 2 * MAX_DATA + 256;

/// The reason why a trace cannot be read or written.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Its name.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// The file, for writing.
    #[error("cannot write the trace {path}: {source}")]
    Write {
        /// Its name.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// The file is no trace.
    #[error("{0} is no trace of this version")]
    NoTrace(String),
    /// An event that makes no sense.
    #[error("{path}: event {number} makes no sense")]
    Event {
        /// The file.
        path: String,
        /// The number of the event, from 1.
        number: u64,
    },
}

/// Adds the line of an event.
pub(crate) fn encode(event: &Event, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let raw = event.raw();
    let Some(&(name, _, has_data)) = VERBS.get(usize::from(raw.verb)) else {
        return;
    };
    out.extend_from_slice(name.as_bytes());
    for number in &raw.numbers {
        // Writing to memory cannot fail.
        let _ = write!(out, " {number:x}");
    }
    if has_data {
        out.extend_from_slice(b" :");
        // Most of a trace is this: it is written while a guest waits for the chip.
        let at = out.len();
        out.resize(at + 2 * raw.data.len(), 0);
        for (digits, byte) in out[at..].chunks_exact_mut(2).zip(&raw.data) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 0xf)];
        }
    }
    out.push(b'\n');
}

/// Reads a trace's events. One that is cut short at its end, as by a process that was killed, ends
/// with its last whole event.
pub struct Reader<R> {
    name: String,
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl Reader<BufReader<File>> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Reader::new(name, BufReader::new(file)),
            Err(source) => Err(TraceError::File { path: name, source }),
        }
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from anything; `name` is for messages.
    pub fn new(name: String, mut input: R) -> Result<Self, TraceError> {
        let mut head = Vec::new();
        if let Err(source) = (&mut input).take(HEAD.len() as u64).read_to_end(&mut head) {
            return Err(TraceError::File { path: name, source });
        }
        if head != HEAD.as_bytes() {
            return Err(TraceError::NoTrace(name));
        }
        Ok(Reader {
            name,
            input,
            number: 0,
            line: Vec::new(),
        })
    }

    /// Reads a line: `None` at the end, and in it `None` for one that makes no sense.
    fn raw(&mut self) -> io::Result<Option<Option<Raw>>> {
        loop {
            self.line.clear();
            (&mut self.input)
                .take(MAX_LINE)
                .read_until(b'\n', &mut self.line)?;
            if self.line.last() != Some(&b'\n') {
                // Nothing, or a line that was never finished.
                let cut = (self.line.len() as u64) < MAX_LINE;
                return Ok(if cut { None } else { Some(None) });
            }
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                return Ok(Some(parse_line(line)));
            }
        }
    }
}

fn parse_line(line: &str) -> Option<Raw> {
    let (head, data) = match line.split_once(" :") {
        Some((head, data)) => (head, Some(data)),
        None => (line, None),
    };
    let mut words = head.split_whitespace();
    let name = words.next()?;
    let verb = VERBS.iter().position(|verb| verb.0 == name)?;
    let (_, count, has_data) = VERBS[verb];
    let numbers: Option<Vec<u64>> = words
        .map(|word| u64::from_str_radix(word, 16).ok())
        .collect();
    let data = match data {
        None => Vec::new(),
        Some(data) => (0..data.len())
            .step_by(2)
            .map(|at| {
                data.get(at..at + 2)
                    .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            })
            .collect::<Option<_>>()?,
    };
    let raw = Raw {
        verb: verb as u8,
        numbers: numbers?,
        data,
    };
    (raw.numbers.len() == count && (has_data || raw.data.is_empty())).then_some(raw)
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.raw();
        self.number += 1;
        match raw {
            Ok(None) => None,
            Ok(Some(raw)) => Some(
                raw.and_then(Event::from_raw)
                    .ok_or_else(|| TraceError::Event {
                        path: self.name.clone(),
                        number: self.number,
                    }),
            ),
            Err(source) => Some(Err(TraceError::File {
                path: self.name.clone(),
                source,
            })),
        }
    }
}

#[cfg(test)]
mod tests;
