# SPDX-License-Identifier: GPL-2.0
"""Runs the tests of a directory: `group.py TITLE DIRECTORY [NAME...]`, those whose names contain one of NAME, or all. The title is said first, and not at
all when no test has such a name: the exit status is 5 then, as Python's own."""

import sys
import unittest


def main(title, directory, *names):
    """Runs them; returns the exit status."""
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in names] or None
    # A file that cannot be loaded counts as a test that fails.
    suite = loader.discover(directory)
    if not suite.countTestCases():
        return 5
    print(title, file=sys.stderr, flush=True)
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
