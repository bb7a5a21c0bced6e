# SPDX-License-Identifier: GPL-2.0
"""Safe code cannot misuse rust/net: what would is refused by the compiler.

Each file of misuse/ has two ways to write the same: with `--cfg right`, which must compile, and with `--cfg wrong`, which must not, for
the reason that its line `// error: TEXT` has (several lines: all of them). So a snippet that fails for another reason, or that does not
fail, is noticed. They are compiled as the module is on the stand-in for the kernel crate: by the command line that built it, which is
read from the directory that R8168_BUILD names (scripts/test-host).
"""

import os
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def command_line(build):
    """Returns the compiler and the flags by which the module was built there, but for what it makes, of what, and how it is linked."""
    saved = build / "rust/.r8168_rust.o.cmd"
    text = saved.read_text()
    words = shlex.split(text.split(":=", 1)[1].split("&&")[0])
    dropped = re.compile(r"-Clto|--emit|--cfg$|MODULE$|--crate-type|--crate-name|staticlib|r8168_rust$")
    words = [word for word in words[:-1] if not dropped.match(word)]
    if not any(word.startswith("--target=") for word in words):
        raise ValueError(f"{saved}: found no command line of a build on the stand-in for the kernel crate")
    return words


class Misuse(unittest.TestCase):
    """The snippets."""

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

    def snippet(self, source, way):
        """Compiles a snippet in one of the two ways."""
        return self.compile(
            source,
            source.stem,
            "-Funsafe_code",
            "--cfg",
            way,
            "-Aunexpected_cfgs",
            "-Adead_code",
            "-Amissing_docs",
            "-L",
            self.out,
            "--extern",
            f"rust_net={self.out}/librust_net.rmeta",
        )

    def test_snippets(self):
        sources = sorted((HERE / "misuse").glob("*.rs"))
        self.assertGreater(len(sources), 10)
        for source in sources:
            expected = re.findall(r"^// error: (.*)$", source.read_text(), re.MULTILINE)
            with self.subTest(source.name):
                self.assertTrue(expected, "it has no line that begins with '// error:'")
                right = self.snippet(source, "right")
                self.assertEqual(right.returncode, 0, f"the right way does not compile:\n{right.stderr}")
                wrong = self.snippet(source, "wrong")
                self.assertNotEqual(wrong.returncode, 0, "the misuse compiles")
                for text in expected:
                    self.assertIn(text, wrong.stderr)


if __name__ == "__main__":
    unittest.main()
