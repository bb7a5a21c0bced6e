# SPDX-License-Identifier: GPL-2.0
"""Options, names, outputs and compressions of odd kinds: each is refused in one line that says what it is, or done right."""

import gzip
import hashlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

from support import INSTALLER, KERNEL, MODULE, PROGRAM, X86_64, Case, hand_made, inject, like_the_kernel, listing, pack, program_for, small_initrd, tree, unpack
from test_kernel_rules import DIR, FILE, archive, member

# Runs the program with a signal that comes while its parts are read.
INTERRUPTED = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "inject":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class OddInputs(Case):
    def setUp(self):
        super().setUp()
        self.initrd, self.out, self.source = self.dir / "initrd", self.dir / "out", self.dir / "source"
        self.initrd.write_bytes(
            archive(
                member("bin", mode=DIR), member("bin/busybox", b"x", FILE | 0o111), member("etc", mode=DIR), member("etc/a", b"a"), member("etc/modules", b"")
            )
        )
        self.source.write_bytes(b"new\n")
        self.add = ("--file", f"{self.source}:/x", self.initrd, "-o", self.out)

    def tearDown(self):
        subprocess.run(["rm", "-rf", str(self.dir / "root")], check=True)

    # Options

    def test_limits_that_no_program_can_be_given(self):
        """It ended in a traceback."""
        for limit in ("8796093022208", "9" * 40, "0", "-1"):
            self.refuse(2, "--limit", limit, *self.add, says=["--limit"])

    def test_times_that_an_archive_cannot_have(self):
        """One ended in a traceback, and one became another time without a word."""
        for text in ("\N{SUPERSCRIPT TWO}", "4294967296", "99999999999999", "yesterday", "-1"):
            self.refuse(2, *self.add, says=["SOURCE_DATE_EPOCH", "seconds"], SOURCE_DATE_EPOCH=text)
        for text in ("", "0", "4294967295"):
            self.inject(*self.add, SOURCE_DATE_EPOCH=text)

    def test_an_option_without_a_value_is_not_taken_for_one_that_is_not_there(self):
        """An empty value, as of an unset variable: what it was to be compared with was not."""
        for option in ("--kernel", "--modules", "--symvers", "--module", "-o"):
            self.refuse(2, option, "", *self.add[:3], *(self.add[3:] if option != "-o" else ()), says=["is empty"])
        self.refuse(2, "--list", "", says=["is empty"])

    def test_what_is_not_looked_at_is_refused(self):
        """`--verify --file answers:/preseed.cfg` said `sound` of an initrd without that file."""
        for options in (
            self.add[:2],
            ("--alias-only", "e1000e=10ec:8168"),
            ("--modules", KERNEL),
            ("--class", "net"),
            ("--symvers", self.source),
            ("--repack",),
        ):
            for action in ("--verify", "--list"):
                self.refuse(2, action, *options, self.initrd, says=[f"leave out {options[0]}"])
        self.refuse(2, "--list", "--module", MODULE, self.initrd, says=["leave out --module"])
        self.refuse(2, "--verify", "--module", self.dir / "absent.ko", self.initrd, says=["found no module", "absent.ko"])

    def test_two_files_for_one_place(self):
        """The last was taken, without a word."""
        other = self.dir / "other"
        other.write_bytes(b"other\n")
        self.refuse(2, "--file", f"{other}:x", *self.add, says=["/x", "name one of them"])
        self.refuse(2, "--file", f"{other}:/etc/", "--file", f"{other}:/etc/other", "--file", f"{self.source}:etc/other", *self.add[2:], says=["/etc/other"])
        self.inject("--file", f"{self.source}:/x", *self.add)

    def test_a_file_in_place_of_one_that_is_made(self):
        """The files that have the module loaded are then no more there than the file says."""
        initrd = hand_made(self.dir / "h", self.dir / "h.gz", {"usr/bin/busybox": program_for(X86_64), "etc/modules": b"e1000e\n"})
        said = self.inject("--module", MODULE, "--file", f"{self.source}:/etc/modules", initrd, "-o", self.out).out
        self.assertIn("note: /etc/modules is as", said)
        self.assertEqual((like_the_kernel(self.out, self.dir) / "etc/modules").read_bytes(), b"new\n")

    def test_lists_of_symbols_that_are_none(self):
        """They made each symbol unknown, or were an error of depmod's."""
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        os.mkfifo(self.dir / "pipe")
        for name in (self.dir / "absent", self.source, self.dir, self.dir / "pipe"):
            self.refuse(2, "--symvers", name, "--module", MODULE, small, "-o", self.out, says=[str(name), "Module.symvers"])

    def test_kernels_that_are_no_files(self):
        os.mkfifo(self.dir / "pipe")
        for name in (self.dir / "pipe", "/dev/zero", self.dir):
            self.refuse(2, "--kernel", name, "--module", MODULE, self.initrd, "-o", self.out, says=["the kernel", str(name), "expected a file"])

    # Names

    def test_deep_paths_are_no_circle(self):
        """A path of more than 200 names was said to be links that lead in a circle."""
        path = "a/" * 300 + "x"
        self.inject("--file", f"{self.source}:/{path}", *self.add[2:])
        self.assertIn(path, listing(self.last_segment()))
        for links, sound in ((39, True), (41, False)):
            names = {f"l{number}": (f"l{number + 1}",) for number in range(links)}
            initrd = pack(tree(self.dir / f"links{links}", {"bin/busybox": b"x", "lib": ("l0",), f"l{links}/x": b"x", **names}), self.dir / f"{links}.gz")
            if sound:
                self.inject("--file", f"{self.source}:/lib/y", initrd, "-o", self.out)
            else:
                self.refuse(1, "--file", f"{self.source}:/lib/y", initrd, "-o", self.dir / "none", says=["circle"])

    def last_segment(self):
        part = inject("--list", "--json", self.out).json()["initrd"]["segments"][-1]
        (self.dir / "part").write_bytes(self.out.read_bytes()[part["offset"] :])
        return self.dir / "part"

    def test_names_with_characters_of_patterns_written_anew(self):
        """Of what bsdtar takes for a pattern or its end: others were left out, `an error of inject-initrd`."""
        for name in ("etc\nb", "etc/a$", "^etc", "etc/\n", "a\n^etc", "b[etc]", "etc/*", "etc/\\"):
            with self.subTest(repr(name)):
                self.inject("--repack", "--file", f"{self.source}:/{name}", *self.add[2:])
                again = self.inject("--json", "--list", self.out).json()["initrd"]
                self.assertEqual(again["entries"], 6 if not name.endswith("/") else 7)

    def test_an_output_with_a_long_name(self):
        """255 bytes, of fewer characters: the name beside it was too long."""
        for name in ("\N{CJK UNIFIED IDEOGRAPH-5B57}" * 85, "x" * 255):
            self.inject(*self.add[:-1], self.dir / name)
            self.assertTrue((self.dir / name).is_file())

    def test_names_cannot_draw_on_the_terminal_or_make_lines_of_their_own(self):
        self.initrd.write_bytes(self.initrd.read_bytes() + archive(member("no\n  checked: all\x1b[31m/x", b"x")))
        for arguments in (("--list", self.initrd), self.add):
            said = self.inject(*arguments).out
            self.assertNotIn("\x1b", said)
            self.assertNotIn("\n  checked: all", said)
            self.assertIn(r"no\n  checked: all\x1b[31m", said)
        self.assertNotIn("\x1b", self.refuse(5, "--verify", self.initrd, says=[r"\x1b[31m"]))

    def test_a_path_that_tar_cannot_have(self):
        """It was bsdtar's word that was shown."""
        options = ("--overlay", "--file", f"{self.source}:/{'y' * 101}", self.initrd, "-o")
        self.refuse(2, *options, self.dir / "x.tar.gz", says=["yyy", "tar", "x.cpio.gz"])
        self.inject(*options, self.dir / "x.cpio.gz")

    def test_paths_and_releases_that_lead_out_of_their_place(self):
        """The staged files were written there, beside the directory of temporary files."""
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        up = "../" * 12 + str(self.dir)[1:]
        top = tree(self.dir / "tree", {"modules.dep": b""})
        shutil.copy(next(KERNEL.rglob("tg3.ko*")), top)
        name = next(top.glob("tg3*")).name
        shutil.copy(top / name, self.dir / name)
        (top / "modules.dep").write_text(f"{name}:\n{up}/{name.replace('tg3', 'tg4')}:\n")
        shutil.copy(top / name, self.dir / name.replace("tg3", "tg4"))
        self.refuse(2, "--module", "tg4", "--modules", top, small, "-o", self.out, says=["modules.dep has ../", "expected a path in that tree"])
        image = bytearray((KERNEL / "vmlinuz").read_bytes())
        start = int.from_bytes(image[0x20E:0x210], "little") + 0x200
        for release in (str(self.dir), "../../x", "..", "a/b"):
            image[start : start + len(release) + 1] = release.encode() + b" "
            (self.dir / "vmlinuz").write_bytes(image)
            self.refuse(2, "--module", MODULE, "--kernel", self.dir / "vmlinuz", "--modules", top, small, "-o", self.out, says=["found no version"])
        self.assertFalse((self.dir / "modules.dep").exists())

    # Compressions

    def test_an_archive_over_two_compressed_parts(self):
        """The kernel takes none; that it is truncated was not so."""
        plain = archive(member("bin", mode=DIR), member("bin/busybox", b"x" * 3000))
        for command in (["gzip", "-nc"], ["zstd", "-qc"], ["xz", "--check=crc32", "-c"]):
            parts = [subprocess.run(command, input=one, capture_output=True, check=True).stdout for one in (plain[:1000], plain[1000:])]
            self.initrd.write_bytes(b"".join(parts))
            errors = self.refuse(1, "--list", self.initrd, says=["goes on behind", "compress it as a whole"])
            self.assertNotIn("truncated", errors)
        self.initrd.write_bytes(gzip.compress(plain[:1000]))
        self.refuse(1, "--list", self.initrd, says=["truncated"])

    def test_a_module_in_a_compression_that_no_program_loads(self):
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        for command in (["lz4", "-qc"], ["lz4", "-lqc"], ["bzip2", "-c"], ["xz", "--format=lzma", "-c"]):
            given = self.dir / f"r8168_rust.ko.{command[0]}"
            given.write_bytes(subprocess.run(command, input=MODULE.read_bytes()[:5000], capture_output=True, check=True).stdout)
            self.refuse(3, "--module", given, small, "-o", self.out, says=["compressed by", "decompress it"])

    def test_a_module_compressed_in_parts(self):
        """The kernel stops at the end of the first; of zstd's it was taken."""
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        content = MODULE.read_bytes()
        for command in (["gzip", "-c"], ["xz", "-c"], ["zstd", "-qc"]):
            given = self.dir / f"r8168_rust.ko.{command[0]}"
            parts = (subprocess.run(command, input=part, capture_output=True, check=True).stdout for part in (content[:5000], content[5000:]))
            given.write_bytes(b"".join(parts))
            self.refuse(3, "--module", given, small, "-o", self.out, says=["bytes after the end of what is compressed", "compress it anew"])

    def test_another_segment_right_behind_lz4(self):
        """The kernel takes its first bytes for the size of a block; it was said to be damaged."""
        first = subprocess.run(["lz4", "-lqc"], input=self.initrd.read_bytes(), capture_output=True, check=True).stdout
        for gap, sound in ((bytes(-len(first) % 4), False), (bytes(4 - len(first) % 4 + 4), True)):
            self.initrd.write_bytes(first + gap + gzip.compress(archive(member("behind", b"x"))))
            if sound:
                self.inject("--list", self.initrd)
            else:
                self.refuse(1, "--list", self.initrd, says=["gzip", "begins right behind", "4 NUL bytes"])

    def test_what_modinfo_says_has_no_temporary_names(self):
        """It writes them in its own way."""
        given = self.dir / "some-text.ko"
        given.write_bytes(b"text")
        errors = self.refuse(3, "--module", given, self.initrd, "-o", self.out, says=["some-text.ko is not a kernel module"])
        self.assertNotRegex(errors, "inject.initrd[-_]")

    # Questions

    def test_ids_in_whatever_case(self):
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        for question in ("8086:10D3", "PCI:8086:10d3", "pci:v00008086d000010d3sv00000000sd00000000bc02sc00i00", "pci:v00008086d000010d3sv*sd*bc*sc*i*"):
            self.assertIn("e1000e (", self.inject("--verify", question, small).out)
        self.inject("--alias-only", "e1000e=pci:v000010ecd00008168sv*sd*bc*sc*i*", small, "-o", self.out)
        self.assertIn("e1000e (", self.inject("--verify", "10ec:8168", self.out).out)

    def test_comments_load_nothing_and_lines_go_on_behind_a_backslash(self):
        """--verify said `listed in etc/modules` of a comment, and read modprobe.d otherwise than modprobe."""
        for path in ("etc/modules", "conf/modules", "etc/modules-load.d/inject-initrd.conf"):
            name = path.replace("/", "-")
            initrd = hand_made(self.dir / name, self.dir / f"{name}.gz", {"usr/bin/busybox": program_for(X86_64), path: b"# e1000e is not needed\n"})
            self.assertIn("loaded by nothing that is known", self.inject("--verify", "e1000e", initrd).out)
        files = {"usr/bin/busybox": program_for(X86_64), "etc/modprobe.d/x.conf": b"blacklist \\\n e1000e\nblacklist r8168_rust\r\n"}
        initrd = hand_made(self.dir / "barred", self.dir / "barred.gz", files)
        self.refuse(3, "--verify", "8086:10d3", initrd, says=["e1000e would take it, but is blacklisted"])
        self.assertIn("'blacklist r8168_rust'", self.inject("--module", MODULE, initrd, "-o", self.out).out)

    # Outputs and signals

    def shell(self, command):
        """A shell's account of a run: the exit status and what was said."""
        done = subprocess.run(["bash", "-c", command, PROGRAM, *map(str, self.add)], capture_output=True, text=True, check=False, cwd=self.dir)
        return done.returncode, done.stdout, done.stderr

    def test_outputs_that_are_standard_output(self):
        status, _, errors = self.shell('"$0" "${@:1:4}" /dev/stdout')
        self.assertEqual(status, 2, errors)
        self.assertIn("/dev/stdout is a device, a pipe or a socket", errors)
        self.refuse(2, *self.add[:-1], "-", says=["-o -", "standard output"])

    def test_an_output_that_is_one_of_the_files_that_go_in(self):
        """It took the place of the only copy of a module, or of the kernel that was to be booted."""
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        module, kernel = self.dir / "r8168_rust.ko", self.dir / "vmlinuz"
        shutil.copy(MODULE, module)
        shutil.copy(KERNEL / "vmlinuz", kernel)
        link = self.dir / "link"
        link.symlink_to(module)
        before = {path: hashlib.sha256(path.read_bytes()).digest() for path in (module, kernel, self.source)}
        for option, out in (
            (("--module", module), module),
            (("--module", module), link),
            (("--module", MODULE, "--kernel", kernel), kernel),
            (("--file", f"{self.source}:/x"), self.source),
            (("--module", MODULE, "--symvers", self.source), self.source),
        ):
            with self.subTest(option, out=out.name):
                self.refuse(2, *option, small, "-o", out, says=[f"-o {out}", option[-2], "name another file by -o"])
        self.assertEqual({path: hashlib.sha256(path.read_bytes()).digest() for path in before}, before)
        # What only has such a name is another thing: tg3 is taken from --modules.
        (self.dir / "tg3").write_bytes(b"")
        self.inject("--module", "tg3", "--modules", KERNEL, small, "-o", self.dir / "tg3")

    def test_an_output_with_a_slash_at_its_end(self):
        """It was a file of that name without the slash, and took the place of one that was there."""
        for name in (f"{self.dir}/new/", f"{self.source}/"):
            self.refuse(2, *self.add[:-1], name, says=[f"{name} is to be a directory", "initrd-new"])
        self.assertEqual(self.source.read_bytes(), b"new\n")

    def test_a_name_that_ends_an_archive(self):
        """It was an error of inject-initrd."""
        for name in ("/TRAILER!!!", "/bin/../TRAILER!!!"):
            self.refuse(2, "--file", f"{self.source}:{name}", self.initrd, "-o", self.out)
        self.inject("--file", f"{self.source}:/etc/TRAILER!!!", self.initrd, "-o", self.out)

    def test_a_file_that_the_kernel_makes_when_it_is_read(self):
        """Its size is 0, so nothing was written, and it was said to have changed."""
        self.refuse(2, "--file", "/proc/version:/x", self.initrd, "-o", self.out, says=["/proc/version", "copy it first"])

    def test_microcode_behind_the_rest(self):
        """No kernel finds it there."""
        for name in ("kernel/x86/microcode/GenuineIntel.bin", "kernel/firmware/acpi/ssdt.aml"):
            said = self.inject("--file", f"{self.source}:/{name}", self.initrd, "-o", self.out).out
            self.assertIn(f"note: /{name} is where the kernel looks in plain archives in front of all others, and not here", said)

    def test_a_boot_configuration_at_the_end(self):
        """It was damage; what is added behind it would have the kernel not find it."""
        content = self.initrd.read_bytes()
        for text in (b"a=b\n", b"\xff"):
            self.initrd.write_bytes(content + text + struct.pack("<II", len(text), sum(text)) + b"#BOOTCONFIG\n")
            self.refuse(1, *self.add, says=["ends with a boot configuration", "bootconfig -d COPY"])

    def test_compressions_that_want_too_much_memory(self):
        """They are not damaged."""
        plain = self.initrd.read_bytes()
        for command, words in (
            (["xz", "--check=crc32", "--lzma2=dict=512MiB"], "wants more memory"),
            (["zstd", "-q", "--long=31"], "a window that no kernel takes"),
        ):
            self.initrd.write_bytes(subprocess.run([*command, "-c"], input=plain, capture_output=True, check=True).stdout)
            self.refuse(1, *self.add, says=[words, "recompress it"])
        self.initrd.write_bytes(b"\x50\x2a\x4d\x18\4\0\0\0abcd")
        self.refuse(1, *self.add, says=["frame to be skipped", "pzstd"])

    def test_two_archives_with_the_same_inode_numbers(self):
        """Written anew as one, hard links of the first became some of the second."""
        links = [{"inode": 7, "links": 2}] * 2
        parts = [
            archive(*(member(f"{name}{number}", b"" if number == 1 else name.encode(), **link) for number, link in enumerate(links, 1))) for name in ("g", "h")
        ]
        start = self.initrd.read_bytes()
        self.initrd.write_bytes(gzip.compress(start + bytes(-len(start) % 4) + b"".join(part + bytes(-len(part) % 4) for part in parts)))
        self.inject("--repack", *self.add)
        root = self.dir / "root"
        # GNU cpio reads the first archive of several.
        for piece in re.split(rb"(?<=TRAILER!!!)\0+", gzip.decompress(self.out.read_bytes())):
            (self.dir / "piece").write_bytes(piece + bytes(512))
            unpack(self.dir / "piece", root)
        self.assertEqual([(root / name).read_text() for name in ("g1", "g2", "h1", "h2", "x")], ["g", "g", "h", "h", "new\n"])

    def test_options_of_the_users_for_other_programs(self):
        """Variables of bsdtar and modprobe made an error of it, or could have it pass."""
        small = small_initrd(self.dir / "small", self.dir / "small.gz")
        others = {"TAR_READER_OPTIONS": "nonsense", "TAR_WRITER_OPTIONS": "nonsense", "MODPROBE_OPTIONS": "--nonsense", "ZSTD_CLEVEL": "99"}
        self.inject("--module", MODULE, "--repack", small, "-o", self.out, **others)

    def test_a_locale_that_is_not_utf_8(self):
        """Names were other bytes in the archive than here."""
        source = os.fsencode(self.dir) + b"/\xc3\xbc\xff"
        with open(source, "wb"):
            pass
        os.environ.update(add := {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TMPDIR": str(self.dir / "tmp")})
        for name in add:
            self.addCleanup(os.environ.pop, name)
        subprocess.run([bytes(PROGRAM), "--file", source + b":/etc/", self.initrd, "-o", self.out], check=True, capture_output=True)
        self.assertIn(b"etc/\xc3\xbc\xff\0", self.out.read_bytes())

    def test_one_that_is_interrupted_at_its_start(self):
        """It was a traceback until all of the program was read."""
        command = [sys.executable, "-c", INTERRUPTED, str(PROGRAM), "--list", str(self.initrd)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGINT, ""))

    def test_closed_outputs(self):
        """An error for a closed standard error went to standard output, between what is JSON there."""
        self.assertEqual(self.shell('"$0" --list /nonexistent 2>&-'), (2, "", ""))
        status, said, _ = self.shell('"$0" --json --list /nonexistent 2>&-')
        self.assertEqual((status, said.count("\n"), said[0]), (2, 1, "{"))
        self.assertEqual(self.shell('"$0" "$@" <&- >&- 2>&-')[0], 0)
        self.assertEqual(inject("--list", self.out).status, 0)

    def test_a_report_that_cannot_be_written(self):
        """The work is done, and the file is there."""
        status, _, errors = self.shell('"$0" "$@" >/dev/full')
        self.assertEqual(status, 5)
        self.assertIn("done, but the report cannot be written", errors)
        self.assertTrue(self.out.exists())

    def test_a_user_who_may_have_less_than_is_given_to_programs(self):
        """A setting of batch systems and services; it was a traceback."""
        for limit, done in (("-v 400000", 0), ("-f 1000", 5), ("-t 100", 0)):
            status, _, errors = self.shell(f'ulimit {limit}; [ {done} = 0 ] || set -- --file {MODULE}:/x "${{@:3}}"; "$0" "$@"')
            self.assertEqual((status, "Traceback" in errors), (done, False), errors)
            self.assertEqual((errors.count("\n"), self.out.exists()), (0 if done == 0 else 1, done == 0), errors)
            self.out.unlink(missing_ok=True)

    def test_one_that_is_interrupted_twice_leaves_nothing(self):
        """The second Ctrl-C came upon what cleans up."""
        options = ["--module", str(MODULE), "--kernel", str(KERNEL / "vmlinuz"), "--modules", str(KERNEL), str(INSTALLER / "initrd.gz"), "-o", str(self.out)]
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        environment = {**os.environ, "TMPDIR": str(self.dir / "tmp")}
        with subprocess.Popen([str(PROGRAM), *options], stderr=subprocess.PIPE, text=True, env=environment, **heard) as running:
            # At work on the modules of the new kernel.
            while running.poll() is None and not any((self.dir / "tmp").glob("*/stage/*")):
                time.sleep(0.05)
            for _ in range(20):
                running.send_signal(signal.SIGINT)
                time.sleep(0.005)
            errors = running.communicate(timeout=60)[1]
        self.assertEqual(running.returncode, 130, errors)
        self.assertEqual(errors, "inject-initrd: error: interrupted; nothing was left behind\n")
        self.assertEqual(list((self.dir / "tmp").iterdir()), [])
