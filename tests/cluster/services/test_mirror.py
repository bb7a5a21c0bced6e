# SPDX-License-Identifier: GPL-2.0
"""The mirror's form and its signature."""

import hashlib
import tempfile
import unittest
from pathlib import Path

from support import run

from archive import deb822, lock
from archive.errors import Refusal
from archive.fetch import Dropped
from cluster import mirror
from cluster.pool import Package, Pool


def package(directory, name, kind):
    """A small package."""
    build = directory / f"{name}.tree"
    (build / "DEBIAN").mkdir(parents=True)
    (build / "DEBIAN/control").write_text(f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\nDescription: x\n")
    (build / "DEBIAN/templates").write_text("Template: a/b\nType: note\nDescription: one\nDescription-de.UTF-8: eins\n")
    path = directory / f"{name}_1_all.{kind}"
    run("dpkg-deb", "--root-owner-group", "-b", build, path)
    data = path.read_bytes()
    text = f"Package: {name}\nVersion: 1\nArchitecture: all\nFilename: pool/main/{path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}"
    return Package(deb822.Stanza(text), path)


class Mirror(unittest.TestCase):
    """A mirror of two packages."""

    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory(prefix="test-mirror-")
        cls.addClassCleanup(holder.cleanup)
        cls.dir = Path(holder.name)
        cls.root = cls.dir / "mirror"
        cls.dists = cls.root / "dists/trixie"
        debs, udebs = [package(cls.dir, "one", "deb")], [package(cls.dir, "two-udeb", "udeb")]
        local = package(cls.dir, "ours", "deb").path
        cls.count = mirror.make(cls.root, "trixie", debs, udebs, [local], cls.dir / "stripped", False)
        mirror.sign(cls.root, "trixie", cls.dir / "key.gpg")

    def verify(self, key, release=None):
        """Verifies the signature as the installer does."""
        return run("gpgv", "--keyring", key, self.dists / "Release.gpg", release or self.dists / "Release")

    def test_every_package_is_where_the_index_says_with_that_digest(self):
        self.assertEqual(self.count, 3)
        listed = [stanza for index in self.dists.rglob("Packages") for stanza in deb822.stanzas(index.read_text())]
        self.assertEqual(sorted(stanza["Package"] for stanza in listed), ["one", "ours", "two-udeb"])
        for stanza in listed:
            self.assertEqual(hashlib.sha256((self.root / stanza.filename).read_bytes()).hexdigest(), stanza["SHA256"])

    def test_the_installers_parts_have_no_translations(self):
        udeb = self.root / "pool/main/two-udeb_1_all.udeb"
        self.assertEqual(run("dpkg-deb", "-I", udeb, "templates"), "Template: a/b\nType: note\nDescription: one\n")

    def test_the_release_names_every_index(self):
        text = (self.dists / "Release").read_text()
        for name in ("main/binary-amd64/Packages.gz", "main/debian-installer/binary-amd64/Packages.gz"):
            digest = hashlib.sha256((self.dists / name).read_bytes()).hexdigest()
            self.assertRegex(text, rf"{digest} +\d+ {name}\n")

    def test_the_signature_is_good(self):
        self.verify(self.dir / "key.gpg")
        run("gpgv", "--keyring", self.dir / "key.gpg", self.dists / "InRelease")

    def test_another_release_is_not_signed(self):
        changed = self.dir / "Release"
        changed.write_text((self.dists / "Release").read_text().replace("main", "mine"))
        with self.assertRaises(Refusal):
            self.verify(self.dir / "key.gpg", changed)

    def test_another_key_did_not_sign_it(self):
        other = self.dir / "other"
        (other / "dists/trixie").mkdir(parents=True)
        (other / "dists/trixie/Release").write_text("x")
        mirror.sign(other, "trixie", self.dir / "other.gpg")
        with self.assertRaises(Refusal):
            self.verify(self.dir / "other.gpg")


class Archive:
    """An archive of packages that are at hand; one that it has dropped cannot be downloaded."""

    mirror = "file:/nowhere/"
    keyring = "/nowhere"

    def __init__(self, directory):
        self.directory = directory
        self.dropped = ()

    def download(self, pins, directory):
        """Copies the packages there."""
        for pin in pins:
            if pin.name in self.dropped:
                raise Dropped(f"no {pin.path}")
            directory.mkdir(parents=True, exist_ok=True)
            (directory / pin.file).write_bytes((self.directory / pin.file).read_bytes())


class Locks(unittest.TestCase):
    """A pool of which the locks pin everything."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-mirror-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        for name in ("node", "diskless", "installer"):
            (self.dir / f"{name}.packages").write_text("one\n" if name == "node" else "")
        (self.dir / "installer.packages").write_text("two-udeb\n")
        self.archive = Archive(self.dir)
        pool = self.pool("7.3.4+deb13-amd64")
        for kind, name, suffix, wanted in (("node", "one", "deb", pool.debs), ("installer", "two-udeb", "udeb", pool.udebs)):
            pool._write_lock(kind, wanted, [package(self.dir, name, suffix)])

    def pool(self, kver):
        """A new pool."""
        return Pool(self.dir / f"pool-{kver}", self.archive, "trixie", self.dir, kver, lambda text: None)

    def test_what_is_pinned_needs_no_list(self):
        pool = self.pool("7.3.4+deb13-amd64")
        debs, udebs = pool.fetch()
        self.assertEqual([item.stanza["Package"] for item in (*debs, *udebs)], ["one", "two-udeb"])
        self.assertEqual(debs[0].stanza.filename, "pool/main/one_1_all.deb")
        self.assertEqual(debs[0].stanza["SHA256"], lock.read(self.dir / "node.lock")[0].sha256)
        self.assertEqual([item.path for item in pool.packages()[0]], [item.path for item in debs])

    def test_a_lock_for_another_kernel_or_list_does_not_count(self):
        for change in (lambda: self.pool("7.3.5+deb13-amd64"), self.another_list):
            with self.assertRaisesRegex(Refusal, "package lists of file:/nowhere/ trixie main and .* cannot be used"):
                change().fetch()

    def another_list(self):
        """A pool whose list has one word more than its lock."""
        (self.dir / "node.packages").write_text("one\nthree\n")
        return self.pool("7.3.4+deb13-amd64")

    def test_what_the_pool_has_dropped_is_looked_up_in_the_lists(self):
        self.archive.dropped = ("one",)
        with self.assertRaisesRegex(Refusal, "package lists of .* cannot be used"):
            self.pool("7.3.4+deb13-amd64").fetch()


if __name__ == "__main__":
    unittest.main()
