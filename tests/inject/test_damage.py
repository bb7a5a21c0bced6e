# SPDX-License-Identifier: GPL-2.0
"""Damaged and truncated initrds: a clear error or a valid result, in bounded time and memory, and the input as it was."""

import concurrent.futures
import hashlib
import os
import random
import resource
import shutil
import subprocess
import time

from support import KERNEL, MODULE, Case, cut, decompress, inject, pack, small_initrd, tree

COUNT = int(os.environ.get("DAMAGED") or 1000)
SEED = int(os.environ.get("SEED") or 8168)
# For every run, with its children, on a machine that others use as well; a sound small initrd takes a tenth of the memory, and seconds.
LONGEST = 180
MEMORY = 1 << 30
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
        """Runs the program on that many of them."""
        (self.dir / "answers").write_bytes(ANSWERS)
        originals = self.originals()
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            statuses = list(pool.map(lambda number: self.one(number, originals[number % len(originals)]), range(count)))
        counts = {status: statuses.count(status) for status in sorted(set(statuses))}
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        print(f"{count} {what} (SEED={SEED}): exit statuses {counts}, {time.monotonic() - started:.0f} s, largest process {peak} MiB")
        self.assertLess(peak << 20, MEMORY)
        # Damage that is never noticed would be a test of nothing.
        self.assertGreater(counts.get(1, 0), count // self.noticed)

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
        """What independent readers do not find in a result: the compressions' own programs, GNU cpio, and bsdcpio."""
        work.mkdir()
        result, problems, members = out.read_bytes(), [], {}
        if not repacked and not result.startswith(original):
            problems.append("does not begin with the initrd's own bytes")
        listed = inject("--list", "--json", out)
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
        """One damaged initrd, made from its number alone."""
        content, kind = self.mutant(original, random.Random(SEED * 1_000_003 + number))
        home = self.dir / f"run-{number}"
        (home / "tmp").mkdir(parents=True)
        path, out = home / "initrd", home / "out"
        path.write_bytes(content)
        what = f"number {number} (SEED={SEED}, {kind})"
        wanted = ["--module", MODULE, "--modules", KERNEL] if number % 8 == 0 else ["--file", f"{self.dir / 'answers'}:/etc/added"]
        started = time.monotonic()
        outcome = inject("--json", *wanted, "--repack" if number % 3 == 0 else "--append", path, "-o", out, memory=MEMORY, TMPDIR=str(home / "tmp"))
        took = time.monotonic() - started
        problems = []
        if took > LONGEST:
            problems.append(f"took {took:.0f} s")
        if "Traceback" in outcome.errors or outcome.status not in (0, 1, 2, 3):
            problems.append(f"came to status {outcome.status}: {outcome.errors}")
        if hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(content).digest():
            problems.append("changed its input")
        if outcome.status == 0 and inject("--verify", out).status not in (0, 5):
            problems.append("made a result that it does not read itself")
        if outcome.status == 0:
            problems += self.unconfirmed(content, out, outcome.json()["added"], outcome.json()["mode"] == "repack", home / "read")
        if outcome.status != 0 and (len(outcome.errors.splitlines()) != 1 or out.exists()):
            problems.append(f"refused in other than one line, or left a file: {outcome.errors}")
        if sorted(file.name for file in home.iterdir()) != sorted(["initrd", "tmp", *(["out"] if outcome.status == 0 else [])]):
            problems.append(f"left {sorted(file.name for file in home.iterdir())}")
        if any((home / "tmp").iterdir()):
            problems.append("left temporary files")
        shutil.rmtree(home)
        self.assertFalse(problems, f"{what}: {'; '.join(problems)}")
        return outcome.status
