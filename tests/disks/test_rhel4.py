# SPDX-License-Identifier: GPL-2.0
"""The floppy for the Anaconda of RHEL 4 times. What is compared with: loader2/driverdisk.c and mk-images of anaconda 10."""

import gzip

from support import DISKS, GIVEN, KVER, Case, run


class Rhel4(Case):
    def setUp(self):
        super().setUp()
        self.image = DISKS / "rhel4/dd.img"
        self.content = self.fat(self.image)

    def test_it_is_a_floppy_with_all_tables(self):
        self.assertEqual(self.image.stat().st_size, 1440 * 1024)
        self.assertEqual(
            {path.name for path in self.content.iterdir()},
            {"rhdd-6.1", "modinfo", "modules.dep", "pcitable", "modules.cgz", "README.txt"},
        )
        self.assertRegex((self.content / "modinfo").read_text(), r'^Version 0\n8139too\n\teth\n\t"RealTek [^"]*"\n$')
        self.assertEqual((self.content / "modules.dep").read_text(), "8139too: mii\n")
        table = (self.content / "pcitable").read_text().splitlines()
        self.assertIn('0x10ec\t0x8139\t"8139too"\t"', "\n".join(table))
        for line in table:
            self.assertRegex(line, r'^0x[0-9a-f]{4}\t0x[0-9a-f]{4}\t"8139too"\t"[^"]+"$')

    def test_the_archive_has_the_module_below_its_release(self):
        plain = gzip.decompress((self.content / "modules.cgz").read_bytes())
        self.assertEqual(plain[:6], b"070702", "expected a newc archive with sums")
        (self.dir / "plain").write_bytes(plain)
        run("sh", "-c", 'cpio --quiet -idum --no-absolute-filenames <"$1"', "-", self.dir / "plain", cwd=self.dir)
        self.assertEqual((self.dir / KVER / "8139too.ko").read_bytes(), GIVEN.read_bytes())
