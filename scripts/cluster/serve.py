# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/head-node, once all that it serves is made."""

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from archive.ends import ended
from archive.errors import UsageError, UserError

from . import head as head_node
from . import phases, wire
from .keys import key_of_root
from .overview import Overview
from .plan import Plan, is_name

SILENCE = 180
POLL = 1


def parser():
    """The options."""
    result = argparse.ArgumentParser(prog="head-node", allow_abbrev=False)
    add = result.add_argument
    add("interface")
    add("directory")
    add("--tree", required=True)
    add("--plan", required=True)
    add("--kickstart")
    add("--default-route", action="store_true")
    add("--dry-run", action="store_true")
    return result


class Watch:
    """The phase of each node."""

    def __init__(self, plan, directory):
        self.plan = plan
        self.overview = Overview(directory)
        # On a terminal the table stays below what has happened.
        self.lines = 0 if sys.stdout is not None and sys.stdout.isatty() else None
        self._printing = threading.Lock()
        self.trackers = {}
        self.warned = set()
        self.done = set()

    def say(self, text):
        """A line for the operator."""
        with self._printing:
            self._clear()
            print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    def _clear(self):
        if self.lines:
            print(f"\x1b[{self.lines}A\x1b[J", end="")
            self.lines = 0

    def show(self):
        """The table, in the place of the one before."""
        if self.lines is None:
            return
        size = shutil.get_terminal_size()
        with self._printing:
            self._clear()
            table = self.overview.table(size.columns)[: size.lines - 2]
            print("\n".join(table), flush=True)
            self.lines = len(table)

    def tell(self, node, text, phase=None):
        """Says that something has happened to a node; notes its phase."""
        self.overview.event(node, text, phase)
        self.say(f"{node}: {text}")

    def on_event(self, node, source, text):
        """Takes a line of a node's journal."""
        self.warned.discard(node)
        if source == "http" and text == "200 /installed":
            self.done.add(node)
            self.tell(node, "installed; goes off, or boots from its disk", "installed")
        elif source == "http" and text == f"sent /{head_node.DISKLESS[1]}":
            self.done.add(node)
            self.tell(node, "has its root; starts its system", "has its root")
        elif source == "ipxe" and is_name(node):
            # It begins anew.
            self.trackers[node] = phases.PhaseTracker(phases.DISKLESS if self.plan.mode(node) == "diskless" else None)
            self.done.discard(node)
            self.tell(node, text, "firmware and iPXE")
        elif source == "http" and text.endswith(head_node.WITHOUT_TLS):
            asked = text[4:].removesuffix(head_node.WITHOUT_TLS)
            self.tell(node, f"asked for {asked} without TLS, and was refused; is its initrd of this head node's tree?")
        elif source == "http" and text.startswith("404"):
            self.tell(node, f"asked for {text[4:]}, which is not here")
        elif node in self.trackers:
            title = self.trackers[node].on_event(time.time(), source, text)
            if title:
                self.tell(node, title, title)

    def check(self, heard):
        """Reports nodes that have fallen silent."""
        for node in self.trackers:
            silent = time.time() - heard.get(node, time.time())
            if silent > SILENCE and node not in self.warned and node not in self.done:
                self.warned.add(node)
                self.tell(node, f"has said nothing for {silent:.0f} s; look at its console", "silent")


def run_head(options):
    """Does what the options say."""
    plan = Plan(options.plan)
    if options.kickstart:
        plan.kickstart = Path(options.kickstart)
    directory = Path(options.directory).resolve()
    watch = Watch(plan, directory)
    if not (Path(options.tree) / "kver").is_file():
        raise UsageError(f"found no tree in {options.tree}; scripts/installer-tree makes it")
    if not (Path(options.tree) / "mirror.packages").is_file():
        about = "whose installer takes answers from wherever a DHCP server says"
        raise UserError(f"the tree {options.tree} is of an older version, {about}; {head_node.made_anew(plan, options.tree)}")
    key = directory / "id.pub"
    head = head_node.Head(plan, options.interface, directory, options.tree, key.read_text() if key.exists() else "", watch.on_event)
    if head.kickstart:
        for line in head.kickstart.complaints:
            print(f"head-node: {head.kickstart.path.name}: {line}", file=sys.stderr)
        watch.say(f"{head.kickstart.path.name}: {len(head.kickstart.complaints)} things in it have no effect")
    head.overview = watch.overview
    wire.check_interface(options.interface, plan, options.default_route)
    other = wire.other_server(options.interface)
    if other:
        raise UserError(
            f"{other} serves DHCP on {options.interface} already: two servers on a wire give nodes wrong answers; switch that off, or use another wire"
        )
    if options.dry_run:
        head.check_tree(mirror_alone=True)
        print(f"# {directory}/dnsmasq.conf\n{head.configuration()}")
        first = plan.name(0)
        scripts = {"boot.ipxe": head.template("boot.ipxe"), "diskless.ipxe": head.template("diskless.ipxe", NODE=first)}
        scripts |= {"install.ipxe": head.install_script(first), "preseed.cfg": head.preseed(first)}
        for name, text in scripts.items():
            print(f"# packaging/cluster/{name}, for the first node\n{text}")
        if head.kickstart:
            print(f"# {head.kickstart.path.name}, as it is served\n{head.kickstart.text}")
        print("# nothing was written or started (--dry-run)")
        return
    directory.mkdir(parents=True, exist_ok=True)
    head.key = key_of_root(directory)
    head.start()
    watch.say(f"serving {options.interface}: DHCP, TFTP, HTTP and names at {plan.head}; switch the nodes on; end with Ctrl-C; http://{plan.head}/status")
    try:
        while True:
            time.sleep(POLL)
            head.check()
            watch.check(dict(head.journal.heard))
            watch.show()
    except KeyboardInterrupt:
        watch.say("ended; nodes that are being installed will fail")
    finally:
        head.stop()


def main(arguments=None):
    """The program."""
    options = parser().parse_args(arguments)

    def end(*_):
        raise KeyboardInterrupt

    def work():
        if os.geteuid():
            raise UserError("must be root: DHCP, TFTP and HTTP have ports below 1024")
        run_head(options)

    signal.signal(signal.SIGTERM, end)
    return ended("head-node", work)
