# SPDX-License-Identifier: GPL-2.0
"""--verify with a question, --overlay and --class: what drives this card, the segment alone, all drivers of a kind."""

import gzip
import shutil
import subprocess

from support import (
    KERNEL,
    KVER,
    MADE,
    MODALIAS,
    MODULE,
    X86_64,
    Case,
    decompress,
    hand_made,
    legacy_initrd,
    like_the_kernel,
    listing,
    modprobe,
    pack,
    program_for,
    small_initrd,
    tree,
)


class Answers(Case):
    def setUp(self):
        super().setUp()
        self.initrd = hand_made(self.dir / "small", self.dir / "initrd", {"usr/bin/busybox": program_for(X86_64), "etc/modules": b"", "usr/sbin/mdev": b"x"})
        self.out = self.dir / "out"

    def test_what_drives_a_card_by_its_id_a_modalias_and_a_name(self):
        self.inject("--module", MODULE, "--modules", KERNEL, self.initrd, "-o", self.out)
        for question in ("10ec:8168", "10EC:8168:1458:e000", MODALIAS, "r8168_rust", "r8168-rust"):
            said = self.inject("--verify", question, self.out, "--kernel", KERNEL / "vmlinuz").out
            for words in (
                f"{question}: r8168_rust (updates/r8168_rust.ko), for {KVER}",
                "listed in etc/modules",
                "udev or mdev",
                "realtek, which is there",
                "symbols: all",
            ):
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

    def test_a_blacklisted_driver_is_loaded_by_its_name_only(self):
        """That udev would load it was said as well."""
        files = {"usr/bin/busybox": program_for(X86_64), "usr/sbin/mdev": b"x", "etc/modprobe.d/x.conf": b"blacklist e1000e\n"}
        said = self.inject("--verify", "e1000e", hand_made(self.dir / "barred", self.dir / "barred.gz", files)).out
        self.assertIn("e1000e is blacklisted in the initrd's modprobe.d: only what asks for it by its name loads it", said)
        self.assertNotIn("udev or mdev", said)

    def test_an_index_by_which_the_driver_is_not_found(self):
        """Such a driver was said to load: modprobe finds none by a modules.dep.bin that is damaged, busybox's none that modules.dep does not have."""
        self.inject("--module", MODULE, self.initrd, "-o", self.out)
        junk, other = self.dir / "junk", self.dir / "other"
        junk.write_bytes(b"kernel/a.ko:\n")
        self.inject("--file", f"{junk}:/usr/lib/modules/{KVER}/modules.dep.bin", self.out, "-o", other)
        for question in ("10ec:8168", "r8168_rust"):
            self.refuse(3, "--verify", question, other, says=["modules.dep.bin does not lead to updates/r8168_rust.ko"])
        files = {"usr/bin/busybox": program_for(X86_64), "usr/sbin/modprobe": ("../bin/busybox",), "sbin": ("usr/sbin",), "etc/modules": b""}
        self.inject("--module", MODULE, hand_made(self.dir / "box", self.dir / "box.gz", files), "-o", self.out)
        self.inject("--verify", "r8168_rust", self.out)
        self.inject("--file", f"{junk}:/usr/lib/modules/{KVER}/modules.dep", self.out, "-o", other)
        self.refuse(3, "--verify", "r8168_rust", other, says=["modules.dep does not lead to updates/r8168_rust.ko"])

    def test_a_module_in_place_of_one_that_has_an_index(self):
        """It was said to have none."""
        self.inject("--module", MODULE, self.initrd, "-o", self.out)
        said = self.inject("--file", f"{KERNEL / 'vmlinuz'}:/usr/lib/modules/{KVER}/updates/r8168_rust.ko", self.out, "-o", self.dir / "other").out
        self.assertIn("is a module that was there; the indexes are still those of the other", said)
        self.assertNotIn("no index has it", said)

    def test_names_of_overlays_that_are_no_cpio(self):
        """A cpio archive was made under the name of a zip file, which Ventoy takes as one, and under one in capitals."""
        for name in ("x.zip", "x.7z", "x.ZIP", "x.txz", "x.TAR.XZ"):
            self.refuse(2, "--module", MODULE, "--overlay", self.initrd, "-o", self.dir / name, says=[f"not made in the form of {name}"])
        self.inject("--module", MODULE, "--overlay", self.initrd, "-o", self.dir / "X.TAR.GZ")
        self.assertIn("updates/r8168_rust.ko", subprocess.run(["tar", "-tzf", self.dir / "X.TAR.GZ"], check=True, capture_output=True, text=True).stdout)

    def test_a_tree_that_lacks_a_file_of_its_list(self):
        """It was an error of writing."""
        source = next(KERNEL.rglob("r8169.ko*"))
        top = self.dir / "partial" / KVER
        there = next(KERNEL.rglob("e1000e.ko*"))
        (top / there.relative_to(KERNEL)).parent.mkdir(parents=True)
        shutil.copy(there, top / there.relative_to(KERNEL))
        (top / "modules.dep").write_text(f"{there.relative_to(KERNEL)}:\n{source.relative_to(KERNEL)}:\n")
        self.refuse(2, "--class", "net", "--modules", top, self.initrd, "-o", self.out, says=["modules.dep has", "r8169", "there is no such file"])

    def crc64(self, name, sign):
        """An initrd with one module whose compression the kernel does not know, and a kmod that shows a sign."""
        top = self.dir / f"{name}-{len(sign)}"
        hand_made(
            top, self.dir / "x.gz", {"usr/lib/libkmod.so.2": program_for(X86_64) + b"modules.dep\0" + sign, "usr/bin/busybox": program_for(X86_64)}, module=name
        )
        module = next(top.rglob(f"{name}.ko.xz"))
        subprocess.run(["xz", "-d", str(module)], check=True)
        subprocess.run(["xz", "--check=crc64", str(module.with_suffix(""))], check=True)
        return pack(top, self.dir / "crc64.gz")

    def test_one_of_several_drivers_is_enough(self):
        """r8169 takes the same id: that it does not load does not count where another does."""
        initrd = self.crc64("r8169", b"/sys/module/compression")
        self.refuse(3, "--verify", "10ec:8168", initrd, says=["r8169 is in the initrd, but does not load"])
        self.inject("--module", MODULE, initrd, "-o", self.out)
        said = self.inject("--verify", "10ec:8168", self.out).out
        self.assertIn("10ec:8168: r8168_rust (", said)
        self.assertIn("but r8169 is in the initrd, but does not load", said)
        self.assertIn("symbols: NOT CHECKED", said)

    def test_modules_for_other_programs_or_another_kernel(self):
        """F1, seen from the result."""
        initrd = hand_made(self.dir / "arm", self.dir / "arm.gz", {"usr/bin/busybox": program_for(183)})
        for question in ("e1000e", "8086:10d3"):
            self.refuse(3, "--verify", question, initrd, says=["x86_64", "arm64"])

    def test_a_check_that_the_kernel_does_not_know(self):
        """F7, seen from the result: today's kmod has the kernel undo it, one with the library may do it itself."""
        for sign, sound in ((b"", None), (b"liblzma.so.5", True), (b"/sys/module/compression", False)):
            initrd = self.crc64("e1000e", sign)
            self.inject("--verify", "e1000e", initrd) if sound else self.refuse(3, "--verify", "e1000e", initrd, says=["e1000e.ko.xz", "compressed"])

    def test_one_of_rhel_4s_is_asked_by_its_own_tables(self):
        initrd = legacy_initrd(self.dir, self.dir / "legacy.img")
        self.assertIn("8086:10d3: e1000e (", self.inject("--verify", "8086:10d3", initrd).out)
        self.refuse(3, "--verify", "10ec:8168", initrd, says=["r8169", "lacks mii"])
        self.refuse(3, "--verify", "10ec:8169", initrd, says=["pcitable"])
        self.refuse(3, "--verify", "--module", "tg3", initrd, says=["modules.cgz has no tg3"])
        self.inject("--module", MODULE, initrd, "-o", self.out)
        self.assertIn("10ec:8168: r8168_rust (", self.inject("--verify", "10ec:8168", self.out).out)
        self.inject("--verify", "--module", MODULE, self.out)

    def test_without_modules_nothing_is_sound_for_a_module(self):
        """It said `sound` where there was nothing to look at."""
        initrd = pack(tree(self.dir / "none", {"init": b"x", "bin/busybox": b"x"}), self.dir / "none.gz")
        for name in ("e1000e", MODULE):
            self.refuse(3, "--verify", "--module", name, initrd, says=["no kernel modules"])

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
        for name, magic in (("x.cpio.gz", b"\x1f\x8b"), ("x.zst", b"\x28\xb5\x2f\xfd"), ("x.xz", b"\xfd7zXZ"), ("x", b"\x1f\x8b"), ("x.img", b"\x1f\x8b")):
            said = self.inject("--module", MODULE, "--overlay", self.initrd, "-o", self.dir / name).out
            self.assertTrue((self.dir / name).read_bytes().startswith(magic), name)
            self.assertEqual("the kernel has to know both" in said, magic[0] != 0x1F)
        for name in ("x.tar.xz", "x.tar.zst"):
            self.refuse(2, "--module", MODULE, "--overlay", self.initrd, "-o", self.dir / name, says=["x.tar.gz"])
        self.inject("--module", MODULE, "--modules", KERNEL, "--overlay", MADE / "dracut.lz4", "-o", self.dir / "lz4.tgz")
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
