# SPDX-License-Identifier: GPL-2.0
"""Mutants of real initrds, cut down: their archives are sound, their entries, names, links, order, segments and compressions are not."""

import os
import subprocess

import test_damage
from support import INSTALLER, KVER, MADE, cut, decompress, inject

COUNT = int(os.environ.get("MUTANTS") or 1000)
# Of each real one so many entries are left, and so much of each.
MOST_ENTRIES = 120
MOST_BYTES = 3000
PACKERS = {
    "none": ["cat"],
    "gzip": ["gzip", "-1nc"],
    "xz": ["xz", "-1", "--check=crc32", "-c"],
    "lzma": ["xz", "-1", "--format=lzma", "-c"],
    "bzip2": ["bzip2", "-1c"],
    "zstd": ["zstd", "-1qc"],
    "lz4": ["lz4", "-lqc"],
}
MODE, SIZE, NAME_SIZE = 1, 6, 11
NAMES = [
    b"",
    b".",
    b"..",
    b"../escaped",
    b"/absolute",
    b"a/../b",
    b"lib",
    b"usr",
    b"init",
    b"TRAILER!!!",
    b"a\nb",
    b"a\tb c",
    b"\xff\xfe",
    b"x" * 300,
    b"-rf",
    b"usr/lib/modules",
    b"lib/modules/" + KVER.encode(),
    b"etc/added",
    b"etc",
    b"usr/bin/anna",
    b"squashfs-root.img",
    b"a*[b]?\\",
    b"#mtree",
    b"x y=1",
]
TARGETS = [b"", b".", b"..", b"loop", b"/nonexistent", b"usr/lib", b"lib", b"../" * 40 + b"nowhere", b"x" * 5000]
NUMBERS = [b"00000000", b"FFFFFFFF", b"80000000", b"00000001", b"7FFFFFFF", b"0000100g", b"-0000001", b"000041ED", b"0000A1FF", b"000021B6"]


def entries(plain):
    """The entries of a cpio archive: thirteen fields, name, content."""
    found, at = [], 0
    while plain[at : at + 5] == b"07070":
        fields = [plain[at + 6 + 8 * number : at + 14 + 8 * number] for number in range(13)]
        size, name_size = int(fields[SIZE], 16), int(fields[NAME_SIZE], 16)
        start = (at + 110 + name_size + 3) & ~3
        name = plain[at + 110 : at + 110 + name_size - 1]
        if name == b"TRAILER!!!":
            break
        found.append((fields, name, plain[start : start + size]))
        at = (start + size + 3) & ~3
    return found


def archive(members, trailer=True):
    """A cpio archive of them; sizes are those of the fields, so that they may lie."""
    out = b""
    last = [([b"00000000"] * SIZE + [b"00000000"] * 5 + [b"0000000B", b"00000000"], b"TRAILER!!!", b"")] if trailer else []
    for fields, name, content in members + last:
        out += b"070701" + b"".join(fields) + name + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return out


def sized(fields, name, content):
    """An entry whose sizes are true."""
    fields = list(fields)
    fields[SIZE], fields[NAME_SIZE] = b"%08X" % len(content), b"%08X" % (len(name) + 1)
    return fields, name, content


