# SPDX-License-Identifier: GPL-2.0
"""A hostile machine on the wire: what it sends is refused, nothing grows by it, and the others are served."""

import os
import re
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

from support import MAC, PLAN, TOP, Case, Plan

from cluster import head as head_node

PACKETS = int(os.environ.get("FLOOD") or 1000)
# What a flood may leave in memory, in KiB, and in descriptors: of all processes together.
GROWTH_KIB, GROWTH_DESCRIPTORS = 16 << 10, 20
# So often a thousand connections come and go: twice what nginx's processes may keep of one round.
ROUNDS = 4

# Run on the machine, with what to do and how often.
SENDER = f"""
import random, socket, ssl, sys, time
sys.path.insert(0, {str(TOP / "scripts")!r})
from cluster.simulated import dhcp_packet
what, count = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
head = {str(PLAN.head)!r}
if what == "syslog":
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(count):
        link.sendto(rng.randbytes(rng.randrange(1200)) if number % 2 else b"<13>Nov 29 12:00:00 x: " + b"A" * 1000, (head, 514))
elif what == "dhcp":
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"nic")
    link.bind(("", 68))
    for number in range(count):
        mac = b"\\2" + rng.randbytes(5)
        good = dhcp_packet(number, mac, {{53: bytes((rng.choice((1, 3, 4, 7, 8, 99)),)), 12: rng.randbytes(rng.randrange(60)), 50: rng.randbytes(4)}})
        cut = rng.randrange(len(good))
        sent = (good, good[:cut], good[:cut] + rng.randbytes(100), good[:240] + rng.randbytes(200))[number % 4]
        link.sendto(sent, ("255.255.255.255", 67))
        if number % 100 == 0:
            time.sleep(0.01)
elif what == "tftp":
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(count):
        name = rng.choice((b"../names", b"/etc/passwd", b"boot.ipxe\\0octet\\0blksize\\0" + b"9" * 20, rng.randbytes(50), b"x" * 400))
        link.sendto(b"\\0" + bytes((rng.randrange(8),)) + name + rng.choice((b"", b"\\0octet\\0")), (head, 69))
elif what == "http":
    end = b" HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
    forged = end[:-2] + b"X-Address: 10.1.255.254\\r\\nX-Target: /preseed/compute-0-0\\r\\n\\r\\n"
    requests = [b"GET", b"GET / HTTP/9.9\\r\\n\\r\\n", b"\\x16\\x03\\x01" + rng.randbytes(200), b"GET /" + b"a" * 9000 + end, b"GET /ipxe?mac=%s" + end]
    requests += [b"POST /installed/compute-0-0" + end[:-2] + b"Content-Length: 99999999999\\r\\n\\r\\n", b"GET /boot/../../etc/passwd" + end]
    requests += [b"GET /%00%ff%2e%2e/" + end, b"GET /preseed/compute-0-0" + forged, b"GET //" + forged]
    for number in range(count):
        with socket.create_connection((head, 80), 10) as link:
            # Ended by a reset, so that not every port of this machine waits.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
            text = rng.choice(requests)
            try:
                link.sendall(text.replace(b"%s", b"02:00:00:%02x:%02x:%02x" % tuple(rng.randbytes(3))))
                if number % 10 == 0 and text != b"GET":
                    answer = link.recv(4096)
                    assert b" 200 " not in answer.split(b"\\r\\n")[0] or b"#!ipxe" in answer, answer
            except ConnectionError:
                pass
elif what == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(into, out).do_handshake()
    except ssl.SSLWantReadError:
        hello = out.read()
    forged = b"X-Address: 10.1.255.254\\r\\nX-Target: /node/compute-0-0\\r\\nX-Tls: yes\\r\\n\\r\\n"
    requests = [b"GET /preseed/compute-0-0 HTTP/1.1\\r\\nHost: x\\r\\n" + forged, b"GET /" + b"a" * 9000 + b" HTTP/1.1\\r\\n\\r\\n"]
    requests.append(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n")
    for number in range(count):
        with socket.create_connection((head, 443), 10) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
            cut, kind = rng.randrange(len(hello)), number % 8
            altered = bytearray(hello)
            altered[cut] = rng.randrange(256)
            sent = (hello[:cut], bytes(altered), hello[:cut] + rng.randbytes(300), hello + rng.randbytes(300))
            sent = (*sent, b"\\x16\\x03\\x01\\xff\\xff" + rng.randbytes(900), rng.randbytes(200), requests[0], b"")[kind]
            try:
                if kind == 7:
                    # A handshake as it should be, and then a request that is not.
                    with context.wrap_socket(link) as inner:
                        inner.sendall(rng.choice(requests))
                        assert b" 200 " not in inner.recv(4096).split(b"\\r\\n")[0]
                    continue
                link.sendall(sent)
                if kind in (3, 4, 6):
                    link.settimeout(2)
                    assert b" 200 " not in link.recv(4096).split(b"\\r\\n")[0]
            except (ConnectionError, ssl.SSLError, TimeoutError):
                pass
elif what in ("slow", "slow-tls"):
    links = []
    for number in range(count):
        link = socket.create_connection((head, 80 if what == "slow" else 443), 10)
        # The second has half of what TLS begins with.
        link.sendall(b"GET /boot/lin" if what == "slow" else b"\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03")
        links.append(link)
    print("open", flush=True)
    time.sleep(15)
"""


