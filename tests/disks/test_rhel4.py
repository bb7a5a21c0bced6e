# SPDX-License-Identifier: GPL-2.0
"""The floppy for the Anaconda of RHEL 4 times, whose loader is in C, for libraries that are gone.

What is compared with is the source: rhinstaller/anaconda, branch rhel4-branch, loader2/ and isys/uncpio.c; and kudzu's pci.c.
"""

import gzip
import re

from support import DISKS, GIVEN, KVER, Case, run


class Rhel4(Case):
    def setUp(self):
        super().setUp()
        self.image = DISKS / "rhel4/dd.img"
        self.content = self.fat(self.image)

    def lines(self, name):
        """A table's lines; each parser looks for the end of every line, mlLoadDeps() without a doubt that it is there."""
        text = (self.content / name).read_text("ascii")
        self.assertTrue(text.endswith("\n"))
        return text.splitlines()

    def test_it_is_a_disk_that_the_loader_verifies(self):
        # loadDriverFromMedia() mounts vfat first. verifyDriverDisk(): these, and that the last is not empty.
        self.assertEqual(run("blkid", "-p", "-o", "value", "-s", "TYPE", self.image).strip(), "vfat")
        self.assertEqual(self.image.stat().st_size, 1440 * 1024)
        self.assertEqual(
            {path.name for path in self.content.iterdir()},
            {"rhdd-6.1", "modinfo", "modules.dep", "pcitable", "modules.cgz", "README.txt"},
        )
        self.assertEqual(self.lines("rhdd-6.1"), ["8139too driver disk"])

    def test_what_it_says_of_the_module(self):
        # readModuleInfo(): the first line; a name; indented, its class, then its description between quotes up to the line's end.
        version, name, kind, description = self.lines("modinfo")
        self.assertEqual((version, name, kind), ("Version 0", "8139too", "\teth"))
        self.assertRegex(description, r'^\t"RealTek [^"]*"$')
        # mlLoadDeps(): NAME: NAME, one space between names.
        self.assertEqual(self.lines("modules.dep"), ["8139too: mii"])

    def test_the_ids_lead_to_it(self):
        # pciReadDrivers() of kudzu: two numbers, each with one character behind it, then the driver between quotes.
        table = self.lines("pcitable")
        for line in table:
            self.assertRegex(line, r'^0x[0-9a-f]{4}\t0x[0-9a-f]{4}\t"8139too"\t"[^"]+"$')
        self.assertIn("0x10ec\t0x8139", [line.partition('\t"')[0] for line in table])
        # Of two lines with the same ids chance would take one.
        self.assertEqual(len(table), len({line.partition('\t"')[0] for line in table}))
        given = run("modinfo", "-F", "alias", GIVEN).upper().splitlines()
        ids = {match.groups() for match in map(re.compile(r"PCI:V0000(....)D0000(....)SV").match, given) if match}
        self.assertEqual({tuple(word[2:].upper() for word in line.split()[:2]) for line in table}, ids)

    def test_the_archive_has_the_module_below_its_release(self):
        # getModuleLocation() for rhdd-6.1 is the release alone; extractModules() looks for just that path and NAME.ko;
        # getNextHeader() in uncpio.c reads newc, with sums or without.
        plain = gzip.decompress((self.content / "modules.cgz").read_bytes())
        self.assertEqual(plain[:6], b"070702", "expected a newc archive with sums, as mk-dd makes it")
        (self.dir / "plain").write_bytes(plain)
        listing = run("sh", "-c", 'cpio --quiet -it <"$1"', "-", self.dir / "plain")
        self.assertEqual(listing, f"{KVER}/8139too.ko\n")
        run("sh", "-c", 'cpio --quiet -idum --no-absolute-filenames <"$1"', "-", self.dir / "plain", cwd=self.dir)
        self.assertEqual((self.dir / KVER / "8139too.ko").read_bytes(), GIVEN.read_bytes())
