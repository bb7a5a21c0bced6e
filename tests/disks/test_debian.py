# SPDX-License-Identifier: GPL-2.0
"""The disk for the Debian installer, read by the script of driver-injection-disk-detect in the unpacked installer."""

import os
import shutil

from support import DISKS, GIVEN, GIVEN_MODALIAS, INSTALLER, KVER, MODALIAS, MODULE, Case, consumer, run

DETECT, needs_detect = consumer("DETECT", "driver-injection-disk-detect")

# Stands in for what needs a machine: questions are answered with yes, the one disk is a file, mounting it is copying.
STUBS = {
    "usr/share/debconf/confmodule": "db_input() { :; }\ndb_go() { :; }\ndb_get() { RET=true; }\n",
    "usr/bin/list-devices": '#!/bin/sh\n[ "$1" != disk ] || echo /disk\n',
    "usr/bin/mountmedia": '#!/bin/sh\nset -e\n[ "$1" = driver-injection-disk ]\ncp -r /content/. /media/\n',
    "usr/bin/umount": "#!/bin/sh\n",
}


@needs_detect
class Debian(Case):
    disk, name, given, modalias = "debian", "r8168_rust", MODULE, MODALIAS

    def setUp(self):
        super().setUp()
        self.image = DISKS / self.disk / "oemdrv.img"
        self.root = self.dir / "installer"
        self.root.mkdir()
        run("bsdtar", "-C", self.root, "--exclude", "dev/*", "-xf", INSTALLER)
        shutil.copy(DETECT / "bin/driver-injection-disk", self.root / "usr/bin/driver-injection-disk")
        for path, content in STUBS.items():
            file = self.root / path
            file.unlink(missing_ok=True)
            file.write_text(content)
            file.chmod(0o755)
        # block-attr and udpkg, which are the installer's own, find a disk by its label and unpack what is on it.
        shutil.copy(self.image, self.root / "disk")
        (self.root / "dev").mkdir(exist_ok=True)
        (self.root / "dev/null").touch()
        self.module = self.root / "usr/lib/modules" / KVER / f"updates/{self.name}.ko"

    def label(self):
        """The module's name in those of packages."""
        return self.name.replace("_", "-")

    def insert(self, content):
        shutil.copytree(content, self.root / "content")
        return run("chroot", self.root, "driver-injection-disk", env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def test_the_installer_takes_the_driver_from_the_disk(self):
        self.is_labelled(self.image)
        self.insert(self.fat(self.image))
        self.assertEqual(self.module.read_bytes(), self.given.read_bytes())
        for name in ("lib", "bin", "sbin"):
            self.assertTrue((self.root / name).is_symlink(), f"/{name} is no link any more")
        # What finds the driver later: the installer runs depmod when it looks for network cards (hw-detect).
        run("depmod", "-b", self.root, KVER)
        found = run("modprobe", "-C", "/none", "-d", self.root, "-S", KVER, "--show-depends", self.modalias)
        self.assertIn(f"updates/{self.name}.ko", found)
        if self.name == "r8168_rust":
            # What its own modprobe reads: from now on r8169 comes second.
            self.assertIn("softdep r8169 pre: realtek r8168_rust\n", run("chroot", self.root, "modprobe", "-c", env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}))
        # And what the installed system gets.
        kept = sorted(path.name for path in (self.root / "var/cache/firmware").iterdir())
        self.assertEqual([name.rpartition("_")[0].rpartition("_")[0] for name in kept], [f"{self.label()}-modules-{KVER}"])
        status = (self.root / "var/lib/dpkg/status").read_text()
        for package in (f"{self.label()}-modules-{KVER}", f"{self.label()}-modules-{KVER}-di"):
            self.assertIn(f"Package: {package}\n", status)

    def test_packages_are_packed_as_the_installer_wants_them(self):
        content = self.fat(self.image)
        packages = sorted((content / "debian-drivers").iterdir())
        self.assertEqual([package.suffix for package in packages], [".udeb", ".deb"])
        for package in packages:
            self.assertIn("control.tar.gz", run("ar", "t", package).split())
            # As dpkg packs by default, the installer passes over it: the reason for the above.
            run("sh", "-c", 'dpkg-deb -R "$1" "$2" && dpkg-deb -Zxz -b "$2" "$1"', "-", package, self.dir / package.suffix)
        self.insert(content)
        self.assertFalse(self.module.exists(), "the installer takes control.tar.xz as well")


class OfAnotherModule(Debian):
    """The disk that is made of any module."""

    disk, name, given, modalias = "any/debian", "8139too", GIVEN, GIVEN_MODALIAS

    def test_it_tells_what_it_needs_besides(self):
        self.assertIn("needs these modules of that kernel, which are not on the disk: mii", (self.fat(self.image) / "README.txt").read_text())
