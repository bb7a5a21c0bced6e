# SPDX-License-Identifier: GPL-2.0
"""Answers what --verify asks of an initrd: which module drives a card, what loads it, what it needs, and whether all is there."""

import re

from . import archive, flavours, legacy, tools
from .errors import UnfitError, UsageError
from .kernel import Image, elf_machine, runs
from .module import kernel_knows, plain, read_module, suffix_of
from .tree import Staged

LOADERS = ("udevd", "systemd-udevd", "mdev")
# A network card's class, for an id that comes without one.
CLASS = "bc02sc00i00"


def modalias_of(question):
    """The modalias of a PCI id or a modalias; nothing for a module's name."""
    if match := flavours.PCI_ID.fullmatch(question):
        vendor, device, sub_vendor, sub_device = (int(part or "0", 16) for part in match.groups())
        return f"pci:v{vendor:08X}d{device:08X}sv{sub_vendor:08X}sd{sub_device:08X}{CLASS}"
    question = flavours.in_capitals(question)
    if ":" in question:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*:\S+", question):
            raise UsageError(f"--verify asks for {question!r}, expected a PCI id such as 10ec:8168, a modalias, or the name of a module")
        return question
    if not re.fullmatch(r"[A-Za-z0-9_-]+", question):
        raise UsageError(f"--verify asks for {question!r}, expected a PCI id such as 10ec:8168, a modalias, or the name of a module")
    return None


