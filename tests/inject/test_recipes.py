# SPDX-License-Identifier: GPL-2.0
"""The commands of docs/installer.md for an initrd, run as they stand there, in a directory where its files are."""

import hashlib
import os
import shutil
import subprocess

from support import (
    INSTALLER,
    INSTALLER_MODULE,
    KERNEL,
    KVER,
    MADE,
    MODALIAS,
    MODULE,
    TOP,
    Case,
    anaconda_initrd,
    decompress,
    legacy_initrd,
    like_the_kernel,
    modprobe,
)

PAGE = TOP / "docs/installer.md"


def recipe(heading):
    """The commands of the page's section with this heading, for the kernel that the tests have."""
    section = next(part for part in PAGE.read_text().split("\n## ") if part.startswith(heading))
    commands = "\n".join(line.strip() for line in section.splitlines() if line.startswith("    "))
    assert commands, f"found no commands below '{heading}' in {PAGE}"
    written = (TOP / "versions.conf").read_text().split("\nKVER=")[1].split("\n")[0]
    assert written in commands or "7.3" not in commands, f"{PAGE} is about another kernel than versions.conf, {written}"
    return commands.replace(written, KVER)


def sha256(path):
    """The sum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Recipes(Case):
    def setUp(self):
        super().setUp()
        self.work = self.dir / "work"
        self.work.mkdir()
        (self.work / "scripts").symlink_to(TOP / "scripts")
        shutil.copy(MODULE, self.work / "r8168_rust.ko")
        self.programs = self.dir / "bin"
        self.programs.mkdir()

    def stand_in(self, name, text):
        """A program of this name for the commands."""
        (self.programs / name).write_text(f"#!/bin/sh\nset -e\n{text}\n")
        (self.programs / name).chmod(0o755)

    def follow(self, heading, changes=()):
        """Runs the commands, with these words in place of others; each has to succeed."""
        environment = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}", "TMPDIR": str(self.dir / "tmp")}
        commands = recipe(heading)
        for old, new in changes:
            self.assertIn(old, commands)
            commands = commands.replace(old, new)
        done = subprocess.run(["sh", "-exuc", commands], cwd=self.work, capture_output=True, text=True, check=False, env=environment)
        self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr}")
        self.assertNotIn("WARNING", done.stderr)
        return done.stdout

    def finds_the_driver(self, initrd, kver=KVER):
        root = like_the_kernel(self.work / initrd, self.dir)
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS, kver))
        self.assertTrue(modprobe(root, "realtek", kver), "realtek.ko is not there")
        subprocess.run(["rm", "-rf", str(root)], check=True)

    def test_what_it_is(self):
        shutil.copy(INSTALLER / "initrd.gz", self.work)
        self.assertIn("the Debian installer", self.follow("# The driver in an installer"))

    def test_debian_netboot(self):
        # The module is built already, and the packages have tests of their own.
        for name in ("sudo", "cp", "in-target"):
            self.stand_in(name, "")
        self.stand_in(
            "make", f"mkdir -p build/host build/deb\ninstall {INSTALLER_MODULE} build/host/r8168_rust.ko\ntouch build/deb/r8168-rust-dkms_0.1.0_all.deb"
        )
        for name in ("linux", "initrd.gz"):
            shutil.copy(INSTALLER / name, self.work)
        said = self.follow("Debian 13")
        self.assertIn("symbols: all that the modules need are exported", said)
        self.assertNotIn("boot it with", said)
        self.finds_the_driver("initrd-new.gz", INSTALLER_MODULE.parent.name)

    def test_debian_netboot_with_another_kernel(self):
        # Without a network: the archive's packages are made again, each with what it has there. What depmod makes is in none.
        self.stand_in(
            "apt-get",
            f"""[ "$1" = download ]
            shift
            for package in "$@"; do
                to=package/usr/lib/modules/{KVER}
                mkdir -p package/DEBIAN $to
                case $package in
                linux-base-{KVER}) cp {KERNEL}/modules.order {KERNEL}/modules.builtin {KERNEL}/modules.builtin.modinfo $to ;;
                linux-modules-{KVER}) cp -r {KERNEL}/kernel $to ;;
                linux-binary-{KVER}) cp {KERNEL}/vmlinuz $to ;;
                esac
                printf 'Package: %s\\nVersion: 1\\nArchitecture: amd64\\nMaintainer: a <a@b>\\nDescription: d\\n' "$package" >package/DEBIAN/control
                dpkg-deb --root-owner-group -Znone -b package "${{package}}_1_amd64.deb"
                rm -r package
            done""",
        )
        shutil.copy(INSTALLER / "initrd.gz", self.work)
        self.assertIn("left out, built into the new kernel", self.follow("The Debian installer with a newer kernel"))
        self.finds_the_driver("initrd-new.gz")

    def test_a_running_system(self):
        for made in ("initramfs-tools.zstd+microcode", "dracut.zstd+microcode"):
            self.stand_in("uname", f"echo {KVER}")
            with self.subTest(made):
                self.assertIn("/boot/initrd.img-$(uname -r)", recipe("An initrd of a running system"))
                os.makedirs("/boot", exist_ok=True)
                shutil.copy(MADE / made, f"/boot/initrd.img-{KVER}")
                self.follow("An initrd of a running system")
                self.finds_the_driver("initrd-new")

    def test_anaconda(self):
        # The module is built already, and scripts/test-driver-disks is about the disk.
        self.stand_in("make", 'echo "$@" >>called\nmkdir -p build/host\ncp r8168_rust.ko build/host/')
        anaconda_initrd(self.dir, self.work / "initrd.img")
        self.assertIn("Anaconda (dracut)", self.follow("Fedora, RHEL"))
        root = like_the_kernel(self.work / "initrd-new.img", self.dir)
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS))
        self.assertEqual((self.work / "called").read_text().split()[1:3], ["driver-disk", "FLAVOR=anaconda"])

    def medium(self, initrd, kernel):
        """Makes original.iso with these files under these names, which boots as Ubuntu's does: by a BIOS and by UEFI, as a CD and as a disk."""
        tree = self.dir / "medium"
        for name, source in ((initrd[0], initrd[1]), (kernel, KERNEL / "vmlinuz")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tree / name)
        (tree / "EFI/BOOT").mkdir(parents=True)
        for path, size in (
            (tree / "boot.img", 40000),
            (tree / "EFI/BOOT/BOOTX64.EFI", 5000),
            (tree / "other", 5000),
            (self.dir / "mbr", 512),
            (self.dir / "efi", 1 << 20),
        ):
            path.write_bytes(b"\xa5" * size)
        command = (
            "-as mkisofs -r -V MEDIUM -partition_offset 16 --mbr-force-bootable -appended_part_as_gpt -c boot.cat -b boot.img -no-emul-boot -boot-load-size 4"
        )
        command += " -boot-info-table --grub2-boot-info -eltorito-alt-boot -e --interval:appended_partition_2::: -no-emul-boot"
        efi = ["-append_partition", "2", "28732ac11ff8d211ba4b00a0c93ec93b", self.dir / "efi"]
        self.xorriso(*command.split(), "--grub2-mbr", self.dir / "mbr", *efi, "-o", self.work / "original.iso", tree)
        shutil.rmtree(tree)

    def xorriso(self, *arguments):
        """Runs it; returns what it prints."""
        done = subprocess.run(["xorriso", *map(str, arguments)], cwd=self.work, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def boots_by(self, name):
        """Returns how an ISO boots, without the places and sizes of its parts."""
        lines = self.xorriso("-indev", name, "-report_el_torito", "plain", "-report_system_area", "plain").splitlines()
        found = [line for line in lines if line.startswith(("El Torito img opts", "System area", "GPT type GUID"))]
        # The gap behind the last partition has an entry of its own, or none.
        return [line for line in found if not line.startswith("GPT type GUID      :   3")] + [
            line[:50] for line in lines if line.startswith("El Torito boot img")
        ]

    def test_an_iso(self):
        for initrd, kernel, made in (
            ("casper/initrd", "casper/vmlinuz", "initramfs-tools.zstd+microcode"),
            ("images/pxeboot/initrd.img", "images/pxeboot/vmlinuz", "dracut.xz"),
        ):
            with self.subTest(initrd):
                subprocess.run("[ ! -d out ] || chmod -R u+w out; rm -rf out initrd vmlinuz initrd-new *.iso", shell=True, cwd=self.work, check=True)
                self.medium((initrd, MADE / made), kernel)
                before = sha256(self.work / "original.iso")
                self.assertIn(initrd, self.listed())
                said = self.follow("An ISO of another", (("casper/initrd", initrd), ("casper/vmlinuz", kernel)))
                self.assertIn("r8168_rust", said)
                self.assertEqual(sha256(self.work / "original.iso"), before)
                self.assertEqual(self.boots_by("new.iso"), self.boots_by("original.iso"))
                self.assertGreater(len(self.boots_by("new.iso")), 4)
                self.xorriso("-osirrox", "on", "-indev", "new.iso", "-extract", "/", "out")
                for name, expected in ((initrd, self.work / "initrd-new"), (kernel, KERNEL / "vmlinuz")):
                    self.assertEqual(sha256(self.work / "out" / name), sha256(expected), name)
                self.assertEqual((self.work / "out/other").read_bytes(), b"\xa5" * 5000)
                self.finds_the_driver("initrd-new")

    def listed(self):
        """Returns what inject-initrd says of the ISO."""
        done = subprocess.run([TOP / "scripts/inject-initrd", "--list", "original.iso"], cwd=self.work, capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_rhel4(self):
        decompress(next(KERNEL.rglob("r8169.ko*")), "xz", self.work / "r8168.ko")
        legacy_initrd(self.dir, self.work / "initrd.img")
        self.follow("Anaconda of RHEL 4 times")
        self.assertTrue((self.work / "initrd-new.img").exists())
