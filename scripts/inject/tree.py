# SPDX-License-Identifier: GPL-2.0
"""The module tree that the initrd is to have: staged in a directory, checked, and indexed by kmod's own depmod."""

import contextlib
import re
import shutil
from pathlib import Path

from . import tools
from .errors import OperationError, UnfitError, UsageError
from .initrd import is_module, module_name
from .module import kernel_knows, packed, plain, read_module, suffix_of

UNKNOWN_SYMBOL = re.compile(r"(\S+\.ko\S*) needs unknown symbol (\S+)")
VERSION_DIFFERS = re.compile(r"(\S+\.ko\S*) disagrees about version of symbol (\S+)")

# What the Debian installer needs besides its network drivers once its kernel is another: with its own, these come as udebs.
INSTALLER_NEEDS = """
ahci ata_generic ata_piix cdrom dm_mod e1000 e1000e efivarfs ehci_pci evdev ext4 fat hid_generic isofs libcrc32c loop md_mod
mmc_block nls_ascii nls_cp437 nls_iso8859_1 nls_utf8 nvme ohci_pci raid1 r8169 realtek scsi_mod sd_mod sdhci_pci sr_mod
squashfs uas uhci_hcd usb_storage usbhid vfat virtio_blk virtio_net virtio_pci virtio_rng virtio_scsi xfs xhci_pci
""".split()

# Where in a kernel's tree the drivers of a class are.
CLASSES = {"net": "kernel/drivers/net/"}
FIRMWARE = re.compile(rb"\0firmware=([^\0]+)")


class SourceTree:
    """A kernel's installed modules, from which more are taken."""

    def __init__(self, path, release):
        top = Path(path)
        places = [top, top / "lib/modules" / release, top / "usr/lib/modules" / release, top / release]
        found = [place for place in places if (place / "modules.dep").is_file()]
        # A directory may have any name; its modules say what they are for.
        self.first = self._first_in(found[0]) if found else None
        if found and (self.first.release if self.first else found[0].resolve().name) != release:
            has = self.first.release if self.first else "no release that could be read"
            raise UsageError(f"the modules in {path} are of {has}, expected {release}; name the tree of {release}")
        if not found:
            raise UsageError(
                f"found no modules of {release} in {path}; expected {release}/modules.dep there, or below lib/modules there; "
                "unpack linux-modules or linux-image of that version and run depmod on it"
            )
        self.top = found[0]
        self.release = release
        self.paths, self._needs = {}, {}
        for line in self._lines("modules.dep"):
            path, _, needs = line.partition(":")
            self.paths[module_name(path)] = self._relative(path)
            self._needs[module_name(path)] = [module_name(need) for need in needs.split()]
        self._softdeps()
        self.builtin = {module_name(line) for line in self._lines("modules.builtin")}

    def _relative(self, path):
        """A path in modules.dep: older depmods wrote those of the machine that they ran on, which may be another tree."""
        mark, rest = True, path
        if path.startswith("/"):
            _, mark, rest = path.partition(f"/{self.release}/")
        if not mark or ".." in rest.split("/"):
            raise UsageError(f"{self.top}/modules.dep has {path}, expected a path in that tree; run depmod -b on it")
        return rest

    @staticmethod
    def _first_in(top):
        """The first module in it that can be read, which shows what all are like."""
        for line in (top / "modules.dep").read_text(encoding="utf-8", errors="replace").splitlines():
            path = line.partition(":")[0]
            # One of the machine's is looked for at the same place here.
            file = top / re.sub(r"^/(usr/)?lib/modules/[^/]*/", "", path)
            if is_module(file.name) and file.is_file():
                with contextlib.suppress(UnfitError):
                    return read_module(file)
        return None

    def _softdeps(self):
        for line in self._lines("modules.softdep"):
            word, name, *rest = [*line.split(), "", ""][:2] + line.split()[2:]
            if word == "softdep" and "pre:" in rest:
                before = " ".join(rest).partition("pre:")[2].partition("post:")[0].split()
                names = [one.replace("-", "_") for one in before]
                self._needs.setdefault(name.replace("-", "_"), []).extend(one for one in names if one in self.paths)

    def _lines(self, name):
        file = self.top / name
        lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if file.is_file() else []
        return [line for line in lines if not line.startswith("#")]

    def of_class(self, name):
        """The drivers of a class that some device's id leads to, by name."""
        place = CLASSES[name]
        led_to = {line.split()[2].replace("-", "_") for line in self._lines("modules.alias") if line.startswith("alias ") and len(line.split()) == 3}
        found = [one for one, path in self.paths.items() if path.startswith(place) and (one in led_to or not led_to)]
        if not found:
            raise UsageError(f"found no module below {place} in {self.top}; expected the whole tree of a kernel")
        return sorted(found)

    def with_needs(self, names):
        """The named modules, those that exist, and all that they depend on."""
        todo, done = list(names), set()
        while todo:
            name = todo.pop()
            if name in self.paths and name not in done:
                done.add(name)
                todo += self._needs.get(name, [])
        return done


