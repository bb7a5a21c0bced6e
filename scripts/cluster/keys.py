# SPDX-License-Identifier: GPL-2.0
"""Pairs of ssh keys that a head node makes and keeps."""

import sys
from pathlib import Path

from archive.tools import replace, run


def key_pair(private, comment):
    """Makes a pair of keys where there is none, and the public one of the private one where that is lost; returns their files."""
    private = Path(private)
    public = private.with_name(f"{private.name}.pub")
    if not private.exists() and not public.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", private)
    if not public.exists():
        replace(public, run("ssh-keygen", "-y", "-P", "", "-f", private))
    return private, public


def key_of_root(directory):
    """The public part of the key that lets the head node in as root (DIRECTORY/id)."""
    private, public = key_pair(Path(directory) / "id", "head node")
    if not private.exists():
        print(
            f"head-node: found {public} without {private}: nodes let in the owner of that key, not this machine; remove it to get a new pair", file=sys.stderr
        )
    return public.read_text()
