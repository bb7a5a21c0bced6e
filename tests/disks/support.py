# SPDX-License-Identifier: GPL-2.0
"""Things that the tests of driver disks share: where the disks are, and programs that are not those that made them."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

DISKS = Path(os.environ["DISKS"])
KVER = os.environ["DISKS_KVER"]
# The module that is on the disks, and the one that stands in for one of RHEL 4's, and for any other.
MODULE = Path(os.environ["DISKS_MODULE"])
GIVEN = Path(os.environ["DISKS_GIVEN"])
# The Debian installer's initrd.
INSTALLER = Path(os.environ["DISKS_INSTALLER"])

MODALIAS = "pci:v000010ECd00008168sv00001458sd0000E000bc02sc00i00"
GIVEN_MODALIAS = "pci:v000010ECd00008139sv000010ECsd00008139bc02sc00i00"


def run(*command, **options):
    """Runs a program that has to succeed; returns what it writes."""
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def consumer(name, what):
    """A program of an installer's that scripts/test-driver-disks has fetched, as a path; and what skips tests without it."""
    path = os.environ.get(f"DISKS_{name}")
    return path and Path(path), unittest.skipUnless(path, os.environ.get(f"DISKS_NO_{name}") or f"{what} is not at hand")


class Case(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="test-disks-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def fat(self, image):
        """The files of a FAT image, unpacked."""
        to = self.dir / "fat"
        to.mkdir()
        run("mcopy", "-s", "-n", "-i", image, "::*", to)
        return to

    def is_labelled(self, image, label="OEMDRV"):
        """Returns what libblkid says, which udev asks as well."""
        self.assertEqual(run("blkid", "-p", "-o", "value", "-s", "LABEL", image).strip(), label)

    def rpm(self, package, *query):
        """Returns what rpm says of a package in a file."""
        return run("rpm", "--dbpath", self.dir / "db", "-qp", *query, package).splitlines()

    def rpm_files(self, package):
        """The files of a package, unpacked."""
        to = self.dir / "rpm"
        to.mkdir()
        run("sh", "-c", 'rpm2cpio "$1" | cpio --quiet -idum --no-absolute-filenames', "-", package, cwd=to)
        return to


class System:
    """A root directory for what believes to be on a machine of its own: the programs of this environment, and a /lib/modules."""

    def __init__(self, top, stand_ins):
        self.top = top
        for name in ("usr", "lib/modules", "dev", "proc", "sys", "tmp", "run", "etc", "stand-ins"):
            (top / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib64"):
            (top / name).symlink_to(f"usr/{name}")
        for name in ("cmdline", "modules"):
            self.write(f"proc/{name}", "")
        for name, content in stand_ins.items():
            self.write(f"stand-ins/{name}", content).chmod(0o755)

    def write(self, path, content):
        """Makes a file in it."""
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def run(self, *command, mounts="", **environment):
        """Runs a program in it, its stand-ins before all others; `mounts` are commands in sh, $1 is the root directory."""
        script = f'mount --bind /usr "$1/usr"; mount --bind /dev "$1/dev"; {mounts} exec chroot "$@"'
        environment = {"PATH": "/stand-ins:/usr/bin:/usr/sbin", "HOME": "/tmp", "LC_ALL": "C.UTF-8", **environment}
        words = [f"{name}={value}" for name, value in environment.items()]
        return run("unshare", "--mount", "sh", "-ec", script, "-", self.top, "env", "-i", *words, *command)

    def read(self, path):
        """The text of a file in it."""
        return (self.top / path).read_text()
