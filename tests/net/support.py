# SPDX-License-Identifier: GPL-2.0
"""Compiles code against rust/net, as the module is compiled on the stand-in for the kernel crate: by the command line that built it,
which is read from the directory that R8168_BUILD names (scripts/test-host)."""

import itertools
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
NET = HERE.parents[1] / "rust/net"


def command_line(build):
    """Returns the compiler and the flags by which the module was built there, but for what it makes, of what, and how it is linked."""
    saved = build / "rust/.r8168_rust.o.cmd"
    text = saved.read_text()
    words = shlex.split(text.split(":=", 1)[1].split("&&")[0])
    # The first word sets a variable for the compiler, which does not use it.
    dropped = re.compile(r"RUSTC_VERSION=|-Clto|--emit|--cfg$|MODULE$|--crate-type|--crate-name|staticlib|r8168_rust$")
    words = [word for word in words[:-1] if not dropped.match(word)]
    if not any(word.startswith("--target=") for word in words):
        raise ValueError(f"{saved}: found no command line of a build on the stand-in for the kernel crate")
    return words


class Compiled(unittest.TestCase):
    """Has rust/net as a crate of its own."""

    @classmethod
    def setUpClass(cls):
        build = Path(os.environ["R8168_BUILD"])
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.out = Path(directory.name)
        cls.flags = command_line(build)
        cls.environment = os.environ | {"R8168_BINDINGS": str(build / "rust/bindings/generated.rs"), "RUSTC_BOOTSTRAP": "1"}
        done = cls.compile(HERE / "lib.rs", "rust_net")
        if done.returncode:
            raise AssertionError(f"rust/net does not compile as a crate of its own:\n{done.stderr}")

    @classmethod
    def compile(cls, source, name, *flags):
        """Compiles a crate, as far as its types are checked."""
        words = [*cls.flags, "--crate-type", "rlib", "--crate-name", name, f"--emit=metadata={cls.out}/lib{name}.rmeta", *flags, source]
        return subprocess.run(words, env=cls.environment, capture_output=True, text=True, check=False)

    @classmethod
    def against(cls, source, *flags):
        """Compiles a source file that uses the crate."""
        words = ["-Aunexpected_cfgs", "-Adead_code", "-Amissing_docs", "-L", cls.out, "--extern", f"rust_net={cls.out}/librust_net.rmeta"]
        return cls.compile(source, source.stem, *words, *flags)

    @classmethod
    def document(cls, source):
        """Makes the documentation of a crate, private items too; a link that leads nowhere is an error."""
        left_out = re.compile(r"-[CWDA].|--out-dir|-Zbinary")
        words = ["rustdoc", *[word for before, word in itertools.pairwise(cls.flags) if not left_out.match(word) and before != "--out-dir"]]
        lints = ["-Drustdoc::broken_intra_doc_links", "-Arustdoc::private_intra_doc_links"]
        words += ["--crate-type", "rlib", "--crate-name", source.stem, "--document-private-items", *lints, "-o", cls.out / "doc", source]
        return subprocess.run(words, env=cls.environment | {"R8168_VERSION": "0"}, capture_output=True, text=True, check=False)
