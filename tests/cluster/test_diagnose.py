# SPDX-License-Identifier: GPL-2.0
"""The messages for the operator."""

import unittest

import support  # noqa: F401

from cluster import diagnose

STATUS = "\x1b[H\x1b[7m[ (1*installer)  2 shell  3 shell  4- log  ][ Nov 22 17:22 ]\r\n\x1b[0m"
QUESTION = "Select your location\r\n--------------------\r\n\r\nContinent or region:\r\n  1: Africa,  2: Asia,\r\nPrompt: '?' for help> \r\n"
MAC = "52:54:00:81:11:10"


class Consoles(unittest.TestCase):
    """The text that the installer's console shows."""

    def test_a_quiet_console_has_nothing_to_tell(self):
        for text in ("", "Configuring the network with DHCP  ... 4%... 100%\r\n" + STATUS):
            self.assertIsNone(diagnose.installer_error(text))

    def test_an_error_is_told_with_what_to_do(self):
        for error, words in {
            "No network interfaces detected": "no driver for its card",
            "Network autoconfiguration failed": "DHCP",
            "Bad archive mirror": "mirror",
            "Failed to install the base system": "base system",
            "Failed to partition the selected disk": "disk",
            "Something that nobody has seen yet": "journal",
        }.items():
            with self.subTest(error):
                text = diagnose.installer_error(f"\x1b[1m!! ERROR: {error}\r\n\r\nSome words.\r\n{STATUS}")
                self.assertIn(error, text)
                self.assertIn(words, text)
                self.assertEqual(len(text.splitlines()), 1)

    def test_a_question_is_told_by_its_title(self):
        for text in (QUESTION, QUESTION + STATUS):
            self.assertIn("'Select your location'", diagnose.installer_error(text))

    def test_a_question_that_was_answered_is_not(self):
        self.assertIsNone(diagnose.installer_error(QUESTION + "Going on\r\nand on\r\nand on\r\n"))


class Silences(unittest.TestCase):
    """Nodes that say nothing."""

    def test_the_phase_is_told(self):
        self.assertIn("in the phase 'boot loader'", diagnose.silence(200, "boot loader", None))

    def test_dhcp_is_told_apart_from_a_cable(self):
        log = f"dnsmasq-dhcp[7]: 1 available DHCP range\ndnsmasq-dhcp[7]: 1 DHCPDISCOVER(wire) {MAC} ignored\n"
        refused = diagnose.dhcp_refusal(log, MAC)
        self.assertIn("ignored", refused)
        self.assertIn("DHCP has refused it", diagnose.silence(60, "firmware and iPXE", refused))
        self.assertIsNone(diagnose.dhcp_refusal(log, "52:54:00:81:11:11"))
        self.assertIn("cable", diagnose.silence(60, None, None))


if __name__ == "__main__":
    unittest.main()
