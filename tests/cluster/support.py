# SPDX-License-Identifier: GPL-2.0
"""What the tests of the head node share: where it is."""

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests")]
