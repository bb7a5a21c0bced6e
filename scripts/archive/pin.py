# SPDX-License-Identifier: GPL-2.0
"""Pins by content what versions.conf names by version."""

import re

from . import kernel, lock
from .errors import UserError

# Lists of other suites, which may have an installer's part in the same version; a mirror may have an older list of the release by its alias.
OTHER_INSTALLERS = ("stable/main/debian-installer", "bookworm/main/debian-installer", "forky/main/debian-installer", "sid/main/debian-installer")

# The kernels, and what is fetched of each, or what instead.
KERNELS = {
    r"KVER(_OLDER|_\d+_\d+)?": (("image", "headers", "source"), ("image", "source-package")),
    r"KVER61": (("image",), None),
}

# The packages, by the names of their versions, and the component that has them, of another release if that is named.
PACKAGES = {
    "INSTALLER_IMAGES_VERSION": ("main", ["debian-installer-13-netboot-amd64", "debian-installer-13-netboot-arm64"]),
    "INSTALLER_IMAGES_BEFORE_VERSION": ("bookworm/main", ["debian-installer-12-netboot-amd64"]),
    "DRIVER_INJECTION_DISK": ("main/debian-installer", ["driver-injection-disk-detect"]),
    "KICKSEED": ("main/debian-installer", ["kickseed-common", "initrd-kickseed"]),
    "FAI": ("main", ["fai-server", "fai-setup-storage"]),
    "PERL_LVM": ("main", ["liblinux-lvm-perl"]),
    "PERL_DESCENT": ("main", ["libparse-recdescent-perl"]),
    "DRACUT_LIVE": ("main", ["dracut-live"]),
    "GRUB_SIGNED": ("main", ["grub-efi-amd64-signed"]),
    "SHIM_SIGNED": ("main", ["shim-signed"]),
    "SHIM_HELPERS_SIGNED": ("main", ["shim-helpers-amd64-signed"]),
    "SYSLINUX": ("main", ["isolinux", "syslinux-common"]),
    "GRUB": ("main", ["grub-common", "grub-pc-bin"]),
    "R8168_DKMS": ("non-free", ["r8168-dkms"]),
    "IPXE": ("main", ["ipxe"]),
    "IPXE_NEWER": ("sid/main", ["ipxe", "ipxe-qemu"]),
    "OVMF": ("main", ["ovmf"]),
}

HEAD = (
    "Written by scripts/pin out of verified package lists: what the versions in versions.conf are, byte for byte.",
    "PACKAGE VERSION SUITE/COMPONENT SIZE SHA256 PATH-IN-THE-POOL",
)


def pin(archive, suite, top, dry_run):
    """Writes packages.lock. A pin that is there already stays when no list can be used now; what has none is said."""
    versions = _versions(top / "versions.conf")
    found = set()
    missing: list[str] = []
    kernels = [(kver, *parts) for pattern, parts in KERNELS.items() for key, kver in versions.items() if re.fullmatch(pattern, key)]
    for kver, parts, instead in kernels:
        try:
            found.update(kernel.pins(archive, kver, parts, suite, instead))
        except UserError as error:
            _keep(archive, kver, kernel.pinned(archive, kver, parts, instead), error, found, missing)
    for key, (component, names) in PACKAGES.items():
        own = component if component.startswith(("bookworm/", "sid/")) else f"{suite}/{component}"
        origins = [own, *(OTHER_INSTALLERS if "installer" in component else ())]
        for name in names:
            try:
                got = archive.search(name, versions[key], origins)
                if got.version != versions[key]:
                    raise UserError(f"the archive has {got.version}, not {versions[key]}; change {key} in versions.conf")
                found.add(got)
            except UserError as error:
                kept = [old for (known, version), old in archive.pins.items() if (known, version) == (name, versions[key])]
                _keep(archive, f"{name} {versions[key]}", kept, error, found, missing)
    if dry_run:
        for item in sorted(found):
            print(item.name, item.version, item.sha256, item.path)
    else:
        lock.write(top / "packages.lock", HEAD, found)
        archive.say(f"{len(found)} packages pinned in packages.lock")
    if missing:
        raise UserError(f"not pinned: {', '.join(missing)}; see above")


def _keep(archive, what, kept, error, found, missing):
    if kept:
        archive.say(f"{what}: the pin of before stays: {error}")
        found.update(kept)
    else:
        archive.say(f"{what}: {error}")
        missing.append(what)


def _versions(path):
    """The settings in versions.conf."""
    lines = [line.partition("=") for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return {key: value for key, _, value in lines}
