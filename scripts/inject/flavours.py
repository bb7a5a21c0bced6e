# SPDX-License-Identifier: GPL-2.0
"""The flavours: what an initrd is known by, and how each is made to load a module, besides the alias index that udev and modprobe go by."""

import re
from pathlib import Path

from .errors import UnfitError, UsageError

FLAVOURS = {
    "debian-installer": "the Debian installer",
    "anaconda": "Anaconda (dracut)",
    "dracut": "dracut",
    "systemd": "systemd in an initrd (mkosi-initrd and others)",
    "initramfs-tools": "initramfs-tools",
    "tiny-initramfs": "tiny-initramfs",
    "anaconda-legacy": "Anaconda of RHEL 4 times",
    "busybox": "made by hand with busybox",
}

# What is in one flavour and in none that stands below it; any of the paths will do.
MARKS = [
    ("debian-installer", ["usr/bin/anna", "bin/anna", "usr/lib/debian-installer", "lib/debian-installer"]),
    ("anaconda-legacy", ["modules/modules.cgz"]),
    ("anaconda", ["usr/lib/anaconda-lib.sh", "lib/anaconda-lib.sh", "usr/sbin/anaconda-listnet", "sbin/anaconda-listnet"]),
    ("dracut", ["usr/lib/dracut", "lib/dracut", "usr/lib/dracut/hooks"]),
    ("systemd", ["usr/lib/initrd-release", "etc/initrd-release"]),
    ("initramfs-tools", ["conf/initramfs.conf", "conf/arch.conf", "scripts/functions"]),
    ("busybox", ["usr/bin/busybox", "bin/busybox", "sbin/busybox", "usr/sbin/busybox"]),
    ("tiny-initramfs", ["target"]),
]

CONFIGURATION = "etc/modprobe.d/inject-initrd.conf"
# Where modprobe's configuration is; of two files of the same name the first counts.
CONFIGURATIONS = ("etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d")
DRACUT_HINT = "etc/cmdline.d/50-inject-initrd.conf"
SYSTEMD_HINT = "etc/modules-load.d/inject-initrd.conf"
# The rules for modprobe that come with a module of ours: 10-MODULE.conf.
RULES = Path(__file__).resolve().parents[2] / "packaging/modprobe.d"
# What reads rd.driver.pre in a dracut image: without systemd, and with it.
DRACUT_READERS = ("parse-kernel.sh", "dracut-pre-udev", "dracut-pre-udev.sh")

PCI_ID = re.compile(r"(?i:pci:)?([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::([0-9a-fA-F]{4}):([0-9a-fA-F]{4}))?")
MODALIAS = re.compile(r"pci:v[0-9A-F]{8}d[0-9A-F]{8}sv([0-9A-F]{8}|\*)sd([0-9A-F]{8}|\*)bc(..|\*)sc(..|\*)i(..|\*)")
PCI_NUMBERS = re.compile(r"pci:v(\w{8})d(\w{8})sv(\w{8}|\*)sd(\w{8}|\*)")


def flavour_of(initrd, wanted=None):
    """Returns which of FLAVOURS an initrd is."""
    if wanted:
        return wanted
    for name, paths in MARKS:
        if any(initrd.resolve(path) in initrd.tree for path in paths):
            return name
    raise UnfitError(
        "found no mark of the Debian installer, Anaconda, dracut, systemd, initramfs-tools, busybox or tiny-initramfs in the initrd; say what it "
        "is by --flavour"
    )


def with_line(content, line):
    """The text file with a line more, unless it has that."""
    lines = content.decode("utf-8", "surrogateescape").splitlines()
    if line not in lines:
        lines.append(line)
    return "".join(f"{one}\n" for one in lines).encode("utf-8", "surrogateescape")


def in_capitals(modalias):
    """A PCI modalias with its numbers as the kernel writes them, in whatever case it was given; anything else as it is."""
    match = re.fullmatch(r"(?i:pci:v([0-9a-f]{8})d([0-9a-f]{8})sv([0-9a-f]{8}|\*)sd([0-9a-f]{8}|\*)bc(..|\*)sc(..|\*)i(..|\*))", modalias)
    return "pci:v{}d{}sv{}sd{}bc{}sc{}i{}".format(*(part.upper() for part in match.groups())) if match else modalias


