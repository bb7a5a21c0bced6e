# SPDX-License-Identifier: GPL-2.0
"""Safe code cannot misuse rust/net: what would is refused by the compiler.

Each file of misuse/ has two ways to write the same: with `--cfg right`, which must compile, and with `--cfg wrong`, which must not, for
the reason that its line `// error: TEXT` has (several lines: all of them). So a snippet that fails for another reason, or that does not
fail, is noticed.
"""

import re
import unittest

from support import HERE, Compiled


class Misuse(Compiled):
    """The snippets."""

    def snippet(self, source, way):
        """Compiles a snippet in one of the two ways."""
        return self.against(source, "-Funsafe_code", "--cfg", way)

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
