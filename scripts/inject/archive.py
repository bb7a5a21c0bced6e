# SPDX-License-Identifier: GPL-2.0
"""cpio archives, by libarchive's bsdtar: listing, extracting, filtering, writing. None of it needs root.

Lists go by libarchive's mtree format, which has every attribute of an entry, and a digest of its content, as text.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from . import segments, tools
from .errors import DamagedError, OperationError

ATTRIBUTES = "--options=mtree:!all,mtree:type,mtree:mode,mtree:uid,mtree:gid,mtree:size,mtree:time,mtree:link,mtree:device,mtree:sha256"
# The name of the entry by which an archive ends.
TRAILER = "TRAILER!!!"
# bsdtar's messages go into a pipe; a list longer than this is not an initrd's.
LIST_LIMIT = 512 << 20


@dataclass(frozen=True)
class Entry:
    """One entry as the archive has it; `link` is a symbolic link's target, `device` a device node's number."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    time: int
    link: str
    device: str
    sha256: str


@dataclass
class Addition:
    """A file or directory to be put into an archive: owner 0:0, and the time of the rest."""

    path: str
    mode: int
    # None for a directory.
    source: Optional[Path] = None
    # Whether a file is there that has other paths as well: the kernel would write into that, unless something of another kind comes between.
    shared: bool = False

    def entry_kind(self):
        """Its type in an archive's list."""
        return "dir" if self.source is None else "file"


def _unescape(name):
    raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), name.encode())
    return raw.decode("utf-8", "surrogateescape")


def _escape(name):
    def escape(match):
        return "".join(f"\\{byte:03o}" for byte in match[0].encode("utf-8", "surrogateescape"))

    return re.sub(r"[^A-Za-z0-9_./,+:@%-]", escape, name)


def normal(name):
    """A member's name without the leading `./` and slashes; the root itself is the empty string."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts)


def _slice(archive, workdir):
    """The archive as a file of its own: (file, start, end) becomes a path."""
    path, start, end = archive
    if start == 0 and end == path.stat().st_size:
        return path
    part = workdir / f"slice-{path.name}-{start}"
    if not part.exists():
        with open(path, "rb") as file, open(part, "wb") as out:
            file.seek(start)
            left = end - start
            while left and (chunk := file.read(min(left, 1 << 20))):
                out.write(chunk)
                left -= len(chunk)
    return part


def _checked(status, messages, what):
    if tools.hit_its_bound(status) or "File too large" in messages:
        raise DamagedError(f"{what}: it gets larger than the limit; raise that by --limit if it is sound")
    tools.check_space(messages)
    if status or messages:
        raise DamagedError(f"{what}: bsdtar says: {tools.last_line(messages)}; the initrd is damaged, fetch or make it again")


def _checked_matches(status, messages, what):
    """The same; that a pattern matches nothing is no error here, but bsdtar's exit status is that of one."""
    rest = [line for line in messages.splitlines() if not line.endswith((": Not found in archive", "Error exit delayed from previous errors."))]
    _checked(status if rest or not messages else 0, "\n".join(rest), what)


def entries(archive, workdir):
    """(name, Entry) of every member."""
    path = _slice(archive, workdir)
    # The list may repeat a name; then the later entry stands, as it does for the kernel.
    listing = workdir / "listing"
    with open(listing, "wb") as out:
        arguments = ["bsdtar", "-cf", "-", "--format=mtree", ATTRIBUTES, f"@{path.resolve()}"]
        status, _, messages = tools.run(arguments, LIST_LIMIT, stdout=out)
    _checked(status, messages, "cannot list an archive")
    found = []
    with open(listing, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#") or not line.strip():
                continue
            name, *words = line.split()
            attributes = dict(word.split("=", 1) for word in words if "=" in word)
            found.append((normal(_unescape(name)), _entry(attributes)))
    return found


def _entry(words):
    return Entry(
        kind=words["type"],
        mode=int(words.get("mode", "0"), 8),
        uid=int(words.get("uid", "0")),
        gid=int(words.get("gid", "0")),
        size=int(words.get("size", "0")),
        time=int(words.get("time", "0").split(".")[0]),
        link=_unescape(words.get("link", "")),
        device=words.get("device", ""),
        sha256=words.get("sha256digest", ""),
    )


def content(archive, name, workdir, limit):
    """The content of one member."""
    path = _slice(archive, workdir)
    arguments = ["bsdtar", "-xOf", str(path.resolve()), "--include", f"^{glob(name)}", "--include", f"^./{glob(name)}"]
    status, out, messages = tools.run(arguments, limit)
    _checked_matches(status, messages, f"cannot read {name}")
    return out


def glob(name):
    """A pattern of bsdtar's that matches just this name."""
    return re.sub(r"([\\*?\[\]{}$])", r"\\\1", name)


def write(out, archives, excluded, additions, time, workdir, limit, form="newc"):
    """Writes to the path `out` one archive, cpio or of another form of bsdtar's: the members of `archives` but for those excluded, then the additions.

    Kept members keep all they have. Which order the additions are given in is the order they get.
    """
    plan, unlinked = workdir / "additions.mtree", workdir / "unlinked.mtree"
    with open(unlinked, "w", encoding="ascii") as lines:
        lines.write("#mtree\n")
        lines.writelines(f"{_escape(one.path)} type=link link=. mode=0777 uid=0 gid=0 time={time}.0\n" for one in additions if one.shared)
    with open(plan, "w", encoding="ascii") as lines:
        lines.write("#mtree\n")
        for addition in additions:
            common = f"mode={addition.mode:04o} uid=0 gid=0 time={time}.0"
            if addition.source is None:
                # A directory whose name has no slash would be where the next names without one are.
                slash = "" if "/" in addition.path else "./"
                lines.write(f"{slash}{_escape(addition.path)} type=dir {common}\n")
            else:
                source = Path(addition.source).resolve()
                size = source.stat().st_size
                lines.write(f"{_escape(addition.path)} type=file {common} size={size} contents={_escape(str(source))}\n")
    sources = [_slice(archive, workdir) for archive in archives]
    if excluded:
        # Of its own, for what is excluded would be excluded from the additions too.
        kept, patterns = workdir / "kept", workdir / "excluded"
        globs = [f"{start}{glob(name)}" for name in excluded for start in ("^", "^./")]
        patterns.write_text("".join(f"{one}\n" for one in globs if "\n" not in one), encoding="utf-8", errors="surrogateescape")
        # A line is a pattern there.
        more = [word for one in globs if "\n" in one for word in ("--exclude", one)]
        _bsdtar(kept, ["-X", str(patterns), *more], sources, limit)
        sources = [kept]
    if additions:
        added = workdir / "additions.cpio"
        _bsdtar(added, [], [unlinked, plan] if any(one.shared for one in additions) else [plan], limit, form)
        if form == "newc":
            segments.renumber(added)
        sources.append(added)
    _bsdtar(out, [], sources, limit, form)


def _bsdtar(out, options, sources, limit, form="newc"):
    # Names stay what they are, also with a slash in front.
    arguments = ["bsdtar", "-cPf", str(out.resolve()), f"--format={form}", *options, *(f"@{source.resolve()}" for source in sources)]
    status, _, messages = tools.run(arguments, limit)
    if tools.hit_its_bound(status) or "File too large" in messages:
        raise OperationError(f"the archive gets larger than the {limit >> 20} MiB of --limit; give a higher one if that is wanted")
    tools.check_space(messages)
    if status or messages:
        raise OperationError(f"bsdtar could not write the archive: {tools.last_line(messages)}")