class Answer:
    """The answer for one kernel of an initrd."""

    def __init__(self, initrd, release, request, workdir):
        self.initrd = initrd
        self.release = release
        self.staged = Staged(workdir / f"answer-{release}", release, request.limit)
        self.staged.copy_initrd(initrd)
        self.lines = []
        self._configuration = self._take_configuration(workdir / f"modprobe.d-{release}")

    def _take_configuration(self, directory):
        directory.mkdir()
        for name, content in flavours.configuration(self.initrd).items():
            (directory / name).write_bytes(content)
        return directory

    def _modprobe(self, *arguments):
        command = ["modprobe", "-C", str(self._configuration), "-d", str(self.staged.top), "-S", self.release, *arguments]
        status, out, _ = tools.run(command, 0)
        return out.decode("utf-8", "replace").splitlines() if status == 0 else []

    def _blacklisted(self):
        lines = [line.split() for file in self._configuration.iterdir() for line in flavours.whole_lines(file.read_bytes())]
        return {words[1].replace("-", "_") for words in lines if len(words) > 1 and words[0] == "blacklist"}

    def drivers(self, question):
        """The modules that modprobe comes to, by the indexes and the configuration that are in the initrd."""
        modalias = modalias_of(question)
        if modalias is None:
            name = question.replace("-", "_")
            if name in self._blacklisted():
                self.lines.append(f"{name} is blacklisted in the initrd's modprobe.d: only what asks for it by its name loads it, udev does not")
            return [name] if name in self.staged.names or self._modprobe("--show-depends", name) else []
        found = [name.replace("-", "_") for name in self._modprobe("-R", modalias)]
        barred = self._blacklisted()
        for name in sorted(barred & set(found)):
            self.lines.append(f"{name} would take it, but is blacklisted in the initrd's modprobe.d")
        return [name for name in found if name not in barred]

    def describe(self, question, name, image):
        """Says what is to be said of one driver; returns what does not load of it, and what is missing."""
        chain = [line.split() for line in self._modprobe("--show-depends", name)]
        if chain and chain[-1][0] == "builtin":
            self.lines.append(f"{question}: {name}, built into the kernel {self.release}")
            return [], []
        place = self.staged.names.get(name)
        if place is None:
            return [], [f"the file of {name}, which the index names"]
        module = read_module(self.staged.directory / place, f"{place} of {self.release}")
        self.lines.append(f"{question}: {name} ({place}), for {self.release}")
        self._loaded_by(question, name)
        needs = [words[1].rpartition("/")[2].partition(".ko")[0].replace("-", "_") for words in chain[:-1] if words[0] == "insmod"]
        there = [one for one in dict.fromkeys(needs) if one in self.staged.names]
        if there:
            self.lines.append(f"  needs {', '.join(there)}")
        for one in dict.fromkeys(module.before):
            self.lines.append(f"  works better with {one}, which is {'there' if self.staged.has(one) else 'not there'}")
        self._note_firmware(module.firmware)
        lost = [one for one in dict.fromkeys([*needs, *module.depends]) if one not in there and not self.staged.has(one)]
        wrong = [fault for one in [name, *there] if (fault := self._unfit(self.staged.names[one], image))]
        if lost_in := self._not_indexed(place, chain):
            wrong.insert(0, f"{lost_in} does not lead to {place}, by which the program there that loads modules goes")
        if chain and chain[-1][0] == "install":
            wrong.insert(0, f"its modprobe.d has another command run in its place: {' '.join(chain[-1][1:])}")
        if module.release != self.release:
            wrong.insert(0, f"{place} is built for {module.release}")
        return wrong, [f"the module {one}, which {name} needs" for one in lost]

    def _not_indexed(self, place, chain):
        """Returns the index that the program in the initrd finds a module's file by, if that is there and does not have it."""
        base = f"{self.initrd.modules_base()}/{self.release}"
        if self.initrd.resolve("sbin/modprobe").rpartition("/")[2] == "busybox":
            lines = self.initrd.read(f"{base}/modules.dep").decode("utf-8", "replace").splitlines()
            has = any(line.partition(":")[0].endswith(place) for line in lines)
            return "" if has or not lines else "modules.dep"
        return "modules.dep.bin" if not chain and self.initrd.get(f"{base}/modules.dep.bin") else ""

    def _unfit(self, place, image):
        """Returns why a module's file is not taken by the programs in the initrd that load it, or by the kernel."""
        file = self.staged.directory / place
        suffix = suffix_of(file)
        knows, asks = self.initrd.decompressors()
        if suffix and knows is not None and suffix not in knows:
            return f"{place} is compressed ({suffix}), which the program there that loads modules cannot undo"
        if suffix and not kernel_knows(file) and (asks or suffix not in (knows or ())):
            return f"{place} is compressed in a way that the kernel does not know, such as with xz but without --check=crc32"
        machine, programs = elf_machine(plain(file, place)[:64]), self.initrd.machine()
        if machine and programs and not runs(machine, programs):
            return f"{place} is for {machine}, the programs in the initrd are for {programs}"
        if machine and image and machine != image.machine:
            return f"{place} is for {machine}, the kernel {image.path} is for {image.machine}"
        return None

    def _note_firmware(self, names):
        places = [f"{base}/{{}}{end}" for base in ("lib/firmware", "usr/lib/firmware") for end in ("", ".xz", ".zst")]
        absent = [one for one in names if not any(self.initrd.get(place.format(one)) for place in places)]
        if absent:
            more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
            self.lines.append(f"  may ask for firmware that is not there: {', '.join(absent[:3])}{more} (of {len(names)})")
        elif names:
            self.lines.append(f"  may ask for firmware, all of which is there: {', '.join(names[:3])}")

    def _loaded_by(self, question, name):
        ways = []
        for path, what in (("conf/modules", "listed in conf/modules"), ("etc/modules", "listed in etc/modules"), (flavours.SYSTEMD_HINT, "by modules-load.d")):
            if name in flavours.listed(self.initrd.read(path)):
                ways.append(what)
        if f"rd.driver.pre={name}" in self.initrd.read(flavours.DRACUT_HINT).decode("utf-8", "replace").split():
            ways.append("by rd.driver.pre in " + flavours.DRACUT_HINT)
        by_name = modalias_of(question) is None
        if name not in self._blacklisted() and any(path.rpartition("/")[2] in LOADERS for path in self.initrd.tree):
            ways.append("by udev or mdev, when the device is there" + (", if an alias of it is its id" if by_name else ""))
        if ways:
            self.lines.append(f"  loaded {'; '.join(ways)}")
        else:
            self.lines.append(f"  loaded by nothing that is known; init must run: modprobe {name}")

    def compare_symbols(self, image, names):
        """Compares the symbols that modules need with those that the kernel exports; returns what is not there, by module."""
        exported = image.exported() if image else []
        if not exported:
            self.lines.append(f"symbols: NOT CHECKED; {f'those of {image.path} cannot be read' if image else 'give --kernel IMAGE to have them compared'}")
            return {}
        table = self.staged.top / "System.map"
        table.write_text("".join(f"0000000000000000 r __ksymtab_{one}\n" for one in exported), encoding="utf-8")
        faulty: dict[str, list[str]] = {}
        for name, symbol in self.staged.depmod(names, ["-e", "-F", str(table)]):
            if name in names:
                faulty.setdefault(name, []).append(f"the symbol {symbol}, which {name} needs and {image.path} does not export")
        if sound := [name for name in names if name not in faulty]:
            self.lines.append(f"symbols: all that {', '.join(sound)} need are exported by {image.path} or a module")
        return {name: faults[:3] for name, faults in faulty.items()}


