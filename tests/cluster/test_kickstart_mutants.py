# SPDX-License-Identifier: GPL-2.0
"""Mutants of kickstart and preseed files: each is read, or refused in one line, in bounded time, and nothing in it is run. What is served of
a kickstart file, and a preseed file in which nothing is found, is confirmed by debconf's own reader."""

import os
import random
import subprocess
import time
from pathlib import Path

import support
import test_kickstart
import test_preseed

from archive.errors import UserError
from cluster.kickstart import Kickstart
from cluster.preseed import Preseed, Question, questions

COUNT = int(os.environ.get("MUTANTS") or 200)
SEED = int(os.environ.get("SEED") or 8168)
# kickseed's processor time is bounded to five seconds; the rest is for a machine that others use as well.
TIMEOUT = 130
# How many results debconf reads in one go.
AT_ONCE = 50
LINES = """\
part / --fstype ext4 --size 3000 --grow
part pv.01 --size 1 --grow
volgroup vg pv.01
logvol / --vgname=vg --name=root --size=2000 --fstype=ext4
raid / --level=1 --device=md0 raid.01 raid.02
url --url http://10.1.1.1/debian
nfs --server=a --dir=/b
repo --name=a --baseurl=http://a/b
network --bootproto=static --ip=10.1.1.2 --netmask=255.0.0.0 --device=eth0
keyboard us
lang en_US.UTF-8
rootpw --iscrypted $1$a$b
user --name=a --password=b
timezone --utc Europe/Berlin
bootloader --location=mbr --append="a b"
clearpart --drives=sda,sdb
auth --useshadow --enablemd5
preseed --owner d-i a/b string c
xconfig --depth 8
%include /nonexistent
%packages
@ Base
-vim
%pre
%post --nochroot
%end
%ksappend x
d-i passwd/root-login boolean true
""".splitlines()
WORDS = [
    "",
    "''",
    '"',
    "'",
    "\\",
    "`x`",
    "$(touch @RUN@)",
    "${x}",
    ";touch @RUN@",
    "&& touch @RUN@",
    "--",
    "-",
    "--x",
    "=",
    "a" * 5000,
    "\t",
    "\v",
    "\N{NO-BREAK SPACE}",
    "\0",
    "%s%n",
    "*",
    "~",
    "http://",
    "ftp://a",
    "/",
    "9" * 40,
    "\r",
]


# What a preseed file may have more, or wrong.
ANSWERS = """\
d-i passwd/root-login boolean true
d-i passwd/root-login boolean yes
d-i passwd/root-login seen false
d-i partman/mount_style select uuid
d-i partman/mount_style select \\
d-i apt-setup/services-select multiselect security, \\, updates
d-i nonesuch/x string ${y}
d-i a/b bool true
d-i partman-auto/expert_recipe string a :: 1 2 3 xfs filesystem{ xfs } .
popularity-contest popularity-contest/participate boolean
passwd/root-login
""".splitlines()


def mutant(original, source, more=LINES):
    """The text with some things wrong."""
    lines = original.splitlines()
    for _ in range(source.choice([1, 2, 5])):
        at = source.randrange(len(lines)) if lines else 0
        kind = source.choice(["insert", "delete", "twice", "word", "word", "exchange", "cut", "join", "section"])
        if kind == "insert" or not lines:
            lines.insert(at, source.choice(more))
        elif kind == "delete":
            del lines[at]
        elif kind == "twice":
            lines.insert(at, lines[source.randrange(len(lines))])
        elif kind == "word":
            words = lines[at].split(" ")
            words.insert(source.randrange(len(words) + 1), source.choice(WORDS))
            lines[at] = source.choice([" ", ""]).join(words)
        elif kind == "exchange":
            words = lines[at].split(" ")
            source.shuffle(words)
            lines[at] = " ".join(words)
        elif kind == "cut":
            lines[at] = lines[at][: source.randrange(len(lines[at]) + 1)]
        elif kind == "join" and at:
            lines[at - 1 : at + 1] = [lines[at - 1] + " " + lines[at]]
        else:
            lines.insert(at, source.choice(["%post", "%packages", "%pre", "%end", "%addon x", "%", "%%", "#", "# `x`"]))
    return "\n".join(lines) + source.choice(["\n", "", "\r\n"])