def parse_alias(text):
    """DRIVER=ID as (driver, modalias); ID is vendor:device, also with the subsystem's two, or a whole modalias."""
    driver, equals, identity = text.partition("=")
    identity = in_capitals(identity)
    if not (driver and equals and re.fullmatch(r"[A-Za-z0-9_-]+", driver)):
        raise UsageError(f"--alias-only is {text!r}, expected DRIVER=VENDOR:DEVICE, such as dummy=10ec:8168")
    if MODALIAS.fullmatch(identity):
        return driver.replace("-", "_"), identity
    match = PCI_ID.fullmatch(identity)
    if not match:
        raise UsageError(f"--alias-only names the id {identity!r}, expected VENDOR:DEVICE in hexadecimal, such as 10ec:8168")
    vendor, device, sub_vendor, sub_device = (f"{int(part, 16):08X}" if part else "*" for part in match.groups())
    return driver.replace("-", "_"), f"pci:v{vendor}d{device}sv{sub_vendor}sd{sub_device}bc*sc*i*"


def pci_numbers(aliases):
    """The PCI ids among a module's aliases, as (vendor, device, subsystem vendor, subsystem device), None for any."""
    found = []
    for alias in aliases:
        if match := PCI_NUMBERS.match(alias):
            found.append(tuple(None if part == "*" else int(part, 16) for part in match.groups()))
    return found


def hints(initrd, flavour, names):
    """Files to be changed so that the modules are loaded, as {path: content}, and what is to be said."""
    if flavour == "initramfs-tools":
        content = initrd.read("conf/modules")
        for name in names:
            content = with_line(content, name)
        return {"conf/modules": content}, []
    if flavour in ("dracut", "anaconda"):
        if not any(path.rpartition("/")[2].endswith(DRACUT_READERS) for path in initrd.tree):
            return {}, ["found no program in this dracut image that reads rd.driver.pre; its udev loads the modules by their PCI ids"]
        content = initrd.read(DRACUT_HINT)
        for name in names:
            content = with_line(content, f"rd.driver.pre={name}")
        return {DRACUT_HINT: content}, []
    if flavour == "systemd":
        if not initrd.exists("usr/lib/systemd/systemd-modules-load"):
            return {}, ["found no systemd-modules-load in it; its udev loads the modules by their PCI ids"]
        content = initrd.read(SYSTEMD_HINT)
        for name in names:
            content = with_line(content, name)
        return {SYSTEMD_HINT: content}, []
    if flavour == "busybox":
        if initrd.exists("etc/modules"):
            content = initrd.read("etc/modules")
            for name in names:
                content = with_line(content, name)
            return {"etc/modules": content}, []
        return {}, [f"nothing in this initrd is known to load modules; its init must run: modprobe {' '.join(names)}"]
    # The Debian installer's udev loads by alias, and its hw-detect does so again.
    return {}, []


def _rules(names):
    return [file for file in (RULES / f"10-{name}.conf" for name in names) if file.is_file()]


def rules(initrd, names):
    """The rules for modprobe that come with modules, as {path: content}; one that the initrd has already may be the user's."""
    files = {f"etc/modprobe.d/{file.name}": file.read_bytes() for file in _rules(names)}
    return {path: content for path, content in files.items() if not initrd.exists(path)}


def softdeps(names):
    """Returns which modules these rules have loaded before which, as {module: [module]}."""
    lines = [line.split() for file in _rules(names) for line in file.read_text(encoding="utf-8").splitlines()]
    return {words[1]: words[3:] for words in lines if words[:1] == ["softdep"] and words[2:3] == ["pre:"]}


def configuration(initrd):
    """The files of the initrd that modprobe reads, by name."""
    found: dict[str, str] = {}
    for place in CONFIGURATIONS:
        base = initrd.resolve(place)
        for path in sorted(initrd.tree):
            if path.startswith(base + "/") and path.endswith(".conf"):
                found.setdefault(path.rpartition("/")[2], path)
    return {name: initrd.read(path) for name, path in found.items()}


def whole_lines(content):
    """The lines of a file of modprobe's as it reads them: one that ends with a backslash goes on in the next."""
    return content.decode("utf-8", "replace").replace("\\\n", "").splitlines()


def listed(content):
    """The names in a list of modules, without its comments and what stands behind a name."""
    lines = [re.split("[#;]", line)[0].split() for line in content.decode("utf-8", "replace").splitlines()]
    return {words[0].replace("-", "_") for words in lines if words}


def barred(initrd, names):
    """The lines of that configuration that keep modules from being loaded."""
    lines = [line.split() for content in configuration(initrd).values() for line in whole_lines(content)]
    return [" ".join(words) for words in lines if len(words) > 1 and words[0] in ("blacklist", "install") and words[1].replace("-", "_") in names]


def alias_file(initrd, aliases):
    """modprobe.d's file with the aliases in it. It outlives a later depmod, as that of the Debian installer."""
    content = initrd.read(CONFIGURATION)
    for driver, modalias in aliases:
        content = with_line(content, f"alias {modalias} {driver}")
    return {CONFIGURATION: content}
