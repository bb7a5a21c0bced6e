# SPDX-License-Identifier: GPL-2.0
"""Things that the tests of inject-initrd share: the program under test, initrds to try it on, and what the kernel would make of one."""

import gzip
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAM = TOP / "scripts/inject-initrd"
sys.path.append(str(TOP / "scripts"))

from inject import cli

KVER = os.environ["INJECT_KVER"]
KERNEL = Path(os.environ["INJECT_KERNEL_DIR"]) / "usr/lib/modules" / KVER
MODULE = Path(os.environ["INJECT_MODULE"])
# The Debian installer's images, the module for its kernel, and initrds made by tests/inject/make-initrds.
INSTALLER = Path(os.environ["INJECT_INSTALLER"])
INSTALLER_MODULE = Path(os.environ["INJECT_INSTALLER_MODULE"])
MADE = Path(os.environ["INJECT_MADE"])

# In ELF.
X86_64 = 62
MODALIAS = "pci:v000010ECd00008168sv00001458sd0000E000bc02sc00i00"
# What one run may take, whatever it is given, on a machine that others use as well.
SECONDS = 300
MEMORY = 2 << 30


class Outcome:
    """The outcome of a run of the program."""

    def __init__(self, status, out, errors):
        self.status = status
        self.out = out
        self.errors = errors

    def json(self):
        return json.loads(self.out)


def inject(*arguments, memory=MEMORY, **environment):
    """Runs the program, bounded in time and memory."""
    done = subprocess.run(
        [str(PROGRAM), *(str(argument) for argument in arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **environment},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def forked(*arguments, memory=MEMORY, **environment):
    """Runs the program as inject() does, in a child of this process, which must have no other thread: without a new interpreter a run takes a third."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if not child:
            os._exit(_in_child(arguments, memory, environment, out, errors))
        _, status = os.waitpid(child, 0)
        said = []
        for file in (out, errors):
            file.seek(0)
            said.append(file.read().decode("utf-8", "backslashreplace"))
    return Outcome(os.waitstatus_to_exitcode(status), *said)


def _in_child(arguments, memory, environment, out, errors):
    try:
        signal.alarm(SECONDS)
        for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), out.fileno(), errors.fileno())):
            os.dup2(file, number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.BufferedWriter(io.FileIO(number, "wb", closefd=False))) for number in (1, 2))
        os.environ.update(environment)
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return status


class Case(unittest.TestCase):
    """A test with a directory of its own, in which nothing may be left over by the program."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="test-inject-"))
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "tmp").mkdir()

    def inject(self, *arguments, status=0, **environment):
        """Runs the program and requires its exit status, no traceback, and no temporary file left behind."""
        outcome = inject(*arguments, TMPDIR=str(self.dir / "tmp"), **environment)
        self.assertNotIn("Traceback", outcome.errors)
        self.assertEqual(outcome.status, status, f"{arguments}: {outcome.errors or outcome.out}")
        self.assertEqual(list((self.dir / "tmp").iterdir()), [])
        self.assertEqual([path.name for path in self.dir.iterdir() if path.name.startswith(".")], [])
        return outcome

    def refuse(self, status, *arguments, says=(), **environment):
        """Runs the program and requires a error of one line that has all the words."""
        errors = self.inject(*arguments, status=status, **environment).errors
        self.assertEqual(len(errors.splitlines()), 1, errors)
        for word in says:
            self.assertIn(word, errors)
        return errors


def listing(archive):
    """Returns what GNU cpio says of the archive in a plain file: one line a member, by name."""
    with open(archive, "rb") as stdin:
        done = subprocess.run(["cpio", "--quiet", "-itvn"], stdin=stdin, capture_output=True, check=True)
    lines = {}
    for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
        # A device has two numbers where others have a size.
        words = 9 if line[0] in "bc" else 8
        lines[line.split(None, words)[words]] = line
    return lines


def unpack(archive, directory):
    """Unpacks what GNU cpio can of a plain archive without root (no device nodes)."""
    directory.mkdir(exist_ok=True)
    command = ["cpio", "--quiet", "-idum", "--no-absolute-filenames", "--no-preserve-owner"]
    with open(archive, "rb") as stdin:
        subprocess.run(command, stdin=stdin, cwd=directory, capture_output=True, check=False)


def modprobe(root, name, kver=KVER):
    """Returns what modprobe would load for a name or an alias, in the tree of an unpacked initrd; as file names."""
    done = subprocess.run(
        ["modprobe", "-C", "/nonexistent", "-d", str(root), "-S", kver, "--show-depends", name],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.split()[1].rpartition("/")[2] for line in done.stdout.splitlines() if line.startswith("insmod")]


def decompress(path, compression, out):
    """Decompresses a file by the compression's own program."""
    programs = {"none": ["cat"], "gzip": ["gzip", "-dc"], "xz": ["xz", "-dc"], "lzma": ["xz", "--format=lzma", "-dc"]}
    program = programs.get(compression, [compression, "-dc"])
    with open(path, "rb") as stdin, open(out, "wb") as stdout:
        subprocess.run(program, stdin=stdin, stdout=stdout, check=True)


def cut(path, start, end, out):
    """Writes bytes `start` to `end` of a file to another."""
    with open(path, "rb") as file:
        file.seek(start)
        out.write_bytes(file.read(end - start))
    return out


def like_the_kernel(path, directory):
    """Unpacks every segment that --list finds by other programs than inject-initrd uses, one over the other."""
    root = directory / "root"
    for number, part in enumerate(inject("--list", "--json", path).json()["initrd"]["segments"]):
        piece = cut(path, part["offset"], part["end"], directory / f"piece-{number}")
        plain = directory / f"plain-{number}"
        decompress(piece, part["compression"], plain)
        unpack(plain, root)
    return root


def tree(directory, files):
    """Makes files out of a {path: content or link target} dictionary; a target is given as (target,)."""
    for path, content in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            file.symlink_to(content[0])
        else:
            file.write_bytes(content)
    return directory


def pack(directory, out, *, crc=False, compress=gzip.compress):
    """Packs a directory into a reproducible initrd of root's."""
    names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
    done = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "crc" if crc else "newc", "--reproducible", "-R", "0:0"],
        input="\n".join(names).encode(),
        cwd=directory,
        capture_output=True,
        check=True,
    )
    out.write_bytes(compress(done.stdout))
    return out


