# SPDX-License-Identifier: GPL-2.0
"""The plan of a cluster, out of its one file: names and addresses."""

import configparser
import ipaddress
import re
from pathlib import Path

from archive.errors import UsageError
from archive.tools import replace

# Ranks in a cabinet, for the addresses, and how many cabinets there may be.
CABINET = 64
CABINETS = 1000
# What each section may have; None stands for keys that are data.
KEYS: dict[str, set[str] | None] = {
    "network": {"head", "prefix", "domain", "first-node", "dynamic-range"},
    "nodes": {"cabinet", "most", "mode", "admit"},
    "names": None,
    "modes": None,
    "cluster": {"slurm", "home", "clock", "user", "uid"},
    "installation": {"suite", "timezone", "locale", "language", "country", "keymap", "packages", "kickstart", "afterwards"},
}
# What a section may leave out, as plans did that were made before it was there.
DEFAULTS = {"nodes": {"admit": "all"}, "cluster": {"slurm": "no", "home": "no", "clock": "no", "user": "", "uid": "5000"}}
# Without zeros before it: two names would have one address.
_NAME = re.compile(r"compute-(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]?)")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
# What goes into the kernel's command line and into answers as it stands.
WORDS = ("suite", "timezone", "locale", "language", "country", "keymap")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@/+-]*")
# Packages that a node has besides, by what the plan says in [cluster]. A user of a node asks the queue there, and programs of several nodes talk by MPI.
PACKAGES = {"slurm": ("munge", "openmpi-bin", "slurm-client", "slurmd"), "home": ("nfs-common",), "clock": ("chrony",)}
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.]")
_USER = re.compile(r"[a-z][a-z0-9_-]{0,30}")
# Users of Debian's own, on the nodes.
SYSTEM_USERS = frozenset(
    "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody sshd messagebus munge slurm statd tcpdump polkitd "
    "dhcpcd".split()
)
# Its groups: the user has one of the same name.
SYSTEM_GROUPS = frozenset(
    "adm tty disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff users nogroup input sgx clock kvm "
    "render crontab netdev".split()
)
# Numbers that Debian gives to no user of its own.
UIDS = (1000, 59999)
# Which machines may be nodes.
ADMITTED = ("all", "listed")
# What nodes may do when they boot from the network.
MODES = ("install", "diskless")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class Plan:
    """The content of the file, checked."""

    def __init__(self, path):
        self.path = Path(path)
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        try:
            parser.read_string(self.path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise UsageError(f"cannot read {path}: it is not text in UTF-8") from None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
        except configparser.Error as error:
            raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
        if not parser.has_section("cluster"):
            parser.add_section("cluster")
        for section, defaults in DEFAULTS.items():
            for key, value in defaults.items():
                if section in parser:
                    parser[section].setdefault(key, value)
        self._check_keys(parser)
        network = parser["network"]
        self.head = self._address("head", network["head"])
        self.prefix = self._number("prefix", network["prefix"], 8, 30)
        self.network = ipaddress.ip_network(f"{self.head}/{self.prefix}", strict=False)
        self._inside("head", network["head"])
        self.domain = network["domain"]
        if not _DOMAIN.fullmatch(self.domain):
            self._fail(f"domain is {self.domain!r}, expected a name of letters, digits and hyphens, with dots between its parts")
        self.first = self._inside("first-node", network["first-node"])
        low, dash, high = network["dynamic-range"].partition("-")
        if not dash:
            raise UsageError(f"{path}: dynamic-range is {network['dynamic-range']!r}, expected two addresses with a dash between")
        self.dynamic_range = (self._inside("dynamic-range", low), self._inside("dynamic-range", high))
        if self.dynamic_range[1] < self.dynamic_range[0]:
            self._fail(f"dynamic-range ends before it begins: {network['dynamic-range']}")
        if self.dynamic_range[0] <= self.head <= self.dynamic_range[1]:
            self._fail(f"dynamic-range has {self.head}, which is the head's; expected other addresses")
        self.cabinet = self._number("cabinet", parser["nodes"]["cabinet"], 0, CABINETS - 1)
        self.most = self._number("most", parser["nodes"]["most"], 1, CABINET * (CABINETS - self.cabinet))
        if parser["nodes"]["admit"] not in ADMITTED:
            self._fail(f"admit is {parser['nodes']['admit']!r}, expected {' or '.join(ADMITTED)}")
        self.listed_only = parser["nodes"]["admit"] == "listed"
        cluster = parser["cluster"]
        self.slurm, self.home, self.clock = (self._yes(key, cluster[key]) for key in ("slurm", "home", "clock"))
        self.user = cluster["user"]
        self.uid = self._number("uid", cluster["uid"], *UIDS)
        if self.user and (not _USER.fullmatch(self.user) or self.user in SYSTEM_USERS | SYSTEM_GROUPS or self.user.startswith("systemd-")):
            self._fail(f"user is {self.user!r}, expected a name of small letters, digits, - and _ that no user or group of Debian's own has")
        self.installation = dict(parser["installation"])
        if self.installation["afterwards"] not in ("poweroff", "reboot"):
            self._fail(f"afterwards is {self.installation['afterwards']!r}, expected poweroff or reboot")
        for key in WORDS:
            if not _WORD.fullmatch(self.installation[key]):
                self._fail(f"{key} is {self.installation[key]!r}, expected one word of letters, digits and _ . @ / + -")
        for name in self.installation["packages"].split():
            if not _PACKAGE.fullmatch(name):
                self._fail(f"packages has {name!r}, expected names of Debian packages with spaces between")
        kickstart = self.installation.pop("kickstart")
        self.kickstart = self.path.parent / kickstart if kickstart else None
        self.names = {}
        taken: set[str] = set()
        for mac, name in parser["names"].items():
            self._check_name(mac, name, taken)
            self.names[mac] = name
            taken.add(name)
        self.modes = {"*": parser["nodes"]["mode"], **parser["modes"]}
        self._check_modes()
        self._check_room()

    def _fail(self, text):
        raise UsageError(f"{self.path}: {text}")

    def _check_keys(self, parser):
        for section, keys in KEYS.items():
            if section not in parser:
                self._fail(f"found no section [{section}]; packaging/cluster/cluster.conf has them all")
            if keys is None:
                continue
            for key in keys:
                if key not in parser[section]:
                    self._fail(f"[{section}] has no {key}; packaging/cluster/cluster.conf has them all")
            for key in parser[section]:
                if key not in keys:
                    self._fail(f"[{section}] has {key}, which nothing reads; known are {', '.join(sorted(keys))}")

    def _address(self, key, text):
        try:
            return ipaddress.IPv4Address(text.strip())
        except ValueError:
            return self._fail(f"{key} is {text!r}, expected an address like 10.1.1.1")

    def _inside(self, key, text):
        address = self._address(key, text)
        if address not in self.network or address in (self.network.network_address, self.network.broadcast_address):
            self._fail(f"{key} is {address}, which is no host's address in {self.network}")
        return address

    def _number(self, key, text, low, high):
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            self._fail(f"{key} is {text!r}, expected a number from {low} to {high}")
        return int(text)

    def _yes(self, key, text):
        if text not in ("yes", "no"):
            self._fail(f"{key} is {text!r}, expected yes or no")
        return text == "yes"

    def _check_name(self, mac, name, taken):
        if not _MAC.fullmatch(mac):
            self._fail(f"[names] has {mac!r}, expected a MAC address like 52:54:00:81:11:10")
        match = _NAME.fullmatch(name)
        if not match or int(match[2]) >= CABINET:
            self._fail(f"[names] calls {mac} {name!r}, expected a name like compute-0-3, with a rank from 0 to {CABINET - 1}")
        if name in taken:
            self._fail(f"[names] has {name} twice; every node needs a name of its own")

    def _check_modes(self):
        for name, mode in self.modes.items():
            if name != "*" and not _NAME.fullmatch(name):
                self._fail(f"[modes] has {name!r}, expected a name like compute-0-3")
            if mode not in MODES:
                self._fail(f"the mode of {'[nodes]' if name == '*' else name} is {mode!r}, expected {' or '.join(MODES)}")

    def _check_room(self):
        names = [*self.names.values(), *(self.name(rank) for rank in range(self.most))]
        for name in names:
            address = self.address(name)
            if address not in self.network or address == self.head or self.dynamic_range[0] <= address <= self.dynamic_range[1]:
                self._fail(f"{name} would get {address}, which is the head's, in the dynamic range or outside {self.network}; change first-node")

    def name(self, rank):
        """The name of a newcomer, counted from the first; a cabinet that is full is followed by the next."""
        return f"compute-{self.cabinet + rank // CABINET}-{rank % CABINET}"

    def mode(self, name):
        """The mode of a node: what it does when it boots from the network."""
        return self.modes.get(name, self.modes["*"])

    def address(self, name):
        """The address of a node: counted down from the first, cabinet by cabinet."""
        match = _NAME.fullmatch(name)
        if not match:
            raise ValueError(f"{name!r} is no name of a node")
        cabinet, rank = map(int, match.groups())
        return self.first - (cabinet * CABINET + rank)

    def shares(self):
        """Returns whether a node has to be set up for what all have: Slurm, /home, the clock, a user."""
        return self.slurm or self.home or self.clock or bool(self.user)

    def packages(self):
        """The packages that nodes have besides: those that `packages` lists, and those for what [cluster] has."""
        listed = self.installation["packages"].split()
        return list(dict.fromkeys([*listed, *(name for what, names in PACKAGES.items() if getattr(self, what) for name in names)]))

    @property
    def netmask(self):
        """The mask of the network."""
        return self.network.netmask

    def template_variables(self):
        """The values of the variables in templates."""
        words = {name.upper(): value for name, value in self.installation.items()}
        words["POWEROFF"] = "true" if words.pop("AFTERWARDS") == "poweroff" else "false"
        words["PACKAGES"] = " ".join(self.packages())
        words["COMPUTE"] = ""
        if self.shares():
            words["COMPUTE"] = f" && wget -q -O /tmp/compute https://{self.head}/compute && (cd /target && sh -e /tmp/compute)"
        return {**words, "HEAD": str(self.head), "DOMAIN": self.domain, "NETMASK": str(self.netmask)}


class HostRegistry:
    """MAC addresses and names, kept in a file so that a node that is installed again keeps its name."""

    def __init__(self, plan, path):
        self.plan = plan
        self.path = Path(path)
        self.know(plan.names)
        # Whether the file has all names and ends with a whole line, so that one more is put behind it.
        self._whole = False
        if self.path.exists() and not plan.listed_only:
            for line in self.path.read_text(encoding="ascii", errors="replace").splitlines():
                mac, _, name = line.partition(" ")
                if _MAC.fullmatch(mac) and _NAME.fullmatch(name) and mac not in plan.names and name not in self._taken:
                    self.names[mac] = name
                    self._taken.add(name)

    def know(self, names):
        """Has these names, by MAC addresses, in the place of those before."""
        self.names = dict(names)
        self._taken = set(self.names.values())
        # All names of lower ranks are taken.
        self._rank = 0

    def find(self, mac):
        """The name of a node; None when it has none and there is none left for it, or `mac` is none."""
        mac = mac.lower()
        if mac in self.names or not _MAC.fullmatch(mac):
            return self.names.get(mac)
        if self.plan.listed_only:
            return None
        while self._rank < self.plan.most and self.plan.name(self._rank) in self._taken:
            self._rank += 1
        if self._rank == self.plan.most:
            return None
        name = self.plan.name(self._rank)
        # Written down before it is given: a name that was given and forgotten would be given twice.
        self._write(mac, name)
        self.names[mac] = name
        self._taken.add(name)
        return name

    def mac(self, name):
        """The MAC address of a node."""
        return next(mac for mac, known in self.names.items() if known == name)

    def _write(self, mac, name):
        """Writes one more name down: the first time with all others, later behind them, so that the work does not grow with the square of a room's size."""
        if not self._whole:
            replace(self.path, "".join(f"{one} {known}\n" for one, known in {**self.names, mac: name}.items()))
        else:
            self._whole = False
            with open(self.path, "a", encoding="ascii") as out:
                out.write(f"{mac} {name}\n")
        self._whole = True


def is_name(text):
    """Returns whether something can be a node's name."""
    return bool(_NAME.fullmatch(text))


def fill(text, words):
    """Fills words into a template; one that has no value is an error of ours."""
    return re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)
