# SPDX-License-Identifier: GPL-2.0
"""The archive's package lists, each for itself: one that cannot be had or does not verify stops only what needs it."""

import os
import re
import subprocess
from pathlib import Path

from . import deb822
from .errors import UnavailableError, UserError
from .lock import Pin
from .tools import replace, run

DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The order in which apt takes compressions of a list: its own, then the one that the fewest mirrors rebuild at another time.
COMPRESSIONS = ((), ("-o", "Acquire::CompressionTypes::Order::=gz"))

_OUT_OF_STEP = "the mirror is being updated, or a proxy keeps an old copy: try again later, or name another mirror by R8168_MIRROR=URL"
# What apt says, and what to do about it.
_ADVICE = (
    ("unexpected size", _OUT_OF_STEP),
    ("Hash Sum mismatch", _OUT_OF_STEP),
    ("404 ", _OUT_OF_STEP),
    ("expired", "the mirror is out of date or the clock of this machine is wrong: name another mirror by R8168_MIRROR=URL, or set the clock"),
    ("not valid yet", "the clock of this machine is wrong: set it"),
    ("NOSPLIT", "something else answered in the mirror's place, such as the login page of a network: log in there, or name another mirror by R8168_MIRROR=URL"),
    ("not signed", "it is used only if its key is known: name the mirror's key by R8168_KEYRING=FILE, or another mirror by R8168_MIRROR=URL"),
    ("No space left", "make room in the file system of the cache, or set XDG_CACHE_HOME to another one"),
    ("", "is the mirror{proxy} reachable from here? Another one is named by R8168_MIRROR=URL"),
)


def options():
    """Options of apt for downloads. apt waits longer before each further attempt: 1 s, 2 s, 4 s."""
    timeout = os.environ.get("R8168_TIMEOUT") or "30"
    values = {"APT::Sandbox::User": "root", "Acquire::Retries": "3", "Acquire::Languages": "none"}
    values |= {f"Acquire::{scheme}::Timeout": timeout for scheme in ("http", "https")}
    if "R8168_PROXY" in os.environ:
        # The proxy of now, not the one by which the toolbox was made. With none, apt goes by http_proxy.
        values["Acquire::http::Proxy"] = os.environ["R8168_PROXY"]
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]


def failure(text, what):
    """The error for what apt wrote when it failed to fetch `what`. A full disk is a fault of this machine."""
    kind = UserError if "No space left" in text else UnavailableError
    return kind(f"{what}: {explain(text)}")


def explain(text):
    """One line out of what apt wrote when it failed: what was expected and found, and what to do."""
    lines = text.splitlines()
    reason = "apt gave no reason"
    for number, line in enumerate(lines):
        if not line.startswith("E: ") or line in (
            "E: Download Failed",
            "E: Some index files failed to download. They have been ignored, or old ones used instead.",
        ):
            continue
        reason = re.sub(r"^E: (Failed to fetch \S+\s+)?", "", line)
        reason = re.sub(r"\s*\[IP: [^]]*\]|\. Mirror sync in progress\?", "", reason).strip(" .:")
        sums = re.findall(r"^\s+- SHA256:([0-9a-f]+)", "\n".join(lines[number:]), re.MULTILINE)
        if "Hash Sum mismatch" in reason and len(sums) >= 2:
            reason += f": expected SHA-256 {sums[0]}, found {sums[1]}"
        break
    size = re.search(r"unexpected size \((\d+) != (\d+)\)", reason)
    if size:
        reason = f"unexpected size: expected {size[2]} bytes, found {size[1]}"
    if any("NO_PUBKEY" in line or "Missing key" in line for line in lines) and "not signed" in reason:
        reason += " by a known key"
    proxy = os.environ.get("R8168_PROXY") or os.environ.get("http_proxy")
    proxy = "" if proxy == "DIRECT" else proxy
    advice = next(advice for words, advice in _ADVICE if words in reason)
    return f"{reason}; {advice.replace('{proxy}', f' by the proxy {proxy}' if proxy else '')}"


def update(command, what):
    """Has apt, called by `command` without an operation, read and verify package lists; raises the error if one of them cannot be used."""
    for compression in COMPRESSIONS:
        words = [*map(str, command), "-qq", "--error-on=any", *compression, "update"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        # Another form of the same list may be in step with its Release file.
        if "unexpected size" not in done.stderr and "Hash Sum mismatch" not in done.stderr:
            break
    raise failure(done.stderr, f"{what} cannot be used")


class PackageList:
    """The list of one component of one suite, read at its first use."""

    kind = "deb"
    what = "package list"

    def __init__(self, root, mirror, keyring, origin):
        self.origin = origin
        self.suite, _, self.component = origin.partition("/")
        self.mirror = mirror
        self.directory = Path(root) / origin.replace("/", "_")
        self._keyring = keyring
        self._failure = None
        self._read = False

    def _apt(self, program, *arguments):
        places = {
            "Dir::State::lists": self.directory / "lists",
            "Dir::State::status": self.directory / "status",
            "Dir::Cache": self.directory,
            "Dir::Etc::SourceList": self.directory / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::Etc::PreferencesParts": "-",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
        }
        words = [word for name, value in places.items() for word in ("-o", f"{name}={value}")]
        return [program, *words, *options(), *arguments]

    def update(self):
        """Reads the list from the mirror, and has apt verify it; raises the error when that fails, at each call."""
        if self._read:
            if self._failure:
                raise self._failure
            return
        self._read = True
        (self.directory / "lists/partial").mkdir(parents=True, exist_ok=True)
        replace(self.directory / "status", "")
        replace(self.directory / "sources.list", f"{self.kind} [signed-by={self._keyring}] {self.mirror} {self.suite} {self.component}\n")
        try:
            update(
                self._apt("apt-get", "-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"),
                f"the {self.what} {self.component} of {self.suite} at {self.mirror}",
            )
        except UserError as error:
            self._failure = error
            raise

    def versions(self, name):
        """The pins of all versions of a package, the newest first."""
        self.update()
        try:
            text = run(*self._apt("apt-cache", "show", name))
        except UserError:
            # So apt-cache says that there is none.
            return []
        return [Pin.of(stanza, self.origin) for stanza in deb822.stanzas(text) if stanza["Package"] == name]

    def find(self, name, version=None):
        """The pin of that version of a package, or of the newest; None if the list has none."""
        return next((pin for pin in self.versions(name) if version in (None, pin.version)), None)

    def names(self, prefix):
        """The names of all packages that begin so."""
        self.update()
        return run(*self._apt("apt-cache", "pkgnames", prefix)).split()


class SourceList(PackageList):
    """The list of the source packages of one component. The archive keeps the sources of packages that it still has."""

    kind = "deb-src"
    what = "source list"

    def __init__(self, root, mirror, keyring, origin):
        super().__init__(root, mirror, keyring, origin)
        self.directory = Path(f"{self.directory}_source")

    def files(self, name, version):
        """The pins of the files of that version of a source package; none if the list has no such version."""
        self.update()
        try:
            text = run(*self._apt("apt-cache", "--only-source", "showsrc", name))
        except UserError:
            # So apt-cache says that there is none.
            return []
        for stanza in deb822.stanzas(text):
            if (stanza["Package"], stanza["Version"]) == (name, version):
                rows = [row.split() for row in stanza["Checksums-Sha256"].splitlines() if row]
                return [Pin(name, version, self.origin, int(size), sha256, f"{stanza['Directory']}/{file}") for sha256, size, file in rows]
        return []
