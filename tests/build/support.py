# SPDX-License-Identifier: GPL-2.0
"""A machine of stubs for what builds the module."""

import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TOOLS = [
    "sh",
    "awk",
    "basename",
    "cat",
    "cp",
    "cut",
    "dirname",
    "env",
    "find",
    "grep",
    "head",
    "mkdir",
    "nproc",
    "realpath",
    "rm",
    "sed",
    "sort",
    "tail",
    "tr",
    "uname",
]
TRIXIE = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)"
OTHER = "rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a source tarball)"
DEBIAN_GCC = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"

MAKE = """#!/bin/sh
printf '%s\\n' "$@" >"$STUBS/make"
env >"$STUBS/environment"
for argument; do case $argument in M=*) echo built >"${argument#M=}/r8168_rust.ko" ;; esac; done
"""
RUSTC = """#!/bin/sh
case $1 in
--version) echo "{}" ;;
--print) echo "{}" ;;
esac
"""
BINDGEN = """#!/bin/sh
case $1 in --version) echo "bindgen {}" ;; --rust-target) {} ;; esac
"""
OLD = "echo \"error: invalid value '1.85' for '--rust-target <RUST_TARGET>': Got an invalid Rust target\" >&2; exit 2"
NO_LIBCLANG = """#!/bin/sh
case $1 in --version) echo "bindgen 0.71.1"; exit ;; esac
echo "thread 'main' panicked at bindgen/lib.rs:616:27:" >&2
echo "Unable to find libclang: \\"couldn't find any valid shared libraries matching: ['libclang.so']\\"" >&2
exit 101
"""


class Machine(unittest.TestCase):
    """A machine with the headers of one kernel."""

    KVER = "7.3.4-test"
    OS = "ID=debian\n"
    CONFIG = {"X86_64": "y", "RUST": "y", "RUSTC_VERSION_TEXT": TRIXIE, "CC_IS_GCC": "y", "CC_VERSION_TEXT": DEBIAN_GCC, "GCC_VERSION": "140200"}
    METADATA = True

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for name in TOOLS:
            (self.bin / name).symlink_to(f"/usr/bin/{name}")
        self.kdir = self.dir / "modules" / self.KVER / "build"
        self.kdir.mkdir(parents=True)
        self.configure()
        if self.METADATA:
            (self.kdir / "rust").mkdir()
            (self.kdir / "rust/libkernel.rmeta").touch()
        (self.dir / "os-release").write_text(self.OS)
        self.stub("make", MAKE)
        self.rustc(TRIXIE)
        self.bindgen("0.71.1")
        self.stub("x86_64-linux-gnu-gcc-14", "#!/bin/sh\n")
        self.stub("gcc", "#!/bin/sh\necho 14\n")
        self.stub("cc", "#!/bin/sh\n")
        # What rust/standin/check asks of a module that make has only named.
        self.stub("objdump", "#!/bin/sh\n")
        self.stub("readelf", "#!/bin/sh\necho alias=pci:v000010ECd00008168sv\n")

    def configure(self, name=".config", **changes):
        """Writes the configuration with these settings changed; None takes one out."""
        settings = {key: value for key, value in {**self.CONFIG, **changes}.items() if value is not None}
        path = self.kdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(f"CONFIG_{key}={value}\n" if value == "y" or value.isdigit() else f'CONFIG_{key}="{value}"\n' for key, value in settings.items())
        )

    def stub(self, name, text):
        """Writes a program."""
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def rustc(self, version, name="rustc", source=True):
        """Writes a compiler that says it is of this version, with its source or without."""
        sysroot = self.dir / f"sysroot-{Path(name).name}"
        library = sysroot / "lib/rustlib/src/rust/library/core/src"
        library.mkdir(parents=True, exist_ok=True)
        if source:
            (library / "lib.rs").touch()
        else:
            (library / "lib.rs").unlink(missing_ok=True)
        return self.stub(name, RUSTC.format(version, sysroot))

    def bindgen(self, version, name="bindgen", old=False):
        """Writes a bindgen."""
        return self.stub(name, BINDGEN.format(version, OLD if old else "echo"))

    def build(self, *arguments, cwd=None, out="out", within=(), **environment):
        """Runs scripts/build, by a program that is given it or as it is; returns its exit status and what it says."""
        (self.dir / "make").unlink(missing_ok=True)
        variables = {"PATH": str(self.bin), "STUBS": str(self.dir), "OS_RELEASE": str(self.dir / "os-release"), "KDIR": str(self.kdir), **environment}
        done = subprocess.run(
            [*within, TOP / "scripts/build", "--out", self.dir / out, *(arguments or [self.KVER])],
            env=variables,
            cwd=cwd or self.dir,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    def builds(self, *said, **environment):
        """It builds, and says this; returns what make is given."""
        status, error = self.build(**environment)
        self.assertEqual(status, 0, error)
        self.assertEqual(len(error.splitlines()), 1, error)
        for text in said:
            self.assertIn(text, error)
        return (self.dir / "make").read_text().splitlines()

    def refuses(self, *said, **options):
        """It refuses in one line that says this, before anything is compiled."""
        status, error = self.build(**options)
        self.assertEqual(status, 1, error)
        self.assertEqual(len(error.splitlines()), 1, error)
        for text in said:
            self.assertIn(text, error)
        self.assertFalse((self.dir / "make").exists(), error)
