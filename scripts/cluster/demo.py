# SPDX-License-Identifier: GPL-2.0
"""Installs emulated nodes from bare metal, by the services of a head node, in a network namespace of its own."""

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path

from . import head as head_node
from . import diagnose, phases, timeline, visit
from archive.errors import Refusal
from .faults import FAULTS
from .machine import DISK_GIB, Machine
from .plan import Plan
from archive.tools import replace, run

TOP = Path(__file__).resolve().parents[2]
GOAL = 600
# The longest legitimate silence that was seen is well below this.
SILENCE = 180
LIMIT = 3600
SSH = 300
OFF = 120
POLL = 0.5
# So long is a capture in which there is nothing.
PCAP_HEADER = 24


def parser():
    """The options; scripts/install-demo gives them."""
    result = argparse.ArgumentParser(prog="install-nodes", description=__doc__, allow_abbrev=False)
    add = result.add_argument
    add("--plan", metavar="FILE", default=TOP / "packaging/cluster/cluster.conf", help="the cluster's plan (default packaging/cluster/cluster.conf)")
    add("--nodes", metavar="N", type=int, default=1, help="how many (default %(default)s)")
    add("--lab", metavar="FILE", required=True, help="the lab, which runs the nodes")
    add("--model", metavar="FILE", required=True, help="rtl8111b")
    add("--tree", metavar="DIR", required=True, help="what scripts/installer-tree has made")
    add("--artifacts", metavar="DIR", required=True, help="where logs are left; what is in it is removed")
    add("--history", metavar="FILE", required=True, help="the phases of the last run, to be compared with, and then of this")
    add("--test", action="store_true", help="fail if anything on the nodes is not as it should be")
    add("--kickstart", metavar="FILE", help="a kickstart file for them, instead of the plan's")
    add("--diskless", action="store_true", help="the nodes have no disk: they are not installed but boot a root over the network")
    add("--fault", choices=FAULTS, default="none", help="what goes wrong with the first node; fails unless the operator is told so")
    return result


