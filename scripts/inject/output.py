# SPDX-License-Identifier: GPL-2.0
"""Writes the new initrd beside its final name, reads it back, and only then gives it that name."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from . import archive, attributes, segments, tools
from .errors import OperationError, UsageError
from .initrd import Initrd, sha256_of
from .tree import Staged

# How a file is compressed whose name ends so.
ENDINGS = {"gz": "gzip", "xz": "xz", "zst": "zstd", "lz4": "lz4", "bz2": "bzip2", "lzma": "lzma"}
# Names of tar archives, and of other forms that an overlay is not made in, though Ventoy takes some.
TARS = ("tar", "tgz")
OTHER_FORMS = ("zip", "7z", "rar", "txz", "tbz", "tbz2", "tzst", "iso", "squashfs", "erofs", "deb", "rpm")


def epoch():
    """SOURCE_DATE_EPOCH, if it is set; refuses what is no time that an archive can have."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (re.fullmatch("[0-9]{1,10}", text) and int(text) < 1 << 32):
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, expected seconds since 1970, from 0 to {(1 << 32) - 1}")
    return int(text) if text else None


def time_of(initrd):
    """The time of what is added: SOURCE_DATE_EPOCH, else the newest in the initrd."""
    given = epoch()
    return initrd.newest_time() if given is None else given


def main_compression(initrd):
    """The compression of the largest segment: the kernel can read that."""
    late = [part for part, early in zip(initrd.segments, initrd.early) if not early] or initrd.segments
    return max(late, key=lambda part: part.size()).compression


def destination_of(name, initrd_path):
    """The file that is to be made, links followed; refuses what it would destroy."""
    if name.endswith("/") and not os.path.isdir(name):
        raise UsageError(f"{name} is to be a directory, by the slash at its end; name a file by -o, such as {name.rstrip('/')}/initrd-new")
    if name == "-":
        raise UsageError("-o - would be a file of that name: the result cannot go to standard output; name a file by -o")
    destination = Path(os.path.realpath(name))
    try:
        # By the name that was given: behind /dev/stdout there may be a pipe, which has no path.
        kind = Path(name).stat().st_mode
    except FileNotFoundError:
        if not destination.parent.is_dir():
            raise UsageError(f"found no directory {destination.parent} to write {name} to; make it first") from None
        if destination.parent == Path("/dev"):
            raise UsageError(f"found no device {name}, and a file of that name in /dev is lost at the next boot; name a file by -o") from None
        return destination
    except OSError as error:
        raise UsageError(f"cannot write {name}: {error.strerror}") from None
    if stat.S_ISDIR(kind):
        raise UsageError(f"{name} is a directory; name a file by -o, such as {name.rstrip('/')}/initrd-new")
    if stat.S_ISBLK(kind):
        raise UsageError(
            f"{name} is a disk or a partition, expected a file or nothing: an initrd alone does not boot; "
            "write it to a file, and that onto the stick beside its kernel"
        )
    if not stat.S_ISREG(kind):
        raise UsageError(f"{name} is a device, a pipe or a socket, expected a file or nothing; name a file by -o")
    if Path(initrd_path).exists() and destination.samefile(initrd_path):
        raise OperationError(f"{name} is the initrd itself, which is never changed; name another file by -o")
    return destination


def _mode(initrd, plan):
    """The mode of the result: readable only by users who can read all that goes into it."""
    umask = os.umask(0o077)
    os.umask(umask)
    mode = 0o644 & ~umask
    for path in [initrd.path, *plan.sources]:
        entry = path.stat()
        readers = entry.st_mode & 0o444
        # The result is our group's; that is another one than the file's, perhaps.
        if (entry.st_gid != os.getegid() or not attributes.group_may_read(path)) and not readers & 0o004:
            readers &= ~0o040
        mode &= readers | 0o200
    return mode | 0o600


@contextlib.contextmanager
def _replacing(destination, mode, workdir):
    """A file beside the destination, which takes its place, with that mode, if the block raises nothing; else nothing is left."""
    try:
        with contextlib.ExitStack() as left:
            with tempfile.NamedTemporaryFile(dir=destination.parent, prefix=f".{os.fsdecode(os.fsencode(destination.name)[:200])}.", delete=False) as out:
                part = Path(out.name)
                left.callback(part.unlink, missing_ok=True)
                yield out
            part.chmod(mode)
            part.rename(destination)
            left.pop_all()
    except OSError as error:
        if tools.is_full(workdir, error):
            raise
        raise OperationError(f"cannot write {destination}: {error.strerror or error}; nothing was left behind") from None


