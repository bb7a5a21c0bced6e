# SPDX-License-Identifier: GPL-2.0
"""Writes the new initrd beside its final name, reads it back, and only then gives it that name."""

import os
import shutil
import tempfile
from pathlib import Path

from . import archive, segments
from .errors import Failed
from .initrd import Initrd, sha256_of
from .modules import Staged


def time_of(initrd):
    """The time of what is added: SOURCE_DATE_EPOCH, else the newest in the initrd."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isdigit() else initrd.newest_time()


def main_compression(initrd):
    """How the segment is compressed that has most in it: the kernel can read that."""
    late = [part for part, early in zip(initrd.segments, initrd.early) if not early] or initrd.segments
    return max(late, key=lambda part: part.size()).compression


def write(initrd, plan, destination, repack, workdir, limit):
    """Makes the file; returns what it is like."""
    destination = Path(destination)
    if destination.exists() and destination.samefile(initrd.path):
        raise Failed(f"{destination} is the initrd itself, which is never changed; name another file by -o")
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=destination.parent, prefix=f".{destination.name}.", delete=False) as out:
            part = Path(out.name)
            (_repack if repack else _append)(initrd, plan, out, workdir, limit)
            out.flush()
            os.fsync(out.fileno())
        result = _verify(initrd, plan, part, repack, workdir, limit)
        part.chmod(0o644)
        part.rename(destination)
        part = None
    except OSError as error:
        raise Failed(f"cannot write {destination}: {error.strerror or error}; nothing was left behind") from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return {"path": str(destination), **result}


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
    archive.write(plain, archives, excluded, additions, time_of(initrd), workdir, limit)
    segments.compress(plain, out, compression, limit)
    plain.unlink()


def _repack(initrd, plan, out, workdir, limit):
    excluded = _raw_names(plan.removed + [addition.path for addition in plan.additions if addition.source is not None])
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
            raise Failed(f"the result has {path} as {entry}, expected {expected.get(path)}; this is an error of inject-initrd")
    lost = [path for path in {**expected, **added} if path not in result.tree]
    if lost:
        raise Failed(f"the result lacks {len(lost)} entries, the first is {lost[0]}; this is an error of inject-initrd")
    if not repack:
        _check_prefix(initrd.path, part)
    _check_promises(result, plan, again, limit)
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
        raise Failed(f"the result has {path} as {entry}, expected a {addition.entry_kind()} of 0:0; this is an error of inject-initrd")
    if addition.source is not None and entry.sha256 != sha256_of(addition.source):
        raise Failed(f"the result has another content in {path}; did {addition.source} change meanwhile? run it again")


def _check_prefix(original, part):
    with open(original, "rb") as before, open(part, "rb") as after:
        while chunk := before.read(1 << 20):
            if after.read(len(chunk)) != chunk:
                raise Failed(f"{original} changed while it was read; run it again")


def _check_promises(result, plan, workdir, limit):
    """Asks modprobe, on the modules and indexes that are in the result."""
    if not plan.promises:
        return
    staged = Staged(workdir / "stage", plan.release, limit)
    staged.take_initrd(result)
    for name, modalias in plan.promises:
        if not staged.resolves(modalias, name):
            raise Failed(f"in the result modprobe does not come from {modalias} to {name}; this is an error of inject-initrd")
