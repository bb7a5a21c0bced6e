# SPDX-License-Identifier: GPL-2.0
"""packaging/stick/06r8168-rust, with stubs for the programs of the Debian installer, in a directory that stands for its root."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HOOK = TOP / "packaging/stick/06r8168-rust"
OLDER, OWN, OTHER = "6.12.99+deb13-amd64", "6.12.117+deb13-amd64", "6.12.120+deb13-amd64"
PREBUILT, SOURCE = f"r8168-rust-modules-{OWN}_0.1.0_amd64.deb", "r8168-rust-dkms_0.1.0_all.deb"

# What the script calls: $ROOT is the directory.
STUBS = {
    "logger": 'echo "$*" >>"$ROOT/log"',
    # Installs a module where the packages would.
    "in-target": """
echo "$*" >>"$ROOT/called"
case "$*" in
"dpkg -i "*) [ -e "$ROOT/target$3" ] && touch "$ROOT/target/usr/lib/modules/$(basename "$3" | sed 's/r8168-rust-modules-\\(.*\\)_0.*/\\1/')/r8168_rust.ko" ;;
*--fix-broken*) ;;
*) [ -e "$ROOT/mirror" ] || exit 100
	for word; do case $word in linux-headers-[0-9]*) mkdir -p "$ROOT/target/usr/lib/modules/${word#linux-headers-}/updates/dkms"
		touch "$ROOT/target/usr/lib/modules/${word#linux-headers-}/updates/dkms/r8168_rust.ko" ;; esac; done ;;
esac""",
    "chroot": """
shift
case $1 in
modinfo) [ -e "$ROOT/target/usr/lib/modules/$3/r8168_rust.ko" ] || [ -e "$ROOT/target/usr/lib/modules/$3/updates/dkms/r8168_rust.ko" ] ;;
dpkg-query) echo installed ;;
*) "$@" ;;
esac""",
}
CONFMODULE = """
db_x_loadtemplatefile() { [ -e "$1" ] && echo "load $2" >>"$ROOT/asked"; }
db_subst() { echo "subst $*" >>"$ROOT/asked"; }
db_input() { echo "input $*" >>"$ROOT/asked"; return 30; }
db_go() { :; }
"""


class Hook(unittest.TestCase):
    """The behaviour of the script."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        for name in ("bin", "target/root", "usr/share/debconf", "usr/share/r8168-rust", "sys/bus/pci/drivers/r8168_rust"):
            (self.root / name).mkdir(parents=True)
        for name, text in STUBS.items():
            (self.root / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.root / "bin" / name).chmod(0o755)
        (self.root / "usr/share/debconf/confmodule").write_text(CONFMODULE)
        for name in (PREBUILT, SOURCE, "templates"):
            (self.root / "usr/share/r8168-rust" / name).write_text("")
        text = HOOK.read_text()
        for name in ("/target", "/sys/", "/usr/share/"):
            text = text.replace(f" {name}", f" {self.root}{name}").replace(f'"{name}', f'"{self.root}{name}').replace(f"={name}", f"={self.root}{name}")
            text = text.replace(f"#{name}", f"#{self.root}{name}")
        (self.root / "hook").write_text(text)

    def kernel(self, *releases):
        """The new system has these kernels."""
        for release in releases:
            (self.root / "target/usr/lib/modules" / release / "kernel").mkdir(parents=True)

    def card(self):
        """The machine has the card."""
        (self.root / "sys/bus/pci/drivers/r8168_rust/0000:02:00.0").mkdir()

    def run_hook(self, mirror=True):
        """Runs it; it must never stop the installer."""
        if mirror:
            (self.root / "mirror").touch()
        environment = {**os.environ, "ROOT": str(self.root), "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        done = subprocess.run(["sh", self.root / "hook"], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return self.read("called")

    def read(self, name):
        """Returns what a stub has noted."""
        path = self.root / name
        return path.read_text() if path.exists() else ""

    def assert_clean(self, left):
        """The new system has these files of ours in /root, and nothing in the cache."""
        self.assertEqual([path.name for path in (self.root / "target/root").iterdir()], left)
        self.assertFalse((self.root / "target/var/cache/r8168-rust").exists())

    def test_without_a_card_nothing_is_installed(self):
        self.kernel(OWN)
        self.assertEqual(self.run_hook(), "")
        self.assertFalse((self.root / "target/var").exists())
        self.assertIn("no card", self.read("log"))

    def test_both_packages_are_installed(self):
        self.kernel(OWN)
        self.card()
        called = self.run_hook()
        self.assertIn(f"dpkg -i /var/cache/r8168-rust/{PREBUILT}", called)
        self.assertIn(f"install linux-headers-{OWN} linux-headers-amd64 /var/cache/r8168-rust/{SOURCE}", called)
        self.assertEqual(self.read("asked"), "")
        self.assert_clean([])

    def test_the_newest_kernel_counts(self):
        self.kernel(OLDER, OWN)
        self.card()
        self.run_hook(mirror=False)
        self.assertIn(f"subst r8168-rust/no-dkms KVER {OWN}", self.read("asked"))

    def test_another_kernel_is_built_for(self):
        self.kernel(OTHER)
        self.card()
        called = self.run_hook()
        self.assertNotIn("dpkg -i", called)
        self.assertIn(f"linux-headers-{OTHER}", called)
        self.assertEqual(self.read("asked"), "")

    def test_without_a_mirror_the_next_kernel_is_spoken_of(self):
        self.kernel(OWN)
        self.card()
        self.assertIn("--fix-broken", self.run_hook(mirror=False))
        self.assertIn("input high r8168-rust/no-dkms", self.read("asked"))
        self.assertIn(f"subst r8168-rust/no-dkms FILE /root/{SOURCE}", self.read("asked"))
        self.assert_clean([SOURCE])

    def test_without_a_driver_that_is_said(self):
        self.kernel(OTHER)
        self.card()
        self.run_hook(mirror=False)
        self.assertIn("input high r8168-rust/no-driver", self.read("asked"))
        self.assert_clean([SOURCE])


class Menu(unittest.TestCase):
    """The menu of the image."""

    def test_its_lines_are_shown_whole(self):
        text = "".join(path.read_text() for path in sorted((TOP / "packaging/stick").glob("grub*.cfg")))
        titles = re.findall(r'menuentry "([^"]*)"', text)
        self.assertGreaterEqual(len(titles), 4)
        for title in titles:
            # GRUB cuts off what a screen of 80 columns has no room for beside its frame.
            self.assertLessEqual(len(title), 70, title)


if __name__ == "__main__":
    unittest.main()
