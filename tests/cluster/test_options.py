# SPDX-License-Identifier: GPL-2.0
"""Arguments of scripts/head-node that do not go together, and an end before its time."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import TOP

PLAN = str(TOP / "packaging/cluster/cluster.conf")


class Options(unittest.TestCase):
    """They are refused before anything is done."""

    def test_what_stands_alone_is_not_half_done(self):
        for words, said in {
            ("--preseed", PLAN, "--export", "fai", "/nowhere"): "--preseed stands alone",
            ("--preseed", PLAN, "--export", "fai"): "--preseed stands alone",
            ("--export", "cobbler", "--preseed", PLAN): "--preseed stands alone",
            ("--plan", PLAN, "--preseed", PLAN): "--preseed stands alone",
            ("--export", "fai", "--kickstart", PLAN, "/nowhere"): "--export takes a directory, and --plan or --dry-run",
            ("--export", "slurm", "/nowhere"): "--export takes warewulf, fai or cobbler, not 'slurm'",
        }.items():
            with self.subTest(words):
                done = subprocess.run([TOP / "scripts/head-node", *words], capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(said, done.stderr)


class Export(unittest.TestCase):
    """Runs in a checkout of a few files, with an environment that never ends."""

    def test_one_that_a_signal_ends_leaves_nothing(self):
        """A connection that was lost left its copy of the plan."""
        with tempfile.TemporaryDirectory() as name:
            top = Path(name)
            for file in ("scripts/head-node", "scripts/lib.sh", "versions.conf", "packaging/cluster/cluster.conf"):
                (top / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / file, top / file)
            (top / "scripts/toolbox").write_text("#!/bin/sh\ncase $1 in mirror) ;; *) touch build/runs && exec sleep 60 ;; esac\n")
            (top / "scripts/toolbox").chmod(0o755)
            made = top / "build/head-node"
            (made / "tree").mkdir(parents=True)
            (made / "tree/kver").touch()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                with self.subTest(number):
                    # The shell that runs the tests may ignore it, which programs inherit.
                    heard = {"preexec_fn": lambda number=number: signal.signal(number, signal.SIG_DFL)}
                    command = [top / "scripts/head-node", "--export", "fai", top / "out"]
                    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=top, start_new_session=True, **heard) as running:
                        while running.poll() is None and not (top / "build/runs").exists():
                            time.sleep(0.05)
                        (top / "build/runs").unlink()
                        os.killpg(running.pid, number)
                        self.assertEqual(running.wait(timeout=60), 128 + number)
                    self.assertEqual([path.name for path in made.iterdir()], ["tree"])

    @unittest.skipIf(os.geteuid(), "a head node is root's")
    def test_a_plan_is_read_as_its_checker_reads_it(self):
        """Names of keys may have capitals and spaces before them: slurmctld was not started then, which nodes asked for their configuration."""
        with tempfile.TemporaryDirectory() as name:
            top = Path(name)
            for file in ("scripts/head-node", "scripts/lib.sh", "versions.conf", "packaging/cluster/cluster.conf"):
                (top / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / file, top / file)
            (top / "scripts/toolbox").write_text('#!/bin/sh\necho "$@" >>calls\ncase $* in *serve-nodes*) sleep 1 ;; esac\n')
            (top / "scripts/toolbox").chmod(0o755)
            (top / "build/head-node/tree/kickseed").mkdir(parents=True)
            for file in ("kver", "kickseed/installer.templates"):
                (top / "build/head-node/tree" / file).touch()
            (top / "ks.cfg").touch()
            text = (TOP / "packaging/cluster/cluster.conf").read_text()
            # The services go on for a while, so that Slurm's have begun when they end.
            for slurm, kickstart in (("slurm = yes", "kickstart = ks.cfg"), (" Slurm = yes", "KickStart=ks.cfg\r")):
                with self.subTest(slurm):
                    (top / "calls").write_text("")
                    (top / "plan").write_text(text.replace("slurm = no", slurm).replace("kickstart =", kickstart), newline="")
                    subprocess.run([top / "scripts/head-node", "--plan", top / "plan", "eth1", top / "out"], check=True, cwd=top, timeout=60)
                    calls = (top / "calls").read_text()
                    self.assertIn("scripts/serve-slurm --plan", calls)
                    self.assertIn(f"--kickstart {top}/build/head-node/kickstart/ks.cfg ", calls)


STUBS = {
    "toolbox": """case $* in
