# SPDX-License-Identifier: GPL-2.0
"""The packages of a mirror, downloaded into the cache: those that a lock file pins by content, or those that apt chooses by verified
package lists. What was downloaded once stays."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from archive import deb822, index, lock
from archive.errors import Refusal
from archive.fetch import Dropped
from archive.tools import replace, run, words_of

# Raise this when something else is downloaded for the same lists.
RECIPE = 2
# What a node needs for itself, by Debian's own judgement.
BASE = ("?priority(required)", "?priority(important)")


@dataclass(frozen=True)
class Package:
    """A package in the pool: what the archive says of it, and the file."""

    stanza: deb822.Stanza
    path: Path


class Apt:
    """apt with directories and sources of its own; nothing counts as installed."""

    def __init__(self, root, sources, component, keyring, archives):
        self.what = " and ".join(f"{source} {component}" for source in sources)
        for name in ("lists/partial", "etc"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        replace(root / "status", "")
        replace(root / "etc/sources.list", "".join(f"deb [signed-by={keyring}] {source} {component}\n" for source in sources))
        replace(root / "etc/preferences", "Package: linux-*\nPin: release n=*-backports\nPin-Priority: 700\n")
        self.options = []
        for name, value in {
            "Dir::State::lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::State::extended_states": root / "extended_states",
            "Dir::Cache": root,
            "Dir::Cache::archives": archives,
            "Dir::Etc::SourceList": root / "etc/sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::Etc::Preferences": root / "etc/preferences",
            "Dir::Etc::PreferencesParts": "-",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
        }.items():
            self.options += ["-o", f"{name}={value}"]
        self.options += index.options()

    def __call__(self, command, *arguments, cwd=None):
        return run(command, *self.options, *arguments, cwd=cwd)

    def update(self):
        """Reads the archive's package lists; apt verifies them."""
        index.update(["apt-get", *self.options], f"the package lists of {self.what}")

    def candidates(self, names):
        """The stanzas of the versions that would be installed."""
        return deb822.stanzas(self("apt-cache", "show", "--no-all-versions", *names))


