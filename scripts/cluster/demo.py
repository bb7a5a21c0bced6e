# SPDX-License-Identifier: GPL-2.0
"""Installs emulated nodes from bare metal, by the services of a head node, in a network namespace of its own."""

import json
import shutil
import time
from pathlib import Path

from archive.errors import UserError
from archive.tools import replace, run

from . import diagnose, phases, timeline, visit
from . import head as head_node
from .faults import FAULTS
from .machine import DISK_GIB, Machine
from .plan import Plan

GOAL = 600
# The longest legitimate silence that was seen is well below this.
SILENCE = 180
LIMIT = 3600
SSH = 300
OFF = 120
POLL = 0.5
# So long is a capture in which there is nothing.
PCAP_HEADER = 24


class Demo:
    """The head node, and the machines."""

    # The run's picture, and what is remembered of it.
    beginnings = phases.BEGINNINGS
    goal: int | None = GOAL
    # How long a node may be silent, and how long all may take, in seconds.
    silence = SILENCE
    limit = LIMIT
    span = "from power-on to power-off"
    done = "installed"
    # Once it runs.
    head: head_node.Head

    def __init__(self, options):
        self.options = options
        self.artifacts = Path(options.artifacts)
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self.artifacts.mkdir(parents=True)
        self.plan = Plan(options.plan)
        if options.kickstart:
            self.plan.kickstart = Path(options.kickstart)
        self.visitor = visit.Visitor(self.artifacts / "id", self.artifacts / "known_hosts")
        self.start = time.time()
        self.fault = FAULTS[options.fault]()
        self.trackers = {}
        self.machines = []
        self.wrong = []

    def say(self, text):
        """Prints a line of progress."""
        print(f"{time.time() - self.start:7.1f} s  {text}", flush=True)

    def _key(self):
        """A key of the head node's, by which it gets into nodes."""
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "head node", "-f", self.artifacts / "id")
        return (self.artifacts / "id.pub").read_text()

    def _on_event(self, node, source, text):
        title = self.trackers.setdefault(node, phases.PhaseTracker(self.beginnings)).on_event(time.time(), source, text)
        if title:
            self.say(f"{node}: {title}")
            for machine in self.machines:
                if machine.name == node:
                    self.head.journal.note(node, "cpu", f"{machine.cpu_seconds():.1f}")
        self.fault.on_event(self, node, source, text)

    def run(self):
        """Installs the nodes and visits them."""
        options = self.options
        wire, ports = head_node.set_up_wire(self.plan, options.nodes)
        self.head = head_node.Head(self.plan, wire, self.artifacts, options.tree, self._key(), self._on_event)
        if kickstart := self.head.kickstart:
            for line in kickstart.complaints:
                self.say(f"{kickstart.path.name}: {line}")
        for number, port in enumerate(ports):
            name = self.plan.name(number)
            directory = self.artifacts / "nodes" / name
            self.machines.append(Machine(name, number, port, options.lab, options.model, directory, self.disk_gib()))
        self.head.registry.know({machine.mac: machine.name for machine in self.machines})
        self.fault.prepare(self)
        self.head.start()
        try:
            self._do()
        finally:
            for machine in self.machines:
                machine.stop()
            self.head.stop()

    def disk_gib(self):
        """The size of their disks."""
        return self.fault.disk_gib or DISK_GIB

    def boot_options(self):
        """More options of `lab node`, for when they are to be installed."""
        return ()

    def _do(self):
        self._install()
        for machine in self.machines:
            self._visit(machine)

    def _install(self):
        for machine in self.machines:
            self.head.journal.note(machine.name, "machine", "power-on")
            machine.start("install", *self.boot_options())
        waiting = list(self.machines)
        while waiting:
            time.sleep(POLL)
            self.head.check()
            for machine in list(waiting):
                if machine.running():
                    self._check_progress(machine)
                    continue
                self.head.journal.note(machine.name, "machine", "power-off")
                self._check_card(machine, "during the installation")
                machine.stop()
                if not self.head.is_installed(machine.name):
                    raise UserError(f"{machine.name} went off before it was installed; its console and journal are in {machine.directory}")
                waiting.remove(machine)

    def _check_progress(self, machine):
        error = diagnose.installer_error(machine.console_text())
        if error:
            raise UserError(f"{machine.name}: {error}")
        silent = time.time() - self.head.journal.heard[machine.name]
        if silent > (self.fault.silence or self.silence) * self.options.slow:
            phase = self.trackers[machine.name].title()
            refused = diagnose.dhcp_refusal((self.artifacts / "dnsmasq.log").read_text(errors="replace"), machine.mac)
            tail = "\n".join(machine.console_tail())
            raise UserError(f"{machine.name} {diagnose.silence(silent, phase, refused)}; its console ends with:\n{tail}")
        if time.time() - self.start > self.limit * self.options.slow:
            raise UserError(f"{machine.name} is not installed after {self.limit * self.options.slow} s; its journal is in {machine.directory}")

    def _check_card(self, machine, when):
        counters = machine.ask_card(cmd="counters")["counters"]
        if counters["violations"] or counters["dma_faults"]:
            counted = f"{counters['violations']} violations, {counters['dma_faults']} DMA faults"
            self.wrong.append(f"{machine.name}: {when} the card counted {counted}: {counters['violation_log'][:1]}")

    def _visit(self, machine):
        """Boots the disk and looks around there."""
        self.say(f"{machine.name}: boots from its disk")
        start = time.time()
        address = self.plan.address(machine.name)
        machine.start("disk")
        try:
            self.visitor.wait(address, SSH * self.options.slow, machine.running)
        except UserError:
            machine.keep_registers()
            raise
        self.say(f"{machine.name}: answers by ssh, {time.time() - start:.0f} s after power-on")
        self._look(machine, address, visit.expected(self.plan, machine.name, self.head.kver))
        self._power_off(machine, address, "under the installed system")

    def _look(self, machine, address, expected):
        """Looks around on a node."""
        found = self.visitor.look(address)
        replace(machine.directory / "found", "".join(f"{what}: {value}\n" for what, value in found.items()))
        for what in ("full name", "kernel", "driver", "address", "module's package", "apt-get update", "system state", "disk"):
            self.say(f"{machine.name}:   {what}: {found.get(what)}")
        self.wrong += [f"{machine.name}: {line}" for line in visit.judge(found, expected)]

    def _power_off(self, machine, address, when):
        """Has a node go off by itself."""
        self.visitor.run(address, "systemctl poweroff", 30)
        limit = OFF * self.options.slow
        end = time.time() + limit
        while machine.running():
            if time.time() > end:
                self.wrong.append(f"{machine.name} is still on {limit} s after `systemctl poweroff`")
                break
            time.sleep(POLL)
        self._check_card(machine, when)
        machine.stop()

    def lost(self):
        """The logs of a node that are missing: the console, the journal (with its syslog), what went over its cable."""
        for machine in self.machines:
            for pattern, least in (("*-console.log", 1), ("journal", 1), ("*.pcap", PCAP_HEADER + 1)):
                kept = [path for path in machine.directory.glob(pattern) if path.stat().st_size >= least]
                if not kept:
                    yield f"nothing was kept in {machine.directory}/{pattern}"

    def report(self):
        """The table, and the picture: this run, and the last that was whole."""
        history = Path(self.options.history)
        # One that was not switched on has none.
        journals = [(machine.name, machine.directory / "journal") for machine in self.machines]
        rows = [(name, phases.read(journal, self.beginnings)) for name, journal in journals if journal.exists()]
        rows = [(name, found) for name, found in rows if found]
        try:
            last = [(f"{name}, last run", [phases.Phase(**phase) for phase in found]) for name, found in json.loads(history.read_text())]
        except (OSError, ValueError, TypeError):
            last = []
        if not rows:
            return
        print("\n" + table(rows, self.span))
        picture = self.artifacts / "timeline.svg"
        replace(picture, timeline.draw(rows + last, self.goal, self.span.capitalize()))
        run("rsvg-convert", "--zoom", "2", "-o", picture.with_suffix(".png"), picture)
        print(f"\npicture: {picture} and .png; logs: {self.artifacts}/nodes")
        if self.options.fault == "none" and all(found[-1].title == self.beginnings[-2][0] for _, found in rows):
            replace(history, json.dumps([(name, [vars(phase) for phase in found]) for name, found in rows]))


def table(rows, span):
    """Phases as text: for each node the seconds that passed, and those of the host's processors."""
    titles = list(dict.fromkeys(phase.title for _, found in rows for phase in found))
    width = max(len(title) for title in [*titles, span]) + 2
    lines = [" " * width + "".join(f"{name:>20}" for name, _ in rows), " " * width + f"{'seconds':>11}{'CPU':>9}" * len(rows)]
    for title in titles:
        lines.append(f"{title:{width}}" + "".join(_cells([phase for phase in found if phase.title == title]) for _, found in rows))
    lines.append(f"{span:{width}}" + "".join(_cells(found) for _, found in rows))
    return "\n".join(lines)


def _cells(found):
    cpu = [phase.cpu for phase in found]
    return f"{sum(phase.seconds for phase in found):11.1f}" + (f"{sum(cpu):9.1f}" if cpu and None not in cpu else f"{'-':>9}")
