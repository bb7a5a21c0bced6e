# SPDX-License-Identifier: GPL-2.0
"""Damaged and truncated initrds: a clear error or a valid result, in bounded time and memory, and the input as it was."""

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import traceback

import guest_reader
from support import KERNEL, MODULE, Case, cut, decompress, forked, pack, small_initrd, tree

from inject.initrd import Initrd

COUNT = int(os.environ.get("DAMAGED") or 1000)
SEED = int(os.environ.get("SEED") or 8168)
# For every run, with its children, on a machine that others use as well; a sound small initrd takes a tenth of the memory, and seconds.
TIMEOUT = 180
MEMORY = 1 << 30
# How many results of a run are kept for the kernel's own unpacker.
KEPT = 8
# What is added to most of them.
ANSWERS = b"d-i debian-installer/locale string C.UTF-8\n" * 50


def damage(content, random_source):
    """The content with one kind of damage."""
    data = bytearray(content)
    kind = random_source.choice(["truncate", "flip", "flips", "zero", "random", "repeat", "swap", "digits", "grow"])
    at = random_source.randrange(len(data))
    length = min(random_source.choice([1, 4, 16, 512, 4096]), len(data) - at)
    if kind == "truncate":
        del data[at:]
    elif kind == "flip":
        data[at] ^= 1 << random_source.randrange(8)
    elif kind == "flips":
        for _ in range(64):
            data[random_source.randrange(len(data))] ^= 1 << random_source.randrange(8)
    elif kind == "zero":
        data[at : at + length] = bytes(length)
    elif kind == "random":
        data[at : at + length] = random_source.randbytes(length)
    elif kind == "repeat":
        data[at:at] = data[at : at + length]
    elif kind == "swap":
        other = random_source.randrange(len(data))
        data[at : at + length], data[other : other + length] = data[other : other + length], data[at : at + length]
    elif kind == "digits":
        # In a plain archive: the sizes in a header.
        header = data.rfind(b"070701", 0, at + 1)
        place = max(header, 0) + random_source.choice([6, 14, 38, 54, 94])
        data[place : place + 8] = random_source.choice([b"FFFFFFFF", b"80000000", b"00000000", b"0000100g", b"-0000001"])
    else:
        data += random_source.randbytes(length)
    return bytes(data), kind


