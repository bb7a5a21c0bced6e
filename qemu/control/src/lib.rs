// SPDX-License-Identifier: GPL-2.0

//! Talks to a running model: one JSON object per line over a unix socket, each answered by one
//! line.
//!
//! A line that asks is a [`Request`]. One that answers has `"ok":true` and an [`Answer`] if there
//! is something to say, or `"ok":false` and `"error"` in one line. The model serves, `rtl8111b ctl`
//! and the lab ask by [`Client`].
#![forbid(unsafe_code)]

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

mod protocol;

pub use protocol::Accesses;
pub use protocol::Answer;
pub use protocol::Counters;
pub use protocol::Fault;
pub use protocol::FaultRequest;
pub use protocol::FaultSettings;
pub use protocol::Hex;
pub use protocol::Phy;
pub use protocol::Pme;
pub use protocol::Request;
pub use protocol::Ring;
pub use protocol::State;

use protocol::Reply;

/// The maximal length of a request.
const MAX_REQUEST: u64 = 4096;
/// The most clients that there may be at once.
const MAX_CLIENTS: usize = 8;
/// The time that an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The server's side of a request.
pub trait Handler: Send + Sync + 'static {
    /// Carries a request out; an error is one line.
    fn handle(&self, request: Request) -> Result<Option<Answer>, String>;
}

/// Answers until the process ends.
pub fn serve(listener: &UnixListener, handler: &Arc<dyn Handler>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                log::warn!("control: {error}");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            let _ = write_line(&stream, &failure("too many clients"));
            continue;
        }
        let (mine, handler) = (clients.clone(), handler.clone());
        let talk = move || {
            if let Err(error) = talk(&stream, handler.as_ref()) {
                log::debug!("control: {error}");
            }
            mine.fetch_sub(1, Ordering::Relaxed);
        };
        if let Err(error) = std::thread::Builder::new()
            .name("control client".to_owned())
            .spawn(talk)
        {
            log::warn!("control: {error}");
            clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn failure(error: &str) -> Reply {
    Reply {
        ok: false,
        error: Some(error.to_owned()),
        answer: None,
    }
}

fn talk(stream: &UnixStream, handler: &dyn Handler) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        let count = match (&mut reader).take(MAX_REQUEST).read_line(&mut line) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return write_line(stream, &failure("the request is not UTF-8"));
            }
            Err(error) => return Err(error),
        };
        if count == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') && count as u64 == MAX_REQUEST {
            return write_line(stream, &failure("the request is too long"));
        }
        if line.trim().is_empty() {
            continue;
        }
        let outcome = serde_json::from_str(&line)
            .map_err(|error| format!("not a request in one line: {error}"))
            .and_then(|request| handler.handle(request));
        let reply = match outcome {
            Ok(answer) => Reply {
                ok: true,
                error: None,
                answer,
            },
            Err(error) => failure(&error),
        };
        write_line(stream, &reply)?;
    }
}

