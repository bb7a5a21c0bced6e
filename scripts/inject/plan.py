# SPDX-License-Identifier: GPL-2.0
"""Decides what is to be in the new initrd: what is added, what goes, what is to be said about it."""

import filecmp
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from . import archive, attributes, flavours, legacy
from .archive import Addition
from .errors import UnfitError, UsageError
from .initrd import is_module, module_name, sha256_of
from .kernel import Image, elf_machine, runs
from .module import Module, plain, read_module
from .tree import INSTALLER_NEEDS, SourceTree, Staged, check_fit, pull_needs
from .unpacker import MAX_NAME

MAX_PATH = 3800
# Where the kernel looks for microcode and ACPI tables before it unpacks anything.
EARLY_PLACES = ("kernel/x86/microcode/", "kernel/firmware/acpi/")
# What kmod, and busybox in place of it, find a module by; some initrds have the one half, some the other.
NEEDED_INDEXES = ("modules.dep", "modules.dep.bin", "modules.alias", "modules.alias.bin")


@dataclass
class Plan:
    """The changes to be made to an initrd."""

    flavour: str
    release: str = ""
    additions: list = field(default_factory=list)
    # Trees and files of the initrd that the result lacks, as paths.
    removed: list = field(default_factory=list)
    checks: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    # Firmware that the drivers of a class name, and the initrd lacks.
    firmware: list = field(default_factory=list)
    # The files from outside that go into it.
    sources: list = field(default_factory=list)
    # (module, modalias) pairs that modprobe must come to in the result.
    expected_modaliases: list = field(default_factory=list)


