# SPDX-License-Identifier: GPL-2.0
"""The driver updates for SUSE, read by SUSE's mkdud and taken by Agama's agama-dud-apply.sh.

What YaST's are compared with besides: linuxrc's util.c (add_driver_update, util_do_driver_update), which is in C.
"""

import shutil
from pathlib import Path

from support import DISKS, GIVEN, KVER, MODULE, Case, System, consumer, run

MKDUD, WITH_MKDUD = consumer("MKDUD", "SUSE's mkdud")
AGAMA, WITH_AGAMA = consumer("AGAMA", "Agama's agama-dud-apply.sh")
IMG_LIB, WITH_IMG_LIB = consumer("IMG_LIB", "dracut's img-lib.sh")

RULE = Path("/etc/modprobe.d/10-r8168_rust.conf")
RULE_IN_TREE = Path(__file__).resolve().parents[2] / "packaging/modprobe.d/10-r8168_rust.conf"

YAST = DISKS / "suse"
FOR_AGAMA = DISKS / "suse-agama"

# For what needs a machine: modules are indexed for a kernel that is not running, and there are none to be unloaded.
MACHINE = {
    "uname": f"#!/bin/sh\ncase $1 in -r) echo {KVER} ;; *) echo x86_64 ;; esac\n",
    "depmod": f"#!/bin/sh\nexec /usr/sbin/depmod -b /sysroot {KVER}\n",
    "rmmod": "#!/bin/sh\n",
}
# What brings an update to Agama: here it is there already.
AGAMA_DOWNLOAD = '#!/bin/sh\n[ "$1" = download ]\ncp /update.dud "$3"\n'


