# SPDX-License-Identifier: GPL-2.0
"""The documentation of rust/net: each example compiles, each public type is used in one, and links lead somewhere; in rust/driver, too."""

import re
import unittest

from support import HERE, NET, Compiled

BLOCK = re.compile(r"(?m)^[ \t]*//[/!] # Examples\n(?:[ \t]*//[/!]\n)*[ \t]*//[/!] ```\n((?:[ \t]*//[/!].*\n)*?)[ \t]*//[/!] ```$")
HEADER = re.compile(r"(?m)^[ \t]*//[/!] #+ Examples?\b")
# The one that ends a block has no more on its line, as that of an example; others say what they are.
FENCE = re.compile(r"(?m)^[ \t]*//[/!] ```(\w*)$")
PUBLIC = re.compile(r"(?m)^pub (?:unsafe )?(?:struct|enum|trait) (\w+)")
# Implemented in rust/net only: a driver has no name for it.
INSIDE = {"Ownable"}


def sources():
    """The text of the modules that a driver sees, by name."""
    private = set(re.findall(r"(?m)^mod (\w+);", (NET / "mod.rs").read_text()))
    return {path.relative_to(NET).as_posix(): path.read_text() for path in sorted(NET.rglob("*.rs")) if path.stem not in private}


def examples():
    """Yields (file, code) of each example."""
    for name, text in sources().items():
        for number, block in enumerate(BLOCK.findall(text)):
            code = "".join(re.sub(r"^[ \t]*//[/!] ?", "", line) + "\n" for line in block.splitlines())
            yield f"{name} {number}", code


class Examples(Compiled):
    """All of them."""

    def test_they_compile(self):
        for name, code in examples():
            with self.subTest(name):
                self.assertNotIn("unsafe", code)
                source = self.out / (re.sub(r"\W", "_", name) + ".rs")
                source.write_text(code.replace("crate::net", "rust_net::net"))
                done = self.against(source, "-Dunused_imports", "-Dunused_variables", "-Dunused_must_use")
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_links(self):
        for source in HERE / "lib.rs", NET.parent / "r8168_rust.rs":
            with self.subTest(source.name):
                done = self.document(source)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_each_is_found(self):
        for name, text in sources().items():
            with self.subTest(name):
                blocks = len(BLOCK.findall(text))
                self.assertEqual(blocks, len(HEADER.findall(text)), "an example is not in the form that this test reads: `# Examples`, an empty line, a block")
                opened = FENCE.findall(text)[::2]
                self.assertEqual(blocks, opened.count(""), "a block of code is not under `# Examples`; one of another kind is named: ```text")

    def test_each_public_type_has_one(self):
        code = "\n".join(code for _, code in examples())
        used = set(re.findall(r"\w+", code))
        public = {(name, kind) for name, text in sources().items() for kind in PUBLIC.findall(text)}
        self.assertGreater(len(public), 40)
        for name, kind in sorted(public):
            with self.subTest(f"{name}: {kind}"):
                self.assertTrue(kind in used or kind in INSIDE, "no example in the documentation of rust/net uses it")

    def test_the_driver_is_small(self):
        """rust/example.rs, without imports and comments: rust/net is to have what each driver would write again."""
        text = re.sub(r"^use [^;]*;", "", (NET.parent / "example.rs").read_text(), flags=re.MULTILINE)
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("//")]
        self.assertLessEqual(len(lines), 125)


if __name__ == "__main__":
    unittest.main()
