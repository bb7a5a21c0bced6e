# SPDX-License-Identifier: GPL-2.0
"""Tests by what the kernel's unpacker and decompressors make of odd initrds, which other programs read otherwise: without a word it leaves out
what has no directory, and writes through hard links."""

import gzip
import os
import shutil
import struct
import subprocess
import zlib

import guest_reader
import test_mutants
from support import KERNEL, KVER, MODULE, Case, decompress, inject, pack, small_initrd, tree, unpack

from inject.initrd import Initrd
from inject.kernel import COMPLAINTS, Image

FILE, DIR, LINK, NODE = 0o100644, 0o40755, 0o120777, 0o20644


def member(name, content=b"", mode=FILE, links=1, inode=0, check=None):
    """An entry of a cpio archive; with a checksum it is of the form crc."""
    fields = (inode, mode, 0, 0, links, 1, len(content), 0, 0, 0, 0, len(name) + 1, check or 0)
    head = (b"070701" if check is None else b"070702") + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    out = head + bytes(-len(head) % 4) + content
    return out + bytes(-len(out) % 4)


def archive(*members):
    """A whole cpio archive."""
    return b"".join(members) + member("TRAILER!!!", mode=0)


class KernelRules(Case):
    def setUp(self):
        super().setUp()
        self.initrd, self.out = self.dir / "initrd", self.dir / "out"
        (self.dir / "new").write_bytes(b"new\n")

    def keep(self, name):
        """Keeps the result for the kernel itself, which reads it in a guest."""
        if guest_reader.SAMPLES:
            guest_reader.keep(f"rules-{name}", name, self.out, Initrd(self.out, self.dir / "read", 1 << 30).tree, self.dir)
            shutil.rmtree(self.dir / "read")

    def result(self, *members, options=()):
        """Adds a file to an archive: the outcome, and the tree that GNU cpio makes of the result."""
        self.initrd.write_bytes(archive(*members))
        outcome = self.inject(*options, self.initrd, "-o", self.out)
        root = self.dir / "root"
        shutil.rmtree(root, ignore_errors=True)
        for number, part in enumerate(inject("--list", "--json", self.out).json()["initrd"]["segments"]):
            (self.dir / f"part-{number}").write_bytes(self.out.read_bytes()[part["offset"] : part["end"]])
            unpack(self.dir / f"part-{number}", root)
        return outcome, root

    def test_a_file_without_its_directory_is_not_there(self):
        """The archive is as `find -type f | cpio` packs: nothing but what is in / is there for the kernel."""
        busybox = (member("bin/busybox", b"x"), member("init", b"#!/bin/busybox sh\n", FILE | 0o111))
        self.initrd.write_bytes(archive(*busybox))
        self.refuse(5, "--verify", self.initrd, says=["does not make /bin/busybox", "the directory /bin is not there before it"])
        self.refuse(3, "--file", f"{self.dir / 'new'}:/x", self.initrd, "-o", self.out, says=["found no mark"])
        whole = archive(member("bin", mode=DIR), *busybox)
        self.initrd.write_bytes(whole + archive(member("lib/firmware/x", b"x")))
        out = self.inject("--file", f"{self.dir / 'new'}:/x", self.initrd, "-o", self.out).out
        self.assertIn("note: the kernel does not make /lib/firmware/x: the directory /lib/firmware is not there before it", out)
        self.initrd.write_bytes(whole + archive(member("dev/x", b"x"), member("root/y", b"y")))
        self.assertIn("sound", self.inject("--verify", self.initrd).out)

    def test_modules_without_their_directory_are_not_there(self):
        """They were counted, and a driver that needs them was said to be complete."""
        small = small_initrd(self.dir / "small", self.dir / "s")
        plain = gzip.decompress(small.read_bytes())
        at = plain.index(b"usr/lib/modules/" + KVER.encode() + b"\0") - 110
        end = plain.index(b"070701", at + 6)
        self.initrd.write_bytes(plain[:at] + plain[end:])
        self.refuse(5, "--verify", self.initrd, says=["does not make", "is not there before it"])
        self.refuse(3, "--module", MODULE, self.initrd, "-o", self.out, says=["has no kernel modules"])

    def test_other_entries_that_the_kernel_leaves_out(self):
        busybox = (member("bin", mode=DIR), member("bin/busybox", b"x"))
        odds = (
            ((member("etc", b"x", DIR), member("etc/y", b"y")), "/etc, nor 1 others: it is a dir with a content"),
            ((member("l", b"x" * 4096, LINK),), "/l: its target is longer than 4095 bytes"),
            ((member("x" * 256, b"x"),), ": its name is longer than 255 bytes"),
            ((member("bin", b"x"),), "/bin: a directory is there, with something in it"),
            ((member("bin", b"usr/bin", LINK),), "/bin: a directory is there, with something in it"),
            ((member("no/../y", b"y"),), "/no/../y: the directory / is not there"),
            ((member("lib/firmware/x", b"x"),), "/lib/firmware/x: the directory /lib/firmware is not there"),
        )
        for odd, words in odds:
            with self.subTest(words):
                self.initrd.write_bytes(archive(*busybox, *odd))
                self.refuse(5, "--verify", self.initrd, says=["the kernel does not make", words])
        self.initrd.write_bytes(
            archive(*busybox, *(one for odd, _ in odds for one in odd), member("dev/x", b"x"), member("/usr", mode=DIR), member("usr//y", b"y"))
        )
        self.inject("--file", f"{self.dir / 'new'}:/lib/new", self.initrd, "-o", self.out)
        self.keep("left-out")

    def test_what_the_kernel_leaves_out_is_not_brought_back_by_writing_anew(self):
        """Found by a mutant: a device with a content is none for the kernel, and was one in what bsdtar made of it."""
        self.initrd.write_bytes(archive(member("bin", mode=DIR), member("bin/busybox", b"x"), member("null", b"x", NODE)))
        options = ("--file", f"{self.dir / 'new'}:/x", self.initrd, "-o", self.out)
        self.refuse(1, "--repack", *options, says=["/null: it is a char with a content", "only --append is possible"])
        self.assertIn("note: the kernel does not make /null", self.inject(*options).out)

    def test_what_is_written_over_a_hard_link_is_not_written_into_the_others(self):
        """The kernel opens the file that is there; only something of another kind between has it make a new one."""
        many = (
            member("bin", mode=DIR),
            member("bin/busybox", b"", FILE | 0o111, 3, 7),
            member("bin/sh", b"", FILE | 0o111, 3, 7),
            member("bin/ls", b"all of it", FILE | 0o111, 3, 7),
        )
        for mode in ("--append", "--repack"):
            for path in ("bin/busybox", "bin/sh", "bin/ls"):
                with self.subTest(f"{mode} {path}"):
                    _, root = self.result(*many, options=(mode, "--file", f"{self.dir / 'new'}:/{path}"))
                    self.assertEqual(
                        {one.name: one.read_bytes() for one in (root / "bin").iterdir()},
                        {"busybox": b"all of it", "sh": b"all of it", "ls": b"all of it", path[4:]: b"new\n"},
                    )
                    # What GNU cpio unlinks by itself, the kernel does not.
                    if (mode, path) in (("--append", "bin/sh"), ("--repack", "bin/ls")):
                        self.keep(f"hard-links{mode}")
                    self.assertEqual(self.out.read_bytes().lower().count(member(path, b".", LINK)[14:38].lower()), 1)

    def test_the_content_of_a_hard_link_is_read(self):
        """It stands with one of them only."""
        base = (member("conf", mode=DIR), member("conf/initramfs.conf", b"", links=2, inode=5), member("conf/modules", b"ext4\n", links=2, inode=5))
        initrd = small_initrd(self.dir / "small", self.dir / "s")
        for order in (base, (base[0], member("conf/modules", b"", links=2, inode=5), member("conf/initramfs.conf", b"ext4\n", links=2, inode=5))):
            self.initrd.write_bytes(archive(*order) + gzip.decompress(initrd.read_bytes()))
            self.inject("--module", MODULE, "--modules", KERNEL, self.initrd, "-o", self.out)
            shutil.rmtree(self.dir / "root", ignore_errors=True)
            for number, part in enumerate(inject("--list", "--json", self.out).json()["initrd"]["segments"]):
                (self.dir / f"part-{number}").write_bytes(self.out.read_bytes()[part["offset"] : part["end"]])
                decompress(self.dir / f"part-{number}", part["compression"], self.dir / "plain")
                unpack(self.dir / "plain", self.dir / "root")
            self.assertEqual((self.dir / "root/conf/modules").read_bytes(), b"ext4\nr8168_rust\n")

    def modules_with(self, change):
        """A small initrd with one module, whose archive is changed, and ours added: what GNU cpio makes of the added segment."""
        small = small_initrd(self.dir / "small", self.dir / "s")
        plain = change(test_mutants.entries(gzip.decompress(small.read_bytes())))
        self.initrd.write_bytes(test_mutants.archive(plain))
        self.inject("--module", MODULE, "--modules", KERNEL, self.initrd, "-o", self.out)
        last = inject("--list", "--json", self.out).json()["initrd"]["segments"][-1]
        (self.dir / "part").write_bytes(self.out.read_bytes()[last["offset"] :])
        shutil.rmtree(self.dir / "root", ignore_errors=True)
        unpack(self.dir / "part", self.dir / "root")
        return self.dir / "root/usr/lib/modules" / KVER

    def test_modules_with_whole_names_stay_in_the_index(self):
        """The modules of an archive of /usr/lib/..., as `find / | cpio` makes it, were not found by bsdtar: modules.dep lost all but what was added."""
        found = self.modules_with(lambda members: [test_mutants.sized(fields, b"/" + name, content) for fields, name, content in members])
        self.assertRegex((found / "modules.dep").read_text(), r"(?m)^kernel/\S*/e1000e\.ko")

    def test_what_is_replaced_goes_by_whatever_name_it_has(self):
        """The old one stayed in with --repack, and was not even read over."""
        self.initrd.write_bytes(
            archive(member("/bin", mode=DIR), member("/bin//busybox", b"x", FILE | 0o111), member("/bin/./ls", b"old"), member("sh", b"old"))
        )
        self.inject("--repack", "--file", f"{self.dir / 'new'}:/bin/ls", "--file", f"{self.dir / 'new'}:/sh", self.initrd, "-o", self.out)
        self.assertEqual(self.out.read_bytes().count(b"old"), 0)
        self.assertIn("4 entries", self.inject("--verify", self.out).out)

    def test_links_in_an_initrd_lead_to_nothing_of_this_machine(self):
        """The links are followed by what is written into the staged tree; a module that is a link counts as what is behind it in the initrd."""
        (self.dir / "host").mkdir()
        links = ((b"updates", self.dir / "host"), (b"modules.symbols", self.dir / "victim"), (b"extra.ko", b"kernel"))

        def with_links(members):
            known = {name: one for one in members for name in [one[1]]}
            base = b"usr/lib/modules/" + KVER.encode() + b"/"
            module = next(one for one in members if b"e1000e.ko" in one[1])
            moved = test_mutants.sized(module[0], b"usr/e1000e.ko", module[2])
            link = [*module[0][:1], b"0000A1FF", *module[0][2:]]
            more = [test_mutants.sized(link, base + name, str(target).encode()) for name, target in links[:2]]
            self.assertIn(base[:-1], known)
            return [moved if one is module else one for one in members] + more + [test_mutants.sized(link, module[1], b"/usr/e1000e.ko")]

        (self.dir / "victim").write_bytes(b"of this machine")
        found = self.modules_with(with_links)
        self.assertRegex((found / "modules.dep").read_text(), r"(?m)^kernel/\S*/e1000e\.ko")
        self.assertEqual((self.dir / "victim").read_bytes(), b"of this machine")
        self.assertEqual(list((self.dir / "host").iterdir()), [])

    def test_a_wrong_checksum_stops_the_kernel(self):
        sound = pack(tree(self.dir / "t", {"bin/busybox": b"abc"}), self.initrd, crc=True, compress=bytes)
        self.assertIn("sound", self.inject("--verify", sound).out)
        self.initrd.write_bytes(archive(member("bin", mode=DIR), member("bin/busybox", b"abc", check=295)))
        self.refuse(1, "--verify", self.initrd, says=["'bin/busybox'", "checksum"])

    def test_headers_that_the_kernel_does_not_know(self):
        """bgzip's, pigz --comment's, and xz with a filter that no kernel has."""
        plain = archive(member("bin", mode=DIR), member("bin/busybox", b"x" * 500))
        packed = gzip.compress(plain, mtime=0)
        for flags, extra in ((4, b"\x06\0BC\x02\0\0\0"), (16, b"comment\0")):
            self.initrd.write_bytes(packed[:3] + bytes([flags]) + packed[4:10] + extra + packed[10:])
            self.assertEqual(zlib.decompress(self.initrd.read_bytes(), 31), plain)
            self.refuse(1, "--list", self.initrd, says=["header that the kernel does not know"])
        self.initrd.write_bytes(packed[:3] + b"\x08" + packed[4:10] + b"name\0" + packed[10:])
        self.assertIn("gzip", self.inject("--list", self.initrd).out)
        for filters, takes in ((["--delta", "--lzma2"], False), (["--x86", "--lzma2"], True), (["--lzma2"], True)):
            done = subprocess.run(["xz", "--check=crc32", *filters, "-c"], input=plain, capture_output=True, check=True)
            self.initrd.write_bytes(done.stdout)
            if takes:
                self.assertIn("xz", self.inject("--list", self.initrd).out)
            else:
                self.refuse(1, "--list", self.initrd, says=["the filter delta, which the kernel does not know"])

    def test_a_kernel_without_the_decompressor(self):
        """It is known by the messages of its decompressors."""
        image = (KERNEL / "vmlinuz").read_bytes()
        start = ((image[0x1F1] or 4) + 1) * 512
        small = small_initrd(self.dir / "small", self.dir / "s")
        for has, takes in ((b"Not a gzip file", True), (b"ZSTD-compressed data is corrupt", False)):
            payload = gzip.compress(bytes(100) + has + bytes(100))
            (self.dir / "vmlinuz").write_bytes(image[:0x248] + struct.pack("<II", 0, len(payload)) + image[0x250:start] + payload)
            arguments = ("--module", MODULE, "--kernel", self.dir / "vmlinuz", small, "-o", self.out)
            if takes:
                self.inject(*arguments)
            else:
                self.refuse(3, *arguments, says=["without what decompresses gzip"])
        for compression in COMPLAINTS:
            self.assertFalse(Image(KERNEL / "vmlinuz", self.dir).lacks(compression), compression)

    def test_a_damaged_kernel_is_named_as_that(self):
        """It was the initrd that was said to be damaged, or a traceback."""
        image = (KERNEL / "vmlinuz").read_bytes()
        start = ((image[0x1F1] or 4) + 1) * 512
        small = small_initrd(self.dir / "small", self.dir / "s")
        elf = gzip.compress(b"\x7fELF\x02\x01" + bytes(0x22) + b"\xff" * 8 + bytes(100))
        for content in (image[: len(image) // 2], image[:0x248] + struct.pack("<II", 0, len(elf)) + image[0x250:start] + elf):
            (self.dir / "vmlinuz").write_bytes(content)
            self.refuse(2, "--module", MODULE, "--kernel", self.dir / "vmlinuz", small, "-o", self.out, says=["vmlinuz is damaged"])

    def test_what_the_kernel_cannot_make_or_run_is_not_added(self):
        (self.dir / "plain").write_bytes(b"#!/bin/sh\n")
        members = (member("bin", mode=DIR), member("bin/busybox", b"x", FILE | 0o111))
        self.initrd.write_bytes(archive(*members))
        for destination in ("x" * 256, "a/" * 2000 + "b"):
            self.refuse(2, "--file", f"{self.dir / 'plain'}:/{destination}", self.initrd, "-o", self.out, says=["which the kernel does not make"])
        self.refuse(2, "--file", f"{self.dir / 'plain'}:/init", self.initrd, "-o", self.out, says=["chmod +x"])
        out = self.inject("--file", f"{self.dir / 'plain'}:/bin/busybox", self.initrd, "-o", self.out).out
        self.assertIn("/bin/busybox was executable and is not any more", out)
        (self.dir / "plain").chmod(0o755)
        self.inject("--file", f"{self.dir / 'plain'}:/init", self.initrd, "-o", self.out)

    def test_files_of_other_owners_become_roots_with_a_word(self):
        """A file of a user was root's in the initrd, which the manual alone said."""
        sources = {name: self.dir / name for name in ("mine", "theirs", "group")}
        for source in sources.values():
            source.write_bytes(b"x")
        try:
            os.chown(sources["theirs"], 1000, 100)
            os.chown(sources["group"], 0, 7)
        except OSError as error:
            self.skipTest(f"cannot give a file to another user: {error.strerror}; run the tests as root")
        files = [argument for name, source in sources.items() for argument in ("--file", f"{source}:/{name}")]
        out = self.inject(*files, small_initrd(self.dir / "small", self.dir / "s"), "-o", self.out).out
        self.assertIn("owned by root in the initrd (0:0), and not here: /group (here 0:7), /theirs (here 1000:100)\n", out)

    def test_a_tree_whose_modules_dep_is_in_another_form(self):
        """Older depmods wrote whole paths, by which modules of this machine were taken; and nothing is ever UTF-8 for certain."""
        top = self.dir / "tree"
        for name in ("e1000e", "r8169", "realtek", "mdio_devres", "libphy"):
            for file in KERNEL.rglob(f"{name}.ko*"):
                (top / file.relative_to(KERNEL)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, top / file.relative_to(KERNEL))
        lines = [line for line in (KERNEL / "modules.dep").read_text().splitlines() if (top / line.partition(":")[0]).exists()]
        whole = [" ".join(f"/lib/modules/{KVER}/{one}" for one in line.split()) for line in lines]
        (top / "modules.dep").write_text("\n".join(whole) + "\n")
        (top / "modules.alias").write_bytes(b"# \xff\nalias \xff x\n")
        small = small_initrd(self.dir / "small", self.dir / "s")
        # What is there under the whole path must not be taken.
        for file in top.rglob("r8169.ko*"):
            file.unlink()
        self.inject("--module", MODULE, "--modules", top, small, "-o", self.out)
        self.refuse(2, "--module", "r8169", "--modules", top, small, "-o", self.dir / "other", says=["r8169.ko"])
        (top / "modules.dep").write_text("\n".join([*whole, "/elsewhere/x.ko:\n"]))
        self.refuse(2, "--module", "e1000e", "--modules", top, small, "-o", self.dir / "other", says=["modules.dep"])
