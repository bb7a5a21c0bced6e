// SPDX-License-Identifier: GPL-2.0

//! The whole card behind its vfio-user socket: messages of any kind and length, well formed or not,
//! with files (memory, eventfds) or without.

use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::panic;
use std::sync::Mutex;
use std::sync::Once;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use libc::c_int;
use libc::c_void;
use libc::siginfo_t;
use rtl8111b_chip::Chip;
use rtl8111b_pci::ConfigSpace;
use rtl8111b_pci::Identity;
use rtl8111b_transport::Server;
use rtl8111b_wire::Sender;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::register_signal_handler;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::card::device::Device;
use crate::config;
use crate::guest;
use crate::guest::Bytes;
use crate::guest::SIZE;

const VERSION: u8 = 1;
const DMA_MAP: u8 = 2;
const DMA_UNMAP: u8 = 3;
const GET_INFO: u8 = 4;
const GET_REGION_INFO: u8 = 5;
const GET_IRQ_INFO: u8 = 7;
const SET_IRQS: u8 = 8;
const REGION_READ: u8 = 9;
const REGION_WRITE: u8 = 10;
const RESET: u8 = 13;

/// A message that says more about itself than is true; the next byte says what.
const TWISTED: u8 = 0x80;

/// The longest data of a write that an input has; more is made up.
const LITERAL: u16 = 8;

const VERSION_DATA: &[u8] =
    b"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}\0";

/// The time for which a side may be silent: a loaded machine is no find.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The bytes of answers after which a client leaves: the crate answers a read of any count, and
/// takes the body of a message that it refuses for the next one, which may say 4 GiB
/// (docs/upstream/vfio-user-sizes.md).
const ANSWERS: usize = 16 << 20;

/// Files that a client sends along, and the socket of all inputs.
struct World {
    listener: SocketAddr,
    server: Server,
    memory: File,
    /// Of one page.
    short: File,
    event: EventFd,
}

/// A file that is gone when it is closed.
fn file(name: &str, size: u64) -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("rtl8111b-fuzz-{}-{name}", std::process::id()));
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    file.set_len(size)?;
    Ok(file)
}

