# SPDX-License-Identifier: GPL-2.0
"""An initrd as the kernel sees it: its segments, and the tree that they unpack to, one over the other."""

import hashlib
import re
from pathlib import Path

from . import archive, segments
from .kernel import elf_machine
from .unpacker import Unpacker

# Microcode and ACPI tables, which the kernel looks for before it decompresses anything.
EARLY = ("kernel", "early_cpio")

# Images in / that the init of such an initrd makes its root of, throwing away all that is beside them (dracut's module squash).
INNER_ROOTS = ("squashfs-root.img", "erofs-root.img", "squash-root.img", "squash/root.img")

# Programs that show for which machine an initrd is.
PROGRAMS = (
    "bin/busybox",
    "bin/kmod",
    "sbin/modprobe",
    "bin/udevadm",
    "usr/lib/systemd/systemd",
    "bin/sh",
    "bin/bash",
    "bin/dash",
    "sbin/init",
    "sbin/busybox",
    "usr/bin/busybox",
    "usr/bin/kmod",
    "usr/bin/udevadm",
    "usr/bin/sh",
    "usr/bin/bash",
    "init",
    "bin/mount",
    "usr/bin/mount",
)

# The signs in kmod of the compressions of modules that it can undo: libraries, which it needs or opens when they are there; and that it asks
# the kernel, which may know any.
KMOD_KNOWS = {".xz": b"liblzma.so", ".zst": b"libzstd.so", ".gz": b"libz.so"}
KMOD_ASKS = b"/sys/module/compression"
# The same for busybox: the names of its programs for that; from 1.37 on it asks the kernel.
BUSYBOX_KNOWS = {".xz": b"unxz", ".gz": b"gunzip"}
BUSYBOX_ASKS = re.compile(rb"BusyBox v(1\.(3[7-9]|[4-9]\d)|[2-9])")


