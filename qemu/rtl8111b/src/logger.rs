// SPDX-License-Identifier: GPL-2.0

//! The log: a line per message, with the seconds since the start, to a file or standard error.

use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use log::LevelFilter;
use log::Log;
use log::Metadata;
use log::Record;

struct Logger {
    begin: Instant,
    sink: Mutex<Box<dyn Write + Send>>,
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!(
            "[{:10.4}] {}: {}\n",
            self.begin.elapsed().as_secs_f64(),
            record.level().as_str().to_lowercase(),
            record.args()
        );
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to complain to.
        let _ = sink.write_all(line.as_bytes());
    }

    fn flush(&self) {
        let _ = self
            .sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flush();
    }
}

/// Starts logging. Later calls change nothing.
pub(crate) fn start(path: Option<&Path>, level: LevelFilter) -> io::Result<()> {
    let sink: Box<dyn Write + Send> = match path {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(io::stderr()),
    };
    let logger = Logger {
        begin: Instant::now(),
        sink: Mutex::new(sink),
    };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}
