# SPDX-License-Identifier: GPL-2.0
"""A real wire: what is known about an interface, and whether another server gives DHCP answers on it."""

import secrets
import socket
import struct
import time
from pathlib import Path

from archive.errors import UsageError, UserError
from archive.tools import run

# dnsmasq, for one, looks three seconds for others at an address before it offers that.
DISCOVER_SECONDS = 8
DISCOVER_EVERY = 2
_COOKIE = b"\x63\x82\x53\x63"


def check_interface(name, plan, default_route_allowed):
    """Refuses an interface that is not fit to be served on; says what has to be done first."""
    interfaces = [interface for _, interface in socket.if_nameindex()]
    if name not in interfaces:
        known = ", ".join(sorted(set(interfaces) - {"lo"})) or "none but lo"
        raise UsageError(f"found no interface {name}; there are: {known}")
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, _, flags = line.split()[:4]
        if interface == name and destination == "00000000" and int(flags, 16) & 1 and not default_route_allowed:
            raise UserError(f"{name} has the default route: it is this machine's way out, not the nodes' wire; name another, or add --default-route")
    addresses = [line.split()[3] for line in run("ip", "-4", "-oneline", "address", "show", "dev", name).splitlines()]
    if f"{plan.head}/{plan.prefix}" not in addresses:
        found = ", ".join(addresses) or "none"
        raise UserError(
            f"{name} has the address {found}, expected {plan.head}/{plan.prefix}: ip address add {plan.head}/{plan.prefix} dev {name}; ip link set {name} up"
        )


def discover(transaction, mac):
    """A DHCPDISCOVER whose answer is to be broadcast (RFC 2131)."""
    head = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, transaction, 0, 0x8000, 0, 0, 0, 0)
    return head + mac.ljust(16, b"\0") + bytes(192) + _COOKIE + bytes((53, 1, 1, 255))


def offer(packet, transaction):
    """The address of the server, if a packet is an answer to a DHCPDISCOVER of ours."""
    if len(packet) < 240 or packet[0] != 2 or int.from_bytes(packet[4:8], "big") != transaction or packet[236:240] != _COOKIE:
        return None
    options, at, server = packet[240:], 0, None
    while at + 1 < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
            continue
        length = options[at + 1]
        if options[at] == 54 and length == 4 and at + 6 <= len(options):
            server = socket.inet_ntoa(options[at + 2 : at + 6])
        at += 2 + length
    return server or "a server that does not say its address"


def other_server(interface, seconds=DISCOVER_SECONDS):
    """Asks on the wire for an address, as an unknown machine would; returns the server that offers one."""
    transaction = secrets.randbits(32)
    # Locally administered, so not a card's.
    mac = b"\x02" + secrets.token_bytes(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        try:
            link.bind(("", 68))
        except OSError as error:
            raise UserError(f"cannot ask for other DHCP servers on {interface}: {error.strerror}; does a DHCP client run there?") from None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            link.sendto(discover(transaction, mac), ("255.255.255.255", 67))
            pause = min(end, time.monotonic() + DISCOVER_EVERY)
            while (left := pause - time.monotonic()) > 0:
                link.settimeout(left)
                try:
                    server = offer(link.recv(4096), transaction)
                except TimeoutError:
                    break
                if server:
                    return server
    return None
