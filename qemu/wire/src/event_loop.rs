// SPDX-License-Identifier: GPL-2.0

//! The receiving half of a cable: a thread that waits for frames, for room to send, and for peers.
#![expect(unsafe_code, reason = "poll(2) has no safe wrapper in the crates used")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use vmm_sys_util::eventfd::EventFd;

use crate::framing::Inbox;
use crate::sender::Link;
use crate::tap;
use crate::Pcap;
use crate::Sender;
use crate::Spec;
use crate::WireError;
use crate::MIN_FRAME;

/// The time for which a peer that is not there yet is waited for at the start.
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);
/// The interval at which a peer that went away is looked for.
const RECONNECT_MS: i32 = 500;
/// The interval at which a frame that had to wait is offered again. Drivers do not announce new
/// receive descriptors to the chip, so there is nothing to wait for but time, and whatever else the
/// driver does.
const AGAIN_MS: i32 = 1;
/// The number of frames that the chip sends without a peer before the others get their turn.
const ROUNDS: u32 = 64;

/// The device at our end, as the event loop sees it.
pub trait NicPort {
    /// A frame has come. False if it has to wait; then the same one is offered again, with `again`
    /// set.
    fn offer(&self, frame: &[u8], again: bool) -> bool;
    /// The peer is another one now, or there is none.
    fn attach(&self, link: Option<Link>);
    /// Returns whether frames wait to be sent.
    fn blocked(&self) -> bool;
    /// There is room.
    fn writable(&self);
}

enum Peer {
    None,
    Connect(PathBuf),
    Listen(UnixListener),
    Tap(String),
}

/// The receiving half.
pub struct EventLoop {
    peer: Peer,
    link: Option<Link>,
    inbox: Inbox,
    kick: Arc<EventFd>,
    pcap: Option<Arc<Mutex<Pcap>>>,
    frame: Vec<u8>,
}

impl EventLoop {
    /// Opens a wire: its two halves. `listener` is the socket of [`Spec::Listen`], which the caller
    /// has made.
    pub fn open(
        spec: &Spec,
        listener: Option<UnixListener>,
        pcap: Option<Arc<Mutex<Pcap>>>,
    ) -> Result<(EventLoop, Sender), WireError> {
        let (peer, link) = match spec {
            Spec::None => (Peer::None, None),
            Spec::Connect(path) => {
                let stream = connect_patiently(path)?;
                (Peer::Connect(path.clone()), Some(Link::Stream(stream)))
            }
            Spec::Listen(_) => match listener {
                Some(listener) => {
                    listener.set_nonblocking(true)?;
                    (Peer::Listen(listener), None)
                }
                None => (Peer::None, None),
            },
            Spec::Tap(name) => {
                let there = tap::exists(name);
                let file = tap::open(name).map_err(|source| WireError::Tap {
                    name: name.clone(),
                    source,
                })?;
                if !there {
                    log::warn!(
                        "wire: found no interface {name}, and made one; it is down, so that nothing goes over it until \
                         `ip link set {name} up`"
                    );
                } else if !tap::is_up(name).unwrap_or(true) {
                    log::warn!(
                        "wire: interface {name} is down: nothing goes over it until `ip link set {name} up`"
                    );
                }
                (Peer::Tap(name.clone()), Some(Link::Tap(file)))
            }
        };
        let kick = Arc::new(EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?);
        let theirs = link.as_ref().map(Link::try_clone).transpose()?;
        let sender = Sender::new(theirs, pcap.clone(), kick.clone());
        let event_loop = EventLoop {
            peer,
            inbox: Inbox::new(link.as_ref().is_none_or(Link::framed)),
            link,
            kick,
            pcap,
            frame: Vec::new(),
        };
        Ok((event_loop, sender))
    }

    /// Works until the process ends.
    pub fn run(mut self, port: &dyn NicPort) {
        let mut again = false;
        loop {
            let waiting = self.deliver(port, &mut again);
            if let Err(error) = self.wait(port, waiting) {
                log::error!("wire: {error}");
                sleep(RETRY);
            }
        }
    }

    /// Offers what is there. True if a frame has to wait.
    fn deliver(&mut self, port: &dyn NicPort, again: &mut bool) -> bool {
        loop {
            match self.inbox.peek() {
                Ok(None) => return false,
                Ok(Some(frame)) => {
                    // Peers in software send short frames; on a cable the sender's MAC would have
                    // padded them.
                    self.frame.clear();
                    self.frame.extend_from_slice(frame);
                    if self.frame.len() < MIN_FRAME {
                        self.frame.resize(MIN_FRAME, 0);
                    }
                }
                Err(step) => {
                    log::error!("wire: the peer announces a frame of {} bytes", step.0);
                    self.detach(port);
                    return false;
                }
            }
            if !*again {
                if let Some(pcap) = &self.pcap {
                    pcap.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .frame(&self.frame);
                }
            }
            if !port.offer(&self.frame, *again) {
                *again = true;
                return true;
            }
            *again = false;
            self.inbox.take();
        }
    }

