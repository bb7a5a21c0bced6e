# SPDX-License-Identifier: GPL-2.0
"""Slurm for a cluster: its key, its configuration, and the two programs of the head node."""

import argparse
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

from archive.ends import ended
from archive.errors import UsageError, UserError
from archive.tools import replace

from .plan import Plan
from .programs import Programs

# Bytes of randomness in a key; written as hexadecimal digits, since that survives templates and shells, and munge takes any bytes.
KEY_BYTES = 128
# A node that has been silent for so long is down: its jobs go to others.
SILENCE = 60
# How long an answer may take: old machines start programs slowly, and emulated ones more so. Slurm has 100 for the most.
ANSWER = 30
# The name of the controller. slurmctld serves only on a machine that is called so.
NAME = "head"
# Where its clients find it.
PORT = 6817
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUTS = 0x20000, 0x4000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


def key(directory):
    """The key by which the nodes of this cluster know each other's requests; made once, for root's eyes."""
    path = Path(directory) / "slurm/munge.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(".munge.key")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="ascii") as out:
            out.write(secrets.token_hex(KEY_BYTES))
        fresh.rename(path)
    return path


def configuration(plan, directory, silence=SILENCE):
    """Slurm's configuration, which the head node has; nodes ask it for that."""
    directory = Path(directory) / "slurm"
    return f"""\
# Written by r8168_rust's head node; changes are lost.
ClusterName={plan.domain}
SlurmctldHost={NAME}({plan.head})
SlurmUser=root
AuthType=auth/munge
# Nodes have no configuration of their own: they ask for it, and report what they have when they do (slurmd -Z).
SlurmctldParameters=enable_configless
MaxNodeCount={plan.most}
TreeWidth={plan.most}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=pmix
# A node that comes back takes part again by itself, and what it was at is begun anew.
ReturnToService=2
JobRequeue=1
SlurmdTimeout={silence}
MessageTimeout={ANSWER}
StateSaveLocation={directory}/state
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdSpoolDir=/var/spool/slurmd
"""


def bind(path, over):
    """Has a file in the place of another, for this mount namespace."""
    _mount(path, over, _MS_BIND)


def _mount(source, target, flags):
    if _LIBC.mount(os.fsencode(source), os.fsencode(target), None, flags, None):
        raise UserError(f"cannot mount {source} at {target}: {os.strerror(ctypes.get_errno())}")


def separate(plan, directory):
    """Gives this program, and those that it starts, a host name and a list of users of their own: slurmctld serves only where its configuration says,
    and a job's user has to be one that it knows. The machine's own name and users stay as they are."""
    if _LIBC.unshare(_CLONE_NEWUTS | _CLONE_NEWNS):
        raise UserError(f"cannot give slurmctld a name of its own: {os.strerror(ctypes.get_errno())}; it has to be root")
    socket.sethostname(NAME)
    # Nothing that is mounted here is to be seen outside.
    _mount("none", "/", _MS_REC | _MS_PRIVATE)
    if not plan.user:
        return
    for name, line in (("passwd", f"{plan.user}:x:{plan.uid}:{plan.uid}::/home/{plan.user}:/bin/sh"), ("group", f"{plan.user}:x:{plan.uid}:")):
        text = Path("/etc", name).read_text(encoding="utf-8")
        if f"\n{plan.user}:" not in text:
            replace(directory / name, f"{text.rstrip()}\n{line}\n")
            bind(directory / name, f"/etc/{name}")


class Slurm:
    """munged and slurmctld."""

    def __init__(self, plan, directory, silence=SILENCE):
        self.plan = plan
        self.directory = Path(directory)
        self.silence = silence
        self.programs = Programs(self.directory / "slurm")
        self.check = self.programs.check
        self.stop = self.programs.stop

    def start(self):
        """Starts both."""
        home = self.directory / "slurm"
        munge_key = key(self.directory)
        separate(self.plan, home)
        (home / "state").mkdir(mode=0o700, exist_ok=True)
        replace(home / "slurm.conf", configuration(self.plan, self.directory, self.silence))
        # Asked for by every node as well. Diskless ones have no D-Bus, by which slurmd would ask systemd for groups.
        replace(home / "cgroup.conf", "CgroupPlugin=disabled\n")
        Path("/run/munge").mkdir(mode=0o755, exist_ok=True)
        options = ("--foreground", "--force", f"--key-file={munge_key}", f"--log-file={home}/munged.trace", f"--seed-file={home}/munged.seed")
        self.programs.run("munged", *options, ready=Path("/run/munge/munge.socket.2").exists)
        environment = {**os.environ, "SLURM_CONF": str(home / "slurm.conf")}

        def answers():
            return subprocess.run(["scontrol", "ping"], env=environment, capture_output=True, check=False).returncode == 0

        self.programs.run("slurmctld", "-D", "-f", home / "slurm.conf", ready=answers)


def main(arguments=None):
    """The program of scripts/serve-slurm."""
    parser = argparse.ArgumentParser(prog="serve-slurm", allow_abbrev=False)
    parser.add_argument("--plan", required=True)
    parser.add_argument("--silence", type=int, default=SILENCE)
    parser.add_argument("directory")
    options = parser.parse_args(arguments)

    def end(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)

    def work():
        plan = Plan(options.plan)
        if not plan.slurm:
            raise UsageError(f"{options.plan} does not say `slurm = yes` in [cluster]")
        slurm = Slurm(plan, Path(options.directory).resolve(), options.silence)
        try:
            slurm.start()
            print("serve-slurm: slurmctld answers", flush=True)
            while True:
                time.sleep(1)
                slurm.check()
        except KeyboardInterrupt:
            # It serves until it is ended: that is no error.
            return
        finally:
            slurm.stop()

    return ended("serve-slurm", work)
