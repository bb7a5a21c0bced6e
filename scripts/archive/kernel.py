# SPDX-License-Identifier: GPL-2.0
"""The packages that a Debian kernel is made of, and the suites that it may be in."""

import re
from dataclasses import replace

from .errors import UnavailableError, UserError
from .fetch import NotInPoolError

# What a kernel is fetched in: packages, and the source package that they are made of. The archive keeps that as long as the image; headers and
# source go when the next version comes.

# The files of the source package, by what their names end in: the source, and Debian's changes to it, which some mirrors lack.
FILES = {"linux.orig": ".orig.tar.xz", "linux.debian": ".debian.tar.xz"}
OPTIONAL = "linux.debian"


def series(kver):
    """The first two numbers of a release, which name its linux-source package."""
    return ".".join(re.findall(r"\d+", kver)[:2])


def names(kver, parts):
    """The names that the packages of these parts may have. A kernel's main package comes first; older kernels lack others."""
    bare = kver.removesuffix("-amd64")
    known = {
        "image": [f"linux-image-{kver}", f"linux-base-{kver}", f"linux-modules-{kver}", f"linux-binary-{kver}"],
        "headers": [f"linux-headers-{kver}", f"linux-headers-{bare}-common", f"linux-kbuild-{bare}"],
        "source": [f"linux-source-{series(kver)}"],
        "source-package": list(FILES),
    }
    return [name for part in parts for name in known[part]]


def origins(kver, suite):
    """The lists that may have a kernel: those of `suite`, or of Debian 12 for a release that does not name Debian 13 or later."""
    number = re.search(r"\+deb(\d+)", kver)
    if number and int(number[1]) >= 13:
        return [f"{suite}-backports/main", f"{suite}/main"]
    return ["bookworm/main", f"{suite}/main"]


def fetch(archive, kver, parts, suite, directory, made=None, exact=False, instead=None):
    """Downloads the packages of a kernel to a directory; returns its release. If a list has the kernel, but not these parts of it, the
    parts `instead` are downloaded.

    The release is another of the same series, the newest, if the archive has dropped the one asked for; that one is not downloaded if
    `made(release)` is true. With `exact` that is an error instead.
    """
    known = pinned(archive, kver, parts, instead)
    if known:
        try:
            _download(archive, known, directory)
            return kver
        except NotInPoolError as dropped:
            archive.say(f"{dropped}; looking for {kver} in the package lists")
    failures: list[UserError] = []
    newest = None
    for origin in origins(kver, suite):
        packages = archive.list(origin)
        try:
            found = _listed(archive, packages, kver, parts, instead)
            if found:
                _download(archive, found, directory)
                return kver
            newest = newest or _newest(packages, kver)
        except NotInPoolError as dropped:
            failures.append(
                UnavailableError(f"{dropped}, though its list has it: the mirror is being updated; try again later, or another mirror: R8168_MIRROR=URL")
            )
        except UserError as failure:
            failures.append(failure)
    if newest is None or exact:
        raise failures[0] if failures else UnavailableError(_nothing(kver, exact, newest and newest[0]))
    release, packages = newest
    archive.say(f"the archive no longer has {kver}; taking the newest of the same series, {release} (change versions.conf, then: scripts/pin)")
    if not (made and made(release)):
        _download(archive, _listed(archive, packages, release, parts, instead), directory)
    return release


def _download(archive, found, directory):
    """Downloads what is pinned; what is optional, only if the mirror has it."""
    archive.download([pin for pin in found if pin.name != OPTIONAL], directory)
    try:
        archive.download([pin for pin in found if pin.name == OPTIONAL], directory)
    except NotInPoolError as dropped:
        archive.say(f"{dropped}; taking the source without Debian's changes")


def pins(archive, kver, parts, suite, instead=None):
    """The pins of a kernel's packages by the first list that has it; raises UserError if none has. See fetch() for `instead`."""
    failures = []
    for origin in origins(kver, suite):
        try:
            found = _listed(archive, archive.list(origin), kver, parts, instead)
            if found:
                return found
        except UserError as failure:
            failures.append(failure)
    raise failures[0] if failures else UnavailableError(_nothing(kver, True, None))


def _nothing(kver, exact, newest):
    if exact:
        return f"the archive has no kernel {kver}" + (f"; the newest of its series is {newest}: use KVER={newest}" if newest else "")
    return f"the archive has neither the kernel {kver} nor any of the series {series(kver)}; choose another KVER"


def pinned(archive, kver, parts, instead=None):
    """The pinned packages of these parts, or of the parts `instead`; none if a part is not pinned."""
    version = next((version for name, version in archive.pins if name == names(kver, ["image"])[0]), None)
    found = [archive.pins[name, version] for name in names(kver, parts) if (name, version) in archive.pins]
    known = {pin.name for pin in found}
    if all(names(kver, [part])[0] in known for part in parts):
        return found
    return pinned(archive, kver, instead) if instead else []


def _listed(archive, packages, kver, parts, instead=None):
    """The same by a list."""
    main = packages.find(names(kver, ["image"])[0])
    if not main:
        return []
    found = [pin for name in names(kver, parts) if (pin := packages.find(name, main.version))]
    if "source-package" in parts:
        files = archive.sources(packages.origin).files("linux", main.version)
        found += [replace(pin, name=name) for name, end in FILES.items() for pin in files if pin.file.endswith(end)]
    known = {pin.name for pin in found}
    lost = [name for part in parts if (name := names(kver, [part])[0]) not in known]
    if lost and instead:
        return _listed(archive, packages, kver, instead)
    if lost:
        raise UnavailableError(f"{packages.origin} has {main.name} {main.version}, but no {lost[0]} of that version; choose another KVER")
    return found


def _newest(packages, kver):
    """The newest kernel of the same series and flavour in a list, and the list; None if it has none."""
    match = re.search(r"(-[a-z]+)?-amd64$", kver)
    flavour = (match and match[1]) or ""
    found = [name.removeprefix("linux-image-") for name in packages.names(f"linux-image-{series(kver)}.")]
    kernels = [kver for kver in found if re.fullmatch(rf"[\d.]+(-\d+|\+[a-z0-9+]+)?{flavour}-amd64", kver)]
    return (max(kernels, key=lambda kver: [int(number) for number in re.findall(r"\d+", kver)]), packages) if kernels else None