    fn wait(&mut self, port: &dyn NicPort, waiting: bool) -> io::Result<()> {
        let mut link_events = 0;
        if !waiting {
            link_events |= libc::POLLIN;
        }
        // Nowhere to go, and so always room. A chip that reads ones where its ring should be never
        // ends.
        for _ in 0..ROUNDS {
            if self.link.is_some() || !port.blocked() {
                break;
            }
            port.writable();
        }
        let endless = self.link.is_none() && port.blocked();
        if port.blocked() {
            link_events |= libc::POLLOUT;
        }
        // A descriptor of -1 is one that poll passes over.
        let (other, timeout) = match (&self.link, &self.peer) {
            (Some(_), _) if waiting => (-1, AGAIN_MS),
            (None, Peer::Listen(listener)) if endless => (listener.as_raw_fd(), AGAIN_MS),
            (None, _) if endless => (-1, AGAIN_MS),
            (None, Peer::Connect(_) | Peer::Tap(_)) => (-1, RECONNECT_MS),
            (None, Peer::Listen(listener)) => (listener.as_raw_fd(), -1),
            _ => (-1, -1),
        };
        let link_fd = if link_events == 0 {
            -1
        } else {
            self.link.as_ref().map_or(-1, Link::fd)
        };
        let mut fds = [
            poll_fd(self.kick.as_raw_fd(), libc::POLLIN),
            poll_fd(link_fd, link_events),
            poll_fd(other, libc::POLLIN),
        ];
        poll(&mut fds, timeout)?;
        if fds[0].revents != 0 {
            let _ = self.kick.read();
        }
        if self.link.is_none() {
            self.look_for_peer(port)?;
            return Ok(());
        }
        if fds[1].revents & libc::POLLOUT != 0 {
            port.writable();
        }
        if fds[1].revents & !libc::POLLOUT != 0 && !waiting {
            self.fill(port);
        }
        Ok(())
    }

    fn fill(&mut self, port: &dyn NicPort) {
        let Some(link) = &mut self.link else {
            return;
        };
        match (self.inbox.fill(link), &self.peer) {
            (Ok(true), _) => {}
            (Ok(false), _) => self.detach(port),
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {}
            (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => {}
            (Err(error), Peer::Tap(name)) if error.raw_os_error() == Some(libc::EBADFD) => {
                log::error!(
                    "wire: interface {name} is gone: frames are lost until there is one of that name again"
                );
                self.detach(port);
            }
            (Err(error), Peer::Tap(name)) => {
                log::debug!("wire: {name}: {error}");
                sleep(RETRY);
            }
            (Err(error), _) => {
                log::info!("wire: {error}");
                self.detach(port);
            }
        }
    }

    fn detach(&mut self, port: &dyn NicPort) {
        log::info!("wire: the peer is gone");
        self.link = None;
        self.inbox = Inbox::new(true);
        port.attach(None);
    }

    fn look_for_peer(&mut self, port: &dyn NicPort) -> io::Result<()> {
        let found = match &self.peer {
            Peer::None => return Ok(()),
            // It is not made once more.
            Peer::Tap(name) if !tap::exists(name) => return Ok(()),
            Peer::Tap(name) => tap::open(name).map(Link::Tap),
            Peer::Connect(path) => UnixStream::connect(path).map(Link::Stream),
            Peer::Listen(listener) => listener.accept().map(|(stream, _)| Link::Stream(stream)),
        };
        let Ok(link) = found else {
            return Ok(());
        };
        if let Link::Stream(stream) = &link {
            stream.set_nonblocking(true)?;
        }
        port.attach(Some(link.try_clone()?));
        self.inbox = Inbox::new(link.framed());
        self.link = Some(link);
        log::info!("wire: a peer is there");
        Ok(())
    }
}

fn connect_patiently(path: &Path) -> Result<UnixStream, WireError> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(_) if begin.elapsed() < TIMEOUT => sleep(RETRY),
            Err(source) => {
                return Err(WireError::Connect {
                    path: path.to_owned(),
                    source,
                })
            }
        }
    }
}

fn poll_fd(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) -> io::Result<()> {
    // SAFETY: the pointer and the count describe one slice, which no other code uses meanwhile.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
