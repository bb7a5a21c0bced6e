//! The sending half of a cable.

use std::fs::File;
use std::io;
use std::io::IoSlice;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use vmm_sys_util::eventfd::EventFd;

use crate::Pcap;
use crate::LONGEST;

/// Bytes that may wait for the peer: more than the segments of the largest frame that a chip sends.
const BACKLOG: usize = 4 * LONGEST;

/// One end of a cable with somebody at the other; never blocks.
#[derive(Debug)]
pub enum Link {
    /// Frames behind their lengths.
    Stream(UnixStream),
    /// One frame per read and write.
    Tap(File),
}

impl Link {
    pub(crate) fn try_clone(&self) -> io::Result<Link> {
        Ok(match self {
            Link::Stream(stream) => Link::Stream(stream.try_clone()?),
            Link::Tap(file) => Link::Tap(file.try_clone()?),
        })
    }

    pub(crate) fn framed(&self) -> bool {
        matches!(self, Link::Stream(_))
    }

    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Link::Stream(stream) => stream.as_raw_fd(),
            Link::Tap(file) => file.as_raw_fd(),
        }
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Stream(stream) => stream.read(into),
            Link::Tap(file) => file.read(into),
        }
    }
}

/// Where the device puts its frames.
#[derive(Debug)]
pub struct Sender {
    link: Option<Link>,
    /// What of the last frame the peer has not taken yet.
    pending: Vec<u8>,
    pcap: Option<Arc<Mutex<Pcap>>>,
    kick: Arc<EventFd>,
    dropped: u64,
}

impl Sender {
    pub(crate) fn new(
        link: Option<Link>,
        pcap: Option<Arc<Mutex<Pcap>>>,
        kick: Arc<EventFd>,
    ) -> Self {
        Sender {
            link,
            pending: Vec::new(),
            pcap,
            kick,
            dropped: 0,
        }
    }

    /// A cable that ends nowhere, and is not watched.
    pub fn none() -> io::Result<Self> {
        let kick = Arc::new(EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?);
        Ok(Sender::new(None, None, kick))
    }

    /// Somebody else is at the other end now, or nobody.
    pub fn attach(&mut self, link: Option<Link>) {
        self.link = link;
        self.pending.clear();
    }

    /// Whether a frame would be taken now.
    pub fn ready(&self) -> bool {
        self.pending.is_empty()
    }

    /// Frames that went nowhere for want of a peer.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Wakes the [`Pump`](crate::Pump): something has changed that it should look at.
    pub fn kick(&self) {
        // A counter that is full has woken it already.
        let _ = self.kick.write(1);
    }

    /// Sends a frame. To be called while [`Sender::ready`]; what the peer does not take at once waits here. The segments
    /// of one large send come in a row and may all have to wait; beyond [`BACKLOG`] frames are lost.
    pub fn send(&mut self, frame: &[u8]) {
        if let Some(pcap) = &self.pcap {
            pcap.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .frame(frame);
        }
        let result = match &self.link {
            None => Ok(false),
            Some(Link::Stream(_)) if !self.pending.is_empty() => Ok(self.queue(frame)),
            Some(Link::Tap(file)) => write_tap(file, frame),
            Some(Link::Stream(stream)) => write_stream(stream, frame, &mut self.pending),
        };
        match result {
            Ok(true) if !self.pending.is_empty() => self.kick(),
            Ok(true) => {}
            Ok(false) => self.dropped += 1,
            Err(error) => {
                // The pump sees the end of the stream by itself and looks for a new peer.
                log::info!("wire: {error}");
                self.dropped += 1;
                self.attach(None);
            }
        }
    }

    fn queue(&mut self, frame: &[u8]) -> bool {
        let fits = self.pending.len() + frame.len() <= BACKLOG;
        if fits {
            self.pending
                .extend_from_slice(&(frame.len() as u32).to_be_bytes());
            self.pending.extend_from_slice(frame);
        }
        fits
    }

    /// Goes on with what was left. True once it is gone.
    pub fn flush(&mut self) -> bool {
        let Some(Link::Stream(stream)) = &self.link else {
            self.pending.clear();
            return true;
        };
        let mut stream = stream;
        let error = loop {
            if self.pending.is_empty() {
                return true;
            }
            match stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => break error,
            }
        };
        log::info!("wire: {error}");
        self.attach(None);
        true
    }
}

/// A TAP that takes no more loses the frame, as an interface that is down does.
fn write_tap(mut file: &File, frame: &[u8]) -> io::Result<bool> {
    match file.write(frame) {
        Ok(count) => Ok(count == frame.len()),
        Err(error) => {
            log::debug!("tap: {error}");
            Ok(false)
        }
    }
}

fn write_stream(mut stream: &UnixStream, frame: &[u8], pending: &mut Vec<u8>) -> io::Result<bool> {
    let head = (frame.len() as u32).to_be_bytes();
    let count = loop {
        match stream.write_vectored(&[IoSlice::new(&head), IoSlice::new(frame)]) {
            Ok(count) => break count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
            Err(error) => return Err(error),
        }
    };
    if count < head.len() + frame.len() {
        pending.extend_from_slice(head.get(count..).unwrap_or(&[]));
        pending.extend_from_slice(&frame[count.saturating_sub(head.len())..]);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peer_does_not_take_waits_and_arrives_whole() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let kick = Arc::new(EventFd::new(libc::EFD_NONBLOCK).unwrap());
        let mut sender = Sender::new(Some(Link::Stream(ours)), None, kick.clone());
        let mut sent = 0;
        while sender.ready() {
            sender.send(&[sent as u8; 1000]);
            sent += 1;
        }
        assert!(kick.read().is_ok(), "the pump is told to wait for room");
        for _ in 0..50 {
            sender.send(&[sent as u8; 1000]);
            sent += 1;
        }
        let reader = std::thread::spawn(move || {
            for i in 0..sent {
                let mut frame = [0; 1004];
                theirs.read_exact(&mut frame).unwrap();
                assert_eq!(frame[..4], 1000u32.to_be_bytes());
                assert_eq!(frame[4..], [i as u8; 1000]);
            }
        });
        while !sender.flush() {
            std::thread::yield_now();
        }
        reader.join().unwrap();
        assert_eq!(sender.dropped(), 0);
    }

    #[test]
    fn a_peer_that_takes_nothing_does_not_make_us_grow() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut sender = Sender::none().unwrap();
        sender.attach(Some(Link::Stream(ours)));
        for _ in 0..2000 {
            sender.send(&[0; 1500]);
        }
        assert!(sender.pending.len() <= BACKLOG + 1504);
        assert!(sender.dropped() > 0);
    }

    #[test]
    fn without_a_peer_frames_are_lost_and_counted() {
        let mut sender = Sender::none().unwrap();
        sender.send(&[0; 60]);
        assert!(sender.ready() && sender.flush());
        let (ours, theirs) = UnixStream::pair().unwrap();
        sender.attach(Some(Link::Stream(ours)));
        drop(theirs);
        sender.send(&[0; 60]);
        sender.send(&[0; 60]);
        assert!(sender.ready());
        assert_eq!(sender.dropped(), 3);
    }
}
