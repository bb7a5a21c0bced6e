# SPDX-License-Identifier: GPL-2.0
"""The calculation of what many nodes take: where the answer is known."""

import contextlib
import io
import json
import random
import tempfile
import unittest
from pathlib import Path

import support  # noqa: F401

from cluster import beyond


class Shares(unittest.TestCase):
    """Clients that share a wire."""

    def test_all_at_once_take_what_the_wire_takes(self):
        self.assertEqual(beyond.share([0.0] * 4, 100, 10, 1000), [40.0] * 4)

    def test_a_card_is_the_limit_where_the_wire_is_not(self):
        self.assertEqual(beyond.share([0.0, 0.0], 100, 1000, 10), [10.0, 10.0])

    def test_one_that_comes_later_shares_what_is_left(self):
        # The first has 50 bytes when the second comes; both get 5 a second until it is done; the second has the wire alone for its other 50.
        self.assertEqual(beyond.share([0.0, 5.0], 100, 10, 10), [15.0, 20.0])

    def test_one_that_dies_begins_anew(self):
        found = beyond.share([0.0], 100, 10, 10, 1.0, random.Random(3))[0]
        self.assertGreater(found, 10 + beyond.AGAIN)
        self.assertLess(found, 20 + beyond.AGAIN)


class Ways(unittest.TestCase):
    """Ways to bring it there."""

    def test_multicast_without_loss_takes_one_file_and_with_loss_more(self):
        size = 100 * beyond.PACKET
        once = 5 + size / beyond.GIGABIT
        self.assertAlmostEqual(beyond.multicast(50, size, beyond.GIGABIT, 0.0, random.Random(1)), once)
        self.assertGreater(beyond.multicast(50, size, beyond.GIGABIT, 0.1, random.Random(1)), once)

    def test_a_torrent_takes_two_turns_for_two_nodes_and_one_piece(self):
        self.assertAlmostEqual(beyond.torrent(2, beyond.PIECE, beyond.GIGABIT, random.Random(1)), 5 + 2 * beyond.PIECE / beyond.GIGABIT)

    def test_the_same_seed_gives_the_same_table(self):
        self.assertEqual(beyond.table([70], 8, 0.05, 1e-3, 7), beyond.table([70], 8, 0.05, 1e-3, 7))

    def test_racks_are_full_but_the_last(self):
        self.assertEqual(beyond.racks(130), [64, 64, 2])


class Program(unittest.TestCase):
    """scripts/scale-out."""

    def run_with(self, *words):
        """The exit status, and what is said of errors."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            status = beyond.main(["--nodes", "2", "--size", "1", *map(str, words)])
        return status, said.getvalue()

    def test_the_table_is_written_or_one_line_says_why_not(self):
        with tempfile.TemporaryDirectory(prefix="test-beyond-") as name:
            there = Path(name) / "table"
            self.assertEqual(self.run_with("--out", there), (0, ""))
            self.assertIn("torrent, head node 1 Gbit/s", json.loads(there.read_text())["seconds"])
            # A directory, and what is below a file.
            for wrong in (name, there / "table"):
                status, said = self.run_with("--out", wrong)
                self.assertEqual((status, said.count("\n")), (1, 1))
                self.assertIn(f"scale-out: error: cannot write {wrong}: ", said)
            self.assertEqual([path.name for path in Path(name).iterdir()], ["table"])
            self.assertEqual([path.name for path in Path(name).parent.glob(f".{Path(name).name}.*")], [])


if __name__ == "__main__":
    unittest.main()