class Staged:
    """A module tree in a directory, as `depmod -b` wants it."""

    def __init__(self, top, release, limit, accepts=()):
        """`accepts` is how modules may be compressed besides not at all: .xz, .gz, .zst."""
        self.top = Path(top)
        self.accepts = accepts
        # Names of modules that were decompressed, each with why.
        self.decompressed = {}
        self.release = release
        self.limit = limit
        self.directory = self.top / "usr/lib/modules" / release
        self.directory.mkdir(parents=True)
        (self.top / "lib").symlink_to("usr/lib")
        # Files taken over from outside, relative to the directory; and where they came from.
        self.taken, self.sources = set(), []
        # Modules in it, by name.
        self.names = {}

    def copy_initrd(self, initrd):
        """Fills it with what the initrd has. Links, which may lead anywhere on this machine, become the files behind them in the initrd."""
        base = f"{initrd.modules_base()}/{self.release}/"
        for path in [one for one in initrd.tree if one.startswith(base)]:
            entry = initrd.tree.get(initrd.resolve(path))
            if entry and entry.kind == "file":
                file = self.directory / path.removeprefix(base)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(initrd.read(path))
        self._look()

    def copy_tree(self, source, names):
        """Fills it with modules of an installed kernel and with the lists that depmod works from."""
        for name in sorted(names):
            self.copy_module(source, name)
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            if (source.top / name).is_file():
                self._copy(source, name)

    def copy_module(self, source, name):
        """Adds one module of an installed kernel, at the same place."""
        if not (source.top / source.paths[name]).is_file():
            raise UsageError(f"{source.top}/modules.dep has {source.paths[name]}, and there is no such file; unpack the tree anew, or run depmod -b on it")
        self._copy(source, source.paths[name])

    def _copy(self, source, relative):
        if not is_module(relative):
            target = self.directory / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.top / relative, target)
            self.taken.add(relative)
            self.sources.append(source.top / relative)
        else:
            self._put(source.top / relative, relative.partition(".ko")[0] + ".ko", module_name(relative))

    def _put(self, file, stem, name):
        """Puts a module file there, compressed in a way that the initrd's programs and the kernel can undo."""
        suffix = suffix_of(file)
        if suffix and suffix not in self.accepts:
            self.decompressed[name] = f"nothing in the initrd shows that its programs can decompress {suffix}"
            suffix = ""
        elif not kernel_knows(file):
            self.decompressed[name] = "the kernel does not know its check or header: it knows xz with CRC32, and plain gzip"
            suffix = ""
        relative = stem + suffix
        self._write(file, relative, suffix)
        self.names[name] = relative

    def _write(self, file, relative, suffix):
        target = self.directory / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if suffix_of(file) == suffix and kernel_knows(file):
            shutil.copyfile(file, target)
        else:
            target.write_bytes(packed(plain(file), suffix))
        self.taken.add(relative)
        self.sources.append(file)

    def _look(self):
        for file in sorted(self.directory.rglob("*")):
            relative = str(file.relative_to(self.directory))
            if is_module(file.name) and file.is_file() and not self.names.get(module_name(file), "").startswith("updates/"):
                self.names[module_name(file)] = relative

    def add(self, module):
        """Puts a module where it has precedence over one of the same name."""
        # Of two below updates/ depmod takes either: one that is there is replaced, in the form that its name says.
        before = self.names.get(module.name, "")
        if before.startswith("updates/"):
            self._write(module.path, before, before.partition(".ko")[2])
        else:
            self._put(module.path, f"updates/{module.name}.ko", module.name)

    def has(self, name):
        """Returns whether modprobe would find it, as a file or built in."""
        return name in self.names or self._modprobe(name)[0] == 0

    def resolves(self, alias, name):
        """Returns whether modprobe comes from an alias to a module."""
        status, out = self._modprobe(alias)
        path = self.names.get(name, "")
        return status == 0 and f"/{path}".encode() in out

    def _modprobe(self, name):
        nothing = self.top / "no-configuration"
        nothing.mkdir(exist_ok=True)
        arguments = ["modprobe", "-C", str(nothing), "-d", str(self.top), "-S", self.release, "--show-depends", name]
        status, out, _ = tools.run(arguments, 0)
        return status, out

    def reference(self):
        """The first module that it has, which shows what all must be like; none when it has none."""
        for relative in sorted(self.names.values()):
            if relative not in self.taken or not relative.startswith("updates/"):
                return read_module(self.directory / relative, f"{relative} of {self.release}")
        return None

    def depmod(self, first, symbols=None):
        """Makes the indexes; returns the (module, symbol) pairs that are wrong when a list of symbols is given.

        The modules named `first` come before others that claim the same device. The order of all is fixed here, because
        depmod takes the directory's where modules.order is silent, and that differs from machine to machine.
        """
        order = self.directory / "modules.order"
        before = order.read_bytes() if order.is_file() else None
        listed = before.decode("utf-8", "replace").splitlines() if before else []
        ours = [self.names[name] for name in first if name in self.names]
        rest = [path for path in sorted(self.names.values()) if path not in listed]
        lines = dict.fromkeys(ours + listed + rest)
        order.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        empty = self.top / "depmod.conf"
        empty.write_text("search updates built-in\n", encoding="ascii")
        arguments = ["depmod", "-C", str(empty), "-b", str(self.top), *(symbols or []), self.release]
        renamed = self._hide_gzip()
        status, _, messages = tools.run(arguments, self.limit)
        self._show_gzip(renamed)
        if before is None:
            order.unlink()
        else:
            order.write_bytes(before)
        if status:
            tools.check_space(messages)
            raise OperationError(f"depmod could not index the modules of {self.release}: {tools.last_line(messages)}")
        pairs = UNKNOWN_SYMBOL.findall(messages) + VERSION_DIFFERS.findall(messages)
        return [(module_name(path), symbol) for path, symbol in pairs]

    def require(self, softdeps):
        """Makes softdeps dependencies in modules.dep: busybox's modprobe goes by that file, and knows no softdeps."""
        if not softdeps:
            return
        index = self.directory / "modules.dep"
        needs = {}
        for line in index.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
        for name, before in softdeps.items():
            path = self.names.get(name)
            wanted = [self.names[one] for one in before if self.names.get(one) in needs]
            if path in needs:
                every = {*needs[path], *wanted, *(need for one in wanted for need in needs[one])} - {path}
                # They are loaded from the last to the first; what a module needs, needs less than that itself.
                needs[path] = sorted(every, key=lambda one: (-len(needs.get(one, [])), one))
        lines = (" ".join([f"{path}:", *rest]) for path, rest in needs.items())
        index.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")

    def _hide_gzip(self):
        """Gives depmod what it can read in place of .ko.gz, which Debian's does not know: names of the same length, plain content."""
        renamed = []
        for file in sorted(self.directory.rglob("*.ko.gz")):
            other = file.with_suffix(".xz")
            if not other.exists():
                other.write_bytes(plain(file, file.name))
                renamed.append((file, file.rename(file.with_suffix(".hidden")), other))
        return renamed

    def _show_gzip(self, renamed):
        """Takes that back, in the indexes too."""
        if not renamed:
            return
        for file, hidden, other in renamed:
            other.unlink()
            hidden.rename(file)
        for name in ("modules.dep", "modules.dep.bin"):
            index = self.directory / name
            content = index.read_bytes() if index.is_file() else b""
            for file, _, other in renamed:
                before, after = (str(one.relative_to(self.directory)).encode() for one in (other, file))
                # In the binary index a number stands before a path, of any bytes.
                start = rb"" if name.endswith(".bin") else rb"(?<![^\n: ])"
                content = re.sub(start + re.escape(before) + rb"(?=[:\s\0]|$)", after, content)
            if content:
                index.write_bytes(content)

    def firmware(self, names):
        """The firmware that modules name; they may do without."""
        found = set()
        for name in names:
            content = plain(self.directory / self.names[name], name)
            found |= {one.decode("utf-8", "replace") for one in FIRMWARE.findall(content)}
        return sorted(found)

    def indexes(self):
        """The index files, relative to the directory."""
        return sorted(file.name for file in self.directory.glob("modules.*"))


