# SPDX-License-Identifier: GPL-2.0
"""The faults that the emulated chip has on request: each is in a guest test."""

import re
import unittest

from support import TOP


class Faults(unittest.TestCase):
    """All of them."""

    def test_each_is_in_a_guest_test(self):
        names = re.findall(r'^    \w+ = "([a-z-]+)", \d+, \d+;$', (TOP / "qemu/chip/src/faults.rs").read_text(), re.MULTILINE)
        self.assertGreater(len(names), 15)
        tests = "\n".join(file.read_text() for file in sorted((TOP / "tests/lab/tests").rglob("*.rs")))
        for name in names:
            with self.subTest(name):
                self.assertIn(f'"{name}"', tests)


if __name__ == "__main__":
    unittest.main()
