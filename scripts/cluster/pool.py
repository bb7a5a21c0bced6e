# SPDX-License-Identifier: GPL-2.0
"""The packages of a mirror, downloaded into the cache: those that a lock file pins by content, or those that apt chooses by verified
package lists; and two parts of the installer that are made of packages. What was downloaded once stays."""

import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from archive import deb822, index, lock
from archive.errors import UserError
from archive.fetch import NotInPoolError
from archive.tools import replace, run, words_of
from inject.tree import INSTALLER_NEEDS, SourceTree

# Raise this when something else is downloaded for the same lists.
RECIPE = 3
# By this name, too, the archive has the release, with lists of their own.
ALIAS = "stable"
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
    packages, installer.lock the installer's parts. A lock counts as long as it was written for the same list and kernel; so with `more` packages, which
    a plan has, the nodes' packages are of now.
    """

    def __init__(self, directory, archive, suite, lists, kver, say, more=()):
        self.directory = Path(directory)
        self.archives = self.directory / "archives"
        self.archive = archive
        self.suite = suite
        self.lists = lists
        self.kver = kver
        self.say = say
        self.debs = [*words_of(lists / "node.packages"), *words_of(lists / "diskless.packages"), *more, f"linux-image-{kver}"]
        self.udebs = words_of(lists / "installer.packages")
        self.manifest = self.directory / f"pool-{_key([self.debs, self.udebs])}.json"

    def packages(self):
        """The downloads that are there, as (packages, installer's parts); None when something is not."""
        try:
            known = json.loads(self.manifest.read_text())
        except (OSError, ValueError):
            return None
        found = [[Package(deb822.Stanza(text), self.archives / name) for text, name in kind] for kind in known]
        whole = all(package.path.is_file() and package.path.stat().st_size == int(package.stanza["Size"]) for kind in found for package in kind)
        return tuple(found) if whole else None

    def fetch(self, update=False):
        """Downloads what is missing; returns the same. With `update` the locks do not count."""
        debs = (not update and self._fetch_locked("node", self.debs)) or self._fetch_debs()
        udebs = (not update and self._fetch_locked("installer", self.udebs)) or self._fetch_udebs()
        found = (debs, [*udebs, _make_e2fsprogs(debs, self.archives)])
        self._sweep({package.path for kind in found for package in kind})
        known = [[(package.stanza.text, package.path.name) for package in kind] for kind in found]
        replace(self.manifest, json.dumps(known))
        return found

    def lock(self):
        """Writes the locks, out of verified package lists. A lock whose list cannot be used stays as it is; the error of that is raised."""
        self._write_lock("node", self.debs, self._fetch_debs())
        self._write_lock("installer", self.udebs, self._fetch_udebs())

    def _write_lock(self, kind, wanted, packages):
        of_kernel = f" and {self.kver}" if kind == "node" else ""
        origin = f"Written by scripts/pin for {kind}.packages{of_kernel}, out of verified package lists."
        head = [_key(wanted), f"The line above names the list. {origin}"]
        component = "main/debian-installer" if kind == "installer" else "main"
        pins = [lock.Pin.of(package.stanza, f"{self.suite}{'-backports' if '~bpo' in package.stanza['Version'] else ''}/{component}") for package in packages]
        lock.write(self.lists / f"{kind}.lock", head, pins)
        self.say(f"{len(pins)} packages pinned in {kind}.lock")

    def _fetch_locked(self, kind, wanted):
        """Downloads what a lock pins; returns nothing if there is no lock for this list and kernel, or the pool has dropped a file."""
        path = self.lists / f"{kind}.lock"
        if lock.first_comment(path) != _key(wanted):
            return None
        pins = lock.read(path)
        try:
            self.archive.download(pins, self.archives)
        except NotInPoolError as dropped:
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
            raise UserError(f"apt has not downloaded {lost[0]}; run it again")
        return found

    def _fetch_udebs(self):
        apt = self._installer_list()
        found = []
        for stanza in apt.candidates(self.udebs):
            path = self.archives / _name(stanza)
            if not path.is_file() or path.stat().st_size != int(stanza["Size"]):
                apt("apt-get", "download", "-qq", stanza["Package"], cwd=self.archives)
            found.append(Package(stanza, path))
        return found

    def _installer_list(self):
        """The release's list of installer's parts, or, on a mirror that has let it get out of step, that of the release's alias: an older
        point release of the same, signed by the same keys."""
        failures = []
        for name in (self.suite, ALIAS):
            root = self.directory / f"apt-installer-{name}"
            apt = Apt(root, [f"{self.archive.mirror} {name}"], "main/debian-installer", self.archive.keyring, self.archives)
            try:
                apt.update()
            except UserError as failure:
                failures.append(failure)
                continue
            text = "".join(path.read_text() for path in (root / "lists").glob("*Release"))
            if f"\nCodename: {self.suite}\n" not in text:
                failures.append(UserError(f"{name} at {self.archive.mirror} is another release than {self.suite}"))
                continue
            if failures:
                self.say(f"{failures[0]}; taking the list of {name}")
            return apt
        raise failures[0]

    def _sweep(self, used):
        """Removes what an older version has left. A mirror is of links: what is listed for another plan or kernel stays."""
        for other in self.directory.glob("pool-*.json"):
            if other != self.manifest:
                with contextlib.suppress(OSError, ValueError):
                    used |= {self.archives / name for kind in json.loads(other.read_text()) for _, name in kind}
        for path in self.archives.iterdir():
            if path.is_file() and path not in used and path.suffix in (".deb", ".udeb"):
                path.unlink()


def _described(pin, path):
    """The stanza of a package that no list has described: what the package says of itself, and where the pool has it."""
    return deb822.Stanza(run("dpkg-deb", "--field", path)).with_fields(Filename=pin.path, Size=pin.size, SHA256=pin.sha256)


def _name(stanza):
    """The name that apt gives to a downloaded package."""
    return f"{stanza['Package']}_{stanza['Version'].replace(':', '%3a')}_{stanza['Architecture']}{Path(stanza.filename).suffix}"


def _key(wanted):
    """The key of a list of packages."""
    return hashlib.sha256(json.dumps([RECIPE, wanted]).encode()).hexdigest()[:12]


def _make_e2fsprogs(debs, directory):
    """Makes the installer's e2fsprogs out of the packages that have the same programs: some mirrors lack the part itself."""
    parts = [package for package in debs if package.stanza["Package"] in ("e2fsprogs", "libext2fs2t64", "libss2", "libcom-err2")]
    tree = directory / "e2fsprogs.part"
    shutil.rmtree(tree, ignore_errors=True)
    for part in parts:
        run("dpkg-deb", "-x", part.path, tree)
    for name in ("etc", "usr/share", "usr/lib/systemd", "usr/lib/udev"):
        shutil.rmtree(tree / name, ignore_errors=True)
    version = next((part.stanza["Version"] for part in parts if part.stanza["Package"] == "e2fsprogs"), None)
    if not version:
        raise UserError("found no e2fsprogs among the packages of the nodes, expected it as one that all Debian systems have")
    return _make_udeb(
        tree,
        directory,
        {
            "Package": "e2fsprogs-udeb",
            "Version": version,
            "Depends": "libblkid1-udeb, libc6-udeb, libuuid1-udeb",
            "Description": "file system tools for the installer, made of their packages",
        },
    )


def make_kernel_part(kver, modules, directory):
    """Makes the installer's part with what disks and file systems need of its kernel, out of the kernel's package, unpacked in
    `modules`. Debian has that as many parts, which the archive drops long before the kernel's package.
    """
    source = SourceTree(modules, kver)
    tree = directory / "kernel.part"
    shutil.rmtree(tree, ignore_errors=True)
    for name in sorted(source.with_needs(INSTALLER_NEEDS)):
        target = tree / "usr/lib/modules" / kver / source.paths[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.top / source.paths[name], target)
    return _make_udeb(
        tree,
        directory,
        {
            "Package": f"kernel-modules-{kver}-di",
            "Version": f"1.{_key(INSTALLER_NEEDS)}",
            # By this the installer knows that there are modules of its kernel; it takes what is standard without being asked.
            "Kernel-Version": kver,
            "Priority": "standard",
            "Description": f"modules of Linux {kver} for the installer",
        },
    )


def _make_udeb(tree, directory, fields):
    """Packs a tree, which goes, as a part of the installer."""
    common = {"Architecture": "amd64", "Maintainer": "r8168_rust <root@localhost>", "Section": "debian-installer", "Priority": "optional"}
    fields = {"Package": fields["Package"], **common, **fields}
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    path = directory / f"{fields['Package']}_{fields['Version'].replace(':', '%3a')}_amd64.udeb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, path)
    shutil.rmtree(tree)
    stanza = deb822.Stanza(run("dpkg-deb", "--field", path))
    data = path.read_bytes()
    return Package(stanza.with_fields(Filename=f"pool/made/{path.name}", Size=len(data), SHA256=hashlib.sha256(data).hexdigest()), path)
