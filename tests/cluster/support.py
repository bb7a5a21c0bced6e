# SPDX-License-Identifier: GPL-2.0
"""The place of the head node's code, which its tests share."""

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests")]
