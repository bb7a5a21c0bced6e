# SPDX-License-Identifier: GPL-2.0
"""scripts/report-card, with a made /sys and stubs for the tools that it calls."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MAC = bytes([0x00, 0xE0, 0x4C, 0x12, 0x34, 0x56])
TEXT = ":".join(f"{byte:02x}" for byte in MAC)
ETHTOOL = """#!/bin/sh
case $1 in
-P) echo "Permanent address: {text}" ;;
-d) printf '{registers}' ;;
-e) printf '{eeprom}' ;;
--show-eee) echo "netlink error: Operation not supported" >&2; exit 95 ;;
*) echo "Settings for {text}" ;;
esac
"""
LSPCI = """#!/bin/sh
echo "$@"
echo "Capabilities: [140] Device Serial Number 56-34-12-ff-fe-4c-e0-00"
"""


def octal(data):
    """Writes bytes as printf of the shell takes them."""
    return "".join(f"\\{byte:03o}" for byte in data)


class ReportCard(unittest.TestCase):
    """A machine with one card, or two."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        self.sys = self.dir / "sys"
        self.card("0000:02:00.0", "eth9")
        (self.dir / "bin").mkdir()
        # The address begins in one line of the dump and ends in the next.
        eeprom = bytes([0x29, 0x81]) + bytes(12) + MAC + bytes(108)
        self.tool("ethtool", ETHTOOL.format(text=TEXT, registers=octal(MAC + bytes(250)), eeprom=octal(eeprom)))
        self.tool("lspci", LSPCI)
        self.tool("mii-tool", "#!/bin/sh\nexit 1\n")
        self.tool("dmesg", f"#!/bin/sh\necho 'r8168_rust eth9: {TEXT.upper()}'\necho 'eth9: fe80::2e0:4cff:fe12:3456'\necho 'other'\n")

    def card(self, address, interface):
        """Makes a card."""
        device = self.sys / "bus/pci/devices" / address
        (device / "net" / interface).mkdir(parents=True)
        (device / "vendor").write_text("0x10ec\n")
        (device / "device").write_text("0x8168\n")
        (device / "net" / interface / "address").write_text(TEXT + "\n")
        net = self.sys / "class/net"
        net.mkdir(parents=True, exist_ok=True)
        (net / interface).symlink_to(device / "net" / interface)
        (device / "net" / interface / "device").symlink_to(device)

    def tool(self, name, text):
        """Makes a stub."""
        path = self.dir / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def run_it(self, *arguments):
        """Runs it; returns status, output and errors."""
        environment = {"PATH": f"{self.dir}/bin:{os.environ['PATH']}", "SYSFS": str(self.sys)}
        done = subprocess.run([TOP / "scripts/report-card", *arguments], cwd=self.dir, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def refused(self, said, status, *arguments):
        """It ends in one line and writes nothing."""
        code, output, error = self.run_it(*arguments)
        self.assertEqual((code, output, len(error.splitlines())), (status, "", 1), error)
        self.assertIn(said, error)
        self.assertEqual(list(self.dir.glob("*.txt*")), [])

    def test_report(self):
        code, output, error = self.run_it("--output", "here.txt")
        self.assertEqual((code, output), (0, ""), error)
        text = (self.dir / "here.txt").read_text()
        for part in (
            "0000:02:00.0",
            "-nnvvv -xxxx -s 0000:02:00.0",
            "0x0000: 00 e0 4c xx xx xx 00",
            "0x0000: 29 81 00",
            "00:E0:4C:xx:xx:xx",
            "(exit status 95)",
        ):
            self.assertIn(part, text)
        self.assertIn("0x0000: 29 81 00 00 00 00 00 00 00 00 00 00 00 00 00 e0\n0x0010: 4c xx xx xx 00", text)
        for secret in ("12:34:56", "12 34 56", "56-34-12", "12:3456", "other"):
            self.assertNotIn(secret, text.lower())
        self.assertEqual([path.name for path in self.dir.glob("here*")], ["here.txt"])

    def test_which_card(self):
        self.card("0000:03:00.0", "eth10")
        self.refused("found several cards", 1)
        self.refused("no card with the PCI id", 1, "0000:04:00.0")
        self.refused("'eth4'", 1, "eth4")
        for name in ("eth10", "0000:03:00.0"):
            code, output, error = self.run_it("--output", "-", name)
            self.assertEqual(code, 0, error)
            self.assertIn("0000:03:00.0, interface eth10", output)

    def test_refusals(self):
        self.refused("no option is called '--nothing'", 2, "--nothing")
        self.refused("needs a file", 2, "--output")
        self.refused("cannot be written", 1, "--output", "no/such/report.txt")
        (self.sys / "bus/pci/devices/0000:02:00.0/device").write_text("0x8169\n")
        self.refused("found no card", 1)

    def test_dry_run(self):
        code, output, error = self.run_it("--dry-run")
        self.assertEqual((code, error), (0, ""))
        self.assertIn("ethtool -d eth9 raw on\n", output)
        self.assertEqual(list(self.dir.glob("*.txt*")), [])
