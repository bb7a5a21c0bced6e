# SPDX-License-Identifier: GPL-2.0
"""Tests of what is read: templates, indexes, journals; and of what is drawn of them."""

import itertools
import os
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

import support  # noqa: F401

from archive import deb822, lock
from archive.errors import UsageError
from archive.tools import replace
from cluster import phases, templates, timeline, visit

QUESTION = """\
Template: netcfg/enable
Type: select
Choices-C: a, b
Choices: A, B
Choices-de.UTF-8: X, Y
Default: A
Default-pt_BR.UTF-8: Z
Description: Which?
 A line.
Description-sr@latin.UTF-8: Koji?
 Red.
 .
 Jos jedan.
Description-de.UTF-8: Welches?

Template: second/one
Type: note
Description: Yes
"""
PLAIN = """\
Template: netcfg/enable
Type: select
Choices-C: a, b
Choices: A, B
Default: A
Description: Which?
 A line.

Template: second/one
Type: note
Description: Yes
"""
JOURNAL = """\
100.0 machine power-on
100.0 cpu 0.5
105.5 ipxe asks what to do, MAC 52:54:00:81:11:10
106.0 http 200 /boot/linux 14000000
106.1 cpu 6.0
107.0 http 200 /boot/initrd 46000000
119.0 http sent /boot/initrd
120.0 syslog kernel: Linux version 7.3.4
130.0 http 200 /preseed
150.0 syslog main-menu[1]: INFO: Menu item 'partman-base' selected
200.0 machine power-off
200.1 cpu 80.5
"""


class Reading(unittest.TestCase):
    """Texts."""

    def test_translations_are_left_out_and_nothing_else(self):
        self.assertEqual(templates.strip(QUESTION), PLAIN)

    def test_a_stanza_keeps_what_is_not_changed(self):
        stanza = deb822.stanzas("Package: a\nSize: 1\nDescription: x\n y\n\nPackage: b\nSize: 2\n")[0]
        changed = stanza.with_fields(Size=3, MD5sum=None)
        self.assertEqual(changed.text, "Package: a\nDescription: x\n y\nSize: 3")
        self.assertEqual(changed["Description"], "x\n y")

    def test_phases_follow_each_other_without_gaps(self):
        with tempfile.TemporaryDirectory() as directory:
            journal = Path(directory) / "journal"
            journal.write_text(JOURNAL)
            found = phases.read(journal)
        self.assertEqual([phase.title for phase in found][:3], [title for title, _, _ in phases.BEGINNINGS[:3]])
        self.assertEqual(found[0].start, 0)
        self.assertEqual([phase.cpu for phase in found[:2]], [5.5, None])
        self.assertEqual(found[-1].end, 100)
        self.assertTrue(all(one.end == other.start for one, other in itertools.pairwise(found)))

    def test_the_picture_has_every_phase_of_every_row(self):
        rows = [(name, [phases.Phase("one & two", 0, 10), phases.Phase("three", 10, 500)]) for name in ("compute-0-0", "last run")]
        picture = xml.etree.ElementTree.fromstring(timeline.draw(rows, 600))
        titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
        self.assertEqual(titles, ["one & two: 10 s", "three: 490 s"] * 2)

    def test_a_node_is_judged_by_every_line(self):
        wanted = {"name": "compute-0-0", "driver": "r8168_rust", "states": lambda value: value == "ii"}
        self.assertEqual(visit.judge({"name": "compute-0-0", "driver": "r8168_rust", "states": "ii"}, wanted), [])
        wrong = visit.judge({"name": "compute-0-0", "driver": "r8169", "states": "iU"}, wanted)
        self.assertEqual(wrong, ["driver is 'r8169', expected 'r8168_rust'", "states is 'iU'"])
        self.assertEqual(len(visit.judge({}, wanted)), 3)

    def test_a_path_of_any_bytes_is_written_as_it_is(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "conf"
            replace(path, "path=" + os.fsdecode(b"\xe4") + "\n")
            self.assertEqual(path.read_bytes(), b"path=\xe4\n")

    def test_pins_that_cannot_be_trusted_are_refused(self):
        digest = "0123456789abcdef" * 4
        line = f"vim 1 trixie/main 5 {digest} pool/main/v/vim/vim_1_amd64.deb\n"
        bad = {
            "another digest for the same version": line + line.replace("0", "f"),
            "a path out of the pool": line.replace("pool/main", "pool/../../main"),
            "no text": b"\xff\xfe\x00",
            "half a line": line[:30],
        }
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "packages.lock"
            for what, content in bad.items():
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
                with self.subTest(what), self.assertRaisesRegex(UsageError, r"^packages\.lock:\d: .*scripts/pin"):
                    lock.read(path)
            path.write_bytes((line + line).replace("\n", "\r\n").encode())
            self.assertEqual([pin.sha256 for pin in lock.read(path)], [digest])

    def test_pins_name_their_list_with_and_without_a_licence(self):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "node.lock"
            self.assertIsNone(lock.first_comment(path))
            path.write_text("# 0123456789ab\n# Written by scripts/pin.\n")
            self.assertEqual(lock.first_comment(path), "0123456789ab")
            lock.write(path, ["0123456789ab", "Written by scripts/pin."], [])
            self.assertEqual(lock.first_comment(path), "0123456789ab")
            self.assertEqual(path.read_text().splitlines()[0], "# SPDX-License-Identifier: GPL-2.0")
            self.assertEqual(lock.read(path), [])


if __name__ == "__main__":
    unittest.main()