def check_fit(module, release, reference, machine):
    """Refuses a module that the kernel would refuse; returns what was compared."""
    if machine and module.machine and module.machine != machine:
        raise UnfitError(f"{module.path} is for {module.machine}, the initrd's kernel is for {machine}; build it for {machine}")
    if module.release != release:
        raise UnfitError(
            f"{module.path} is built for kernel {module.release}, expected {release}: build it for that kernel, or swap the "
            f"initrd's kernel by --kernel and --modules of {module.release}"
        )
    if reference is None:
        return f"release {release}; the other words of vermagic could not be compared, the initrd has no module"
    if module.vermagic != reference.vermagic:
        raise UnfitError(
            f"{module.path} has vermagic '{module.vermagic}', the initrd's modules have '{reference.vermagic}'; build it with that kernel's own configuration"
        )
    return f"vermagic {module.vermagic}"


def pull_needs(staged, modules, source):
    """Adds what the modules depend on; returns the names added and those that are wanted but not to be had."""
    pulled, absent = [], []
    for module in modules:
        needs = [(name, True) for name in module.depends] + [(name, False) for name in module.before]
        for name, required in needs:
            if staged.has(name) or (source and name in source.builtin):
                continue
            if source and name in source.paths:
                for each in sorted(source.with_needs([name])):
                    if each not in staged.names:
                        staged.copy_module(source, each)
                        pulled.append(each)
            elif required:
                raise UnfitError(
                    f"{module.path} needs the module {name}, which the initrd does not have; give the modules of "
                    f"{staged.release} by --modules TREE, or the file by --module"
                )
            else:
                absent.append(name)
    return pulled, absent