class Damage(Case):
    # At least one in so many is refused as damaged.
    noticed = 3

    def test_damaged_initrds(self):
        self.all(COUNT, "damaged initrds")

    def all(self, count, what):
        """Runs the program on that many of them, by as many processes as there are processors."""
        (self.dir / "answers").write_bytes(ANSWERS)
        # As a module is shipped: compressing what is for debuggers would take half of the time.
        subprocess.run(["strip", "--strip-debug", "-o", str(self.dir / MODULE.name), str(MODULE)], check=True)
        # Some half of them are refused. What is added and how goes by numbers that two and three divide.
        self.step = next(step for step in range(max(1, count // (2 * KEPT)), count + 3) if step % 2 and step % 3)
        originals = self.originals()
        started = time.monotonic()
        sys.stdout.flush()
        workers = []
        share = -(-count // os.cpu_count())
        # What is done goes by the number: one process in two would have all modules if the numbers were dealt out in turn.
        for first in range(0, count, share):
            if not (worker := os.fork()):
                os._exit(self.work(range(first, min(first + share, count)), originals, self.dir / f"said-{first}"))
            workers.append(worker)
        self.assertEqual([os.waitpid(worker, 0)[1] for worker in workers], [0] * len(workers))
        said = [json.loads(line) for file in self.dir.glob("said-*") for line in file.read_text().splitlines()]
        statuses = [status for status, _ in said]
        counts = {status: statuses.count(status) for status in sorted(set(statuses))}
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        print(f"{count} {what} (SEED={SEED}): exit statuses {counts}, {time.monotonic() - started:.0f} s, largest process {peak} MiB")
        problems = [problem for _, problem in said if problem]
        self.assertFalse(problems, "\n".join([f"{len(problems)} of them:", *problems[:20]]))
        self.assertEqual(len(said), count)
        self.assertLess(peak << 20, MEMORY)
        # Damage that is never noticed would be a test of nothing.
        self.assertGreater(counts.get(1, 0), count // self.noticed)

    def work(self, numbers, originals, said):
        """Runs the program on some of them, and writes down the outcome of each."""
        try:
            with open(said, "w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(self.one(number, originals[number % len(originals)])) + "\n" for number in numbers)
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    def originals(self):
        """Small initrds in every form."""
        plain = pack(tree(self.dir / "tree", {"bin/busybox": b"x" * 5000, "init": b"#!/bin/sh\n", "etc/modules": b"a\n"}), self.dir / "p", compress=bytes)
        full = small_initrd(self.dir / "small", self.dir / "full")
        commands = [
            ["cat"],
            ["gzip", "-nc"],
            ["xz", "--check=crc32", "-c"],
            ["xz", "--format=lzma", "-c"],
            ["bzip2", "-c"],
            ["zstd", "-qc"],
            ["lz4", "-lqc"],
        ]
        packed = [subprocess.run(command, input=plain.read_bytes(), capture_output=True, check=True).stdout for command in commands]
        return [full.read_bytes(), *packed, *(plain.read_bytes() + one for one in packed[1:])]

    def mutant(self, original, random_source):
        """One made of an original, and what was done to it."""
        return damage(original, random_source)

    def unconfirmed(self, original, out, added, repacked, work):
        """Returns what independent readers do not find in a result: the compressions' own programs, GNU cpio, and bsdcpio."""
        work.mkdir()
        result, problems, members = out.read_bytes(), [], {}
        if not repacked and not result.startswith(original):
            problems.append("does not begin with the initrd's own bytes")
        verified = forked("--verify", "--json", out)
        if verified.status not in (0, 5):
            problems.append("is not read by the program itself")
        listed = verified if verified.status == 0 else forked("--list", "--json", out)
        parts = listed.json()["initrd"]["segments"] if listed.status == 0 else []
        if not parts:
            problems.append(f"cannot be listed: {listed.errors}")
        end = 0
        for part in parts:
            if result[end : part["offset"]].strip(b"\0"):
                problems.append(f"has something between two segments, before byte {part['offset']}")
            end = part["end"]
        # What was not written anew is as odd as it was.
        for part in [one for one in parts if repacked or one["offset"] >= len(original)]:
            piece = cut(out, part["offset"], part["end"], work / "piece")
            plain = work / f"plain-{part['offset']}"
            try:
                decompress(piece, part["compression"], plain)
            except subprocess.CalledProcessError as error:
                problems.append(f"has a segment at byte {part['offset']} that {error.cmd[0]} does not take")
                continue
            names = [self.names(reader, plain) for reader in ("cpio", "bsdcpio")]
            if not part["microcode"] and None in names:
                problems.append(f"has a segment at byte {part['offset']} that {'bsdcpio' if names[0] is not None else 'GNU cpio'} does not take")
            for name in names[0] or ():
                members[os.path.normpath(os.fsdecode(name)).lstrip("/")] = (plain, name)
        for name in added:
            if name not in members:
                problems.append(f"lacks {name} for GNU cpio")
            elif name.endswith("/added") and self.content(*members[name]) != ANSWERS:
                problems.append(f"has another content in {name} for GNU cpio")
        shutil.rmtree(work)
        return problems

    @staticmethod
    def names(reader, plain):
        """The members of an archive, as a reader has them; nothing if it finds fault with it."""
        with open(plain, "rb") as stdin:
            done = subprocess.run([reader, "-it", "--quiet"], stdin=stdin, capture_output=True, check=False)
        return done.stdout.splitlines() if done.returncode == 0 else None

    @staticmethod
    def content(plain, name):
        """The content of a member, as GNU cpio has it."""
        with open(plain, "rb") as stdin:
            return subprocess.run(["cpio", "-i", "--quiet", "--to-stdout", "--", name], stdin=stdin, capture_output=True, check=False).stdout

    def one(self, number, original):
        """One damaged initrd, made from its number alone: the exit status, and what is wrong about the outcome."""
        content, kind = self.mutant(original, random.Random(SEED * 1_000_003 + number))
        home = self.dir / f"run-{number}"
        (home / "tmp").mkdir(parents=True)
        path, out = home / "initrd", home / "out"
        path.write_bytes(content)
        what = f"number {number} (SEED={SEED}, {kind})"
        wanted = ["--module", self.dir / MODULE.name, "--modules", KERNEL] if number % 8 == 0 else ["--file", f"{self.dir / 'answers'}:/etc/added"]
        started = time.monotonic()
        outcome = forked("--json", *wanted, "--repack" if number % 3 == 0 else "--append", path, "-o", out, memory=MEMORY, TMPDIR=str(home / "tmp"))
        took = time.monotonic() - started
        problems = []
        if took > TIMEOUT:
            problems.append(f"took {took:.0f} s")
        if "Traceback" in outcome.errors or outcome.status not in (0, 1, 2, 3):
            problems.append(f"came to status {outcome.status}: {outcome.errors}")
        if hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(content).digest():
            problems.append("changed its input")
        if outcome.status == 0:
            problems += self.unconfirmed(content, out, outcome.json()["added"], outcome.json()["mode"] == "repack", home / "read")
            if guest_reader.SAMPLES and number % self.step == 0:
                expected = Initrd(out, home / "tree", MEMORY).tree
                guest_reader.keep(f"{type(self).__name__}-{SEED}-{number}", what, out, expected, home)
                shutil.rmtree(home / "tree")
        if outcome.status != 0 and (len(outcome.errors.splitlines()) != 1 or out.exists()):
            problems.append(f"refused in other than one line, or left a file: {outcome.errors}")
        if sorted(file.name for file in home.iterdir()) != sorted(["initrd", "tmp", *(["out"] if outcome.status == 0 else [])]):
            problems.append(f"left {sorted(file.name for file in home.iterdir())}")
        if any((home / "tmp").iterdir()):
            problems.append("left temporary files")
        shutil.rmtree(home)
        return outcome.status, f"{what}: {'; '.join(problems)}" if problems else None
