// SPDX-License-Identifier: GPL-2.0

//! The chip's state at the moment of a transmit timeout: later it has been reset.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtl8111b_control::{Client, Request};

use crate::dmesg::TIMED_OUT;

/// The model's answers to [`QUESTIONS`] at that time, each time, among the artifacts.
pub const STATE: &str = "watchdog-state.json";

const QUESTIONS: [Request; 3] = [Request::Faults, Request::Counters, Request::State];
const PAUSE: Duration = Duration::from_millis(100);

/// Looks at the console until it is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at `console`, and asks the model on `control` when it is time.
    pub fn start(console: &Path, control: &Path, artifacts: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (console, control) = (console.to_path_buf(), control.to_path_buf());
        let state = artifacts.join(STATE);
        let worker = thread::spawn({
            let stop = stop.clone();
            move || {
                let mut times = 0;
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(PAUSE);
                    let text = fs::read(&console).unwrap_or_default();
                    let now = String::from_utf8_lossy(&text).matches(TIMED_OUT).count();
                    if now > times {
                        times = now;
                        // This is evidence of a failure that others report.
                        let _ = ask(&control, &state);
                    }
                }
            }
        });
        Self {
            stop,
            worker: Some(worker),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn ask(control: &Path, state: &Path) -> std::io::Result<()> {
    let mut model = Client::connect(control).map_err(std::io::Error::other)?;
    let mut file = File::options().create(true).append(true).open(state)?;
    for question in QUESTIONS {
        let answer = model.ask_json(&question).map_err(std::io::Error::other)?;
        writeln!(file, "{answer}")?;
    }
    Ok(())
}