class Hostile(Case):
    """The hostile machine has an address and another MAC address than the node."""

    def setUp(self):
        super().setUp()
        (self.dir / "sender.py").write_text(SENDER)

    def attack(self, what, count=PACKETS):
        """Has the machine send something, as often."""
        self.inside("python3", "-B", self.dir / "sender.py", what, count)

    def processes(self, head):
        """Memory in KiB, and descriptors, of this program, dnsmasq and nginx."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        pids = [os.getpid(), *(pid for pid, parent in parents.items() if os.getpid() in (parent, parents.get(parent)) and pid != self.machine.pid)]
        memory = descriptors = 0
        for pid in pids:
            memory += int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        return memory, descriptors

    def size(self):
        """The bytes of all that the head node has written."""
        return sum(path.stat().st_size for path in (self.dir / "head").rglob("*") if path.is_file())

    def survives(self, what, plan=PLAN, most=1 << 20, transfers=0):
        """A head node and what it has written, after a flood that came twice: what the second leaves besides the first is growth."""
        head = self.head(plan)
        self.attack(what, PACKETS // 4)
        time.sleep(0.5)
        before = self.processes(head)
        written = self.size()
        self.attack(what)
        # The longest wait of nginx for a client that is gone is 10 s.
        end = time.monotonic() + 20
        while (after := self.processes(head))[1] - before[1] >= GROWTH_DESCRIPTORS + transfers and time.monotonic() < end:
            time.sleep(0.2)
        self.assertLess(after[0] - before[0], GROWTH_KIB)
        self.assertLess(after[1] - before[1], GROWTH_DESCRIPTORS + transfers)
        head.check()
        self.assertLess(self.size() - written, most)
        # A node is served as before.
        self.be(MAC)
        self.assertEqual(self.get("/boot/linux")[0], 200)
        self.assertIn("kernel http", self.get(f"/ipxe?mac={MAC}")[1])
        self.assertEqual(self.secret("/preseed/compute-0-0")[0], 200)
        return head

    def test_malformed_requests_of_http(self):
        head = self.survives("http")
        self.assertEqual(set(head.registry.names), {MAC})
        self.assertEqual({path.name for path in (head.directory / "nodes").iterdir()}, {"unnamed", "compute-0-0"})

    def test_a_flood_of_syslog(self):
        self.be("02:00:00:00:00:99")
        head = self.survives("syslog")
        text = (head.directory / "nodes/unnamed/journal").read_text()
        self.assertRegex(text, r"head \d+ lines are left out here: they came faster than 5 a second\n")

    def test_malformed_packets_of_dhcp(self):
        # dnsmasq logs what it is asked: its log is bounded by beginning anew.
        head = self.survives("dhcp", most=64 << 20)
        self.assertNotEqual(self.ask_for_dhcp(), None)
        self.assertEqual(set(head.registry.names), {MAC})

    def test_malformed_packets_of_tftp(self):
        # Those that begin a transfer and say no more are bounded by tftp-max.
        self.survives("tftp", most=64 << 20, transfers=200)
        self.assertIn("chain http://", self.inside("curl", "-s", "--max-time", "20", f"tftp://{PLAN.head}/boot.ipxe"))

    def test_malformed_tls(self):
        head = self.survives("tls")
        self.assertEqual({path.name for path in (head.directory / "nodes").iterdir()}, {"unnamed", "compute-0-0"})

    def test_connections_that_say_nothing_more(self):
        self.head()
        self.serves_beside("slow")

    def test_half_open_connections_of_tls_leave_nothing_behind(self):
        head = self.head()
        idle = self.processes(head)
        first = None
        for _ in range(ROUNDS):
            self.serves_beside("slow-tls")
            at_work = self.processes(head)
            first = first or at_work
            self.assertGreater(at_work[1], idle[1] + 500, "they are no longer open")
            # nginx waits 10 s for what comes next.
            end = time.monotonic() + 30
            while (after := self.processes(head))[1] - idle[1] >= GROWTH_DESCRIPTORS and time.monotonic() < end:
                time.sleep(0.2)
        self.assertLess(after[1] - idle[1], GROWTH_DESCRIPTORS)
        # Each of nginx's two processes may keep the memory that it once had for all of them.
        self.assertLess(after[0] - idle[0], 2 * (first[0] - idle[0]) + GROWTH_KIB)
        head.check()

    def serves_beside(self, what):
        """A node is served while a machine has a thousand connections open."""
        (self.dir / "open").unlink(missing_ok=True)
        slow = [self.inside("sh", "-c", f"python3 -B {self.dir}/sender.py {what} 1000 >{self.dir}/open 2>&1 & echo")]
        end = time.monotonic() + 20
        while "open" not in (self.dir / "open").read_text():
            self.assertLess(time.monotonic(), end, slow)
            time.sleep(0.05)
        self.assertEqual(self.get("/boot/linux")[0], 200)
        self.assertIn("kernel http", self.get(f"/ipxe?mac={MAC}")[1])
        self.assertEqual(self.secret("/preseed/compute-0-0")[0], 200)

    def test_logs_begin_anew(self):
        head = self.head()
        for name in ("dnsmasq.log", "nginx.log"):
            os.truncate(head.directory / name, head_node.JOURNAL_BYTES + 1)
        head.check()
        self.assertLess((head.directory / "dnsmasq.log").stat().st_size, 1000)
        self.ask_for_dhcp()
        # Written at its new end, not behind a hole.
        self.assertIn("DHCPOFFER", (head.directory / "dnsmasq.log").read_text())
        self.assertLess((head.directory / "dnsmasq.log").stat().st_size, 20000)

    def test_only_listed_machines_are_nodes_if_the_plan_says_so(self):
        text = PLAN.path.read_text().replace("admit = all", "admit = listed").replace("#52:54:00:81:11:10 = compute-0-0", f"{MAC} = compute-0-4")
        (self.dir / "cluster.conf").write_text(text)
        head = self.head(Plan(self.dir / "cluster.conf"))
        self.assertIn("hostname=compute-0-4", self.get(f"/ipxe?mac={MAC}")[1])
        self.assertEqual(self.ask_for_dhcp(), "", "asked with another MAC address")
        self.be("02:00:00:00:00:99")
        script = self.get("/ipxe?mac=02:00:00:00:00:99")[1]
        self.assertIn("is not among the [names] of the plan; booting from disk", script)
        self.assertEqual(set(head.registry.names), {MAC})


class Journals(unittest.TestCase):
    """The lines that a journal takes."""

    def test_a_journal_begins_anew_and_a_long_line_is_cut(self):
        with tempfile.TemporaryDirectory() as name, unittest.mock.patch("cluster.head.JOURNAL_BYTES", 5000):
            journal = head_node.Journal(name)
            for number in range(10):
                journal.note("compute-0-0", "syslog", f"{number} " + "x" * 100000)
            paths = sorted((Path(name) / "compute-0-0").iterdir())
            self.assertEqual([path.name for path in paths], ["journal", "journal.before"])
            self.assertTrue(all(path.stat().st_size < 8000 for path in paths))
            self.assertIn(" syslog 9 xxx", paths[0].read_text())

    def test_one_node_that_floods_does_not_silence_another(self):
        with tempfile.TemporaryDirectory() as name, unittest.mock.patch("cluster.head.PACE", (1, 100)):
            journal = head_node.Journal(name)
            for _ in range(1000):
                journal.note("compute-0-0", "syslog", "x")
            journal.note("compute-0-1", "syslog", "heard")
            self.assertIn("heard", (Path(name) / "compute-0-1/journal").read_text())
            self.assertLess(len((Path(name) / "compute-0-0/journal").read_text().splitlines()), 500)


class Paces(unittest.TestCase):
    """The limit to how often something may happen."""

    def test_so_many_at_once_and_then_so_many_a_second(self):
        pace = head_node.Pace(10, 3)
        self.assertEqual([pace.allows() for _ in range(5)], [True, True, True, False, False])
        pace.at -= 0.25
        self.assertEqual([pace.allows() for _ in range(3)], [True, True, False])
        self.assertEqual((pace.forget_refused(), pace.forget_refused()), (3, 0))


if __name__ == "__main__":
    unittest.main()