class Planner:
    """Makes a Plan out of a Request."""

    def __init__(self, initrd, request, workdir):
        self.initrd = initrd
        self.request = request
        self.workdir = Path(workdir)
        self.plan = Plan(flavours.flavour_of(initrd, request.flavour))
        self._files = {}
        # Those of them that --file names.
        self._given = set()
        self._count = 0

    def make(self):
        """The whole plan."""
        request, plan = self.request, self.plan
        if inner := self.initrd.inner_root():
            raise UnfitError(
                f"the initrd's init makes its root of /{inner} and throws away all that is beside it, so what is added would be lost; "
                "make the initrd without that: dracut --omit 'squash squash-squashfs squash-erofs'"
            )
        if plan.flavour == "tiny-initramfs" and (request.module or request.kernel or request.driver_class or request.alias_only):
            raise UnfitError(
                "tiny-initramfs has no program that loads modules by their indexes: its init loads the files that /modules lists; make the initrd anew "
                "with the module in it: mktirfs --include-modules=MODULE -o OUT VERSION"
            )
        if plan.flavour == "anaconda-legacy":
            self._refuse_swap_of_legacy()
            self._files.update(legacy.files(self.initrd, request, plan, self.workdir))
        else:
            if request.module or request.kernel or request.modules or request.driver_class:
                self._modules()
            if request.alias_only:
                self._aliases()
        for source, destination in request.file:
            self._file(source, destination)
        self._note_owners()
        self._settle()
        return plan

    def _refuse_swap_of_legacy(self):
        if self.request.kernel or self.request.modules or self.request.driver_class:
            raise UsageError("--kernel, --modules and --class are for initrds of today; this one is of RHEL 4 times: name each module by --module")

    # Modules

    def _modules(self):
        request, plan = self.request, self.plan
        image = Image(request.kernel, self.workdir) if request.kernel else None
        kernels = self.initrd.kernels()
        files = [name for name in request.module if is_file_name(name)]
        plan.release = self._release(image, kernels, [read_module(path) for path in files])
        swap = plan.release not in kernels
        source = SourceTree(request.modules, plan.release) if request.modules else None
        if request.driver_class and not source:
            raise UsageError(f"--class {request.driver_class} takes drivers from a kernel's modules; name these too: --modules /lib/modules/{plan.release}")
        if swap and not source:
            raise UsageError(
                f"the initrd has modules of {_list(kernels)}, not of {plan.release}; to swap its kernel give the modules of "
                f"{plan.release} too: --modules /lib/modules/{plan.release}"
            )
        staged = Staged(self.workdir / "stage", plan.release, request.limit, self.initrd.suffixes())
        if swap:
            self._swap(staged, source, kernels)
        else:
            staged.copy_initrd(self.initrd)
        self._inject(staged, source, image, swap)
        self._note_decompressed(staged)
        plan.sources += staged.sources
        self._take_indexes(staged, swap)

    def _release(self, image, kernels, modules):
        """Returns which kernel release this is about."""
        if image:
            return image.release
        wanted = {module.release for module in modules}
        if len(kernels) == 1:
            return next(iter(kernels))
        if len(wanted & set(kernels)) == 1:
            return (wanted & set(kernels)).pop()
        if not kernels:
            raise UnfitError(
                "the initrd has no kernel modules, so which kernel it is for is not known; say it by --kernel IMAGE, with --modules TREE of the same version"
            )
        raise UnfitError(f"the initrd has modules of {_list(kernels)}; say which kernel it is booted with: --kernel IMAGE")

    def _swap(self, staged, source, kernels):
        plan = self.plan
        old = {module_name(path) for paths in kernels.values() for path in paths}
        needs = INSTALLER_NEEDS if plan.flavour == "debian-installer" else []
        chosen = source.with_needs({*old, *needs})
        staged.copy_tree(source, chosen)
        missing = sorted(name for name in {*old, *needs} if name not in source.paths)
        plan.left_out = {
            "built into the new kernel": [name for name in missing if name in source.builtin],
            "not in the new kernel": [name for name in missing if name not in source.builtin],
        }
        plan.notes.append(f"the module tree is that of {plan.release}: {len(chosen)} modules, {len(source.paths) - len(chosen)} others of it left out")
        base = self.initrd.modules_base()
        plan.removed += [f"{base}/{release}" for release in sorted(kernels)]
        plan.notes.append(f"boot it with the kernel {self.request.kernel or plan.release}")
        if plan.flavour == "debian-installer":
            plan.notes.append("boot it with anna/no_kernel_modules=true: the archive has no udebs of this kernel")

    def _note_decompressed(self, staged):
        for why in sorted(set(staged.decompressed.values())):
            names = sorted(name for name, one in staged.decompressed.items() if one == why)
            several = f" and {len(names) - 1} more" if len(names) > 1 else ""
            self.plan.notes.append(f"{names[0]}{several}: added without compression, for {why}")

    def _check_machine(self, what, machine):
        """Compares a kernel's machine with that of the programs in the initrd, which it is to run."""
        programs = self.initrd.machine()
        if programs is None:
            self.plan.checks.append("programs: NOT CHECKED; none in the initrd shows for which machine it is")
        elif not runs(machine, programs):
            raise UnfitError(f"{what} is for {machine}, the programs in the initrd are for {programs}; take those for {programs}")
        elif machine != programs:
            self.plan.notes.append(f"the kernel is for {machine}, the programs in the initrd are for {programs}; that works if it is built to run these")

    def _check_decompressors(self, image):
        """Refuses a kernel that cannot unpack the initrd, which the result is compressed like."""
        for part, early in zip(self.initrd.segments, self.initrd.early):
            if not early and image.lacks(part.compression):
                what = f"without what decompresses {part.compression}, by which the initrd is compressed"
                raise UnfitError(f"the kernel {image.path} is built {what}; recompress the initrd with gzip, or take another kernel")

    def _inject(self, staged, source, image, swap):
        plan, modules = self.plan, []
        reference = staged.reference()
        machine = reference.machine if reference else (image.machine if image else None)
        if image and machine and image.machine != machine:
            raise UnfitError(f"the kernel {image.path} is for {image.machine}, the modules of {plan.release} are for {machine}; take both of one architecture")
        if image:
            self._check_decompressors(image)
        if source and source.first and reference:
            _check_tree(source, reference)
        if machine and (swap or self.request.module or source):
            self._check_machine(f"the kernel {plan.release}" if reference is None else f"the module {reference.name} of {plan.release}", machine)
        for name in self.request.module:
            module = self._named(name, source)
            plan.checks.append(f"{module.name}: {check_fit(module, plan.release, reference, machine)}")
            signed = f"signed by {module.signer or 'an unnamed key'}" if module.signed else "not signed: Secure Boot refuses it"
            plan.checks.append(f"{module.name}: {module.machine}, {signed}")
            modules.append(module)
        self._refuse_two(modules)
        for module in modules:
            if is_file_name(str(module.path)) and not (source and module.path.is_relative_to(source.top)):
                staged.add(module)
            elif module.name not in staged.names:
                staged.copy_module(source, module.name)
        inside = set(staged.names) if not swap else set()
        pulled, absent = pull_needs(staged, modules, source)
        if pulled:
            plan.notes.append(f"also added, because it is needed: {', '.join(sorted(set(pulled)))}")
        for name in dict.fromkeys(absent):
            plan.notes.append(f"{name} is wanted but not in the initrd; it is used if you give it: --modules TREE")
        if self.request.driver_class:
            self._add_class(staged, source)
        names = [module.name for module in modules]
        self._index(staged, names, sorted({*names, *staged.names} - (inside - set(names))), image)
        for module in modules:
            plan.expected_modaliases += [(module.name, alias) for alias in module.aliases[:4]]
        if names:
            self._hint(names)
        plan.notes += [f"the initrd's modprobe.d has '{line}', which keeps it from being loaded" for line in flavours.barred(self.initrd, names)]
        if not swap and source is None and absent:
            plan.notes.append(f"--modules /lib/modules/{plan.release} names the modules of a machine that runs this kernel")

    @staticmethod
    def _refuse_two(modules):
        """Refuses different files of the same module; the same twice, also in another compression, is fine."""
        first: dict[str, Module] = {}
        for module in modules:
            other = first.setdefault(module.name, module)
            if other is not module and plain(other.path) != plain(module.path):
                raise UsageError(f"{other.path} and {module.path} are both the module {module.name}, and differ; name one of them")

    def _add_class(self, staged, source):
        """Adds all drivers of a class with what they need."""
        drivers = source.of_class(self.request.driver_class)
        added = [name for name in sorted(source.with_needs(drivers)) if name not in staged.names]
        for name in added:
            staged.copy_module(source, name)
        self.plan.checks.append(f"--class {self.request.driver_class}: {len(drivers)} drivers; {len(added)} modules were not in the initrd")
        bases = [f"{base}/{{}}{end}" for base in ("lib/firmware", "usr/lib/firmware") for end in ("", ".xz", ".zst")]
        self.plan.firmware = [one for one in staged.firmware(drivers) if not any(self.initrd.get(base.format(one)) for base in bases)]

    def _named(self, name, source):
        if is_file_name(name):
            return read_module(name)
        plain = name.replace("-", "_")
        if not source:
            raise UsageError(f"found no file {name}; to take the module of that name from a kernel's modules, give --modules TREE")
        if plain not in source.paths:
            what = "it is built in" if plain in source.builtin else "there is none"
            raise UsageError(f"found no module {name} in {source.top}: {what}; expected one that is listed in its modules.dep")
        return read_module(source.top / source.paths[plain])

    def _index(self, staged, names, added, image):
        """Runs depmod, which also compares the symbols of what is added if there is a list of the kernel's."""
        symbols = self._symbols(image)
        faulty = [pair for pair in staged.depmod(names, symbols) if pair[0] in added]
        staged.require(flavours.softdeps(names))
        if faulty:
            several = f" and {len(faulty) - 1} more" if len(faulty) > 1 else ""
            way = "build it for exactly this kernel" if faulty[0][0] in names else "take --kernel and --modules of one build"
            raise UnfitError(f"{faulty[0][0]} needs the symbol {faulty[0][1]}{several}, which the kernel {self.plan.release} does not export so; {way}")
        if added:
            self.plan.checks.append(
                "symbols: all that the modules need are exported"
                if symbols
                else "symbols: NOT CHECKED; give --kernel IMAGE or --symvers FILE to have them compared"
            )

    def _symbols(self, image):
        if self.request.symvers:
            return ["-e", "-E", _symvers(self.request.symvers)]
        names = image.exported() if image else []
        if not names:
            return None
        table = self.workdir / "System.map"
        table.write_text("".join(f"0000000000000000 r __ksymtab_{name}\n" for name in names), encoding="utf-8")
        return ["-e", "-F", str(table)]

    def _take_indexes(self, staged, swap):
        """Adds the staged files that the initrd is to have, and only such indexes as it had."""
        base = f"{self.initrd.modules_base()}/{self.plan.release}"
        had = {name: self.initrd.tree.get(f"{base}/{name}") for name in staged.indexes()}
        any_before = any(had.values())
        for name in staged.indexes():
            # Without the text that they are made from, depmod makes empty lists of what is built in.
            if name.startswith("modules.builtin") and not swap and not had.get("modules.builtin"):
                continue
            if swap or had[name] or not any_before or name in NEEDED_INDEXES:
                staged.taken.add(name)
        for relative in sorted(staged.taken):
            self._put(f"{base}/{relative}", staged.directory / relative)

    def _hint(self, names):
        files, notes = flavours.hints(self.initrd, self.plan.flavour, names)
        self.plan.notes += notes
        for path, content in {**files, **flavours.rules(self.initrd, names)}.items():
            self._put_content(path, content)

    def _aliases(self):
        kernels = self.initrd.kernels()
        inside = {module_name(path) for paths in kernels.values() for path in paths}
        pairs = [flavours.parse_alias(text) for text in self.request.alias_only]
        for driver, modalias in pairs:
            if driver not in inside:
                raise UnfitError(f"found no driver {driver} among the {len(inside)} modules in the initrd; add it by --module")
            self.plan.checks.append(f"{driver}: in the initrd; {modalias} leads to it")
        self.plan.notes.append("an alias has the driver loaded; whether it takes a device whose id it does not know is up to the driver")
        for path, content in flavours.alias_file(self.initrd, pairs).items():
            self._put_content(path, content)

    # Files

    def _file(self, source, destination):
        source = Path(source)
        if not source.is_file():
            what = "is a directory" if source.is_dir() else "is no regular file" if source.exists() else "is not there"
            raise UsageError(f"found no file {source}, which --file names: it {what}; expected --file SOURCE:DESTINATION")
        path = archive.normal(destination)
        into = destination.endswith(("/", "/."))
        if (not path and not into) or ".." in path.split("/"):
            raise UsageError(f"--file {source} has the destination {destination!r}, expected a path in the initrd, such as /preseed.cfg")
        if any(len(part.encode("utf-8", "surrogateescape")) > MAX_NAME for part in [*path.split("/"), source.name]) or len(path) > MAX_PATH:
            raise UsageError(
                f"--file {source.name[:40]} has a destination of more than {MAX_NAME} bytes in a name, or {MAX_PATH} in all, which the kernel does not make"
            )
        try:
            with open(source, "rb") as file:
                mode = stat.S_IMODE(source.stat().st_mode)
                is_made = not source.stat().st_size and bool(file.read(1))
        except OSError as error:
            raise UsageError(f"cannot read {source}, which --file names: {error.strerror}") from None
        if is_made:
            raise UsageError(f"{source}, which --file names, says that it is empty, and is not, as files in /proc and /sys; copy it first, and name the copy")
        if mode & (stat.S_ISUID | stat.S_ISGID) and (source.stat().st_uid, source.stat().st_gid) != (0, 0):
            raise UsageError(f"{source} is setuid or setgid, and not root's; in the initrd it would run as root: chmod ug-s it, or chown it to root:root")
        behind = self.initrd.resolve(path)
        if into or self.initrd.is_directory(behind):
            path = f"{behind}/{source.name}" if behind else source.name
        path = self.initrd.resolve_parent(path)
        if path == archive.TRAILER:
            raise UsageError(f"--file {source} would be /{path}, a name that ends an archive; choose another")
        entry = self.initrd.tree.get(path)
        if entry and entry.kind == "link":
            self.plan.notes.append(f"/{path} was a symbolic link to {entry.link}; it is a file now")
        elif entry and entry.kind != "file":
            raise UnfitError(f"found a {entry.kind} at /{path} in the initrd, expected a file or nothing; choose another destination")
        if not mode & 0o111 and path == "init":
            raise UsageError(f"{source} is not executable, and /init is what the kernel runs; chmod +x it")
        if not mode & 0o111 and entry and entry.kind == "file" and entry.mode & 0o111:
            self.plan.notes.append(f"/{path} was executable and is not any more; chmod +x {source} if it is to be")
        before = self._files.get(path)
        if before and not filecmp.cmp(before[0], source, shallow=False):
            if path in self._given:
                raise UsageError(f"{before[0]} and {source} are both to be /{path}, and differ; name one of them")
            self.plan.notes.append(f"/{path} is as {source} has it, not as it would be made here: check that the module is loaded all the same")
        self._note_useless(path, source, mode)
        self._given.add(path)
        self._put(path, source, mode)
        self.plan.sources.append(source)

    def _note_owners(self):
        """Notes which of the given files have another owner here than in the initrd, in which there is none but root."""
        owned = {path: self._files[path][0].stat() for path in sorted(self._given)}
        others = [f"/{path} (here {status.st_uid}:{status.st_gid})" for path, status in owned.items() if (status.st_uid, status.st_gid) != (0, 0)]
        if others:
            self.plan.notes.append(f"owned by root in the initrd (0:0), and not here: {_list(others)}")

    def _note_useless(self, path, source, mode):
        """Says what is there for nothing: a module that nothing finds, a program that does not run, microcode; and what a file has that is lost."""
        if path.startswith(EARLY_PLACES):
            self.plan.notes.append(
                f"/{path} is where the kernel looks in plain archives in front of all others, and not here; "
                "put such an archive in front: cat EARLY.cpio INITRD, its size a multiple of 4"
            )
        if lost := attributes.lost(source):
            self.plan.notes.append(f"{source} has {lost}, which no initrd can hold: /{path} is there without")
        if is_module(path) and path.startswith(self.initrd.modules_base() + "/"):
            if path in self.initrd.tree:
                self.plan.notes.append(f"/{path} is a module that was there; the indexes are still those of the other: put it there by --module {source}")
            else:
                self.plan.notes.append(f"/{path} is a module that modprobe does not find, for no index has it; put it there by --module {source}")
        with open(source, "rb") as file:
            machine, programs = elf_machine(file.read(64)), self.initrd.machine()
        if mode & 0o111 and machine and programs and not runs(programs, machine) and not runs(machine, programs):
            self.plan.notes.append(f"/{path} is for {machine}, the programs in the initrd are for {programs}: it does not run there")

    def _put_content(self, path, content):
        self._count += 1
        source = self.workdir / f"made-{self._count}"
        source.write_bytes(content)
        # Behind a link, which may be there on purpose.
        self._put(self.initrd.resolve(path), source)

    def _put(self, path, source, mode=None):
        """Has a file in the initrd; without a mode it keeps that of the one that is there."""
        path = self.initrd.resolve_parent(archive.normal(path))
        self._files[path] = (source, self.initrd.mode_of(path) if mode is None else mode)

    def _settle(self):
        """Turns the wanted files into additions: those that are not there as they should be, and their directories."""
        tree, plan = self.initrd.tree, self.plan
        directories = set()
        for path in sorted(self._files):
            source, mode = self._files[path]
            if _same(tree.get(path), source, mode) and not self._goes(path):
                continue
            parts = path.split("/")[:-1]
            directories |= {"/".join(parts[: end + 1]) for end in range(len(parts))}
            plan.additions.append(Addition(path, mode, source, self.initrd.shares(path)))
        for path in sorted(directories):
            entry = tree.get(path)
            if entry is None or self._goes(path):
                plan.additions.append(Addition(path, 0o755))
            elif entry.kind != "dir":
                raise UnfitError(f"found a {entry.kind} at /{path} in the initrd, expected a directory; choose another destination")
        plan.additions.sort(key=lambda addition: addition.path)

    def _goes(self, path):
        return any(path == gone or path.startswith(gone + "/") for gone in self.plan.removed)


