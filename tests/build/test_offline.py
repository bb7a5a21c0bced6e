# SPDX-License-Identifier: GPL-2.0
"""packaging/offline/run, the program in the file of scripts/make-offline, with stubs for a machine's programs, in a directory that stands for its root."""

import hashlib
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
OLD, OWN, NEWER, OTHER = "6.1.0-50-amd64", "6.12.117+deb13-amd64", "7.3.4+deb13-amd64", "6.12.120+deb13-amd64"
CARD = "0000:02:00.0"
NAME = "r8168_rust-0.1.0-offline.run"

STUBS = {
    "id": 'cat "$ROOT/uid"',
    "uname": 'case $1 in -m) cat "$ROOT/machine" ;; *) cat "$ROOT/running" ;; esac',
    # Fails if there is a file `fails`.
    "dpkg": """
echo "dpkg $*" | sed "s,/[^ ]*/,,g" >>"$ROOT/called"
for file; do case $file in -*) ;; *) [ -s "$file" ] || exit 9 ;; esac; done
[ ! -e "$ROOT/fails" ]""",
    "depmod": 'echo "depmod $*" >>"$ROOT/called"',
    "dracut": 'echo "dracut $*" | sed "s,$ROOT,," >>"$ROOT/called"',
    # The driver takes the card, unless it is to leave it alone, or the kernel to refuse it.
    "modprobe": f"""
echo "modprobe $*" >>"$ROOT/called"
[ ! -e "$ROOT/refuses" ] || exit 1
[ -e "$ROOT/leaves" ] || mkdir -p "$ROOT/sys/bus/pci/devices/{CARD}/net/enp2s0" """,
    "ip": 'cat "$ROOT/address" 2>/dev/null',
    "udevadm": "",
    "sleep": "",
    "apt-get": 'echo "apt-get $*" | sed "s,/[^ ]*/,,g" >>"$ROOT/called"; [ -e "$ROOT/mirror" ]',
    "apt-cache": f'[ "$2" != linux-headers-{OTHER} ]',
    "dpkg-query": "echo installed",
}


