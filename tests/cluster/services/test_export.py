# SPDX-License-Identifier: GPL-2.0
"""A cluster in the form of other systems, judged by their own programs where Debian has them: FAI's. Warewulf and Cobbler are not in Debian."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import KVER, PLAN, TOP, Plan, run, tree

from archive.errors import UserError
from cluster.export import COBBLER_BOOT, DRIVER, FAI_CLASS, FAI_ETC, FAI_SPACE, FAI_TFTP, NAME, Export, main, only_export
from needs import need

MACS = {"52:54:00:81:11:10": "compute-0-0", "52:54:00:81:11:1f": "compute-0-10", "52:54:00:81:11:12": "compute-0-2"}
KEY = "ssh-ed25519 KEY head node\n"
DEBIAN = "http://mirror.example/debian"
PACKAGE = f"r8168-rust-modules-{KVER}_1_amd64.deb"


class Case(unittest.TestCase):
    """A tree, and three nodes that a head node knows."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-export-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        self.tree = tree(self.dir / "tree")
        # Files of the mirror are links into the cache.
        (self.dir / "cache").mkdir()
        (self.dir / "cache" / PACKAGE).write_text("the driver")
        local = self.tree / "mirror/pool/local"
        local.mkdir(parents=True)
        (local / PACKAGE).symlink_to(self.dir / "cache" / PACKAGE)
        self.out = self.dir / "out"

    def export(self, names=None, plan=PLAN):
        """Returns what would be written."""
        return Export(plan, MACS if names is None else names, self.tree, KEY, DEBIAN, self.out)


