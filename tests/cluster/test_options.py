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


if __name__ == "__main__":
    unittest.main()
