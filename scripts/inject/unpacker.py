# SPDX-License-Identifier: GPL-2.0
"""Unpacks archives as the kernel does, entry by entry (init/initramfs.c): it makes no directories by itself, skips without a word what it
cannot make, and writes over a file that is there already, with all its hard links."""

import hashlib
from dataclasses import dataclass
from typing import Optional

from . import segments
from .archive import Entry, normal
from .errors import DamagedError

KINDS = {0o1: "fifo", 0o2: "char", 0o4: "dir", 0o6: "block", 0o10: "file", 0o12: "link", 0o14: "socket"}
# What the kernel has before it unpacks anything: directories, and with something in them.
BUILT_IN = ("dev", "root")
MAX_NAME = 255
MAX_LINK = 4095
# More in a path the kernel does not follow (MAXSYMLINKS).
MOST_LINKS = 40


@dataclass(frozen=True)
class Member:
    """An entry of an archive; `inode` is what it shares with its hard links, `at` is where its content begins."""

    name: str
    entry: Entry
    inode: Optional[tuple[int, int, int]]
    at: int


def members(archive):
    """The entries of a cpio archive, (file, start, end); the checksums of one of the form crc are compared, as the kernel does."""
    path, start, end = archive
    with open(path, "rb") as file:
        for at in segments.headers(file, start, end):
            if at is None:
                return
            file.seek(at)
            header = file.read(segments.HEADER)
            inode, mode, uid, gid, links, time, size, major, minor, node_major, node_minor, length, check = (
                int(header[place : place + 8], 16) for place in range(6, segments.HEADER, 8)
            )
            name = file.read(length).partition(b"\0")[0]
            file.seek(-(segments.HEADER + length) % 4, 1)
            kind = KINDS.get(mode >> 12)
            if kind is None:
                # The trailer.
                return
            link, digest, content = "", "", file.tell()
            if kind == "link":
                link = file.read(size).partition(b"\0")[0].decode("utf-8", "surrogateescape")
            elif kind == "file":
                digest = _digest(file, size, check if header.startswith(b"070702") else None, name)
            device = f"{node_major},{node_minor}" if kind in ("char", "block") else ""
            entry = Entry(kind, mode & 0o7777, uid, gid, size, time, link, device, digest)
            yield Member(name.decode("utf-8", "surrogateescape"), entry, (major, minor, inode) if links >= 2 and kind == "file" else None, content)


def _digest(file, size, check, name):
    digest, total = hashlib.sha256(), 0
    while size and (chunk := file.read(min(size, segments.CHUNK))):
        digest.update(chunk)
        total += sum(chunk) if check is not None else 0
        size -= len(chunk)
    if check is not None and total & 0xFFFFFFFF != check:
        raise DamagedError(
            f"the content of {segments.printable(name)} does not have the checksum that the archive has for it: the kernel stops there; "
            "fetch or make the initrd again"
        )
    return digest.hexdigest()


class Unpacker:
    """The tree so far: `tree` has each path's Entry, `lost` what the kernel does not make, as (path, why)."""

    def __init__(self):
        self.tree = {}
        self.lost = []
        # Where each file's content is: file and byte.
        self.sources = {}
        # Names by which archives have entries otherwise than a plain path, or one that begins with ./
        self.odd_names = {}
        # The paths of each file that has several.
        self._shared = {}

    def unpack(self, archive):
        """Unpacks one archive over what is there; returns the names in it, and what links it has replaced by directories."""
        names, replaced = [], []
        inodes: dict[tuple[int, int, int], str] = {}
        for member in members(archive):
            name = normal(member.name)
            names.append(name)
            if not name:
                continue
            path = self.resolve_parent(name)
            if why := self._obstacle(name, path, member.entry):
                self.lost.append((name, why))
                continue
            if member.name.removeprefix("./") != name:
                self.odd_names.setdefault(path, []).append(member.name)
            before = self.tree.get(path)
            if before and before.kind == "link" and member.entry.kind == "dir":
                replaced.append((path, before.link))
            self._place(path, member, archive, inodes)
        return names, replaced

    def shares(self, path):
        """Returns whether a file has another path as well."""
        return path in self._shared

    def _obstacle(self, name, path, entry):
        """Returns why the kernel makes no such entry; nothing if it does."""
        parts = name.split("/")
        if parts[-1] == "..":
            return "it has no name of its own"
        if any(len(part.encode("utf-8", "surrogateescape")) > MAX_NAME for part in parts):
            return f"its name is longer than {MAX_NAME} bytes"
        ups = ["/".join(parts[:at]) for at, part in enumerate(parts) if part == ".."]
        parent = path.rpartition("/")[0]
        if not all(self._is_made(self.resolve(one)) for one in [*ups, parent]):
            return f"the directory /{parent} is not there before it"
        if entry.kind not in ("file", "link") and entry.size:
            return f"it is a {entry.kind} with a content"
        if entry.kind == "link" and entry.size > MAX_LINK:
            return f"its target is longer than {MAX_LINK} bytes"
        before = self.tree.get(path)
        if entry.kind != "dir" and (path in BUILT_IN or (before and before.kind == "dir" and any(one.startswith(path + "/") for one in self.tree))):
            return "a directory is there, with something in it"
        return None

    def _is_made(self, path):
        entry = self.tree.get(path)
        return path in ("", *BUILT_IN) if entry is None else entry.kind == "dir"

    def _place(self, path, member, archive, inodes):
        entry, before = member.entry, self.tree.get(path)
        first = inodes.get(member.inode)
        linked = first is not None and first != path and self.tree.get(first, entry).kind == "file" and first in self.tree
        if before and (before.kind != entry.kind or linked):
            self._unshare(path)
        if linked:
            group = self._shared.setdefault(first, [first])
            group.append(path)
            self._shared[path] = group
            if not entry.size:
                self.tree[path], self.sources[path] = self.tree[first], self.sources[first]
                return
        elif member.inode:
            inodes.setdefault(member.inode, path)
        for one in self._shared.get(path, [path]):
            self.tree[one] = entry
            self.sources[one] = (archive[0], member.at)

    def _unshare(self, path):
        group = self._shared.pop(path, [path])
        group.remove(path)
        if len(group) == 1:
            self._shared.pop(group[0], None)

    def resolve_parent(self, name):
        """`name` with the symbolic links among its directories followed."""
        parent, _, last = name.rpartition("/")
        parent = self.resolve(parent) if parent else ""
        return f"{parent}/{last}" if parent else last

    def resolve(self, name):
        """`name` with all symbolic links followed, as far as it exists."""
        done: list[str] = []
        todo = normal(name).split("/")
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            entry = self.tree.get("/".join([*done, part]))
            if entry and entry.kind == "link":
                links += 1
                if links > MOST_LINKS:
                    raise DamagedError(f"the symbolic links at {name} lead in a circle; the initrd is damaged, make it again")
                if entry.link.startswith("/"):
                    done = []
                todo = normal(entry.link).split("/") + todo
            elif part:
                done.append(part)
        return "/".join(done)
