# SPDX-License-Identifier: GPL-2.0
"""Runs other programs, with a bound on what they may use."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import tempfile

from .errors import MissingToolError, OperationError

# Where Debian keeps each program; only asked for when it is missing.
PACKAGES = {
    "bsdtar": "libarchive-tools",
    "depmod": "kmod",
    "modinfo": "kmod",
    "modprobe": "kmod",
    "zstd": "zstd",
    "lz4": "lz4",
}

# No archive that fits an installer needs more, and a damaged one must not take the machine down.
MEMORY = 1 << 30
CPU_SECONDS = 300
# Variables by which the user has these programs do otherwise, on command lines of the user's own.
OPTIONS = ("TAR_READER_OPTIONS", "TAR_WRITER_OPTIONS", "MODPROBE_OPTIONS", "ZSTD_CLEVEL", "ZSTD_NBTHREADS", "LZ4_CLEVEL", "LZ4_NBWORKERS")
# Less room than this on a disk on which writing failed is what it failed for.
SCANT = 1 << 20

# Users' PATH lacks the directories that kmod is in.
SEARCH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def find(program):
    """The path of a program; refuses by naming the package that has it."""
    path = shutil.which(program, path=SEARCH)
    if not path:
        package = PACKAGES[program]
        raise MissingToolError(f"found no {program} on this machine; install it: apt-get install {package}")
    return path


def _limit(file_size):
    def apply():
        for what, wanted in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_FSIZE, file_size)):
            # The user may have less, and no more can be had than that.
            most = resource.getrlimit(what)[1]
            bound = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(what, (bound, bound))

    return apply


def run(arguments, file_size, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=None):
    """Runs a program to its end and returns its exit status, output and messages.

    `file_size` bounds every file that it writes.
    """
    command = [find(arguments[0]), *arguments[1:]]
    environment = {**{name: value for name, value in os.environ.items() if name not in OPTIONS}, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    try:
        done = subprocess.run(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
            preexec_fn=_limit(file_size),
            timeout=2 * CPU_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OperationError(f"{arguments[0]} had not ended after {2 * CPU_SECONDS} s; is this machine overloaded?") from None
    except OSError as error:
        raise OperationError(f"cannot run {arguments[0]}: {error}") from None
    return done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace").strip()


def last_line(text):
    """The line of a program's messages that says most, for a one-line error."""
    lines = [line for line in text.splitlines() if line.strip() and "Error exit delayed" not in line]
    return lines[-1] if lines else "it gave no reason"


def check_space(messages):
    """Raises what writing to a full disk raises, if a program's messages say that the directory of temporary files was one."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number) in messages:
            raise OSError(number, os.strerror(number))
    # lz4 gives no reason.
    if "rite error" in messages and _is_scant(tempfile.gettempdir()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def hit_its_bound(status):
    """Returns whether a program was stopped because it wrote more than `file_size`."""
    return status in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)


def is_full(directory, error):
    """Returns whether an error comes from the file system of temporary files being full, and not from another's."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return False
    return _is_scant(directory)


def _is_scant(directory):
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize < SCANT
