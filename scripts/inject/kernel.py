# SPDX-License-Identifier: GPL-2.0
"""Kernel images: what they say of themselves."""

import functools
import re
import struct
from pathlib import Path

from . import foreign, segments
from .errors import DamagedError, UsageError

# Offsets in the setup header of an x86 image: Documentation/arch/x86/boot.rst.
HEADER_MAGIC = 0x202
HEADER_VERSION = 0x206
VERSION_POINTER = 0x20E
# Bit 0: it has a 64-bit entry point.
LOAD_FLAGS = 0x236
SETUP_SECTORS = 0x1F1
PAYLOAD = 0x248
LARGEST_KERNEL = 256 << 20

MACHINES = {
    2: "sparc",
    3: "i386",
    8: "mips",
    15: "parisc",
    20: "powerpc",
    21: "powerpc64",
    22: "s390x",
    40: "arm",
    43: "sparc64",
    62: "x86_64",
    183: "arm64",
    243: "riscv",
    258: "loongarch",
}
# What the kernel's decompressors complain by, each its own; that of bzip2 has nothing of the kind.
COMPLAINTS = {
    "gzip": b"Not a gzip file",
    "lzma": b"LZMA data is corrupt",
    "xz": b"XZ-compressed data is corrupt",
    "lz4": b"Decoding failed",
    "zstd": b"ZSTD-compressed data is corrupt",
}
# Kernels, and the programs of other machines that they run.
RUNS = {"x86_64": "i386", "arm64": "arm", "powerpc64": "powerpc", "sparc64": "sparc"}


def elf_machine(head):
    """The architecture in the first bytes of an ELF file; nothing when it is none."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    order = "<" if head[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    name = MACHINES.get(machine, f"machine {machine}")
    return f"{name}le" if name in ("powerpc64", "mips") and order == "<" else name


def runs(kernel, programs):
    """Returns whether a kernel for one machine runs programs for another."""
    return programs in (kernel, RUNS.get(kernel))


class Image:
    """A bootable x86 kernel."""

    def __init__(self, path, workdir):
        self.path = Path(path)
        self.workdir = workdir
        if self.path.exists() and not self.path.is_file():
            raise UsageError(f"the kernel {path} is a directory, a device or a pipe, expected a file such as /boot/vmlinuz-VERSION")
        try:
            with open(self.path, "rb") as file:
                self._data = file.read(LARGEST_KERNEL)
        except OSError as error:
            raise UsageError(f"cannot read the kernel {path}: {error.strerror}") from None
        if len(self._data) < 0x260 or self._data[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
            why = foreign.kernel(self._data[: foreign.HEAD], path)
            raise UsageError(f"{path} is not a bootable x86 kernel: {why}; expected a file such as /boot/vmlinuz-VERSION")
        start = struct.unpack_from("<H", self._data, VERSION_POINTER)[0] + 0x200
        text = self._data[start : start + 256].partition(b"\0")[0].decode("ascii", "replace")
        self.release = text.split(" ")[0]
        version = struct.unpack_from("<H", self._data, HEADER_VERSION)[0]
        self.machine = "i386" if version >= 0x20C and not self._data[LOAD_FLAGS] & 1 else "x86_64"
        # It becomes a directory's name.
        if not re.fullmatch(r"\w[\w.+~-]*", self.release, re.ASCII):
            raise UsageError(f"found no version in {path}; it is damaged or not a kernel")

    def exported(self):
        """The symbols that it exports to modules; nothing when its payload cannot be read."""
        try:
            return exported_by(self._vmlinux)
        except (struct.error, ValueError, IndexError):
            raise UsageError(f"{self.path} is damaged, its payload is no sound ELF file; fetch or build it again") from None

    def lacks(self, compression):
        """Returns whether it shows no sign of what decompresses that, but signs of others."""
        return compression in COMPLAINTS and COMPLAINTS[compression] not in self._vmlinux and any(one in self._vmlinux for one in COMPLAINTS.values())

    @functools.cached_property
    def _vmlinux(self):
        """The kernel without its loader; nothing when that cannot be read."""
        offset, length = struct.unpack_from("<II", self._data, PAYLOAD)
        start = ((self._data[SETUP_SECTORS] or 4) + 1) * 512 + offset
        # The payload ends with its uncompressed size, which is not the decompressor's.
        compressed, plain = self.workdir / "payload", self.workdir / "vmlinux"
        compressed.write_bytes(self._data[start : start + length])
        with open(compressed, "rb") as file:
            compression = segments.known(file.read(8))
            if compression in (None, "none"):
                return b""
            try:
                segments.decompress(file, 0, length, compression, plain, LARGEST_KERNEL)
            except DamagedError:
                raise UsageError(f"{self.path} is damaged or truncated, its payload ({compression}) cannot be decompressed; fetch or build it again") from None
        data = plain.read_bytes()
        plain.unlink()
        return data


def exported_by(vmlinux):
    """The symbols that a kernel's ELF file exports to modules."""
    sections = elf_sections(vmlinux)
    if b"__ksymtab_strings" not in sections:
        return []
    strings_at, strings = sections[b"__ksymtab_strings"]
    names = set()
    for section in (b"__ksymtab", b"__ksymtab_gpl"):
        address, table = sections.get(section, (0, b""))
        # struct kernel_symbol: offsets of value, name and namespace, each from where it stands itself.
        for at in range(0, len(table) - 11, 12):
            (offset,) = struct.unpack_from("<i", table, at + 4)
            start = address + at + 4 + offset - strings_at
            if not 0 <= start < len(strings):
                # An older form; then nothing can be said.
                return []
            names.add(strings[start : strings.index(b"\0", start)].decode("ascii", "replace"))
    return sorted(names)


def elf_sections(data):
    """The sections of a 64-bit little-endian ELF file by name, as (address, content)."""
    if data[:6] != b"\x7fELF\x02\x01":
        return {}
    table = struct.unpack_from("<Q", data, 0x28)[0]
    size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * index) for index in range(count)]
    names = data[headers[names_index][4] :]
    return {names[name : names.index(b"\0", name)]: (address, data[offset : offset + length]) for name, _, _, address, offset, length in headers}