class Demo:
    """The head node, and the machines."""

    # The run's picture, and what is remembered of it.
    beginnings = phases.BEGINNINGS
    goal = GOAL
    span = "from power-on to power-off"
    done = "installed"

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
        self.followers = {}
        self.head = None
        self.machines = []
        self.wrong = []

    def say(self, text):
        """A line for who watches."""
        print(f"{time.time() - self.start:7.1f} s  {text}", flush=True)

    def _key(self):
        """A key of the head node's, by which it gets into nodes."""
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "head node", "-f", self.artifacts / "id")
        return (self.artifacts / "id.pub").read_text()

    def _hear(self, node, source, text):
        title = self.followers.setdefault(node, phases.Follower(self.beginnings)).hear(time.time(), source, text)
        if title:
            self.say(f"{node}: {title}")
            for machine in self.machines:
                if machine.name == node:
                    self.head.journal.note(node, "cpu", f"{machine.cpu_seconds():.1f}")
        self.fault.hear(self, node, source, text)

    def run(self):
        """Installs the nodes and visits them."""
        options = self.options
        wire, ports = head_node.set_up_wire(self.plan, options.nodes)
        self.head = head_node.Head(self.plan, wire, self.artifacts, options.tree, self._key(), self._hear)
        for line in self.head.kickstart.complaints if self.head.kickstart else ():
            self.say(f"{self.plan.kickstart.name}: {line}")
        for number, port in enumerate(ports):
            name = self.plan.name(number)
            directory = self.artifacts / "nodes" / name
            self.machines.append(Machine(name, number, port, options.lab, options.model, directory, self.disk_gib()))
        self.head.register.names = {machine.mac: machine.name for machine in self.machines}
        self.fault.prepare(self)
        self.head.start()
        try:
            self._do()
        finally:
            for machine in self.machines:
                machine.stop()
            self.head.stop()

    def disk_gib(self):
        """How large their disks are."""
        return self.fault.disk_gib or DISK_GIB

    def _do(self):
        self._install()
        for machine in self.machines:
            self._visit(machine)

    def _install(self):
        for machine in self.machines:
            self.head.journal.note(machine.name, "machine", "power-on")
            machine.start("install")
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
                    raise Refusal(f"{machine.name} went off before it was installed; its console and journal are in {machine.directory}")
                waiting.remove(machine)

    def _check_progress(self, machine):
        error = diagnose.installer_error(machine.console_text())
        if error:
            raise Refusal(f"{machine.name}: {error}")
        silent = time.time() - self.head.journal.heard[machine.name]
        if silent > (self.fault.silence or SILENCE):
            phase = self.followers[machine.name].title()
            refused = diagnose.dhcp_refusal((self.artifacts / "dnsmasq.log").read_text(errors="replace"), machine.mac)
            tail = "\n".join(machine.console_tail())
            raise Refusal(f"{machine.name} {diagnose.silence(silent, phase, refused)}; its console ends with:\n{tail}")
        if time.time() - self.start > LIMIT:
            raise Refusal(f"{machine.name} is not installed after {LIMIT} s; its journal is in {machine.directory}")

    def _check_card(self, machine, when):
        counters = machine.ask_card(cmd="counters")["counters"]
        if counters["violations"] or counters["dma_faults"]:
            self.wrong.append(
                f"{machine.name}: {when} the card counted {counters['violations']} violations, {counters['dma_faults']} DMA faults: {counters['violation_log'][:1]}"
            )

    def _visit(self, machine):
        """Boots the disk and looks around there."""
        self.say(f"{machine.name}: boots from its disk")
        start = time.time()
        address = self.plan.address(machine.name)
        machine.start("disk")
        try:
            self.visitor.wait(address, SSH, machine.running)
        except Refusal:
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
        end = time.time() + OFF
        while machine.running():
            if time.time() > end:
                self.wrong.append(f"{machine.name} is still on {OFF} s after `systemctl poweroff`")
                break
            time.sleep(POLL)
        self._check_card(machine, when)
        machine.stop()

    def lost(self):
        """What is not there of a node's logs: the console, the journal (with its syslog), what went over its cable."""
        for machine in self.machines:
            for pattern, least in (("*-console.log", 1), ("journal", 1), ("*.pcap", PCAP_HEADER + 1)):
                kept = [path for path in machine.directory.glob(pattern) if path.stat().st_size >= least]
                if not kept:
                    yield f"nothing was kept in {machine.directory}/{pattern}"

    def report(self):
        """The table, and the picture: this run, and the last that was whole."""
        history = Path(self.options.history)
        rows = [(machine.name, phases.read(machine.directory / "journal", self.beginnings)) for machine in self.machines]
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


def main(arguments=None):
    """The program."""
    options = parser().parse_args(arguments)
    demo = None
    # Nobody's nodes may outlive this.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        kind = Demo
        if options.diskless:
            # It is made of this.
            from .diskless import Diskless as kind
        demo = kind(options)
        try:
            demo.run()
        finally:
            demo.report()
    except Refusal as refusal:
        wrong = demo.fault.judge(refusal) or next(demo.lost(), None) if demo and demo.fault.expects else None
        if demo and demo.fault.expects and not wrong:
            print(f"install-nodes: the operator is told: {refusal}")
            return 0
        print(f"install-nodes: error: {refusal}" + (f"\n{wrong}" if wrong else ""), file=sys.stderr)
        return refusal.status
    except OSError as error:
        print(f"install-nodes: error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install-nodes: error: interrupted; the nodes are switched off", file=sys.stderr)
        return 130
    return verdict(demo)


def verdict(demo):
    """Says what came of it; returns the exit status."""
    faulty = demo.options.fault != "none"
    demo.wrong += [*demo.lost(), *([] if demo.fault.struck or not faulty else [f"the fault '{demo.options.fault}' did not strike"])]
    for line in demo.wrong:
        print(f"install-nodes: not as it should be: {line}", file=sys.stderr)
    print("-" * 72)
    if demo.fault.expects:
        print(f"install-nodes: error: installed in spite of the fault '{demo.options.fault}'", file=sys.stderr)
        return 1
    print(
        f"r8168_rust: {len(demo.machines)} node(s) {demo.done}; " + (f"{len(demo.wrong)} things are not as they should be" if demo.wrong else "everything held")
    )
    return 1 if demo.wrong and (demo.options.test or faulty) else 0