class Any(Case):
    """The rules that hold for each of them."""

    def test_no_node_is_said(self):
        with self.assertRaisesRegex(UserError, r"found no node to write: neither \[names\] of .* expected one at least"):
            self.export({})

    def test_what_cannot_be_written_whole_leaves_what_was_there(self):
        self.export().write("fai")
        (self.dir / "cache" / PACKAGE).unlink()
        (self.tree / "mirror/pool/local" / PACKAGE).unlink()
        with self.assertRaisesRegex(UserError, "found 0 packages with the driver in .*; scripts/installer-tree makes it anew"):
            self.export().write("fai")
        self.assertTrue((self.out / FAI_ETC / DRIVER).is_file())
        self.assertEqual([path.name for path in self.dir.glob(".out*")], [])

    def test_what_is_installed_and_what_has_no_disk_is_not_erased(self):
        export = self.export()
        export.installed = {"compute-0-2"}
        self.assertIn("localboot 0", export.fai_boot("compute-0-2"))
        self.assertNotIn("FAI_ACTION", export.fai_boot("compute-0-2"))
        self.assertIn("FAI_ACTION=install", export.fai_boot("compute-0-0"))
        booted = {system["name"]: system["netboot_enabled"] for system in export.cobbler_items()["systems"]}
        self.assertEqual(booted, {"compute-0-0": True, "compute-0-2": False, "compute-0-10": True})
        (self.dir / "plan").write_text(PLAN.path.read_text().replace("[modes]", "[modes]\ncompute-0-10 = diskless"))
        for system in ("fai", "cobbler"):
            with self.assertRaisesRegex(UserError, f"the plan has compute-0-10 without a disk, and {system} would erase"):
                self.export(plan=Plan(self.dir / "plan")).write(system)

    def test_nodes_come_by_their_numbers(self):
        self.assertEqual([name for name, _ in self.export().nodes], ["compute-0-0", "compute-0-2", "compute-0-10"])

    def program(self, system="cobbler", plan=PLAN.path, directory=None):
        """Runs the program for a head node that knows three nodes; returns the exit status, and what it says on either output."""
        directory = directory or self.dir / "head"
        directory.mkdir(exist_ok=True)
        (directory / "names").write_text("".join(f"{mac} {name}\n" for mac, name in MACS.items()))
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
            status = main(["--tree", str(self.tree), "--plan", str(plan), "--debian", DEBIAN, system, str(directory)])
        return status, out.getvalue(), error.getvalue()

    def test_the_program_writes_those_that_a_head_node_has_named(self):
        (self.dir / "head/installed").mkdir(parents=True)
        (self.dir / "head/installed/compute-0-2").touch()
        status, said, errors = self.program()
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("3 nodes in ", said)
        systems = self.dir / "head/export-cobbler/var/lib/cobbler/collections/systems"
        self.assertEqual(sorted(path.stem for path in systems.iterdir()), sorted(MACS.values()))
        self.assertFalse(json.loads((systems / "compute-0-2.json").read_text())["netboot_enabled"])

    def test_what_the_plan_has_and_the_files_have_not_is_said(self):
        text = PLAN.path.read_text().replace("slurm = no", "slurm = yes").replace("kickstart =", "kickstart = ks.cfg")
        (self.dir / "my.conf").write_text(text)
        for system in ("fai", "cobbler"):
            status, said, errors = self.program(system, self.dir / "my.conf")
            self.assertEqual((status, len(errors.splitlines())), (0, 2), errors)
            self.assertIn("export-nodes: NOT WRITTEN: my.conf: kickstart = ks.cfg: ", errors)
            self.assertIn("export-nodes: NOT WRITTEN: my.conf: slurm = yes: neither munge's key nor ", errors)
            self.assertIn(f"set up by {system}", errors)
            self.assertIn("3 nodes in ", said)
        # The packages without their key would be of no use, and the mirror may not have them.
        self.assertNotIn("munge", self.export(plan=Plan(self.dir / "my.conf")).seed())

    def test_a_mirror_without_the_packages_of_the_plan_is_not_written(self):
        """Its nodes could not be installed."""
        text = PLAN.path.read_text().replace("packages =\n", "packages = gfortran\n")
        (self.dir / "my.conf").write_text(text)
        (self.tree / "boot/root.packages").write_text("busybox\n")
        for system in ("cobbler", "warewulf"):
            with self.assertRaisesRegex(UserError, r"the plan needs gfortran, which the .*; make it anew: scripts/installer-tree --plan .*my\.conf .*/tree$"):
                self.export(plan=Plan(self.dir / "my.conf")).write(system)
        self.export(plan=Plan(self.dir / "my.conf")).write("fai")

    def test_two_at_once_do_not_write_into_the_same_place(self):
        self.assertEqual(self.program("fai")[0], 0)
        with only_export(self.dir / "head"):
            status, said, errors = self.program("fai")
        self.assertEqual((status, said), (1, ""))
        self.assertEqual(errors, f"head-node: error: found another export that writes into {self.dir}/head; run this again when that has ended\n")
        self.assertEqual(self.program("fai")[0], 0)

    def test_the_public_part_of_the_key_is_made_of_the_other_when_it_is_lost(self):
        self.assertEqual(self.program("fai")[0], 0)
        made = (self.dir / "head/id.pub").read_text()
        (self.dir / "head/id.pub").unlink()
        self.assertEqual(self.program("fai")[0], 0)
        self.assertEqual((self.dir / "head/id.pub").read_text(), made)
        self.assertEqual((self.dir / "head/export-fai" / FAI_SPACE / "files/r8168_rust/authorized_keys").read_text(), made)
        (self.dir / "head/id.pub").unlink()
        (self.dir / "head/id").write_text("no key\n")
        status, _, errors = self.program("fai")
        self.assertEqual((status, len(errors.splitlines())), (1, 1))
        self.assertIn("ssh-keygen failed", errors)

    def test_a_public_key_without_the_other_is_said(self):
        """An operator may want it so; or has lost the half that nodes would be reached by."""
        (self.dir / "head").mkdir(exist_ok=True)
        (self.dir / "head/id.pub").write_text(KEY)
        status, _, errors = self.program("fai")
        self.assertEqual((status, len(errors.splitlines())), (0, 1), errors)
        self.assertIn(f"found {self.dir}/head/id.pub without {self.dir}/head/id: ", errors)
        self.assertEqual((self.dir / "head/export-fai" / FAI_SPACE / "files/r8168_rust/authorized_keys").read_text(), KEY)

    def test_names_of_files_may_be_any_bytes(self):
        # As the mirror of another head node may have it, and as an operator may call his directory.
        strange = os.fsdecode(b"\xe4\xff")
        (self.tree / "mirror/pool" / strange).write_text("x")
        directory = self.dir / strange
        directory.mkdir()
        (directory / "names").write_text("".join(f"{mac} {name}\n" for mac, name in MACS.items()))
        (directory / "id.pub").write_text(KEY)
        words = ["python3", "-B", TOP / "scripts/export-nodes", "--tree", self.tree, "--plan", PLAN.path, "--debian", DEBIAN]
        # A terminal's own language makes Python strict about what it writes.
        for system in ("fai", "cobbler"):
            done = subprocess.run([*words, system, directory], env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, check=False)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (0, 1), done.stderr)
            self.assertIn(b"/id.pub without ", done.stderr)
        self.assertTrue((directory / f"export-cobbler/var/www/cobbler/distro_mirror/{NAME}/pool/{strange}").is_file())


