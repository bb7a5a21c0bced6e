# SPDX-License-Identifier: GPL-2.0
"""The services of a head node on one interface: DHCP, TFTP and names by dnsmasq; HTTP for the rest; and a log of what nodes say."""

import base64
import fcntl
import hashlib
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from archive.errors import UserError
from archive.tools import replace, run, words_of

from . import common, slurm
from .frames import Frames
from .keys import tls_pair
from .kickstart import Kickstart
from .plan import HostRegistry, fill, is_name
from .web import POLL, PORT, TLS_PORT, Web

TEMPLATES = Path(__file__).resolve().parents[2] / "packaging/cluster"
SYSLOG_PORT = 514
# Installed by the installer by itself, when it is time.
LATER = ("grub-pc",)
# A journal that has become as long as this begins anew, and the one before is kept; so do the logs of dnsmasq and nginx.
JOURNAL_BYTES = 16 << 20
MAX_LINE = 2000
# How many lines a second are noted of a node, and how many may come at once; the same for all machines together that have no name.
PACE, UNNAMED_PACE = (500, 5000), (5, 200)
# The journal of machines that have no name.
UNNAMED = "unnamed"
# What HTTP serves of the tree.
SERVED = ("boot", "mirror")
# Without them no node can be diskless.
DISKLESS = ("boot/diskless-initrd", "boot/root.squashfs")
# What only one node may have: keys, passwords. Over TLS alone.
SECRET = ("preseed", "kickstart", "compute", "node")
# Behind the path of such, in the journal.
WITHOUT_TLS = ": asked without TLS"


def includes(kver):
    """The packages that every node has besides the base system, installed together with it. The kernel finds the driver there."""
    listed = words_of(TEMPLATES / "node.packages")
    return [*(name for name in listed if name not in LATER), f"r8168-rust-modules-{kver}"]


