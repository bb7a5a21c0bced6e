# SPDX-License-Identifier: GPL-2.0
"""Has nodes that are network namespaces compute together by Slurm, as scripts/serve-slurm serves it, and judges the results."""

import argparse
import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from archive.ends import ended
from archive.errors import UserError
from archive.tools import replace, run

from .head import set_up_wire
from .plan import Plan
from .simulated import NIC, make_namespace
from .slurm import bind

TOP = Path(__file__).resolve().parents[2]
# A node that is silent for so many seconds is down.
SILENCE = 30
TIMEOUT_SECONDS = 180
# Each node is a machine of its own: its name, its /run, its spool; only munge's socket is shared, where a node has a munged of its own. In a shared
# /run the second slurmd would take the first for an old one of its own, and end it.
NODE = """
hostname "$1"
ip link set lo up
ip link set nic up
mkdir -p /sys
mount -t sysfs none /sys
mkdir -p "$3"
mount --bind /run/munge "$3"
mount -t tmpfs none /run
mkdir /run/munge /run/slurm
mount --bind "$3" /run/munge
mount -t tmpfs none /var/spool
mount --bind "$4/passwd" /etc/passwd
mount --bind "$4/group" /etc/group
mkdir -p /home
mount --bind "$4/home" /home
exec slurmd -D -Z --conf-server "$2"
"""
# Each of the parts adds its own terms; the sum is known.
PI = """
from mpi4py import MPI
world = MPI.COMM_WORLD
steps = 2_000_000
mine = sum(4 / (1 + ((step + 0.5) / steps) ** 2) for step in range(world.rank, steps, world.size)) / steps
total = world.reduce(mine)
hosts = world.gather(MPI.Get_processor_name())
if world.rank == 0:
    print(f"pi {total!r} {' '.join(sorted(set(hosts)))}")
"""
LEAST_ROUNDS = 3
# What a message takes from one node to the other and back, of growing size.
PING_PONG = """
import time
from mpi4py import MPI
world = MPI.COMM_WORLD
other = 1 - world.rank
size = 1
while size <= 1 << 22:
    out, into = bytearray(size), bytearray(size)
    rounds = max(@LEAST@, min(100, (1 << 22) // size))
    world.Barrier()
    begun = time.perf_counter()
    for _ in range(rounds):
        if world.rank == 0:
            world.Send([out, MPI.BYTE], other)
            world.Recv([into, MPI.BYTE], other)
        else:
            world.Recv([into, MPI.BYTE], other)
            world.Send([out, MPI.BYTE], other)
    one_way = (time.perf_counter() - begun) / rounds / 2
    if world.rank == 0:
        print(f"size {size} seconds {one_way:.9f}")
    size *= 4
""".replace("@LEAST@", str(LEAST_ROUNDS))
# Where a task runs, and as whom.
WHERE = "echo $(hostname) $(id -un) $(pwd)"
# A job that says where it runs, each time that it begins, and takes its time.
JOB = """#!/bin/sh
hostname >>ran
sleep {seconds}
"""
SIZES = 12


def check_where(told, names, user):
    """Refuses tasks that did not run once on each node, as the user and in the user's home."""
    expected = sorted(f"{name} {user} /home/{user}" for name in names)
    if sorted(told) != expected:
        raise UserError(f"srun ran on {sorted(told)}, expected {expected}")


def check_pi(text, names):
    """The value that nodes computed together; refuses another than pi, and one that not all took part in."""
    match = re.search(r"^pi (\S+) (.*)$", text, re.MULTILINE)
    if not match or abs(float(match[1]) - math.pi) > 1e-9 or match[2].split() != sorted(names):
        raise UserError(f"the nodes computed {text.strip()[-200:]!r}, expected {math.pi} on {' '.join(sorted(names))}")
    return match[1]


def read_ping_pong(text):
    """The sizes of messages in bytes, and what each takes one way in seconds."""
    found = [(int(size), float(seconds)) for size, seconds in re.findall(r"size (\d+) seconds ([\d.]+)", text)]
    if len(found) != SIZES or not all(seconds for _, seconds in found):
        raise UserError(f"the ping-pong has {len(found)} sizes, expected {SIZES}: {text.strip()[-200:]!r}")
    return found


def in_words(found):
    """The two ends of a ping-pong: the smallest message, and the most that went through."""
    best = max(size / seconds for size, seconds in found) * 8 / 1e6
    return f"{found[0][1] * 1e6:.0f} us for a byte, {best:.0f} Mbit/s at most"


