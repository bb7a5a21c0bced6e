# SPDX-License-Identifier: GPL-2.0
"""Pairs of ssh keys that a head node makes and keeps."""

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
    return key_pair(Path(directory) / "id", "head node")[1].read_text()
