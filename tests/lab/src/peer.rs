// SPDX-License-Identifier: GPL-2.0

//! The lab itself at the far end of the wire, frame by frame.
//!
//! The framing is QEMU's for stream sockets: the length in four bytes, big-endian, then the frame.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::frame;
use crate::process::wait_for;
use crate::{Error, Result};

/// Longer than any frame: what announces more is not a frame.
const LIMIT: usize = 65_536;

/// The time for which the guest may leave a frame on the wire.
const WRITE: Duration = Duration::from_secs(10);

/// A socket that waits for the model's wire.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Makes the socket.
    pub fn listen(sockets: &Path) -> Result<Self> {
        let path = sockets.join("peer");
        let listener = UnixListener::bind(&path).map_err(Error::file(&path, "listening"))?;
        Ok(Self { listener, path })
    }

    /// Returns where the wire connects to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the wire.
    pub fn accept(self) -> Result<Peer> {
        let failed = || Error::file(&self.path, "accepting the wire");
        self.listener.set_nonblocking(true).map_err(failed())?;
        let limit = Duration::from_secs(20);
        let stream = wait_for("the model to connect its wire", limit, || {
            match self.listener.accept() {
                Ok((stream, _)) => Ok(Some(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(failed()(error)),
            }
        })?;
        stream.set_nonblocking(false).map_err(failed())?;
        stream.set_write_timeout(Some(WRITE)).map_err(failed())?;
        let mut input = stream.try_clone().map_err(failed())?;
        let (sender, frames) = mpsc::channel();
        let reader = thread::spawn(move || {
            // The wire ends with the model; then no receiver is left.
            while let Ok(frame) = read_frame(&mut input) {
                if frame::is_ours(&frame) && sender.send(frame).is_err() {
                    break;
                }
            }
        });
        Ok(Peer {
            output: Arc::new(Mutex::new(stream)),
            frames,
            reader: Some(reader),
        })
    }
}

/// The far end of the wire.
#[derive(Debug)]
pub struct Peer {
    output: Arc<Mutex<UnixStream>>,
    frames: Receiver<Vec<u8>>,
    reader: Option<JoinHandle<()>>,
}

impl Peer {
    /// Puts a frame on the wire.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        write_frame(&self.output, frame).map_err(|error| wire(error.to_string()))
    }

    /// The next of the lab's frames from the guest, or none in time.
    pub fn receive(&mut self, limit: Duration) -> Result<Option<Vec<u8>>> {
        match self.frames.recv_timeout(limit) {
            Ok(frame) => Ok(Some(frame)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(wire("it was closed".to_owned())),
        }
    }

    /// Throws away what has come until the wire has been quiet for `quiet`.
    pub fn drain(&mut self, quiet: Duration) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.receive(quiet)?.is_some() {
            if Instant::now() > end {
                return Err(wire("it did not fall quiet within 30 s".to_owned()));
            }
        }
        Ok(())
    }

    /// Sends `frame` so many times a second, as far as the guest takes it, until the flood is
    /// dropped.
    pub fn flood(&self, frame: Vec<u8>, rate: u32) -> Flood {
        let output = self.output.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let shared_rate = Arc::new(AtomicU32::new(rate));
        let worker = thread::spawn({
            let (stop, sent, rate) = (stop.clone(), sent.clone(), shared_rate.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // Bursts of a millisecond: sleeping for less is not precise.
                    for _ in 0..rate.load(Ordering::Relaxed).div_ceil(1000) {
                        write_frame(&output, &frame)?;
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }
        });
        Flood {
            stop,
            sent,
            rate: shared_rate,
            worker: Some(worker),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Wakes the reader; it fails only when the other end is gone, which wakes it as well.
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = output.shutdown(std::net::Shutdown::Both);
        drop(output);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The same frame on the wire again and again.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    rate: Arc<AtomicU32>,
    worker: Option<JoinHandle<std::io::Result<()>>>,
}

impl Flood {
    /// Changes the frames a second: a guest that is kept busy polls and has no interrupts, one that
    /// is given time has one for every burst.
    pub fn set_rate(&self, rate: u32) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Returns how many frames have been sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the flood between two frames; fails if the wire was stuck or gone.
    pub fn stop(mut self) -> Result<u64> {
        self.halt().map_err(|error| wire(error.to_string()))?;
        Ok(self.sent())
    }

    fn halt(&mut self) -> std::io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(std::io::Error::other("the flood panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // `stop` gives the outcome.
        let _ = self.halt();
    }
}

fn wire(what: String) -> Error {
    Error::Protocol {
        peer: "the model's wire",
        what,
    }
}

/// Writes one frame; the lock keeps the frames of several senders whole.
pub(crate) fn write_frame(output: &Mutex<impl Write>, frame: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(std::io::Error::other)?;
    let mut message = Vec::with_capacity(frame.len() + 4);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(frame);
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(&message)
}

/// Reads one frame; an error ends the wire.
pub(crate) fn read_frame(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(std::io::Error::other)?;
    if length > LIMIT {
        return Err(std::io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_as_they_are_read() {
        let wire = Mutex::new(Vec::new());
        write_frame(&wire, b"one").unwrap();
        write_frame(&wire, b"").unwrap();
        let wire = wire.into_inner().unwrap();
        assert_eq!(wire, b"\0\0\0\x03one\0\0\0\0");
        let mut input = &wire[..];
        assert_eq!(read_frame(&mut input).unwrap(), b"one");
        assert_eq!(read_frame(&mut input).unwrap(), b"");
        assert!(read_frame(&mut input).is_err());
    }

    #[test]
    fn nonsense_lengths_end_the_wire() {
        assert!(read_frame(&mut &b"\xff\xff\xff\xff"[..]).is_err());
    }
}
