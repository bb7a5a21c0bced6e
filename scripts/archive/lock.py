# SPDX-License-Identifier: GPL-2.0
"""Pins of packages by content: where the pool has a file, its size, and its SHA-256. A file of pins has one a line:

    PACKAGE VERSION SUITE/COMPONENT SIZE SHA256 PATH-IN-THE-POOL

Lines that begin with `#` are comments. A pin is made only of a verified index (scripts/pin).
"""

import re
from dataclasses import astuple, dataclass
from pathlib import Path

from .errors import UsageError
from .tools import replace


@dataclass(frozen=True, order=True)
class Pin:
    """One file of the pool."""

    name: str
    version: str
    origin: str
    """The index that described it, as SUITE/COMPONENT."""
    size: int
    """The size in bytes."""
    sha256: str
    path: str
    """Below the mirror's address."""

    @staticmethod
    def of(stanza, origin):
        """The pin of a package that a verified index describes."""
        return Pin(stanza["Package"], stanza["Version"], origin, int(stanza["Size"]), stanza["SHA256"], stanza.filename)

    @property
    def file(self):
        """The name of the file."""
        return Path(self.path).name


_LICENCE = "# SPDX-License-Identifier: GPL-2.0\n"
_LINE = re.compile(r"([a-z0-9][a-z0-9.+-]*) ([\w.+~:-]+) ([\w.-]+/[\w./-]+) (\d+) ([0-9a-f]{64}) (pool/(?!\S*\.\./)[\w.+~:%/-]+)", re.ASCII)


def read(path):
    """The pins in a file; none if there is no such file."""
    path = Path(path)
    pins: dict[tuple[str, str], Pin] = {}
    if not path.exists():
        return []
    # What is no text is no pin either.
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:
            raise UsageError(
                f"{path.name}:{number}: expected 'package version suite/component size sha256 pool/...', found '{line[:60]}'; make it anew: scripts/pin"
            )
        name, version, origin, size, sha256, place = match.groups()
        pin = Pin(name, version, origin, int(size), sha256, place)
        if pins.setdefault((name, version), pin) != pin:
            raise UsageError(f"{path.name}:{number}: pins {name} {version} a second time, and otherwise; make it anew: scripts/pin")
    return list(pins.values())


def first_comment(path):
    """The first line of `head` that write() was given; nothing if there is no such file."""
    path = Path(path)
    text = path.read_text(encoding="utf-8", errors="replace").removeprefix(_LICENCE) if path.exists() else None
    return text and text.partition("\n")[0].removeprefix("# ")


def write(path, head, pins):
    """Writes a file of pins below comment lines."""
    comment = "".join(f"# {line}\n" for line in head)
    replace(path, _LICENCE + comment + "".join(" ".join(map(str, astuple(pin))) + "\n" for pin in sorted(pins)))
