// SPDX-License-Identifier: GPL-2.0

//! The command line of QEMU: the machine, its cards, its firmware and its consoles. Every guest of
//! the lab, with a kernel or without, is made of these parts.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ipxe::Uefi;
use crate::{tsc, Error, Result};

/// The kind of memory of QEMU that a card in another process can reach.
pub const SHARED: &str = "memory-backend-memfd,share=on";

/// QEMU's name of the first card; the others have a number behind it.
pub const NIC: &str = "nic";

/// The network card that the guest finds.
#[derive(Debug, Clone)]
pub enum Nic {
    /// The device model that serves vfio-user on this socket.
    Model(PathBuf),
    /// QEMU's own e1000e, joined to the stream socket of a wire: shows what the lab itself can do.
    E1000e(PathBuf),
    /// QEMU's `edu`, which is no network card: the example for rust/net makes one of it. It reaches
    /// 32 bits of addresses.
    Edu,
    /// A card of this machine at this PCI address, bound to `vfio-pci`.
    Card(String),
}

/// The loader of the guest's kernel.
#[derive(Debug, Clone)]
pub enum Loader {
    /// QEMU does.
    Qemu,
    /// iPXE, which is in this option ROM of the card.
    OptionRom(PathBuf),
    /// iPXE, which QEMU loads as a kernel, with a script of its own.
    Ipxe {
        /// `ipxe.lkrn`.
        image: PathBuf,
        /// The script.
        script: PathBuf,
    },
    /// UEFI, which boots from a disk, or by what an option ROM of the card brings along.
    Uefi {
        /// The firmware.
        uefi: Uefi,
        /// The option ROM.
        rom: Option<PathBuf>,
        /// The directory whose files the disk has.
        disk: Option<PathBuf>,
    },
}

/// QEMU with a machine of this kind, and nothing in it. All of QEMU's command lines begin here.
pub(crate) fn qemu(machine: &str) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-machine", machine, "-nodefaults", "-display", "none"]);
    command
}

/// QEMU with processors and memory that a device model can share, and nothing else.
///
/// It has no HPET. With one, Linux 7.2 and 7.3 compare the TSCs of the processors while they boot:
/// in a timer's handler they wait for another processor, for a time that they measure by the
/// current clock. Before they have switched to the TSC that clock is jiffies, which does not
/// advance while interrupts are disabled. If the other processor is in `stop_machine()` just then,
/// and has disabled its interrupts too, both wait forever. Without an HPET there is nothing to
/// compare with until the TSC is the clock (docs/upstream/linux-clocksource-watchdog.md).
pub(crate) fn machine(memory_mib: u32, cpus: u8) -> Result<Command> {
    machine_of(SHARED, memory_mib, cpus)
}

/// The same with memory that is made otherwise.
pub(crate) fn machine_of(memory: &str, memory_mib: u32, cpus: u8) -> Result<Command> {
    let mut command = qemu("q35,memory-backend=mem,hpet=off");
    command
        .arg("-object")
        .arg(format!("{memory},id=mem,size={memory_mib}M"))
        .args(["-m", &format!("{memory_mib}M")])
        .args(["-smp", &cpus.to_string()])
        .arg("-no-reboot")
        .args(accelerator()?);
    Ok(command)
}

/// Has UEFI in place of the BIOS. The variables are written to; if the firmware is built for Secure
/// Boot, only by itself in System Management Mode. Whether it asks for signatures depends on the
/// keys in its variables.
pub(crate) fn add_uefi(command: &mut Command, uefi: &Uefi, secure: bool) {
    if secure {
        command.args(["-machine", "smm=on"]);
        command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        command.args(["-global", "ICH9-LPC.disable_s3=1"]);
    }
    command
        .arg("-drive")
        .arg(with_path(
            "if=pflash,unit=0,format=raw,readonly=on,file=",
            &uefi.code,
        ))
        .arg("-drive")
        .arg(with_path(
            "if=pflash,unit=1,format=raw,file=",
            &uefi.variables,
        ));
}

/// Adds a serial port whose output goes to a file.
pub(crate) fn add_console(command: &mut Command, console: &Path) {
    command
        .arg("-chardev")
        .arg(with_path("file,id=console,path=", console))
        .args(["-serial", "chardev:console"]);
}

/// Adds QEMU's own channel, for a [`crate::qmp::Qmp`] that listens on `socket`.
pub(crate) fn add_qmp(command: &mut Command, socket: &Path) {
    command
        .arg("-chardev")
        .arg(with_path("socket,id=qmp,server=off,path=", socket))
        .args(["-object", "monitor-qmp,id=qmp-monitor,chardev=qmp"]);
}