class Warewulf(Case):
    """An image and nodes.conf."""

    def make_root(self, *names):
        """The root of diskless nodes, with files of such names in it."""
        root = self.dir / "root"
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        tar = run("tar", "-C", root, "-cf", self.dir / "root.tar", ".")
        self.assertEqual(tar, "")
        with open(self.dir / "root.tar", "rb") as source:
            subprocess.run(["sqfstar", "-quiet", "-no-progress", self.tree / "boot/root.squashfs"], stdin=source, check=True, capture_output=True)

    def test_the_image_is_the_root_of_diskless_nodes_with_its_kernel(self):
        self.make_root("bin/sh", f"usr/lib/modules/{KVER}/updates/r8168_rust.ko")
        self.export().write("warewulf")
        image = self.out / f"var/lib/warewulf/chroots/{NAME}/rootfs"
        self.assertTrue((image / "bin/sh").is_file())
        self.assertEqual((image / f"boot/vmlinuz-{KVER}").read_text(), "a kernel")

    def test_a_root_without_the_driver_is_refused(self):
        self.make_root("bin/sh")
        with self.assertRaisesRegex(UserError, f"has no driver for {re.escape(KVER)}; scripts/diskless-tree makes it anew"):
            self.export().write("warewulf")
        self.assertFalse(self.out.exists())
        (self.tree / "boot/root.squashfs").unlink()
        with self.assertRaisesRegex(UserError, "found no .*; scripts/diskless-tree makes it"):
            self.export().write("warewulf")

    def test_nodes_conf_has_what_warewulf_reads(self):
        yaml = self.export().nodes_conf()
        # The names of fields are those of Warewulf 4.6; it ignores what it does not know.
        known = {"nodeprofiles", "nodes", "comment", "cluster name", "image name", "ipxe template", "runtime overlay", "system overlay", "kernel", "init"}
        known |= {"root", "network devices", "profiles", "version", "args", "type", "device", "onboot", "netmask", "gateway", "hwaddr", "ipaddr"}
        keys = set(re.findall(r"(?m)^ *([a-z ]+?):(?: |$)", yaml)) - {"default"}
        self.assertEqual(keys, known)
        self.assertIn(f'compute-0-2:\n    profiles: [{NAME}]\n    network devices:\n      default:\n        hwaddr: "52:54:00:81:11:12"\n', yaml)
        self.assertIn('        ipaddr: "10.1.255.244"\n', yaml)
        self.assertEqual(yaml.count("hwaddr"), 3)


