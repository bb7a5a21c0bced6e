# SPDX-License-Identifier: GPL-2.0
"""A simulated node: a network namespace with one card, in which it does over the network what a machine does from power-on to its last report."""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import re
import socket
import ssl
import struct
import time
import zlib
from typing import Any

from archive.errors import UserError

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_COOKIE = b"\x63\x82\x53\x63"
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8913, 0x8914
_IFF_UP = 1
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
# How long firmware (by the PXE specification), iPXE and the installer wait for an answer of DHCP, one try after the other.
DHCP_TIMEOUTS = {"firmware": (4, 8, 16, 32), "ipxe": (1, 2, 4, 8, 10), "installer": (3, 3, 3, 3, 3, 3)}
TFTP_BLOCK = 1432
TFTP_TIMEOUTS = (1, 1, 2, 4, 8)
# So long may a web server be silent.
HTTP_SECONDS = 60
BUFFER = 1 << 18
FIRMWARE_SECONDS = 2
SYSLOG_LINES = 20
NIC = "nic"


class NodeError(UserError):
    """An error at which a real machine would stop."""


class PowerCut(Exception):  # noqa: N818
    """The node has come to the point at which its power fails."""


def _setns(handle):
    if _LIBC.setns(handle, CLONE_NEWNET):
        raise UserError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")


