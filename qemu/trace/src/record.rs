// SPDX-License-Identifier: GPL-2.0

//! Writing a trace while a chip runs.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use rtl8111b_chip::Bus;
use rtl8111b_chip::BusError;
use rtl8111b_chip::Config;

use crate::codec::encode;
use crate::codec::TraceError;
use crate::codec::HEAD;
use crate::event::Event;

/// Writes events to a file. When that fails, it says so once and records no more.
pub struct Recorder {
    output: Box<dyn Write + Send>,
    path: String,
    failed: Option<TraceError>,
    line: bool,
    buffer: Vec<u8>,
    limit: Option<Limit>,
}

/// The limit to the size of a file.
struct Limit {
    bytes: u64,
    written: u64,
    path: PathBuf,
    config: Config,
}

impl Recorder {
    /// Begins a file with the chip that it is about.
    ///
    /// With a limit, in bytes, only the last events are kept: a file of that size is renamed to
    /// FILE.before, in the place of an earlier one, and the next begins. It can be shown, but not
    /// replayed.
    pub fn create(path: &Path, config: Config, limit: Option<u64>) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        let file = match File::create(path) {
            Ok(file) => Box::new(BufWriter::new(file)),
            Err(source) => return Err(TraceError::Write { path: name, source }),
        };
        let mut recorder = Recorder::new(file, name, config);
        recorder.limit = limit.map(|bytes| Limit {
            bytes,
            written: 0,
            path: path.to_path_buf(),
            config,
        });
        // One that cannot be written at all is reported at once.
        recorder.flush();
        match recorder.failed.take() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }

    pub(crate) fn new(output: Box<dyn Write + Send>, path: String, config: Config) -> Self {
        let mut recorder = Recorder {
            output,
            path,
            failed: None,
            line: false,
            buffer: HEAD.as_bytes().to_vec(),
            limit: None,
        };
        recorder.event(&Event::Chip(Box::new(config)));
        recorder
    }

    /// Adds an event.
    pub fn event(&mut self, event: &Event) {
        encode(event, &mut self.buffer);
        if self.failed.is_none() {
            if let Err(source) = self.output.write_all(&self.buffer) {
                self.fail(source);
            }
        }
        let written = self.buffer.len() as u64;
        self.buffer.clear();
        if let Some(limit) = &mut self.limit {
            limit.written += written;
            if limit.written > limit.bytes && self.failed.is_none() {
                if let Err(source) = self.begin_anew() {
                    self.fail(source);
                }
            }
        }
    }

    /// Puts the file that is full aside, and begins the next.
    fn begin_anew(&mut self) -> io::Result<()> {
        let Some(limit) = &mut self.limit else {
            return Ok(());
        };
        self.output.flush()?;
        let mut before = limit.path.clone().into_os_string();
        before.push(".before");
        fs::rename(&limit.path, before)?;
        self.output = Box::new(BufWriter::new(File::create(&limit.path)?));
        let mut start = HEAD.as_bytes().to_vec();
        let chip = Event::Chip(Box::new(limit.config));
        encode(&chip, &mut start);
        limit.written = start.len() as u64;
        self.output.write_all(&start)
    }

    /// Records the interrupt line; is called after everything that may have moved it.
    pub fn line(&mut self, level: bool) {
        if level != self.line {
            self.line = level;
            self.event(&Event::Line(level));
        }
    }

    /// Brings the file up to date.
    pub fn flush(&mut self) {
        if let Err(source) = self.output.flush() {
            self.fail(source);
        }
    }

    fn fail(&mut self, source: std::io::Error) {
        if self.failed.is_none() {
            let path = self.path.clone();
            self.failed = Some(TraceError::Write { path, source });
        }
    }

    /// Returns whether everything has been recorded so far.
    pub fn is_whole(&self) -> bool {
        self.failed.is_none()
    }

    /// Returns why nothing more is recorded; reported once.
    pub fn take_failure(&mut self) -> Option<String> {
        let text = self.failed.as_ref()?.to_string();
        if self.path.is_empty() {
            return None;
        }
        self.path.clear();
        Some(text)
    }
}

/// A bus that is listened to.
pub struct BusProbe<'a> {
    bus: &'a mut dyn Bus,
    recorder: &'a mut Recorder,
}

impl<'a> BusProbe<'a> {
    /// Listens to `bus`.
    pub fn new(bus: &'a mut dyn Bus, recorder: &'a mut Recorder) -> Self {
        BusProbe { bus, recorder }
    }
}

impl Bus for BusProbe<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        let result = self.bus.read(address, into);
        let outcome = result.map(|()| into.to_vec());
        self.recorder
            .event(&Event::DmaRead(address, into.len(), outcome));
        result
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        let result = self.bus.write(address, from);
        self.recorder
            .event(&Event::DmaWrite(address, from.to_vec(), result));
        result
    }

    fn load(&mut self, address: u64) -> Result<u32, BusError> {
        let result = self.bus.load(address);
        self.recorder.event(&Event::Load(address, result));
        result
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError> {
        let result = self.bus.store(address, value);
        self.recorder.event(&Event::Store(address, value, result));
        result
    }

    fn cable_ready(&mut self) -> bool {
        let ready = self.bus.cable_ready();
        self.recorder.event(&Event::Ready(ready));
        ready
    }

    fn transmit(&mut self, frame: &[u8]) {
        self.recorder.event(&Event::Sent(frame.to_vec()));
        self.bus.transmit(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;

    #[test]
    fn a_limited_file_keeps_the_last_events() {
        let directory = std::env::temp_dir().join(format!("trace-limit-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("run.trace");
        let mut recorder = Recorder::create(&path, Config::default(), Some(2000)).unwrap();
        for time in 0..5000 {
            recorder.event(&Event::Tick(time));
        }
        recorder.flush();
        let mut times = Vec::new();
        for name in ["run.trace.before", "run.trace"] {
            let file = directory.join(name);
            assert!(fs::metadata(&file).unwrap().len() < 3000);
            let mut events = Reader::open(&file).unwrap();
            assert!(matches!(events.next(), Some(Ok(Event::Chip(_)))));
            times.extend(events.map(|event| match event.unwrap() {
                Event::Tick(time) => time,
                event => panic!("{event:?} was not recorded"),
            }));
        }
        let first = 5000 - times.len() as u64;
        assert!(times.len() > 100 && times.iter().copied().eq(first..5000));
        fs::remove_dir_all(&directory).unwrap();
    }
}
