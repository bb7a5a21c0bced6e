# SPDX-License-Identifier: GPL-2.0
"""The modules of rust/net: a graph without circles, which the test prints, and nothing in it that is of one chip."""

import re
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
NET = TOP / "rust/net"


def leaves(tree, prefix=""):
    """Yields the paths of a `use` tree, such as `a::{b, c::{self, d}}`."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield prefix + tree.split(" as ")[0].strip()
        return
    depth, item = 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            if item.strip():
                yield from leaves(item.strip(), prefix + head.strip())
            item = ""
        else:
            item += letter


def paths(module, source, modules=()):
    """Yields the paths in a module that may lead to others, from rust/net on; `modules` are those that there are."""
    source = re.sub(r"//[^\n]*", "", source)
    found = [path for use in re.findall(r"\buse\s+([^;]*);", source) for path in leaves(use)]
    found += re.findall(r"(?<![\w:])((?:super|self|crate::net)(?:::\w+)+)", re.sub(r"\buse\s[^;]*;", "", source))
    for path in found:
        words = path.removesuffix("::self").replace("crate::net::", "::").split("::")
        at = list(module)
        if words[0] == "":
            at, words = [], words[1:]
        elif words[0] not in ("super", "self") and (*module, words[0]) not in modules:
            continue
        while words and words[0] in ("super", "self"):
            if words.pop(0) == "super" and at:
                at.pop()
        yield tuple(at + words)


def graph():
    """Returns which modules each module uses. What is in mod.rs, of which all are, uses none."""
    sources = {file.relative_to(NET).with_suffix("").parts: file.read_text() for file in sorted(NET.rglob("*.rs")) if file.name != "mod.rs"}
    edges = {}
    for module, source in sources.items():
        edges[module] = set()
        for path in paths(module, source, sources):
            # The module itself, or that of an item in it.
            used = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in sources), module)
            if used != module:
                edges[module].add(used)
    return edges


def levels(edges):
    """Returns the modules level by level, each using only those of the levels before; and the rest, which is in circles."""
    left, done = dict(edges), []
    while True:
        level = sorted(module for module, used in left.items() if not used & left.keys())
        if not level:
            return done, left
        done.append(level)
        for module in level:
            del left[module]


class Modules(unittest.TestCase):
    """Their graph."""

    def test_no_circles(self):
        done, rest = levels(graph())
        for number, level in enumerate(done):
            print(f"  {number:2}  " + " ".join("/".join(module) for module in level))
        circles = [f"{'/'.join(module)} uses {', '.join('/'.join(other) for other in sorted(used & rest.keys()))}" for module, used in sorted(rest.items())]
        self.assertFalse(circles, "these are in circles, or use what is:\n" + "\n".join(circles))

    def test_the_root_uses_none(self):
        source = re.sub(r"//[^\n]*", "", (NET / "mod.rs").read_text())
        self.assertNotRegex(source, r"\buse\s+(super|self|crate)\b")

    def test_circles_are_seen(self):
        self.assertEqual(levels({"a": {"b"}, "b": set()}), ([["b"], ["a"]], {}))
        self.assertEqual(levels({"a": {"b"}, "b": {"a"}, "c": set()})[1], {"a": {"b"}, "b": {"a"}})
        self.assertEqual(
            set(paths(("ethtool", "ops"), "use super::{super::{device::NetDevice, error}, Coalesce}; let a = crate::net::phy::x(); // super::no")),
            {("device", "NetDevice"), ("error",), ("ethtool", "Coalesce"), ("phy", "x")},
        )
        self.assertEqual(set(paths(("spsc",), "use core::cell; use sync::Arc;", {("spsc", "sync")})), {("spsc", "sync", "Arc")})
        self.assertGreater(sum(len(used) for used in graph().values()), 50)

    def test_nothing_of_one_chip(self):
        comments = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
        for file in [*NET.rglob("*.rs"), *(TOP / "rust/helpers").glob("*.[ch]")]:
            with self.subTest(file.name):
                self.assertNotRegex(comments.sub("", file.read_text()), r"(?i)r816[89]|realtek|rtl8")


if __name__ == "__main__":
    unittest.main()
