# SPDX-License-Identifier: GPL-2.0
"""Has emulated nodes compute together, over their emulated cards: jobs by Slurm, /home by NFS, one clock, one user. scripts/serve-slurm has the queue."""

import contextlib
import json
import socket
import time
from typing import Any

from archive.errors import UserError
from archive.tools import replace

from . import common, slurm, visit
from .compute import JOB, LEAST_ROUNDS, PI, PING_PONG, WHERE, check_pi, check_where, in_words, read_ping_pong
from .demo import OFF, Demo
from .diskless import Diskless

# The packages for it are in the memory of diskless nodes as well.
MEMORY_MIB = 2048
# What each may take, in seconds, where two emulated machines share two busy cores with the rest.
SERVES = 120
LOGIN = 900
IDLE = 900
JOB_STARTS = 600
STEP = 900
DOWN = 900
# Slurm begins a job anew only when what the first run was given has run out: two minutes by themselves.
REQUEUE = 1200
QUERY = 120
INSTALL, SILENCE, BOOT = 3 * 3600, 900, 2700
# So long is the job that a node is lost in: the power is cut while it sleeps.
JOB_SECONDS = 90
POLL = 3
# A node that computes takes its time to answer.
CONNECT = 30
# Each line that this prints is `what: value`.
SHARED = r"""
tell() { printf '%s: %s\n' "$1" "$(echo $2)"; }
ls /home >/dev/null
tell home "$(findmnt --noheadings --types nfs4 --output TARGET,SOURCE)"
tell "free in home" "$(df --human-readable --output=avail,source /home/@USER@ | tail -n 1)"
chronyc -n waitsync 60 0 0 2 >/dev/null
tell clock "$(chronyc -n tracking | sed -n 's/^Reference ID.*(\(.*\))/\1/p; s/^Leap status *: //p')"
tell "clock's difference" "$(chronyc -n tracking | sed -n 's/^System time *: //p')"
tell user "$(id @USER@)"
tell munge "$(systemctl is-active munge)"
tell slurmd "$(systemctl is-active slurmd)"
tell chrony "$(systemctl is-active chrony)"
"""
# What is kept of a node for when something goes wrong.
LOGS = "journalctl --boot --no-pager --unit munge --unit slurmd --unit chrony | tail -n 300; systemctl --failed --no-pager; findmnt; sinfo --Node --long 2>&1"


def expected_shared(plan):
    """The findings that a node must have of what all have."""
    return {
        "home": f"/home {plan.head}:/home",
        "clock": f"{plan.head} Normal",
        "clock's difference": lambda value: value.split()[1:2] == ["seconds"] and float(value.split()[0]) < 1,
        "user": f"uid={plan.uid}({plan.user}) gid={plan.uid}({plan.user}) groups={plan.uid}({plan.user})",
        **dict.fromkeys(("munge", "slurmd", "chrony"), "active"),
    }


