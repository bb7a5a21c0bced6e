# SPDX-License-Identifier: GPL-2.0
"""An emulated node: QEMU with an empty disk, and the emulated RTL8111B as its only network card."""

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from archive.errors import Refusal, Usage
from archive.tools import replace

MEMORY_MIB = 1024
DISK_GIB = 4
# What is kept of each frame: the headers, and the beginning of what they carry. About a tenth of the whole.
SNAPLEN = 128
# Without an HPET, with which Linux 7.1 and later can hang as it boots: docs/upstream/linux-clocksource-watchdog.md.
MACHINE = "q35,memory-backend=mem,graphics=off,hpet=off"
# iPXE's driver of Realtek's cards, in the ROM of another one.
ROM = Path("/usr/share/qemu/pxe-rtl8139.rom")

# What no machine of the chip's time had, and TCG takes its time for: strings byte by byte, a fifth level of page tables, and an
# end of the translated block at each access to a user's memory.
SLOW_IN_TCG = "erms=off,fsrm=off,la57=off,smap=off"

REGISTERS = '{"execute":"human-monitor-command","arguments":{"command-line":"info registers -a"}}'


def option_rom(path):
    """Writes iPXE's option ROM for 10ec:8168: the device id in its PCI data structure, and the byte that makes the sum zero."""
    rom = bytearray(ROM.read_bytes())
    data = int.from_bytes(rom[0x18:0x1A], "little")
    if rom[:2] != b"\x55\xaa" or rom[data : data + 6] != b"PCIR\xec\x10":
        raise Refusal(f"{ROM} is no option ROM for a card of Realtek's")
    rom[data + 6 : data + 8] = (0x8168).to_bytes(2, "little")
    rom[6] = (rom[6] - sum(rom[: rom[2] * 512])) & 0xFF
    path.write_bytes(rom)
    return path


def accelerator():
    """QEMU's arguments for KVM where it can work, which takes more than the device; LAB_ACCEL=kvm or tcg decides."""
    wanted = os.environ.get("LAB_ACCEL", "")
    if wanted not in ("", "kvm", "tcg"):
        raise Usage(f"LAB_ACCEL is {wanted}, expected kvm or tcg")
    flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    capable = flags & {"vmx", "svm"} and os.access("/dev/kvm", os.R_OK | os.W_OK)
    kvm = wanted == "kvm" or (capable and not wanted)
    return ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", f"max,{SLOW_IN_TCG}"]


class Machine:
    """A node. `port` is the TAP interface that its cable is plugged into; without a size it has no disk."""

    def __init__(self, name, number, port, model, directory, rom, disk_gib=DISK_GIB):
        self.name = name
        self.mac = f"52:54:00:81:11:{0x10 + number:02x}"
        self.port = port
        self.model = model
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.rom = rom
        self.disk = self.directory / "disk"
        self.disk_gib = disk_gib
        if disk_gib:
            # Empty, and takes no room before something is written.
            with open(self.disk, "wb") as disk:
                disk.truncate(disk_gib << 30)
        self._card = None
        self._qemu = None
        self._cpu = 0.0

    def start(self, boot):
        """Switches the node on; `boot` names this run of it in the names of its logs."""
        nic = f"/tmp/{self.name}.nic"
        control = f"/tmp/{self.name}.ctl"
        for path in (nic, control):
            Path(path).unlink(missing_ok=True)
        # iPXE has four descriptors, and a processor without KVM takes milliseconds to acknowledge an interrupt.
        card = [self.model, "serve", "--socket", nic, "--control", control, "--mac", self.mac, "--wire", f"tap:{self.port}", "--prompt-acks"]
        card += ["--pcap", self.directory / f"{boot}.pcap", "--pcap-snaplen", str(SNAPLEN)]
        self._card = self._spawn(card, f"{boot}-card.log")
        _wait(lambda: Path(nic).exists(), 20, "the emulated card to be there", self._card)
        # Once it is installed its disk is all that it needs.
        card_first = 2 if boot == "disk" else 1
        device = f'{{"driver":"vfio-user-pci","socket":{{"path":"{nic}","type":"unix"}},"romfile":"{self.rom}","bootindex":{card_first}}}'
        memory = f"memory-backend-memfd,id=mem,size={MEMORY_MIB}M,share=on"
        self.console = self.directory / f"{boot}-console.log"
        self._qemu = self._spawn(
            [
                *("qemu-system-x86_64", "-name", self.name, "-machine", MACHINE, "-object", memory),
                *("-m", f"{MEMORY_MIB}M", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot", *accelerator()),
                *(self._disk(3 - card_first) if self.disk_gib else ()),
                *("-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console"),
                *("-nic", "none", "-device", device, "-qmp", f"unix:/tmp/{self.name}.qmp,server=on,wait=off"),
            ],
            f"{boot}-qemu.log",
        )
        self.control = control

    def _disk(self, bootindex):
        # A node that loses its power is installed anew: the host need not wait for its own disk.
        drive = f"if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file={self.disk}"
        return "-drive", drive, "-device", f"ide-hd,drive=disk,bus=ide.0,bootindex={bootindex},model=node,serial=1"

    def _spawn(self, command, log):
        with open(self.directory / log, "wb") as out:
            # However this program ends, no node may run on after it.
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def running(self):
        """Whether it is switched on; fails if it went out in a way of its own."""
        self.cpu_seconds()
        if self._card.poll() is not None and self._qemu.poll() is None:
            raise Refusal(f"{self.name}: the emulated card has ended ({self._card.returncode}); its log is in {self.directory}")
        if self._qemu.poll():
            raise Refusal(f"{self.name}: QEMU failed ({self._qemu.returncode}); its log is in {self.directory}")
        return self._qemu.poll() is None

    def ask_card(self, command):
        """Sends the emulated card one command; returns its answer."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(self.control)
            link.sendall(command.encode() + b"\n")
            return link.makefile().readline()

    def keep_registers(self):
        """Keeps the registers of all its processors: evidence of where a boot hangs."""
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(10)
                link.connect(f"/tmp/{self.name}.qmp")
                answers = link.makefile()
                answers.readline()
                for command in ('{"execute":"qmp_capabilities"}', REGISTERS):
                    link.sendall(command.encode() + b"\n")
                    answer = json.loads(answers.readline())
            replace(self.directory / "registers.txt", answer["return"])
        except (OSError, ValueError, KeyError):
            # That it does not come up is what is to be reported.
            pass

    def stop(self):
        """Switches it off, whatever it is doing."""
        for process in (self._qemu, self._card):
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    @property
    def pid(self):
        """QEMU's process."""
        return self._qemu.pid

    def cpu_seconds(self):
        """The processor time that it has cost so far, with that of its card."""
        ticks = 0
        for process in (self._qemu, self._card):
            try:
                # utime and stime are fields 14 and 15; the name before the bracket may hold anything (proc(5)).
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            except (OSError, AttributeError):
                # One of them has ended: what was seen last.
                return self._cpu
            ticks += int(fields[11]) + int(fields[12])
        self._cpu = ticks / os.sysconf("SC_CLK_TCK")
        return self._cpu

    def console_text(self):
        """All that its console has shown."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def console_tail(self, lines=8):
        """The end of that."""
        text = self.console_text()
        return "\n".join(line for line in text.replace("\r", "\n").splitlines() if line.strip()).splitlines()[-lines:]


def _wait(condition, seconds, what, process):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise Refusal(f"waited {seconds} s for {what}; it is not")
        time.sleep(0.05)
