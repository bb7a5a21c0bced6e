# SPDX-License-Identifier: GPL-2.0
"""What the tests of driver disks share: where the disks are, and programs that are not those that made them."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

DISKS = Path(os.environ["DISKS"])
KVER = os.environ["DISKS_KVER"]
# The module that is on the disks, and the one that stands in for one of RHEL 4's.
MODULE = Path(os.environ["DISKS_MODULE"])
GIVEN = Path(os.environ["DISKS_GIVEN"])
# The Debian installer's initrd, and its part that reads driver disks.
INSTALLER = Path(os.environ["DISKS_INSTALLER"])
DETECT = Path(os.environ["DISKS_DETECT"])

MODALIAS = "pci:v000010ECd00008168sv00001458sd0000E000bc02sc00i00"


def run(*command, **options):
    """Runs a program that has to succeed; returns what it writes."""
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


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
        """By libblkid, which is what udev asks as well."""
        self.assertEqual(run("blkid", "-p", "-o", "value", "-s", "LABEL", image).strip(), label)

    def rpm(self, package, *query):
        """What rpm says of a package in a file."""
        return run("rpm", "--dbpath", self.dir / "db", "-qp", *query, package).splitlines()

    def rpm_files(self, package):
        """The files of a package, unpacked."""
        to = self.dir / "rpm"
        to.mkdir()
        run("sh", "-c", 'rpm2cpio "$1" | cpio --quiet -idum --no-absolute-filenames', "-", package, cwd=to)
        return to
