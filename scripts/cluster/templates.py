# SPDX-License-Identifier: GPL-2.0
"""Questions of the installer (debconf templates) without their translations: loading them takes minutes on a slow machine, and
an installation by an answer file asks nothing."""

import hashlib
import re
import shutil

from archive.tools import run

_TRANSLATED = re.compile(r"(?:Description|Choices|Default|Indices|Extended_description|Help)-(?!C(?:\.|:))[A-Za-z_@]+(?:\.[A-Za-z0-9-]+)?:", re.IGNORECASE)
# Raise this when something else is left out.
RECIPE = 1


def strip(text):
    """The templates without the fields that are translations."""
    kept = []
    keeping = True
    for line in text.splitlines(keepends=True):
        if not line.startswith((" ", "\t")):
            keeping = not _TRANSLATED.match(line)
        if keeping:
            kept.append(line)
    return "".join(kept)


def strip_udeb(package, directory):
    """Makes the same part of the installer without translations; returns its stanza and where it is. Made once."""
    stripped = directory / f"{RECIPE}-{package.path.name}"
    if not stripped.exists():
        directory.mkdir(parents=True, exist_ok=True)
        tree = directory / f"{package.path.name}.tree"
        shutil.rmtree(tree, ignore_errors=True)
        run("dpkg-deb", "-R", package.path, tree)
        templates = tree / "DEBIAN/templates"
        if templates.exists():
            templates.write_text(strip(templates.read_text()))
        part = stripped.with_suffix(".part")
        run("dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, part)
        shutil.rmtree(tree)
        part.rename(stripped)
    data = stripped.read_bytes()
    return package.stanza.with_fields(Size=len(data), SHA256=hashlib.sha256(data).hexdigest(), MD5sum=None, SHA1=None), stripped