def mutate(members, random_source):
    """The entries with one thing wrong; and what."""
    members = list(members)
    kind = random_source.choice(["name", "field", "link", "twice", "lost", "order", "kind", "content", "hard link", "grown", "under"])
    at = random_source.randrange(len(members))
    fields, name, content = members[at]
    if kind == "name":
        members[at] = sized(fields, random_source.choice(NAMES), content)
    elif kind == "field":
        fields = list(fields)
        fields[random_source.randrange(13)] = random_source.choice(NUMBERS)
        members[at] = (fields, name, content)
    elif kind == "link":
        fields = [*fields[:MODE], b"0000A1FF", *fields[MODE + 1 :]]
        members[at] = sized(fields, name, random_source.choice(TARGETS))
    elif kind == "twice":
        members.insert(random_source.randrange(len(members)), members[at])
    elif kind == "lost":
        del members[at]
    elif kind == "order":
        random_source.shuffle(members)
    elif kind == "kind":
        fields = [*fields[:MODE], b"%08X" % (random_source.choice([1, 2, 4, 6, 8, 10, 12, 0, 15]) << 12 | 0o644), *fields[MODE + 1 :]]
        members[at] = (fields, name, content)
    elif kind == "content":
        members[at] = sized(fields, name, random_source.randbytes(random_source.choice([0, 1, 64, 5000])))
    elif kind == "hard link":
        fields, other = list(fields), random_source.randrange(len(members))
        fields[4] = b"00000002"
        members[at] = (fields, name, content)
        members[other] = sized([fields[0], *members[other][0][1:]], members[other][1], b"")
    elif kind == "grown":
        members += [sized(fields, name + b"-%d" % number, b"") for number in range(random_source.choice([1, 100, 3000]))]
    else:
        # Below what may be a file, or a link.
        members.append(sized([*fields[:MODE], b"000081A4", *fields[MODE + 1 :]], name + b"/below", b"x"))
    return members, kind


class Mutants(test_damage.Damage):
    test_damaged_initrds = None
    # Most are sound initrds, if odd ones.
    noticed = 50

    def test_mutants_of_real_initrds(self):
        self.all(COUNT, "mutants of real initrds")

    def originals(self):
        """Ten real ones, as lists of segments: compression and entries."""
        names = [
            "dracut.none",
            "dracut.gzip+microcode",
            "dracut.zstd",
            "dracut.lz4+microcode",
            "dracut-systemd.gzip",
            "initramfs-tools.gzip",
            "initramfs-tools.xz+microcode",
            "initramfs-tools.bzip2",
            "initramfs-tools.lzma+microcode",
        ]
        return [self.cut_down(path) for path in [*(MADE / name for name in names), INSTALLER / "initrd.gz"]]

    def cut_down(self, path):
        segments = []
        for part in inject("--list", "--json", path).json()["initrd"]["segments"]:
            piece = cut(path, part["offset"], part["end"], self.dir / "piece")
            decompress(piece, part["compression"], self.dir / "plain")
            found = entries((self.dir / "plain").read_bytes())
            step = max(1, len(found) // MOST_ENTRIES)
            kept = [one for number, one in enumerate(found) if number % step == 0 or one[1].count(b"/") < 2 or KVER.encode() in one[1].split(b"/")[-1:]]
            segments.append((part["compression"], [sized(fields, name, content[:MOST_BYTES]) for fields, name, content in kept]))
        self.assertTrue(segments)
        for file in ("piece", "plain"):
            (self.dir / file).unlink()
        return segments

    def mutant(self, original, random_source):
        """One with one to three things wrong in its segments, and joined in one of the ways that there are."""
        segments, kinds = [list(segment) for segment in original], []
        for _ in range(random_source.choice([1, 1, 2, 3])):
            number = random_source.randrange(len(segments))
            what = random_source.choice(["entries", "entries", "entries", "compression", "segment twice", "segments exchanged", "no trailer"])
            kinds.append(what)
            if what == "entries" and segments[number][1]:
                segments[number][1], kind = mutate(segments[number][1], random_source)
                kinds[-1] = kind
            elif what == "compression":
                segments[number][0] = random_source.choice(list(PACKERS))
            elif what == "segment twice":
                segments.append(segments[number])
            elif what == "segments exchanged":
                random_source.shuffle(segments)
        out = b""
        for number, (compression, members) in enumerate(segments):
            out += bytes(-len(out) % random_source.choice([4, 4, 4, 4, 512, 1])) if out else b""
            plain = archive(members, trailer=not ("no trailer" in kinds and number == 0))
            out += subprocess.run(PACKERS[compression], input=plain, capture_output=True, check=True).stdout
        return out, "+".join(kinds)
