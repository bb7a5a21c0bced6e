// SPDX-License-Identifier: GPL-2.0

//! The server as a client sees it, over a real socket.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::thread::JoinHandle;

use rtl8111b_transport::DmaError;
use rtl8111b_transport::DmaMap;
use rtl8111b_transport::Ended;
use rtl8111b_transport::Endpoint;
use rtl8111b_transport::Lines;
use rtl8111b_transport::Region;
use rtl8111b_transport::ServeError;
use rtl8111b_transport::Server;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_ACTION_UNMASK;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_DATA_EVENTFD;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_DATA_NONE;
use vfio_user::Client;

const PAGE: u64 = 4096;

/// A device of one byte, whose interrupt line is that byte's lowest bit.
#[derive(Default)]
struct Byte {
    value: u8,
    dma: DmaMap,
    lines: Lines,
    resets: u32,
    goodbyes: u32,
}

impl Endpoint for Byte {
    fn read(&mut self, region: Region, _offset: u64, into: &mut [u8]) {
        into.fill(if region == Region::Bar(2) {
            self.value
        } else {
            0x5a
        });
    }

    fn write(&mut self, _region: Region, _offset: u64, from: &[u8]) {
        self.value = from.first().copied().unwrap_or(0);
        self.lines.set(self.value & 1 != 0);
    }

    fn reset(&mut self) {
        self.resets += 1;
    }

    fn dma(&mut self) -> &mut DmaMap {
        &mut self.dma
    }

    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn disconnected(&mut self) {
        self.goodbyes += 1;
    }
}

struct Bench {
    path: PathBuf,
    server: Arc<Server>,
    device: Arc<Mutex<Byte>>,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let path = std::env::temp_dir().join(format!("rtl8111b-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        Bench {
            path,
            server: Arc::new(Server::new(listener, &[(0, 256), (2, 4096)], 4096)),
            device: Arc::default(),
        }
    }

    fn serve(&self) -> JoinHandle<Result<Ended, ServeError>> {
        let (server, device) = (self.server.clone(), self.device.clone());
        thread::spawn(move || server.serve_one(&device))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn memory(pages: u64) -> File {
    let path = std::env::temp_dir().join(format!(
        "rtl8111b-client-{}-{:?}",
        std::process::id(),
        thread::current().id()
    ));
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(pages * PAGE).unwrap();
    file
}

#[test]
fn windows_memory_and_reset() {
    let bench = Bench::new("windows");
    let serving = bench.serve();
    let mut client = Client::new(&bench.path).unwrap();
    let sizes: Vec<u64> = (0..9)
        .map(|index| client.region(index).unwrap().size)
        .collect();
    assert_eq!(sizes, [256, 0, 4096, 0, 0, 0, 0, 4096, 0]);

    client.region_write(2, 0, &[0x42]).unwrap();
    let mut bytes = [0; 4];
    client.region_read(2, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0x42; 4]);
    client.region_read(7, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0x5a; 4]);
    // The ROM's and the VGA's windows are empty.
    client.region_read(8, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0xff; 4]);

    // More than there is anywhere: no business of the device's.
    let mut many = vec![0xaa; 5000];
    client.region_read(2, 0, &mut many).unwrap();
    assert!(many.iter().all(|&byte| byte == 0));
    many.fill(1);
    client.region_write(2, 0, &many).unwrap();
    client.region_read(2, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0x42; 4]);

    let file = memory(8);
    client
        .dma_map(PAGE, 0x10_0000, 4 * PAGE, file.as_raw_fd())
        .unwrap();
    client.dma_unmap(0x10_1000, PAGE).unwrap();
    {
        let device = bench.device.lock().unwrap();
        assert_eq!(device.dma.write(0x10_0000, &[1]), Ok(()));
        assert_eq!(device.dma.write(0x10_1000, &[1]), Err(DmaError::Unmapped));
        assert_eq!(device.dma.write(0x10_2000, &[2]), Ok(()));
    }
    client.reset().unwrap();
    drop(client);
    assert_eq!(serving.join().unwrap().unwrap(), Ended::Client);
    let device = bench.device.lock().unwrap();
    assert!(device.dma.is_empty());
    assert_eq!((device.resets, device.goodbyes), (1, 1));
}

