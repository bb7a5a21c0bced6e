# SPDX-License-Identifier: GPL-2.0
"""The ends of the head node's programs: a user sees no traceback, whatever the outputs and the names of files are."""

import contextlib
import errno
import io
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import support

from archive.ends import ended
from archive.errors import UsageError
from archive.tools import replace
from cluster import serve


class Ends(unittest.TestCase):
    """Of scripts/answers, by a corpus of one; and of any that ends so."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="test-ends-"))
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "kickseed").mkdir()
        for name in ("installer", "system"):
            (self.dir / f"kickseed/{name}.templates").write_text("Template: a/b\nType: string\n\n")
        (self.dir / "good.cfg").write_text("d-i a/b string x\n" * 3)

    def answers(self, rest, *names, locale="C.UTF-8"):
        """The exit status, and what is said, of scripts/answers in a shell's line that goes on with `rest`."""
        files = [os.path.join(os.fsencode(self.dir), os.fsencode(name)) for name in names]
        command = f'{support.TOP}/scripts/answers --summary --tree {self.dir} "$@" {rest}'
        done = subprocess.run(["bash", "-c", command, "sh", *files], capture_output=True, check=False, env={**os.environ, "LC_ALL": locale})
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_a_reader_that_has_gone(self):
        status, _, errors = self.answers("| true; exit ${PIPESTATUS[0]}", *["good.cfg"] * 3)
        self.assertEqual((status in (0, 141), errors), (True, ""))
        status, _, errors = self.answers("| head -n 1 >/dev/null; exit ${PIPESTATUS[0]}", *["good.cfg"] * 3)
        self.assertEqual((status in (0, 141), errors), (True, ""))

    def test_a_disk_that_is_full(self):
        self.assertEqual(self.answers(">/dev/full", "good.cfg"), (1, "", "answers: error: what is said cannot be written: No space left on device\n"))

    def test_names_that_are_no_utf_8_and_an_output_that_has_no_umlauts(self):
        (self.dir / os.fsdecode(b"b\xe4d\x1b[31m\n.cfg")).write_text("d-i a/b string x\n")
        (self.dir / "umlaut").write_text("d-i \N{LATIN SMALL LETTER A WITH DIAERESIS}/b string x\n")
        for locale in ("C.UTF-8", "POSIX"):
            status, said, errors = self.answers("", b"b\xe4d\x1b[31m\n.cfg", "umlaut", locale=locale)
            self.assertEqual((status, errors), (0, ""))
            self.assertIn("\\x1b[31m\\n.cfg: preseed, as it should be\n", said)
            self.assertEqual(len(said.splitlines()), 3, said)

    def test_what_is_no_file_is_an_error(self):
        """The exit status without --summary was 0."""
        done = subprocess.run([support.TOP / "scripts/answers", "--tree", self.dir, self.dir], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
        self.assertIn(f"{self.dir}: Is a directory", done.stderr)

    def redirected(self, code, rest):
        """The exit status, and what is said, of a program that does that and ends so, in a shell's line that goes on with `rest`."""
        program = f"import os, sys\nsys.path.insert(0, {str(support.TOP / 'scripts')!r})\nfrom archive.ends import ended\n{code}\nsys.exit(ended('prog', act))"
        done = subprocess.run(["bash", "-c", f'PYTHONUNBUFFERED= python3 -B -c "$1" {rest}', "sh", program], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_an_output_that_is_closed_or_full(self):
        """It ended in a traceback, or with the interpreter's own status, 120."""
        gone = "def act(): raise BrokenPipeError"
        full = "def act(): raise OSError(28, 'No space left on device')"
        words = "def act(): print('words', end=''); sys.stderr and sys.stderr.write('words')"
        later = f"import time\n{words.replace('print', 'time.sleep(0.5); print')}"
        interrupted = "def act(): print('words', end=''); raise KeyboardInterrupt"
        line = "prog: error: what is said cannot be written: No space left on device\n"
        for code, rest, expected in (
            (gone, ">&-", (141, "", "")),
            (gone, "2>&-", (141, "", "")),
            (full, ">&-", (1, "", line)),
            (full, ">&- 2>&-", (1, "", "")),
            (words, ">&- 2>&-", (0, "", "")),
            (words, "2>/dev/full", (1, "words", "")),
            (words, ">/dev/full", (1, "", f"words{line}")),
            (words, ">/dev/full 2>/dev/full", (1, "", "")),
            (later, "2> >(exec true)", (141, "words", "")),
            (interrupted, ">/dev/full", (130, "", "")),
        ):
            with self.subTest(code=code, rest=rest):
                self.assertEqual(self.redirected(code, rest), expected)

    def test_a_file_that_is_replaced_by_half_leaves_nothing(self):
        """Ctrl-C left a file with an odd name."""
        path = self.dir / "kept"
        path.write_text("as it was")
        before = sorted(self.dir.iterdir())
        for error in (KeyboardInterrupt(), OSError(errno.ENOSPC, "full")):
            with self.subTest(error), mock.patch("os.replace", side_effect=error), self.assertRaises(type(error)):
                replace(path, "half")
            self.assertEqual(sorted(self.dir.iterdir()), before)
        self.assertEqual(path.read_text(), "as it was")

    def said(self, action):
        """The exit status of what does that, and its error."""
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            status = ended("prog", action)
        return status, errors.getvalue()

    def test_each_end_has_its_status_and_its_line(self):
        def fails(error):
            def action():
                raise error

            return action

        self.assertEqual(self.said(lambda: None), (0, ""))
        self.assertEqual(self.said(lambda: 3), (3, ""))
        self.assertEqual(self.said(fails(UsageError("a\nb"))), (2, "prog: error: a\\nb\n"))
        self.assertEqual(self.said(fails(KeyboardInterrupt())), (130, ""))
        self.assertEqual(self.said(fails(OSError(errno.EROFS, "Read-only file system", "/x"))), (1, "prog: error: /x: Read-only file system\n"))

    def test_the_head_node_ends_so_before_it_serves(self):
        """Ctrl-C while it listened for another server ended in a traceback."""
        if os.geteuid():
            self.skipTest("only root may serve")
        before = serve.run_head
        for error, status in ((KeyboardInterrupt(), 130), (OSError(errno.ENOSPC, "No space left on device", "/x"), 1)):

            def fails(_, error=error):
                raise error

            serve.run_head = fails
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    self.assertEqual(serve.main(["--tree", "t", "--plan", "p", "eth0", "d"]), status)
            finally:
                serve.run_head = before

    def test_errors_of_another_package_and_a_hint(self):
        class OtherError(Exception):
            status = 4

        def fail(error):
            raise error

        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertEqual(ended("prog", lambda: fail(OtherError("a")), (UsageError, OtherError)), 4)
            self.assertEqual(ended("prog", lambda: fail(UsageError("b")), hint="; logs are in X"), 2)
            self.assertEqual(ended("prog", lambda: fail(OSError(errno.ENOSPC, "full", "x")), hint="; logs are in X"), 1)
            self.assertEqual(ended("prog", lambda: fail(KeyboardInterrupt())), 130)
            with self.assertRaises(OtherError):
                ended("prog", lambda: fail(OtherError("a mistake of ours is not reported in one line")))
        self.assertEqual(said.getvalue(), "prog: error: a\nprog: error: b; logs are in X\nprog: error: x: full; logs are in X\n")


if __name__ == "__main__":
    unittest.main()
