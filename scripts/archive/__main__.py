# SPDX-License-Identifier: GPL-2.0
"""The command line: see --help. Runs in the toolbox; scripts/archive.sh calls it."""

import argparse
import fcntl
import signal
import sys
from pathlib import Path

# Ctrl-C ends it without a word at any moment: what it leaves is what SIGKILL would leave.
signal.signal(signal.SIGINT, signal.SIG_DFL)

# Nothing is left beside the program by running it.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from archive import kernel, pin
from archive.ends import ended
from archive.fetch import Archive

TOP = Path(__file__).resolve().parents[2]

HELP = """\
Downloads packages of the Debian archive and verifies them: by pool path and SHA-256 where packages.lock has them, by a verified package
list otherwise. Only the lists that are needed are read. Runs in the toolbox.
"""


def parser():
    """The options; --help is enough to use the program."""
    result = argparse.ArgumentParser(prog="archive", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    result.add_argument("--cache", metavar="DIR", required=True, type=Path, help="where lists and interrupted downloads are kept")
    result.add_argument("--mirror", metavar="URL", required=True, help="the mirror")
    result.add_argument("--keyring", metavar="FILE", help="the keys that the mirror may sign with (default: Debian's)")
    result.add_argument("--suite", required=True, help="the release of Debian, such as trixie")
    result.add_argument("--name", default="archive", help="the program's name in messages (default %(default)s)")
    commands = result.add_subparsers(dest="command", required=True)

    add = commands.add_parser("package", help="download a package; prints its version").add_argument
    add("--component", default="main", help="where the suite has it (default %(default)s)")
    add("--also", metavar="SUITE/COMPONENT", action="append", default=[], help="another list that may have that version (repeatable)")
    add("directory", metavar="DIR")
    add("package", metavar="NAME")
    add("version", metavar="VERSION")

    add = commands.add_parser("kernel", help="download the packages of a kernel; prints its release").add_argument
    add("--parts", default="image", help="comma-separated: image, headers, source, source-package (default %(default)s)")
    add("--or", metavar="PARTS", dest="instead", help="the parts to take if the archive has the kernel, but not the first ones")
    add("--exact", action="store_true", help="do not take the newest of the same series instead")
    add("--made", metavar="FILE", help="download no other release if this file, with %% for the release, exists")
    add("directory", metavar="DIR")
    add("kver", metavar="KVER")

    add = commands.add_parser("pin", help="pin what versions.conf names").add_argument
    add("--dry-run", action="store_true", help="show the pins, write nothing")
    return result


def run(options, say):
    """Does what the options say."""
    archive = Archive(options.cache, options.mirror, options.keyring, TOP / "packages.lock", say)
    if options.command == "package":
        origins = [f"{options.suite}/{options.component}", *options.also]
        print(archive.fetch_package(options.package, options.version, origins, options.directory))
    elif options.command == "kernel":
        made = options.made and (lambda kver: Path(options.made.replace("%", kver)).exists())
        print(
            kernel.fetch(
                archive,
                options.kver,
                options.parts.split(","),
                options.suite,
                options.directory,
                made,
                options.exact,
                options.instead and options.instead.split(","),
            )
        )
    else:
        pin.pin(archive, options.suite, TOP, options.dry_run)


def main():
    """The program."""
    options = parser().parse_args()

    def say(text):
        print(f"{options.name}: {text}", file=sys.stderr, flush=True)

    def download():
        options.cache.mkdir(parents=True, exist_ok=True)
        with open(options.cache / "lock", "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another process is downloading; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            run(options, say)

    return ended(options.name, download)


if __name__ == "__main__":
    sys.exit(main())