class Fai(Case):
    """A configuration of FAI's, tried with FAI's own programs."""

    def setUp(self):
        super().setUp()
        self.export().write("fai")

    def fai(self, program, *options, **environment):
        """Runs a program of FAI's; returns what it says."""
        path = Path(need(self, "FAI_SERVER_DIR")) / program
        return run("perl", path, *options, env={"LC_ALL": "C.UTF-8", **environment})

    def test_fai_chboot_reads_what_nodes_boot_and_would_write_the_same(self):
        # Where these would be on the machine that FAI runs on.
        etc, tftp = self.out / FAI_ETC, self.out / FAI_TFTP
        text = (etc / "nfsroot.conf").read_text().replace(f"/{FAI_TFTP}", str(tftp))
        (etc / "nfsroot.conf").write_text(text)
        listed = self.fai("usr/sbin/fai-chboot", "-C", etc, "-l")
        self.assertEqual(len(listed.splitlines()), 3)
        for mac in MACS:
            self.assertRegex(listed, rf"\[MAC address\] +01-{mac.replace(':', '-')} +install")
        nfsroot = self.dir / "nfsroot"
        (nfsroot / f"lib/modules/{KVER}/kernel/fs/overlayfs").mkdir(parents=True)
        (nfsroot / "boot").mkdir()
        (nfsroot / f"boot/vmlinuz-{KVER}").write_text("a kernel")
        (etc / "nfsroot.conf").write_text((etc / "nfsroot.conf").read_text().replace('NFSROOT="/srv', f'NFSROOT="{nfsroot}" #"/srv'))
        mac = next(iter(MACS))
        ours = tftp / f"pxelinux.cfg/01-{mac.replace(':', '-')}"
        expected = self.words(ours.read_text())
        self.fai("usr/sbin/fai-chboot", "-C", etc, "-I", "-f", "verbose,sshd,reboot", "-u", f"nfs://{PLAN.head}/{FAI_SPACE}", mac)
        self.assertEqual(self.words(ours.read_text().replace(str(nfsroot), "/srv/fai/nfsroot-r8168-rust")), expected)

    @staticmethod
    def words(text):
        """The words of such a file, by line, without comments."""
        return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]

    def test_setup_storage_takes_the_plan_of_the_disk(self):
        plan = self.out / FAI_SPACE / f"disk_config/{FAI_CLASS}"
        storage = Path(need(self, "FAI_STORAGE_DIR"))
        modules = f"{storage}/usr/share/fai/setup-storage:" + ":".join(f"{need(self, name)}/usr/share/perl5" for name in ("PERL_LVM_DIR", "PERL_DESCENT_DIR"))
        program = storage / "usr/sbin/setup-storage"
        environment = {"PERL5LIB": modules, "LC_ALL": "C.UTF-8", "disklist": "sda"}
        run("perl", program, "-s", "-f", plan, "-L", self.dir, env=environment)
        plan.write_text(plan.read_text().replace("primary / 3G-", "primary / much"))
        with self.assertRaises(UserError):
            run("perl", program, "-s", "-f", plan, "-L", self.dir, env=environment)

    def test_nodes_have_their_class_and_no_other_machine(self):
        script = self.out / FAI_SPACE / "class/60-r8168_rust"
        self.assertTrue(os.access(script, os.X_OK))
        for host, classes in (("compute-0-10", f"{FAI_CLASS}\n"), ("printer", "")):
            self.assertEqual(run("bash", script, env={"HOSTNAME": host}), classes)

    def test_apt_has_backports_when_the_kernel_is_of_there(self):
        def found():
            """Returns what FAI's root and the nodes have: sources, and preferences if there are any."""
            places = [[self.out / FAI_ETC / "apt" / name, self.out / FAI_SPACE / "files/etc/apt" / name / FAI_CLASS] for name in names]
            texts = [[path.read_text() if path.exists() else "" for path in both] for both in places]
            self.assertEqual([root for root, _ in texts], [node for _, node in texts])
            return [root for root, _ in texts]

        names = ("sources.list", "preferences.d/r8168-rust")
        self.assertEqual(found(), [f"deb {DEBIAN} trixie main\n", ""])
        index = self.tree / "mirror/dists/trixie/main/binary-amd64/Packages"
        index.parent.mkdir(parents=True)
        stanzas = [("linux-base", "4.17~bpo13+1"), (f"linux-image-{KVER}", "7.3.4-1~bpo13+1")]
        for version in ("7.3.4-1~bpo13+1", "7.3.4-1"):
            stanzas[1] = (f"linux-image-{KVER}", version)
            index.write_text("".join(f"Package: {name}\nVersion: {number}\nDescription: one\n with a line\n\n" for name, number in stanzas))
            self.export().write("fai")
            sources, preferences = found()
            self.assertEqual(sources.splitlines()[1:], [f"deb {DEBIAN} trixie-backports main"] if "bpo" in version else [])
            self.assertEqual("Pin: release n=trixie-backports" in preferences, "bpo" in version)
        # apt takes the newer of a kernel's packages, and of nothing else.
        index.write_text(index.read_text().replace("7.3.4-1", "7.3.4-1~bpo13+1"))
        self.export().write("fai")
        self.judge_by_apt()

    def judge_by_apt(self):
        """Has apt choose between the release and its backports, both of which have a kernel's package and another one."""
        apt = self.dir / "apt"
        for name in ("lists/partial", "parts", "cache/archives/partial"):
            (apt / name).mkdir(parents=True)
        (apt / "status").touch()
        sources = self.out / FAI_SPACE / f"files/etc/apt/sources.list/{FAI_CLASS}"
        (apt / "sources.list").write_text(sources.read_text().replace(f"deb {DEBIAN}", f"deb [trusted=yes] file:{self.dir}/debian"))
        shutil.copy(self.out / FAI_SPACE / f"files/etc/apt/preferences.d/r8168-rust/{FAI_CLASS}", apt / "parts/r8168-rust")
        for suite, version in (("trixie", "1"), ("trixie-backports", "2")):
            dist = self.dir / "debian/dists" / suite
            (dist / "main/binary-amd64").mkdir(parents=True)
            packages = "".join(f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: x\nSize: 1\n\n" for name in ("linux-base", "vim"))
            (dist / "main/binary-amd64/Packages").write_text(packages)
            codename = ["-o", f"APT::FTPArchive::Release::Codename={suite}", "-o", f"APT::FTPArchive::Release::Suite={suite}"]
            text = run(
                "apt-ftparchive",
                *codename,
                "-o",
                "APT::FTPArchive::Release::Components=main",
                "-o",
                "APT::FTPArchive::Release::Architectures=amd64",
                "release",
                dist,
            )
            (dist / "Release").write_text(f"NotAutomatic: yes\nButAutomaticUpgrades: yes\n{text}" if "-" in suite else text)
        options = {"Etc::sourcelist": apt / "sources.list", "Etc::sourceparts": "-", "Etc::preferencesparts": apt / "parts", "Etc::preferences": "-"}
        options |= {"State::lists": apt / "lists", "State::status": apt / "status", "Cache": apt / "cache"}
        (apt / "conf").write_text("".join(f'Dir::{name} "{path}";\n' for name, path in options.items()) + 'APT::Sandbox::User "root";\n')
        environment = {"APT_CONFIG": str(apt / "conf"), "LC_ALL": "C.UTF-8"}
        run("apt-get", "update", "-qq", env=environment)
        chosen = re.findall(r"Candidate: (.*)", run("apt-cache", "policy", "linux-base", "vim", env=environment))
        self.assertEqual(chosen, ["2", "1"])

    def test_a_driver_that_an_older_export_has_left_is_not_taken(self):
        places = {"hook": self.out / FAI_ETC, "script": self.out / FAI_SPACE / "files/r8168_rust"}
        for what, place in places.items():
            for older in (PACKAGE.replace("_1_", "_0_"), f"r8168-rust-modules-{KVER}x_1_amd64.deb"):
                (place / older).write_text("an older driver")
            root = self.dir / what
            for path in ("tmp", "etc/dracut.conf.d", "boot", "tftp"):
                (root / path).mkdir(parents=True)
            (root / "boot/initrd.img-1").write_text("an initrd")
            # In the place of chroot: dpkg takes that.
            (root / "command").write_text(f"#!/bin/sh\n[ $1 != dpkg ] || cat {root}/tmp/driver.deb\n")
            (root / "command").chmod(0o755)
            told = {"cfdir": str(self.out / FAI_ETC), "NFSROOT": str(root), "TFTPROOT": str(root / "tftp"), "ROOTCMD": str(root / "command")}
            told |= {"FAI": str(self.out / FAI_SPACE), "target": str(root)}
            file = place / "nfsroot-hooks/r8168_rust" if what == "hook" else self.out / FAI_SPACE / f"scripts/{FAI_CLASS}/10-driver"
            self.assertEqual(run("bash", "-euc", f'. "{file}"', env=told), "the driver")

    def test_the_hook_brings_the_driver_into_the_root_before_its_initrd(self):
        root, tftp = self.dir / "nfsroot", self.dir / "tftp"
        for path in (root / "tmp", root / "etc/dracut.conf.d", root / "boot", tftp):
            path.mkdir(parents=True)
        (root / "boot" / f"initrd.img-{KVER}").write_text("an initrd")
        # run-parts, by which FAI finds hooks, takes no dots in names.
        hook = self.out / FAI_ETC / "nfsroot-hooks/r8168_rust"
        said = run(
            "bash", "-euc", f'. "{hook}"', env={"cfdir": str(self.out / FAI_ETC), "NFSROOT": str(root), "TFTPROOT": str(tftp), "ROOTCMD": "echo"}
        )  # fmt: skip
        self.assertEqual(said, "dpkg -i /tmp/driver.deb\ndpkg-reconfigure dracut\n")
        self.assertIn('" r8168_rust "', (root / "etc/dracut.conf.d/30-r8168_rust.conf").read_text())
        self.assertEqual((tftp / f"initrd.img-{KVER}").read_text(), "an initrd")

    def test_what_a_node_runs_puts_the_driver_and_the_key_there(self):
        target = self.dir / "target"
        (target / "tmp").mkdir(parents=True)
        script = self.out / FAI_SPACE / f"scripts/{FAI_CLASS}/10-driver"
        said = run("bash", script, env={"FAI": str(self.out / FAI_SPACE), "target": str(target), "ROOTCMD": "echo"})
        self.assertEqual(said, "dpkg -i /tmp/driver.deb\n")
        key = target / "root/.ssh/authorized_keys"
        self.assertEqual((key.read_text(), key.stat().st_mode & 0o777), (KEY, 0o600))
        # Without the driver the script fails, and FAI says so.
        shutil.rmtree(self.out / FAI_SPACE / "files")
        with self.assertRaises(UserError):
            run("bash", script, env={"FAI": str(self.out / FAI_SPACE), "target": str(target), "ROOTCMD": "echo"})

    def test_dnsmasq_takes_the_list_of_nodes(self):
        conf = self.out / f"etc/dnsmasq.d/{NAME}.conf"
        run("dnsmasq", "--test", f"--conf-file={conf}")
        self.assertEqual(conf.read_text().count("dhcp-host="), 3)


class Cobbler(Case):
    """A distribution, a profile, systems, and answers."""

    def test_the_collections_refer_to_each_other_and_to_files_that_are_there(self):
        self.export().write("cobbler")
        found = {}
        for path in (self.out / "var/lib/cobbler/collections").rglob("*.json"):
            item = json.loads(path.read_text())
            # Cobbler refuses a file whose name is another.
            self.assertEqual(item["name"], path.stem)
            found.setdefault(path.parent.name, {})[path.stem] = item
        self.assertEqual({kind: len(items) for kind, items in found.items()}, {"distros": 1, "profiles": 1, "systems": 3})
        distro, profile = found["distros"][NAME], found["profiles"][NAME]
        self.assertEqual([(self.out / distro[name].lstrip("/")).read_text() for name in ("kernel", "initrd")], ["a kernel", "an initrd"])
        self.assertTrue(distro["kernel"].startswith(f"/{COBBLER_BOOT}/"))
        self.assertEqual(profile["distro"], NAME)
        self.assertTrue((self.out / "var/lib/cobbler/templates" / profile["autoinstall"]).is_file())
        node = found["systems"]["compute-0-2"]
        self.assertEqual((node["profile"], node["hostname"]), (NAME, "compute-0-2.cluster"))
        self.assertEqual(node["interfaces"]["default"]["mac_address"], "52:54:00:81:11:12")
        self.assertEqual(node["interfaces"]["default"]["ip_address"], "10.1.255.252")

    def test_the_mirror_is_there_and_not_links_into_the_cache(self):
        self.export().write("cobbler")
        path = self.out / f"var/www/cobbler/distro_mirror/{NAME}/pool/local/{PACKAGE}"
        self.assertFalse(path.is_symlink())
        self.assertEqual(path.read_text(), "the driver")
        (self.dir / "cache" / PACKAGE).unlink()
        with self.assertRaisesRegex(UserError, "the mirror cannot be copied: .*; scripts/installer-tree makes it anew"):
            self.export().write("cobbler")

    def test_the_answers_have_no_word_of_ours_and_no_dollar_that_is_not_cobblers(self):
        text = (TOP / "packaging/cluster/cluster.conf").read_text().replace("slurm = no", "slurm = yes")
        (self.dir / "cluster.conf").write_text(text)
        seed = self.export(plan=Plan(self.dir / "cluster.conf")).seed()
        self.assertNotRegex(seed, r"@[A-Z]+@")
        self.assertEqual(set(re.findall(r"(?<!\\)\$(\w+|.)", seed)), {"http_server", "system_name"})
        self.assertNotIn(str(PLAN.head), seed)
        self.assertIn(f"echo '{KEY.strip()}' >.ssh/authorized_keys", seed)
        self.assertIn(f"d-i mirror/http/directory string /cobbler/distro_mirror/{NAME}\n", seed)


if __name__ == "__main__":
    unittest.main()
