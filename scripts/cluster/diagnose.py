# SPDX-License-Identifier: GPL-2.0
"""Messages for the operator about an installation that does not go on: the cause, and what to do."""

import itertools
import re

# How the installer's text frontend marks an error that it waits with.
_ERROR = re.compile(r"!! ERROR: (.+)")
# What it asks ends so.
_PROMPT = re.compile(r"Prompt: '\?' for help")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\x0f]")
_HINTS = (
    (r"No network interfaces", "the initrd has no driver for its card; put one in: scripts/inject-initrd --module"),
    (r"(?:Network autoconfiguration|DHCP)", "no server answers its DHCP requests; does the head node know its MAC address, is the cable in?"),
    (
        r"(?:Bad archive mirror|Failed to (?:load|download|retrieve)|Download)",
        "it cannot load from the mirror; is the head node reachable, was it signed with the key in the initrd?",
    ),
    (
        r"(?:base system|debootstrap|Debootstrap)",
        "the base system could not be downloaded or unpacked; is the mirror still there? the reason is in the journal",
    ),
    (r"(?:Not enough|too small|failed to partition|partition|usable space)", "its disk does not hold the system; it needs 3 GB"),
    (r"(?:install the selected kernel|kernel)", "the kernel could not be installed; the reason is in the journal"),
    (r"(?:GRUB|grub|boot loader)", "the boot loader could not be written to its first disk"),
)


def installer_error(console):
    """The installer's error on a console, in one line; None when there is none."""
    text = _ESCAPES.sub("", console)
    match = _ERROR.search(text)
    if not match:
        return _question(text)
    error = match[1].strip().rstrip(".")
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, error)), "its console and journal say more")
    return f"the installer has stopped: {error}: {hint}"


def _question(text):
    """The title of a question that waits for an answer."""
    lines = text.rstrip().splitlines()
    # Behind it there may be the status line of screen.
    if not any(_PROMPT.search(line) for line in lines[-3:]):
        return None
    titles = [line for line, under in itertools.pairwise(lines) if under and set(under) == {"-"}]
    return f"the installer asks '{titles[-1].strip() if titles else '?'}', which packaging/cluster/preseed.cfg does not answer"


def silence(seconds, phase, refused):
    """Returns why a node may have fallen silent in a phase; `refused` is whether DHCP has ignored it."""
    if phase in (None, "firmware and iPXE"):
        if refused:
            return f"has asked for an address, and DHCP has refused it: its MAC address is ignored in dnsmasq's configuration ({refused})"
        return f"has not asked the head node for anything in {seconds:.0f} s since it was switched on: look at its cable, and whether it boots from the network"
    return f"has said nothing for {seconds:.0f} s, in the phase '{phase}'; look at its console"


def dhcp_refusal(log, mac):
    """The line of dnsmasq's log about a machine that it ignores; None when there is none."""
    found = [line for line in log.splitlines() if mac in line and line.endswith("ignored")]
    return found[-1][found[-1].index("DHCP", found[-1].index("]:")) :] if found else None
