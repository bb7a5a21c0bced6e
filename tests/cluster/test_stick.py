# SPDX-License-Identifier: GPL-2.0
"""Tests of how machines that boot from a stick are followed on their console. No machine is started."""

import argparse
import tempfile
import types
import unittest
import unittest.mock
from pathlib import Path

import support  # noqa: F401

from archive.errors import UserError
from cluster import install_cli, stick
from cluster.stick import Console, Secure

MENU = "\x1b[2J\x1b[01;01HInstall (with the driver)\x1b[05;03HExpert install\x1b[0m"
KERNEL = "[    0.000000] secureboot: Secure boot enabled\r\n"
REFUSED = "[   12.3] Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7\r\n"
LOOKED = "Detecting network hardware  ... 2%... 95%... 100%\r\n"
GIVEN = """\
1 vendor class: d-i
1 DHCPACK(port0) 10.1.255.254 52:54:00:81:11:10 compute-0-0
"""


class Node:
    """A machine of which there is only the console; with a text for each run of it, after which it goes off if it is to."""

    name = "compute-0-0"
    mac = "52:54:00:81:11:10"

    def __init__(self, directory, texts, leases=(), goes_off=()):
        self.directory = Path(directory)
        self.console = self.directory / "none"
        self.texts, self.leases, self.goes_off = texts, leases, goes_off
        self.runs, self.pressed = [], []

    def start(self, run, *_):
        self.runs.append(run)
        self.console = self.directory / f"{run}-console.log"
        self.console.write_text(self.texts[run])
        (self.directory / "dnsmasq.log").write_text(GIVEN if run in self.leases else "")

    def console_text(self):
        return self.console.read_text()

    def running(self):
        return self.runs[-1] not in self.goes_off

    def press(self, *keys):
        self.pressed.append(keys)

    def ask_card(self, **_):
        return {"counters": {"violations": 0, "dma_faults": 0}}

    def stop(self):
        pass


class SecureBoot(unittest.TestCase):
    """Behaviour with machines that do as they should, and with such that do not."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="test-stick-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        for name, value in {"POLL": 0.01, "LIMIT": 0.3}.items():
            patch = unittest.mock.patch.object(stick, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_secure(self, kind, texts, **more):
        """Goes through the boots; returns the machine and what was not as it should be."""
        node = Node(self.dir, texts, **more)
        secure = Secure.__new__(Secure)
        secure.options = types.SimpleNamespace(secure=kind, slow=1, stick="image", slot="usb", firmware=None)
        secure.artifacts, secure.machines, secure.wrong = self.dir, [node], []
        secure.say = lambda text: None
        secure.plan = types.SimpleNamespace(address=lambda name: "10.1.255.254")
        secure.head = types.SimpleNamespace(check=lambda: None, journal=types.SimpleNamespace(note=lambda *words: None))
        secure._do()
        return node, secure.wrong

    def enrol(self):
        """The console while a key is enrolled."""
        return (
            MENU
            + "Secure Boot: enrol the key of the driver"
            + "".join(
                f"\x1b[01;01H{text}"
                for text in (
                    "Press any key to perform MOK management",
                    "Enroll key from disk",
                    "R8168_RUST",
                    "r8168_rust.der",
                    "Continue",
                    "Enroll the key(s)?",
                    "Reboot",
                )
            )
        )

    def test_an_unsigned_module_is_refused(self):
        node, wrong = self.run_secure("unsigned", {"refused": MENU + KERNEL + REFUSED + LOOKED})
        self.assertEqual((node.runs, node.pressed, wrong), (["refused"], [("ret",)], []))

    def test_one_that_is_not_refused_is_noticed(self):
        with self.assertRaisesRegex(UserError, "has not shown 'Lockdown"):
            self.run_secure("unsigned", {"refused": MENU + KERNEL + LOOKED})
        _, wrong = self.run_secure("unsigned", {"refused": MENU + KERNEL + REFUSED + LOOKED}, leases=["refused"])
        self.assertIn("should not have taken", wrong[0])

    def test_a_machine_without_secure_boot_is_noticed(self):
        with self.assertRaisesRegex(UserError, "ecure boot enabled"):
            self.run_secure("unsigned", {"refused": MENU + REFUSED + LOOKED})

    def test_a_key_is_enrolled(self):
        texts = {"refused": MENU + KERNEL + REFUSED + LOOKED, "enrol": self.enrol(), "taken": MENU + KERNEL}
        with self.assertRaisesRegex(UserError, "its end"):
            self.run_secure("signed", texts, leases=["taken"])
        node, wrong = self.run_secure("signed", texts, leases=["taken"], goes_off=["enrol"])
        self.assertEqual((node.runs, wrong), (["refused", "enrol", "taken"], []))
        self.assertEqual(node.pressed, [("ret",), *(tuple(keys) for _, keys in stick.ENROL), ("ret",)])

    def test_a_module_that_is_refused_with_the_key_is_noticed(self):
        texts = {"refused": MENU + KERNEL + REFUSED + LOOKED, "enrol": self.enrol(), "taken": MENU + KERNEL + REFUSED}
        with self.assertRaisesRegex(UserError, "its address"):
            self.run_secure("signed", texts, goes_off=["enrol"])
        _, wrong = self.run_secure("signed", texts, leases=["taken"], goes_off=["enrol"])
        self.assertIn("although the key is enrolled", wrong[0])

    def test_a_countdown_does_not_keep_a_picture_from_being_whole(self):
        for counting in ("\x1b[48;01H   The highlighted entry will be executed automatically in 29s.  \x1b[05;78H", "\x1b[10;01HBooting in 9 seconds  "):
            with self.subTest(counting):
                node = Node(self.dir, {"run": MENU})
                node.start("run")
                seconds = iter(range(200))
                text = node.console_text

                def counts(text=text, node=node, seconds=seconds, counting=counting):
                    if next(seconds, None) is None:
                        raise AssertionError("the picture is not taken for whole")
                    node.console.write_text(text() + counting)
                    return text()

                node.console_text = counts
                Console(node, lambda: None, 1).wait_for("Expert install")

    def test_what_was_waited_for_before_does_not_count(self):
        node = Node(self.dir, {"run": "Continue boot"})
        node.start("run")
        console = Console(node, lambda: None, 0.1)
        console.wait_for("Continue")
        with self.assertRaisesRegex(UserError, "has not shown 'Continue'"):
            console.wait_for("Continue")


class Slow(unittest.TestCase):
    """The factor for limits of time."""

    def test_it_is_a_number(self):
        self.assertEqual(install_cli.factor("3"), 3)
        for text in ("0", "-1", "x", "1.5", "100", ""):
            with self.subTest(text), self.assertRaises(argparse.ArgumentTypeError):
                install_cli.factor(text)


if __name__ == "__main__":
    unittest.main()
