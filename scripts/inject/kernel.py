# SPDX-License-Identifier: GPL-2.0
"""Kernel images and module files: what they say of themselves."""

import struct
from dataclasses import dataclass
from pathlib import Path

from . import segments, tools
from .errors import Unfit, Usage

# Offsets in the setup header of an x86 image: Documentation/arch/x86/boot.rst.
HEADER_MAGIC = 0x202
VERSION_POINTER = 0x20E
SETUP_SECTORS = 0x1F1
PAYLOAD = 0x248
LARGEST_KERNEL = 256 << 20

# Drivers of PHYs, which the kernel asks for by the PHY's id when a MAC driver registers it: no module file tells of that.
COMPANIONS = {"r8168_rust": ["realtek"]}

MACHINES = {3: "i386", 20: "powerpc", 21: "powerpc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "arm64", 243: "riscv", 258: "loongarch"}


def elf_machine(head):
    """The architecture in the first bytes of an ELF file; nothing when it is none."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    order = "<" if head[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    return MACHINES.get(machine, f"machine {machine}")


class Image:
    """A bootable x86 kernel."""

    machine = "x86_64"

    def __init__(self, path, workdir):
        self.path = Path(path)
        self.workdir = workdir
        try:
            self._data = self.path.read_bytes()
        except OSError as error:
            raise Usage(f"cannot read the kernel {path}: {error.strerror}") from None
        if len(self._data) < 0x260 or self._data[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
            raise Usage(f"{path} is not a bootable x86 kernel: found no setup header, expected a file such as /boot/vmlinuz-VERSION")
        start = struct.unpack_from("<H", self._data, VERSION_POINTER)[0] + 0x200
        text = self._data[start : start + 256].partition(b"\0")[0].decode("ascii", "replace")
        self.release = text.split(" ")[0]
        if not self.release:
            raise Usage(f"{path} does not tell its version; it is damaged or not a kernel")

    def exported(self):
        """The symbols that it exports to modules; nothing when its payload cannot be read."""
        offset, length = struct.unpack_from("<II", self._data, PAYLOAD)
        start = ((self._data[SETUP_SECTORS] or 4) + 1) * 512 + offset
        # The payload ends with its uncompressed size, which is not the decompressor's.
        compressed, plain = self.workdir / "payload", self.workdir / "vmlinux"
        compressed.write_bytes(self._data[start : start + length])
        with open(compressed, "rb") as file:
            compression = segments.compression_of(file.read(8))
            segments.decompress(file, 0, length, compression, plain, LARGEST_KERNEL)
        data = plain.read_bytes()
        plain.unlink()
        return exported_by(data)


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
    return {
        names[name : names.index(b"\0", name)]: (address, data[offset : offset + length])
        for name, _, _, address, offset, length in headers
    }


@dataclass
class Module:
    """A module file, by what modinfo reads in it."""

    path: Path
    name: str
    vermagic: str
    depends: list
    before: list
    aliases: list
    description: str
    signer: str
    signed: bool
    machine: str

    @property
    def file_name(self):
        """The name that its file must have for kmod to find it under the name that it has in the kernel."""
        return self.name + ".ko" + self.path.name.partition(".ko")[2]

    @property
    def release(self):
        """The kernel release that it was built for."""
        return self.vermagic.split(" ")[0]


def modinfo(path):
    """Every field of a module file, as (name, value)."""
    status, out, messages = tools.run(["modinfo", "-0", str(Path(path).resolve())], 0)
    if status:
        raise Unfit(f"{path} is not a kernel module: modinfo says: {tools.last_line(messages)}")
    fields = []
    for line in out.split(b"\0"):
        name, equals, value = line.partition(b"=")
        if equals:
            fields.append((name.decode("ascii", "replace").strip(), value.decode("utf-8", "replace").strip()))
    return fields


def read_module(path):
    """Reads a module file; refuses what is none."""
    path = Path(path)
    if not path.is_file():
        raise Usage(f"found no module {path}; name a .ko file, or give --modules TREE to take modules by name")
    fields = modinfo(path)

    def values(name):
        return [value for key, value in fields if key == name and value]

    if not values("vermagic"):
        raise Unfit(f"{path} has no vermagic, so it is not a kernel module; expected a .ko that was built for a kernel")
    softdeps = " ".join(values("softdep"))
    before = softdeps.partition("pre:")[2].partition("post:")[0].split()
    name = (values("name") or [path.name.partition(".ko")[0]])[0].replace("-", "_")
    return Module(
        path=path,
        name=name,
        vermagic=values("vermagic")[0],
        depends=[one.replace("-", "_") for line in values("depends") for one in line.split(",") if one],
        before=[one.replace("-", "_") for one in before] + COMPANIONS.get(name, []),
        aliases=values("alias"),
        description=(values("description") or [""])[0],
        signer=(values("signer") or [""])[0],
        signed=bool(values("sig_id") or values("signature")),
        machine=elf_machine(_head(path)),
    )


def _head(path):
    """The first bytes of a module file, decompressed."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[:4] == b"\x7fELF":
        return head
    program = {b"\xfd7": "lzma", b"\x1f\x8b": "zlib", b"\x28\xb5": "zstd"}.get(head[:2])
    if program == "zstd":
        return tools.run(["zstd", "-dcq", str(Path(path).resolve())], LARGEST_KERNEL)[1][:64]
    if program:
        decoder = segments.DECODERS["xz" if program == "lzma" else "gzip"]()
        return decoder.decompress(Path(path).read_bytes(), 64)
    return head
