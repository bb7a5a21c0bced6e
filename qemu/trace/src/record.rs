//! Writing a trace while a chip runs.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;

use rtl8111b_chip::Bus;
use rtl8111b_chip::Config;
use rtl8111b_chip::Fault;

use crate::codec::Format;
use crate::codec::TraceError;
use crate::event::Event;

/// Writes events to a file. When that fails, it says so once and records no more.
pub struct Recorder {
    output: Box<dyn Write + Send>,
    format: Format,
    path: String,
    failed: Option<TraceError>,
    line: bool,
    buffer: Vec<u8>,
}

impl Recorder {
    /// Begins a file with the chip that it is about.
    pub fn create(path: &Path, format: Format, config: Config) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        let file = match File::create(path) {
            Ok(file) => Box::new(BufWriter::new(file)),
            Err(source) => return Err(TraceError::Write { path: name, source }),
        };
        let mut recorder = Recorder::new(file, name, format, config);
        // One that cannot be written at all is told at once.
        recorder.flush();
        match recorder.failed.take() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }

    pub(crate) fn new(
        output: Box<dyn Write + Send>,
        path: String,
        format: Format,
        config: Config,
    ) -> Self {
        let mut recorder = Recorder {
            output,
            format,
            path,
            failed: None,
            line: false,
            buffer: format.head().to_vec(),
        };
        recorder.event(&Event::Chip(Box::new(config)));
        recorder
    }

    /// Adds an event.
    pub fn event(&mut self, event: &Event) {
        self.format.encode(event, &mut self.buffer);
        if self.failed.is_none() {
            if let Err(source) = self.output.write_all(&self.buffer) {
                self.fail(source);
            }
        }
        self.buffer.clear();
    }

    /// To be called after everything that may have moved the interrupt line.
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

    /// Whether everything has been recorded so far.
    pub fn is_whole(&self) -> bool {
        self.failed.is_none()
    }

    /// Why nothing more is recorded; told once.
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
pub struct Tap<'a> {
    bus: &'a mut dyn Bus,
    recorder: &'a mut Recorder,
}

impl<'a> Tap<'a> {
    /// Listens to `bus`.
    pub fn new(bus: &'a mut dyn Bus, recorder: &'a mut Recorder) -> Self {
        Tap { bus, recorder }
    }
}

impl Bus for Tap<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        let result = self.bus.read(address, into);
        let outcome = result.map(|()| into.to_vec());
        self.recorder
            .event(&Event::DmaRead(address, into.len(), outcome));
        result
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Fault> {
        let result = self.bus.write(address, from);
        self.recorder
            .event(&Event::DmaWrite(address, from.to_vec(), result));
        result
    }

    fn load(&mut self, address: u64) -> Result<u32, Fault> {
        let result = self.bus.load(address);
        self.recorder.event(&Event::Load(address, result));
        result
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), Fault> {
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
