# SPDX-License-Identifier: GPL-2.0
"""rust/helpers: each is one statement, but for those that docs/decisions/02-c-helpers.md gives a reason for."""

import re
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HELPERS = sorted((TOP / "rust/helpers").glob("*.c"))
FUNCTION = re.compile(r"^\w[^;{}#]*?\b(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def functions(text):
    """The functions of a C file, static ones too: names and bodies, of the branches of #if only the first."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^#else\n.*?^#endif", "", text, flags=re.MULTILINE | re.DOTALL)
    return {name.removeprefix("net_helper_"): body for name, body in FUNCTION.findall(text)}


def is_one_statement(body):
    """Returns whether there is one, which decides nothing."""
    return body.count(";") == 1 and not re.search(r"\b(if|else|switch|for|while|do|goto)\b", body)


def excepted():
    """The rows of the decision: names and reasons."""
    text = (TOP / "docs/decisions/02-c-helpers.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.MULTILINE)
    return {name: reason for names, reason in rows for name in re.findall(r"`(\w+)`", names)}


class Helpers(unittest.TestCase):
    """The C that Rust calls."""

    def test_longer_ones_have_a_reason(self):
        longer = {name for path in HELPERS for name, body in functions(path.read_text()).items() if not is_one_statement(body)}
        self.assertEqual(longer, set(excepted()), "found functions of more than one statement, expected those of the table in docs/decisions/02-c-helpers.md")
        self.assertTrue(all(excepted().values()))

    def test_all_are_seen(self):
        declared = set(re.findall(r"\bnet_helper_(\w+)\(", (TOP / "rust/helpers/helpers.h").read_text()))
        seen = {name for path in HELPERS for name in functions(path.read_text())}
        self.assertEqual(declared - seen, set(), "declared in helpers.h, and not found in rust/helpers/*.c")

    def test_declared_under_the_file_that_has_it(self):
        parts = re.split(r"^/\* (\w+\.c) \*/$", (TOP / "rust/helpers/helpers.h").read_text(), flags=re.MULTILINE)
        for name, declarations in zip(parts[1::2], parts[2::2], strict=True):
            with self.subTest(name):
                defined = re.findall(r"^\w.*\bnet_helper_(\w+)\(", (TOP / "rust/helpers" / name).read_text(), re.MULTILINE)
                self.assertEqual(sorted(re.findall(r"\bnet_helper_(\w+)\(", declarations)), sorted(defined))

    def test_called_without_prefix(self):
        for path in sorted((TOP / "rust").rglob("*.rs")):
            with self.subTest(path.name):
                self.assertNotRegex(path.read_text(), r"\bnet_helper_\w+\(")


if __name__ == "__main__":
    unittest.main()
