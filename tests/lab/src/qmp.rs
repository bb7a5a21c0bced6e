// SPDX-License-Identifier: GPL-2.0

//! QEMU's own control channel (QMP): what is done to the machine from outside, such as unplugging a
//! card.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{json, Value};

use crate::process::wait_for;
use crate::{Error, Result};

/// QEMU answers at once, unless the machine is very busy.
const ANSWER: Duration = Duration::from_secs(30);

/// The lab's end of the channel.
#[derive(Debug)]
pub struct Qmp {
    listener: UnixListener,
    stream: Option<BufReader<UnixStream>>,
    events: Vec<Value>,
}

impl Qmp {
    /// Listens on `path`, where QEMU will connect to.
    pub fn listen(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path).map_err(Error::file(path, "listening"))?;
        listener
            .set_nonblocking(true)
            .map_err(Error::file(path, "listening"))?;
        Ok(Self {
            listener,
            stream: None,
            events: Vec::new(),
        })
    }

    /// Has a command carried out; returns what it answers.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.connect()?;
        self.request(command, arguments)
    }

    /// Has a command of the human monitor carried out, which must have nothing to say.
    pub fn monitor(&mut self, line: &str) -> Result<()> {
        let said = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        if said
            .as_str()
            .is_some_and(|text| text.starts_with("OK") || text.is_empty())
        {
            Ok(())
        } else {
            Err(protocol(format!("{said} to {line:?}")))
        }
    }

    /// Writes to `path` what the registers of all processors hold, twice: it shows a processor that
    /// hangs apart from one that waits.
    pub fn save_registers(&mut self, path: &Path) -> Result<()> {
        let line = json!({ "command-line": "info registers -a" });
        let mut text = String::new();
        for _ in 0..2 {
            let said = self.execute("human-monitor-command", &line)?;
            text.push_str(said.as_str().unwrap_or_default());
            text.push('\n');
        }
        fs::write(path, text).map_err(Error::file(path, "writing"))
    }

    /// Waits until QEMU has reported an event of that name, about that device if there is one, and
    /// forgets all before it.
    pub fn wait_event(&mut self, name: &str, device: Option<&str>, limit: Duration) -> Result<()> {
        let what = format!("QEMU to report {name} {}", device.unwrap_or_default());
        wait_for(&what, limit, || {
            // An answer brings along all events that came before it.
            self.execute("query-status", &json!({}))?;
            let found = self.events.iter().position(|event| {
                event["event"] == name && event["data"]["device"].as_str() == device
            });
            Ok(found.map(|at| {
                self.events.drain(..=at);
            }))
        })
    }

    fn connect(&mut self) -> Result<()> {
        if self.stream.is_some() {
            return Ok(());
        }
        let stream = wait_for("QEMU to open its control channel", ANSWER, || {
            match self.listener.accept() {
                Ok((stream, _)) => Ok(Some(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(protocol(error.to_string())),
            }
        })?;
        stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(ANSWER)))
            .map_err(|error| protocol(error.to_string()))?;
        let stream = self.stream.insert(BufReader::new(stream));
        let greeting = read(stream)?;
        if greeting.get("QMP").is_none() {
            return Err(protocol(format!("{greeting} for a greeting")));
        }
        self.request("qmp_capabilities", &json!({})).map(|_| ())
    }

    fn request(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        let stream = self
            .stream
            .as_mut()
            .ok_or_else(|| protocol("no connection".to_owned()))?;
        // In one piece: QEMU does not wait for the line feed, and after `quit` nothing would read
        // it.
        let line = format!("{request}\n");
        stream
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(|error| protocol(error.to_string()))?;
        loop {
            let mut answer = read(stream)?;
            if answer.get("event").is_some() {
                self.events.push(answer);
            } else if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            } else {
                return Err(protocol(format!("{answer} to {request}")));
            }
        }
    }
}

fn read(stream: &mut impl BufRead) -> Result<Value> {
    let mut line = String::new();
    stream
        .read_line(&mut line)
        .map_err(|error| protocol(error.to_string()))?;
    serde_json::from_str(&line).map_err(|error| protocol(format!("{line:?}: {error}")))
}

fn protocol(what: String) -> Error {
    Error::Protocol { peer: "QEMU", what }
}
