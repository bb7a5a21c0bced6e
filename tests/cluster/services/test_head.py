# SPDX-License-Identifier: GPL-2.0
"""Tests of what a head node serves, and on which wires it does not."""

import shutil
import unittest

from support import MAC, PLAN, Case, Plan, run, tree

from archive.errors import UsageError, UserError
from cluster import head as head_node
from cluster import wire
from needs import need


class Services(Case):
    """A head node that serves."""

    def test_a_machine_gets_its_script_and_its_answers_and_then_boots_from_its_disk(self):
        head = self.head()
        script = self.get(f"/ipxe?mac={MAC}")[1]
        self.assertIn("hostname=compute-0-0 domain=cluster", script)
        self.assertIn(f"url=https://{PLAN.head}/preseed/compute-0-0", script)
        status, answers = self.secret("/preseed/compute-0-0")
        self.assertEqual(status, 200)
        self.assertIn(f"d-i mirror/http/hostname string {PLAN.head}\n", answers)
        self.assertEqual(self.get("/installed/compute-0-0")[0], 200)
        self.assertIn("booting from disk", self.get(f"/ipxe?mac={MAC}")[1])
        head.stop()
        # The next head node in the same directory knows it too: nothing is erased by starting it again.
        self.head()
        self.assertIn("booting from disk", self.get(f"/ipxe?mac={MAC}")[1])

    def test_a_diskless_node_gets_a_root_and_what_only_it_has(self):
        plan = Plan(PLAN.path)
        plan.modes = {"*": "install", "compute-0-0": "diskless"}
        with self.assertRaises(UserError) as caught:
            self.head(plan)
        self.assertIn("scripts/diskless-tree", str(caught.exception))
        for name in head_node.DISKLESS:
            (self.dir / "tree" / name).write_text("x")
        head = self.head(plan)
        self.assertEqual(self.secret("/node/compute-0-0")[0], 404, "asked by somebody else")
        script = self.get(f"/ipxe?mac={MAC}")[1]
        self.assertIn(f"fetch=http://{PLAN.head}/boot/root.squashfs", script)
        self.assertIn("initrd http://10.1.1.1/pinned/compute-0-0 /node", script)
        node = self.secret("/node/compute-0-0")[1]
        self.assertIn("ssh-ed25519 KEY head node", node)
        self.assertIn("-----BEGIN OPENSSH PRIVATE KEY-----", node)
        self.assertRegex((head.directory / "known_hosts").read_text(), r"compute-0-0,compute-0-0\.cluster,10\.1\.255\.254 ssh-ed25519 ")
        self.assertEqual(self.secret("/node/compute-0-0")[1], node, "the same node at its next boot")
        # The next machine is installed, and has no business there.
        self.be("52:54:00:81:11:11")
        self.assertIn("preseed/compute-0-1", self.get("/ipxe?mac=52:54:00:81:11:11")[1])
        self.assertEqual([self.secret(f"/node/compute-0-{rank}")[0] for rank in (0, 1)], [404, 404])

    def test_what_a_diskless_node_has_of_its_own_comes_into_its_root(self):
        plan = Plan(PLAN.path)
        plan.modes = {"*": "diskless"}
        for name in ("boot/linux", *head_node.DISKLESS):
            (tree(self.dir / "tree") / name).write_text("x")
        self.head(plan)
        self.get(f"/ipxe?mac={MAC}")
        root = self.dir / "root"
        for name in ("etc/apt/trusted.gpg.d", "etc/ssh", "root"):
            (root / name).mkdir(parents=True)
        run("sh", env={"rootmnt": str(root)}, stdin=self.secret("/node/compute-0-0")[1])
        self.assertRegex((root / "etc/machine-id").read_text(), r"^[0-9a-f]{32}\n$")
        self.assertEqual((root / "etc/apt/trusted.gpg.d/cluster-mirror.gpg").read_text(), "its key")
        self.assertEqual((root / "root/.ssh/authorized_keys").read_text(), "ssh-ed25519 KEY head node\n")
        key = root / "etc/ssh/ssh_host_ed25519_key"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertIn("compute-0-0", run("ssh-keygen", "-l", "-f", key))

    def test_a_kickstart_file_is_served_and_its_answers_are_left_out_of_ours(self):
        plan = Plan(PLAN.path)
        plan.kickstart = self.dir / "ks.cfg"
        plan.kickstart.write_text("timezone --utc Europe/Berlin\n%packages\n%end\n")
        shutil.copytree(need(self, "KICKSEED_DIR"), self.dir / "tree/kickseed")
        (self.dir / "tree/kickseed/questions").write_text("clock-setup/utc time/zone")
        self.head(plan)
        script = self.get(f"/ipxe?mac={MAC}")[1]
        self.assertIn(f" ks=https://{PLAN.head}/kickstart/compute-0-0 ", script)
        self.assertIn(f"\ninitrd http://{PLAN.head}/boot/kickseed\n", script)
        self.assertEqual(self.secret("/kickstart/compute-0-0"), (200, "timezone --utc Europe/Berlin\n%packages\n"))
        answers = self.secret("/preseed/compute-0-0")[1]
        self.assertNotIn("time/zone", answers)
        self.assertIn("mirror/http/hostname", answers)

    def test_files_of_the_tree_are_served_and_no_others(self):
        self.head()
        self.assertEqual(self.get("/boot/linux"), (200, "a kernel"))
        self.assertEqual(self.get("/mirror/dists/x"), (200, "x"))
        self.assertEqual(self.get("/key"), (200, "ssh-ed25519 KEY head node\n"))
        outside = ("/boot", "/boot/no", "/kver", "/mirror/../kver", "/mirror/%2e%2e/kver", "/")
        for path in (*outside, "/installed/compute-0-9", "/installed/x", "/begin", "//begin", "/%62egin"):
            with self.subTest(path):
                self.assertEqual(self.get(path)[0], 404)
        self.assertEqual(self.get("/../../etc/passwd")[0], 400)

    def test_a_strange_mac_address_gets_no_name(self):
        head = self.head()
        for mac in ("", "x", "../../x", "52:54:00:81:11"):
            self.assertIn("booting from disk", self.get(f"/ipxe?mac={mac}")[1])
        self.assertEqual(head.registry.names, {})

    def test_tftp_has_the_first_script_and_ipxe(self):
        self.head()
        self.assertIn(f"chain http://{PLAN.head}/ipxe?mac=", run("curl", "-s", f"tftp://{PLAN.head}/boot.ipxe"))
        self.assertEqual(run("curl", "-s", f"tftp://{PLAN.head}/undionly.kpxe"), "iPXE")

    def test_a_machine_is_offered_an_address_a_route_and_a_boot_file(self):
        head = self.head()
        self.assertEqual(self.ask_for_dhcp(), str(PLAN.head))
        log = (head.directory / "dnsmasq.log").read_text()
        self.assertRegex(log, r"DHCPOFFER\(wire\) 10\.1\.254\.")
        self.assertIn(f"option:  3 router  {PLAN.head}", log)
        self.assertIn("bootfile name: undionly.kpxe", log)

    def test_a_port_that_is_taken_is_said(self):
        self.head()
        other = head_node.Head(PLAN, "wire", self.dir / "other", self.dir / "tree", "")
        with self.assertRaises(UserError) as caught:
            other.start()
        self.assertIn("does another program", str(caught.exception))


