# SPDX-License-Identifier: GPL-2.0
"""The mirror's form and its signature."""

import hashlib
import tempfile
import unittest
import unittest.mock
from pathlib import Path

from support import run

from archive import deb822, lock
from archive.errors import UserError
from archive.fetch import NotInPoolError
from cluster import mirror
from cluster.pool import Package, Pool, make_kernel_part


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
        with self.assertRaises(UserError):
            self.verify(self.dir / "key.gpg", changed)

    def test_another_key_did_not_sign_it(self):
        other = self.dir / "other"
        (other / "dists/trixie").mkdir(parents=True)
        (other / "dists/trixie/Release").write_text("x")
        mirror.sign(other, "trixie", self.dir / "other.gpg")
        with self.assertRaises(UserError):
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
                raise NotInPoolError(f"no {pin.path}")
            directory.mkdir(parents=True, exist_ok=True)
            (directory / pin.file).write_bytes((self.directory / pin.file).read_bytes())


class Locks(unittest.TestCase):
    """A pool of which the locks pin everything."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-mirror-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        for name in ("node", "diskless", "installer"):
            (self.dir / f"{name}.packages").write_text("e2fsprogs\n" if name == "node" else "")
        (self.dir / "installer.packages").write_text("two-udeb\n")
        self.archive = Archive(self.dir)
        pool = self.pool("7.3.4+deb13-amd64")
        for kind, name, suffix, wanted in (("node", "e2fsprogs", "deb", pool.debs), ("installer", "two-udeb", "udeb", pool.udebs)):
            pool._write_lock(kind, wanted, [package(self.dir, name, suffix)])

    def pool(self, kver):
        """A new pool."""
        return Pool(self.dir / f"pool-{kver}", self.archive, "trixie", self.dir, kver, lambda text: None)

    def test_what_is_pinned_needs_no_list(self):
        pool = self.pool("7.3.4+deb13-amd64")
        debs, udebs = pool.fetch()
        self.assertEqual([item.stanza["Package"] for item in (*debs, *udebs)], ["e2fsprogs", "two-udeb", "e2fsprogs-udeb"])
        self.assertEqual(debs[0].stanza.filename, "pool/main/e2fsprogs_1_all.deb")
        self.assertEqual(debs[0].stanza["SHA256"], lock.read(self.dir / "node.lock")[0].sha256)
        self.assertEqual([item.path for item in pool.packages()[0]], [item.path for item in debs])

    def test_a_lock_for_another_kernel_or_list_does_not_count(self):
        for change in (lambda: self.pool("7.3.5+deb13-amd64"), self.another_list):
            with self.assertRaisesRegex(UserError, "package lists of file:/nowhere/ trixie main and .* cannot be used"):
                change().fetch()

    def test_what_is_there_for_another_plan_stays(self):
        """A mirror is of links: that of one tree lost its packages when another was made."""
        plain = self.pool("7.3.4+deb13-amd64")
        path = plain.fetch()[0][0].path
        other = Pool(plain.directory, self.archive, "trixie", self.dir, "7.3.4+deb13-amd64", lambda text: None, ["slurmd"])
        self.assertNotEqual(other.manifest, plain.manifest)
        self.assertIn("slurmd", other.debs)
        other._sweep(set())
        self.assertTrue(path.exists())
        plain.manifest.unlink()
        other._sweep(set())
        self.assertFalse(path.exists())

    def test_the_installers_lock_is_for_every_kernel(self):
        (self.dir / "node.lock").rename(self.dir / "away")
        pool = self.pool("6.12.117+deb13-amd64")
        self.assertEqual([item.stanza["Package"] for item in pool._fetch_locked("installer", pool.udebs)], ["two-udeb"])

    def another_list(self):
        """A pool whose list has one word more than its lock."""
        (self.dir / "node.packages").write_text("e2fsprogs\nthree\n")
        return self.pool("7.3.4+deb13-amd64")

    def test_what_the_pool_has_dropped_is_looked_up_in_the_lists(self):
        self.archive.dropped = ("e2fsprogs",)
        with self.assertRaisesRegex(UserError, "package lists of .* cannot be used"):
            self.pool("7.3.4+deb13-amd64").fetch()


class Lists(unittest.TestCase):
    """The list of the installer's parts, on mirrors that have let some lists get out of step; one reads apt's own files."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-mirror-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        for name in ("node", "diskless", "installer"):
            (self.dir / f"{name}.packages").write_text("")
        self.said = []
        self.pool = Pool(self.dir / "pool", Archive(self.dir), "trixie", self.dir, "6.12.117+deb13-amd64", self.said.append)

    def lists(self, releases):
        """Stands in for apt: a list of each of the releases, {name: codename}, verifies."""

        class Apt:
            """Stands for what the pool uses of apt."""

            def __init__(self, root, sources, *_):
                self.root, self.name = root, sources[0].split()[-1]

            def update(self):
                """Leaves the release's file, if its list verifies."""
                if self.name not in releases:
                    raise UserError(f"{self.name} is out of step")
                (self.root / "lists").mkdir(parents=True)
                (self.root / "lists/x_InRelease").write_text(f"Suite: stable\nCodename: {releases[self.name]}\n")

        with unittest.mock.patch("cluster.pool.Apt", Apt):
            return self.pool._installer_list().name

    def test_the_release_by_its_name(self):
        self.assertEqual(self.lists({"trixie": "trixie", "stable": "trixie"}), "trixie")
        self.assertEqual(self.said, [])

    def test_the_release_by_its_alias(self):
        self.assertEqual(self.lists({"stable": "trixie"}), "stable")
        self.assertEqual(self.said, ["trixie is out of step; taking the list of stable"])

    def test_another_release_by_that_alias_is_not_taken(self):
        with self.assertRaisesRegex(UserError, "trixie is out of step"):
            self.lists({"stable": "forky"})


class KernelPart(unittest.TestCase):
    """The installer's part with modules of its kernel."""

    def test_what_disks_need_is_in_it_and_what_that_needs(self):
        with tempfile.TemporaryDirectory(prefix="test-mirror-") as name:
            kver = "6.12.117+deb13-amd64"
            tree = Path(name) / kver
            names = {"ext4": ["jbd2"], "jbd2": [], "ahci": [], "bluetooth": []}
            for module in names:
                (tree / "kernel").mkdir(parents=True, exist_ok=True)
                (tree / f"kernel/{module}.ko.xz").write_text(module)
            (tree / "modules.dep").write_text(
                "".join(f"kernel/{one}.ko.xz:{''.join(f' kernel/{need}.ko.xz' for need in needs)}\n" for one, needs in names.items())
            )
            part = make_kernel_part(kver, tree, Path(name))
            self.assertEqual((part.stanza["Kernel-Version"], part.stanza["Priority"]), (kver, "standard"))
            listed = run("dpkg-deb", "-c", part.path)
            found = sorted(line.rpartition("/")[2].split(".")[0] for line in listed.splitlines() if ".ko" in line)
            self.assertEqual(found, ["ahci", "ext4", "jbd2"])
            self.assertIn(f" ./usr/lib/modules/{kver}/kernel/ext4.ko.xz", listed)


if __name__ == "__main__":
    unittest.main()
