# SPDX-License-Identifier: GPL-2.0
"""Inputs of tests that have to be fetched first."""

import os


def need(test, name):
    """Returns the environment variable in which a script under scripts/ names an input.

    Skips the test if NAME_MISSING has a reason why it could not be fetched, and notes that for the summary of `make test` in the file
    that R8168_SKIPS names.
    """
    value = os.environ.get(name)
    reason = os.environ.get(f"{name}_MISSING")
    if not value and reason:
        if os.environ.get("R8168_SKIPS"):
            with open(os.environ["R8168_SKIPS"], "a", encoding="utf-8") as skips:
                skips.write(f"{test.id()}: {reason}\n")
        test.skipTest(reason)
    test.assertTrue(value, f"{name} is not set; run this test by its script under scripts/")
    return value