/// The device that QEMU makes of a model behind `socket`, in a slot or soldered on.
pub fn model_device(id: &str, socket: &Path, slot: Option<&str>) -> serde_json::Value {
    let mut device = serde_json::json!({
        "driver": "vfio-user-pci",
        "id": id,
        "socket": { "path": socket, "type": "unix" },
    });
    if let Some(slot) = slot {
        device["bus"] = serde_json::json!(slot);
    }
    device
}

/// Has a card boot the machine by an option ROM, in its turn among the devices that can.
pub(crate) fn boot_by_rom(device: &mut serde_json::Value, rom: &Path, turn: u8) {
    device["romfile"] = serde_json::json!(rom);
    device["bootindex"] = serde_json::json!(turn);
}

/// Adds a network card; `number` counts them from 0. The loader may be in its option ROM.
pub(crate) fn add_nic(
    command: &mut Command,
    number: usize,
    nic: &Nic,
    slot: Option<&str>,
    loader: &Loader,
) {
    match nic {
        Nic::Model(socket) => {
            let id = if number == 0 {
                NIC.to_owned()
            } else {
                format!("{NIC}{number}")
            };
            let mut device = model_device(&id, socket, slot);
            if let Loader::OptionRom(rom) | Loader::Uefi { rom: Some(rom), .. } = loader {
                boot_by_rom(&mut device, rom, 1);
            }
            command.args(["-device", &device.to_string()]);
        }
        Nic::E1000e(socket) => {
            command
                .arg("-netdev")
                .arg(with_path(
                    "stream,id=wire,server=off,addr.type=unix,addr.path=",
                    socket,
                ))
                .args(["-device", "e1000e,netdev=wire"]);
        }
        Nic::Edu => {
            command.args(["-nic", "none", "-device", "edu,dma_mask=0xffffffff"]);
        }
        Nic::Card(address) => {
            let device = serde_json::json!({"driver": "vfio-pci", "id": "nic", "host": address});
            command.args(["-nic", "none", "-device", &device.to_string()]);
        }
    }
}

/// The kernel's command line.
///
/// An oops must end the guest, so that the lab sees it at once. While a kernel identifies its
/// processor it forgets for a moment that it has five levels of page tables, and an interrupt in
/// that moment makes KASAN report a wild access: four are enough. On a busy host a processor of the
/// guest's may not run for tens of milliseconds; then too few ticks arrive while the kernel checks
/// its timer, and it panics ("IO-APIC + timer doesn't work!"): no check, as for guests of KVM. For
/// the same reason it measures its TSC wrongly, by a factor of three and more, against a timer of
/// which a part has passed unseen: its time is too fast then, until it finds out and complains of
/// stalls. So it is given the frequency.
pub fn command_line(interactive: bool) -> String {
    let verbosity = if interactive {
        "quiet loglevel=4"
    } else {
        "ignore_loglevel"
    };
    format!("{} no5lvl no_timer_check {verbosity}", essentials())
}

/// The part of the command line that every kernel gets, other people's included.
pub(crate) fn essentials() -> String {
    let mut line = "console=ttyS0 panic=-1 oops=panic random.trust_cpu=on".to_owned();
    // KVM gives it to its guests itself.
    if let Some(khz) = tsc::khz().filter(|_| is_emulated()) {
        line.push_str(&format!(" tsc_early_khz={khz}"));
    }
    line
}

/// A QEMU option that ends in a file name, in which QEMU wants every comma doubled.
pub(crate) fn with_path(option: &str, path: &Path) -> OsString {
    OsString::from(format!(
        "{option}{}",
        path.display().to_string().replace(',', ",,")
    ))
}

/// QEMU's arguments for KVM where it can work, for software emulation elsewhere; `LAB_ACCEL`
/// decides.
fn accelerator() -> Result<&'static [&'static str]> {
    const KVM: &[&str] = &["-accel", "kvm", "-cpu", "host"];
    // What TCG is slow at, and no machine of the chip's time had: it copies strings a byte at a
    // time, and a kernel that believes they are fast copies everything by them; it walks a fifth
    // level of page tables; and it ends the translated block at each access to a user's memory that
    // SMAP guards.
    const CPU: &str = "max,erms=off,fsrm=off,la57=off,smap=off";
    const TCG: &[&str] = &["-accel", "tcg,thread=multi", "-cpu", CPU];
    match std::env::var("LAB_ACCEL").ok().as_deref() {
        Some("kvm") => Ok(KVM),
        Some("tcg") => Ok(TCG),
        None | Some("") => Ok(if kvm_works() { KVM } else { TCG }),
        Some(other) => Err(Error::Input(format!(
            "LAB_ACCEL is {other}, expected kvm or tcg"
        ))),
    }
}

/// Returns whether guests run under TCG, which plugins need.
pub fn is_emulated() -> bool {
    accelerator().is_ok_and(|arguments| !arguments.contains(&"kvm"))
}

fn kvm_works() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let capable = flags
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm");
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    capable && device.is_ok()
}
