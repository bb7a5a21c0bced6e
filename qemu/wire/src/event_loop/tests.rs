// SPDX-License-Identifier: GPL-2.0

use std::io::Read;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A device that refuses frames while it is full, and records what it is offered.
struct Desk {
    sender: Mutex<Sender>,
    full: Mutex<bool>,
    offered: mpsc::Sender<(Vec<u8>, bool)>,
    attached: mpsc::Sender<bool>,
}

impl NicPort for Desk {
    fn offer(&self, frame: &[u8], again: bool) -> bool {
        let full = *self.full.lock().unwrap();
        if !again || !full {
            let _ = self.offered.send((frame.to_vec(), again));
        }
        !full
    }

    fn attach(&self, link: Option<Link>) {
        let there = link.is_some();
        self.sender.lock().unwrap().attach(link);
        let _ = self.attached.send(there);
    }

    fn blocked(&self) -> bool {
        self.sender.lock().unwrap().waiting()
    }

    fn writable(&self) {
        self.sender.lock().unwrap().flush();
    }
}

struct Bench {
    desk: Arc<Desk>,
    offered: mpsc::Receiver<(Vec<u8>, bool)>,
    attached: mpsc::Receiver<bool>,
    path: PathBuf,
}

/// An event loop that listens on a socket of its own. Its thread ends with the tests.
fn bench(name: &str) -> Bench {
    let path =
        std::env::temp_dir().join(format!("rtl8111b-event-loop-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let spec = Spec::Listen(path.clone());
    let (event_loop, sender) = EventLoop::open(&spec, Some(listener), None).unwrap();
    let (offered, to_offered) = mpsc::channel();
    let (attached, to_attached) = mpsc::channel();
    let desk = Arc::new(Desk {
        sender: Mutex::new(sender),
        full: Mutex::new(false),
        offered,
        attached,
    });
    let station = desk.clone();
    thread::spawn(move || event_loop.run(station.as_ref()));
    Bench {
        desk,
        offered: to_offered,
        attached: to_attached,
        path,
    }
}

impl Bench {
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        assert!(self.attached.recv_timeout(TIMEOUT).unwrap());
        stream
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn framed(len: usize, fill: u8) -> Vec<u8> {
    let mut bytes = (len as u32).to_be_bytes().to_vec();
    bytes.resize(4 + len, fill);
    bytes
}

#[test]
fn frames_go_both_ways_and_short_ones_are_padded() {
    let bench = bench("both");
    let mut peer = bench.connect();
    peer.write_all(&framed(42, 7)).unwrap();
    let (frame, again) = bench.offered.recv_timeout(TIMEOUT).unwrap();
    assert_eq!((frame.len(), again), (MIN_FRAME, false));
    assert_eq!(frame[..42], [7; 42]);
    assert_eq!(frame[42..], [0; MIN_FRAME - 42]);
    let mut sender = bench.desk.sender.lock().unwrap();
    sender.send(&[9; 60]);
    assert!(sender.flush());
    let mut bytes = [0; 64];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..], framed(60, 9));
}

#[test]
fn a_full_device_holds_the_peer_back_and_loses_nothing() {
    let bench = bench("full");
    let mut peer = bench.connect();
    *bench.desk.full.lock().unwrap() = true;
    let writer = thread::spawn(move || {
        for i in 0..2000u32 {
            peer.write_all(&framed(1000, i as u8)).unwrap();
        }
        peer
    });
    let (first, again) = bench.offered.recv_timeout(TIMEOUT).unwrap();
    assert_eq!((first[0], again), (0, false));
    thread::sleep(Duration::from_millis(50));
    assert!(
        bench.offered.try_recv().is_err(),
        "one frame waits, the others are not offered"
    );
    assert!(!writer.is_finished(), "the peer is held back");
    *bench.desk.full.lock().unwrap() = false;
    for i in 0..2000u32 {
        let (frame, again) = bench.offered.recv_timeout(TIMEOUT).unwrap();
        assert_eq!((frame[0], again), (i as u8, i == 0));
    }
    writer.join().unwrap();
}

#[test]
fn peers_come_and_go() {
    let bench = bench("peers");
    for round in 0..3 {
        let mut peer = bench.connect();
        peer.write_all(&framed(100, round)).unwrap();
        assert_eq!(bench.offered.recv_timeout(TIMEOUT).unwrap().0[0], round);
        // Half a frame: the next peer begins anew.
        peer.write_all(&framed(100, 99)[..50]).unwrap();
        drop(peer);
        assert!(!bench.attached.recv_timeout(TIMEOUT).unwrap());
    }
}

#[test]
fn a_peer_that_speaks_something_else_is_left() {
    let bench = bench("else");
    let mut peer = bench.connect();
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(!bench.attached.recv_timeout(TIMEOUT).unwrap());
    let mut peer = bench.connect();
    peer.write_all(&framed(60, 1)).unwrap();
    assert_eq!(bench.offered.recv_timeout(TIMEOUT).unwrap().0, [1; 60]);
}

#[test]
fn what_the_peer_takes_late_is_sent_by_the_pump() {
    let bench = bench("late");
    let mut peer = bench.connect();
    let mut sent = 0;
    {
        let mut sender = bench.desk.sender.lock().unwrap();
        while sender.flush() {
            sender.send(&[sent as u8; 1500]);
            sent += 1;
        }
        sender.kick();
    }
    for i in 0..sent {
        let mut bytes = [0; 1504];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[4..], [i as u8; 1500]);
    }
}

/// A device that is never done sending before it has a peer, as a chip that reads ones where its
/// ring should be.
struct Endless {
    has_peer: AtomicBool,
    attached: mpsc::Sender<bool>,
}

impl NicPort for Endless {
    fn offer(&self, _frame: &[u8], _again: bool) -> bool {
        true
    }

    fn attach(&self, link: Option<Link>) {
        self.has_peer.store(link.is_some(), Ordering::Relaxed);
        let _ = self.attached.send(link.is_some());
    }

    fn blocked(&self) -> bool {
        !self.has_peer.load(Ordering::Relaxed)
    }

    fn writable(&self) {}
}

#[test]
fn a_device_that_is_never_done_keeps_no_peer_out() {
    let path = std::env::temp_dir().join(format!(
        "rtl8111b-event-loop-endless-{}",
        std::process::id()
    ));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let spec = Spec::Listen(path.clone());
    let (event_loop, _sender) = EventLoop::open(&spec, Some(listener), None).unwrap();
    let (attached, to_attached) = mpsc::channel();
    let endless = Endless {
        has_peer: AtomicBool::new(false),
        attached,
    };
    thread::spawn(move || event_loop.run(&endless));
    let _peer = UnixStream::connect(&path).unwrap();
    let found = to_attached.recv_timeout(TIMEOUT);
    let _ = std::fs::remove_file(&path);
    assert_eq!(found, Ok(true));
}