class Pool:
    """The downloaded packages for one kernel. `lists` is the directory with what is wanted, and with the locks: node.lock pins the nodes'
    packages, installer.lock the installer's parts. A lock counts as long as it was written for the same list and kernel.
    """

    def __init__(self, directory, archive, suite, lists, kver, say):
        self.directory = Path(directory)
        self.archives = self.directory / "archives"
        self.archive = archive
        self.suite = suite
        self.lists = lists
        self.kver = kver
        self.say = say
        self.debs = [*words_of(lists / "node.packages"), *words_of(lists / "diskless.packages"), f"linux-image-{kver}"]
        self.udebs = words_of(lists / "installer.packages")
        text = json.dumps([RECIPE, kver, self.debs, self.udebs])
        self.manifest = self.directory / f"pool-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"

    def packages(self):
        """What is there, as (packages, installer's parts); None when something is not."""
        try:
            known = json.loads(self.manifest.read_text())
        except (OSError, ValueError):
            return None
        found = [[Package(deb822.Stanza(text), self.archives / name) for text, name in kind] for kind in known]
        whole = all(package.path.is_file() and package.path.stat().st_size == int(package.stanza["Size"]) for kind in found for package in kind)
        return tuple(found) if whole else None

    def fetch(self, update=False):
        """Downloads what is missing; returns the same. With `update` the locks do not count."""
        debs = not update and self._fetch_locked("node", self.debs) or self._fetch_debs()
        udebs = not update and self._fetch_locked("installer", self.udebs) or self._fetch_udebs(debs)
        found = (debs, udebs)
        self._sweep({package.path for kind in found for package in kind})
        known = [[(package.stanza.text, package.path.name) for package in kind] for kind in found]
        replace(self.manifest, json.dumps(known))
        return found

    def lock(self):
        """Writes the locks, out of verified package lists. A lock whose list cannot be used stays as it is; the error of that is raised."""
        debs = self._fetch_debs()
        self._write_lock("node", self.debs, debs)
        self._write_lock("installer", self.udebs, self._fetch_udebs(debs, made=False))

    def _key(self, wanted):
        return hashlib.sha256(json.dumps([RECIPE, self.kver, wanted]).encode()).hexdigest()[:12]

    def _write_lock(self, kind, wanted, packages):
        head = [self._key(wanted), f"The line above names list and kernel. Written by scripts/pin for {kind}.packages and {self.kver}, out of verified package lists."]
        backports, release = f"{self.suite}-backports/main", f"{self.suite}/main"
        pins = [lock.Pin.of(package.stanza, backports if "~bpo" in package.stanza["Version"] else release) for package in packages]
        lock.write(self.lists / f"{kind}.lock", head, pins)
        self.say(f"{len(pins)} packages pinned in {kind}.lock")

    def _fetch_locked(self, kind, wanted):
        """Downloads what a lock pins; returns nothing if there is no lock for this list and kernel, or the pool has dropped a file."""
        path = self.lists / f"{kind}.lock"
        if lock.first_comment(path) != self._key(wanted):
            return None
        pins = lock.read(path)
        try:
            self.archive.download(pins, self.archives)
        except Dropped as dropped:
            self.say(f"{dropped}; taking the versions of now by the package lists")
            return None
        return [Package(_described(pin, self.archives / pin.file), self.archives / pin.file) for pin in pins]

    def _fetch_debs(self):
        sources = [f"{self.archive.mirror} {self.suite}", f"{self.archive.mirror} {self.suite}-backports"]
        apt = Apt(self.directory / "apt", sources, "main", self.archive.keyring, self.archives)
        self.say("reading the archive's package lists")
        apt.update()
        wanted = ("--yes", "install", *BASE, *self.debs)
        lines = [line.split() for line in apt("apt-get", "--print-uris", "-qq", *wanted).splitlines() if line.startswith("'")]
        missing = sum(int(size) for _, _, size, *_ in lines)
        if missing:
            self.say(f"downloading {missing // 1000000 + 1} MB: {len(lines)} packages for the nodes' mirror")
            apt("apt-get", "--download-only", "-qq", *wanted)
        names = [line.split()[1] for line in apt("apt-get", "--simulate", *wanted).splitlines() if line.startswith("Inst ")]
        found = [Package(stanza, self.archives / _name(stanza)) for stanza in apt.candidates(names)]
        lost = [package.path.name for package in found if not package.path.is_file()]
        if lost:
            raise Refusal(f"apt has not downloaded {lost[0]}; run it again")
        return found

    def _fetch_udebs(self, debs, made=True):
        apt = Apt(self.directory / "apt-installer", [f"{self.archive.mirror} {self.suite}"], "main/debian-installer", self.archive.keyring, self.archives)
        apt.update()
        found = []
        for stanza in apt.candidates(self.udebs):
            path = self.archives / _name(stanza)
            if not path.is_file() or path.stat().st_size != int(stanza["Size"]):
                try:
                    apt("apt-get", "download", "-qq", stanza["Package"], cwd=self.archives)
                except Refusal as refusal:
                    # Some mirrors lack it; the installer's programs are the same as those of the packages.
                    if stanza["Package"] != "e2fsprogs-udeb" or not made:
                        raise
                    self.say(f"the archive's e2fsprogs-udeb cannot be had ({refusal}); making it out of the packages of e2fsprogs")
                    stanza, path = _make_e2fsprogs(stanza, debs, self.archives)
            found.append(Package(stanza, path))
        return found

    def _sweep(self, used):
        """Removes what an older list or version has left."""
        for path in self.archives.iterdir():
            if path.is_file() and path not in used and path.suffix in (".deb", ".udeb"):
                path.unlink()


def _described(pin, path):
    """The stanza of a package that no list has described: what the package says of itself, and where the pool has it."""
    return deb822.Stanza(run("dpkg-deb", "--field", path)).with_fields(Filename=pin.path, Size=pin.size, SHA256=pin.sha256)


def _name(stanza):
    """The name that apt gives to a downloaded package."""
    return f"{stanza['Package']}_{stanza['Version'].replace(':', '%3a')}_{stanza['Architecture']}{Path(stanza.filename).suffix}"


def _make_e2fsprogs(stanza, debs, directory):
    """Makes the installer's e2fsprogs out of the packages that have the same programs."""
    parts = [package.path for package in debs if package.stanza["Package"] in ("e2fsprogs", "libext2fs2t64", "libss2", "libcom-err2")]
    tree = directory / "e2fsprogs.part"
    shutil.rmtree(tree, ignore_errors=True)
    for part in parts:
        run("dpkg-deb", "-x", part, tree)
    for name in ("etc", "usr/share", "usr/lib/systemd", "usr/lib/udev"):
        shutil.rmtree(tree / name, ignore_errors=True)
    fields = {name: stanza[name] for name in ("Package", "Version", "Architecture", "Maintainer", "Section", "Priority", "Depends")}
    fields["Description"] = "file system tools for the installer, made from their packages"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    path = directory / _name(stanza)
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, path)
    shutil.rmtree(tree)
    return stanza.with_fields(Size=path.stat().st_size, SHA256=hashlib.sha256(path.read_bytes()).hexdigest(), MD5sum=None, Installed_Size=None), path
