# SPDX-License-Identifier: GPL-2.0
"""Boots emulated nodes from an image that scripts/usb-stick has made."""

import operator
import re
import shutil
import time
from pathlib import Path

from archive.errors import UserError

from . import phases
from .demo import Demo

# From power-on to the installer's network, on a busy machine without KVM.
LIMIT = 570
POLL = 2
# So long has the picture to stay the same to be a question.
STILL = 5
# More bytes than a cursor that blinks has.
CURSOR = 1200
# More than this is ground where there is no box, or a small one.
BARE = 0.86
# The most questions before the network: language, country, keyboard, and some that may come.
QUESTIONS = 8
# So much of what was found is printed.
SAID = 100
ESCAPES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")
# What GRUB and MokManager count, second by second, under a picture that is whole.
COUNTDOWN = re.compile(r"\s*(The highlighted entry will be executed automatically in \d+s\.|Booting in \d+ seconds?)\s*")
# On the console of a machine with Secure Boot, whose installer is to use that and no screen: the kernel's lines, and the installer's.
# It then makes a list of all drivers, which takes minutes in an emulated machine, and asks which is wanted.
SECURE = r"[Ss]ecure boot enabled"
REFUSED = r"Lockdown: \S+: unsigned module loading is restricted[^\r\n]*|Loading of [^\r\n]* is rejected"
LOOKED = r"Detecting network hardware[\s\S]*?100%"
# The menus by which the key of the image is enrolled, GRUB's and those of MokManager, and the keys for them.
ENROL = [
    (r"Secure Boot: enrol the key", ["down", "down", "down", "ret"]),
    (r"Press any key to perform MOK management", ["spc"]),
    (r"Enroll key from disk", ["down", "ret"]),
    (r"R8168_RUST", ["ret"]),
    (r"r8168_rust\.der", ["down", "down", "ret"]),
    (r"Continue", ["down", "ret"]),
    (r"Enroll the key\(s\)\?", ["down", "ret"]),
    (r"Reboot", ["ret"]),
]

# The phases of an installation from a stick: nothing comes by iPXE or HTTP before the installer's own requests.
BEGINNINGS = [
    ("firmware, GRUB, installer's start", "machine", r"power-on"),
    *(phase for phase in phases.BEGINNINGS if phase[1] != "http" and phase[0] != "firmware and iPXE"),
]


class Stick(Demo):
    """The head node, and machines that boot from the image; its answer file has them installed from the head node's mirror."""

    beginnings = BEGINNINGS

    def boot_options(self):
        options = self.options
        words = ["--stick", options.stick, "--slot", options.slot]
        if options.firmware:
            variables = self.artifacts / "variables"
            # What the firmware has noted at a boot is there at the next.
            if not variables.exists():
                shutil.copyfile(options.variables, variables)
            words += ["--firmware", options.firmware, "--variables", variables]
        return words

    def _leased(self, machine):
        """Returns whether DHCP has given the installer, which says what it is, an address."""
        log = (self.artifacts / "dnsmasq.log").read_text(errors="replace")
        asking = set(re.findall(r"(\d+) vendor class: d-i", log))
        given = re.findall(rf"(\d+) DHCPACK\(\S+\) {re.escape(str(self.plan.address(machine.name)))} {machine.mac}", log)
        return any(number in asking for number in given)


class Lease(Stick):
    """The head node, and machines that boot from the image, for a person who presses Enter."""

    done = "found the network"

    def disk_gib(self):
        """They need none."""
        return 0

    def _do(self):
        for machine in self.machines:
            self.head.journal.note(machine.name, "machine", "power-on")
            machine.start("boot", "--screen", *self.boot_options())
            self._answer(machine)
            self._check_card(machine, "before the network was there")
            machine.stop()

    def _answer(self, machine):
        """Takes what each question proposes, until the installer has its address."""
        screen = Screen(machine, self.artifacts)
        asked = 0
        while not self._leased(machine):
            self._check(machine, screen)
            if screen.still() and not (self.artifacts / "menu.png").exists():
                # A countdown in it is no change.
                machine.show(self.artifacts / "menu.png")
            if not screen.asks():
                continue
            asked += 1
            if asked > QUESTIONS:
                raise UserError(f"{machine.name}: the installer has asked {QUESTIONS} questions and has no address; what it showed is in {self.artifacts}")
            machine.show(self.artifacts / f"question-{asked}.png")
            self.say(f"{machine.name}: question {asked} is answered")
            machine.press("ret")
            screen.forget()
        self.say(f"{machine.name}: the installer has its address, after {asked} questions")
        self.head.journal.note(machine.name, "machine", "power-off")
        screen.forget()
        while not screen.asks():
            self._check(machine, screen)
        machine.show(self.artifacts / "network.png")

    def _check(self, machine, screen):
        time.sleep(POLL)
        self.head.check()
        passed = time.time() - self.start
        if not machine.running() or passed > LIMIT * self.options.slow:
            machine.show(self.artifacts / "end.png")
            raise UserError(f"{machine.name} has no address {passed:.0f} s after power-on; the last that it showed is {self.artifacts}/end.png")
        screen.look()

    def lost(self):
        """Names the picture that is missing, if it is."""
        return () if Path(self.artifacts / "network.png").exists() else ("network.png was not kept",)

    def report(self):
        """Reports no phases: there was no installation."""


