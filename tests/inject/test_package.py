# SPDX-License-Identifier: GPL-2.0
"""The Debian package of inject-initrd: the program in it does what that of the checkout does, and it depends on all that it calls."""

import os
import subprocess
import sys

from support import INSTALLER, INSTALLER_MODULE, TOP, Case

sys.path.append(str(TOP / "scripts"))

from inject.tools import PACKAGES


class Package(Case):
    def setUp(self):
        super().setUp()
        self.deb = os.environ["INJECT_DEB"]

    def field(self, name):
        """The names of the packages in a field of its control file."""
        said = subprocess.run(["dpkg-deb", "--field", self.deb, name], capture_output=True, text=True, check=True).stdout
        return {one.split()[0] for one in said.split(",")}

    def test_the_program_in_it(self):
        root = self.dir / "root"
        subprocess.run(["dpkg-deb", "--extract", self.deb, root], check=True)
        self.assertTrue((root / "usr/share/man/man8/inject-initrd.8.gz").exists())
        arguments = ["--module", INSTALLER_MODULE, "--kernel", INSTALLER / "linux", INSTALLER / "initrd.gz", "-o"]
        done = subprocess.run([root / "usr/bin/inject-initrd", *arguments, "out"], cwd=self.dir, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.inject(*arguments, self.dir / "expected")
        self.assertEqual((self.dir / "out").read_bytes(), (self.dir / "expected").read_bytes())
        self.assertEqual([path.name for path in root.rglob("__pycache__")], [])

    def test_it_depends_on_all_that_it_calls(self):
        named = self.field("Depends") | self.field("Recommends")
        self.assertEqual(set(PACKAGES.values()) - named, set())
        # Debian 13's own kernel is compressed by zstd.
        self.assertLessEqual({"python3", "zstd"}, self.field("Depends"))