def make_namespace():
    """Makes a network namespace; returns a file descriptor that stands for it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.unshare(CLONE_NEWNET):
            raise UserError(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _setns(home)
    finally:
        os.close(home)
    return made


def options_of(packet):
    """The options of a DHCP packet."""
    found, at = {}, 240
    while at + 1 < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        length = packet[at + 1]
        found[packet[at]] = packet[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def dhcp_packet(transaction, mac, options):
    """A packet of a DHCP client that has no address yet; its answer is to be broadcast."""
    head = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, transaction, 0, 0x8000, 0, 0, 0, 0)
    body = b"".join(bytes((code, len(value))) + value for code, value in options.items())
    return head + mac.ljust(16, b"\0") + bytes(192) + _COOKIE + body + b"\xff"


class Node:
    """One of them. `plan` is the cluster's, `checksums` are of the files that it fetches: {path: CRC}."""

    def __init__(self, number, plan, checksums, rng):
        self.number = number
        self.plan = plan
        self.checksums = checksums
        self.rng = rng
        self.mac = f"52:54:01:00:{number >> 8:02x}:{number & 255:02x}"
        self.namespace = make_namespace()
        # When its power fails: after so many bytes; never.
        self.dies_after = None
        self.bytes = 0
        self.name: str | None = None
        self.diskless = False
        # (title, start), of the last time that it was switched on.
        self.stages = []
        self.done = False
        self.secrets = set()
        # The certificate of the head node, which it gets beside its initrd.
        self.certificate = ""
        self.retries = 0
        self._sockets = set()
        self._buffer = bytearray(BUFFER)

    def socket(self, kind):
        """A socket on its card."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self.namespace)
            made = socket.socket(socket.AF_INET, kind)
        finally:
            _setns(home)
            os.close(home)
        made.setblocking(False)
        self._sockets.add(made)
        return made

    def _close(self, made):
        self._sockets.discard(made)
        made.close()

    def _interface(self, request, value):
        """Asks the kernel for a change of the card."""
        control = self.socket(socket.SOCK_DGRAM)
        try:
            return fcntl.ioctl(control, request, struct.pack("16s24s", NIC.encode(), value))
        finally:
            self._close(control)

    def link(self, up):
        """Switches the card on or off."""
        flags = struct.unpack_from("H", self._interface(_SIOCGIFFLAGS, b""), 16)[0]
        self._interface(_SIOCSIFFLAGS, struct.pack("H", flags | _IFF_UP if up else flags & ~_IFF_UP))

    def set_address(self, address):
        """Gives the card an address."""
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, str(self.plan.netmask) if address != "0.0.0.0" else None)):
            if value:
                self._interface(request, struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(value)))

    def stage(self, title):
        """Notes that something begins."""
        self.stages.append((title, time.monotonic()))

    def _received(self, count):
        self.bytes += count
        if self.dies_after is not None and self.bytes >= self.dies_after:
            raise PowerCut

    async def run(self, report):
        """From power-on to the last report; `report` is called when its power has failed."""
        while not self.done:
            self.stages.clear()
            self.link(True)
            # The firmware's own time. A bridge takes up to a second until it passes on what comes from a new port.
            await asyncio.sleep(FIRMWARE_SECONDS)
            try:
                await self.boot()
                self.done = True
                self.stage("done")
            except PowerCut:
                # Nothing goes out any more, not even that its connections have ended.
                self.link(False)
                for made in list(self._sockets):
                    self._close(made)
                self.dies_after = None
                report(self)
                await asyncio.sleep(self.rng.uniform(2, 8))
                self.set_address("0.0.0.0")

    async def boot(self):
        """Runs a machine from power-on to its report."""
        plan = self.plan
        self.stage("firmware: DHCP")
        self._received(0)
        lease = await self.dhcp("firmware", {60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0"})
        loader = lease.get(67, b"").rstrip(b"\0").decode() or lease["file"]
        self.stage("iPXE by TFTP")
        await self.tftp(loader)
        self.stage("iPXE: DHCP")
        lease = await self.dhcp("ipxe", {60: b"PXEClient:Arch:00000:UNDI:002001", 77: b"iPXE", 93: b"\0\0", 175: b"\1\1\1"})
        self.stage("what to do")
        text = await self.tftp(lease.get(67, b"").rstrip(b"\0").decode() or lease["file"])
        chain = re.search(r"chain http://[^/]+(\S+)", text.decode())
        if not chain:
            raise NodeError(f"node {self.number}: the first script chains to nothing")
        web = Connection(self)
        script = (await web.get(chain[1].replace("${netX/mac}", self.mac).replace("${net0/mac}", self.mac))).decode()
        if "booting from disk" in script:
            raise NodeError(f"node {self.number}: is sent to its disk before it is installed: {script.splitlines()[1]}")
        self._named(script)
        self.stage("kernel and initrd")
        for url in re.findall(r"(?:kernel|initrd) http://[^/ ]+(\S+)", script):
            if url.startswith("/boot/"):
                await self.fetch(web, url)
            elif found := re.search(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", (await web.get(url)).decode()):
                self.certificate = found[0]
        await self._ask_for_others(web)
        web.close()
        self.stage("system: DHCP")
        lease = await self.dhcp("installer", {})
        if lease["address"] != str(plan.address(self.name)):
            raise NodeError(f"{self.name} has the address {lease['address']}, expected {plan.address(self.name)}")
        web = Connection(self)
        self._log("kernel: up")
        if self.diskless:
            self.stage("root over HTTP")
            await self.fetch(web, "/boot/root.squashfs")
            self.secrets.add(await self.secret(f"/node/{self.name}", 200))
        else:
            answers = (await self.secret(f"/preseed/{self.name}", 200)).decode()
            if f"/installed/{self.name}\n" not in answers:
                raise NodeError(f"{self.name} has the answers of another node")
            self.stage("packages over HTTP")
            for path in [path for path in self.checksums if path.startswith("/mirror/")]:
                await self.fetch(web, path)
        self.stage("report")
        for number in range(SYSLOG_LINES):
            self._log(f"line {number} of {self.name}")
        if not self.diskless:
            await web.get(f"/installed/{self.name}")
        web.close()

    def _named(self, script):
        """Reads which node it is; it stays that one."""
        names = set(re.findall(r"compute-\d+-\d+", script))
        if len(names) != 1 or (self.name and names != {self.name}):
            raise NodeError(f"node {self.number}, {self.name or 'not named yet'}, gets a script for {' and '.join(sorted(names)) or 'no node'}")
        self.name = names.pop()
        self.diskless = "boot=live" in script

    async def _ask_for_others(self, web):
        """Asks for what is another node's."""
        cabinet, _, rank = str(self.name).rpartition("-")
        other = f"{cabinet}-{int(rank) ^ 1}"
        status, _ = await web.request(f"/installed/{other}")
        if status != 404:
            raise NodeError(f"{self.name} asks for /installed/{other} and is answered by {status}")
        for kind in ("preseed", "node", "kickstart"):
            await self.secret(f"/{kind}/{other}", 404)

    async def secret(self, path, wanted):
        """Asks for something over TLS, of the head node whose certificate it has; returns the answer, whose status has to be the one that is wanted."""
        head = str(self.plan.head)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.certificate)
        link, writer = self.socket(socket.SOCK_STREAM), None
        try:
            async with asyncio.timeout(HTTP_SECONDS):
                await asyncio.get_running_loop().sock_connect(link, (head, 443))
                reader, writer = await asyncio.open_connection(sock=link, ssl=context, server_hostname=head)
                writer.write(f"GET {path} HTTP/1.0\r\nUser-Agent: simulated\r\n\r\n".encode())
                answer = await reader.read()
        except TimeoutError:
            raise NodeError(f"{self.name}: nothing has come of {path} for {HTTP_SECONDS} s") from None
        except OSError as error:
            raise NodeError(f"{self.name}: {path}: {error.strerror or error}") from None
        finally:
            if writer:
                writer.transport.abort()
            self._close(link)
        self._received(len(answer))
        top, _, body = answer.partition(b"\r\n\r\n")
        if not top.startswith(b"HTTP/1.") or top.split()[1:2] != [str(wanted).encode()]:
            raise NodeError(f"{self.name}: {path} is answered by {top.splitlines()[:1]} over TLS, expected {wanted}")
        return body

    async def fetch(self, web, path):
        """Fetches a file whose content is known."""
        _, checksum = await web.request(path, keep=False, wanted=200)
        if checksum != self.checksums[path]:
            raise NodeError(f"{self.name}: {path} has come with other bytes")

    async def dhcp(self, who, options):
        """Gets an address, and gives it to the card; returns the options of the answer."""
        loop = asyncio.get_running_loop()
        link = self.socket(socket.SOCK_DGRAM)
        try:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, NIC.encode())
            # It receives the answers to all others as well, and this program may be late.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
            link.bind(("", 68))
            mac = bytes.fromhex(self.mac.replace(":", ""))
            transaction = self.rng.getrandbits(32)
            common = {55: bytes((1, 3, 6, 12, 15, 66, 67)), **options}

            async def ask(kind, expected, extra):
                packet = dhcp_packet(transaction, mac, {53: bytes((kind,)), **extra, **common})
                for seconds in DHCP_TIMEOUTS[who]:
                    await loop.sock_sendto(link, packet, ("255.255.255.255", 67))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            while True:
                                answer = await loop.sock_recv(link, 2048)
                                found = options_of(answer)
                                if answer[:1] == b"\2" and int.from_bytes(answer[4:8], "big") == transaction and found.get(53) == bytes((expected,)):
                                    name = answer[108:236].partition(b"\0")[0].decode()
                                    return {**found, "address": socket.inet_ntoa(answer[16:20]), "file": name}
                    self.retries += 1
                raise NodeError(f"node {self.number}: DHCP does not answer its {who}")

            offer = await ask(DISCOVER, OFFER, {})
            lease = await ask(REQUEST, ACK, {50: socket.inet_aton(offer["address"]), 54: offer[54]})
        finally:
            self._close(link)
        self.set_address(lease["address"])
        return lease

    async def tftp(self, name):
        """Fetches a file by TFTP."""
        loop = asyncio.get_running_loop()
        link = self.socket(socket.SOCK_DGRAM)
        try:
            link.bind(("", 0))
            request = b"\0\1" + name.encode() + b"\0octet\0blksize\0" + str(TFTP_BLOCK).encode() + b"\0tsize\0000\0"
            server, out, content, block = (str(self.plan.head), 69), request, b"", 0
            tries = iter(TFTP_TIMEOUTS)
            while True:
                await loop.sock_sendto(link, out, server)
                try:
                    async with asyncio.timeout(next(tries)):
                        data, server = await loop.sock_recvfrom(link, 2048)
                except TimeoutError:
                    self.retries += 1
                    continue
                except StopIteration:
                    raise NodeError(f"node {self.number}: TFTP does not give it {name}") from None
                kind = data[1]
                if kind == 5:
                    raise NodeError(f"node {self.number}: TFTP refuses {name}: {data[4:-1].decode(errors='replace')}")
                number = int.from_bytes(data[2:4], "big")
                if kind == 6:
                    out = b"\0\4\0\0"
                elif kind == 3 and number == (block + 1) & 0xFFFF:
                    block += 1
                    content += data[4:]
                    self._received(len(data) - 4)
                    out = b"\0\4" + data[2:4]
                    tries = iter(TFTP_TIMEOUTS)
                    if len(data) - 4 < TFTP_BLOCK:
                        await loop.sock_sendto(link, out, server)
                        return content
        finally:
            self._close(link)

    def _log(self, text):
        """Sends a line to the head node's syslog."""
        link = self.socket(socket.SOCK_DGRAM)
        try:
            link.sendto(f"<30>Nov 29 12:00:00 node: {text}".encode(), (str(self.plan.head), 514))
        finally:
            self._close(link)


