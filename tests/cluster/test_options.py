# SPDX-License-Identifier: GPL-2.0
"""Arguments of scripts/head-node that do not go together."""

import subprocess
import unittest

from support import TOP

PLAN = str(TOP / "packaging/cluster/cluster.conf")


class Options(unittest.TestCase):
    """They are refused before anything is done."""

    def test_what_stands_alone_is_not_half_done(self):
        for words, said in {
            ("--preseed", PLAN, "--export", "fai", "/nowhere"): "--preseed stands alone",
            ("--preseed", PLAN, "--export", "fai"): "--preseed stands alone",
            ("--export", "cobbler", "--preseed", PLAN): "--preseed stands alone",
            ("--plan", PLAN, "--preseed", PLAN): "--preseed stands alone",
            ("--export", "fai", "--kickstart", PLAN, "/nowhere"): "--export takes a directory, and --plan or --dry-run",
            ("--export", "slurm", "/nowhere"): "--export takes warewulf, fai or cobbler, not 'slurm'",
        }.items():
            with self.subTest(words):
                done = subprocess.run([TOP / "scripts/head-node", *words], capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
