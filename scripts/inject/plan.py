# SPDX-License-Identifier: GPL-2.0
"""Decides what is to be in the new initrd: what is added, what goes, what is to be said about it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from . import archive, flavours, legacy
from .archive import Addition
from .errors import Unfit, Usage
from .initrd import module_name
from .kernel import Image, read_module
from .modules import INSTALLER_NEEDS, SourceTree, Staged, check_fit, pull_needs


@dataclass
class Plan:
    """What is to be done to an initrd."""

    flavour: str
    release: str = ""
    additions: list = field(default_factory=list)
    # Trees and files of the initrd that the result lacks, as paths.
    removed: list = field(default_factory=list)
    checks: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    # (module, modalias) pairs that modprobe must come to in the result.
    promises: list = field(default_factory=list)


class Planner:
    """Makes a Plan out of the options."""

    def __init__(self, initrd, options, workdir):
        self.initrd = initrd
        self.options = options
        self.workdir = Path(workdir)
        self.plan = Plan(initrd.flavour(options.flavour))
        self._files = {}
        self._count = 0

    def make(self):
        """The whole plan."""
        options, plan = self.options, self.plan
        if plan.flavour == "anaconda-legacy":
            self._refuse_swap_of_legacy()
            self._files.update(legacy.files(self.initrd, options, plan, self.workdir))
        else:
            if options.module or options.kernel or options.modules:
                self._modules()
            if options.alias_only:
                self._aliases()
        for source, destination in options.file:
            self._file(source, destination)
        self._settle()
        return plan

    def _refuse_swap_of_legacy(self):
        if self.options.kernel or self.options.modules:
            raise Usage("--kernel and --modules are for initrds of today; this one is of RHEL 4 times: name each module by --module")

    # Modules

    def _modules(self):
        options, plan = self.options, self.plan
        image = Image(options.kernel, self.workdir) if options.kernel else None
        kernels = self.initrd.kernels()
        files = [name for name in options.module if _is_file_name(name)]
        plan.release = self._release(image, kernels, [read_module(path) for path in files])
        swap = plan.release not in kernels
        source = SourceTree(options.modules, plan.release) if options.modules else None
        if swap and not source:
            raise Usage(
                f"the initrd has modules of {_list(kernels)}, not of {plan.release}; to swap its kernel give the modules of "
                f"{plan.release} too: --modules /lib/modules/{plan.release}"
            )
        staged = Staged(self.workdir / "stage", plan.release, options.limit)
        if swap:
            self._swap(staged, source, kernels)
        else:
            staged.take_initrd(self.initrd)
        self._inject(staged, source, image, swap)
        self._take_indexes(staged, swap)

    def _release(self, image, kernels, modules):
        """Which kernel release this is about."""
        if image:
            return image.release
        wanted = {module.release for module in modules}
        if len(kernels) == 1:
            return next(iter(kernels))
        if len(wanted & set(kernels)) == 1:
            return (wanted & set(kernels)).pop()
        if not kernels:
            raise Unfit(
                "the initrd has no kernel modules, so which kernel it is for is not known; say it by --kernel IMAGE, with "
                "--modules TREE of the same version"
            )
        raise Unfit(f"the initrd has modules of {_list(kernels)}; say which kernel it is booted with: --kernel IMAGE")

    def _swap(self, staged, source, kernels):
        plan = self.plan
        old = {module_name(path) for paths in kernels.values() for path in paths}
        needs = INSTALLER_NEEDS if plan.flavour == "debian-installer" else []
        chosen = source.with_needs({*old, *needs})
        staged.take_tree(source, chosen)
        missing = sorted(name for name in {*old, *needs} if name not in source.paths)
        plan.left_out = {
            "built into the new kernel": [name for name in missing if name in source.builtin],
            "not in the new kernel": [name for name in missing if name not in source.builtin],
        }
        plan.notes.append(
            f"the module tree is that of {plan.release}: {len(chosen)} modules, {len(source.paths) - len(chosen)} others of it left out"
        )
        base = self.initrd.modules_base()
        plan.removed += [f"{base}/{release}" for release in sorted(kernels)]
        plan.notes.append(f"boot it with the kernel {self.options.kernel or plan.release}")
        if plan.flavour == "debian-installer":
            plan.notes.append("boot it with anna/no_kernel_modules=true: the archive has no udebs of this kernel")

    def _inject(self, staged, source, image, swap):
        plan, modules = self.plan, []
        reference = staged.reference()
        machine = reference.machine if reference else (image.machine if image else None)
        for name in self.options.module:
            module = self._named(name, source)
            plan.checks.append(f"{module.name}: {check_fit(module, plan.release, reference, machine)}")
            signed = f"signed by {module.signer or 'an unnamed key'}" if module.signed else "not signed: Secure Boot refuses it"
            plan.checks.append(f"{module.name}: {module.machine}, {signed}")
            modules.append(module)
        for module in modules:
            if _is_file_name(str(module.path)) and not (source and module.path.is_relative_to(source.top)):
                staged.add(module)
            elif module.name not in staged.names:
                staged.take_module(source, module.name)
        pulled, absent = pull_needs(staged, modules, source)
        if pulled:
            plan.notes.append(f"also added, because it is needed: {', '.join(sorted(set(pulled)))}")
        for name in absent:
            plan.notes.append(f"{name} is wanted but not in the initrd; it is used if you give it: --modules TREE")
        self._index(staged, modules, image)
        names = [module.name for module in modules]
        for module in modules:
            plan.promises += [(module.name, alias) for alias in module.aliases[:4]]
        if names:
            self._hint(names)
        if not swap and source is None and absent:
            plan.notes.append(f"--modules /lib/modules/{plan.release} names the modules of a machine that runs this kernel")

    def _named(self, name, source):
        if _is_file_name(name):
            return read_module(name)
        plain = name.replace("-", "_")
        if not source:
            raise Usage(f"found no file {name}; to take the module of that name from a kernel's modules, give --modules TREE")
        if plain not in source.paths:
            what = "it is built in" if plain in source.builtin else "there is none"
            raise Usage(f"found no module {name} in {source.top}: {what}; expected one that is listed in its modules.dep")
        return read_module(source.top / source.paths[plain])

    def _index(self, staged, modules, image):
        """Runs depmod, which also compares symbols if there is a list of the kernel's."""
        symbols = self._symbols(image)
        names = [module.name for module in modules]
        amiss = [pair for pair in staged.depmod(names, symbols) if pair[0] in names]
        if amiss:
            several = f" and {len(amiss) - 1} more" if len(amiss) > 1 else ""
            raise Unfit(
                f"{amiss[0][0]} needs the symbol {amiss[0][1]}{several}, which the kernel {self.plan.release} does not export "
                "so; build it for exactly this kernel"
            )
        if names:
            self.plan.checks.append(
                "symbols: all that the modules need are exported"
                if symbols
                else "symbols: NOT CHECKED; give --kernel IMAGE or --symvers FILE to have them compared"
            )

    def _symbols(self, image):
        if self.options.symvers:
            return ["-e", "-E", str(Path(self.options.symvers).resolve())]
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
            if swap or had[name] or not any_before:
                staged.taken.add(name)
        for relative in sorted(staged.taken):
            self._put(f"{base}/{relative}", staged.directory / relative)

    def _hint(self, names):
        files, notes = flavours.hints(self.initrd, self.plan.flavour, names)
        self.plan.notes += notes
        for path, content in files.items():
            self._put_content(path, content)

    def _aliases(self):
        kernels = self.initrd.kernels()
        inside = {module_name(path) for paths in kernels.values() for path in paths}
        pairs = [flavours.parse_alias(text) for text in self.options.alias_only]
        for driver, modalias in pairs:
            if driver not in inside:
                raise Unfit(f"found no driver {driver} among the {len(inside)} modules in the initrd; add it by --module")
            self.plan.checks.append(f"{driver}: in the initrd; {modalias} leads to it")
        self.plan.notes.append("an alias has the driver loaded; whether it takes a device whose id it does not know is up to the driver")
        for path, content in flavours.alias_file(self.initrd, pairs).items():
            self._put_content(path, content)

    # Files

    def _file(self, source, destination):
        source = Path(source)
        if not source.is_file():
            raise Usage(f"found no file {source}, which --file names; expected --file SOURCE:DESTINATION")
        path = archive.normal(destination)
        if not path or ".." in path.split("/"):
            raise Usage(f"--file {source} has the destination {destination!r}, expected a path in the initrd, such as /preseed.cfg")
        entry = self.initrd.get(path)
        if entry and entry.kind == "dir":
            path = f"{path}/{source.name}"
        self._put(path, source, 0o755 if source.stat().st_mode & 0o111 else 0o644)

    def _put_content(self, path, content):
        self._count += 1
        source = self.workdir / f"made-{self._count}"
        source.write_bytes(content)
        self._put(path, source)

    def _put(self, path, source, mode=0o644):
        self._files[self.initrd.resolve_parent(archive.normal(path))] = (source, mode)

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
            plan.additions.append(Addition(path, mode, source))
        for path in sorted(directories):
            entry = tree.get(path)
            if entry is None or self._goes(path):
                plan.additions.append(Addition(path, 0o755))
            elif entry.kind != "dir":
                raise Unfit(f"found a {entry.kind} at /{path} in the initrd, expected a directory; choose another destination")
        plan.additions.sort(key=lambda addition: addition.path)

    def _goes(self, path):
        return any(path == gone or path.startswith(gone + "/") for gone in self.plan.removed)


def _same(entry, source, mode):
    if entry is None or entry.kind != "file" or entry.mode != mode or (entry.uid, entry.gid) != (0, 0):
        return False
    return entry.sha256 == hashlib.sha256(Path(source).read_bytes()).hexdigest()


def _is_file_name(name):
    return "/" in name or ".ko" in name or Path(name).is_file()


def _list(kernels):
    return ", ".join(sorted(kernels)) or "no kernel"
