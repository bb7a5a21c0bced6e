# SPDX-License-Identifier: GPL-2.0
"""Tests of what the demo of a cluster that computes makes of what nodes and Slurm say. No machine is started."""

import json
import os
import subprocess
import tempfile
import types
import unittest
import unittest.mock
from pathlib import Path

from support import TOP

from archive.errors import UserError
from cluster import computing, visit
from cluster.compute import SIZES, check_pi, check_where, in_words, read_ping_pong
from cluster.install_cli import kind, parser

NAMES = ["compute-0-0", "compute-0-1"]
PONG = "".join(f"size {4**step} seconds 0.001000000\n" for step in range(SIZES))


class Answers(unittest.TestCase):
    """The output of the jobs."""

    def test_a_task_on_each_node_as_the_user(self):
        told = ["compute-0-1 ann /home/ann", "compute-0-0 ann /home/ann"]
        check_where(told, NAMES, "ann")
        for wrong in (told[:1], [told[0]] * 2, [told[0], "compute-0-0 root /root"], [told[0], "compute-0-0 ann /"]):
            with self.subTest(wrong), self.assertRaisesRegex(UserError, "^srun ran on .*, expected "):
                check_where(wrong, NAMES, "ann")

    def test_pi(self):
        self.assertEqual(check_pi("a warning\npi 3.14159265358979 compute-0-0 compute-0-1\n", NAMES), "3.14159265358979")
        for wrong in ("", "pi 3.1416 compute-0-0 compute-0-1", "pi 3.14159265358979 compute-0-0"):
            with self.subTest(wrong), self.assertRaisesRegex(UserError, "^the nodes computed .*, expected 3.14"):
                check_pi(wrong, NAMES)

    def test_the_ping_pong(self):
        found = read_ping_pong(PONG)
        self.assertEqual((found[0], found[-1]), ((1, 0.001), (1 << 22, 0.001)))
        self.assertEqual(in_words(found), "1000 us for a byte, 33554 Mbit/s at most")
        for wrong in (PONG[:40], PONG.replace("0.001000000", "0.000000000")):
            with self.subTest(wrong), self.assertRaisesRegex(UserError, f"expected {SIZES}"):
                read_ping_pong(wrong)


class Findings(unittest.TestCase):
    """The findings on nodes of what all have."""

    GOOD = {
        "home": "/home 10.1.1.1:/home",
        "clock": "10.1.1.1 Normal",
        "clock's difference": "0.000012 seconds slow of NTP time",
        "user": "uid=5000(ann) gid=5000(ann) groups=5000(ann)",
        "munge": "active",
        "slurmd": "active",
        "chrony": "active",
    }

    def judged(self, **changes):
        plan = types.SimpleNamespace(head="10.1.1.1", user="ann", uid=5000)
        return visit.judge({**self.GOOD, **changes}, computing.expected_shared(plan))

    def test_a_node_that_has_all(self):
        self.assertEqual(self.judged(), [])

    def test_what_is_missing_is_named(self):
        for what, value in {
            "home": "",
            "clock": "10.1.1.1 Not synchronised",
            "clock's difference": "3.5 seconds fast of NTP time",
            "user": "",
            "slurmd": "activating",
        }.items():
            with self.subTest(what):
                self.assertEqual([line.split(" is ")[0] for line in self.judged(**{what: value})], [what])
        self.assertEqual(len(self.judged(**{"clock's difference": ""})), 1)

    def test_the_script_is_one_that_shells_read(self):
        visit_script = computing.SHARED.replace("@USER@", "ann")
        self.assertNotIn("@", visit_script)
        self.assertEqual(subprocess.run(["sh", "-n"], input=visit_script, text=True, check=False).returncode, 0)


class Arguments(unittest.TestCase):
    """Arguments of scripts/cluster-demo that are wrong are refused before anything is made."""

    def test_each_is_named(self):
        for words, variables, said in (
            (["--test"], {}, "unknown argument --test"),
            (["--dry-run", "x"], {}, "unknown argument x"),
            ([], {"NODES": "1"}, "NODES is a number from 2 to 8, not '1'"),
            ([], {"NODES": "two"}, "NODES is a number from 2 to 8, not 'two'"),
            ([], {"MODE": "disk"}, "MODE is diskless or install, not 'disk'"),
            ([], {"LAB_ACCEL": "xen"}, "LAB_ACCEL is kvm or tcg, not 'xen'"),
        ):
            with self.subTest(said):
                done = subprocess.run(
                    [TOP / "scripts/cluster-demo", *words], env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60
                )
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertEqual(done.stderr.splitlines()[0], f"cluster-demo: {said} (try {TOP}/scripts/cluster-demo --help)")

    def test_help_says_what_it_is(self):
        done = subprocess.run([TOP / "scripts/cluster-demo", "--help"], capture_output=True, text=True, check=True, timeout=60)
        self.assertIn("MODE=diskless (the default) or install", done.stdout)