def _fault(name, wrong, missing):
    """Returns why a driver that is there is not loaded, in a sentence; nothing if it is."""
    if wrong:
        return f"{name} is in the initrd, but does not load there: {'; '.join(wrong)}; add it by --module, in a form that fits"
    if missing:
        return f"{name} is in the initrd, but it lacks {'; '.join(missing)}; add it by --module, with --modules TREE"
    return None


def answer(initrd, question, request, workdir):
    """The lines that answer a question; refuses, with what is missing, when the initrd does not drive that."""
    if inner := initrd.inner_root():
        raise UnfitError(f"the initrd's modules are in /{inner}, which is not looked into; take it apart: unsquashfs, or fsck.erofs --extract")
    if initrd.get(legacy.ARCHIVE):
        return legacy.answer(initrd, question, modalias_of(question), request, workdir)
    image = Image(request.kernel, workdir) if request.kernel else None
    releases = sorted(initrd.kernels())
    if image and image.release not in releases:
        has = ", ".join(releases) or "no kernel"
        raise UnfitError(
            f"the initrd has modules of {has}, the kernel {request.kernel} is {image.release}; nothing in it loads there: swap them by --modules TREE"
        )
    lines = []
    for release in [image.release] if image else releases:
        one = Answer(initrd, release, request, workdir)
        drivers = one.drivers(question)
        if not drivers:
            raise UnfitError("; ".join([*one.lines, _nothing(one, question)]))
        # Of several that take the card one that loads is enough.
        found = {name: one.describe(question, name, image) for name in drivers}
        symbols = one.compare_symbols(image, drivers)
        faults = [fault for name, (wrong, missing) in found.items() if (fault := _fault(name, wrong, missing + symbols.get(name, [])))]
        if len(faults) == len(drivers):
            raise UnfitError(f"{question}: {faults[0]}")
        lines += [*one.lines, *(f"  but {fault}" for fault in faults)]
    listed = ", ".join(initrd.read("modules").decode("utf-8", "replace").split())
    if not releases and listed and initrd.get("target"):
        raise UnfitError(
            f"the initrd is of tiny-initramfs, whose modules have no index to look {question} up in; its init loads {listed}, whatever devices there are"
        )
    if not releases:
        raise UnfitError(f"the initrd has no kernel modules, so nothing in it but what is built into its kernel drives {question}; add the driver by --module")
    return lines


def _nothing(one, question):
    if modalias_of(question) is None:
        return f"found no module {question} of {one.release} in the initrd; add it by --module"
    index = f"{archive.normal(one.initrd.modules_base())}/{one.release}/modules.alias.bin"
    if one.initrd.tree.get(index) is None:
        return f"the initrd has no {index}, without which no program finds a module by {question}; add a module, which makes it"
    return f"nothing in the initrd drives {question} with {one.release}, as far as its index says; add the driver by --module"
