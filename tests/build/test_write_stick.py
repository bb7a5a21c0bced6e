# SPDX-License-Identifier: GPL-2.0
"""scripts/write-stick, with files in place of disks and a made tree of /sys."""

import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MIB = 1 << 20


class WriteStick(unittest.TestCase):
    """The writes, and the refusals."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        (self.root / "scripts").mkdir()
        for name in ("scripts/lib.sh", "versions.conf"):
            (self.root / name).write_text((TOP / name).read_text())
        text = (TOP / "scripts/write-stick").read_text()
        # Files are no block devices, and some file systems do without O_DIRECT.
        stubs = [(f"=/{name}\n", f"=ROOT/{name}\n") for name in ("sys", "proc", "dev")]
        stubs += [("[ -b ", "[ -f "), (" iflag=direct", ""), ('blockdev --rereadpt "$1" 2>/dev/null', "[ ! -e ROOT/busy ]")]
        stubs += [('echo "$((0x$(stat -c %t "$1"))):$((0x$(stat -c %T "$1")))"', "echo 8:16")]
        for old, new in stubs:
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new.replace("ROOT", str(self.root)))
        (self.root / "scripts/write-stick").write_text(text)
        self.write("proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n")
        self.write("proc/swaps", "Filename Type Size Used Priority\n")
        self.image = self.root / "image"
        # As the volume descriptor has it: its size in blocks of 2,048 bytes.
        content = bytearray(b"r8168" * 500000)[: 2 * MIB]
        content[32769:32774] = b"CD001"
        struct.pack_into("<I", content, 32848, len(content) // 2048)
        self.image.write_bytes(content)
        self.stick = self.disk("sdb", 4 * MIB)

    def write(self, name, text):
        """Writes a file of the machine."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def disk(self, name, size, removable=1, parent=""):
        """Gives the machine a disk; returns it."""
        self.write(f"sys/class/block/{parent}{name}/size", f"{size // 512}\n")
        if not parent:
            self.write(f"sys/class/block/{name}/removable", f"{removable}\n")
            self.write(f"sys/class/block/{name}/dev", "8:16\n")
            self.write(f"sys/class/block/{name}/device/model", f"Stick   of {name}\n")
        self.write(f"dev/{name}", "")
        with open(self.root / "dev" / name, "r+b") as disk:
            disk.truncate(size)
        return self.root / "dev" / name

    def run_script(self, *arguments):
        """Runs it; returns the exit status, and what it says."""
        done = subprocess.run(
            ["sh", self.root / "scripts/write-stick", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin", "HOME": "/"},
        )
        return done.returncode, done.stdout, done.stderr

    def refused(self, expected, *arguments, status=1):
        """One line says so, and no stick was written to."""
        found, said, error = self.run_script(*arguments)
        self.assertEqual((found, said, len(error.splitlines())), (status, "", 1), error)
        self.assertIn(expected, error)
        for disk in (self.root / "dev").iterdir():
            self.assertFalse(disk.read_bytes().strip(b"\0"), f"{disk.name} was written to")

    def test_it_is_written_and_read_back(self):
        status, _, error = self.run_script(self.image, self.stick)
        self.assertEqual(status, 0, error)
        self.assertIn("read back as it was written", error)
        written = self.stick.read_bytes()
        self.assertEqual((written[: 2 * MIB], len(written)), (self.image.read_bytes(), 4 * MIB))

    def test_a_stick_that_loses_what_is_written_is_noticed(self):
        self.write("bin/dd", 'case $* in *conv=fsync*) ;; *) exec /usr/bin/dd "$@" ;; esac')
        (self.root / "bin/dd").write_text("#!/bin/sh\n" + (self.root / "bin/dd").read_text())
        (self.root / "bin/dd").chmod(0o755)
        status, _, error = self.run_script(self.image, self.stick)
        self.assertEqual(status, 1)
        self.assertIn("what was read back", error)

    def test_sticks_are_listed(self):
        self.disk("sda", 64 * MIB, removable=0)
        self.assertEqual(self.run_script(), (0, f"{self.stick}: 4 MB, Stick of sdb\n", ""))
        self.write("sys/class/block/sdb/removable", "0\n")
        self.refused("found no stick")

    def test_one_that_is_too_small_is_refused(self):
        self.refused(f"is too small: it has {MIB} bytes, and the image {2 * MIB}", self.image, self.disk("sdc", MIB))

    def test_other_disks_are_refused(self):
        self.refused("neither removable nor on USB", self.image, self.disk("sda", 64 * MIB, removable=0))
        self.write("sys/class/block/sdb/ro", "1\n")
        self.refused("write-protected", self.image, self.stick)
        part = self.disk("sdb1", 3 * MIB, parent="sdb/")
        (self.root / "sys/class/block/sdb1").symlink_to("sdb/sdb1")
        self.write("sys/class/block/sdb/sdb1/partition", "1\n")
        self.refused(f"expected the whole stick: {self.stick}", self.image, part)
        self.refused("is no disk", self.image, self.root, status=2)
        self.refused("found no", self.image, self.root / "dev/nowhere", status=2)

    def test_one_in_use_is_refused(self):
        self.write("proc/self/mounts", f"{self.stick}1 /mnt vfat rw 0 0\n")
        self.refused(f"{self.stick}1 at /mnt is mounted: umount it first", self.image, self.stick)
        self.write("proc/self/mounts", "")
        self.write("proc/swaps", f"{self.stick}1 partition 1000 0 -2\n")
        self.refused("used for swap", self.image, self.stick)
        self.write("proc/swaps", "")
        self.write("sys/class/block/sdb/sdb1/holders/dm-0", "")
        self.refused("in use by dm-0", self.image, self.stick)

    def test_what_only_the_kernel_knows_is_refused(self):
        self.write("busy", "as the root that /proc calls /dev/root")
        self.refused("is in use: something is mounted from it", self.image, self.stick)
        (self.root / "busy").unlink()
        self.write("sys/class/block/sdb/dev", "8:32\n")
        self.refused(f"is another disk than {self.stick}", self.image, self.stick)
        self.refused("is no stick", self.image, self.disk("sr0", 64 * MIB))

    def test_other_images_are_refused(self):
        whole = self.image.read_bytes()
        self.image.write_bytes(whole[:-4096])
        self.refused(f"is damaged: it should have {2 * MIB} bytes", self.image, self.stick)
        self.image.write_bytes(whole[:32774])
        self.refused("ends within its first blocks", self.image, self.stick)
        self.image.write_bytes(bytes(MIB))
        self.refused("found no ISO image", self.image, self.stick)
        self.refused("found no image", self.root / "nowhere", self.stick, status=2)
        self.refused("an image and a device", self.image, status=2)

    def test_a_trial_writes_nothing(self):
        status, _, error = self.run_script("--dry-run", self.image, self.stick)
        self.assertEqual(status, 0, error)
        self.assertIn(f"would write the {2 * MIB} bytes", error)
        self.assertFalse(self.stick.read_bytes().strip(b"\0"))


if __name__ == "__main__":
    unittest.main()