class Machine:
    """A machine of which there is only whether it is on."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = directory
        self.on = True
        self.bytes = 0

    def is_on(self):
        return self.on

    def running(self):
        return self.on

    def stop(self):
        self.on = False

    def start(self, *words):
        self.words = words
        self.on = True

    def ask_card(self, **request):
        return {"counters": {"violations": 0, "dma_faults": 0, "rx_bytes": self.bytes}}


class Lost(unittest.TestCase):
    """A node loses its power."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-computing-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        text = (TOP / "packaging/cluster/cluster.conf").read_text().replace("\nuser =\n", "\nuser = ann\n").replace("slurm = no", "slurm = yes")
        (self.dir / "cluster.conf").write_text(text)
        words = ["--plan", self.dir / "cluster.conf", "--nodes", 2, "--lab", "x", "--model", "x", "--tree", "x", "--artifacts", self.dir / "out"]
        options = parser().parse_args(list(map(str, [*words, "--history", self.dir / "history", "--compute", "--diskless"])))
        self.demo = kind(options)(options)
        self.demo.head = types.SimpleNamespace(check=lambda: None)
        self.demo.say = lambda text: None
        self.demo.machines = [Machine(name, self.dir / name) for name in NAMES]
        self.demo.home.mkdir(parents=True)
        self.asked = []
        self.state = "idle"
        self.demo.user = types.SimpleNamespace(run=self.answer)
        for name, value in (("POLL", 0), ("DOWN", 0.2), ("REQUEUE", 0.2), ("JOB_STARTS", 0.2), ("IDLE", 0.2)):
            patch = unittest.mock.patch.object(computing, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def answer(self, address, script, seconds):
        """Answers as a node does: a job begins on the first; when that is off it is down, and the job begins on the second."""
        self.asked.append(str(address))
        first = self.demo.machines[0]
        ran = self.demo.home / "ran"
        if script.startswith("sbatch"):
            ran.write_text("compute-0-0\n")
            return 0, "7\n"
        if script.startswith("sinfo"):
            if not first.on:
                ran.write_text("compute-0-0\n" + self.again)
            return 0, f"compute-0-0 {'idle' if first.on else self.out}\ncompute-0-1 idle\n"
        if script.startswith("scontrol"):
            return 0, "JobState=COMPLETED\n"
        return 0, "".join(f"{name} ann /home/ann\n" for name in NAMES)

    out = "down*"
    again = "compute-0-1\n"

    def test_the_job_goes_elsewhere_and_the_node_returns(self):
        self.demo._lose_a_node(NAMES)
        self.assertEqual(self.demo.result["lost node"], {"name": "compute-0-0", "state": "down*", "job ran on": NAMES})
        self.assertEqual(self.demo.machines[0].words, ("again", "--memory", computing.MEMORY_MIB))
        self.assertEqual(self.demo.off, set())
        self.demo.report()
        kept = json.loads((self.dir / "out/result.json").read_text())
        self.assertEqual((kept["mode"], kept["wrong"], "the node is out" in kept["seconds"]), ("diskless", [], True))

    def compute(self, came):
        """Has the nodes compute, with so many bytes over each card; returns what is not as it should be."""

        def answer(_address, script, _seconds):
            if "ping_pong" not in script:
                return 0, "pi 3.14159265358979 compute-0-0 compute-0-1\n"
            for machine in self.demo.machines:
                machine.bytes += came
            return 0, PONG

        self.demo.user = types.SimpleNamespace(run=answer)
        self.demo._compute(NAMES)
        return self.demo.wrong

    def test_what_is_computed_goes_over_the_cards(self):
        self.assertEqual(self.compute(12 << 20), [])
        self.assertEqual(self.demo.result["bytes over the cards"], 24 << 20)
        self.assertEqual(sorted(path.name for path in self.demo.home.iterdir()), ["job.sh", "pi.py", "ping_pong.py"])

    def test_a_ping_pong_that_went_another_way_is_named(self):
        self.assertRegex("".join(self.compute(1 << 20)), "^2097152 bytes of the ping-pong came over the cards, expected 25165824 or more")

    def test_one_that_is_off_is_not_asked(self):
        self.demo.off.add("compute-0-0")
        self.demo._states()
        self.assertEqual(self.asked, ["10.1.255.253"])

    def test_one_that_slurm_still_takes_for_idle(self):
        self.out = "idle"
        with self.assertRaisesRegex(UserError, "waited 0.2 s until the node is out, which did not come; slurmctld does not answer; logs are in .*/slurm"):
            self.demo._lose_a_node(NAMES)

    def test_a_job_that_begins_nowhere(self):
        self.again = ""
        with self.assertRaisesRegex(UserError, "until its job runs elsewhere"):
            self.demo._lose_a_node(NAMES)

    def test_a_job_that_begins_on_the_lost_node(self):
        self.again = "compute-0-0\n"
        with self.assertRaisesRegex(UserError, "job 7 began anew on compute-0-0, which is off"):
            self.demo._lose_a_node(NAMES)

    def test_a_node_that_goes_off_by_itself(self):
        self.demo.machines[1].running = lambda: False
        with self.assertRaisesRegex(UserError, "compute-0-1 went off while it was waited until all are idle; its console is in "):
            self.demo._wait("all are idle", lambda: False, 1)

    def test_a_command_that_fails_is_named(self):
        self.demo.user = types.SimpleNamespace(run=lambda *arguments: (1, "a\nsrun: error: no nodes\n"))
        with self.assertRaisesRegex(UserError, r"^pi by MPI failed \(1\): srun: error: no nodes$"):
            self.demo._run("pi by MPI", "srun", 1)
        self.assertEqual(self.demo._states(), {})

    def test_the_kinds(self):
        options = self.demo.options
        self.assertIs(kind(options), computing.ComputingDiskless)
        options.diskless = False
        self.assertIs(kind(options), computing.ComputingInstalled)
        self.assertEqual(kind(options)(options).mode, "install")


if __name__ == "__main__":
    unittest.main()
