# SPDX-License-Identifier: GPL-2.0
"""The Anaconda of RHEL 4 times: modules in a cpio archive of their own, and tables that name them.

modules/modules.cgz     gzipped cpio archive, members RELEASE/ARCH/NAME.ko (or RELEASE/NAME.ko)
modules/modules.dep     NAME: NAME NAME...
modules/pcitable        0xVENDOR <tab> 0xDEVICE <tab> "NAME" <tab> "DESCRIPTION"
modules/modules.pcimap  NAME and seven numbers
modules/module-info     NAME, its class and its description, each further indented
"""

import re

from . import archive, segments
from .archive import Addition
from .errors import UnfitError
from .flavours import parse_alias, pci_numbers, with_line
from .initrd import is_module, module_name
from .module import plain, read_module
from .tree import check_fit

ARCHIVE = "modules/modules.cgz"
ANY = 0xFFFFFFFF


def files(initrd, request, plan, workdir):
    """The files of the initrd that change, as {path: (source, mode)}."""
    work = workdir / "legacy"
    work.mkdir()
    inner = _Inner(initrd, work, request.limit)
    modules = [read_module(path) for path in request.module]
    tables = _Tables(initrd)
    for module in modules:
        plan.release = inner.release(module)
        reference, machine = inner.reference()
        plan.checks.append(f"{module.name}: {check_fit(module, plan.release, reference, machine)}")
        missing = [name for name in module.depends if name not in inner.names and name not in {one.name for one in modules}]
        if missing:
            raise UnfitError(f"{module.path} needs the module {missing[0]}, which modules.cgz does not have; give it too by --module")
        tables.add_module(module)
    if modules:
        plan.checks.append("symbols: NOT CHECKED; an initrd of this kind does not show its kernel's")
    for text in request.alias_only:
        driver, modalias = parse_alias(text)
        if driver not in inner.names:
            raise UnfitError(f"found no driver {driver} among the {len(inner.names)} modules in modules.cgz; add it by --module")
        tables.add_ids(driver, pci_numbers([modalias]), f"{driver} (by inject-initrd)")
        plan.checks.append(f"{driver}: in modules.cgz; {modalias} leads to it")
    plan.notes += tables.notes
    changed = {path: (_save(work, path, content), initrd.mode_of(path)) for path, content in tables.changed().items()}
    if modules:
        changed[ARCHIVE] = (inner.rewritten(modules), initrd.mode_of(ARCHIVE))
    return changed


def answer(initrd, question, modalias, request, workdir):
    """The lines that answer what --verify asks of such an initrd; refuses when it does not drive that."""
    work = workdir / "answer"
    work.mkdir(exist_ok=True)
    inner, drivers = _Inner(initrd, work, request.limit), [question.replace("-", "_")]
    if modalias is not None:
        numbers = (pci_numbers([modalias]) or [()])[0]
        rows = [re.findall(r'"[^"]*"|\S+', line) for line in initrd.read("modules/pcitable").decode("utf-8", "replace").splitlines()]
        drivers = [name for row in rows if (name := _driver(row, numbers))]
    names = [name for name in drivers if name in inner.names]
    if not names:
        has = f"{ARCHIVE} has no {drivers[0]}" if drivers else "its pcitable does not have it"
        raise UnfitError(f"nothing in the initrd drives {question}: {has}; add the driver by --module")
    needs = _needs(initrd.read("modules/modules.dep").decode("utf-8", "replace"), names[0])
    if lost := [one for one in needs if one not in inner.names]:
        raise UnfitError(f"{question}: {names[0]} is in the initrd, but it lacks {', '.join(lost)}, which it needs; add it by --module")
    by = "by the line in pcitable" if modalias is not None else "if a line in pcitable leads to it, or the user takes it from the list"
    lines = [f"{question}: {names[0]} ({inner.names[names[0]]} in {ARCHIVE})", f"  loaded by Anaconda's loader, {by}"]
    return [*lines, *([f"  needs {', '.join(needs)}"] if needs else []), "symbols: NOT CHECKED; an initrd of this kind does not show its kernel's"]


def _driver(row, numbers):
    """The driver that a line of pcitable names for a PCI id."""
    ids = [int(one, 16) for one in row if re.fullmatch(r"0x[0-9a-fA-F]+", one)]
    names = [one.strip('"') for one in row if one.startswith('"')]
    return names[0] if len(ids) >= 2 and names and tuple(ids) == tuple(numbers[: len(ids)]) else None


def _needs(text, name):
    """The modules that a module needs by modules.dep."""
    found = re.search(rf"(?m)^{re.escape(name)}\s*:(.*)$", text)
    return found[1].split() if found else []


def _save(work, path, content):
    file = work / path.rpartition("/")[2]
    file.write_bytes(content)
    return file


def _ended(content):
    """Text whose last line is ended."""
    return content if content.endswith(b"\n") or not content else content + b"\n"


