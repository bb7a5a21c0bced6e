# SPDX-License-Identifier: GPL-2.0
"""--verify with a question, --overlay and --class: what drives this card, the segment alone, all drivers of a kind."""

import gzip
import shutil
import subprocess

from support import KERNEL, KVER, MADE, MODALIAS, MODULE, X86_64, Case, decompress, hand_made, like_the_kernel, listing, modprobe, program_for, small_initrd


class Answers(Case):
    def setUp(self):
        super().setUp()
        self.initrd = hand_made(self.dir / "small", self.dir / "initrd", {"usr/bin/busybox": program_for(X86_64), "etc/modules": b"", "usr/sbin/mdev": b"x"})
        self.out = self.dir / "out"

    def test_what_drives_a_card_by_its_id_a_modalias_and_a_name(self):
        self.inject("--module", MODULE, "--modules", KERNEL, self.initrd, "-o", self.out)
        for question in ("10ec:8168", "10EC:8168:1458:e000", MODALIAS, "r8168_rust", "r8168-rust"):
            said = self.inject("--verify", question, self.out, "--kernel", KERNEL / "vmlinuz").out
            for words in (f"{question}: r8168_rust (updates/r8168_rust.ko), for {KVER}", "listed in etc/modules", "udev or mdev", "realtek, which is there", "symbols: all"):
                self.assertIn(words, said)
        self.assertIn("r8168_rust", " ".join(self.inject("--json", "--verify", "10ec:8168", self.out).json()["answer"]))

    def test_what_is_not_driven_is_said_with_the_way_out(self):
        for question in ("10ec:8168", MODALIAS, "r8168_rust"):
            self.refuse(3, "--verify", question, self.initrd, says=[question, KVER, "--module"])
        for question in ("10ec:81", "../x", "pci:"):
            self.refuse(2, "--verify", question, self.initrd, says=["expected a PCI id"])
        self.refuse(2, "10ec:8168", self.initrd, "-o", self.out, says=["--verify"])

    def test_what_a_driver_lacks_is_named(self):
        for name in ("nfsv4", "igb"):
            top = self.dir / name
            initrd = hand_made(top, self.dir / f"{name}.gz", {"usr/bin/busybox": program_for(X86_64)}, module=name)
            errors = self.refuse(3, "--verify", name, initrd, says=["lacks", "--modules TREE"])
            self.assertIn(f"which {name} needs", errors)

    def test_a_kernel_that_is_not_the_initrds(self):
        other = hand_made(self.dir / "other", self.dir / "other.gz", {"usr/bin/busybox": program_for(X86_64)}, release="6.1.0-1-amd64")
        self.refuse(3, "--verify", "e1000e", other, "--kernel", KERNEL / "vmlinuz", says=["6.1.0-1-amd64", KVER])
        self.refuse(3, "--verify", "e1000e", other, says=["built for"])

    def test_what_the_initrds_configuration_says_counts(self):
        files = {"usr/bin/busybox": program_for(X86_64), "etc/modprobe.d/x.conf": b"blacklist e1000e\nalias pci:v00001234d00005678sv*sd*bc*sc*i* e1000e\n"}
        initrd = hand_made(self.dir / "barred", self.dir / "barred.gz", files)
        self.refuse(3, "--verify", "8086:10d3", initrd, says=["e1000e would take it, but is blacklisted"])
        self.assertIn("e1000e (", self.inject("--verify", "e1000e", initrd).out)
        self.inject("--alias-only", "e1000e=10ec:8168", self.initrd, "-o", self.out)
        self.assertIn("10ec:8168: e1000e (", self.inject("--verify", "10ec:8168", self.out).out)

    def test_firmware_that_a_driver_may_ask_for(self):
        self.inject("--module", "tg3", "--modules", KERNEL, self.initrd, "-o", self.out)
        self.assertIn("may ask for firmware that is not there: tigon/", self.inject("--verify", "tg3", self.out).out)

    def test_an_overlay_is_the_segment_alone(self):
        for initrd in (MADE / "dracut.zstd", MADE / "dracut.lz4", MADE / "initramfs-tools.xz+microcode", self.initrd):
            with self.subTest(initrd.name):
                report = self.inject("--json", "--module", MODULE, "--modules", KERNEL, "--overlay", initrd, "-o", self.out).json()
                self.assertEqual(report["mode"], "overlay")
                self.assertLess(self.out.stat().st_size, 30 << 20)
                # As a boot loader joins them: the next at a multiple of 4.
                joined = self.dir / "joined"
                joined.write_bytes(initrd.read_bytes() + bytes(-initrd.stat().st_size % 4) + self.out.read_bytes())
                root = like_the_kernel(joined, self.dir)
                self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS))
                shutil.rmtree(root)

    def test_an_overlay_as_tar_and_as_plain_cpio(self):
        out = self.dir / "overlay.tar.gz"
        self.inject("--module", MODULE, "--overlay", self.initrd, "-o", out)
        names = subprocess.run(["tar", "-tzvf", str(out)], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"usr/lib/modules/{KVER}/updates/r8168_rust.ko", names)
        self.assertNotIn("busybox", names)
        again = self.dir / "again.tar.gz"
        self.inject("--module", MODULE, "--overlay", self.initrd, "-o", again)
        self.assertEqual(out.read_bytes(), again.read_bytes())
        plain = self.dir / "overlay.cpio"
        self.inject("--module", MODULE, "--overlay", self.initrd, "-o", plain)
        self.assertIn(f"usr/lib/modules/{KVER}/updates/r8168_rust.ko", listing(plain))
        self.refuse(2, "--overlay", "--repack", "--module", MODULE, self.initrd, "-o", self.out, says=["--overlay"])

    def test_all_network_drivers(self):
        report = self.inject("--json", "--class", "net", "--modules", KERNEL, "--kernel", KERNEL / "vmlinuz", self.initrd, "-o", self.out).json()
        self.assertIn("tigon/tg3.bin", report["firmware"])
        root = like_the_kernel(self.out, self.dir)
        for name in ("r8169", "tg3", "igb", "r8152", "virtio_net"):
            self.assertTrue(modprobe(root, name), name)
        self.assertTrue(modprobe(root, "pci:v00008086d00001521sv00000000sd00000000bc02sc00i00"))
        self.assertIn("igb", self.inject("--verify", "8086:1521", self.out).out)
        self.refuse(2, "--class", "net", self.initrd, "-o", self.dir / "none", says=["--modules"])
        self.refuse(2, "--class", "sound", self.initrd, "-o", self.dir / "none", says=["net"])

    def test_a_small_initrd_of_before_is_verified_as_before(self):
        """--verify without a question is what it was."""
        initrd = small_initrd(self.dir / "before", self.dir / "before.gz")
        self.assertIn("sound", self.inject("--verify", initrd).out)
        self.assertEqual(gzip.decompress(initrd.read_bytes())[:6], b"070701")
        decompress(initrd, "gzip", self.dir / "plain")
        self.assertTrue(listing(self.dir / "plain"))
