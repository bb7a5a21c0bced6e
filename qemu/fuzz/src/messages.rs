// SPDX-License-Identifier: GPL-2.0

//! Messages over the vfio-user socket, of any kind and length, well formed or not. Files (memory,
//! eventfds) are not sent along; the transport's own tests do that.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::panic;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Mutex;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use rtl8111b_chip::Chip;
use rtl8111b_chip::Config;
use rtl8111b_chip::Width;
use rtl8111b_transport::DmaMap;
use rtl8111b_transport::Endpoint;
use rtl8111b_transport::Lines;
use rtl8111b_transport::Region;
use rtl8111b_transport::Server;

use crate::guest::Bytes;
use crate::guest::Guest;

/// A chip without a configuration space or a memory.
struct Card {
    chip: Chip,
    guest: Guest,
    dma: DmaMap,
    lines: Lines,
}

impl Endpoint for Card {
    fn read(&mut self, _region: Region, offset: u64, into: &mut [u8]) {
        assert!(
            into.len() <= 4096,
            "{} bytes asked of the device",
            into.len()
        );
        let value = self.chip.read(offset as u16, Width::Long).to_le_bytes();
        for (to, from) in into.iter_mut().zip(value) {
            *to = from;
        }
    }

    fn write(&mut self, _region: Region, offset: u64, from: &[u8]) {
        assert!(
            from.len() <= 4096,
            "{} bytes given to the device",
            from.len()
        );
        let value = from.first().copied().unwrap_or(0);
        self.guest.begin();
        self.chip.set_bus_master(&mut self.guest, value & 1 == 0);
        self.chip
            .write(&mut self.guest, offset as u16, Width::Byte, value.into());
        self.lines.set(self.chip.interrupt());
    }

    fn reset(&mut self) {
        self.chip.pci_reset();
    }

    fn dma(&mut self) -> &mut DmaMap {
        &mut self.dma
    }

    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn disconnected(&mut self) {
        self.chip.pci_reset();
    }
}

/// The vfio_user crate panics at some malformed messages, on the server's thread, and the server
/// bears it. All other panics are what is looked for.
fn bear_the_crate() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let on_server = thread::current().name() == Some("server");
            let theirs = info.location().is_some_and(|place| {
                !place.file().contains("qemu/") && !place.file().starts_with("..")
            });
            if !(on_server && theirs) {
                hook(info);
            }
        }));
    });
}

/// A connection with these messages on it.
pub fn messages(data: &[u8]) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    bear_the_crate();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("rtl8111b-fuzz-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let Ok(listener) = UnixListener::bind(&path) else {
        return;
    };
    let server = Server::new(listener, &[(0, 256), (2, 4096)], 4096);
    let card = Mutex::new(Card {
        chip: Chip::new(Config::default()),
        guest: Guest::new(),
        dma: DmaMap::new(),
        lines: Lines::new(),
    });
    thread::scope(|scope| {
        let serving = thread::Builder::new()
            .name("server".to_owned())
            .spawn_scoped(scope, || drop(server.serve_one(&card)));
        if let Ok(mut stream) = UnixStream::connect(&path) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
            let _ = stream.write_all(&stream_of(data));
            let _ = stream.shutdown(Shutdown::Write);
            let mut answers = Vec::new();
            // More than any of these may be answered with would be growth.
            let _ = (&stream).take(1 << 24).read_to_end(&mut answers);
        }
        let ended = serving.map(|handle| handle.join().is_ok());
        assert!(ended.unwrap_or(true), "the server's thread panicked");
    });
    let _ = std::fs::remove_file(&path);
    assert!(card.lock().is_ok_and(|card| card.dma.len() <= 1024));
}

fn stream_of(data: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes::new(data);
    let mut stream = Vec::new();
    let first = bytes.u8();
    if first & 1 == 0 {
        let version = b"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}\0";
        let mut body = vec![0, 0, 1, 0];
        body.extend_from_slice(version);
        message(&mut stream, 1, 0, &body, 0);
    }
    while !bytes.is_empty() {
        let choice = bytes.u8();
        let command = u16::from(choice & 15);
        let mut body = Vec::new();
        match command {
            // REGION_READ, REGION_WRITE: offset, region, count.
            9 | 10 => {
                let offset = u64::from(bytes.u16());
                let (region, count) = (u32::from(bytes.u8() & 15), u32::from(bytes.u16()));
                body.extend_from_slice(&offset.to_le_bytes());
                body.extend_from_slice(&region.to_le_bytes());
                body.extend_from_slice(&count.to_le_bytes());
                if command == 10 && choice & 0x10 == 0 {
                    body.extend((0..count).map(|i| i as u8 ^ choice));
                }
            }
            _ => body.extend((0..usize::from(bytes.u8() & 63)).map(|_| bytes.u8())),
        }
        let lie = if choice & 0xe0 == 0xe0 {
            u32::from(bytes.u16())
        } else {
            0
        };
        message(&mut stream, command, u32::from(choice & 0x10), &body, lie);
    }
    stream
}

/// A message; `lie` is put in the place of its true length if it is not zero.
fn message(stream: &mut Vec<u8>, command: u16, flags: u32, body: &[u8], lie: u32) {
    let length = if lie == 0 {
        16 + body.len() as u32
    } else {
        lie
    };
    stream.extend_from_slice(&7u16.to_le_bytes());
    stream.extend_from_slice(&command.to_le_bytes());
    stream.extend_from_slice(&length.to_le_bytes());
    stream.extend_from_slice(&flags.to_le_bytes());
    stream.extend_from_slice(&0u32.to_le_bytes());
    stream.extend_from_slice(body);
}
