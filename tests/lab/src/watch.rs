//! What the chip holds in the moment in which the network core finds that nothing is sent: later it has been reset.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::dmesg::TIMED_OUT;

/// What the model says then, among the artifacts: its answers to [`QUESTIONS`], for each time.
pub const STATE: &str = "watchdog-state.json";

const QUESTIONS: [&str; 3] = ["faults", "counters", "state"];
const PAUSE: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(5);

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
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut file = File::options().create(true).append(true).open(state)?;
    for question in QUESTIONS {
        writeln!(stream, "{}", serde_json::json!({ "cmd": question }))?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        file.write_all(line.as_bytes())?;
    }
    Ok(())
}