class Suse(Case):
    def unpacked(self, archive):
        """The files of an update."""
        root = self.dir / archive.stem
        root.mkdir()
        run("sh", "-c", 'gzip -dc "$1" | cpio --quiet -idum --no-absolute-filenames', "-", archive, cwd=root)
        return root

    def check(self, root, dist, installer, name="r8168_rust", given=MODULE):
        # config.update.dir is /linux/suse/ARCH-DIST.
        update = root / "linux/suse" / f"x86_64-{dist}"
        config = dict(line.split(":\t") for line in (update / "dud.config").read_text().splitlines())
        self.assertEqual(set(config), {"UpdateID", "UpdateInstaller", "UpdateName"})
        self.assertEqual(config["UpdateInstaller"], installer)
        self.assertIn(KVER, config["UpdateName"])
        # Modules are loaded by the names in module.order, and found by name and extension.
        self.assertEqual((update / "modules/module.order").read_text(), f"{name}\n")
        self.assertEqual((update / f"modules/{name}.ko").read_bytes(), given.read_bytes())
        if name == "r8168_rust":
            # inst-sys is added to the installation system: by linuxrc, and by install_update() of Agama.
            self.assertEqual((update / "inst-sys" / RULE.relative_to("/")).read_text(), RULE_IN_TREE.read_text())
        packages = list((update / "install").iterdir())
        self.assertEqual([package.suffix for package in packages], [".rpm"])
        self.assertIn(f"kernel-modules = {KVER}", self.rpm(packages[0], "--provides"))

    def test_one_of_any_module(self):
        self.check(self.unpacked(DISKS / "any/suse/8139too.dud"), "tw", "yast", "8139too", GIVEN)

    def test_the_archive_is_a_driver_update(self):
        # As mkdud makes it: a gzipped newc archive of root's, below the current directory.
        for archive, dist, installer in (
            (YAST / "r8168_rust.dud", "tw", "yast"),
            (FOR_AGAMA / "r8168_rust.dud", "opensuse-tumbleweed", "agama"),
        ):
            listing = run("sh", "-c", 'gzip -dc "$1" | cpio --quiet -itvn', "-", archive)
            self.assertEqual({tuple(line.split()[2:4]) for line in listing.splitlines()}, {("0", "0")})
            root = self.unpacked(archive)
            self.check(root, dist, installer)
            shutil.rmtree(root)

    def test_the_disk_is_the_same_unpacked(self):
        image = YAST / "oemdrv.img"
        self.is_labelled(image)
        self.check(self.fat(image), "tw", "yast")

    # mkdud

    def mkdud(self, *arguments):
        return run("perl", MKDUD, *arguments, cwd=self.dir, env={"HOME": str(self.dir), "LC_ALL": "C.UTF-8"})

    @WITH_MKDUD
    def test_mkdud_reads_it(self):
        version = run("modinfo", "-F", "version", MODULE).strip()
        for where, installer in ((YAST, "YaST"), (FOR_AGAMA, "Agama")):
            shown = " ".join(self.mkdud("--show", where / "r8168_rust.dud").split())
            for words in (
                "[openSUSE Tumbleweed (x86_64)]",
                f"Name: r8168_rust {version} for Linux {KVER} ID: r8168_rust-",
                f"Installer: {installer} Packages:",
                f"Modules: r8168_rust.ko ({KVER}.x86_64, {version}) module.order",
            ):
                self.assertIn(words, shown)
            self.assertNotIn("Other Files", shown)

    @WITH_MKDUD
    def test_mkdud_puts_all_files_where_they_are(self):
        for where, dist, installer in ((YAST, "tw", "yast"), (FOR_AGAMA, "tw", "agama")):
            ours = self.unpacked(where / "r8168_rust.dud")
            package = next(ours.glob("linux/suse/*/install/*.rpm"))
            rule = self.dir / "instsys" / RULE.relative_to("/")
            rule.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(RULE_IN_TREE, rule)
            (self.dir / "module.order").write_text("r8168_rust\n")
            self.mkdud(
                "--create",
                self.dir / "mkdud.dud",
                "--dist",
                dist,
                "--installer",
                installer,
                "--install",
                "rpm",
                MODULE,
                self.dir / "module.order",
                self.dir / "instsys",
                package,
            )
            theirs = self.unpacked(self.dir / "mkdud.dud")
            # mkdud notes beside what it adds to the installation system which packages it has unpacked there: none.
            notes = [file for file in theirs.rglob("*") if file.name.startswith(".update.")]
            self.assertEqual([file.read_bytes() for file in notes], [b""])
            notes[0].unlink()
            self.assertEqual(*(sorted(file.relative_to(top) for file in top.rglob("*")) for top in (ours, theirs)))
            for top in (ours, theirs):
                shutil.rmtree(top)

    # Agama

    def agama(self, identity):
        """The machine as Agama leaves it that is of this os-release."""
        system = System(self.dir / "system", MACHINE)
        for name in ("dev", "run", "sys", "lib/modules", "usr/bin", "usr/lib", "etc/modules-load.d", "var"):
            (system.top / "sysroot" / name).mkdir(parents=True)
        for name in ("bin", "lib64"):
            (system.top / "sysroot" / name).symlink_to("usr/bin" if name == "bin" else "usr/lib64")
        (system.top / "sysroot/usr/lib64").mkdir()
        for name in ("bin/file", "bin/sh", "bin/cp", "sbin/chroot"):
            shutil.copy(f"/usr/{name}", system.top / "sysroot/usr/bin")
        system.write("sysroot/usr/bin/agama", AGAMA_DOWNLOAD).chmod(0o755)
        shutil.copy("/usr/lib/dracut/modules.d/99base/dracut-lib.sh", system.top / "lib")
        shutil.copy(IMG_LIB, system.top / "lib")
        shutil.copy(AGAMA, system.top / "agama-dud-apply.sh")
        shutil.copy(FOR_AGAMA / "r8168_rust.dud", system.top / "sysroot/update.dud")
        system.write("etc/os-release", identity)
        system.write("tmp/agamadud.info", "http://example/r8168_rust.dud\n")
        mounts = "".join(f'mount --bind /usr/{name} "$1/sysroot/usr/{name}"; ' for name in ("lib", "lib64"))
        system.run("bash", "/agama-dud-apply.sh", mounts=mounts, NEWROOT="/sysroot")
        return system

    @WITH_AGAMA
    @WITH_IMG_LIB
    def test_agama_takes_the_driver(self):
        system = self.agama("ID=opensuse-tumbleweed\nVERSION_ID=20260820\n")
        module = system.top / "sysroot/lib/modules" / KVER / "updates/r8168_rust.ko"
        self.assertEqual(module.read_bytes(), MODULE.read_bytes())
        self.assertIn("updates/r8168_rust.ko:", (module.parents[1] / "modules.dep").read_text())
        self.assertEqual(system.read("sysroot/etc/modules-load.d/99-agama.conf"), "r8168_rust\n")
        self.assertEqual(system.read(f"sysroot{RULE}"), RULE_IN_TREE.read_text())
        packages = list((system.top / "sysroot/var/lib/agama/dud/repo").iterdir())
        self.assertEqual([package.name.partition("-0")[0] for package in packages], ["kmod-r8168-rust"])

    @WITH_AGAMA
    @WITH_IMG_LIB
    def test_agama_of_another_release_leaves_it_alone(self):
        system = self.agama("ID=opensuse-leap\nVERSION_ID=16.0\n")
        self.assertEqual(list((system.top / "sysroot/lib/modules").iterdir()), [])
