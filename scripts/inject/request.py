# SPDX-License-Identifier: GPL-2.0
"""The request to inject-initrd: the options, checked as far as that needs no look into the initrd."""

import os
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Optional

from . import output
from .errors import UsageError

# The most that --limit may be: more is no limit, and more than a program can be given.
MOST_MIB = 1 << 30


@dataclass(frozen=True)
class Request:
    """The options by their names, but for `json`, which is the report's; those that may be repeated are lists."""

    initrd: str
    question: Optional[str]
    output: Optional[str]
    module: Sequence[str]
    alias_only: Sequence[str]
    # (source, destination) pairs.
    file: Sequence[tuple[str, str]]
    driver_class: Optional[str]
    kernel: Optional[str]
    modules: Optional[str]
    symvers: Optional[str]
    flavour: Optional[str]
    append: bool
    repack: bool
    overlay: bool
    list: bool
    verify: bool
    dry_run: bool
    # In bytes.
    limit: int


def checked(options):
    """The request that parsed options make."""
    _check_empty(options)
    if not 0 < options.limit <= MOST_MIB:
        raise UsageError(f"--limit is {options.limit}, expected a number of MiB from 1 to {MOST_MIB}")
    output.epoch()
    values = {field.name: getattr(options, field.name) for field in fields(Request)}
    request = Request(**{**values, "limit": options.limit << 20, "file": [_pair(text) for text in options.file]})
    if request.question is not None and not request.verify:
        raise UsageError(f"found two arguments, {request.question} and {request.initrd}, expected INITRD alone; a question goes with --verify")
    if request.list or request.verify:
        _check_unused(request)
    wants = bool(request.module or request.driver_class or request.alias_only or request.file or request.kernel or request.modules)
    if not (request.list or request.verify or wants):
        raise UsageError("nothing to do: give --module, --class, --alias-only, --file, or --kernel with --modules; or --list or --verify")
    if not (request.list or request.verify or request.output or request.dry_run):
        raise UsageError("where to? give -o OUT (INITRD itself is never changed), or --dry-run")
    _check_input(request.initrd)
    if request.output:
        output.destination_of(request.output, request.initrd)
        _check_kept(request)
        if request.overlay:
            output.form_of(Path(request.output).name)
    return request


def _check_empty(options):
    """Refuses empty values, as of a shell's variable that is not set: they are not options that are absent."""
    named = {"INITRD": options.initrd, "-o": options.output, "--kernel": options.kernel, "--modules": options.modules, "--symvers": options.symvers}
    for name, value in [*named.items(), *(("--module", one) for one in options.module)]:
        if value == "":
            raise UsageError(f"{name} is empty, expected a file's name; leave it out, or set the variable that it comes from")


def _check_unused(request):
    """Refuses what --list and --verify do not heed: a user would take it for looked at."""
    unused = {
        "-o": request.output,
        "--file": request.file,
        "--alias-only": request.alias_only,
        "--class": request.driver_class,
        "--modules": request.modules,
        "--symvers": request.symvers,
        "--append": request.append,
        "--repack": request.repack,
        "--overlay": request.overlay,
        "--module": request.list and request.module,
        "--kernel": request.list and request.kernel,
    }
    for name, value in unused.items():
        if value:
            raise UsageError(f"{'--list' if request.list else '--verify'} only looks at the initrd, and does not heed {name}; leave out {name}")


def _check_kept(request):
    """Refuses an output that would take the place of a file that goes into it, which may be the only copy."""
    named = [*(("--module", name) for name in request.module), *(("--file", source) for source, _ in request.file)]
    for option, name in [*named, ("--kernel", request.kernel), ("--symvers", request.symvers)]:
        if name and os.path.exists(name) and os.path.exists(request.output) and os.path.samefile(name, request.output):
            raise UsageError(f"-o {request.output} is the file that {option} names, and would take its place; name another file by -o")


def _check_input(name):
    path = Path(name)
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise UsageError(f"{name} is a directory, expected an initrd; to make one of it: (cd {shlex.quote(name)} && find . | cpio -o -H newc) >initrd")
        if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
            raise UsageError(f"{name} is a pipe or a socket, which can be read once only; write it into a file first")
        if not stat.S_ISREG(kind):
            raise UsageError(f"{name} is a device, expected the file of an initrd; one on a disk has to be named by its path where that is mounted")
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise UsageError(f"found no file {name}; name an initrd") from None
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from None


def _pair(text):
    source, colon, destination = text.rpartition(":")
    if not (colon and source and destination):
        raise UsageError(f"--file is {text!r}, expected SOURCE:DESTINATION, such as preseed.cfg:/preseed.cfg")
    return source, destination
