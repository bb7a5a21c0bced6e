# SPDX-License-Identifier: GPL-2.0
"""The web server of a head node: files, and whom it answers."""

import os
import tempfile
import time
import unittest
from pathlib import Path

from support import MAC, PLAN, TOP, Case, Plan, tree

from archive.errors import UserError
from cluster import web
from cluster.head import Head
from cluster.overview import Overview

OTHER = "52:54:00:81:11:11"
SIZE = 3 << 20


class Files(Case):
    """Files of the tree."""

    def journal(self, name, wanted):
        """The journal of a node, once it has a line; what nginx has sent is noted a moment later."""
        path = self.dir / "head/nodes" / name / "journal"
        end = time.monotonic() + 5
        while True:
            text = path.read_text() if path.exists() else ""
            if wanted in text or time.monotonic() > end:
                return text
            time.sleep(0.02)

    def big_file(self):
        """A file that takes some time."""
        content = os.urandom(SIZE)
        path = self.dir / "tree/boot/big"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return content

    def test_a_part_of_a_file_and_several_files_over_one_connection(self):
        content = self.big_file()
        self.head()
        out = self.dir / "out"
        self.assertEqual(self.get("/boot/big", "--output", out, "--range", "1000000-1000099")[0], 206)
        self.assertEqual(out.read_bytes(), content[1000000:1000100])
        self.assertEqual(self.get("/boot/big", "--output", out)[0], 200)
        self.assertEqual(out.read_bytes(), content)
        verbose = self.inside("sh", "-c", f"curl -sv http://{PLAN.head}/boot/linux http://{PLAN.head}/mirror/dists/x 2>&1")
        self.assertIn("Re-using existing", verbose)

    def test_what_is_sent_is_noted_with_its_beginning_and_its_end(self):
        self.big_file()
        self.head()
        self.get(f"/ipxe?mac={MAC}")
        self.get("/boot/big", "--output", self.dir / "out")
        lines = [line.split(" ", 1)[1] for line in self.journal("compute-0-0", "sent").splitlines()]
        self.assertEqual(lines[1:], [f"http 200 /boot/big {SIZE}", "http sent /boot/big"])
        self.get("/mirror/dists/x")
        self.assertIn("http 200 /mirror/dists/x 1\n", self.journal("compute-0-0", "/mirror"))
        self.get("/mirror/no")
        self.assertIn("http 404 /mirror/no\n", self.journal("compute-0-0", "/mirror/no"))

    def test_what_breaks_off_is_noted(self):
        self.big_file()
        self.head()
        self.get(f"/ipxe?mac={MAC}")
        with self.assertRaises(UserError):
            self.get("/boot/big", "--limit-rate", "300k", "--max-time", "0.5", "--output", self.dir / "out")
        self.assertRegex(self.journal("compute-0-0", "broken off"), r"broken off /boot/big after \d+ bytes\n")

    def test_the_mirror_can_be_taken_away(self):
        head = self.head()
        self.assertEqual(self.get("/mirror/dists/x")[0], 200)
        head.withdraw("mirror")
        end = time.monotonic() + 5
        while self.get("/mirror/dists/x")[0] != 404:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.get("/boot/linux")[0], 200)

    def test_what_reads_requests_has_no_rights(self):
        head = self.head()
        master = head.web.process.pid
        workers = [path.parent for path in Path("/proc").glob("[0-9]*/stat") if path.read_text().rpartition(")")[2].split()[1] == str(master)]
        self.assertEqual(len(workers), 2)
        for worker in workers:
            status = dict(line.split(":\t", 1) for line in (worker / "status").read_text().splitlines())
            if web.mapped(web.UID):
                self.assertEqual((set(status["Uid"].split()), set(status["Groups"].split())), ({str(web.UID)}, {str(web.UID)}))
            # By number: 10 is that to serve on a port below 1024.
            self.assertEqual(int(status["CapEff"], 16) & ~(1 << 10), 0)

    def test_nginx_that_ends_is_reported(self):
        head = self.head()
        head.web.process.kill()
        head.web.process.wait()
        with self.assertRaisesRegex(UserError, "nginx has ended"):
            head.check()

    def test_a_tree_in_this_checkout_is_served(self):
        # The way to it is bubblewrap's, which lets only root pass.
        top = TOP / "build"
        top.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="test-tree-", dir=top) as name:
            Path(name).chmod(0o755)
            head = Head(PLAN, "wire", self.dir / "head", tree(Path(name)), "a key")
            head.start()
            self.addCleanup(head.stop)
            self.assertEqual(self.get("/boot/linux"), (200, "a kernel"))

    def linked(self):
        """A file of the mirror that is a link to one elsewhere, as all of its packages are; returns that."""
        top = TOP / "build"
        top.mkdir(exist_ok=True)
        elsewhere = tempfile.TemporaryDirectory(prefix="test-pool-", dir=top)
        self.addCleanup(elsewhere.cleanup)
        Path(elsewhere.name).chmod(0o755)
        package = Path(elsewhere.name) / "a.deb"
        package.write_text("a package")
        (self.dir / "tree/mirror/pool").mkdir(parents=True)
        (self.dir / "tree/mirror/pool/a.deb").symlink_to(package)
        return package

    def test_what_the_mirror_has_links_to_is_served(self):
        """With the cache in root's home, which is closed to others, nodes were forbidden each package."""
        self.linked()
        self.head()
        self.assertEqual(self.get("/mirror/pool/a.deb"), (200, "a package"))

    def test_a_package_that_the_web_server_cannot_read_is_refused(self):
        if not web.mapped(web.UID):
            self.skipTest("the web server is no other user here")
        package = self.linked()
        package.chmod(0o600)
        with self.assertRaisesRegex(UserError, f"^{package} is closed to the web server, which runs as www-data: chmod a\\+r {package}$"):
            self.head()

    def test_a_tree_that_the_web_server_cannot_read_is_refused(self):
        if not web.mapped(web.UID):
            self.skipTest("the web server is no other user here")
        (self.dir / "tree/boot").mkdir(parents=True)
        (self.dir / "tree/boot").chmod(0o700)
        with self.assertRaisesRegex(UserError, r"tree/boot is closed to the web server, which runs as www-data: chmod -R a\+rX "):
            self.head()


