//! A virtual machine with a stock kernel and a shell that the lab drives.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::channel::{Channel, Endpoint, Output, Silence};
use crate::dmesg;
use crate::ipxe::Uefi;
use crate::kernel::Kernel;
use crate::process::{tail, wait_for, Process};
use crate::qmp::Qmp;
use crate::{bare, tsc, Error, Result};

/// The guest's last state, among the artifacts of a run that failed.
pub const STATE: &str = "guest-state.txt";
/// The registers of all processors of a guest that does not boot.
pub const REGISTERS: &str = "registers.txt";

/// Accesses to memory that is not there, among the artifacts of a guest with a neighbour.
pub const INVALID: &str = "invalid-accesses.log";

/// How long a kernel may take to reach its control channel; seconds under TCG, more on a busy machine.
const BOOT: Duration = Duration::from_secs(180);

/// The name of the console's log.
pub const CONSOLE: &str = "console.log";

/// The default timeout of a command.
pub const COMMAND: Duration = Duration::from_secs(60);

/// QEMU's name of the first card; the others have a number behind it.
pub const NIC: &str = "nic";

/// QEMU's name of the slot, if there is one.
pub const SLOT: &str = "slot0";

/// A slot behind a root port, and who sees to it that cards come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The firmware (ACPI), at once. Of its link QEMU does not say that it is up, so the kernel cannot reset it.
    Firmware,
    /// The kernel itself (pciehp), which waits for five seconds after the button was pressed.
    Native,
}

/// The network card that the guest finds.
#[derive(Debug, Clone)]
pub enum Nic {
    /// The device model that serves vfio-user on this socket.
    Model(PathBuf),
    /// QEMU's own e1000e, joined to the stream socket of a wire: shows what the lab itself can do.
    E1000e(PathBuf),
    /// QEMU's `edu`, which is no network card: the example for rust/net makes one of it. It reaches 32 bits of addresses.
    Edu,
    /// A card of this machine at this PCI address, bound to `vfio-pci`.
    Card(String),
}

/// What brings the kernel into the guest's memory.
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

/// How a guest is to be started.
#[derive(Debug)]
pub struct Options<'a> {
    /// The kernel to boot.
    pub kernel: &'a Kernel,
    /// Its initramfs.
    pub initramfs: &'a Path,
    /// Main memory.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u8,
    /// Its network cards.
    pub nics: &'a [Nic],
    /// The slot that the first card is in; without one it is soldered on.
    pub slot: Option<Slot>,
    /// Whether an IOMMU lets the cards reach only what is mapped for them.
    pub iommu: bool,
    /// Whether a virtio-rng shares the interrupt line of the first card (if that is soldered on), and QEMU writes down
    /// who accesses memory that is not there ([`INVALID`]).
    pub neighbour: bool,
    /// The file that is the guest's disk, if it has one.
    pub disk: Option<&'a Path>,
    /// Whether it may reset the machine, which else ends it.
    pub resets: bool,
    /// What an SSDT of the firmware has, after its header.
    pub ssdt: Option<&'a Path>,
    /// Directories of the lab's that it may read, each with the tag that it mounts them by (9p).
    pub shares: &'a [(&'a str, &'a Path)],
    /// What loads kernel and initramfs.
    pub loader: Loader,
    /// Where the console and QEMU's own messages are written.
    pub artifacts: &'a Path,
    /// Where sockets may be made; the path must be short.
    pub sockets: &'a Path,
    /// Whether the console is the terminal that the lab was started from.
    pub interactive: bool,
    /// Further arguments for QEMU, which overrule the lab's.
    pub qemu: &'a [String],
    /// Further arguments for the kernel, if QEMU loads it.
    pub append: &'a str,
}

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    qemu: Process,
    channel: Channel,
    /// The machine's own channel.
    pub qmp: Qmp,
    console: PathBuf,
    evidence: Option<PathBuf>,
}

impl Guest {
    /// Starts QEMU and waits for the guest's control channel.
    pub fn boot(options: &Options<'_>) -> Result<Self> {
        Self::boot_within(options, BOOT)
    }

