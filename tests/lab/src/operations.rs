// SPDX-License-Identifier: GPL-2.0

//! Short operations on an interface, for a fuzzer of its driver: what their bytes mean, and how the
//! guest carries them out.
//!
//! [`serve`] runs in the guest. It takes the control channel over from the shell, so that an
//! operation costs a system call and no program has to be started.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::channel;
use crate::frame::{self, Address};
use crate::xdp::{self, Task};

/// The number of bytes that say what an operation is.
pub const BYTES: usize = 7;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Stops the interface.
    Stop,
    /// Opens the interface.
    Open,
    /// Sends frames through a packet socket.
    Send {
        /// The work that they leave to the card.
        offload: Offload,
        /// Their length.
        length: u16,
        /// The number of them.
        count: u8,
    },
    /// Sets the MTU.
    Mtu(u16),
    /// Sets or clears IFF_PROMISC (1) and IFF_ALLMULTI (2).
    Filter(u8),
    /// Joins a multicast group, or leaves it.
    Group(u8, bool),
    /// Calls an `ethtool` command that takes or fills so many words, all of them set to a value.
    Ethtool(u32, [u32; 2]),
    /// Asks for the statistics: of the core, or all that `ethtool` shows.
    Statistics(bool),
    /// Reads a register of the PHY.
    Mii(u8),
    /// Has an XDP program run on what is received, or no longer.
    Xdp(Option<Task>),
    /// Suspends all devices for a moment.
    Suspend,
    /// Takes the driver from the device and gives it back.
    Rebind,
    /// Lets the device suspend while it is idle, or not.
    RuntimePm(bool),
    /// Resets the device by its slot or its function.
    Reset,
    /// Takes the device off its bus and finds it again.
    Rescan,
    /// Waits for so many milliseconds.
    Wait(u8),
    /// Sets the last byte of the station address.
    Address(u8),
    /// Undoes what the others have set: the interface has what it had when this was first done.
    Restore,
}

/// The work that a frame leaves to the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    None,
    /// The checksum of a UDP datagram.
    Udp,
    /// The checksum of a TCP segment.
    Tcp,
    /// Pieces of so many bytes of a long TCP segment.
    Pieces(u16),
}

/// Commands of `ethtool` (include/uapi/linux/ethtool.h): those that ask, and those that set.
const ETHTOOL: [u32; 30] = [
    0x01, 0x03, 0x04, 0x05, 0x09, 0x0a, 0x0b, 0x0e, 0x10, 0x12, 0x1a, GSTATS, 0x07, 0x1b, 0x3c,
    0x3d, // ask, need no value, or set nothing
    0x02, 0x06, 0x0f, 0x11, 0x13, 0x15, 0x17, 0x19, 0x1f, 0x24, 0x26, 0x2c, 0x3b, SMSGLVL,
];
/// The number of those that ask.
const ASKING: usize = 16;
const SMSGLVL: u32 = 0x08;
const GSTATS: u32 = 0x1d;
const GSTRINGS: u32 = 0x1b;
const SCHANNELS: u32 = 0x3d;
const SSET: u32 = 0x02;
const SWOL: u32 = 0x06;
const GEEPROM: u32 = 0x0b;
const SCOALESCE: u32 = 0x0f;
const SRINGPARAM: u32 = 0x11;
const SPAUSEPARAM: u32 = 0x13;
const TEST: u32 = 0x1a;

impl Operation {
    /// Reads one, and whether it is done beside those that follow; all bytes mean something.
    pub fn from_bytes(bytes: [u8; BYTES]) -> (Self, bool) {
        let [code, a, b, c, d, e, f] = bytes;
        let word = u16::from_le_bytes([b, c]);
        let operation = match code % 32 {
            0 | 1 => Operation::Open,
            2 => Operation::Stop,
            3..8 => Operation::Send {
                offload: match a % 4 {
                    0 => Offload::None,
                    1 => Offload::Udp,
                    2 => Offload::Tcp,
                    _ => Offload::Pieces(u16::from_le_bytes([e, f]) % 4096),
                },
                length: word,
                count: 1 + d % 16,
            },
            8 => Operation::Mtu(word % 4200),
            9 => Operation::Filter(a),
            10 => Operation::Group(a, b % 2 == 0),
            11..19 => {
                let command = ETHTOOL[usize::from(a) % ETHTOOL.len()];
                let second = u16::from_le_bytes([d, e]);
                Operation::Ethtool(command, [word.into(), second.into()])
            }
            19 => Operation::Statistics(a % 4 == 3),
            20 => Operation::Mii(a % 32),
            21 => Operation::Xdp(match a % 5 {
                0 => None,
                1 => Some(Task::Pass),
                2 => Some(Task::Drop),
                3 => Some(Task::Echo),
                _ => Some(Task::Redirect),
            }),
            22 => Operation::Suspend,
            23 => Operation::Rebind,
            24 => Operation::RuntimePm(a % 2 == 0),
            25 => Operation::Reset,
            26 => Operation::Rescan,
            27 => Operation::Address(a),
            28 => Operation::Restore,
            _ => Operation::Wait(a % 32),
        };
        (operation, code & 0x80 != 0)
    }

