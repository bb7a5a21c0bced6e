# SPDX-License-Identifier: GPL-2.0
"""Manual pages say what --help says, and `make install` puts them in place, below DESTDIR too."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = ("head-node", "passthrough", "report-card")
KVER = "7.3.4-test"


def printed(*command, **options):
    """Returns what a command prints."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, **options).stdout


def words(text):
    """The words of a text, without what only its form has."""
    return re.sub(r"\\e", r"\\", text.replace("\\-", "-").replace("\\&", "")).split()


class Manuals(unittest.TestCase):
    """scripts/manual."""

    def test_every_word_of_the_help_is_in_the_page_in_order(self):
        for program in PROGRAMS:
            with self.subTest(program):
                said = printed(TOP / "scripts" / program, "--help")
                usage, _, rest = said.partition("\n\n")
                page = printed(TOP / "scripts/manual", program)
                synopsis, description = page.partition(".SH DESCRIPTION\n")[::2]
                body = re.sub(r"^\.(TP|PP|B ?|nf|fi)", "", description.partition(".SH SEE ALSO")[0], flags=re.MULTILINE)
                self.assertEqual(words(body), words(rest))
                for line in usage.splitlines():
                    self.assertIn(line.removeprefix("Usage: ").strip().removeprefix("scripts/"), synopsis.replace("\\-", "-"))

    def test_each_option_begins_a_paragraph(self):
        for program in PROGRAMS:
            said = printed(TOP / "scripts" / program, "--help")
            tags = re.findall(r"^\.TP\n\.B (.*)$", printed(TOP / "scripts/manual", program).replace("\\-", "-"), re.MULTILINE)
            for option in re.findall(r"^  (--[a-z-]+)", said, re.MULTILINE):
                with self.subTest(f"{program} {option}"):
                    self.assertTrue(any(tag.startswith(option) for tag in tags), tags)

    def test_the_summary_is_one_line(self):
        for program in PROGRAMS:
            name = re.search(r"^\.SH NAME\n(.*)\n\.SH", printed(TOP / "scripts/manual", program), re.MULTILINE)
            self.assertRegex(name[1].replace("\\-", "-"), rf"^{program} - [a-z].{{10,100}}[^.:]$")

    def test_what_has_no_help(self):
        for name in ("none", "lib.sh"):
            done = subprocess.run([TOP / "scripts/manual", name], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)


class Install(unittest.TestCase):
    """scripts/load --install with DESTDIR, by a user who is not root: `id` says so."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        for name, text in (("modinfo", f"echo '{KVER} SMP'"), ("id", "echo 1000"), ("depmod", "exit 9"), ("update-initramfs", "exit 9")):
            stub = self.dir / "bin" / name
            stub.parent.mkdir(exist_ok=True)
            stub.write_text(f"#!/bin/sh\n{text}\n")
            stub.chmod(0o755)
        self.module = self.dir / "r8168_rust.ko"
        self.module.write_bytes(b"module")
        self.environment = {**os.environ, "PATH": f"{self.dir}/bin:{os.environ['PATH']}", "XDG_CACHE_HOME": str(self.dir)}

    def load(self, *arguments, **variables):
        """Runs it; returns the exit status and what it says."""
        done = subprocess.run([TOP / "scripts/load", *arguments], env={**self.environment, **variables}, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    def files(self):
        """Returns what is below DESTDIR."""
        root = self.dir / "root"
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

    def test_all_is_below_destdir_and_goes_again(self):
        root = str(self.dir / "root")
        self.assertEqual(self.load("--install", str(self.module), DESTDIR=root, PREFIX="/usr")[0], 0)
        pages = {f"usr/share/man/man8/{name}.8" for name in (*PROGRAMS, "inject-initrd")} | {"usr/share/man/man4/r8168_rust.4"}
        self.assertEqual(self.files(), {f"lib/modules/{KVER}/updates/r8168_rust.ko", "usr/lib/modprobe.d/10-r8168_rust.conf", *pages})
        page = (self.dir / "root/usr/share/man/man8/head-node.8").read_text()
        self.assertEqual(page, printed(TOP / "scripts/manual", "head-node"))
        self.assertEqual(self.load("--uninstall", DESTDIR=root, PREFIX="/usr", KVER=KVER)[0], 0)
        self.assertEqual(self.files(), set())

    def test_half_a_file_does_not_stay(self):
        """It fails as on a disk that is full."""
        for program, half in (("install", 'for file; do :; done; echo half >"$file"'), ("awk", "echo half")):
            with self.subTest(program):
                stub = self.dir / "bin" / program
                stub.write_text(f"#!/bin/sh\n{half}\nexit 1\n")
                stub.chmod(0o755)
                self.assertEqual(self.load("--install", str(self.module), DESTDIR=str(self.dir / "root"))[0], 1)
                self.assertEqual([name for name in self.files() if name.endswith(".part")], [])
                stub.unlink()

    def test_the_rule_and_the_pages_stay_for_another_kernel(self):
        root = str(self.dir / "root")
        self.assertEqual(self.load("--install", str(self.module), DESTDIR=root)[0], 0)
        other = self.dir / "root/lib/modules/other/updates/r8168_rust.ko"
        other.parent.mkdir(parents=True)
        other.touch()
        self.assertEqual(self.load("--uninstall", DESTDIR=root, KVER=KVER)[0], 0)
        self.assertIn("usr/local/share/man/man4/r8168_rust.4", self.files())
        self.assertIn("usr/lib/modprobe.d/10-r8168_rust.conf", self.files())

    def test_a_file_that_is_no_module(self):
        root = str(self.dir / "root")
        for text, line in (
            ("exit 1", f"load: error: {self.module} names no kernel that it is built for: it is no module; build it again: make clean && make\n"),
            (None, "load: error: found no program modinfo; install the package kmod\n"),
        ):
            stub = self.dir / "bin/modinfo"
            if text:
                stub.write_text(f"#!/bin/sh\n{text}\n")
            else:
                stub.unlink()
            if text or not shutil.which("modinfo", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
                self.assertEqual(self.load("--install", str(self.module), DESTDIR=root), (1, line))
                self.assertEqual(self.files(), set())

    def test_refusals(self):
        status, said = self.load("--install", str(self.module), DESTDIR="root")
        self.assertEqual((status, said), (2, f"load: DESTDIR is a directory's whole path, not 'root' (try {TOP}/scripts/load --help)\n"))
        status, said = self.load("--install", str(self.module))
        self.assertEqual(status, 1)
        self.assertIn(f"is built for {KVER}", said)
        status, said = self.load("--uninstall", DESTDIR=str(self.dir / "root"), KVER=KVER)
        self.assertEqual(status, 1)
        self.assertIn("nothing is installed for 7.3.4-test", said)


if __name__ == "__main__":
    unittest.main()
