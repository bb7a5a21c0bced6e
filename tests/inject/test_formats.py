# SPDX-License-Identifier: GPL-2.0
"""Real initrds of dracut and initramfs-tools in every compression, and the Debian installer's."""

import subprocess

from support import INSTALLER, KERNEL, KVER, MADE, MODALIAS, MODULE, Case, cut, decompress, inject, like_the_kernel, listing, modprobe, unpack


def made(flavour):
    """The initrds of a flavour that make-initrds has made."""
    found = sorted(path for path in MADE.glob(f"{flavour}.*") if path.suffix != ".log")
    assert found, f"no initrd of {flavour} in {MADE}"
    return found


class Formats(Case):
    def injected(self, path, mode):
        """The path of the initrd with the module in it, after what holds for every initrd has been looked at."""
        out = self.dir / "out"
        before = path.read_bytes()
        self.inject("--module", MODULE, "--modules", KERNEL, mode, path, "-o", out)
        self.assertEqual(path.read_bytes(), before)
        work = self.dir / "work"
        work.mkdir()
        root = like_the_kernel(out, work)
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS))
        self.assertTrue(modprobe(root, "realtek"), "realtek.ko was not added")
        self.assertTrue(modprobe(root, "e1000e"), "the index has lost what was there before")
        subprocess.run(["rm", "-rf", str(work)], check=True)
        return out

    def test_append_keeps_the_original_bytes(self):
        for flavour in ("initramfs-tools", "dracut"):
            for path in made(flavour):
                with self.subTest(path.name):
                    out = self.injected(path, "--append")
                    before = path.read_bytes()
                    self.assertEqual(out.read_bytes()[: len(before)], before)

    def test_repack_keeps_every_other_member(self):
        for flavour in ("initramfs-tools", "dracut"):
            # Those with microcode have everything that the others have.
            for path in (path for path in made(flavour) if "microcode" in path.name):
                with self.subTest(path.name):
                    out = self.injected(path, "--repack")
                    before, after = self.members(path), self.members(out)
                    self.assertEqual(before, {name: line for name, line in after.items() if name in before})

    def members(self, path):
        """GNU cpio's account of every member, but for those that injecting has to change."""
        lines = {}
        for part in inject("--list", "--json", path).json()["initrd"]["segments"]:
            piece = cut(path, part["offset"], part["end"], self.dir / "piece")
            decompress(piece, part["compression"], self.dir / "plain")
            lines.update(listing(self.dir / "plain"))
        return {name: line for name, line in lines.items() if "/modules." not in name and name != "conf/modules"}

    def test_what_makes_each_flavour_load_it(self):
        for flavour, path, line in (
            ("initramfs-tools", "conf/modules", "r8168_rust"),
            ("dracut", "etc/cmdline.d/50-inject-initrd.conf", "rd.driver.pre=r8168_rust"),
        ):
            out = self.injected(MADE / f"{flavour}.gzip", "--append")
            root = like_the_kernel(out, self.dir)
            self.assertIn(line, (root / path).read_text().splitlines())
            subprocess.run(["rm", "-rf", str(root)], check=True)

    def test_the_same_bytes_every_time_and_nothing_twice(self):
        for path in (MADE / "dracut.zstd", MADE / "initramfs-tools.xz+microcode", MADE / "dracut.lz4"):
            for mode in ("--append", "--repack"):
                with self.subTest(f"{path.name} {mode}"):
                    options = ("--module", MODULE, "--modules", KERNEL, mode)
                    first, second, again = (self.dir / name for name in ("first", "second", "again"))
                    self.inject(*options, path, "-o", first)
                    self.inject(*options, path, "-o", second)
                    self.assertEqual(first.read_bytes(), second.read_bytes())
                    self.inject(*options, first, "-o", again)
                    self.assertEqual(first.read_bytes(), again.read_bytes())


class DebianInstaller(Case):
    initrd = INSTALLER / "initrd.gz"

    def test_a_module_for_another_kernel_is_refused_with_the_way_out(self):
        self.refuse(3, "--module", MODULE, self.initrd, "-o", self.dir / "out", says=[KVER, "6.12", "--kernel", "--modules"])
        self.assertFalse((self.dir / "out").exists())

    def test_the_kernel_is_swapped(self):
        out = self.dir / "out"
        options = ("--module", MODULE, "--kernel", KERNEL / "vmlinuz", "--modules", KERNEL)
        report = self.inject("--json", *options, self.initrd, "-o", out).json()
        self.assertEqual(report["mode"], "repack")
        self.assertTrue(any("anna/no_kernel_modules=true" in note for note in report["notes"]))
        self.assertIn("libphy", report["left_out"]["built into the new kernel"])
        self.assertTrue(any("symbols: all" in check for check in report["checks"]))
        decompress(out, "gzip", self.dir / "plain")
        decompress(self.initrd, "gzip", self.dir / "before")
        after, before = listing(self.dir / "plain"), listing(self.dir / "before")
        stays = {name: line for name, line in before.items() if not name.startswith("usr/lib/modules/")}
        self.assertEqual(stays, {name: line for name, line in after.items() if name in stays})
        self.assertFalse([name for name in after if "6.12" in name])
        self.assertTrue(after["dev/console"].startswith("crw"))
        root = like_the_kernel(out, self.dir)
        self.assertTrue((root / "lib").is_symlink())
        self.assertIn("r8168_rust.ko", modprobe(root, MODALIAS))
        for name in ("realtek", "ahci", "ext4", "virtio_net", "usb_storage", "nls_utf8"):
            self.assertTrue(modprobe(root, name), f"modprobe does not find {name}")
        self.assertEqual(list((root / "usr/lib/modules").iterdir()), [root / "usr/lib/modules" / KVER])

    def test_an_answer_file_and_an_id_are_appended(self):
        answers = self.dir / "answers"
        answers.write_text("d-i debian-installer/locale string C.UTF-8\n")
        out = self.dir / "out"
        self.inject("--file", f"{answers}:/preseed.cfg", "--alias-only", "tg3=10ec:8168", self.initrd, "-o", out)
        size = self.initrd.stat().st_size
        added = cut(out, (size + 3) & ~3, out.stat().st_size, self.dir / "added")
        decompress(added, "gzip", self.dir / "plain")
        root = self.dir / "added-root"
        lines = listing(self.dir / "plain")
        self.assertEqual(sorted(lines), ["etc/modprobe.d/inject-initrd.conf", "preseed.cfg"])
        unpack(self.dir / "plain", root)
        self.assertEqual((root / "preseed.cfg").read_bytes(), answers.read_bytes())
        text = (root / "etc/modprobe.d/inject-initrd.conf").read_text()
        self.assertEqual(text, "alias pci:v000010ECd00008168sv*sd*bc*sc*i* tg3\n")
        # modprobe itself reads that as an alias.
        done = subprocess.run(["modprobe", "-C", str(root / "etc/modprobe.d"), "-c"], capture_output=True, text=True, check=True)
        self.assertIn("alias pci:v000010ECd00008168sv*sd*bc*sc*i* tg3", done.stdout)
