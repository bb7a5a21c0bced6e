# SPDX-License-Identifier: GPL-2.0
"""A small room, as scripts/test-scale has a large one."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import TOP


class Scale(unittest.TestCase):
    """A few nodes that are switched on at once."""

    def test_nodes_that_are_switched_on_at_once_and_lose_their_power_all_come_up(self):
        with tempfile.TemporaryDirectory(prefix="test-scale-") as name:
            command = ["scripts/scale", "--nodes", "10", "--mib", "2", "--mbit", "0", "--die", "30", "--seed", "7", "--out", name]
            done = subprocess.run(["unshare", "--net", *command], cwd=TOP, capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr}")
            result = json.loads((Path(name) / "result.json").read_text())
        self.assertEqual((result["failed"], result["wrong"], result["died"]), ([], [], 3))
        self.assertEqual(len(result["timelines"]), 10)
        self.assertGreaterEqual(result["mib"], 10 * 2)


if __name__ == "__main__":
    unittest.main()
