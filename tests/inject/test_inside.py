# SPDX-License-Identifier: GPL-2.0
"""Tests that what is reported as done works with the programs inside the initrd: faults of the field test, by their numbers there."""

import gzip
import lzma
import os
import shutil

from support import (
    KERNEL,
    KVER,
    MADE,
    MODALIAS,
    MODULE,
    PROGRAM,
    X86_64,
    Case,
    anaconda_initrd,
    hand_made,
    injected_module,
    like_the_kernel,
    modprobe,
    pack,
    program_for,
    small_initrd,
    tree,
)

I386, ARM64 = 3, 183


class Inside(Case):
    def setUp(self):
        super().setUp()
        self.out = self.dir / "out"

    def tearDown(self):
        shutil.rmtree(self.dir / "root", ignore_errors=True)

    def old_installer(self, suffix, machine=X86_64):
        """An initrd like an installer's, of another kernel release, so that its kernel has to be swapped."""
        files = {"usr/bin/anna": b"x", "usr/bin/busybox": program_for(machine)}
        return hand_made(self.dir / f"old{suffix}{machine}", self.dir / f"old{suffix}{machine}.gz", files, suffix=suffix, release="6.1.0-1-amd64")

    def swap(self, initrd):
        return self.inject("--module", MODULE, "--kernel", KERNEL / "vmlinuz", "--modules", KERNEL, initrd, "-o", self.out)

    def test_a_kernel_of_another_architecture_is_not_swapped_in(self):
        """F1: the programs in the initrd are compared with the kernel and its modules, not the new modules with each other."""
        options = ("--kernel", KERNEL / "vmlinuz", "--modules", KERNEL, self.old_installer("", ARM64), "-o", self.out)
        for more in ((), ("--module", MODULE)):
            self.refuse(3, *more, *options, says=["x86_64", "arm64", "programs"])
        self.assertFalse(self.out.exists())

    def test_a_module_for_other_programs_than_the_initrds_is_refused(self):
        """F1, without a swap: the modules in it may be wrong already."""
        initrd = hand_made(self.dir / "arm", self.dir / "arm.gz", {"usr/bin/busybox": program_for(ARM64)})
        self.refuse(3, "--module", MODULE, initrd, "-o", self.out, says=["x86_64", "arm64"])

    def test_a_kernel_that_can_run_the_initrds_programs_is_said_to_differ(self):
        """F1: programs for i386 below a kernel for x86_64 can work."""
        self.assertIn("the programs in the initrd are for i386", self.swap(self.old_installer("", I386)).out)

    def test_modules_are_decompressed_for_an_initrd_whose_own_are_plain(self):
        """F2: kmod of such an initrd may have no xz, as that of bookworm's installer."""
        self.assertIn("added without compression", self.swap(self.old_installer("")).out)
        root = like_the_kernel(self.out, self.dir)
        modules = [path.name for path in (root / "usr/lib/modules" / KVER).rglob("*.ko*")]
        self.assertGreater(len(modules), 20)
        self.assertEqual([name for name in modules if not name.endswith(".ko")], [])
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS))
        self.assertEqual(modprobe(root, "ext4")[-1], "ext4.ko")

    def test_a_compressed_module_is_decompressed_for_such_an_initrd_without_a_swap_too(self):
        """F2, for a module of a tree and for one that is given."""
        initrd = hand_made(self.dir / "plain", self.dir / "plain.gz", {"usr/bin/busybox": program_for(X86_64)}, suffix="")
        (self.dir / "r8168_rust.ko.xz").write_bytes(lzma.compress(MODULE.read_bytes(), check=lzma.CHECK_CRC32))
        self.inject("--module", self.dir / "r8168_rust.ko.xz", "--modules", KERNEL, initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        self.assertEqual(injected_module(root).read_bytes(), MODULE.read_bytes())
        self.assertEqual(modprobe(root, "realtek")[-1], "realtek.ko")

    def test_modules_stay_compressed_where_the_initrds_own_are_so(self):
        """F2: no more is decompressed than has to be."""
        self.swap(self.old_installer(".xz"))
        root = like_the_kernel(self.out, self.dir)
        self.assertEqual(modprobe(root, "ext4")[-1], next(KERNEL.rglob("ext4.ko*")).name)

    def test_what_the_initrds_kmod_cannot_undo_is_decompressed_though_its_modules_are_compressed(self):
        """F2: an xz module that an earlier run has left there shows nothing of that kmod."""
        for library, suffix in ((b"", ""), (b"liblzma.so.5", ".xz"), (b"/sys/module/compression", ".xz")):
            name = f"kmod{len(library)}"
            kmod = program_for(X86_64) + b"modules.dep\0" + library
            initrd = hand_made(self.dir / name, self.dir / f"{name}.gz", {"usr/lib/libkmod.so.2.5.1": kmod, "usr/lib/libkmod.so.2": ("libkmod.so.2.5.1",)})
            self.inject("--module", "tg3", "--modules", KERNEL, initrd, "-o", self.out, "--flavour", "busybox")
            root = like_the_kernel(self.out, self.dir)
            self.assertEqual(modprobe(root, "tg3")[-1], f"tg3.ko{suffix}", library)
            shutil.rmtree(root)
            # --verify reports what was there already.
            if suffix:
                self.inject("--verify", "e1000e", initrd)
            else:
                self.refuse(3, "--verify", "e1000e", initrd, says=["(.xz)", "cannot undo"])
                self.refuse(3, "--verify", "--module", "e1000e", initrd, says=["(.xz)", "cannot undo"])

    def test_busybox_shows_what_it_can_undo(self):
        """F2, where busybox loads the modules: from 1.37 on it asks the kernel."""
        for version, sound in ((b"BusyBox v1.36.1 gunzip", False), (b"BusyBox v1.36.1 gunzip unxz", True), (b"BusyBox v1.37.0", True)):
            name = f"busybox{len(version)}"
            files = {"usr/bin/busybox": program_for(X86_64) + b"modules.dep\0" + version, "sbin/modprobe": ("../bin/busybox",)}
            initrd = hand_made(self.dir / name, self.dir / f"{name}.gz", files)
            self.inject("--verify", "e1000e", initrd) if sound else self.refuse(3, "--verify", "e1000e", initrd, says=["cannot undo"])

    def test_a_tree_of_another_architecture_or_build_is_refused(self):
        """F1's sibling: the release of some distributions does not tell for which machine a tree is."""
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64)})
        content = bytearray(lzma.decompress(next(KERNEL.rglob("tg3.ko*")).read_bytes()))
        for name, offset, new in (("arm", 18, b"\xb7\0"), ("build", content.index(b" mod_unload"), b" mod_unloaX")):
            other = bytes(content[:offset] + new + content[offset + len(new) :])
            top = tree(self.dir / name / KVER, {"kernel/drivers/net/tg3.ko": other, "modules.dep": b"kernel/drivers/net/tg3.ko:\n"})
            for what in (("--module", "tg3"), ("--class", "net"), ("--module", MODULE)):
                self.refuse(3, *what, "--modules", top, initrd, "-o", self.dir / "none", says=[str(top), "name the tree"])

    def test_drivers_that_need_symbols_which_the_kernel_lacks_are_refused(self):
        """F1's sibling: --class takes them from a tree of another build than the kernel's."""
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64)})
        content = lzma.decompress(next(KERNEL.rglob("8139too.ko*")).read_bytes())
        self.assertIn(b"\0alloc_etherdev_mqs\0", content)
        other = content.replace(b"\0alloc_etherdev_mqs\0", b"\0alloc_etherdev_mqz\0").replace(b"depends=mii", b"depends=\0\0\0")
        top = tree(self.dir / "tree" / KVER, {"kernel/drivers/net/8139too.ko": other, "modules.dep": b"kernel/drivers/net/8139too.ko:\n"})
        options = ("--kernel", KERNEL / "vmlinuz", "--modules", top, initrd, "-o", self.dir / "none")
        for what in (("--class", "net"), ("--module", "8139too")):
            self.refuse(3, *what, *options, says=["8139too needs the symbol"])

    def test_a_line_that_keeps_the_driver_from_being_loaded_is_told(self):
        """F6's sibling: what is added and hinted at is loaded by nothing."""
        for line in (b"blacklist r8168_rust\n", b"install r8168-rust /bin/false\n"):
            name = line.split()[0].decode()
            initrd = hand_made(self.dir / name, self.dir / f"{name}.gz", {"usr/bin/busybox": program_for(X86_64), "etc/modprobe.d/x.conf": line})
            self.assertIn(line.decode().strip(), self.inject("--module", MODULE, initrd, "-o", self.out).out)
            self.refuse(3, "--verify", "10ec:8168", self.out, says=["blacklisted" if name == "blacklist" else "/bin/false"])

    def test_dracut_with_systemd_gets_its_hint(self):
        """F6: dracut-pre-udev reads rd.driver.pre where systemd is."""
        initrd = MADE / "dracut-systemd.gzip"
        report = self.inject("--module", MODULE, "--modules", KERNEL, initrd, "-o", self.out).out
        self.assertNotIn("rd.driver.pre", report)
        root = like_the_kernel(self.out, self.dir)
        self.assertEqual((root / "etc/cmdline.d/50-inject-initrd.conf").read_text(), "rd.driver.pre=r8168_rust\n")
        readers = [path for path in root.rglob("*dracut-pre-udev*") if path.is_file()]
        self.assertTrue(any("rd.driver.pre" in path.read_text(errors="replace") for path in readers), readers)

    def test_a_check_that_the_kernel_does_not_know_is_taken_off(self):
        """F7: `xz` alone makes CRC64, which the kernel, that decompresses for today's kmod, does not know."""
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64)})
        given = self.dir / "r8168_rust.ko.xz"
        for check in (lzma.CHECK_CRC64, lzma.CHECK_SHA256):
            given.write_bytes(lzma.compress(MODULE.read_bytes(), check=check))
            self.assertIn("CRC32", self.inject("--module", given, initrd, "-o", self.out).out)
            root = like_the_kernel(self.out, self.dir)
            self.assertEqual(injected_module(root).name, "r8168_rust.ko")
            self.assertEqual(injected_module(root).read_bytes(), MODULE.read_bytes())
            shutil.rmtree(root)
        given.write_bytes(lzma.compress(MODULE.read_bytes(), check=lzma.CHECK_CRC32))
        self.inject("--module", given, initrd, "-o", self.out)
        self.assertEqual(injected_module(like_the_kernel(self.out, self.dir)).read_bytes(), given.read_bytes())

    def test_a_header_that_the_kernel_does_not_know(self):
        """F7's sibling: of gzip's header the kernel skips a name and nothing else; and nothing reads a second stream."""
        initrd = hand_made(self.dir / "gz", self.dir / "gz.gz", {"usr/bin/busybox": program_for(X86_64)}, suffix=".gz")
        given = self.dir / "r8168_rust.ko.gz"
        packed = gzip.compress(MODULE.read_bytes(), mtime=0)
        commented = packed[:3] + b"\x10" + packed[4:10] + b"a comment\0" + packed[10:]
        given.write_bytes(commented)
        self.assertIn("header", self.inject("--module", given, initrd, "-o", self.out).out)
        self.assertEqual(injected_module(like_the_kernel(self.out, self.dir)).read_bytes(), MODULE.read_bytes())
        given.write_bytes(packed + packed)
        self.refuse(3, "--module", given, initrd, "-o", self.dir / "none", says=["after the end"])

    def test_the_same_driver_again_in_another_compression_replaces_the_first(self):
        """F12: of two below updates/ depmod takes either; there is one."""
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64)})
        given = self.dir / "r8168_rust.ko.xz"
        given.write_bytes(lzma.compress(MODULE.read_bytes(), check=lzma.CHECK_CRC32))
        first, second = self.dir / "first", self.dir / "second"
        for one, other in ((MODULE, given), (given, MODULE)):
            self.inject("--module", one, initrd, "-o", first)
            self.inject("--module", other, first, "-o", second)
            root = like_the_kernel(second, self.dir)
            content = injected_module(root).read_bytes()
            self.assertEqual(lzma.decompress(content) if injected_module(root).suffix == ".xz" else content, MODULE.read_bytes())
            self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS)[-1])
            shutil.rmtree(root)

    def test_a_driver_that_dkms_has_put_there_is_replaced(self):
        """F12, where the first is deeper below updates/."""
        made = {f"usr/lib/modules/{KVER}/updates/dkms/r8168_rust.ko": MODULE.read_bytes() + b"\0"}
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64), **made})
        self.inject("--module", MODULE, initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        found = list(root.rglob("r8168_rust.ko*"))
        self.assertEqual([file.read_bytes() == MODULE.read_bytes() for file in found], [True], found)

    def test_two_files_of_one_module_at_once(self):
        """F12: the same content is the same module; different ones are refused, for which is meant?"""
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64)})
        given = self.dir / "r8168_rust.ko.xz"
        given.write_bytes(lzma.compress(MODULE.read_bytes(), check=lzma.CHECK_CRC32))
        self.inject("--module", MODULE, "--module", given, initrd, "-o", self.out)
        self.assertIn("r8168_rust.ko", modprobe(like_the_kernel(self.out, self.dir), MODALIAS)[-1])
        given.write_bytes(lzma.compress(MODULE.read_bytes() + b"\0", check=lzma.CHECK_CRC32))
        self.refuse(2, "--module", MODULE, "--module", given, initrd, "-o", self.dir / "none", says=["both the module r8168_rust"])

    def test_nothing_is_put_beside_an_image_that_becomes_the_root(self):
        """F13: dracut's module squash throws the outer layer away."""
        for image in ("squashfs-root.img", "erofs-root.img"):
            files = {image: b"hsqs", "usr/lib/dracut/hooks/x": b"x"}
            initrd = hand_made(self.dir / image.partition("-")[0], self.dir / f"{image}.gz", files)
            for what in (("--module", MODULE), ("--file", f"{MODULE}:/x")):
                self.refuse(3, *what, initrd, "-o", self.out, says=[image, "throws away", "--omit"])
            self.assertIn(image, self.inject("--list", initrd).out)
            self.refuse(3, "--verify", "--module", "e1000e", initrd, says=[image])

    def test_modules_compressed_by_gzip(self):
        """F14: Debian's kmod has no zlib, those of Alpine and Tiny Core do."""
        initrd = hand_made(self.dir / "gz", self.dir / "gz.gz", {"usr/bin/busybox": program_for(X86_64)}, suffix=".gz")
        given = self.dir / "r8168_rust.ko.gz"
        given.write_bytes(gzip.compress(MODULE.read_bytes(), mtime=0))
        for module, name in ((MODULE, "r8168_rust.ko"), (given, "r8168_rust.ko.gz")):
            self.inject("--module", module, initrd, "-o", self.out)
            root = like_the_kernel(self.out, self.dir)
            self.assertEqual(injected_module(root).read_bytes(), module.read_bytes())
            self.assertEqual(modprobe(root, MODALIAS)[-1:], [name])
            self.assertEqual(modprobe(root, "e1000e")[-1:], ["e1000e.ko.gz"])
            dep = (root / "usr/lib/modules" / KVER / "modules.dep").read_text()
            self.assertIn("kernel/e1000e.ko.gz:", dep)
            shutil.rmtree(root)
        # Given to an initrd that shows no use of gzip.
        self.inject("--module", given, small_initrd(self.dir / "small", self.dir / "small.gz"), "-o", self.out)
        self.assertEqual(injected_module(like_the_kernel(self.out, self.dir)).name, "r8168_rust.ko")

    def test_a_damaged_module_inside_is_named_by_its_place(self):
        """F14: a temporary file's path means nothing to the user."""
        top = tree(self.dir / "bad", {"usr/bin/busybox": b"x", f"lib/modules/{KVER}/kernel/e1000e.ko.gz": b"\x1f\x8bnot"})
        errors = self.refuse(3, "--module", MODULE, pack(top, self.dir / "bad.gz"), "-o", self.out, says=["kernel/e1000e.ko.gz"])
        self.assertNotIn("/tmp/", errors)

    def test_an_initrd_of_systemd_alone(self):
        """F15: mkosi-initrd's has etc/initrd-release, and modules are listed in modules-load.d."""
        for release in ("etc/initrd-release", "usr/lib/initrd-release"):
            loader = {"usr/lib/systemd/systemd": program_for(X86_64), "usr/lib/systemd/systemd-modules-load": program_for(X86_64)}
            name = release.replace("/", "-")
            initrd = hand_made(self.dir / name, self.dir / f"{name}.gz", {release: b"ID=debian\n", "conf/modules": b"", **loader})
            report = self.inject("--module", MODULE, initrd, "-o", self.out).out
            self.assertIn("systemd in an initrd", report)
            root = like_the_kernel(self.out, self.dir)
            self.assertEqual((root / "etc/modules-load.d/inject-initrd.conf").read_text(), "r8168_rust\n")
            shutil.rmtree(root)

    def test_the_one_of_mkosi_initrd(self):
        """F15, made by mkosi with its own configuration for initrds."""
        initrd, missing = MADE / "mkosi.zstd", MADE / "mkosi.missing"
        if missing.exists():
            self.skipTest(f"mkosi made none: {missing.read_text().strip()}")
        report = self.inject("--module", MODULE, "--modules", KERNEL, initrd, "-o", self.out).out
        self.assertIn("systemd in an initrd", report)
        root = like_the_kernel(self.out, self.dir)
        self.assertEqual((root / "etc/modules-load.d/inject-initrd.conf").read_text(), "r8168_rust\n")
        self.assertIn("realtek.ko.xz", modprobe(root, "realtek"))
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS)[-1])
        self.assertIn("loaded by modules-load.d", self.inject("--verify", "10ec:8168", self.out, "--kernel", KERNEL / "vmlinuz").out)

    def test_the_one_of_tiny_initramfs(self):
        """Made by mktirfs: its init loads what a list names, so a module that is added to it is loaded by nothing."""
        initrd = MADE / "tiny-initramfs.gzip"
        self.assertIn(": tiny-initramfs,", self.inject("--list", initrd).out)
        for option in (("--module", MODULE), ("--alias-only", "e1000e=10ec:8168")):
            self.refuse(3, *option, initrd, "-o", self.out, says=["mktirfs --include-modules"])
        self.refuse(3, "--verify", "10ec:8168", initrd, says=["/e1000e.ko", "whatever devices there are"])
        self.inject("--file", f"{PROGRAM}:/x", initrd, "-o", self.out)
        self.assertEqual((like_the_kernel(self.out, self.dir) / "x").read_bytes(), PROGRAM.read_bytes())

    def test_an_initrd_with_half_of_the_indexes_gets_those_that_are_needed(self):
        """Found by mutants: exit status 5, an error of inject-initrd, where the initrd had no modules.alias.bin."""
        top = self.dir / "half"
        hand_made(top, self.dir / "half.gz", {"usr/bin/busybox": program_for(X86_64)})
        for file in (top / "usr/lib/modules" / KVER).glob("modules.*"):
            if file.name != "modules.dep":
                file.unlink()
        self.inject("--module", MODULE, pack(top, self.dir / "half.gz"), "-o", self.out)
        self.assertIn("r8168_rust.ko", modprobe(like_the_kernel(self.out, self.dir), MODALIAS))

    def test_other_flavours_are_still_what_they_were(self):
        """F15's sibling: dracut and Anaconda have initrd-release too."""
        self.assertIn(": dracut,", self.inject("--list", MADE / "dracut.gzip").out)
        self.assertIn("Anaconda", self.inject("--list", anaconda_initrd(self.dir, self.dir / "anaconda")).out)

    def test_a_hint_is_written_through_a_link(self):
        """F3's sibling: a link that the program comes upon by itself stays a link."""
        files = {"usr/bin/busybox": program_for(X86_64), "etc/modules": ("../run/modules",), "run/modules": b"e1000e\n"}
        initrd = hand_made(self.dir / "linked", self.dir / "linked.gz", files)
        self.inject("--module", MODULE, initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        self.assertTrue((root / "etc/modules").is_symlink())
        self.assertEqual((root / "run/modules").read_text(), "e1000e\nr8168_rust\n")

    def test_a_tree_may_have_any_name(self):
        """F17: the directory behind a link need not be called like the release; its modules tell what they are for."""
        initrd = hand_made(self.dir / "small", self.dir / "small.gz", {"usr/bin/busybox": program_for(X86_64)})
        other = self.dir / "tree"
        shutil.copytree(KERNEL, other, copy_function=os.link if os.stat(KERNEL).st_dev == os.stat(self.dir).st_dev else os.symlink)
        self.inject("--module", "tg3", "--modules", other, initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        self.assertTrue(modprobe(root, "tg3"))
        wrong = tree(self.dir / "wrong", {"modules.dep": b""})
        self.refuse(2, "--module", "tg3", "--modules", wrong, initrd, "-o", self.dir / "none", says=["expected", KVER])
