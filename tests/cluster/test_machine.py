# SPDX-License-Identifier: GPL-2.0
"""Tests of how a node is run by its launcher, with something else in the place of that. No machine is started."""

import sys
import tempfile
import threading
import unittest
from pathlib import Path

import support  # noqa: F401

from archive.errors import UserError
from cluster.machine import Machine

LAUNCHER = r"""#!{python}
import json, sys
directory = sys.argv[sys.argv.index("--directory") + 1]
open(directory + "/arguments", "w").write("\n".join(sys.argv[1:]))
print({first!r}, flush=True)
for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    answer = {{"state": {{"running": number < 3, "cpu": 1.5}}, "card": request.get("request")}}
    if request["do"] == "end":
        sys.exit()
    if request["do"] in answer:
        print(json.dumps({{"ok": True, "value": answer[request["do"]]}}), flush=True)
    else:
        print(json.dumps({{"ok": False, "error": "refused"}}), flush=True)
open(directory + "/end", "w")
"""
GOOD = '{"ok": true, "value": null}'


class Launched(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-machine-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)

    def machine(self, first=GOOD, disk_gib=1):
        """A node that is not switched on."""
        lab = self.dir / "lab"
        lab.write_text(LAUNCHER.format(python=sys.executable, first=first))
        lab.chmod(0o755)
        machine = Machine("compute-0-1", 1, "port1", lab, "/model", self.dir / "node", disk_gib)
        self.addCleanup(machine.stop)
        return machine

    def arguments(self):
        return (self.dir / "node/arguments").read_text().splitlines()

    def test_what_is_about_the_node_is_told(self):
        machine = self.machine()
        machine.start("install")
        words = self.arguments()
        for option, value in {
            "--name": "compute-0-1",
            "--mac": "52:54:00:81:11:11",
            "--wire": "tap:port1",
            "--model": "/model",
            "--run": "install",
            "--disk": str(machine.disk),
        }.items():
            self.assertEqual(words[words.index(option) + 1], value)
        self.assertNotIn("--disk-first", words)
        self.assertEqual(machine.disk.stat().st_size, 1 << 30)
        self.assertEqual(machine.console, self.dir / "node/install-console.log")
        machine.stop()
        machine.start("disk")
        self.assertIn("--disk-first", self.arguments())

    def test_a_node_without_a_disk(self):
        self.machine(disk_gib=0).start("diskless")
        self.assertNotIn("--disk", self.arguments())
        self.assertFalse((self.dir / "node/disk").exists())

    def test_requests_are_answered_until_it_is_switched_off(self):
        machine = self.machine()
        self.assertRaisesRegex(UserError, "compute-0-1 is not switched on", machine.running)
        self.assertEqual(machine.cpu_seconds(), 0)
        machine.start("install")
        self.assertTrue(machine.running())
        self.assertEqual(machine.cpu_seconds(), 1.5)
        self.assertEqual(machine.ask_card(cmd="link", up=False), {"cmd": "link", "up": False})
        self.assertFalse(machine.running())
        self.assertRaisesRegex(UserError, "compute-0-1: refused", machine.pause)
        machine.keep_registers()
        machine.stop()
        self.assertTrue((self.dir / "node/end").exists())
        machine.stop()
        self.assertEqual(machine.cpu_seconds(), 1.5)

    def test_one_that_cannot_be_switched_on(self):
        machine = self.machine('{"ok": false, "error": "no such card"}')
        self.assertRaisesRegex(UserError, "^compute-0-1: no such card$", machine.start, "install")

    def test_nobody_gets_the_answer_to_the_start(self):
        machine = self.machine()
        seen = []
        asked = threading.Thread(target=lambda: seen.append(machine.ask_card(number=1)))
        answer = machine._answer

        def first():
            # Somebody asks while the node is being switched on.
            asked.start()
            asked.join(0.2)
            machine._answer = answer
            return answer()

        machine._answer = first
        machine.start("install")
        asked.join()
        self.assertEqual(seen, [{"number": 1}])

    def test_a_launcher_that_ends(self):
        machine = self.machine()
        machine.start("install")
        self.assertRaisesRegex(UserError, "its launcher has ended; its log is in", machine._ask, do="end")
        machine._node.wait()
        self.assertRaisesRegex(UserError, "its launcher has ended", machine.running)

    def test_answers_reach_those_who_asked(self):
        machine = self.machine()
        machine.start("install")
        wrong = []

        def ask(number):
            for time in range(50):
                if machine.ask_card(number=number, time=time) != {"number": number, "time": time}:
                    wrong.append(number)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
