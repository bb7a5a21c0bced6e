# SPDX-License-Identifier: GPL-2.0
"""Tests of what the options do, besides injecting; and that --help, man page and program agree."""

import os
import re
import signal
import subprocess
import sys
import time

from support import INSTALLER, KERNEL, KVER, MODULE, PROGRAM, TOP, Case, anaconda_initrd, gzip, inject, like_the_kernel, pack, small_initrd, tree


class Options(Case):
    def setUp(self):
        super().setUp()
        self.initrd = small_initrd(self.dir / "small", self.dir / "initrd")
        self.out = self.dir / "out"

    def test_a_dry_run_tells_all_and_writes_nothing(self):
        options = ("--json", "--module", MODULE, "--modules", KERNEL, self.initrd, "-o", self.out)
        planned = self.inject("--dry-run", *options).json()
        self.assertFalse(self.out.exists())
        done = self.inject(*options).json()
        self.assertEqual(done.pop("output")["path"], str(self.out))
        self.assertEqual(planned, done)
        self.assertIn(f"usr/lib/modules/{KVER}/updates/r8168_rust.ko", done["added"])

    def test_verify_asks_for_a_module(self):
        self.inject("--module", MODULE, "--modules", KERNEL, self.initrd, "-o", self.out)
        for name in (MODULE, "r8168_rust"):
            self.assertIn("checked: r8168_rust: r8168_rust (updates/", self.inject("--verify", "--module", name, self.out).out)
            self.refuse(3, "--verify", "--module", name, self.initrd, says=["no module r8168_rust", "--module"])

    def test_a_module_by_its_name(self):
        report = self.inject("--json", "--module", "tg3", "--modules", KERNEL, self.initrd, "-o", self.out).json()
        names = [path.rpartition("/")[2].partition(".")[0] for path in report["added"]]
        self.assertIn("tg3", names)
        self.refuse(2, "--module", "nonesuch", "--modules", KERNEL, self.initrd, "-o", self.dir / "none", says=["no module nonesuch"])

    def test_errors_are_json_too(self):
        outcome = self.inject("--json", "--list", self.dir / "absent", status=2)
        self.assertEqual(set(outcome.json()), {"error", "status"})
        self.assertEqual(outcome.json()["status"], 2)

    def test_what_is_not_understood_is_refused_in_one_line(self):
        self.refuse(2, says=["INITRD", "--help"])
        self.refuse(2, "--nonesuch", self.initrd, says=["--nonesuch", "--help"])
        self.refuse(2, "--append", "--repack", self.initrd, says=["--append", "--repack"])
        self.assertEqual(self.inject("--json", "--nonesuch", self.initrd, status=2).json()["status"], 2)

    def test_the_time_of_what_is_added(self):
        outputs = []
        for epoch in ("1000000000", "1100000000"):
            self.inject("--file", f"{MODULE}:/added", self.initrd, "-o", self.out, SOURCE_DATE_EPOCH=epoch)
            root = like_the_kernel(self.out, self.dir)
            outputs.append(int((root / "added").stat().st_mtime))
            subprocess.run(["rm", "-rf", str(root)], check=True)
        self.assertEqual(outputs, [1000000000, 1100000000])

    def test_one_that_is_told_to_end_leaves_nothing(self):
        for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            options = ["--module", str(MODULE), "--kernel", str(KERNEL / "vmlinuz"), "--modules", str(KERNEL)]
            command = [str(PROGRAM), *options, str(INSTALLER / "initrd.gz"), "-o", str(self.out)]
            environment = {**os.environ, "TMPDIR": str(self.dir / "tmp")}
            # Who runs the tests in the background may have had SIGINT ignored, which programs inherit.
            heard = {"preexec_fn": lambda number=number: signal.signal(number, signal.SIG_DFL)}
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **heard) as running:
                # It is at work once it has a directory for that.
                while running.poll() is None and not any((self.dir / "tmp").iterdir()):
                    time.sleep(0.05)
                running.send_signal(number)
                errors = running.communicate(timeout=60)[1]
            self.assertEqual(running.returncode, status, errors)
            self.assertNotIn("Traceback", errors)
            self.assertEqual(list((self.dir / "tmp").iterdir()), [])
            self.assertEqual([path.name for path in self.dir.iterdir() if "out" in path.name], [])

    def test_no_signal_comes_before_the_directory_is_known(self):
        script = f"""
import os, signal, sys, tempfile
sys.path.insert(0, {str(PROGRAM.parent)!r})
from inject import cli
make = tempfile.mkdtemp
def interrupted(*arguments, **named):
    made = make(*arguments, **named)
    os.kill(os.getpid(), signal.SIGTERM)
    return made
tempfile.mkdtemp = interrupted
sys.exit(cli.main(["--list", "nothing"]))
"""
        environment = {**os.environ, "TMPDIR": str(self.dir / "tmp")}
        done = subprocess.run([sys.executable, "-B", "-c", script], check=False, capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode, 143, done.stderr)
        self.assertEqual(list((self.dir / "tmp").iterdir()), [])

    def test_anaconda_is_told_from_dracut(self):
        initrd = anaconda_initrd(self.dir, self.dir / "anaconda")
        self.assertIn("Anaconda (dracut)", self.inject("--list", initrd).out)
        self.inject("--module", MODULE, "--modules", KERNEL, initrd, "-o", self.out)
        root = like_the_kernel(self.out, self.dir)
        self.assertEqual((root / "etc/cmdline.d/50-inject-initrd.conf").read_text(), "rd.driver.pre=r8168_rust\n")

    def test_an_unknown_flavour_wants_to_be_named(self):
        initrd = pack(tree(self.dir / "odd", {"init": b"#!/bin/sh\n"}), self.dir / "odd.gz")
        answers = f"{MODULE}:/x"
        self.refuse(3, "--file", answers, initrd, "-o", self.out, says=["--flavour"])
        self.inject("--file", answers, "--flavour", "busybox", initrd, "-o", self.out)
        self.assertEqual(gzip.decompress(initrd.read_bytes())[:6], b"070701")

    def test_help_and_man_page_have_every_option_and_status(self):
        text = inject("--help").out
        page = (TOP / "docs/inject-initrd.8").read_text().replace("\\-", "-")
        options = set(re.findall(r"--[a-z][a-z-]+", text.partition("examples:")[0])) - {"--help"}
        self.assertGreater(len(options), 12)
        self.assertEqual(set(re.findall(r"--[a-z][a-z-]+", page)), options)
        statuses = text.partition("exit status:")[2].partition("SOURCE_DATE_EPOCH")[0]
        for status in re.findall(r"^  (\d+)", statuses, re.MULTILINE):
            self.assertRegex(page, rf"(?m)^\.BR? {status}\b")

    def test_the_man_pages_are_well_formed(self):
        for page in ("inject-initrd.8", "r8168_rust.4", "rtl8111b.1"):
            done = subprocess.run(
                ["man", "--warnings", "-l", str(TOP / "docs" / page)],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
