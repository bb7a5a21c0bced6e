# SPDX-License-Identifier: GPL-2.0
"""The driver update for SUSE. What is compared with: linuxrc's util.c (add_driver_update, util_do_driver_update) and mkdud."""

from support import DISKS, KVER, MODULE, Case, run


class Suse(Case):
    def check(self, root):
        # config.update.dir is /linux/suse/ARCH-DIST.
        update = root / "linux/suse/x86_64-tw"
        config = dict(line.split(":\t") for line in (update / "dud.config").read_text().splitlines())
        self.assertEqual(set(config), {"UpdateID", "UpdateInstaller", "UpdateName"})
        self.assertEqual(config["UpdateInstaller"], "yast")
        self.assertIn(KVER, config["UpdateName"])
        # Modules are loaded by the names in module.order, and found by name and extension.
        self.assertEqual((update / "modules/module.order").read_text(), "r8168_rust\n")
        self.assertEqual((update / "modules/r8168_rust.ko").read_bytes(), MODULE.read_bytes())
        packages = list((update / "install").iterdir())
        self.assertEqual([package.suffix for package in packages], [".rpm"])
        self.assertIn(f"kernel-modules = {KVER}", self.rpm(packages[0], "--provides"))

    def test_the_archive_is_a_driver_update(self):
        # As mkdud makes it: a gzipped newc archive of root's, below the current directory.
        archive = DISKS / "suse/r8168_rust.dud"
        root = self.dir / "dud"
        root.mkdir()
        run("sh", "-c", 'gzip -dc "$1" | cpio --quiet -idum --no-absolute-filenames', "-", archive, cwd=root)
        listing = run("sh", "-c", 'gzip -dc "$1" | cpio --quiet -itvn', "-", archive)
        self.assertEqual({tuple(line.split()[2:4]) for line in listing.splitlines()}, {("0", "0")})
        self.check(root)

    def test_the_disk_is_the_same_unpacked(self):
        image = DISKS / "suse/oemdrv.img"
        self.is_labelled(image)
        self.check(self.fat(image))
