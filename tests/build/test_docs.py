# SPDX-License-Identifier: GPL-2.0
"""Documents: links lead somewhere, commands exist, and text uses the words of docs/glossary.md."""

import re
import subprocess
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
# What "How text is written" in docs/glossary.md rules out.
RULED_OUT = re.compile(
    r"\b(whoever|what (becomes?|became|came|comes) of|com(e|es|ing) to nothing|(all|everything) held(?! (it|them|to|by))"
    r"|doz(e|es|ing)|rouse[ds]?|st(and|ands|anding|ood) still|bearable|in vain|amiss|tells? of"
    r"|(is|are|was|were|be) told|TODO|FIXME|XXX)\b"
)
# And what the tables there have under "Not", in the module, the model and the lab: other folders use some of these words in another sense.
RULED_OUT_THERE = re.compile(
    r"(?i)\b(struck|strikes?|occasions?|patience|downpour|rain(s|ed|ing)?|somebody|anybody|everybody|whom|promise[sd]?|nobody(?! cared))\b"
)
THERE = ("rust/net/", "rust/driver/", "qemu/", "tests/lab/", "tests/macros/")
# Names of tests and of their helpers are not prose.
ELSEWHERE = re.compile(r"^(rust/kunit\.rs|docs/glossary\.md|tests/build/test_docs\.py|LICENSE)|\.lock$")
# Formats that have no comments, or none that stays: everything else has a line about its licence.
UNMARKED = re.compile(
    r"^LICENSE$"
    r"|\.png$"  # no text
    r"|(^|/)Cargo\.lock$"  # written by cargo
    r"|^docs/upstream/[\w-]+\.patch$"  # for a file of another project, under its licence
    r"|^packaging/debian/(copyright|source/format)$"  # fields of Debian's, of which License is one; a word
    r"|^packaging/stick/templates$"  # debconf's
    r"|^packaging/release/sources(-image)?\.in$"  # prose that a release is sent with
    r"|^rust/standin/target\.json\.in$"  # JSON
    r"|^scripts/debug-kernel\.config$"  # left as it is: a kernel that takes half an hour to make is known by it
)
# The first words of what is neither a verb phrase nor a noun.
CLAUSES = r"What|Whose|Whom?|Whether|Which|Where|When|Why|How|If|As|By|In|On|Not|Within?|Without|For|So (?:many|much|long)"
NAMES = re.compile(r"\b\w*(?:_\w*|[a-z]\.\w+|::\w+)\w*|\btodo\b")


def tracked(*patterns):
    """The text of files of this tree, by name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout.split()
    return {name: (TOP / name).read_text(encoding="utf-8", errors="replace") for name in names if (TOP / name).is_file()}


def anchor(heading):
    """The name by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


class Documents(unittest.TestCase):
    """All *.md."""

    def test_links(self):
        documents = tracked("*.md")
        anchors = {name: {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)} for name, text in documents.items()}
        for name, text in documents.items():
            for link in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, part = link.partition("#")
                target = (TOP / name).parent / path if path else TOP / name
                with self.subTest(f"{name}: {link}"):
                    self.assertTrue(target.exists(), "there is no such file")
                    if part:
                        self.assertIn(part, anchors[str(target.resolve().relative_to(TOP))])

    def test_commands_exist(self):
        targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
        for name, text in tracked("*.md").items():
            # In code only, and at its beginning: `make` may be the package.
            code = [span or line for span, line in re.findall(r"`([^`\n]+)`|^ {4,}(.*)$", text, re.MULTILINE)]
            for target in (match[1] for match in (re.match(r"(?:sudo )?make ([a-z][a-z-]+)(?=[ ,;]|$)", one) for one in code) if match):
                with self.subTest(f"{name}: make {target}"):
                    self.assertIn(target, targets)
            for script in re.findall(r"(?<![\w/])scripts/[a-z][\w.-]*[\w]", text):
                with self.subTest(f"{name}: {script}"):
                    # The last is the kernel's.
                    self.assertTrue((TOP / script).exists() or script == "scripts/generate_rust_target.rs", "there is no such script")

    def test_every_target_has_a_line_of_help(self):
        text = (TOP / "Makefile").read_text()
        for target in re.findall(r"^([a-z-]+):", text, re.MULTILINE):
            with self.subTest(target):
                self.assertRegex(text, rf"(?m)^{target}:[^#\n]*## [A-Z`]")

    def test_every_decision_is_in_the_list(self):
        listed = set(re.findall(r"\]\((\d\d-[\w-]+\.md)\)", (TOP / "docs/decisions/README.md").read_text()))
        self.assertEqual(listed, {path.name for path in (TOP / "docs/decisions").glob("[0-9]*.md")})

    def test_licence(self):
        for name, text in tracked().items():
            if not UNMARKED.search(name):
                with self.subTest(name):
                    self.assertRegex("\n".join(text.splitlines()[:5]), r"SPDX-License-Identifier: GPL-2\.0\b", "CONTRIBUTING.md has the line")

    def test_width_of_comments(self):
        for name, text in tracked("*.rs").items():
            for number, line in enumerate(text.splitlines(), 1):
                # Rows of a table, and what a compiler is expected to say, are in one line.
                if re.match(r"\s*//(?![/!]? (\||error:))", line) and len(line) > 100:
                    with self.subTest(f"{name}:{number}"):
                        self.fail(f"a comment of {len(line)} columns, expected 100 at most")

    def test_width_of_c(self):
        for name, text in tracked("*.c", "*.h").items():
            for number, line in enumerate(text.splitlines(), 1):
                if (width := len(line.expandtabs(8))) > 100:
                    with self.subTest(f"{name}:{number}"):
                        self.fail(f"a line of {width} columns, expected 100 at most, as in the kernel")

    def test_words(self):
        for name, text in tracked().items():
            if ELSEWHERE.search(name):
                continue
            for number, line in enumerate(text.splitlines(), 1):
                prose = NAMES.sub("", line)
                if match := RULED_OUT.search(prose) or (name.startswith(THERE) and RULED_OUT_THERE.search(prose)):
                    with self.subTest(f"{name}:{number}"):
                        self.fail(f"found '{match[0]}'; docs/glossary.md has what is written instead: {line.strip()}")

    def test_doc_comments_begin_with_a_verb_or_a_noun(self):
        for name, text in tracked("*.rs").items():
            # At the beginning of a comment, not of each of its lines.
            for start in re.findall(rf"^(?![ \t]*//[/!]).*\n[ \t]*//[/!] ((?:#|(?:{CLAUSES}) ).*)", "\n" + text, re.MULTILINE):
                with self.subTest(name):
                    self.fail(f"begins with a relative clause, or with a heading: {start}")

    def test_docstrings_begin_with_a_verb_or_a_noun(self):
        for name, text in tracked("scripts", "tests").items():
            if name.endswith(".py") or text.startswith("#!/usr/bin/env python3"):
                for start in re.findall(rf'"""((?:{CLAUSES}) .*)', text):
                    with self.subTest(name):
                        self.fail(f"begins with a relative clause: {start}")


if __name__ == "__main__":
    unittest.main()
