# SPDX-License-Identifier: GPL-2.0
"""Module files: what they say of themselves, and how they are compressed."""

import lzma
import re
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from . import segments, tools
from .errors import OperationError, UnfitError, UsageError
from .kernel import elf_machine

# Drivers of PHYs, which the kernel asks for by the PHY's id when a MAC driver registers it: no module file says so.
COMPANIONS = {"r8168_rust": ["realtek"]}

# A module file's compression, by its first bytes: the end of the file's name.
SUFFIXES = {b"\xfd7zXZ\0": ".xz", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
LARGEST_MODULE = 256 << 20
# lz4's frames, which no initrd is compressed in.
OTHER_FORMS = {b"\x04\x22\x4d\x18": "lz4"}
# The checks of xz that the kernel knows, which decompresses modules for today's kmod: none, and CRC32.
XZ_CHECKS = (0, 1)


def suffix_of(path):
    """The suffix of the compression of a module file, whatever its name: .xz, .gz, .zst, or nothing."""
    with open(path, "rb") as file:
        head = file.read(8)
    return next((suffix for magic, suffix in SUFFIXES.items() if head.startswith(magic)), "")


def kernel_knows(path):
    """Returns whether the kernel can decompress a module file, if it is built to."""
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
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if segments.zstd_end(file, 0, size) != size:
                raise UnfitError(f"{called} has bytes after the end of what is compressed, which not every program that loads modules reads; compress it anew")
    else:
        decoder = segments.DECODERS["xz" if suffix == ".xz" else "gzip"]()
        try:
            content = decoder.decompress(Path(path).read_bytes(), LARGEST_MODULE)
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise UnfitError(f"{called} is not a kernel module, or damaged: {error}") from None
        if not decoder.eof and len(content) < LARGEST_MODULE:
            raise UnfitError(f"{called} is truncated; fetch or build it again")
        if decoder.unused_data.strip(b"\0"):
            raise UnfitError(f"{called} has bytes after the end of what is compressed, which no program that loads modules reads; compress it anew")
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
    # Not every kmod knows every compression, so those that are known here are not left to it.
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
