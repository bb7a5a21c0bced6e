// SPDX-License-Identifier: GPL-2.0

//! The control channel: shell commands to the guest over its second serial port.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Starts every line of the protocol; no tool writes it by itself.
const MARK: &str = "\u{1e}";

/// The greeting of a program that answers in place of the guest's shell.
pub(crate) const READY: &str = "\u{1e}ready program\n";

/// The end of the answer of such a program to the request of that number.
pub(crate) fn end(number: &str) -> String {
    format!("\n{MARK}end {number} 0\n")
}

/// The outcome of a command in the guest.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Its output, standard output and errors together.
    pub text: String,
}

/// The socket that the guest will connect to.
#[derive(Debug)]
pub struct Endpoint {
    listener: UnixListener,
}

impl Endpoint {
    /// Listens on `path`.
    pub fn listen(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path).map_err(Error::file(path, "listening"))?;
        listener
            .set_nonblocking(true)
            .map_err(Error::file(path, "listening"))?;
        Ok(Self { listener })
    }

    /// The channel, once QEMU has connected.
    pub fn accept(&self) -> Result<Option<Channel>> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                let set_up = stream
                    .set_nonblocking(false)
                    .and_then(|()| stream.set_read_timeout(Some(Duration::from_millis(50))));
                set_up.map_err(|error| protocol(error.to_string()))?;
                Ok(Some(Channel {
                    stream,
                    pending: Vec::new(),
                    number: 0,
                }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(protocol(error.to_string())),
        }
    }
}

/// The lab's end of the control channel.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    pending: Vec<u8>,
    number: u32,
}

/// The reason why no answer came.
#[derive(Debug)]
pub enum Silence {
    /// The time was up; this much had been written so far.
    Timeout(String),
    /// The guest closed the channel, which it never does while it lives.
    Closed,
    /// The channel failed.
    Failed(Error),
}

impl Channel {
    /// Waits for the guest's greeting; returns the kernel version that it reports.
    pub fn wait_ready(&mut self, limit: Duration) -> std::result::Result<String, Silence> {
        let greeting = format!("{MARK}ready ");
        let (_, line) = self.read_until(&greeting, Instant::now() + limit)?;
        Ok(line.trim().to_owned())
    }

    /// Runs a shell script in the guest.
    pub fn run(&mut self, script: &str, limit: Duration) -> std::result::Result<Output, Silence> {
        let number = self.send(script)?;
        self.wait(number, limit)
    }

    /// Has the guest begin a shell script; returns its number.
    pub fn send(&mut self, script: &str) -> std::result::Result<u32, Silence> {
        self.number += 1;
        let request = format!("{} {}\n", self.number, base64(script.as_bytes()));
        match self.stream.write_all(request.as_bytes()) {
            Ok(()) => Ok(self.number),
            Err(error) => Err(match error.kind() {
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Silence::Closed,
                _ => Silence::Failed(protocol(error.to_string())),
            }),
        }
    }

    /// Waits until the script of that number has ended.
    pub fn wait(&mut self, number: u32, limit: Duration) -> std::result::Result<Output, Silence> {
        let end = format!("{MARK}end {number} ");
        let (text, status) = self.read_until(&end, Instant::now() + limit)?;
        let status = status
            .trim()
            .parse()
            .map_err(|_| Silence::Failed(protocol(format!("exit status {status:?}"))))?;
        Ok(Output {
            status,
            // The guest ends the output with a line feed of its own.
            text: text.strip_suffix('\n').unwrap_or(&text).to_owned(),
        })
    }

    /// Reads up to a line that starts with `mark`: what came before it, and the rest of that line.
    fn read_until(
        &mut self,
        mark: &str,
        deadline: Instant,
    ) -> std::result::Result<(String, String), Silence> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.pending, mark.as_bytes(), searched) {
                let rest = &self.pending[at + mark.len()..];
                if let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
                    let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                    let before = String::from_utf8_lossy(&self.pending[..at]).into_owned();
                    self.pending.drain(..at + mark.len() + length + 1);
                    return Ok((before, line));
                }
                searched = at;
            } else {
                searched = self.pending.len().saturating_sub(mark.len());
            }
            if Instant::now() >= deadline {
                let text = String::from_utf8_lossy(&self.pending).into_owned();
                return Err(Silence::Timeout(text));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Silence::Closed),
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset => return Err(Silence::Closed),
                    _ => return Err(Silence::Failed(protocol(error.to_string()))),
                },
            }
        }
    }
}

fn protocol(what: String) -> Error {
    Error::Protocol {
        peer: "the guest's control channel",
        what,
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack
        .get(from..)?
        .windows(needle.len())
        .position(|window| window == needle)
        .map(|at| at + from)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0_usize, |group, &byte| (group << 8) | usize::from(byte));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(DIGITS[(group >> (18 - 6 * place)) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Reads what [`base64`] has written.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0_u32;
        let mut digits = 0;
        for &byte in chunk.iter().filter(|&&byte| byte != b'=') {
            let digit = DIGITS.iter().position(|&digit| digit == byte)?;
            group |= (digit as u32) << (18 - 6 * digits);
            digits += 1;
        }
        let whole = group.to_be_bytes();
        bytes.extend_from_slice(whole.get(1..digits)?);
    }
    Some(bytes)
}

/// Reads pairs of hexadecimal digits.
pub(crate) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let channel = Channel {
            stream: near,
            pending: Vec::new(),
            number: 0,
        };
        (channel, far)
    }

    #[test]
    fn base64_pads_like_the_standard_says() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foo"), "Zm9v");
        assert_eq!(base64(b"foob"), "Zm9vYg==");
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
        for length in 0..9 {
            let bytes: Vec<u8> = (250..250 + length).map(|byte: u32| byte as u8).collect();
            assert_eq!(from_base64(&base64(&bytes)), Some(bytes));
        }
        assert_eq!(from_base64("Zg?="), None);
        assert_eq!(from_hex(b"00fF"), Some(vec![0, 255]));
        assert_eq!(from_hex(b"0g"), None);
    }

    #[test]
    fn an_answer_is_cut_out_of_what_surrounds_it() {
        let (mut channel, mut far) = pair();
        far.write_all(b"noise\n\x1eready 7.3.4\nleft over").unwrap();
        let ready = channel.wait_ready(Duration::from_secs(1)).unwrap();
        assert_eq!(ready, "7.3.4");
        far.write_all(b"\ntwo lines\n\n\x1eend 1 3\n").unwrap();
        let output = channel.run("x", Duration::from_secs(1)).unwrap();
        assert_eq!(output.status, 3);
        assert_eq!(output.text, "left over\ntwo lines\n");
    }

    #[test]
    fn silence_and_a_closed_channel_are_told_apart() {
        let (mut channel, far) = pair();
        let silence = channel.run("x", Duration::from_millis(30)).unwrap_err();
        assert!(matches!(silence, Silence::Timeout(_)));
        drop(far);
        let silence = channel.run("x", Duration::from_secs(1)).unwrap_err();
        assert!(matches!(silence, Silence::Closed));
    }
}
