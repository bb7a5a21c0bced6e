// SPDX-License-Identifier: GPL-2.0

//! The sending half of a cable.

use std::fs::File;
use std::io;
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
use crate::MAX_FRAME;

/// Bytes that are gathered before the chip has to wait.
const BATCH: usize = MAX_FRAME;

/// Bytes that may wait for the peer at most: more than a batch and the segments of the largest
/// frame that a chip sends.
const BACKLOG: usize = 4 * MAX_FRAME;

/// One end of a cable with a peer at the other; never blocks.
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

/// The queue that the device puts its frames into.
///
/// Frames for a stream are gathered and written in one piece by [`Sender::flush`]: a write per
/// frame would cost more than all the rest that is done for it.
#[derive(Debug)]
pub struct Sender {
    link: Option<Link>,
    /// Frames behind their lengths that the peer has not taken yet, from `done` on.
    pending: Vec<u8>,
    done: usize,
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
            done: 0,
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

    /// Another peer is at the other end now, or none.
    pub fn attach(&mut self, link: Option<Link>) {
        self.link = link;
        self.clear();
    }

    fn clear(&mut self) {
        self.pending.clear();
        self.done = 0;
    }

    /// Returns whether another frame would be taken now.
    pub fn ready(&self) -> bool {
        self.pending.len() < BATCH
    }

    /// Returns whether there is something for [`Sender::flush`] to do.
    pub fn waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Frames that went nowhere: for want of a peer, or because it takes nothing.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Wakes the [`EventLoop`](crate::EventLoop): something has changed that it should look at.
    pub fn kick(&self) {
        // A counter that is full has woken it already.
        let _ = self.kick.write(1);
    }

    /// Takes a frame; to be called while [`Sender::ready`]. The segments of one large send come in
    /// a row all the same; beyond [`BACKLOG`] frames are lost.
    pub fn send(&mut self, frame: &[u8]) {
        if let Some(pcap) = &self.pcap {
            pcap.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .frame(frame);
        }
        let taken = match &self.link {
            None => false,
            Some(Link::Tap(file)) => write_tap(file, frame),
            Some(Link::Stream(_)) => self.queue(frame),
        };
        if !taken {
            self.dropped += 1;
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

    /// Writes what has been gathered, as far as the peer takes it. True once it is gone.
    pub fn flush(&mut self) -> bool {
        while let Some(Link::Stream(stream)) = &self.link {
            let mut stream = stream;
            let rest = self.pending.get(self.done..).unwrap_or(&[]);
            if rest.is_empty() {
                break;
            }
            match stream.write(rest) {
                Ok(count) => self.done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What is gone makes room for what is to come.
                    self.pending.drain(..self.done);
                    self.done = 0;
                    return false;
                }
                Err(error) => {
                    // The event loop sees the end of the stream by itself and looks for a new peer.
                    log::info!("wire: {error}");
                    self.link = None;
                }
            }
        }
        self.clear();
        true
    }
}

/// A TAP that takes no more loses the frame, as an interface that is down does.
fn write_tap(mut file: &File, frame: &[u8]) -> bool {
    match file.write(frame) {
        Ok(count) => count == frame.len(),
        Err(error) => {
            log::debug!("tap: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sender, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut sender = Sender::none().unwrap();
        sender.attach(Some(Link::Stream(ours)));
        (sender, theirs)
    }

    #[test]
    fn what_the_peer_does_not_take_waits_and_arrives_whole() {
        let (mut sender, mut theirs) = pair();
        let mut sent = 0;
        loop {
            while sender.ready() {
                sender.send(&[sent as u8; 1000]);
                sent += 1;
            }
            if !sender.flush() {
                break;
            }
        }
        // A large send does not look whether there is room.
        for _ in 0..50 {
            sender.send(&[sent as u8; 1000]);
            sent += 1;
        }
        assert!(sender.waiting());
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
        assert!(!sender.waiting());
        assert_eq!(sender.dropped(), 0);
    }

    #[test]
    fn a_peer_that_takes_nothing_does_not_make_us_grow() {
        let (mut sender, _theirs) = pair();
        for _ in 0..2000 {
            sender.send(&[0; 1500]);
            sender.flush();
        }
        assert!(sender.pending.len() <= BACKLOG + 4);
        assert!(sender.dropped() > 0);
    }

    #[test]
    fn without_a_peer_frames_are_lost_and_counted() {
        let mut sender = Sender::none().unwrap();
        sender.send(&[0; 60]);
        assert!(sender.ready() && sender.flush());
        assert_eq!(sender.dropped(), 1);
        let (mut sender, theirs) = pair();
        drop(theirs);
        sender.send(&[0; 60]);
        assert!(sender.flush(), "nothing to wait for");
        sender.send(&[0; 60]);
        assert!(sender.ready());
        assert_eq!(sender.dropped(), 1);
    }
}
