# SPDX-License-Identifier: GPL-2.0
"""A machine with two cards that boots from the second: iPXE itself, as an option ROM in an emulated machine, asks the head node what to do."""

import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import PLAN, tree

from archive.errors import UserError
from cluster import head as head_node

FIRST, SECOND = "52:54:00:00:00:01", "52:54:00:00:00:02"
# iPXE is there in seconds where the processors are idle, and in minutes where thirty others want them.
TIMEOUT = 540


class SecondCard(unittest.TestCase):
    """The cable of the first card ends nowhere."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-cluster-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        # The web server is another user.
        self.dir.chmod(0o755)
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            self.skipTest("/dev/net/tun, by which an emulated machine is connected, cannot be opened")
        self.wire, ports = head_node.set_up_wire(PLAN, 1)
        self.port = ports[0]
        self.addCleanup(subprocess.run, ["ip", "link", "delete", self.port], check=False)
        self.addCleanup(subprocess.run, ["ip", "link", "delete", self.wire], check=False)

    def machine(self):
        """Switches it on."""
        command = "qemu-system-x86_64 -machine pc -m 128 -display none -no-reboot -nic none"
        command += f" -netdev hubport,hubid=0,id=nowhere -device e1000,netdev=nowhere,mac={FIRST}"
        command += f" -netdev tap,ifname={self.port},script=no,downscript=no,id=wire -device e1000,netdev=wire,mac={SECOND},bootindex=1"
        with open(self.dir / "qemu.log", "wb") as log:
            machine = subprocess.Popen(command.split(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(machine.wait)
        self.addCleanup(machine.kill)
        return machine

    def test_it_is_known_by_the_card_that_it_boots_from(self):
        head = head_node.Head(PLAN, self.wire, self.dir / "head", tree(self.dir / "tree"), "a key\n")
        head.start()
        self.addCleanup(head.stop)
        machine = self.machine()
        journals = {name: self.dir / f"head/nodes/{name}/journal" for name in ("compute-0-0", head_node.UNNAMED)}
        end = time.monotonic() + TIMEOUT
        while not any(path.exists() and " ipxe " in path.read_text() for path in journals.values()):
            if machine.poll() is not None:
                raise UserError(f"the machine has ended: {(self.dir / 'qemu.log').read_text()}")
            if time.monotonic() > end:
                self.fail(f"iPXE has not asked; DHCP says {(self.dir / 'head/dnsmasq.log').read_text()[-500:]!r}")
            time.sleep(0.1)
        self.assertFalse(journals[head_node.UNNAMED].exists(), "it asks as another machine")
        self.assertEqual(head.registry.names, {SECOND: "compute-0-0"})
        self.assertIn(f"asks what to do, MAC {SECOND}", journals["compute-0-0"].read_text())
        # The installer and the root of a diskless node take that card as well.
        for script in (head.install_script("compute-0-0"), head.template("diskless.ipxe", NODE="compute-0-0")):
            self.assertIn(" BOOTIF=01-${netX/mac:hexhyp} ", script)


if __name__ == "__main__":
    unittest.main()
