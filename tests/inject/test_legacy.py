# SPDX-License-Identifier: GPL-2.0
"""An initrd like that of RHEL 4's Anaconda. It is made here, with modules of a kernel of today in it: no original is at hand."""

import gzip
import shutil
import subprocess

from support import KERNEL, KVER, MODULE, Case, decompress, like_the_kernel, listing, pack, tree, unpack


class Legacy(Case):
    def setUp(self):
        super().setUp()
        inner = self.dir / "inner"
        prefix = inner / KVER / "x86_64"
        prefix.mkdir(parents=True)
        for name in ("e1000e", "r8169"):
            source = next(KERNEL.rglob(f"{name}.ko*"))
            packed = self.dir / source.name
            shutil.copyfile(source, packed)
            decompress(packed, "xz", prefix / f"{name}.ko")
        cgz = pack(inner, self.dir / "modules.cgz", crc=True)
        top = tree(
            self.dir / "legacy",
            {
                "init": b"loader",
                "sbin/loader": b"loader",
                "modules/modules.cgz": cgz.read_bytes(),
                "modules/modules.dep": b"r8169: mii\n",
                "modules/pcitable": b'0x8086\t0x10d3\t"e1000e"\t"Intel"\n',
                "modules/module-info": b'Version 0\ne1000e\n\teth\n\t"Intel PRO/1000"\n',
                "modules/modules.pcimap": b"# pci module\n",
            },
        )
        self.initrd = pack(top, self.dir / "initrd.img")
        self.out = self.dir / "out"

    def test_a_module_enters_the_archive_and_all_tables(self):
        self.inject("--module", MODULE, self.initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        modules = root / "modules"
        (self.dir / "plain").write_bytes(gzip.decompress((modules / "modules.cgz").read_bytes()))
        names = [name for name in listing(self.dir / "plain") if name.endswith(".ko")]
        self.assertEqual(sorted(names), [f"{KVER}/x86_64/{name}.ko" for name in ("e1000e", "r8168_rust", "r8169")])
        self.assertIn('0x10ec\t0x8168\t"r8168_rust"\t"', (modules / "pcitable").read_text())
        self.assertIn("r8168_rust           0x000010ec 0x00008168 0xffffffff", (modules / "modules.pcimap").read_text())
        self.assertIn('r8168_rust\n\teth\n\t"', (modules / "module-info").read_text())
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
        self.assertEqual((root / "modules/modules.cgz").read_bytes(), (self.dir / "modules.cgz").read_bytes())
        self.refuse(3, "--alias-only", "dummy=10ec:8168", self.initrd, "-o", self.dir / "none", says=["dummy"])

    def test_an_ext2_image_is_named_as_what_it_is(self):
        image = self.dir / "ext2"
        subprocess.run(["mkfs.ext2", "-q", str(image), "256k"], check=True, capture_output=True)
        (self.dir / "initrd.ext2").write_bytes(gzip.compress(image.read_bytes()))
        self.refuse(1, "--list", self.dir / "initrd.ext2", says=["ext2 file system"])
