# SPDX-License-Identifier: GPL-2.0
"""Preseed files, compared with questions like those of the installer."""

import contextlib
import io
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import support

from archive.errors import UsageError, UserError
from cluster import answers
from cluster.preseed import Preseed, questions

# As in debconf templates of the installer, with what is special in each.
INSTALLER = r"""Template: passwd/root-login
Type: boolean
Default: true
Description: Allow login as root?

Template: passwd/root-password-crypted
Type: password
Description: for internal use

Template: partman/mount_style
Type: select
Choices-C: traditional, label, uuid
Choices: device file name, label\, or name, UUID
Choices-de.UTF-8: Name der Gerätedatei, Label, UUID
Description: Method to identify file systems:

Template: languagechooser/x
Type: select
Choices: a\, b, c
Description: Language

Template: mirror/country
Type: select
Choices: ${countries}
Description: mirror country:

Template: hw-detect/firmware-lookup
Type: text
Description: for expert use; can be preseeded

Template: apt-setup/services-select
Type: multiselect
Choices-C: security, updates, backports
Choices: security updates, release updates, backported software
Description: Services to use:

Template: time/zone
Type: select
Choices: ${CHOICES}
Description: time zone:

Template: partman-auto/method
Type: string
Description: for internal use

Template: partman-auto/expert_recipe
Type: string
Description: for internal use

Template: finish-install/reboot_in_progress
Type: note
Description: Installation complete

Template: partman-auto/choose_recipe
Type: select
Choices: ${RECIPES}
Description: Partitioning scheme:
"""
SYSTEM = """Template: popularity-contest/participate
Type: boolean
Default: false
Description: Participate?
"""


