# SPDX-License-Identifier: GPL-2.0
"""Ours comes before r8169, by the programs that are in each initrd: r8169 of Linux 7.0 to 7.2 oopses when it meets XID 0x300."""

import os
import shutil
import subprocess

from support import INSTALLER, KERNEL, KVER, MADE, MODALIAS, MODULE, X86_64, Case, hand_made, like_the_kernel, program_for


class First(Case):
    def inject_ours(self, initrd, *options):
        """The unpacked result, in which r8169 is, too."""
        self.inject("--module", MODULE, "--modules", KERNEL, *options, initrd, "-o", self.dir / "out")
        root = like_the_kernel(self.dir / "out", self.dir)
        self.addCleanup(shutil.rmtree, root)
        return root

    def loads(self, root, *command):
        """The modules that a program of the initrd would load, in their order."""
        done = subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, check=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        paths = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("insmod")]
        return [path.rpartition("/")[2].partition(".ko")[0] for path in paths]

    def check_order(self, root, *modprobe):
        """Ours first, whether the card or r8169's name is asked for."""
        for what in (MODALIAS, "r8169"):
            with self.subTest(f"{' '.join(modprobe)} {what}"):
                loaded = self.loads(root, *modprobe, what)
                self.assertIn("r8169", loaded)
                self.assertIn("r8168_rust", loaded[: loaded.index("r8169")], loaded)

    def check_kmod(self, root):
        self.check_order(root, "modprobe", "-S", KVER, "--show-depends")

    def test_in_the_debian_installer(self):
        self.check_kmod(self.inject_ours(INSTALLER / "initrd.gz", "--kernel", KERNEL / "vmlinuz"))

    def test_in_initramfs_tools(self):
        self.check_kmod(self.inject_ours(MADE / "initramfs-tools.gzip"))

    def test_in_dracut(self):
        self.check_kmod(self.inject_ours(MADE / "dracut.gzip"))

    def test_in_dracut_with_systemd(self):
        self.check_kmod(self.inject_ours(MADE / "dracut-systemd.gzip", "--module", "r8169"))

    def test_by_busybox(self):
        """It knows no softdeps, and takes the last module first that an alias leads to."""
        files = {"usr/bin/busybox": program_for(X86_64), "etc/modules": b"r8169\n"}
        initrd = hand_made(self.dir / "busybox", self.dir / "busybox.gz", files, module="r8169")
        root = self.inject_ours(initrd)
        shutil.copy("/usr/bin/busybox", root / "usr/bin/busybox")
        # It asks the kernel for its release.
        (root / "usr/lib/modules" / os.uname().release).symlink_to(KVER)
        self.check_order(root, "/bin/busybox", "modprobe", "-D")
        loaded = self.loads(root, "/bin/busybox", "modprobe", "-D", "r8169")
        self.assertEqual(len(loaded), len(set(loaded)), loaded)

    def test_the_users_own_rule_stays(self):
        rule = b"softdep r8168_rust pre: r8169\n"
        files = {"usr/bin/busybox": program_for(X86_64), "etc/modprobe.d/10-r8168_rust.conf": rule}
        root = self.inject_ours(hand_made(self.dir / "own", self.dir / "own.gz", files, module="r8169"))
        self.assertEqual((root / "etc/modprobe.d/10-r8168_rust.conf").read_bytes(), rule)