def sha256_of(path):
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class Initrd:
    """The initrd at `path`, read; temporary files are made in `workdir`."""

    def __init__(self, path, workdir, limit):
        self.path = Path(path)
        self.workdir = Path(workdir)
        self.limit = limit
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.segments = segments.read(self.path, self.workdir, limit)
        self._unpacker = Unpacker()
        # Path to Entry, later segments over earlier ones.
        self.tree = self._unpacker.tree
        # What a kernel would not forgive, as sentences.
        self.problems = []
        # Those of them that are about entries which the kernel leaves out.
        self.left_out = []
        self.early = []
        self._decompressors = None
        for segment in self.segments:
            self._unpack(segment)

    def _unpack(self, segment):
        names, known = [], len(self._unpacker.lost)
        for start, end in segment.archives:
            found, replaced = self._unpacker.unpack((segment.plain, start, end))
            names += found
            self.problems += [
                f"a later segment replaces the symbolic link {path} -> {link} by a directory: programs behind it are lost; "
                "make the added segment with the path behind the link"
                for path, link in replaced
            ]
        is_early = segment.compression == "none" and all(name.split("/")[0] in ("", *EARLY) for name in names)
        self.early.append(is_early)
        # The kernel looks into those before it unpacks anything.
        if lost := self._unpacker.lost[known:] if not is_early else []:
            more = f", nor {len(lost) - 1} others" if len(lost) > 1 else ""
            self.left_out.append(
                f"the kernel does not make /{lost[0][0]}{more}: {lost[0][1]}; make that segment with cpio -H newc of all that find . lists, directories first"
            )
            self.problems.append(self.left_out[-1])

    def archives(self):
        """Every archive, in the order in which the kernel unpacks them."""
        return [(part.plain, start, end) for part in self.segments for start, end in part.archives]

    def resolve_parent(self, name):
        """`name` with the symbolic links among its directories followed."""
        return self._unpacker.resolve_parent(name)

    def resolve(self, name):
        """`name` with all symbolic links followed, as far as it exists."""
        return self._unpacker.resolve(name)

    def shares(self, path):
        """Returns whether a file is a hard link of another: what is written over it is in both, for the kernel."""
        return self._unpacker.shares(path)

    def odd_names(self, paths):
        """The names by which archives have these paths, or what is below them, if it is by others, such as /usr//lib."""
        names = self._unpacker.odd_names.items()
        return [name for path, found in names for name in found if any(path == one or path.startswith(one + "/") for one in paths)]

    def get(self, name):
        """The entry at `name`, symbolic links among its directories followed."""
        return self.tree.get(self.resolve_parent(archive.normal(name)))

    def exists(self, name):
        """Returns whether there is such a path, symbolic links followed."""
        resolved = self.resolve(name)
        return resolved in self.tree or any(path.startswith(resolved + "/") for path in self.tree)

    def is_directory(self, path):
        """Returns whether there is a directory at a path whose links have been followed; the root is one."""
        entry = self.tree.get(path)
        return not path or (entry.kind == "dir" if entry else any(one.startswith(path + "/") for one in self.tree))

    def mode_of(self, path):
        """The mode of the file at a path whose links have been followed, and that of a new one where there is none."""
        entry = self.tree.get(path)
        return entry.mode if entry and entry.kind == "file" else 0o644

    def read(self, name):
        """The content of a file, or nothing when there is none."""
        entry = self.tree.get(resolved := self.resolve(name))
        if entry is None or entry.kind != "file":
            return b""
        path, at = self._unpacker.sources[resolved]
        with open(path, "rb") as file:
            file.seek(at)
            return file.read(entry.size)

    def inner_root(self):
        """The image in it that becomes the root in place of the initrd's own tree, if it has one."""
        return next((path for path in INNER_ROOTS if path in self.tree), None)

    def machine(self):
        """Returns for which machine its programs are, as far as one of them shows."""
        seen = set()
        for program in PROGRAMS:
            path = self.resolve(program)
            entry = self.tree.get(path)
            if entry is None or entry.kind != "file" or not entry.size or path in seen:
                continue
            seen.add(path)
            if machine := elf_machine(self.read(path)[:64]):
                return machine
        return None

    def suffixes(self):
        """The compressions that modules may have here: as its own are, for what made it knows its programs, but for what these show that they cannot."""
        names = (path.rpartition("/")[2] for path, entry in self.tree.items() if entry.kind == "file" and is_module(path))
        own = {name.rpartition(".ko")[2] for name in names} - {""}
        undone = self.decompressors()[0]
        return own if undone is None else own & undone

    def decompressors(self):
        """The compressions of modules that the programs in it can undo, nothing when none shows it; and whether these ask the kernel."""
        if self._decompressors is None:
            self._decompressors = self._look_for_decompressors()
        return self._decompressors

    def _look_for_decompressors(self):
        kmod = [path for path in self.tree if re.match(r"(libkmod\.so|kmod$)", path.rpartition("/")[2])]
        content = b"".join(self.read(path) for path in kmod if self.tree[path].kind == "file")
        knows, asks = KMOD_KNOWS, KMOD_ASKS in content
        if not content and (program := self.resolve("sbin/modprobe")).rpartition("/")[2] == "busybox":
            content = self.read(program)
            knows, asks = BUSYBOX_KNOWS, BUSYBOX_ASKS.search(content) is not None
        # Whole programs only: one that is cut down shows nothing.
        if not elf_machine(content[:64]) or b"modules.dep" not in content:
            return None, False
        return {suffix for suffix, sign in knows.items() if asks or sign in content}, asks

    def modules_base(self):
        """The path of the directories of kernel modules, symbolic links followed."""
        for name in ("lib/modules", "usr/lib/modules"):
            if self.exists(name):
                return self.resolve(name)
        return self.resolve("lib/modules")

    def kernels(self):
        """The releases that it has module directories for, each with its module files, relative to the directory."""
        base = self.modules_base() + "/"
        found: dict[str, list[str]] = {}
        for path, entry in self.tree.items():
            if not path.startswith(base):
                continue
            release, _, rest = path[len(base) :].partition("/")
            if entry.kind == "dir" or rest:
                modules = found.setdefault(release, [])
                if is_module(rest) and entry.kind == "file":
                    modules.append(rest)
        return found

    def newest_time(self):
        """The newest time in it: what is added gets the same, so that the result depends on nothing else."""
        return max((entry.time for entry in self.tree.values()), default=0)


def is_module(name):
    """Returns whether a file name is a kernel module's."""
    return name.endswith((".ko", ".ko.xz", ".ko.zst", ".ko.gz"))


def module_name(path):
    """The module's name as lsmod shows it."""
    return str(path).rpartition("/")[2].partition(".ko")[0].replace("-", "_")
