# SPDX-License-Identifier: GPL-2.0
"""Downloading: by content where a package is pinned, by a verified index otherwise."""

import hashlib
import subprocess
import sys
from pathlib import Path

from . import index, lock
from .errors import UnavailableError, UserError


class NotInPoolError(UnavailableError):
    """The pool has no such file."""


class Archive:
    """One mirror of the archive, with what is pinned of it in the file `pins`. `say` shows a line to the user."""

    def __init__(self, directory, mirror, keyring, pins, say):
        self.directory = Path(directory)
        self.mirror = mirror.rstrip("/") + "/"
        self.keyring = keyring or index.DEBIAN_KEYS
        self.pins = {(pin.name, pin.version): pin for pin in (lock.read(pins) if pins else [])}
        self.say = say
        self._lists = {}

    def list(self, origin):
        """The package list SUITE/COMPONENT."""
        return self._open(origin, index.PackageList)

    def sources(self, origin):
        """The list of source packages SUITE/COMPONENT."""
        return self._open(origin, index.SourceList)

    def _open(self, origin, kind):
        if (origin, kind) not in self._lists:
            place = hashlib.sha256(f"{self.mirror} {self.keyring}".encode()).hexdigest()[:12]
            self._lists[origin, kind] = kind(self.directory / "indexes" / place, self.mirror, self.keyring, origin)
        return self._lists[origin, kind]

    def download(self, pins, directory):
        """Downloads files to `directory`, or takes what an interrupted attempt has left, and verifies each; what is there already stays.

        Raises NotInPoolError if the pool has one of them no longer.
        """
        kept = self.directory / "downloads"
        kept.mkdir(parents=True, exist_ok=True)
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        pins = [pin for pin in pins if not _holds(directory / pin.file, pin)]
        missing = [pin for pin in pins if not _holds(kept / pin.sha256, pin)]
        size = sum(pin.size for pin in missing)
        if missing:
            names = " ".join(sorted({pin.name for pin in missing}))
            self.say(f"downloading {size // 1000000 + 1} MB: {names if len(missing) <= 12 else f'{len(missing)} packages'}")
        for pin in missing:
            self._download(pin, kept)
        for pin in pins:
            (kept / pin.sha256).replace(directory / pin.file)

    def _download(self, pin, kept):
        part = kept / f"{pin.sha256}.part"
        # apt's own helper retries, uses the proxies that apt is configured for, and verifies before it succeeds.
        command = ["/usr/lib/apt/apt-helper", *index.options(), "download-file", self.mirror + pin.path, str(part), f"SHA256:{pin.sha256}"]
        shown = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else subprocess.DEVNULL
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode == 0 and _holds(part, pin):
                part.replace(kept / pin.sha256)
                return
        finally:
            for left in (part, f"{part}.FAILED", f"{part}.partial"):
                Path(left).unlink(missing_ok=True)
        if "404 " in done.stderr:
            raise NotInPoolError(f"{self.mirror} has no {pin.path}")
        raise index.failure(done.stderr, f"{pin.name} {pin.version} cannot be downloaded from {self.mirror}{pin.path}")

    def fetch_package(self, name, version, origins, directory):
        """Downloads a package to a directory: the pinned file, else that version out of the first of the lists `origins` that has
        it, else the newest of the first list. Lists that cannot be used matter only if no other has the version. Returns the version.
        """
        pinned = self.pins.get((name, version))
        if pinned:
            try:
                self.download([pinned], directory)
                return version
            except NotInPoolError as dropped:
                self.say(f"{dropped}; looking for {name} in the package lists")
        pin = self.search(name, version, origins)
        if pin.version != version:
            self.say(f"the archive no longer has {name} {version}; taking {pin.version} (change versions.conf, then: scripts/pin)")
        self.download([pin], directory)
        return pin.version

    def search(self, name, version, origins):
        """The pin of that version of a package by the first of the lists that has it, else that of the newest in the first list."""
        failures = []
        newest = None
        for number, origin in enumerate(origins):
            try:
                found = self.list(origin).versions(name)
            except UserError as failure:
                failures.append(failure)
                continue
            for pin in found:
                if pin.version == version:
                    return pin
            if number == 0 and found:
                newest = found[0]
        if newest:
            return newest
        if failures:
            raise failures[0]
        raise UnavailableError(f"the archive has no package {name} {version}: looked in {', '.join(origins)} at {self.mirror}")


def _holds(path, pin):
    """Returns whether a file is what is pinned."""
    try:
        if path.stat().st_size != pin.size:
            return False
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == pin.sha256
    except FileNotFoundError:
        return False