def _sync(out):
    """Has the file's content on the disk, for those who read it by its name, and before it gets its place."""
    out.flush()
    os.fsync(out.fileno())


def write(initrd, plan, destination, repack, workdir, limit):
    """Makes the file; returns what it is like."""
    destination = destination_of(destination, initrd.path)
    with _replacing(destination, _mode(initrd, plan), workdir) as out:
        (_repack if repack else _append)(initrd, plan, out, workdir, limit)
        _sync(out)
        result = _verify(initrd, plan, Path(out.name), repack, workdir, limit)
    return {"path": str(destination), "mode": f"{stat.S_IMODE(destination.stat().st_mode):04o}", **result}


def form_of(name):
    """Returns whether an overlay of that name is a tar archive, and how it is compressed; None if the name does not say."""
    stem, _, end = name.lower().rpartition(".")
    if end in (*TARS, *OTHER_FORMS) or stem.endswith(".tar"):
        if end not in (*TARS, "gz"):
            raise UsageError(f"an overlay is not made in the form of {name}; name it like x.tar.gz or x.tar for a tar archive, or x.cpio.gz or x.cpio for cpio")
        return True, "none" if end == "tar" else "gzip"
    return False, {**ENDINGS, "cpio": "none"}.get(end)


def write_overlay(initrd, plan, destination, workdir, limit):
    """Writes the added segment alone: a cpio archive, or for a name that ends with .tar.gz or .tgz a tar archive."""
    destination = destination_of(destination, initrd.path)
    archived = workdir / "overlay"
    is_tar, compression = form_of(destination.name)
    compression = compression or main_compression(initrd)
    if is_tar:
        _check_tar(destination, plan)
    archive.write(archived, [], [], plan.additions, time_of(initrd), workdir, limit, "ustar" if is_tar else "newc")
    with _replacing(destination, _mode(initrd, plan), workdir) as out:
        if initrd.segments[-1].compression == "lz4" and not is_tar:
            # How the kernel knows where lz4's blocks end, which the initrd does not show.
            out.write(bytes(4))
        segments.compress(archived, out, compression, limit)
        _sync(out)
        _verify_overlay(initrd, plan, Path(out.name), is_tar, workdir, limit)
    return {
        "path": str(destination),
        "mode": f"{stat.S_IMODE(destination.stat().st_mode):04o}",
        "bytes": destination.stat().st_size,
        "sha256": sha256_of(destination),
        "entries": len(plan.additions),
        "segments": [compression],
    }


def _check_tar(destination, plan):
    """Refuses paths that a tar archive of the plain form cannot have: of 100 bytes, or of 155 and 100 with a slash between."""
    for addition in plan.additions:
        path = os.fsencode(addition.path + ("/" if addition.source is None else ""))
        if len(path) > 100 and not any(path[at : at + 1] == b"/" for at in range(max(1, len(path) - 101), min(155, len(path) - 2) + 1)):
            name = destination.name
            raise UsageError(
                f"a tar archive takes no path as long as {addition.path}; make it shorter, or have a cpio archive: a name like x.cpio.gz in place of {name}"
            )