fn write_line(mut stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_string(reply)?;
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// The reason why asking failed.
#[derive(Debug, Error)]
pub enum AskError {
    /// No server is there, or it went away.
    #[error("control socket {path}: {source}")]
    Socket {
        /// The socket.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// The answer is none, or one to another request.
    #[error("control socket {path}: found the answer {line:?}, expected one to {request:?}")]
    Answer {
        /// The socket.
        path: String,
        /// The answer.
        line: String,
        /// The request.
        request: Box<Request>,
    },
    /// The model refuses.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a running model.
#[derive(Debug)]
pub struct Client {
    path: String,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to a control socket.
    pub fn connect(path: &Path) -> Result<Self, AskError> {
        let name = path.display().to_string();
        let stream = UnixStream::connect(path)
            .and_then(|stream| stream.set_read_timeout(Some(TIMEOUT)).map(|()| stream));
        match stream {
            Ok(stream) => Ok(Self {
                path: name,
                stream: BufReader::new(stream),
            }),
            Err(source) => Err(AskError::Socket { path: name, source }),
        }
    }

    fn ask_line(&mut self, request: &Request) -> Result<String, AskError> {
        let mut line = String::new();
        let outcome = serde_json::to_string(request)
            .map_err(io::Error::from)
            .and_then(|request| writeln!(self.stream.get_mut(), "{request}"))
            .and_then(|()| self.stream.read_line(&mut line));
        outcome.map_err(|source| AskError::Socket {
            path: self.path.clone(),
            source,
        })?;
        Ok(line)
    }

    /// Asks for something; returns the answer if there is something to say.
    pub fn ask(&mut self, request: &Request) -> Result<Option<Answer>, AskError> {
        let line = self.ask_line(request)?;
        match serde_json::from_str(&line) {
            Ok(Reply {
                ok: true, answer, ..
            }) => Ok(answer),
            Ok(Reply { error, .. }) => Err(AskError::Refused(
                error.unwrap_or_else(|| "no reason given".to_owned()),
            )),
            Err(_) => Err(self.unexpected(request, line)),
        }
    }

    /// Asks for the counters.
    pub fn counters(&mut self) -> Result<Counters, AskError> {
        match self.ask(&Request::Counters)? {
            Some(Answer::Counters(counters)) => Ok(*counters),
            other => Err(self.unexpected(&Request::Counters, format!("{other:?}"))),
        }
    }

    /// Asks for registers, rings and PHY.
    pub fn state(&mut self) -> Result<State, AskError> {
        match self.ask(&Request::State)? {
            Some(Answer::State(state)) => Ok(*state),
            other => Err(self.unexpected(&Request::State, format!("{other:?}"))),
        }
    }

    /// Asks for the fault of that name; none if the model does not have it.
    pub fn fault(&mut self, name: &str) -> Result<Option<Fault>, AskError> {
        match self.ask(&Request::Faults)? {
            Some(Answer::Faults(mut faults)) => Ok(faults.remove(name)),
            other => Err(self.unexpected(&Request::Faults, format!("{other:?}"))),
        }
    }

    /// Asks for something; returns the whole answer as JSON, for what only passes it on.
    pub fn ask_json(&mut self, request: &Request) -> Result<serde_json::Value, AskError> {
        let (ok, error) = (true, None);
        let answer = self.ask(request)?;
        let value = serde_json::to_value(Reply { ok, error, answer });
        Ok(value.unwrap_or_default())
    }

    fn unexpected(&self, request: &Request, line: String) -> AskError {
        AskError::Answer {
            path: self.path.clone(),
            line,
            request: Box::new(request.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Handler for Echo {
        fn handle(&self, request: Request) -> Result<Option<Answer>, String> {
            match request {
                Request::Link { up } => Ok(Some(Answer::Link(up))),
                Request::Faults => Ok(None),
                _ => Err("never".to_owned()),
            }
        }
    }

    #[test]
    fn a_talk() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || talk(&theirs, &Echo));
        let mut reader = BufReader::new(ours.try_clone().unwrap());
        let mut ask = |line: &str| -> serde_json::Value {
            // In one piece: the other end may hang up on a line that is too long.
            (&ours).write_all(format!("{line}\n").as_bytes()).unwrap();
            let mut answer = String::new();
            reader.read_line(&mut answer).unwrap();
            serde_json::from_str(&answer).unwrap()
        };
        assert_eq!(
            ask("{\"cmd\":\"link\",\"up\":true}"),
            serde_json::json!({"ok": true, "link": true})
        );
        assert_eq!(ask("{\"cmd\":\"faults\"}"), serde_json::json!({"ok": true}));
        assert_eq!(ask("{\"cmd\":\"dance\"}")["ok"], false);
        assert_eq!(ask("{\"cmd\":\"reset-counters\"}")["error"], "never");
        assert_eq!(ask(&"x".repeat(5000))["error"], "the request is too long");
        server.join().unwrap().unwrap();
    }

    #[test]
    fn a_client() {
        let directory = std::env::temp_dir().join(format!("control-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let handler: Arc<dyn Handler> = Arc::new(Echo);
        std::thread::spawn(move || serve(&listener, &handler));
        let mut client = Client::connect(&path).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let answer = client.ask(&Request::Link { up: false }).unwrap();
        assert_eq!(answer, Some(Answer::Link(false)));
        let refused = client.counters().unwrap_err();
        assert_eq!(refused.to_string(), "never");
        // Good, but not to that request.
        let strange = client.fault("lie").unwrap_err();
        assert!(matches!(strange, AskError::Answer { .. }), "{strange}");
    }
}