#[test]
fn interrupts_arrive_and_are_masked_until_told_otherwise() {
    let bench = Bench::new("interrupts");
    let serving = bench.serve();
    let mut client = Client::new(&bench.path).unwrap();
    let counts: Vec<(u32, u32)> = (0..5)
        .map(|index| client.get_irq_info(index).unwrap())
        .map(|info| (info.count, info.flags))
        .collect();
    assert_eq!(counts, [(1, 7), (2, 9), (0, 0), (0, 0), (0, 0)]);

    let (event, mut seen) = UnixStream::pair().unwrap();
    seen.set_nonblocking(true).unwrap();
    let mut taken = || seen.read(&mut [0; 64]).unwrap_or(0) / 8;
    let set = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    client.set_irqs(0, set, 0, 1, &[event.as_raw_fd()]).unwrap();
    client.region_write(2, 0, &[1]).unwrap();
    client.region_write(2, 0, &[1]).unwrap();
    assert_eq!(taken(), 1);
    let unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
    client.set_irqs(0, unmask, 0, 1, &[]).unwrap();
    assert_eq!(taken(), 1, "still asserted");
    client.region_write(2, 0, &[0]).unwrap();
    client.set_irqs(0, unmask, 0, 1, &[]).unwrap();
    assert_eq!(taken(), 0);
    // Tear-down, as QEMU does it.
    let none = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
    client.set_irqs(0, none, 0, 0, &[]).unwrap();
    client.region_write(2, 0, &[1]).unwrap();
    assert_eq!(taken(), 0);
    drop(client);
    serving.join().unwrap().unwrap();
}

#[test]
fn one_client_after_another_and_visitors() {
    let bench = Bench::new("visitors");
    let serving = bench.serve();
    drop(UnixStream::connect(&bench.path).unwrap());
    assert_eq!(serving.join().unwrap().unwrap(), Ended::Visitor);
    for value in 1..4 {
        let serving = bench.serve();
        let mut client = Client::new(&bench.path).unwrap();
        client.region_write(2, 0, &[value]).unwrap();
        drop(client);
        assert_eq!(serving.join().unwrap().unwrap(), Ended::Client);
    }
    assert_eq!(bench.device.lock().unwrap().value, 3);
}

/// A message, whose size is what it says.
fn message(command: u16, size: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&command.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(body);
    bytes
}

fn numbers(flags: u32, wide: &[u64]) -> Vec<u8> {
    let mut bytes = 32u32.to_le_bytes().to_vec();
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend(wide.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

#[test]
fn memory_without_a_file_and_memory_taken_away_at_once() {
    let bench = Bench::new("all");
    let serving = bench.serve();
    let mut stream = UnixStream::connect(&bench.path).unwrap();
    let mut ask = |command, body: &[u8], answer: usize| {
        let size = 16 + body.len() as u32;
        stream.write_all(&message(command, size, body)).unwrap();
        stream.read_exact(&mut vec![0; answer]).unwrap();
    };
    let found = |address| bench.device.lock().unwrap().dma.read(address, &mut [0]);
    ask(2, &numbers(3, &[0, PAGE, PAGE]), 16);
    assert_eq!(found(PAGE), Err(DmaError::NoFile));
    assert_eq!(found(2 * PAGE), Err(DmaError::Unmapped));
    // One page of another, then all.
    ask(3, &numbers(0, &[4 * PAGE, PAGE]), 40);
    assert_eq!(found(PAGE), Err(DmaError::NoFile));
    ask(3, &numbers(4, &[0, 0]), 40);
    assert_eq!(found(PAGE), Err(DmaError::Unmapped));
    drop(stream);
    assert_eq!(serving.join().unwrap().unwrap(), Ended::Client);
}

/// The crate panics at such a message, and the next client is served.
#[test]
fn a_malformed_message_ends_its_connection_only() {
    let bench = Bench::new("malformed");
    let serving = bench.serve();
    let mut stream = UnixStream::connect(&bench.path).unwrap();
    stream.write_all(&message(1, 19, &[0, 0, 1, 0])).unwrap();
    let ended = serving.join().unwrap();
    assert!(matches!(ended, Err(ServeError::Malformed)), "{ended:?}");
    let serving = bench.serve();
    drop(Client::new(&bench.path).unwrap());
    assert!(serving.join().unwrap().is_ok());
}

/// A client that is killed leaves half a message behind: an end, if it had been served before.
#[test]
fn half_a_message_is_an_end_for_a_client_and_an_error_for_a_visitor() {
    let bench = Bench::new("half");
    for used in [false, true] {
        let serving = bench.serve();
        let mut stream = UnixStream::connect(&bench.path).unwrap();
        if used {
            stream.write_all(&message(13, 16, &[])).unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
        }
        stream.write_all(&message(9, 32, &[0; 4])).unwrap();
        drop(stream);
        let ended = serving.join().unwrap();
        if used {
            assert_eq!(ended.unwrap(), Ended::Client);
        } else {
            assert!(matches!(ended, Err(ServeError::Protocol(_))), "{ended:?}");
        }
    }
}