class Computing(Demo):
    """The head node, and machines that compute together once they are up."""

    done = "computed together"
    goal: int | None = None
    silence = SILENCE
    limit = INSTALL
    # What they are called in the results.
    mode = ""

    def __init__(self, options):
        super().__init__(options)
        # Machines share the host's processors.
        self.limit *= max(1, options.nodes // 2)
        self.off: set[str] = set()
        self.seconds: dict[str, float] = {}
        self.result: dict[str, Any] = {"mode": self.mode, "nodes": options.nodes, "seconds": self.seconds}

    def boot_options(self):
        """More memory than nodes have that do nothing."""
        return ("--memory", MEMORY_MIB)

    def bring_up(self):
        """Has all nodes up, so that they can be logged into."""
        raise NotImplementedError

    def start_again(self, machine):
        """Switches a node on that had been up."""
        raise NotImplementedError

    def _do(self):
        names = [machine.name for machine in self.machines]
        # scripts/cluster-demo starts the queue when it is there.
        slurm.key(self.artifacts)
        self._wait("slurmctld answers", self._queue_serves, SERVES)
        begun = time.time()
        try:
            self.bring_up()
            self.user = visit.Visitor(common.user_key(self.artifacts)[0], self.artifacts / "known_hosts", self.plan.user, CONNECT)
            self._wait(f"all {len(names)} nodes are idle", lambda: self._states() == dict.fromkeys(names, "idle"), IDLE)
            self._try_srun("srun on all", names)
            self.seconds["from power-on to the first job"] = round(time.time() - begun, 1)
            for machine in self.machines:
                self._look_at_shared(machine)
            self._compute(names)
            self._lose_a_node(names)
            # The measurements are through: what is looked at now takes the nodes' time.
            for machine in self.machines:
                self._look(machine, self.plan.address(machine.name), self.expected(machine.name))
        finally:
            self._keep_logs()
        for machine in self.machines:
            self._power_off(machine, self.plan.address(machine.name), "while it computed")

    def expected(self, name):
        """The findings that a node must have."""
        return visit.expected(self.plan, name, self.head.kver)

    def _queue_serves(self):
        with contextlib.suppress(OSError), socket.create_connection((str(self.plan.head), slurm.PORT), 1):
            return True
        return False

    def _wait(self, what, ready, seconds):
        """Waits for something, and says how long it took."""
        begun = time.monotonic()
        while not (value := ready()):
            self.head.check()
            for machine in self.machines:
                if machine.is_on() and not machine.running():
                    raise UserError(f"{machine.name} went off while it was waited until {what}; its console is in {machine.directory}")
            if time.monotonic() - begun > seconds:
                hint = "" if self._queue_serves() else "slurmctld does not answer; "
                raise UserError(f"waited {seconds} s until {what}, which did not come; {hint}logs are in {self.artifacts}/slurm and nodes")
            time.sleep(POLL)
        self.seconds[what] = round(time.monotonic() - begun, 1)
        self.say(f"{what} ({self.seconds[what]} s)")
        return value

    def _ask(self, script, seconds=QUERY):
        """Runs a script as the user on a node that is on; returns its exit status and what it printed."""
        name = next(machine.name for machine in self.machines if machine.name not in self.off)
        return self.user.run(self.plan.address(name), script, seconds)

    def _run(self, what, script, seconds):
        """The output of a script that must work."""
        begun = time.monotonic()
        status, text = self._ask(script, seconds)
        if status:
            raise UserError(f"{what} failed ({status}): {(text.strip().splitlines() or ['it gave no reason'])[-1]}")
        self.seconds[what] = round(time.monotonic() - begun, 1)
        return text

    def _states(self):
        """The state of each node, as Slurm has it; nothing when that does not answer."""
        status, text = self._ask("sinfo --Node --noheader --format='%N %T'")
        return dict(line.split() for line in text.splitlines() if len(line.split()) == 2) if status == 0 else {}

    def _try_srun(self, what, names):
        text = self._run(what, f"srun --nodes={len(names)} --ntasks-per-node=1 sh -c '{WHERE}' </dev/null", STEP)
        check_where(text.splitlines(), names, self.plan.user)
        self.say(f"srun -N{len(names)}: {', '.join(sorted(text.splitlines()))}")

    def _look_at_shared(self, machine):
        """Looks at what all nodes have: /home, the clock, the user."""
        address = self.plan.address(machine.name)
        found = self.visitor.look(address, SHARED.replace("@USER@", self.plan.user))
        replace(machine.directory / "shared", "".join(f"{what}: {value}\n" for what, value in found.items()))
        for what, value in found.items():
            self.say(f"{machine.name}:   {what}: {value}")
        self.wrong += [f"{machine.name}: {line}" for line in visit.judge(found, expected_shared(self.plan))]
        self.result.setdefault("shared", {})[machine.name] = found
        status, text = self.user.run(address, "hostname >from-$(hostname)", QUERY)
        written = self.home / f"from-{machine.name}"
        if status or not written.is_file():
            self.wrong.append(f"{machine.name}: {self.plan.user} cannot write into /home: {text.strip()[-200:]!r}")
        elif (written.read_text().strip(), written.stat().st_uid) != (machine.name, self.plan.uid):
            self.wrong.append(f"{machine.name}: {written} has {written.read_text().strip()!r} of user {written.stat().st_uid}, expected it of {self.plan.uid}")

    @property
    def home(self):
        """The user's home, on the head node."""
        return self.artifacts / "home" / self.plan.user

    def _compute(self, names):
        """Runs what the nodes compute together."""
        for name, text in (("pi.py", PI), ("ping_pong.py", PING_PONG), ("job.sh", JOB.format(seconds=JOB_SECONDS))):
            replace(self.home / name, text)
        text = self._run("pi by MPI", f"srun --nodes={len(names)} --ntasks-per-node=1 python3 -B pi.py </dev/null", STEP)
        self.result["pi"] = check_pi(text, names)
        self.say(f"pi, computed by MPI on {len(names)} nodes: {self.result['pi']}")
        before = self._bytes()
        text = self._run("ping-pong by MPI", "srun --nodes=2 --ntasks-per-node=1 python3 -B ping_pong.py </dev/null", STEP)
        self.result["ping_pong"] = found = read_ping_pong(text)
        self.result["bytes over the cards"] = came = self._bytes() - before
        self.say(f"MPI ping-pong: {in_words(found)}; {came >> 20} MiB came over the cards")
        # There and back, at least as often as the largest message goes.
        least = 2 * LEAST_ROUNDS * found[-1][0]
        if came < least:
            self.wrong.append(f"{came} bytes of the ping-pong came over the cards, expected {least} or more: it went another way")

    def _bytes(self):
        """The number of bytes that have come over the machines' cards so far."""
        return sum(machine.ask_card(cmd="counters")["counters"]["rx_bytes"] for machine in self.machines if machine.is_on())

    def _ran(self):
        """The nodes that the job has begun on, one after the other."""
        path = self.home / "ran"
        return path.read_text().split() if path.exists() else []

    def _lose_a_node(self, names):
        """Cuts the power of a node that a job runs on: it is out, the job begins anew elsewhere and comes to its end, the node returns by itself."""
        job = self._run("sbatch", "sbatch --parsable --nodes=1 --requeue --output=job.log job.sh </dev/null", STEP).strip()
        victim = self._wait("a job runs", self._ran, JOB_STARTS)[0]
        machine = next(machine for machine in self.machines if machine.name == victim)
        self._check_card(machine, "before its power was cut")
        self.off.add(victim)
        machine.stop()
        self.say(f"{victim} loses its power")
        self._wait("the node is out", lambda: self._states().get(victim, "").startswith(("down", "drain")), DOWN)
        self.result["lost node"] = {"name": victim, "state": self._states().get(victim)}
        self._wait("its job runs elsewhere", lambda: len(self._ran()) > 1, REQUEUE)
        self.result["lost node"]["job ran on"] = self._ran()
        if self._ran()[1] == victim:
            raise UserError(f"job {job} began anew on {victim}, which is off")
        self.say(f"{victim} is switched on again")
        self.start_again(machine)
        # It can be asked again only when it is up; until then others are.
        self._wait("the node is back", lambda: self._states().get(victim) in ("idle", "mixed", "allocated"), self.limit)
        self.off.discard(victim)
        self._wait("the job is done", lambda: "JobState=COMPLETED" in self._ask(f"scontrol show job {job}")[1], STEP)
        self._wait("all are idle again", lambda: self._states() == dict.fromkeys(names, "idle"), IDLE)
        self._try_srun("srun on all, again", names)

    def _keep_logs(self):
        """Keeps what nodes say of it."""
        for machine in self.machines:
            with contextlib.suppress(UserError):
                if machine.is_on() and machine.running():
                    _, text = self.visitor.run(self.plan.address(machine.name), LOGS, OFF)
                    replace(machine.directory / "slurm.log", text)

    def report(self):
        """The tables, the pictures, and the results as a file."""
        super().report()
        if not self.seconds:
            return
        replace(self.artifacts / "result.json", json.dumps({**self.result, "wrong": self.wrong}, indent=1) + "\n")
        rows = [(what, f"{seconds:.1f} s") for what, seconds in self.seconds.items()]
        rows += [("pi", self.result["pi"])] if "pi" in self.result else []
        if found := self.result.get("ping_pong"):
            rows.append(("ping-pong", in_words(found)))
        if lost := self.result.get("lost node"):
            rows.append(("lost node", f"{lost['name']}, {lost['state']}; the job ran on {', '.join(lost.get('job ran on', []))}"))
        width = max(len(what) for what, _ in rows) + 2
        print("\n" + "\n".join(f"{what:{width}}{value}" for what, value in rows) + f"\n\nresults: {self.artifacts}/result.json")


class ComputingDiskless(Computing, Diskless):
    """Nodes that load their root from the head node."""

    mode = "diskless"
    limit = BOOT

    def bring_up(self):
        """Boots them over the network."""
        self.boot_all()

    def start_again(self, machine):
        """Boots one over the network."""
        machine.start("again", *self.boot_options())

    def expected(self, name):
        """The findings that a node must have."""
        return visit.expected_diskless(self.plan, name, self.head.kver)


class ComputingInstalled(Computing):
    """Nodes that are installed, and boot from their disks."""

    mode = "install"

    def bring_up(self):
        """Installs them, and boots them from their disks."""
        self._install()
        for machine in self.machines:
            self.say(f"{machine.name}: boots from its disk")
            machine.start("disk", *self.boot_options())
        for machine in self.machines:
            try:
                self.visitor.wait(self.plan.address(machine.name), LOGIN, machine.running)
            except UserError:
                machine.keep_registers()
                raise
            self.say(f"{machine.name}: answers by ssh")

    def start_again(self, machine):
        """Boots one from its disk."""
        machine.start("again", "--disk-first", *self.boot_options())