class Cluster:
    """The head node's two programs, and the nodes."""

    def __init__(self, directory, out, count):
        self.directory = Path(directory)
        self.out = Path(out)
        text = (TOP / "packaging/cluster/cluster.conf").read_text().replace("slurm = no", "slurm = yes").replace("\nuser =\n", "\nuser = ann\n")
        replace(self.directory / "cluster.conf", text)
        self.plan = Plan(self.directory / "cluster.conf")
        self.user, self.uid = self.plan.user, self.plan.uid
        self.home = self.directory / "home" / self.user
        self.names = [self.plan.name(rank) for rank in range(count)]
        self.head: Any = None
        self.nodes: dict[str, Any] = {}
        self.namespaces: dict[str, int] = {}
        self.start = time.monotonic()
        self.result: dict[str, Any] = {"nodes": count}

    def say(self, text):
        """Prints a line of progress."""
        print(f"{time.monotonic() - self.start:7.1f} s  {text}", flush=True)

    def set_up(self):
        """Makes the wire, and what stands for DNS."""
        set_up_wire(self.plan, 0)
        for number, name in enumerate(self.names):
            self.namespaces[name] = make_namespace()
            there = f"/proc/{os.getpid()}/fd/{self.namespaces[name]}"
            run(*f"ip link add port{number} type veth peer name {NIC} netns {there}".split())
            run(*f"ip link set port{number} master wire up".split())
            run("nsenter", f"--net={there}", "ip", "address", "add", f"{self.plan.address(name)}/{self.plan.prefix}", "dev", NIC)
        lines = ["127.0.0.1 localhost", f"{self.plan.head} head", *(f"{self.plan.address(name)} {name}" for name in self.names)]
        replace(self.directory / "hosts", "\n".join(lines) + "\n")
        bind(self.directory / "hosts", "/etc/hosts")
        os.environ["SLURM_CONF"] = str(self.directory / "head/slurm/slurm.conf")
        # The user, as nodes have that, and a home that all nodes see.
        self.home.mkdir(parents=True)
        os.chown(self.home, self.uid, self.uid)
        for name, line in (("passwd", f"{self.user}:x:{self.uid}:{self.uid}::/home/{self.user}:/bin/sh"), ("group", f"{self.user}:x:{self.uid}:")):
            replace(self.directory / name, Path("/etc", name).read_text() + line + "\n")

    def start_head(self):
        """Starts munged and slurmctld."""
        command = [TOP / "scripts/serve-slurm", "--plan", self.plan.path, "--silence", SILENCE, self.directory / "head"]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        head: Any = subprocess.Popen([sys.executable, "-B", *map(str, command)], text=True, **pipes)
        self.head = head
        first = head.stdout.readline()
        if first != "serve-slurm: slurmctld answers\n":
            raise UserError(f"Slurm does not serve: {self.head.communicate()[1].strip()}")

    def switch_on(self, name):
        """Starts a node."""
        run("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.namespaces[name]}", "ip", "link", "set", NIC, "up")
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/self/fd/{self.namespaces[name]}", "unshare", "--uts", "--mount"]
        with open(self.out / f"{name}.log", "ab") as log:
            self.nodes[name] = subprocess.Popen(
                [*command, "sh", "-euc", NODE, "sh", name, f"{self.plan.head}", f"{self.directory}/{name}", self.directory],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[self.namespaces[name]], start_new_session=True,
            )  # fmt: skip

    def switch_off(self, name):
        """A node loses its power: its cable is dead, and all that ran there is gone."""
        run("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.namespaces[name]}", "ip", "link", "set", NIC, "down")
        wire = os.readlink(f"/proc/{self.nodes[name].pid}/ns/net")
        for path in Path("/proc").glob("[0-9]*/ns/net"):
            with contextlib.suppress(OSError):
                if os.readlink(path) == wire:
                    os.kill(int(path.parts[2]), signal.SIGKILL)
        self.nodes[name].wait()

    def as_user(self, *command, node=0):
        """Runs a command on a node as its user, in the user's home."""
        pid = self.nodes[self.names[node]].pid
        drop = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        inside = ["nsenter", f"--target={pid}", "--net", "--mount", "--uts", f"--wdns=/home/{self.user}"]
        return run("env", "--unset=SLURM_CONF", f"HOME=/home/{self.user}", *inside, *drop, *command)

    def states(self):
        """The state of each node, as Slurm has it."""
        lines = run("sinfo", "--Node", "--noheader", "--format=%N %T").splitlines()
        return dict(line.split() for line in lines if len(line.split()) == 2)

    def wait(self, what, ready, seconds=TIMEOUT_SECONDS):
        """Waits for something, and says how long it took."""
        begun = time.monotonic()
        while not (value := ready()):
            for name, node in self.nodes.items():
                if node.poll() not in (None, -signal.SIGKILL):
                    raise UserError(f"{name} has ended: {(self.out / f'{name}.log').read_text().strip().splitlines()[-1:]}")
            if time.monotonic() - begun > seconds:
                raise UserError(f"waited {seconds} s until {what}, which did not come; the nodes are {self.states()}")
            time.sleep(0.3)
        self.say(f"{what} ({time.monotonic() - begun:.1f} s)")
        return value

    def all_idle(self):
        """Returns whether all nodes wait for work."""
        return self.states() == dict.fromkeys(self.names, "idle")

    def compute(self):
        """Runs what the nodes compute together."""
        count = len(self.names)
        self.wait(f"all {count} nodes are idle", self.all_idle)
        told = self.as_user("srun", f"--nodes={count}", "--ntasks-per-node=1", "sh", "-c", WHERE).splitlines()
        check_where(told, self.names, self.user)
        self.say(f"srun -N{count}, as {self.user}: {', '.join(sorted(told))}")
        reported = run("scontrol", "show", "node", self.names[0])
        self.result["reported"] = re.findall(r"(?:CPUTot|RealMemory|Sockets)=\d+", reported)
        self.say(f"{self.names[0]} reports {' '.join(self.result['reported'])}")
        self.compute_pi(count)
        self.ping_pong()
        self.lose_a_node()

    def program(self, name, text):
        """A program in the user's home, where all nodes have it; its name there."""
        replace(self.home / name, text)
        return name

    def compute_pi(self, count):
        """A computation whose answer is known."""
        text = self.as_user("srun", f"--nodes={count}", "--ntasks-per-node=1", "python3", "-B", self.program("pi.py", PI))
        self.result["pi"] = check_pi(text, self.names)
        self.say(f"pi, computed by MPI on {count} nodes: {self.result['pi']}")

    def ping_pong(self):
        """Latency and bandwidth between two nodes."""
        text = self.as_user("srun", "--nodes=2", "--ntasks-per-node=1", "python3", "-B", self.program("ping_pong.py", PING_PONG))
        self.result["ping_pong"] = found = read_ping_pong(text)
        self.say(f"MPI ping-pong: {in_words(found)}")

    def lose_a_node(self):
        """A node is switched off while it computes: it is out, its job goes elsewhere, it returns by itself."""
        script = self.program("job.sh", JOB.format(seconds=12))
        job = self.as_user("sbatch", "--parsable", "--nodes=1", "--requeue", "--output=job.log", script).strip()

        def ran():
            path = self.home / "ran"
            return path.read_text().split() if path.exists() else []

        victim = self.wait("a job runs", ran)[0]
        self.switch_off(victim)
        self.say(f"{victim} loses its power")
        self.wait(f"{victim} is down", lambda: self.states().get(victim, "").startswith("down"))
        self.wait("its job runs elsewhere", lambda: len(ran()) == 2 and ran()[1] != victim)
        self.switch_on(victim)
        self.wait(f"{victim} is back", lambda: self.states().get(victim) in ("idle", "mixed", "allocated"))
        self.wait("the job has come to its end", lambda: "JobState=COMPLETED" in run("scontrol", "show", "job", job))
        self.wait("all are idle again", self.all_idle)

    def stop(self):
        """Ends all."""
        for name in self.nodes:
            with contextlib.suppress(UserError, OSError):
                self.switch_off(name)
        if self.head:
            self.head.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.head.wait(20)
            self.head.kill()
            self.head.communicate()


def main(arguments=None):
    """The program of scripts/compute."""
    parser = argparse.ArgumentParser(prog="compute", allow_abbrev=False)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = Path(options.out)
    return ended("test-slurm", lambda: demonstrate(out, options.nodes), hint=f"; logs are in {out}")


def demonstrate(out, nodes):
    """Has that many nodes compute; what they did is in the directory `out`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="compute-") as directory:
        cluster = Cluster(directory, out, nodes)
        try:
            cluster.set_up()
            cluster.start_head()
            cluster.say("slurmctld answers")
            for name in cluster.names:
                cluster.switch_on(name)
            cluster.compute()
        finally:
            cluster.stop()
            for log in (cluster.directory / "head/slurm").glob("*.log"):
                shutil.copy(log, out)
        replace(out / "result.json", json.dumps(cluster.result))