def small_initrd(directory, out):
    """A busybox-made initrd with one real module of the kernel, its indexes, and links where today's systems have them."""
    top = tree(
        directory,
        {
            "lib": ("usr/lib",),
            "bin": ("usr/bin",),
            "usr/bin/busybox": b"#!not really\n",
            "init": b"#!/bin/sh\n",
            "etc/modules": b"e1000e\n",
        },
    )
    source = next(KERNEL.rglob("e1000e.ko*"))
    target = top / "usr/lib/modules" / KVER / source.relative_to(KERNEL)
    target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)
    subprocess.run(["depmod", "-b", str(top), KVER], check=True, capture_output=True)
    return pack(top, out)


def anaconda_initrd(directory, out):
    """One of dracut's with what tells Anaconda's from others."""
    mark = pack(tree(directory / "mark", {"usr/lib/anaconda-lib.sh": b"# Anaconda's\n"}), directory / "mark.gz")
    plain = (MADE / "dracut.gzip").read_bytes()
    out.write_bytes(plain + bytes(-len(plain) % 4) + mark.read_bytes())
    return out


def legacy_initrd(directory, out):
    """One like RHEL 4's, with two modules of the kernel's, and with lines in its tables for drivers to come."""
    inner = directory / "inner"
    prefix = inner / KVER / "x86_64"
    prefix.mkdir(parents=True)
    for name in ("e1000e", "r8169"):
        decompress(next(KERNEL.rglob(f"{name}.ko*")), "xz", prefix / f"{name}.ko")
    cgz = pack(inner, directory / "modules.cgz", crc=True)
    top = tree(
        directory / "legacy",
        {
            "init": b"loader",
            "sbin/loader": b"loader",
            "modules/modules.cgz": cgz.read_bytes(),
            "modules/modules.dep": b"r8168_rust: mii crc32\nr8169: mii\n",
            "modules/pcitable": b'0x8086\t0x10d3\t"e1000e"\t"Intel"\n0x10EC\t0x8168\t"r8169"\t"Realtek"\n',
            "modules/module-info": b'Version 0\ne1000e\n\teth\n\t"Intel PRO/1000"\n',
            "modules/modules.pcimap": b"# pci module\n",
        },
    )
    return pack(top, out)


def program_for(machine):
    """The beginning of a program for a machine, by its number in ELF: what tells an initrd's architecture."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0" + machine.to_bytes(2, "little") + bytes(64)


def hand_made(directory, out, files, *, suffix=".xz", release=KVER, module="e1000e"):
    """An initrd with files of choice and one real module of the kernel, compressed as its name tells; indexed."""
    top = tree(directory, {"lib": ("usr/lib",), "bin": ("usr/bin",), "init": b"#!/bin/sh\n", **files})
    source = next(KERNEL.rglob(f"{module}.ko*"))
    target = top / "usr/lib/modules" / release / "kernel" / f"{module}.ko"
    target.parent.mkdir(parents=True)
    decompress(source, {".xz": "xz", ".zst": "zstd"}.get(source.suffix, "none"), target)
    subprocess.run(["depmod", "-b", str(top), release], check=True, capture_output=True)
    packers = {".xz": ["xz", "--check=crc32"], ".gz": ["gzip", "-n"], ".zst": ["zstd", "-q", "--rm"], "": None}
    if packers[suffix]:
        subprocess.run([*packers[suffix], str(target)], check=True, capture_output=True)
        for name in ("modules.dep", "modules.dep.bin"):
            # Debian's kmod knows no .ko.gz; what has some was indexed by another.
            index = target.parent.parent / name
            if name.endswith(".bin") and suffix != ".gz":
                subprocess.run(["depmod", "-b", str(top), release], check=True, capture_output=True)
            elif suffix == ".gz":
                index.write_bytes(index.read_bytes().replace(f"{module}.ko:".encode(), f"{module}.ko.gz:".encode()))
    return pack(top, out)


def injected_module(root, name="r8168_rust"):
    """The file of a module below updates/ in an unpacked initrd."""
    found = list((root / "usr/lib/modules" / KVER / "updates").glob(f"{name}.ko*"))
    assert len(found) == 1, f"found {found}"
    return found[0]