def _symvers(name):
    """The path of a list of symbols; refuses what is none."""
    try:
        sound = Path(name).is_file()
        if sound:
            with open(name, "rb") as file:
                sound = bool(re.match(rb"0x[0-9a-fA-F]{8}\t\S+\t", file.read(4096)))
    except OSError as error:
        raise UsageError(f"cannot read {name}, which --symvers names: {error.strerror}") from None
    if not sound:
        raise UsageError(f"{name} is no list of a kernel's symbols; expected its Module.symvers, with lines like 0x12345678, a tab, and a symbol")
    return str(Path(name).resolve())


def _check_tree(source, reference):
    """Refuses modules of a tree that the kernel of the initrd's own would refuse; releases of some distributions do not say for which machine."""
    for what in ("machine", "vermagic"):
        has, wanted = getattr(source.first, what), getattr(reference, what)
        if has != wanted:
            raise UnfitError(f"the modules in {source.top} are for {what} '{has}', the initrd's are for '{wanted}'; name the tree of the initrd's own kernel")


def _same(entry, source, mode):
    if entry is None or entry.kind != "file" or entry.mode != mode or (entry.uid, entry.gid) != (0, 0):
        return False
    return entry.size == Path(source).stat().st_size and entry.sha256 == sha256_of(source)


def is_file_name(name):
    """Returns whether what --module names is a file, and no module's name."""
    return "/" in name or ".ko" in name or Path(name).is_file()


def _list(kernels):
    return ", ".join(sorted(kernels)) or "no kernel"