mirror) echo http://mirror.example ;;
*bsdtar*default.script*)
	mkdir -p "$9/etc/udhcpc"
	printf '  filename "%s"\\n' "x" >"$9/etc/udhcpc/default.script"
	;;
*bsdtar*apt-install*) mkdir -p "$9/usr/bin" && touch "$9/usr/bin/apt-install" ;;
*scripts/mirror*" -o "*)
	echo "$@" >>calls
	[ ! -e breaks ] || exit 1
	;;
*scripts/mirror*) [ ! -e offline ] || exit 1 ;;
esac""",
    "installer-images": "echo own images",
    "kernel": "echo 6.12.1+deb13-amd64 kernel",
    "package": "mkdir -p ipxe/usr/lib/ipxe && touch ipxe/usr/lib/ipxe/undionly.kpxe ipxe/usr/lib/ipxe/ipxe.efi && echo 1 ipxe",
    "module": "echo module",
    "make-deb": "mkdir -p $2 && echo $(($(cat $2/* 2>/dev/null || echo 0) + 1)) >$2/r8168-rust-modules-6.12.1+deb13-amd64_1_amd64.deb",
}


class Tree(unittest.TestCase):
    """Runs scripts/installer-tree in a checkout of a few files, with stubs for all that makes something."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.top = Path(holder.name)
        for file in ("scripts/installer-tree", "scripts/lib.sh", "scripts/archive.sh", "versions.conf", "packaging/cluster/cluster.conf"):
            (self.top / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / file, self.top / file)
        for name, text in STUBS.items():
            (self.top / "scripts" / name).write_text(f"#!/bin/sh\nset -eu\n{text}\n")
            (self.top / "scripts" / name).chmod(0o755)
        (self.top / "images").mkdir()
        for name in ("images/linux", "vmlinuz"):
            (self.top / name).touch()
        self.tree = self.top / "build/tree"

    def make(self, *words):
        """Makes the tree; returns the exit status and what was said."""
        command = [self.top / "scripts/installer-tree", *words, "build/tree"]
        environment = {**os.environ, "KVER": "6.12.1+deb13-amd64", "XDG_CACHE_HOME": str(self.top / "cache")}
        kernel = self.top / "kernel/usr/lib/modules/6.12.1+deb13-amd64"
        kernel.mkdir(parents=True, exist_ok=True)
        (kernel / "vmlinuz").touch()
        done = subprocess.run(command, cwd=self.top, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr

    def test_one_that_was_not_finished_is_not_taken_for_one(self):
        """The key of its mirror is another than that in its initrd."""
        self.assertEqual(self.make()[0], 0)
        self.assertTrue((self.tree / "kver").exists())
        # What there was stays as long as nothing has been changed.
        (self.top / "offline").touch()
        self.assertNotEqual(self.make()[0], 0)
        self.assertTrue((self.tree / "kver").exists())
        (self.top / "offline").unlink()
        (self.top / "breaks").touch()
        self.assertNotEqual(self.make()[0], 0)
        self.assertFalse((self.tree / "kver").exists())

    def test_the_plan_of_the_tree_itself_makes_it_anew(self):
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(self.make("--plan", self.tree / "cluster.conf"), (0, self.make()[1]))

    def test_a_tree_has_a_driver_of_its_own(self):
        """One of another tree, made later, would not have the sum that the mirror was signed with."""
        self.assertEqual(self.make()[0], 0)
        deb = Path((self.top / "calls").read_text().partition(" --deb ")[2].split()[0])
        self.assertTrue(deb.is_relative_to(self.tree), deb)
        self.assertEqual(deb.read_text(), "1\n")
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(deb.read_text(), "2\n")


if __name__ == "__main__":
    unittest.main()