    /// Starts QEMU and waits for the guest's control channel, at most for `limit`.
    pub fn boot_within(options: &Options<'_>, limit: Duration) -> Result<Self> {
        let [control, machine] = ["control", "qmp"].map(|name| options.sockets.join(name));
        let endpoint = Endpoint::listen(&control)?;
        let qmp = Qmp::listen(&machine)?;
        let console = options.artifacts.join(CONSOLE);
        let mut command = command(options, &control, &machine, &console)?;
        let log = options.artifacts.join("qemu.log");
        let mut qemu = if options.interactive {
            command.stdin(Stdio::inherit());
            Process::start_as_is("QEMU", &mut command, &log)?
        } else {
            Process::start("QEMU", &mut command, &log)?
        };
        let channel = wait_for(
            "QEMU to open the control channel",
            Duration::from_secs(30),
            || {
                qemu.check_alive()?;
                endpoint.accept()
            },
        )?;
        let mut guest = Self {
            qemu,
            channel,
            qmp,
            console,
            // There is none before the channel is there.
            evidence: None,
        };
        let version = guest.channel.wait_ready(limit).map_err(|silence| {
            // This is evidence of another failure, which is the one to be reported.
            let _ = guest.qmp.save_registers(&options.artifacts.join(REGISTERS));
            guest.explain("booting", limit, silence)
        })?;
        guest.evidence = Some(options.artifacts.join(STATE));
        if version != options.kernel.version() {
            return Err(Error::Unmet(format!(
                "the guest runs kernel {version}, expected {}",
                options.kernel.version()
            )));
        }
        Ok(guest)
    }

    /// Waits until a kernel has booted that the one before it has started, or the machine's reset. `script` was the last that
    /// the one before was given.
    fn wait_boot(&mut self, script: &str) -> Result<()> {
        self.channel
            .wait_ready(BOOT)
            .map(drop)
            .map_err(|silence| self.explain(script, BOOT, silence))
    }

    /// Runs a shell script that ends with the start of another kernel, and waits until that has booted.
    pub fn boot_by(&mut self, script: &str) -> Result<()> {
        let sent = self.channel.send(script);
        sent.map_err(|silence| self.explain(script, BOOT, silence))?;
        self.wait_boot(script)
    }

    /// Runs a shell script that saves the system to a disk and has the machine reset, then `restore` in the kernel that boots
    /// thereupon, which restores the system; returns when `save` has ended in that, with status 0.
    pub fn check_across_boot(&mut self, save: &str, restore: &str) -> Result<String> {
        let sent = self.channel.send(save);
        let saving = sent.map_err(|silence| self.explain(save, BOOT, silence))?;
        self.wait_boot(save)?;
        let answer = match self.channel.send(restore) {
            Ok(_) => self.channel.wait(saving, BOOT),
            Err(silence) => Err(silence),
        };
        let output = answer.map_err(|silence| self.explain(restore, BOOT, silence))?;
        crate::require!(
            output.status == 0,
            "{save} ended with status {} after all: {}",
            output.status,
            output.text
        );
        Ok(output.text)
    }

    /// Runs a shell script in the guest and returns its output whatever its exit status.
    pub fn run_within(&mut self, script: &str, limit: Duration) -> Result<Output> {
        self.channel
            .run(script, limit)
            .map_err(|silence| self.explain(script, limit, silence))
    }

    /// [`Guest::run_within`] the usual time.
    pub fn run(&mut self, script: &str) -> Result<Output> {
        self.run_within(script, COMMAND)
    }

    /// Runs a shell script that must end with status 0; returns its output without the final line feed.
    pub fn check_within(&mut self, script: &str, limit: Duration) -> Result<String> {
        let output = self.run_within(script, limit)?;
        let text = output.text.trim_end_matches('\n').to_owned();
        if output.status == 0 {
            Ok(text)
        } else {
            Err(Error::Command {
                command: script.to_owned(),
                status: output.status,
                output: text,
            })
        }
    }

    /// [`Guest::check_within`] the usual time.
    pub fn check(&mut self, script: &str) -> Result<String> {
        self.check_within(script, COMMAND)
    }

    /// Repeats a shell script until it ends with status 0; returns its output.
    pub fn wait_until(&mut self, what: &str, script: &str, limit: Duration) -> Result<String> {
        wait_for(what, limit, || {
            let output = self.run(script)?;
            Ok((output.status == 0).then(|| output.text.trim_end().to_owned()))
        })
    }

