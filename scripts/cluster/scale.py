# SPDX-License-Identifier: GPL-2.0
"""Switches on a room of simulated nodes within the same second, before one head node on a wire of a given speed, and judges how they fare."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from archive.ends import ended
from archive.errors import UserError
from archive.tools import replace, run

from .head import set_up_wire
from .plan import Plan
from .simulated import NIC, SYSLOG_LINES, Node

TOP = Path(__file__).resolve().parents[2]
# Kernel and initrd, as parts of the rest: 10 and 40 MiB of 200.
KERNEL, INITRD = 1 / 20, 1 / 5
PACKAGE_KIB = 1024
# What is left of a bit rate for what TCP carries: 1448 bytes of each frame, which takes 1538 on the wire.
PAYLOAD = 1448 / 1538
# The goal for the time, as a multiple of what the wire allows.
GOAL = 1.3
# It counts when the wire is busy for so many seconds; below that it is power-on and DHCP that take the time.
GOAL_FROM = 60
SWITCHED_ON_WITHIN = 1.0
# Limits of the head node, all its processes together.
MEMORY_MIB, DESCRIPTORS = 300, 4000
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 20
# A room that takes longer than so many times the wire has a node that hangs.
MAX_WIRE_TIMES = 6


def parser():
    """The options; scripts/test-scale gives them."""
    result = argparse.ArgumentParser(prog="scale", allow_abbrev=False)
    add = result.add_argument
    add("--nodes", type=int, required=True)
    add("--mib", type=int, required=True)
    add("--mbit", type=int, required=True)
    add("--die", type=int, required=True, help="of a hundred")
    add("--seed", type=int, required=True)
    add("--out", required=True)
    return result


def make_tree(tree, mib):
    """Makes what nodes fetch; returns the checksums of what they check: {path: CRC}."""
    checksums = {}

    def make(path, size):
        data = random.Random(path).randbytes(size)
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        checksums[path] = zlib.crc32(data)

    make("/boot/linux", int(KERNEL * mib * (1 << 20)))
    for name in ("initrd", "diskless-initrd"):
        make(f"/boot/{name}", int(INITRD * mib * (1 << 20)))
    make("/boot/root.squashfs", mib << 20)
    for number in range(-(-mib * 1024 // PACKAGE_KIB)):
        make(f"/mirror/pool/main/package-{number}.deb", PACKAGE_KIB << 10)
    for name in ("undionly.kpxe", "ipxe.efi"):
        make(f"/tftp/{name}", 70 << 10)
    (tree / "mirror.gpg").write_text("a key")
    (tree / "mirror.packages").touch()
    (tree / "kver").write_text("0.0.0\n")
    return checksums


def make_plan(path, count):
    """A plan like that of the project, for more nodes, every other diskless."""
    text = (TOP / "packaging/cluster/cluster.conf").read_text()
    text = re.sub(r"(?m)^most = .*", f"most = {count}", text)
    text = re.sub(r"(?m)^dynamic-range = .*", "dynamic-range = 10.1.2.2 - 10.1.40.254", text)
    names = [f"compute-{rank // 64}-{rank % 64} = diskless\n" for rank in range(1, count, 2)]
    replace(path, text.replace("[modes]\n", "[modes]\n" + "".join(names)))
    return Plan(path)


def shape(interface, mbit):
    """Has an interface send no faster than a wire of so many Mbit/s, small packets first, as Debian's fq_codel has it on every network card;
    not every kernel has that, so it is HTB here."""
    # A frame's gaps and checksum are 24 bytes more than what is counted.
    ethernet = "overhead 24 linklayer ethernet"
    lines = [
        f"qdisc add dev {interface} root handle 1: htb default 20",
        f"class add dev {interface} parent 1: classid 1:1 htb rate {mbit}mbit ceil {mbit}mbit burst 128k cburst 128k {ethernet}",
        f"class add dev {interface} parent 1:1 classid 1:10 htb rate {mbit * 0.1:.1f}mbit ceil {mbit}mbit prio 0 {ethernet}",
        f"class add dev {interface} parent 1:1 classid 1:20 htb rate {mbit * 0.9:.1f}mbit ceil {mbit}mbit burst 128k cburst 128k prio 1 {ethernet}",
        f"filter add dev {interface} parent 1: protocol arp prio 1 u32 match u32 0 0 flowid 1:10",
        f"filter add dev {interface} parent 1: protocol ip prio 2 u32 match ip protocol 17 0xff flowid 1:10",
        # Shorter than 64 bytes: what opens a connection, or acknowledges.
        f"filter add dev {interface} parent 1: protocol ip prio 2 u32 match u16 0 0xffc0 at 2 flowid 1:10",
    ]
    run("tc", "-batch", "-", stdin="\n".join(lines) + "\n")


class Room:
    """The head node, its wire, and the nodes."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = Path(directory)
        self.out = Path(options.out)
        self.rng = random.Random(options.seed)
        self.plan = make_plan(self.directory / "cluster.conf", options.nodes)
        self.checksums = make_tree(self.directory / "tree", options.mib)
        self.nodes = []
        # Once it runs.
        self.head: Any = None
        self.failed = []
        # When, MiB received, MiB of memory, descriptors, seconds of processors.
        self.samples = []
        self.died = []
        self.start = 0.0
        self.shaped = False

    def say(self, text):
        """Prints a line of progress."""
        passed = time.monotonic() - self.start if self.start else 0
        print(f"{passed:7.1f} s  {text}", flush=True)

    def set_up(self):
        """Makes wire and nodes."""
        options = self.options
        set_up_wire(self.plan, 0)
        # Without it each of the nodes would get an announcement of every other's card from its kernel.
        for number in range(options.nodes):
            self.nodes.append(Node(number, self.plan, self.checksums, random.Random(f"{options.seed} {number}")))
        lines = []
        for node in self.nodes:
            at = f"/proc/{os.getpid()}/fd/{node.namespace}"
            lines.append(f"link add port{node.number} type veth peer name {NIC} address {node.mac} netns {at}")
            lines.append(f"link set port{node.number} master wire up")
        run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        if options.mbit:
            shape("wire", options.mbit)
            self.shaped = True
        unlucky = self.rng.sample(self.nodes, round(options.nodes * options.die / 100))
        for node in unlucky:
            node.dies_after = self.rng.randrange(self.bytes_each())

    def bytes_each(self):
        """The bytes that a node fetches, about."""
        return int(self.options.mib * (1 + KERNEL + INITRD) * (1 << 20))

    def start_head(self):
        """Starts a head node, as scripts/head-node does; returns when it serves."""
        command = [sys.executable, "-B", str(TOP / "scripts/serve-nodes"), "--tree", str(self.directory / "tree"), "--plan", str(self.plan.path)]
        with open(self.out / "head-node.log", "ab") as log:
            before = log.tell()
            self.head = subprocess.Popen([*command, "wire", str(self.directory / "head")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while "serving wire" not in (text := (self.out / "head-node.log").read_bytes()[before:].decode(errors="replace")):
            if self.head.poll() is not None or time.monotonic() > end:
                raise UserError(f"the head node does not serve: {(text.splitlines() or ['it gave no reason'])[-1]}")
            time.sleep(0.1)

    def processes(self):
        """The head node and what it has started."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        found = {self.head.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def sample(self):
        """Notes what the head node has of this machine."""
        memory = descriptors = ticks = 0
        for pid in self.processes():
            with contextlib.suppress(OSError, ValueError, IndexError):
                proc = Path("/proc") / str(pid)
                # What is shared with others is not counted twice.
                rollup = (proc / "smaps_rollup").read_text()
                memory += int(rollup.partition("\nPss:")[2].split()[0])
                descriptors += len(list((proc / "fd").iterdir()))
                ticks += sum(map(int, (proc / "stat").read_text().rpartition(")")[2].split()[11:13]))
        received = sum(node.bytes for node in self.nodes)
        when = time.monotonic() - self.start
        self.samples.append((round(when, 2), received >> 20, memory >> 10, descriptors, ticks / os.sysconf("SC_CLK_TCK")))

    async def _watch(self):
        while True:
            self.sample()
            if len(self.samples) % 20 == 0:
                stages = [node.stages[-1][0] if node.stages else "off" for node in self.nodes]
                counted = ", ".join(f"{stages.count(title)} {title}" for title in dict.fromkeys(stages))
                self.say(f"{self.samples[-1][1]} MiB received; {counted}")
            if self.head.poll() is not None:
                raise UserError(f"the head node has ended; its log is {self.out}/head-node.log")
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _switch_on(self, node):
        await asyncio.sleep(self.rng.uniform(0, SWITCHED_ON_WITHIN))
        try:
            await node.run(self._on_death)
        except UserError as error:
            self.failed.append(str(error))
            self.say(f"FAILED: {error}")

    def _on_death(self, node):
        title = node.stages[-1][0]
        self.died.append(title)
        self.say(f"{node.name or f'node {node.number}'} loses its power: {title}, after {node.bytes >> 20} MiB")

    async def storm(self):
        """Switches all nodes on, and waits until they have reported."""
        wire = self.options.nodes * self.bytes_each() * 8 / (self.options.mbit or 1000) / 1e6
        self.start = time.monotonic()
        watcher = asyncio.create_task(self._watch())
        everyone = asyncio.gather(*(self._switch_on(node) for node in self.nodes))
        try:
            async with asyncio.timeout(120 + MAX_WIRE_TIMES * wire):
                await asyncio.wait([watcher, everyone], return_when=asyncio.FIRST_COMPLETED)
                if watcher.done():
                    watcher.result()
        except TimeoutError:
            hanging = [node.name or f"node {node.number}" for node in self.nodes if not node.done]
            self.failed.append(f"{len(hanging)} nodes have not come to an end: {' '.join(hanging[:10])}")
        finally:
            watcher.cancel()
            everyone.cancel()
            with contextlib.suppress(asyncio.CancelledError, UserError):
                await watcher
            with contextlib.suppress(asyncio.CancelledError):
                await everyone
        self.sample()

    def _lost(self, node):
        """Returns the number of lines of a node's log that are missing in its journal."""
        journal = self.directory / "head/nodes" / str(node.name) / "journal"
        text = journal.read_text() if journal.exists() else ""
        return SYSLOG_LINES - len(set(re.findall(rf"line \d+ of {node.name}\n", text)))

    def judge(self):
        """Returns a line for each fault besides nodes that failed."""
        names = [node.name for node in self.nodes if node.name]
        if len(set(names)) != len(names):
            yield "a name was given twice"
        held: dict[bytes, list[str]] = {}
        for node in self.nodes:
            if len(node.secrets) != (1 if node.diskless else 0):
                yield f"{node.name} has got {len(node.secrets)} identities, expected one if it is diskless"
            for secret in node.secrets:
                held.setdefault(secret, []).append(node.name)
        if shared := next((names for names in held.values() if len(names) > 1), None):
            yield f"{' and '.join(shared)} have the same identity"
        # The head node writes what it received with a delay.
        end = time.monotonic() + SETTLE_SECONDS
        while (lost := sum(self._lost(node) for node in self.nodes)) and time.monotonic() < end:
            time.sleep(0.2)
        for node in self.nodes:
            journal = self.directory / "head/nodes" / str(node.name) / "journal"
            text = journal.read_text() if journal.exists() else ""
            if foreign := next((name for name in re.findall(r"line \d+ of (\S+)", text) if name != node.name), None):
                yield f"the journal of {node.name} has a line of {foreign}"
            if not node.diskless and not (self.directory / "head/installed" / str(node.name)).exists():
                yield f"{node.name} is not known as installed"
        if lost:
            yield f"{lost} lines of {SYSLOG_LINES * len(self.nodes)} of the nodes' logs are lost"
        for title, column, limit in (("MiB of memory", 2, MEMORY_MIB), ("descriptors", 3, DESCRIPTORS)):
            most = max(sample[column] for sample in self.samples)
            if most > limit:
                yield f"the head node had {most} {title}, expected {limit} at most"

    def result(self, wrong):
        """The measured figures."""
        ends = [node.stages[-1][1] - self.start for node in self.nodes if node.done]
        received = sum(node.bytes for node in self.nodes)
        seconds = max(ends, default=0)
        wire = received * 8 / (self.options.mbit * 1e6 * PAYLOAD) if self.shaped else None
        stages: dict[str, list[float]] = {}
        for node in self.nodes:
            for (title, begun), (_, over) in zip(node.stages, node.stages[1:], strict=False):
                stages.setdefault(title, []).append(over - begun)
        return {
            "nodes": self.options.nodes,
            "mib_each": self.bytes_each() >> 20,
            "mbit": self.options.mbit,
            "seed": self.options.seed,
            "seconds": round(seconds, 1),
            "seconds_of_the_wire": wire and round(wire, 1),
            "ratio": wire and round(seconds / wire, 3),
            "mib": received >> 20,
            "mbit_reached": round(received * 8 / seconds / 1e6) if seconds else 0,
            "died": len(self.died),
            "retries": sum(node.retries for node in self.nodes),
            "memory_mib": max(sample[2] for sample in self.samples),
            "descriptors": max(sample[3] for sample in self.samples),
            "head_cpu_seconds": round(self.samples[-1][4] - self.samples[0][4], 1),
            "stages": {title: _spread(values) for title, values in stages.items()},
            "failed": self.failed,
            "wrong": wrong,
            "samples": self.samples,
            "timelines": [[(title, round(begun - self.start, 2)) for title, begun in node.stages] for node in self.nodes],
        }

    def stop(self):
        """Ends the head node."""
        if self.head and self.head.poll() is None:
            self.head.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.head.wait(20)
            self.head.kill()
            self.head.wait()


def _spread(values):
    values = sorted(values)
    return {"median": round(statistics.median(values), 2), "95 of 100": round(values[int(len(values) * 0.95)], 2), "most": round(values[-1], 2)}


def table(result):
    """The result as text."""
    lines = [f"{'Phase':24}{'median':>10}{'95 of 100':>11}{'most':>10}   seconds"]
    for title, spread in result["stages"].items():
        lines.append(f"{title:24}{spread['median']:10.2f}{spread['95 of 100']:11.2f}{spread['most']:10.2f}")
    lines.append("")
    rate = f"{result['mbit_reached']} Mbit/s of TCP's payload"
    lines.append(f"{result['nodes']} nodes, {result['mib_each']} MiB each: {result['seconds']} s, {rate}")
    lines.append(f"{result['died']} lost their power and came back; {result['retries']} times something was asked again")
    if result["ratio"]:
        lines.append(f"a wire of {result['mbit']} Mbit/s takes {result['seconds_of_the_wire']} s for it: {result['ratio']} times that")
    used = f"{result['memory_mib']} MiB, {result['descriptors']} descriptors at most, {result['head_cpu_seconds']} s of processors"
    lines.append(f"head node: {used}")
    return "\n".join(lines)


def main(arguments=None):
    """The program."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return ended("test-scale", lambda: measure(options))


def measure(options):
    """Does what the options say; returns the exit status."""
    out = Path(options.out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="scale-") as directory:
        Path(directory).chmod(0o755)
        room = Room(options, directory)
        try:
            room.set_up()
            room.start_head()
            room.say(f"switching on {options.nodes} nodes")
            asyncio.run(room.storm())
            wrong = list(room.judge())
        finally:
            room.stop()
            for name in ("nginx.log", "dnsmasq.log", "nginx.conf", "dnsmasq.conf"):
                with contextlib.suppress(OSError):
                    shutil.copy(room.directory / "head" / name, out)
        result = room.result(wrong)
    replace(out / "result.json", json.dumps(result))
    replace(out / "table.txt", table(result) + "\n")
    print(table(result))
    if result["ratio"] and result["ratio"] > GOAL and result["seconds_of_the_wire"] >= GOAL_FROM:
        wrong.append(f"it took {result['ratio']} times what the wire allows, expected {GOAL} at most")
    for line in [*room.failed, *wrong]:
        print(f"test-scale: not as it should be: {line}", file=sys.stderr)
    return 1 if room.failed or wrong else 0
