// SPDX-License-Identifier: GPL-2.0

//! A virtual machine with a stock kernel and a shell that the lab drives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::channel::{Channel, Endpoint, Output, Silence};
use crate::dmesg;
use crate::kernel::Kernel;
use crate::machine::{
    add_console, add_nic, add_qmp, add_uefi, command_line, machine, with_path, Loader, Nic,
};
use crate::process::{tail, wait_for, Process};
use crate::qmp::Qmp;
use crate::{Error, Result};

/// The guest's last state, among the artifacts of a run that failed.
pub const STATE: &str = "guest-state.txt";
/// The registers of all processors of a guest that does not boot.
pub const REGISTERS: &str = "registers.txt";

/// Accesses to memory that is not there, among the artifacts of a guest with a neighbour.
pub const INVALID: &str = "invalid-accesses.log";

/// The time that a kernel may take to reach its control channel; seconds under TCG, more on a busy
/// machine.
const BOOT: Duration = Duration::from_secs(180);

/// The name of the console's log.
pub const CONSOLE: &str = "console.log";

/// The default timeout of a command.
pub const COMMAND: Duration = Duration::from_secs(60);

/// QEMU's name of the slot, if there is one.
pub const SLOT: &str = "slot0";

/// A slot behind a root port, and what makes cards come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The firmware (ACPI), at once. Of its link QEMU does not say that it is up, so the kernel
    /// cannot reset it.
    Firmware,
    /// The kernel itself (pciehp), which waits for five seconds after the button was pressed.
    Native,
}

/// The settings with which a guest is started.
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
    /// Says whether an IOMMU lets the cards reach only what is mapped for them.
    pub iommu: bool,
    /// Says whether a virtio-rng shares the interrupt line of the first card (if that is soldered
    /// on), and QEMU records which device accesses memory that is not there ([`INVALID`]).
    pub neighbour: bool,
    /// The file that is the guest's disk, if it has one.
    pub disk: Option<&'a Path>,
    /// Says whether it may reset the machine, which else ends it.
    pub resets: bool,
    /// The body of an SSDT of the firmware.
    pub ssdt: Option<&'a Path>,
    /// Directories of the lab's that it may read, each with the tag that it mounts them by (9p).
    pub shares: &'a [(&'a str, &'a Path)],
    /// The loader of kernel and initramfs.
    pub loader: Loader,
    /// The directory in which the console and QEMU's own messages are written.
    pub artifacts: &'a Path,
    /// The directory in which sockets may be made; the path must be short.
    pub sockets: &'a Path,
    /// Says whether the console is the terminal that the lab was started from.
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

    /// Waits until a kernel has booted that the one before it has started, or the machine's reset.
    /// `script` was the last that the one before was given.
    fn wait_boot(&mut self, script: &str) -> Result<()> {
        self.channel
            .wait_ready(BOOT)
            .map(drop)
            .map_err(|silence| self.explain(script, BOOT, silence))
    }

    /// Runs a shell script that ends with the start of another kernel, and waits until that has
    /// booted.
    pub fn boot_by(&mut self, script: &str) -> Result<()> {
        let sent = self.channel.send(script);
        sent.map_err(|silence| self.explain(script, BOOT, silence))?;
        self.wait_boot(script)
    }

    /// Runs a shell script that ends with a program which answers in place of the shell, and waits
    /// for its greeting. From then on the "scripts" are what that program takes.
    pub fn hand_over(&mut self, script: &str) -> Result<()> {
        // That program could not be asked for the state of the guest.
        self.evidence = None;
        self.boot_by(script)
    }

    /// Runs a shell script that saves the system to a disk and has the machine reset, then
    /// `restore` in the kernel that boots then, which restores the system; returns when `save`
    /// has ended in that, with status 0.
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

    /// Has the guest begin a script, whose end [`Guest::end`] waits for; returns its number.
    pub fn begin(&mut self, script: &str) -> Result<u32> {
        let sent = self.channel.send(script);
        sent.map_err(|silence| self.explain(script, COMMAND, silence))
    }

    /// Waits for the end of the script of that number.
    pub fn end(&mut self, number: u32, limit: Duration) -> Result<Output> {
        let ended = self.channel.wait(number, limit);
        ended.map_err(|silence| self.explain(&format!("script {number}"), limit, silence))
    }

    /// [`Guest::run_within`] the usual time.
    pub fn run(&mut self, script: &str) -> Result<Output> {
        self.run_within(script, COMMAND)
    }

    /// Runs a shell script that must end with status 0; returns its output without the final line
    /// feed.
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

    /// Returns where the log of that name is, beside the console's.
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
            add_uefi(&mut command, uefi, false);
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
        // With caching mode the guest reports each mapping that is added or removed, and QEMU
        // passes that on to the model.
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
        // The card is in slot 1, or 2 where there is an IOMMU; every fourth slot has its pins on
        // the same lines.
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