def _lines(path):
    return set(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else set()


def made_anew(plan, tree):
    """The command that makes all of a tree anew, by a plan."""
    return f"make it anew: scripts/installer-tree --plan {plan.path} {tree}"


def check_mirror(plan, tree, wanted):
    """Refuses a tree whose mirror does not have the packages that are wanted: by their names, or as what the mirror was made with."""
    listed = _lines(tree / f"mirror/dists/{plan.installation['suite']}/main/binary-amd64/Packages") if wanted else set()
    asked = _lines(tree / "mirror.packages")
    _refuse_without([name for name in wanted if f"Package: {name}" not in listed and name not in asked], "mirror", tree, made_anew(plan, tree))


def check_root(plan, tree, wanted):
    """Refuses a tree whose root of diskless nodes was not made with the packages that are wanted."""
    missing = [name for name in wanted if name not in _lines(tree / "boot/root.packages")]
    # The root is made with what the mirror was made with, and no more.
    how = made_anew(plan, tree) if set(missing) - _lines(tree / "mirror.packages") else f"make it anew: scripts/diskless-tree {tree}"
    _refuse_without(missing, "root of diskless nodes", tree, how)


def _refuse_without(missing, what, tree, how):
    if missing:
        raise UserError(f"the plan needs {' and '.join(missing)}, which the {what} in {tree} does not have; {how}")


class Pace:
    """A limit on how often something may happen: so many times a second, and so many at once."""

    def __init__(self, rate, most):
        self.rate = rate
        self.most = most
        self.left = float(most)
        self.at = time.monotonic()
        self.refused = 0

    def allows(self):
        """Returns whether it may happen now."""
        now = time.monotonic()
        self.left = min(self.most, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            self.refused += 1
            return False
        self.left -= 1
        return True

    def forget_refused(self):
        """The number of refusals since it was allowed before."""
        count, self.refused = self.refused, 0
        return count


class Journal:
    """The events of each node, with their times; `listener` is called with each as it comes. Whatever is sent, a journal does not grow without
    bound, and what machines without a name send has one journal together."""

    def __init__(self, directory, listener=None):
        self.directory = Path(directory)
        self.start = time.time()
        self.listener = listener
        self.heard = {}
        self._paces = {}
        self._lock = threading.Lock()

    def note(self, node, source, text):
        """Notes a line about a node."""
        now = time.time()
        text = " ".join(text[:MAX_LINE].split())
        known = is_name(node)
        whose, line = (node, text) if known else (UNNAMED, f"{node}: {text}")
        with self._lock:
            self.heard[whose] = now
            pace = self._paces.setdefault(whose, Pace(*(PACE if known else UNNAMED_PACE)))
            if not pace.allows():
                return
            left_out = pace.forget_refused()
            path = self.directory / whose / "journal"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8", errors="replace") as out:
                if left_out:
                    out.write(f"{now:.3f} head {left_out} lines are left out here: they came faster than {pace.rate} a second\n")
                out.write(f"{now:.3f} {source} {line}\n")
                size = out.tell()
            if size > JOURNAL_BYTES:
                path.replace(path.with_name("journal.before"))
        if self.listener:
            self.listener(node, source, text)


class Head:
    """The services. `tree` is what scripts/installer-tree has made, `key` the public key that nodes let in."""

    def __init__(self, plan, interface, directory, tree, key, listener=None):
        self.plan = plan
        self.interface = interface
        self.directory = Path(directory)
        self.tree = Path(tree).resolve()
        self.key = key
        self.kver = (self.tree / "kver").read_text().strip()
        self.journal = Journal(self.directory / "nodes", listener)
        self.registry = HostRegistry(plan, self.directory / "names")
        self.words = {**plan.template_variables(), "INCLUDES": " ".join(includes(self.kver)), "KVER": self.kver}
        self.web = Web(plan.head, self.tree, list(SERVED), self.directory, self.answer, self._on_begin, self._on_file)
        # What is shown of the nodes, if anything is.
        self.overview: Any = None
        # MAC addresses that DHCP does not answer.
        self.ignored: tuple[str, ...] = ()
        self.kickstart = self._read_kickstart() if plan.kickstart else None
        # The nodes by the addresses that DHCP gives them, and by those that they had before it knew their names: whose log a line belongs to.
        self._names_by_address = {}
        # That by which nginx serves, whatever is in the directory meanwhile.
        self._certificate = ""
        # The root of diskless nodes by its inode, size and time, and its sum.
        self._root: tuple[Any, str] = (None, "")
        self._syslog = None
        self._dnsmasq = None
        # By which cards connections come.
        self._frames: Any = None
        self._common = common.Common(plan, self.directory)
        self._lock = threading.Lock()

    def _read_kickstart(self):
        lines = [line.split(maxsplit=3) for line in self._answers(self.plan.name(0))]
        known = {words[1]: [*words, ""][3] for words in lines}
        known["debian-installer/locale"] = self.plan.installation["locale"]
        return Kickstart(self.plan.kickstart, self.tree, known)

    def configuration(self):
        """The configuration of dnsmasq."""
        plan = self.plan
        low, high = plan.dynamic_range
        return f"""\
# Written by r8168_rust's head node; changes are lost.
interface={self.interface}
except-interface=lo
bind-interfaces
no-resolv
no-hosts
domain={plan.domain}
local=/{plan.domain}/
address=/head.{plan.domain}/{plan.head}
dhcp-authoritative
# Addresses on this wire come from here only. While dnsmasq looks for 3 seconds whether one is used, it answers no other machine.
no-ping
dhcp-lease-max={max(1000, 2 * plan.most)}
dhcp-range={low},{high},{plan.netmask},1h
dhcp-option=option:router,{plan.head}
dhcp-option=option:dns-server,{plan.head}
dhcp-hostsdir={self.directory / "hosts"}
dhcp-leasefile={self.directory / "leases"}
dhcp-match=set:ipxe,175
dhcp-match=set:efi,option:client-arch,7
dhcp-boot=tag:ipxe,boot.ipxe
dhcp-boot=tag:!ipxe,tag:!efi,undionly.kpxe
dhcp-boot=tag:!ipxe,tag:efi,ipxe.efi
enable-tftp
# Others are refused while so many files are on their way.
tftp-max={max(200, 2 * plan.most)}
tftp-root={self.directory / "tftp"}
log-dhcp
log-facility=-
user=root
group=
{"dhcp-ignore=tag:!known" if plan.listed_only else "# Machines that are not in the plan get an address and a name."}
{"".join(f"dhcp-host={mac},ignore" + chr(10) for mac in self.ignored)}"""

    def write(self):
        """Writes all files that the services read."""
        for name in DISKLESS if "diskless" in self.plan.modes.values() else ():
            if not (self.tree / name).is_file():
                raise UserError(f"the plan has diskless nodes, but {self.tree / name} is not there; scripts/diskless-tree makes it")
            if name.endswith(".squashfs"):
                self._root_sum()
        self.check_tree()
        self.web.pair = pair = tls_pair(self.directory, self.plan.head)
        self._certificate = pair[1].read_text()
        (self.directory / "hosts").mkdir(parents=True, exist_ok=True)
        replace(self.directory / "dnsmasq.conf", self.configuration())
        replace(self.directory / "tftp/boot.ipxe", self.template("boot.ipxe"))
        for loader in sorted((self.tree / "tftp").iterdir()):
            replace(self.directory / "tftp" / loader.name, loader.read_bytes())
        # A name that has gone to another machine since must not have two.
        names = set(self.registry.names.values())
        for path in (self.directory / "hosts").iterdir():
            if path.name not in names:
                path.unlink()
        for mac, name in self.registry.names.items():
            self._admit(mac, name)

    def check_tree(self, mirror_alone=False):
        """Refuses a tree that was made without the packages of the plan; with `mirror_alone` the root of diskless nodes does not count."""
        wanted = self.plan.packages()
        check_mirror(self.plan, self.tree, wanted)
        if "diskless" in self.plan.modes.values() and not mirror_alone:
            check_root(self.plan, self.tree, wanted)

    def _remove_unfinished(self):
        """Removes what a head node that was killed was about to write."""
        for part in (".", "hosts", "tftp", "installed", "tls"):
            for path in (self.directory / part).glob(".*.????????"):
                path.unlink(missing_ok=True)

    def template(self, name, **words):
        """A file of packaging/cluster with the plan's words filled in."""
        return fill((TEMPLATES / name).read_text(), {**self.words, **words})

    def _admit(self, mac, name):
        """Lets DHCP know a node; dnsmasq looks into that directory by itself."""
        path = self.directory / "hosts" / name
        line = f"{mac},{self.plan.address(name)},{name},infinite\n"
        if not path.exists() or path.read_text() != line:
            replace(path, line)
        self._names_by_address[str(self.plan.address(name))] = name

    def start(self):
        """Starts them all."""
        self.write()
        if not shutil.which("dnsmasq"):
            raise UserError("found no dnsmasq; install dnsmasq-base")
        address = str(self.plan.head)
        try:
            self._syslog = _Syslog((address, SYSLOG_PORT), _Line, self)
        except OSError as error:
            raise UserError(f"cannot serve at {address}: {error.strerror}; does another program there use port {SYSLOG_PORT}?") from None
        threading.Thread(target=self._syslog.serve_forever, args=[POLL], daemon=True).start()
        try:
            self._frames = Frames(self.interface, address)
            self.web.start()
            # The port is ours: no other head node is at work in this directory.
            self._remove_unfinished()
            self._write_known_hosts()
            # However this program ends, dnsmasq ends with it.
            command = ["setpriv", "--pdeathsig", "TERM", "dnsmasq", "--keep-in-foreground", f"--conf-file={self.directory / 'dnsmasq.conf'}"]
            with open(self.directory / "dnsmasq.log", "wb") as log:
                # What is written behind its end stays there when it is made shorter.
                fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
                self._dnsmasq = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            time.sleep(0.3)
            self._common.start()
            self.check()
        except UserError:
            self.stop()
            raise

    def check(self):
        """Fails if one of them has ended; has their logs begin anew when they are long."""
        self.web.check()
        self._common.check()
        if self._frames:
            self._frames.look()
        for path in (self.directory / "dnsmasq.log", self.directory / "nginx.log", *self._common.logs()):
            if path.exists() and path.stat().st_size > JOURNAL_BYTES:
                shutil.copyfile(path, path.with_name(f"{path.name}.before"))
                os.truncate(path, 0)
        if self._dnsmasq and self._dnsmasq.poll() is not None:
            lines = (self.directory / "dnsmasq.log").read_text().strip().splitlines()
            raise UserError(f"dnsmasq has ended: {lines[-1] if lines else 'it gave no reason'}")

    def withdraw(self, name):
        """Serves a part of the tree no longer."""
        self.web.served.remove(name)
        self.web.reload()

    def stop(self):
        """Ends them all."""
        if self._syslog:
            self._syslog.shutdown()
            self._syslog.server_close()
            self._syslog = None
        self._common.stop()
        self.web.stop()
        if self._frames:
            self._frames.close()
            self._frames = None
        if self._dnsmasq and self._dnsmasq.poll() is None:
            self._dnsmasq.terminate()
            self._dnsmasq.wait()

    def is_installed(self, name):
        """Returns whether a node is to boot from its disk; removing the file has it installed anew."""
        return (self.directory / "installed" / name).exists()

    def node_at(self, address):
        """The name of the node whose log a line from an address belongs to; the address when there is none."""
        return self._names_by_address.get(address, address)

    def asker(self, peer, tls):
        """The name of the node that asks from an address and a port, by the MAC address that its frames have; None when that is no node's."""
        return self.registry.names.get(self._mac(peer, tls))

    def _mac(self, peer, tls):
        return self._frames.mac(*peer, TLS_PORT if tls else PORT) if self._frames else None

    def boot_script(self, mac, peer, tls=False):
        """The script for a machine's iPXE."""
        mac, address = mac.lower(), peer[0]
        if self._mac(peer, tls) != mac:
            self.journal.note(self.node_at(address), "ipxe", f"asks as {mac[:17]}, which it is not")
            return "#!ipxe\necho The head node sees another MAC address than this machine says that it has; booting from disk\nsleep 5\nexit\n"
        with self._lock:
            name = self.registry.find(mac)
            if not name:
                why = "is not among the [names] of the plan" if self.plan.listed_only else f"no name is left (most = {self.plan.most})"
                return f"#!ipxe\necho {mac}: {why}; booting from disk\nsleep 5\nexit\n"
            self._admit(mac, name)
            self._names_by_address[address] = name
        self.journal.note(name, "ipxe", f"asks what to do, MAC {mac}")
        if self.plan.mode(name) == "diskless":
            return self.template("diskless.ipxe", NODE=name)
        if self.is_installed(name):
            return f"#!ipxe\necho {name}: installed; booting from disk\nexit\n"
        return self.install_script(name)

    def install_script(self, name):
        """The script for the iPXE of a node that is to be installed."""
        extra = {"KICKSTART": "", "KICKSEED": ""}
        if self.kickstart:
            extra = {"KICKSTART": f"ks=https://{self.plan.head}/kickstart/{name}", "KICKSEED": f"initrd http://{self.plan.head}/boot/kickseed"}
        return self.template("install.ipxe", NODE=name, **extra)

    def node_script(self, name):
        """The script that a diskless node runs on its root before that takes over."""
        private = self._host_key(name).read_text().strip()
        mirror = base64.b64encode((self.tree / "mirror.gpg").read_bytes()).decode()
        machine = hashlib.sha256(f"{name}.{self.plan.domain}".encode()).hexdigest()[:32]
        script = self.template("diskless-node.sh", NODE=name, KEY=self.key.strip(), HOSTKEY=private, MIRRORKEY=mirror, MACHINE=machine)
        return script + self.compute_script()

    def compute_script(self):
        """The script that has a node compute with the others: what the plan says in [cluster], or nothing."""
        plan = self.plan
        words = {"USER": plan.user, "UID": str(plan.uid), "SSHCONFIG": common.SSH_CONFIG.strip()}
        parts = []
        if plan.slurm:
            parts.append(self.template("slurm-node.sh", MUNGEKEY=slurm.key(self.directory).read_text()))
        if plan.user:
            parts.append(self.template("user-node.sh", **words))
        if plan.user and not plan.home:
            # Under the lock: two nodes may ask at once before there is a key.
            with self._lock:
                private, public = (path.read_text().strip() for path in common.user_key(self.directory))
            parts.append(self.template("user-home.sh", **words, USERKEY=private, USERPUBLIC=public))
        if plan.home:
            parts.append(self.template("home-node.sh"))
        if plan.clock:
            parts.append(self.template("clock-node.sh"))
        return "".join(parts)

    def _host_key(self, name):
        """The private key by which a diskless node is known; made once, so that it stays the same node."""
        private = self.directory / "hostkeys" / name
        with self._lock:
            if not private.exists():
                private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # A key that was not finished is of no use.
                fresh = private.with_name(f".{name}")
                public = fresh.with_name(f"{fresh.name}.pub")
                for path in (fresh, public):
                    path.unlink(missing_ok=True)
                run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", fresh)
                public.rename(private.with_name(f"{name}.pub"))
                fresh.rename(private)
                self._write_known_hosts()
        return private

    def _write_known_hosts(self):
        """Writes the keys by which diskless nodes are known."""
        lines = []
        for name in sorted(self.registry.names.values()):
            private = self.directory / "hostkeys" / name
            if private.exists():
                if not (public := private.with_name(f"{name}.pub")).exists():
                    replace(public, run("ssh-keygen", "-y", "-f", private))
                lines.append(f"{name},{name}.{self.plan.domain},{self.plan.address(name)} {' '.join(public.read_text().split()[:2])} {name}\n")
        if lines:
            replace(self.directory / "known_hosts", "".join(lines))

    def _root_sum(self):
        """The BLAKE2 sum by which a diskless node knows its root, which may have been made anew."""
        with self._lock, open(self.tree / DISKLESS[1], "rb") as root:
            about = os.fstat(root.fileno())
            which = (about.st_ino, about.st_size, about.st_mtime_ns)
            if self._root[0] != which:
                self._root = (which, hashlib.file_digest(root, "blake2b").hexdigest())
            return self._root[1]

    def pinned_script(self, name):
        """The script beside a diskless node's initrd, which all may know: it fetches that node's own script over TLS, from this head node and no other."""
        return self.template("diskless-fetch.sh", NODE=name, CERTIFICATE=self._certificate, ROOTSUM=self._root_sum())

    def answer(self, peer, target, tls=False):
        """Returns the answer, a status and a text, for a path that is no file of the tree; `peer` is the address and the port that it goes to."""
        address = peer[0]
        try:
            url = urllib.parse.urlsplit(target)
            kind, _, name = urllib.parse.unquote(url.path).lstrip("/").partition("/")
            mac = urllib.parse.parse_qs(url.query).get("mac", [""])[0]
        except ValueError:
            return 404, ""
        if kind == "ipxe" and not name:
            return 200, self.boot_script(mac, peer, tls)
        if kind == "key" and not name:
            return 200, self.key
        if kind == "certificate" and not name:
            return 200, self._certificate
        if kind == "wgetrc" and not name:
            return 200, self.template("wgetrc")
        if kind in SECRET and not tls:
            self.journal.note(self.node_at(address), "http", f"403 {url.path[:200]}{WITHOUT_TLS}")
            return 403, f"/{kind} is answered over TLS only: https://{self.plan.head}/{kind}\n"
        if self.overview and url.path in ("/status", "/status.json"):
            return 200, self.overview.json() if url.path.endswith(".json") else self.overview.page(f"The nodes of {self.plan.domain}")
        # Its installer asks for that by one line for all nodes.
        if kind == "compute" and not name:
            name = self.asker(peer, tls) or ""
        # A node's answers are for that node alone.
        text = self._answer_node(kind, name) if name and name == self.asker(peer, tls) else None
        if text is None:
            self.journal.note(self.node_at(address), "http", f"404 {url.path[:200]}")
            return 404, ""
        self.journal.note(name, "http", f"200 /{kind}")
        return 200, text

    def _answer_node(self, kind, name):
        if kind == "preseed":
            return self.preseed(name)
        if kind == "kickstart" and self.kickstart:
            return self.kickstart.text
        if kind == "installed":
            replace(self.directory / "installed" / name, "")
            return "well done\n"
        if kind == "compute" and self.plan.shares():
            return self.compute_script()
        if kind == "node" and self.plan.mode(name) == "diskless":
            return self.node_script(name)
        if kind == "pinned" and self.plan.mode(name) == "diskless":
            return self.pinned_script(name)
        return None

    def _on_begin(self, address, path):
        """nginx begins to send something that takes its time."""
        if (file := self.tree / path.lstrip("/")).is_file():
            self.journal.note(self.node_at(address), "http", f"200 {path} {file.stat().st_size}")

    def _on_file(self, address, path, status, size, whole):
        """nginx has sent a file, or has not."""
        node = self.node_at(address)
        if status >= 400:
            self.journal.note(node, "http", f"{status} {path[:200]}")
        elif not whole:
            self.journal.note(node, "http", f"broken off {path} after {size} bytes")
        elif path.startswith("/boot/"):
            self.journal.note(node, "http", f"sent {path}")
        else:
            self.journal.note(node, "http", f"{status} {path} {size}")

    def preseed(self, name):
        """The answers for a node's installer, but those that a kickstart file has given."""
        lines = self._answers(name)
        return "".join(f"{line}\n" for line in (self.kickstart.preseed(lines) if self.kickstart else lines))

    def _answers(self, name):
        lines = self.template("preseed.cfg", NODE=name).splitlines()
        # The installer takes its time for every line, also for those that say nothing.
        return [line for line in lines if line and not line.startswith("#")]


class _Syslog(socketserver.UDPServer):
    allow_reuse_address = True
    max_packet_size = 65536

    def __init__(self, address, handler, head):
        super().__init__(address, handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.head = head


class _Line(socketserver.BaseRequestHandler):
    server: _Syslog

    def handle(self):
        """A line of syslog: `<priority>Mon DD HH:MM:SS program: text`."""
        head = self.server.head
        text = self.request[0].decode("utf-8", "replace").strip("\0\n ")
        text = text.partition(">")[2] or text
        head.journal.note(head.node_at(self.client_address[0]), "syslog", text[16:] if text[12:13] == ":" or text[9:10] == ":" else text)


def set_up_wire(plan, count):
    """Makes a switch with a port for each node, in a network namespace of our own; returns its interface and the ports."""
    foreign = [name for _, name in socket.if_nameindex() if name != "lo"]
    if foreign:
        raise UserError(f"found network interface {foreign[0]}: a demonstration runs only in a network namespace of its own")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "wire", "type", "bridge", "stp_state", "0", "forward_delay", "0")
    run("ip", "address", "add", f"{plan.head}/{plan.prefix}", "dev", "wire")
    run("ip", "link", "set", "wire", "up")
    ports = [f"port{number}" for number in range(count)]
    for port in ports:
        try:
            run("ip", "tuntap", "add", port, "mode", "tap")
        except UserError as error:
            raise UserError(f"{error}; nodes are connected by TAP interfaces: /dev/net/tun must be there and writable for you") from None
        run("ip", "link", "set", port, "master", "wire", "up")
    return "wire", ports
