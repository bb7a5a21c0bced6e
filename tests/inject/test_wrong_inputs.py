# SPDX-License-Identifier: GPL-2.0
"""Tests that what is taken for an initrd by mistake is named, with the way out (F16 of the field test)."""

import bz2
import gzip
import io
import os
import struct
import subprocess
import tarfile
import zipfile

from support import KERNEL, MODULE, Case, pack, small_initrd, tree


def program(*sections):
    """The headers of an EFI program with sections of these names."""
    head = bytearray(b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40))
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0xF0, 0x22) + bytes(0xF0)
    for section in sections:
        head += section.encode().ljust(8, b"\0") + bytes(32)
    return bytes(head) + bytes(4096)


def at(offset, magic, size=64 << 10):
    """A file with something at a place and NUL bytes elsewhere."""
    data = bytearray(size)
    data[offset : offset + len(magic)] = magic
    return bytes(data)


class WrongInputs(Case):
    def named(self, content, *words, what="--list"):
        # A command that is named has to be one that can be pasted.
        path = self.dir / "given by $(somebody)'s hand"
        path.write_bytes(content)
        errors = self.refuse(1, what, path, says=words)
        self.assertNotIn("fetch or make it again", errors)
        return errors

    def test_an_iso_image_and_where_its_initrd_is(self):
        top = tree(self.dir / "cd", {"install.amd/initrd.gz": b"x", "install.amd/gtk/initrd.gz": b"x", "install.amd/vmlinuz": b"x"})
        image = self.dir / "cd.iso"
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-o", str(image), str(top)], check=True, capture_output=True)
        errors = self.named(image.read_bytes(), "an ISO image", "bsdtar -xf", "install.amd/initrd.gz")
        self.assertNotIn("gtk", errors)
        # The command that is named takes it out.
        command = errors.strip().rpartition("take it out: ")[2]
        subprocess.run(["sh", "-c", command], check=True, cwd=self.dir)
        self.assertEqual((self.dir / "install.amd/initrd.gz").read_bytes(), b"x")
        # One with a boot sector in front, as those that are written to sticks.
        hybrid = bytearray(image.read_bytes())
        hybrid[:8], hybrid[510:512] = b"\x45\x52\x08\0\0\0\x90\x90", b"\x55\xaa"
        self.named(bytes(hybrid), "an ISO image", "install.amd/initrd.gz")
        self.named(gzip.compress(bytes(hybrid)), "an ISO image")

    def test_kernels_and_unified_images(self):
        self.named(program(".text", ".linux", ".initrd"), "UKI", "objcopy -O binary --only-section=.initrd")
        self.named(program(".text", ".linux"), "UKI", "without an initrd")
        self.named(program(".text"), "a kernel or EFI program")
        self.named((KERNEL / "vmlinuz").read_bytes(), "--kernel")
        self.named(MODULE.read_bytes(), "--module")

    def test_disks_and_file_systems(self):
        image = self.dir / "image"
        subprocess.run(["mkfs.ext2", "-q", str(image), "256k"], check=True, capture_output=True)
        self.named(image.read_bytes(), "ext2")
        subprocess.run(["mkfs.vfat", "-C", str(self.dir / "fat"), "256"], check=True, capture_output=True)
        self.named((self.dir / "fat").read_bytes(), "FAT")
        self.named(b"hsqs" + bytes(100), "squashfs")
        self.named(at(1024, b"\xe2\xe1\xf5\xe0"), "erofs")
        self.named(at(510, b"\x55\xaa"), "whole disk")
        self.named(at(510, b"\x55\xaa", 510)[:0] + at(512, b"EFI PART"), "GPT")
        self.named(bz2.compress(image.read_bytes()), "ext2")

    def test_archives_and_texts(self):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as out:
            out.addfile(tarfile.TarInfo("a"))
        self.named(tar.getvalue(), "tar archive")
        self.named(gzip.compress(tar.getvalue()), "tar archive")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as out:
            out.writestr("a", "a")
        self.named(packed.getvalue(), "zip archive")
        self.named(b"!<arch>\ndebian-binary   ", "dpkg-deb -x")
        self.named(b"\n<!DOCTYPE html>\n<html>", "web page")
        self.named(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull")
        self.named(b"#_preseed_V1\nd-i debian-installer/locale string C\n", "--file FILE:/preseed.cfg")
        self.named(b"just a text\n", "a text")
        self.named(gzip.compress(b"just a text\n"), "a text")

    def test_an_old_cpio_form_inside_a_compressed_file(self):
        top = tree(self.dir / "odd", {"init": b"x"})
        done = subprocess.run(["cpio", "--quiet", "-o", "-H", "odc"], input=b"init\n", cwd=top, capture_output=True, check=True)
        self.named(gzip.compress(done.stdout), "old portable", "newc")

    def test_what_is_no_regular_file(self):
        os.mkfifo(self.dir / "pipe")
        self.refuse(2, "--list", self.dir, says=["is a directory", "cpio"])
        self.refuse(2, "--list", self.dir / "pipe", says=["a pipe", "into a file first"])
        self.refuse(2, "--list", "/dev/null", says=["is a device"])
        self.refuse(2, "--list", self.dir / "absent", says=["found no file"])

    def test_what_is_no_kernel(self):
        initrd = small_initrd(self.dir / "small", self.dir / "initrd")
        for content, words in (
            (program(".linux", ".initrd"), ["UKI", "--only-section=.linux"]),
            (at(0x38, b"ARM\x64"), ["another architecture", "--modules"]),
            (initrd.read_bytes(), ["exchanged"]),
            (b"x" * 10, ["not a bootable"]),
        ):
            (self.dir / "kernel").write_bytes(content)
            self.refuse(2, "--kernel", self.dir / "kernel", "--modules", KERNEL, initrd, "-o", self.dir / "none", says=words)

    def test_a_sound_initrd_is_no_wrong_input(self):
        """Nothing that is looked for by its place is found in an initrd that has it there."""
        top = tree(self.dir / "top", {"init": b"x", "image": at(0x8001 - 600, b"CD001") + b"\x55\xaa" * 40000})
        path = pack(top, self.dir / "sound", compress=bytes)
        self.inject("--list", path)
        path.write_bytes(bytes(512) + path.read_bytes())
        self.inject("--list", path)
