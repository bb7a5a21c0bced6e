# SPDX-License-Identifier: GPL-2.0
"""Machines that have the kernel of the head node believe that they have another card."""

import unittest

from support import MAC, PLAN, Case, run

from cluster.frames import Frames

MINE, ADDRESS = "02:00:00:00:00:99", "10.1.254.77"
ARP = """
import socket, struct, sys, time
mine, head, address = sys.argv[1:4]
def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))
def send(kind, data):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind(("nic", kind))
    # The source of the frame is this machine's own.
    link.send(b"\\xff" * 6 + octets(mine) + struct.pack("!H", kind) + data)
def arp(mac):
    who = octets(mac) + socket.inet_aton(address)
    send(0x806, struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + who + bytes(6) + socket.inet_aton(head))
"""
# It connects as itself, says by ARP that it is the node when it asks, and is itself again when the answer is sent once more.
ATTACK = f"""{ARP}
import ssl
node, path = sys.argv[4:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
link = context.wrap_socket(socket.create_connection((head, 443), 10))
# An entry of the list stays for a second at least.
time.sleep(1.5)
arp(node)
time.sleep(0.1)
link.send(f"GET {{path}} HTTP/1.0\\r\\n\\r\\n".encode())
link.settimeout(1)
for _ in range(15):
    time.sleep(1.1)
    arp(mine)
    try:
        print(link.recv(12).decode())
        break
    except TimeoutError:
        pass
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 80), 10, (sys.argv[2], 40000))"
# The beginning of a packet of TCP, more of which is to come.
PART = f"""{ARP}
send(0x800, struct.pack("!BBHHHBBH", 0x45, 0, 28, 7, 0x2000, 64, 6, 0) + socket.inet_aton(address) + socket.inet_aton(head) + bytes(8))
"""


class Neighbours(Case):
    """A machine that is no node, and knows the MAC address of one."""

    def test_arp_that_lies_while_it_asks_gets_it_nothing(self):
        self.head()
        self.get(f"/ipxe?mac={MAC}")
        self.assertEqual(self.secret("/preseed/compute-0-0")[0], 200)
        self.be(MINE, ADDRESS)
        self.assertEqual(self.inside("python3", "-Bc", ATTACK, MINE, PLAN.head, ADDRESS, MAC, "/preseed/compute-0-0"), "HTTP/1.1 404\n")

    def test_a_connection_is_known_by_its_first_frame_and_not_after_parts_of_packets(self):
        head = self.head()
        frames = Frames("wire", PLAN.head)
        self.addCleanup(frames.close)
        self.be(MINE, ADDRESS)
        self.inside("python3", "-Bc", CONNECT, PLAN.head, ADDRESS)
        self.assertEqual(frames.mac(ADDRESS, 40000, 80), MINE)
        self.assertEqual([frames.mac(*other) for other in ((ADDRESS, 40001, 80), (ADDRESS, 40000, 443), ("10.1.254.78", 40000, 80))], [None] * 3)
        # What comes in parts may begin a connection unseen.
        self.inside("python3", "-Bc", PART, MINE, PLAN.head, ADDRESS)
        self.assertIsNone(frames.mac(ADDRESS, 40000, 80))
        self.be(MAC, ADDRESS)
        self.inside("python3", "-Bc", CONNECT.replace("40000", "40002"), PLAN.head, ADDRESS)
        self.assertEqual(frames.mac(ADDRESS, 40002, 80), MAC)
        head.check()

    def test_an_interface_that_was_down_is_seen_again(self):
        self.head()
        self.get(f"/ipxe?mac={MAC}")
        self.be(MAC)
        run("ip", "link", "set", "wire", "down")
        run("ip", "link", "set", "wire", "up")
        self.assertEqual(self.secret("/preseed/compute-0-0")[0], 200)


if __name__ == "__main__":
    unittest.main()
