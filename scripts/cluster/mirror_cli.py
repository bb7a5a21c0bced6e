# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/mirror."""

import argparse
import fcntl
import sys
from pathlib import Path

from archive.ends import ended
from archive.errors import UsageError, UserError
from archive.fetch import Archive
from archive.tools import replace
from inject import errors as modules_errors

from . import mirror, templates
from .plan import Plan
from .pool import Pool, make_kernel_part

TOP = Path(__file__).resolve().parents[2]

HELP = """\
Makes a small signed mirror of Debian that nodes are installed from: what packaging/cluster lists, a kernel, and the driver's
package. Downloads go into a pool that stays and is asked first; without it, nothing is asked of the network. Runs where
scripts/cluster.packages are installed: `scripts/toolbox --list cluster run -- scripts/mirror ...`.
"""


def parser():
    """The options; --help is enough to use the program."""
    result = argparse.ArgumentParser(prog="mirror", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    add = result.add_argument
    add("--pool", metavar="DIR", required=True, help="where downloads stay")
    add("--kver", metavar="RELEASE", required=True, help="the kernel that nodes get")
    add("--mirror", metavar="URL", required=True, help="the Debian mirror to download from")
    add("--keyring", metavar="FILE", help="the keys that it may sign with (default: Debian's)")
    add("--suite", default="trixie", help="the release of Debian (default %(default)s)")
    add("--plan", metavar="FILE", help="a cluster's plan, whose packages are put in as well; they are listed in DIR.packages")
    add("--deb", metavar="FILE", action="append", default=[], help="a package to be put in (repeatable)")
    add("--modules", metavar="DIR", help="that kernel's modules, unpacked and indexed: the installer gets those for disks and file systems as a part")
    add("--fetch", action="store_true", help="only download what is missing")
    add("--update", action="store_true", help="take the newest versions by the package lists, whatever the locks pin")
    add("--lock", action="store_true", help="only pin, in packaging/cluster/*.lock, what the package lists have now")
    add("-o", "--output", metavar="DIR", help="the mirror, made anew; its public key is DIR.gpg")
    add("--templates", nargs=2, metavar=("FROM", "TO"), help="also make files of the installer's questions without translations: FROM and TO are directories")
    add("--keep-translations", action="store_true", help="leave the installer's questions as they are: slower")
    return result


def _say(text):
    print(f"mirror: {text}", file=sys.stderr, flush=True)


def run(options):
    """Does what the options say."""
    directory = Path(options.pool)
    if not options.fetch and not options.output and not options.lock:
        raise UsageError("nothing to do: give --fetch, --lock or -o DIR")
    for name in options.deb:
        if not Path(name).is_file():
            raise UsageError(f"found no package {name} for --deb; `make deb` makes the driver's")
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        archive = Archive(directory, options.mirror, options.keyring, None, _say)
        more = Plan(options.plan).packages() if options.plan else []
        pool = Pool(directory, archive, options.suite, TOP / "packaging/cluster", options.kver, _say, more)
        if options.lock:
            pool.lock()
            return
        found = None if options.update else pool.packages()
        packages, udebs = found or pool.fetch(options.update)
        if options.templates:
            _strip(*map(Path, options.templates))
        if not options.output:
            return
        if options.modules:
            udebs = [*udebs, make_kernel_part(options.kver, options.modules, directory)]
        root = Path(options.output)
        count = mirror.make(root, options.suite, packages, udebs, options.deb, directory / "stripped", options.keep_translations)
        mirror.sign(root, options.suite, f"{root}.gpg")
        replace(f"{root}.packages", "".join(f"{name}\n" for name in more))
        _say(f"{count} packages in {root}, signed with a key made now")


def _strip(source, target):
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.templates")):
        replace(target / file.name, templates.strip(file.read_text()))


def main(arguments=None):
    """The program."""
    options = parser().parse_args(arguments)
    return ended("mirror", lambda: run(options), (UserError, modules_errors.UserError))
