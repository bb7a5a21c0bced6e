# SPDX-License-Identifier: GPL-2.0
"""Tests of what the demo does about a node that does not come up from its disk. No machine is started."""

import tempfile
import types
import unittest
import unittest.mock
from pathlib import Path

import support  # noqa: F401

from archive.errors import UserError
from cluster.demo import Demo
from cluster.machine import Machine

LOADED = "Loading Linux 7.3.4+deb13-amd64 ...\r\nLoading initial ramdisk ...\r\n"


class Node(Machine):
    """A machine of which there is only the console, with this text once it is switched on."""

    def __init__(self, directory, text):
        self.name = "compute-0-0"
        self.directory = directory
        self.console = directory / "disk-console.log"
        self.text = text
        self.starts = 0
        self.kept = 0

    def start(self, boot):
        self.console.write_text(self.text)
        self.starts += 1

    def keep_registers(self):
        self.kept += 1

    def running(self):
        return True

    def stop(self):
        pass


class Visitor:
    """Gets in where there is a login."""

    def __init__(self, node):
        self.node = node

    def wait(self, address, seconds, alive):
        if "login:" not in self.node.console_text():
            raise UserError(f"{address} does not answer")


class BootFromDisk(unittest.TestCase):
    def visit(self, text):
        """Boots a node with this console; returns the node, and what was said."""
        with tempfile.TemporaryDirectory(prefix="test-demo-") as directory:
            node = Node(Path(directory), text)
            said = []
            demo = types.SimpleNamespace(
                options=types.SimpleNamespace(slow=1),
                say=said.append,
                plan=types.SimpleNamespace(address=lambda name: "10.1.255.254"),
                visitor=Visitor(node),
                head=types.SimpleNamespace(kver="7.3"),
                _look=lambda *arguments: None,
                _power_off=lambda *arguments: None,
            )
            with unittest.mock.patch("cluster.visit.expected", lambda *arguments: {}):
                try:
                    Demo._visit(demo, node)
                except UserError as error:
                    said.append(f"refused: {error}")
            return node, "\n".join(said)

    def test_a_node_that_does_not_come_up_is_refused_and_its_registers_are_kept(self):
        node, said = self.visit(LOADED)
        self.assertEqual((node.starts, node.kept), (1, 1))
        self.assertIn("refused: 10.1.255.254 does not answer", said)

    def test_one_that_comes_up_is_looked_at(self):
        node, said = self.visit(f"{LOADED}login: ")
        self.assertEqual((node.starts, node.kept), (1, 0))
        self.assertIn("answers by ssh", said)


if __name__ == "__main__":
    unittest.main()
