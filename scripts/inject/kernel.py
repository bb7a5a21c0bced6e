# SPDX-License-Identifier: GPL-2.0
"""Kernel images and module files: what they say of themselves."""

import functools
import lzma
import re
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from . import foreign, segments, tools
from .errors import DamagedError, OperationError, UnfitError, UsageError

# Offsets in the setup header of an x86 image: Documentation/arch/x86/boot.rst.
HEADER_MAGIC = 0x202
HEADER_VERSION = 0x206
VERSION_POINTER = 0x20E
# Bit 0: it has a 64-bit entry point.
LOAD_FLAGS = 0x236
SETUP_SECTORS = 0x1F1
PAYLOAD = 0x248
LARGEST_KERNEL = 256 << 20

# Drivers of PHYs, which the kernel asks for by the PHY's id when a MAC driver registers it: no module file says so.
COMPANIONS = {"r8168_rust": ["realtek"]}

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

# A module file's compression, by its first bytes: the end of the file's name.
SUFFIXES = {b"\xfd7zXZ\0": ".xz", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
LARGEST_MODULE = 256 << 20
# lz4's frames, which no initrd is compressed in.
OTHER_FORMS = {b"\x04\x22\x4d\x18": "lz4"}
# The checks of xz that the kernel knows, which decompresses modules for today's kmod: none, and CRC32.
XZ_CHECKS = (0, 1)


def elf_machine(head):
    """The architecture in the first bytes of an ELF file; nothing when it is none."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    order = "<" if head[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    name = MACHINES.get(machine, f"machine {machine}")
    return f"{name}le" if name in ("powerpc64", "mips") and order == "<" else name


def runs(kernel, programs):
    """Whether a kernel for one machine runs programs for another."""
    return programs in (kernel, RUNS.get(kernel))


def suffix_of(path):
    """The suffix of the compression of a module file, whatever its name: .xz, .gz, .zst, or nothing."""
    with open(path, "rb") as file:
        head = file.read(8)
    return next((suffix for magic, suffix in SUFFIXES.items() if head.startswith(magic)), "")


def kernel_knows(path):
    """Whether the kernel can decompress a module file, if it is built to."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(b"\x1f\x8b"):
        # Of gzip's header it skips a file's name and nothing else.
        return len(head) > 8 and not head[3] & ~8
    return not head.startswith(b"\xfd7zXZ\0") or (len(head) > 8 and head[7] in XZ_CHECKS and not segments.xz_has_delta(head))


def plain(path, called=None):
    """The content of a module file, decompressed."""
    suffix = suffix_of(path)
    called = called or path
    if not suffix:
        content = Path(path).read_bytes()
        if (other := OTHER_FORMS.get(content[:4], segments.known(content[:8]))) not in (None, "none"):
            raise UnfitError(f"{called} is compressed by {other}, which no program that loads modules can undo; decompress it first")
        return content
    if suffix == ".zst":
        with open(path, "rb") as stdin:
            status, content, messages = tools.run(["zstd", "-dcq"], LARGEST_MODULE, stdin=stdin)
        if status:
            raise UnfitError(f"{called} is not a kernel module, or damaged: zstd says: {tools.last_line(messages)}")
    else:
        decoder = segments.DECODERS["xz" if suffix == ".xz" else "gzip"]()
        try:
            content = decoder.decompress(Path(path).read_bytes(), LARGEST_MODULE)
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise UnfitError(f"{called} is not a kernel module, or damaged: {error}") from None
        if not decoder.eof and len(content) < LARGEST_MODULE:
            raise UnfitError(f"{called} is truncated; fetch or build it again")
        if decoder.unused_data.strip(b"\0"):
            raise UnfitError(f"{called} has something behind the end of what is compressed, which no program that loads modules reads; compress it anew")
    if len(content) >= LARGEST_MODULE:
        raise UnfitError(f"{called} decompresses to more than {LARGEST_MODULE >> 20} MiB; no kernel module is so large")
    return content


def packed(content, suffix):
    """The content of a module, compressed as the end of its file's name says; the same bytes every time."""
    if suffix == ".xz":
        return lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC32, preset=6)
    if suffix == ".gz":
        encoder = zlib.compressobj(9, zlib.DEFLATED, 31)
        return encoder.compress(content) + encoder.flush()
    if suffix == ".zst":
        with tempfile.TemporaryFile() as stdin:
            stdin.write(content)
            stdin.seek(0)
            status, out, messages = tools.run(["zstd", "-q", "-9", "-T1", "-c"], LARGEST_MODULE, stdin=stdin)
        if status:
            raise OperationError(f"zstd could not compress a module: {tools.last_line(messages)}")
        return out
    return content


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
        """Whether it shows no sign of what decompresses that, but signs of others."""
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


@dataclass
class Module:
    """A module file, by what modinfo reads in it."""

    path: Path
    name: str
    vermagic: str
    depends: list
    before: list
    aliases: list
    firmware: list
    description: str
    signer: str
    signed: bool
    machine: str

    @property
    def release(self):
        """The kernel release that it was built for."""
        return self.vermagic.split(" ")[0]


def modinfo(path, called=None):
    """Every field of a module file, as (name, value)."""
    # Not every kmod knows every compression; none that is known here is left to it.
    with tempfile.NamedTemporaryFile(prefix="inject-initrd-", suffix=".ko") as file:
        file.write(plain(path, called))
        file.flush()
        status, out, messages = tools.run(["modinfo", "-0", file.name], 0)
    if status:
        # It names the file in its own way.
        why = tools.last_line(messages).rpartition("': ")[2]
        raise UnfitError(f"{called or path} is not a kernel module: modinfo says: {why}")
    fields = []
    for line in out.split(b"\0"):
        name, equals, value = line.partition(b"=")
        if equals:
            fields.append((name.decode("ascii", "replace").strip(), value.decode("utf-8", "replace").strip()))
    return fields


def read_module(path, called=None):
    """Reads a module file; refuses what is none, by the name `called` if it is not a file of the user's."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"found no module {path}; name a .ko file, or give --modules TREE to take modules by name")
    try:
        fields = modinfo(path, called)
    except PermissionError:
        raise UsageError(f"cannot read {path}: permission denied") from None

    def values(name):
        return [value for key, value in fields if key == name and value]

    if not values("vermagic"):
        raise UnfitError(f"{called or path} has no vermagic, so it is not a kernel module; expected a .ko that was built for a kernel")
    softdeps = " ".join(values("softdep"))
    before = softdeps.partition("pre:")[2].partition("post:")[0].split()
    name = (values("name") or [path.name.partition(".ko")[0]])[0].replace("-", "_")
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise UnfitError(f"{called or path} calls itself {name!r}, which is no name of a kernel module; build it anew")
    return Module(
        path=path,
        name=name,
        vermagic=values("vermagic")[0],
        depends=[one.replace("-", "_") for line in values("depends") for one in line.split(",") if one],
        before=[one.replace("-", "_") for one in before] + COMPANIONS.get(name, []),
        aliases=values("alias"),
        firmware=values("firmware"),
        description=(values("description") or [""])[0],
        signer=(values("signer") or [""])[0],
        signed=bool(values("sig_id") or values("signature")),
        machine=elf_machine(plain(path, called)[:64]),
    )
