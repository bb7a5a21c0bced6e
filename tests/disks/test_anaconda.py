# SPDX-License-Identifier: GPL-2.0
"""The disk for Anaconda, taken by Anaconda's own driver_updates.py, with its dd_list and dd_extract where they are at hand."""

import shutil

from support import DISKS, GIVEN, KVER, MODULE, Case, System, consumer

DRIVER_UPDATES, WITH_DRIVER_UPDATES = consumer("DRIVER_UPDATES", "Anaconda's driver_updates.py")
DD_TOOLS, WITH_DD_TOOLS = consumer("DD_TOOLS", "Anaconda's dd_list")

# It asks the kernel for its release.
AS_KERNEL = """\
import importlib.util, os, sys
os.uname = lambda: os.uname_result(("Linux", "anaconda", sys.argv[1], "", "x86_64"))
spec = importlib.util.spec_from_file_location("driver_updates", "/driver_updates.py")
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
program.main(["--disk", "LABEL=OEMDRV", "/oemdrv.iso"])
"""

# For what needs a machine: mounting is unpacking, and modules are indexed for a kernel that is not running, and not loaded.
MACHINE = {
    "mount": '#!/bin/sh\nexec bsdtar -xf "$1" -C "$2"\n',
    "umount": '#!/bin/sh\nrm -rf "$1"/*\n',
    "depmod": f"#!/bin/sh\nexec /usr/sbin/depmod {KVER}\n",
    "modprobe": f'#!/bin/sh\nset -e\n/usr/sbin/modprobe -S {KVER} -n "$@"\n[ "$1" != -a ] || echo "$@" >>/loaded\n',
}

# What dd_list and dd_extract do for a package with modules, by rpm's own programs.
DD_STAND_INS = {
    "dd_list": """\
#!/bin/sh
# dd_list -d DIRECTORY -k KERNEL -a ANACONDA
for package in "$2"/*.rpm; do
	rpm --dbpath /tmp/db -qp --provides "$package" | grep -qxF "kernel-modules = $4" || continue
	rpm --dbpath /tmp/db -qp --qf "$package\\n%{NAME}\\nmodules firmwares \\n%{DESCRIPTION}\\n---\\n" "$package"
done
""",
    "dd_extract": """\
#!/bin/sh
# dd_extract -blmf -r PACKAGE -d DIRECTORY -k KERNEL
cd "$5" && rpm2cpio "$3" | cpio --quiet -idm --no-absolute-filenames './lib/modules/*.ko*'
""",
}


@WITH_DRIVER_UPDATES
class Anaconda(Case):
    disk, name, given = "anaconda", "r8168_rust", MODULE

    def insert(self, release, dd_tools):
        """Makes a machine with a kernel of this release, as it is after the disk was found."""
        system = System(self.dir / "system", {**MACHINE, **({} if dd_tools else DD_STAND_INS)})
        if dd_tools:
            for name in ("dd_list", "dd_extract"):
                shutil.copy(dd_tools / name, system.top / "stand-ins")
        (system.top / "run/install").mkdir()
        shutil.copy(DRIVER_UPDATES, system.top / "driver_updates.py")
        shutil.copy(DISKS / self.disk / "oemdrv.iso", system.top)
        system.run("python3", "-B", "-c", AS_KERNEL, release)
        self.assertEqual(system.read("tmp/dd.done"), "true\n")
        return system

    def takes_the_driver(self, dd_tools):
        system = self.insert(KVER, dd_tools)
        for top in ("lib", "updates/lib"):
            module = system.top / top / "modules" / KVER / f"updates/extra/{self.name}/{self.name}.ko"
            self.assertEqual(module.read_bytes(), self.given.read_bytes())
        self.assertEqual(system.read("loaded"), f"-a {self.name}\n")
        # And what the installed system gets.
        package = f"kmod-{self.name.replace('_', '-')}"
        self.assertEqual(system.read("run/install/dd_packages"), f"{package}\n")
        repository = system.top / "run/install/DD-1"
        self.assertEqual(len(list(repository.glob(f"{package}-*.rpm"))), 1)
        self.assertTrue((repository / "repodata/repomd.xml").is_file())

    def leaves_it_alone(self, release, dd_tools):
        system = self.insert(release, dd_tools)
        self.assertFalse((system.top / "loaded").exists())
        self.assertFalse((system.top / "run/install/dd_packages").exists())
        self.assertEqual(list((system.top / "lib/modules").rglob("*.ko")), [])

    def test_the_driver_is_taken_and_kept(self):
        self.takes_the_driver(None)

    @WITH_DD_TOOLS
    def test_the_driver_is_taken_by_its_dd_list_and_dd_extract(self):
        self.takes_the_driver(DD_TOOLS)

    @WITH_DD_TOOLS
    def test_its_dd_list_leaves_it_alone_for_other_kernels(self):
        for release in ("6.12.0-55.9.1.el10_0.x86_64", KVER.replace("+", "-1+")):
            with self.subTest(release):
                self.leaves_it_alone(release, DD_TOOLS)
                shutil.rmtree(self.dir / "system")


class OfAnotherModule(Anaconda):
    """The disk that is made of any module."""

    disk, name, given = "any/anaconda", "8139too", GIVEN
