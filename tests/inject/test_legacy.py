# SPDX-License-Identifier: GPL-2.0
"""An initrd like that of RHEL 4's Anaconda. It is made here, with modules of a kernel of today in it: no original is at hand."""

import gzip
import subprocess

from support import KVER, MODULE, Case, legacy_initrd, like_the_kernel, listing, unpack


class Legacy(Case):
    def setUp(self):
        super().setUp()
        self.initrd = legacy_initrd(self.dir, self.dir / "initrd.img")
        self.out = self.dir / "out"

    def test_a_module_enters_the_archive_and_all_tables(self):
        report = self.inject("--module", MODULE, self.initrd, "-o", self.out).out
        root = like_the_kernel(self.out, self.dir)
        modules = root / "modules"
        (self.dir / "plain").write_bytes(gzip.decompress((modules / "modules.cgz").read_bytes()))
        names = [name for name in listing(self.dir / "plain") if name.endswith(".ko")]
        self.assertEqual(sorted(names), [f"{KVER}/x86_64/{name}.ko" for name in ("e1000e", "r8168_rust", "r8169")])
        self.assertIn('0x10ec\t0x8168\t"r8168_rust"\t"', (modules / "pcitable").read_text())
        self.assertIn("r8168_rust           0x000010ec 0x00008168 0xffffffff", (modules / "modules.pcimap").read_text())
        self.assertIn('r8168_rust\n\teth\n\t"', (modules / "module-info").read_text())
        # The loader takes the first line of a name, and of two with the same ids either: there is one.
        self.assertEqual((modules / "modules.dep").read_text(), "r8169: mii\n")
        table = [line.split("\t")[:3] for line in (modules / "pcitable").read_text().splitlines()]
        self.assertEqual([row[2] for row in table if row[:2] == ["0x10ec", "0x8168"]], ['"r8168_rust"'])
        self.assertNotIn('"r8169"', [row[2] for row in table])
        self.assertIn('had 0x10EC 0x8168 "r8169" "Realtek"', report)
        # What was there is there still, and the module is what it was.
        self.assertIn('"e1000e"', (modules / "pcitable").read_text())
        unpack(self.dir / "plain", self.dir)
        self.assertEqual((self.dir / KVER / "x86_64/r8168_rust.ko").read_bytes(), MODULE.read_bytes())
        again = self.dir / "again"
        self.inject("--module", MODULE, self.out, "-o", again)
        self.assertEqual(again.read_bytes(), self.out.read_bytes())

    def test_an_id_enters_the_tables_alone(self):
        self.inject("--alias-only", "e1000e=10ec:8168:1458:e000", self.initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        self.assertIn('0x10ec\t0x8168\t0x1458\t0xe000\t"e1000e"', (root / "modules/pcitable").read_text())
        self.assertIn('"r8169"', (root / "modules/pcitable").read_text())
        self.assertEqual((root / "modules/modules.cgz").read_bytes(), (self.dir / "modules.cgz").read_bytes())
        self.refuse(3, "--alias-only", "dummy=10ec:8168", self.initrd, "-o", self.dir / "none", says=["dummy"])

    def test_an_ext2_image_is_named_as_what_it_is(self):
        image = self.dir / "ext2"
        subprocess.run(["mkfs.ext2", "-q", str(image), "256k"], check=True, capture_output=True)
        (self.dir / "initrd.ext2").write_bytes(gzip.compress(image.read_bytes()))
        self.refuse(1, "--list", self.dir / "initrd.ext2", says=["ext2 file system"])