    /// Where the log of that name is, beside the console's.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.console.with_file_name(name)
    }

    /// All that the kernel has written to the console so far.
    pub fn console(&self) -> Result<String> {
        fs::read(&self.console)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(Error::file(&self.console, "reading the console"))
    }

    /// Ends the machine, whatever the guest is doing.
    pub fn switch_off(mut self) -> Result<()> {
        self.evidence = None;
        self.qmp.execute("quit", &serde_json::json!({}))?;
        self.ended()
    }

    /// Powers the guest off and waits until QEMU has ended.
    pub fn shut_down(mut self) -> Result<()> {
        self.evidence = None;
        // The guest is gone before it can answer.
        match self.channel.run("poweroff -f", Duration::from_secs(30)) {
            Err(Silence::Closed) => {}
            Err(silence) => {
                return Err(self.explain("powering off", Duration::from_secs(30), silence))
            }
            Ok(output) => {
                return Err(Error::Protocol {
                    peer: "the guest",
                    what: format!("it survived its power-off: {}", output.text),
                })
            }
        }
        self.ended()
    }

    /// Waits until QEMU has ended well.
    fn ended(&mut self) -> Result<()> {
        let status = self.qemu.wait(Duration::from_secs(30))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Ended {
            program: "QEMU".to_owned(),
            status: status.to_string(),
            tail: tail(self.qemu.log(), 12),
        })
    }

    fn explain(&mut self, during: &str, limit: Duration, silence: Silence) -> Error {
        let console = self.console().unwrap_or_default();
        let problems = dmesg::problems(&console);
        let cause = match problems.first() {
            Some(problem) => format!("the kernel says: {}", problem.line),
            None => format!("the end of its console:\n{}", tail(&self.console, 8)),
        };
        let during = during.lines().next().unwrap_or_default().to_owned();
        match silence {
            Silence::Failed(error) => error,
            Silence::Timeout(text) => Error::Timeout {
                what: format!("`{during}` in the guest"),
                after: limit,
                detail: format!("; so far it wrote {text:?}; {cause}"),
            },
            Silence::Closed => Error::GuestGone { during, cause },
        }
    }
}

impl Drop for Guest {
    /// Saves the state of the guest after a run that failed.
    fn drop(&mut self) {
        let Some(path) = self.evidence.take() else {
            return;
        };
        let script = "ip -s -s addr; cat /proc/interrupts /proc/net/softnet_stat; netstat -tn; ps; \
            for i in /sys/class/net/*; do grep -H . $i/carrier $i/queues/tx-0/byte_queue_limits/*; done; \
            tail /run/*.log";
        if let Ok(output) = self.channel.run(script, Duration::from_secs(10)) {
            // This is evidence of another failure, which is the one to be reported.
            let _ = fs::write(path, output.text);
        }
    }
}

fn command(options: &Options<'_>, control: &Path, qmp: &Path, console: &Path) -> Result<Command> {
    let mut command = machine(options.memory_mib, options.cpus)?;
    if !matches!(options.loader, Loader::Qemu) {
        // Without graphics the firmware, and with it iPXE, writes to the console.
        command.args(["-machine", "graphics=off"]);
    }
    match &options.loader {
        Loader::Qemu => {
            let mut arguments = command_line(options.interactive);
            if options.iommu {
                arguments.push_str(" intel_iommu=on iommu=nopt");
            }
            if !options.append.is_empty() {
                arguments.push(' ');
                arguments.push_str(options.append);
            }
            command
                .arg("-kernel")
                .arg(options.kernel.image())
                .arg("-initrd")
                .arg(options.initramfs)
                .args(["-append", &arguments]);
        }
        Loader::OptionRom(_) => {}
        Loader::Ipxe { image, script } => {
            command.arg("-kernel").arg(image).arg("-initrd").arg(script);
        }
        Loader::Uefi { uefi, disk, .. } => {
            add_uefi(&mut command, uefi);
            if let Some(disk) = disk {
                command
                    .arg("-drive")
                    .arg(with_path(
                        "if=none,id=loader,format=raw,readonly=on,file=fat:",
                        disk,
                    ))
                    .args(["-device", "virtio-blk-pci,drive=loader,bootindex=1"]);
            }
        }
    }
    if options.interactive {
        command
            .arg("-chardev")
            .arg(with_path(
                "stdio,id=console,signal=off,mux=on,logfile=",
                console,
            ))
            .args(["-object", "monitor-hmp,id=monitor,chardev=console"])
            .args(["-serial", "chardev:console"]);
    } else {
        add_console(&mut command, console);
    }
    command
        .arg("-chardev")
        .arg(with_path("socket,id=control,server=off,path=", control))
        .args(["-serial", "chardev:control"]);
    add_qmp(&mut command, qmp);
    command.args(["-nic", "none"]);
    if options.iommu {
        // With caching mode the guest reports each mapping that is added or removed, and QEMU passes that on to the model.
        command.args(["-device", "intel-iommu,caching-mode=on,intremap=off"]);
    }
    if let Some(slot) = options.slot {
        let firmware = if slot == Slot::Firmware { "on" } else { "off" };
        command.args([
            "-global",
            &format!("ICH9-LPC.acpi-pci-hotplug-with-bridge-support={firmware}"),
            "-device",
            &format!("pcie-root-port,id={SLOT},chassis=1"),
        ]);
    }
    for (number, nic) in options.nics.iter().enumerate() {
        let slot = options.slot.filter(|_| number == 0).map(|_| SLOT);
        add_nic(&mut command, number, nic, slot, &options.loader);
    }
    if let Some(table) = options.ssdt {
        command
            .arg("-acpitable")
            .arg(with_path("sig=SSDT,rev=2,data=", table));
    }
    if options.neighbour {
        // The card is in slot 1, or 2 where there is an IOMMU; every fourth slot has its pins on the same lines.
        let slot = if options.iommu { "6" } else { "5" };
        command
            .args(["-device", &format!("virtio-rng-pci,vectors=0,addr={slot}")])
            .args(["-d", "invalid_mem", "-D"])
            .arg(options.artifacts.join(INVALID));
    }
    if let Some(disk) = options.disk {
        command
            .arg("-drive")
            .arg(with_path(
                "if=none,id=disk,format=raw,cache=unsafe,file=",
                disk,
            ))
            .args(["-device", "virtio-blk-pci,drive=disk"]);
    }
    if options.resets {
        command.args(["-action", "reboot=reset"]);
    }
    for (tag, path) in options.shares {
        let share =
            format!("local,mount_tag={tag},security_model=none,readonly=on,multidevs=remap,path=");
        command.arg("-virtfs").arg(with_path(&share, path));
    }
    command.args(options.qemu);
    Ok(command)
}

