# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/install-nodes."""

import argparse
import signal
import sys
from pathlib import Path

from archive.errors import UserError

from .computing import ComputingDiskless, ComputingInstalled
from .demo import Demo
from .diskless import Diskless
from .faults import FAULTS
from .stick import Lease, Secure, Stick

TOP = Path(__file__).resolve().parents[2]

# Above that a machine is not slow but broken.
MOST_SLOW = 99
HELP = "Installs emulated nodes from bare metal, by the services of a head node, in a network namespace of its own."


def factor(text):
    """Reads a factor for limits of time."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_SLOW:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 to {MOST_SLOW}")
    return int(text)


def parser():
    """The options; scripts/install-demo gives them."""
    result = argparse.ArgumentParser(prog="install-nodes", description=HELP, allow_abbrev=False)
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
    add("--compute", action="store_true", help="the nodes compute together once they are up; scripts/cluster-demo serves the queue")
    add("--stick", metavar="IMAGE", help="the nodes boot from this, which scripts/usb-stick has made, and not over the network")
    add("--slot", choices=("usb", "cd"), default="usb", help="what that is to them (default %(default)s)")
    add("--firmware", metavar="FILE", help="UEFI, in place of a BIOS: its code")
    add("--variables", metavar="FILE", help="and its variables")
    add("--lease", action="store_true", help="with --stick: only until the installer has its network, by the keys of a person who takes what is proposed")
    add("--secure", choices=("unsigned", "signed"), help="with --stick: Secure Boot is on in the variables, and this is what the module of the image is")
    add("--slow", metavar="N", type=factor, default=1, help="multiplies the limits of time of boots and installations, not of jobs (default %(default)s)")
    add("--fault", choices=FAULTS, default="none", help="the fault to inject into the first node; fails unless it is reported")
    return result


def kind(options) -> type[Demo]:
    """Returns which of the demos the options ask for."""
    if options.compute:
        return ComputingDiskless if options.diskless else ComputingInstalled
    if options.diskless:
        return Diskless
    if options.stick:
        if options.secure:
            return Secure
        return Lease if options.lease else Stick
    return Demo


def main(arguments=None):
    """The program."""
    options = parser().parse_args(arguments)
    demo: Demo | None = None
    # No node may outlive this.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo = kind(options)(options)
        try:
            demo.run()
        finally:
            demo.report()
    except UserError as error:
        wrong = demo.fault.judge(error) or next(demo.lost(), None) if demo and demo.fault.expects else None
        if demo and demo.fault.expects and not wrong:
            print(f"install-nodes: reported to the operator: {error}")
            return 0
        print(f"install-nodes: error: {error}" + (f"\n{wrong}" if wrong else ""), file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"install-nodes: error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install-nodes: error: interrupted; the nodes are switched off", file=sys.stderr)
        return 130
    return verdict(demo)


def verdict(demo):
    """Reports the outcome; returns the exit status."""
    faulty = demo.options.fault != "none"
    demo.wrong += [*demo.lost(), *([] if demo.fault.fired or not faulty else [f"the fault '{demo.options.fault}' did not fire"])]
    for line in demo.wrong:
        print(f"install-nodes: not as it should be: {line}", file=sys.stderr)
    print("-" * 72)
    if demo.fault.expects:
        print(f"install-nodes: error: installed in spite of the fault '{demo.options.fault}'", file=sys.stderr)
        return 1
    print(
        f"r8168_rust: {len(demo.machines)} node(s) {demo.done}; "
        + (f"{len(demo.wrong)} things are not as they should be" if demo.wrong else "all checks passed")
    )
    return 1 if demo.wrong and (demo.options.test or faulty) else 0