class Connection:
    """A connection to the web server that is kept from one request to the next."""

    def __init__(self, node):
        self.node = node
        self.socket: Any = None

    def close(self):
        """Ends it."""
        if self.socket:
            self.node._close(self.socket)
            self.socket = None

    async def get(self, path):
        """Returns the body of an answer 200."""
        return (await self.request(path, wanted=200))[1]

    async def request(self, path, keep=True, wanted=None):
        """Asks for something; returns the status, and the content or (keep=False) its CRC."""
        try:
            async with asyncio.timeout(None) as limit:
                status, content = await self._request(path, keep, limit)
        except TimeoutError:
            raise NodeError(f"{self._who()}: nothing has come of {path} for {HTTP_SECONDS} s") from None
        except OSError as error:
            raise NodeError(f"{self._who()}: {path}: {error.strerror or error}") from None
        if wanted and status != wanted:
            raise NodeError(f"{self._who()}: {path} is answered by {status}")
        return status, content

    def _who(self):
        return self.node.name or f"node {self.node.number}"

    async def _request(self, path, keep, limit):
        loop = asyncio.get_running_loop()
        node = self.node
        head = str(node.plan.head)

        def wait():
            limit.reschedule(loop.time() + HTTP_SECONDS)

        data = b""
        while b"\r\n\r\n" not in data:
            wait()
            fresh = not self.socket
            if fresh:
                self.socket = node.socket(socket.SOCK_STREAM)
                await loop.sock_connect(self.socket, (head, 80))
            try:
                if not data:
                    await loop.sock_sendall(self.socket, f"GET {path} HTTP/1.1\r\nHost: {head}\r\nUser-Agent: simulated\r\n\r\n".encode())
                piece = await loop.sock_recv(self.socket, 65536)
            except ConnectionError:
                piece = b""
            data += piece
            if not piece:
                self.close()
                # A server may end a connection that it takes for idle: then the request is made anew, as every client does.
                if fresh or data:
                    raise NodeError(f"{self._who()}: {path}: the connection ends before the answer")
                node.retries += 1
        top, _, rest = data.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(fields["content-length"])
        checksum, content, left = zlib.crc32(rest), [rest], length - len(rest)
        node._received(len(rest))
        view = memoryview(node._buffer)
        while left > 0:
            wait()
            # Woken for each packet it would read nothing else.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(left, BUFFER >> 1))
            count = await loop.sock_recv_into(self.socket, view[: min(left, BUFFER)])
            if not count:
                raise NodeError(f"{self._who()}: {path} breaks off, {left} of {length} bytes before its end")
            left -= count
            if keep:
                content.append(bytes(view[:count]))
            else:
                checksum = zlib.crc32(view[:count], checksum)
            node._received(count)
            # The others have their turn, whatever has come already.
            await asyncio.sleep(0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if fields.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), b"".join(content) if keep else checksum