class Wires(Case):
    """Before a head node serves."""

    def test_nobody_serves_on_a_quiet_wire(self):
        self.assertEqual(self.ask_for_dhcp(), "")

    def test_an_interface_that_is_not_there_is_refused(self):
        with self.assertRaises(UsageError) as caught:
            wire.check_interface("eth9", PLAN, False)
        self.assertIn("there are: wire", str(caught.exception))

    def test_an_interface_without_the_plans_address_is_refused(self):
        run("ip", "address", "flush", "dev", "wire")
        with self.assertRaises(UserError) as caught:
            wire.check_interface("wire", PLAN, False)
        self.assertIn("ip address add 10.1.1.1/16 dev wire", str(caught.exception))

    def test_an_interface_with_the_default_route_is_refused_unless_told(self):
        run("ip", "route", "add", "default", "via", "10.1.9.9", "dev", "wire")
        with self.assertRaises(UserError) as caught:
            wire.check_interface("wire", PLAN, False)
        self.assertIn("default route", str(caught.exception))
        wire.check_interface("wire", PLAN, True)


class Packets(unittest.TestCase):
    """The answers that a DHCP server may give."""

    def test_damaged_answers_are_no_offers(self):
        good = bytearray(wire.discover(7, b"\2\0\0\0\0\1"))
        good[0] = 2
        good[-1:] = bytes((54, 4, 10, 1, 1, 1, 255))
        self.assertEqual(wire.offer(bytes(good), 7), "10.1.1.1")
        self.assertIsNone(wire.offer(bytes(good), 8))
        self.assertIsNone(wire.offer(bytes(good[:239]), 7))
        for cut in range(240, len(good)):
            wire.offer(bytes(good[:cut]), 7)


if __name__ == "__main__":
    unittest.main()