class Answers(Case):
    """The answers depend on the node."""

    def test_a_node_gets_its_own_answers_only(self):
        plan = Plan(PLAN.path)
        plan.modes = {"*": "install", "compute-0-1": "diskless"}
        for name in ("boot/diskless-initrd", "boot/root.squashfs"):
            (self.dir / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.dir / "tree" / name).write_text("x")
        head = self.head(plan)
        self.get(f"/ipxe?mac={MAC}")
        self.be(OTHER, "10.1.254.8")
        self.get(f"/ipxe?mac={OTHER}")
        everything = [f"/{kind}/compute-0-{rank}" for kind in ("preseed", "kickstart", "node", "installed") for rank in (0, 1, 2)]
        answered = {}
        for mac, address in ((MAC, "10.1.254.9"), (OTHER, "10.1.254.8"), (MAC, "10.1.255.254"), (MAC, "10.1.255.253"), ("52:54:00:81:11:12", "10.1.255.254")):
            self.be(mac, address)
            answered[mac, address] = [path for path in everything if self.secret(path)[0] == 200]
        first = ["/preseed/compute-0-0", "/installed/compute-0-0"]
        self.assertEqual(
            answered,
            {
                (MAC, "10.1.254.9"): first,
                (OTHER, "10.1.254.8"): ["/preseed/compute-0-1", "/node/compute-0-1", "/installed/compute-0-1"],
                (MAC, "10.1.255.254"): first,
                # An address that is another node's does not help, neither one of its own with another card.
                (MAC, "10.1.255.253"): first,
                ("52:54:00:81:11:12", "10.1.255.254"): [],
            },
        )
        self.assertEqual(set(head.registry.names), {MAC, OTHER})

    def test_a_machine_that_says_another_mac_address_gets_no_name_and_no_script(self):
        head = self.head()
        self.assertIn("another MAC address", self.get(f"/ipxe?mac={OTHER}")[1])
        self.assertEqual(head.registry.names, {})
        self.assertNotIn("kernel", self.get(f"/ipxe?mac={MAC}&mac={OTHER}", "-G")[1].replace("kernel http", "", 1))

    def test_the_overview_is_a_page_where_there_is_one(self):
        head = self.head()
        self.assertEqual(self.get("/status")[0], 404)
        head.overview = Overview(self.dir / "head")
        head.overview.event("compute-0-0", "asks", "firmware and iPXE")
        verbose = self.get("/status", "--include")[1]
        self.assertIn("Content-Type: text/html; charset=utf-8", verbose)
        self.assertIn("<td>compute-0-0</td>", verbose)
        self.assertIn('"which": "compute-0-0"', self.get("/status.json")[1])

    def test_only_get_and_head_are_answered(self):
        self.head()
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "x" * 20):
            with self.subTest(method):
                self.assertIn(self.get("/boot/linux", "--request", method)[0], (400, 405))
        self.assertEqual(self.get("/boot/linux", "--head", "--output", "/dev/null")[0], 200)
        self.assertEqual(self.secret("/preseed/compute-0-0", "--data", "x" * 100, "--request", "GET")[0], 413)


if __name__ == "__main__":
    unittest.main()
