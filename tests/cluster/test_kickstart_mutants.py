# SPDX-License-Identifier: GPL-2.0
"""Mutants of kickstart and preseed files: each is read, or refused in one line, in bounded time, and nothing in it is run."""

import os
import random
import time
from pathlib import Path

import support
import test_kickstart

from archive.errors import Refusal
from cluster.kickstart import Kickstart

COUNT = int(os.environ.get("MUTANTS") or 200)
SEED = int(os.environ.get("SEED") or 8168)
# kickseed's processor time is bounded to five seconds; the rest is for a machine that others use as well.
LONGEST = 130
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
    "", "''", '"', "'", "\\", "`x`", "$(touch @RUN@)", "${x}", ";touch @RUN@", "&& touch @RUN@", "--", "-", "--x", "=",
    "a" * 5000, "\t", "\v", "\N{NO-BREAK SPACE}", "\0", "%s%n", "*", "~", "http://", "ftp://a", "/", "9" * 40, "\r",
]


def mutant(original, source):
    """The text with some things amiss."""
    lines = original.splitlines()
    for _ in range(source.choice([1, 2, 5])):
        at = source.randrange(len(lines)) if lines else 0
        kind = source.choice(["insert", "delete", "twice", "word", "word", "exchange", "cut", "join", "section"])
        if kind == "insert" or not lines:
            lines.insert(at, source.choice(LINES))
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
        counts = {"read": 0, "refused": 0}
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
                    file.preseed(test_kickstart.ANSWERS)
                except Refusal as refusal:
                    counts["refused"] += 1
                    self.assertEqual(len(str(refusal).splitlines()), 1, refusal)
                self.assertFalse(ran.exists(), text)
                self.assertLess(time.monotonic() - started, LONGEST)
        print(f"{COUNT} mutants of answer files (SEED={SEED}): {counts}")
        self.assertGreater(min(counts.values()), COUNT // 20)


# Its own tests are run where they stand.
for name in [one for one in dir(test_kickstart.Kickstarts) if one.startswith("test_")]:
    setattr(KickstartMutants, name, None)