fn world() -> std::io::Result<World> {
    // An abstract name: no file is left behind by a process that is killed.
    let name = format!("rtl8111b-fuzz-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name)?;
    let listener = UnixListener::bind_addr(&address)?;
    let windows = [(0, rtl8111b_pci::IO_SIZE), (2, rtl8111b_pci::MEMORY_SIZE)];
    Ok(World {
        listener: address,
        server: Server::new(listener, &windows, rtl8111b_pci::SIZE as u64),
        memory: file("memory", SIZE as u64)?,
        short: file("short", 4096)?,
        event: EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?,
    })
}

/// The vfio_user crate panics at some malformed messages, on the server's thread, and the server
/// bears it. All other panics are what is looked for.
fn bear_the_crate() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A client that leaves would end libFuzzer, whose `main` is not Rust's.
        let ignored = register_signal_handler(libc::SIGPIPE, ignore);
        assert!(ignored.is_ok(), "SIGPIPE");
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

/// A message of a client: bytes, and the files that go with them.
struct Message {
    bytes: Vec<u8>,
    files: Vec<RawFd>,
}

/// A connection with these messages on it.
pub fn messages(data: &[u8]) {
    crate::check(&converse(data).chip);
}

/// The card after it.
pub(crate) fn converse(data: &[u8]) -> Device {
    static WORLD: OnceLock<World> = OnceLock::new();
    bear_the_crate();
    let world = WORLD.get_or_init(|| world().expect("a socket, two files and an event"));
    let mut bytes = Bytes::new(data);
    let choice = bytes.u8();
    let chip = Chip::new(config(choice));
    let space = ConfigSpace::new(Identity::default(), chip.eeprom());
    let sender = Sender::none().expect("an event");
    let card = Mutex::new(Device::new(chip, space, sender));
    let mut memory = guest::memory();
    let messages = conversation(choice, &mut bytes, world, &mut memory);
    // Before all messages: they are carried out while others are still being sent.
    let filled = world.memory.write_all_at(&memory, 0);
    assert!(filled.is_ok(), "memory");
    thread::scope(|scope| {
        let serving = thread::Builder::new()
            .name("server".to_owned())
            .spawn_scoped(scope, || drop(world.server.serve_one(&card)));
        if let Ok(stream) = UnixStream::connect_addr(&world.listener) {
            let _ = stream.set_read_timeout(Some(TIMEOUT));
            let _ = stream.set_write_timeout(Some(TIMEOUT));
            // Who only writes would wait for a server that waits for its answers to be read.
            let (writer, messages) = (stream.try_clone(), &messages);
            scope.spawn(move || {
                if let Ok(writer) = writer {
                    messages.iter().all(|message| send(&writer, message));
                    let _ = writer.shutdown(Shutdown::Write);
                }
            });
            assert!(read_all(&stream), "the server neither answers nor ends");
        }
        let ended = serving.map(|handle| handle.join().is_ok());
        assert!(ended.unwrap_or(true), "the server's thread panicked");
    });
    let card = card
        .into_inner()
        .expect("the card panicked behind its lock");
    assert_eq!(card.memory_ranges(), 0, "memory is held after the client");
    card
}

/// Reads until the server ends the connection, or has sent too much; false if it is silent for too
/// long. libFuzzer looks at the time by a signal every few seconds, which interrupts.
fn read_all(mut stream: &UnixStream) -> bool {
    let (mut room, mut total) = ([0; 0x1_0000], 0);
    loop {
        match stream.read(&mut room) {
            Ok(0) => return true,
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
        if total > ANSWERS {
            let _ = stream.shutdown(Shutdown::Both);
            return true;
        }
    }
}

/// A handler that does nothing: the call that was interrupted fails instead.
extern "C" fn ignore(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

fn send(stream: &UnixStream, message: &Message) -> bool {
    loop {
        match stream.send_with_fds(&[message.bytes.as_slice()], &message.files) {
            Ok(sent) => return sent == message.bytes.len(),
            Err(error) if error.errno() == libc::EINTR => {}
            Err(_) => return false,
        }
    }
}

/// An address, a size or an offset: mostly pages at the beginning, now and then anything.
fn number(kind: u8, bytes: &mut Bytes<'_>) -> u64 {
    match kind & 3 {
        0 | 1 => u64::from(bytes.u8()) << 12,
        2 => u64::from(bytes.u16()),
        _ => bytes.u64(),
    }
}

fn conversation(
    choice: u8,
    bytes: &mut Bytes<'_>,
    world: &World,
    memory: &mut [u8],
) -> Vec<Message> {
    let mut messages = Vec::new();
    if choice & 0x80 == 0 {
        messages.push(message(VERSION.into(), 0, &version(VERSION_DATA), None));
    }
    while !bytes.is_empty() {
        let choice = bytes.u8();
        let command = choice & 15;
        let variant = choice >> 4 & 7;
        let (mut body, mut files) = (Vec::new(), Vec::new());
        match command {
            0 => {
                let (at, value) = (usize::from(bytes.u16()), bytes.u32());
                if let Some(word) = memory.get_mut(at..at + 4) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
                continue;
            }
            VERSION => {
                let len = bytes.u8().into();
                body = version(&bytes.take(len));
            }
            DMA_MAP | DMA_UNMAP => {
                let kinds = bytes.u8();
                // Of a map read and write; of an unmap dirty pages and all.
                let flags = u32::from(kinds >> 6) << u32::from(command - DMA_MAP);
                body.extend_from_slice(&32u32.to_le_bytes());
                body.extend_from_slice(&flags.to_le_bytes());
                if command == DMA_MAP {
                    body.extend_from_slice(&number(kinds, bytes).to_le_bytes());
                }
                body.extend_from_slice(&number(kinds >> 2, bytes).to_le_bytes());
                body.extend_from_slice(&number(kinds >> 4, bytes).to_le_bytes());
                let (memory, short) = (world.memory.as_raw_fd(), world.short.as_raw_fd());
                files = match variant {
                    0..=2 => vec![memory],
                    3 => vec![short],
                    4 => vec![world.event.as_raw_fd()],
                    5 => vec![memory, short],
                    _ => Vec::new(),
                };
                if command == DMA_UNMAP {
                    files.clear();
                }
            }
            GET_INFO => body.resize(16, 0),
            GET_REGION_INFO | GET_IRQ_INFO => {
                let index = u32::from(bytes.u8());
                body.resize(if command == GET_IRQ_INFO { 16 } else { 32 }, 0);
                body[0] = body.len() as u8;
                body[8..12].copy_from_slice(&index.to_le_bytes());
            }
            SET_IRQS => {
                let (index, flags) = (bytes.u8(), bytes.u8());
                let (start, count) = (bytes.u8(), bytes.u8());
                for value in [20, flags, index, start, count] {
                    body.extend_from_slice(&u32::from(value).to_le_bytes());
                }
                let sent = [1, 0, 2, 16, 1, 1, 1, 1][usize::from(variant)];
                files = vec![world.event.as_raw_fd(); sent];
            }
            REGION_READ | REGION_WRITE => {
                let at = if variant & 4 == 0 {
                    bytes.u16().into()
                } else {
                    bytes.u64()
                };
                let (region, count) = (u32::from(bytes.u8() & 15), bytes.u16());
                body.extend_from_slice(&at.to_le_bytes());
                body.extend_from_slice(&region.to_le_bytes());
                body.extend_from_slice(&u32::from(count).to_le_bytes());
                if command == REGION_WRITE && count <= LITERAL {
                    body.extend(bytes.take(count.into()));
                } else if command == REGION_WRITE {
                    body.extend((0..count).map(|i| i as u8 ^ choice));
                }
            }
            RESET => {}
            _ => {
                let len = bytes.u8() & 63;
                body = bytes.take(len.into());
            }
        }
        let (mut flags, mut lie, mut command) = (0, None, u16::from(command));
        if choice & TWISTED != 0 {
            let twist = bytes.u8();
            if twist & 1 != 0 {
                lie = Some(bytes.u32() >> (twist >> 3 & 24));
            }
            if twist & 2 != 0 {
                flags = 0x10;
            }
            if twist & 4 != 0 {
                body.truncate(bytes.u8().into());
            }
            if twist & 8 != 0 {
                command = bytes.u16();
            }
            // The count of a read or a write, or what is in its place. The crate answers a read of
            // any count, up to 4 GiB; docs/upstream/vfio-user-sizes.md is about that.
            if let Some(count) = body.get_mut(12..16).filter(|_| twist & 16 != 0) {
                let mask = if command == u16::from(REGION_READ) {
                    0xffff
                } else {
                    u32::MAX
                };
                count.copy_from_slice(&(bytes.u32() & mask).to_le_bytes());
            }
        }
        let mut message = message(command, flags, &body, lie);
        message.files = files;
        messages.push(message);
    }
    messages
}

fn version(data: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 1, 0];
    body.extend_from_slice(data);
    body
}

/// A message; `lie` is put in the place of its true length.
fn message(command: u16, flags: u32, body: &[u8], lie: Option<u32>) -> Message {
    let length = lie.unwrap_or(16 + body.len() as u32);
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend_from_slice(&7u16.to_le_bytes());
    bytes.extend_from_slice(&command.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(body);
    Message {
        bytes,
        files: Vec::new(),
    }
}

/// An input that begins as QEMU does: it asks for all that there is, gives memory and an interrupt
/// line, and switches the card on.
pub(crate) fn opening(chip: u8) -> Vec<u8> {
    let mut input = vec![chip & 0x7f, GET_INFO];
    for region in 0..9 {
        input.extend_from_slice(&[GET_REGION_INFO, region]);
    }
    for interrupt in 0..5 {
        input.extend_from_slice(&[GET_IRQ_INFO, interrupt]);
    }
    // Read and write; offset and address in pages, the size too.
    input.extend_from_slice(&[DMA_MAP, 0xc0, 0, 0, (SIZE >> 12) as u8]);
    // The line: an event, to be triggered.
    input.extend_from_slice(&[SET_IRQS, 0, 0x24, 0, 1]);
    read(7, 0, 4, &mut input);
    write(7, 4, &[0x07, 0], &mut input);
    input
}

pub(crate) fn read(region: u8, at: u16, count: u16, out: &mut Vec<u8>) {
    out.push(REGION_READ);
    out.extend_from_slice(&at.to_le_bytes());
    out.push(region);
    out.extend_from_slice(&count.to_le_bytes());
}

pub(crate) fn write(region: u8, at: u16, data: &[u8], out: &mut Vec<u8>) {
    out.push(REGION_WRITE);
    out.extend_from_slice(&at.to_le_bytes());
    out.push(region);
    out.extend_from_slice(&(data.len() as u16).to_le_bytes());
    out.extend_from_slice(data);
}

pub(crate) fn poke(at: u16, value: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn reset(out: &mut Vec<u8>) {
    out.push(RESET);
}
