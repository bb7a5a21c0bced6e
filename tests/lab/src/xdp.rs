// SPDX-License-Identifier: GPL-2.0

//! Small XDP programs, assembled here, and how they are attached: what the guest runs to try a
//! driver's XDP.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::frame::{ETHERTYPE, HEADER};

/// The verdict of a program on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Let it go up the stack.
    Pass,
    /// Drop it.
    Drop,
    /// Send the lab's frames back as `guest-echo` would, and let others pass.
    Echo,
    /// The same by `ndo_xdp_xmit`, which sends what other devices redirect.
    Redirect,
}

impl Task {
    /// The task of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "pass" => Some(Task::Pass),
            "drop" => Some(Task::Drop),
            "echo" => Some(Task::Echo),
            "redirect" => Some(Task::Redirect),
            _ => None,
        }
    }
}

/// `bpf(2)`: commands, program type, attach type; `include/uapi/linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// Run by the driver itself, or not at all; `include/uapi/linux/if_link.h`.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;

/// Helper functions of programs: one sends a frame out of any interface, the other moves its end.
const REDIRECT: i32 = 23;
const ADJUST_TAIL: i32 = 65;

/// One instruction; `struct bpf_insn`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: to | from << 4,
        offset,
        immediate,
    }
}

/// `to = value`.
const fn set(to: u8, value: i32) -> Instruction {
    instruction(0xb7, to, 0, 0, value)
}

/// `to = from`.
const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, to, from, 0, 0)
}

/// `to += value`.
const fn add(to: u8, value: i32) -> Instruction {
    instruction(0x07, to, 0, 0, value)
}

/// `to -= from`.
const fn subtract(to: u8, from: u8) -> Instruction {
    instruction(0x1f, to, from, 0, 0)
}

/// `to = *(u32 *)(from + offset)`.
const fn load32(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x61, to, from, offset, 0)
}

/// `to = *(u16 *)(from + offset)`.
const fn load16(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x69, to, from, offset, 0)
}

/// `*(u32 *)(to + offset) = from`.
const fn store32(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x63, to, from, offset, 0)
}

/// `*(u16 *)(to + offset) = from`.
const fn store16(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x6b, to, from, offset, 0)
}

/// Takes the 16 bits of `to` as big-endian.
const fn from_be16(to: u8) -> Instruction {
    instruction(0xdc, to, 0, 0, 16)
}

/// `if left > right`, over so many instructions.
const fn skip_if_greater(left: u8, right: u8, over: i16) -> Instruction {
    instruction(0x2d, left, right, over, 0)
}

/// `if left != value`, over so many instructions.
const fn skip_unless(left: u8, value: i32, over: i16) -> Instruction {
    instruction(0x55, left, 0, over, value)
}

/// Calls a helper function; its answer is in register 0, its arguments in those from 1 on.
const fn call(function: i32) -> Instruction {
    instruction(0x85, 0, 0, 0, function)
}

/// Returns register 0.
const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

/// Swaps the addresses of the lab's frames, cuts them to the length that is in the lab's, and does
/// with them what `send`, instructions that leave an action in register 0, says.
fn echo(send: &[Instruction]) -> Vec<Instruction> {
    let over = send.len() as i16;
    let mut program = vec![
        copy(6, 1),
        load32(2, 6, 0), // the frame
        load32(3, 6, 4), // its end
        set(0, XDP_PASS),
        copy(4, 2),
        add(4, HEADER as i32),
        skip_if_greater(4, 3, 18 + over),
        load16(5, 2, 12),
        skip_unless(5, i32::from(ETHERTYPE.to_be()), 16 + over),
        load32(5, 2, 0),
        load16(7, 2, 4),
        load32(8, 2, 6),
        load16(9, 2, 10),
        store32(2, 8, 0),
        store16(2, 9, 4),
        store32(2, 5, 6),
        store16(2, 7, 10),
        from_be16(9),   // the length that the echo is to have
        subtract(3, 2), // the length that it has
        skip_if_greater(9, 3, 5),
        copy(2, 9),
        subtract(2, 3),
        copy(1, 6),
        call(ADJUST_TAIL),
        // One that could not be cut is dropped, and missed.
        skip_unless(0, 0, 1 + over),
    ];
    program.extend_from_slice(send);
    program.extend([EXIT, set(0, XDP_DROP), EXIT]);
    program
}

fn program(interface: i32, task: Task) -> Vec<Instruction> {
    match task {
        Task::Pass => vec![set(0, XDP_PASS), EXIT],
        Task::Drop => vec![set(0, XDP_DROP), EXIT],
        Task::Echo => echo(&[set(0, XDP_TX)]),
        Task::Redirect => echo(&[set(1, interface), set(2, 0), call(REDIRECT)]),
    }
}

/// The beginning of `union bpf_attr` for [`BPF_PROG_LOAD`].
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The beginning of `union bpf_attr` for [`BPF_LINK_CREATE`].
#[repr(C)]
struct Link {
    program: i32,
    interface: i32,
    kind: u32,
    flags: u32,
}

/// Calls `bpf` for a command that returns a descriptor.
///
/// # Safety
///
/// `attributes` must be what the command wants, and its pointers be live.
unsafe fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let size = mem::size_of::<T>();
    // SAFETY: the kernel reads that many bytes; the rest by the safety requirements.
    let descriptor = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size) };
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands return a new descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Has the driver of the interface with this index run a program for as long as the answer lives.
pub fn attach(interface: i32, task: Task) -> io::Result<OwnedFd> {
    let instructions = program(interface, task);
    let mut log = vec![0_u8; 1 << 16];
    let load = Load {
        kind: BPF_PROG_TYPE_XDP,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 1,
        log_size: u32::try_from(log.len()).map_err(io::Error::other)?,
        log: log.as_mut_ptr() as u64,
    };
    // SAFETY: the structure begins the one of that command; what it points to is live, and the log
    // is writable for its size.
    let loaded = unsafe { bpf(BPF_PROG_LOAD, &load) };
    let loaded = loaded.map_err(|error| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(0);
        let why = String::from_utf8_lossy(&log[..end]);
        io::Error::other(format!("the program is refused: {error}; {why}"))
    })?;
    let link = Link {
        program: loaded.as_raw_fd(),
        interface,
        kind: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    // SAFETY: the structure begins the one of that command.
    unsafe { bpf(BPF_LINK_CREATE, &link) }
}
