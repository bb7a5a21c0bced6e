//! Talks to a running model: one JSON object per line over a unix socket, each answered by one line.
//!
//! Requests: `{"cmd":"counters"}`, `{"cmd":"reset-counters"}`, `{"cmd":"state"}`, `{"cmd":"link","up":true}`,
//! `{"cmd":"partner","modes":"100half"}`, `{"cmd":"faults"}` and `{"cmd":"fault","name":"tx-stall","on":true}`; the last may have `"seed"`, `"rate"` (one in so
//! many), `"count"`, `"millis"` (numbers) and `"until_reset"` (true or false) besides. Answers have `"ok":true` and what
//! was asked for, or `"ok":false` and `"error"` in one line.
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

use serde_json::json;
use serde_json::Map;
use serde_json::Value;
use thiserror::Error;

/// The longest request.
const LONGEST: u64 = 4096;
/// How many may talk at once.
const CLIENTS: usize = 8;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What has been counted.
    Counters,
    /// Count from zero again.
    ResetCounters,
    /// Registers, rings and PHY.
    State,
    /// Plug the cable in or pull it.
    Link {
        /// In or out.
        up: bool,
    },
    /// Plug the cable into another partner.
    Partner {
        /// The modes that it has, as on the command line.
        modes: String,
    },
    /// The faults there are, and how they stand.
    Faults,
    /// Turn a fault on or off.
    Fault(FaultRequest),
}

/// A fault to be turned on or off; what is not given is as usual for the fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultRequest {
    /// Its name.
    pub name: String,
    /// On or off.
    pub on: bool,
    /// Where its chance begins.
    pub seed: Option<u64>,
    /// It strikes at one in so many occasions.
    pub rate: Option<u32>,
    /// It ends after so many strikes.
    pub count: Option<u32>,
    /// Its time, in milliseconds.
    pub millis: Option<u32>,
    /// It ends with the next reset by the driver.
    pub until_reset: bool,
}

/// A request that is none.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Not JSON.
    #[error("not a JSON object in one line: {0}")]
    Json(String),
    /// No command in it.
    #[error("no \"cmd\" in the request")]
    NoCommand,
    /// A command we do not have.
    #[error(
        "unknown command {0:?}; there are counters, reset-counters, state, link, partner, faults, fault"
    )]
    Unknown(String),
    /// A parameter is missing or is of another type.
    #[error("command {0:?} needs {1}")]
    Parameter(&'static str, &'static str),
}

impl Request {
    /// Understands a line.
    pub fn parse(line: &str) -> Result<Request, RequestError> {
        let object: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| RequestError::Json(error.to_string()))?;
        let command = object
            .get("cmd")
            .and_then(Value::as_str)
            .ok_or(RequestError::NoCommand)?;
        match command {
            "counters" => Ok(Request::Counters),
            "reset-counters" => Ok(Request::ResetCounters),
            "state" => Ok(Request::State),
            "link" => {
                let up = object.get("up").and_then(Value::as_bool);
                let up = up.ok_or(RequestError::Parameter("link", "\"up\": true or false"))?;
                Ok(Request::Link { up })
            }
            "partner" => {
                let modes = object.get("modes").and_then(Value::as_str);
                let modes = modes.ok_or(RequestError::Parameter("partner", "\"modes\": a list"))?;
                Ok(Request::Partner {
                    modes: modes.to_owned(),
                })
            }
            "faults" => Ok(Request::Faults),
            "fault" => FaultRequest::parse(&object).map(Request::Fault),
            other => Err(RequestError::Unknown(other.chars().take(40).collect())),
        }
    }

    /// The line that asks for it.
    pub fn line(&self) -> String {
        let value = match self {
            Request::Counters => json!({"cmd": "counters"}),
            Request::ResetCounters => json!({"cmd": "reset-counters"}),
            Request::State => json!({"cmd": "state"}),
            Request::Link { up } => json!({"cmd": "link", "up": up}),
            Request::Partner { modes } => json!({"cmd": "partner", "modes": modes}),
            Request::Faults => json!({"cmd": "faults"}),
            Request::Fault(fault) => fault.value(),
        };
        value.to_string()
    }
}

impl FaultRequest {
    fn parse(object: &Map<String, Value>) -> Result<Self, RequestError> {
        let wrong = |what| RequestError::Parameter("fault", what);
        let number = |key: &str| match object.get(key) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or(()),
        };
        let small = |key: &str, what| {
            number(key)
                .and_then(|value| value.map(u32::try_from).transpose().map_err(drop))
                .map_err(|()| wrong(what))
        };
        let name = object.get("name").and_then(Value::as_str);
        let on = object.get("on").and_then(Value::as_bool);
        Ok(FaultRequest {
            name: name.ok_or(wrong("\"name\": a fault's name"))?.to_owned(),
            on: on.ok_or(wrong("\"on\": true or false"))?,
            seed: number("seed").map_err(|()| wrong("\"seed\" to be a number"))?,
            rate: small("rate", "\"rate\" to be a number")?,
            count: small("count", "\"count\" to be a number")?,
            millis: small("millis", "\"millis\" to be a number")?,
            until_reset: match object.get("until_reset") {
                None => false,
                Some(value) => value
                    .as_bool()
                    .ok_or(wrong("\"until_reset\": true or false"))?,
            },
        })
    }

    fn value(&self) -> Value {
        let mut value = json!({"cmd": "fault", "name": self.name, "on": self.on});
        if let Some(seed) = self.seed {
            value["seed"] = seed.into();
        }
        for (key, number) in [
            ("rate", self.rate),
            ("count", self.count),
            ("millis", self.millis),
        ] {
            if let Some(number) = number {
                value[key] = number.into();
            }
        }
        if self.until_reset {
            value["until_reset"] = true.into();
        }
        value
    }
}

