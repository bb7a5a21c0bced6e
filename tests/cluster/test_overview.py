# SPDX-License-Identifier: GPL-2.0
"""Tests of what an operator sees of a room."""

import json
import re
import tempfile
import time
import unittest
import unittest.mock
from html.parser import HTMLParser
from pathlib import Path

import support

from cluster import serve
from cluster.overview import Overview, ranges
from cluster.plan import Plan


class Page(HTMLParser):
    """The cells of each table's rows; fails for a tag that is not ended."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.open = {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.rows = self.tables[dict(attrs)["id"]] = []
        if tag == "tr":
            self.rows.append([])
        if tag not in ("meta", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


class Rooms(unittest.TestCase):
    """A room of a hundred nodes."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-overview-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)

    def test_consecutive_names_are_one_range(self):
        self.assertEqual(ranges(f"compute-{rank // 64}-{rank % 64}" for rank in range(100)), "compute-0-[0-63] compute-1-[0-35]")
        self.assertEqual(ranges(["compute-0-3", "compute-0-7", "compute-0-4", "compute-10-1", "compute-2-1"]), "compute-0-[3-4,7] compute-2-1 compute-10-1")
        self.assertEqual(ranges(f"compute-0-{rank}" for rank in range(0, 40, 2)), "compute-0-[0,2,4,6,8,10,12,14,...]")

    def test_a_hundred_nodes_are_a_few_rows(self):
        overview = Overview(self.dir)
        for rank in range(100):
            overview.event(f"compute-0-{rank}", "x", "packages" if rank < 98 else "silent")
        lines = overview.table(80)
        self.assertEqual(len(lines), 3)
        self.assertTrue(all(len(line) < 80 for line in lines))
        self.assertRegex(lines[1], r"^packages +98 +\d+ s  compute-0-\[0-97\]$")
        row = json.loads(overview.json())[1]
        self.assertLess(row.pop("longest_seconds"), 60)
        self.assertEqual(row, {"phase": "silent", "nodes": 2, "which": "compute-0-[98-99]"})
        events = [json.loads(line) for line in (self.dir / "events.jsonl").read_text().splitlines()]
        self.assertEqual(len(events), 100)
        self.assertEqual({"node": events[99]["node"], "phase": events[99]["phase"]}, {"node": "compute-0-99", "phase": "silent"})

    def test_the_page_is_whole_and_escapes_what_machines_say(self):
        overview = Overview(self.dir)
        overview.event("compute-0-0", "asks", "firmware and iPXE")
        overview.event("10.1.254.9", "asked for /<script>alert(1)</script>&, which is not here")
        page = Page(overview.page("The nodes of cluster"))
        self.assertEqual(page.open, [])
        self.assertEqual(
            page.tables["phases"], [["Phase", "Nodes", "Which", "Longest"], ["firmware and iPXE", "1", "compute-0-0", page.tables["phases"][1][3]]]
        )
        self.assertEqual(page.tables["events"][0][1:], ["10.1.254.9", "asked for /<script>alert(1)</script>&, which is not here"])
        self.assertNotIn("<script>", overview.page("x"))

    def test_the_file_of_events_begins_anew(self):
        with unittest.mock.patch("cluster.overview.EVENTS_BYTES", 1000):
            overview = Overview(self.dir)
            for _ in range(100):
                overview.event("compute-0-0", "x" * 50, "y")
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), ["events.before.jsonl", "events.jsonl"])
        self.assertTrue(all(path.stat().st_size < 1200 for path in self.dir.iterdir()))

    def test_on_a_terminal_the_table_is_replaced_and_events_stay_above(self):
        with unittest.mock.patch("sys.stdout") as out:
            out.isatty.return_value = True
            watch = serve.Watch(Plan(support.TOP / "packaging/cluster/cluster.conf"), self.dir)
            watch.on_event("compute-0-0", "ipxe", "asks what to do, MAC x")
            watch.show()
            watch.show()
            watch.on_event("compute-0-0", "http", "200 /boot/linux 5")
            text = "".join(call.args[0] for call in out.write.call_args_list)
        # Two lines of a table are gone up over before the next is written.
        self.assertEqual(re.findall(r"\x1b\[(\d+)A\x1b\[J", text), ["2", "2"])
        self.assertRegex(text, r"(?s)asks what to do.*Phase.*Phase.*kernel and initrd over HTTP\n$")

    def test_one_that_asks_for_secrets_without_tls_is_said(self):
        with unittest.mock.patch("builtins.print") as said:
            watch = serve.Watch(Plan(support.TOP / "packaging/cluster/cluster.conf"), self.dir)
            watch.on_event("compute-0-0", "http", "403 /preseed/compute-0-0: asked without TLS")
        self.assertIn(
            "compute-0-0: asked for /preseed/compute-0-0 without TLS, and was refused; is its initrd of this head node's tree?", said.call_args.args[0]
        )

    def test_a_node_that_is_silent_is_a_row(self):
        with unittest.mock.patch("builtins.print"):
            watch = serve.Watch(Plan(support.TOP / "packaging/cluster/cluster.conf"), self.dir)
            watch.on_event("compute-0-0", "ipxe", "asks what to do, MAC x")
            watch.check({"compute-0-0": time.time() - 1000})
        self.assertEqual([row[:3] for row in watch.overview.rows()], [("silent", 1, "compute-0-0")])


if __name__ == "__main__":
    unittest.main()
