# SPDX-License-Identifier: GPL-2.0
"""The Debian installer's own initrds of another architecture and of the release before: faults of the field test, by their numbers there."""

import shutil
import sys
from pathlib import Path

from support import KERNEL, KVER, MODALIAS, MODULE, TOP, Case, like_the_kernel, modprobe

sys.path.append(str(TOP / "tests"))

from needs import need


class Installers(Case):
    def setUp(self):
        super().setUp()
        self.out = self.dir / "out"

    def test_the_one_for_arm64_gets_no_kernel_for_amd64(self):
        """F1: with a module and without."""
        initrd = Path(need(self, "INJECT_ARM64")) / "initrd.gz"
        for more in ((), ("--module", MODULE)):
            options = (*more, "--kernel", KERNEL / "vmlinuz", "--modules", KERNEL, initrd, "-o", self.out)
            self.refuse(3, *options, says=["x86_64", "arm64"])
        self.refuse(3, "--module", MODULE, initrd, "-o", self.out, says=["x86_64", "arm64"])
        self.assertFalse(self.out.exists())
        self.assertIn("e1000e.ko.xz", self.inject("--verify", "8086:10d3", initrd).out)

    def test_that_of_debian_12_gets_modules_that_its_kmod_can_load(self):
        """F2: it is built without xz."""
        initrd = Path(need(self, "INJECT_BEFORE")) / "initrd.gz"
        self.inject("--module", MODULE, "--kernel", KERNEL / "vmlinuz", "--modules", KERNEL, initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        self.assertEqual(list((root / "usr/lib/modules" / KVER).rglob("*.ko.xz")), [])
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS))
        libraries = [path for path in root.rglob("libkmod.so*") if path.is_file()]
        self.assertTrue(libraries)
        self.assertFalse([path for path in libraries if b"lzma" in path.read_bytes()])
        shutil.rmtree(root)
        self.assertIn("symbols: all", self.inject("--verify", "10ec:8168", self.out, "--kernel", KERNEL / "vmlinuz").out)
