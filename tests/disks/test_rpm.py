# SPDX-License-Identifier: GPL-2.0
"""Tests of what is on the disk for Anaconda, and of the RPM packages, compared with the source of Anaconda: dracut/dd/ and driver_updates.py."""

import gzip
import re
import shutil

from support import DISKS, KVER, MODALIAS, MODULE, Case, System, run


class Rpm(Case):
    def setUp(self):
        super().setUp()
        self.image = DISKS / "anaconda/oemdrv.iso"
        self.content = self.dir / "content"
        self.content.mkdir()
        run("bsdtar", "-C", self.content, "-xf", self.image)

    def package(self):
        # find_repos(): a directory with the file rhdd3 and the directory rpms/ARCH. dd_list: *.rpm in that directory.
        self.assertTrue((self.content / "rhdd3").is_file())
        packages = list((self.content / "rpms/x86_64").glob("*.rpm"))
        self.assertEqual(len(packages), 1)
        return packages[0]

    def test_the_disk_is_one_that_anaconda_finds(self):
        self.is_labelled(self.image)
        self.package()

    def test_the_package_is_for_one_kernel(self):
        # dlabelProvides() in dd_list.c compares the running kernel with the version of this.
        self.assertIn(f"kernel-modules = {KVER}", self.rpm(self.package(), "--provides"))
        self.assertIn(f"kernel-uname-r = {KVER}", self.rpm(self.package(), "--requires"))

    def test_the_package_has_the_module_where_anaconda_looks(self):
        # dlabelFilter() in dd_extract.c takes *.ko, grab_driver_files() looks below lib/modules only.
        package = self.package()
        root = self.rpm_files(package)
        module = root / "lib/modules" / KVER / "extra/r8168_rust/r8168_rust.ko"
        self.assertEqual(module.read_bytes(), MODULE.read_bytes())
        run("depmod", "-b", root, KVER)
        found = run("modprobe", "-C", "/none", "-d", root, "-S", KVER, "--show-depends", MODALIAS)
        self.assertIn("r8168_rust.ko", found)
        # The librpm of an old Anaconda knows gzip in any case.
        self.assertEqual(self.rpm(package, "--qf", "%{PAYLOADCOMPRESSOR}"), ["gzip"])

    def test_the_package_is_installed_and_removed(self):
        system = System(self.dir / "system", {})
        (system.top / "lib/modules" / KVER / "kernel").mkdir(parents=True)
        shutil.copy(self.package(), system.top / "tmp/kmod.rpm")
        # This system's kernel is no RPM, and its /usr is that of the tests; rpm cannot mount for scripts in there.
        rpm = ("rpm", "--dbpath", "/tmp/db", "--noplugins")
        system.run(*rpm, "--install", "--nodeps", "--excludepath", "/usr", "/tmp/kmod.rpm")
        found = run("modprobe", "-C", "/none", "-d", system.top, "-S", KVER, "--show-depends", MODALIAS)
        self.assertIn("extra/r8168_rust/r8168_rust.ko", found)
        system.run(*rpm, "--erase", "kmod-r8168-rust")
        self.assertNotIn("r8168_rust", system.read(f"lib/modules/{KVER}/modules.dep"))

    def test_the_repository_lists_the_package(self):
        # The installed system gets the package from a copy of it (save_repo()).
        repodata = self.content / "rpms/x86_64/repodata"
        self.assertIn('type="primary"', (repodata / "repomd.xml").read_text())
        primary = gzip.decompress((repodata / "primary.xml.gz").read_bytes()).decode()
        self.assertIn("<name>kmod-r8168-rust</name>", primary)
        self.assertRegex(primary, r'<rpm:entry name="kernel-modules" flags="EQ"')
        self.assertIn(f'href="{self.package().name}"', primary)

    def test_the_package_leaves_r8169_alone(self):
        root = self.rpm_files(self.package())
        text = (root / "usr/lib/modprobe.d/10-r8168_rust.conf").read_text()
        self.assertFalse(re.search(r"^\s*blacklist", text, re.MULTILINE))
        scripts = "\n".join(self.rpm(self.package(), "--scripts"))
        self.assertEqual(scripts.count(f"depmod {KVER}"), 2)

    def test_an_initramfs_with_r8169_is_made_anew(self):
        """Its %post and %postun, in a directory whose /boot has images that say what is in them."""
        stand_ins = {"dracut": '#!/bin/sh\necho "$@" >>/made\n', "lsinitrd": '#!/bin/sh\ncat "$1"\n', "depmod": "#!/bin/sh\n"}
        system = System(self.dir / "system", stand_ins)
        other = f"boot/initramfs-{KVER}.rescue.img"
        images = (f"boot/initramfs-{KVER}.img", f"boot/initrd-{KVER}", f"boot/0123456789abcdef/{KVER}/initrd")
        with_r8169, without = f"usr/lib/modules/{KVER}/kernel/r8169.ko.xz\n", f"usr/lib/modules/{KVER}/kernel/e1000e.ko.xz\n"
        for scriptlet, argument, content, made in (
            ("POSTIN", "1", with_r8169, True),
            ("POSTIN", "2", with_r8169, True),
            ("POSTIN", "1", without, False),
            ("POSTUN", "0", with_r8169, True),
            ("POSTUN", "1", with_r8169, False),
            ("POSTUN", "0", without, False),
        ):
            with self.subTest(f"{scriptlet} {argument} {content}"):
                for image in (*images, other):
                    system.write(image, content)
                system.write("made", "")
                system.run("sh", "-ec", "\n".join(self.rpm(self.package(), "--qf", f"%{{{scriptlet}}}")), "-", argument)
                expected = "".join(f"--force /{image} {KVER}\n" for image in images) if made else ""
                self.assertEqual(system.read("made"), expected)