class Offline(unittest.TestCase):
    """Its behaviour on machines."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        for name in ("bin", "sys/bus/pci/devices", "tmp", "lib", "boot"):
            (self.root / name).mkdir(parents=True)
        for name, text in STUBS.items():
            (self.root / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.root / "bin" / name).chmod(0o755)
        self.write("uid", "0\n")
        self.write("machine", "x86_64\n")
        self.write("dpkg-status", "")
        self.write("mirror", "")
        self.running(OWN)
        self.make(OWN, NEWER)

    def write(self, name, text):
        """Writes a file of the machine."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def running(self, kver):
        """That kernel runs."""
        self.write("running", f"{kver}\n")

    def kernel(self, *releases):
        """These are installed."""
        for kver in releases:
            (self.root / "lib" / kver / "kernel").mkdir(parents=True)

    def card(self, driver=None, net=None):
        """The machine has the card, beside another one."""
        for address, device in (("0000:00:02.0", "0x1234"), (CARD, "0x8168")):
            self.write(f"sys/bus/pci/devices/{address}/vendor", "0x10ec\n")
            self.write(f"sys/bus/pci/devices/{address}/device", f"{device}\n")
        if driver:
            (self.root / "sys/bus/pci/drivers" / driver).mkdir(parents=True)
            (self.root / "sys/bus/pci/devices" / CARD / "driver").symlink_to(f"../../drivers/{driver}")
        if net:
            (self.root / "sys/bus/pci/devices" / CARD / "net" / net).mkdir(parents=True)

    def make(self, *releases, kernels=False):
        """The file, with the driver for these kernels."""
        tree = self.root / "tree"
        for kver in releases:
            self.write(f"tree/modules/{kver}/r8168_rust.ko", f"module for {kver}")
            self.write(f"tree/modules/{kver}/r8168-rust-modules-{kver}_0.1.0_amd64.deb", "package")
        if kernels:
            self.write("tree/kernels/release", f"{OWN}\n")
            self.write(f"tree/kernels/linux-image-{OWN}_6.12.117-1_amd64.deb", "package")
        self.write("tree/dkms/r8168-rust-dkms_0.1.0_all.deb", "package")
        self.write("tree/10-r8168_rust.conf", "softdep r8169 pre: realtek r8168_rust\n")
        with tarfile.open(self.root / "payload", "w") as archive:
            archive.add(tree, ".")
        payload = (self.root / "payload").read_bytes()
        text = (TOP / "packaging/offline/run").read_text()
        for old, new in (
            ("/sys", "sys"),
            ("/lib/modules", "lib"),
            ("/boot", "boot"),
            ("/usr/lib/modprobe.d", "rules"),
            ("/var/lib/dpkg/status", "dpkg-status"),
        ):
            self.assertEqual(text.count(f"={old}\n"), 1)
            text = text.replace(f"={old}\n", f"={self.root}/{new}\n")
        text = text.replace("@LINES@", str(text.count("\n"))).replace("@SUM@", hashlib.sha256(payload).hexdigest()).replace("@VERSION@", "0.1.0")
        self.file = self.root / NAME
        self.file.write_bytes(text.encode() + payload)

    def run_file(self, *arguments, **environment):
        """Runs it; returns the exit status, what it prints and its errors."""
        environment = {"ROOT": str(self.root), "PATH": f"{self.root}/bin:{os.environ['PATH']}", "TMPDIR": f"{self.root}/tmp", "LC_ALL": "C", **environment}
        done = subprocess.run(["sh", self.file, *arguments], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(list((self.root / "tmp").iterdir()), [], "something is left in TMPDIR")
        return done.returncode, done.stdout, done.stderr

    def called(self):
        """Returns what the stubs have noted."""
        path = self.root / "called"
        return path.read_text() if path.exists() else ""

    def held(self, *arguments):
        """It ends well; returns what it prints."""
        status, said, error = self.run_file(*arguments)
        self.assertEqual((status, error), (0, ""), said)
        return said

    def refused(self, expected, *arguments, status=1, **environment):
        """One line says so; no program that changes something was called."""
        found, _, error = self.run_file(*arguments, **environment)
        self.assertEqual((found, len(error.splitlines())), (status, 1), error)
        self.assertIn(expected, error)
        self.assertEqual(self.called(), "")

    def test_the_driver_is_installed_for_each_kernel_and_loaded(self):
        self.card()
        self.kernel(OWN, NEWER, OTHER)
        self.write("address", "2: enp2s0 inet 192.168.1.7/24 brd 192.168.1.255 scope global enp2s0\n")
        said = self.held()
        self.assertEqual(self.called(), f"dpkg -i r8168-rust-modules-{OWN}_0.1.0_amd64.deb r8168-rust-modules-{NEWER}_0.1.0_amd64.deb\nmodprobe r8168_rust\n")
        self.assertIn("enp2s0 has the address 192.168.1.7/24", said)
        self.assertIn("--dkms", said)

    def test_without_an_address_the_way_on_is_said(self):
        self.card()
        self.kernel(OWN)
        self.assertIn("sudo ifup enp2s0", self.held())

    def test_a_damaged_copy_is_refused(self):
        self.card()
        self.kernel(OWN)
        whole = self.file.read_bytes()
        changed = bytearray(whole)
        changed[-1000] ^= 1
        for data in (whole[:-512], bytes(changed), whole + b"\n", whole[:-2000].replace(b"\n", b"\r\n")[: len(whole)]):
            self.file.write_bytes(data)
            status, _, error = self.run_file()
            self.assertNotEqual(status, 0)
            self.assertEqual(self.called(), "")
            if b"\r\n" not in data:
                self.assertEqual(len(error.splitlines()), 1, error)
                self.assertIn("copy of the file is damaged", error)

    def test_another_machine_is_refused(self):
        self.kernel(OWN)
        self.refused("found no card 10ec:8168")
        self.card()
        self.write("machine", "aarch64\n")
        self.refused("architecture aarch64, expected x86_64")
        self.write("uid", "1000\n")
        self.refused(f"needs root: sudo sh {self.file}\n")
        self.refused(f"needs root: sudo sh {self.file} --dkms\n", "--dkms")

    def test_other_kernels_are_named(self):
        self.card()
        self.kernel(OTHER)
        self.running(OTHER)
        self.refused(f"found no kernel of this machine's ({OTHER}) among those that this file has the driver for ({OWN}, {NEWER})")
        self.refused(f"make offline KVER={OTHER}")
        self.kernel(OLD)
        self.refused(f"start {OLD} from GRUB's")

    def test_a_card_that_has_its_driver_needs_none(self):
        self.card(driver="r8169", net="enp2s0")
        self.kernel(OWN)
        self.refused("the card has the interface enp2s0 by r8169")

    def test_under_an_older_kernel_the_next_gets_it(self):
        self.card(driver="r8169", net="enp2s0")
        self.kernel(OLD, OWN)
        self.running(OLD)
        said = self.held()
        self.assertEqual(self.called(), f"dpkg -i r8168-rust-modules-{OWN}_0.1.0_amd64.deb\n")
        self.assertIn("the card is there as enp2s0, by r8169", said)

    def test_a_kernel_that_runs_and_is_not_known_is_to_be_left(self):
        self.card()
        self.kernel(OWN, OTHER)
        self.running(OTHER)
        said = self.held()
        self.assertNotIn("modprobe", self.called())
        self.assertIn(f"choose {OWN} from GRUB's", said)

    def test_a_second_time(self):
        self.card(driver="r8168_rust", net="enp2s0")
        self.kernel(OWN)
        self.assertIn("by r8168_rust", self.held())
        self.assertNotIn("modprobe", self.called())

    def test_a_crash_of_r8169_wants_a_restart(self):
        self.card(driver="r8169")
        self.kernel(NEWER)
        self.running(NEWER)
        self.assertIn("restart the machine", self.held())
        self.assertNotIn("modprobe", self.called())

    def failed(self, expected, *arguments):
        """Its last line says so."""
        status, _, error = self.run_file(*arguments)
        self.assertEqual((status, len(error.splitlines())), (1, 1), error)
        self.assertIn(expected, error)

    def test_what_fails_is_said(self):
        self.card()
        self.kernel(OWN)
        self.write("leaves", "")
        self.failed(f"has not taken the card at {CARD}")
        self.write("refuses", "")
        self.failed(f"{OWN} refuses it")
        self.write("fails", "")
        self.failed("dpkg could not install")

    def test_without_room_nothing_is_done(self):
        self.card()
        self.kernel(OWN)
        self.refused("no temporary directory", TMPDIR=f"{self.root}/nowhere")

    def test_without_dpkg_the_module_is_put_in_place(self):
        (self.root / "dpkg-status").unlink()
        self.card()
        self.kernel(OWN)
        self.write(f"boot/initramfs-{OWN}.img", "")
        self.held()
        self.assertEqual((self.root / "lib" / OWN / "updates/r8168_rust.ko").read_text(), f"module for {OWN}")
        self.assertIn("softdep", (self.root / "rules/10-r8168_rust.conf").read_text())
        self.assertEqual(self.called(), f"depmod {OWN}\ndracut --force /boot/initramfs-{OWN}.img {OWN}\nmodprobe r8168_rust\n")
        self.assertEqual([path.name for path in (self.root / "lib" / OWN / "updates").iterdir()], ["r8168_rust.ko"])

    def test_a_file_for_another_distribution(self):
        fedora = "6.12.9-1.fc41.x86_64"
        self.write(f"tree/modules/{fedora}/r8168_rust.ko", "module")
        self.make()
        (self.root / "dpkg-status").unlink()
        self.card()
        self.kernel(fedora)
        self.running(fedora)
        self.refused("sh DIRECTORY/source/scripts/build", "--dkms")
        self.held()
        self.assertTrue((self.root / "lib" / fedora / "updates/r8168_rust.ko").exists())
        # With dpkg it wants a package.
        (self.root / "sys/bus/pci/devices" / CARD / "net/enp2s0").rmdir()
        (self.root / "sys/bus/pci/devices" / CARD / "net").rmdir()
        self.write("dpkg-status", "")
        (self.root / "called").unlink()
        self.refused(f"found no package for {fedora}")

    def test_list_and_extract(self):
        self.kernel(OTHER)
        self.write("uid", "1000\n")
        said = self.held("--list")
        self.assertIn(f"has the driver for: {OWN}, {NEWER}\n", said)
        self.assertIn(f"this machine has: {OTHER}; {OWN} is running", said)
        self.held("--extract", str(self.root / "there"))
        self.assertEqual((self.root / "there/dkms/r8168-rust-dkms_0.1.0_all.deb").read_text(), "package")
        self.refused("is no empty directory", "--extract", str(self.root / "there"))
        self.refused("wants a directory", "--extract", status=2)
        self.refused("exclude each other", "--list", "--dkms", status=2)
        self.refused("unknown argument", "--force", status=2)
        self.assertIn("Usage: sh FILE", self.held("--help"))

    def test_a_trial_changes_nothing(self):
        self.make(OWN, NEWER, kernels=True)
        self.card()
        self.kernel(OWN)
        self.write("uid", "1000\n")
        for arguments in ((), ("--dkms",), ("--kernel",), ("--extract", str(self.root / "there"))):
            self.assertIn("would ", self.held(*arguments, "--dry-run"))
        self.assertEqual(self.called(), "")
        self.assertFalse((self.root / "there").exists())

    def test_dkms_comes_from_the_mirror(self):
        self.kernel(OLD, OWN, OTHER)
        said = self.held("--dkms")
        self.assertIn(f"install linux-headers-{OWN} linux-headers-amd64 r8168-rust-dkms_0.1.0_all.deb", self.called())
        self.assertIn(f"has no linux-headers-{OTHER}", said)
        (self.root / "mirror").unlink()
        self.failed("no mirror can be reached", "--dkms")

    def test_a_kernel_can_come_along(self):
        self.card()
        self.kernel(OTHER)
        self.running(OTHER)
        self.refused("found no kernel in this file", "--kernel")
        self.make(OWN, NEWER, kernels=True)
        self.assertIn("has the package linux-image", self.held("--list"))
        self.assertIn("choose it from GRUB's", self.held("--kernel"))
        self.assertEqual(self.called(), f"dpkg -i linux-image-{OWN}_6.12.117-1_amd64.deb r8168-rust-modules-{OWN}_0.1.0_amd64.deb\n")


if __name__ == "__main__":
    unittest.main()
