# SPDX-License-Identifier: GPL-2.0
"""Faults that a room of machines has, injected into an emulated node; each has the message that must be reported."""

import re
import threading

# After so many packages the download is in full swing.
PACKAGES = 20
LINK_LOST_SECONDS = 30


class Fault:
    """No fault. `expects` is what the error must say; None if the installation must go on."""

    expects: str | None = None
    # How long a node may be silent; None for the usual time.
    silence: int | None = None
    disk_gib: int | None = None
    # Whether it has happened, of those that happen at some time.
    fired = False

    def prepare(self, demo):
        """Before the services start."""

    def on_event(self, demo, node, source, text):
        """Is called with each line of a node's journal."""

    def judge(self, error):
        """The difference of the message from what is expected; None when there is none."""
        text = str(error).splitlines()[0]
        return None if self.expects is None or re.search(self.expects, text) else f"the message is {text!r}, expected {self.expects!r} in it"


class NoDriver(Fault):
    """The initrd does not have the driver: scripts/install-demo gives one without."""

    expects = r"No network interfaces detected.*no driver for its card"


class SmallDisk(Fault):
    """The disk is too small."""

    expects = r"its disk does not hold the system"
    disk_gib = 1


class DhcpRefused(Fault):
    """DHCP ignores the node."""

    expects = r"DHCP has refused it"
    silence = 60

    def prepare(self, demo):
        demo.head.registry.know({})
        demo.head.ignored = (demo.machines[0].mac,)


class Silent(Fault):
    """The node hangs."""

    expects = r"has said nothing for \d+ s, in the phase 'answer file, questions'"

    def on_event(self, demo, _node, source, text):
        # The installer is silent for a minute by itself before it has come so far.
        if source == "http" and text == "200 /preseed":
            self.silence = 20
            demo.machines[0].pause()


class AfterPackages(Fault):
    """Something happens while packages are downloaded."""

    def __init__(self):
        self.packages = 0

    def on_event(self, demo, _node, source, text):
        if source == "http" and text.startswith("200 /mirror/pool/") and ".deb " in text:
            self.packages += 1
            if self.packages == PACKAGES:
                self.fire(demo)

    def fire(self, demo):
        """The fault."""


class MirrorGone(AfterPackages):
    """The mirror goes away."""

    expects = r"the base system could not be downloaded"

    def fire(self, demo):
        demo.say("the mirror goes away")
        demo.head.withdraw("mirror")


class LinkLost(AfterPackages):
    """The cable is out for a while; the installation must go on."""

    def fire(self, demo):
        demo.say(f"the cable is out for {LINK_LOST_SECONDS} s")
        demo.machines[0].ask_card(cmd="link", up=False)
        threading.Timer(LINK_LOST_SECONDS, self._plug_in, [demo]).start()

    @staticmethod
    def _plug_in(demo):
        demo.say("the cable is in again")
        demo.machines[0].ask_card(cmd="link", up=True)
        demo.fault.fired = True


FAULTS = {
    "none": Fault,
    "no-driver": NoDriver,
    "small-disk": SmallDisk,
    "dhcp-refused": DhcpRefused,
    "silent": Silent,
    "mirror-gone": MirrorGone,
    "link-lost": LinkLost,
}
