// SPDX-License-Identifier: GPL-2.0

//! Runs in the guest: sends every frame of the lab's ethertype back.
//!
//! With `gso ADDRESS PIECE LENGTH` it sends one UDP payload of LENGTH bytes instead, which the
//! kernel or the card is to cut into datagrams of PIECE bytes. With `xdp INTERFACE TASK` it has an
//! XDP program there (`lab::xdp`) until it is killed; with `xdp-once` it only attaches and detaches
//! it. With `kexec KERNEL INITRAMFS COMMAND-LINE` it starts another kernel, and with `kdump` it has
//! the kernel do so when it crashes. With `zero ADDRESS` it writes zero to the 16 bits at that
//! physical address, which must be a device's, until it is killed. With `hold INTERFACE` it keeps
//! the frames that it would send back, and so the memory that they are in, until it is killed. With
//! `operate INTERFACE CHANNEL` it answers in place of the shell (`lab::operations`).
//!
//! The interface may go down and even away at any time; the echo takes up again when it is back.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use lab::frame::{self, Address};
use lab::operations;
use lab::xdp::{self, Task};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let interface = match arguments.as_slice() {
        [interface] => interface,
        [gso, address, piece, length] if gso == "gso" => {
            if let Err(error) = send_pieces(address, piece, length) {
                eprintln!("guest-echo: {error}");
                std::process::exit(1);
            }
            return;
        }
        [xdp, interface, task] if xdp == "xdp" || xdp == "xdp-once" => {
            if let Err(error) = run_program(interface, task, xdp == "xdp") {
                eprintln!("guest-echo: {error}");
                std::process::exit(1);
            }
            return;
        }
        [kexec, kernel, initramfs, line] if kexec == "kexec" || kexec == "kdump" => {
            let error = match load_kernel(kernel, initramfs, line, kexec == "kdump") {
                Ok(()) if kexec == "kdump" => return,
                Ok(()) => start_kernel(),
                Err(error) => error,
            };
            eprintln!("guest-echo: {error}");
            std::process::exit(1);
        }
        [zero, address] if zero == "zero" => {
            let Err(error) = keep_zero(address);
            eprintln!("guest-echo: {error}");
            std::process::exit(1);
        }
        [hold, interface] if hold == "hold" => {
            let Err(error) = hold_frames(interface);
            eprintln!("guest-echo: {error}");
            std::process::exit(1);
        }
        [operate, interface, channel] if operate == "operate" => {
            if let Err(error) = operations::serve(interface, Path::new(channel)) {
                eprintln!("guest-echo: {error}");
                std::process::exit(1);
            }
            return;
        }
        _ => {
            eprintln!(
                "usage: guest-echo INTERFACE | gso ADDRESS PIECE LENGTH | xdp[-once] INTERFACE pass|drop|echo|redirect | \
                 kexec|kdump KERNEL INITRAMFS COMMAND-LINE | zero ADDRESS | hold INTERFACE | \
                 operate INTERFACE CHANNEL"
            );
            std::process::exit(2);
        }
    };
    loop {
        // Whatever ends a session (down, removed, not there yet), the cure is to begin anew.
        if let Err(error) = session(interface) {
            eprintln!("{interface}: {error}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// One large UDP payload to the discard port, by `UDP_SEGMENT` (udp(7)).
fn send_pieces(address: &str, piece: &str, length: &str) -> io::Result<()> {
    let number = |text: &str| text.parse::<u16>().map_err(io::Error::other);
    let (piece, length) = (libc::c_int::from(number(piece)?), number(length)?);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, piece)?;
    socket.send_to(&vec![0x5a; usize::from(length)], (address, 9))?;
    Ok(())
}

fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer and the length is its size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// More than any guest has, in bytes; the kernel doubles it.
const ROOM: libc::c_int = 1 << 29;

fn hold_frames(interface: &str) -> io::Result<Infallible> {
    let socket = open(index_of(interface)?)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM)?;
    println!("holding");
    loop {
        thread::park();
    }
}

fn run_program(interface: &str, task: &str, stay: bool) -> io::Result<()> {
    let task = Task::named(task).ok_or(io::ErrorKind::InvalidInput)?;
    let _link = xdp::attach(index_of(interface)?, task)?;
    println!("attached");
    if stay {
        loop {
            thread::park();
        }
    }
    Ok(())
}

/// `kexec_file_load(2)`: the kernel is for the case that this one crashes;
/// `include/uapi/linux/kexec.h`.
const KEXEC_FILE_ON_CRASH: libc::c_ulong = 2;

fn load_kernel(kernel: &str, initramfs: &str, line: &str, on_crash: bool) -> io::Result<()> {
    let (kernel, initramfs) = (File::open(kernel)?, File::open(initramfs)?);
    let line = CString::new(line)?;
    let flags = if on_crash { KEXEC_FILE_ON_CRASH } else { 0 };
    // SAFETY: the descriptors are open, and the pointer is to a string of that length, its zero
    // included.
    let loaded = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initramfs.as_raw_fd(),
            line.as_bytes_with_nul().len(),
            line.as_ptr(),
            flags,
        )
    };
    if loaded < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Starts the kernel that was loaded; comes back only with an error.
