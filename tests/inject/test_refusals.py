# SPDX-License-Identifier: GPL-2.0
"""Tests that what does not fit is refused in one line, with the exit status that --help says, and nothing is written."""

import lzma
import os
import subprocess
from pathlib import Path

from support import INSTALLER, KERNEL, KVER, MADE, MODULE, Case, gzip, pack, small_initrd, tree

PROGRAM = str(Path(__file__).parents[2] / "scripts/inject-initrd")


def patched(path, out, offset, data):
    """A copy of a file with some bytes changed."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    out.write_bytes(content)
    return out


class Refusals(Case):
    def setUp(self):
        super().setUp()
        self.initrd = small_initrd(self.dir / "small", self.dir / "initrd")
        self.out = self.dir / "out"

    def tearDown(self):
        self.assertFalse(self.out.exists(), "an error has left a file")

    def module(self, status, path, *more, says=()):
        return self.refuse(status, "--module", path, *more, self.initrd, "-o", self.out, says=says)

    def test_a_module_of_another_architecture(self):
        self.module(3, patched(MODULE, self.dir / "a.ko", 18, b"\xb7\0"), says=["arm64", "x86_64"])

    def test_a_module_with_another_vermagic(self):
        content = MODULE.read_bytes().replace(b"SMP preempt mod_unload", b"SMP preempt mod_unloaX")
        (self.dir / "b.ko").write_bytes(content)
        self.module(3, self.dir / "b.ko", says=["vermagic", "mod_unloaX"])

    def test_what_is_no_module(self):
        (self.dir / "c.ko").write_text("text")
        self.module(3, self.dir / "c.ko", says=["not a kernel module"])
        self.module(2, self.dir / "absent.ko", says=["found no module"])

    def test_a_symbol_that_the_kernel_lacks(self):
        symvers = self.dir / "Module.symvers"
        symvers.write_text("0x00000000\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n")
        self.module(3, MODULE, "--symvers", symvers, says=["needs the symbol"])
        # The kernel itself exports what an own module needs, but not what this one was made to need.
        content = MODULE.read_bytes()
        self.assertIn(b"\0alloc_etherdev_mqs\0", content)
        (self.dir / "d.ko").write_bytes(content.replace(b"\0alloc_etherdev_mqs\0", b"\0alloc_etherdev_mqz\0"))
        self.module(3, self.dir / "d.ko", "--kernel", KERNEL / "vmlinuz", says=["alloc_etherdev_mqz"])

    def test_a_dependency_that_is_nowhere(self):
        source = next(KERNEL.rglob("r8169.ko*"))
        self.module(3, self.needing("phy_package"), says=["phy_package", "--modules"])
        self.assertTrue(source)

    def needing(self, name):
        """A real module that depends on another."""
        source = next(KERNEL.rglob("realtek.ko*"))
        out = self.dir / "realtek.ko"
        out.write_bytes(lzma.decompress(source.read_bytes()) if source.suffix == ".xz" else source.read_bytes())
        self.assertIn(name.encode(), out.read_bytes())
        return out

    def test_a_kernel_without_its_modules(self):
        self.refuse(2, "--kernel", KERNEL / "vmlinuz", INSTALLER / "initrd.gz", "-o", self.out, says=["swap", "--modules"])
        self.refuse(2, "--kernel", self.initrd, self.initrd, "-o", self.out, says=["not a bootable"])
        self.refuse(2, "--kernel", KERNEL / "vmlinuz", "--modules", "/etc", self.initrd, "-o", self.out, says=["modules.dep"])

    def test_options(self):
        self.refuse(2, self.initrd, "-o", self.out, says=["nothing to do"])
        self.refuse(2, "--module", MODULE, self.initrd, says=["-o OUT"])
        self.refuse(2, "--alias-only", "e1000e", self.initrd, "-o", self.out, says=["DRIVER=VENDOR:DEVICE"])
        self.refuse(2, "--alias-only", "e1000e=realtek", self.initrd, "-o", self.out, says=["VENDOR:DEVICE"])
        self.refuse(3, "--alias-only", "dummy=10ec:8168", self.initrd, "-o", self.out, says=["no driver dummy"])
        self.refuse(2, "--file", "/nonexistent:/x", self.initrd, "-o", self.out, says=["found no file"])
        self.refuse(2, "--file", f"{MODULE}:/../x", self.initrd, "-o", self.out, says=["destination"])
        self.refuse(3, "--file", f"{MODULE}:/init/x", self.initrd, "-o", self.out, says=["expected a directory"])
        self.refuse(2, "--module", "realtek", self.initrd, "-o", self.out, says=["--modules TREE"])
        self.refuse(2, "--module", MODULE, self.dir / "absent", "-o", self.out, says=["found no file"])
        self.refuse(2, "--module", MODULE, self.initrd, "-o", "/nonexistent/out", says=["found no directory"])

    def test_the_original_is_not_to_be_overwritten(self):
        before = self.initrd.read_bytes()
        link = self.dir / "link"
        link.hardlink_to(self.initrd) if hasattr(link, "hardlink_to") else os.link(self.initrd, link)
        for name in (self.initrd, link):
            self.refuse(5, "--file", f"{MODULE}:/x", self.initrd, "-o", name, says=["never changed"])
        self.assertEqual(self.initrd.read_bytes(), before)

    def test_a_missing_program_is_named_with_its_package(self):
        only = self.dir / "bin"
        only.mkdir()
        (only / "python3").symlink_to(os.path.realpath("/usr/bin/python3"))
        program = (Path(__file__).parents[2] / "scripts/inject/tools.py").read_text()
        self.assertIn("/usr/sbin", program)
        script = 'mount --bind /dev/null /usr/bin/bsdtar && exec "$@"'
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", PROGRAM, "--file", f"{__file__}:/x", str(self.initrd), "-o", str(self.dir / "out")],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("apt-get install libarchive-tools", done.stderr)

    def test_a_full_disk_leaves_nothing(self):
        mount = self.dir / "full"
        mount.mkdir()
        script = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"'
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", str(mount), PROGRAM, "--file", f"{MODULE}:/x", str(self.initrd), "-o", str(mount / "out")],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("No space left", done.stderr)

    def test_archives_that_no_kernel_takes(self):
        top = tree(self.dir / "odd", {"init": b"x", "bin/busybox": b"x"})
        names = b"init\nbin\nbin/busybox\n"
        for form, word in (("odc", "old portable"), ("bin", "old binary")):
            done = subprocess.run(["cpio", "--quiet", "-o", "-H", form], input=names, cwd=top, capture_output=True, check=True)
            (self.dir / form).write_bytes(done.stdout)
            self.refuse(1, "--list", self.dir / form, says=[word, "newc"])
        frame = subprocess.run(["lz4", "-c"], input=b"x", capture_output=True, check=True).stdout
        (self.dir / "frame").write_bytes(frame)
        self.refuse(1, "--list", self.dir / "frame", says=["lz4 -l"])
        (self.dir / "crc64").write_bytes(lzma.compress(pack(top, self.dir / "plain", compress=bytes).read_bytes(), check=lzma.CHECK_CRC64))
        self.refuse(1, "--list", self.dir / "crc64", says=["xz --check=crc32"])
        self.refuse(1, "--list", KERNEL / "vmlinuz", says=["a kernel or EFI program"])

    def test_a_second_segment_that_destroys_a_link(self):
        top = tree(self.dir / "naive", {"lib/modules/x": b"x"})
        added = pack(top, self.dir / "added", compress=lambda data: data)
        gap = b"\0" * (-self.initrd.stat().st_size % 4)
        (self.dir / "joined").write_bytes(self.initrd.read_bytes() + gap + added.read_bytes())
        self.refuse(5, "--verify", self.dir / "joined", says=["symbolic link lib"])


class Bombs(Case):
    def test_a_small_file_that_gets_large(self):
        bomb = self.dir / "bomb"
        with gzip.open(bomb, "wb") as file:
            for _ in range(200):
                file.write(b"\0" * (1 << 20))
        self.refuse(1, "--limit", "64", "--list", bomb, says=["--limit"])
        for program in (["zstd", "-q"], ["lz4", "-lq"]):
            packed = self.dir / program[0]
            with open(packed, "wb") as out:
                subprocess.run([*program, "-c"], input=b"\0" * (100 << 20), stdout=out, check=True)
            self.refuse(1, "--limit", "64", "--list", packed, says=["--limit"])

    def test_the_real_ones_are_sound(self):
        for path in (INSTALLER / "initrd.gz", MADE / "dracut.lz4", MADE / "initramfs-tools.zstd+microcode"):
            self.inject("--verify", path)
        self.assertIn(KVER, self.inject("--list", MADE / "dracut.lz4").out)
