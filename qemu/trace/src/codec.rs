// SPDX-License-Identifier: GPL-2.0

//! The two forms of a trace: text (a verb, hexadecimal numbers, bytes behind a colon) and binary (the verb's number,
//! numbers seven bits at a time, bytes behind their length).

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use thiserror::Error;

use crate::event::Event;
use crate::event::Raw;
use crate::event::VERBS;

pub(crate) const TEXT_HEAD: &str = "# rtl8111b trace 5\n";
pub(crate) const BINARY_HEAD: &[u8] = b"\x00rtl8111b-trace-5";
/// The maximal number of bytes that an event carries: a frame of the largest large send.
const MAX_DATA: u64 = 1 << 20;
/// The longest line of text.
const MAX_LINE: u64 = 2 * MAX_DATA + 256;

/// How a trace is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A line per event.
    #[default]
    Text,
    /// About half of it.
    Binary,
}

/// Why a trace cannot be read or written.
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
    /// Not a trace.
    #[error("{0} is no trace of this version")]
    NoTrace(String),
    /// An event that makes no sense.
    #[error("{path}: event {number} makes no sense")]
    Event {
        /// The file.
        path: String,
        /// Which one, from 1.
        number: u64,
    },
}

impl Format {
    pub(crate) fn head(self) -> &'static [u8] {
        match self {
            Format::Text => TEXT_HEAD.as_bytes(),
            Format::Binary => BINARY_HEAD,
        }
    }

    pub(crate) fn encode(self, event: &Event, out: &mut Vec<u8>) {
        let raw = event.raw();
        let Some(&(name, _, has_data)) = VERBS.get(usize::from(raw.verb)) else {
            return;
        };
        match self {
            Format::Text => {
                out.extend_from_slice(name.as_bytes());
                for number in &raw.numbers {
                    out.extend_from_slice(format!(" {number:x}").as_bytes());
                }
                if has_data {
                    out.extend_from_slice(b" :");
                    for byte in &raw.data {
                        out.extend_from_slice(format!("{byte:02x}").as_bytes());
                    }
                }
                out.push(b'\n');
            }
            Format::Binary => {
                out.push(raw.verb);
                for &number in &raw.numbers {
                    varint(number, out);
                }
                if has_data {
                    varint(raw.data.len() as u64, out);
                    out.extend_from_slice(&raw.data);
                }
            }
        }
    }
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a trace's events. One that is cut short at its end, as by a process that was killed, ends with its last whole
/// event.
pub struct Reader<R> {
    name: String,
    input: R,
    format: Format,
    number: u64,
    line: Vec<u8>,
}

impl Reader<BufReader<File>> {
    /// Opens a file of either form.
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
        let first = TEXT_HEAD.len().min(BINARY_HEAD.len());
        let file = |source| TraceError::File {
            path: name.clone(),
            source,
        };
        (&mut input)
            .take(first as u64)
            .read_to_end(&mut head)
            .map_err(file)?;
        let format = if head.first() == Some(&0) {
            Format::Binary
        } else {
            Format::Text
        };
        let rest = format.head().len() - head.len().min(format.head().len());
        (&mut input)
            .take(rest as u64)
            .read_to_end(&mut head)
            .map_err(file)?;
        if head != format.head() {
            return Err(TraceError::NoTrace(name));
        }
        Ok(Reader {
            name,
            input,
            format,
            number: 0,
            line: Vec::new(),
        })
    }

    fn text(&mut self) -> io::Result<Option<Option<Raw>>> {
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

    /// `None` at the end, even where it comes in the middle of something.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        match self.input.read_exact(&mut byte) {
            Ok(()) => Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn varint(&mut self) -> io::Result<Option<u64>> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.byte()? else {
                return Ok(None);
            };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(Some(value))
    }

    fn binary(&mut self) -> io::Result<Option<Option<Raw>>> {
        let Some(verb) = self.byte()? else {
            return Ok(None);
        };
        let Some(&(_, count, has_data)) = VERBS.get(usize::from(verb)) else {
            return Ok(Some(None));
        };
        let mut raw = Raw {
            verb,
            ..Raw::default()
        };
        for _ in 0..count {
            let Some(number) = self.varint()? else {
                return Ok(None);
            };
            raw.numbers.push(number);
        }
        if has_data {
            let Some(len) = self.varint()? else {
                return Ok(None);
            };
            if len > MAX_DATA {
                return Ok(Some(None));
            }
            (&mut self.input).take(len).read_to_end(&mut raw.data)?;
            if raw.data.len() as u64 != len {
                return Ok(None);
            }
        }
        Ok(Some(Some(raw)))
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
        let raw = match self.format {
            Format::Text => self.text(),
            Format::Binary => self.binary(),
        };
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