fn start_kernel() -> io::Error {
    // SAFETY: reboot has no memory arguments.
    unsafe { libc::reboot(libc::LINUX_REBOOT_CMD_KEXEC) };
    io::Error::last_os_error()
}

/// The page size of the architecture that the guests have.
const PAGE: usize = 4096;

fn keep_zero(address: &str) -> io::Result<Infallible> {
    let digits = address.trim_start_matches("0x");
    let address = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
    if address % mem::size_of::<u16>() != 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let memory = File::options().read(true).write(true).open("/dev/mem")?;
    // SAFETY: the kernel chooses a place that is free, and what is mapped is a device's: no memory
    // that a program of Rust has.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            memory.as_raw_fd(),
            (address / PAGE * PAGE) as libc::off_t,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    println!("mapped");
    loop {
        // SAFETY: the page stays mapped, and an even offset below its size leaves room for 16 bits.
        unsafe {
            page.byte_add(address % PAGE)
                .cast::<u16>()
                .write_volatile(0)
        };
    }
}

fn index_of(interface: &str) -> io::Result<i32> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
    index.trim().parse().map_err(io::Error::other)
}

fn session(interface: &str) -> io::Result<()> {
    let sysfs = format!("/sys/class/net/{interface}");
    let own = std::fs::read_to_string(format!("{sysfs}/address"))?;
    let own = frame::parse_address(&own).ok_or(io::ErrorKind::InvalidData)?;
    let socket = open(index_of(interface)?)?;
    eprintln!("{interface}: echoing");
    serve(&socket, own)
}

/// A packet socket that gets the lab's frames of one interface, headers included.
fn open(index: i32) -> io::Result<OwnedFd> {
    let protocol = frame::ETHERTYPE.to_be();
    // SAFETY: socket has no memory arguments.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(protocol)) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: sockaddr_ll is plain data, for which all zeros is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    // SAFETY: the pointer is to a live sockaddr_ll and the length is its size.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn serve(socket: &OwnedFd, own: Address) -> io::Result<()> {
    let mut buffer = [0_u8; 65_536];
    loop {
        // SAFETY: the buffer is live and writable for the length given.
        let length = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let Some(echo) = frame::echo(&buffer[..length], own) else {
            continue;
        };
        // SAFETY: the echo is live and readable for the length given.
        let sent = unsafe { libc::send(socket.as_raw_fd(), echo.as_ptr().cast(), echo.len(), 0) };
        if sent < 0 {
            let error = io::Error::last_os_error();
            // A full queue loses this echo, as a wire would; anything else ends the session.
            if error.raw_os_error() != Some(libc::ENOBUFS) {
                return Err(error);
            }
        }
    }
}
