# SPDX-License-Identifier: GPL-2.0
"""The package of inject-initrd: what it puts where is enough for the program."""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


class Package(unittest.TestCase):
    """The files that are installed, in a directory that stands for the root."""

    def test_it_needs_no_checkout(self):
        packaging = TOP / "packaging/inject-initrd"
        taken = re.search(r"^program_tree\(\).*?git ls-files -z (.*?) \|", (TOP / "scripts/make-deb").read_text(), re.MULTILINE | re.DOTALL).group(1).split()
        with tempfile.TemporaryDirectory() as name:
            tree, root = Path(name) / "tree", Path(name) / "root"
            for one in subprocess.run(["git", "ls-files", *taken], cwd=TOP, capture_output=True, text=True, check=True).stdout.split():
                (tree / one).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / one, tree / one)

            def lines(name):
                """The lines of a file that debhelper reads."""
                return [line for line in (packaging / name).read_text().splitlines() if not line.startswith("#")]

            for line in lines("install"):
                pattern, place = line.split()
                found = glob.glob(pattern, root_dir=tree)
                self.assertTrue(found, line)
                (root / place).mkdir(parents=True, exist_ok=True)
                for one in found:
                    shutil.copy(tree / one, root / place)
            target, link = lines("links")[0].split()
            (root / link).parent.mkdir(parents=True)
            (root / link).symlink_to(os.path.relpath(root / target, (root / link).parent))
            self.assertTrue((tree / lines("manpages")[0]).exists())
            shutil.rmtree(tree)
            done = subprocess.run([root / link, "--help"], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            rules = "import sys; sys.path.insert(0, sys.argv[1]); from inject.flavours import RULES; print(*(path.name for path in RULES.iterdir()))"
            done = subprocess.run(["python3", "-B", "-c", rules, (root / target).parent], capture_output=True, text=True, check=True)
            self.assertEqual(done.stdout, "10-r8168_rust.conf\n")


if __name__ == "__main__":
    unittest.main()
