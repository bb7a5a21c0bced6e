# SPDX-License-Identifier: GPL-2.0
"""A small mirror of Debian, made out of the pool, with the driver's package in it, and signed with a key made for it."""

import gzip
import hashlib
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from archive import deb822
from archive.tools import replace, run

from .templates import strip_udeb


def make(root, suite, packages, udebs, local, stripped, translations):
    """Makes the mirror at `root` anew; `local` are packages of our own. Returns the number of packages in it."""
    shutil.rmtree(root, ignore_errors=True)
    debs = []
    for package in packages:
        _place(root, package.stanza, package.path)
        debs.append(package.stanza)
    for path in local:
        stanza = _describe(Path(path))
        _place(root, stanza, Path(path))
        debs.append(stanza)
    parts = []
    for package in udebs:
        stanza, path = (package.stanza, package.path) if translations else strip_udeb(package, stripped)
        _place(root, stanza, path)
        parts.append(stanza)
    dists = root / "dists" / suite
    _index(dists / "main/binary-amd64", debs, suite)
    _index(dists / "main/debian-installer/binary-amd64", parts, suite)
    _release(dists, suite)
    return len(debs) + len(parts)


def _place(root, stanza, path):
    """The files stay where they are: the mirror is of links."""
    link = root / stanza.filename
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path.resolve())


def _describe(path):
    data = path.read_bytes()
    stanza = deb822.Stanza(run("dpkg-deb", "--field", path))
    filename = f"pool/local/{path.name}"
    return stanza.with_fields(Filename=filename, Size=len(data), SHA256=hashlib.sha256(data).hexdigest())


def _index(directory, stanzas, suite):
    text = deb822.index(stanzas)
    replace(directory / "Packages", text)
    replace(directory / "Packages.gz", gzip.compress(text.encode(), mtime=0))
    # debootstrap asks for it.
    replace(directory / "Release", f"Archive: {suite}\nComponent: main\nArchitecture: amd64\n")


def _release(dists, suite):
    options = {"Origin": "Debian", "Label": "Debian", "Suite": suite, "Codename": suite, "Architectures": "amd64", "Components": "main"}
    options["Description"] = f"what nodes are installed from; made {datetime.now(UTC):%Y-%m-%d}"
    words = [word for name, value in options.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    replace(dists / "Release", run("apt-ftparchive", *words, "release", dists))


def sign(root, suite, key_to):
    """Signs the mirror with a key of its own, whose secret part is forgotten; writes the public part to `key_to`."""
    release = root / "dists" / suite / "Release"
    with tempfile.TemporaryDirectory(prefix="mirror-key-") as home:
        env = {"GNUPGHOME": home}
        gpg = ("gpg", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", "")
        run(*gpg, "--quick-generate-key", "r8168_rust: mirror of one head node", "ed25519", "sign", "never", env=env)
        run(*gpg, "--export", "--output", key_to, env=env)
        run(*gpg, "--detach-sign", "--armor", "--output", release.with_suffix(".gpg"), release, env=env)
        run(*gpg, "--clearsign", "--output", release.with_name("InRelease"), release, env=env)
        run("gpgconf", "--kill", "all", env=env)