class Secure(Stick):
    """The head node, and machines with Secure Boot on that boot from the image."""

    done = "took no module but what is signed by a key of theirs"

    def disk_gib(self):
        """They need none."""
        return 0

    def _do(self):
        for machine in self.machines:
            self._refuses(machine)
            if self.options.secure == "signed":
                self._enrols(machine)
                self._takes(machine)

    def _boot(self, machine, name):
        """Switches a machine on and waits for GRUB's menu; returns its console."""
        self.start = time.time()
        self.head.journal.note(machine.name, "machine", "power-on")
        machine.start(name, *self.boot_options())
        console = Console(machine, self.head.check, LIMIT * self.options.slow)
        console.wait_for("Expert install")
        self.say(f"{machine.name}: GRUB's menu")
        return console

    def _refuses(self, machine):
        """The installer runs and has no network: its kernel does not take the module."""
        console = self._boot(machine, "refused")
        machine.press("ret")
        for what in (SECURE, REFUSED, LOOKED):
            console.wait_for(what)
            self.say(f"{machine.name}: {console.found}")
        if self._leased(machine):
            self.wrong.append(f"{machine.name}: has its address by a module that its kernel should not have taken")
        machine.stop()

    def _enrols(self, machine):
        """The key is enrolled by the menu of the image, as a person would."""
        console = self._boot(machine, "enrol")
        for shown, keys in ENROL:
            console.wait_for(shown)
            self.say(f"{machine.name}: {console.found}")
            machine.press(*keys)
        console.wait_for_end()
        self.say(f"{machine.name}: starts anew")
        machine.stop()

    def _takes(self, machine):
        """The installer has its network now."""
        console = self._boot(machine, "taken")
        machine.press("ret")
        console.wait_for(SECURE)
        console.wait(lambda: self._leased(machine), "its address")
        self.say(f"{machine.name}: the installer has its address")
        if re.search(REFUSED, console.text()):
            self.wrong.append(f"{machine.name}: its kernel refused a module although the key is enrolled")
        self._check_card(machine, "before the network was there")
        machine.stop()

    def lost(self):
        """Names the machines whose console was not kept; where there is no network there is nothing else."""
        return (f"nothing was kept in {machine.directory}/*-console.log" for machine in self.machines if not any(machine.directory.glob("*-console.log")))

    def report(self):
        """Reports no phases: there was no installation."""


class Console:
    """The serial console of a machine: `check` is called while it is waited for, at most for `limit` seconds in all."""

    def __init__(self, machine, check, limit):
        self._machine = machine
        self._check = check
        self._end = time.monotonic() + limit
        self._limit = limit
        self._seen = 0
        self.found = ""

    def text(self):
        """All of it, without what moves the cursor, and what counts down."""
        return COUNTDOWN.sub("", ESCAPES.sub("", self._machine.console_text()))

    def wait_for(self, pattern):
        """Waits for what matches, behind what was waited for before, and until the picture is whole."""
        self.wait(lambda: self._match(pattern), f"'{pattern}'")
        before = -1
        while before != len(self.text()) and self._machine.running():
            before = len(self.text())
            time.sleep(POLL)

    def wait(self, there, what):
        """Waits until something is there."""
        while not there():
            if not self._machine.running():
                raise UserError(f"{self._machine.name} went off, and had not shown {what}; its console is {self._machine.console}")
            self._pause(what)

    def wait_for_end(self):
        """Waits until the machine goes off."""
        while self._machine.running():
            self._pause("its end")

    def _pause(self, what):
        if time.monotonic() > self._end:
            raise UserError(f"{self._machine.name} has not shown {what} {self._limit:.0f} s after power-on; its console is {self._machine.console}")
        self._check()
        time.sleep(POLL)

    def _match(self, pattern):
        match = re.search(pattern, self.text()[self._seen :])
        if match:
            self._seen += match.end()
            self.found = " ".join(match[0].split())[:SAID]
        return match


class Screen:
    """The screen of a machine: whether the installer asks something there."""

    def __init__(self, machine, directory):
        self._machine = machine
        self._file = Path(directory) / "screen.ppm"
        self._last = b""
        self._since = time.monotonic()

    def look(self):
        """Looks at it."""
        self._machine.show(self._file)
        now = self._file.read_bytes()
        if now != self._last and (len(now) != len(self._last) or _differing(now, self._last) > CURSOR):
            self._since = time.monotonic()
            self._last = now

    def forget(self):
        """Takes the present picture for one that was answered."""
        self._since = time.monotonic()

    def still(self):
        """Returns whether something stands on it for a while, were it white on black."""
        return self._stands() and self._part(b"\0\0\0") < 0.98

    def asks(self):
        """Returns whether a question is on the screen: a box on colour. Without a box the installer is at work, and one with a bar is smaller."""
        return self._stands() and self._part(b"\0\0\0") < 0.25 and self._part(self._corner()) < BARE

    def _stands(self):
        """Returns whether it stays as it is."""
        return bool(self._last) and time.monotonic() - self._since > STILL

    def _corner(self):
        """The colour of the upper left corner: that of the ground."""
        return self._last.split(b"\n", 3)[3][:3]

    def _part(self, colour):
        """Returns the share of it that has a colour."""
        return 3 * self._last.count(colour) / len(self._last)


def _differing(one, other):
    """Returns the number of bytes that differ."""
    return sum(map(operator.ne, one, other))