/// Who answers.
pub trait Handler: Send + Sync + 'static {
    /// Does what is asked; what comes back is added to the answer's `"ok":true`. An error is one line.
    fn handle(&self, request: Request) -> Result<Map<String, Value>, String>;
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
        if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            let _ = writeln!(&stream, "{}", failure("too many clients"));
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

fn failure(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

fn talk(stream: &UnixStream, handler: &dyn Handler) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        let count = match (&mut reader).take(LONGEST).read_line(&mut line) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return write_line(stream, &failure("the request is not UTF-8"));
            }
            Err(error) => return Err(error),
        };
        if count == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') && count as u64 == LONGEST {
            return write_line(stream, &failure("the request is too long"));
        }
        if line.trim().is_empty() {
            continue;
        }
        let answer = match Request::parse(&line) {
            Ok(request) => match handler.handle(request) {
                Ok(mut answer) => {
                    answer.insert("ok".to_owned(), true.into());
                    Value::Object(answer)
                }
                Err(error) => failure(&error),
            },
            Err(error) => failure(&error.to_string()),
        };
        write_line(stream, &answer)?;
    }
}

fn write_line(mut stream: &UnixStream, value: &Value) -> io::Result<()> {
    let mut line = value.to_string();
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// Why asking failed.
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
    /// The answer makes no sense.
    #[error("control socket {path}: the answer is not JSON: {source}")]
    Answer {
        /// The socket.
        path: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// The model says no.
    #[error("{0}")]
    Refused(String),
}

/// Asks a running model.
pub fn ask(path: &Path, request: &Request) -> Result<Value, AskError> {
    let name = || path.display().to_string();
    let socket = |source| AskError::Socket {
        path: name(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(socket)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(socket)?;
    writeln!(stream, "{}", request.line()).map_err(socket)?;
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .map_err(socket)?;
    let answer: Value = serde_json::from_str(&line).map_err(|source| AskError::Answer {
        path: name(),
        source,
    })?;
    if answer.get("ok") == Some(&Value::Bool(true)) {
        Ok(answer)
    } else {
        let error = answer
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or("no reason given");
        Err(AskError::Refused(error.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Handler for Echo {
        fn handle(&self, request: Request) -> Result<Map<String, Value>, String> {
            if request == Request::ResetCounters {
                return Err("never".to_owned());
            }
            let mut answer = Map::new();
            answer.insert("heard".to_owned(), format!("{request:?}").into());
            Ok(answer)
        }
    }

    #[test]
    fn requests() {
        for request in [
            Request::Counters,
            Request::ResetCounters,
            Request::State,
            Request::Link { up: true },
            Request::Link { up: false },
            Request::Faults,
            Request::Fault(FaultRequest {
                name: "tx-stall".to_owned(),
                on: true,
                ..FaultRequest::default()
            }),
            Request::Fault(FaultRequest {
                name: "lie".to_owned(),
                on: true,
                seed: Some(u64::MAX),
                rate: Some(2),
                count: Some(3),
                millis: Some(4),
                until_reset: true,
            }),
        ] {
            assert_eq!(Request::parse(&request.line()), Ok(request));
        }
        assert_eq!(Request::parse("{}"), Err(RequestError::NoCommand));
        assert!(matches!(
            Request::parse("counters"),
            Err(RequestError::Json(_))
        ));
        assert!(matches!(
            Request::parse("{\"cmd\":\"x\"}"),
            Err(RequestError::Unknown(_))
        ));
        for line in [
            "{\"cmd\":\"link\",\"up\":1}",
            "{\"cmd\":\"fault\",\"name\":\"lie\"}",
            "{\"cmd\":\"fault\",\"on\":true}",
            "{\"cmd\":\"fault\",\"name\":\"lie\",\"on\":true,\"rate\":4294967296}",
            "{\"cmd\":\"fault\",\"name\":\"lie\",\"on\":true,\"seed\":-1}",
            "{\"cmd\":\"fault\",\"name\":\"lie\",\"on\":true,\"until_reset\":1}",
        ] {
            let parsed = Request::parse(line);
            assert!(
                matches!(parsed, Err(RequestError::Parameter(..))),
                "{line}: {parsed:?}"
            );
        }
    }

    #[test]
    fn a_talk() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || talk(&theirs, &Echo));
        let mut reader = BufReader::new(ours.try_clone().unwrap());
        let mut ask = |line: &str| -> Value {
            // In one piece: the other end may hang up on a line that is too long.
            (&ours).write_all(format!("{line}\n").as_bytes()).unwrap();
            let mut answer = String::new();
            reader.read_line(&mut answer).unwrap();
            serde_json::from_str(&answer).unwrap()
        };
        assert_eq!(
            ask("{\"cmd\":\"state\"}"),
            json!({"ok": true, "heard": "State"})
        );
        assert_eq!(ask("{\"cmd\":\"dance\"}")["ok"], false);
        assert_eq!(ask("{\"cmd\":\"reset-counters\"}")["error"], "never");
        assert_eq!(ask(&"x".repeat(5000))["error"], "the request is too long");
        server.join().unwrap().unwrap();
    }
}
