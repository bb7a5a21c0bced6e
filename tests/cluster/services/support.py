# SPDX-License-Identifier: GPL-2.0
"""Things that these tests share. They run in a network namespace of their own, in which they are root, with what scripts/cluster.packages
lists: `scripts/test-cluster`."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests")]

from archive.tools import run
from cluster import head as head_node
from cluster.plan import Plan

PLAN = Plan(TOP / "packaging/cluster/cluster.conf")
MAC = "52:54:00:81:11:10"
# What the machine has before it has a name.
DYNAMIC = "10.1.254.9"
KVER = "7.3.4+deb13-amd64"


def tree(directory):
    """A tree like that of scripts/installer-tree, with next to nothing in it, if there is none yet."""
    for name, text in {
        "boot/linux": "a kernel",
        "boot/initrd": "an initrd",
        "mirror/dists/x": "x",
        "mirror.gpg": "its key",
        "mirror.packages": "",
        "tftp/undionly.kpxe": "iPXE",
        "kver": KVER,
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text)
    return directory


class Case(unittest.TestCase):
    """A wire with the head node's address at one end, and a machine (a network namespace) at the other."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-cluster-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        # The web server is another user.
        self.dir.chmod(0o755)
        self.machine = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self.addCleanup(self._end)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "nic")
        run("ip", "address", "add", f"{PLAN.head}/{PLAN.prefix}", "dev", "wire")
        run("ip", "link", "set", "wire", "up")
        self._move()
        self.be(MAC)

    def _move(self):
        # unshare may not have come so far yet.
        mine = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self.machine.pid}/ns/net").readlink() == mine:
            pass
        run("ip", "link", "set", "nic", "netns", self.machine.pid)

    def _end(self):
        self.machine.kill()
        self.machine.wait()
        subprocess.run(["ip", "link", "delete", "wire"], check=False, capture_output=True)

    def inside(self, *command):
        """Runs a program on the machine."""
        return run("nsenter", f"--net=/proc/{self.machine.pid}/ns/net", *command)

    def be(self, mac, address=DYNAMIC):
        """Gives the machine's card a MAC address and another address: it is another machine then."""
        self.inside("ip", "address", "flush", "dev", "nic")
        self.inside("ip", "link", "set", "nic", "down")
        self.inside("ip", "link", "set", "nic", "address", mac)
        self.inside("ip", "link", "set", "nic", "up")
        self.inside("ip", "address", "add", f"{address}/{PLAN.prefix}", "dev", "nic")
        run("ip", "neighbour", "flush", "dev", "wire")

    def get(self, path, *options):
        """Returns what the head node's web server answers the machine: status and text."""
        url = path if "://" in path else f"http://{PLAN.head}{path}"
        answer = self.inside("curl", "--silent", "--show-error", "--path-as-is", "--max-time", "20", "--write-out", "\n%{http_code}", *options, url)
        text, _, status = answer.rpartition("\n")
        return int(status), text

    def secret(self, path, *options):
        """The same over TLS, by the certificate that the head node gives all."""
        certificate = self.dir / "certificate.pem"
        certificate.write_text(self.get("/certificate")[1])
        return self.get(f"https://{PLAN.head}{path}", "--cacert", certificate, *options)

    def ask_for_dhcp(self):
        """The server that offers the machine an address; an empty string when none does."""
        program = f"import sys; sys.path.insert(0, {str(TOP / 'scripts')!r}); from cluster import wire; print(wire.other_server('nic', 6) or '')"
        return self.inside("python3", "-B", "-c", program).strip()

    def head(self, plan=PLAN, **options):
        """A head node that serves."""
        head = head_node.Head(plan, "wire", self.dir / "head", tree(self.dir / "tree"), "ssh-ed25519 KEY head node\n", **options)
        head.start()
        self.addCleanup(head.stop)
        return head
