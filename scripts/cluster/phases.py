# SPDX-License-Identifier: GPL-2.0
"""The phases of an installation, read from a node's journal."""

import re
from dataclasses import dataclass
from pathlib import Path

# Each begins with the first line that matches after the one before has begun: (title, the program of the line, the line).
BEGINNINGS = [
    ("firmware and iPXE", "machine", r"power-on"),
    ("kernel and initrd over HTTP", "http", r"200 /boot/linux"),
    ("installer boots, finds the network", "http", r"sent /boot/initrd"),
    ("answer file, questions", "http", r"200 /preseed"),
    ("installer's parts", "syslog", r"Menu item 'download-installer' selected"),
    ("clock, users", "syslog", r"Menu item '(?:clock-setup|user-setup-udeb|disk-detect)' selected"),
    ("partitions, file system", "syslog", r"Menu item 'partman-base' selected"),
    ("base system: download, extract", "syslog", r"Menu item 'bootstrap-base' selected"),
    ("base system: dpkg", "syslog", r"debootstrap: (?:dpkg: warning: parsing file|Selecting previously)"),
    ("kernel, initramfs", "syslog", r"base-installer: info: (?:Using kernel|preseeded/current kernel)"),
    ("apt", "syslog", r"Menu item 'apt-(?:setup-udeb|mirror-setup)' selected"),
    ("packages", "syslog", r"Menu item 'pkgsel' selected"),
    ("boot loader", "syslog", r"Menu item 'grub-installer' selected"),
    ("end", "syslog", r"Menu item 'finish-install' selected"),
    ("off", "machine", r"power-off"),
]

# The same for a node that is diskless, as far as it sends messages; the last two are seen from outside.
DISKLESS = [
    ("firmware and iPXE", "machine", r"power-on"),
    ("kernel and initrd over HTTP", "http", r"200 /boot/linux"),
    ("kernel, initramfs", "http", r"sent /boot/diskless-initrd"),
    ("root over HTTP", "http", r"200 /boot/root\.squashfs"),
    ("system starts", "http", r"sent /boot/root\.squashfs"),
    ("ssh", "machine", r"login"),
    ("there", "machine", r"answers by ssh"),
]


@dataclass
class Phase:
    """A phase, in seconds since the node was switched on."""

    title: str
    start: float
    end: float
    # What it cost the host's processors; None when it was not counted.
    cpu: float | None = None

    @property
    def seconds(self):
        """Its duration."""
        return self.end - self.start


class PhaseTracker:
    """Finds the phase that a node is in from its journal's lines, as they come."""

    def __init__(self, beginnings=None):
        self.beginnings = beginnings or BEGINNINGS
        self.at = -1
        self.starts = []

    def title(self):
        """The phase that the node is in; None when it is in none."""
        return self.starts[-1][0] if self.starts else None

    def on_event(self, when, source, text):
        """Takes a line; returns the title of the phase that begins with it, if one does. Phases may be left out by a node."""
        for number in range(self.at + 1, len(self.beginnings)):
            title, who, what = self.beginnings[number]
            if who == source and re.search(what, text):
                self.at = number
                self.starts.append((title, when))
                return title
        return None


def read(journal, beginnings=None):
    """The phases in a node's journal; the last, which is that of being off or there, is left out."""
    tracker = PhaseTracker(beginnings)
    costs: list[float | None] = []
    for line in Path(journal).read_text(encoding="utf-8", errors="replace").splitlines():
        when, _, rest = line.partition(" ")
        source, _, text = rest.partition(" ")
        if source == "cpu":
            # Stands behind the line that a phase begins with.
            costs += [None] * (len(tracker.starts) - len(costs) - 1) + [float(text)]
        else:
            tracker.on_event(float(when), source, text)
    starts = tracker.starts
    costs += [None] * (len(starts) - len(costs))
    found = []
    for number, (title, when) in enumerate(starts[:-1]):
        before, after = costs[number], costs[number + 1]
        cpu = None if before is None or after is None else after - before
        found.append(Phase(title, when - starts[0][1], starts[number + 1][1] - starts[0][1], cpu))
    return found
