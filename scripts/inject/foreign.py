# SPDX-License-Identifier: GPL-2.0
"""Names the kind of a file that is taken for an initrd, with the way to the initrd if there is one."""

import shlex
import struct
from pathlib import Path

from . import tools

# What is looked at: a GPT and most file systems are recognised by their first kilobytes, an ISO image by its sector 16.
HEAD = 0x8806
LARGEST_LIST = 64 << 20

# Offset, bytes, what that is.
SIGNS = [
    (0, b"\x89LZO", "lzo compressed, which the kernels of most distributions do not unpack; recompress it with gzip"),
    (0, b"070707", "a cpio archive of the old portable format, which no kernel unpacks; make it with cpio -H newc"),
    (0, b"\xc7\x71", "a cpio archive of the old binary format, which no kernel unpacks; make it with cpio -H newc"),
    (0, b"\x04\x22\x4d\x18", "compressed in lz4's frame format, which no kernel unpacks; recompress it with lz4 -l"),
    (0, b"\x50\x2a\x4d\x18", "compressed by zstd with a frame to be skipped in front (as pzstd does), which no kernel unpacks; recompress it with zstd"),
    (0, b"hsqs", "a squashfs image, not an initrd: a root file system that an initrd mounts; name the initrd beside it"),
    (257, b"ustar", "a tar archive; unpack it and name the initrd in it, or make one of it with cpio -H newc"),
    (0, b"PK\x03\x04", "a zip archive; unpack it and name the initrd in it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and name the initrd in it"),
    (0, b"!<arch>\n", "a Debian package or another ar archive; unpack it (dpkg-deb -x) and name the initrd in it"),
    (0, b"\xed\xab\xee\xdb", "an RPM package; unpack it and name the initrd in it"),
    (0, b"\x7fELF", "a program, a module or a kernel without a boot loader's header (ELF); a module goes behind --module"),
    (0, b"\x27\x05\x19\x56", "an initrd with the header of U-Boot's mkimage; cut that off: dd bs=64 skip=1 if=FILE of=initrd"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree or a FIT image of U-Boot; take the ramdisk out of it: dumpimage -T flat_dt -p NUMBER -o initrd FILE"),
    (0, b"ANDROID!", "a boot image of Android; take the ramdisk out of it: unpack_bootimg"),
    (0, b"QFI\xfb", "a disk image of QEMU (qcow2); the initrd is a file in a file system on it"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself; fetch that: git lfs pull"),
    (1024 + 56, b"\x53\xef", "an ext2 file system image or one of its successors (an initrd of the oldest kind, or a disk); expected a cpio archive"),
    (1024, b"\xe2\xe1\xf5\xe0", "an erofs image, not an initrd: a root file system that an initrd mounts; name the initrd beside it"),
    (0, b"XFSB", "an xfs file system image; the initrd is a file in it"),
    (512, b"EFI PART", "an image of a whole disk (GPT); the initrd is a file in a file system on it: losetup -P, mount, and name the file"),
    (54, b"FAT", "an image of a FAT file system; the initrd is a file in it: mcopy -i FILE ::/path ."),
    (82, b"FAT32", "an image of a FAT file system; the initrd is a file in it: mcopy -i FILE ::/path ."),
    (510, b"\x55\xaa", "an image of a whole disk or its boot sector; the initrd is a file in a file system on it: losetup -P, mount, and name the file"),
]
# Sector 16 of an ISO image; hybrid ones have a boot sector in front.
ISO = (0x8001, b"CD001")


def name(file, at=0, path=None):
    """Names what begins at a byte of an open file, as a sentence's rest; nothing when it is not known. `path` is its name, if it is all of the file."""
    file.seek(at)
    head = file.read(HEAD)
    if head[ISO[0] : ISO[0] + 5] == ISO[1]:
        return _iso(path)
    if head[:2] == b"MZ":
        return _program(head, path)
    if head[0x202:0x206] == b"HdrS":
        return "a kernel; that goes behind --kernel, name the initrd that belongs to it"
    for offset, magic, what in SIGNS:
        if head[offset : offset + len(magic)] == magic:
            return what
    return _text(head)


def _text(head):
    start = head[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page; a server has answered so in place of the file: fetch it again, and look at the address"
    if start.startswith(b"#!"):
        return "a script, not an initrd"
    if b"\nd-i " in b"\n" + start or b"\n%packages" in b"\n" + start:
        return "an answer file; to put it into an initrd: --file FILE:/preseed.cfg INITRD"
    try:
        head[:512].decode("utf-8")
    except UnicodeDecodeError:
        return None
    if head and not any(byte < 9 for byte in head[:512]):
        return "a text, not an initrd"
    return None


def sections(head):
    """The names of the sections of a PE program."""
    if len(head) < 0x40:
        return []
    (at,) = struct.unpack_from("<I", head, 0x3C)
    if head[at : at + 4] != b"PE\0\0" or len(head) < at + 24:
        return []
    count, optional = struct.unpack_from("<H", head, at + 6)[0], struct.unpack_from("<H", head, at + 20)[0]
    first = at + 24 + optional
    return [head[place : place + 8].rstrip(b"\0").decode("ascii", "replace") for place in range(first, first + 40 * min(count, 96), 40)]


def _program(head, path):
    names = sections(head)
    if ".initrd" in names:
        out = f"objcopy -O binary --only-section=.initrd {_pasted(path) if path else 'FILE'} initrd"
        return f"a unified kernel image (UKI); the initrd is a section of it: {out}"
    if ".linux" in names:
        return "a unified kernel image (UKI) without an initrd in it; name the initrd that belongs to it"
    if head[0x202:0x206] == b"HdrS" or head[0x38:0x3C] == b"ARM\x64" or head[0x30:0x34] == b"RISC":
        return "a kernel or EFI program, not an initrd: a kernel goes behind --kernel; name the initrd that belongs to it"
    return "a kernel or EFI program; name the initrd that belongs to it"


def _iso(path):
    """An ISO image, with the initrds that are in it."""
    found = []
    if path is not None:
        status, out, _ = tools.run(["bsdtar", "-tf", str(Path(path).resolve())], LARGEST_LIST)
        names = out.decode("utf-8", "replace").splitlines() if status == 0 else []
        found = [one for one in names if one.rpartition("/")[2].lower().startswith(("initrd", "initramfs", "rootfs.gz", "core.gz"))]
    if not found:
        return "an ISO image; the initrd is a file in it: bsdtar -tf FILE lists them, bsdtar -xf FILE NAME takes one out"
    best = min(found, key=lambda one: ("/gtk/" in one or "/xen/" in one, one.count("/"), one))
    more = f" (there are {len(found)}: bsdtar -tf FILE)" if len(found) > 1 else ""
    return f"an ISO image; an initrd in it is {best}{more}, take it out: bsdtar -xf {_pasted(path)} {_pasted(best)}"


def _pasted(path):
    """A path as a word of a command that somebody may paste."""
    return shlex.quote(str(path))


def kernel(head, path):
    """Names a file that was taken for a kernel, with the way to the kernel."""
    names = sections(head)
    if ".linux" in names:
        return f"it is a unified kernel image (UKI), the kernel is a section of it: objcopy -O binary --only-section=.linux {_pasted(path)} vmlinuz"
    if head[0x38:0x3C] == b"ARM\x64" or head[0x30:0x34] == b"RISC":
        return "it is a kernel of another architecture, whose symbols and version are not read here: leave out --kernel, and name its modules by --modules"
    if head[:6] in (b"070701", b"070702") or head[:2] == b"\x1f\x8b":
        return "it looks like an initrd, or a compressed kernel of another architecture: are the arguments exchanged?"
    return "found no setup header"