class KickstartMutants(test_kickstart.Kickstarts):
    def test_mutants(self):
        ran = self.tree / "run"
        originals = [(support.TOP / "tests/cluster/kickstart.cfg").read_text(), "\n".join(LINES[:-1]) + "\n", "\n".join(LINES[-1:] * 4) + "\n"]
        counts, served = {"read": 0, "refused": 0}, []
        for number in range(COUNT):
            text = mutant(originals[number % 3], random.Random(SEED * 1_000_003 + number)).replace("@RUN@", str(ran))
            path = Path(self.tree / "mutant.cfg")
            path.write_bytes(text.encode())
            started = time.monotonic()
            with self.subTest(f"number {number} (SEED={SEED})"):
                try:
                    file = Kickstart(path, self.tree, test_kickstart.OURS)
                    counts["read"] += 1
                    self.assertFalse([one for one in file.complaints if "\n" in one])
                    served.append(("\n".join(file.preseed(test_kickstart.ANSWERS)) + "\n", text))
                except UserError as error:
                    counts["refused"] += 1
                    self.assertEqual(len(str(error).splitlines()), 1, error)
                self.assertFalse(ran.exists(), text)
                self.assertLess(time.monotonic() - started, TIMEOUT)
                # Starting debconf for each took half of the time; where it finds something wrong they are read again one by one, to name it.
                if (len(served) == AT_ONCE or number == COUNT - 1) and not is_read(path, "#\n".join(one for one, _ in served)):
                    for one, mutated in served:
                        self.assertTrue(is_read(path, one), mutated)
                served = [] if len(served) == AT_ONCE else served
        print(f"{COUNT} mutants of answer files (SEED={SEED}): {counts}")
        self.assertGreater(min(counts.values()), COUNT // 20)


def is_read(path, text):
    """Returns whether debconf's own reader takes all of a preseed file."""
    path.write_text(text)
    done = subprocess.run(["debconf-set-selections", "--checkonly", str(path)], capture_output=True, text=True, check=False)
    # Whether a question was seen is not known here, where none is asked.
    return not [line for line in done.stderr.splitlines() if line and "Cannot find a question for" not in line]


READER = os.environ.get("PRESEED_READER")


def installer_sets(path):
    """Returns what the installer's debconf-set-selections sets, as (question, value); None where it stops with an error."""
    text = "".join(line for line in Path(READER).read_text().splitlines(keepends=True) if not line.startswith(". "))
    # What is set as an answer is marked as seen as well.
    tell = 'db_set() { printf \'%s\\t%s\\n\' "$1" "$2"; }; db_fset() { [ "$type" != seen ] || db_set "$1" "$3"; }; log() { :; }; logfile=/dev/null\n'
    # The shell is the installer's own too, and its sed and grep.
    programs = Path(READER).parent / "bin"
    command = [str(programs / "sh"), "-c", tell + text, "debconf-set-selections", str(path)]
    done = subprocess.run(command, capture_output=True, check=False, env={"PATH": str(programs)})
    lines = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    return [tuple(line.split("\t", 1)) for line in lines] + ([] if done.returncode == 0 else [None])


class PreseedMutants(test_preseed.Preseeds):
    def test_mutants(self):
        own = (support.TOP / "packaging/cluster/preseed.cfg").read_text()
        originals = [own, "\n".join(line for line in ANSWERS if "root-login boolean" not in line) + "\n", "\n".join(ANSWERS[:4:3] * 8) + "\n"]
        asked, counts = questions(self.dir), {"in order": 0, "complaints": 0, "refused": 0, "read by the installer": 0}
        for words in (line.split() for line in own.splitlines() if line and not line.startswith("#")):
            asked.setdefault(words[1], Question(words[2], set(), words[0] == "d-i"))
        for number in range(COUNT):
            text = mutant(originals[number % 3], random.Random(SEED * 1_000_003 + number), ANSWERS)
            path = self.dir / "mutant.cfg"
            path.write_bytes(text.encode())
            started = time.monotonic()
            with self.subTest(f"number {number} (SEED={SEED})"):
                try:
                    file = Preseed(path, asked)
                    # What others take to read it is not its time.
                    self.assertLess(time.monotonic() - started, TIMEOUT)
                    counts["complaints" if file.complaints else "in order"] += 1
                    self.assertFalse([one for one in file.complaints if "\n" in one or not one.startswith("line ")])
                    if READER and number % 10 == 0:
                        counts["read by the installer"] += 1
                        self.assertEqual(installer_sets(path), file.answers, text)
                except UserError as error:
                    counts["refused"] += 1
                    self.assertEqual(len(str(error).splitlines()), 1, error)
                    self.assertLess(time.monotonic() - started, TIMEOUT)
        if not READER:
            print("the installer's own reader of preseed files was not asked: make test-inject names it by PRESEED_READER")
        print(f"{COUNT} mutants of preseed files (SEED={SEED}): {counts}")
        self.assertGreater(min(counts["in order"], counts["complaints"]), COUNT // 50)


# Their own tests are run where they stand.
for name in [one for one in dir(test_kickstart.Kickstarts) if one.startswith("test_")]:
    setattr(KickstartMutants, name, None)
for name in [one for one in dir(test_preseed.Preseeds) if one.startswith("test_")]:
    setattr(PreseedMutants, name, None)
