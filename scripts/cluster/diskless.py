# SPDX-License-Identifier: GPL-2.0
"""Boots emulated nodes that have no disk."""

import re
import time

from archive.errors import UserError

from . import phases, visit
from .demo import Demo

LIMIT = 900
POLL = 0.2
_LOGIN = re.compile(r"^compute-\d+-\d+ login:", re.MULTILINE)


class Diskless(Demo):
    """The head node, and machines that load their root from it."""

    beginnings = phases.DISKLESS
    goal: int | None = 90
    limit = LIMIT
    span = "from power-on to an answer by ssh"
    done = "booted without a disk"

    def __init__(self, options):
        super().__init__(options)
        self.plan.modes = {"*": "diskless"}

    def disk_gib(self):
        """They have none."""
        return 0

    def boot_all(self):
        """Switches all on; returns when they can be logged into."""
        waiting = list(self.machines)
        for machine in self.machines:
            self.head.journal.note(machine.name, "machine", "power-on")
            machine.start("diskless", *self.boot_options())
        while waiting:
            time.sleep(POLL)
            self.head.check()
            waiting = [machine for machine in waiting if not self._is_there(machine)]

    def _do(self):
        self.boot_all()
        for machine in self.machines:
            expected = visit.expected_diskless(self.plan, machine.name, self.head.kver)
            self._look(machine, self.plan.address(machine.name), expected)
        for machine in self.machines:
            self._power_off(machine, self.plan.address(machine.name), "without a disk")

    def _is_there(self, machine):
        """Returns whether a node can be worked on."""
        passed = time.time() - self.start
        if not machine.running() or passed > self.limit * self.options.slow or "BOOT FAILED!" in machine.console_text():
            tail = "\n".join(machine.console_tail())
            raise UserError(f"{machine.name} is not there {passed:.0f} s after power-on; its console ends with:\n{tail}")
        tracker = self.trackers.get(machine.name)
        if not tracker or tracker.title() not in ("system starts", "ssh"):
            return False
        if tracker.title() == "system starts":
            if _LOGIN.search(machine.console_text()):
                self.head.journal.note(machine.name, "machine", "login")
            return False
        status, _ = self.visitor.run(self.plan.address(machine.name), "true", 30)
        if status == 0:
            self.head.journal.note(machine.name, "machine", "answers by ssh")
        return status == 0
