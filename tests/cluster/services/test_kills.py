# SPDX-License-Identifier: GPL-2.0
"""A head node that is killed at moments that a seed chooses, while machines ask for names and addresses, and is started again."""

import asyncio
import contextlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from support import PLAN, TOP, run, tree

from archive.errors import UserError
from cluster.plan import Plan
from cluster.simulated import NIC, Connection, Node

KILLS = int(os.environ.get("KILLS") or 6)
SEED = int(os.environ.get("SEED") or 1)
MACHINES = 24
# Within so many seconds after it serves, it is killed.
MAX_DELAY = 1.5

PROGRAM = f"""
import sys, time
sys.path[:0] = [{str(TOP / "scripts")!r}, {str(TOP / "tests")!r}]
from cluster.head import Head
from cluster.plan import Plan
head = Head(Plan(sys.argv[1]), "wire", sys.argv[2], sys.argv[3], "ssh-ed25519 KEY head node")
head.start()
print("serves", flush=True)
while True:
    time.sleep(1)
    head.check()
"""


class Kills(unittest.TestCase):
    """The machines, and what each was given."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-kills-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        self.dir.chmod(0o755)
        text = PLAN.path.read_text().replace("mode = install", "mode = diskless")
        (self.dir / "cluster.conf").write_text(text)
        self.plan = Plan(self.dir / "cluster.conf")
        for name in ("boot/diskless-initrd", "boot/root.squashfs"):
            (tree(self.dir / "tree") / name).write_text("x")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "wire", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        self.addCleanup(subprocess.run, ["ip", "link", "delete", "wire"], check=False)
        run("ip", "address", "add", f"{PLAN.head}/{PLAN.prefix}", "dev", "wire")
        run("ip", "link", "set", "wire", "up")
        self.nodes = [Node(number, self.plan, {}, random.Random(f"{SEED} {number}")) for number in range(MACHINES)]
        for node in self.nodes:
            self.addCleanup(os.close, node.namespace)
            run(
                "ip",
                "link",
                "add",
                f"port{node.number}",
                "type",
                "veth",
                "peer",
                "name",
                NIC,
                "address",
                node.mac,
                "netns",
                f"/proc/{os.getpid()}/fd/{node.namespace}",
            )
            run("ip", "link", "set", f"port{node.number}", "master", "wire", "up")
            node.link(True)
        # What was ever given: {what: machines}.
        self.given = {}

    def start(self):
        """Starts a head node; returns it when it serves."""
        command = [sys.executable, "-B", "-c", PROGRAM, self.plan.path, self.dir / "head", self.dir / "tree"]
        head = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, head)
        self.assertEqual(head.stdout.readline(), "serves\n", head.poll() is not None and head.stderr.read())
        return head

    @staticmethod
    def end(head):
        """Kills a head node."""
        head.kill()
        head.wait()
        for stream in (head.stdout, head.stderr):
            stream.close()

    async def ask(self, node):
        """A machine asks for an address and a name, again and again, as long as it is answered."""
        while True:
            with contextlib.suppress(UserError, OSError):
                lease = await node.dhcp("ipxe", {77: b"iPXE", 93: b"\0\0", 175: b"\1\1\1"})
                self.given.setdefault(lease["address"], set()).add(node.mac)
                web = Connection(node)
                try:
                    script = (await web.get(f"/ipxe?mac={node.mac}")).decode()
                    for name in set(re.findall(r"compute-\d+-\d+", script)):
                        node.name, node.certificate = name, (await web.get("/certificate")).decode()
                        self.given.setdefault(name, set()).add(node.mac)
                        self.given.setdefault(node.mac, set()).add(name)
                        self.given.setdefault(await node.secret(f"/node/{name}", 200), set()).add(node.mac)
                finally:
                    web.close()
            await asyncio.sleep(node.rng.uniform(0, 0.2))

    async def storm(self, seconds):
        """Lets all machines ask for some time, those that have a name as well."""
        asking = [asyncio.create_task(self.ask(node)) for node in self.nodes]
        await asyncio.sleep(seconds)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for node in self.nodes:
            for made in list(node._sockets):
                node._close(made)

    def test_no_name_no_address_and_no_identity_is_given_twice(self):
        rng = random.Random(SEED)
        # A bridge takes up to a second until it passes on what comes from a new port.
        time.sleep(1.5)
        for kill in range(KILLS):
            head = self.start()
            killer = rng.uniform(0, MAX_DELAY)

            async def round_of(head=head, killer=killer):
                asyncio.get_running_loop().call_later(killer, head.kill)
                await self.storm(killer + 0.2)

            asyncio.run(round_of())
            head.wait()
            if not (self.dir / "head/names").exists():
                continue
            with self.subTest(kill=kill):
                twice = {what: sorted(who) for what, who in self.given.items() if len(who) > 1}
                self.assertEqual(twice, {})
        head = self.start()
        asyncio.run(self.storm(4))
        self.assertEqual({what: sorted(who) for what, who in self.given.items() if len(who) > 1}, {})
        named = {node.mac for node in self.nodes if self.given.get(node.mac)}
        self.assertEqual(len(named), MACHINES)
        self.assertEqual(len({str(self.plan.address(name)) for mac in named for name in self.given[mac]}), MACHINES)
        left = [path for path in (self.dir / "head").rglob(".*") if path.is_file()]
        self.assertEqual(left, [])
        # Each identity that is known is one of those that were given.
        known = (self.dir / "head/known_hosts").read_text().splitlines()
        self.assertEqual(len(known), MACHINES)


if __name__ == "__main__":
    unittest.main()