    /// Returns whether it may leave settings behind that [`Operation::Restore`] undoes.
    pub fn sets(self) -> bool {
        match self {
            Operation::Mtu(_)
            | Operation::Filter(_)
            | Operation::RuntimePm(_)
            | Operation::Address(_)
            | Operation::Rebind
            | Operation::Rescan => true,
            Operation::Ethtool(command, _) => ETHTOOL[ASKING..].contains(&command),
            _ => false,
        }
    }
}

/// A setting of `ethtool`: the command that asks, the one that sets, and the words that are set,
/// with their bits.
type Setting = (u32, u32, &'static [(usize, u32)]);
const SETTINGS: [Setting; 13] = [
    // Modes to announce, and autonegotiation; its result is in between.
    (0x01, SSET, &[(2, u32::MAX), (4, 0xff_0000)]),
    (0x05, SWOL, &[(2, u32::MAX)]),
    (0x0e, SCOALESCE, &ALL),
    (0x10, SRINGPARAM, &[(5, u32::MAX), (8, u32::MAX)]),
    (0x12, SPAUSEPARAM, &ALL),
    (0x14, 0x15, &ALL), // checksums of what is received
    (0x16, 0x17, &ALL), // and of what is sent
    (0x18, 0x19, &ALL), // scatter-gather
    (0x1e, 0x1f, &ALL), // segmentation by the card
    (0x23, 0x24, &ALL), // and by the core
    (0x25, 0x26, &ALL), // flags
    (0x2b, 0x2c, &ALL), // GRO
    (0x07, SMSGLVL, &ALL),
];
/// The words that the longest of these commands fills, but the first.
const ALL: [(usize, u32); 22] = {
    let mut all = [(0, u32::MAX); 22];
    let mut at = 0;
    while at < all.len() {
        all[at].0 = at + 1;
        at += 1;
    }
    all
};
const MTU: i32 = 1500;

/// The settings of an interface before anything is set: its address, and the answers to the
/// commands of [`SETTINGS`].
#[derive(Debug)]
struct Settings {
    address: libc::sockaddr,
    answers: Vec<Option<Vec<u32>>>,
}

/// The state that operations share: the XDP program that is attached, and the settings from before.
#[derive(Debug, Default)]
struct Shared {
    /// The socket that sends. To close one waits for all CPUs.
    sender: Option<Arc<OwnedFd>>,
    program: Option<OwnedFd>,
    settings: Option<Settings>,
}

/// The same interface while it comes and goes.
#[derive(Debug, Clone)]
struct Interface {
    name: String,
    device: PathBuf,
    driver: PathBuf,
    address: String,
}

impl Interface {
    /// Finds the device behind an interface, and the driver.
    fn find(name: &str) -> io::Result<Self> {
        let device = fs::canonicalize(format!("/sys/class/net/{name}/device"))?;
        let driver = fs::canonicalize(device.join("driver"))?;
        let address = device.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.to_owned(),
            address: address.into_owned(),
            device,
            driver,
        })
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: ifreq is plain data, for which all zeros is a valid value.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *to = from as libc::c_char;
        }
        request
    }

    /// Calls `ioctl` with a request about the interface.
    fn control(&self, call: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        // SAFETY: the request is live, and what its pointer points to, if it has one, lives as long
        // and is as long as the kernel writes for that call.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), call, request as *mut libc::ifreq) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Returns the flags, and sets those of `set` and clears those of `clear`.
    fn flags(&self, set: i32, clear: i32) -> io::Result<i32> {
        let mut request = self.request();
        self.control(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the call has filled that member in.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        let wanted = flags & !clear | set;
        if wanted != flags {
            request.ifr_ifru.ifru_flags = wanted as libc::c_short;
            self.control(libc::SIOCSIFFLAGS, &mut request)?;
        }
        Ok(flags)
    }

    fn ethtool(&self, command: u32, values: [u32; 2]) -> io::Result<()> {
        let [one, two] = values;
        let mut words = vec![0_u32; 4096];
        words[0] = command;
        match command {
            SSET => {
                words[2] = one;
                // Speed, duplex; autonegotiation is on as often as not.
                words[3] = [10, 100, 1000][two as usize % 3] | (two >> 4 & 1) << 16;
                words[4] = (two >> 5 & 1) << 16;
            }
            SWOL => words[2] = one & 0x3f,
            GEEPROM => (words[2], words[3]) = (one % 256, two % 256),
            SCOALESCE => (words[1], words[2], words[5], words[6]) = (one, one >> 8, two, two >> 8),
            SRINGPARAM => (words[5], words[8]) = (one % 2048, two % 2048),
            SPAUSEPARAM => (words[1], words[2], words[3]) = (one & 1, two & 1, two >> 1 & 1),
            TEST => words[1] = one & 1,
            // With another number of statistics or strings than there are none is read.
            GSTATS => {}
            GSTRINGS => words[1] = one % 4,
            SCHANNELS => words[8] = one % 4,
            _ => (words[1], words[2]) = (one, two),
        }
        self.ethtool_words(&mut words)
    }

    /// Calls the `ethtool` command of the first word, which has room for its answer behind it.
    fn ethtool_words(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        self.control(0x8946, &mut request)
    }

    /// Returns the answer to a command that asks.
    fn ask(&self, command: u32) -> Option<Vec<u32>> {
        let mut words = vec![0; 4096];
        words[0] = command;
        self.ethtool_words(&mut words).ok()?;
        words.truncate(1 + ALL.len());
        Some(words)
    }

    fn station_address(&self) -> io::Result<libc::sockaddr> {
        let mut request = self.request();
        self.control(libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: the call has filled that member in.
        Ok(unsafe { request.ifr_ifru.ifru_hwaddr })
    }

    fn set_station_address(&self, address: libc::sockaddr) -> io::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_hwaddr = address;
        self.control(libc::SIOCSIFHWADDR, &mut request)
    }

    fn set_mtu(&self, mtu: i32) -> io::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_mtu = mtu;
        self.control(libc::SIOCSIFMTU, &mut request)
    }

    /// Writes a setting into a file of the device's.
    fn set_file(&self, name: &str, text: &str) -> io::Result<()> {
        write(&self.device.join(name), text)
    }

    /// Undoes what other operations have set, or notes what there is to restore. What is as it was
    /// is not touched: it would stop the interface.
    fn restore(&self, shared: &mut Shared) -> io::Result<()> {
        self.set_file("power/control", "on")?;
        shared.program = None;
        let Some(before) = &shared.settings else {
            shared.settings = Some(Settings {
                address: self.station_address()?,
                answers: SETTINGS.iter().map(|setting| self.ask(setting.0)).collect(),
            });
            return Ok(());
        };
        // Each of these may fail where the device is gone; then the driver is given it anew.
        let _ = self.set_mtu(MTU);
        let _ = self.flags(0, libc::IFF_PROMISC | libc::IFF_ALLMULTI);
        if self.station_address()?.sa_data != before.address.sa_data {
            let _ = self.set_station_address(before.address);
        }
        for ((ask, set, words), before) in SETTINGS.iter().zip(&before.answers) {
            let (Some(mut now), Some(before)) = (self.ask(*ask), before) else {
                continue;
            };
            if words
                .iter()
                .any(|&(at, bits)| (now[at] ^ before[at]) & bits != 0)
            {
                now.clone_from(before);
                now[0] = *set;
                now.resize(4096, 0);
                let _ = self.ethtool_words(&mut now);
            }
        }
        Ok(())
    }

    /// Carries an operation out. An error is the driver's answer, and as good as any.
    fn operate(&self, operation: Operation, shared: &Mutex<Shared>) -> io::Result<()> {
        let shared = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        match operation {
            Operation::Stop => self.flags(0, libc::IFF_UP).map(drop),
            Operation::Open => self.flags(libc::IFF_UP, 0).map(drop),
            Operation::Send {
                offload,
                length,
                count,
            } => {
                let sender = shared().sender()?;
                self.send(&sender, offload, length, count)
            }
            Operation::Mtu(mtu) => self.set_mtu(mtu.into()),
            Operation::Filter(bits) => {
                let chosen = |bit, flag| if bits & bit != 0 { flag } else { 0 };
                let set = chosen(1, libc::IFF_PROMISC) | chosen(2, libc::IFF_ALLMULTI);
                let all = libc::IFF_PROMISC | libc::IFF_ALLMULTI;
                self.flags(set, all & !set).map(drop)
            }
            Operation::Group(last, join) => {
                let mut request = self.request();
                let address = [0x33, 0x33, 0, 0, 0x68, last];
                // SAFETY: sockaddr is plain data, for which all zeros is a valid value.
                let mut place: libc::sockaddr = unsafe { mem::zeroed() };
                for (to, from) in place.sa_data.iter_mut().zip(address) {
                    *to = from as libc::c_char;
                }
                request.ifr_ifru.ifru_hwaddr = place;
                // SIOCADDMULTI, SIOCDELMULTI
                self.control(if join { 0x8931 } else { 0x8932 }, &mut request)
            }
            Operation::Ethtool(command, values) => self.ethtool(command, values),
            Operation::Statistics(false) => fs::read("/proc/net/dev").map(drop),
            Operation::Statistics(true) => Command::new("ethtool")
                .args(["-S", &self.name, "--all-groups"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .map(drop),
            Operation::Mii(register) => {
                let mut request = self.request();
                let mii = [0_u16, u16::from(register), 0, 0];
                // SAFETY: the call takes four words of 16 bits in that place, which is longer.
                unsafe {
                    std::ptr::from_mut(&mut request.ifr_ifru)
                        .cast::<[u16; 4]>()
                        .write(mii)
                };
                self.control(0x8947, &mut request)?;
                self.control(0x8948, &mut request)
            }
            Operation::Xdp(task) => {
                let mut shared = shared();
                shared.program = None;
                if let Some(task) = task {
                    shared.program = Some(xdp::attach(self.index()?, task)?);
                }
                Ok(())
            }
            Operation::Suspend => {
                let delay = "/sys/module/suspend/parameters/pm_test_delay";
                write(Path::new(delay), "0")?;
                write(Path::new("/sys/power/pm_test"), "devices")?;
                write(Path::new("/sys/power/state"), "mem")
            }
            Operation::Rebind => {
                // Without one it is not bound.
                let unbound = write(&self.driver.join("unbind"), &self.address);
                write(&self.driver.join("bind"), &self.address).and(unbound)
            }
            Operation::RuntimePm(on) => {
                // The driver's own delay is longer than any input.
                let set = self.set_file("power/autosuspend_delay_ms", "10");
                self.set_file("power/control", if on { "auto" } else { "on" })
                    .and(set)
            }
            Operation::Reset => self.set_file("reset", "1"),
            Operation::Rescan => {
                let removed = self.set_file("remove", "1");
                write(Path::new("/sys/bus/pci/rescan"), "1").and(removed)
            }
            Operation::Wait(time) => {
                thread::sleep(Duration::from_millis(time.into()));
                Ok(())
            }
            Operation::Address(last) => {
                let mut address = self.station_address()?;
                address.sa_data[5] = last as libc::c_char;
                self.set_station_address(address)
            }
            Operation::Restore => self.restore(&mut shared()),
        }
    }

    fn index(&self) -> io::Result<i32> {
        let index = fs::read_to_string(format!("/sys/class/net/{}/ifindex", self.name))?;
        index.trim().parse().map_err(io::Error::other)
    }

    fn send(&self, sender: &OwnedFd, offload: Offload, length: u16, count: u8) -> io::Result<()> {
        let message = message(offload, length);
        let index = self.index()?;
        for _ in 0..count {
            send_to(sender, &message, index)?;
        }
        Ok(())
    }
}

impl Shared {
    fn sender(&mut self) -> io::Result<Arc<OwnedFd>> {
        if let Some(sender) = &self.sender {
            return Ok(sender.clone());
        }
        let socket = packet_socket(0)?;
        let on: libc::c_int = 1;
        // SAFETY: the pointer is to a live integer and the length is its size.
        let set = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_VNET_HDR,
                (&raw const on).cast(),
                mem::size_of_val(&on) as libc::socklen_t,
            )
        };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(self.sender.insert(Arc::new(socket)).clone())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// A frame to be sent, behind the header by which a packet socket is asked for offloads
/// (`struct virtio_net_hdr`).
fn message(offload: Offload, length: u16) -> Vec<u8> {
    let (protocol, checksum_at, header) = match offload {
        Offload::None | Offload::Udp => (17, 6, 8),
        Offload::Tcp | Offload::Pieces(_) => (6, 16, 20),
    };
    let longest = match offload {
        Offload::Pieces(_) => 60_000,
        _ => 4200,
    };
    let length = usize::from(length) % longest + frame::HEADER + 20 + header;
    let mut message = vec![0_u8; 10];
    if offload != Offload::None {
        let start = (frame::HEADER + 20) as u16;
        message[0] = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
        message[6..8].copy_from_slice(&start.to_le_bytes());
        message[8..10].copy_from_slice(&(checksum_at as u16).to_le_bytes());
    }
    if let Offload::Pieces(size) = offload {
        message[1] = 1; // VIRTIO_NET_HDR_GSO_TCPV4
        message[2..4].copy_from_slice(&((frame::HEADER + 20 + header) as u16).to_le_bytes());
        message[4..6].copy_from_slice(&size.max(1).to_le_bytes());
    }
    message.extend_from_slice(&[0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 8, 0]);
    let total = (length - frame::HEADER).min(65_535) as u16;
    let [high, low] = total.to_be_bytes();
    message.extend_from_slice(&[
        0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 81, 68, 15, 10, 81, 68, 1,
    ]);
    let payload = message.len();
    message.resize(10 + length, 0x5a);
    if protocol == 6 {
        // Twenty bytes of header, ACK.
        message[payload + 12] = 0x50;
        message[payload + 13] = 0x10;
    }
    message
}

fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: socket has no memory arguments.
    let raw = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A packet socket that takes frames of one ethertype from any interface; with zero it takes none.
fn packet_socket(ethertype: u16) -> io::Result<OwnedFd> {
    socket(
        libc::AF_PACKET,
        libc::SOCK_RAW,
        i32::from(ethertype.to_be()),
    )
}

fn link_address(index: i32) -> libc::sockaddr_ll {
    // SAFETY: sockaddr_ll is plain data, for which all zeros is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = 0x0800_u16.to_be();
    address.sll_ifindex = index;
    address
}

fn send_to(socket: &OwnedFd, message: &[u8], index: i32) -> io::Result<()> {
    let address = link_address(index);
    // SAFETY: message and address are live and readable for the lengths given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends the lab's frames back, from whatever interface they come, until the process ends.
fn echo(own: Address) -> io::Result<()> {
    let socket = packet_socket(frame::ETHERTYPE)?;
    let mut buffer = vec![0_u8; 65_536];
    loop {
        let mut from = link_address(0);
        let mut size = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: buffer and address are live and writable for the lengths given.
        let length = unsafe {
            libc::recvfrom(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
                (&raw mut from).cast(),
                &raw mut size,
            )
        };
        let Ok(length) = usize::try_from(length) else {
            // Its interface has gone down.
            continue;
        };
        if let Some(echo) = frame::echo(&buffer[..length], own) {
            // What is lost is asked for again.
            let _ = send_to(&socket, &echo, from.sll_ifindex);
        }
    }
}

/// Has a serial port go as fast as it can: QEMU reports the end of what has arrived only after the
/// time that four more letters would take.
fn set_fast(port: &File) -> io::Result<()> {
    let port = port.as_raw_fd();
    // SAFETY: termios is plain data, for which all zeros is a valid value.
    let mut settings: libc::termios = unsafe { mem::zeroed() };
    // SAFETY: the settings are live and writable.
    if unsafe { libc::tcgetattr(port, &raw mut settings) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    unsafe { libc::cfsetspeed(&raw mut settings, libc::B115200) };
    // SAFETY: the settings are live and readable.
    if unsafe { libc::tcsetattr(port, libc::TCSANOW, &raw const settings) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Carries out what the lab sends over the channel, [`BYTES`] bytes in hexadecimal for an
/// operation. Each answer says whether the interface is there and up, and for each operation that
/// was not done beside others its first byte and how many microseconds it took.
pub fn serve(interface: &str, channel: &Path) -> io::Result<()> {
    let own = fs::read_to_string(format!("/sys/class/net/{interface}/address"))?;
    let own = frame::parse_address(&own).ok_or(io::ErrorKind::InvalidData)?;
    let interface = Arc::new(Interface::find(interface)?);
    let shared = Arc::new(Mutex::new(Shared::default()));
    thread::spawn(move || echo(own));
    let file = File::options().read(true).write(true).open(channel)?;
    set_fast(&file)?;
    let mut output = file.try_clone()?;
    output.write_all(channel::READY.as_bytes())?;
    for line in BufReader::new(file).lines() {
        let line = line?;
        let Some((number, script)) = line.split_once(' ') else {
            continue;
        };
        let operations = channel::from_base64(script)
            .and_then(|text| channel::from_hex(&text))
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut beside = Vec::new();
        let mut times = String::new();
        for bytes in operations.chunks_exact(BYTES) {
            let bytes: [u8; BYTES] = bytes.try_into().unwrap_or_default();
            let (operation, apart) = Operation::from_bytes(bytes);
            let run = {
                let (interface, shared) = (interface.clone(), shared.clone());
                move || drop(interface.operate(operation, &shared))
            };
            if apart {
                beside.push(thread::spawn(run));
            } else {
                let begin = Instant::now();
                run();
                let code = bytes[0] % 32;
                times.push_str(&format!(" {code}={}", begin.elapsed().as_micros()));
            }
        }
        for thread in beside {
            let _ = thread.join();
        }
        let state = match interface.flags(0, 0) {
            Ok(flags) if flags & libc::IFF_UP != 0 => "up",
            Ok(_) => "down",
            Err(_) => "none",
        };
        let end = channel::end(number);
        output.write_all(format!("{state}{times}{end}").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_operations() {
        for code in 0..=255 {
            for a in 0..=255 {
                let (_, beside) = Operation::from_bytes([code, a, 0xff, 0xff, 0xff, 0xff, 0xff]);
                assert_eq!(beside, code >= 128);
            }
        }
        let (send, _) = Operation::from_bytes([3, 1, 0x34, 0x12, 4, 0, 0]);
        let expected = Operation::Send {
            offload: Offload::Udp,
            length: 0x1234,
            count: 5,
        };
        assert_eq!(send, expected);
    }

    #[test]
    fn what_a_stop_does_not_undo_is_restored() {
        assert!(Operation::Mtu(68).sets());
        assert!(Operation::Ethtool(SRINGPARAM, [1, 2]).sets());
        assert!(!Operation::Ethtool(GEEPROM, [1, 2]).sets());
        assert!(!Operation::Stop.sets());
    }

    #[test]
    fn every_setting_that_is_changed_is_restored() {
        let restored = |command| SETTINGS.iter().any(|setting| setting.1 == command);
        let never = [0x3b]; // needs a size that no operation gives
        for command in &ETHTOOL[ASKING..] {
            assert!(
                restored(*command) || never.contains(command),
                "{command:#x}"
            );
        }
        // Places that a fuzzer's first inputs have.
        assert_eq!(
            [10, 17, 20, 23, 24].map(|at| ETHTOOL[at]),
            [TEST, SWOL, SPAUSEPARAM, 0x19, 0x1f]
        );
        assert_eq!(ALL[0].0, 1);
        assert_eq!(ALL[21].0, 22);
    }

    #[test]
    fn frames_are_as_long_as_their_headers_say() {
        for offload in [
            Offload::None,
            Offload::Udp,
            Offload::Tcp,
            Offload::Pieces(700),
        ] {
            for length in [0, 1, 1400, 4100, 65_535] {
                let message = message(offload, length);
                let frame = &message[10..];
                let total = u16::from_be_bytes([frame[16], frame[17]]);
                assert_eq!(frame.len(), usize::from(total) + frame::HEADER);
            }
        }
    }
}