class _Inner:
    """modules.cgz."""

    def __init__(self, initrd, work, limit):
        self._work, self._limit = work, limit
        self._time = initrd.newest_time()
        packed = work / "packed"
        packed.write_bytes(initrd.read(ARCHIVE))
        self._segments = segments.read(packed, work, limit)
        self._archives = [(part.plain, start, end) for part in self._segments for start, end in part.archives]
        self._members = [name for part in self._archives for name, entry in archive.entries(part, work) if is_module(name)]
        self.names = {module_name(name): name for name in self._members}
        if not self._members:
            raise UnfitError(f"found no module in {ARCHIVE}, expected members RELEASE/ARCH/NAME.ko")

    def release(self, module):
        """The release among those in it that the module is for; check_fit() tells the user of a wrong one."""
        releases = sorted({name.split("/")[0] for name in self._members})
        return module.release if module.release in releases else releases[0]

    def reference(self):
        """A module of it, to compare with, and what machine it is for."""
        name = self._members[0]
        file = self._work / "reference.ko"
        file.write_bytes(archive.content(self._archives[0], name, self._work, self._limit))
        module = read_module(file, f"{name} in {ARCHIVE}")
        return module, module.machine

    def rewritten(self, modules):
        """The archive with the modules in it, where those of the same release and machine are."""
        additions = []
        for module in modules:
            prefix = next(name for name in self._members if name.startswith(f"{module.release}/")).rpartition("/")[0]
            # Its loader knows no compressed modules.
            file = self._work / f"{module.name}.ko"
            file.write_bytes(plain(module.path))
            additions.append(Addition(f"{prefix}/{module.name}.ko", 0o644, file))
        written, packed = self._work / "plain", self._work / "modules.cgz"
        excluded = [addition.path for addition in additions]
        archive.write(written, self._archives, excluded, additions, self._time, self._work, self._limit)
        with open(packed, "wb") as out:
            segments.compress(written, out, "gzip", self._limit)
        return packed


class _Tables:
    """The text files beside it; those that the initrd lacks stay absent, but for pcitable."""

    def __init__(self, initrd):
        names = ("modules.dep", "pcitable", "modules.pcimap", "module-info")
        self._before = {f"modules/{name}": initrd.read(f"modules/{name}") for name in names if initrd.get(f"modules/{name}")}
        self._now = dict(self._before)
        self.notes = []

    def add_module(self, module):
        """Enters a module into each of them."""
        # The loader goes by the first line of a name (mlLoadDeps() in loader2/moduledeps.c): an older one must go.
        needs = f"{module.name}: {' '.join(module.depends)}" if module.depends else None
        self._settle("modules/modules.dep", re.compile(rf"{re.escape(module.name)}\s*:"), needs, lambda line: line == needs)
        description = (module.description or module.name).replace('"', "'")
        known = self._now.get("modules/module-info")
        if known is not None and module.name.encode() not in known.splitlines():
            self._now["modules/module-info"] = _ended(known) + f'{module.name}\n\teth\n\t"{description}"\n'.encode()
        self.add_ids(module.name, pci_numbers(module.aliases), description)

    def add_ids(self, driver, ids, description):
        """Enters PCI ids for a driver."""
        self._now.setdefault("modules/pcitable", b"")
        for vendor, device, sub_vendor, sub_device in ids:
            numbers = [f"0x{number:04x}" for number in (vendor, device, sub_vendor, sub_device) if number is not None]
            line = "\t".join([*numbers, f'"{driver}"', f'"{description}"'])
            # Of two lines with the same ids chance takes one (pciReadDrivers() of kudzu sorts and bisects).
            same_ids = re.compile(r"\s+".join(numbers) + r'\s+"', re.IGNORECASE)
            for other in self._settle("modules/pcitable", same_ids, line, lambda one: f'"{driver}"' in one):
                self.notes.append(f"pcitable had {' '.join(other.split())}; this id leads to {driver} now")
            mapped = [ANY if number is None else number for number in (vendor, device, sub_vendor, sub_device)]
            words = " ".join(f"0x{number:08x}" for number in [*mapped, 0, 0, 0])
            self._line("modules/modules.pcimap", f"{driver:<20} {words}")

    def _settle(self, path, key, line, says_so):
        """Has `line` be the only one that begins with `key`, if it is not so already; returns those that said otherwise."""
        if path not in self._now:
            return []
        lines = self._now[path].decode("utf-8", "surrogateescape").splitlines()
        found = [one for one in lines if key.match(one.lstrip())]
        others = [one for one in found if not says_so(one)]
        if others or len(found) != (line is not None):
            left = [one for one in lines if one not in found] + ([line] if line else [])
            self._now[path] = "".join(f"{one}\n" for one in left).encode("utf-8", "surrogateescape")
        return others

    def _line(self, path, line):
        if path in self._now:
            self._now[path] = with_line(self._now[path], line)

    def changed(self):
        """Those that are not as they were."""
        return {path: content for path, content in self._now.items() if content != self._before.get(path)}
