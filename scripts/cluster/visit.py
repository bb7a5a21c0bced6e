# SPDX-License-Identifier: GPL-2.0
"""Visits an installed node by ssh, and judges what is found there."""

import subprocess
import time

from archive.errors import UserError

# Each line that this prints is `what: value`.
LOOK = r"""
tell() { printf '%s: %s\n' "$1" "$(echo $2)"; }
kver=$(uname -r)
module=/usr/lib/modules/$kver/updates/r8168_rust.ko
nic=$(basename "$(dirname "$(ls -d /sys/class/net/*/device | head -n 1)")")
tell name "$(hostname)"
tell 'full name' "$(hostname --fqdn)"
tell kernel "$kver"
tell 'network cards' "$(ls -d /sys/class/net/*/device | wc -l)"
tell driver "$(basename "$(readlink -f /sys/class/net/$nic/device/driver/module)")"
tell address "$(ip -4 -brief address show "$nic" | awk '{ print $3 }')"
tell route "$(ip route show default | awk '{ print $3 }')"
tell "module's package" "$(dpkg -S "$module" | cut -d: -f1)"
tell "module's contents" "$(dpkg --verify "$(dpkg -S "$module" | cut -d: -f1)" || echo changed)"
tell "modprobe finds" "$(modinfo -F filename r8168_rust)"
tell 'package states' "$(dpkg-query -W -f '${db:Status-Abbrev}\n' | sort | uniq -c)"
tell 'dpkg --audit' "$(dpkg --audit 2>&1)"
tell 'apt-get update' "$(apt-get -qq update 2>&1 && echo fine)"
tell 'to be upgraded' "$(apt-get -qq --simulate dist-upgrade | grep -c ^Inst)"
tell 'apt sources' "$(grep -rhv '^ *#' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | grep .)"
tell 'unchecked sources' "$(apt-config dump | grep -iE 'unauthenticated|insecure' | grep -iE '"(true|1|yes)"'; grep -rh trusted= /etc/apt)"
tell locale "$(. /etc/default/locale; echo $LANG)"
tell initramfs "$(ls /boot/initrd.img-$kver)"
tell 'system state' "$(timeout 120 systemctl is-system-running --wait)"
tell 'failed units' "$(systemctl --failed --plain --no-legend | awk '{ print $1 }')"
tell 'kernel errors' "$(dmesg --facility kern --level emerg,alert,crit,err --notime)"
tell 'left from the installation' "$(ls -d /var/tmp/dpkg-eatmydata-wrapper /etc/apt/apt.conf.d/*eatmydata /etc/dpkg/dpkg.cfg.d/force-unsafe-io 2>/dev/null)"
tell root "$(findmnt --noheadings --output FSTYPE /)"
tell 'disk' "$(df -h / | awk 'NR == 2 { print $3, "of", $2 }')"
"""


class Visitor:
    """A way to get into nodes: the head node's key, or that of another user. `connect` is how long they may take to answer, in seconds."""

    def __init__(self, key, known_hosts, user="root", connect=5):
        self.user = user
        self.options = ["-i", str(key), "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known_hosts}"]
        self.options += ["-o", f"ConnectTimeout={connect}", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]

    def run(self, address, script, seconds=300):
        """Runs a script there; returns its exit status and its output."""
        try:
            done = subprocess.run(
                ["ssh", *self.options, f"{self.user}@{address}", "sh -s"], input=script, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return 255, f"no answer within {seconds} s"
        return done.returncode, done.stdout if done.returncode == 0 else done.stderr.strip() or done.stdout

    def wait(self, address, seconds, alive):
        """Waits until a node lets us in."""
        end = time.monotonic() + seconds
        while True:
            status, text = self.run(address, "true", 30)
            if status == 0:
                return
            if time.monotonic() > end or not alive():
                raise UserError(f"{address} does not answer by ssh within {seconds} s: {(text.splitlines() or ['no reason given'])[-1]}")
            time.sleep(1)

    def look(self, address, script=LOOK):
        """The findings of a script on a node, by name."""
        status, text = self.run(address, script)
        if status:
            raise UserError(f"{address} cannot be looked at: {(text.splitlines() or ['no reason given'])[-1]}")
        return dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in text.splitlines())


def expected(plan, name, kver):
    """The findings that a node must have; a function judges what has no single right value."""
    address = plan.address(name)
    return {
        "name": name,
        "full name": f"{name}.{plan.domain}",
        "kernel": kver,
        "network cards": "1",
        "driver": "r8168_rust",
        "address": f"{address}/{plan.prefix}",
        "route": str(plan.head),
        "module's package": f"r8168-rust-modules-{kver}",
        "module's contents": "",
        "modprobe finds": lambda value: value.endswith("/updates/r8168_rust.ko"),
        "package states": lambda value: value.split()[1:] == ["ii"],
        "dpkg --audit": "",
        "apt-get update": "fine",
        "to be upgraded": "0",
        "unchecked sources": "",
        "locale": plan.installation["locale"],
        "initramfs": f"/boot/initrd.img-{kver}",
        "system state": "running",
        "failed units": "",
        "kernel errors": "",
        "left from the installation": "",
        "root": "ext4",
    }


def expected_diskless(plan, name, kver):
    """The same for a node that has no disk."""
    different = {"root": "overlay", "locale": None, "initramfs": ""}
    return {what: value for what, value in {**expected(plan, name, kver), **different}.items() if value is not None}


def judge(found, wanted):
    """The findings that are not as they must be: a line for each."""
    lines = []
    for what, right in wanted.items():
        value = found.get(what)
        fine = right(value or "") if callable(right) else value == right
        if not fine:
            lines.append(f"{what} is {value!r}" + ("" if callable(right) else f", expected {right!r}"))
    return lines