/// QEMU with processors and memory that a device model can share, and nothing else.
///
/// It has no HPET. With one, Linux 7.2 and 7.3 compare the TSCs of the processors while they boot: in a timer's handler
/// they wait for another processor, for a time that they measure by the current clock. Before they have switched to the
/// TSC that clock is jiffies, which does not advance while interrupts are disabled. If the other processor is in
/// `stop_machine()` just then, and has disabled its interrupts too, both wait for ever. Without an HPET there is nothing
/// to compare with until the TSC is the clock (docs/upstream/linux-clocksource-watchdog.md).
pub(crate) fn machine(memory_mib: u32, cpus: u8) -> Result<Command> {
    machine_of(bare::SHARED, memory_mib, cpus)
}

/// The same with memory that is made otherwise.
pub(crate) fn machine_of(memory: &str, memory_mib: u32, cpus: u8) -> Result<Command> {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", "q35,memory-backend=mem,hpet=off", "-object"])
        .arg(format!("{memory},id=mem,size={memory_mib}M"))
        .args(["-m", &format!("{memory_mib}M")])
        .args(["-smp", &cpus.to_string()])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .args(accelerator()?);
    Ok(command)
}

/// Has UEFI in place of the BIOS. The variables are written to.
pub(crate) fn add_uefi(command: &mut Command, uefi: &Uefi) {
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

/// Adds QEMU's own channel, for a [`Qmp`] that listens on `socket`.
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
/// An oops must end the guest, so that the lab sees it at once. While a kernel identifies its processor
/// it forgets for a moment that it has five levels of page tables, and an interrupt in that moment makes
/// KASAN report a wild access: four are enough. On a busy host a processor of the guest's may not run for tens of
/// milliseconds; then too few ticks arrive while the kernel checks its timer, and it panics ("IO-APIC + timer doesn't
/// work!"): no check, as for guests of KVM. For the same reason it measures its TSC wrongly, by a factor of three and more,
/// against a timer of which a part has passed unseen: its time is too fast then, until it finds out and complains of stalls. So
/// it is given the frequency.
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
    // KVM tells its guests itself.
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

/// QEMU's arguments for KVM where it can work, for software emulation elsewhere; `LAB_ACCEL` decides.
fn accelerator() -> Result<&'static [&'static str]> {
    const KVM: &[&str] = &["-accel", "kvm", "-cpu", "host"];
    // What TCG is slow at, and no machine of the chip's time had: it copies strings a byte at a time, and a kernel that is
    // told they are fast has all its copying done so; it walks a fifth level of page tables; and it ends the translated
    // block at each access to a user's memory that SMAP guards.
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

/// Whether guests run under TCG, which plugins need.
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
