# SPDX-License-Identifier: GPL-2.0
"""Names and addresses."""

import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

from support import TOP

from archive.errors import UsageError
from cluster.plan import HostRegistry, Plan, fill

NODE_PARTS = ("user-node.sh", "user-home.sh", "home-node.sh", "clock-node.sh")
PLAN = (TOP / "packaging/cluster/cluster.conf").read_text()


class PlanCase(unittest.TestCase):
    """A case with a directory for its plans."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="test-cluster-")
        self.addCleanup(self.dir.cleanup)
        self.path = Path(self.dir.name) / "cluster.conf"

    def plan(self, *changes):
        """The plan of the project with some of its text replaced."""
        text = PLAN
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.path.write_text(text)
        return Plan(self.path)

    def refused(self, *changes):
        """Returns what is said to a wrong plan: one line that names the file."""
        with self.assertRaises(UsageError) as caught:
            self.plan(*changes)
        text = str(caught.exception)
        self.assertEqual(len(text.splitlines()), 1)
        self.assertIn(str(self.path), text)
        return text


class Plans(PlanCase):
    """The file."""

    def test_addresses_go_down_from_the_first(self):
        plan = self.plan()
        self.assertEqual(str(plan.address("compute-0-0")), "10.1.255.254")
        self.assertEqual(str(plan.address("compute-0-1")), "10.1.255.253")
        self.assertEqual(str(plan.address("compute-1-0")), "10.1.255.190")

    def test_names_by_mac_are_read(self):
        plan = self.plan(("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = compute-0-7"))
        self.assertEqual(plan.names, {"52:54:00:81:11:10": "compute-0-7"})

    def test_a_mode_is_that_of_all_or_of_one(self):
        plan = self.plan(("#compute-0-7 = diskless", "compute-0-7 = diskless"))
        self.assertEqual([plan.mode(name) for name in ("compute-0-0", "compute-0-7")], ["install", "diskless"])

    def test_what_is_wrong_is_named(self):
        for change, words in {
            ("head = 10.1.1.1", "head = 10.1.1"): "head",
            ("prefix = 16", "prefix = 40"): "prefix",
            ("first-node = 10.1.255.254", "first-node = 10.2.0.1"): "10.2.0.1",
            ("first-node = 10.1.255.254", "first-node = 10.1.1.5"): "first-node",
            ("cabinet = 0", "cabinet = x"): "cabinet",
            ("most = 64", "most = 64001"): "most",
            # They would come down to where machines without a name are.
            ("most = 64", "most = 300"): "compute-4-0 would get 10.1.254.254",
            ("most = 64", "mots = 64"): "most",
            ("mode = install", "mode = disk"): "'disk'",
            ("#compute-0-7 = diskless", "node7 = diskless"): "node7",
            ("#compute-0-7 = diskless", "compute-0-7 = none"): "compute-0-7",
            ("afterwards = poweroff", "afterwards = off"): "afterwards",
            ("packages =\n", "packages = make --download-only\n"): "packages has '--download-only', expected names of Debian packages",
            ("[names]", "[name]"): "[names]",
            ("admit = all", "admit = some"): "expected all or listed",
            ("slurm = no", "slurm = true"): "expected yes or no",
            ("home = no", "home = nfs"): "home is 'nfs', expected yes or no",
            ("clock = no", "clock ="): "clock is '', expected yes or no",
            ("user =\n", "user = Ann\n"): "user is 'Ann', expected a name of small letters",
            ("user =\n", "user = ann:x\n"): "'ann:x'",
            ("user =\n", "user = daemon\n"): "'daemon'",
            ("uid = 5000", "uid = 0"): "uid is '0', expected a number from 1000 to 59999",
            ("#52:54:00:81:11:10 = compute-0-0", "52:54 = compute-0-0"): "MAC",
            ("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = node1"): "node1",
            # The same address as compute-0-0, and as compute-1-0.
            ("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = compute-0-00"): "compute-0-00",
            ("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = compute-0-64"): "compute-0-64",
            ("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = compute-99999999999-0"): "compute-99999999999-0",
            ("uid = 5000", "uid = \u00b2"): "uid is",
            ("head = 10.1.1.1", "head = 10.1.255.255"): "head is 10.1.255.255, which is no host's address",
            ("10.1.254.2 - 10.1.254.254", "10.1.254.254 - 10.1.254.2"): "dynamic-range ends before it begins",
            ("10.1.254.2 - 10.1.254.254", "10.1.1.0 - 10.1.2.0"): "dynamic-range has 10.1.1.1, which is the head's",
            ("domain = cluster", "domain ="): "domain is '', expected a name of",
            ("domain = cluster", "domain = my cluster"): "domain is 'my cluster'",
            # A line of dnsmasq's, if it were taken.
            ("domain = cluster", "domain = a\n  address=/x/1.2.3.4"): "domain is 'a\\naddress=/x/1.2.3.4'",
            ("domain = cluster", "domain = a..b"): "domain is 'a..b'",
            ("locale = C.UTF-8", "locale = C.UTF-8 init=/bin/sh"): "locale is 'C.UTF-8 init=/bin/sh', expected one word",
            ("suite = trixie", "suite = ../trixie"): "suite is '../trixie', expected one word",
            ("keymap = us", "keymap ="): "keymap is '', expected one word",
            # apt would take the hyphen for an order to remove.
            ("packages =\n", "packages = vim-\n"): "packages has 'vim-', expected names of Debian packages",
            # A group of Debian's own, and a user of one of its packages.
            ("user =\n", "user = operator\n"): "'operator'",
            ("user =\n", "user = dhcpcd\n"): "'dhcpcd'",
        }.items():
            with self.subTest(change):
                self.assertIn(words, self.refused(change))

    def test_a_plan_of_before_has_what_was_so_then(self):
        keys = ("slurm = no\n", "home = no\n", "clock = no\n", "user =\n", "uid = 5000\n")
        plan = self.plan(("admit = all\n", ""), ("[cluster]\n", ""), *((key, "") for key in keys))
        self.assertEqual((plan.listed_only, plan.shares(), plan.packages()), (False, False, []))

    def test_what_is_in_order_is_taken(self):
        for change in (
            ("domain = cluster", "domain = Room-1.example.org"),
            ("timezone = UTC", "timezone = America/Argentina/Buenos_Aires"),
            ("locale = C.UTF-8", "locale = ca_ES.UTF-8@valencia"),
            ("packages =\n", "packages =\n  g++\n  libstdc++6\n"),
            ("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = compute-2-63"),
        ):
            with self.subTest(change):
                self.plan(change)

    def test_the_packages_are_those_of_the_list_and_of_what_all_nodes_have(self):
        plan = self.plan(("packages =\n", "packages = gfortran  chrony\n"), ("clock = no", "clock = yes"), ("home = no", "home = yes"))
        self.assertEqual(plan.packages(), ["gfortran", "chrony", "nfs-common"])
        self.assertEqual(plan.template_variables()["PACKAGES"], "gfortran chrony nfs-common")

    def test_what_is_no_text_is_named(self):
        self.path.write_bytes(b"[network]\nhead = \xff\n")
        with self.assertRaisesRegex(UsageError, f"cannot read {self.path}: it is not text in UTF-8"):
            Plan(self.path)

    def test_a_missing_file_is_named(self):
        with self.assertRaises(UsageError) as caught:
            Plan(self.path / "no")
        self.assertIn("cannot read", str(caught.exception))


class Registers(PlanCase):
    """The names and addresses of nodes."""

    MACS = ("52:54:00:81:11:10", "52:54:00:81:11:11")

    def test_names_come_in_the_order_of_appearance_and_stay(self):
        plan = self.plan()
        path = Path(self.dir.name) / "names"
        registry = HostRegistry(plan, path)
        self.assertEqual([registry.find(mac) for mac in self.MACS], ["compute-0-0", "compute-0-1"])
        again = HostRegistry(plan, path)
        self.assertEqual([again.find(mac.upper()) for mac in reversed(self.MACS)], ["compute-0-1", "compute-0-0"])

    def test_a_name_of_the_plan_is_given_to_nobody_else(self):
        plan = self.plan(("#52:54:00:81:11:10 = compute-0-0", "52:54:00:81:11:10 = compute-0-0"))
        registry = HostRegistry(plan, Path(self.dir.name) / "names")
        self.assertEqual([registry.find(mac) for mac in reversed(self.MACS)], ["compute-0-1", "compute-0-0"])

    def test_the_last_name_is_the_last(self):
        registry = HostRegistry(self.plan(("most = 64", "most = 1")), Path(self.dir.name) / "names")
        self.assertEqual([registry.find(mac) for mac in self.MACS], ["compute-0-0", None])

    def test_a_full_cabinet_is_followed_by_the_next(self):
        plan = self.plan(("most = 64", "most = 66"))
        registry = HostRegistry(plan, Path(self.dir.name) / "names")
        names = [registry.find(f"52:54:00:81:12:{number:02x}") for number in range(67)]
        self.assertEqual(names[62:], ["compute-0-62", "compute-0-63", "compute-1-0", "compute-1-1", None])
        self.assertEqual(len({plan.address(name) for name in names[:66]}), 66)

    def test_a_name_that_cannot_be_written_down_is_not_given(self):
        registry = HostRegistry(self.plan(), Path(self.dir.name) / "names")
        with unittest.mock.patch("cluster.plan.replace", side_effect=OSError(28, "No space left on device")), self.assertRaises(OSError):
            registry.find(self.MACS[0])
        self.assertEqual(registry.names, {})
        self.assertEqual(registry.find(self.MACS[1]), "compute-0-0")

    def test_a_name_that_was_written_in_part_comes_to_one_machine(self):
        registry = HostRegistry(self.plan(), Path(self.dir.name) / "names")
        registry.find(self.MACS[0])
        with unittest.mock.patch("cluster.plan.open", create=True, side_effect=OSError(28, "No space left on device")), self.assertRaises(OSError):
            registry.find(self.MACS[1])
        with open(registry.path, "a", encoding="ascii") as out:
            out.write(f"{self.MACS[1]} comp")
        self.assertEqual(registry.find("52:54:00:81:11:12"), "compute-0-1")
        self.assertEqual(registry.path.read_text(), "52:54:00:81:11:10 compute-0-0\n52:54:00:81:11:12 compute-0-1\n")

    def test_a_room_of_thousands_is_no_work_of_its_square(self):
        plan = self.plan(("prefix = 16", "prefix = 8"), ("10.1.254.2 - 10.1.254.254", "10.254.1.2 - 10.254.1.254"), ("most = 64", "most = 20000"))
        path = Path(self.dir.name) / "names"
        macs = [f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}" for number in range(4000)]
        written = 0

        def count(path, content):
            nonlocal written
            written += len(content)
            path.write_text(content)

        started = time.process_time()
        with unittest.mock.patch("cluster.plan.replace", side_effect=count):
            registry = HostRegistry(plan, path)
            names = [registry.find(mac) for mac in macs]
            again = HostRegistry(plan, path)
        self.assertEqual([again.find(mac) for mac in macs], names)
        self.assertEqual((len(set(names)), names[-1]), (4000, "compute-62-31"))
        self.assertLess(written, 100)
        # It takes a fifth of a second; it took 9 s of a processor when each name was looked for among all, and the file written anew for each.
        self.assertLess(time.process_time() - started, 5)

    def test_what_is_no_mac_address_gets_no_name(self):
        registry = HostRegistry(self.plan(), Path(self.dir.name) / "names")
        self.assertIsNone(registry.find("../../etc/passwd"))
        self.assertFalse(registry.path.exists())


class Kickstarts(PlanCase):
    """The answers of a kickstart file, in the plan."""

    def test_the_file_is_looked_for_beside_the_plan(self):
        self.assertIsNone(self.plan().kickstart)
        self.assertEqual(self.plan(("kickstart =", "kickstart = nodes.cfg")).kickstart, self.path.parent / "nodes.cfg")


class Templates(PlanCase):
    """The values that are filled in."""

    def test_every_template_can_be_filled(self):
        words = {**self.plan().template_variables(), "NODE": "compute-0-0", "INCLUDES": "zstd", "KVER": "7.3.4+deb13-amd64"}
        words |= dict.fromkeys(("MACHINE", "KEY", "HOSTKEY", "MIRRORKEY", "MUNGEKEY", "KICKSTART", "KICKSEED"), "x")
        words |= dict.fromkeys(("USER", "UID", "USERKEY", "USERPUBLIC", "SSHCONFIG"), "x")
        for name in ("boot.ipxe", "install.ipxe", "diskless.ipxe", "diskless-node.sh", "preseed.cfg", "slurm-node.sh", *NODE_PARTS):
            with self.subTest(name):
                text = fill((TOP / "packaging/cluster" / name).read_text(), words)
                self.assertNotRegex(text, "@[A-Z]+@")

    def test_nothing_is_authenticated_by_being_switched_off(self):
        for path in sorted(path for path in (TOP / "packaging/cluster").rglob("*") if path.is_file()):
            self.assertNotIn("unauthenticated", path.read_text())


if __name__ == "__main__":
    unittest.main()
