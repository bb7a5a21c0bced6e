# SPDX-License-Identifier: GPL-2.0
"""Kickstart files, read by the installer's own kickseed. scripts/test-cluster says in KICKSEED_DIR where that is."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import support

from archive.errors import UsageError, UserError, printable
from cluster.kickstart import Kickstart
from needs import need

# Of the installer's questions, those that the files here answer.
QUESTIONS = """\
clock-setup/utc debian-installer/exit/poweroff debian-installer/locale finish-install/reboot_in_progress grub-installer/bootdev
mirror/country mirror/http/directory mirror/http/hostname mirror/http/proxy mirror/protocol netcfg/choose_interface netcfg/get_ipaddress
partman-auto/disk partman-auto/expert_recipe partman-auto/method partman/choose_partition partman/confirm
partman/confirm_nooverwrite passwd/root-login passwd/root-password passwd/root-password-again passwd/root-password-crypted pkgsel/include
tasksel/first time/zone
"""
OURS = {"debian-installer/locale": "C.UTF-8", "netcfg/choose_interface": "auto", "debian-installer/exit/poweroff": "true"}
ANSWERS = """\
d-i passwd/root-password-crypted password *
d-i time/zone string UTC
d-i partman-auto/expert_recipe string node :: 3000 10000 -1 ext4 $primary{ } .
d-i partman-auto/choose_recipe select node
d-i partman/early_command string debconf-set partman-auto/disk x
d-i pkgsel/include string vim
d-i grub-installer/bootdev string default
""".splitlines()


class Kickstarts(unittest.TestCase):
    """A file, and what is said of it."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-kickstart-")
        self.addCleanup(holder.cleanup)
        self.tree = Path(holder.name)
        shutil.copytree(need(self, "KICKSEED_DIR"), self.tree / "kickseed")
        (self.tree / "kickseed/questions").write_text(QUESTIONS)
        index = self.tree / "mirror/dists/trixie/main/binary-amd64/Packages"
        index.parent.mkdir(parents=True)
        index.write_text("Package: less\nVersion: 1\n\nPackage: vim\nVersion: 1\n")

    def read(self, text):
        """A kickstart file of that text."""
        path = self.tree / "ks.cfg"
        path.write_text(text)
        return Kickstart(path, self.tree, OURS)

    def said(self, text):
        """Returns what is said of a file of that text, in one line."""
        return "; ".join(self.read(text).complaints)

    def test_a_file_of_which_all_is_done_but_what_is_said(self):
        file = Kickstart(support.TOP / "tests/cluster/kickstart.cfg", self.tree, OURS)
        self.assertEqual(len(file.complaints), 1, file.complaints)
        self.assertIn("can't clear multiple drives; assuming just the first one", file.complaints[0])
        self.assertEqual(file.text, (support.TOP / "tests/cluster/kickstart.cfg").read_text())
        left = "\n".join(file.preseed(ANSWERS))
        for ours in ("root-password", "time/zone", "recipe"):
            self.assertNotIn(ours, left)
        for ours in ("early_command", "bootdev string default", "pkgsel/include string vim less"):
            self.assertIn(ours, left)

    def test_words_that_the_shell_changes(self):
        for line in ("rootpw --iscrypted '$6$abc$def'", "rootpw 'a;b$c' # it's"):
            self.assertIn("line 2: rootpw: kickseed puts a backslash before each $", self.said(f"text\n{line}\n"), line)
        for line in ("rootpw ~root", "rootpw *", "rootpw a?b", "rootpw 'a' [b]"):
            self.assertIn("line 1: rootpw: kickseed has the shell replace the ", self.said(f"{line}\n"), line)
        for line in ('rootpw --iscrypted "$6$abc$def"', "rootpw --iscrypted $6$abc$def", "rootpw 'a*?[~' # '$x' *", 'rootpw "~a*"', "rootpw a~b"):
            self.assertEqual(self.said(f"{line}\n"), "", line)
        self.assertEqual(self.read('rootpw --iscrypted "$6$abc$def"\n').answers["passwd/root-password-crypted"], "$6$abc$def")

    def test_what_kickseed_cannot_do_is_said_with_its_line(self):
        for line, words in {
            "selinux --enforcing": "Unrecognised kickstart command: selinux",
            "firewall --enabled": "firewall preseeding not supported yet",
            "raid / --level=1": "raid not supported yet",
            "upgrade": "upgrades using installer not supported",
            "network --onboot yes": "unrecognized option '--onboot'",
            "part swap --ondisk=sda --size 100": "unsupported restriction '--ondisk'",
            "keyboard us": "this installer does not ask",
        }.items():
            with self.subTest(line):
                self.assertRegex(self.said(f"text\n{line}\n"), f"^line 2: {line.split()[0]}: ")
                self.assertIn(words, self.said(f"text\n{line}\n"))

    def test_what_kickseed_passes_over_in_silence_is_said(self):
        for text, words in {
            "%packages --nobase --ignoremissing\nless\n": "%packages: kickseed takes no options here, so these have no effect: --nobase --ignoremissing",
            "%packages\nless vim # more\n": "less: kickseed takes one name a line, so these have no effect: vim",
            "cdrom\n": "cdrom: the head node decides where packages come from",
            "device eth e1000\n": "device: kickseed loads no module",
            "mouse --device psaux generic\n": "mouse: X asks nothing today",
            "xconfig --card x --startxonboot\n": "xconfig: X asks nothing today",
            "auth --enablenis --nisdomain=x\n": "auth: the mirror has no package nis",
            "reboot --eject\n": "reboot: kickseed takes no options here, so these have no effect: --eject",
            "zerombr no\n": "zerombr: kickseed takes no options here, so these have no effect: no",
            "lang C.UTF-8 --addsupport=de_DE.UTF-8\n": "lang: kickseed takes one name here, so these have no effect: --addsupport=de_DE.UTF-8",
            "part pv.1 --size 1 --grow\n": "part: this installer has no LVM",
            "volgroup vg pv.1\n": "volgroup: this installer has no LVM",
            "logvol / --vgname vg --name root --size 1 --fstype ext4\n": "logvol: this installer has no LVM",
            "part / --size=4G\n": "part: found the size '4G', expected a number of MiB",
            "part / --size 1 --grow --maxsize=a\n": "part: found the size 'a', expected a number of MiB",
            "part biosboot --size 1\n": "part: found the mount point 'biosboot', expected a path, or swap",
            "rootpw ''\n": "rootpw: this installer does not ask 'passwd/root-password-empty'",
        }.items():
            with self.subTest(text):
                number = len(text.splitlines())
                self.assertIn(f"line {number}: {words}" if not text.startswith("%packages --") else f"line 1: {words}", self.said(text))

    def test_what_needs_no_word_gets_none(self):
        for text in (
            "install\ntext\nskipx\nzerombr yes\ndeviceprobe\nfirewall --disabled\nclearpart --initlabel\n",
            "part / --fstype ext4 --size 3000 --grow --maxsize 9000 --asprimary\npart swap --recommended\npart /b/c --size=1\n",
            "%packages\nless # a pager\nvim\n# more\n\n",
        ):
            with self.subTest(text):
                self.assertNotIn("no effect", self.said(text))
                self.assertNotIn("expected", self.said(text))

    def test_what_the_head_node_decides_is_said(self):
        self.assertIn("line 1: url: the head node decides 'mirror/http/hostname'", self.said("url --url http://mirror.example/centos\n"))
        self.assertIn("'debian-installer/locale'", self.said("lang de_DE.UTF-8\n"))
        self.assertEqual(self.said("lang C.UTF-8\npoweroff\nbootloader --location=mbr\n"), "")

    def test_a_disk_that_is_named_is_that_disk(self):
        file = self.read("clearpart --drives=sdb\n")
        self.assertEqual(file.answers["partman-auto/disk"], "/dev/sdb")
        self.assertNotIn("early_command", "\n".join(file.preseed(ANSWERS)))

    def test_packages_that_the_mirror_lacks_are_said(self):
        said = self.said("%packages\n@Base\n@Cluster Support\nless\ngcc\n-vim\n")
        for words in ("line 5: gcc: the mirror has no such package", "Package group 'Cluster Support'", "has no effect: Base", "exclusions in %packages"):
            self.assertIn(words, said)
        self.assertNotIn("less", said)

    def test_sections_that_end_are_read_and_what_stands_behind_is_said(self):
        file = self.read("%packages\nless\n%end\n\n%post\necho x\n%end\n")
        self.assertEqual((file.complaints, file.text), ([], "%packages\nless\n\n%post\necho x\n"))
        self.assertIn("line 4: reboot: stands behind the %end of %post", self.said("%post\necho x\n%end\nreboot\n"))

    def test_scripts_are_not_run_here(self):
        self.read(f"%pre\ntouch {self.tree}/run\n%post --nochroot\ntouch {self.tree}/run\n")
        self.assertFalse((self.tree / "run").exists())

    def test_what_kickseed_would_have_the_shell_run_is_refused(self):
        ran = self.tree / "run"
        for line in (
            f"rootpw `touch {ran}`",
            f"rootpw x;touch {ran}",
            f"rootpw ';' ;touch {ran}",
            f"rootpw x#;touch {ran}",
            f"rootpw 'a#' ;touch {ran}",
            f"rootpw $(touch {ran})",
            rf'lang "\$(touch {ran})"',
            rf'lang "\\$(touch {ran})"',
            rf"lang \\$(touch {ran})",
            f'lang "`touch {ran}`"',
            f"text >{ran}",
            "rootpw 'x",
            'rootpw "x',
            f'%post --interpreter="$(touch {ran})"',
            f"%post --interpreter=$(touch {ran})",
            f'%pre --interpreter="`touch {ran}`"',
            f"%packages $(touch {ran})",
        ):
            with self.subTest(line), self.assertRaises(UsageError) as caught:
                self.read(f"text\n{line}\n")
            self.assertIn("line 2", str(caught.exception))
            self.assertFalse(ran.exists(), line)

    def test_what_the_shell_does_not_run_is_taken_as_it_is(self):
        password = "passwd/root-password"
        for words, question, value in (
            ("'a;b'", password, "a;b"),
            ("'a`b'", password, "a`b"),
            ('"a;b (c)" # ; and the rest', password, "a;b (c)"),
            ("a#b", password, "a#b"),
            ("--iscrypted $1$x$y", f"{password}-crypted", "$1$x$y"),
            ('--iscrypted "$1$(x)$y"', f"{password}-crypted", "$1$(x)$y"),
        ):
            with self.subTest(words):
                self.assertEqual(self.read(f"rootpw {words}\n").answers[question], value)

    def test_no_section_hides_a_line_from_the_check(self):
        """The files that are one for kickseed, and the lines that it takes for commands."""
        ran = self.tree / "run"
        for first in ("%post-install", "%addon x", "%\N{NO-BREAK SPACE}post", "\N{NO-BREAK SPACE}%post", "%post\N{NO-BREAK SPACE}x", "%end"):
            with self.subTest(first):
                with contextlib.suppress(UsageError):
                    self.read(f"{first}\nrootpw `touch {ran}`\n")
                self.assertFalse(ran.exists())
        with self.assertRaises(UsageError):
            self.read(f"%po\0st\nrootpw `touch {ran}`\n")

    def test_a_section_that_kickseed_does_not_know_is_left_out(self):
        file = self.read("text\n%addon x --enable\nrootpw `x`\n%end\nlang C.UTF-8\n%packages\nless\n%anaconda\npwpolicy\n%end\n%post\n%wheel ALL=(ALL) ALL\n")
        self.assertEqual(file.text, "text\nlang C.UTF-8\n%packages\nless\n%post\n%wheel ALL=(ALL) ALL\n")
        self.assertEqual(len(file.complaints), 2, file.complaints)
        for complaint, words in zip(file.complaints, ("line 2: %addon: ", "line 8: %anaconda: "), strict=True):
            self.assertIn(f"{words}kickseed knows no such section; it is left out", complaint)

    def refused(self, text):
        """The error of a file of that text."""
        with self.assertRaises(UsageError) as caught:
            self.read(text)
        return str(caught.exception)

    def test_a_line_with_which_kickseed_does_not_end_is_refused(self):
        """F9: its loops over options go on for ever with some; in the installer too."""
        for line in ("url --url http://10.1.1.1", "url --url nfs://a/b", "volgroup a pv.1 --useexisting", "url --url=http://mirror.example"):
            with self.subTest(line):
                said = self.refused(f"text\n{line}\nlang C.UTF-8\n")
                self.assertIn(f"line 2: {line.split()[0]}: kickseed does not come to an end", said)

    def test_a_file_system_that_the_installer_does_not_make_is_said(self):
        """F10: kickseed passes on any name."""
        for line in (
            "part / --fstype=xfs --size=4000",
            "part /x --size 1 --fstype btrfs",
            "logvol /y --vgname a --name b --size 1 --fstype='vfat'",
            "partition / --fs=xfs --size 1",
        ):
            with self.subTest(line):
                self.assertIn(f"line 2: {line.split()[0]}: this installer does not make the file system", self.said(f"text\n{line}\n"))
        self.assertNotIn("file system", self.said("part / --fstype=ext4 --size 4000\npart swap --fstype=swap --size 96\n"))
        # Its questions say more than what is known here.
        with open(self.tree / "kickseed/questions", "a", encoding="utf-8") as out:
            out.write("partman/filesystem_long/xfs\npartman/filesystem_long/ext4\npartman/filesystem_long/ntfs\n")
        self.assertIn("does not make the file system 'ntfs'", self.said("part /x --fstype=ntfs --size=4000\n"))
        self.assertNotIn("file system", self.said("part / --fstype=xfs --size=4000\n"))

    def test_a_time_zone_that_does_not_exist_is_said(self):
        """F10's sibling."""
        if not Path("/usr/share/zoneinfo/Etc").is_dir():
            self.skipTest("no time zones here to compare with")
        self.assertIn("line 1: timezone: there is no time zone 'Europe/Nowhere'", self.said("timezone --utc Europe/Nowhere\n"))
        self.assertEqual(self.said("timezone --utc Europe/Berlin\n"), "")
        # Found by a mutant: longer than the name of any file.
        self.assertIn("there is no time zone 'aaa", self.said(f"timezone {'a' * 5000}\n"))

    def test_a_complaint_about_the_last_line_is_not_lost(self):
        """F17: what kickseed answers at the end by itself belongs to no line."""
        with open(self.tree / "kickseed/questions", "a", encoding="utf-8") as out:
            out.write("debconf/priority\n")
        for text in ("keyboard us\n", "keyboard us", "text\nkeyboard us\n# the end\n", "keyboard us\n%packages\nless\n"):
            with self.subTest(text):
                self.assertIn("keyboard: this installer does not ask", self.said(text))

    def test_a_repository_of_rpms_is_said(self):
        """F17: kickseed makes an apt source of it."""
        self.assertIn("line 1: repo: becomes the apt source 'http://a/b ./'", self.said("repo --name=x --baseurl=http://a/b\n"))
        self.assertEqual(self.said("repo --name=x --baseurl=http://a/b --distribution=trixie --components=main\n"), "")

    def test_ksappend_is_one_line(self):
        """F17: it has no %end, so nothing behind it is left out."""
        file = self.read("text\n%ksappend http://a/b\nlang C.UTF-8\nkeyboard us\n%packages\n%ksappend c\nless\n")
        self.assertEqual(file.text, "text\nlang C.UTF-8\nkeyboard us\n%packages\nless\n")
        said = "; ".join(file.complaints)
        for words in ("line 2: %ksappend: ", "line 4: keyboard: ", "line 6: %ksappend: "):
            self.assertIn(words, said)

    def test_a_byte_order_mark_is_not_served(self):
        """It was a part of the first word, and could not be seen in what was said of it."""
        for text in ("lang C.UTF-8\n", "#version=RHEL8\r\ntext\r\n"):
            file = self.read(f"\N{ZERO WIDTH NO-BREAK SPACE}{text}")
            self.assertEqual((file.complaints, file.text), ([], text.replace("\r", "")))

    def test_a_backslash_at_the_end_of_a_line_is_named(self):
        """Single quotes, as for other characters, would not help."""
        said = self.refused("text\npart / --fstype=ext4 \\\n  --size=3000\n")
        self.assertIn("line 2 ends with a backslash, which joins no lines", said)
        self.assertEqual(self.said("text\n%post\necho a \\\n  b\n"), "")

    def test_what_is_said_of_a_section_has_its_line(self):
        """Some had none: the options of scripts, and groups and exclusions among the packages."""
        text = "text\n%pre\n\n%pre --interpreter=/usr/bin/python3\n%packages\n@Base\n@ Cluster Support\nless\n-vim\n%post\n%post --log=/root/log\necho\n%end\n"
        said = self.read(text).complaints
        for words in (
            "line 4: %pre: kickseed: %pre interpreters other than /bin/sh",
            "line 6: @Base: the mirror has no tasks",
            "line 7: @: kickseed: Package group 'Cluster Support'",
            "line 9: -vim: kickseed: exclusions in %packages",
            "line 11: %post: kickseed: unrecognized option '--log=/root/log'",
        ):
            self.assertTrue(any(one.startswith(words) for one in said), f"{words}: {said}")
        self.assertEqual(len(said), 5, said)

    def test_what_is_not_printable_is_shown_as_that(self):
        """It drew on the terminal."""
        self.assertIn("line 1: foo\\x1b[31m: kickseed: Unrecognised kickstart command: foo\\x1b[31m", self.said("foo\x1b[31m\n"))

    def test_text_in_another_encoding_is_refused_with_the_way_out(self):
        for content in (b"text\n# \xe4\n", "text\n".encode("utf-16")):
            path = self.tree / "ks.cfg"
            path.write_bytes(content)
            with self.assertRaises(UsageError) as caught:
                Kickstart(path, self.tree, OURS)
            self.assertIn("iconv", str(caught.exception))

    def test_a_preseed_file_is_named(self):
        """F16: and where it goes."""
        for text in (
            "d-i passwd/root-login boolean true\nd-i debian-installer/locale string en_US\n",
            "# Contents\n\nd-i preseed/late_command string echo 'x; `y`\n",
            "tasksel tasksel/first multiselect standard\n",
        ):
            self.assertIn("is a preseed file of the Debian installer", self.refused(text))
            self.assertIn("--file FILE:/preseed.cfg", self.refused(text))

    def test_templates_are_named(self):
        """F16: what another program fills in first."""
        for line, kind in (
            ("#set $x = 1", "Cobbler"),
            ("#if $getVar('x', '') != ''", "Cobbler"),
            ("$SNIPPET('network_config')", "Cobbler"),
            ("SNIPPET::network_config", "Cobbler"),
            ("rootpw {{ password }}", "Jinja"),
            ("{% if x %}", "Jinja"),
            ("<% if x %>", "ERB"),
            ("url --url @KSTEST_URL@", "@NAME@"),
            ('<?xml version="1.0"?>', "AutoYaST"),
            ("#cloud-config", "Ubuntu"),
        ):
            with self.subTest(line):
                said = self.refused(f"{line}\ntext\n")
                self.assertIn("line 1: this is ", said)
                self.assertIn(kind, said)
        self.assertEqual(self.said("text\n%post\ndocker inspect -f '{{ .Id }}' x\n# <% %>\n"), "")

    def test_a_trial_without_a_tree_says_that_it_did_not_look(self):
        """F11: by --kickstart and by the plan."""
        top = self.tree / "checkout"
        (top / "scripts").mkdir(parents=True)
        (top / "packaging/cluster").mkdir(parents=True)
        for name in ("scripts/head-node", "scripts/lib.sh", "versions.conf", "packaging/cluster/cluster.conf"):
            shutil.copy(support.TOP / name, top / name)
        (top / "scripts/installer-tree").write_text("#!/bin/sh\necho would fetch\n")
        (top / "scripts/installer-tree").chmod(0o755)
        file = top / "ks.cfg"
        file.write_text("text\n")
        plan = top / "plan.conf"
        plan.write_text(re.sub(r"(?m)^kickstart *=.*$", f"kickstart = {file}", (top / "packaging/cluster/cluster.conf").read_text()))
        for options in (["--kickstart", str(file)], ["--plan", str(plan)]):
            done = subprocess.run(
                ["sh", str(top / "scripts/head-node"), *options, "--dry-run", "eth0", str(top / "d")], capture_output=True, text=True, check=False
            )
            if "must be root" in done.stderr:
                self.skipTest("only root may serve")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{file} was NOT LOOKED AT", done.stderr)

    def test_no_line_can_be_taken_for_a_sign_of_ours(self):
        """`at` set the number of a line, or ended in a traceback; so did an odd separator before it."""
        for line in ("at now", "at 3", "foo\x0cat\tx", "foo\x0csection\tx"):
            word = printable(line.split()[0] if line.startswith("at") else line.split("\t")[0])
            with self.subTest(line):
                said = self.read(f"text\n{line}\nkeyboard us\n").complaints
                self.assertEqual(len(said), 2, said)
                self.assertEqual(said[0], f"line 2: {word}: kickseed: Unrecognised kickstart command: {word}")
                self.assertIn("line 3: keyboard: this installer does not ask", said[1])

    def test_an_answer_may_have_tabs(self):
        self.assertEqual(self.read("rootpw 'a\tb\t'\n").answers["passwd/root-password"], "a\tb\t")

    def test_a_kickseed_without_a_function_of_ours_is_named(self):
        """Another version of it: what it reads would be lost in silence."""
        for file, function in (
            ("handlers/pre.sh", "pre_handler_section"),
            ("handlers/post.sh", "post_handler_section"),
            ("kickseed.sh", "kickseed"),
        ):
            path = self.tree / "kickseed" / file
            text = path.read_text()
            with self.subTest(function), self.assertRaises(UserError) as caught:
                path.write_text(re.sub(rf"(?m)^{function}\b", f"{function}_of_another_name", text))
                self.read("text\n")
            path.write_text(text)
            self.assertIn(f"found no function {function} in {self.tree}/kickseed, ", str(caught.exception))
            self.assertEqual((caught.exception.status, len(str(caught.exception).splitlines())), (1, 1))

    def test_a_tree_without_kickseed_and_a_missing_file_are_named(self):
        with self.assertRaises(UsageError):
            Kickstart(self.tree / "no.cfg", self.tree, OURS)
        shutil.rmtree(self.tree / "kickseed")
        with self.assertRaises(UserError) as caught:
            self.read("text\n")
        self.assertIn("scripts/kickstart-tree", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
