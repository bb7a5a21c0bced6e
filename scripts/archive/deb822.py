# SPDX-License-Identifier: GPL-2.0
"""Stanzas of Debian's package indexes, kept as the archive wrote them."""

import re


class Stanza:
    """The description of one package in an index."""

    def __init__(self, text):
        self.text = text.strip("\n")
        self.fields = {}
        for line in re.split(r"\n(?![ \t])", self.text):
            name, _, value = line.partition(":")
            self.fields[name] = value.strip()

    def __getitem__(self, name):
        return self.fields[name]

    @property
    def filename(self):
        """The path of the package in the archive."""
        return self.fields["Filename"]

    def with_fields(self, **changes):
        """The stanza with other values of some fields; None leaves a field out. In names `_` stands for `-`."""
        changes = {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [line for line in re.split(r"\n(?![ \t])", self.text) if line.partition(":")[0] not in changes]
        lines += [f"{name}: {value}" for name, value in changes.items() if value is not None]
        return Stanza("\n".join(lines))


def stanzas(text):
    """The stanzas of an index."""
    return [Stanza(part) for part in re.split(r"\n\n+", text.strip("\n")) if part]


def index(items):
    """An index of stanzas."""
    return "".join(f"{item.text}\n\n" for item in sorted(items, key=lambda item: item["Package"]))