def _verify_overlay(initrd, plan, part, is_tar, workdir, limit):
    """Reads it anew, and with the initrd in front as a boot loader joins them."""
    if is_tar:
        tree = {name: entry for name, entry in archive.entries((part, 0, part.stat().st_size), workdir) if name}
        for addition in plan.additions:
            if addition.path not in tree:
                raise OperationError(f"the result lacks {addition.path}; this is an error of inject-initrd")
            _check_addition(addition.path, tree[addition.path], addition)
        # What unpacks it puts it over the initrd's, as a segment is.
        part = workdir / "as-segment"
        archive.write(part, [], [], plan.additions, time_of(initrd), workdir, limit)
    joined = workdir / "joined"
    with open(joined, "wb") as out:
        for source in (initrd.path, part):
            _pad(out, 4 if is_tar and out.tell() and initrd.segments[-1].compression == "lz4" else 0)
            with open(source, "rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)
    _verify(initrd, plan, joined, False, workdir, limit)


def _pad(out, at_least=0):
    position = out.tell()
    out.write(b"\0" * at_least)
    out.write(b"\0" * (-(position + at_least) % 4))


def _append(initrd, plan, out, workdir, limit):
    with open(initrd.path, "rb") as file:
        shutil.copyfileobj(file, out, 1 << 20)
    if not plan.additions:
        return
    # An empty block is how the kernel knows where lz4's end.
    _pad(out, 4 if initrd.segments[-1].compression == "lz4" else 0)
    _segment(out, [], [], plan.additions, initrd, main_compression(initrd), workdir, limit)


def _segment(out, archives, excluded, additions, initrd, compression, workdir, limit):
    plain = workdir / "written"
    if len(archives) < 2:
        archive.write(plain, archives, excluded, additions, time_of(initrd), workdir, limit)
    else:
        # Each by itself: numbers of inodes, by which hard links are known, count in one only.
        part = workdir / "written-part"
        with open(plain, "wb") as all_parts:
            for one in archives:
                archive.write(part, [one], excluded, additions if one is archives[-1] else [], time_of(initrd), workdir, limit)
                with open(part, "rb") as file:
                    shutil.copyfileobj(file, all_parts, 1 << 20)
                _pad(all_parts)
        part.unlink()
    segments.compress(plain, out, compression, limit)
    plain.unlink()


def _repack(initrd, plan, out, workdir, limit):
    # A file with several paths stays: its content may stand with the path that is written over.
    excluded = plan.removed + [addition.path for addition in plan.additions if addition.source is not None and not addition.shared]
    excluded = _raw_names(excluded) + initrd.odd_names(excluded)
    last = max((index for index, early in enumerate(initrd.early) if not early), default=None)
    previous = None
    for index, part in enumerate(initrd.segments):
        _pad(out, 4 if previous == "lz4" else 0)
        if initrd.early[index]:
            with open(initrd.path, "rb") as file:
                file.seek(part.offset)
                out.write(file.read(part.end - part.offset))
        else:
            archives = [(part.plain, start, end) for start, end in part.archives]
            _segment(out, archives, excluded, plan.additions if index == last else [], initrd, part.compression, workdir, limit)
        previous = part.compression
    if last is None:
        _pad(out)
        _segment(out, [], [], plan.additions, initrd, "none", workdir, limit)


def _raw_names(paths):
    """The paths, and the names by which an archive may have them if directories in / are links into /usr."""
    return paths + [path.removeprefix("usr/") for path in paths if path.startswith(("usr/lib/", "usr/bin/", "usr/sbin/"))]


def _verify(initrd, plan, part, repack, workdir, limit):
    """Reads the result anew and compares it with what it should be, entry by entry."""
    again = workdir / "again"
    shutil.rmtree(again, ignore_errors=True)
    result = Initrd(part, again, limit)
    expected = {path: entry for path, entry in initrd.tree.items() if not (repack and _gone(path, plan.removed))}
    added = {addition.path: addition for addition in plan.additions}
    for path, entry in result.tree.items():
        if path in added:
            _check_addition(path, entry, added[path])
        elif expected.get(path) != entry:
            raise OperationError(f"the result has {path} as {entry}, expected {expected.get(path)}; this is an error of inject-initrd")
    lost = [path for path in {**expected, **added} if path not in result.tree]
    if lost:
        raise OperationError(f"the result lacks {len(lost)} entries, the first is {lost[0]}; this is an error of inject-initrd")
    if not repack:
        _check_prefix(initrd.path, part)
    _check_expected(result, plan, again, limit)
    return {
        "bytes": part.stat().st_size,
        "sha256": sha256_of(part),
        "entries": len(result.tree),
        "segments": [segment.compression for segment in result.segments],
    }


def _gone(path, removed):
    return any(path == gone or path.startswith(gone + "/") for gone in removed)


def _check_addition(path, entry, addition):
    if (entry.kind, entry.mode, entry.uid, entry.gid) != (addition.entry_kind(), addition.mode, 0, 0):
        raise OperationError(f"the result has {path} as {entry}, expected a {addition.entry_kind()} of 0:0; this is an error of inject-initrd")
    if addition.source is not None and entry.sha256 != sha256_of(addition.source):
        raise OperationError(f"the result has another content in {path}; did {addition.source} change meanwhile? run it again")


def _check_prefix(original, part):
    with open(original, "rb") as before, open(part, "rb") as after:
        while chunk := before.read(1 << 20):
            if after.read(len(chunk)) != chunk:
                raise OperationError(f"{original} changed while it was read; run it again")


def _check_expected(result, plan, workdir, limit):
    """Asks modprobe, on the modules and indexes that are in the result."""
    if not plan.expected_modaliases:
        return
    staged = Staged(workdir / "stage", plan.release, limit)
    staged.copy_initrd(result)
    for name, modalias in plan.expected_modaliases:
        if not staged.resolves(modalias, name):
            raise OperationError(f"in the result modprobe does not come from {modalias} to {name}; this is an error of inject-initrd")
