# SPDX-License-Identifier: GPL-2.0
"""Arguments and input of the program that draws a ping-pong."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAM = "ping-pong-report"


def ran(*words):
    """Runs it; returns its exit status, and what it said on both."""
    done = subprocess.run([sys.executable, "-B", TOP / "scripts" / PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Arguments(unittest.TestCase):
    """It draws nothing here."""

    def test_it_has_help_and_wants_a_directory(self):
        status, said, errors = ran("--help")
        self.assertEqual((status, errors), (0, ""))
        self.assertIn(f"usage: {PROGRAM} [-h] DIRECTORY", said)
        status, said, errors = ran()
        self.assertEqual((status, said), (2, ""))
        self.assertIn("required: DIRECTORY", errors)

    def test_results_that_are_none_are_said_by_a_line(self):
        with tempfile.TemporaryDirectory() as name:
            for text in (None, "", "[1]", "7", "{}", '{"ping_pong": '):
                with self.subTest(text):
                    if text is not None:
                        (Path(name) / "result.json").write_text(text)
                    status, _, errors = ran(name)
                    self.assertEqual((status, len(errors.splitlines())), (1, 1), errors)
                    self.assertIn(f"{PROGRAM}: error: ", errors)


if __name__ == "__main__":
    unittest.main()