class Preseeds(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="preseed-"))
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "installer.templates").write_text(INSTALLER)
        (self.dir / "system.templates").write_text(SYSTEM)
        self.file = self.dir / "preseed.cfg"

    def said(self, text):
        self.file.write_bytes(text.encode())
        return "\n".join(Preseed(self.file, questions(self.dir)).complaints)

    def test_what_the_installer_asks_and_takes_is_fine(self):
        for line in (
            "d-i passwd/root-login boolean false",
            "d-i passwd/root-password-crypted password *",
            "d-i partman/mount_style select uuid",
            "d-i languagechooser/x select a, b",
            "d-i mirror/country string manual",
            "d-i mirror/udeb/suite string trixie",
            "d-i hw-detect/firmware-lookup string never",
            "d-i apt-setup/services-select multiselect security, updates",
            "d-i apt-setup/services-select multiselect",
            "d-i time/zone string Etc/UTC",
            "d-i passwd/root-login seen false",
            "d-i finish-install/reboot_in_progress note",
            "d-i apt-setup/local0/repository string http://a/b ./",
            "popularity-contest popularity-contest/participate boolean false",
            "# d-i nonesuch/x string y",
        ):
            self.assertEqual(self.said(f"{line}\n"), "", line)

    def test_each_fault_is_told_with_its_line(self):
        for line, words in (
            ("d-i passwd/root-logn boolean true", "passwd/root-logn: no part of this installer asks that"),
            ("d-i partman-auto-lvm/guided_size string max", "no part of this installer asks that"),
            ("d-i passwd/root-login boolean yes", "found 'yes', expected true or false"),
            ("d-i passwd/root-login boolean", "found '', expected true or false"),
            ("d-i passwd/root-login string true", "found the type string, the question is of the type boolean"),
            ("d-i passwd/root-login bool true", "found the type 'bool', expected one of string, boolean"),
            ("d-i partman/mount_style select by-uuid", "found 'by-uuid', expected one of"),
            ("d-i partman/mount_style string UUIDs", "found 'UUIDs', expected one of"),
            ("d-i apt-setup/services-select multiselect security, volatile", "found 'volatile', expected one of backports"),
            ("d-i popularity-contest/participate boolean false", "a package of the system asks that"),
            ("d-i time/zone string Europe/Nowhere", "there is no time zone 'Europe/Nowhere'"),
            (f"d-i time/zone string {'x' * 5000}", "there is no time zone 'xxx"),
            ("d-i partman-auto/method string lvm", "no partitions of the kind 'lvm'"),
            ("d-i partman-auto/expert_recipe string a :: 1 2 3 xfs filesystem{ xfs } .", "does not make the file system 'xfs'"),
            ("d-i passwd/root-login seen maybe", "seen is true or false"),
            ("d-i \N{NO-BREAK SPACE} passwd/root-login boolean true", "found the type 'passwd/root-login'"),
            ("passwd/root-login", "expected an answer: OWNER QUESTION TYPE VALUE"),
        ):
            with self.subTest(line):
                if "time/zone" in line and not Path("/usr/share/zoneinfo/Etc").is_dir():
                    continue
                said = self.said(f"# a comment\nd-i passwd/root-login boolean true\n\n{line}\n")
                self.assertTrue(said.startswith("line 4: "), said)
                self.assertIn(words, said)

    def test_a_backslash_joins_lines(self):
        """The answer's line is the one where it begins, and the next answer's its own."""
        said = self.said("d-i partman/mount_style \\\n  select \\\n  by-uuid\nd-i nonesuch/x string y\nd-i passwd/root-login \\\n boolean true\n")
        self.assertIn("line 1: partman/mount_style: found 'by-uuid'", said)
        self.assertIn("line 4: nonesuch/x", said)
        self.assertEqual(len(said.splitlines()), 2)

    def test_what_the_installers_reader_makes_of_odd_lines_is_told(self):
        """Its debconf-set-selections is a shell script of its own, and reads otherwise than debconf does."""
        sound = "d-i passwd/root-login boolean true\n"
        for text, words in (
            ("d-i partman/mount_style select uuid \\\n" + sound, "line 1: passwd/root-login: is no answer but a part of this line"),
            ("d-i partman/mount_style select uuid \\\n\n# x\n" + sound, "line 1: passwd/root-login: is no answer but a part of this line"),
            (sound + "d-i partman/mount_style select \\\nuuid \\\n", "line 2: found 'd-i partman/mount_style select uuid' with a backslash behind it"),
            ("\N{ZERO WIDTH NO-BREAK SPACE}#_preseed_V1\n" + sound, "line 1: begins with a byte order mark"),
            (sound + "  # root\n", "line 2: found '# root', expected an answer"),
            (sound + "  #root\n", "the installer stops reading the file there"),
            (sound + "  # may log in\n", "line 2: '# may log in' is no comment for the installer"),
            (sound[:-1] + " \n", "line 1: passwd/root-login: a space stands behind 'true'"),
            (sound[:-1] + "\rd-i partman/mount_style select uuid\r", "found 'trued-i partman"),
            ("d-i passwd/root-password-crypted password {{ password }}\n", "'{{ password }}' looks like a word of a template"),
            ("d-i time/zone string <%= @host.params['zone'] %>\n", "looks like a word of a template"),
            (sound + "d-i passwd/root-login \n", "the installer stops reading the file there"),
            ("d-i pass\x1b[31mwd/x string y\n", "line 1: pass\\x1b[31mwd/x: no part of this installer asks that"),
        ):
            with self.subTest(text):
                self.assertIn(words, self.said(text))
        for text in (sound.replace("\n", "\r\n"), "#x\n# y\n\r\n \n" + sound, "d-i partman/mount_style \\\n# x\n\n select uuid\n"):
            self.assertEqual(self.said(text), "", text)

    def test_what_is_no_preseed_file_is_refused(self):
        for text in ("install\ntext\nlang C\n", "rootpw x\n", "just words of a text\n"):
            self.file.write_text(text)
            with self.assertRaises(UsageError) as caught:
                Preseed(self.file, questions(self.dir))
            self.assertIn("line 1: this is no preseed file", str(caught.exception))
        for content in (b"\xff\xfe", b"a b/c string \0"):
            self.file.write_bytes(content)
            with self.assertRaises(UsageError):
                Preseed(self.file, questions(self.dir))
        with self.assertRaises(UsageError):
            Preseed(self.dir / "absent", questions(self.dir))
        (self.dir / "system.templates").unlink()
        with self.assertRaises(UserError) as caught:
            questions(self.dir)
        self.assertIn("scripts/kickstart-tree", str(caught.exception))

    def test_the_head_nodes_own_answers_have_words_to_be_filled_in(self):
        """Their values are not looked at, their questions are."""
        own = (support.TOP / "packaging/cluster/preseed.cfg").read_text()
        said = self.said(own)
        self.assertNotIn("@", said)
        asked = {line.split()[1] for line in own.splitlines() if line and not line.startswith("#")}
        known = set(re.findall(r"(?m)^Template: (.*)$", INSTALLER + SYSTEM))
        self.assertEqual(len(said.splitlines()), len(asked - known - {"mirror/udeb/suite"}), said)

    def test_head_node_takes_it_alone(self):
        file = self.dir / "system.templates"
        for arguments in ((self.dir / "absent",), (file, "eth0", "d"), (file, "--dry-run")):
            done = subprocess.run([support.TOP / "scripts/head-node", "--preseed", *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--preseed", done.stderr)


class Corpora(Preseeds):
    """The program that `make test-answers` runs."""

    def setUp(self):
        super().setUp()
        (self.dir / "kickseed").mkdir()
        for name in ("installer", "system"):
            (self.dir / f"{name}.templates").rename(self.dir / "kickseed" / f"{name}.templates")

    def summary(self, *files):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = answers.main(["--summary", "--tree", str(self.dir), *map(str, files)])
        return status, out.getvalue()

    def test_a_corpus_gets_a_line_a_file_and_a_summary(self):
        made = {"good": b"d-i passwd/root-login boolean true\n", "odd": b"d-i passwd/root-login boolean yes\n", "bytes": b"d-i a/b string \xff\n"}
        for name, content in made.items():
            (self.dir / name).write_bytes(content)
        status, said = self.summary(*(self.dir / name for name in made))
        self.assertEqual(status, 0, said)
        for words in ("good: preseed, as it should be\n", "odd: preseed, with complaints (1): line 1: ", "bytes: preseed, refused"):
            self.assertIn(words, said)
        self.assertTrue(said.endswith("3 answer files: 1 as it should be, 1 with complaints, 1 refused, 0 FAILED\n"), said)

    def test_one_that_ends_in_no_answer_fails_the_run(self):
        (self.dir / "ks").write_text("text\n")
        before = answers.Looker.look
        answers.Looker.look = lambda *_: 1 / 0
        try:
            status, said = self.summary(self.dir / "ks")
        finally:
            answers.Looker.look = before
        self.assertEqual(status, 1)
        self.assertIn("ks: kickstart, FAILED (1): ZeroDivisionError", said)

    def test_which_kind_a_file_is_of(self):
        kinds = {
            "d-i a/b string c\n": True,
            "# c\ntasksel tasksel/first multiselect\n": True,
            "text\nurl --url http://a/b\n": False,
            "%post\necho d-i a/b string\n": False,
        }
        for text, preseed in kinds.items():
            (self.dir / "x").write_text(text)
            self.assertEqual(answers.looks_like_preseed(self.dir / "x"), preseed, text)


# The tests of the class above are run where they stand.
for one in [name for name in dir(Preseeds) if name.startswith("test_")]:
    setattr(Corpora, one, None)
