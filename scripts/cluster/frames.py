# SPDX-License-Identifier: GPL-2.0
"""The MAC addresses of the frames that connections have begun with. The kernel's list of neighbours has what machines say by ARP, and what dnsmasq enters
there for those that ask by DHCP: a machine could have that list name another card for as long as it asks."""

import ctypes
import errno
import ipaddress
import socket
import struct
import threading

from archive.errors import UserError

# Of Linux: the protocol of IPv4's frames, and options of sockets.
_ETH_P_IP, _SOL_PACKET, _PACKET_STATISTICS, _SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 0x800, 263, 6, 26, 33
_ETHERNET = 14
# As much of a frame as has the ports.
SNAP = 96
# Room for what comes from one look to the next.
BUFFER = 8 << 20
# Connections that are remembered.
MOST = 1 << 16


def _filter(address):
    """A filter for what begins connections to an address, and for parts of packets, in the code of classic BPF."""
    return (
        (0x30, 0, 0, 23),  # the protocol
        (0x15, 0, 8, 6),  # is it TCP
        (0x20, 0, 0, 30),  # the destination
        (0x15, 0, 6, int(ipaddress.IPv4Address(str(address)))),
        (0x28, 0, 0, 20),
        (0x45, 3, 0, 0x3FFF),  # is it a part
        (0xB1, 0, 0, _ETHERNET),
        (0x50, 0, 0, _ETHERNET + 13),  # TCP's flags
        (0x45, 0, 1, 0x02),  # is it SYN
        (0x06, 0, 0, SNAP),
        (0x06, 0, 0, 0),
    )


class Frames:
    """The frames of an interface by which connections to an address begin."""

    def __init__(self, interface, address):
        code = b"".join(struct.pack("=HBBI", *one) for one in _filter(address))
        self._lock = threading.Lock()
        self._macs: dict[tuple[str, int, int], tuple[str, int]] = {}
        self._parts: dict[str, int] = {}
        self._count = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise UserError(f"cannot see by which cards machines ask on {interface}: {error.strerror}; the head node has to be root") from None
        self._socket.setblocking(False)
        buffer = ctypes.create_string_buffer(code)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        except PermissionError:
            # In a user namespace: as much as users may have.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.bind((interface, _ETH_P_IP))

    def close(self):
        """Takes no more."""
        self._socket.close()

    def look(self):
        """Takes what has come."""
        with self._lock:
            self._look()

    def mac(self, address, port, ours):
        """The MAC address of the frame that began a connection, by its address and port and the port on this side; None when that was not seen."""
        with self._lock:
            self._look()
            mac, when = self._macs.get((address, port, ours), (None, 0))
            # A SYN in parts would take the place of one that is remembered, unseen.
            return mac if when > self._parts.get(address, 0) else None

    def _look(self):
        while True:
            try:
                frame, (_, _, kind, *_) = self._socket.recvfrom(SNAP)
            except BlockingIOError:
                break
            except OSError as error:
                # The interface has been down, which is said once.
                if error.errno != errno.ENETDOWN:
                    raise
                self._forget()
                continue
            if kind != socket.PACKET_OUTGOING:
                self._take(frame)
        _, dropped = struct.unpack("@II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        if dropped or len(self._macs) > MOST or len(self._parts) > MOST:
            self._forget()

    def _forget(self):
        """Has connections that are open be those of no node: better than that of another."""
        self._macs.clear()
        self._parts.clear()

    def _take(self, frame):
        self._count += 1
        address = socket.inet_ntoa(frame[26:30])
        if int.from_bytes(frame[20:22], "big") & 0x3FFF:
            self._parts[address] = self._count
            return
        at = _ETHERNET + (frame[_ETHERNET] & 0xF) * 4
        port, ours = struct.unpack("!HH", frame[at : at + 4])
        self._macs[address, port, ours] = frame[6:12].hex(":"), self._count
