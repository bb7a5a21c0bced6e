# SPDX-License-Identifier: GPL-2.0
"""The mirror's form and its signature."""

import hashlib
import tempfile
import unittest
from pathlib import Path

from support import run

from archive import deb822
from archive.errors import Refusal
from cluster import mirror
from cluster.pool import Package


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


if __name__ == "__main__":
    unittest.main()
